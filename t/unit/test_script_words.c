/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/script_words.c mod_proxy_core/buf.c */
/* RFC 3875, 4.4: arguments of a CGI script from an indexed query. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "apr_general.h"
#include "script_words.h"

static apr_pool_t *pool;

/* The words that come out, joined by '|'. */
static void words(const char *query, unsigned int n, const char *want)
{
    pc_buf b = { NULL, 0, 0, pool };

    pc_buf_add(&b, "x", 1);
    assert_int_equal(pc_script_words(query, &b), n);
    for (apr_size_t i = 1; i + 1 < b.len; i++) {
        b.p[i] = b.p[i] ? b.p[i] : '|';
    }
    if (!n) {
        assert_int_equal(b.len, 1);
        return;
    }
    assert_int_equal(b.p[b.len - 1], '\0');
    assert_string_equal(b.p + 1, want);
}

static void which_are_words(void **state)
{
    (void)state;
    words("one", 1, "one");
    words("one+two", 2, "one|two");
    words("one++two", 3, "one||two");
    words("a%20b+%41%2B", 2, "a b|A+");
    words("%3d", 1, "="); /* only one that is not encoded makes it a query of pairs */
    words("a;b&c", 1, "a;b&c");
    words("caf%C3%A9", 1, "caf\xc3\xa9");
}

static void which_are_not(void **state)
{
    char many[200];

    (void)state;
    words(NULL, 0, NULL);
    words("", 0, NULL);
    words("a=b", 0, NULL);
    words("a+b=", 0, NULL);
    words("-s", 0, NULL); /* CVE-2012-1823 */
    words("a+-s", 0, NULL);
    words("%2Ds", 0, NULL);
    words("%", 0, NULL);
    words("%4", 0, NULL);
    words("a%4g", 0, NULL);
    words("a%00b", 0, NULL);
    words("a%0ab", 0, NULL);
    memset(many, '+', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    words(many, 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(which_are_words), cmocka_unit_test(which_are_not) };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
