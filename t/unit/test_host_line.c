/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/line_wire.c mod_procd/wire.c mod_procd/close_aside.c mod_procd/manager/host_name.c */
/* libs: -lpthread */
/* Lines as a child of httpd passes them on, and as one that was taken over might; hosts that become part of a path. */
#include "mod_procd/manager/hostlog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const char *clean(const char *host, size_t len)
{
    static char name[HOST_NAME_ROOM];
    char *copy = malloc(len ? len : 1); /* of its own, so that reading past it is seen */

    memcpy(copy, host, len);
    host_name_clean(copy, len, name);
    free(copy);
    return name;
}

static void hosts_in_paths(void **state)
{
    static const char *const bad[] = { "",     ".",   "..",       "...",  "a..b",  ".a",   "../etc",  "a/b",
                                       "-a",   "a b", "a\nb",     "a\\b", "[::1]", "a:80", "_other",  "a_b",
                                       "a.-b", "%41", "\xc3\xa4", "~",    "a..",   "*",    "a%{name}" };
    char longest[HOST_NAME_ROOM + 1];

    (void)state;
    assert_string_equal(clean("Www.Example.COM", 15), "www.example.com");
    assert_string_equal(clean("example.com.", 12), "example.com");
    assert_string_equal(clean("10.0.0.1", 8), "10.0.0.1");
    assert_string_equal(clean("xn--a-b", 7), "xn--a-b");
    assert_string_equal(clean("x", 1), "x");
    assert_string_equal(clean("a\0b", 3), HOST_NAME_OTHER);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_string_equal(clean(bad[i], strlen(bad[i])), HOST_NAME_OTHER);
    }
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(strlen(clean(longest, HOST_NAME_ROOM - 1)), HOST_NAME_ROOM - 1);
    assert_string_equal(clean(longest, HOST_NAME_ROOM), HOST_NAME_OTHER);
    assert_string_equal(clean(longest, HOST_NAME_ROOM + 1), HOST_NAME_OTHER);
}

static void paths(void **state)
{
    char out[24];

    (void)state;
    assert_int_equal(host_name_put("/l/%{SERVER_NAME}/%{SERVER_NAME}.l", "a.b", out, sizeof(out)), 0);
    assert_string_equal(out, "/l/a.b/a.b.l");
    assert_int_equal(host_name_put("/l/x", "a.b", out, sizeof(out)), 0);
    assert_string_equal(out, "/l/x");
    assert_int_equal(host_name_put("/%{SERVER_NAME}/1234567890123456789", "abc", out, sizeof(out)), -1);
    assert_int_equal(host_name_put("/%{SERVER_NAME}/123456789012345678", "abc", out, sizeof(out)), 0);
    assert_int_equal(strlen(out), sizeof(out) - 1);
}

static const char *wrong(procd_line_head head, const char *bytes, size_t len)
{
    procd_line line;

    return procd_line_parse(&line, &head, bytes, len);
}

static void what_is_refused(void **state)
{
    procd_line_head head = { PROCD_WIRE_MAGIC, PROCD_WIRE_VERSION, 0, 1, 2, 3, 4 };

    (void)state;
    assert_null(wrong(head, "abcdefg", 7));
    assert_non_null(wrong(head, "abcdef", 6));
    assert_non_null(wrong(head, "abcdefgh", 8));
    head.flags = 2;
    assert_non_null(wrong(head, "abcdefg", 7));
    head.flags = 0;
    head.version++;
    assert_non_null(wrong(head, "abcdefg", 7));
    head.version--;
    head.host_len = PROCD_LINE_HOST_MAX + 1;
    head.text_len = 0;
    assert_non_null(wrong(head, "", PROCD_LINE_HOST_MAX + 1));
    head.host_len = 0;
    head.text_len = PROCD_LINE_MAX + 1;
    assert_non_null(wrong(head, "", PROCD_LINE_MAX + 1));
}

static void there_and_back(void **state)
{
    static char text[PROCD_LINE_MAX + 10], bytes[PROCD_LINE_ROOM];
    procd_line line = { "a.example", text, 9, 5, 0 }, got;
    procd_line_head head;
    int pair[2];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(procd_line_send(pair[0], 7, 42, &line), 0);
    assert_int_equal(procd_line_receive(pair[1], &head, bytes, &got), 1);
    assert_true(head.group == 7 && head.pid == 42 && !got.cut && got.text_len == 5 && got.host_len == 9);
    assert_memory_equal(got.host, "a.examplexxxxx", 14);
    line.text_len = sizeof(text);
    line.host_len = PROCD_LINE_HOST_MAX + 1;
    assert_int_equal(procd_line_send(pair[0], 7, 42, &line), 0);
    assert_int_equal(procd_line_receive(pair[1], &head, bytes, &got), 1);
    assert_true(got.cut && got.text_len == PROCD_LINE_MAX && got.host_len == 0);
    assert_int_equal(procd_line_receive(pair[1], &head, bytes, &got), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send(pair[0], "short", 5, 0), 5);
    assert_int_equal(procd_line_receive(pair[1], &head, bytes, &got), -1);
    assert_int_equal(errno, EPROTO);
    close(pair[0]);
    assert_int_equal(procd_line_receive(pair[1], &head, bytes, &got), 0);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_in_paths),
        cmocka_unit_test(paths),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
