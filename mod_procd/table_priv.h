/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  table_priv.h
 * @brief What the files of the process table share.
 *
 * Who writes what
 *  - manager_half: the manager alone. A process row's identity (instance, pid, address) changes only between
 *    procd_row_begin() and procd_row_end(); its state may change at any time.
 *  - group_count.slots: children, under the group's lock. child_row.busy: its own child, under the same lock.
 *    child_row.waiting: its own child, atomically. child_row.state: LIVE by the child, GONE by the parent.
 *  - What is wrong for sure in child rows is also put right by the manager (heal.c), without any lock.
 */
#ifndef PROCD_TABLE_PRIV_H
#define PROCD_TABLE_PRIV_H

#include "table.h"

#define get(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define set(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)

/** What a child knows of one group, guarded by the group's lock: what its row in the table should say. */
typedef struct own_group {
    uint64_t instance[PROCD_MAX_SLOTS]; /* whose the leases are */
    uint16_t busy[PROCD_MAX_SLOTS];
    int64_t looked_ms; /* when it last compared */
} own_group;

/** Of one child, in its own memory. Sparse as the table is. */
struct procd_child {
    _Atomic int row;
    pid_t pid;     /* in the row */
    uint32_t self; /* in locks */
    _Atomic uint32_t healed_seen;
    _Atomic int mending; /* a thread of it is at it */
    _Atomic uint64_t used[PROCD_MAX_GROUPS / 64];
    _Atomic int32_t waiting[PROCD_MAX_GROUPS];
    own_group groups[PROCD_MAX_GROUPS];
};

/* ------------------------------------------------------------------ table_lock.c */

/** @return 0; 1: it was taken from one who has died with it or held it too long, and what it guards may be half done;
 *  -1: it is held for too long. *mine is for procd_table_unlock() */
int procd_table_lock(_Atomic uint32_t *lock, uint32_t self, uint32_t *mine);
void procd_table_unlock(_Atomic uint32_t *lock, uint32_t mine);

/* ------------------------------------------------------------------ table_child.c */

/** Before each use: the child's own row is its own, and the manager has not seen anything wrong. */
void procd_child_tend(procd_tables *t, procd_child *child);
procd_child_row *procd_child_own_row(procd_tables *t, const procd_child *child);
/** Write what is true of this group into the child's row. The group's lock is held. @return 1: it was otherwise */
int procd_child_rewrite(procd_tables *t, procd_child *child, int group);

/* ------------------------------------------------------------------ table_lease.c */

/** The group's lock, and counts that are of the children alive. @return 0, or -1 */
int procd_group_lock(procd_tables *t, const procd_child *child, int group, uint32_t *mine);
void procd_group_unlock(procd_tables *t, int group, uint32_t mine);
/** Add up anew what children have leased. The group's lock is held. */
void procd_group_recount(procd_tables *t, int group);

#endif /* PROCD_TABLE_PRIV_H */
