/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The directives of a group. Each has a row in `directives`: how many words it takes, whether it may repeat, and the
 * function that understands them. A new directive is a row and a function.
 *
 * A directive of the documentation that this version does not have is a row without a function: it is rejected by name,
 * never ignored. */
#include "groupdef.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <syslog.h>

typedef struct parse {
    procd_groupdef *def;
    procd_arena *arena;
    procd_deferror *error;
    const char *directive; /* as the table spells it */
    int line;
    int n;                            /* words behind the directive's name */
    char *words[PROCD_WORDS_MAX + 1]; /* ends in NULL */
    int has_processes, has_concurrency;
} parse;

/* A word of the text inside a message: not too long. */
static const char *shown(const char *word, char buf[64])
{
    snprintf(buf, 64, "%.59s%s", word, strlen(word) > 59 ? "..." : "");
    return buf;
}

__attribute__((format(printf, 2, 3))) static int fail(parse *p, const char *format, ...)
{
    va_list args;
    int n = 0;

    p->error->line = p->line;
    if (p->directive) {
        n = snprintf(p->error->text, sizeof(p->error->text), "%s ", p->directive);
    }
    va_start(args, format);
    vsnprintf(p->error->text + n, sizeof(p->error->text) - (size_t)n, format, args);
    va_end(args);
    for (char *c = p->error->text; *c; c++) {
        if (!isprint((unsigned char)*c)) {
            *c = '?'; /* of the text's making */
        }
    }
    return -1;
}

static int bad_value(parse *p, const char *word, const char *accepted)
{
    char buf[64];

    return fail(p, "\"%s\" is not valid: it takes %s", shown(word, buf), accepted);
}

/* ------------------------------------------------------------------ one function for each directive */

static int set_command(parse *p)
{
    procd_groupdef *def = p->def;

    if (p->words[0][0] != '/') {
        return bad_value(p, p->words[0], "the program's absolute path, then its arguments");
    }
    def->argv = procd_arena_alloc(p->arena, (size_t)(p->n + 1) * sizeof(char *));
    if (!def->argv) {
        return -1;
    }
    memcpy(def->argv, p->words, (size_t)p->n * sizeof(char *));
    def->argc = p->n;
    return 0;
}

static int set_socket_type(parse *p)
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
        return bad_value(p, p->words[0], "unix, tcp or pipe");
    }
    return 0;
}

/* The words of this line behind those of earlier ones. */
static int append_words(parse *p, char ***list, int *n)
{
    char **grown;

    if (*n + p->n > PROCD_WORDS_MAX) {
        return fail(p, "has more than %d values", PROCD_WORDS_MAX);
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
static int set_socket_name(parse *p)
{
    return append_words(p, &p->def->socket_names, &p->def->n_socket_names);
}

static int set_processes(parse *p)
{
    static const char accepted[] = "N or MIN MAX, MIN 0 to 240 and MAX 1 to 240";
    procd_groupdef *def = p->def;
    int low, high;

    if (procd_parse_int(p->words[0], 0, PROCD_PROCESSES_MAX, &low) != 0) {
        return bad_value(p, p->words[0], accepted);
    }
    high = low;
    if (p->n == 2 && procd_parse_int(p->words[1], 1, PROCD_PROCESSES_MAX, &high) != 0) {
        return bad_value(p, p->words[1], accepted);
    }
    if (high == 0) {
        return bad_value(p, p->words[0], accepted);
    }
    if (low > high) {
        return fail(p, "%d %d: MIN must not be more than MAX", low, high);
    }
    def->min = low;
    def->max = high;
    p->has_processes = 1;
    return 0;
}

static int set_concurrency(parse *p)
{
    if (procd_parse_int(p->words[0], 1, 10000, &p->def->concurrency) != 0) {
        return bad_value(p, p->words[0], "the number of requests that a process takes at once, 1 to 10000");
    }
    return 0;
}

static int set_duration(parse *p, int64_t *ms, int64_t least)
{
    if (procd_parse_duration(p->words[0], ms) != 0 || *ms < least) {
        return bad_value(p, p->words[0],
                         least ? "a time such as 500ms, 30s, 2min or 1h, and not 0" : "a time such as 30s, 2min or 1h");
    }
    return 0;
}

static int set_idle_timeout(parse *p)
{
    return set_duration(p, &p->def->idle_ms, 0);
}

static int set_start_timeout(parse *p)
{
    return set_duration(p, &p->def->start_timeout_ms, 1);
}

static int set_stop_timeout(parse *p)
{
    return set_duration(p, &p->def->stop_timeout_ms, 1);
}

static int set_max_requests(parse *p)
{
    char *percent = p->words[1];
    size_t len;
    int value;

    if (procd_parse_int(p->words[0], 0, 1000000000, &value) != 0) {
        return bad_value(p, p->words[0], "a number of requests, 0 for no limit, then perhaps a jitter such as 10%");
    }
    p->def->max_requests = (uint32_t)value;
    if (p->n == 2) {
        len = strlen(percent);
        if (len < 2 || percent[len - 1] != '%') {
            return bad_value(p, percent, "a jitter such as 10%");
        }
        percent[len - 1] = '\0';
        if (procd_parse_int(percent, 0, 100, &value) != 0) {
            percent[len - 1] = '%';
            return bad_value(p, percent, "a jitter of 0% to 100%");
        }
        p->def->jitter_percent = (uint32_t)value;
    }
    return 0;
}

static int set_spare(parse *p)
{
    if (procd_parse_int(p->words[0], 0, PROCD_PROCESSES_MAX, &p->def->spare) != 0) {
        return bad_value(p, p->words[0], "a number of processes, 0 to 240");
    }
    return 0;
}

static int set_max_memory(parse *p)
{
    if (procd_parse_size(p->words[0], &p->def->max_memory) != 0
        || (p->def->max_memory && p->def->max_memory < 1024 * 1024)) {
        return bad_value(p, p->words[0], "a size such as 256M, at least 1M, or 0 for no bound");
    }
    if (p->n == 2 && strcasecmp(p->words[1], "pss") != 0 && strcasecmp(p->words[1], "rss") != 0) {
        return bad_value(p, p->words[1], "rss or pss");
    }
    p->def->memory_pss = p->n == 2 && strcasecmp(p->words[1], "pss") == 0;
    return 0;
}

static int set_max_cpu(parse *p)
{
    return set_duration(p, &p->def->max_cpu_ms, 0);
}

static int set_max_age(parse *p)
{
    return set_duration(p, &p->def->max_age_ms, 0);
}

static int set_request_timeout(parse *p)
{
    return set_duration(p, &p->def->request_timeout_ms, 0);
}

static int set_watch(parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->words[i][0] != '/') {
            return bad_value(p, p->words[i], "absolute paths of files");
        }
    }
    if (append_words(p, &p->def->watch, &p->def->n_watch) != 0) {
        return -1;
    }
    return p->def->n_watch <= PROCD_WATCH_MAX ? 0 : fail(p, "has more than %d files", PROCD_WATCH_MAX);
}

static int set_restart(parse *p)
{
    static const char accepted[] = "backoff=FIRST..MOST, such as backoff=100ms..30s";
    procd_groupdef *def = p->def;
    char *first = p->words[0] + 8, *dots;

    if (strncasecmp(p->words[0], "backoff=", 8) != 0 || !(dots = strstr(first, ".."))) {
        return bad_value(p, p->words[0], accepted);
    }
    first = procd_arena_copy(p->arena, first, (size_t)(dots - first));
    if (!first) {
        return -1;
    }
    if (procd_parse_duration(first, &def->backoff_min_ms) != 0
        || procd_parse_duration(dots + 2, &def->backoff_max_ms) != 0 || def->backoff_min_ms < 10) {
        return bad_value(p, p->words[0], "backoff=FIRST..MOST, such as backoff=100ms..30s, with FIRST at least 10ms");
    }
    if (def->backoff_max_ms < def->backoff_min_ms) {
        return bad_value(p, p->words[0], accepted);
    }
    return 0;
}

static int set_start(parse *p)
{
    if (strcasecmp(p->words[0], "always") == 0) {
        p->def->start_always = 1;
    }
    else if (strcasecmp(p->words[0], "ondemand") == 0) {
        p->def->start_always = 0;
    }
    else {
        return bad_value(p, p->words[0], "always or ondemand");
    }
    return 0;
}

static int set_user(parse *p)
{
    p->def->user = p->words[0];
    return p->words[0][0] ? 0 : bad_value(p, "", "the name of a user, or #UID");
}

static int set_group(parse *p)
{
    p->def->group = p->words[0];
    return p->words[0][0] ? 0 : bad_value(p, "", "the name of a group, or #GID");
}

static int set_absolute(parse *p, char **path)
{
    if (p->words[0][0] != '/') {
        return bad_value(p, p->words[0], "an absolute path");
    }
    *path = p->words[0];
    return 0;
}

static int set_chroot(parse *p)
{
    return set_absolute(p, &p->def->chroot_dir);
}

static int set_directory(parse *p)
{
    return set_absolute(p, &p->def->directory);
}

static int set_umask(parse *p)
{
    char *end;
    unsigned long bits = strtoul(p->words[0], &end, 8);

    if (!isdigit((unsigned char)p->words[0][0]) || *end || bits > 0777) {
        return bad_value(p, p->words[0], "an octal number of 000 to 777");
    }
    p->def->umask_bits = (mode_t)bits;
    return 0;
}

static int set_nice(parse *p)
{
    if (procd_parse_int(p->words[0], -20, 19, &p->def->nice) != 0) {
        return bad_value(p, p->words[0], "-20 to 19");
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

static int set_limit(parse *p)
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
        return bad_value(
            p, p->words[0],
            "as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending or "
            "stack");
    }
    for (int i = 1; i < p->n; i++) {
        if (limit_value(p->words[i], i == 1 ? &limit.soft : &limit.hard) != 0) {
            return bad_value(p, p->words[i], "a number, perhaps with K, M or G, or unlimited");
        }
    }
    if (p->n == 2) {
        limit.hard = limit.soft;
    }
    if (limit.soft > limit.hard) {
        return fail(p, "%s: the soft limit must not be more than the hard one", p->words[0]);
    }
    if (p->def->n_limits == PROCD_LIMITS_MAX) {
        return fail(p, "may appear at most %d times", PROCD_LIMITS_MAX);
    }
    p->def->limits[p->def->n_limits++] = limit;
    return 0;
}

/* Absolute, and nothing that leads up again. */
static int set_cgroup_parent(parse *p, const char *word)
{
    const char *path = word + 5;
    size_t len = strlen(path);

    if (p->def->cgroup_parent) {
        return fail(p, "names path= twice");
    }
    if (path[0] != '/' || len > 2048 || strstr(path, "/../") || (len >= 3 && strcmp(path + len - 3, "/..") == 0)) {
        return bad_value(p, word, "path= with the absolute path of a cgroup, such as /sys/fs/cgroup/apps");
    }
    p->def->cgroup_parent = procd_arena_copy(p->arena, path, len);
    return p->def->cgroup_parent ? 0 : -1;
}

static int set_cgroup(parse *p)
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
            return bad_value(p, p->words[i], accepted);
        }
        if (p->def->cgroup_values[file]) {
            return fail(p, "sets %s twice", procd_cgroup_file(file));
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

static int set_environment(parse *p)
{
    for (int i = 0; i < p->n; i++) {
        const char *equal = strchr(p->words[i], '=');

        if (!equal || !is_env_name(p->words[i], (size_t)(equal - p->words[i]))) {
            return bad_value(p, p->words[i], "NAME=VALUE (in quotes when the value has blanks)");
        }
    }
    return append_words(p, &p->def->environment, &p->def->n_environment);
}

static int set_copy_environment(parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!is_env_name(p->words[i], strlen(p->words[i]))) {
            return bad_value(p, p->words[i], "names of environment variables");
        }
    }
    return append_words(p, &p->def->copy_environment, &p->def->n_copy_environment);
}

static int set_script_root(parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->words[i][0] != '/' || strcmp(p->words[i], "/") == 0) {
            return bad_value(p, p->words[i], "absolute paths of directories, but not /");
        }
    }
    return append_words(p, &p->def->script_roots, &p->def->n_script_roots);
}

static int set_script_owner(parse *p)
{
    for (int i = 0; i < p->n; i++) {
        if (!p->words[i][0]) {
            return bad_value(p, "", "names of users, or #UID");
        }
    }
    return append_words(p, &p->def->script_owners, &p->def->n_script_owners);
}

static int set_kill_signal(parse *p)
{
    p->def->kill_signal = procd_parse_signal(p->words[0]);
    return p->def->kill_signal > 0 ? 0 : bad_value(p, p->words[0], "a signal such as TERM, USR1 or 15");
}

/* With the group's name, which has no slash, in place of every %{name}. @return NULL: no memory */
static char *with_name(parse *p, const char *from)
{
    size_t name = strlen(p->def->name);
    char *text = procd_arena_alloc(p->arena, strlen(from) / 7 * name + strlen(from) + 1), *out = text;
    const char *hit;

    for (; text && (hit = strstr(from, "%{name}")); from = hit + 7) {
        memcpy(out, from, (size_t)(hit - from));
        out = stpcpy(out + (hit - from), p->def->name);
    }
    if (text) {
        strcpy(out, from);
    }
    return text;
}

static int set_log_program(parse *p, const char *text)
{
    const char *at = text, *end = text + strlen(text);
    char **argv = procd_arena_alloc(p->arena, (PROCD_LOG_WORDS + 1) * sizeof(char *)), *word;
    int n = 0, bad = 0;

    while (argv && (word = procd_next_word(p->arena, &at, end, &bad)) && n < PROCD_LOG_WORDS) {
        argv[n++] = word;
    }
    if (!argv || bad || n == 0 || n == PROCD_LOG_WORDS || argv[0][0] != '/') {
        return bad_value(p, p->words[0],
                         "|PROGRAM with the program's absolute path, perhaps with arguments, in quotes");
    }
    p->def->log_kind = PROCD_LOG_PROGRAM;
    p->def->log_argv = argv;
    return 0;
}

/* syslog[:facility[:tag]], as ErrorLog has it. */
static int set_log_syslog(parse *p, const char *text)
{
    static const struct {
        const char *name;
        int facility;
    } names[] = { { "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON },
                  { "daemon", LOG_DAEMON }, { "ftp", LOG_FTP },           { "kern", LOG_KERN },
                  { "lpr", LOG_LPR },       { "mail", LOG_MAIL },         { "news", LOG_NEWS },
                  { "syslog", LOG_SYSLOG }, { "user", LOG_USER },         { "uucp", LOG_UUCP },
                  { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },     { "local2", LOG_LOCAL2 },
                  { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },     { "local5", LOG_LOCAL5 },
                  { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 } };
    const char *facility = text[6] == ':' ? text + 7 : "", *tag = strchr(facility, ':');
    size_t len = tag ? (size_t)(tag - facility) : strlen(facility);

    p->def->log_facility = len ? -1 : LOG_DAEMON;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i].name) == len && strncasecmp(facility, names[i].name, len) == 0) {
            p->def->log_facility = names[i].facility;
        }
    }
    if ((text[6] && text[6] != ':') || p->def->log_facility == -1) {
        return bad_value(p, p->words[0],
                         "syslog, syslog:FACILITY or syslog:FACILITY:TAG with a facility such as daemon or local1");
    }
    p->def->log_kind = PROCD_LOG_SYSLOG;
    p->def->log_path = with_name(p, tag && tag[1] ? tag + 1 : p->def->name);
    return p->def->log_path ? 0 : -1;
}

/* In the path %{SERVER_NAME} stands, and nothing else that has a %. */
static int set_log_file(parse *p, const char *from)
{
    const size_t len = strlen(PROCD_LOG_HOST);
    int hosts = 0;

    for (const char *at = strchr(p->def->log_path, '%'); at; at = strchr(at + len, '%')) {
        if (strncmp(at, PROCD_LOG_HOST, len) != 0) {
            hosts = -1;
            break;
        }
        hosts++;
    }
    if (!from[0] || hosts < 0 || hosts > PROCD_LOG_HOSTS) {
        return bad_value(p, from,
                         "a path, perhaps with %{name} and %{SERVER_NAME} (at most 4 times) and no other %, |PROGRAM, "
                         "syslog:FACILITY or inherit");
    }
    p->def->log_kind = PROCD_LOG_FILE;
    p->def->log_by_host = hosts > 0;
    return 0;
}

static int set_error_log(parse *p)
{
    const char *from = p->words[0];

    if (strcasecmp(from, "inherit") == 0) {
        p->def->log_kind = PROCD_LOG_INHERIT;
        return 0;
    }
    if (strlen(from) > 2048) {
        return fail(p, "is longer than 2048 bytes");
    }
    if (strstr(from, PROCD_LOG_HOST) && (from[0] == '|' || strncasecmp(from, "syslog", 6) == 0)) {
        return bad_value(p, from, "%{SERVER_NAME} only in the path of a file");
    }
    if (strncasecmp(from, "syslog", 6) == 0 && (from[6] == '\0' || from[6] == ':')) {
        return set_log_syslog(p, from);
    }
    p->def->log_path = with_name(p, from);
    if (!p->def->log_path) {
        return -1;
    }
    if (from[0] == '|') {
        return set_log_program(p, p->def->log_path + 1);
    }
    return set_log_file(p, from);
}

/* ------------------------------------------------------------------ the table */

typedef struct directive {
    const char *name;
    int (*set)(parse *p); /* NULL: not in this version */
    int least, most;      /* words; most -1: any number */
    int repeats;
    const char *usage;
} directive;

static const directive directives[] = {
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
    { "SpawnErrorLog", set_error_log, 1, 1, 0, "PATH | \"|PROGRAM ...\" | syslog:FACILITY | inherit" },
    { "SpawnApp", NULL, 0, 0, 0, "" },
    { "SpawnThreads", NULL, 0, 0, 0, "" },
    { "SpawnPreload", NULL, 0, 0, 0, "" },
};
#define N_DIRECTIVES ((int)(sizeof(directives) / sizeof(directives[0])))

const char *procd_groupdef_directive(int i)
{
    return i >= 0 && i < N_DIRECTIVES ? directives[i].name : NULL;
}

static const directive *find_directive(const char *name)
{
    for (int i = 0; i < N_DIRECTIVES; i++) {
        if (strcasecmp(name, directives[i].name) == 0) {
            return &directives[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ lines */

static int split_words(parse *p, const char *at, const char *end)
{
    char *word;
    int bad;

    p->n = 0;
    while ((word = procd_next_word(p->arena, &at, end, &bad))) {
        if (p->n == PROCD_WORDS_MAX) {
            return fail(p, "has more than %d values", PROCD_WORDS_MAX);
        }
        p->words[p->n++] = word;
    }
    p->words[p->n] = NULL;
    return bad ? fail(p, "has a quote that is not closed") : 0;
}

static int parse_line(parse *p, const char *at, const char *end, int seen[N_DIRECTIVES])
{
    const directive *d;
    char *name, buf[64];
    int bad, *before;

    name = procd_next_word(p->arena, &at, end, &bad);
    if (!name || name[0] == '#') {
        return bad ? fail(p, "a quote is not closed") : 0;
    }
    d = find_directive(name);
    if (!d) {
        return fail(p,
                    "\"%s\" is not a directive of <Spawn>: see SpawnCommand, SpawnProcesses and the others of its list",
                    shown(name, buf));
    }
    p->directive = d->name;
    if (!d->set) {
        return fail(p, "is not available in this version");
    }
    before = &seen[d - directives];
    if (*before && !d->repeats) {
        return fail(p, "appears twice (first on line %d of this group)", *before);
    }
    *before = p->line;
    if (split_words(p, at, end) != 0) {
        return -1;
    }
    if (p->n < d->least || (d->most >= 0 && p->n > d->most)) {
        return fail(p, "takes: %s %s", d->name, d->usage);
    }
    return d->set(p);
}

/* @return 0, or -1: one of these stands in the definition and must not, for that reason */
static int none_of(parse *p, const int seen[N_DIRECTIVES], const char *const *names, const char *why)
{
    for (; *names; names++) {
        const directive *d = find_directive(*names);

        if (seen[d - directives]) {
            p->line = seen[d - directives];
            p->directive = d->name;
            return fail(p, "%s", why);
        }
    }
    return 0;
}

/* What makes sense for CGI, and what for CGI only. */
static int check_pipe(parse *p, const int seen[N_DIRECTIVES])
{
    static const char *const of_servers[] = { "SpawnSocketName",  "SpawnConcurrency",
                                              "SpawnMaxRequests", "SpawnIdleTimeout",
                                              "SpawnStart",       "SpawnStartTimeout",
                                              "SpawnRestart",     NULL };
    static const char *const of_scripts[] = { "SpawnScriptRoot", "SpawnScriptOwner", NULL };

    if (p->def->socket_type == PROCD_SOCKET_PIPE) {
        return none_of(p, seen, of_servers,
                       "has no meaning with SpawnSocketType pipe: a process is started for each request");
    }
    return none_of(p, seen, of_scripts, "needs SpawnSocketType pipe: only CGI scripts are looked up by their path");
}

/* What no single line can tell. */
static int check_whole(parse *p, const int seen[N_DIRECTIVES])
{
    procd_groupdef *def = p->def;

    p->line = 0;
    p->directive = NULL;
    if (check_pipe(p, seen) != 0) {
        return -1;
    }
    if (!def->argv && def->socket_type != PROCD_SOCKET_PIPE) {
        return fail(p, "SpawnCommand is missing: a group needs the program that it starts");
    }
    if (def->spare >= def->max && def->spare > 0) {
        return fail(p, "SpawnSpare %d with a maximum of %d: it must be less than MAX of SpawnProcesses", def->spare,
                    def->max);
    }
    if (seen[find_directive("SpawnStart") - directives] && def->start_always && def->min == 0) {
        return fail(p, "SpawnStart always needs a minimum: SpawnProcesses with MIN 1 or more");
    }
    if (def->n_socket_names == 0) {
        return 0;
    }
    p->directive = "SpawnSocketName";
    p->line = seen[find_directive("SpawnSocketName") - directives];
    for (int i = 0; i < def->n_socket_names; i++) {
        const char *accepted = procd_check_address(def->socket_names[i], def->socket_type);

        if (accepted) {
            return bad_value(p, def->socket_names[i], accepted);
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(def->socket_names[i], def->socket_names[j]) == 0) {
                return fail(p, "names %s twice", def->socket_names[i]);
            }
        }
    }
    if (def->n_socket_names > PROCD_PROCESSES_MAX) {
        return fail(p, "has more than %d addresses", PROCD_PROCESSES_MAX);
    }
    if (!p->has_processes) {
        def->min = def->max = def->n_socket_names;
    }
    if (def->max != def->n_socket_names) {
        return fail(p, "has %d addresses and SpawnProcesses a maximum of %d: there is one process for each address",
                    def->n_socket_names, def->max);
    }
    return 0;
}

static procd_groupdef *create_def(procd_arena *arena, const char *name)
{
    procd_groupdef *def = procd_arena_alloc(arena, sizeof(*def));

    if (!def || !(def->name = procd_arena_copy(arena, name, strlen(name)))) {
        return NULL;
    }
    def->memory = arena;
    def->min = 1;
    def->max = 4;
    def->concurrency = 1;
    def->start_always = 1;
    def->idle_ms = 60000;
    def->start_timeout_ms = 30000;
    def->stop_timeout_ms = 10000;
    def->backoff_min_ms = 100;
    def->backoff_max_ms = 30000;
    def->umask_bits = 022;
    def->kill_signal = SIGTERM;
    return def;
}

static int parse_lines(parse *p, const char *text, size_t len)
{
    const char *at = text, *end = text + len, *eol;
    int seen[N_DIRECTIVES] = { 0 };

    if (len > PROCD_TEXT_MAX) {
        return fail(p, "the definition is longer than %d bytes", PROCD_TEXT_MAX);
    }
    if (memchr(text, '\0', len)) {
        return fail(p, "the definition contains a NUL byte");
    }
    for (; at < end; at = eol + 1) {
        eol = memchr(at, '\n', (size_t)(end - at));
        if (!eol) {
            eol = end;
        }
        p->line++;
        p->directive = NULL;
        if (parse_line(p, at, eol, seen) != 0) {
            return -1;
        }
    }
    return check_whole(p, seen);
}

int procd_groupdef_parse(procd_groupdef **def, const char *name, const char *text, size_t len, procd_deferror *error)
{
    procd_arena *arena = procd_arena_create();
    parse *p;

    *def = NULL;
    error->line = 0;
    error->text[0] = '\0';
    p = arena ? procd_arena_alloc(arena, sizeof(*p)) : NULL;
    if (!p || !(p->def = create_def(arena, name))) {
        procd_arena_destroy(arena);
        return -1;
    }
    p->arena = arena;
    p->error = error;
    if (parse_lines(p, text, len) != 0) {
        procd_arena_destroy(arena);
        return -1;
    }
    *def = p->def;
    return 0;
}

void procd_groupdef_free(procd_groupdef *def)
{
    if (def) {
        procd_arena_destroy(def->memory);
    }
}
