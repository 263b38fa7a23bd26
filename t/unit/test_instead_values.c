/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/instead_values.c mod_proxy_core/field_rules.c */

/* X-Sendfile, X-Sendfile2 and their kin: what their values say. G22 G23 */

#include "field_rules.h"
#include "instead_values.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static apr_pool_t *pool;

/** "path first-last|path first-last" of a value, or "!" when it is no good. */
static const char *parts_of(const char *value)
{
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(pc_part));
    const char *text = "";

    if (pc_sendfile2_parse(pool, value, parts)) {
        return "!";
    }
    for (int i = 0; i < parts->nelts; ++i) {
        const pc_part *p = &APR_ARRAY_IDX(parts, i, pc_part);

        text = apr_psprintf(pool, "%s%s%s %ld-%ld", text, i ? "|" : "", p->path, (long)p->first, (long)p->last);
    }
    return text;
}

static void sendfile2(void **state)
{
    static const char *const rows[][2] = {
        { "/a 0-499", "/a 0-499" },
        { "/a 5-", "/a 5--1" },
        { " \t/a\t 0-0 ", "/a 0-0" },
        { "/a 0-1, /b 2-3", "/a 0-1|/b 2-3" },
        { "/a 0-1,/b 2- ,  /c 4-5", "/a 0-1|/b 2--1|/c 4-5" },
        { "/a%2cb%20%25 0-", "/a,b % 0--1" },
        { "/%C3%A4 0-", "/\xc3\xa4 0--1" },
        { "/a 0-999999999999999999", "/a 0-999999999999999999" },
        { "/a 0-9999999999999999999", "!" },
        { "/a 1-0", "!" },
        { "/a -1", "!" },
        { "/a", "!" },
        { "/a 0", "!" },
        { "/a 0-1 /b 0-1", "!" },
        { "/a 0-1,", "!" },
        { ",/a 0-1", "!" },
        { "/a 0-1,,/b 0-1", "!" },
        { "/a%00 0-", "!" },
        { "/a%0a 0-", "!" },
        { "/a% 0-", "!" },
        { "/a%zz 0-", "!" },
        { "%2fa 0-", "/a 0--1" },
        { "a 0-", "!" },
        { "/a +1-2", "!" },
        { "/a 0x1-2", "!" },
        { "", "!" },
        { "  ", "!" },
    };

    (void)state;
    for (apr_size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        assert_string_equal(parts_of(rows[i][0]), rows[i][1]);
    }
}

static void number_of_parts(void **state)
{
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(pc_part));

    (void)state;
    for (int i = 0; i < PC_PARTS_MAX; ++i) {
        assert_null(pc_sendfile2_parse(pool, "/a 0-", parts));
    }
    assert_non_null(pc_sendfile2_parse(pool, "/a 0-", parts));
    assert_int_equal(parts->nelts, PC_PARTS_MAX);
}

static void clips(void **state)
{
    static const struct {
        apr_off_t first, last, size, len;
        int good;
    } rows[] = {
        { 0, -1, 100, 100, 1 }, { 0, 99, 100, 100, 1 }, { 0, 100, 100, 100, 1 }, { 10, 10, 100, 1, 1 },
        { 99, -1, 100, 1, 1 },  { 100, -1, 100, 0, 1 }, { 0, -1, 0, 0, 1 },      { 0, 5, 0, 0, 1 },
    };
    pc_part behind = { "/a", 101, -1 };
    apr_off_t len;

    (void)state;
    for (apr_size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        pc_part part = { "/a", rows[i].first, rows[i].last };

        assert_int_equal(pc_part_clip(&part, rows[i].size, &len), rows[i].good);
        assert_int_equal(len, rows[i].len);
    }
    assert_false(pc_part_clip(&behind, 100, &len));
}

static int is_path(const char *value, int unescape, const char *want)
{
    apr_array_header_t *parts = apr_array_make(pool, 1, sizeof(pc_part));

    return !pc_sendfile_parse(pool, value, unescape, parts) && !strcmp(APR_ARRAY_IDX(parts, 0, pc_part).path, want);
}

static void paths(void **state)
{
    char *long_path = apr_palloc(pool, PC_INSTEAD_MAX + 2);

    (void)state;
    memset(long_path, 'a', PC_INSTEAD_MAX + 1);
    long_path[0] = '/';
    long_path[PC_INSTEAD_MAX + 1] = '\0';
    assert_true(is_path("/a b%20", 0, "/a b%20"));
    assert_true(is_path("/a b%20+", 1, "/a b +"));
    assert_false(is_path("a", 0, "a"));
    assert_false(is_path("", 0, ""));
    assert_false(is_path("/a\tb", 0, "/a\tb"));
    assert_false(is_path("/a%00b", 1, "/a"));
    assert_false(is_path(long_path, 0, long_path));
    long_path[PC_INSTEAD_MAX] = '\0';
    assert_true(is_path(long_path, 0, long_path));
}

static void uris_and_hosts(void **state)
{
    (void)state;
    assert_null(pc_site_uri_check("/a%20b?c=d"));
    assert_null(pc_site_uri_check("/a b"));
    assert_non_null(pc_site_uri_check("http://a/"));
    assert_non_null(pc_site_uri_check(""));
    assert_non_null(pc_site_uri_check("/a#b"));
    assert_non_null(pc_site_uri_check("/a\x7f"));
    assert_null(pc_host_check("a.example:80"));
    assert_null(pc_host_check("[::1]:80"));
    assert_non_null(pc_host_check(""));
    assert_non_null(pc_host_check("a b"));
    assert_non_null(pc_host_check("a/b"));
    assert_non_null(pc_host_check("a,b"));
    assert_non_null(pc_host_check("u@b"));
}

static void names(void **state)
{
    static const char *const all[] = { "x-sendfile",    "X-Lighttpd-Send-File", "X-SENDFILE2",      "x-accel-redirect",
                                       "X-Rewrite-URI", "X-Rewrite-Host",       "X-Rewrite-Backend" };

    (void)state;
    for (int i = 0; i < PC_FIELD_OTHER; ++i) {
        assert_int_equal(pc_instead_field_of(all[i], strlen(all[i])), i);
        assert_int_equal(pc_instead_field_of(all[i], strlen(all[i]) - 1), PC_FIELD_OTHER);
    }
    assert_true(pc_field_is_sendfile_offer("x-sendfile-type", 15));
    assert_true(pc_field_is_sendfile_offer("X_Accel-MAPPING", 15));
    assert_false(pc_field_is_sendfile_offer("X-Sendfile-Typo", 15));
    assert_false(pc_field_is_sendfile_offer("X-Sendfile-Type", 14));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sendfile2), cmocka_unit_test(number_of_parts), cmocka_unit_test(clips),
        cmocka_unit_test(paths),     cmocka_unit_test(uris_and_hosts),  cmocka_unit_test(names),
    };
    int rc;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    return rc;
}
