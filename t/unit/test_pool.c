/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/segment.c mod_proxy_core/line.c mod_proxy_core/rows.c mod_proxy_core/pool_make.c mod_proxy_core/choose.c mod_proxy_core/cells.c mod_proxy_core/queue.c mod_proxy_core/wake.c mod_proxy_core/balancers/round_robin.c mod_proxy_core/balancers/least_requests.c mod_proxy_core/balancers/random.c mod_proxy_core/balancers/first.c */
/* libs: -lpthread */
/* Choice, counts, rests and probes, in one process with a clock of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "pool_fixture.h"

static apr_time_t the_time;

static apr_time_t fake_now(void)
{
    return the_time;
}

static int setup(void **state)
{
    the_time = apr_time_from_sec(1000);
    return fixture_setup(state);
}

static pc_pool *start(fixture *fx, const pc_pool_conf *conf)
{
    pc_pool *pool = one_pool(fx, conf);

    pool->ctx->now = fake_now;
    return pool;
}

/* One request: which backend had it. */
static int ask(pc_pool *pool, pc_outcome outcome)
{
    pc_lease lease;

    if (take_new(pool, &lease) != APR_SUCCESS) {
        return -1;
    }
    pc_lease_give(&lease, outcome, outcome == PC_OUTCOME_OK ? 1000 : 0);
    return lease.index;
}

/* ------------------------------------------------------------------ balancers */

/* F4: weights 5, 1, 1 give the smooth order, over and over. */
static void round_robin_is_smooth_and_exact(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "rr", &pc_balancer_round_robin);
    static const int order[] = { 0, 0, 1, 0, 2, 0, 0 };
    pc_pool *pool;
    int i;

    add_backend(conf, "a", 5, 0);
    add_backend(conf, "b", 1, 0);
    add_backend(conf, "c", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 70; i++) {
        assert_int_equal(ask(pool, PC_OUTCOME_OK), order[i % 7]);
    }
    end_child(pool->ctx);
}

/* G4 F5: hosts of equal weight alternate, whatever each answer takes. */
static void round_robin_alternates(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "rr", &pc_balancer_round_robin);
    pc_lease lease[10];
    pc_pool *pool;
    int i;

    add_backend(conf, "a", 1, 0);
    add_backend(conf, "b", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 10; i++) {
        assert_int_equal(take_new(pool, &lease[i]), APR_SUCCESS);
        assert_int_equal(lease[i].index, i % 2);
    }
    assert_int_equal(in_flight(pool, 0), 5);
    assert_int_equal(in_flight(pool, 1), 5);
    for (i = 0; i < 10; i++) {
        pc_lease_give(&lease[i], PC_OUTCOME_OK, 1);
    }
    assert_int_equal(in_flight(pool, 0) + in_flight(pool, 1), 0);
    end_child(pool->ctx);
}

/* G25: the lowest count is chosen, one more when assigned, one less when done. */
static void least_requests_fills_the_emptiest(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "lr", &pc_balancer_least_requests);
    pc_lease lease[9], again;
    pc_pool *pool;
    int i;

    add_backend(conf, "a", 1, 0);
    add_backend(conf, "b", 1, 0);
    add_backend(conf, "c", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 9; i++) {
        assert_int_equal(take_new(pool, &lease[i]), APR_SUCCESS);
    }
    for (i = 0; i < 3; i++) {
        assert_int_equal(in_flight(pool, i), 3);
    }
    for (i = 0; i < 9; i++) {
        if (lease[i].index == 1) {
            pc_lease_give(&lease[i], PC_OUTCOME_OK, 1);
            break;
        }
    }
    assert_int_equal(take_new(pool, &again), APR_SUCCESS);
    assert_int_equal(again.index, 1);
    pc_lease_give(&again, PC_OUTCOME_OK, 1);
    for (i = 0; i < 9; i++) {
        pc_lease_give(&lease[i], PC_OUTCOME_OK, 1);
        pc_lease_give(&lease[i], PC_OUTCOME_OK, 1); /* a second time does nothing */
    }
    for (i = 0; i < 3; i++) {
        assert_int_equal(in_flight(pool, i), 0);
    }
    end_child(pool->ctx);
}

/* G25: backends that are idle take turns; weights hold with and without load. */
static void least_requests_shares_when_idle(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "lr", &pc_balancer_least_requests);
    pc_lease lease[40];
    int hits[2] = { 0, 0 }, i;
    pc_pool *pool;

    add_backend(conf, "a", 3, 0);
    add_backend(conf, "b", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 40; i++) {
        hits[ask(pool, PC_OUTCOME_OK)]++;
    }
    assert_int_equal(hits[0], 30);
    assert_int_equal(hits[1], 10);
    for (i = 0; i < 40; i++) {
        assert_int_equal(take_new(pool, &lease[i]), APR_SUCCESS);
    }
    assert_int_equal(in_flight(pool, 0), 30);
    assert_int_equal(in_flight(pool, 1), 10);
    for (i = 0; i < 40; i++) {
        pc_lease_give(&lease[i], PC_OUTCOME_OK, 1);
    }
    end_child(pool->ctx);
}

/* F4: by chance, but in proportion. */
static void random_follows_the_weights(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "rnd", &pc_balancer_random);
    int hits[3] = { 0, 0, 0 }, i;
    pc_pool *pool;

    add_backend(conf, "a", 6, 0);
    add_backend(conf, "b", 3, 0);
    add_backend(conf, "c", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 10000; i++) {
        hits[ask(pool, PC_OUTCOME_OK)]++;
    }
    assert_in_range(hits[0], 5700, 6300);
    assert_in_range(hits[1], 2700, 3300);
    assert_in_range(hits[2], 800, 1200);
    end_child(pool->ctx);
}

/* F4: the next one only when the first is full. */
static void first_fills_in_order(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "first", &pc_balancer_first);
    static const int order[] = { 0, 0, 1, 1 };
    pc_lease lease[5];
    pc_pool *pool;
    int i;

    add_backend(conf, "a", 1, 2);
    add_backend(conf, "b", 1, 2);
    pool = start(fx, conf);
    for (i = 0; i < 4; i++) {
        assert_int_equal(take_new(pool, &lease[i]), APR_SUCCESS);
        assert_int_equal(lease[i].index, order[i]);
    }
    assert_int_equal(take_new(pool, &lease[4]), APR_EAGAIN);
    for (i = 0; i < 4; i++) {
        pc_lease_give(&lease[i], PC_OUTCOME_OK, 1);
    }
    end_child(pool->ctx);
}

/* F7: a backend that takes one at a time gets no second request while another is idle, with any balancer. */
static void max_one_uses_the_idle_one(void **state)
{
    fixture *fx = *state;
    static const pc_balancer *const all[] = { &pc_balancer_round_robin, &pc_balancer_least_requests,
                                              &pc_balancer_random, &pc_balancer_first };
    unsigned k;

    for (k = 0; k < 4; k++) {
        pc_pool_conf *conf = make_conf(fx, apr_psprintf(fx->p, "mongrel%u", k), all[k]);
        pc_lease a, b, c;
        pc_pool *pool;

        add_backend(conf, "a", 1, 1);
        add_backend(conf, "b", 9, 1);
        pool = start(fx, conf);
        assert_int_equal(take_new(pool, &a), APR_SUCCESS);
        assert_int_equal(take_new(pool, &b), APR_SUCCESS);
        assert_int_not_equal(a.index, b.index);
        assert_int_equal(take_new(pool, &c), APR_EAGAIN);
        pc_lease_give(&b, PC_OUTCOME_OK, 1);
        assert_int_equal(take_new(pool, &c), APR_SUCCESS);
        assert_int_equal(c.index, b.index);
        pc_lease_give(&a, PC_OUTCOME_OK, 1);
        pc_lease_give(&c, PC_OUTCOME_OK, 1);
        end_child(pool->ctx);
    }
}

/* ------------------------------------------------------------------ rests */

static pc_pool *two(fixture *fx, pc_pool_conf **out)
{
    pc_pool_conf *conf = make_conf(fx, "two", &pc_balancer_first);

    add_backend(conf, "a", 1, 0);
    add_backend(conf, "b", 1, 0);
    if (out) {
        *out = conf;
    }
    return start(fx, conf);
}

static pc_backend_stat stat_of(pc_pool *pool, int i)
{
    pc_backend_stat st[PC_POOL_MAX_BACKENDS];
    int waiting;

    assert_true(pc_pool_stat(pool, st, PC_POOL_MAX_BACKENDS, &waiting) > i);
    return st[i];
}

/* F8 G17: after a failed connection the backend is left out until its time is over, then one request probes it. */
static void rest_then_one_probe(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);
    pc_lease probe, other;

    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 0);
    assert_string_equal(stat_of(pool, 0).state, "resting");
    assert_int_equal(stat_of(pool, 0).rest_seconds, 1);
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 1);
    the_time += apr_time_from_sec(1) - 1;
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 1);
    the_time += 1;
    assert_int_equal(take_new(pool, &probe), APR_SUCCESS);
    assert_int_equal(probe.index, 0);
    assert_true(probe.probe);
    assert_string_equal(stat_of(pool, 0).state, "probing");
    assert_int_equal(take_new(pool, &other), APR_SUCCESS);
    assert_int_equal(other.index, 1);
    assert_false(other.probe);
    pc_lease_give(&other, PC_OUTCOME_OK, 1);
    pc_lease_give(&probe, PC_OUTCOME_OK, 500);
    assert_string_equal(stat_of(pool, 0).state, "ok");
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0);
    end_child(pool->ctx);
}

/* G17: the rest doubles with each failed probe, to 60 s; a success begins anew. */
static void rest_doubles_to_a_minute(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);
    static const int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    unsigned i;

    for (i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        assert_int_equal(ask(pool, i % 2 ? PC_OUTCOME_CONNECT : i ? PC_OUTCOME_BROKE : PC_OUTCOME_CONNECT), 0);
        assert_int_equal(stat_of(pool, 0).rest_seconds, seconds[i]);
        the_time += apr_time_from_sec(seconds[i]);
    }
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 0);
    assert_int_equal(stat_of(pool, 0).rest_seconds, 1);
    end_child(pool->ctx);
}

/* G17: retry= of the backend goes before the pool's time; 0 means no rest at all, and nothing breaks. */
static void rest_length_is_configured(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "retry", &pc_balancer_first);
    pc_pool *pool;

    add_backend(conf, "a", 1, 0)->retry = 0;
    add_backend(conf, "b", 1, 0)->retry = apr_time_from_sec(90);
    pool = start(fx, conf);
    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 0);
    assert_string_equal(stat_of(pool, 0).state, "ok");
    ((pc_backend_conf *)conf->backends->elts)[0].drain = 1;
    ((pc_backend_conf *)conf->backends->elts)[1].drain = 0;
    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 1);
    assert_int_equal(stat_of(pool, 1).rest_seconds, 90);
    end_child(pool->ctx);
}

/* F8: one broken script takes no server out; three breaks in a row do. */
static void breaks_rest_at_the_third(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);

    assert_int_equal(ask(pool, PC_OUTCOME_BROKE), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_TIMEOUT), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0); /* begins anew */
    assert_int_equal(ask(pool, PC_OUTCOME_BROKE), 0);
    assert_int_equal(ask(pool, PC_OUTCOME_BROKE), 0);
    assert_string_equal(stat_of(pool, 0).state, "ok");
    assert_int_equal(ask(pool, PC_OUTCOME_TIMEOUT), 0);
    assert_string_equal(stat_of(pool, 0).state, "resting");
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 1);
    assert_int_equal(stat_of(pool, 0).failures, 5);
    assert_int_equal(stat_of(pool, 0).requests, 6);
    end_child(pool->ctx);
}

/* G17: requests under way when the rest begins neither lengthen nor end it. */
static void late_results_do_not_count(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);
    pc_lease l[4];
    int i;

    for (i = 0; i < 4; i++) {
        assert_int_equal(take_new(pool, &l[i]), APR_SUCCESS);
        assert_int_equal(l[i].index, 0);
    }
    pc_lease_give(&l[0], PC_OUTCOME_CONNECT, 0);
    pc_lease_give(&l[1], PC_OUTCOME_CONNECT, 0);
    pc_lease_give(&l[2], PC_OUTCOME_BROKE, 0);
    assert_int_equal(stat_of(pool, 0).rest_seconds, 1);
    pc_lease_give(&l[3], PC_OUTCOME_OK, 10);
    assert_string_equal(stat_of(pool, 0).state, "resting");
    the_time += apr_time_from_sec(1);
    assert_int_equal(ask(pool, PC_OUTCOME_CONNECT), 0);
    assert_int_equal(stat_of(pool, 0).rest_seconds, 2);
    end_child(pool->ctx);
}

/* G17: a probe that proved nothing (never sent; the client left) leaves the next request to probe. One whose head has
 * come lets the others in before its end. */
static void probe_without_proof(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);
    pc_lease probe;

    ask(pool, PC_OUTCOME_CONNECT);
    the_time += apr_time_from_sec(1);
    assert_int_equal(ask(pool, PC_OUTCOME_UNUSED), 0);
    assert_int_equal(stat_of(pool, 0).requests, 1);
    assert_int_equal(take_new(pool, &probe), APR_SUCCESS);
    assert_true(probe.probe);
    pc_lease_give(&probe, PC_OUTCOME_OK, 0);
    assert_int_equal(take_new(pool, &probe), APR_SUCCESS);
    assert_true(probe.probe);
    pc_lease_answered(&probe);
    assert_string_equal(stat_of(pool, 0).state, "ok");
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0);
    pc_lease_give(&probe, PC_OUTCOME_OK, 5);
    end_child(pool->ctx);
}

/* F8: when all rest the request is refused, with the time until the first rest ends. */
static void refused_with_the_time_of_the_first(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "rest", &pc_balancer_first);
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_lease lease = { 0 };
    pc_pool *pool;

    add_backend(conf, "a", 1, 0)->retry = apr_time_from_sec(30);
    add_backend(conf, "b", 1, 0)->retry = apr_time_from_sec(7) + 1;
    pool = start(fx, conf);
    ask(pool, PC_OUTCOME_CONNECT);
    ask(pool, PC_OUTCOME_CONNECT);
    assert_int_equal(pc_lease_take(pool, &c, 1, &lease, &refusal), APR_ENOENT);
    assert_int_equal(refusal.retry_after, 8);
    assert_string_equal(refusal.why, "2 of 2 backends rest after failures");
    assert_false(lease.held);
    end_child(pool->ctx);
}

/* F8: what a request has tried it does not get again; without another it is refused. */
static void tried_is_not_asked_again(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two(fx, NULL);
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_lease lease = { 0 };

    c.tried[0] = 1;
    assert_int_equal(pc_lease_take(pool, &c, 0, &lease, &refusal), APR_SUCCESS);
    assert_int_equal(lease.index, 1);
    pc_lease_give(&lease, PC_OUTCOME_OK, 1);
    c.tried[0] = 3;
    assert_int_equal(pc_lease_take(pool, &c, 0, &lease, &refusal), APR_ENOENT);
    assert_int_equal(refusal.retry_after, 1);
    assert_string_equal(refusal.why, "all 2 backends that are not drained were tried");
    end_child(pool->ctx);
}

/* G17: the only backend is asked each time, however often it failed; one that is drained does not count as another. */
static void the_only_one_never_rests(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "one", &pc_balancer_least_requests);
    pc_pool *pool;
    int i;

    add_backend(conf, "gone", 1, 0)->drain = 1;
    add_backend(conf, "a", 1, 0);
    pool = start(fx, conf);
    for (i = 0; i < 20; i++) {
        assert_int_equal(ask(pool, i % 2 ? PC_OUTCOME_CONNECT : PC_OUTCOME_TIMEOUT), 1);
    }
    assert_string_equal(stat_of(pool, 0).state, "drain");
    assert_string_equal(stat_of(pool, 1).state, "ok");
    assert_int_equal(stat_of(pool, 1).failures, 20);
    end_child(pool->ctx);
}

/* F8: a backup is asked when no other is alive, not when the others are full. */
static void backups_stand_in_for_the_dead(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "backup", &pc_balancer_round_robin);
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_lease a, b, l = { 0 };
    pc_pool *pool;

    add_backend(conf, "spare", 1, 0)->backup = 1;
    add_backend(conf, "a", 1, 1);
    add_backend(conf, "b", 1, 1);
    pool = start(fx, conf);
    assert_int_equal(take_new(pool, &a), APR_SUCCESS);
    assert_int_equal(take_new(pool, &b), APR_SUCCESS);
    assert_int_not_equal(a.index, 0);
    assert_int_not_equal(b.index, 0);
    assert_int_equal(take_new(pool, &l), APR_EAGAIN);
    pc_lease_give(&a, PC_OUTCOME_CONNECT, 0);
    assert_int_equal(take_new(pool, &l), APR_EAGAIN); /* b is full, but alive */
    pc_lease_give(&b, PC_OUTCOME_CONNECT, 0);
    assert_int_equal(ask(pool, PC_OUTCOME_OK), 0);
    the_time += apr_time_from_sec(1);
    assert_int_not_equal(ask(pool, PC_OUTCOME_OK), 0);
    c.tried[0] = 2 + 4;
    assert_int_equal(pc_lease_take(pool, &c, 0, &l, &refusal), APR_SUCCESS);
    assert_int_equal(l.index, 0);
    pc_lease_give(&l, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
}

/* ------------------------------------------------------------------ generations */

/* State is found again by name after a restart; another order of backends or a new one does not mix it up. */
static void state_survives_by_name(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "app", &pc_balancer_first), *next;
    pc_pool *old, *pool;
    pc_lease lease;

    add_backend(conf, "a", 1, 0);
    add_backend(conf, "b", 1, 0);
    old = start(fx, conf);
    ask(old, PC_OUTCOME_CONNECT);
    assert_int_equal(take_new(old, &lease), APR_SUCCESS);
    assert_int_equal(lease.index, 1);

    next = make_conf(fx, "app", &pc_balancer_first);
    add_backend(next, "c", 1, 0);
    add_backend(next, "b", 1, 0);
    add_backend(next, "a", 1, 0);
    pool = start(fx, next);
    assert_int_equal(in_flight(pool, 0), 0);
    assert_int_equal(in_flight(pool, 1), 1);
    assert_string_equal(stat_of(pool, 2).state, "resting");
    pc_lease_give(&lease, PC_OUTCOME_OK, 1);
    assert_int_equal(in_flight(pool, 1), 0);
    end_child(old->ctx);
    end_child(pool->ctx);
}

/* Two hosts with the same key have each their own pool; the tables' bounds are said. */
static void tables_are_bounded(void **state)
{
    static const pc_limits lim = { 4, 2, 3, 16 };
    fixture small;
    pc_pool_conf *conf;
    pc_pool *one, *other;
    const char *why = NULL;
    pc_ctx *ctx;

    (void)state;
    fixture_open(&small, &lim);
    conf = make_conf(&small, "same", &pc_balancer_first);
    add_backend(conf, "a", 1, 0);
    ctx = new_generation(&small);
    one = add_pool(&small, ctx, conf);
    other = add_pool(&small, ctx, conf);
    assert_int_not_equal(one->id, other->id);
    assert_ptr_not_equal(one->m[0].cell, other->m[0].cell);
    assert_null(pc_ctx_add(ctx, small.p, small.reg, "third", conf, &why));
    assert_string_equal(why, "there are more than 2 pools");
    add_backend(conf, "b", 1, 0);
    ctx = new_generation(&small);
    assert_non_null(pc_ctx_add(ctx, small.p, small.reg, "same", conf, &why));
    assert_null(pc_ctx_add(ctx, small.p, small.reg, "same", conf, &why));
    assert_non_null(strstr(why, "more than 3 backends"));
    fixture_close(&small);
}

/* A name that two generations have not had gives its place to another, unless a child that knew it is still there. */
static void places_are_used_again(void **state)
{
    static const pc_limits lim = { 4, 1, 1, 16 };
    fixture small;
    pc_pool_conf *a, *b;
    const char *why = NULL;
    pc_ctx *ctx;

    (void)state;
    fixture_open(&small, &lim);
    a = make_conf(&small, "a", &pc_balancer_first);
    add_backend(a, "x", 1, 0);
    b = make_conf(&small, "b", &pc_balancer_first);
    add_backend(b, "y", 1, 0);
    ctx = new_generation(&small);
    add_pool(&small, ctx, a);
    assert_int_equal(pc_ctx_child(ctx, getpid()), APR_SUCCESS);
    new_generation(&small);
    assert_null(pc_ctx_add(new_generation(&small), small.p, small.reg, "b", b, &why));
    pc_row_gone(&small.seg, getpid());
    pc_row_reap(&small.seg);
    assert_non_null(pc_ctx_add(new_generation(&small), small.p, small.reg, "b", b, &why));
    end_child(ctx);
    fixture_close(&small);
}

/* ------------------------------------------------------------------ processes of mod_procd */

struct procd_group {
    int idle;
    apr_status_t otherwise;
    int waiting;
    procd_outcome last;
    apr_uint64_t avoided;
};

static apr_status_t fake_take(procd_group *g, apr_uint64_t avoid, procd_lease *lease)
{
    g->avoided = avoid;
    if (g->idle == 0) {
        return g->otherwise;
    }
    g->idle--;
    lease->group = g;
    return APR_SUCCESS;
}

static void fake_give(procd_lease *lease, procd_outcome outcome)
{
    lease->group->idle++;
    lease->group->last = outcome;
}

static void fake_waiting(procd_group *g, int delta)
{
    g->waiting += delta;
}

static apr_status_t fake_query(procd_group *g, procd_group_info *info)
{
    info->name = "php";
    info->processes = info->concurrency = 1;
    info->busy = g->idle == 0;
    info->crash_loop = g->otherwise == APR_EGENERAL;
    info->retry_after = info->crash_loop ? 9 : 0;
    apr_cpystrn(info->why, info->crash_loop ? "exit status 3" : "", sizeof(info->why));
    return APR_SUCCESS;
}

static void count_wake(void *baton)
{
    ++*(int *)baton;
}

static pc_pool *spawned(fixture *fx, pc_ctx *ctx, const char *name, procd_group *g)
{
    pc_pool_conf *conf = make_conf(fx, name, &pc_balancer_least_requests);
    pc_backend_conf *b = add_backend(conf, "spawn:php", 1, 0);

    b->kind = PC_BACKEND_SPAWN;
    b->spawn = "php";
    b->group = g;
    add_backend(conf, "gone", 1, 0)->drain = 1;
    return add_pool(fx, ctx, conf);
}

/* G25 F9: a group's room is asked of mod_procd; each lease is given back with its outcome; none rests. A pool that
 * shares the group hears of the room. */
static void groups_have_their_own_room(void **state)
{
    fixture *fx = *state;
    procd_group g = { 1, APR_EAGAIN, 0, PROCD_OK, 0 };
    pc_ctx *ctx = new_generation(fx);
    pc_pool *a = spawned(fx, ctx, "a", &g), *b = spawned(fx, ctx, "b", &g);
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_waiter *w;
    pc_lease lease = { 0 }, other = { 0 };
    int woken = 0;

    ctx->procd.take = fake_take;
    ctx->procd.give = fake_give;
    ctx->procd.waiting = fake_waiting;
    ctx->procd.query = fake_query;
    assert_int_equal(pc_ctx_child(ctx, getpid()), APR_SUCCESS);
    c.avoid = 77;
    assert_int_equal(pc_lease_take(a, &c, 1, &lease, &refusal), APR_SUCCESS);
    assert_int_equal(g.avoided, 77);
    assert_int_equal(lease.proc.size, sizeof(procd_lease));
    assert_int_equal(pc_lease_take(b, &c, 1, &other, &refusal), APR_EAGAIN);
    assert_int_equal(pc_queue_join(b, &c, count_wake, &woken, &w), APR_SUCCESS);
    assert_int_equal(g.waiting, 1);
    assert_int_equal(woken, 0);
    pc_lease_give(&lease, PC_OUTCOME_CONNECT, 0);
    assert_int_equal(g.last, PROCD_CONNECT_FAILED);
    assert_int_equal(woken, 1);
    assert_int_equal(g.waiting, 0);
    assert_int_equal(pc_queue_poll(w, 0, &other, &refusal), APR_SUCCESS);
    assert_int_equal(g.idle, 0);
    pc_lease_give(&other, PC_OUTCOME_UNUSED, 0);
    assert_int_equal(g.last, PROCD_OK);
    assert_int_equal(ask(a, PC_OUTCOME_BROKE), 0);
    assert_int_equal(g.last, PROCD_BROKE);
    assert_int_equal(ask(a, PC_OUTCOME_TIMEOUT), 0);
    assert_int_equal(ask(a, PC_OUTCOME_TIMEOUT), 0);
    assert_string_equal(stat_of(a, 0).state, "ok");
    end_child(ctx);
}

/* F8: a group that cannot start refuses with its own reason and time; without mod_procd it says so. */
static void dead_group_says_why(void **state)
{
    fixture *fx = *state;
    procd_group g = { 0, APR_EGENERAL, 0, PROCD_OK, 0 };
    pc_ctx *ctx = new_generation(fx);
    pc_pool *pool = spawned(fx, ctx, "a", &g);
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_lease lease = { 0 };

    assert_int_equal(pc_ctx_child(ctx, getpid()), APR_SUCCESS);
    assert_int_equal(pc_lease_take(pool, &c, 1, &lease, &refusal), APR_ENOENT);
    assert_string_equal(refusal.why, "mod_procd is not there to start its processes");
    ctx->procd.take = fake_take;
    ctx->procd.give = fake_give;
    ctx->procd.query = fake_query;
    assert_int_equal(pc_lease_take(pool, &c, 1, &lease, &refusal), APR_ENOENT);
    assert_string_equal(refusal.why, "group \"php\" has no process: exit status 3");
    assert_int_equal(refusal.retry_after, 9);
    end_child(ctx);
}

/* The hot path: take and give without contention. Printed always; the bound is wide, for sanitizers and busy machines. */
static void cost_of_a_lease(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "cost", &pc_balancer_least_requests);
    const int n = 200000;
    pc_pool *pool;
    clock_t t; /* of the processor, whoever else wants it */
    int i;

    add_backend(conf, "a", 1, 0);
    add_backend(conf, "b", 1, 0);
    pool = one_pool(fx, conf);
    t = clock();
    for (i = 0; i < n; i++) {
        pc_lease lease;

        take_new(pool, &lease);
        pc_lease_give(&lease, PC_OUTCOME_OK, 100);
    }
    t = clock() - t;
    print_message("take and give: %d ns\n", (int)((double)t * 1e9 / CLOCKS_PER_SEC / n));
    assert_true((double)t / CLOCKS_PER_SEC < n * 20e-6);
    assert_int_equal(pool->m[0].cell->requests, n / 2);
    end_child(pool->ctx);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(round_robin_is_smooth_and_exact),
        T(round_robin_alternates),
        T(least_requests_fills_the_emptiest),
        T(least_requests_shares_when_idle),
        T(random_follows_the_weights),
        T(first_fills_in_order),
        T(max_one_uses_the_idle_one),
        T(rest_then_one_probe),
        T(rest_doubles_to_a_minute),
        T(rest_length_is_configured),
        T(breaks_rest_at_the_third),
        T(late_results_do_not_count),
        T(probe_without_proof),
        T(refused_with_the_time_of_the_first),
        T(tried_is_not_asked_again),
        T(the_only_one_never_rests),
        T(backups_stand_in_for_the_dead),
        T(state_survives_by_name),
        T(tables_are_bounded),
        T(places_are_used_again),
        T(groups_have_their_own_room),
        T(dead_group_says_why),
        T(cost_of_a_lease),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
