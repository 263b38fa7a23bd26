/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/manager/script_check.c mod_procd/manager/script_env.c */
/* Which files the manager runs, and which variables of a request it hands on: P11 P12 D19. */
#include "mod_procd/manager/script.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];

/* A file of this mode below the temporary directory. */
static const char *make(const char *name, mode_t mode)
{
    static char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", top, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_not_equal(fd, -1);
    fchmod(fd, mode);
    close(fd);
    return path;
}

static const char *in_top(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", top, name);
    return path;
}

static int setup(void **state)
{
    char dir[64] = "/tmp/script-check-XXXXXX";
    char *real;

    (void)state;
    if (!mkdtemp(dir) || !(real = realpath(dir, NULL))) {
        return -1;
    }
    snprintf(top, sizeof(top), "%s", real);
    free(real);
    chmod(top, 0755);
    return mkdir(in_top("cgi"), 0755) || mkdir(in_top("other"), 0755) || mkdir(in_top("cgi/open"), 0755)
           || chmod(in_top("cgi/open"), 0777);
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", top);
    return system(command);
}

typedef struct setting {
    const char *root;
    int by_itself, other_user;
    uid_t owner;
    const char *chroot_dir;
} setting;

static procd_script_verdict ask(setting s, const char *path, const char *what)
{
    char root[128], *roots[] = { root };
    script_rules rules = { roots, 1, s.chroot_dir, s.by_itself, s.other_user, &s.owner, 1 };
    script_file file;
    char why[200];
    procd_script_verdict v;

    snprintf(root, sizeof(root), "%s/%s", top, s.root);
    v = script_check(&rules, path, &file, why, sizeof(why));
    if (what && !strstr(v == PROCD_SCRIPT_STARTED ? file.path : why, what)) {
        fail_msg("%s: verdict %d, \"%s\" has not \"%s\"", path, v, v == PROCD_SCRIPT_STARTED ? file.path : why, what);
    }
    return v;
}

#define OWN(root) \
    (setting) \
    { \
        root, 1, 0, getuid(), NULL \
    }
#define OTHER(root) \
    (setting) \
    { \
        root, 1, 1, getuid(), NULL \
    }

static void where_scripts_may_be(void **state)
{
    (void)state;
    assert_int_equal(ask(OWN("cgi"), make("cgi/a", 0755), "/cgi/a"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(OWN("other"), in_top("cgi/a"), "outside"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cg"), in_top("cgi/a"), "outside"), PROCD_SCRIPT_FORBIDDEN); /* no part of a name */
    assert_int_equal(ask(OWN("cgi"), "/bin/sh", "outside"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/../other/none"), NULL), PROCD_SCRIPT_MISSING);
    assert_int_equal(ask(OWN("cgi"), make("other/b", 0755), "outside"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/../other/b"), "outside"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cgi"), in_top("other/../cgi/a"), "/cgi/a"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/none"), "No such file"), PROCD_SCRIPT_MISSING);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/a/b"), NULL), PROCD_SCRIPT_MISSING);
}

static void links_lead_where_they_lead(void **state)
{
    char to[128];

    (void)state;
    snprintf(to, sizeof(to), "%s", make("other/b", 0755));
    assert_int_equal(symlink(to, in_top("cgi/out")), 0);
    assert_int_equal(symlink("a", in_top("cgi/in")), 0);
    assert_int_equal(symlink("loop", in_top("cgi/loop")), 0);
    make("cgi/a", 0755);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/out"), "outside"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/in"), "/cgi/a"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/loop"), NULL), PROCD_SCRIPT_FORBIDDEN);
}

static void what_a_script_is(void **state)
{
    setting interpreted = { "cgi", 0, 0, 0, NULL };

    (void)state;
    assert_int_equal(ask(OWN("cgi"), make("cgi/plain", 0644), "not executable"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(interpreted, in_top("cgi/plain"), "/cgi/plain"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/open"), "not a regular file"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(mkfifo(in_top("cgi/fifo"), 0777), 0);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/fifo"), "not a regular file"), PROCD_SCRIPT_FORBIDDEN);
}

static void as_another_user(void **state)
{
    setting strange = { "cgi", 1, 1, getuid() + 1, NULL };

    (void)state;
    assert_int_equal(ask(OTHER("cgi"), make("cgi/mine", 0755), "/cgi/mine"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(strange, in_top("cgi/mine"), "belongs"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OTHER("cgi"), make("cgi/world", 0757), "can write to it"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OTHER("cgi"), make("cgi/group", 0775), "can write to it"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OWN("cgi"), in_top("cgi/group"), "/cgi/group"), PROCD_SCRIPT_STARTED);
    assert_int_equal(ask(OTHER("cgi"), make("cgi/suid", 04755), "set-user-ID"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(ask(OTHER("cgi"), make("cgi/open/x", 0755), "its directory"), PROCD_SCRIPT_FORBIDDEN);
}

/* cgi/a/b/x, with these modes of cgi, a and b */
static procd_script_verdict below(mode_t root, mode_t upper, mode_t own, const char *what)
{
    procd_script_verdict v;

    mkdir(in_top("cgi/up"), 0755);
    mkdir(in_top("cgi/up/own"), 0755);
    make("cgi/up/own/x", 0755);
    assert_int_equal(chmod(in_top("cgi/up/own"), own) | chmod(in_top("cgi/up"), upper) | chmod(in_top("cgi"), root), 0);
    v = ask(OTHER("cgi"), in_top("cgi/up/own/x"), what);
    assert_int_equal(chmod(in_top("cgi"), 0755) | chmod(in_top("cgi/up"), 0755) | chmod(in_top("cgi/up/own"), 0755), 0);
    return v;
}

static void directories_above(void **state)
{
    (void)state;
    assert_int_equal(below(0755, 0755, 0755, "/cgi/up/own/x"), PROCD_SCRIPT_STARTED);
    assert_int_equal(below(0755, 0775, 0755, "write to a directory above"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(below(0755, 0757, 0755, "write to a directory above"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(below(0777, 0755, 0755, "write to a directory above"), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(below(0755, 01777, 0755, "/cgi/up/own/x"), PROCD_SCRIPT_STARTED);
    assert_int_equal(below(01777, 0755, 0755, "/cgi/up/own/x"), PROCD_SCRIPT_STARTED);
    assert_int_equal(below(0755, 0755, 01777, "write to its directory"), PROCD_SCRIPT_FORBIDDEN);
    /* What is above the root is not looked at. */
    assert_int_equal(chmod(top, 0777), 0);
    assert_int_equal(below(0755, 0755, 0755, "/cgi/up/own/x"), PROCD_SCRIPT_STARTED);
    assert_int_equal(chmod(top, 0755), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(in_top("cgi/up"), 12345, 0), 0);
        assert_int_equal(below(0755, 0755, 0755, "a directory above it belongs"), PROCD_SCRIPT_FORBIDDEN);
        assert_int_equal(chown(in_top("cgi/up"), 0, 0), 0);
    }
}

/* Of roots within each other the innermost counts. */
static void a_root_in_a_root(void **state)
{
    char outer[128], inner[160], *roots[] = { outer, inner };
    uid_t me = getuid();
    script_rules rules = { roots, 2, NULL, 1, 1, &me, 1 };
    script_file file;
    char why[200];

    (void)state;
    snprintf(outer, sizeof(outer), "%s/cgi", top);
    snprintf(inner, sizeof(inner), "%s/up", outer);
    assert_int_equal(chmod(outer, 0777), 0);
    assert_int_equal(script_check(&rules, in_top("cgi/up/own/x"), &file, why, sizeof(why)), PROCD_SCRIPT_STARTED);
    rules.n_roots = 1;
    assert_int_equal(script_check(&rules, in_top("cgi/up/own/x"), &file, why, sizeof(why)), PROCD_SCRIPT_FORBIDDEN);
    assert_int_equal(chmod(outer, 0755), 0);
}

static void in_a_chroot(void **state)
{
    setting s = { "cgi", 1, 0, 0, top };
    char root[128], *roots[] = { root };
    script_rules rules = { roots, 1, top, 1, 0, NULL, 0 };
    script_file file;
    char why[200];

    (void)state;
    snprintf(root, sizeof(root), "%s/cgi", top);
    assert_int_equal(script_check(&rules, make("cgi/a", 0755), &file, why, sizeof(why)), PROCD_SCRIPT_STARTED);
    assert_string_equal(file.path, "/cgi/a");
    assert_int_equal(file.dir_len, 4);
    s.chroot_dir = "/usr";
    assert_int_equal(ask(s, in_top("cgi/a"), "SpawnChroot"), PROCD_SCRIPT_FORBIDDEN);
}

static void variables(void **state)
{
    static char *list[] = { (char *)"PATH=/bin", (char *)"A=1", NULL };

    (void)state;
    assert_true(script_env_is_safe("QUERY_STRING=a"));
    assert_true(script_env_is_safe("HTTP_HOST=a"));
    assert_true(script_env_is_safe("SSL_CLIENT_S_DN=a"));
    assert_false(script_env_is_safe("LD_PRELOAD=/x"));
    assert_false(script_env_is_safe("PERL5OPT=-Mx"));
    assert_false(script_env_is_safe("PATH=/x"));
    assert_false(script_env_is_safe("QUERY_STRING_X=1"));
    assert_false(script_env_is_safe("QUERY=1"));
    assert_true(script_env_is_sane("A=1"));
    assert_true(script_env_is_sane("A="));
    assert_false(script_env_is_sane("HTTP_PROXY=x"));
    assert_true(script_env_is_sane("HTTP_PROXY_X=x"));
    assert_false(script_env_is_sane("A"));
    assert_false(script_env_is_sane("=b"));
    assert_false(script_env_is_sane("1A=b"));
    assert_false(script_env_is_sane("A B=b"));
    assert_false(script_env_is_sane("BASH_FUNC_x%%=() { :; }"));
    assert_true(script_env_has(list, "A=2"));
    assert_false(script_env_has(list, "AB=2"));
    assert_false(script_env_has(NULL, "A=2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_scripts_may_be), cmocka_unit_test(links_lead_where_they_lead),
        cmocka_unit_test(what_a_script_is),     cmocka_unit_test(as_another_user),
        cmocka_unit_test(directories_above),    cmocka_unit_test(a_root_in_a_root),
        cmocka_unit_test(in_a_chroot),          cmocka_unit_test(variables),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
