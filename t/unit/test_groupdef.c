/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/groupdef.c mod_procd/groupdef_set.c mod_procd/groupdef_log.c mod_procd/groupdef_text.c mod_procd/groupdef_cgroup.c */
/* The parser of <Spawn>: P1 to P6, P11, D4 to D8, D19, G7, G9, G13, G14, G19, G20, G28 as far as the text goes. */
#include "groupdef.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>

#include <cmocka.h>

static procd_groupdef *good(const char *text)
{
    procd_deferror error;
    procd_groupdef *def;

    if (procd_groupdef_parse(&def, "php", text, strlen(text), &error) != 0) {
        fail_msg("line %d: %s", error.line, error.text);
    }
    return def;
}

/* The error is on that line and contains both words. */
static void bad(const char *text, int line, const char *what, const char *more)
{
    procd_deferror error;
    procd_groupdef *def;

    if (procd_groupdef_parse(&def, "php", text, strlen(text), &error) == 0) {
        fail_msg("accepted: %s", text);
    }
    assert_null(def);
    if (!strstr(error.text, what) || !strstr(error.text, more)) {
        fail_msg("\"%s\" has not \"%s\" and \"%s\"", error.text, what, more);
    }
    assert_int_equal(error.line, line);
}

/* P2 P3: CGI. */
static void test_pipe(void **state)
{
    procd_groupdef *d = good("SpawnSocketType pipe\nSpawnScriptRoot /srv/cgi /srv/more\nSpawnScriptRoot /x\n"
                             "SpawnScriptOwner root '#1000'\nSpawnProcesses 1 32");

    (void)state;
    assert_int_equal(d->socket_type, PROCD_SOCKET_PIPE);
    assert_int_equal(d->argc, 0);
    assert_null(d->argv);
    assert_int_equal(d->max, 32);
    assert_int_equal(d->n_script_roots, 3);
    assert_string_equal(d->script_roots[2], "/x");
    assert_int_equal(d->n_script_owners, 2);
    assert_string_equal(d->script_owners[1], "#1000");
    procd_groupdef_free(d);
    d = good("SpawnSocketType pipe\nSpawnCommand /usr/bin/perl -wT");
    assert_int_equal(d->argc, 2);
    procd_groupdef_free(d);
    bad("SpawnSocketType pipe\nSpawnSocketName /x", 2, "SpawnSocketName", "no meaning");
    bad("SpawnSocketType pipe\nSpawnConcurrency 2", 2, "SpawnConcurrency", "no meaning");
    bad("SpawnSocketType pipe\nSpawnMaxRequests 2", 2, "SpawnMaxRequests", "no meaning");
    bad("SpawnIdleTimeout 2\nSpawnSocketType pipe", 1, "SpawnIdleTimeout", "no meaning");
    bad("SpawnSocketType pipe\nSpawnStart ondemand", 2, "SpawnStart", "no meaning");
    bad("SpawnSocketType pipe\nSpawnScriptRoot cgi-bin", 2, "cgi-bin", "absolute");
    bad("SpawnSocketType pipe\nSpawnScriptRoot /", 2, "SpawnScriptRoot", "not /");
    bad("SpawnCommand /x\nSpawnScriptRoot /srv", 2, "SpawnScriptRoot", "needs SpawnSocketType pipe");
    bad("SpawnCommand /x\nSpawnScriptOwner root", 2, "SpawnScriptOwner", "needs SpawnSocketType pipe");
}

static void test_defaults(void **state)
{
    procd_groupdef *d = good("SpawnCommand /usr/bin/php-cgi");

    (void)state;
    assert_string_equal(d->argv[0], "/usr/bin/php-cgi");
    assert_int_equal(d->argc, 1);
    assert_int_equal(d->min, 1); /* G13 */
    assert_int_equal(d->max, 4);
    assert_int_equal(d->concurrency, 1);
    assert_int_equal(d->idle_ms, 60000);
    assert_int_equal(d->max_requests, 0);
    assert_int_equal(d->start_timeout_ms, 30000);
    assert_int_equal(d->stop_timeout_ms, 10000);
    assert_int_equal(d->backoff_min_ms, 100);
    assert_int_equal(d->backoff_max_ms, 30000);
    assert_int_equal(d->kill_signal, SIGTERM); /* G19 */
    assert_int_equal(d->socket_type, PROCD_SOCKET_UNIX);
    assert_int_equal(d->log_kind, PROCD_LOG_INHERIT);
    assert_null(d->user);
    procd_groupdef_free(d);
}

static void test_everything(void **state)
{
    procd_groupdef *d =
        good("# a comment\n\n"
             "  spawncommand /usr/bin/perl -wT \"a b\" 'it\\'s' a\\b\r\n"
             "SpawnProcesses 0 8\nSpawnConcurrency 16\nSpawnIdleTimeout 2min\nSpawnMaxRequests 1000 10%\n"
             "SpawnStartTimeout 500ms\nSpawnStopTimeout 1h\nSpawnRestart backoff=1s..1min\n"
             "SpawnStart ondemand\nSpawnUser reports\nSpawnGroup #33\nSpawnChroot /srv\n"
             "SpawnDirectory /www\nSpawnUmask 027\nSpawnNice -5\nSpawnLimit nofile 1K unlimited\n"
             "SpawnLimit as 2G\nSpawnEnvironment A=B \"C=d e\"\nSpawnEnvironment E=\n"
             "SpawnCopyEnvironment LANG TZ\nSpawnKillSignal usr1\nSpawnErrorLog logs/%{name}/%{name}.log");

    (void)state;
    assert_int_equal(d->argc, 5);
    assert_string_equal(d->argv[2], "a b");
    assert_string_equal(d->argv[3], "it's");
    assert_string_equal(d->argv[4], "a\\b");
    assert_null(d->argv[5]);
    assert_int_equal(d->min, 0);
    assert_int_equal(d->max, 8);
    assert_int_equal(d->concurrency, 16);
    assert_int_equal(d->idle_ms, 120000);
    assert_int_equal(d->max_requests, 1000);
    assert_int_equal(d->jitter_percent, 10);
    assert_int_equal(d->start_timeout_ms, 500);
    assert_int_equal(d->stop_timeout_ms, 3600000);
    assert_int_equal(d->backoff_max_ms, 60000);
    assert_int_equal(d->start_always, 0);
    assert_string_equal(d->user, "reports");
    assert_string_equal(d->group, "#33");
    assert_int_equal(d->umask_bits, 027);
    assert_int_equal(d->nice, -5);
    assert_int_equal(d->n_limits, 2);
    assert_int_equal(d->limits[0].resource, RLIMIT_NOFILE);
    assert_int_equal(d->limits[0].soft, 1024);
    assert_true(d->limits[0].hard == UINT64_MAX);
    assert_true(d->limits[1].hard == (uint64_t)2 << 30);
    assert_int_equal(d->n_environment, 3);
    assert_string_equal(d->environment[1], "C=d e");
    assert_string_equal(d->environment[2], "E=");
    assert_int_equal(d->n_copy_environment, 2);
    assert_int_equal(d->kill_signal, SIGUSR1);
    assert_string_equal(d->log_path, "logs/php/php.log");
    procd_groupdef_free(d);
}

/* P4: one process for each address. */
static void test_addresses(void **state)
{
    procd_groupdef *d = good("SpawnCommand /x\nSpawnSocketType tcp\nSpawnSocketName 127.0.0.1:9000 [::1]:9001\n"
                             "SpawnSocketName localhost:9002");

    (void)state;
    assert_int_equal(d->n_socket_names, 3);
    assert_int_equal(d->min, 3);
    assert_int_equal(d->max, 3);
    procd_groupdef_free(d);
    bad("SpawnCommand /x\nSpawnSocketName 127.0.0.1:9000", 2, "127.0.0.1:9000", "absolute path");
    bad("SpawnCommand /x\nSpawnSocketType tcp\nSpawnSocketName /run/x", 3, "/run/x", "port");
    bad("SpawnCommand /x\nSpawnSocketType tcp\nSpawnSocketName example.org:80", 3, "example.org:80", "IPv4 address");
    bad("SpawnCommand /x\nSpawnSocketType tcp\nSpawnSocketName 127.0.0.1:65536", 3, "65536", "1 to 65535");
    bad("SpawnCommand /x\nSpawnSocketName /a /a", 2, "/a", "twice");
    bad("SpawnCommand /x\nSpawnSocketName /a /b\nSpawnProcesses 1 3", 2, "2 addresses", "maximum of 3");
}

/* G20: nothing is ignored in silence. */
static void test_errors(void **state)
{
    (void)state;
    bad("", 0, "SpawnCommand is missing", "");
    bad("SpawnCommand /x\nSpawnComand /y", 2, "SpawnComand", "not a directive");
    bad("SpawnCommand php-cgi", 1, "php-cgi", "absolute path");
    bad("SpawnCommand", 1, "SpawnCommand", "PROGRAM");
    bad("SpawnCommand /x\n\nSpawnCommand /y", 3, "twice", "line 1");
    bad("SpawnCommand \"/x", 1, "quote", "not closed");
    bad("SpawnCommand /x\nSpawnProcesses 5 4", 2, "5 4", "MIN must not be more than MAX");
    bad("SpawnCommand /x\nSpawnProcesses 0", 2, "\"0\"", "MIN MAX");
    bad("SpawnCommand /x\nSpawnProcesses -1 4", 2, "-1", "MIN MAX");
    bad("SpawnCommand /x\nSpawnProcesses 1 99999999999999999999", 2, "9999", "240");
    bad("SpawnCommand /x\nSpawnProcesses 1 2 3", 2, "SpawnProcesses", "takes: SpawnProcesses N | MIN MAX");
    bad("SpawnCommand /x\nSpawnIdleTimeout 5days", 2, "5days", "30s");
    bad("SpawnCommand /x\nSpawnStopTimeout 0", 2, "\"0\"", "not 0");
    bad("SpawnCommand /x\nSpawnMaxRequests 10 10", 2, "\"10\"", "10%");
    bad("SpawnCommand /x\nSpawnMaxRequests 10 101%", 2, "101%", "100%");
    bad("SpawnCommand /x\nSpawnRestart backoff=2s..1s", 2, "backoff=2s..1s", "FIRST..MOST");
    bad("SpawnCommand /x\nSpawnRestart backoff=0..1s", 2, "backoff=0..1s", "at least 10ms");
    bad("SpawnCommand /x\nSpawnStart sometimes", 2, "sometimes", "always or ondemand");
    bad("SpawnCommand /x\nSpawnStart always\nSpawnProcesses 0 1", 0, "SpawnStart always", "MIN 1");
    bad("SpawnCommand /x\nSpawnUmask 888", 2, "888", "octal");
    bad("SpawnCommand /x\nSpawnLimit files 1", 2, "files", "nofile");
    bad("SpawnCommand /x\nSpawnLimit nofile 2 1", 2, "nofile", "soft limit");
    bad("SpawnCommand /x\nSpawnEnvironment A", 2, "\"A\"", "NAME=VALUE");
    bad("SpawnCommand /x\nSpawnEnvironment 1A=b", 2, "1A=b", "NAME=VALUE");
    bad("SpawnCommand /x\nSpawnCopyEnvironment A=b", 2, "A=b", "names");
    bad("SpawnCommand /x\nSpawnKillSignal SIGFOO", 2, "SIGFOO", "USR1");
    bad("SpawnCommand /x\nSpawnErrorLog %{host}", 2, "%{host}", "%{name}");
    bad("SpawnCommand /x\nSpawnDirectory www", 2, "www", "absolute path");
    bad("SpawnCommand /x\nSpawn\001Bad", 2, "Spawn?Bad", "not a directive");
}

static void test_later(void **state)
{
    (void)state;
    bad("SpawnApp python /x.py", 1, "SpawnApp", "not available in this version");
    bad("SpawnCommand /x\nSpawnPreload x", 2, "SpawnPreload", "not available in this version");
    bad("SpawnCommand /x\nSpawnSocketType fifo", 2, "fifo", "unix, tcp or pipe");
}

static void test_bytes(void **state)
{
    procd_deferror error;
    procd_groupdef *def;
    char *large = calloc(1, PROCD_TEXT_MAX + 2);

    (void)state;
    assert_int_equal(procd_groupdef_parse(&def, "x", "SpawnCommand /x\n\0", 17, &error), -1);
    assert_non_null(strstr(error.text, "NUL"));
    memset(large, '\n', PROCD_TEXT_MAX + 1);
    assert_int_equal(procd_groupdef_parse(&def, "x", large, PROCD_TEXT_MAX + 1, &error), -1);
    assert_non_null(strstr(error.text, "longer"));
    memcpy(large, "SpawnCommand /x", 15);
    for (int i = 15; i < 15 + 2 * PROCD_WORDS_MAX; i += 2) {
        memcpy(large + i, " a", 2);
    }
    assert_int_equal(procd_groupdef_parse(&def, "x", large, PROCD_TEXT_MAX, &error), -1);
    assert_non_null(strstr(error.text, "more than 512 values"));
    free(large);
}

static void test_names_and_numbers(void **state)
{
    uint64_t bytes;
    int64_t ms;

    (void)state;
    assert_true(procd_name_ok("a"));
    assert_true(procd_name_ok("php8.2-fpm_x"));
    assert_false(procd_name_ok(""));
    assert_false(procd_name_ok(".."));
    assert_false(procd_name_ok("a/b"));
    assert_false(procd_name_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_int_equal(procd_parse_size("5m", &bytes), 0);
    assert_int_equal(bytes, 5 << 20);
    assert_int_equal(procd_parse_size("18446744073709551616", &bytes), -1);
    assert_int_equal(procd_parse_size("99999999999T", &bytes), -1);
    assert_int_equal(procd_parse_duration("99999999999999h", &ms), -1);
    assert_int_equal(procd_parse_duration("1.5s", &ms), -1);
    assert_int_equal(procd_parse_signal("15"), SIGTERM);
    assert_int_equal(procd_parse_signal("0"), -1);
}

static void test_logs(void **state)
{
    procd_groupdef *d =
        good("SpawnCommand /x\nSpawnErrorLog \"|/usr/bin/rotatelogs '/var/log/a b/%{name}.%Y' 86400\"\n");

    (void)state;
    assert_int_equal(d->log_kind, PROCD_LOG_PROGRAM);
    assert_string_equal(d->log_argv[0], "/usr/bin/rotatelogs");
    assert_string_equal(d->log_argv[1], "/var/log/a b/php.%Y");
    assert_string_equal(d->log_argv[2], "86400");
    assert_null(d->log_argv[3]);
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\nSpawnErrorLog syslog:local1:app-%{name}\n");
    assert_true(d->log_kind == PROCD_LOG_SYSLOG && d->log_facility == LOG_LOCAL1);
    assert_string_equal(d->log_path, "app-php");
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\nSpawnErrorLog syslog\n");
    assert_true(d->log_kind == PROCD_LOG_SYSLOG && d->log_facility == LOG_DAEMON);
    assert_string_equal(d->log_path, "php");
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\nSpawnErrorLog logs/%{name}/%{name}.log\n");
    assert_string_equal(d->log_path, "logs/php/php.log");
    assert_false(d->log_by_host);
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\nSpawnErrorLog /l/%{SERVER_NAME}/%{name}.%{SERVER_NAME}.log\n");
    assert_true(d->log_kind == PROCD_LOG_FILE && d->log_by_host);
    assert_string_equal(d->log_path, "/l/%{SERVER_NAME}/php.%{SERVER_NAME}.log");
    procd_groupdef_free(d);
    bad("SpawnCommand /x\nSpawnErrorLog /l/%{SERVER_NAME", 2, "SpawnErrorLog", "%{SERVER_NAME}");
    bad("SpawnCommand /x\nSpawnErrorLog /l/%{server_name}", 2, "SpawnErrorLog", "%{SERVER_NAME}");
    bad("SpawnCommand /x\nSpawnErrorLog %{SERVER_NAME}%{SERVER_NAME}%{SERVER_NAME}%{SERVER_NAME}%{SERVER_NAME}", 2,
        "SpawnErrorLog", "4 times");
    bad("SpawnCommand /x\nSpawnErrorLog \"|/bin/cat %{SERVER_NAME}\"", 2, "|/bin/cat", "only in the path");
    bad("SpawnCommand /x\nSpawnErrorLog syslog:local1:%{SERVER_NAME}", 2, "syslog", "only in the path");
    bad("SpawnCommand /x\nSpawnErrorLog |cat", 2, "SpawnErrorLog \"|cat\"", "absolute path");
    bad("SpawnCommand /x\nSpawnErrorLog syslog:nowhere", 2, "syslog:nowhere", "local1");
    bad("SpawnCommand /x\nSpawnErrorLog a%{name}%d", 2, "SpawnErrorLog", "no other %");
}

/* P11: cgroups. */
static void test_cgroup(void **state)
{
    procd_groupdef *d = good("SpawnCommand /x\nSpawnCgroup path=/sys/fs/cgroup/apps memory.max=256M cpu.max=150% "
                             "pids.max=100 memory.high=max cpu.weight=10000");

    (void)state;
    assert_true(d->has_cgroup);
    assert_string_equal(d->cgroup_parent, "/sys/fs/cgroup/apps");
    for (int i = 0; procd_cgroup_file(i); i++) {
        const char *file = procd_cgroup_file(i), *value = d->cgroup_values[i];

        assert_non_null(procd_cgroup_unset(i));
        if (strcmp(file, "memory.max") == 0) {
            assert_string_equal(value, "268435456");
        }
        else if (strcmp(file, "cpu.max") == 0) {
            assert_string_equal(value, "150000 100000");
        }
        else if (strcmp(file, "pids.max") == 0) {
            assert_string_equal(value, "100");
        }
        else if (strcmp(file, "memory.high") == 0) {
            assert_string_equal(value, "max");
        }
        else if (strcmp(file, "cpu.weight") == 0) {
            assert_string_equal(value, "10000");
        }
        else {
            assert_null(value);
        }
    }
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\nSpawnCgroup\n");
    assert_true(d->has_cgroup && !d->cgroup_parent);
    procd_groupdef_free(d);
    d = good("SpawnCommand /x\n");
    assert_false(d->has_cgroup);
    procd_groupdef_free(d);
    bad("SpawnCommand /x\nSpawnCgroup x", 2, "SpawnCgroup \"x\"", "memory.max");
    bad("SpawnCommand /x\nSpawnCgroup cgroup.procs=1", 2, "cgroup.procs=1", "FILE=VALUE");
    bad("SpawnCommand /x\nSpawnCgroup memory.max", 2, "memory.max", "FILE=VALUE");
    bad("SpawnCommand /x\nSpawnCgroup memory.max=", 2, "memory.max=", "bytes");
    bad("SpawnCommand /x\nSpawnCgroup memory.max=-1", 2, "memory.max=-1", "bytes");
    bad("SpawnCommand /x\nSpawnCgroup cpu.max=50", 2, "cpu.max=50", "100000%");
    bad("SpawnCommand /x\nSpawnCgroup cpu.max=%", 2, "cpu.max=%", "100000%");
    bad("SpawnCommand /x\nSpawnCgroup cpu.max=0%", 2, "cpu.max=0%", "100000%");
    bad("SpawnCommand /x\nSpawnCgroup cpu.max=100001%", 2, "cpu.max=100001%", "100000%");
    bad("SpawnCommand /x\nSpawnCgroup cpu.max=99999999999%", 2, "cpu.max", "100000%");
    bad("SpawnCommand /x\nSpawnCgroup pids.max=0", 2, "pids.max=0", "4194304");
    bad("SpawnCommand /x\nSpawnCgroup cpu.weight=10001", 2, "10001", "1 to 10000");
    bad("SpawnCommand /x\nSpawnCgroup memory.oom.group=2", 2, "oom.group=2", "0 or 1");
    bad("SpawnCommand /x\nSpawnCgroup pids.max=1 pids.max=2", 2, "pids.max", "twice");
    bad("SpawnCommand /x\nSpawnCgroup path=/a path=/b", 2, "path=", "twice");
    bad("SpawnCommand /x\nSpawnCgroup path=apps", 2, "path=apps", "absolute");
    bad("SpawnCommand /x\nSpawnCgroup path=/a/../b", 2, "path=/a/../b", "absolute");
    bad("SpawnCommand /x\nSpawnCgroup path=/a/..", 2, "path=/a/..", "absolute");
    bad("SpawnCommand /x\nSpawnCgroup path=/a\nSpawnCgroup pids.max=1", 3, "SpawnCgroup", "appears twice");
}

static void test_wear(void **state)
{
    procd_groupdef *d =
        good("SpawnCommand /x\nSpawnProcesses 1 8\nSpawnSpare 2\nSpawnMaxMemory 256M pss\nSpawnMaxCPU 10min\n"
             "SpawnMaxAge 12h\nSpawnRequestTimeout 500ms\nSpawnWatch /a /b\nSpawnWatch /c\n");

    (void)state;
    assert_true(d->spare == 2 && d->max_memory == 256u << 20 && d->memory_pss && d->max_cpu_ms == 600000);
    assert_true(d->max_age_ms == 12 * 3600000 && d->request_timeout_ms == 500 && d->n_watch == 3);
    assert_string_equal(d->watch[2], "/c");
    procd_groupdef_free(d);
    bad("SpawnCommand /x\nSpawnProcesses 1 2\nSpawnSpare 2", 0, "SpawnSpare 2", "less than MAX");
    bad("SpawnCommand /x\nSpawnMaxMemory 1000", 2, "SpawnMaxMemory \"1000\"", "at least 1M");
    bad("SpawnCommand /x\nSpawnMaxMemory 10M vsz", 2, "SpawnMaxMemory \"vsz\"", "rss or pss");
    bad("SpawnCommand /x\nSpawnMaxAge soon", 2, "SpawnMaxAge \"soon\"", "a time such as");
    bad("SpawnCommand /x\nSpawnWatch file", 2, "SpawnWatch \"file\"", "absolute paths");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_cgroup),
        cmocka_unit_test(test_wear),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_names_and_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
