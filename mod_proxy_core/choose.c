/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Which backend is asked: those that are alive and have room are candidates, a balancer picks among them.
 *
 * Backups are asked when no other backend is alive, not when the others are merely full. A spawn group is asked
 * for a process when it was picked: one that has none idle is full, whatever the numbers here say.
 */
#include "pool_priv.h"

#include "apr_strings.h"

#include <string.h>

#ifndef PC_TEST_POINT /* a test may kill the process here, inside the lock */
#define PC_TEST_POINT() ((void)0)
#endif

/* What a look at the backends found. */
struct found {
    int n;    /* candidates */
    int full; /* alive, without room */
    int resting, tried, drain, dead;
    apr_time_t now;       /* 0: not needed yet */
    apr_time_t first_end; /* of the rests; 0: of none */
    pc_candidate c[PC_POOL_MAX_BACKENDS];
};

static int was_tried(const pc_choice *choice, int i)
{
    return (int)(choice->tried[i / 64] >> (i % 64) & 1);
}

int pc_choice_picky(const pc_choice *choice)
{
    return (choice->tried[0] | choice->tried[1] | choice->tried[2] | choice->tried[3]) != 0;
}

static int rests(pc_pool *pool, int i, struct found *f)
{
    const pc_cell *cell = pool->m[i].cell;

    if (!cell->rest_until || i == pool->sole || pool->m[i].group) {
        return 0;
    }
    if (!f->now) {
        f->now = pool->ctx->now();
    }
    if (!cell->probe_row && cell->rest_until <= f->now) {
        return 0;
    }
    if (!f->first_end || cell->rest_until < f->first_end) {
        f->first_end = cell->rest_until;
    }
    return 1;
}

static void add_candidate(pc_pool *pool, int i, struct found *f)
{
    const pc_member *m = &pool->m[i];
    pc_candidate *c = &f->c[f->n++];

    c->backend = i;
    c->weight = m->conf->weight > 0 ? m->conf->weight : 1;
    c->max = m->conf->max;
    c->in_flight = m->cell->in_flight;
    c->current = &m->cell->current;
    c->ewma_usec = m->cell->ewma_usec;
    c->name_hash = m->name_hash;
}

static void look(pc_pool *pool, const pc_choice *choice, unsigned backup, struct found *f)
{
    int i;

    for (i = 0; i < pool->n; i++) {
        const pc_backend_conf *b = pool->m[i].conf;

        if (b->backup != backup) {
            continue;
        }
        if (b->drain) {
            f->drain++;
        }
        else if (choice && was_tried(choice, i)) {
            f->tried++;
        }
        else if (rests(pool, i, f)) {
            f->resting++;
        }
        else if (b->max > 0 && pool->m[i].cell->in_flight >= (apr_uint32_t)b->max) {
            f->full++;
        }
        else {
            add_candidate(pool, i, f);
        }
    }
}

static void count(pc_pool *pool, int i, pc_lease *lease)
{
    const pc_member *m = &pool->m[i];
    pc_row *row = pc_seg_row(&pool->ctx->seg, (unsigned)pool->ctx->row);
    _Atomic apr_uint32_t *held = &row->held[m->cell_id];

    m->cell->in_flight++;
    PC_TEST_POINT();
    atomic_store_explicit(held, atomic_load_explicit(held, memory_order_relaxed) + 1, memory_order_relaxed);
    lease->pool = pool;
    lease->backend = m->conf;
    lease->index = i;
    lease->held = 1;
    lease->probe = 0;
    if (m->cell->rest_until && i != pool->sole && !m->group) {
        m->cell->probe_row = (apr_uint32_t)pool->ctx->row + 1;
        lease->probe = 1;
    }
}

/* @return APR_SUCCESS; APR_EAGAIN: no process is idle; anything else: the group is dead */
static apr_status_t occupy(pc_pool *pool, int i, const pc_choice *choice, pc_lease *lease)
{
    const pc_member *m = &pool->m[i];

    if (m->group) {
        const pc_procd *procd = &pool->ctx->procd;
        apr_status_t rc;

        if (!procd->take || !m->conf->group) {
            return APR_ENOENT;
        }
        lease->proc.size = sizeof(lease->proc);
        rc = procd->take(m->conf->group, choice->avoid, &lease->proc);
        if (rc != APR_SUCCESS) {
            return rc;
        }
    }
    count(pool, i, lease);
    return APR_SUCCESS;
}

/* Ask the balancer until one can be had. */
static apr_status_t settle(pc_pool *pool, const pc_choice *choice, struct found *f, pc_lease *lease)
{
    while (f->n > 0) {
        int k = f->n > 1 ? pool->conf->balancer->pick(f->c, f->n, choice->hash, pool->rec->seq++) : 0;
        apr_status_t rc;

        if (k < 0 || k >= f->n) {
            k = 0;
        }
        rc = occupy(pool, f->c[k].backend, choice, lease);
        if (rc == APR_SUCCESS) {
            return rc;
        }
        if (APR_STATUS_IS_EAGAIN(rc)) {
            f->full++;
        }
        else {
            f->dead++;
        }
        f->n--;
        memmove(&f->c[k], &f->c[k + 1], (apr_size_t)(f->n - k) * sizeof(f->c[0]));
    }
    return f->full ? APR_EAGAIN : APR_ENOENT;
}

/* What a group that cannot start says of itself. @return its time to the next start, 0: unknown */
static int ask_group(pc_pool *pool, procd_group_info *info)
{
    int i;

    for (i = 0; i < pool->n; i++) {
        if (pool->m[i].group && pool->m[i].conf->group && pool->ctx->procd.query) {
            memset(info, 0, sizeof(*info));
            info->size = sizeof(*info);
            if (pool->ctx->procd.query(pool->m[i].conf->group, info) == APR_SUCCESS) {
                return info->retry_after > 0 ? info->retry_after : 1;
            }
        }
    }
    return 0;
}

static void refuse(pc_pool *pool, const struct found *f, pc_refusal *refusal)
{
    procd_group_info info;
    int seconds = 0;

    if (f->first_end > f->now) {
        seconds = (int)((f->first_end - f->now + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC);
    }
    if (f->dead && (seconds = ask_group(pool, &info)) > 0) {
        apr_snprintf(refusal->why, sizeof(refusal->why), "group \"%.40s\" has no process%s%.90s", info.name,
                     info.why[0] ? ": " : "", info.why);
    }
    else if (f->dead) {
        apr_snprintf(refusal->why, sizeof(refusal->why), "mod_procd is not there to start its processes");
    }
    else if (f->resting) {
        apr_snprintf(refusal->why, sizeof(refusal->why), "%d of %d backends rest after failures%s", f->resting, pool->n,
                     f->tried ? ", the others were tried" : "");
    }
    else if (f->tried) {
        apr_snprintf(refusal->why, sizeof(refusal->why), "all %d backends that are not drained were tried", f->tried);
    }
    else {
        apr_snprintf(refusal->why, sizeof(refusal->why), "all %d backends are drained", f->drain);
    }
    refusal->retry_after = seconds > 0 ? seconds : 1;
}

apr_status_t pc_choose(pc_pool *pool, const pc_choice *choice, pc_lease *lease, pc_refusal *refusal)
{
    struct found f;
    unsigned backup;

    f.full = f.resting = f.tried = f.drain = f.dead = 0;
    f.now = f.first_end = 0;
    for (backup = 0; backup <= 1; backup++) {
        apr_status_t rc;

        f.n = 0;
        look(pool, choice, backup, &f);
        rc = settle(pool, choice, &f, lease);
        if (rc != APR_ENOENT) {
            return rc;
        }
    }
    refuse(pool, &f, refusal);
    return APR_ENOENT;
}

static int group_has_room(pc_pool *pool, const pc_member *m)
{
    procd_group_info info;

    if (!pool->ctx->procd.query || !m->conf->group) {
        return 0;
    }
    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);
    return pool->ctx->procd.query(m->conf->group, &info) == APR_SUCCESS
           && info.busy < info.processes * info.concurrency;
}

int pc_has_room(pc_pool *pool)
{
    struct found f;
    unsigned backup;
    int i;

    f.full = f.resting = f.tried = f.drain = f.dead = 0;
    f.now = f.first_end = 0;
    for (backup = 0; backup <= 1; backup++) {
        f.n = 0;
        look(pool, NULL, backup, &f);
        for (i = 0; i < f.n; i++) {
            const pc_member *m = &pool->m[f.c[i].backend];

            if (!m->group || group_has_room(pool, m)) {
                return 1;
            }
        }
        if (f.full || f.n) {
            return 0;
        }
    }
    return 0;
}
