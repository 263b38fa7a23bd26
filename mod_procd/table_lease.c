/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Leases of processes: taken and given back by children of httpd under a lock for each group.
 *
 * Taking against retiring
 *    The manager sets DRAINING and then looks whether the process is busy; a child counts itself busy and then looks at
 *    the state. Both with a full fence in between, so one of the two sees the other: either the child takes its count
 *    back, or the manager waits for it. */
#include "table_priv.h"

#define LOOK_AGAIN_MS 1000
#define GIVE_TRIES 5

void procd_table_reset_demand(procd_tables *t, int group)
{
    set(t->children->groups[group].demand, 0);
}

/* ------------------------------------------------------------------ the group's lock */

void procd_group_recount(procd_tables *t, int group)
{
    procd_group_count *count = &t->children->groups[group];
    int rows = procd_child_rows(t);

    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (get(count->slots[i].busy) != 0) {
            set(count->slots[i].busy, 0);
        }
    }
    for (int c = 0; c < rows; c++) {
        procd_child_row *row = &t->children->children[c];

        if (atomic_load(&row->state) != PROCD_CHILD_LIVE || !(get(row->used[group / 64]) >> (group % 64) & 1)) {
            continue;
        }
        for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
            int n = get(row->busy[group][i]) ? procd_child_busy(t, row, group, i) : 0;

            if (n) {
                set(count->slots[i].busy, get(count->slots[i].busy) + n);
            }
        }
    }
}

int procd_group_lock(procd_tables *t, const procd_child *child, int group, uint32_t *mine)
{
    procd_group_count *count = &t->children->groups[group];
    int rv = procd_table_lock(&count->lock, child->self, mine);
    uint32_t gone;

    if (rv < 0) {
        return -1;
    }
    gone = atomic_load(&t->children->gone);
    if (rv > 0 || gone != count->seen_gone) {
        count->seen_gone = gone;
        procd_group_recount(t, group);
    }
    return 0;
}

void procd_group_unlock(procd_tables *t, int group, uint32_t mine)
{
    procd_table_unlock(&t->children->groups[group].lock, mine);
}

/* ------------------------------------------------------------------ taking and giving back */

/* Another process lives in the slot: what was counted for the last one is void. */
static void reset_slot(procd_tables *t, int group, int slot, uint64_t instance)
{
    procd_slot_count *count = &t->children->groups[group].slots[slot];
    int rows = procd_child_rows(t);

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

/* The child knows what it has leased; what others count is that, copied. A copy that does not fit was written over. */
static void count_up(procd_tables *t, procd_child *child, int group, int slot, int by)
{
    procd_child_row *row = procd_child_own_row(t, child);
    procd_slot_count *count = &t->children->groups[group].slots[slot];
    own_group *own = &child->groups[group];
    int was = get(row->busy[group][slot]), sum = get(count->busy);

    own->busy[slot] = (uint16_t)(own->busy[slot] + by);
    set(row->busy[group][slot], own->busy[slot]);
    if (was + by == own->busy[slot] && sum >= 0 && sum < INT16_MAX && sum + by >= 0) {
        set(count->busy, sum + by);
    }
    else {
        procd_group_recount(t, group);
    }
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

/* A group that seems to be full: is it? @return 1: it may be otherwise now */
static int look_again(procd_tables *t, procd_child *child, int group)
{
    own_group *own = &child->groups[group];
    int64_t now = procd_now_ms();

    if (now - own->looked_ms < LOOK_AGAIN_MS) {
        return 0;
    }
    own->looked_ms = now;
    procd_child_rewrite(t, child, group);
    procd_group_recount(t, group);
    return 1;
}

/* @return the slot, which counts as leased; or -1 */
static int lease_one(procd_tables *t, procd_child *child, int group, uint64_t avoid, procd_hold *hold)
{
    const procd_process_row *rows = t->manager->groups[group].processes;
    own_group *own = &child->groups[group];
    int slot;

    while ((slot = choose(t, group, avoid, hold)) >= 0) {
        if (own->instance[slot] != hold->instance) {
            own->instance[slot] = hold->instance;
            own->busy[slot] = 0;
        }
        count_up(t, child, group, slot, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (is_leasable(get(rows[slot].state)) && get(rows[slot].instance) == hold->instance) {
            break;
        }
        count_up(t, child, group, slot, -1);
    }
    return slot;
}

static void mark_used(procd_tables *t, procd_child *child, int group)
{
    uint64_t bit = (uint64_t)1 << (group % 64);

    if (!(get(procd_child_own_row(t, child)->used[group / 64]) & bit)) {
        atomic_fetch_or(&child->used[group / 64], bit);
        atomic_fetch_or(&procd_child_own_row(t, child)->used[group / 64], bit);
    }
}

procd_taken procd_table_take(procd_tables *t, procd_child *child, int group, uint64_t avoid, procd_hold *hold,
                             int *ring)
{
    const procd_group_row *rows = &t->manager->groups[group];
    procd_slot_count *count;
    procd_taken result;
    uint64_t retire_at;
    uint32_t mine;
    int slot;

    *ring = 0;
    procd_child_tend(t, child);
    mark_used(t, child, group);
    if (procd_group_lock(t, child, group, &mine) != 0) {
        return PROCD_TAKE_LATER;
    }
    slot = lease_one(t, child, group, avoid, hold);
    if (slot < 0 && look_again(t, child, group)) {
        slot = lease_one(t, child, group, avoid, hold);
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
    procd_group_unlock(t, group, mine);
    return result;
}

/* Sums that wrap are no harm: they are shown and nothing else. */
static void count_times(procd_slot_count *count, procd_times times)
{
    set(count->timed, get(count->timed) + 1);
    set(count->first_us, get(count->first_us) + (uint64_t)times.first);
    set(count->total_us, get(count->total_us) + (uint64_t)times.total);
}

/* What is not given back counts for as long as the child lives: this is worth a longer wait than a place is. */
static int lock_to_give(procd_tables *t, const procd_child *child, int group, uint32_t *mine)
{
    for (int i = 0; i < GIVE_TRIES; i++) {
        if (procd_group_lock(t, child, group, mine) == 0) {
            return 0;
        }
    }
    return -1;
}

/* @return 1: this lease was out */
static int give_up(procd_tables *t, procd_child *child, int group, const procd_hold *hold)
{
    own_group *own = &child->groups[group];

    if (own->instance[hold->slot] != hold->instance || own->busy[hold->slot] == 0) {
        return 0;
    }
    if (get(t->children->groups[group].slots[hold->slot].instance) != hold->instance) {
        own->busy[hold->slot]--; /* another process has the slot, and its counts */
        return 0;
    }
    count_up(t, child, group, hold->slot, -1);
    return 1;
}

int procd_table_give(procd_tables *t, procd_child *child, int group, const procd_hold *hold, procd_given how,
                     procd_times times)
{
    procd_slot_count *count = &t->children->groups[group].slots[hold->slot];
    uint32_t state, mine;
    int ring = 0;

    procd_child_tend(t, child);
    if (lock_to_give(t, child, group, &mine) != 0) {
        return 0;
    }
    if (give_up(t, child, group, hold)) {
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
    procd_group_unlock(t, group, mine);
    return ring;
}

int procd_table_waiting(procd_tables *t, procd_child *child, int group, int delta)
{
    const procd_group_row *row = &t->manager->groups[group];
    int32_t n;

    procd_child_tend(t, child);
    atomic_fetch_add(&child->waiting[group], delta);
    do { /* whichever thread comes last writes what is true */
        n = atomic_load(&child->waiting[group]);
        atomic_store(&procd_child_own_row(t, child)->waiting[group], n);
    } while (n != atomic_load(&child->waiting[group]));
    return delta > 0 && (get(row->live) < get(row->max) || get(row->state) == PROCD_GROUP_FREE);
}
