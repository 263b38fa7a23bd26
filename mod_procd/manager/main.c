/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* procd, the process manager: started by httpd's parent, with its end of the control channel as descriptor 3.
 *
 * When it ends. It is told to (STOP, DRAIN, SIGTERM); httpd is gone (the channel's end, the parent's death signal, or
 * another parent than at the start); or a graceful restart was announced and no configuration followed within the lease:
 * httpd did not come back, or came back without us. In each case it ends its processes first. A configuration that
 * comes while it is ending puts it back to work. */
#include "hostlog.h"
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define ENDING_LOOK_MS 100

manager the_manager = {
    .ring_fd = -1, .event_fd = -1, .script_listener = -1, .line_listener = -1, .global.log_level = LEVEL_INFO
};

static watch control, ring, signals;
static timer lease, ending;
static int64_t drain_until_ms;
static int listens[PROCD_MAX_GROUPS * 16], n_listens;

/* ------------------------------------------------------------------ ending */

static void each_process(void (*act)(process *p, const char *why), const char *why)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        for (int s = 0; the_manager.groups[i] && s < PROCD_MAX_SLOTS; s++) {
            if (the_manager.groups[i]->processes[s]) {
                act(the_manager.groups[i]->processes[s], why);
            }
        }
    }
}

void manager_check_done(void)
{
    if (the_manager.mode == MODE_ENDING && the_manager.n_processes == 0) {
        the_manager.done = 1;
    }
}

/* Requests under way have half of the time, the end itself the other half. */
static void on_ending(timer *t)
{
    const char *why = t->of;

    each_process(procd_now_ms() >= drain_until_ms ? process_stop : process_drain, why);
    script_end_all(procd_now_ms() >= drain_until_ms, why);
    manager_check_done();
    if (!the_manager.done) {
        loop_timer(t, procd_now_ms() + ENDING_LOOK_MS, on_ending, t->of);
    }
}

static int64_t longest_stop(void)
{
    int64_t longest = 1000;

    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        const group *g = the_manager.groups[i];

        if (g && g->def && g->def->stop_timeout_ms > longest) {
            longest = g->def->stop_timeout_ms;
        }
    }
    return longest;
}

void manager_end(const char *why, int64_t within_ms)
{
    int64_t now = procd_now_ms();

    if (within_ms) {
        the_manager.end_at_ms = now + within_ms;
    }
    if (the_manager.mode == MODE_ENDING && !within_ms) {
        return;
    }
    drain_until_ms = now + (within_ms ? within_ms / 2 : longest_stop());
    manager_log(LEVEL_NOTICE, NULL, "PRD0101: ending: %s", why);
    the_manager.mode = MODE_ENDING;
    loop_cancel(&lease);
    loop_timer(&ending, now, on_ending, (void *)(uintptr_t)why);
}

static void on_lease(timer *t)
{
    (void)t;
    manager_end("httpd announced a restart and no configuration followed", 0);
}

/* ------------------------------------------------------------------ what the parent says */

static void close_all(int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        close(fds[i]);
    }
}

static int on_init(const int *fds, int n)
{
    if (n != PROCD_INIT_FDS || procd_table_map(&the_manager.tables, fds[0], fds[1], 1) != 0) {
        return -1;
    }
    close(fds[0]);
    close(fds[1]);
    the_manager.ring_fd = fds[2];
    the_manager.event_fd = fds[3];
    the_manager.script_listener = fds[4];
    the_manager.line_listener = fds[5];
    atomic_store(&the_manager.tables.manager->manager_pid, getpid());
    return 0;
}

static void look_at_all(void)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i]) {
            group_balance(the_manager.groups[i]);
        }
    }
}

static void on_ring(watch *w)
{
    char tokens[4096];
    ssize_t n = read(w->fd, tokens, sizeof(tokens));

    if (n > 0) {
        look_at_all();
    }
    else if (n == 0) {
        loop_unwatch(w, 1); /* nobody is left who could ring */
    }
}

static void on_config(const procd_message *m, int *fds, int n)
{
    int *logs = fds + 1;

    if (n < 1 || !the_manager.tables.manager
        || (ring.fd == -1 && loop_watch(&ring, the_manager.ring_fd, on_ring, NULL) != 0)) {
        close_all(fds, n);
        return;
    }
    loop_cancel(&lease);
    loop_cancel(&ending);
    if (config_apply(m->value, fds[0], logs, n - 1, listens, n_listens) == 0) {
        procd_send(control.fd, PROCD_MSG_CONFIGURED, m->value, NULL, 0);
    }
    heal_start();
    if (the_manager.script_listener != -1 && script_listen(the_manager.script_listener) == 0) {
        the_manager.script_listener = -1; /* it is in the loop: only now can it be known which groups there are */
    }
    if (the_manager.line_listener != -1 && line_listen(the_manager.line_listener) == 0) {
        the_manager.line_listener = -1;
    }
    close(fds[0]);
    close_all(listens, n_listens);
    n_listens = 0;
}

static void on_listen(int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        if (n_listens < (int)(sizeof(listens) / sizeof(listens[0]))) {
            listens[n_listens++] = fds[i];
        }
        else {
            close(fds[i]);
        }
    }
}

static void on_message(const procd_message *m, int *fds, int n)
{
    switch (m->type) {
    case PROCD_MSG_INIT:
        if (on_init(fds, n) != 0) {
            manager_log(LEVEL_ERROR, NULL, "PRD0102: the process table is of another version: %s", strerror(errno));
            the_manager.done = 1;
        }
        return;
    case PROCD_MSG_LISTEN: on_listen(fds, n); return;
    case PROCD_MSG_CONFIG: on_config(m, fds, n); return;
    case PROCD_MSG_LOOK: look_at_all(); break;
    case PROCD_MSG_PREPARE: loop_timer(&lease, procd_now_ms() + the_manager.global.lease_ms, on_lease, NULL); break;
    case PROCD_MSG_DRAIN: manager_end("httpd restarts", 0); break;
    case PROCD_MSG_STOP: manager_end("httpd stops", m->value ? m->value : 1); break;
    default: break;
    }
    close_all(fds, n);
}

static void on_control(watch *w)
{
    static int fds[PROCD_WIRE_FDS];
    procd_message m;
    int n = PROCD_WIRE_FDS, rv = procd_receive(w->fd, &m, fds, &n);

    if (rv == 1) {
        on_message(&m, fds, n);
    }
    else if (rv == 0 || (errno != EAGAIN && errno != EINTR)) {
        int error = rv == 0 ? ECONNRESET : errno;

        loop_unwatch(w, 1);
        manager_end(error == ECONNRESET ? "httpd is gone"
                    : error == EPROTO && the_manager.mode == MODE_WAITING
                        ? "mod_procd is of another version than this manager"
                        : "the control channel is broken",
                    0);
        manager_check_done();
    }
}

void manager_wake_children(void)
{
    if (the_manager.event_fd != -1) {
        procd_wire_token(the_manager.event_fd);
    }
}

/* ------------------------------------------------------------------ signals and start */

static void on_signal(watch *w)
{
    struct signalfd_siginfo info;

    if (read(w->fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    if (info.ssi_signo == SIGCHLD) {
        process_reap();
    }
    else {
        manager_end(getppid() != the_manager.parent ? "httpd is gone" : "told to by a signal", 0);
        manager_check_done();
    }
}

static int setup_signals(void)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow: the write says so */
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_SETMASK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd == -1 ? -1 : loop_watch(&signals, fd, on_signal, NULL);
}

/* The parent asks for it when the last manager has not lived long. */
static void wait_a_while(long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&ts, NULL);
}

/* Each process has a pipe here, and each group perhaps a log: the usual soft limit of 1024 is soon reached. */
static void take_descriptors(void)
{
    struct rlimit r = { 1024, 1024 };

    getrlimit(RLIMIT_NOFILE, &r);
    the_manager.nofile = (procd_rlimit){ .resource = RLIMIT_NOFILE,
                                         .soft = r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur,
                                         .hard = r.rlim_max == RLIM_INFINITY ? UINT64_MAX : r.rlim_max };
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static int usage(void)
{
    fputs("procd is the process manager of mod_procd: httpd starts it, see <Spawn> in the documentation.\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc != 3 || fcntl(PROCD_CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0) {
        return usage();
    }
    the_manager.parent = (pid_t)atol(argv[1]);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != the_manager.parent) {
        return 1;
    }
    wait_a_while(atol(argv[2]));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    ring.fd = -1;
    take_descriptors();
    if (loop_init() != 0 || setup_signals() != 0 || loop_watch(&control, PROCD_CONTROL_FD, on_control, NULL) != 0) {
        fprintf(stderr, "procd: cannot start: %s\n", strerror(errno));
        return 1;
    }
    loop_run(&the_manager.done);
    control_close();
    cgroup_remove_all();
    logger_wait_all();
    return 0;
}
