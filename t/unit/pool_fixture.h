/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the pools' state share: a segment, a configuration made by hand, children that are this process or
 * forked ones.
 */
#ifndef POOL_FIXTURE_H
#define POOL_FIXTURE_H

#include "pool_priv.h"
#include "balancers/balancers.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    apr_pool_t *p;
    pc_seg seg;
    pc_registry *reg;
} fixture;

static void require(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fixture: %s\n", what);
        abort();
    }
}

static void fixture_open(fixture *fx, const pc_limits *lim)
{
    static const pc_limits usual = { 32, 16, 512, 4096 };

    require(apr_initialize() == APR_SUCCESS, "apr");
    apr_pool_create(&fx->p, NULL);
    require(pc_seg_create(&fx->seg, lim ? lim : &usual) == APR_SUCCESS, "segment");
    fx->reg = pc_registry_create(lim ? lim : &usual);
    require(fx->reg != NULL, "registry");
}

static void fixture_close(fixture *fx)
{
    pc_registry_destroy(fx->reg);
    pc_seg_destroy(&fx->seg);
    apr_pool_destroy(fx->p);
}

/* For cmocka: one for each test. */
static int fixture_setup(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));

    require(fx != NULL, "memory");
    fixture_open(fx, NULL);
    *state = fx;
    return 0;
}

static int fixture_teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

/** A pool NAME without backends, as the defaults are. */
static pc_pool_conf *make_conf(fixture *fx, const char *name, const pc_balancer *balancer)
{
    pc_pool_conf *conf = apr_pcalloc(fx->p, sizeof(*conf));

    conf->name = name;
    conf->balancer = balancer;
    conf->backends = apr_array_make(fx->p, 4, sizeof(pc_backend_conf));
    conf->queue = 512;
    conf->disable_time = apr_time_from_sec(1);
    return conf;
}

static pc_backend_conf *add_backend(pc_pool_conf *conf, const char *name, int weight, int max)
{
    pc_backend_conf *b = apr_array_push(conf->backends);

    memset(b, 0, sizeof(*b));
    b->kind = PC_BACKEND_ADDR;
    b->name = name;
    b->weight = weight;
    b->max = max;
    b->retry = -1;
    return b;
}

static pc_ctx *new_generation(fixture *fx)
{
    return pc_ctx_make(fx->p, &fx->seg, pc_registry_next(fx->reg));
}

static pc_pool *add_pool(fixture *fx, pc_ctx *ctx, const pc_pool_conf *conf)
{
    const char *why = NULL;
    pc_pool *pool = pc_ctx_add(ctx, fx->p, fx->reg, conf->name, conf, &why);

    require(pool != NULL, why ? why : "pool");
    return pool;
}

/** This process as a child with one pool. */
static pc_pool *one_pool(fixture *fx, const pc_pool_conf *conf)
{
    pc_ctx *ctx = new_generation(fx);
    pc_pool *pool = add_pool(fx, ctx, conf);

    require(pc_ctx_child(ctx, getpid()) == APR_SUCCESS, "row");
    return pool;
}

static void end_child(pc_ctx *ctx)
{
    pc_wake_stop(ctx);
    free(ctx->by_turn);
    ctx->by_turn = NULL;
}

static pc_choice no_choice(void)
{
    pc_choice c;

    memset(&c, 0, sizeof(c));
    return c;
}

static apr_status_t take_new(pc_pool *pool, pc_lease *lease)
{
    pc_choice c = no_choice();
    pc_refusal refusal;

    memset(lease, 0, sizeof(*lease));
    return pc_lease_take(pool, &c, 1, lease, &refusal);
}

static apr_uint32_t in_flight(pc_pool *pool, int i)
{
    return pool->m[i].cell->in_flight;
}

#endif /* POOL_FIXTURE_H */
