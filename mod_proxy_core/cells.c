/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: which backend is asked, what is counted, when a backend rests.
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
 * Backups are asked when no other backend is alive, not when the others are merely full.
 *
 * The path of a request that finds everything well: two passes through an uncontended mutex, one loop over the backends
 * in each, no system call. The clock is read only when some backend has rested since its last success.
 */
#include "pool_priv.h"

#include "apr_strings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef PC_TEST_POINT /* a test may kill the process here, inside the lock */
#define PC_TEST_POINT() ((void)0)
#endif

#define MAX_REST apr_time_from_sec(60)
#define SOFT_FAILURES 3

apr_time_t pc_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return apr_time_from_sec((apr_time_t)ts.tv_sec) + ts.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ making */

pc_ctx *pc_ctx_make(apr_pool_t *p, const pc_seg *seg, apr_uint32_t gen)
{
    pc_ctx *ctx = apr_pcalloc(p, sizeof(*ctx));

    ctx->seg = *seg;
    ctx->now = pc_now;
    ctx->gen = gen;
    ctx->row = -1;
    ctx->stop_fd = -1;
    ctx->pools = apr_array_make(p, 8, sizeof(pc_pool *));
    ctx->by_id = apr_pcalloc(p, seg->lim.pools * sizeof(pc_pool *));
    pthread_mutex_init(&ctx->threads, NULL);
    return ctx;
}

static int sole_backend(const pc_backend_conf *b, int n)
{
    int i, sole = -1;

    for (i = 0; i < n; i++) {
        if (!b[i].drain) {
            if (sole >= 0) {
                return -1;
            }
            sole = i;
        }
    }
    return sole;
}

static int add_member(pc_pool *pool, pc_registry *reg, const pc_backend_conf *b)
{
    pc_member *m = &pool->m[pool->n];
    int cell = pc_registry_cell(reg, &pool->ctx->seg, pool->id, b->name);

    if (cell < 0) {
        return 0;
    }
    m->conf = b;
    m->cell_id = (unsigned)cell;
    m->cell = &pool->ctx->seg.cells[cell];
    m->name_hash = pc_hash(b->name);
    m->group = b->kind == PC_BACKEND_SPAWN ? (apr_uint64_t)1 << (pc_hash(b->spawn) % 64) : 0;
    pool->groups |= m->group;
    pool->n++;
    return 1;
}

/* Two virtual hosts may have the same name and port and a pool of the same name: the second in the order of the
 * configuration is "name#2". */
static int pool_id(pc_ctx *ctx, apr_pool_t *p, pc_registry *reg, const char *key)
{
    int id = pc_registry_pool(reg, &ctx->seg, key);
    unsigned k;

    for (k = 2; id == -2 && k <= ctx->seg.lim.pools; k++) {
        id = pc_registry_pool(reg, &ctx->seg, apr_psprintf(p, "%s#%u", key, k));
    }
    return id;
}

pc_pool *pc_ctx_add(pc_ctx *ctx, apr_pool_t *p, pc_registry *reg, const char *key, const pc_pool_conf *conf,
                    const char **why)
{
    const pc_backend_conf *b = (const pc_backend_conf *)(void *)conf->backends->elts;
    int n = conf->backends->nelts, id, i;
    pc_pool *pool;

    if (n < 1 || n > PC_POOL_MAX_BACKENDS) {
        *why = apr_psprintf(p, "it has %d backends; a pool has 1 to %d", n, PC_POOL_MAX_BACKENDS);
        return NULL;
    }
    if ((id = pool_id(ctx, p, reg, key)) < 0) {
        *why = apr_psprintf(p, "there are more than %u pools", ctx->seg.lim.pools);
        return NULL;
    }
    pool = apr_pcalloc(p, sizeof(*pool) + (apr_size_t)n * sizeof(pc_member));
    pool->ctx = ctx;
    pool->conf = conf;
    pool->id = (unsigned)id;
    pool->rec = &ctx->seg.recs[id];
    pool->sole = sole_backend(b, n);
    pthread_mutex_init(&pool->local, NULL);
    for (i = 0; i < n; i++) {
        if (!add_member(pool, reg, &b[i])) {
            *why =
                apr_psprintf(p, "its backend \"%s\" is there twice, or all pools together have more than %u backends",
                             b[i].name, ctx->seg.lim.cells);
            return NULL;
        }
    }
    atomic_fetch_or(&pool->rec->groups, pool->groups);
    ctx->by_id[id] = pool;
    APR_ARRAY_PUSH(ctx->pools, pc_pool *) = pool;
    return pool;
}

apr_status_t pc_ctx_child(pc_ctx *ctx, pid_t pid)
{
    ctx->by_turn = calloc(ctx->seg.lim.turns, sizeof(*ctx->by_turn)); /* pages that nobody uses are not there */
    if (!ctx->by_turn) {
        return APR_ENOMEM;
    }
    ctx->row = pc_row_claim(&ctx->seg, pid, ctx->gen);
    ctx->hint = ctx->row > 0 ? (apr_uint32_t)ctx->row * 64 : 0;
    return ctx->row < 0 ? APR_ENOSPC : APR_SUCCESS;
}

/* ------------------------------------------------------------------ choosing */

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

/* ------------------------------------------------------------------ take, give */

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
