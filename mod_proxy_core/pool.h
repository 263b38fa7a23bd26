/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  pool.h
 * @brief A pool's state, shared by all children and kept across graceful restarts: who is alive, how many requests
 *        each backend has, who waits.
 *
 * Everything lives in one anonymous shared mapping that the parent makes once (retained data). Each pool has a robust
 * process-shared mutex, held for a pass over its backends and never across a system call. Leases are also counted in a
 * row for each child; the parent gives a dead child's back.
 */
#ifndef PC_POOL_H
#define PC_POOL_H

#include "conf.h"
#include "mod_procd.h"

typedef struct pc_pool pc_pool;

/** A hold on one backend (and, for spawn:GROUP, one process). Owned by the exchange; given back exactly once:
 *  pc_lease_give() on one that is not held does nothing. Zeroed memory is a lease that is not held. */
typedef struct pc_lease {
    pc_pool *pool;
    const pc_backend_conf *backend;
    int index; /* of the backend in the pool's definition */
    unsigned held : 1;
    unsigned probe : 1; /* this request probes a backend that rested */
    unsigned stuck : 1; /* SpawnRequestTimeout is over */
    procd_lease proc;   /* PC_BACKEND_SPAWN */
} pc_lease;

/** How the exchange with a backend ended. */
typedef enum pc_outcome {
    PC_OUTCOME_OK,      /* a complete answer, or the client was at fault */
    PC_OUTCOME_CONNECT, /* no connection: refused, unreachable, timed out */
    PC_OUTCOME_BROKE,   /* died before the head, malformed head, truncated */
    PC_OUTCOME_TIMEOUT, /* no head in time */
    PC_OUTCOME_UNUSED /* given back without having been asked (cancelled, FCGI_OVERLOADED): says nothing of its health */
} pc_outcome;

/** What the choice depends on. */
typedef struct pc_choice {
    apr_uint64_t tried[4]; /* bit i: backend i was tried by this request (pools have at most 256 backends) */
    apr_uint32_t hash;     /* of the balancer's key */
    apr_uint64_t avoid;    /* procd instance that has just failed */
} pc_choice;

#define PC_POOL_MAX_BACKENDS 256

/** Why there is no lease. */
typedef struct pc_refusal {
    int retry_after; /* seconds, for Retry-After; at least 1 */
    char why[160];   /* for the log */
} pc_refusal;

/** In post_config, when the server is about to run: map or find the segment, give each pool its state. Keeps cells of
 *  backends whose pool name and backend name are unchanged. */
apr_status_t pc_pool_init(apr_pool_t *pconf, server_rec *main_server);
/** In child_init: take a row for this child, start the thread that wakes waiters. */
apr_status_t pc_pool_child_init(apr_pool_t *pchild, server_rec *main_server);
/** In the parent's child_status hook, when pid has ended: give its leases back and forget its waiters. */
void pc_pool_child_gone(pid_t pid);

/** Choose and take. Never blocks. A backend that rests is left out until its time is over; then one request probes it.
 *  The only backend of a pool is never refused unasked.
 *  @param newcomer  1: must not overtake requests that wait (APR_EAGAIN when somebody does); 0 for a retry
 *  @return APR_SUCCESS; APR_EAGAIN: alive but full, join the queue; APR_ENOENT: none alive and untried (refusal is filled) */
apr_status_t pc_lease_take(pc_pool *pool, const pc_choice *choice, int newcomer, pc_lease *lease, pc_refusal *refusal);

/** Give back, record the outcome, let the first in the queue have it.
 *  @param first_byte  microseconds from sending to the response head; 0: none came (then a probe proves nothing) */
void pc_lease_give(pc_lease *lease, pc_outcome outcome, apr_interval_time_t first_byte);

/** The response head has come: a probe has shown that the backend lives, others need not wait for the end of its body.
 *  Costs nothing unless lease->probe. */
void pc_lease_answered(pc_lease *lease);

/** The same for a request that leaves a connection behind.
 *  @param warm  1: a request of this child that is nearly the first in the queue goes before the first of another child,
 *               which could not use the connection
 *  @return 1: a request of this child was called and will take what was given back */
int pc_lease_pass(pc_lease *lease, pc_outcome outcome, apr_interval_time_t first_byte, int warm);

/** A request in the queue. */
typedef struct pc_waiter pc_waiter;

/** Join the queue's end. wake(baton) is called once when pc_queue_poll() has news: by any thread of this child, also
 *  before this call returns; it must not block or call back in here.
 *  @return APR_SUCCESS; APR_ENOSPC: the queue is full; APR_ENOMEM */
apr_status_t pc_queue_join(pc_pool *pool, const pc_choice *choice, void (*wake)(void *baton), void *baton,
                           pc_waiter **w);
/** @param woken  1: wake() was called and has touched the baton for the last time, and the caller knows that from wake()
 *                itself. Saves a lock that the caller of wake() still holds, so that who was just woken would sleep again.
 *  @return APR_SUCCESS: granted, lease is held and w is gone. APR_EAGAIN: still waiting. APR_ENOENT: no backend is left
 *  alive, w is gone, refusal is filled. */
apr_status_t pc_queue_poll(pc_waiter *w, int woken, pc_lease *lease, pc_refusal *refusal);
/** Leave without a lease (client left, time is over); a grant on its way is passed on. wake() is not running and will
 *  not be called when this returns. */
void pc_queue_leave(pc_waiter *w);

/** One backend's numbers for the status page, copied under the lock. */
typedef struct pc_backend_stat {
    const char *name;
    const char *state; /* "ok", "resting", "probing", "drain" */
    apr_uint32_t in_flight;
    apr_uint64_t requests, failures;
    apr_uint32_t ewma_usec;
    int rest_seconds; /* until it is probed */
} pc_backend_stat;

/** @return how many were filled in, at most n; *waiting gets the queue's length */
int pc_pool_stat(pc_pool *pool, pc_backend_stat *out, int n, int *waiting);

#endif /* PC_POOL_H */
