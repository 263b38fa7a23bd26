/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The only place that forks. All memory that the child needs is prepared before; between fork and exec it makes system
 * calls and nothing else. What fails is told through a pipe that exec closes.
 *
 * The order matters: its cgroup has to be entered as root, limits and priority need the old user, chroot comes before the user is given up, the directory is
 * entered as the new user, and no_new_privs is last, so that no set-user-ID program can undo any of it. */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *stage_name(int stage)
{
    switch (stage) {
    case STAGE_CGROUP: return "cannot enter its cgroup (SpawnCgroup)";
    case STAGE_DESCRIPTORS: return "cannot set up descriptors";
    case STAGE_LIMIT: return "cannot set a limit (SpawnLimit)";
    case STAGE_NICE: return "cannot set the priority (SpawnNice)";
    case STAGE_CHROOT: return "cannot enter SpawnChroot";
    case STAGE_GROUPS: return "cannot set supplementary groups";
    case STAGE_GID: return "cannot change the group (SpawnGroup)";
    case STAGE_UID: return "cannot change the user (SpawnUser)";
    case STAGE_DIRECTORY: return "cannot enter SpawnDirectory";
    case STAGE_PRIVILEGES: return "cannot give up privileges for good";
    case STAGE_EXEC: return "cannot run SpawnCommand";
    default: return "cannot start";
    }
}

/* What it is about. */
static const char *stage_object(const procd_groupdef *def, const char *program, int stage)
{
    switch (stage) {
    case STAGE_CHROOT: return def->chroot_dir;
    case STAGE_GROUPS:
    case STAGE_GID: return def->group;
    case STAGE_UID: return def->user;
    case STAGE_DIRECTORY: return def->directory ? def->directory : "/";
    case STAGE_EXEC: return program;
    default: return NULL;
    }
}

/* The kernel's word for it is often about something else than the file that it names. */
static const char *stage_hint(const procd_groupdef *def, const char *program, const spawn_failure *f)
{
    struct stat st;

    if (f->error == EAGAIN && (f->stage == STAGE_EXEC || f->stage == STAGE_UID)) {
        return " (its user has as many processes as it may: nproc)";
    }
    if (f->stage != STAGE_EXEC) {
        return "";
    }
    if (f->error == ENOEXEC) {
        return " (a script begins with #! and its interpreter)";
    }
    if (def->chroot_dir || stat(program, &st) != 0) {
        return def->chroot_dir && f->error == ENOENT ? " (inside of SpawnChroot; so are interpreters and libraries)"
                                                     : "";
    }
    if (f->error == ENOENT) {
        return " (it is there, its interpreter is not)";
    }
    return f->error != EACCES                              ? ""
           : S_ISDIR(st.st_mode)                           ? " (it is a directory)"
           : !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) ? " (it is not executable)"
                                                           : " (its user may not run it, or not enter its directory)";
}

void spawn_describe(const procd_groupdef *def, const char *program, const spawn_failure *f, char *out, size_t room)
{
    const char *object = stage_object(def, program, f->stage);

    snprintf(out, room, "%s%s%s: %s%s", stage_name(f->stage), object ? " " : "", object ? object : "",
             strerror(f->error), stage_hint(def, program, f));
}

/* ------------------------------------------------------------------ the environment */

static int is_named(const char *pair, const char *name)
{
    size_t len = strlen(name);

    return strncmp(pair, name, len) == 0 && pair[len] == '=';
}

static int has_name(char *const *envp, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (is_named(envp[i], name)) {
            return 1;
        }
    }
    return 0;
}

static int add_pair(char **envp, int n, const char *pair)
{
    size_t len = strcspn(pair, "=");

    for (int i = 0; i < n; i++) {
        if (strncmp(envp[i], pair, len + 1) == 0) {
            char *copy = strdup(pair);

            if (copy) {
                free(envp[i]);
                envp[i] = copy;
            }
            return n;
        }
    }
    envp[n] = strdup(pair);
    return envp[n] ? n + 1 : n;
}

static int is_php(const procd_groupdef *def)
{
    const char *base = def->argv ? strrchr(def->argv[0], '/') : NULL;

    return base && strncmp(base + 1, "php", 3) == 0;
}

/* Clean: PATH, what SpawnCopyEnvironment names, then SpawnEnvironment, later ones over earlier ones. php-cgi ends by
 * itself after 500 requests unless told otherwise, also with one under way in its queue: retiring is SpawnMaxRequests's
 * to do here. */
char **spawn_environment(const procd_groupdef *def)
{
    char **envp = calloc((size_t)(def->n_environment + def->n_copy_environment + 3), sizeof(char *));
    extern char **environ;
    int n = 0;

    if (!envp) {
        return NULL;
    }
    for (int i = 0; i < def->n_copy_environment; i++) {
        for (char **e = environ; e && *e; e++) {
            if (is_named(*e, def->copy_environment[i])) {
                n = add_pair(envp, n, *e);
            }
        }
    }
    for (int i = 0; i < def->n_environment; i++) {
        n = add_pair(envp, n, def->environment[i]);
    }
    if (!has_name(envp, n, "PATH")) {
        n = add_pair(envp, n, "PATH=/usr/local/bin:/usr/bin:/bin");
    }
    if (is_php(def) && !has_name(envp, n, "PHP_FCGI_MAX_REQUESTS")) {
        add_pair(envp, n, "PHP_FCGI_MAX_REQUESTS=0");
    }
    return envp;
}

void spawn_environment_free(char **envp)
{
    for (char **e = envp; e && *e; e++) {
        free(*e);
    }
    free(envp);
}

/* ------------------------------------------------------------------ in the child */

/* The kernel is asked itself: sigaction() refuses the two signals that the C library keeps for its threads, and whoever was
 * started through posix_spawn(), as by make, has inherited these ignored. */
static void reset_signals(void)
{
    static const unsigned long action[8]; /* all zero is SIG_DFL without flags in every layout of the kernel's */
    sigset_t none;

    for (int i = 1; i < NSIG; i++) {
        syscall(SYS_rt_sigaction, i, action, NULL, (size_t)(NSIG / 8));
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0 listens, 1 and 2 write to the log, 3 reports and closes with exec; nothing else stays open. The manager keeps its own
 * 0 to 2 on /dev/null, so no source is among the targets but perhaps 3, which is why the report moves first. */
static int arrange_descriptors(const spawn_order *order, int report)
{
    int moved = fcntl(report, F_DUPFD_CLOEXEC, 64);

    if (moved == -1 || dup2(order->listen_fd, 0) == -1 || dup2(order->log_fd, 1) == -1 || dup2(order->log_fd, 2) == -1
        || dup3(moved, 3, O_CLOEXEC) == -1) {
        return -1;
    }
    return close_range(4, ~0U, 0);
}

static int apply_limit(const procd_rlimit *l)
{
    struct rlimit r = { l->soft == UINT64_MAX ? RLIM_INFINITY : l->soft,
                        l->hard == UINT64_MAX ? RLIM_INFINITY : l->hard };

    return setrlimit((__rlimit_resource_t)l->resource, &r);
}

static int apply_limits(const procd_groupdef *def)
{
    int rv = apply_limit(&the_manager.nofile);

    for (int i = 0; i < def->n_limits && rv == 0; i++) {
        rv = apply_limit(&def->limits[i]);
    }
    return rv;
}

/* @return 0, or the stage that failed, with errno */
static int change_identity(const identity *id)
{
    if (setgroups((size_t)id->n_groups, id->groups) != 0) {
        return STAGE_GROUPS;
    }
    if (setresgid(id->gid, id->gid, id->gid) != 0) {
        return STAGE_GID;
    }
    if (setresuid(id->uid, id->uid, id->uid) != 0) {
        return STAGE_UID;
    }
    if (id->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        errno = EPERM;
        return STAGE_PRIVILEGES;
    }
    return 0;
}

static int prepare(const spawn_order *order, int report)
{
    const procd_groupdef *def = order->def;
    int stage;

    setsid();
    if (order->cgroup_fd > 0 && write(order->cgroup_fd, "0", 1) != 1) {
        return STAGE_CGROUP;
    }
    if (arrange_descriptors(order, report) != 0) {
        return STAGE_DESCRIPTORS;
    }
    if (apply_limits(def) != 0) {
        return STAGE_LIMIT;
    }
    if (def->has_nice && setpriority(PRIO_PROCESS, 0, def->nice) != 0) {
        return STAGE_NICE;
    }
    if (def->chroot_dir && (chdir(def->chroot_dir) != 0 || chroot(".") != 0)) {
        return STAGE_CHROOT;
    }
    if (order->id && (stage = change_identity(order->id)) != 0) {
        return stage;
    }
    umask(def->umask_bits);
    if (chdir(def->directory ? def->directory : "/") != 0) {
        return STAGE_DIRECTORY;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : STAGE_PRIVILEGES;
}

__attribute__((noreturn)) static void run_child(const spawn_order *order, int report)
{
    spawn_failure failure = { prepare(order, report), 0 };
    ssize_t n;

    if (failure.stage == 0) {
        reset_signals();
        execve(order->argv[0], order->argv, order->envp);
        failure.stage = STAGE_EXEC;
    }
    failure.error = errno;
    n = write(failure.stage <= STAGE_DESCRIPTORS ? report : 3, &failure, sizeof(failure));
    (void)n;
    _exit(127);
}

/* All signals are blocked over the fork: the child must not run the manager's idea of them. */
pid_t spawn(const spawn_order *order, int *exec_fd)
{
    sigset_t all, before;
    int report[2], error;
    pid_t pid;

    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        run_child(order, report[1]);
    }
    error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (pid == -1) {
        close(report[0]);
        errno = error;
        return -1;
    }
    *exec_fd = report[0];
    return pid;
}
