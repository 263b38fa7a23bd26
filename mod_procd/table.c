/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The process table.
 *
 * Who writes what
 *  - manager_half: the manager alone. A process row's identity (instance, pid, address) changes only between
 *    procd_row_begin() and procd_row_end(); its state may change at any time.
 *  - group_count.slots: children, under the group's lock. child_row.busy: its own child, under the same lock.
 *    child_row.waiting: its own child, atomically. child_row.state: LIVE by the child, GONE by the parent.
 *
 * Taking against retiring
 *    The manager sets DRAINING and then looks whether the process is busy; a child counts itself busy and then looks at
 *    the state. Both with a full fence in between, so one of the two sees the other: either the child takes its count
 *    back, or the manager waits for it.
 *
 * A child that dies
 *    Its row says GONE and children_half.gone has moved. Whoever takes a group's lock next and finds that it moved sums
 *    the rows of the living anew; so does the one who finds the lock's owner dead. The manager always sums by itself.
 *    A child that reuses the row clears it first, so a late recount finds zeros and not the dead child's numbers. */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_SECONDS 2

#define get(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define set(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work between processes");

int64_t procd_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ making and mapping */

static int make_memfd(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1) {
        return -1;
    }
    if (ftruncate(fd, (off_t)size) == 0 && fchmod(fd, 0600) == 0
        && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static int init_locks(procd_children_half *half)
{
    pthread_mutexattr_t attr;
    int rv = pthread_mutexattr_init(&attr);

    if (rv == 0) {
        pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
        for (int i = 0; rv == 0 && i < PROCD_MAX_GROUPS; i++) {
            rv = pthread_mutex_init(&half->locks[i], &attr);
        }
        pthread_mutexattr_destroy(&attr);
    }
    errno = rv;
    return rv ? -1 : 0;
}

static void *map_to_fill(int fd, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Instances are unique beyond this table: sockets are named after them, and the next table's manager may work beside this
 * one's for a while. */
static uint64_t first_instance(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int fill_headers(int manager_fd, int children_fd)
{
    procd_manager_half *manager = map_to_fill(manager_fd, sizeof(*manager));
    procd_children_half *children = map_to_fill(children_fd, sizeof(*children));
    int rv = -1;

    if (manager && children) {
        manager->magic = PROCD_TABLE_MAGIC;
        manager->version = PROCD_TABLE_VERSION;
        manager->size = sizeof(*manager);
        atomic_store(&manager->last_instance, first_instance());
        rv = init_locks(children);
    }
    if (manager) {
        munmap(manager, sizeof(*manager));
    }
    if (children) {
        munmap(children, sizeof(*children));
    }
    return rv;
}

int procd_table_create(int *manager_fd, int *children_fd)
{
    *children_fd = -1;
    *manager_fd = make_memfd("procd-manager", sizeof(procd_manager_half));
    if (*manager_fd == -1) {
        return -1;
    }
    *children_fd = make_memfd("procd-children", sizeof(procd_children_half));
    if (*children_fd != -1 && fill_headers(*manager_fd, *children_fd) == 0) {
        return 0;
    }
    close(*manager_fd);
    if (*children_fd != -1) {
        close(*children_fd);
    }
    return -1;
}

/* A mapping that cannot become writable needs a descriptor that is read-only. */
static void *map_half(int fd, size_t size, int writes)
{
    char path[40];
    struct stat st;
    void *p;
    int ro;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }
    if (st.st_size != (off_t)size) {
        errno = EPROTO;
        return NULL;
    }
    if (writes) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ro = open(path, O_RDONLY | O_CLOEXEC);
    if (ro == -1) {
        return NULL;
    }
    p = mmap(NULL, size, PROT_READ, MAP_SHARED, ro, 0);
    close(ro);
    return p == MAP_FAILED ? NULL : p;
}

int procd_table_map(procd_tables *t, int manager_fd, int children_fd, int is_manager)
{
    t->children = NULL;
    t->manager = map_half(manager_fd, sizeof(*t->manager), is_manager);
    if (!t->manager) {
        return -1;
    }
    t->children = map_half(children_fd, sizeof(*t->children), !is_manager);
    if (!t->children) {
        procd_table_unmap(t);
        return -1;
    }
    /* Both halves are made at once. What stands in the children's says nothing: they can write there. */
    if (t->manager->magic != PROCD_TABLE_MAGIC || t->manager->version != PROCD_TABLE_VERSION) {
        procd_table_unmap(t);
        errno = EPROTO;
        return -1;
    }
    return 0;
}

void procd_table_unmap(procd_tables *t)
{
    if (t->manager) {
        munmap(t->manager, sizeof(*t->manager));
    }
    if (t->children) {
        munmap(t->children, sizeof(*t->children));
    }
    t->manager = NULL;
    t->children = NULL;
}

void procd_table_reset_demand(procd_tables *t, int group)
{
    set(t->children->groups[group].demand, 0);
}

/* ------------------------------------------------------------------ children come and go */

static int clamp_rows(const procd_tables *t)
{
    int n = atomic_load_explicit(&t->children->rows, memory_order_acquire);

    return n < 0 ? 0 : n > PROCD_MAX_CHILDREN ? PROCD_MAX_CHILDREN : n;
}

static void clear_row(procd_child_row *row)
{
    for (int g = 0; g < PROCD_MAX_GROUPS; g++) {
        set(row->waiting[g], 0);
        if (get(row->used[g / 64]) >> (g % 64) & 1) {
            for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
                set(row->busy[g][i], 0);
            }
        }
    }
    for (int i = 0; i < PROCD_MAX_GROUPS / 64; i++) {
        set(row->used[i], 0);
    }
}

int procd_child_register(procd_tables *t, pid_t pid)
{
    for (int i = 0; i < PROCD_MAX_CHILDREN; i++) {
        procd_child_row *row = &t->children->children[i];
        uint32_t state = get(row->state);
        int32_t rows;

        if ((state != PROCD_CHILD_FREE && state != PROCD_CHILD_GONE)
            || !atomic_compare_exchange_strong(&row->state, &state, PROCD_CHILD_CLAIMED)) {
            continue;
        }
        atomic_store(&row->pid, (int32_t)pid);
        clear_row(row);
        rows = get(t->children->rows);
        while (rows < i + 1 && !atomic_compare_exchange_weak(&t->children->rows, &rows, i + 1)) {
        }
        atomic_store(&row->state, PROCD_CHILD_LIVE);
        return i;
    }
    return -1;
}

int procd_child_gone(procd_tables *t, pid_t pid)
{
    int rows = clamp_rows(t), found = 0;

    for (int i = 0; i < rows; i++) {
        procd_child_row *row = &t->children->children[i];

        if (get(row->pid) == (int32_t)pid && get(row->state) != PROCD_CHILD_GONE) {
            atomic_store(&row->state, PROCD_CHILD_GONE);
            atomic_fetch_add(&t->children->gone, 1);
            found = 1;
        }
    }
    return found;
}

/* ------------------------------------------------------------------ the group's lock */

static void recount(procd_tables *t, int group)
{
    procd_group_count *count = &t->children->groups[group];
    int rows = clamp_rows(t);

    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (get(count->slots[i].instance) != 0) {
            set(count->slots[i].busy, 0);
        }
    }
    for (int c = 0; c < rows; c++) {
        procd_child_row *row = &t->children->children[c];

        if (atomic_load(&row->state) != PROCD_CHILD_LIVE || !(get(row->used[group / 64]) >> (group % 64) & 1)) {
            continue;
        }
        for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
            int n = get(row->busy[group][i]);

            if (n) {
                set(count->slots[i].busy, get(count->slots[i].busy) + n);
            }
        }
    }
}

/* Held for microseconds. Who holds it longer was stopped or is up to no good: that must not cost a thread of ours for ever. */
static int take_lock(pthread_mutex_t *lock)
{
    struct timespec until;
    int rv = pthread_mutex_trylock(lock);

    if (rv != EBUSY) {
        return rv;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOCK_SECONDS;
    return pthread_mutex_timedlock(lock, &until);
}

static int lock_group(procd_tables *t, int group)
{
    procd_group_count *count = &t->children->groups[group];
    int rv = take_lock(&t->children->locks[group]);
    uint32_t gone;

    if (rv != 0 && rv != EOWNERDEAD) {
        return -1;
    }
    gone = atomic_load(&t->children->gone);
    if (rv == EOWNERDEAD || gone != count->seen_gone) {
        count->seen_gone = gone;
        recount(t, group);
    }
    if (rv == EOWNERDEAD) {
        pthread_mutex_consistent(&t->children->locks[group]);
    }
    return 0;
}

static void unlock_group(procd_tables *t, int group)
{
    pthread_mutex_unlock(&t->children->locks[group]);
}

/* ------------------------------------------------------------------ taking and giving back */

/* Another process lives in the slot: what was counted for the last one is void. */
static void reset_slot(procd_tables *t, int group, int slot, uint64_t instance)
{
    procd_slot_count *count = &t->children->groups[group].slots[slot];
    int rows = clamp_rows(t);

    for (int c = 0; c < rows; c++) {
        procd_child_row *row = &t->children->children[c];

        if (get(row->used[group / 64]) >> (group % 64) & 1) {
            set(row->busy[group][slot], 0);
        }
    }
    set(count->busy, 0);
    set(count->broke, 0);
    set(count->timed_out, 0);
    set(count->stuck, 0);
    set(count->refused, 0);
    set(count->requests, 0);
    set(count->done, 0);
    set(count->timed, 0);
    set(count->first_us, 0);
    set(count->total_us, 0);
    set(count->last_ms, procd_now_ms());
    atomic_store_explicit(&count->instance, instance, memory_order_release);
}

static int accepts(uint32_t state)
{
    return state == PROCD_READY || state == PROCD_RETIRING || state == PROCD_OPEN;
}

static int has_started(uint32_t state)
{
    return state == PROCD_STARTED;
}

static int is_leasable(uint32_t state)
{
    return accepts(state) || has_started(state);
}

static int clamp_slots(const procd_group_row *row)
{
    int n = atomic_load_explicit(&row->slots, memory_order_acquire);

    return n < 0 ? 0 : n > PROCD_MAX_SLOTS ? PROCD_MAX_SLOTS : n;
}

/* Worth a closer look: nothing that a copy of the row would not tell again, but most rows of a busy group end here. */
static int may_have_room(const procd_process_row *row, const procd_slot_count *count, int best, int best_busy)
{
    int busy;

    if (get(count->instance) != get(row->instance)) {
        return 1; /* nobody has leased it yet */
    }
    busy = get(count->busy);
    return busy < get(row->concurrency) && (best < 0 || busy < best_busy);
}

/* The slot to take among those in a state that will do, and a copy of its row, or -1. *any: there is such a process,
 * with room or without. */
static int choose_of(procd_tables *t, int group, int (*will_do)(uint32_t state), uint64_t avoid, procd_hold *hold,
                     int *any)
{
    const procd_group_row *rows = &t->manager->groups[group];
    int n = clamp_slots(rows), best = -1, best_busy = 0;

    for (int i = 0; i < n; i++) {
        procd_slot_count *count = &t->children->groups[group].slots[i];
        procd_hold candidate;
        uint32_t state;
        int busy;

        if (!will_do(get(rows->processes[i].state)) || get(rows->processes[i].instance) == avoid) {
            continue;
        }
        *any = 1;
        if (!may_have_room(&rows->processes[i], count, best, best_busy)
            || procd_row_read(&rows->processes[i], &candidate, &state) != 0 || !will_do(state)
            || candidate.instance == avoid || candidate.instance == 0) {
            continue;
        }
        if (get(count->instance) != candidate.instance) {
            reset_slot(t, group, i, candidate.instance);
        }
        busy = get(count->busy);
        if (busy < candidate.concurrency && (best < 0 || busy < best_busy)) {
            candidate.slot = best = i;
            best_busy = busy;
            *hold = candidate;
            if (busy == 0) {
                break;
            }
        }
    }
    return best;
}

/* A request for a process that has only been started waits until the process accepts. That is the shortest way while the
 * group has no other; otherwise it waits here, and whichever comes first has it. */
static int choose(procd_tables *t, int group, uint64_t avoid, procd_hold *hold)
{
    int any = 0, slot = choose_of(t, group, accepts, avoid, hold, &any);

    return slot < 0 && !any ? choose_of(t, group, has_started, avoid, hold, &any) : slot;
}

static void count_up(procd_tables *t, int child, int group, int slot, int by)
{
    procd_child_row *row = &t->children->children[child];
    procd_slot_count *count = &t->children->groups[group].slots[slot];

    set(row->busy[group][slot], (uint16_t)(get(row->busy[group][slot]) + by));
    set(count->busy, get(count->busy) + by);
}

static procd_taken nothing_free(procd_tables *t, int group, int *ring)
{
    const procd_group_row *row = &t->manager->groups[group];

    if (get(row->crash_loop) && get(row->ready) == 0 && procd_now_ms() < get(row->retry_ms)) {
        return PROCD_TAKE_NEVER;
    }
    atomic_fetch_add(&t->children->groups[group].demand, 1);
    *ring = get(row->live) < get(row->max) || get(row->state) == PROCD_GROUP_FREE;
    return PROCD_TAKE_LATER;
}

procd_taken procd_table_take(procd_tables *t, int child, int group, uint64_t avoid, procd_hold *hold, int *ring)
{
    procd_child_row *row = &t->children->children[child];
    const procd_group_row *rows = &t->manager->groups[group];
    procd_slot_count *count;
    procd_taken result;
    uint64_t retire_at;
    int slot;

    *ring = 0;
    if (!(get(row->used[group / 64]) >> (group % 64) & 1)) {
        atomic_fetch_or(&row->used[group / 64], (uint64_t)1 << (group % 64));
    }
    if (lock_group(t, group) != 0) {
        return PROCD_TAKE_LATER;
    }
    while ((slot = choose(t, group, avoid, hold)) >= 0) {
        count_up(t, child, group, slot, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (is_leasable(get(rows->processes[slot].state)) && get(rows->processes[slot].instance) == hold->instance) {
            break;
        }
        count_up(t, child, group, slot, -1);
    }
    if (slot >= 0) {
        count = &t->children->groups[group].slots[slot];
        set(count->requests, get(count->requests) + 1);
        retire_at = get(rows->processes[slot].retire_at);
        *ring = (retire_at && get(count->requests) == retire_at) || get(rows->spare);
        hold->request_ms = get(rows->request_ms);
        result = PROCD_TAKEN;
    }
    else {
        result = nothing_free(t, group, ring);
    }
    unlock_group(t, group);
    return result;
}

/* Sums that wrap are no harm: they are shown and nothing else. */
static void count_times(procd_slot_count *count, procd_times times)
{
    set(count->timed, get(count->timed) + 1);
    set(count->first_us, get(count->first_us) + (uint64_t)times.first);
    set(count->total_us, get(count->total_us) + (uint64_t)times.total);
}

int procd_table_give(procd_tables *t, int child, int group, const procd_hold *hold, procd_given how, procd_times times)
{
    procd_slot_count *count = &t->children->groups[group].slots[hold->slot];
    uint32_t state;
    int ring = 0;

    if (lock_group(t, group) != 0) {
        return 0;
    }
    if (get(count->instance) == hold->instance && get(t->children->children[child].busy[group][hold->slot]) > 0) {
        count_up(t, child, group, hold->slot, -1);
        set(count->last_ms, procd_now_ms());
        if (times.first > 0 && times.total > 0) {
            count_times(count, times);
        }
        switch (how) {
        case PROCD_GIVEN_OK: set(count->done, get(count->done) + 1); break;
        case PROCD_GIVEN_REFUSED: set(count->refused, get(count->refused) + 1); break;
        case PROCD_GIVEN_BROKE: set(count->broke, get(count->broke) + 1); break;
        case PROCD_GIVEN_TIMED_OUT: set(count->timed_out, get(count->timed_out) + 1); break;
        case PROCD_GIVEN_STUCK: set(count->stuck, get(count->stuck) + 1); break;
        }
        atomic_thread_fence(memory_order_seq_cst);
        state = get(t->manager->groups[group].processes[hold->slot].state);
        ring = how == PROCD_GIVEN_REFUSED || how == PROCD_GIVEN_STUCK
               || (state == PROCD_DRAINING && get(count->busy) == 0);
    }
    unlock_group(t, group);
    return ring;
}

int procd_table_waiting(procd_tables *t, int child, int group, int delta)
{
    const procd_group_row *row = &t->manager->groups[group];

    atomic_fetch_add(&t->children->children[child].waiting[group], delta);
    return delta > 0 && (get(row->live) < get(row->max) || get(row->state) == PROCD_GROUP_FREE);
}

/* ------------------------------------------------------------------ names */

void procd_row_name(const procd_group_row *row, char name[PROCD_NAME_WORDS * 8])
{
    for (int i = 0; i < PROCD_NAME_WORDS; i++) {
        uint64_t word = get(row->name[i]);

        memcpy(name + i * 8, &word, 8);
    }
    name[PROCD_NAME_WORDS * 8 - 1] = '\0';
}

void procd_row_set_name(procd_group_row *row, const char *name)
{
    char text[PROCD_NAME_WORDS * 8] = "";

    strncpy(text, name, sizeof(text) - 1);
    for (int i = 0; i < PROCD_NAME_WORDS; i++) {
        uint64_t word;

        memcpy(&word, text + i * 8, 8);
        set(row->name[i], word);
    }
}

int procd_row_is(const procd_group_row *row, const char *name)
{
    char text[PROCD_NAME_WORDS * 8];

    if (get(row->state) == PROCD_GROUP_FREE) {
        return 0;
    }
    procd_row_name(row, text);
    return strcmp(text, name) == 0;
}

int procd_table_top(const procd_tables *t)
{
    int top = get(t->manager->top);

    return top >= 0 && top <= PROCD_GROUPS_CONFIGURED ? top : PROCD_GROUPS_CONFIGURED;
}

int procd_table_dir_top(const procd_tables *t)
{
    int top = get(t->manager->dir_top);

    return top >= PROCD_GROUPS_CONFIGURED && top <= PROCD_MAX_GROUPS ? top : PROCD_GROUPS_CONFIGURED;
}

int procd_table_find(const procd_tables *t, const char *name)
{
    int top = procd_table_dir_top(t);

    for (int i = PROCD_GROUPS_CONFIGURED; i < top; i++) {
        if (procd_row_is(&t->manager->groups[i], name)) {
            return i;
        }
    }
    return -1;
}

/* ------------------------------------------------------------------ reading */

int procd_table_busy(const procd_tables *t, int group, int slot, uint64_t instance)
{
    const procd_slot_count *count = &t->children->groups[group].slots[slot];
    int rows = clamp_rows(t), sum = 0;

    if (atomic_load_explicit(&count->instance, memory_order_acquire) != instance) {
        return 0;
    }
    for (int c = 0; c < rows; c++) {
        const procd_child_row *row = &t->children->children[c];

        if (atomic_load_explicit(&row->state, memory_order_acquire) == PROCD_CHILD_LIVE
            && (get(row->used[group / 64]) >> (group % 64) & 1)) {
            sum += get(row->busy[group][slot]);
        }
    }
    return sum;
}

int procd_table_waiting_sum(const procd_tables *t, int group)
{
    int rows = clamp_rows(t);
    int64_t sum = 0;

    for (int c = 0; c < rows; c++) {
        const procd_child_row *row = &t->children->children[c];

        if (atomic_load_explicit(&row->state, memory_order_acquire) == PROCD_CHILD_LIVE) {
            sum += get(row->waiting[group]);
        }
    }
    return sum < 0 ? 0 : sum > 1000000 ? 1000000 : (int)sum;
}

int procd_row_read(const procd_process_row *row, procd_hold *hold, uint32_t *state)
{
    for (int tries = 0; tries < 100; tries++) {
        uint32_t seq = atomic_load_explicit(&row->seq, memory_order_acquire);

        if (seq & 1) {
            continue;
        }
        *state = get(row->state);
        hold->instance = get(row->instance);
        hold->pid = get(row->pid);
        hold->concurrency = get(row->concurrency);
        hold->addr_len = get(row->addr_len);
        for (int i = 0; i < PROCD_ADDR_WORDS; i++) {
            hold->addr.words[i] = get(row->addr[i]);
        }
        atomic_thread_fence(memory_order_acquire);
        if (get(row->seq) == seq) {
            return hold->addr_len <= sizeof(hold->addr) ? 0 : -1;
        }
    }
    return -1;
}

void procd_why_read(const procd_group_row *row, char why[PROCD_WHY_WORDS * 8])
{
    uint64_t words[PROCD_WHY_WORDS];

    for (int tries = 0; tries < 100; tries++) {
        uint32_t seq = atomic_load_explicit(&row->seq, memory_order_acquire);

        for (int i = 0; i < PROCD_WHY_WORDS; i++) {
            words[i] = get(row->why[i]);
        }
        atomic_thread_fence(memory_order_acquire);
        if (!(seq & 1) && get(row->seq) == seq) {
            break;
        }
    }
    memcpy(why, words, sizeof(words));
    why[sizeof(words) - 1] = '\0';
}

void procd_table_sum(const procd_tables *t, int group, int slot, uint64_t instance, procd_sums *sums)
{
    const procd_slot_count *count = &t->children->groups[group].slots[slot];

    if (instance && atomic_load_explicit(&count->instance, memory_order_acquire) == instance) {
        sums->requests += get(count->requests);
        sums->timed += get(count->timed);
        sums->first_us += get(count->first_us);
        sums->total_us += get(count->total_us);
    }
}

int procd_table_wait(const procd_group_row *row, uint32_t seen, int64_t timeout_us)
{
    int64_t now = procd_now_ms(), until = now + (timeout_us + 999) / 1000;

    while (atomic_load_explicit(&row->changes, memory_order_acquire) == seen) {
        struct timespec left = { (until - now) / 1000, (until - now) % 1000 * 1000000 };

        if (now >= until) {
            return -1;
        }
        syscall(SYS_futex, &row->changes, FUTEX_WAIT, seen, &left, NULL, 0);
        now = procd_now_ms();
    }
    return 0;
}

/* ------------------------------------------------------------------ writing, in the manager */

void procd_table_changed(procd_group_row *row)
{
    atomic_fetch_add(&row->changes, 1);
    syscall(SYS_futex, &row->changes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Also right when a manager died between the two: the number is odd and stays so. */
void procd_row_begin(procd_process_row *row)
{
    set(row->seq, get(row->seq) | 1);
    atomic_thread_fence(memory_order_seq_cst);
}

void procd_row_end(procd_process_row *row)
{
    atomic_store_explicit(&row->seq, (get(row->seq) | 1) + 1, memory_order_release);
}

void procd_row_set_addr(procd_process_row *row, const void *addr, socklen_t len)
{
    uint64_t words[PROCD_ADDR_WORDS] = { 0 };

    if (len > sizeof(words)) {
        len = 0;
    }
    if (len) { /* of a group of scripts there is none */
        memcpy(words, addr, len);
    }
    set(row->addr_len, (uint32_t)len);
    for (int i = 0; i < PROCD_ADDR_WORDS; i++) {
        set(row->addr[i], words[i]);
    }
}

void procd_why_write(procd_group_row *row, const char *why)
{
    uint64_t words[PROCD_WHY_WORDS] = { 0 };
    size_t len = strnlen(why, sizeof(words) - 1);

    memcpy(words, why, len);
    set(row->seq, get(row->seq) | 1);
    atomic_thread_fence(memory_order_seq_cst);
    for (int i = 0; i < PROCD_WHY_WORDS; i++) {
        set(row->why[i], words[i]);
    }
    atomic_store_explicit(&row->seq, (get(row->seq) | 1) + 1, memory_order_release);
}
