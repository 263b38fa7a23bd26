/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/ctl_text.c mod_procd/groupdef.c mod_procd/groupdef_set.c mod_procd/groupdef_log.c mod_procd/groupdef_text.c mod_procd/groupdef_cgroup.c */
/* What procctl and the manager say to each other: D21, D22. */
#include "ctl_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *parse(procd_ctl_request *request, char *packet, int n, const char *const *words)
{
    size_t len = procd_ctl_pack(packet, PROCD_CTL_REQUEST_MAX, n, words);

    assert_true(len > 0);
    return procd_ctl_parse(packet, len, request);
}

#define PARSE(...) \
    parse(&r, packet, (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)), \
          (const char *const[]){ __VA_ARGS__ })

static void requests_that_are_fine(void **state)
{
    char packet[PROCD_CTL_REQUEST_MAX];
    procd_ctl_request r;

    (void)state;
    assert_null(PARSE("1", "status"));
    assert_int_equal(r.command, PROCD_CTL_STATUS);
    assert_null(r.group);
    assert_null(PARSE("1", "status", "php@example.org:443"));
    assert_string_equal(r.group, "php@example.org:443");
    assert_null(PARSE("1", "scale", "php", "3"));
    assert_true(r.min == 3 && r.max == 3);
    assert_null(PARSE("1", "scale", "php", "0", "9"));
    assert_true(r.min == 0 && r.max == 9);
    assert_null(PARSE("1", "scale", "php", "default"));
    assert_true(r.min == -1 && r.max == -1);
    assert_null(PARSE("1", "logs", "php", "follow"));
    assert_true(r.follow);
    assert_null(PARSE("1", "reload"));
    assert_int_equal(r.command, PROCD_CTL_RELOAD);
}

static void requests_that_are_not(void **state)
{
    char packet[PROCD_CTL_REQUEST_MAX];
    procd_ctl_request r;

    (void)state;
    assert_non_null(procd_ctl_parse("", 0, &r));
    assert_non_null(procd_ctl_parse("1\0status", 8, &r)); /* no NUL at the end */
    assert_non_null(PARSE("1"));
    assert_non_null(PARSE("2", "status"));
    assert_non_null(PARSE("1", "explode"));
    assert_non_null(PARSE("1", "stop"));
    assert_non_null(PARSE("1", "stop", "a", "b"));
    assert_non_null(PARSE("1", "stop", "a b"));
    assert_non_null(PARSE("1", "stop", ""));
    assert_non_null(PARSE("1", "scale", "php", "0"));
    assert_non_null(PARSE("1", "scale", "php", "3", "2"));
    assert_non_null(PARSE("1", "scale", "php", "-1"));
    assert_non_null(PARSE("1", "scale", "php", "241"));
    assert_non_null(PARSE("1", "logs", "php", "backwards"));
    assert_non_null(PARSE("1", "status", "a", "b", "c", "d", "e"));
}

static void values_survive(void **state)
{
    static const char nasty[] = "tab\there\nand \\ and \\n = \r";
    char text[200] = "end\twhy=", *at = text;
    procd_ctl_pair pairs[4];
    int n;

    (void)state;
    procd_ctl_escape(text + strlen(text), sizeof(text) - strlen(text), nasty);
    assert_null(strchr(text, '\n'));
    strcat(text, "\tpid=7\nend\tpid=8\textra\n");
    n = procd_ctl_next(&at, pairs, 4);
    assert_int_equal(n, 3);
    assert_string_equal(pairs[0].key, "end");
    assert_string_equal(procd_ctl_value(pairs, n, "why"), nasty);
    assert_string_equal(procd_ctl_value(pairs, n, "pid"), "7");
    n = procd_ctl_next(&at, pairs, 2);
    assert_int_equal(n, 2); /* more than there is room for is dropped */
    assert_string_equal(procd_ctl_value(pairs, n, "pid"), "8");
    assert_string_equal(procd_ctl_value(pairs, n, "extra"), "");
    assert_int_equal(procd_ctl_next(&at, pairs, 4), 0);
}

static void escaping_keeps_to_its_room(void **state)
{
    char out[8];

    (void)state;
    memset(out, 'x', sizeof(out));
    assert_true(procd_ctl_escape(out, 6, "\t\t\t\t\t") <= 5);
    assert_int_equal(strlen(out), 4);
    assert_true(out[6] == 'x' && out[7] == 'x');
    assert_int_equal(procd_ctl_escape(out, 1, "abc"), 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_are_fine),
        cmocka_unit_test(requests_that_are_not),
        cmocka_unit_test(values_survive),
        cmocka_unit_test(escaping_keeps_to_its_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
