/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The directives of a group. Each has a row in `directives`: how many words it takes, whether it may repeat, and the
 * function that understands them. A new directive is a row and a function.
 *
 * A directive of the documentation that this version does not have is a row without a function: it is rejected by name,
 * never ignored. */
#include "groupdef_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

/* ------------------------------------------------------------------ one function for each directive */

static int set_command(procd_parse *p)
{
    procd_groupdef *def = p->def;

    if (p->words[0][0] != '/') {
        return procd_def_bad(p, p->words[0], "the program's absolute path, then its arguments");
    }
    def->argv = procd_arena_alloc(p->arena, (size_t)(p->n + 1) * sizeof(char *));
    if (!def->argv) {
        return -1;
    }
    memcpy(def->argv, p->words, (size_t)p->n * sizeof(char *));
    def->argc = p->n;
    return 0;
}

static int set_socket_type(procd_parse *p)
{
    if (strcasecmp(p->words[0], "unix") == 0) {
        p->def->socket_type = PROCD_SOCKET_UNIX;
    }
    else if (strcasecmp(p->words[0], "tcp") == 0) {
        p->def->socket_type = PROCD_SOCKET_TCP;
    }
    else if (strcasecmp(p->words[0], "pipe") == 0) {
        p->def->socket_type = PROCD_SOCKET_PIPE;
    }
    else {
        return procd_def_bad(p, p->words[0], "unix, tcp or pipe");
    }
    return 0;
}

/* The words of this line behind those of earlier ones. */
static int append_words(procd_parse *p, char ***list, int *n)
{
    char **grown;

    if (*n + p->n > PROCD_WORDS_MAX) {
        return procd_def_fail(p, "has more than %d values", PROCD_WORDS_MAX);
    }
    grown = procd_arena_alloc(p->arena, (size_t)(*n + p->n + 1) * sizeof(char *));
    if (!grown) {
        return -1;
    }
    if (*n) {
        memcpy(grown, *list, (size_t)*n * sizeof(char *));
    }
    memcpy(grown + *n, p->words, (size_t)p->n * sizeof(char *));
    *list = grown;
    *n += p->n;
    return 0;
}

/* Whether they fit the type is known when all lines were read: see check_whole(). */
static int set_socket_name(procd_parse *p)
{
    return append_words(p, &p->def->socket_names, &p->def->n_socket_names);
}

static int set_processes(procd_parse *p)
{
    static const char accepted[] = "N or MIN MAX, MIN 0 to 240 and MAX 1 to 240";
    procd_groupdef *def = p->def;
    int low, high;

    if (procd_parse_int(p->words[0], 0, PROCD_PROCESSES_MAX, &low) != 0) {
        return procd_def_bad(p, p->words[0], accepted);
    }
    high = low;
    if (p->n == 2 && procd_parse_int(p->words[1], 1, PROCD_PROCESSES_MAX, &high) != 0) {
        return procd_def_bad(p, p->words[1], accepted);
    }
    if (high == 0) {
        return procd_def_bad(p, p->words[0], accepted);
    }
    if (low > high) {
        return procd_def_fail(p, "%d %d: MIN must not be more than MAX", low, high);
    }
    def->min = low;
    def->max = high;
    p->has_processes = 1;
    return 0;
}

static int set_concurrency(procd_parse *p)
{
    if (procd_parse_int(p->words[0], 1, 10000, &p->def->concurrency) != 0) {
        return procd_def_bad(p, p->words[0], "the number of requests that a process takes at once, 1 to 10000");
    }
    return 0;
}

static int set_duration(procd_parse *p, int64_t *ms, int64_t least)
{
    if (procd_parse_duration(p->words[0], ms) != 0 || *ms < least) {
        return procd_def_bad(p, p->words[0],
                             least ? "a time such as 500ms, 30s, 2min or 1h, and not 0"
                                   : "a time such as 30s, 2min or 1h");
    }
    return 0;
}

static int set_idle_timeout(procd_parse *p)
{
    return set_duration(p, &p->def->idle_ms, 0);
}

static int set_start_timeout(procd_parse *p)
{
    return set_duration(p, &p->def->start_timeout_ms, 1);
}

static int set_stop_timeout(procd_parse *p)
{
    return set_duration(p, &p->def->stop_timeout_ms, 1);
}

static int set_max_requests(procd_parse *p)
{
    char *percent = p->words[1];
    size_t len;
    int value;

    if (procd_parse_int(p->words[0], 0, 1000000000, &value) != 0) {
        return procd_def_bad(p, p->words[0], "a number of requests, 0 for no limit, then perhaps a jitter such as 10%");
    }
    p->def->max_requests = (uint32_t)value;
    if (p->n == 2) {
        len = strlen(percent);
        if (len < 2 || percent[len - 1] != '%') {
            return procd_def_bad(p, percent, "a jitter such as 10%");
        }
        percent[len - 1] = '\0';
        if (procd_parse_int(percent, 0, 100, &value) != 0) {
            percent[len - 1] = '%';
            return procd_def_bad(p, percent, "a jitter of 0% to 100%");
        }
        p->def->jitter_percent = (uint32_t)value;
    }
    return 0;
}

static int set_spare(procd_parse *p)
{
    if (procd_parse_int(p->words[0], 0, PROCD_PROCESSES_MAX, &p->def->spare) != 0) {
        return procd_def_bad(p, p->words[0], "a number of processes, 0 to 240");
    }
    return 0;
}

static int set_max_memory(procd_parse *p)
{
    if (procd_parse_size(p->words[0], &p->def->max_memory) != 0
        || (p->def->max_memory && p->def->max_memory < 1024 * 1024)) {
        return procd_def_bad(p, p->words[0], "a size such as 256M, at least 1M, or 0 for no bound");
    }
    if (p->n == 2 && strcasecmp(p->words[1], "pss") != 0 && strcasecmp(p->words[1], "rss") != 0) {
        return procd_def_bad(p, p->words[1], "rss or pss");
    }
    p->def->memory_pss = p->n == 2 && strcasecmp(p->words[1], "pss") == 0;
    return 0;
}

static int set_max_cpu(procd_parse *p)
{
    return set_duration(p, &p->def->max_cpu_ms, 0);
}

static int set_max_age(procd_parse *p)
{
    return set_duration(p, &p->def->max_age_ms, 0);
}

static int set_request_timeout(procd_parse *p)
{
    return set_duration(p, &p->def->request_timeout_ms, 0);
}

static int set_watch(procd_parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->words[i][0] != '/') {
            return procd_def_bad(p, p->words[i], "absolute paths of files");
        }
    }
    if (append_words(p, &p->def->watch, &p->def->n_watch) != 0) {
        return -1;
    }
    return p->def->n_watch <= PROCD_WATCH_MAX ? 0 : procd_def_fail(p, "has more than %d files", PROCD_WATCH_MAX);
}

static int set_restart(procd_parse *p)
{
    static const char accepted[] = "backoff=FIRST..MOST, such as backoff=100ms..30s";
    procd_groupdef *def = p->def;
    char *first = p->words[0] + 8, *dots;

    if (strncasecmp(p->words[0], "backoff=", 8) != 0 || !(dots = strstr(first, ".."))) {
        return procd_def_bad(p, p->words[0], accepted);
    }
    first = procd_arena_copy(p->arena, first, (size_t)(dots - first));
    if (!first) {
        return -1;
    }
    if (procd_parse_duration(first, &def->backoff_min_ms) != 0
        || procd_parse_duration(dots + 2, &def->backoff_max_ms) != 0 || def->backoff_min_ms < 10) {
        return procd_def_bad(p, p->words[0],
                             "backoff=FIRST..MOST, such as backoff=100ms..30s, with FIRST at least 10ms");
    }
    if (def->backoff_max_ms < def->backoff_min_ms) {
        return procd_def_bad(p, p->words[0], accepted);
    }
    return 0;
}

static int set_start(procd_parse *p)
{
    if (strcasecmp(p->words[0], "always") == 0) {
        p->def->start_always = 1;
    }
    else if (strcasecmp(p->words[0], "ondemand") == 0) {
        p->def->start_always = 0;
    }
    else {
        return procd_def_bad(p, p->words[0], "always or ondemand");
    }
    return 0;
}

static int set_user(procd_parse *p)
{
    p->def->user = p->words[0];
    return p->words[0][0] ? 0 : procd_def_bad(p, "", "the name of a user, or #UID");
}

static int set_group(procd_parse *p)
{
    p->def->group = p->words[0];
    return p->words[0][0] ? 0 : procd_def_bad(p, "", "the name of a group, or #GID");
}

static int set_absolute(procd_parse *p, char **path)
{
    if (p->words[0][0] != '/') {
        return procd_def_bad(p, p->words[0], "an absolute path");
    }
    *path = p->words[0];
    return 0;
}

static int set_chroot(procd_parse *p)
{
    return set_absolute(p, &p->def->chroot_dir);
}

static int set_directory(procd_parse *p)
{
    return set_absolute(p, &p->def->directory);
}

static int set_umask(procd_parse *p)
{
    char *end;
    unsigned long bits = strtoul(p->words[0], &end, 8);

    if (!isdigit((unsigned char)p->words[0][0]) || *end || bits > 0777) {
        return procd_def_bad(p, p->words[0], "an octal number of 000 to 777");
    }
    p->def->umask_bits = (mode_t)bits;
    return 0;
}

static int set_nice(procd_parse *p)
{
    if (procd_parse_int(p->words[0], -20, 19, &p->def->nice) != 0) {
        return procd_def_bad(p, p->words[0], "-20 to 19");
    }
    p->def->has_nice = 1;
    return 0;
}

static int limit_value(const char *word, uint64_t *value)
{
    if (strcasecmp(word, "unlimited") == 0) {
        *value = UINT64_MAX;
        return 0;
    }
    return procd_parse_size(word, value);
}

static int set_limit(procd_parse *p)
{
    static const struct {
        const char *name;
        int resource;
    } names[] = { { "as", RLIMIT_AS },         { "core", RLIMIT_CORE },
                  { "cpu", RLIMIT_CPU },       { "data", RLIMIT_DATA },
                  { "fsize", RLIMIT_FSIZE },   { "memlock", RLIMIT_MEMLOCK },
                  { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC },
                  { "rss", RLIMIT_RSS },       { "stack", RLIMIT_STACK },
                  { "locks", RLIMIT_LOCKS },   { "msgqueue", RLIMIT_MSGQUEUE },
                  { "nice", RLIMIT_NICE },     { "rtprio", RLIMIT_RTPRIO },
                  { "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING } };
    procd_rlimit limit = { -1, 0, 0 };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(p->words[0], names[i].name) == 0) {
            limit.resource = names[i].resource;
        }
    }
    if (limit.resource < 0) {
        return procd_def_bad(
            p, p->words[0],
            "as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending or "
            "stack");
    }
    for (int i = 1; i < p->n; i++) {
        if (limit_value(p->words[i], i == 1 ? &limit.soft : &limit.hard) != 0) {
            return procd_def_bad(p, p->words[i], "a number, perhaps with K, M or G, or unlimited");
        }
    }
    if (p->n == 2) {
        limit.hard = limit.soft;
    }
    if (limit.soft > limit.hard) {
        return procd_def_fail(p, "%s: the soft limit must not be more than the hard one", p->words[0]);
    }
    if (p->def->n_limits == PROCD_LIMITS_MAX) {
        return procd_def_fail(p, "may appear at most %d times", PROCD_LIMITS_MAX);
    }
    p->def->limits[p->def->n_limits++] = limit;
    return 0;
}

/* Absolute, and nothing that leads up again. */
static int set_cgroup_parent(procd_parse *p, const char *word)
{
    const char *path = word + 5;
    size_t len = strlen(path);

    if (p->def->cgroup_parent) {
        return procd_def_fail(p, "names path= twice");
    }
    if (path[0] != '/' || len > 2048 || strstr(path, "/../") || (len >= 3 && strcmp(path + len - 3, "/..") == 0)) {
        return procd_def_bad(p, word, "path= with the absolute path of a cgroup, such as /sys/fs/cgroup/apps");
    }
    p->def->cgroup_parent = procd_arena_copy(p->arena, path, len);
    return p->def->cgroup_parent ? 0 : -1;
}

static int set_cgroup(procd_parse *p)
{
    char value[PROCD_CGROUP_VALUE_ROOM];
    const char *accepted;
    int file;

    p->def->has_cgroup = 1;
    for (int i = 0; i < p->n; i++) {
        if (strncmp(p->words[i], "path=", 5) == 0) {
            if (set_cgroup_parent(p, p->words[i]) != 0) {
                return -1;
            }
            continue;
        }
        accepted = procd_cgroup_read(p->words[i], &file, value);
        if (accepted) {
            return procd_def_bad(p, p->words[i], accepted);
        }
        if (p->def->cgroup_values[file]) {
            return procd_def_fail(p, "sets %s twice", procd_cgroup_file(file));
        }
        p->def->cgroup_values[file] = procd_arena_copy(p->arena, value, strlen(value));
        if (!p->def->cgroup_values[file]) {
            return -1;
        }
    }
    return 0;
}

static int is_env_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!(isalnum((unsigned char)name[i]) || name[i] == '_') || (i == 0 && isdigit((unsigned char)name[i]))) {
            return 0;
        }
    }
    return len > 0;
}

static int set_environment(procd_parse *p)
{
    for (int i = 0; i < p->n; i++) {
        const char *equal = strchr(p->words[i], '=');

        if (!equal || !is_env_name(p->words[i], (size_t)(equal - p->words[i]))) {
            return procd_def_bad(p, p->words[i], "NAME=VALUE (in quotes when the value has blanks)");
        }
    }
    return append_words(p, &p->def->environment, &p->def->n_environment);
}

static int set_copy_environment(procd_parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!is_env_name(p->words[i], strlen(p->words[i]))) {
            return procd_def_bad(p, p->words[i], "names of environment variables");
        }
    }
    return append_words(p, &p->def->copy_environment, &p->def->n_copy_environment);
}

static int set_script_root(procd_parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->words[i][0] != '/' || strcmp(p->words[i], "/") == 0) {
            return procd_def_bad(p, p->words[i], "absolute paths of directories, but not /");
        }
    }
    return append_words(p, &p->def->script_roots, &p->def->n_script_roots);
}

static int set_script_owner(procd_parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!p->words[i][0]) {
            return procd_def_bad(p, "", "names of users, or #UID");
        }
    }
    return append_words(p, &p->def->script_owners, &p->def->n_script_owners);
}

static int set_kill_signal(procd_parse *p)
{
    p->def->kill_signal = procd_parse_signal(p->words[0]);
    return p->def->kill_signal > 0 ? 0 : procd_def_bad(p, p->words[0], "a signal such as TERM, USR1 or 15");
}

/* ------------------------------------------------------------------ the table */

static const procd_directive directives[] = {
    { "SpawnCommand", set_command, 1, -1, 0, "PROGRAM [ARGUMENT ...]" },
    { "SpawnSocketType", set_socket_type, 1, 1, 0, "unix | tcp | pipe" },
    { "SpawnSocketName", set_socket_name, 1, -1, 1, "ADDRESS ..." },
    { "SpawnProcesses", set_processes, 1, 2, 0, "N | MIN MAX" },
    { "SpawnConcurrency", set_concurrency, 1, 1, 0, "N" },
    { "SpawnSpare", set_spare, 1, 1, 0, "N" },
    { "SpawnMaxMemory", set_max_memory, 1, 2, 0, "SIZE [rss | pss]" },
    { "SpawnMaxCPU", set_max_cpu, 1, 1, 0, "TIME" },
    { "SpawnMaxAge", set_max_age, 1, 1, 0, "TIME" },
    { "SpawnRequestTimeout", set_request_timeout, 1, 1, 0, "TIME" },
    { "SpawnWatch", set_watch, 1, -1, 1, "FILE ..." },
    { "SpawnIdleTimeout", set_idle_timeout, 1, 1, 0, "TIME" },
    { "SpawnMaxRequests", set_max_requests, 1, 2, 0, "N [JITTER%]" },
    { "SpawnStartTimeout", set_start_timeout, 1, 1, 0, "TIME" },
    { "SpawnStopTimeout", set_stop_timeout, 1, 1, 0, "TIME" },
    { "SpawnRestart", set_restart, 1, 1, 0, "backoff=FIRST..MOST" },
    { "SpawnStart", set_start, 1, 1, 0, "always | ondemand" },
    { "SpawnUser", set_user, 1, 1, 0, "USER" },
    { "SpawnGroup", set_group, 1, 1, 0, "GROUP" },
    { "SpawnChroot", set_chroot, 1, 1, 0, "DIRECTORY" },
    { "SpawnDirectory", set_directory, 1, 1, 0, "DIRECTORY" },
    { "SpawnUmask", set_umask, 1, 1, 0, "OCTAL" },
    { "SpawnNice", set_nice, 1, 1, 0, "N" },
    { "SpawnLimit", set_limit, 2, 3, 1, "NAME SOFT [HARD]" },
    { "SpawnCgroup", set_cgroup, 0, -1, 0, "[path=DIRECTORY] [FILE=VALUE ...]" },
    { "SpawnEnvironment", set_environment, 1, -1, 1, "NAME=VALUE ..." },
    { "SpawnCopyEnvironment", set_copy_environment, 1, -1, 1, "NAME ..." },
    { "SpawnScriptRoot", set_script_root, 1, -1, 1, "DIRECTORY ..." },
    { "SpawnScriptOwner", set_script_owner, 1, -1, 1, "USER ..." },
    { "SpawnKillSignal", set_kill_signal, 1, 1, 0, "SIGNAL" },
    { "SpawnErrorLog", procd_set_error_log, 1, 1, 0, "PATH | \"|PROGRAM ...\" | syslog:FACILITY | inherit" },
    { "SpawnApp", NULL, 0, 0, 0, "" },
    { "SpawnThreads", NULL, 0, 0, 0, "" },
    { "SpawnPreload", NULL, 0, 0, 0, "" },
};

_Static_assert(sizeof(directives) / sizeof(directives[0]) <= PROCD_DIRECTIVES_MAX, "seen[] has room for all");

int procd_directives(const procd_directive **table)
{
    *table = directives;
    return (int)(sizeof(directives) / sizeof(directives[0]));
}
