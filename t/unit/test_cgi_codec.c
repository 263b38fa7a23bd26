/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/cgi.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F23 P7: the CGI codec. Each answer is decoded whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transcript.h"
#include "protocols/cgi.h"

#define HEAD_ONLY 1

typedef struct answer_case {
    int flags;
    const char *output, *want;
} answer_case;

static void check_cut(const answer_case *c, cutting cut)
{
    transcript t;
    pc_message m;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.head_only = !!(c->flags & HEAD_ONLY);
    tr_codec(&t, &pc_cgi_codec, &m, 0, c->output, strlen(c->output), cut);
    if (!tr_is(&t, c->want, c->output, cut)) {
        fail();
    }
    tr_free(&t);
}

static void answers(void **state)
{
    static const answer_case cases[] = {
        { 0, "Content-Type: text/plain\n\nhello", "HEAD 200 {Content-Type: text/plain}\nBODY hello\nEND" },
        { 0, "Content-Type: text/plain\r\n\r\nhello", "HEAD 200 {Content-Type: text/plain}\nBODY hello\nEND" },
        { 0, "Status: 404 Not Found\n\n", "HEAD 404 Not Found {}\nEND" },
        { 0, "Location: /x\n\n", "HEAD 200 {Location: /x}\nEND" },
        { 0, "Content-Length: 2\n\nhi", "HEAD 200 length=2 {Content-Length: 2}\nBODY hi\nEND" },
        { 0, "Content-Length: 0\n\n", "HEAD 200 length=0 {Content-Length: 0}\nEND" },
        { 0, "Content-Length: 2\n\nhi, and more that nobody was promised",
          "HEAD 200 length=2 {Content-Length: 2}\nBODY hi\nEND left=35" },
        { 0, "Content-Length: 5\n\nhi",
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hi\nERROR the body is shorter than its Content-Length" },
        { HEAD_ONLY, "Content-Length: 5\n\nhello", "HEAD 200 length=5 {Content-Length: 5}\nEND" },
        { 0, "", "ERROR the output ends before the response head" },
        { 0, "Content-Type: text/plain\n", "ERROR the output ends inside the response head" },
        { 0, "Transfer-Encoding: chunked\nX: y\n\n5\r\nhello", "HEAD 200 {X: y}\nBODY 5\r\nhello\nEND" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_cut(&cases[i], CUT_WHOLE);
        check_cut(&cases[i], CUT_BYTES);
        for (size_t at = 0; at < strlen(cases[i].output); at++) {
            cutting cut = { at, 0 };

            check_cut(&cases[i], cut);
        }
    }
}

static void no_head_at_all(void **state)
{
    static const answer_case cases[] = { { 0, "HTTP/1.1 200 OK\r\n\r\n", NULL }, { 0, "hello\n\n", NULL } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        transcript t;
        pc_message m;

        memset(&m, 0, sizeof(m));
        m.method = "GET";
        tr_codec(&t, &pc_cgi_codec, &m, 0, cases[i].output, strlen(cases[i].output), CUT_WHOLE);
        assert_int_equal(strncmp(t.p, "ERROR ", 6), 0);
        tr_free(&t);
    }
}

/* No more than was promised goes to standard input. */
static void the_body(void **state)
{
    char codec[1024];
    pc_message m;
    pc_frame f;
    char buf[PC_FRAME_MAX];

    (void)state;
    assert_true(pc_cgi_codec.state_size <= sizeof(codec));
    memset(codec, 0, sizeof(codec));
    memset(&m, 0, sizeof(m));
    m.content_length = 10;
    m.body = 1;
    {
        apr_pool_t *pool;

        apr_pool_create(&pool, NULL);
        pc_cgi_codec.start(codec, pool, &m);
        assert_int_equal(pc_cgi_codec.frame(codec, 6, &f), 6);
        assert_int_equal(f.prefix_len + f.suffix_len, 0);
        assert_int_equal(pc_cgi_codec.frame(codec, 4, &f), 4);
        assert_int_equal(pc_cgi_codec.frame(codec, 1, &f), 0);
        assert_int_equal(pc_cgi_codec.finish(codec, buf), 0);
        apr_pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(no_head_at_all),
        cmocka_unit_test(the_body),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
