/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The life of a script: begun, answered (its child of httpd says so) or no longer wanted (the child's end of its control
 * socket is closed without that word), ended.
 *
 * What a script starts and leaves in its process group when it ends, as with `command &` in a shell, lives on if the
 * request was answered, and is known here until it has ended: this manager is a subreaper and reaps it, too. When the
 * client has left, or the group ends, it is ended with the rest. */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 256
#define LOOK_MS 1000

static script *by_pid[BUCKETS];
static int n_left_behind; /* scripts whose process group has outlived them */

static script **bucket_of(pid_t pid)
{
    return &by_pid[(unsigned int)pid % BUCKETS];
}

static script *find(pid_t pid)
{
    script *s = *bucket_of(pid);

    while (s && s->pid != pid) {
        s = s->next;
    }
    return s;
}

int script_has_slot(const group *g, int slot)
{
    return g->cgi && (g->cgi->scripts[slot] || g->cgi->open_slot == slot);
}

int script_count(const group *g)
{
    int n = 0;

    for (int i = 0; g->cgi && i < PROCD_MAX_SLOTS; i++) {
        n += g->cgi->scripts[i] != NULL;
    }
    return n;
}

/* ------------------------------------------------------------------ making and freeing */

static script *take_slot(group *g, int slot)
{
    script *s = malloc(sizeof(*s));

    if (!s) {
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    s->group = g;
    s->slot = slot;
    s->row = &g->row->processes[slot];
    s->control.fd = s->pidfd.fd = s->log.pipe.fd = -1;
    s->log.group = g;
    s->stop_timeout_ms = g->def ? g->def->stop_timeout_ms : 10000;
    s->kill_signal = g->def ? g->def->kill_signal : SIGTERM;
    g->cgi->scripts[slot] = s;
    the_manager.n_processes++;
    if (slot >= atomic_load(&g->row->slots)) {
        atomic_store(&g->row->slots, slot + 1);
    }
    return s;
}

script *script_create(group *g)
{
    int slot = group_free_slot(g);
    script *s = slot >= 0 ? take_slot(g, slot) : NULL;

    if (s) {
        s->instance = atomic_fetch_add(&the_manager.tables.manager->last_instance, 1) + 1;
    }
    else {
        errno = slot < 0 ? EAGAIN : ENOMEM;
    }
    return s;
}

static void clear_row(procd_process_row *row)
{
    procd_row_begin(row);
    atomic_store(&row->state, PROCD_EMPTY);
    atomic_store(&row->instance, 0);
    atomic_store(&row->pid, 0);
    procd_row_end(row);
}

static void forget_pid(script *s)
{
    for (script **at = bucket_of(s->pid); *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            return;
        }
    }
}

void script_free(script *s)
{
    group *g = s->group;

    forget_pid(s);
    loop_cancel(&s->deadline);
    loop_unwatch(&s->control, 1);
    loop_unwatch(&s->pidfd, 1);
    log_finish(&s->log);
    free(s->log.host);
    launch_give(s->launch);
    clear_row(s->row);
    g->cgi->scripts[s->slot] = NULL;
    the_manager.n_processes--;
    free(s);
}

/* ------------------------------------------------------------------ the table */

/* Field 22 of /proc/PID/stat, as it is going to be: reading it costs more than all the rest of this. */
static uint64_t ticks_now(void)
{
    static long per_second;
    struct timespec ts;

    if (!per_second) {
        per_second = sysconf(_SC_CLK_TCK);
    }
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * (uint64_t)per_second + (uint64_t)(ts.tv_nsec * per_second / 1000000000);
}

static void publish_script(const script *s)
{
    procd_process_row *row = s->row;

    procd_row_begin(row);
    atomic_store(&row->instance, s->instance);
    atomic_store(&row->pid, s->pid);
    atomic_store(&row->concurrency, 1);
    atomic_store(&row->start_ticks, ticks_now());
    atomic_store(&row->started_ms, procd_now_ms());
    atomic_store(&row->definition, s->group->definition);
    atomic_store(&row->retire_at, 0);
    atomic_store(&row->name_index, -1);
    procd_row_set_addr(row, NULL, 0);
    atomic_store(&row->state, PROCD_SCRIPT);
    procd_row_end(row);
}

/* The numbers of the status page. Children must not ring for growth: there is nothing that could grow. */
static void publish_numbers(group *g)
{
    atomic_store(&g->row->ready, g->cgi->running);
    atomic_store(&g->row->live, g->def ? group_max(g) : 0);
    atomic_store(&g->row->starting, 0);
}

static void open_row(group *g)
{
    script_side *cgi = g->cgi;
    procd_process_row *row;

    cgi->open_slot = group_free_slot(g);
    if (cgi->open_slot < 0) {
        return;
    }
    row = &g->row->processes[cgi->open_slot];
    procd_row_begin(row);
    atomic_store(&row->instance, atomic_fetch_add(&the_manager.tables.manager->last_instance, 1) + 1);
    atomic_store(&row->pid, 0);
    atomic_store(&row->concurrency, group_max(g));
    atomic_store(&row->start_ticks, 0);
    atomic_store(&row->started_ms, procd_now_ms());
    atomic_store(&row->retire_at, 0);
    atomic_store(&row->name_index, -1);
    procd_row_set_addr(row, NULL, 0);
    procd_row_end(row);
    if (cgi->open_slot >= atomic_load(&g->row->slots)) {
        atomic_store(&g->row->slots, cgi->open_slot + 1);
    }
    atomic_store(&row->state, PROCD_OPEN);
    manager_wake_children();
}

static void close_row(group *g)
{
    if (g->cgi->open_slot >= 0) {
        clear_row(&g->row->processes[g->cgi->open_slot]);
        g->cgi->open_slot = -1;
    }
}

static void resize_row(group *g)
{
    procd_process_row *row = &g->row->processes[g->cgi->open_slot];
    int most = atomic_load(&row->concurrency);

    if (most != group_max(g)) {
        procd_row_begin(row);
        atomic_store(&row->concurrency, group_max(g));
        procd_row_end(row);
        manager_wake_children();
    }
}

int script_busy(const group *g)
{
    const procd_process_row *row = g->cgi && g->cgi->open_slot >= 0 ? &g->row->processes[g->cgi->open_slot] : NULL;

    return row ? procd_table_busy(&the_manager.tables, g->index, g->cgi->open_slot, atomic_load(&row->instance)) : 0;
}

void script_leave(group *g)
{
    if (g->cgi) {
        close_row(g);
        script_queue_clear(g);
        script_forget_conf(g);
        free(g->cgi);
        g->cgi = NULL;
    }
}

void script_balance(group *g)
{
    int wanted = g->def && g->def->socket_type == PROCD_SOCKET_PIPE && !script_is_refused(g)
                 && the_manager.mode == MODE_RUNNING && !group_is_halted(g);

    if (wanted && g->cgi->open_slot < 0) {
        open_row(g);
    }
    else if (wanted) {
        resize_row(g);
    }
    else {
        close_row(g);
        script_queue_clear(g);
    }
    script_queue_run(g);
    publish_numbers(g);
}

/* ------------------------------------------------------------------ the end */

static int nobody_left(const script *s)
{
    return (kill(-s->pid, 0) != 0 && errno == ESRCH) || (s->adopted && process_only_zombies(s->pid));
}

static void gone(script *s)
{
    group *g = s->group;

    n_left_behind -= s->main_gone > 1;
    script_free(s);
    manager_check_done();
    group_balance(g);
}

static void on_deadline(timer *t)
{
    script *s = t->of;

    if (s->killed++ == 0) {
        manager_log(LEVEL_WARNING, s->group, "PRD0601: group %s: script %ld has not stopped in time: killing it",
                    s->group->name, (long)s->pid);
    }
    kill(-s->pid, SIGKILL);
    if (s->main_gone && nobody_left(s)) {
        gone(s);
    }
    else if (s->main_gone || s->adopted) {
        loop_timer(t, procd_now_ms() + LOOK_MS, on_deadline, s);
    }
}

void script_stop(script *s, const char *why)
{
    int64_t at = procd_now_ms() + s->stop_timeout_ms;

    if (s->ending) {
        return;
    }
    s->ending = why;
    if (the_manager.end_at_ms && the_manager.end_at_ms < at) {
        at = the_manager.end_at_ms;
    }
    if (kill(-s->pid, s->kill_signal) != 0 && !s->main_gone) {
        kill(s->pid, s->kill_signal); /* forked, and its process group is not there yet */
    }
    kill(-s->pid, SIGCONT);
    loop_timer(&s->deadline, at, on_deadline, s);
}

void script_end_all(int now, const char *why)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        const group *g = the_manager.groups[i];

        for (int n = 0; g && g->cgi && n < PROCD_MAX_SLOTS; n++) {
            script *s = g->cgi->scripts[n];

            if (s && (now || s->whole || s->main_gone)) {
                script_stop(s, why);
            }
        }
    }
}

void script_wind_up(group *g)
{
    for (int i = 0; g->cgi && i < PROCD_MAX_SLOTS; i++) {
        script *s = g->cgi->scripts[i];

        if (s && (s->whole || s->main_gone)) {
            script_stop(s, "its group was removed");
        }
    }
}

static void log_end(const script *s, int status)
{
    const group *g = s->group;
    char name[16], text[256];

    if (status == -1) {
        manager_log(LEVEL_INFO, g, "PRD0602: group %s: script %ld ended", g->name, (long)s->pid);
    }
    else if (s->launch && atomic_load(&s->launch->stage)) {
        const spawn_failure failure = { atomic_load(&s->launch->stage), atomic_load(&s->launch->error) };

        if (g->def) {
            spawn_describe(g->def, s->launch->program, &failure, text, sizeof(text));
        }
        manager_log(LEVEL_ERROR, g, "PRD0603: group %s: %s", g->name, g->def ? text : strerror(failure.error));
    }
    else if (WIFSIGNALED(status)) {
        manager_log(s->ending ? LEVEL_INFO : LEVEL_WARNING, g, "PRD0604: group %s: script %ld was killed by %s%s%s%s",
                    g->name, (long)s->pid, procd_signal_name(WTERMSIG(status), name), s->ending ? " (" : "",
                    s->ending ? s->ending : "", s->ending ? ")" : "");
    }
    else {
        manager_log(WEXITSTATUS(status) ? LEVEL_INFO : LEVEL_DEBUG, g,
                    "PRD0605: group %s: script %ld exited with status %d", g->name, (long)s->pid, WEXITSTATUS(status));
    }
}

/* What a predecessor's script has left behind is reaped by somebody else, so that nobody tells. */
static void on_left_behind(timer *t)
{
    script *s = t->of;

    if (nobody_left(s)) {
        gone(s);
    }
    else {
        loop_timer(t, procd_now_ms() + LOOK_MS, on_left_behind, s);
    }
}

static void main_ended(script *s, int status)
{
    log_end(s, status);
    s->main_gone = 1;
    s->group->cgi->running--;
    atomic_fetch_add(&s->group->row->ended, 1);
    if (nobody_left(s)) {
        gone(s);
        return;
    }
    s->main_gone = 2;
    n_left_behind++;
    if (s->adopted && !s->ending) {
        loop_timer(&s->deadline, procd_now_ms() + LOOK_MS, on_left_behind, s);
    }
    manager_log(LEVEL_DEBUG, s->group, "PRD0606: group %s: script %ld has left others of its process group behind",
                s->group->name, (long)s->pid);
    group_balance(s->group);
}

/* Somebody's orphan: perhaps the last that a script has left behind. */
static void look_after_left_behind(void)
{
    for (int i = 0; i < BUCKETS && n_left_behind; i++) {
        for (script *s = by_pid[i], *next; s; s = next) {
            next = s->next;
            if (s->main_gone && nobody_left(s)) {
                gone(s);
            }
        }
    }
}

int script_reaped(pid_t pid, int status)
{
    script *s = find(pid);

    if (s && !s->main_gone) {
        main_ended(s, status);
        return 1;
    }
    if (n_left_behind) {
        look_after_left_behind();
    }
    return 0;
}

static void on_pidfd(watch *w)
{
    loop_unwatch(w, 1);
    main_ended(w->of, -1);
}

/* ------------------------------------------------------------------ while it runs */

static void on_control(watch *w)
{
    script *s = w->of;
    char word = 0;
    ssize_t n = recv(w->fd, &word, 1, MSG_DONTWAIT);

    if (n == -1 && errno == ECONNRESET) { /* our answer was not read: that is told once, and before the word */
        n = recv(w->fd, &word, 1, MSG_DONTWAIT);
    }
    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    loop_unwatch(w, 1);
    if (n == 1 && word == PROCD_SCRIPT_DONE) {
        s->whole = 1;
    }
    else {
        script_stop(s, "nobody waits for its answer any more");
    }
}

void script_begin(script *s, pid_t pid, launch *l, int control, int log_fd)
{
    s->pid = s->log.pid = pid;
    s->launch = l;
    s->next = *bucket_of(pid);
    *bucket_of(pid) = s;
    s->group->cgi->running++;
    atomic_fetch_add(&s->group->row->started, 1);
    publish_script(s);
    publish_numbers(s->group);
    log_watch(&s->log, log_fd);
    if (loop_watch(&s->control, control, on_control, s) != 0) {
        close(control);
        script_stop(s, "it could not be watched");
    }
}

/* ------------------------------------------------------------------ of a manager before this one */

/* Its request goes on without us: the child of httpd has its pipes. */
static void adopt_script(group *g, int slot, pid_t pid, uint64_t instance)
{
    script *s = take_slot(g, slot);
    int fd;

    if (!s) {
        return;
    }
    s->adopted = s->whole = 1;
    s->pid = s->log.pid = pid;
    s->instance = instance;
    s->next = *bucket_of(pid);
    *bucket_of(pid) = s;
    g->cgi->running++;
    log_watch(&s->log, adopt_stderr(pid, 0, 0));
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd != -1 && loop_watch(&s->pidfd, fd, on_pidfd, s) != 0) {
        close(fd);
    }
    manager_log(LEVEL_NOTICE, g, "PRD0607: group %s: script %ld adopted", g->name, (long)pid);
}

void script_adopt(group *g, int slot)
{
    procd_process_row *row = &g->row->processes[slot];
    uint64_t ticks = atomic_load(&row->start_ticks);
    uint32_t state = atomic_load(&row->state);
    pid_t pid = atomic_load(&row->pid);

    if (!script_side_make(g)) {
        return;
    }
    if (state == PROCD_OPEN && g->cgi->open_slot < 0) {
        g->cgi->open_slot = slot; /* its leases are still out */
        return;
    }
    if (state == PROCD_SCRIPT && pid > 1) {
        uint64_t now = process_start_ticks(pid);

        if (now && now + 2 >= ticks && now <= ticks + 2) {
            adopt_script(g, slot, pid, atomic_load(&row->instance));
            return;
        }
    }
    clear_row(row);
}
