/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Processes that a manager before this one has started. Only the manager's half of the table is believed, which nobody
 * else can write, and of a pid only that its start time is the one in the table. */
#include "manager.h"
#include "proc_stat.h"
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t process_start_ticks(pid_t pid)
{
    proc_stat s;

    return proc_stat_read(&s, pid) == 0 ? s.start_ticks : 0;
}

/* It is looked at before it is opened: its process can put anything there meanwhile, also what must not be opened. */
int adopt_stderr(pid_t pid, uint64_t dev, uint64_t ino)
{
    char path[40];
    struct stat st;
    int handle, fd = -1;

    snprintf(path, sizeof(path), "/proc/%ld/fd/2", (long)pid);
    handle = open(path, O_PATH | O_CLOEXEC);
    if (handle == -1) {
        return -1;
    }
    if (fstat(handle, &st) == 0 && S_ISFIFO(st.st_mode) && (ino == 0 || (st.st_dev == dev && st.st_ino == ino))) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    close(handle);
    return fd;
}

static void forget_row(procd_process_row *row)
{
    procd_row_begin(row);
    atomic_store(&row->state, PROCD_EMPTY);
    atomic_store(&row->instance, 0);
    procd_row_end(row);
}

static void adopt_path(process *p, const procd_hold *hold)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&hold->addr;

    if (p->name_index < 0 && hold->addr.sa.sa_family == AF_UNIX
        && strnlen(un->sun_path, sizeof(un->sun_path)) < sizeof(un->sun_path)) {
        memcpy(p->path, un->sun_path, sizeof(p->path));
    }
}

static void adopt_process(group *g, int slot)
{
    procd_process_row *row = &g->row->processes[slot];
    uint32_t state = atomic_load(&row->state);
    uint64_t ticks = atomic_load(&row->start_ticks);
    procd_hold hold;
    process *p;

    if (atomic_load(&row->seq) & 1) {
        procd_row_end(row);
    }
    if (state == PROCD_EMPTY) {
        return;
    }
    if (state == PROCD_OPEN || state == PROCD_SCRIPT) {
        script_adopt(g, slot);
        return;
    }
    if (procd_row_read(row, &hold, &state) != 0 || hold.pid <= 1 || ticks == 0 || process_start_ticks(hold.pid) != ticks
        || !(p = process_create(g, slot))) {
        forget_row(row);
        return;
    }
    p->adopted = 1;
    p->pid = p->log.pid = hold.pid;
    p->instance = hold.instance;
    p->definition = atomic_load(&row->definition);
    p->started_ms = atomic_load(&row->started_ms);
    p->name_index = atomic_load(&row->name_index);
    p->listen_ino = (uint32_t)atomic_load(&row->listen_ino);
    p->kill_signal = g->def ? g->def->kill_signal : SIGTERM;
    p->start_timeout_ms = g->def ? g->def->start_timeout_ms : 30000;
    p->stop_timeout_ms = g->def ? g->def->stop_timeout_ms : 10000;
    adopt_path(p, &hold);
    process_watch_life(p);
    log_watch(&p->log, adopt_stderr(p->pid, atomic_load(&row->log_dev), atomic_load(&row->log_ino)));
    manager_log(LEVEL_NOTICE, g, "PRD0130: group %s: process %ld adopted", g->name, (long)p->pid);
    if (state == PROCD_STOPPING || state == PROCD_STARTING) {
        p->state = PROCD_READY;
        process_stop(p, "its manager was lost while it started or stopped");
        return;
    }
    if (state == PROCD_STARTED && p->listen_ino) {
        process_watch_start(p); /* with another connection of ours: nobody knows what became of the first */
        return;
    }
    p->ready_ms = p->started_ms;
    /* A replacement may be on its way: whether it still has to retire is decided anew. */
    process_set_state(p, state == PROCD_DRAINING ? PROCD_DRAINING : PROCD_READY);
    p->ending = state == PROCD_DRAINING ? "drained" : NULL;
}

void adopt_group(group *g)
{
    int n = atomic_load(&g->row->slots);

    for (int i = 0; i < n && i < PROCD_MAX_SLOTS; i++) {
        if (!g->processes[i]) {
            adopt_process(g, i);
        }
    }
    atomic_store(&g->row->seq, (atomic_load(&g->row->seq) | 1) + 1);
    g->demand_seen = atomic_load(&g->row->demand_seen);
}
