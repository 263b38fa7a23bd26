/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of the manager's life.
 *
 *  - start, HUP: new tables, new manager. On HUP the old one drains in the background, with the tables it has.
 *  - graceful restart: the manager hears PREPARE as the old configuration goes and CONFIG when the new one stands; nothing
 *    waits. A configuration that never comes is the manager's business (its lease).
 *  - its death: httpd reaps it as an "other child" and calls us within a second; a new one gets the same tables and finds
 *    the processes there.
 *  - stop: STOP, and a wait bounded by the longest SpawnStopTimeout. This is the only wait; the listening sockets of httpd
 *    are closed by then or never needed again.
 *
 * "Other children" are registered on pconf by each generation anew. A record must be unregistered as soon as its death was
 * reported (APR would follow a NULL pointer at the next unknown pid), and never from within UNREGISTER. Nothing is noted
 * on pconf as a subprocess: that would kill it at each graceful restart. */
#include "procd_mod.h"

#include "http_core.h"
#include "ap_mpm.h"
#include "apr_strings.h"
#include "unixd.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

#define DIR_STOP_MS 10000 /* what groups of ProcdGroupDir have to end, whatever their files say */
#define FIRST_ACK_MS 3000
#define YOUNG_MS 10000
#define RESPAWN_MAX_MS 30000

#ifndef PROCD_LIBEXECDIR
#define PROCD_LIBEXECDIR "/usr/lib/apache2"
#endif

/** One manager as APR's other child. Lives on pconf. */
typedef struct manager_record {
    apr_proc_t proc;
    int registered;
    struct manager_record *next;
} manager_record;

/* Of this generation. */
static server_rec *main_server;
static apr_pool_t *generation_pool;
static manager_record *records;

/* ------------------------------------------------------------------ what is kept */

static procd_retained *retained;

procd_retained *procd_retained_get(void)
{
    return retained;
}

static void forget_fds(procd_retained *r)
{
    r->manager_table_fd = r->children_table_fd = -1;
    r->ring_fd = r->ring_manager_fd = r->event_fd = r->event_manager_fd = -1;
    r->script_door = r->script_listener = r->line_door = r->line_listener = -1;
}

static void close_fds(procd_retained *r)
{
    const int fds[] = { r->manager_table_fd, r->children_table_fd, r->ring_fd,     r->ring_manager_fd,
                        r->event_fd,         r->event_manager_fd,  r->script_door, r->script_listener,
                        r->line_door,        r->line_listener };

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] != -1) {
            close(fds[i]);
        }
    }
    forget_fds(r);
}

static int is_ours(const procd_retained *r)
{
    return r->magic == PROCD_RETAINED_MAGIC && r->version == PROCD_RETAINED_VERSION && r->size == sizeof(*r);
}

static procd_retained *find_retained(void)
{
    procd_retained *r = ap_retained_data_get("mod_procd");

    return r && is_ours(r) ? r : NULL;
}

/* What another version of this module left: only its manager is known, which ends when nobody speaks to it any more, as soon
 * as its processes have answered. @return its pid, or 0 */
static pid_t dismiss_other_version(void)
{
    procd_retained *r = ap_retained_data_get("mod_procd");
    pid_t pid = r && r->magic == PROCD_RETAINED_MAGIC && !is_ours(r) ? r->manager : 0;

    if (pid) {
        close(r->control_fd);
        r->control_fd = -1;
        r->manager = 0;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, main_server,
                     "PRD0745: mod_procd was replaced by another version: the manager (pid %ld) and its processes are "
                     "replaced, too",
                     (long)pid);
    }
    return pid;
}

static procd_retained *create_retained(void)
{
    procd_retained *r = ap_retained_data_create("mod_procd", sizeof(*r));

    r->magic = PROCD_RETAINED_MAGIC;
    r->version = PROCD_RETAINED_VERSION;
    r->size = sizeof(*r);
    r->owner = getpid();
    r->config_fd = -1;
    r->control_fd = -1;
    forget_fds(r);
    return r;
}

/* ------------------------------------------------------------------ where it is */

/* This module's own file: a build tree works as it stands. */
static const char *beside_module(apr_pool_t *p, const char *tail)
{
    Dl_info info;
    const char *slash;

    if (!dladdr((void *)(apr_uintptr_t)&procd_module, &info) || !info.dli_fname
        || !(slash = strrchr(info.dli_fname, '/'))) {
        return NULL;
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, info.dli_fname, (apr_size_t)(slash - info.dli_fname)), tail, NULL);
}

const char *procd_manager_path(apr_pool_t *p, server_rec *s)
{
    const char *candidates[] = { beside_module(p, "/procd"), beside_module(p, "/../bin/procd") };

    if (procd_conf(s)->manager) {
        return procd_conf(s)->manager;
    }
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (candidates[i] && access(candidates[i], X_OK) == 0) {
            return candidates[i];
        }
    }
    return PROCD_LIBEXECDIR "/procd";
}

/* ------------------------------------------------------------------ starting it */

/* Between fork and exec: system calls only. apr_proc_create() leaves signals, the session and descriptors as they are. */
__attribute__((noreturn)) static void exec_manager(const char *path, char *const *argv, int control, int log,
                                                   int report)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;
    int null = open("/dev/null", O_RDWR), error;
    ssize_t n;

    setsid();
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, &action, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Out of the way of their targets first. */
    control = fcntl(control, F_DUPFD_CLOEXEC, 16);
    report = fcntl(report, F_DUPFD_CLOEXEC, 16);
    if (log != -1) {
        dup2(log, 2);
    }
    dup2(null, 0);
    dup2(null, 1);
    if (log == -1) {
        dup2(null, 2);
    }
    if (control != -1 && report != -1 && dup2(control, PROCD_CONTROL_FD) != -1 && dup3(report, 4, O_CLOEXEC) != -1
        && close_range(5, ~0U, 0) == 0) {
        execv(path, argv);
    }
    error = errno;
    n = write(4, &error, sizeof(error));
    (void)n;
    _exit(127);
}

/* @return pid, or -1 and errno, also when exec failed */
static pid_t fork_manager(const char *path, int control, apr_int64_t delay_ms)
{
    char parent_text[24], delay_text[24];
    char *argv[] = { (char *)"procd", parent_text, delay_text, NULL };
    int report[2], error, log = procd_error_log_fd(main_server);
    pid_t pid;

    apr_snprintf(parent_text, sizeof(parent_text), "%ld", (long)getpid());
    apr_snprintf(delay_text, sizeof(delay_text), "%ld", (long)delay_ms);
    if (pipe2(report, O_CLOEXEC) != 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        exec_manager(path, argv, control, log, report[1]);
    }
    close(report[1]);
    if (pid != -1 && read(report[0], &error, sizeof(error)) == (ssize_t)sizeof(error)) {
        waitpid(pid, NULL, 0);
        errno = error;
        pid = -1;
    }
    close(report[0]);
    return pid;
}

static void close_control(procd_retained *r)
{
    if (r->control_fd != -1) {
        close(r->control_fd);
        r->control_fd = -1;
    }
}

/* @return 0: it runs and has been told everything; or -1, logged */
static int start_manager(procd_retained *r, apr_pool_t *p, apr_int64_t delay_ms)
{
    const char *path = procd_manager_path(p, main_server);
    int pair[2];
    int fds[PROCD_INIT_FDS] = { r->manager_table_fd, r->children_table_fd, r->ring_manager_fd,
                                r->event_manager_fd, r->script_listener,   r->line_listener };
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, main_server, "PRD0030: cannot make the manager's control channel");
        return -1;
    }
    pid = fork_manager(path, pair[1], delay_ms);
    close(pair[1]);
    if (pid == -1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, main_server, "PRD0031: cannot run the manager %s", path);
        close(pair[0]);
        return -1;
    }
    close_control(r);
    r->control_fd = pair[0];
    r->manager = pid;
    r->started_ms = procd_now_ms() + delay_ms;
    if (procd_send(r->control_fd, PROCD_MSG_INIT, 0, fds, PROCD_INIT_FDS) != 0
        || procd_publish_send(r, main_server) != 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, main_server, "PRD0032: the manager (pid %ld) does not listen",
                     (long)pid);
        return -1;
    }
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, main_server, "PRD0033: manager %s started (pid %ld)", path, (long)pid);
    return 0;
}

/* ------------------------------------------------------------------ other children */

static void maintain(int reason, void *data, int status);

static void watch_manager(pid_t pid)
{
    manager_record *record = apr_pcalloc(generation_pool, sizeof(*record));

    record->proc.pid = pid;
    record->registered = 1;
    record->next = records;
    records = record;
    apr_proc_other_child_register(&record->proc, maintain, record, NULL, generation_pool);
}

static void forget_ending(procd_retained *r, pid_t pid)
{
    for (int i = 0; i < PROCD_ENDING_MAX; i++) {
        if (r->ending[i] == pid) {
            r->ending[i] = 0;
        }
    }
}

static void remember_ending(procd_retained *r, pid_t pid)
{
    for (int i = 0; i < PROCD_ENDING_MAX; i++) {
        if (r->ending[i] == 0) {
            r->ending[i] = pid;
            return;
        }
    }
}

static int is_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS || state == AP_MPMQ_STOPPING;
}

/* Within the callback nothing may sleep: the new one waits by itself when the last did not live long. */
static void replace_manager(procd_retained *r)
{
    apr_int64_t age = procd_now_ms() - r->started_ms;
    apr_pool_t *p;

    close_control(r);
    r->manager = 0;
    if (is_stopping()) {
        return;
    }
    r->respawn_delay_ms = age > YOUNG_MS ? 0 : r->respawn_delay_ms ? r->respawn_delay_ms * 2 : 100;
    if (r->respawn_delay_ms > RESPAWN_MAX_MS) {
        r->respawn_delay_ms = RESPAWN_MAX_MS;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server,
                 "PRD0034: the manager has died; its processes live on, starting another in %ld ms",
                 (long)(age > YOUNG_MS ? 0 : r->respawn_delay_ms));
    apr_pool_create(&p, generation_pool);
    if (start_manager(r, p, r->respawn_delay_ms) == 0 || r->manager) {
        watch_manager(r->manager);
    }
    apr_pool_destroy(p);
}

/* The status is encoded differently by different callers of this: the manager logs its own reasons. */
static void maintain(int reason, void *data, int status)
{
    manager_record *record = data;
    pid_t pid = record->proc.pid;

    (void)status;
    if ((reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) || !record->registered) {
        return;
    }
    record->registered = 0;
    apr_proc_other_child_unregister(record);
    if (!retained || getpid() != retained->owner) {
        return;
    }
    forget_ending(retained, pid);
    if (pid == retained->manager) {
        replace_manager(retained);
    }
}

/* ------------------------------------------------------------------ a generation begins */

/* What the manager said meanwhile. Nothing of it is needed, but its queue must not fill, and a channel that is closed with
 * something unread is reset: the manager would not see what was sent last. */
static void drain_control(procd_retained *r)
{
    procd_message message;
    int n;

    do {
        n = 0;
    } while (procd_receive(r->control_fd, &message, NULL, &n) == 1);
}

/* Whatever a directory for temporary files allows lasts no longer than this. */
static int make_doors(procd_retained *r, apr_pool_t *p)
{
    const char *dir;
    apr_status_t rv = apr_temp_dir_get(&dir, p);

    if (rv != APR_SUCCESS) {
        errno = rv;
        return -1;
    }
    return procd_door_make(dir, &r->script_door, &r->script_listener) == 0
                   && procd_door_make(dir, &r->line_door, &r->line_listener) == 0
               ? 0
               : -1;
}

static int make_pipe(int *reader, int *writer)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    *reader = pair[0];
    *writer = pair[1];
    return 0;
}

static int make_tables(procd_retained *r, apr_pool_t *p)
{
    int error;

    if (r->manager_table_fd != -1) {
        return 0;
    }
    memset(r->keys, 0, sizeof(r->keys));
    if (procd_table_create(&r->manager_table_fd, &r->children_table_fd) == 0
        && make_pipe(&r->ring_manager_fd, &r->ring_fd) == 0 && make_pipe(&r->event_fd, &r->event_manager_fd) == 0
        && make_doors(r, p) == 0) {
        return 0;
    }
    error = errno;
    close_fds(r);
    errno = error;
    return -1;
}

/* Only at the very first start: MIN processes should be there before the first request. */
static void wait_for_ack(procd_retained *r)
{
    struct pollfd pfd = { .fd = r->control_fd, .events = POLLIN };

    if (poll(&pfd, 1, FIRST_ACK_MS) != 1) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server, "PRD0035: the manager has not answered yet; going on");
    }
}

static int feed_manager(procd_retained *r, apr_pool_t *ptemp)
{
    int first = r->generation == 1;

    if (r->manager) {
        drain_control(r);
        if (procd_publish_send(r, main_server) == 0) {
            return 0;
        }
        /* It died while nobody could hear of it. */
        remember_ending(r, r->manager);
        r->manager = 0;
        close_control(r);
    }
    if (start_manager(r, ptemp, 0) != 0) {
        return -1;
    }
    if (first) {
        wait_for_ack(r);
    }
    return 0;
}

static void count_groups(procd_group *g, void *n)
{
    (void)g;
    ++*(int *)n;
}

static void count_stop_time(procd_group *g, void *longest)
{
    apr_int64_t *ms = longest;

    if (g->def->stop_timeout_ms > *ms) {
        *ms = g->def->stop_timeout_ms;
    }
}

static void watch_all(procd_retained *r)
{
    records = NULL;
    for (int i = 0; i < PROCD_ENDING_MAX; i++) {
        if (r->ending[i]) {
            watch_manager(r->ending[i]);
        }
    }
    if (r->manager) {
        watch_manager(r->manager);
    }
}

/* An error stops httpd at its start; at a restart it would end a server that works, so only the groups are without a
 * manager then, and the log says why. */
int procd_parent_start(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    int n = 0, first, failed;
    pid_t other;

    main_server = s;
    generation_pool = pconf;
    other = dismiss_other_version();
    retained = find_retained();
    procd_each_group(s, count_groups, &n);
    if (!retained) {
        if (n == 0 && !other && !procd_conf(s)->group_dir) {
            return OK;
        }
        retained = create_retained();
        retained->ending[0] = other;
    }
    retained->longest_stop_ms = 1000;
    procd_each_group(s, count_stop_time, &retained->longest_stop_ms);
    if (procd_conf(s)->group_dir && retained->longest_stop_ms < DIR_STOP_MS) {
        retained->longest_stop_ms = DIR_STOP_MS;
    }
    first = retained->generation++ == 0;
    failed = make_tables(retained, ptemp) != 0
             || procd_table_map(&procd_client_tables, retained->manager_table_fd, retained->children_table_fd, 0) != 0;
    if (failed) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, "PRD0036: cannot make the process table");
        memset(&procd_client_tables, 0, sizeof(procd_client_tables));
    }
    else {
        failed = procd_publish_prepare(retained, &procd_client_tables, ptemp, s) != APR_SUCCESS
                 || feed_manager(retained, ptemp) != 0;
        procd_publish_close_unused(retained);
    }
    watch_all(retained);
    return failed && first ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

void procd_parent_child_gone(pid_t pid)
{
    if (!procd_client_tables.children || !procd_child_gone(&procd_client_tables, pid)) {
        return;
    }
    /* What it held is free: the manager may end a process, and somebody may wait for one. Not by way of what children
     * hold too: they could make this wait. */
    if (retained->control_fd != -1) {
        procd_send(retained->control_fd, PROCD_MSG_LOOK, 0, NULL, 0);
    }
    procd_wire_token(retained->event_manager_fd);
}

/* ------------------------------------------------------------------ a generation ends */

/* Its private socket, which its manager would have removed. */
static void remove_socket(procd_process_row *row)
{
    procd_hold hold;
    uint32_t state;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&hold.addr;

    if (row->name_index < 0 && procd_row_read(row, &hold, &state) == 0 && hold.addr.sa.sa_family == AF_UNIX
        && un->sun_path[0] == '/' && memchr(un->sun_path, '\0', sizeof(un->sun_path))) {
        unlink(un->sun_path);
    }
}

/* Processes that nobody answers for any more. A manager that has ended by itself has left none. */
static void kill_processes(void)
{
    int top = procd_client_tables.manager ? procd_table_top(&procd_client_tables) : 0;
    int dir_top = procd_client_tables.manager ? procd_table_dir_top(&procd_client_tables) : 0;

    for (int i = top ? 0 : PROCD_GROUPS_CONFIGURED; i < dir_top; i = i + 1 == top ? PROCD_GROUPS_CONFIGURED : i + 1) {
        procd_group_row *g = &procd_client_tables.manager->groups[i];

        for (int slot = 0; slot < g->slots && slot < PROCD_MAX_SLOTS; slot++) {
            pid_t pid = g->processes[slot].pid;

            if (g->processes[slot].state != PROCD_EMPTY && pid > 1) {
                kill(-pid, SIGKILL);
                remove_socket(&g->processes[slot]);
            }
        }
    }
}

/* A manager that was killed has left it. */
static void remove_control(void)
{
    const char *dir = main_server ? procd_conf(main_server)->runtime_dir : NULL;

    if (!main_server) {
        return; /* a configuration that failed: nobody knows where it was */
    }
    dir = ap_runtime_dir_relative(generation_pool, dir ? dir : "procd");
    if (dir) {
        unlink(apr_pstrcat(generation_pool, dir, "/control", NULL));
    }
}

static int has_ended(pid_t pid)
{
    pid_t got = waitpid(pid, NULL, WNOHANG);

    return got == pid || (got == -1 && errno == ECHILD);
}

/* @param killed  set when the manager has ended, but not by itself */
static int all_ended(procd_retained *r, int *killed)
{
    int left = 0, status = 0;
    pid_t got;

    if (r->manager && (got = waitpid(r->manager, &status, WNOHANG)) != 0 && (got != -1 || errno == ECHILD)) {
        *killed = got != r->manager || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        r->manager = 0;
    }
    left += r->manager != 0;
    for (int i = 0; i < PROCD_ENDING_MAX; i++) {
        if (r->ending[i] && has_ended(r->ending[i])) {
            r->ending[i] = 0;
        }
        left += r->ending[i] != 0;
    }
    return left == 0;
}

static void stop_manager(procd_retained *r)
{
    const struct timespec step = { 0, 10 * 1000 * 1000 };
    apr_int64_t within = r->longest_stop_ms, until;
    int killed = r->manager == 0;

    if (r->manager) {
        drain_control(r);
        procd_send(r->control_fd, PROCD_MSG_STOP, (apr_uint32_t)within, NULL, 0);
    }
    until = procd_now_ms() + within + 2000;
    while (!all_ended(r, &killed) && procd_now_ms() < until) {
        nanosleep(&step, NULL);
    }
    if (r->manager) {
        kill(r->manager, SIGKILL);
        waitpid(r->manager, NULL, 0);
        killed = 1;
    }
    if (killed) {
        kill_processes();
        remove_control();
    }
    r->manager = 0;
    close_control(r);
    procd_publish_remove_sockets(r);
}

/* HUP: the children of httpd are gone. The next generation begins with tables of its own. */
static void send_away(procd_retained *r)
{
    if (r->manager && !has_ended(r->manager)) {
        drain_control(r);
        procd_send(r->control_fd, PROCD_MSG_DRAIN, 0, NULL, 0);
        remember_ending(r, r->manager);
    }
    else {
        kill_processes(); /* it was killed, and the next one knows nothing of them */
    }
    r->manager = 0;
    close_control(r);
    close_fds(r);
}

/* Runs before all other cleanups of pconf, in the children of httpd too when they exit. */
apr_status_t procd_parent_leave(void *dummy)
{
    procd_retained *r = find_retained();
    int state = ap_state_query(AP_SQ_MAIN_STATE);

    (void)dummy;
    if (!r || r->owner != getpid()) {
        return APR_SUCCESS;
    }
    if (state == AP_SQ_MS_EXITING) {
        stop_manager(r);
    }
    else if (ap_unixd_mpm_get_retained_data()->is_ungraceful) {
        send_away(r);
    }
    else if (r->manager) {
        procd_send(r->control_fd, PROCD_MSG_PREPARE, r->generation, NULL, 0);
    }
    procd_table_unmap(&procd_client_tables);
    main_server = NULL;
    return APR_SUCCESS;
}
