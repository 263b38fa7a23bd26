/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue: requests of all children that wait for a backend of a pool, first come, first served.
 *
 * How it works. A request that finds no room takes a turn at the end of the pool's line in shared memory. Whoever makes
 * room (gives a lease back, ends a rest, cleans up after a dead child, hears from mod_procd) calls the first turn that
 * was not called yet, under the pool's lock, and tells the child that owns it. That child, and nobody else, chooses
 * the backend and counts the lease: only it knows what the request has tried and which generation of the
 * configuration it belongs to, and a process of mod_procd must be leased by the one who uses it. A turn that was called
 * and finds nothing goes on waiting where it stands. One that is served, while there is still room, calls the next.
 *
 * Order. Turns are called in the order of the line, and nobody is served who was not called, so what was made free for
 * a turn is not taken by a later one: newcomers see the line and join its end; only a retry, which has waited already,
 * may take room past the line. Two leases that are given back call two turns, which may be served in either order if
 * they belong to two children: there is room for both. Who is not sure to have made room (a rest is over, an event of
 * mod_procd, a dead child) calls only when nobody is called. A turn that has tried a backend ("picky") may be unable to use the one that became free; then the
 * next one is called, so that it holds up nobody.
 *
 * Why no wakeup is lost. To wait is: append under the lock, then try once if nobody before is uncalled (join does this
 * by calling itself). To make room is: change the numbers under the lock (mod_procd's before it), then call under the
 * same lock. If the try came first, the turn was in the line when room was made, and is called. If room came first,
 * the try sees it. A called turn has a child that was told: by the bell, which is rung after the lock is released and
 * heard by a thread that looks at "called" after it has quietened the bell; or by pc_serve() at once in the same child.
 * A child that dies with called turns is cleaned up by reap_row(), which calls the next. A called turn that leaves
 * passes the call on. The end of a rest is nobody's doing: the child whose turn tried in vain while a backend rested sets
 * its clock (wake.c), and a child that stops its clock calls the first in each line, whose child sets its own.
 *
 * Locks. pool->local guards this child's waiters of the pool, is taken before the pool's shared lock, and is held while
 * wake() runs: that is how pc_queue_leave() can promise that it does not run any more. Under it wake() must not come
 * back in here.
 */
#include "pool_priv.h"

#include <stdlib.h>

#define BATCH 16 /* turns served before the lock is released once */

void pc_notify(pc_ctx *ctx, unsigned id, int row)
{
    if (row >= 0 && row == ctx->row && id < ctx->seg.lim.pools && ctx->by_id[id]) {
        pc_serve(ctx->by_id[id]);
    }
    else {
        pc_row_ring(&ctx->seg, row);
    }
}

static void tell_procd(const pc_pool *pool, int delta)
{
    int i;

    if (!pool->groups || !pool->ctx->procd.waiting) {
        return;
    }
    for (i = 0; i < pool->n; i++) {
        if (pool->m[i].group && pool->m[i].conf->group) {
            pool->ctx->procd.waiting(pool->m[i].conf->group, delta);
        }
    }
}

/* What one passage under the lock has to do after it. */
struct batch {
    pc_waiter *done;
    int ring[BATCH];
    int nring;
    int more;
    int clock; /* the end of a rest must be waited for */
};

static int some_rest(const pc_pool *pool)
{
    int i;

    for (i = 0; i < pool->n; i++) {
        if (pool->m[i].cell->rest_until) {
            return 1;
        }
    }
    return 0;
}

/* The turn's request tries. Both locks are held. */
static void try_turn(pc_pool *pool, unsigned turn, struct batch *b)
{
    pc_ctx *ctx = pool->ctx;
    pc_waiter *w = ctx->by_turn[turn - 1];
    apr_status_t rc;
    int next = -1;

    if (!w || w->pool != pool) { /* cannot be, but the number came from shared memory */
        pc_line_remove(&ctx->seg, pool->id, turn);
        return;
    }
    rc = pc_choose(pool, &w->choice, &w->lease, &w->refusal);
    if (rc == APR_EAGAIN) {
        b->clock |= some_rest(pool);
        pc_line_uncall(&ctx->seg, pool->id, turn);
        if (pc_turn_picky(&ctx->seg, turn)) {
            next = pc_line_call(&ctx->seg, pool->id, turn);
        }
    }
    else {
        if (rc == APR_ENOENT || pc_has_room(pool)) {
            next = pc_line_call(&ctx->seg, pool->id, turn);
        }
        pc_line_remove(&ctx->seg, pool->id, turn);
        pc_turn_release(&ctx->seg, turn);
        ctx->by_turn[turn - 1] = NULL;
        w->state = rc == APR_SUCCESS ? PC_W_GRANTED : PC_W_REFUSED;
        w->next = b->done;
        b->done = w;
    }
    if (next >= 0 && next != ctx->row) {
        b->ring[b->nring++] = next;
    }
}

static void serve_batch(pc_pool *pool, struct batch *b)
{
    pc_seg *seg = &pool->ctx->seg;
    unsigned turn;
    int i;

    b->done = NULL;
    b->nring = b->more = b->clock = 0;
    if (!pc_rec_lock(seg, pool->id)) {
        return;
    }
    for (i = 0; i < BATCH && (turn = pc_line_mine(seg, pool->id, pool->ctx->row)) != 0; i++) {
        try_turn(pool, turn, b);
    }
    b->more = i == BATCH;
    pc_rec_unlock(seg, pool->id);
}

void pc_serve(pc_pool *pool)
{
    struct batch b;
    int i;

    do {
        pthread_mutex_lock(&pool->local);
        serve_batch(pool, &b);
        for (i = 0; i < b.nring; i++) {
            pc_row_ring(&pool->ctx->seg, b.ring[i]);
        }
        if (b.clock) {
            pc_row_ring(&pool->ctx->seg, pool->ctx->row);
        }
        while (b.done) {
            pc_waiter *w = b.done;

            b.done = w->next;
            tell_procd(pool, -1);
            w->wake(w->baton);
        }
        pthread_mutex_unlock(&pool->local);
    } while (b.more);
}

void pc_call_groups(pc_ctx *ctx, apr_uint64_t groups, int but)
{
    pc_seg *seg = &ctx->seg;
    unsigned id, top = pc_seg_pool_top(seg);

    for (id = 0; id < top; id++) {
        pc_rec *rec = &seg->recs[id];

        if ((int)id != but && (rec->groups & groups) && rec->waiting && pc_rec_lock(seg, id)) {
            int row = pc_line_nudge(seg, id);

            pc_rec_unlock(seg, id);
            pc_notify(ctx, id, row);
        }
    }
}

/* ------------------------------------------------------------------ waiters */

/* Take a place in the line. @param first  set when the request should try at once */
static apr_status_t stand(pc_pool *pool, pc_waiter *w, int *first)
{
    pc_seg *seg = &pool->ctx->seg;
    int picky = pc_choice_picky(&w->choice);

    if (!pc_rec_lock(seg, pool->id)) {
        return APR_EGENERAL;
    }
    if (pool->conf->queue <= 0 || pool->rec->waiting >= (apr_uint32_t)pool->conf->queue) {
        pc_rec_unlock(seg, pool->id);
        return APR_ENOSPC;
    }
    pc_line_append(seg, pool->id, w->turn, picky);
    pool->ctx->by_turn[w->turn - 1] = w;
    *first = pool->rec->waiting - pool->rec->called == 1 || (!picky && pool->rec->plain == 1);
    if (*first) {
        pc_line_call_turn(seg, pool->id, w->turn);
    }
    pc_rec_unlock(seg, pool->id);
    return APR_SUCCESS;
}

apr_status_t pc_queue_join(pc_pool *pool, const pc_choice *choice, void (*wake)(void *baton), void *baton,
                           pc_waiter **out)
{
    pc_ctx *ctx = pool->ctx;
    pc_waiter *w;
    int first = 0;
    apr_status_t rc;

    if (ctx->row < 0 || pc_wake_start(ctx) != APR_SUCCESS || !(w = calloc(1, sizeof(*w)))) {
        return APR_ENOMEM;
    }
    w->pool = pool;
    w->choice = *choice;
    w->wake = wake;
    w->baton = baton;
    w->turn = pc_turn_claim(&ctx->seg, ctx->row, ctx->hint);
    if (!w->turn) {
        free(w);
        return APR_ENOSPC;
    }
    ctx->hint = w->turn;
    *out = w;
    tell_procd(pool, 1);
    pthread_mutex_lock(&pool->local);
    rc = stand(pool, w, &first);
    pthread_mutex_unlock(&pool->local);
    if (rc != APR_SUCCESS) {
        tell_procd(pool, -1);
        pc_turn_release(&ctx->seg, w->turn);
        free(w);
        *out = NULL;
        return rc;
    }
    /* From here on w may be woken, polled and gone. */
    if (first) {
        pc_serve(pool);
    }
    return APR_SUCCESS;
}

apr_status_t pc_queue_poll(pc_waiter *w, int woken, pc_lease *lease, pc_refusal *refusal)
{
    pc_pool *pool = w->pool;
    pc_waiter_state state;

    if (!woken) { /* wake() may be running: it ends with the lock */
        pthread_mutex_lock(&pool->local);
    }
    state = w->state;
    if (!woken) {
        pthread_mutex_unlock(&pool->local);
    }
    if (state == PC_W_WAITING) {
        return APR_EAGAIN;
    }
    if (state == PC_W_GRANTED) {
        *lease = w->lease;
    }
    else {
        *refusal = w->refusal;
    }
    free(w);
    return state == PC_W_GRANTED ? APR_SUCCESS : APR_ENOENT;
}

/* Step out of the line; a call on its way goes to the next. @return the row to tell, -1: nobody */
static int step_out(pc_waiter *w)
{
    pc_pool *pool = w->pool;
    pc_seg *seg = &pool->ctx->seg;
    int next = -1;

    if (pc_rec_lock(seg, pool->id)) {
        if (pc_turn_called(seg, pool->id, w->turn)) {
            next = pc_line_call(seg, pool->id, 0);
        }
        pc_line_remove(seg, pool->id, w->turn);
        pc_rec_unlock(seg, pool->id);
    }
    pool->ctx->by_turn[w->turn - 1] = NULL;
    pc_turn_release(seg, w->turn);
    return next;
}

void pc_queue_leave(pc_waiter *w)
{
    pc_pool *pool = w->pool;
    int next = -1;

    pthread_mutex_lock(&pool->local);
    if (w->state == PC_W_WAITING) {
        next = step_out(w);
        tell_procd(pool, -1);
    }
    pthread_mutex_unlock(&pool->local);
    pc_notify(pool->ctx, pool->id, next);
    if (w->state == PC_W_GRANTED) {
        pc_lease_give(&w->lease, PC_OUTCOME_UNUSED, 0);
    }
    free(w);
}
