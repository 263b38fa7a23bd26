/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The life of one process: STARTING (forked) - STARTED (exec succeeded; its socket listened before) - READY (accepts) -
 * perhaps RETIRING (a replacement is being started) - DRAINING (no new leases) - STOPPING (signalled) - gone.
 *
 * A process is gone when its process group is empty: a master that ends leaves no workers behind. After an end that was
 * asked for the rest has until the stop timeout, after any other it is killed at once, because it still accepts. */
#include "manager.h"
#include "proc_stat.h"
#include "script.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINGER_STEP_MS 20

static void on_exec_pipe(watch *w);
static void on_pidfd(watch *w);
static void on_deadline(timer *t);

/* ------------------------------------------------------------------ making and freeing */

process *process_create(group *g, int slot)
{
    process *p = calloc(1, sizeof(*p));

    if (!p) {
        return NULL;
    }
    p->group = g;
    p->slot = slot;
    p->row = &g->row->processes[slot];
    p->replaces = p->replaced_by = p->name_index = -1;
    p->exec_pipe.fd = p->pidfd.fd = p->log.pipe.fd = p->probe_fd = -1;
    p->log.group = g;
    g->processes[slot] = p;
    the_manager.n_processes++;
    if (slot >= atomic_load(&g->row->slots)) {
        atomic_store(&g->row->slots, slot + 1);
    }
    return p;
}

static void unlink_pair(group *g, process *p)
{
    if (p->replaces >= 0 && g->processes[p->replaces]) {
        g->processes[p->replaces]->replaced_by = -1;
    }
    if (p->replaced_by >= 0 && g->processes[p->replaced_by]) {
        g->processes[p->replaced_by]->replaces = -1;
    }
}

static void process_free(process *p)
{
    group *g = p->group;

    unlink_pair(g, p);
    loop_cancel(&p->deadline);
    accept_forget(p);
    loop_unwatch(&p->exec_pipe, 1);
    loop_unwatch(&p->pidfd, 1);
    log_finish(&p->log);
    address_remove(p);
    procd_row_begin(p->row);
    atomic_store(&p->row->state, PROCD_EMPTY);
    atomic_store(&p->row->instance, 0);
    atomic_store(&p->row->pid, 0);
    procd_row_end(p->row);
    g->processes[p->slot] = NULL;
    the_manager.n_processes--;
    free(p);
}

void process_set_state(process *p, procd_state state)
{
    p->state = state;
    atomic_store(&p->row->state, state);
    atomic_thread_fence(memory_order_seq_cst);
    procd_table_changed(p->group->row);
}

int process_busy(const process *p)
{
    return procd_table_busy(&the_manager.tables, p->group->index, p->slot, p->instance);
}

const procd_slot_count *process_counts(const process *p)
{
    const procd_slot_count *c = &the_manager.tables.children->groups[p->group->index].slots[p->slot];

    return atomic_load(&c->instance) == p->instance ? c : NULL;
}

/* ------------------------------------------------------------------ starting */

/* SpawnMaxRequests, later by up to the jitter, so that a group does not retire as one. */
static uint64_t retire_at(const procd_groupdef *def)
{
    uint64_t spread = (uint64_t)def->max_requests * def->jitter_percent / 100;
    uint32_t dice = 0;

    if (spread && getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != (ssize_t)sizeof(dice)) {
        dice = (uint32_t)procd_now_ms();
    }
    return def->max_requests + (spread ? dice % (spread + 1) : 0);
}

static void publish(process *p, const struct sockaddr_storage *addr, socklen_t len, uint64_t log_dev, uint64_t log_ino)
{
    procd_process_row *row = p->row;

    procd_row_begin(row);
    atomic_store(&row->instance, p->instance);
    atomic_store(&row->pid, p->pid);
    atomic_store(&row->concurrency, p->group->def->concurrency);
    atomic_store(&row->start_ticks, process_start_ticks(p->pid));
    atomic_store(&row->started_ms, p->started_ms);
    atomic_store(&row->definition, p->definition);
    atomic_store(&row->retire_at, p->group->def->max_requests ? retire_at(p->group->def) : 0);
    atomic_store(&row->log_dev, log_dev);
    atomic_store(&row->log_ino, log_ino);
    atomic_store(&row->listen_ino, p->listen_ino);
    atomic_store(&row->name_index, p->name_index);
    procd_row_set_addr(row, addr, len);
    procd_row_end(row);
    process_set_state(p, PROCD_STARTING);
}

int group_free_slot(const group *g)
{
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (!g->processes[i] && !script_has_slot(g, i)) {
            return i;
        }
    }
    return -1;
}

static int free_name(const group *g)
{
    for (int n = 0; n < g->def->n_socket_names; n++) {
        int used = 0;

        for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
            used |= g->processes[i] && g->processes[i]->name_index == n;
        }
        if (!used) {
            return n;
        }
    }
    return -1;
}

/* @return pid, or -1 with what failed in *stage and errno */
static pid_t fork_process(process *p, int listen_fd, int cgroup_fd, const char **stage, uint64_t *dev, uint64_t *ino)
{
    group *g = p->group;
    int root = geteuid() == 0, reader, writer, exec_fd;
    spawn_order order = {
        .argv = g->def->argv, .def = g->def, .id = root ? &g->id : NULL, .listen_fd = listen_fd, .cgroup_fd = cgroup_fd
    };
    char **envp;
    struct stat st;
    pid_t pid;

    *stage = "cannot make a pipe";
    if (log_pipe(&reader, &writer, root ? g->id.uid : (uid_t)-1) != 0) {
        return -1;
    }
    *dev = *ino = 0;
    if (fstat(reader, &st) == 0) {
        *dev = st.st_dev;
        *ino = st.st_ino;
    }
    *stage = "cannot fork";
    envp = spawn_environment(g->def);
    order.envp = envp;
    order.log_fd = writer;
    pid = envp ? spawn(&order, &exec_fd) : -1;
    spawn_environment_free(envp);
    close(writer);
    p->log.pid = pid;
    if (pid == -1) {
        close(reader);
    }
    else {
        log_watch(&p->log, reader);
    }
    if (pid != -1 && loop_watch(&p->exec_pipe, exec_fd, on_exec_pipe, p) != 0) {
        close(exec_fd);
    }
    return pid;
}

static int gave_up(process *p, const char *what)
{
    group *g = p->group;

    process_free(p);
    group_process_ended(g, NULL, what, 1);
    return 0;
}

static int could_not_start(process *p, const char *stage)
{
    char what[128];

    snprintf(what, sizeof(what), "%s: %s", stage, strerror(errno));
    return gave_up(p, what);
}

/* @return pid, or 0: it could not be started, and is no more */
static pid_t start_in_cgroup(process *p, int listen_fd, uint64_t *dev, uint64_t *ino)
{
    char why[128];
    const char *stage;
    int cgroup_fd = cgroup_open(p->group, why, sizeof(why));

    if (cgroup_fd == -1) {
        return gave_up(p, why);
    }
    p->pid = fork_process(p, listen_fd, cgroup_fd, &stage, dev, ino);
    if (cgroup_fd > 0) {
        int error = errno;

        close(cgroup_fd);
        errno = error;
    }
    return p->pid == -1 ? could_not_start(p, stage) : p->pid;
}

int process_start(group *g, int replaces)
{
    struct sockaddr_storage addr;
    socklen_t len = 0;
    uint64_t dev, ino;
    pid_t pid;
    int slot = group_free_slot(g), listen_fd;
    process *p = slot >= 0 ? process_create(g, slot) : NULL;

    if (!p) {
        return 0;
    }
    p->instance = atomic_fetch_add(&the_manager.tables.manager->last_instance, 1) + 1;
    p->definition = g->definition;
    p->kill_signal = g->def->kill_signal;
    p->start_timeout_ms = g->def->start_timeout_ms;
    p->stop_timeout_ms = g->def->stop_timeout_ms;
    if (g->def->n_socket_names) {
        p->name_index = free_name(g);
        if (p->name_index < 0) {
            process_free(p);
            return 0;
        }
    }
    listen_fd = address_listen(g, p, &addr, &len);
    if (listen_fd == -1) {
        return could_not_start(p, "cannot make its socket");
    }
    p->listen_ino = accept_identify(g, listen_fd, (const struct sockaddr *)&addr);
    p->started_ms = procd_now_ms();
    pid = start_in_cgroup(p, listen_fd, &dev, &ino);
    close(listen_fd);
    if (pid == 0) {
        return 0;
    }
    if (replaces >= 0) {
        p->replaces = replaces;
        g->processes[replaces]->replaced_by = slot;
    }
    publish(p, &addr, len, dev, ino);
    process_watch_life(p);
    loop_timer(&p->deadline, p->started_ms + p->start_timeout_ms, on_deadline, p);
    atomic_fetch_add(&g->row->started, 1);
    return 1;
}

/* Our children are reported by SIGCHLD; those of another manager only through a pidfd. */
void process_watch_life(process *p)
{
    int fd;

    if (!p->adopted) {
        return;
    }
    fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd != -1 && loop_watch(&p->pidfd, fd, on_pidfd, p) != 0) {
        close(fd);
    }
}

/* End of file: exec has closed it. */
static void on_exec_pipe(watch *w)
{
    process *p = w->of;
    spawn_failure failure;
    ssize_t n = read(w->fd, &failure, sizeof(failure));

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    loop_unwatch(w, 1);
    if (n == (ssize_t)sizeof(failure)) {
        group *g = p->group;

        if (g->def) {
            spawn_describe(g->def, g->def->argv ? g->def->argv[0] : "", &failure, p->fault, sizeof(p->fault));
        }
        p->exec_failed = 1;
        procd_why_write(g->row, p->fault);
        manager_log(LEVEL_ERROR, g, "PRD0110: group %s: %s", g->name, p->fault);
        return; /* it exits by itself; SIGCHLD does the rest */
    }
    if (p->state == PROCD_STARTING && p->listen_ino) {
        process_watch_start(p);
        group_process_started(p->group, p);
    }
    else if (p->state == PROCD_STARTING) {
        process_set_state(p, PROCD_STARTED);
        process_accepts(p);
    }
}

/* Our own connection has the first place in the queue: requests come when the state has changed. */
void process_watch_start(process *p)
{
    loop_timer(&p->deadline, p->started_ms + p->start_timeout_ms, on_deadline, p);
    accept_watch(p);
    process_set_state(p, PROCD_STARTED);
}

void process_accepts(process *p)
{
    loop_cancel(&p->deadline);
    p->ready_ms = procd_now_ms();
    if (p->state == PROCD_STARTED) {
        process_set_state(p, PROCD_READY);
        group_process_ready(p->group, p);
    }
}

/* ------------------------------------------------------------------ ending */

void process_kill_rest(process *p, int signal)
{
    if (kill(-p->pid, signal) != 0 && errno == ESRCH && !p->main_gone) {
        kill(p->pid, signal); /* forked, and its session is not there yet */
    }
}

void process_drain(process *p, const char *why)
{
    if (p->state == PROCD_STARTING) {
        process_stop(p, why);
        return;
    }
    if (p->state == PROCD_STARTED || p->state == PROCD_READY || p->state == PROCD_RETIRING) {
        p->ending = why;
        p->draining_ms = procd_now_ms();
        process_set_state(p, PROCD_DRAINING);
    }
    if (p->state == PROCD_DRAINING && process_busy(p) == 0) {
        process_stop(p, why);
    }
}

void process_stop(process *p, const char *why)
{
    int64_t now = procd_now_ms();

    if (p->state == PROCD_STOPPING) {
        return;
    }
    p->ending = why;
    accept_forget(p);
    process_set_state(p, PROCD_STOPPING);
    unlink_pair(p->group, p);
    p->replaces = p->replaced_by = -1;
    p->stop_at_ms = now + p->stop_timeout_ms;
    if (the_manager.end_at_ms && the_manager.end_at_ms < p->stop_at_ms) {
        p->stop_at_ms = the_manager.end_at_ms;
    }
    process_kill_rest(p, p->kill_signal);
    process_kill_rest(p, SIGCONT); /* one that is stopped would not see it */
    loop_timer(&p->deadline, p->stop_at_ms, on_deadline, p);
}

static void finish(process *p, const char *what, int failed)
{
    group *g = p->group;

    log_finish(&p->log);
    group_process_ended(g, p, what, failed);
    process_free(p);
    if (the_manager.mode == MODE_ENDING) {
        manager_check_done();
    }
    group_balance(g);
}

/* It may have ended before it was looked at again. */
static int has_answered(const process *p)
{
    const procd_slot_count *c = &the_manager.tables.children->groups[p->group->index].slots[p->slot];

    return atomic_load(&c->instance) == p->instance && atomic_load(&c->done) > 0;
}

static void describe(const process *p, int status, char *what, size_t len)
{
    char name[16];

    if (status == -1) {
        snprintf(what, len, "ended");
    }
    else if (WIFSIGNALED(status)) {
        snprintf(what, len, "was killed by %s%s%s", procd_signal_name(WTERMSIG(status), name),
                 WCOREDUMP(status) ? " (core dumped)" : "", p->killed ? " (it did not stop in time)" : "");
    }
    else {
        snprintf(what, len, "exited with status %d%s", WEXITSTATUS(status),
                 WEXITSTATUS(status) == 0 && !p->ready_ms && !p->ending && !p->exec_failed && !has_answered(p)
                     ? " before it accepted a connection: it has to stay in the foreground"
                     : "");
    }
}

int process_only_zombies(pid_t pgid)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    int alive = 0;

    while (dir && !alive && (e = readdir(dir))) {
        proc_stat s;

        alive = isdigit((unsigned char)e->d_name[0]) && proc_stat_read_name(&s, e->d_name) == 0 && s.group == pgid
                && s.state != 'Z' && s.state != 'X';
    }
    if (dir) {
        closedir(dir);
    }
    return dir && !alive;
}

static int group_is_empty(const process *p)
{
    return (kill(-p->pid, 0) != 0 && errno == ESRCH) || (p->adopted && process_only_zombies(p->pid));
}

/* Wait for the rest of its process group a little, without holding anything up. */
static void linger(process *p)
{
    int64_t now = procd_now_ms();

    if (group_is_empty(p) || (p->killed && now > p->stop_at_ms + 1000)) {
        finish(p, NULL, 0);
        return;
    }
    if (now >= p->stop_at_ms && !p->killed) {
        process_kill_rest(p, SIGKILL);
        p->killed = 1;
    }
    loop_timer(&p->deadline, now + LINGER_STEP_MS, on_deadline, p);
}

/* Its main process has ended. */
static void ended(process *p, int status)
{
    int asked = p->state == PROCD_STOPPING;
    char what[128];

    if (p->exec_pipe.fd != -1) {
        on_exec_pipe(&p->exec_pipe); /* its report may not have been read yet */
    }
    p->main_gone = 1;
    describe(p, status, what, sizeof(what));
    if (asked) {
        manager_log(LEVEL_INFO, p->group, "PRD0111: group %s: process %ld %s (%s)", p->group->name, (long)p->pid, what,
                    p->ending);
        linger(p);
        return;
    }
    process_kill_rest(p, SIGKILL);
    finish(p, what, 1);
}

/* Its end is a failed start. Until then it looks like one that exec has not been confirmed of: nobody leases it. */
static void not_in_time(process *p)
{
    int64_t ms = p->start_timeout_ms;

    snprintf(p->fault, sizeof(p->fault), "did not %s within %lld %s",
             p->state == PROCD_STARTING ? "execute its command" : "accept a connection",
             (long long)(ms % 1000 ? ms : ms / 1000), ms % 1000 ? "ms" : "s");
    manager_log(LEVEL_ERROR, p->group, "PRD0112: group %s: process %ld %s (SpawnStartTimeout): killing it",
                p->group->name, (long)p->pid, p->fault);
    procd_why_write(p->group->row, p->fault);
    p->exec_failed = 1;
    accept_forget(p);
    process_set_state(p, PROCD_STARTING);
    process_kill_rest(p, SIGKILL);
}

static void on_deadline(timer *t)
{
    process *p = t->of;

    if (p->main_gone) {
        linger(p);
    }
    else if (p->state != PROCD_STOPPING && !p->ready_ms) {
        not_in_time(p);
    }
    else if (p->state == PROCD_STOPPING) {
        manager_log(LEVEL_WARNING, p->group, "PRD0113: group %s: process %ld has not stopped in time: killing it",
                    p->group->name, (long)p->pid);
        p->killed = 1;
        process_kill_rest(p, SIGKILL);
    }
}

static process *find_pid(pid_t pid)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        for (int s = 0; g && s < PROCD_MAX_SLOTS; s++) {
            if (g->processes[s] && g->processes[s]->pid == pid && !g->processes[s]->main_gone) {
                return g->processes[s];
            }
        }
    }
    return NULL;
}

/* This manager is a subreaper: orphans of processes end up here too, and need only be reaped. */
void process_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        process *p;

        if (script_reaped(pid, status)) {
            continue;
        }
        p = find_pid(pid);
        if (p) {
            ended(p, status);
        }
        else {
            (void)logger_ended(pid);
        }
    }
}

static void on_pidfd(watch *w)
{
    process *p = w->of;

    loop_unwatch(w, 1);
    ended(p, -1);
}
