/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/fastcgi.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F1 F23 G34 G37 D23: the FastCGI codec. Each answer is decoded whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transcript.h"
#include "protocols/fastcgi.h"

enum { BEGIN = 1, ABORT = 2, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7, DATA = 8, VALUES = 10 };

/* ------------------------------------------------------------------ answers */

#define HEAD_ONLY 0x10 /* the request was HEAD */
#define CLOSING 0x20   /* the connection is not wanted again */

/* A record that the application sends. END: content is NULL, `status` and `protocol` are its statuses. */
typedef struct record {
    int type;
    const char *content;
    int padding;
    unsigned status;
    int protocol;
    int id;      /* 0: 1, the right one; -1: 0 */
    int version; /* 0: 1 */
} record;

#define OUT(text) \
    { \
        STDOUT, text, 0, 0, 0, 0, 0 \
    }
#define ERR(text) \
    { \
        STDERR, text, 0, 0, 0, 0, 0 \
    }
#define PADDED(type, text, padding) \
    { \
        type, text, padding, 0, 0, 0, 0 \
    }
#define ENDED(status, protocol) \
    { \
        END, NULL, 0, status, protocol, 0, 0 \
    }
#define OVER ENDED(0, 0)

typedef struct answer_case {
    int flags;
    record records[10];
    const char *want;
} answer_case;

static void put_record(transcript *t, int version, int type, int id, const char *content, size_t len, int padding)
{
    char head[8] = {
        (char)version, (char)type, (char)(id >> 8), (char)id, (char)(len >> 8), (char)len, (char)padding, 0
    };
    char zeroes[255] = { 0 };

    tr_add(t, head, sizeof(head));
    tr_add(t, content, len);
    tr_add(t, zeroes, (size_t)padding);
}

static void put_records(transcript *t, const record *r)
{
    for (; r->type; r++) {
        char end[8] = { (char)(r->status >> 24),
                        (char)(r->status >> 16),
                        (char)(r->status >> 8),
                        (char)r->status,
                        (char)r->protocol,
                        0,
                        0,
                        0 };
        const char *content = r->type == END && !r->content ? end : r->content;
        size_t len = content == end ? sizeof(end) : strlen(content);

        put_record(t, r->version ? r->version : 1, r->type,
                   r->id < 0 ? 0
                   : r->id   ? r->id
                             : 1,
                   content, len, r->padding);
    }
}

static void check_cut(const answer_case *c, const transcript *in, cutting cut)
{
    transcript t;
    pc_message m;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.head_only = !!(c->flags & HEAD_ONLY);
    m.keep_alive = !(c->flags & CLOSING);
    tr_codec(&t, &pc_fastcgi_codec, &m, c->flags, in->p, in->len, cut);
    if (!tr_is(&t, c->want, "(records)", cut)) {
        fail();
    }
    tr_free(&t);
}

static void check(const answer_case *c, size_t n)
{
    for (; n; c++, n--) {
        transcript in;

        memset(&in, 0, sizeof(in));
        put_records(&in, c->records);
        EACH_CUT(cut, in.len) check_cut(c, &in, cut);
        tr_free(&in);
    }
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

static void answers(void **state)
{
    static const answer_case cases[] = {
        { 0,
          { OUT("Content-Type: a\n\nhello"), OUT(""), OVER },
          "HEAD 200 {Content-Type: a}\nBODY hello\nEND reusable" },
        { 0, { OUT("Content-Type: a\n\nhello"), OVER }, "HEAD 200 {Content-Type: a}\nBODY hello\nEND reusable" },
        { 0,
          { OUT("Status: 404 No"), OUT("t\r"), OUT("\nA: b\r\n"), OUT("\r\nhel"), OUT("lo"), OUT(""), OVER },
          "HEAD 404 Not {A: b}\nBODY hello\nEND reusable" },
        { 0,
          { PADDED(STDOUT, "A: b\n\nhello", 5), PADDED(STDOUT, "", 8), PADDED(END, "\0", 0) },
          "HEAD 200 {A: b}\nBODY hello\nERROR FCGI_END_REQUEST is shorter than 8 bytes" },
        { 0,
          { PADDED(STDOUT, "A: b\n\nhello", 255), PADDED(STDOUT, "", 255), { END, NULL, 255, 0, 0, 0, 0 } },
          "HEAD 200 {A: b}\nBODY hello\nEND reusable" },
        { 0, { OUT("\n"), OVER }, "HEAD 200 {}\nEND reusable" },
        { 0, { OUT("Location: /local\n\n"), OVER }, "HEAD 200 {Location: /local}\nEND reusable" },
        { CLOSING, { OUT("\n"), OVER }, "HEAD 200 {}\nEND" },
        { TR_UNSENT, { OUT("Status: 413 Big\n\n"), OVER }, "HEAD 413 Big {}\nEND" },
        { 0, { OUT("\na"), OVER, OUT("b") }, "HEAD 200 {}\nBODY a\nEND reusable left=9" },
        { 0, { OUT("\na"), ENDED(7, 0) }, "HEAD 200 {}\nBODY a\nEND reusable status=7" },
        { 0, { OUT("\na"), ENDED(0xffffffff, 0) }, "HEAD 200 {}\nBODY a\nEND reusable status=-1" },
        { TR_OPEN, { OUT("A: b\n\nhey") }, "HEAD 200 {A: b}\nBODY hey" },
    };

    (void)state;
    CHECK(cases);
}

/* D23: standard error is told from the answer, wherever it comes */
static void logs(void **state)
{
    static const answer_case cases[] = {
        { 0,
          { ERR("PHP "), ERR("Warning"), OUT("A: "), ERR("more"), OUT("b\n\nx"), ERR("y"), ERR(""), OVER },
          "LOG PHP Warningmore\nHEAD 200 {A: b}\nBODY x\nLOG y\nEND reusable" },
        { 0,
          { ERR("no interpreter"), ENDED(255, 0) },
          "LOG no interpreter\nERROR early: application exited with status 255 before it answered" },
        { TR_OPEN, { PADDED(STDERR, "a\n\x1b[0mb", 3) }, "LOG a\n\x1b[0mb" },
    };

    (void)state;
    CHECK(cases);
}

/* both statuses of END_REQUEST */
static void refused(void **state)
{
    static const answer_case cases[] = {
        { 0, { ENDED(0, 1) }, "ERROR overloaded: the application refused the request: FCGI_CANT_MPX_CONN" },
        { 0, { ENDED(0, 2) }, "ERROR overloaded: the application refused the request: FCGI_OVERLOADED" },
        { 0, { OUT(""), ENDED(0, 2) }, "ERROR overloaded: the application refused the request: FCGI_OVERLOADED" },
        { 0, { ENDED(5, 3) }, "ERROR the application refused the request: FCGI_UNKNOWN_ROLE" },
        { 0, { ENDED(0, 4) }, "ERROR FCGI_END_REQUEST has an unknown protocol status" },
        { 0, { OUT("A:"), ENDED(0, 2) }, "ERROR the application refused the request: FCGI_OVERLOADED" },
        { 0, { OUT("\n"), ENDED(0, 2) }, "HEAD 200 {}\nERROR the application refused the request: FCGI_OVERLOADED" },
        { 0, { ENDED(3, 0) }, "ERROR early: application exited with status 3 before it answered" },
        { 0, { OUT("A: b\n"), ENDED(3, 0) }, "ERROR early: application exited with status 3 before it answered" },
        { 0, { OVER }, "ERROR early: the output ends before the response head" },
        { 0, { OUT("A: b\n"), OVER }, "ERROR early: the output ends inside the response head" },
        { 0, { OUT("A b\n"), OVER }, "ERROR field line without a colon" },
        { 0,
          { OUT("HTTP/1.1 200 OK\r\n\r\n"), OVER },
          "ERROR HTTP status line in a CGI head (a Status field is wanted)" },
    };

    (void)state;
    CHECK(cases);
}

/* mod_fcgid's CVE-2010-3872 and CVE-2013-4365 were in this place: what a record's head says of itself */
static void records(void **state)
{
    static const answer_case cases[] = {
        { 0, { { STDOUT, "\n", 0, 0, 0, 0, 2 } }, "ERROR FastCGI record of a version other than 1" },
        { 0, { { STDOUT, "\n", 0, 0, 0, 2, 0 } }, "ERROR FastCGI record of a request that is not on this connection" },
        { 0,
          { { STDOUT, "\n", 0, 0, 0, 256, 0 } },
          "ERROR FastCGI record of a request that is not on this connection" },
        { 0, { { STDERR, "a", 0, 0, 0, -1, 0 } }, "ERROR FastCGI record of a request that is not on this connection" },
        { 0, { { END, NULL, 0, 0, 0, 3, 0 } }, "ERROR FastCGI record of a request that is not on this connection" },
        { 0, { PADDED(STDIN, "a", 0) }, "ERROR FastCGI record of a type that only a server sends" },
        { 0, { PADDED(BEGIN, "a", 0) }, "ERROR FastCGI record of a type that only a server sends" },
        { 0, { PADDED(PARAMS, "", 0) }, "ERROR FastCGI record of a type that only a server sends" },
        { 0,
          { { VALUES, "abc", 5, 0, 0, -1, 0 },
            { 11, "12345678", 0, 0, 0, -1, 0 },
            OUT("\na"),
            PADDED(99, "x", 1),
            PADDED(0xff, "", 0),
            OVER },
          "HEAD 200 {}\nBODY a\nEND reusable" },
        { 0,
          { OUT("\na"), PADDED(END, "1234567", 1) },
          "HEAD 200 {}\nBODY a\nERROR FCGI_END_REQUEST is shorter than 8 bytes" },
        { 0,
          { OUT("\na"), OUT(""), OUT(""), OUT("b"), OVER },
          "HEAD 200 {}\nBODY a\nERROR FCGI_STDOUT behind the end of that stream" },
    };
    static const char long_end[] = "\0\0\0\5\0\0\0\0surplus";
    transcript in, t;
    pc_message m;

    (void)state;
    CHECK(cases);
    memset(&in, 0, sizeof(in));
    memset(&m, 0, sizeof(m));
    m.keep_alive = 1;
    put_record(&in, 1, STDOUT, 1, "\n", 1, 0);
    put_record(&in, 1, END, 1, long_end, sizeof(long_end) - 1, 3);
    tr_codec(&t, &pc_fastcgi_codec, &m, 0, in.p, in.len, CUT_WHOLE);
    assert_string_equal(t.p, "HEAD 200 {}\nEND reusable status=5");
    tr_free(&t);
    tr_codec(&t, &pc_fastcgi_codec, &m, 0, in.p, in.len, CUT_BYTES);
    assert_string_equal(t.p, "HEAD 200 {}\nEND reusable status=5");
    tr_free(&t);
    tr_free(&in);
}

/* the connection closes after each byte: never a complete answer but where it is one */
static void closed(void **state)
{
    static const record answer[] = { OUT("A: b\n\nhello"), ERR("x"), OUT(""), { END, NULL, 4, 0, 0, 0, 0 }, { 0 } };
    transcript in, t;
    pc_message m;
    size_t n;

    (void)state;
    memset(&in, 0, sizeof(in));
    memset(&m, 0, sizeof(m));
    m.keep_alive = 1;
    put_records(&in, answer);
    for (n = 0; n < in.len; n++) {
        const char *want = n >= in.len - 4 ? "END"
                           : n >= 8 + 6    ? "ERROR closed before FCGI_END_REQUEST"
                           : n > 8         ? "ERROR the output ends inside the response head"
                                           : "ERROR closed before the answer";
        const char *last;

        tr_codec(&t, &pc_fastcgi_codec, &m, 0, in.p, n, CUT_WHOLE);
        last = strrchr(t.p, '\n');
        assert_string_equal(last ? last + 1 : t.p, want);
        tr_free(&t);
    }
    tr_free(&in);
}

/* CVE-2024-24795: the application's Content-Length is checked, not believed */
static void lengths(void **state)
{
    static const answer_case cases[] = {
        { 0,
          { OUT("Content-Length: 5\n\nhel"), OUT("lo"), OVER },
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hello\nEND reusable" },
        { 0,
          { OUT("Content-Length: 5\n\nhello"), OUT("!"), OVER },
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hello\nERROR the body is longer than its Content-Length" },
        { 0,
          { OUT("Content-Length: 5\n\nhello!"), OVER },
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hello\nERROR the body is longer than its Content-Length" },
        { 0,
          { OUT("Content-Length: 5\n\nhell"), OUT(""), OVER },
          "HEAD 200 length=5 {Content-Length: 5}\nBODY hell\nERROR early: the body is shorter than its Content-Length" },
        { 0, { OUT("Content-Length: 0\n\n"), OVER }, "HEAD 200 length=0 {Content-Length: 0}\nEND reusable" },
        { 0,
          { OUT("Content-Length: 0\n\nx"), OVER },
          "HEAD 200 length=0 {Content-Length: 0}\nERROR the body is longer than its Content-Length" },
        { 0, { OUT("Content-Length: 5\nContent-Length: 6\n\nhello"), OVER }, "ERROR differing Content-Length values" },
        { HEAD_ONLY, { OUT("Content-Length: 5\n\n"), OVER }, "HEAD 200 length=5 {Content-Length: 5}\nEND reusable" },
        { HEAD_ONLY,
          { OUT("Content-Length: 5\n\nhello, "), OUT("world"), OVER },
          "HEAD 200 length=5 {Content-Length: 5}\nEND reusable" },
        { 0,
          { OUT("Status: 304\nContent-Length: 5\n\nhello"), OVER },
          "HEAD 304 length=5 {Content-Length: 5}\nEND reusable" },
        { 0, { OUT("Status: 204\nContent-Length: 5\n\nhello"), OVER }, "HEAD 204 {}\nEND reusable" },
        /* CVE-2026-63718: a Transfer-Encoding of the application's is no framing */
        { 0,
          { OUT("Transfer-Encoding: chunked\nConnection: close, X\nX: y\nA: b\n\n0\r\n\r\n"), OVER },
          "HEAD 200 {A: b}\nBODY 0\r\n\r\n\nEND reusable" },
    };

    (void)state;
    CHECK(cases);
}

static void interim(void **state)
{
    static const answer_case cases[] = {
        { 0,
          { OUT("Status: 103 Early Hints\nLink: a\n\nContent-Type: b\n\nc"), OVER },
          "INTERIM 103 Early Hints {Link: a}\nHEAD 200 {Content-Type: b}\nBODY c\nEND reusable" },
        { 0,
          { OUT("Status: 102\n\n"), OUT("Status: 103\n\nStatus: 404\n\n"), OVER },
          "INTERIM 102 {}\nINTERIM 103 {}\nHEAD 404 {}\nEND reusable" },
        { 0,
          { OUT("Status: 103\n\n"), OVER },
          "INTERIM 103 {}\nERROR early: the output ends behind an interim response" },
        { 0,
          { OUT("Status: 103\n\nA:"), OVER },
          "INTERIM 103 {}\nERROR early: the output ends inside the response head" },
        { 0, { OUT("Status: 100\n\n"), OVER }, "ERROR 1xx status other than 102 and 103 from a CGI-like application" },
        { 0,
          { OUT("Status: 101\nUpgrade: websocket\n\n"), OVER },
          "ERROR 1xx status other than 102 and 103 from a CGI-like application" },
    };
    transcript in, t;
    pc_message m;
    int i;

    (void)state;
    CHECK(cases);
    memset(&in, 0, sizeof(in));
    memset(&m, 0, sizeof(m));
    for (i = 0; i < 11; i++) { /* CVE-2008-2364 */
        put_record(&in, 1, STDOUT, 1, "Status: 103\n\n", 13, 0);
    }
    tr_codec(&t, &pc_fastcgi_codec, &m, 0, in.p, in.len, CUT_WHOLE);
    assert_non_null(strstr(t.p, "{}\nERROR more than 10 interim responses"));
    tr_free(&t);
    tr_free(&in);
}

/* ------------------------------------------------------------------ requests */

/* What an application reads: checks every record, joins the streams. */
typedef struct seen {
    transcript params, in, data;
    int params_over, in_over, data_over, flags, role, aborted;
    size_t records;
} seen;

static void read_records(seen *s, const char *p, size_t len)
{
    memset(s, 0, sizeof(*s));
    while (len) {
        const unsigned char *u = (const unsigned char *)p;
        size_t content, padding;

        assert_true(len >= 8);
        content = (size_t)u[4] << 8 | u[5];
        padding = u[6];
        assert_int_equal(u[0], 1);
        assert_int_equal(u[2] << 8 | u[3], 1);
        assert_true(len >= 8 + content + padding);
        assert_int_equal(s->records++ == 0, u[1] == BEGIN);
        switch (u[1]) {
        case BEGIN:
            assert_int_equal(content, 8);
            s->role = u[8] << 8 | u[9];
            s->flags = u[10];
            break;
        case PARAMS:
            assert_false(s->params_over);
            s->params_over = content == 0;
            assert_int_equal((content + padding) % 8, 0);
            tr_add(&s->params, p + 8, content);
            break;
        case STDIN:
            assert_true(s->params_over);
            assert_false(s->in_over);
            s->in_over = content == 0;
            tr_add(&s->in, p + 8, content);
            break;
        case DATA: /* libfcgi refuses it before the end of STDIN */
            assert_true(s->in_over);
            assert_false(s->data_over);
            s->data_over = content == 0;
            tr_add(&s->data, p + 8, content);
            break;
        case ABORT:
            assert_int_equal(content, 0);
            s->aborted = 1;
            break;
        default: fail();
        }
        p += 8 + content + padding;
        len -= 8 + content + padding;
    }
}

static size_t read_length(const unsigned char **p)
{
    size_t n = *(*p)++;

    if (n & 0x80) {
        n = (n & 0x7f) << 24 | (size_t)(*p)[0] << 16 | (size_t)(*p)[1] << 8 | (*p)[2];
        *p += 3;
        assert_true(n >= 128); /* as short as it can be */
    }
    return n;
}

/* the stream of parameters says these pairs and nothing else */
static void check_params(const transcript *t, const pc_field *f, size_t n)
{
    const unsigned char *p = (const unsigned char *)t->p;

    for (; n; f++, n--) {
        size_t name = read_length(&p), value = read_length(&p);

        assert_int_equal(name, f->name_len);
        assert_int_equal(value, f->value_len);
        assert_memory_equal(p, f->name, name);
        assert_memory_equal(p + name, f->value, value);
        p += name + value;
    }
    assert_ptr_equal(p, t->p + t->len);
}

static void free_seen(seen *s)
{
    tr_free(&s->params);
    tr_free(&s->in);
    tr_free(&s->data);
}

/* write a request; its body is `len` bytes */
static void request(seen *s, const pc_message *m, size_t len, int abort_it)
{
    pc_buf b = { NULL, 0, 0, tr_pool() };
    void *state = calloc(1, pc_fastcgi_codec.state_size);
    char last[PC_FRAME_MAX];
    pc_frame f;

    exact_begin();
    pc_fastcgi_codec.start(state, tr_pool(), m);
    assert_null(pc_fastcgi_codec.head(state, &b));
    while (len) {
        size_t n = pc_fastcgi_codec.frame(state, len, &f);

        assert_in_range(n, 1, len < 65535 ? len : 65535);
        assert_int_equal(f.prefix_len % 8, 0);
        pc_buf_add(&b, f.prefix, f.prefix_len);
        memset(pc_buf_reserve(&b, n), 'b', n);
        b.len += n;
        pc_buf_add(&b, f.suffix, f.suffix_len);
        len -= n;
    }
    pc_buf_add(&b, last, abort_it ? pc_fastcgi_codec.abort(state, last) : pc_fastcgi_codec.finish(state, last));
    read_records(s, b.p, b.len);
    exact_end();
    free(state);
}

static void requests(void **state)
{
    static const size_t bodies[] = { 0, 1, 65528, 65529, 65535, 65536, 200000 };
    static const pc_field vars[] = { { "REQUEST_METHOD", "POST", 14, 4 }, { "EMPTY", "", 5, 0 } };
    pc_message m = { .method = "POST", .fields = vars, .nfields = 2, .body = 1, .keep_alive = 1 };
    seen s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        m.content_length = (apr_off_t)bodies[i];
        m.keep_alive = i & 1;
        request(&s, &m, bodies[i], 0);
        assert_int_equal(s.role, 1);
        assert_int_equal(s.flags, m.keep_alive); /* FCGI_KEEP_CONN only when it is kept */
        assert_true(s.params_over && s.in_over && !s.aborted);
        assert_int_equal(s.in.len, bodies[i]);
        check_params(&s.params, vars, 2);
        free_seen(&s);
        /* an upload that was cut is never ended as if it were whole */
        request(&s, &m, bodies[i], 1);
        assert_true(s.aborted && !s.in_over);
        free_seen(&s);
    }
    m.nfields = 0;
    request(&s, &m, 0, 0);
    assert_int_equal(s.params.len, 0);
    assert_true(s.params_over);
    free_seen(&s);
}

/* G10: roles. A filter's body is STDIN, then the file as DATA, wherever the bytes at hand are cut. */
static void roles(void **state)
{
    static const size_t sizes[] = { 0, 1, 65528, 65529, 200000 };
    pc_message m = { .method = "GET", .keep_alive = 1, .role = PC_ROLE_AUTHORIZER };
    seen s;

    (void)state;
    request(&s, &m, 0, 0);
    assert_int_equal(s.role, 2);
    assert_true(s.in_over && s.in.len == 0 && !s.data_over);
    free_seen(&s);
    m.role = PC_ROLE_FILTER;
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 5; k++) {
            m.body = sizes[i] > 0;
            m.content_length = (apr_off_t)sizes[i];
            m.data_length = (apr_off_t)sizes[k];
            request(&s, &m, sizes[i] + sizes[k], 0);
            assert_int_equal(s.role, 3);
            assert_true(s.in_over && s.data_over && !s.aborted);
            assert_int_equal(s.in.len, sizes[i]);
            assert_int_equal(s.data.len, sizes[k]);
            free_seen(&s);
            request(&s, &m, sizes[i] + sizes[k], 1);
            assert_true(s.aborted && !s.data_over);
            free_seen(&s);
        }
    }
}

/* more than was promised is refused */
static void filter_bounds(void **state)
{
    pc_message m = { .method = "POST", .content_length = 2, .body = 1, .role = PC_ROLE_FILTER, .data_length = 3 };
    void *codec_state = calloc(1, pc_fastcgi_codec.state_size);
    char last[PC_FRAME_MAX];
    pc_frame f;

    (void)state;
    pc_fastcgi_codec.start(codec_state, tr_pool(), &m);
    assert_int_equal(pc_fastcgi_codec.frame(codec_state, 100, &f), 2);
    assert_int_equal(f.prefix_len, 8);
    assert_int_equal(pc_fastcgi_codec.frame(codec_state, 2, &f), 2);
    assert_int_equal(f.prefix_len, 16);
    assert_int_equal(pc_fastcgi_codec.frame(codec_state, 100, &f), 1);
    assert_int_equal(f.prefix_len, 8);
    assert_int_equal(pc_fastcgi_codec.frame(codec_state, 1, &f), 0);
    assert_int_equal(pc_fastcgi_codec.finish(codec_state, last), 8);
    free(codec_state);
}

/* G37: parameters around every length where something changes */
static void parameters(void **state)
{
    static const size_t lengths[] = { 0,     1,     127,   128,   255,   256,   65510,  65517, 65518,
                                      65519, 65520, 65521, 65528, 65535, 65536, 131056, 300000 };
    char *text = malloc(300001);
    pc_field f[3] = { { "A", "b", 1, 1 }, { "LONG", text, 4, 0 }, { "Z", "y", 1, 1 } };
    pc_message m = { .method = "GET", .fields = f, .nfields = 3, .keep_alive = 1 };
    size_t i;

    (void)state;
    for (i = 0; i < 300000; i++) {
        text[i] = (char)('a' + i % 26);
    }
    text[300000] = '\0';
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        seen s;

        f[1].value = text;
        f[1].name = "LONG";
        f[1].name_len = 4;
        f[1].value_len = lengths[i];
        request(&s, &m, 0, 0);
        check_params(&s.params, f, 3);
        free_seen(&s);
        f[1].name = text;
        f[1].value = "";
        f[1].name_len = lengths[i];
        f[1].value_len = 0;
        request(&s, &m, 0, 0);
        check_params(&s.params, f, 3);
        free_seen(&s);
    }
    free(text);
}

/* Is the content a row of whole pairs? */
static void check_whole(const unsigned char *p, size_t len)
{
    const unsigned char *end = p + len;

    while (p < end) {
        size_t name = read_length(&p), value = read_length(&p);

        assert_true(p <= end && name + value <= (size_t)(end - p));
        p += name + value;
    }
}

/* G37: PHP reads each record by itself, so no pair is cut that need not be */
static void whole_pairs(void **state)
{
    static char text[65535];
    static const size_t lengths[] = { 0, 1, 127, 128, 1000, 8190, 32751, 32752, 65518, 65519 };
    pc_field f[300];
    pc_message m = { .method = "GET", .fields = f, .nfields = 300, .keep_alive = 1 };
    size_t i, n;

    (void)state;
    memset(text, 't', sizeof(text));
    for (n = 0; n < sizeof(lengths) / sizeof(lengths[0]); n++) {
        void *codec_state = calloc(1, pc_fastcgi_codec.state_size);
        pc_buf b = { NULL, 0, 0, tr_pool() };
        seen s;

        for (i = 0; i < 300; i++) {
            f[i].name = "NAME";
            f[i].name_len = 4;
            f[i].value = text;
            f[i].value_len = i % 3 == 2 ? i : lengths[n];
        }
        exact_begin();
        pc_fastcgi_codec.start(codec_state, tr_pool(), &m);
        /* sixteen megabytes and more in the last rounds: as many as fit */
        m.nfields = lengths[n] > 32752 ? 200 : 300;
        assert_null(pc_fastcgi_codec.head(codec_state, &b));
        for (i = 0; i < b.len;) {
            const unsigned char *u = (const unsigned char *)b.p + i;
            size_t content = (size_t)u[4] << 8 | u[5];

            if (u[1] == PARAMS) {
                check_whole(u + 8, content);
            }
            i += 8 + content + u[6];
        }
        read_records(&s, b.p, b.len);
        check_params(&s.params, f, m.nfields);
        free_seen(&s);
        exact_end();
        free(codec_state);
    }
}

static void too_large(void **state)
{
    pc_field f = { "A", NULL, 1, 16 * 1024 * 1024 };
    pc_message m = { .method = "GET", .fields = &f, .nfields = 1, .keep_alive = 1 };
    pc_buf b = { NULL, 0, 0, tr_pool() };
    void *codec_state = calloc(1, pc_fastcgi_codec.state_size);

    (void)state;
    pc_fastcgi_codec.start(codec_state, tr_pool(), &m);
    assert_string_equal(pc_fastcgi_codec.head(codec_state, &b), "the request's CGI variables are larger than 16 MB");
    f.value_len = APR_SIZE_MAX - 1;
    assert_string_equal(pc_fastcgi_codec.head(codec_state, &b), "the request's CGI variables are larger than 16 MB");
    assert_int_equal(b.len, 0);
    free(codec_state);
}

static void codec(void **state)
{
    (void)state;
    assert_int_equal(pc_fastcgi_codec.size, sizeof(pc_codec));
    assert_int_equal(pc_fastcgi_codec.default_port, 0);
    assert_int_equal(pc_fastcgi_codec.flags, PC_CODEC_CGI | PC_CODEC_KEEP | PC_CODEC_EXCLUSIVE | PC_CODEC_ROLES);
    assert_true(pc_fastcgi_codec.state_size < 512); /* what a waiting request costs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),     cmocka_unit_test(logs),          cmocka_unit_test(refused),
        cmocka_unit_test(records),     cmocka_unit_test(closed),        cmocka_unit_test(lengths),
        cmocka_unit_test(interim),     cmocka_unit_test(requests),      cmocka_unit_test(parameters),
        cmocka_unit_test(whole_pairs), cmocka_unit_test(too_large),     cmocka_unit_test(codec),
        cmocka_unit_test(roles),       cmocka_unit_test(filter_bounds),
    };

    return cmocka_run_group_tests_name("fastcgi codec", tests, NULL, NULL);
}
