/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  pool_priv.h
 * @brief What pool_make.c, choose.c, cells.c, queue.c, wake.c and pool.c share. Nothing here calls httpd: pool.c does.
 */
#ifndef PC_POOL_PRIV_H
#define PC_POOL_PRIV_H

#include "clock.h"
#include "pool.h"
#include "segment.h"

#include "apr_tables.h"

/** mod_procd's functions; all NULL without it. */
typedef struct pc_procd {
    APR_OPTIONAL_FN_TYPE(procd_lease_take) * take;
    APR_OPTIONAL_FN_TYPE(procd_lease_give) * give;
    APR_OPTIONAL_FN_TYPE(procd_waiting) * waiting;
    APR_OPTIONAL_FN_TYPE(procd_event_fd) * event_fd;
    APR_OPTIONAL_FN_TYPE(procd_group_query) * query;
} pc_procd;

/** A process's view of all pools of its generation. Made by the parent, completed by pc_ctx_child(). */
typedef struct pc_ctx {
    pc_seg seg;
    pc_procd procd;
    apr_time_t (*now)(void); /* microseconds, the same clock for all processes, never set back */
    apr_uint32_t gen;
    int row;                   /* -1: not a child, leases nothing */
    apr_array_header_t *pools; /* of pc_pool * */
    pc_pool **by_id;
    pc_waiter **by_turn;       /* [turn - 1]: this child's waiters, under the lock of their pool */
    _Atomic apr_uint32_t hint; /* where to look for a free turn */
    pthread_mutex_t threads;   /* the fields below */
    int started, stopping;
    int stop_fd; /* ends the thread that watches mod_procd's events */
    pthread_t bell_thread, event_thread;
    unsigned has_event_thread : 1;
} pc_ctx;

typedef struct pc_member {
    const pc_backend_conf *conf;
    pc_cell *cell;
    unsigned cell_id;
    apr_uint32_t name_hash;
    apr_uint64_t group; /* bit in pc_rec.groups, 0: not spawned */
} pc_member;

struct pc_pool {
    pc_ctx *ctx;
    const pc_pool_conf *conf;
    unsigned id;
    pc_rec *rec;
    int sole;              /* the only backend that does not drain, or -1 */
    apr_uint64_t groups;   /* of all members */
    pthread_mutex_t local; /* this child's waiters; before the shared lock */
    int n;
    pc_member m[];
};

typedef enum { PC_W_WAITING, PC_W_GRANTED, PC_W_REFUSED } pc_waiter_state;

struct pc_waiter {
    pc_pool *pool;
    pc_choice choice;
    void (*wake)(void *baton);
    void *baton;
    unsigned turn;
    pc_waiter_state state;
    pc_lease lease;
    pc_refusal refusal;
    pc_waiter *next; /* in pc_serve()'s list */
};

/* ------------------------------------------------------------------ pool_make.c */

/** A new context over a segment. */
pc_ctx *pc_ctx_make(apr_pool_t *p, const pc_seg *seg, apr_uint32_t gen);
/** Add a pool of this generation. @return NULL: why says which bound was reached */
pc_pool *pc_ctx_add(pc_ctx *ctx, apr_pool_t *p, pc_registry *reg, const char *key, const pc_pool_conf *conf,
                    const char **why);
/** In the child: claim a row. */
apr_status_t pc_ctx_child(pc_ctx *ctx, pid_t pid);

/* ------------------------------------------------------------------ choose.c */

/** Choose and count. The pool's lock is held. */
apr_status_t pc_choose(pc_pool *pool, const pc_choice *choice, pc_lease *lease, pc_refusal *refusal);
/** Is there a backend that an untried request could have? The pool's lock is held. */
int pc_has_room(pc_pool *pool);
/** Has this request tried a backend? */
int pc_choice_picky(const pc_choice *choice);

/* ------------------------------------------------------------------ queue.c */

/** Tell the row that its turn in that pool was called: serve it when it is this child's, else ring. No lock is held. */
void pc_notify(pc_ctx *ctx, unsigned id, int row);
/** Let this child's waiters who were called try. No lock is held. */
void pc_serve(pc_pool *pool);
/** Call the first in each pool's line that uses one of these groups, but not in pool `but`. No lock is held. */
void pc_call_groups(pc_ctx *ctx, apr_uint64_t groups, int but);

/* ------------------------------------------------------------------ wake.c */

/** Start this child's threads unless they run. @return an error when they cannot or the child ends */
apr_status_t pc_wake_start(pc_ctx *ctx);
void pc_wake_stop(pc_ctx *ctx);

#endif /* PC_POOL_PRIV_H */
