/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/chunked.c mod_proxy_core/head.c */
/* F11: chunked transfer coding. Each case is decoded whole, cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transcript.h"

#define IN(literal) literal, sizeof(literal) - 1

typedef struct chunked_case {
    const char *bytes;
    size_t len;
    const char *want;
} chunked_case;

static void check_cut(const chunked_case *c, cutting cut)
{
    transcript t;

    tr_chunked(&t, c->bytes, c->len, cut);
    if (!tr_is(&t, c->want, c->bytes, cut)) {
        fail();
    }
    tr_free(&t);
}

static void check(const chunked_case *c, size_t n)
{
    for (; n; c++, n--) {
        EACH_CUT(cut, c->len) check_cut(c, cut);
    }
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

static void good(void **state)
{
    static const chunked_case cases[] = {
        { IN("0\r\n\r\n"), "END" },
        { IN("0\r\n\r\nHTTP"), "END left=4" },
        { IN("5\r\nhello\r\n0\r\n\r\n"), "DATA hello\nEND" },
        { IN("5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n000\r\n\r\n"), "DATA hello 0123456789\nEND" },
        { IN("0000000000000005\r\nhello\r\n0\r\n\r\n"), "DATA hello\nEND" },
        { IN("b\r\n0\r\n\r\n5\r\nhel\r\n0\r\n\r\n"), "DATA 0\r\n\r\n5\r\nhel\nEND" },
        { IN("5;a=b;c\r\nhello\r\n0;last\r\n\r\n"), "DATA hello\nEND" },
        { IN("5 \t;a=\"b c\"\r\nhello\r\n0\r\n\r\n"), "DATA hello\nEND" },
        { IN("0\r\nA: b\r\nC: d\r\n\r\nx"), "TRAILER {A: b|C: d}\nEND left=1" },
        { IN("5\r\nhey"), "DATA hey\nMORE" },
        { IN("5\r\nhello\r\n0\r\n"), "DATA hello\nMORE" },
        { IN("5\r\nhello\r\n0\r\nA: b\r\n\r"), "DATA hello\nMORE" },
        { IN("7fffffffffffffff\r\nabc"), "DATA abc\nMORE" },
    };

    (void)state;
    CHECK(cases);
}

/* CVE-2015-3183, CVE-2022-22720, CVE-2022-36760: whatever two parsers could read in two ways */
static void bad(void **state)
{
    static const chunked_case cases[] = {
        { IN("\r\nhello\r\n"), "BAD chunk without a size" },
        { IN(";a\r\nhello\r\n"), "BAD chunk without a size" },
        { IN(" 5\r\nhello\r\n"), "BAD chunk without a size" },
        { IN("-5\r\nhello\r\n"), "BAD chunk without a size" },
        { IN("+5\r\nhello\r\n"), "BAD chunk without a size" },
        { IN("x\r\nhello\r\n"), "BAD chunk without a size" },
        { IN("0x5\r\nhello\r\n"), "BAD character in a chunk size that is not a hexadecimal digit" },
        { IN("5g\r\nhello\r\n"), "BAD character in a chunk size that is not a hexadecimal digit" },
        { IN("5\nhello\r\n"), "BAD character in a chunk size that is not a hexadecimal digit" },
        { IN("5\0\r\nhello\r\n"), "BAD character in a chunk size that is not a hexadecimal digit" },
        { IN("5 \r\nhello\r\n"), "BAD white space behind a chunk size" },
        { IN("5 5\r\nhello\r\n"), "BAD white space behind a chunk size" },
        { IN("8000000000000000\r\n"), "BAD chunk size is larger than 63 bits or longer than 16 digits" },
        { IN("ffffffffffffffff\r\n"), "BAD chunk size is larger than 63 bits or longer than 16 digits" },
        { IN("10000000000000000\r\n"), "BAD chunk size is larger than 63 bits or longer than 16 digits" },
        { IN("00000000000000005\r\n"), "BAD chunk size is larger than 63 bits or longer than 16 digits" },
        { IN("5\rhello\r\n"), "BAD CR without LF in a chunk's line" },
        { IN("5\r\r\nhello\r\n"), "BAD CR without LF in a chunk's line" },
        { IN("5;a\nb\r\nhello\r\n"), "BAD control character in a chunk extension" },
        { IN("5;a\0b\r\nhello\r\n"), "BAD control character in a chunk extension" },
        { IN("5;a\rb\r\nhello\r\n"), "BAD CR without LF in a chunk's line" },
        { IN("5\r\nhello!\r\n"), "DATA hello\nBAD chunk data is not followed by CRLF" },
        { IN("5\r\nhello\n0\r\n\r\n"), "DATA hello\nBAD chunk data is not followed by CRLF" },
        { IN("5\r\nhello\r0\r\n\r\n"), "DATA hello\nBAD chunk data is not followed by CRLF" },
        { IN("5\r\nhello0\r\n\r\n"), "DATA hello\nBAD chunk data is not followed by CRLF" },
        { IN("5\r\nhello\r\n\r\n0\r\n\r\n"), "DATA hello\nBAD chunk without a size" },
        { IN("0\r\n\rx"), "BAD last chunk is not followed by CRLF" },
        { IN("0\r\n\n"), "BAD LF without CR in the response head" },
        { IN("0\r\nA: b\n\r\n"), "BAD LF without CR in the response head" },
        { IN("0\r\nA: b\r\n c\r\n\r\n"), "BAD field line begins with white space (obsolete line folding)" },
        { IN("0\r\nA : b\r\n\r\n"), "BAD white space between a field's name and the colon" },
    };

    (void)state;
    CHECK(cases);
}

static void bounds(void **state)
{
    transcript in, t;
    int i;

    (void)state;
    memset(&in, 0, sizeof(in));
    tr_addf(&in, "5;");
    for (i = 0; i < 1024; i++) {
        tr_addf(&in, "x");
    }
    tr_addf(&in, "\r\nhello\r\n");
    tr_chunked(&t, in.p, in.len, CUT_WHOLE);
    assert_string_equal(t.p, "DATA hello\nMORE");
    tr_free(&t);
    in.p[in.len - 9] = 'x';
    tr_chunked(&t, in.p, in.len, CUT_BYTES);
    assert_string_equal(t.p, "BAD chunk extension is larger than the bound");
    tr_free(&t);
    in.len = 0;
    tr_addf(&in, "0\r\n");
    for (i = 0; i < 65; i++) {
        tr_addf(&in, "A: b\r\n");
    }
    tr_chunked(&t, in.p, in.len, CUT_WHOLE);
    assert_string_equal(t.p, "BAD the response head has more fields than the bound");
    tr_free(&t);
    in.len = 0;
    tr_addf(&in, "0\r\nA: ");
    for (i = 0; i < 16384; i++) {
        tr_addf(&in, "x");
    }
    tr_chunked(&t, in.p, in.len, CUT_BYTES);
    assert_string_equal(t.p, "BAD the response head is larger than the bound");
    tr_free(&t);
    tr_free(&in);
}

static void encodes(void **state)
{
    static const struct {
        apr_uint64_t n;
        const char *want;
    } cases[] = {
        { 1, "1\r\n" },
        { 15, "f\r\n" },
        { 16, "10\r\n" },
        { 255, "ff\r\n" },
        { 4096, "1000\r\n" },
        { 65535, "ffff\r\n" },
        { 0xabcdef, "abcdef\r\n" },
        { APR_UINT64_C(0x7fffffffffffffff), "7fffffffffffffff\r\n" },
    };
    char out[PC_CHUNKED_PREFIX_MAX + 1];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_size_t n = pc_chunked_prefix(out, cases[i].n);

        assert_true(n <= PC_CHUNKED_PREFIX_MAX);
        out[n] = '\0';
        assert_string_equal(out, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(bounds),
        cmocka_unit_test(encodes),
    };

    return cmocka_run_group_tests_name("chunked", tests, NULL, NULL);
}
