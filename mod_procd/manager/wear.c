/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What wears processes out but requests: memory, processor time, age, and files of SpawnWatch that have changed. Looked
 * at once a second, and only in groups that want it; what is found makes a process `worn`, and group.c replaces it.
 *
 * Memory and processor time are those of the process and of all that descend from it, so that a master whose children do
 * the work is seen as a whole. */
#include "manager.h"
#include "proc_stat.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000
/** Processes of one tree that are looked at. */
#define TREE_MOST 256

/* ------------------------------------------------------------------ reading /proc */

/* @return bytes read, ended with NUL */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd == -1 ? -1 : read(fd, text, room - 1);
    if (fd != -1) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static uint64_t memory_of(pid_t pid, int pss)
{
    char text[2048], *at;
    unsigned long long kb = 0, pages = 0;

    if (pss && read_proc(pid, "smaps_rollup", text, sizeof(text)) && (at = strstr(text, "\nPss:"))
        && sscanf(at + 5, "%llu", &kb) == 1) {
        return kb * 1024;
    }
    if (read_proc(pid, "statm", text, sizeof(text)) && sscanf(text, "%*u %llu", &pages) == 1) {
        return pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    return 0;
}

/* Its own and that of children it has waited for. */
static int64_t cpu_of(pid_t pid)
{
    proc_stat s;

    return proc_stat_read(&s, pid) != 0 ? 0
                                        : (s.user_ticks + s.system_ticks + s.waited_user_ticks + s.waited_system_ticks)
                                              * 1000 / sysconf(_SC_CLK_TCK);
}

/* A process and what descends from it. @return how many */
static int tree_of(pid_t pid, pid_t tree[TREE_MOST])
{
    int n = 1;

    tree[0] = pid;
    for (int i = 0; i < n; i++) {
        char name[48], text[4096], *at = text, *end;

        snprintf(name, sizeof(name), "task/%ld/children", (long)tree[i]);
        read_proc(tree[i], name, text, sizeof(text));
        for (long child; n < TREE_MOST && (child = strtol(at, &end, 10)) > 0 && end != at; at = end) {
            tree[n++] = (pid_t)child;
        }
    }
    return n;
}

/* ------------------------------------------------------------------ processes */

__attribute__((format(printf, 2, 3))) static void wear_out(process *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(p->why, sizeof(p->why), format, args);
    va_end(args);
    p->worn = p->why;
    manager_log(LEVEL_INFO, p->group, "PRD0204: group %s: process %ld: %s: replacing it", p->group->name, (long)p->pid,
                p->why);
}

static void look_at_process(const procd_groupdef *def, process *p)
{
    uint64_t memory = 0;
    int64_t cpu_ms = 0, age_ms = procd_now_ms() - p->started_ms;
    pid_t tree[TREE_MOST];
    int n = def->max_memory || def->max_cpu_ms ? tree_of(p->pid, tree) : 0;

    for (int i = 0; i < n; i++) {
        memory += def->max_memory ? memory_of(tree[i], def->memory_pss) : 0;
        cpu_ms += def->max_cpu_ms ? cpu_of(tree[i]) : 0;
    }
    if (def->max_memory && memory > def->max_memory) {
        wear_out(p, "memory %lluM over %lluM", (unsigned long long)memory >> 20,
                 (unsigned long long)def->max_memory >> 20);
    }
    else if (def->max_cpu_ms && cpu_ms > def->max_cpu_ms) {
        wear_out(p, "processor time %llu s over %llu s", (unsigned long long)cpu_ms / 1000,
                 (unsigned long long)def->max_cpu_ms / 1000);
    }
    else if (def->max_age_ms && age_ms > def->max_age_ms) {
        wear_out(p, "age %llu s over %llu s", (unsigned long long)age_ms / 1000,
                 (unsigned long long)def->max_age_ms / 1000);
    }
}

/* ------------------------------------------------------------------ watched files */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 1099511628211ull;
}

/* One number for what all the files are now; one that is missing is a state like any other. */
static uint64_t look_at_files(const procd_groupdef *def)
{
    uint64_t hash = 14695981039346656037ull;

    for (int i = 0; i < def->n_watch; i++) {
        struct stat st;

        if (stat(def->watch[i], &st) != 0) {
            hash = mix(hash, 1);
            continue;
        }
        hash = mix(mix(mix(hash, st.st_dev), st.st_ino), (uint64_t)st.st_size);
        hash = mix(mix(hash, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
    }
    return hash;
}

/* Not before they have been the same twice: a deployment takes a moment. */
static void check_files(group *g)
{
    uint64_t is = look_at_files(g->def);

    if (is != g->watched && is == g->watched_before) {
        g->watched = is;
        manager_log(LEVEL_NOTICE, g, "PRD0205: group %s: a file of SpawnWatch has changed: replacing its processes",
                    g->name);
        for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
            if (g->processes[i]) {
                g->processes[i]->worn = "a file of SpawnWatch has changed";
            }
        }
        g->failures = 0; /* it may have been mended */
        g->not_before_ms = 0;
        atomic_store(&g->row->crash_loop, 0);
    }
    g->watched_before = is;
}

/* ------------------------------------------------------------------ each second */

static void on_wear(timer *t)
{
    group *g = t->of;

    loop_timer(t, procd_now_ms() + LOOK_EVERY_MS, on_wear, g);
    if (!g->def || g->removed || the_manager.mode != MODE_RUNNING) {
        return;
    }
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        process *p = g->processes[i];

        if (p && p->state == PROCD_READY && !p->worn) {
            look_at_process(g->def, p);
        }
    }
    if (g->def->n_watch && !group_is_halted(g)) {
        check_files(g);
    }
    group_balance(g);
}

void wear_start(group *g)
{
    const procd_groupdef *def = g->def;

    wear_stop(g);
    if (def->max_memory || def->max_cpu_ms || def->max_age_ms || def->n_watch) {
        g->watched = g->watched_before = look_at_files(def);
        loop_timer(&g->wear, procd_now_ms() + LOOK_EVERY_MS, on_wear, g);
    }
}

void wear_stop(group *g)
{
    loop_cancel(&g->wear);
}
