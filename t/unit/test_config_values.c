/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/config_values.c mod_proxy_core/config_backend.c */

/* Values, addresses and keys of the configuration. F3 G6 G7 G20 */

#include "config_backend.h"
#include "config_values.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static apr_pool_t *pool;

static void durations(void **state)
{
    static const struct {
        const char *text;
        apr_interval_time_t usec;
    } good[] = { { "0", 0 },
                 { "5", 5000000 },
                 { "500ms", 500000 },
                 { "1s", 1000000 },
                 { "2min", 120000000 },
                 { "1H", 3600000000LL },
                 { "8760h", 365 * 24 * 3600000000LL } };
    static const char *const bad[] = {
        "",   "s",     "-1", "+1", "1.5s", "5 s", "5sec", "5m", "1d", "8761h", "99999999999999999999",
        "ms", "0x10s", " 5", "5s "
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); ++i) {
        apr_interval_time_t got = -1;

        assert_null(pc_value_duration(good[i].text, &got));
        assert_int_equal(got, good[i].usec);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        apr_interval_time_t got = 42;

        assert_non_null(pc_value_duration(bad[i], &got));
        assert_int_equal(got, 42);
    }
}

static void sizes(void **state)
{
    static const char *const bad[] = { "", "K", "1KB", "1T", "-1", "1 K", "9223372036854775807G", "8589934592G" };
    apr_off_t got = 0;

    (void)state;
    assert_null(pc_value_size("65536", &got));
    assert_int_equal(got, 65536);
    assert_null(pc_value_size("64k", &got));
    assert_int_equal(got, 65536);
    assert_null(pc_value_size("2M", &got));
    assert_int_equal(got, 2 << 20);
    assert_null(pc_value_size("3G", &got));
    assert_int_equal(got, 3LL << 30);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        got = 42;
        assert_non_null(pc_value_size(bad[i], &got));
        assert_int_equal(got, 42);
    }
}

static void numbers_and_flags(void **state)
{
    int n = 7;

    (void)state;
    assert_null(pc_value_int("0", 0, 10, &n));
    assert_int_equal(n, 0);
    assert_null(pc_value_int("10", 0, 10, &n));
    assert_int_equal(n, 10);
    assert_non_null(pc_value_int("11", 0, 10, &n));
    assert_non_null(pc_value_int("0", 1, 10, &n));
    assert_non_null(pc_value_int("1x", 0, 10, &n));
    assert_non_null(pc_value_int("", 0, 10, &n));
    assert_non_null(pc_value_int("4294967297", 0, 10, &n));
    assert_int_equal(n, 10);
    assert_null(pc_value_flag("On", &n));
    assert_int_equal(n, 1);
    assert_null(pc_value_flag("off", &n));
    assert_int_equal(n, 0);
    assert_non_null(pc_value_flag("1", &n));
    assert_non_null(pc_value_flag("", &n));
}

static void ranges(void **state)
{
    static const char *const bad[] = { "",        "399",     "600",     "404-",        "-404",
                                       "404-403", "404-600", "404 405", "404-405-406", "4x" };
    int from = 0, to = 0;

    (void)state;
    assert_null(pc_value_range("404", 400, 599, &from, &to));
    assert_int_equal(from * 1000 + to, 404404);
    assert_null(pc_value_range("400-599", 400, 599, &from, &to));
    assert_int_equal(from * 1000 + to, 400599);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_non_null(pc_value_range(bad[i], 400, 599, &from, &to));
    }
    assert_int_equal(from * 1000 + to, 400599);
}

static void keys_and_names(void **state)
{
    char longest[66];

    (void)state;
    assert_string_equal(pc_value_of("max=3", "max"), "3");
    assert_string_equal(pc_value_of("MAX=", "max"), "");
    assert_null(pc_value_of("max", "max"));
    assert_null(pc_value_of("maximum=3", "max"));
    assert_null(pc_value_of("ma=3", "max"));
    assert_true(pc_value_is_name("a-b_c.D9"));
    assert_false(pc_value_is_name(""));
    assert_false(pc_value_is_name("a b"));
    assert_false(pc_value_is_name("a/b"));
    memset(longest, 'a', 65);
    longest[65] = '\0';
    assert_false(pc_value_is_name(longest));
    longest[64] = '\0';
    assert_true(pc_value_is_name(longest));
    assert_true(pc_value_is_env_name("A_1"));
    assert_false(pc_value_is_env_name("1A"));
    assert_false(pc_value_is_env_name("A-B"));
    assert_false(pc_value_is_env_name(""));
}

static void addresses(void **state)
{
    pc_address a;

    (void)state;
    assert_null(pc_address_parse(pool, "127.0.0.1:8001", &a));
    assert_int_equal(a.kind, PC_ADDR_IP);
    assert_int_equal(a.addr.u.in.sin_family, AF_INET);
    assert_int_equal(ntohs(a.addr.u.in.sin_port), 8001);
    assert_int_equal(a.addr.len, sizeof(struct sockaddr_in));
    assert_null(pc_address_parse(pool, "[2001:db8::1]:80", &a));
    assert_int_equal(a.addr.u.in6.sin6_family, AF_INET6);
    assert_int_equal(ntohs(a.addr.u.in6.sin6_port), 80);
    assert_null(pc_address_parse(pool, "[::1]", &a));
    assert_int_equal(a.port, 0);
    pc_address_set_port(&a.addr, 81);
    assert_int_equal(ntohs(a.addr.u.in6.sin6_port), 81);
    assert_null(pc_address_parse(pool, "app_1.example-2.org:65535", &a));
    assert_int_equal(a.kind, PC_ADDR_NAME);
    assert_string_equal(a.name, "app_1.example-2.org");
    assert_int_equal(a.port, 65535);
    assert_null(pc_address_parse(pool, "unix:/run/a:b.sock", &a));
    assert_int_equal(a.kind, PC_ADDR_UNIX);
    assert_string_equal(a.addr.u.un.sun_path, "/run/a:b.sock");
    assert_null(pc_address_parse(pool, "spawn:php", &a));
    assert_int_equal(a.kind, PC_ADDR_SPAWN);
    assert_string_equal(a.name, "php");
}

static void wrong_addresses(void **state)
{
    static const char *const bad[] = { "",        ":80",        "host:",     "host:0",     "host:65536",
                                       "host:8o", "host:80:90", "::1",       "[::1",       "[::1]80",
                                       "[::1]:",  "[1.2.3.4]",  "[]:1",      "unix:",      "unix:x",
                                       "spawn:",  "spawn:a b",  "srv:_a._b", "http://h:1", "h/x",
                                       "-h:1",    ".h:1",       "a b:1",     "h\n:1",      "[fe80::1%1]:1",
                                       "@:1",     "h:1/",       "h:+1" };
    char path[128];
    pc_address a;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_non_null(pc_address_parse(pool, bad[i], &a));
    }
    /* G7: the longest path that fits, and one more byte */
    memset(path, 'x', sizeof(path));
    memcpy(path, "unix:/", 6);
    path[5 + 107] = '\0';
    assert_null(pc_address_parse(pool, path, &a));
    path[5 + 107] = 'x';
    path[5 + 108] = '\0';
    assert_non_null(pc_address_parse(pool, path, &a));
}

static void backends(void **state)
{
    char *all[] = { (char *)"h:1",   (char *)"weight=3", (char *)"max=2",   (char *)"backup",
                    (char *)"drain", (char *)"retry=2s", (char *)"name=a.b" };
    char *plain[] = { (char *)"spawn:php" };
    char *twice[] = { (char *)"h:1", (char *)"backup", (char *)"backup" };
    char *unknown[] = { (char *)"h:1", (char *)"colour=red" };
    char *both[] = { (char *)"unix:/run/x", (char *)"h:1" };
    pc_backend_conf b;

    (void)state;
    assert_null(pc_backend_parse(pool, 7, all, &b));
    assert_int_equal(b.weight, 3);
    assert_int_equal(b.max, 2);
    assert_true(b.backup && b.drain);
    assert_int_equal(b.retry, 2000000);
    assert_string_equal(b.name, "a.b");
    assert_null(pc_backend_parse(pool, 1, plain, &b));
    assert_int_equal(b.kind, PC_BACKEND_SPAWN);
    assert_string_equal(b.spawn, "php");
    assert_int_equal(b.weight, 1);
    assert_int_equal(b.max, 0);
    assert_int_equal(b.retry, -1);
    assert_null(b.name);
    assert_non_null(strstr(pc_backend_parse(pool, 3, twice, &b), "contradict"));
    assert_non_null(strstr(pc_backend_parse(pool, 2, unknown, &b), "unknown key 'colour=red'; accepted: weight=N"));
    assert_non_null(pc_backend_parse(pool, 2, both, &b));
    assert_non_null(pc_backend_parse(pool, 0, all, &b));
}

static void inline_forms(void **state)
{
    const char *scheme, *address;

    (void)state;
    assert_true(pc_inline_split(pool, "fastcgi://unix:/run/x", &scheme, &address));
    assert_string_equal(scheme, "fastcgi");
    assert_string_equal(address, "unix:/run/x");
    assert_false(pc_inline_split(pool, "name", &scheme, &address));
    assert_false(pc_inline_split(pool, "://x", &scheme, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),       cmocka_unit_test(sizes),          cmocka_unit_test(numbers_and_flags),
        cmocka_unit_test(ranges),          cmocka_unit_test(keys_and_names), cmocka_unit_test(addresses),
        cmocka_unit_test(wrong_addresses), cmocka_unit_test(backends),       cmocka_unit_test(inline_forms),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
