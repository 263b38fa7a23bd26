/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/scgi.c mod_proxy_core/protocols/uwsgi.c mod_proxy_core/protocols/cgi_stream.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F1 F23: the SCGI and uwsgi codecs. Each answer is decoded whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"

#define IN(literal) literal, sizeof(literal) - 1
#define HEAD_ONLY 0x10 /* the request was HEAD */

static const pc_codec *const codecs[] = { &pc_scgi_codec, &pc_uwsgi_codec };

/* ------------------------------------------------------------------ answers */

typedef struct answer_case {
    int flags; /* TR_*, HEAD_ONLY */
    const char *bytes;
    size_t len;
    const char *want;
} answer_case;

static void check_cut(const answer_case *c, const pc_codec *codec, cutting cut)
{
    pc_message m;
    transcript t;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.head_only = !!(c->flags & HEAD_ONLY);
    tr_codec(&t, codec, &m, c->flags, c->bytes, c->len, cut);
    if (!tr_is(&t, c->want, c->bytes, cut)) {
        fail();
    }
    tr_free(&t);
}

static void check(const answer_case *c, size_t n)
{
    for (; n; c++, n--) {
        for (size_t i = 0; i < 2; i++) {
            EACH_CUT(cut, c->len) check_cut(c, codecs[i], cut);
        }
    }
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

/* A CGI head or a status line, LF or CRLF; the body ends with the connection, or where its length says. */
static void answers(void **state)
{
    static const answer_case cases[] = {
        { 0, IN("Content-Type: a\n\nhello"), "HEAD 200 {Content-Type: a}\nBODY hello\nEND" },
        { 0, IN("Status: 404 Not\r\nA: b\r\n\r\nhello"), "HEAD 404 Not {A: b}\nBODY hello\nEND" },
        { 0, IN("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nhello"), "HEAD 404 Not Found {A: b}\nBODY hello\nEND" },
        { 0, IN("HTTP/1.0 200 OK\nA: b\n\nhello"), "HEAD 200 OK {A: b}\nBODY hello\nEND" },
        { 0, IN("HTTP/1.1 200\r\n\r\n"), "HEAD 200 {}\nEND" },
        { 0, IN("HTTP/2.0 200 OK\r\nA: b\r\n\r\nhello"), "HEAD 200 OK {A: b}\nBODY hello\nEND" },
        { 0, IN("HTTP/1.1 201 Made\r\nStatus: 201 Created\r\n\r\n"), "HEAD 201 Made {}\nEND" },
        { 0, IN("\nhello"), "HEAD 200 {}\nBODY hello\nEND" },
        { 0, IN("Content-Length: 5\n\nhello"), "HEAD 200 length=5 {Content-Length: 5}\nBODY hello\nEND" },
        { 0, IN("Content-Length: 0\n\n"), "HEAD 200 length=0 {Content-Length: 0}\nEND" },
        { 0, IN("Content-Length: 4\n\nhello"), "HEAD 200 length=4 {Content-Length: 4}\nBODY hell\nEND left=1" },
        { 0, IN("Content-Length: 6\n\nhello"),
          "HEAD 200 length=6 {Content-Length: 6}\nBODY hello\nERROR the body is shorter than its Content-Length" },
        { TR_OPEN, IN("Content-Length: 5\n\nhello"),
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hello\nEND" }, /* the connection is not waited for */
        { TR_OPEN, IN("A: b\n\nhello"), "HEAD 200 {A: b}\nBODY hello" },
        { HEAD_ONLY, IN("Content-Length: 5\n\nhello"), "HEAD 200 length=5 {Content-Length: 5}\nEND" },
        { 0, IN("Status: 204\nContent-Length: 5\n\nhello"), "HEAD 204 {}\nEND" },
        { 0, IN("HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n"),
          "HEAD 304 Not Modified length=5 {Content-Length: 5}\nEND" },
        { 0, IN("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx"),
          "INTERIM 103 Early Hints {Link: a}\nHEAD 200 OK {}\nBODY x\nEND" },
        /* Transfer-Encoding means nothing here and does not get through (CVE-2026-63718) */
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-A\r\nX-A: b\r\n\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nBODY 0\r\n\r\n\nEND" },
    };

    (void)state;
    CHECK(cases);
}

/* What could be taken for two things is taken for none (CVE-2023-27522). */
static void refused(void **state)
{
    static const answer_case cases[] = {
        { 0, IN(""), "ERROR the output ends before the response head" },
        { 0, IN("A: b\n"), "ERROR the output ends inside the response head" },
        { 0, IN("HTTP/1.1 200 OK\r\n"), "ERROR the output ends inside the response head" },
        { 0, IN("HTTP/1.1 100 Continue\r\n\r\n"),
          "ERROR 1xx status other than 102 and 103 from a CGI-like application" },
        { 0, IN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
          "ERROR 1xx status other than 102 and 103 from a CGI-like application" },
        { 0, IN("HTTP/1.1 103 Early Hints\r\n\r\n"),
          "INTERIM 103 Early Hints {}\nERROR the output ends behind an interim response" },
        { 0, IN("HTTP/2 200 OK\r\n\r\n"), "ERROR HTTP version in the status line is not 1.x" },
        { 0, IN("HTTP/1.1\r\n\r\n"), "ERROR malformed status line" },
        { 0, IN("HTTP/1.1 20 OK\r\n\r\n"), "ERROR status is not three digits" },
        { 0, IN("HTTP/1.1 200 O\rK\r\n\r\n"), "ERROR CR without LF in the response head" },
        { 0, IN("HTTP/1.1 200 O\1K\r\n\r\n"), "ERROR control character in the reason phrase" },
        { 0, IN("HTTP/1.1 200 OK\r\nStatus: 404\r\n\r\n"), "ERROR status line and Status field differ" },
        { 0, IN("HTTP/1.1 200 OK\r\nStatus: x\r\n\r\n"), "ERROR status is not three digits" },
        { 0, IN("Status: 200\nStatus: 200\n\n"), "ERROR more than one Status field" },
        { 0, IN("A: b\nHTTP/1.1 200 OK\n\n"), "ERROR character in a field's name that is not allowed in a token" },
        { 0, IN("HTTP/1.1 200 OK\nHTTP/1.1 200 OK\n\n"),
          "ERROR character in a field's name that is not allowed in a token" },
        { 0, IN("http/1.1 200 OK\n\n"), "ERROR character in a field's name that is not allowed in a token" },
        { 0, IN("A: b\n c\n\n"), "ERROR field line begins with white space (obsolete line folding)" },
        { 0, IN("A: b\rC: d\n\n"), "ERROR CR without LF in the response head" },
        { 0, IN("A: b\0c\n\n"), "ERROR NUL in the response head" },
        { 0, IN("A : b\n\n"), "ERROR white space between a field's name and the colon" },
        { 0, IN("Content-Length: 1\nContent-Length: 2\n\n"), "ERROR differing Content-Length values" },
    };

    (void)state;
    CHECK(cases);
}

/* ------------------------------------------------------------------ requests */

static void with_length(pc_message *m, apr_off_t length, pc_field *fields, size_t n)
{
    memset(m, 0, sizeof(*m));
    m->method = "POST";
    m->body = length >= 0;
    m->content_length = length < 0 ? 0 : length;
    m->fields = fields;
    m->nfields = n;
}

/* The specification's own example, byte for byte. */
static void scgi_packet(void **state)
{
    static pc_field fields[] = { { "CONTENT_LENGTH", "27", 14, 2 },
                                 { "SCGI", "evil", 4, 4 },
                                 { "", "nameless", 0, 8 },
                                 { "REQUEST_METHOD", "POST", 14, 4 },
                                 { "REQUEST_URI", "/deepthought", 11, 12 } };
    static const char want[] = "70:CONTENT_LENGTH\0"
                               "27\0SCGI\0"
                               "1\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,";
    pc_buf b = { NULL, 0, 0, tr_pool() };
    pc_message m;
    packet k;

    (void)state;
    with_length(&m, 27, fields, 5);
    assert_null(packet_build(&pc_scgi_codec, &m, &b));
    assert_int_equal(b.len, sizeof(want) - 1);
    assert_memory_equal(b.p, want, b.len);
    /* without a body the length is said all the same */
    packet_done(&b);
    with_length(&m, -1, fields, 5);
    assert_null(packet_build(&pc_scgi_codec, &m, &b));
    packet_read(&k, &pc_scgi_codec, &b);
    assert_string_equal(k.value[0], "0");
    packet_done(&b);
    with_length(&m, APR_INT64_MAX, NULL, 0);
    assert_null(packet_build(&pc_scgi_codec, &m, &b));
    packet_read(&k, &pc_scgi_codec, &b);
    assert_string_equal(k.value[0], "9223372036854775807");
    packet_done(&b);
}

static void uwsgi_packet(void **state)
{
    static pc_field fields[] = { { "REQUEST_METHOD", "GET", 14, 3 }, { "EMPTY", "", 5, 0 } };
    static const char want[] = "\0\x1e\0\0\x0e\0REQUEST_METHOD\x03\0GET\x05\0EMPTY\0\0";
    pc_buf b = { NULL, 0, 0, tr_pool() };
    pc_message m;

    (void)state;
    with_length(&m, -1, fields, 2);
    assert_null(packet_build(&pc_uwsgi_codec, &m, &b));
    assert_int_equal(b.len, sizeof(want) - 1);
    assert_memory_equal(b.p, want, b.len);
    packet_done(&b);
}

/* Sizes around each bound: what is built reads back, what does not fit is refused and nothing of it written. */
static void bounds(void **state)
{
    static const size_t sizes[] = { 0, 1, 255, 256, 65000, 65524, 65525, 65526, 65534, 65535, 65536, 65537, 131072 };
    char *text = malloc(140000);
    pc_field f[2] = { { "A", text, 1, 0 }, { "B", "c", 1, 1 } };
    pc_message m;
    packet k;

    (void)state;
    memset(text, 'x', 140000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t c = 0; c < 2; c++) {
            pc_buf b = { NULL, 0, 0, tr_pool() };
            /* 4 + 1 + size for A, 6 for B */
            int fits = codecs[c] == &pc_scgi_codec || sizes[i] + 11 <= 65535;

            f[0].value_len = sizes[i];
            with_length(&m, -1, f, 2);
            assert_int_equal(packet_build(codecs[c], &m, &b) == NULL, fits);
            if (fits) {
                packet_read(&k, codecs[c], &b);
                assert_int_equal(k.n, c ? 2 : 4);
                assert_int_equal(k.value_len[k.n - 2], sizes[i]);
                assert_int_equal(k.name[k.n - 1][0], 'B');
            }
            else {
                assert_int_equal(b.len, 0);
            }
            packet_done(&b);
        }
    }
    free(text);
}

/* Lengths that would wrap around. */
static void too_large(void **state)
{
    static const size_t sizes[] = { 17 * 1024 * 1024, (size_t)APR_INT32_MAX + 1, APR_SIZE_MAX, APR_SIZE_MAX - 4 };
    pc_field f[2] = { { "A", "b", 1, 1 }, { "A", "b", 1, 1 } };
    pc_message m;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t c = 0; c < 4; c++) {
            pc_buf b = { NULL, 0, 0, tr_pool() };

            f[1].name_len = c & 2 ? sizes[i] : 1;
            f[1].value_len = c & 2 ? 1 : sizes[i];
            with_length(&m, -1, f, 2);
            assert_non_null(packet_build(codecs[c & 1], &m, &b));
            assert_int_equal(b.len, 0);
            packet_done(&b);
        }
    }
}

/* The body goes out as it is, and never longer than was promised. */
static void bodies(void **state)
{
    pc_frame frame;
    pc_message m;
    char last[PC_FRAME_MAX];

    (void)state;
    for (size_t c = 0; c < 2; c++) {
        void *s = calloc(1, codecs[c]->state_size);

        with_length(&m, 70000, NULL, 0);
        codecs[c]->start(s, tr_pool(), &m);
        assert_int_equal(codecs[c]->frame(s, 69999, &frame), 69999);
        assert_int_equal(frame.prefix_len + frame.suffix_len, 0);
        assert_int_equal(codecs[c]->frame(s, 2, &frame), 0);
        assert_int_equal(codecs[c]->frame(s, 1, &frame), 1);
        assert_int_equal(codecs[c]->frame(s, 1, &frame), 0);
        assert_int_equal(codecs[c]->finish(s, last), 0);
        assert_int_equal(codecs[c]->abort(s, last), 0);
        free(s);
        s = calloc(1, codecs[c]->state_size);
        with_length(&m, -1, NULL, 0);
        codecs[c]->start(s, tr_pool(), &m);
        assert_int_equal(codecs[c]->frame(s, 1, &frame), 0);
        free(s);
        assert_true(codecs[c]->state_size < 512);
        assert_int_equal(codecs[c]->flags & (PC_CODEC_KEEP | PC_CODEC_CHUNKS), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),      cmocka_unit_test(refused), cmocka_unit_test(scgi_packet),
        cmocka_unit_test(uwsgi_packet), cmocka_unit_test(bounds),  cmocka_unit_test(too_large),
        cmocka_unit_test(bodies),
    };

    return cmocka_run_group_tests_name("scgi and uwsgi codecs", tests, NULL, NULL);
}
