/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/target.c mod_proxy_core/reference.c mod_proxy_core/reverse.c mod_proxy_core/cookie.c mod_proxy_core/field_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */

/* What rules and ready-made forms do to texts: targets, URLs in fields, cookies. F15 F16 F18 */

#include "cookie.h"
#include "reference.h"
#include "reverse.h"
#include "target.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static apr_pool_t *pool;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void same(const char *got, const char *want)
{
    if (want) {
        assert_non_null(got);
        assert_string_equal(got, want);
    }
    else {
        assert_null(got);
    }
}

/* ------------------------------------------------------------------ targets */

static void targets(void **state)
{
    static const struct {
        const char *text, *want, *path;
    } rows[] = {
        { "/a/b?c=d", "/a/b?c=d", "/a/b" },
        { "", "/", "/" },
        { "?x=1", "/?x=1", "/" },
        { "/a%3fb", "/a%3fb", "/a?b" },
        { "/a%3Fb?c%3F", "/a%3Fb?c%3F", "/a?b" },
        { "/a b\r\nX: y", "/a%20b%0D%0AX:%20y", "/a b\r\nX: y" },
        { "/a?b c\n", "/a?b%20c%0A", "/a" },
        { "/a#b", "/a%23b", "/a#b" },
        { "/100%", "/100%25", "/100%" },
        { "/%zz?%zz", "/%25zz?%zz", "/%zz" },
        { "/\xc3\xa4\x7f", "/%C3%A4%7F", "/\xc3\xa4\x7f" },
        { "/a/.b/..c/d..", "/a/.b/..c/d..", "/a/.b/..c/d.." },
        { "/a?/../b", "/a?/../b", "/a" },
        { "/a/...", "/a/...", "/a/..." },
        { "a/b", NULL, NULL },
        { "http://h/", NULL, NULL },
        { "@h/", NULL, NULL },
        { "*", NULL, NULL },
        { "/a/../b", NULL, NULL },
        { "/..", NULL, NULL },
        { "/.", NULL, NULL },
        { "/a/%2e%2E/b", NULL, NULL },
        { "/a/.%2e", NULL, NULL },
        { "/a%2f..%2fb", NULL, NULL },
        { "/a/..\\b", NULL, NULL },
        { "/a/..;x/b", NULL, NULL },
        { "/a%00b", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        const char *why = NULL, *got = pc_target_make(pool, rows[i].text, &why);

        same(got, rows[i].want);
        assert_int_equal(why == NULL, got != NULL);
        if (got) {
            same(pc_target_path(pool, got), rows[i].path);
        }
    }
}

static void long_targets(void **state)
{
    char *text = apr_palloc(pool, PC_REWRITE_MAX + 2);
    const char *why = NULL;

    (void)state;
    memset(text, '/', PC_REWRITE_MAX + 1);
    text[PC_REWRITE_MAX] = '\0';
    assert_non_null(pc_target_make(pool, text, &why));
    text[1] = ' '; /* three bytes when it is encoded */
    assert_null(pc_target_make(pool, text, &why));
    assert_non_null(why);
    text[1] = '/';
    text[PC_REWRITE_MAX] = '/';
    text[PC_REWRITE_MAX + 1] = '\0';
    assert_null(pc_target_make(pool, text, &why));
}

static void paths(void **state)
{
    (void)state;
    assert_null(pc_path_wrong("/a/b.c/..d"));
    assert_null(pc_path_wrong("/"));
    assert_null(pc_path_wrong("/a/./b"));
    assert_non_null(pc_path_wrong(""));
    assert_non_null(pc_path_wrong("a"));
    assert_non_null(pc_path_wrong("/a/.."));
    assert_non_null(pc_path_wrong("/a/../b"));
    assert_non_null(pc_path_wrong("/a\nb"));
}

/* ------------------------------------------------------------------ URLs in fields */

static const char *bracket(void *baton, const char *url)
{
    (void)baton;
    return !strcmp(url, "keep") ? NULL : !strcmp(url, "bad") ? "a>b'c" : apr_pstrcat(pool, "[", url, "]", NULL);
}

static void references(void **state)
{
    static const struct {
        pc_reference_kind kind;
        const char *value, *want;
    } rows[] = {
        { PC_REF_WHOLE, "/a", "[/a]" },
        { PC_REF_WHOLE, "  /a b ", "  [/a b] " },
        { PC_REF_WHOLE, "", "" },
        { PC_REF_WHOLE, " ", " " },
        { PC_REF_WHOLE, "keep", "keep" },
        { PC_REF_REFRESH, "5; url=/x", "5; url=[/x]" },
        { PC_REF_REFRESH, "5;URL=/x ", "5;URL=[/x] " },
        { PC_REF_REFRESH, "0.5 ; url = '/x y' z", "0.5 ; url = '[/x y]' z" },
        { PC_REF_REFRESH, "5; url=\"/x\"", "5; url=\"[/x]\"" },
        { PC_REF_REFRESH, "5; url='/x", "5; url='[/x]" },
        { PC_REF_REFRESH, "5, /x", "5, [/x]" },
        { PC_REF_REFRESH, "5 /x", "5 [/x]" },
        { PC_REF_REFRESH, "5; urls", "5; [urls]" },
        { PC_REF_REFRESH, "5", "5" },
        { PC_REF_REFRESH, "5;", "5;" },
        { PC_REF_REFRESH, "5; url=", "5; url=" },
        { PC_REF_REFRESH, "5; url=''", "5; url=''" },
        { PC_REF_REFRESH, "5/x", "5/x" },
        { PC_REF_REFRESH, "; url=/x", "; url=/x" },
        { PC_REF_REFRESH, "5; url=bad", "5; url=bad" },
        { PC_REF_LINK, "</a>; rel=next", "<[/a]>; rel=next" },
        { PC_REF_LINK, "</a>; rel=\"next\", </b>;title=\"<c>, <d>\" ,</e>",
          "<[/a]>; rel=\"next\", <[/b]>;title=\"<c>, <d>\" ,<[/e]>" },
        { PC_REF_LINK, "</a>; title=\"\\\"<x>\", </b>", "<[/a]>; title=\"\\\"<x>\", <[/b]>" },
        { PC_REF_LINK, "</a>; title=\"open, </b>", "<[/a]>; title=\"open, </b>" },
        { PC_REF_LINK, "</a,b>; x, <keep>, <c>", "<[/a,b]>; x, <keep>, <[c]>" },
        { PC_REF_LINK, "<bad>", "<bad>" },
        { PC_REF_LINK, "</a>; x=<y>", "<[/a]>; x=<y>" },
        { PC_REF_LINK, "</a", "</a" },
        { PC_REF_LINK, "<<a>>", "<<a>>" },
        { PC_REF_LINK, "", "" },
        { PC_REF_IF, "</a> (<urn:x> [\"e\"]) </b> (Not <urn:y>)", "<[/a]> (<urn:x> [\"e\"]) <[/b]> (Not <urn:y>)" },
        { PC_REF_IF, "(<urn:x>)", "(<urn:x>)" },
        { PC_REF_IF, "([\")\"] <urn:x>) </a> (<u>)", "([\")\"] <urn:x>) <[/a]> (<u>)" },
        { PC_REF_NONE, "/a", "/a" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        same(pc_reference_map(pool, rows[i].kind, rows[i].value, bracket, NULL), rows[i].want);
    }
    assert_int_equal(pc_reference_in_response("lOCATION", 8), PC_REF_WHOLE);
    assert_int_equal(pc_reference_in_response("Location2", 9), PC_REF_NONE);
    assert_int_equal(pc_reference_in_request("IF", 2), PC_REF_IF);
    assert_int_equal(pc_reference_in_request("If-Match", 8), PC_REF_NONE);
}

static const char *thousand(void *baton, const char *url)
{
    (void)url;
    return baton;
}

static void growing_references(void **state)
{
    char *much = apr_pcalloc(pool, 1001), *value = apr_pcalloc(pool, 4 * 40 + 1);

    (void)state;
    memset(much, 'x', 1000);
    for (int i = 0; i < 40; ++i) {
        strcat(value, "<a>,");
    }
    assert_null(pc_reference_map(pool, PC_REF_LINK, value, thousand, much));
    value[4 * 30] = '\0';
    assert_non_null(pc_reference_map(pool, PC_REF_LINK, value, thousand, much));
}

/* ------------------------------------------------------------------ PassReverse */

static apr_array_header_t *maps_of(const char *backend, const char *here)
{
    apr_array_header_t *maps = apr_array_make(pool, 1, sizeof(pc_reverse_map));
    pc_reverse_map map = { NULL, NULL, "", NULL };

    if (backend) {
        assert_null(pc_reverse_parse(pool, backend, here, &map));
    }
    APR_ARRAY_PUSH(maps, pc_reverse_map) = map;
    return maps;
}

static pc_reverse_sides sides_of(const char *prefix)
{
    apr_array_header_t *addresses = apr_array_make(pool, 3, sizeof(const char *));
    pc_reverse_sides s = { "http", "www.example.org", addresses, "https://www.example.org", "www.example.org", prefix };

    APR_ARRAY_PUSH(addresses, const char *) = "127.0.0.1:8001";
    APR_ARRAY_PUSH(addresses, const char *) = "[::1]:8002";
    APR_ARRAY_PUSH(addresses, const char *) = "app.internal";
    return s;
}

static void automatic_reverse(void **state)
{
    static const struct {
        const char *prefix, *url, *want;
    } rows[] = {
        { "/app", "/login", "/app/login" },
        { "/app", "/", "/app/" },
        { "/app", "/app/login", "/app/login" },
        { "/app", "/app", "/app" },
        { "/app", "/apple", "/app/apple" },
        { "/app", "http://127.0.0.1:8001/login?a=b#c", "https://www.example.org/app/login?a=b#c" },
        { "/app", "HTTP://127.0.0.1:8001", "https://www.example.org/app/" },
        { "/app", "http://127.0.0.1:8001?a", "https://www.example.org/app/?a" },
        { "/app", "http://127.0.0.1:8001/app/x", "https://www.example.org/app/app/x" },
        { "/app", "http://[::1]:8002/x", "https://www.example.org/app/x" },
        { "/app", "http://App.Internal:80/x", "https://www.example.org/app/x" },
        { "/app", "http://app.internal:/x", "https://www.example.org/app/x" },
        { "/app", "//app.internal/x", "https://www.example.org/app/x" },
        { "/app", "http://www.example.org/x", "https://www.example.org/app/x" },
        { "/app", "http://www.example.org/app/x", "https://www.example.org/app/x" },
        { "", "http://www.example.org/x", "https://www.example.org/x" },
        { "", "/x", "/x" },
        { "", "//app.internal//evil.example/", "https://www.example.org//evil.example/" },
        /* not the backend's */
        { "/app", "https://www.example.org/x", NULL },
        { "/app", "https://app.internal/x", NULL },
        { "/app", "http://127.0.0.1:80010/x", NULL },
        { "/app", "http://127.0.0.1:8001@evil.example/x", NULL },
        { "/app", "http://user@127.0.0.1:8001/x", NULL },
        { "/app", "http://127.0.0.1:8001.evil.example/x", NULL },
        { "/app", "http://app.internal:99999999999999999999/x", NULL },
        { "/app", "http://app.internal\\@evil.example/x", "https://www.example.org/app/\\@evil.example/x" },
        { "/app", "ftp://app.internal/x", NULL },
        { "/app", "x/y", NULL },
        { "/app", "?x", NULL },
        { "/app", "", NULL },
        { "/app", "http://", NULL },
        { "/app", "//", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        pc_reverse_sides s = sides_of(rows[i].prefix);

        same(pc_reverse_answer(pool, maps_of(NULL, NULL), &s, rows[i].url), rows[i].want);
    }
}

static void reverse_by_map(void **state)
{
    static const struct {
        const char *backend, *here, *url, *want;
    } rows[] = {
        { "http://b.internal:81/two/", "/one/", "http://b.internal:81/two/x", "https://www.example.org/one/x" },
        { "http://b.internal:81/two", "/one", "http://b.internal:81/two", "https://www.example.org/one" },
        { "http://b.internal:81/two", "/one", "http://b.internal:81/twox", NULL },
        { "http://b.internal:81/two", "/one", "/two/x?y", "/one/x?y" },
        { "http://b.internal:81/two", "/one", "/three", NULL },
        { "http://b.internal:81/", "/", "http://b.internal:81/x", "https://www.example.org/x" },
        { "http://b.internal:81/two", "/", "/two", "/" },
        { "http://b.internal:81/two", "/", "/two?x", "/?x" },
        { "http://b.internal:81/two", "/", "/two//evil.example/", "https://www.example.org//evil.example/" },
        { "http://b.internal:81/two", "/", "/two/\\evil.example/", "https://www.example.org/\\evil.example/" },
        { "http://b.internal:81/", "/one", "https://b.internal:81/x", NULL },
        { "https://b.internal/", "/one", "https://b.internal:443/x", "https://www.example.org/one/x" },
        { "/two", "/one", "http://127.0.0.1:8001/two/x", "https://www.example.org/one/x" },
        { "/two", "/one", "http://elsewhere/two/x", NULL },
    };
    pc_reverse_sides s = sides_of("");
    pc_reverse_map map;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        same(pc_reverse_answer(pool, maps_of(rows[i].backend, rows[i].here), &s, rows[i].url), rows[i].want);
    }
    assert_non_null(pc_reverse_parse(pool, "ftp://x/", "/", &map));
    assert_non_null(pc_reverse_parse(pool, "//x/", "/", &map));
    assert_non_null(pc_reverse_parse(pool, "http:///", "/", &map));
    assert_non_null(pc_reverse_parse(pool, "http://x:y/", "/", &map));
    assert_non_null(pc_reverse_parse(pool, "http://x/?q", "/", &map));
    assert_non_null(pc_reverse_parse(pool, "http://x/", "one", &map));
    assert_non_null(pc_reverse_parse(pool, "http://x/", "//one", &map));
}

static void requests(void **state)
{
    static const struct {
        const char *prefix, *url, *want;
    } rows[] = {
        { "/dav", "https://www.example.org/dav/a", "http://www.example.org/a" },
        { "/dav", "https://www.example.org:443/dav", "http://www.example.org/" },
        { "/dav", "http://www.example.org/dav/a", "http://www.example.org/a" },
        { "/dav", "/dav/a%20b", "/a%20b" },
        { "/dav", "/dav//evil/x", "http://www.example.org//evil/x" },
        { "", "https://www.example.org/a", "http://www.example.org/a" },
        { "/dav", "https://www.example.org/other/a", NULL },
        { "/dav", "https://elsewhere.example/dav/a", NULL },
        { "/dav", "//www.example.org/dav/a", NULL },
        { "/dav", "https://u@www.example.org/dav/a", NULL },
        { "/dav", "a", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        pc_reverse_sides s = sides_of(rows[i].prefix);

        same(pc_reverse_request(pool, maps_of(NULL, NULL), &s, rows[i].url), rows[i].want);
    }
}

/* ------------------------------------------------------------------ cookies */

static apr_array_header_t *cookie_maps(int domain, const char *from, const char *to)
{
    apr_array_header_t *maps = apr_array_make(pool, 1, sizeof(pc_cookie_map));
    pc_cookie_map map;

    assert_null(domain ? pc_cookie_parse_domain(pool, from, to, &map) : pc_cookie_parse_path(pool, from, to, &map));
    APR_ARRAY_PUSH(maps, pc_cookie_map) = map;
    return maps;
}

static void cookies(void **state)
{
    static const struct {
        const char *from, *to, *value, *want;
    } rows[] = {
        { "/", "/app/", "a=b; Path=/", "a=b; Path=/app/" },
        { "/", "/app", "a=b; Path=/x", "a=b; Path=/app/x" },
        { "/", "/app/", "a=b; path = /x ; Secure", "a=b; path = /app/x ; Secure" },
        { "/app", "/", "a=b;PATH=/app/x", "a=b;PATH=/x" },
        { "/app/", "/", "a=b; Path=/app", "a=b; Path=/" },
        { "/app", "/", "a=b; Path=/apple", "a=b; Path=/apple" },
        { "/", "/app", "path=/; xpath=/; pathx=/", "path=/; xpath=/; pathx=/" },
        { "/", "/app", "a=; Path", "a=; Path" },
        { "/", "/app", "a=; Path=", "a=; Path=" },
        { "/", "/app", "a=; Path=\"/\"", "a=; Path=\"/\"" },
        { "/", "/app", "Path=/; Path=/; Path=/y", "Path=/; Path=/app/; Path=/app/y" },
        { "/", "/app", "a=b;;; ;Path=/;", "a=b;;; ;Path=/app/;" },
        { "/", "/app", "", "" },
        { "/", "/app", ";", ";" },
    };
    static const struct {
        const char *from, *to, *value, *want;
    } domains[] = {
        { "b.internal", "example.org", "a=b; Domain=B.Internal; Path=/", "a=b; Domain=example.org; Path=/" },
        { "b.internal", "example.org", "a=b; domain=.b.internal", "a=b; domain=example.org" },
        { ".b.internal", ".example.org", "a=b; domain=b.internal", "a=b; domain=.example.org" },
        { "b.internal", "example.org", "a=b; domain=x.b.internal", "a=b; domain=x.b.internal" },
        { "b.internal", "off", "a=b; domain=b.internal; Secure", "a=b; Secure" },
        { "*", "off", "a=b; Domain=anything", "a=b" },
        { "*", "off", "domain=x; Domain", "domain=x" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); ++i) {
        same(pc_cookie_rewrite(pool, rows[i].value, cookie_maps(0, rows[i].from, rows[i].to), NULL), rows[i].want);
    }
    for (size_t i = 0; i < COUNT(domains); ++i) {
        same(pc_cookie_rewrite(pool, domains[i].value, NULL, cookie_maps(1, domains[i].from, domains[i].to)),
             domains[i].want);
    }
}

static void cookies_in_bounds(void **state)
{
    char *to = apr_pcalloc(pool, 1002), *value = apr_pcalloc(pool, 40 * 8 + 8);
    pc_cookie_map map;

    (void)state;
    memset(to, '/', 1000);
    strcpy(value, "a=b");
    for (int i = 0; i < 40; ++i) {
        strcat(value, ";Path=/");
    }
    assert_null(pc_cookie_rewrite(pool, value, cookie_maps(0, "/", to), NULL));
    assert_non_null(pc_cookie_parse_path(pool, "app", "/", &map));
    assert_non_null(pc_cookie_parse_path(pool, "/app", "/;x", &map));
    assert_non_null(pc_cookie_parse_domain(pool, "a b", "c", &map));
    assert_non_null(pc_cookie_parse_domain(pool, "a", "c;d", &map));
    assert_non_null(pc_cookie_parse_domain(pool, "a", "*", &map));
}

static int setup(void **state)
{
    (void)state;
    apr_initialize();
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int teardown(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),           cmocka_unit_test(long_targets),       cmocka_unit_test(paths),
        cmocka_unit_test(references),        cmocka_unit_test(growing_references), cmocka_unit_test(automatic_reverse),
        cmocka_unit_test(reverse_by_map),    cmocka_unit_test(requests),           cmocka_unit_test(cookies),
        cmocka_unit_test(cookies_in_bounds),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
