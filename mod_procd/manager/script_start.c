/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Starting a script: the file is checked, arguments and environment are put together, and the child of httpd is told
 * before anything can go wrong in exec: then it sees the end of the output, and the log says why. */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The kernel allows a quarter of the stack's limit, which is 2 MB of 8: what it would not take is refused while it can
 * still be said. */
#define EXEC_MAX ((size_t)1536 * 1024)

/* ------------------------------------------------------------------ answers */

static void send_answer(int control, procd_script_verdict verdict, pid_t pid, const char *why)
{
    procd_script_answer_message answer = { PROCD_WIRE_MAGIC, PROCD_WIRE_VERSION, (uint16_t)verdict, (int32_t)pid, "" };

    snprintf(answer.why, sizeof(answer.why), "%s", why);
    (void)procd_script_answer_send(control, &answer); /* who has left meanwhile is seen by the end of control */
}

void script_refuse(const group *g, int control, procd_script_fds *fds, procd_script_verdict verdict, const char *path,
                   const char *why)
{
    if (g) {
        manager_log(verdict == PROCD_SCRIPT_MISSING ? LEVEL_INFO : LEVEL_ERROR, g, "PRD0610: group %s: %.300s: %s",
                    g->name, path, why);
    }
    send_answer(control, verdict, 0, why);
    procd_script_close(fds);
    close(control);
}

/* ------------------------------------------------------------------ pipes */

/* As any pipe is that the manager makes itself. */
static int is_of_pipefs(const struct statx *st)
{
    static struct stat ours;
    int pair[2];

    if (!ours.st_dev && pipe2(pair, O_CLOEXEC) == 0) {
        (void)fstat(pair[0], &ours);
        close(pair[0]);
        close(pair[1]);
    }
    return ours.st_dev && makedev(st->stx_dev_major, st->stx_dev_minor) == ours.st_dev;
}

/* They were made by whoever asked, so nothing but a pipe is taken, and no file that is a pipe is given away. The script's
 * user is to have it so that /dev/stdin and /dev/stdout can be opened.
 * @return NULL, or what is wrong */
static const char *take_pipe(int fd, const group *g)
{
    struct statx st;

    /* Whoever has made a file system of his own is not asked for anything. */
    if (fcntl(fd, F_GETPIPE_SZ) == -1
        || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_UID, &st) != 0) {
        return "what came for its input or output is no pipe";
    }
    if (!g->cgi->as_root || st.stx_uid == g->id.uid) {
        return NULL;
    }
    return is_of_pipefs(&st) && fchown(fd, g->id.uid, (gid_t)-1) == 0 ? NULL : "its pipes cannot be given to its user";
}

static const char *take_pipes(const procd_script_fds *fds, const group *g)
{
    const char *why = take_pipe(fds->out, g);

    return why || fds->in == -1 ? why : take_pipe(fds->in, g);
}

/* ------------------------------------------------------------------ arguments and environment */

typedef struct words {
    char **list;
    int n;
    size_t bytes;
} words;

/* What goes into the environment: a variable of the definition stands for one of the request. */
static int is_wanted(const group *g, const char *pair)
{
    const procd_groupdef *def = g->def;

    if (!script_env_is_sane(pair) || script_env_has(g->cgi->env, pair)) {
        return 0;
    }
    if (!g->cgi->other_user || script_env_is_safe(pair)) {
        return 1;
    }
    for (int i = 0; i < def->n_copy_environment; i++) {
        size_t n = strlen(def->copy_environment[i]);

        if (strncmp(pair, def->copy_environment[i], n) == 0 && pair[n] == '=') {
            return 1;
        }
    }
    return 0;
}

static size_t size_of(const group *g, const script_order *order, const script_file *file)
{
    const procd_script *s = order->strings;
    const char *at = s->env;
    size_t n = (size_t)g->def->argc + s->n_args + s->n_env + 16, bytes = 0;

    for (char **e = g->cgi->env; *e; e++, n++) {
        bytes += strlen(*e) + 1;
    }
    for (int i = 0; i < g->def->argc; i++) {
        bytes += strlen(g->def->argv[i]) + 1;
    }
    for (uint32_t i = 0; i < s->n_env; i++) {
        at += strlen(at) + 1;
    }
    bytes += (size_t)(at - s->args) + 4 * (strlen(file->path) + 1);
    bytes += g->def->chroot_dir ? strlen(g->def->chroot_dir) + 1 : 0;
    bytes += g->def->directory ? strlen(g->def->directory) + 1 : 0;
    return bytes + n * (sizeof(char *) + 16) + (size_t)g->id.n_groups * sizeof(gid_t) + sizeof(g->def->limits) + 1024;
}

static char *keep(launch *l, const char *text, size_t len)
{
    char *copy = launch_piece(l, len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

static void add(launch *l, words *w, const char *text)
{
    size_t len = strlen(text);

    w->list[w->n++] = keep(l, text, len);
    w->list[w->n] = NULL;
    w->bytes += len + 1 + sizeof(char *);
}

static words make_argv(launch *l, const group *g, const procd_script *s, const script_file *file)
{
    words w = { launch_piece(l, ((size_t)g->def->argc + s->n_args + 2) * sizeof(char *)), 0, 0 };
    const char *at = s->args;

    for (int i = 0; i < g->def->argc; i++) {
        add(l, &w, g->def->argv[i]);
    }
    add(l, &w, g->def->argc ? file->path : file->path + file->dir_len + 1);
    for (uint32_t i = 0; i < s->n_args && !g->def->argc; i++) {
        add(l, &w, at);
        at += strlen(at) + 1;
    }
    return w;
}

static words make_envp(launch *l, const group *g, const procd_script *s)
{
    size_t n = s->n_env + 1;
    words w = { NULL, 0, 0 };
    const char *at = s->env;

    for (char **e = g->cgi->env; *e; e++) {
        n++;
    }
    w.list = launch_piece(l, n * sizeof(char *));
    w.list[0] = NULL;
    for (char **e = g->cgi->env; *e; e++) {
        add(l, &w, *e);
    }
    for (uint32_t i = 0; i < s->n_env; i++) {
        if (is_wanted(g, at)) {
            add(l, &w, at);
        }
        at += strlen(at) + 1;
    }
    return w;
}

static void describe_user(launch *l, const group *g)
{
    gid_t *groups = launch_piece(l, (size_t)g->id.n_groups * sizeof(gid_t) + 1);

    if (g->id.n_groups) {
        memcpy(groups, g->id.groups, (size_t)g->id.n_groups * sizeof(gid_t));
    }
    l->change_user = g->cgi->as_root;
    l->uid = g->id.uid;
    l->gid = g->id.gid;
    l->groups = groups;
    l->n_groups = g->id.n_groups;
}

static void describe_rest(launch *l, const group *g, const script_file *file)
{
    const procd_groupdef *def = g->def;
    procd_rlimit *limits = launch_piece(l, sizeof(def->limits));

    memcpy(limits, def->limits, sizeof(def->limits));
    l->limits = limits;
    l->n_limits = def->n_limits;
    l->has_nice = def->has_nice;
    l->nice = def->nice;
    l->umask_bits = def->umask_bits;
    l->chroot_dir = def->chroot_dir ? keep(l, def->chroot_dir, strlen(def->chroot_dir)) : NULL;
    l->directory = def->directory  ? keep(l, def->directory, strlen(def->directory))
                   : file->dir_len ? keep(l, file->path, file->dir_len)
                                   : "/";
    l->program = def->argc ? l->argv[0] : keep(l, file->path, strlen(file->path));
}

/* @return NULL: no memory, or (*too_large) more than exec takes */
static launch *prepare(const group *g, const script_order *order, const script_file *file, int *too_large)
{
    launch *l = launch_take(size_of(g, order, file));
    words argv, envp;

    *too_large = 0;
    if (!l) {
        return NULL;
    }
    argv = make_argv(l, g, order->strings, file);
    envp = make_envp(l, g, order->strings);
    l->argv = argv.list;
    l->envp = envp.list;
    if (argv.bytes + envp.bytes > EXEC_MAX) {
        *too_large = 1;
        launch_give(l);
        return NULL;
    }
    describe_user(l, g);
    describe_rest(l, g, file);
    return l;
}

/* ------------------------------------------------------------------ starting */

/* For SpawnErrorLog. Not believed: it is made fit for a path when it becomes part of one. */
static char *host_of(const procd_script *s)
{
    const char *at = s->env;

    for (uint32_t i = 0; i < s->n_env; i++) {
        if (strncmp(at, "SERVER_NAME=", 12) == 0) {
            return strndup(at + 12, PROCD_LINE_HOST_MAX);
        }
        at += strlen(at) + 1;
    }
    return NULL;
}

/* @return NULL, or what could not be done, with errno */
static const char *run(script *s, launch *l, int cgroup_fd, script_order *order)
{
    const group *g = s->group;
    int log_reader;
    pid_t pid;

    if (log_pipe(&log_reader, &l->log, g->cgi->as_root ? g->id.uid : (uid_t)-1) != 0) {
        return "cannot make its pipes";
    }
    l->in = order->fds.in;
    l->out = order->fds.out;
    l->cgroup = cgroup_fd;
    s->log.host = g->def->log_by_host ? host_of(order->strings) : NULL;
    pid = launch_run(l);
    close(l->log);
    if (pid == -1) {
        close(log_reader);
        return "cannot fork";
    }
    send_answer(order->control, PROCD_SCRIPT_STARTED, pid, "");
    procd_script_close(&order->fds);
    script_begin(s, pid, l, order->control, log_reader);
    return NULL;
}

static void no_room(const group *g, script_order *order, const char *what)
{
    char why[160];

    snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
    script_refuse(g, order->control, &order->fds, PROCD_SCRIPT_BUSY, order->strings->path, why);
}

static void start_in_cgroup(group *g, script_order *order, const script_file *file, int cgroup_fd)
{
    int too_large;
    launch *l = prepare(g, order, file, &too_large);
    const char *failed = "no place for one more process";
    script *s;

    if (!l) {
        script_refuse(g, order->control, &order->fds, too_large ? PROCD_SCRIPT_TOO_LARGE : PROCD_SCRIPT_BUSY,
                      order->strings->path,
                      too_large ? "its environment and arguments are more than exec takes" : "no memory");
        return;
    }
    s = script_create(g);
    if (s && !(failed = run(s, l, cgroup_fd, order))) {
        return;
    }
    no_room(g, order, failed);
    if (s) {
        script_free(s);
    }
    launch_give(l);
}

void script_start(group *g, script_order *order)
{
    script_rules rules;
    script_file file;
    char why[200];
    procd_script_verdict verdict;
    const char *wrong;
    int cgroup_fd;

    script_rules_of(g, &rules);
    verdict = script_check(&rules, order->strings->path, &file, why, sizeof(why));
    if (verdict == PROCD_SCRIPT_STARTED && (wrong = take_pipes(&order->fds, g))) {
        verdict = PROCD_SCRIPT_FORBIDDEN;
        snprintf(why, sizeof(why), "%s", wrong);
    }
    if (verdict != PROCD_SCRIPT_STARTED) {
        script_refuse(g, order->control, &order->fds, verdict, order->strings->path, why);
        return;
    }
    cgroup_fd = cgroup_open(g, why, sizeof(why));
    if (cgroup_fd == -1) {
        script_refuse(g, order->control, &order->fds, PROCD_SCRIPT_BUSY, order->strings->path, why);
        return;
    }
    start_in_cgroup(g, order, &file, cgroup_fd);
    if (cgroup_fd > 0) {
        close(cgroup_fd);
    }
}
