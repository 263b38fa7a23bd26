/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: what is counted when one is taken and given back, and when a backend rests (which one is asked: choose.c).
 *
 * Health. A connection that fails puts a backend to rest at once; an answer that breaks off or does not come only when
 * it is the third in a row, because one broken script must not take a whole PHP server out. The rest is the backend's
 * retry= or the pool's ProxyCoreDisableTime, doubled with each rest since the last success, at most 60 s (or what was
 * configured, if longer). When it is over the backend is a candidate again, for one request: that one is the probe, and
 * for all others the backend rests until the probe has its response head (or its end). A probe that was never sent
 * says nothing, so the next request may probe. Requests that were under way when the rest began neither lengthen nor
 * end it. The only backend of a pool has nobody to stand in for it and never rests. Processes of a spawn group do not
 * rest either: their manager judges each of them, and is told how each lease ended.
 *
 * The path of a request that finds everything well: two passes through an uncontended mutex, one loop over the backends
 * in each, no system call. The clock is read only when some backend has rested since its last success.
 */
#include "pool_priv.h"

#include "apr_strings.h"

#include <stdlib.h>
#include <string.h>

#ifndef PC_TEST_POINT /* a test may kill the process here, inside the lock */
#define PC_TEST_POINT() ((void)0)
#endif

#define MAX_REST apr_time_from_sec(60)
#define SOFT_FAILURES 3

static apr_status_t take(pc_pool *pool, const pc_choice *choice, int newcomer, pc_lease *lease, pc_refusal *refusal)
{
    apr_status_t rc = APR_EAGAIN;

    if (pool->ctx->row < 0 || !pc_rec_lock(&pool->ctx->seg, pool->id)) {
        apr_snprintf(refusal->why, sizeof(refusal->why), "this child has no place in the shared state");
        refusal->retry_after = 1;
        return APR_ENOENT;
    }
    if (!newcomer || !(pool->rec->plain | pool->rec->called)) {
        rc = pc_choose(pool, choice, lease, refusal);
    }
    pc_rec_unlock(&pool->ctx->seg, pool->id);
    return rc;
}

apr_status_t pc_lease_take(pc_pool *pool, const pc_choice *choice, int newcomer, pc_lease *lease, pc_refusal *refusal)
{
    apr_status_t rc = take(pool, choice, newcomer, lease, refusal);

    if (rc != APR_SUCCESS && pool->ctx->row >= 0 && pool->ctx->seg.head->dead) {
        pc_row_reap(&pool->ctx->seg);
        rc = take(pool, choice, newcomer, lease, refusal);
    }
    return rc;
}

static void begin_rest(pc_pool *pool, int i, pc_cell *cell)
{
    apr_interval_time_t first = pool->m[i].conf->retry, len, max;

    if (first < 0) {
        first = pool->conf->disable_time;
    }
    cell->soft = 0;
    if (first <= 0 || i == pool->sole) {
        cell->rest_until = 0;
        return;
    }
    max = first > MAX_REST ? first : MAX_REST;
    len = first;
    if (cell->rests < 32) {
        apr_uint32_t k;

        for (k = 0; k < cell->rests && len < max; k++) {
            len *= 2;
        }
        cell->rests++;
    }
    else {
        len = max;
    }
    cell->rest_until = pool->ctx->now() + (len < max ? len : max);
}

static void succeeded(pc_cell *cell, int probe)
{
    cell->soft = 0;
    if (probe || !cell->rest_until) {
        cell->rests = 0;
        cell->rest_until = 0;
    }
}

static void judge(pc_pool *pool, const pc_lease *lease, pc_outcome outcome, apr_interval_time_t first_byte)
{
    const pc_member *m = &pool->m[lease->index];
    pc_cell *cell = m->cell;

    if (lease->probe) {
        cell->probe_row = 0;
    }
    if (outcome == PC_OUTCOME_UNUSED) {
        return;
    }
    cell->requests++;
    if (first_byte > 0) {
        apr_uint64_t usec = first_byte < 0x7fffffff ? (apr_uint64_t)first_byte : 0x7fffffff;

        cell->ewma_usec = (apr_uint32_t)(cell->ewma_usec ? (cell->ewma_usec * (apr_uint64_t)7 + usec) / 8 : usec);
    }
    if (outcome == PC_OUTCOME_OK) {
        if (!lease->probe || first_byte > 0) { /* a client that left early has proved nothing */
            succeeded(cell, lease->probe);
        }
        return;
    }
    cell->failures++;
    if (m->group || (cell->rest_until && !lease->probe && lease->index != pool->sole)) {
        return;
    }
    if (outcome == PC_OUTCOME_CONNECT || lease->probe || ++cell->soft >= SOFT_FAILURES) {
        begin_rest(pool, lease->index, cell);
    }
}

static void uncount(pc_pool *pool, int i)
{
    const pc_member *m = &pool->m[i];
    pc_row *row = pc_seg_row(&pool->ctx->seg, (unsigned)pool->ctx->row);
    _Atomic apr_uint32_t *held = &row->held[m->cell_id];
    apr_uint32_t n = atomic_load_explicit(held, memory_order_relaxed);

    if (n > 0) {
        atomic_store_explicit(held, n - 1, memory_order_relaxed);
        PC_TEST_POINT();
        m->cell->in_flight -= m->cell->in_flight > 0;
    }
}

static procd_outcome for_procd(const pc_lease *lease, pc_outcome outcome)
{
    if (lease->stuck) {
        return PROCD_STUCK;
    }
    switch (outcome) {
    case PC_OUTCOME_CONNECT: return PROCD_CONNECT_FAILED;
    case PC_OUTCOME_BROKE: return PROCD_BROKE;
    case PC_OUTCOME_TIMEOUT: return PROCD_TIMED_OUT;
    case PC_OUTCOME_OK:
    case PC_OUTCOME_UNUSED: break;
    }
    return PROCD_OK;
}

void pc_lease_give(pc_lease *lease, pc_outcome outcome, apr_interval_time_t first_byte)
{
    (void)pc_lease_pass(lease, outcome, first_byte, 0);
}

int pc_lease_pass(pc_lease *lease, pc_outcome outcome, apr_interval_time_t first_byte, int warm)
{
    pc_pool *pool = lease->pool;
    apr_uint64_t group;
    int next = -1;

    if (!lease->held) {
        return 0;
    }
    lease->held = 0;
    group = pool->m[lease->index].group;
    if (group) {
        lease->proc.first_byte = first_byte;
        pool->ctx->procd.give(&lease->proc, for_procd(lease, outcome)); /* first: who is called must find it idle */
    }
    if (!pc_rec_lock(&pool->ctx->seg, pool->id)) {
        return 0;
    }
    uncount(pool, lease->index);
    judge(pool, lease, outcome, first_byte);
    if (pool->rec->waiting) {
        next = warm ? pc_line_call_near(&pool->ctx->seg, pool->id, pool->ctx->row)
                    : pc_line_call(&pool->ctx->seg, pool->id, 0);
    }
    pc_rec_unlock(&pool->ctx->seg, pool->id);
    pc_notify(pool->ctx, pool->id, next);
    if (group) {
        pc_call_groups(pool->ctx, group, (int)pool->id);
    }
    return next >= 0 && next == pool->ctx->row;
}

void pc_lease_answered(pc_lease *lease)
{
    pc_pool *pool = lease->pool;
    int next = -1;

    if (!lease->held || !lease->probe || !pc_rec_lock(&pool->ctx->seg, pool->id)) {
        return;
    }
    lease->probe = 0;
    pool->m[lease->index].cell->probe_row = 0;
    succeeded(pool->m[lease->index].cell, 1);
    if (pool->rec->waiting) {
        next = pc_line_nudge(&pool->ctx->seg, pool->id);
    }
    pc_rec_unlock(&pool->ctx->seg, pool->id);
    pc_notify(pool->ctx, pool->id, next);
}

/* ------------------------------------------------------------------ numbers */

static void stat_one(pc_pool *pool, int i, apr_time_t now, pc_backend_stat *out)
{
    const pc_member *m = &pool->m[i];
    const pc_cell *cell = m->cell;

    out->name = m->conf->name;
    out->state = "ok";
    out->rest_seconds = 0;
    if (m->conf->drain) {
        out->state = "drain";
    }
    else if (cell->probe_row) {
        out->state = "probing";
    }
    else if (cell->rest_until && i != pool->sole) {
        out->state = "resting";
        if (cell->rest_until > now) {
            out->rest_seconds = (int)((cell->rest_until - now + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC);
        }
    }
    out->in_flight = cell->in_flight;
    out->requests = cell->requests;
    out->failures = cell->failures;
    out->ewma_usec = cell->ewma_usec;
}

int pc_pool_stat(pc_pool *pool, pc_backend_stat *out, int n, int *waiting)
{
    pc_seg *seg = &pool->ctx->seg;
    int i;

    if (pool->ctx->row >= 0 && seg->head->dead) {
        pc_row_reap(seg);
    }
    *waiting = 0;
    if (pool->ctx->row < 0 || !pc_rec_lock(seg, pool->id)) {
        return 0;
    }
    for (i = 0; i < pool->n && i < n; i++) {
        stat_one(pool, i, pool->ctx->now(), &out[i]);
    }
    *waiting = (int)pool->rec->waiting;
    pc_rec_unlock(seg, pool->id);
    return i;
}
