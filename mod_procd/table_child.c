/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Children of httpd in the process table: they come, go, and mend what was written over.
 *
 * A child that dies
 *    Its row says GONE and children_half.gone has moved. Whoever takes a group's lock next and finds that it moved sums
 *    the rows of the living anew; so does the one who takes the lock from a dead owner. The manager always sums by itself.
 *    A child that reuses the row clears it first, so a late recount finds zeros and not the dead child's numbers.
 *
 * A child that was taken over
 *    It can write anything into any row. What a child has leased it therefore knows by itself, and its row is a copy of
 *    that. It writes the whole copy again when the manager has seen that something is wrong (manager_half.healed), and
 *    looks once a second at a group that seems to be full. */
#include "table_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

int procd_child_rows(const procd_tables *t)
{
    int n = atomic_load_explicit(&t->children->rows, memory_order_acquire);

    return n < 0 ? 0 : n > PROCD_MAX_CHILDREN ? PROCD_MAX_CHILDREN : n;
}

procd_child_row *procd_child_own_row(procd_tables *t, const procd_child *child)
{
    return &t->children->children[get(child->row)];
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

static void reach_row(procd_tables *t, int row)
{
    int32_t rows = get(t->children->rows);

    while (rows < row + 1 && !atomic_compare_exchange_weak(&t->children->rows, &rows, row + 1)) {
    }
}

/* @return a row that is this child's now and says nothing yet; -1: none is free */
static int claim_row(procd_tables *t, pid_t pid)
{
    for (int i = 0; i < PROCD_MAX_CHILDREN; i++) {
        procd_child_row *row = &t->children->children[i];
        uint32_t state = get(row->state);

        if ((state != PROCD_CHILD_FREE && state != PROCD_CHILD_GONE)
            || !atomic_compare_exchange_strong(&row->state, &state, PROCD_CHILD_CLAIMED)) {
            continue;
        }
        atomic_store(&row->pid, (int32_t)pid);
        clear_row(row);
        reach_row(t, i);
        atomic_store(&row->state, PROCD_CHILD_LIVE);
        return i;
    }
    return -1;
}

procd_child *procd_child_register(procd_tables *t, pid_t pid)
{
    procd_child *child =
        mmap(NULL, sizeof(*child), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int row;

    if (child == MAP_FAILED) {
        return NULL;
    }
    row = claim_row(t, pid);
    if (row < 0) {
        munmap(child, sizeof(*child));
        errno = EAGAIN;
        return NULL;
    }
    set(child->row, row);
    child->pid = pid;
    child->self = (uint32_t)getpid();
    set(child->healed_seen, get(t->manager->healed));
    return child;
}

void procd_child_free(procd_child *child)
{
    munmap(child, sizeof(*child));
}

int procd_child_gone(procd_tables *t, pid_t pid)
{
    int rows = procd_child_rows(t), found = 0;

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

/* ------------------------------------------------------------------ mending */

int procd_child_rewrite(procd_tables *t, procd_child *child, int group)
{
    const procd_group_count *count = &t->children->groups[group];
    procd_child_row *row = procd_child_own_row(t, child);
    own_group *own = &child->groups[group];
    int wrong = 0;

    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        int busy = own->busy[i] && get(count->slots[i].instance) == own->instance[i] ? own->busy[i] : 0;

        if (get(row->busy[group][i]) != busy) {
            set(row->busy[group][i], (uint16_t)busy);
            wrong = 1;
        }
    }
    return wrong;
}

static void rewrite_waiting(procd_tables *t, procd_child *child)
{
    procd_child_row *row = procd_child_own_row(t, child);

    for (int g = 0; g < PROCD_MAX_GROUPS; g++) {
        int32_t n;

        while (get(row->waiting[g]) != (n = atomic_load(&child->waiting[g]))) {
            atomic_store(&row->waiting[g], n);
        }
    }
}

/* Everything that this child says, group after group. */
static void rewrite(procd_tables *t, procd_child *child)
{
    procd_child_row *row = procd_child_own_row(t, child);
    uint32_t mine;

    for (int i = 0; i < PROCD_MAX_GROUPS / 64; i++) {
        set(row->used[i], get(child->used[i]));
    }
    rewrite_waiting(t, child);
    for (int g = 0; g < PROCD_MAX_GROUPS; g++) {
        if ((get(child->used[g / 64]) >> (g % 64) & 1) && procd_group_lock(t, child, g, &mine) == 0) {
            procd_child_rewrite(t, child, g);
            procd_group_recount(t, g);
            procd_group_unlock(t, g, mine);
        }
    }
}

/* The row says that it is another's. When that one lives it may be, and then there is another row for this child. */
static void take_row_back(procd_tables *t, procd_child *child)
{
    procd_child_row *row = procd_child_own_row(t, child);
    pid_t pid = get(row->pid);
    uint32_t state = get(row->state);
    int other =
        pid != child->pid && pid > 0 && (state == PROCD_CHILD_LIVE || state == PROCD_CHILD_CLAIMED) && kill(pid, 0) == 0
            ? claim_row(t, child->pid)
            : -1;

    if (other >= 0) {
        set(child->row, other);
        return;
    }
    atomic_store(&row->pid, (int32_t)child->pid);
    atomic_store(&row->state, PROCD_CHILD_LIVE);
}

static int is_mine(const procd_tables *t, const procd_child *child, const procd_child_row *row)
{
    return get(row->pid) == (int32_t)child->pid && get(row->state) == PROCD_CHILD_LIVE
           && get(t->children->rows) > get(child->row);
}

void procd_child_tend(procd_tables *t, procd_child *child)
{
    procd_child_row *row = procd_child_own_row(t, child);
    uint32_t healed = atomic_load_explicit(&t->manager->healed, memory_order_acquire);

    if (is_mine(t, child, row) && get(child->healed_seen) == healed) {
        return;
    }
    if (atomic_exchange(&child->mending, 1)) {
        return; /* another thread does it for all */
    }
    row = procd_child_own_row(t, child);
    if (!is_mine(t, child, row)) {
        take_row_back(t, child);
        reach_row(t, get(child->row));
    }
    set(child->healed_seen, healed);
    rewrite(t, child);
    atomic_store(&child->mending, 0);
}
