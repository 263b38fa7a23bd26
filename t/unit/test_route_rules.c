/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/script.c mod_proxy_core/field_rules.c mod_proxy_core/config_values.c */

/* How a path is split into script and PATH_INFO, and which fields go on. G15 G16 G27 G33 G36 */

#include "field_rules.h"
#include "script.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static apr_pool_t *pool;

/** Parse words parted by spaces. */
static const char *parse(const char *words, pc_script *s)
{
    char **argv;

    assert_int_equal(apr_tokenize_to_argv(words, &argv, pool), APR_SUCCESS);
    int argc = 0;
    while (argv[argc]) {
        ++argc;
    }
    return pc_script_parse(pool, argc, argv, s);
}

static void splits(void **state)
{
    static const struct {
        const char *how, *path;
        apr_size_t len;
    } rows[] = {
        { "auto", "/a/x.php/more.txt", 8 },
        { "auto", "/a/b", 4 },
        { "auto", "/", 1 },
        { "auto", "/.hidden/x", 10 },
        { "auto", "/name./x", 8 },
        { "auto", "/../x", 5 },
        { "auto", "/v1.2/x.php", 5 },
        { "whole", "/a/x.php/more", 13 },
        { "none", "/a/x.php/more", 0 },
        { "none", "/", 0 },
        { "/cgi/", "/cgi/prog/info", 9 },
        { "/cgi/", "/cgi/prog", 9 },
        { "/cgi/", "/cgi/", 5 },
        { "/cgi", "/cgi/prog/info", 4 },
        { "/cgi", "/cgi", 4 },
        { "/cgi", "/cgibin/a", 9 },
        { "/", "/prog/info", 5 },
        { ".php", "/a.txt/b.php/c", 12 },
        { ".php .phtml", "/b.phtml/c", 8 },
        { ".php", "/.php/x.php", 11 },
        { ".php", "/x.phps/y", 7 },
        { "auto", "//a.php/b", 7 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        pc_script s;

        assert_null(parse(rows[i].how, &s));
        assert_int_equal(pc_script_split(&s, rows[i].path), rows[i].len);
    }
    assert_int_equal(pc_script_split(NULL, "/a.php/b"), 6);
}

static void script_arguments(void **state)
{
    static const char *const bad[] = {
        "maybe", "auto whole", "/a /b", "auto .php", "chroot=x", "chroot=/", "file=", "."
    };
    pc_script s;

    (void)state;
    assert_null(parse(".php path-info-in-filename=on chroot=/srv/ file=/x", &s));
    assert_int_equal(s.path_info_in_filename, 1);
    assert_string_equal(s.chroot, "/srv");
    assert_string_equal(s.file_text, "/x");
    assert_string_equal(pc_script_inside(&s, "/srv/www/x.php"), "/www/x.php");
    assert_string_equal(pc_script_inside(&s, "/srv"), "/");
    assert_string_equal(pc_script_inside(&s, "/srv2/x"), "/srv2/x");
    assert_string_equal(pc_script_inside(NULL, "/srv/x"), "/srv/x");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_non_null(parse(bad[i], &s));
    }
    assert_non_null(pc_script_parse(pool, 0, NULL, &s));
}

static void prefixes(void **state)
{
    (void)state;
    assert_int_equal(pc_path_prefix("/app/x", "/app"), 4);
    assert_int_equal(pc_path_prefix("/app", "/app"), 4);
    assert_int_equal(pc_path_prefix("/application", "/app"), 0);
    assert_int_equal(pc_path_prefix("/app/x", "/app/"), 5);
    assert_int_equal(pc_path_prefix("/ap", "/app"), 0);
    assert_int_equal(pc_path_prefix("/x", ""), 0);
}

static void hop_fields(void **state)
{
    static const char *const hop[] = { "connection", "Keep-Alive",          "TE",      "te",
                                       "Trailer",    "Transfer-Encoding",   "UPGRADE", "Proxy-Connection",
                                       "Proxy",      "Proxy-Authorization", "Expect",  "HTTP2-Settings" };
    static const char *const other[] = { "",       "T",    "TEE",       "Proxy-",      "Proxies",
                                         "Cookie", "Host", "Connectio", "Connections", "X-TE" };

    (void)state;
    for (size_t i = 0; i < sizeof(hop) / sizeof(hop[0]); ++i) {
        assert_true(pc_field_is_hop(hop[i], strlen(hop[i])));
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); ++i) {
        assert_false(pc_field_is_hop(other[i], strlen(other[i])));
    }
    assert_true(pc_field_is_forwarding("x-forwarded-for", 15));
    assert_true(pc_field_is_forwarding("Forwarded", 9));
    assert_false(pc_field_is_forwarding("X-Forwarded", 11));
    assert_false(pc_field_is_forwarding("X-Foo", 5));
}

static void connection_fields(void **state)
{
    static const char *const bad[] = { "a b", "a;q=1", "\"a\"", "a, b c", "\x01" };
    apr_array_header_t *names = NULL;

    (void)state;
    assert_int_equal(pc_connection_names(pool, "keep-alive", &names), 0);
    assert_int_equal(pc_connection_names(pool, "Close", &names), 0);
    assert_null(names);
    assert_int_equal(pc_connection_names(pool, " , X-A ,x-b,", &names), 0);
    assert_int_equal(pc_connection_names(pool, "close, X-C", &names), 0);
    assert_int_equal(names->nelts, 3);
    assert_true(pc_name_listed(names, "x-a") && pc_name_listed(names, "X-B") && pc_name_listed(names, "X-C"));
    assert_false(pc_name_listed(names, "close"));
    assert_false(pc_name_listed(NULL, "x"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_int_equal(pc_connection_names(pool, bad[i], &names), -1);
    }
}

static void forwarded(void **state)
{
    (void)state;
    assert_string_equal(pc_forwarded_value(pool, "192.0.2.1", 0), "192.0.2.1");
    assert_string_equal(pc_forwarded_value(pool, "2001:db8::1", 0), "\"[2001:db8::1]\"");
    assert_string_equal(pc_forwarded_value(pool, "example.org", 1), "example.org");
    assert_string_equal(pc_forwarded_value(pool, "example.org:8080", 1), "\"example.org:8080\"");
    assert_string_equal(pc_forwarded_value(pool, "a\"b\\", 1), "\"a\\\"b\\\\\"");
}

static void forwarded_elements(void **state)
{
    (void)state;
    assert_string_equal(pc_forwarded_element(pool, "192.0.2.1", "a.test", "https"),
                        "for=192.0.2.1;host=a.test;proto=https");
    assert_string_equal(pc_forwarded_element(pool, "2001:db8::1", "[::1]:81", "http"),
                        "for=\"[2001:db8::1]\";host=\"[::1]:81\";proto=http");
    assert_string_equal(pc_forwarded_append(pool, NULL, "for=b"), "for=b");
    assert_string_equal(pc_forwarded_append(pool, " , ", "for=b"), "for=b");
    assert_string_equal(pc_forwarded_append(pool, " for=a ,", "for=b"), "for=a, for=b");
    assert_string_equal(pc_forwarded_append(pool, "192.0.2.1,10.0.0.1", "10.0.0.2"), "192.0.2.1,10.0.0.1, 10.0.0.2");
}

static void forwarded_grammar(void **state)
{
    static const char *const good[] = { "",
                                        "for=192.0.2.1",
                                        "For=\"[2001:db8:cafe::17]:4711\"",
                                        "for=192.0.2.60;proto=http;by=203.0.113.43",
                                        "for=192.0.2.43, for=198.51.100.17",
                                        "for=_hidden, for=_SEVKISEK",
                                        "for=unknown",
                                        "for=a; proto=https ;host=\"x\\\"y\"",
                                        "for=a;,;for=b",
                                        "host=\"a,b;c\"" };
    static const char *const bad[] = { "192.0.2.1",   "for",      "for=",         "=x",           "for=\"a",
                                       "for=\"a\\\"", "for = a",  "for=a b",      "for=a\"b\"",   "for=\"a\"b",
                                       "for=[::1]",   "for=a:80", "for=\"\x01\"", "for=\"\x7f\"", "f or=a" };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); ++i) {
        assert_true(pc_forwarded_is_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_false(pc_forwarded_is_valid(bad[i]));
    }
}

static void raw_paths(void **state)
{
    static const struct {
        const char *raw, *decoded;
        int same;
    } rows[] = {
        { "/a/b", "/a/b", 1 },
        { "/a%20b", "/a b", 1 },
        { "/a%2Fb", "/a/b", 1 },
        { "/a%2fb", "/a%2fb", 1 },
        { "/a%2Fb", "/a%2fb", 0 },
        { "/a%252Fb", "/a%2Fb", 1 },
        { "/a/../b", "/b", 0 },
        { "//a", "/a", 0 },
        { "/a b", "/a b", 0 },
        { "/a%2", "/a%2", 0 },
        { "/a%zz", "/a%zz", 0 },
        { "/a", "/ab", 0 },
        { "/ab", "/a", 0 },
        { "/\xc3\xa4", "/\xc3\xa4", 0 },
        { "/%c3%A4", "/\xc3\xa4", 1 },
        { "", "", 1 },
        { "/a%00", "/a", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        assert_int_equal(pc_path_is(rows[i].raw, strlen(rows[i].raw), rows[i].decoded), rows[i].same);
    }
    assert_true(pc_is_visible("abc%20"));
    assert_false(pc_is_visible("a b"));
    assert_false(pc_is_visible("a\r\n"));
    assert_false(pc_is_visible("\x7f"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),
        cmocka_unit_test(script_arguments),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(hop_fields),
        cmocka_unit_test(connection_fields),
        cmocka_unit_test(forwarded),
        cmocka_unit_test(forwarded_elements),
        cmocka_unit_test(forwarded_grammar),
        cmocka_unit_test(raw_paths),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
