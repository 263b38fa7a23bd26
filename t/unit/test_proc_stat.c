/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/proc_stat.c */
/* What the kernel says of processes, whatever they call themselves. */
#include "mod_procd/proc_stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

static int parse(proc_stat *s, const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1); /* of its own, so that reading past it is seen */
    int rv;

    memcpy(copy, text, len);
    rv = proc_stat_parse(s, copy, len);
    free(copy);
    return rv;
}

static void fields(void **state)
{
    static const char text[] = "12 (a) b) Z (x) S 4 5 6 7 -1 9 10 11 12 13 14 15 16 17 18 19 20 21 2200 23 24 25\n";
    proc_stat s;

    (void)state;
    assert_int_equal(parse(&s, text, sizeof(text) - 1), 0);
    assert_int_equal(s.state, 'S');
    assert_int_equal(s.parent, 4);
    assert_int_equal(s.group, 5);
    assert_int_equal(s.user_ticks, 14);
    assert_int_equal(s.system_ticks, 15);
    assert_int_equal(s.waited_user_ticks, 16);
    assert_int_equal(s.waited_system_ticks, 17);
    assert_int_equal(s.start_ticks, 2200);
    assert_int_equal(s.resident_pages, 24);
}

static void what_is_none(void **state)
{
    static const char text[] = "1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24";
    static const char *const bad[] = {
        "",
        ")",
        ") ",
        ") S",
        "1 (a) S 4 5",
        "1 (a)S 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 x",
        "1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 -",
        "1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23  24",
        "1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 99999999999999999999 24"
    };
    proc_stat s;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&s, bad[i], strlen(bad[i])), -1);
    }
    for (size_t n = 0; n + 1 < sizeof(text) - 1; n++) {
        assert_int_equal(parse(&s, text, n), -1);
    }
    assert_int_equal(parse(&s, text, sizeof(text) - 1), 0);
}

static void this_process(void **state)
{
    proc_stat s;

    (void)state;
    prctl(PR_SET_NAME, ") Z 1 (");
    assert_int_equal(proc_stat_read(&s, getpid()), 0);
    assert_int_equal(s.state, 'R');
    assert_int_equal(s.parent, getppid());
    assert_int_equal(s.group, getpgrp());
    assert_true(s.start_ticks > 0 && s.resident_pages > 0);
    assert_int_equal(proc_stat_read(&s, (pid_t)0x7ffffff0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(fields), cmocka_unit_test(what_is_none),
                                        cmocka_unit_test(this_process) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
