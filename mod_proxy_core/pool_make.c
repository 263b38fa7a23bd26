/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The pools of a generation: each backend finds its place in the shared memory, by name, or gets one. */
#include "pool_priv.h"

#include "apr_strings.h"

#include <string.h>

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
