/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/head.c */
/* F1 F23: the one parser for response heads. Each case is parsed whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transcript.h"

#define IN(literal) literal, sizeof(literal) - 1

typedef struct head_case {
    const char *bytes;
    size_t len;
    const char *want;
} head_case;

static void check_cut(const head_case *c, pc_head_dialect dialect, const pc_head_limits *limits, cutting cut)
{
    transcript t;

    tr_parse_head(&t, dialect, limits, c->bytes, c->len, cut);
    if (!tr_is(&t, c->want, c->bytes, cut)) {
        fail();
    }
    tr_free(&t);
}

static void check(const head_case *c, size_t n, pc_head_dialect dialect, const pc_head_limits *limits)
{
    for (; n; c++, n--) {
        EACH_CUT(cut, c->len) check_cut(c, dialect, limits, cut);
    }
}

#define CHECK(cases, dialect, limits) check(cases, sizeof(cases) / sizeof(cases[0]), dialect, limits)

/* what every dialect that wants CRLF makes of a field line, behind PREFIX */
#define STRICT_FIELDS(PREFIX) \
    { IN(PREFIX "A: b\0c\r\n\r\n"), "BAD NUL in the response head" }, \
        { IN(PREFIX "A\0: b\r\n\r\n"), "BAD NUL in the response head" }, \
        { IN(PREFIX "A: b\rc\r\n\r\n"), "BAD CR without LF in the response head" }, \
        { IN(PREFIX "A: b\r\r\n\r\n"), "BAD CR without LF in the response head" }, \
        { IN(PREFIX "\rA: b\r\n\r\n"), "BAD CR without LF in the response head" }, \
        { IN(PREFIX "A: b\x01\r\n\r\n"), "BAD control character in a field's value" }, \
        { IN(PREFIX "A: 12345678\x7f" \
                    "9\r\n\r\n"), \
          "BAD control character in a field's value" }, \
        { IN(PREFIX "A: 1234567\x1f" \
                    "8\r\n\r\n"), \
          "BAD control character in a field's value" }, \
        { IN(PREFIX "A: b\r\n c\r\n\r\n"), "BAD field line begins with white space (obsolete line folding)" }, \
        { IN(PREFIX "A: b\r\n\tc\r\n\r\n"), "BAD field line begins with white space (obsolete line folding)" }, \
        { IN(PREFIX "A : b\r\n\r\n"), "BAD white space between a field's name and the colon" }, \
        { IN(PREFIX "A\t: b\r\n\r\n"), "BAD white space between a field's name and the colon" }, \
        { IN(PREFIX ": b\r\n\r\n"), "BAD field without a name" }, \
        { IN(PREFIX "A(b): c\r\n\r\n"), "BAD character in a field's name that is not allowed in a token" }, \
        { IN(PREFIX "A b: c\r\n\r\n"), "BAD character in a field's name that is not allowed in a token" }, \
        { IN(PREFIX "A\xe4: c\r\n\r\n"), "BAD character in a field's name that is not allowed in a token" }, \
        { IN(PREFIX "Abc\r\n\r\n"), "BAD field line without a colon" }, \
        { IN(PREFIX "Fatal error in line 5\r\n\r\n"), "BAD field line without a colon" }, \
        { IN(PREFIX "A: b\r\n"), "EOF closed inside the response head" }, \
        { IN(PREFIX "A: b\r\n\r"), "EOF closed inside the response head" }, \
    { \
        IN(PREFIX "A: b"), "EOF closed inside the response head" \
    }

#define LENGTHS(PREFIX, STATUS) \
    { IN(PREFIX "Content-Length: 5\r\n\r\n"), "DONE " STATUS " length=5 {Content-Length: 5}" }, \
        { IN(PREFIX "content-length:0\r\n\r\n"), "DONE " STATUS " length=0 {content-length: 0}" }, \
        { IN(PREFIX "Content-Length: 5, 5,5\r\n\r\n"), "DONE " STATUS " length=5 {Content-Length: 5}" }, \
        { IN(PREFIX "Content-Length: 5\t ,\t5\r\n\r\n"), "DONE " STATUS " length=5 {Content-Length: 5}" }, \
        { IN(PREFIX "Content-Length: 5\r\nA: b\r\nContent-Length: 05\r\n\r\n"), \
          "DONE " STATUS " length=5 {Content-Length: 5|A: b}" }, \
        { IN(PREFIX "Content-Length: 9223372036854775807\r\n\r\n"), \
          "DONE " STATUS " length=9223372036854775807 {Content-Length: 9223372036854775807}" }, \
        { IN(PREFIX "Content-Length: 9223372036854775808\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 18446744073709551621\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: -1\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: +5\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 0x5\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 5 5\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 5;\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length:\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 5,\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: ,5\r\n\r\n"), "BAD invalid Content-Length" }, \
        { IN(PREFIX "Content-Length: 5, 6\r\n\r\n"), "BAD differing Content-Length values" }, \
        { IN(PREFIX "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), "BAD differing Content-Length values" }, \
    { \
        IN(PREFIX "Content-Length: 5\r\nContent-Length: x\r\n\r\n"), "BAD invalid Content-Length" \
    }

static void http_heads(void **state)
{
    static const head_case cases[] = {
        { IN("HTTP/1.1 200 OK\r\n\r\n"), "DONE 200 OK {}" },
        { IN("HTTP/1.1 200 OK\r\nA: b\r\nc:d\r\n\r\nbody"), "DONE 200 OK {A: b|c: d} left=4" },
        { IN("HTTP/1.1 200 OK\r\nA: \t b c\td \t \r\nE:\r\nF: \t\r\n\r\n"), "DONE 200 OK {A: b c\td|E: |F: }" },
        { IN("HTTP/1.1 200 OK\r\nA: \xc3\xa4\xff\r\n\r\n"), "DONE 200 OK {A: \xc3\xa4\xff}" },
        { IN("HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n"), "DONE 200 OK {!#$%&'*+-.^_`|~09azAZ: x}" },
        { IN("HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\n\r\n"), "DONE 200 OK {A: b|A: c}" },
        { IN("HTTP/1.1 200 OK\r\nStatus: 404\r\n\r\n"), "DONE 200 OK {Status: 404}" },
        { IN("HTTP/1.0 404 Not  Found here\r\n\r\n"), "DONE 404 Not  Found here {}" },
        { IN("HTTP/1.1 599 \r\n\r\n"), "DONE 599 {}" },
        { IN("HTTP/1.9 100\r\n\r\n"), "DONE 100 {}" },
        { IN("HTTP/1.1 200 \xc3\xa4\r\n\r\n"), "DONE 200 \xc3\xa4 {}" },
        { IN(""), "EOF closed before the response head" },
        { IN("H"), "EOF closed inside the response head" },
        { IN("HTTP/1.1 200 OK\r\n"), "EOF closed inside the response head" },
        { IN("<html>"), "BAD no HTTP status line (HTTP/0.9 is not supported)" },
        { IN("\r\nHTTP/1.1 200 OK\r\n\r\n"), "BAD no HTTP status line (HTTP/0.9 is not supported)" },
        { IN("HT\n"), "BAD no HTTP status line (HTTP/0.9 is not supported)" },
        { IN("http/1.1 200 OK\r\n\r\n"), "BAD no HTTP status line (HTTP/0.9 is not supported)" },
        { IN("ICY 200 OK\r\n\r\n"), "BAD no HTTP status line (HTTP/0.9 is not supported)" },
        { IN("HTTP/2.0 200 OK\r\n\r\n"), "BAD HTTP version in the status line is not 1.x" },
        { IN("HTTP/0.9 200 OK\r\n\r\n"), "BAD HTTP version in the status line is not 1.x" },
        { IN("HTTP/1 200 OK\r\n\r\n"), "BAD HTTP version in the status line is not 1.x" },
        { IN("HTTP/1.x 200 OK\r\n\r\n"), "BAD HTTP version in the status line is not 1.x" },
        { IN("HTTP/\r\n\r\n"), "BAD HTTP version in the status line is not 1.x" },
        { IN("HTTP/1.1\r\n\r\n"), "BAD malformed status line" },
        { IN("HTTP/1.1\t200 OK\r\n\r\n"), "BAD malformed status line" },
        { IN("HTTP/1.10 200 OK\r\n\r\n"), "BAD malformed status line" },
        { IN("HTTP/1.1  200 OK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 \r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 20 OK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 2000 OK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 200OK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 200\tOK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 -20 OK\r\n\r\n"), "BAD status is not three digits" },
        { IN("HTTP/1.1 099 OK\r\n\r\n"), "BAD status outside 100..599" },
        { IN("HTTP/1.1 600 OK\r\n\r\n"), "BAD status outside 100..599" },
        { IN("HTTP/1.1 200 OK\n\r\n"), "BAD LF without CR in the response head" },
        { IN("HTTP/1.1 200 OK\r\nA: b\n\r\n"), "BAD LF without CR in the response head" },
        { IN("HTTP/1.1 200 OK\r\nA: b\r\n\n"), "BAD LF without CR in the response head" },
        /* CVE-2026-33523: the reason phrase must not carry a line of its own */
        { IN("HTTP/1.1 200 OK\rSet-Cookie: a=b\r\n\r\n"), "BAD CR without LF in the response head" },
        { IN("HTTP/1.1 200 O\0K\r\n\r\n"), "BAD NUL in the response head" },
        { IN("HTTP/1.1 103 Early\x0b\r\n\r\n"), "BAD control character in the reason phrase" },
        STRICT_FIELDS("HTTP/1.1 200 OK\r\n"),
        LENGTHS("HTTP/1.1 200 OK\r\n", "200 OK"),
    };

    (void)state;
    CHECK(cases, PC_HEAD_HTTP, NULL);
}

static void cgi_heads(void **state)
{
    static const head_case cases[] = {
        { IN("\n"), "DONE 200 {}" },
        { IN("\r\n"), "DONE 200 {}" },
        { IN("Content-Type: text/plain\n\nbody"), "DONE 200 {Content-Type: text/plain} left=4" },
        { IN("A: b\r\nC: d\n\r\n\n"), "DONE 200 {A: b|C: d} left=1" },
        { IN("Status: 404 Not Found\nA: b\n\n"), "DONE 404 Not Found {A: b}" },
        { IN("A: b\nstatus:\t503\t\n\n"), "DONE 503 {A: b}" },
        { IN("Status: 200\n\n"), "DONE 200 {}" },
        { IN("Location: /local\n\n"), "DONE 200 {Location: /local}" },
        { IN("Status: 099\n\n"), "BAD status outside 100..599" },
        { IN("Status: 600 No\n\n"), "BAD status outside 100..599" },
        { IN("Status: 20\n\n"), "BAD status is not three digits" },
        { IN("Status: 2000\n\n"), "BAD status is not three digits" },
        { IN("Status: OK\n\n"), "BAD status is not three digits" },
        { IN("Status:\n\n"), "BAD status is not three digits" },
        { IN("Status: 200,OK\n\n"), "BAD status is not three digits" },
        { IN("Status: 200\nStatus: 200\n\n"), "BAD more than one Status field" },
        { IN("HTTP/1.1 200 OK\r\n\r\n"), "BAD HTTP status line in a CGI head (a Status field is wanted)" },
        { IN(" A: b\n\n"), "BAD field line begins with white space (obsolete line folding)" },
        { IN(""), "EOF closed before the response head" },
        { IN("A: b\n"), "EOF closed inside the response head" },
        /* CVE-2023-38709, CVE-2024-42516: Content-Type with a line end of its own */
        { IN("Content-Type: text/html\rSet-Cookie: a=b\n\n"), "BAD CR without LF in the response head" },
        { IN("Content-Type: text/html\x0b\n\n"), "BAD control character in a field's value" },
        /* CVE-2023-27522: a value that would end the line for the client */
        { IN("X: a\r\rSet-Cookie: b\n\n"), "BAD CR without LF in the response head" },
        /* CVE-2026-33523: the text behind Status becomes the status line */
        { IN("Status: 200 OK\rA: b\n\n"), "BAD CR without LF in the response head" },
        { IN("Status: 200 O\x08K\n\n"), "BAD control character in a field's value" },
        /* CVE-2022-37436: a bad line is an error, not the end of the head */
        { IN("A: b\nbad line\nSet-Cookie: secure\n\n"), "BAD field line without a colon" },
        STRICT_FIELDS(""),
        LENGTHS("", "200"),
    };

    (void)state;
    CHECK(cases, PC_HEAD_CGI, NULL);
}

static void trailers(void **state)
{
    static const head_case cases[] = {
        { IN("\r\n"), "DONE {}" },
        { IN("A: b\r\nContent-Length: x\r\nStatus: 7\r\n\r\n"), "DONE {A: b|Content-Length: x|Status: 7}" },
        { IN("A: b\n\r\n"), "BAD LF without CR in the response head" },
        STRICT_FIELDS(""),
    };

    (void)state;
    CHECK(cases, PC_HEAD_TRAILER, NULL);
}

/* bounds hold to the byte and to the field (CVE-2014-3583: heads of more than one buffer) */
static void bounds(void **state)
{
    static const pc_head_limits small = { 31, 2 };
    static const head_case cases[] = {
        { IN("A: 01234567890123456789\r\nB: c\n\n"), "DONE 200 {A: 01234567890123456789|B: c}" },
        { IN("A: 01234567890123456789\r\nB: cd\n\n"), "BAD the response head is larger than the bound" },
        { IN("A: 0123456789012345678901234567"), "EOF closed inside the response head" },
        { IN("A: 01234567890123456789012345678"), "BAD the response head is larger than the bound" },
        { IN("A: 012345678901234567890123456789\x01\n"), "BAD the response head is larger than the bound" },
        { IN("A: b\nC: d\n\n"), "DONE 200 {A: b|C: d}" },
        { IN("A: b\nC: d\nE: f\n\n"), "BAD the response head has more fields than the bound" },
        { IN("A: b\nStatus: 200\nE: f\n\n"), "DONE 200 {A: b|E: f}" },
    };

    (void)state;
    CHECK(cases, PC_HEAD_CGI, &small);
}

/* a large head, in pieces of many sizes: fields found early must survive the growth of what holds them */
static void large(void **state)
{
    static const size_t steps[] = { 1, 2, 3, 7, 100, 255, 256, 257, 1000, 1023, 1024, 1025, 4096, 16384, 60000 };
    transcript in, whole, t;
    size_t i;

    (void)state;
    memset(&in, 0, sizeof(in));
    tr_addf(&in, "HTTP/1.1 200 OK\r\n");
    for (i = 0; i < 199; i++) {
        size_t n;

        tr_addf(&in, "Name-%lu: ", (unsigned long)i);
        for (n = i * i % 400 + (i == 150 ? 20000 : 0); n; n--) {
            tr_addf(&in, "%c", (char)('a' + (n + i) % 26));
        }
        tr_addf(&in, "\r\n");
    }
    tr_addf(&in, "\r\n");
    assert_in_range(in.len, 50000, 65536);
    tr_parse_head(&whole, PC_HEAD_HTTP, NULL, in.p, in.len, CUT_WHOLE);
    assert_memory_equal(whole.p, "DONE 200 OK {Name-0: |Name-1: c|", 32);
    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cutting cut = { 0, steps[i] };

        tr_parse_head(&t, PC_HEAD_HTTP, NULL, in.p, in.len, cut);
        assert_true(tr_same(&t, &whole));
        tr_free(&t);
    }
    tr_free(&whole);
    tr_free(&in);
}

/* a request that waits for its answer owns no memory; a head of common size takes little */
static void memory(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
    pc_head_parser h;
    pc_head_result r;

    (void)state;
    assert_true(sizeof(pc_head_parser) <= 160);
    exact_begin();
    pc_head_init(&h, tr_pool(), PC_HEAD_HTTP, NULL);
    pc_head_feed(&h, head, 0, &r);
    assert_int_equal(exact_bytes, 0);
    pc_head_feed(&h, head, 1, &r);
    assert_true(exact_bytes <= 256);
    pc_head_feed(&h, head + 1, sizeof(head) - 2, &r);
    assert_int_equal(r, PC_HEAD_DONE);
    assert_true(exact_bytes <= 256 + 16 * sizeof(pc_field));
    exact_end();
}

/* another head with the memory of the last one */
static void again(void **state)
{
    static const char heads[] =
        "HTTP/1.1 103 Early\r\nLink: a\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nB: c\r\n\r\n";
    pc_head_parser h;
    pc_head_result r;
    apr_size_t used, before;

    (void)state;
    exact_begin();
    pc_head_init(&h, tr_pool(), PC_HEAD_HTTP, NULL);
    used = pc_head_feed(&h, heads, sizeof(heads) - 1, &r);
    assert_int_equal(r, PC_HEAD_DONE);
    assert_int_equal(h.head.status, 103);
    before = exact_bytes;
    pc_head_again(&h);
    assert_string_equal(pc_head_eof(&h), "closed before the response head");
    used += pc_head_feed(&h, heads + used, sizeof(heads) - 1 - used, &r);
    assert_int_equal(r, PC_HEAD_DONE);
    assert_int_equal(used, sizeof(heads) - 1);
    assert_int_equal(h.head.status, 200);
    assert_int_equal(h.head.content_length, -1);
    assert_int_equal(h.head.nfields, 1);
    assert_string_equal(h.head.fields[0].name, "B");
    assert_int_equal(exact_bytes, before);
    exact_end();
}

/* every byte value, everywhere in a block of eight and around it */
static void value_bytes(void **state)
{
    int c;
    size_t at, n;

    (void)state;
    for (c = 0; c < 256; c++) {
        for (n = 1; n <= 17; n++) {
            for (at = 0; at < n; at++) {
                char v[17];
                int clean = c == '\t' || (c >= 0x20 && c != 0x7f);

                memset(v, 'a', sizeof(v));
                v[at] = (char)c;
                assert_int_equal(!!pc_value_clean(v, n), clean);
                memset(v, 0xff, sizeof(v));
                v[at] = (char)c;
                assert_int_equal(!!pc_value_clean(v, n), clean);
            }
        }
    }
}

static void token_bytes(void **state)
{
    int c;

    (void)state;
    for (c = 0; c < 256; c++) {
        char p = (char)c;
        int token = c
                    && (strchr("!#$%&'*+-.^_`|~", c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
                        || (c >= 'A' && c <= 'Z'));

        assert_int_equal(pc_token_span(&p, 1), token);
    }
    assert_int_equal(pc_token_span("abc def", 7), 3);
    assert_int_equal(pc_token_span("abc", 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_heads), cmocka_unit_test(cgi_heads),   cmocka_unit_test(trailers),
        cmocka_unit_test(bounds),     cmocka_unit_test(large),       cmocka_unit_test(memory),
        cmocka_unit_test(again),      cmocka_unit_test(value_bytes), cmocka_unit_test(token_bytes),
    };

    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
