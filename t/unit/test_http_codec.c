/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/http.c mod_proxy_core/chunked.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/upgrade.c mod_proxy_core/buf.c */
/* F1 F11 F23: the HTTP/1.1 codec. Each answer is decoded whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transcript.h"
#include "protocols/http.h"

#define IN(literal) literal, sizeof(literal) - 1

/* ------------------------------------------------------------------ answers */

#define HEAD_ONLY 0x10 /* the request was HEAD */
#define CLOSING 0x20   /* the connection is not wanted again */
#define OFFERED 0x40   /* websocket and foo/2 were offered */

typedef struct answer_case {
    int flags; /* TR_*, HEAD_ONLY, CLOSING */
    const char *bytes;
    size_t len;
    const char *want;
} answer_case;

static void check_cut(const answer_case *c, cutting cut)
{
    pc_message m;
    transcript t;

    memset(&m, 0, sizeof(m));
    m.method = c->flags & HEAD_ONLY ? "HEAD" : "GET";
    m.target = "/";
    m.host = "h";
    m.head_only = !!(c->flags & HEAD_ONLY);
    m.keep_alive = !(c->flags & CLOSING);
    m.upgrade = c->flags & OFFERED ? "websocket, foo/2" : NULL;
    tr_codec(&t, &pc_http_codec, &m, c->flags, c->bytes, c->len, cut);
    if (!tr_is(&t, c->want, c->bytes, cut)) {
        fail();
    }
    tr_free(&t);
}

static void check(const answer_case *c, size_t n)
{
    for (; n; c++, n--) {
        EACH_CUT(cut, c->len) check_cut(c, cut);
    }
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

/* RFC 9112, 6.3 */
static void framing(void **state)
{
    static const answer_case cases[] = {
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
          "HEAD 200 OK length=5 {Content-Length: 5}\nBODY hello\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
          "HEAD 200 OK length=0 {Content-Length: 0}\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP"),
          "HEAD 200 OK length=5 {Content-Length: 5}\nBODY hello\nEND reusable left=4" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nBODY hello!\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: b\r\n\r\n"),
          "HEAD 200 OK {Trailer: A}\nTRAILER {A: b}\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\n\r\nhello"), "HEAD 200 OK {}\nBODY hello\nEND" },
        { 0, IN("HTTP/1.1 200 OK\r\n\r\n"), "HEAD 200 OK {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\n\r\n"), "HEAD 204 No {}\nEND reusable" },
        { 0, IN("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
          "HEAD 304 Not Modified length=5 {Content-Length: 5}\nEND reusable" },
        { 0, IN("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
          "HEAD 304 Not Modified {}\nEND reusable" },
        { HEAD_ONLY, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
          "HEAD 200 OK length=5 {Content-Length: 5}\nEND reusable" },
        { HEAD_ONLY, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "HEAD 200 OK {}\nEND reusable" },
        { HEAD_ONLY, IN("HTTP/1.1 200 OK\r\n\r\n"), "HEAD 200 OK {}\nEND reusable" },
        { HEAD_ONLY, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
          "HEAD 200 OK length=5 {Content-Length: 5}\nEND reusable left=5" },
        /* two things about the framing: the safer one, and not this connection again */
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nBODY a\nEND" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"), "HEAD 204 No {}\nEND reusable" },
        { 0, IN("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello"), "HEAD 204 No {}\nEND left=5" },
        { 0, IN("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nEND" },
    };

    (void)state;
    CHECK(cases);
}

static void reuse(void **state)
{
    static const answer_case cases[] = {
        { CLOSING, IN("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"),
          "HEAD 200 OK length=1 {Content-Length: 1}\nBODY a\nEND" },
        { TR_UNSENT, IN("HTTP/1.1 413 Big\r\nContent-Length: 1\r\n\r\na"),
          "HEAD 413 Big length=1 {Content-Length: 1}\nBODY a\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nConnection: close\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nConnection: keep-alive, CLOSE\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nConnection: keep-alive\r\nConnection:close\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nConnection: @\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.1 204 No\r\nConnection: ,, ,keep-alive,\r\n\r\n"), "HEAD 204 No {}\nEND reusable" },
        { 0, IN("HTTP/1.0 204 No\r\n\r\n"), "HEAD 204 No {}\nEND" },
        { 0, IN("HTTP/1.0 204 No\r\nConnection: Keep-Alive\r\n\r\n"), "HEAD 204 No {}\nEND reusable" },
        { 0, IN("HTTP/1.7 204 No\r\n\r\n"), "HEAD 204 No {}\nEND reusable" },
    };

    (void)state;
    CHECK(cases);
}

/* CVE-2022-31813 on the way back: what Connection lists is of one hop; CVE-2013-5704: trailers are no head fields */
static void hop_by_hop(void **state)
{
    static const answer_case cases[] = {
        { 0, IN("HTTP/1.1 204 No\r\nA: 1\r\nX-Hop: 2\r\nConnection: x-hop, B\r\nB: 3\r\nC: 4\r\nx-hop: 5\r\n\r\n"),
          "HEAD 204 No {A: 1|C: 4}\nEND reusable" },
        { 0, IN("HTTP/1.1 204 No\r\nX: 1\r\nY: 2\r\nConnection: X\r\nConnection: Y\r\n\r\n"),
          "HEAD 204 No {}\nEND reusable" },
        { 0,
          IN("HTTP/1.1 204 No\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: x\r\nTrailer: y\r\n"
             "Upgrade: h2c\r\nConnection: Upgrade\r\nKeep: it\r\n\r\n"),
          "HEAD 204 No {Keep: it}\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Content-Length\r\n\r\na"),
          "HEAD 200 OK length=1 {Content-Length: 1}\nBODY a\nEND reusable" },
        { 0, IN("HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
          "HEAD 200 OK {}\nEND reusable" },
        { 0,
          IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n"
             "Digest: x\r\nTransfer-Encoding: gzip\r\nHost: h\r\n\r\n"),
          "HEAD 200 OK {}\nTRAILER {Digest: x}\nEND reusable" },
    };

    (void)state;
    CHECK(cases);
}

static void interim(void **state)
{
    static const answer_case cases[] = {
        { 0, IN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
          "INTERIM 100 Continue {}\nHEAD 204 No {}\nEND reusable" },
        { 0,
          IN("HTTP/1.1 103 Early\r\nLink: a\r\nConnection: x\r\nX: y\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\n"
             "Content-Length: 1\r\n\r\na"),
          "INTERIM 103 Early {Link: a}\nINTERIM 102 P {}\nHEAD 200 OK length=1 {Content-Length: 1}\nBODY a\n"
          "END reusable" },
        { 0, IN("HTTP/1.1 103 Early\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
          "INTERIM 103 Early {}\nHEAD 204 No {}\nEND reusable" },
        { TR_UNSENT, IN("HTTP/1.1 100 Continue\r\n\r\n"),
          "INTERIM 100 Continue {}\nERROR closed behind an interim response, before the final one" },
        { TR_OPEN, IN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1"), "INTERIM 100 Continue {}" },
        { 0, IN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 "),
          "INTERIM 100 Continue {}\nERROR closed inside the response head" },
        /* CVE-2026-33523, its second half: an interim reason phrase */
        { 0, IN("HTTP/1.1 103 Early\rX: y\r\n\r\n"), "ERROR CR without LF in the response head" },
        /* CVE-2019-17567 */
        { 0, IN("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
          "ERROR 101 (Switching Protocols) without an upgrade asked for" },
        { OFFERED | TR_UNSENT, IN("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
          "ERROR 101 (Switching Protocols) without an upgrade asked for" },
        { OFFERED, IN("HTTP/1.0 101 S\r\nUpgrade: websocket\r\n\r\n"),
          "ERROR 101 (Switching Protocols) without an upgrade asked for" },
        { OFFERED, IN("HTTP/1.1 101 S\r\nUpgrade: foo\r\n\r\n"),
          "ERROR 101 (Switching Protocols) to a protocol that was not offered" },
        { OFFERED, IN("HTTP/1.1 101 S\r\nUpgrade: foo/2\r\nUpgrade: foo/2\r\n\r\n"),
          "ERROR 101 (Switching Protocols) to a protocol that was not offered" },
        { OFFERED, IN("HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n"),
          "ERROR 101 (Switching Protocols) to a protocol that was not offered" },
        { OFFERED,
          IN("HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\nConnection: upgrade, A\r\nA: b\r\nB: c\r\nContent-Length: 1\r\n"
             "Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
          "HEAD 101 S {Upgrade: WebSocket|B: c}\nBODY HTTP/1.1 200 OK\r\n\r\n\nEND" },
        { OFFERED, IN("HTTP/1.1 101 S\r\nUpgrade: foo/2\r\n\r\n"), "HEAD 101 S {Upgrade: foo/2}\nEND" },
        { OFFERED, IN("HTTP/1.1 103 E\r\nUpgrade: foo/2\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: foo/2\r\n\r\n"),
          "INTERIM 103 E {}\nHEAD 101 S {Upgrade: foo/2}\nEND" },
        { OFFERED, IN("HTTP/1.1 200 OK\r\nUpgrade: foo/2\r\nContent-Length: 1\r\n\r\na"),
          "HEAD 200 OK length=1 {Content-Length: 1}\nBODY a\nEND reusable" },
    };
    static const char one[] = "HTTP/1.1 102 P\r\n\r\n";
    transcript in, t;
    pc_message m;
    int i;

    (void)state;
    CHECK(cases);
    /* CVE-2008-2364: ten of them, and no more */
    memset(&in, 0, sizeof(in));
    memset(&m, 0, sizeof(m));
    for (i = 0; i < 10; i++) {
        tr_add(&in, one, sizeof(one) - 1);
    }
    tr_codec(&t, &pc_http_codec, &m, TR_OPEN, in.p, in.len, CUT_WHOLE);
    assert_null(strstr(t.p, "ERROR"));
    tr_free(&t);
    tr_add(&in, one, sizeof(one) - 1);
    tr_codec(&t, &pc_http_codec, &m, TR_OPEN, in.p, in.len, CUT_BYTES);
    assert_non_null(strstr(t.p, "{}\nERROR more than 10 interim responses"));
    tr_free(&t);
    tr_free(&in);
}

/* what must become a 502, or a response that the client can see was cut */
static void refused(void **state)
{
    static const answer_case cases[] = {
        { 0, IN(""), "ERROR closed before the response head" },
        { 0, IN("HTTP/1.1 200 OK\r\nA: b\r\n"), "ERROR closed inside the response head" },
        { 0, IN("hello"), "ERROR no HTTP status line (HTTP/0.9 is not supported)" },
        { 0, IN("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), "ERROR white space between a field's name and the colon" },
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
          "ERROR differing Content-Length values" },
        /* CVE-2022-36760, CVE-2026-63718: nobody guesses what a coding means */
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 1\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"),
          "ERROR Transfer-Encoding is not exactly \"chunked\"" },
        { 0,
          IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0b"
             "chunked\r\n\r\n"),
          "ERROR control character in a field's value" },
        { 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
          "HEAD 200 OK length=5 {Content-Length: 5}\nBODY hell\n"
          "ERROR closed before the end of the body that Content-Length announced" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
          "HEAD 200 OK {}\nBODY hello\nERROR closed before the last chunk" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r"),
          "HEAD 200 OK {}\nBODY hello\nERROR closed before the last chunk" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0"),
          "HEAD 200 OK {}\nBODY hello\nERROR chunk data is not followed by CRLF" },
        { 0, IN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n"),
          "HEAD 200 OK {}\nERROR field line without a colon" },
    };

    (void)state;
    CHECK(cases);
}

/* ------------------------------------------------------------------ requests */

#define FIELD(n, v) \
    { \
        n, v, sizeof(n) - 1, sizeof(v) - 1 \
    }

static const pc_field two_fields[] = { FIELD("Accept", "*/*"), FIELD("X-Empty", "") };
static const pc_field own_fields[] = {
    FIELD("HOST", "evil"),    FIELD("content-length", "7"), FIELD("Transfer-Encoding", "gzip"),
    FIELD("Connection", "x"), FIELD("Expect", "y"),         FIELD("A", "b"),
    FIELD("Upgrade", "h2c"),
};

/* Write a request with this body, its spans of at most `step` bytes. @return its bytes, or what head() said */
static void request(transcript *out, const pc_message *m, const char *body, size_t step)
{
    pc_buf b = { NULL, 0, 0, tr_pool() };
    void *state = calloc(1, pc_http_codec.state_size);
    size_t len = body ? strlen(body) : 0, done = 0;
    char last[PC_FRAME_MAX];
    const char *why;

    memset(out, 0, sizeof(*out));
    exact_begin();
    pc_http_codec.start(state, tr_pool(), m);
    why = pc_http_codec.head(state, &b);
    if (why) {
        assert_int_equal(b.len, 0);
        tr_add(out, why, strlen(why));
    }
    else {
        tr_add(out, b.p, b.len);
        while (done < len) {
            size_t avail = len - done < step ? len - done : step, n;
            pc_frame f;

            n = pc_http_codec.frame(state, avail, &f);
            assert_in_range(n, 1, avail);
            tr_add(out, f.prefix, f.prefix_len);
            tr_add(out, body + done, n);
            tr_add(out, f.suffix, f.suffix_len);
            done += n;
        }
        tr_add(out, last, pc_http_codec.finish(state, last));
    }
    exact_end();
    free(state);
}

static void check_request(const pc_message *m, const char *body, size_t step, const char *want)
{
    transcript t;

    request(&t, m, body, step);
    assert_string_equal(t.p, want);
    tr_free(&t);
}

static void requests(void **state)
{
    pc_message m = { .method = "GET",
                     .target = "/a?b=c",
                     .host = "example.org:81",
                     .fields = two_fields,
                     .nfields = 2,
                     .keep_alive = 1 };

    (void)state;
    check_request(&m, NULL, 1, "GET /a?b=c HTTP/1.1\r\nHost: example.org:81\r\nAccept: */*\r\nX-Empty: \r\n\r\n");
    m.keep_alive = 0;
    m.nfields = 0;
    m.host = "";
    check_request(&m, NULL, 1, "GET /a?b=c HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n");
    m.upgrade = "websocket";
    check_request(&m, NULL, 1, "GET /a?b=c HTTP/1.1\r\nHost: \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    m.upgrade = NULL;
    m.te_trailers = 1;
    check_request(&m, NULL, 1, "GET /a?b=c HTTP/1.1\r\nHost: \r\nTE: trailers\r\nConnection: TE, close\r\n\r\n");
    m.keep_alive = 1;
    check_request(&m, NULL, 1, "GET /a?b=c HTTP/1.1\r\nHost: \r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    m.te_trailers = 0;
    m.method = "POST";
    m.host = "h";
    m.keep_alive = 1;
    m.body = 1;
    check_request(&m, NULL, 1, "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    m.content_length = 5;
    check_request(&m, "hello", 2, "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    m.expect_100 = 1;
    check_request(&m, "hello", 9,
                  "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    m.content_length = APR_INT64_MAX;
    check_request(&m, NULL, 9,
                  "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n"
                  "Expect: 100-continue\r\n\r\n");
    m.expect_100 = 0;
    m.content_length = -1;
    check_request(&m, "hello, world, hello", 16,
                  "POST /a?b=c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "10\r\nhello, world, he\r\n3\r\nllo\r\n0\r\n\r\n");
    check_request(&m, NULL, 1, "POST /a?b=c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static void request_trailers(void **state)
{
    pc_message m = { .method = "PUT", .target = "/", .host = "h", .content_length = -1, .body = 1, .keep_alive = 1 };
    pc_buf b = { NULL, 0, 0, tr_pool() };
    void *codec_state = calloc(1, pc_http_codec.state_size);
    pc_frame f;

    (void)state;
    pc_http_codec.start(codec_state, tr_pool(), &m);
    assert_null(pc_http_codec.head(codec_state, &b));
    assert_int_equal(pc_http_codec.frame(codec_state, 3, &f), 3);
    b.len = 0;
    pc_http_codec.trailers(codec_state, two_fields, 2, &b);
    pc_buf_add(&b, "", 1);
    assert_string_equal(b.p, "0\r\nAccept: */*\r\nX-Empty: \r\n\r\n");
    b.len = 0;
    pc_http_codec.trailers(codec_state, NULL, 0, &b);
    pc_buf_add(&b, "", 1);
    assert_string_equal(b.p, "0\r\n\r\n");
    free(codec_state);
}

/* fields that the codec writes itself are never written twice (CVE-2022-26377, CVE-2023-25690: splitting) */
static void requests_are_one(void **state)
{
    static const pc_field bad_name[] = { FIELD("A b", "c") }, no_name[] = { FIELD("", "c") };
    static const pc_field bad_value[] = { FIELD("A", "b\r\nContent-Length: 5") };
    pc_message m = { .method = "GET", .target = "/", .host = "h", .fields = own_fields, .nfields = 7, .keep_alive = 1 };

    (void)state;
    check_request(&m, NULL, 1, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n");
    m.nfields = 1;
    m.fields = bad_name;
    check_request(&m, NULL, 1, "a request field's name is not a token");
    m.fields = no_name;
    check_request(&m, NULL, 1, "a request field's name is not a token");
    m.fields = bad_value;
    check_request(&m, NULL, 1, "control character in a request field's value");
    m.nfields = 0;
    m.target = "/ HTTP/1.1";
    check_request(&m, NULL, 1, "the request target is empty or has white space or control characters");
    m.target = "/\r\nA: b";
    check_request(&m, NULL, 1, "the request target is empty or has white space or control characters");
    m.target = "";
    check_request(&m, NULL, 1, "the request target is empty or has white space or control characters");
    m.target = "/";
    m.host = "h\r\nA: b";
    check_request(&m, NULL, 1, "the value of Host has white space or control characters");
    m.host = "h";
    m.method = "GE T";
    check_request(&m, NULL, 1, "the method is not a token");
    m.method = "";
    check_request(&m, NULL, 1, "the method is not a token");
}

/* a body that is longer or shorter than it was said to be */
static void bodies(void **state)
{
    pc_message m = { .method = "PUT", .target = "/", .host = "h", .content_length = 5, .body = 1, .keep_alive = 1 };
    static const char answer[] = "HTTP/1.1 204 No\r\n\r\n";
    void *codec_state = calloc(1, pc_http_codec.state_size);
    char last[PC_FRAME_MAX];
    pc_frame f;
    pc_event ev;

    (void)state;
    pc_http_codec.start(codec_state, tr_pool(), &m);
    assert_int_equal(pc_http_codec.frame(codec_state, 4, &f), 4);
    assert_int_equal(pc_http_codec.frame(codec_state, 4, &f), 1);
    assert_int_equal(f.prefix_len + f.suffix_len, 0);
    assert_int_equal(pc_http_codec.frame(codec_state, 3, &f), 0);
    assert_int_equal(pc_http_codec.abort(codec_state, last), 0);
    memset(codec_state, 0, pc_http_codec.state_size);
    pc_http_codec.start(codec_state, tr_pool(), &m);
    assert_int_equal(pc_http_codec.frame(codec_state, 4, &f), 4);
    assert_int_equal(pc_http_codec.finish(codec_state, last), 0);
    pc_http_codec.decode(codec_state, answer, sizeof(answer) - 1, &ev);
    assert_int_equal(ev.type, PC_EV_HEAD);
    pc_http_codec.decode(codec_state, answer, 0, &ev);
    assert_int_equal(ev.type, PC_EV_END);
    assert_false(ev.reusable); /* the backend still waits for a byte of this request */
    free(codec_state);
}

static void codec(void **state)
{
    (void)state;
    assert_int_equal(pc_http_codec.size, sizeof(pc_codec));
    assert_int_equal(pc_http_codec.default_port, 80);
    assert_int_equal(pc_http_codec.flags, PC_CODEC_CHUNKS | PC_CODEC_KEEP | PC_CODEC_EXPECT | PC_CODEC_UPGRADE);
    assert_true(pc_http_codec.state_size < 512); /* what a waiting request costs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),          cmocka_unit_test(reuse),
        cmocka_unit_test(hop_by_hop),       cmocka_unit_test(interim),
        cmocka_unit_test(refused),          cmocka_unit_test(requests),
        cmocka_unit_test(request_trailers), cmocka_unit_test(requests_are_one),
        cmocka_unit_test(bodies),           cmocka_unit_test(codec),
    };

    return cmocka_run_group_tests_name("http codec", tests, NULL, NULL);
}
