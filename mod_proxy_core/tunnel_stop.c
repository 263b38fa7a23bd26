/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A child that is stopping ends its tunnels when they fall silent, and all of them after a time. Parked ones are woken to
 * be told: they stand in a list, under its lock, as long as they have a perch.
 */
#include "tunnel.h"

#include "ap_mpm.h"
#include "mpm_common.h"
#include "scoreboard.h"

#include "apr_atomic.h"
#include "apr_thread_mutex.h"

/** While the child is stopping: silent for this long is idle. */
#define SILENCE apr_time_from_sec(1)
/** Idle tunnels of a child are not ended all at once: their clients come again. */
#define SPREAD_MSEC 5000

/* This child's; made in child_init, before any thread. */
static struct {
    apr_thread_mutex_t *lock;
    pc_tunnel *first;
    apr_uint32_t stopping;
    apr_uint32_t turns;
} tunnels;

/* ------------------------------------------------------------------ the child stops */

/* Blocks that are free go back at once instead of staying with the connection, which will be silent for long. */
static void hoard_memory(const pc_exchange *x, int hoard)
{
    apr_allocator_t *a = apr_pool_allocator_get(x->c->pool);

    if (a) {
        apr_allocator_max_free_set(a, hoard ? ap_max_mem_free : 1);
    }
}

void pc_tunnel_enlist(pc_tunnel *t)
{
    hoard_memory(t->x, 0);
    apr_thread_mutex_lock(tunnels.lock);
    t->next = tunnels.first;
    t->at = &tunnels.first;
    if (t->next) {
        t->next->at = &t->next;
    }
    tunnels.first = t;
    apr_thread_mutex_unlock(tunnels.lock);
}

apr_status_t pc_tunnel_delist(void *tunnel)
{
    pc_tunnel *t = tunnel;

    if (t->at) {
        hoard_memory(t->x, 1);
        apr_thread_mutex_lock(tunnels.lock);
        *t->at = t->next;
        if (t->next) {
            t->next->at = t->at;
        }
        t->at = NULL;
        apr_thread_mutex_unlock(tunnels.lock);
    }
    return APR_SUCCESS;
}

static void on_stopping(apr_pool_t *pchild, int graceful)
{
    pc_tunnel *t;

    (void)pchild;
    (void)graceful;
    if (!tunnels.lock || apr_atomic_xchg32(&tunnels.stopping, 1)) {
        return;
    }
    apr_thread_mutex_lock(tunnels.lock);
    for (t = tunnels.first; t; t = t->next) {
        pc_perch_fire(t->x);
    }
    apr_thread_mutex_unlock(tunnels.lock);
}

/* A child of the prefork MPM hears nothing while it serves a request; a graceful restart shows in the scoreboard. */
static int is_stopping(void)
{
    int mine;

    return apr_atomic_read32(&tunnels.stopping)
           || (ap_mpm_query(AP_MPMQ_GENERATION, &mine) == APR_SUCCESS && ap_scoreboard_image
               && ap_scoreboard_image->global->running_generation != mine);
}

apr_time_t pc_tunnel_drain_at(pc_exchange *x)
{
    pc_tunnel *t = x->tunnel;
    apr_interval_time_t drain = x->pool->upgrade_drain;
    apr_time_t idle, last;

    if (!t->stop_seen && drain && is_stopping()) {
        t->stop_seen = x->now;
        t->turn = apr_time_from_msec(apr_atomic_inc32(&tunnels.turns) * 40503 % SPREAD_MSEC);
    }
    if (!t->stop_seen) {
        return 0;
    }
    last = t->stop_seen + drain;
    idle = t->moved + SILENCE > t->stop_seen + t->turn ? t->moved + SILENCE : t->stop_seen + t->turn;
    return idle < last ? idle : last;
}

/* ------------------------------------------------------------------ hooks */

void pc_tunnel_child_init(apr_pool_t *pchild)
{
    tunnels.first = NULL;
    tunnels.stopping = tunnels.turns = 0;
    (void)apr_thread_mutex_create(&tunnels.lock, APR_THREAD_MUTEX_DEFAULT, pchild);
}

void pc_tunnel_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_stopping(on_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
