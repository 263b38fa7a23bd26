/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/proxy_header.c */

/* The PROXY protocol, byte for byte as its specification has it. */

#include "proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

typedef union address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} address;

static address ip(const char *text, unsigned short port)
{
    address a;

    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
    }
    else {
        assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
    }
    return a;
}

static void v1_is(const char *expected, const address *src, const address *dst)
{
    char buf[PC_PROXY_HEADER_MAX];
    apr_size_t n = pc_proxy_header(buf, 1, src ? &src->sa : NULL, dst ? &dst->sa : NULL);

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(buf, expected, n);
}

static void test_v1(void **state)
{
    address a = ip("192.0.2.1", 56324), b = ip("198.51.100.11", 443), c = ip("2001:db8::1", 1), d = ip("::1", 65535),
            mapped = ip("::ffff:192.0.2.9", 80), un = { .un = { .sun_family = AF_UNIX } };
    address longest = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
    char buf[PC_PROXY_HEADER_MAX];

    (void)state;
    v1_is("PROXY TCP4 192.0.2.1 198.51.100.11 56324 443\r\n", &a, &b);
    v1_is("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", &c, &d);
    v1_is("PROXY TCP4 192.0.2.9 198.51.100.11 80 443\r\n", &mapped, &b);
    v1_is("PROXY TCP4 192.0.2.1 192.0.2.9 56324 80\r\n", &a, &mapped);
    v1_is("PROXY TCP6 2001:db8::1 ::ffff:198.51.100.11 1 443\r\n", &c, &b);
    v1_is("PROXY TCP6 ::ffff:192.0.2.1 ::1 56324 65535\r\n", &a, &d);
    v1_is("PROXY UNKNOWN\r\n", &un, &b);
    v1_is("PROXY UNKNOWN\r\n", &a, &un);
    v1_is("PROXY UNKNOWN\r\n", NULL, NULL);
    assert_in_range(pc_proxy_header(buf, 1, &longest.sa, &longest.sa), 1, PC_PROXY_HEADER_MAX);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static void v2_is(const char *rest, apr_size_t len, const address *src, const address *dst)
{
    char buf[PC_PROXY_HEADER_MAX];
    apr_size_t n = pc_proxy_header(buf, 2, src ? &src->sa : NULL, dst ? &dst->sa : NULL);

    assert_int_equal(n, 12 + len);
    assert_memory_equal(buf, SIGNATURE, 12);
    assert_memory_equal(buf + 12, rest, len);
}

#define V2_IS(rest, src, dst) v2_is(rest, sizeof(rest) - 1, src, dst)

static void test_v2(void **state)
{
    address a = ip("192.0.2.1", 56324), b = ip("198.51.100.11", 443), c = ip("2001:db8::1", 1), d = ip("::1", 65535),
            mapped = ip("::ffff:192.0.2.9", 80);

    (void)state;
    V2_IS("\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x0b\xdc\x04\x01\xbb", &a, &b);
    V2_IS("\x21\x11\x00\x0c\xc0\x00\x02\x09\xc6\x33\x64\x0b\x00\x50\x01\xbb", &mapped, &b);
    V2_IS("\x21\x21\x00\x24"
          "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
          "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
          "\x00\x01\xff\xff",
          &c, &d);
    V2_IS("\x21\x21\x00\x24"
          "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
          "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
          "\xdc\x04\xff\xff",
          &a, &d);
    V2_IS("\x21\x00\x00\x00", NULL, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_v1), cmocka_unit_test(test_v2) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
