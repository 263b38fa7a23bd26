/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/segment.c mod_proxy_core/line.c mod_proxy_core/rows.c mod_proxy_core/pool_make.c mod_proxy_core/choose.c mod_proxy_core/cells.c mod_proxy_core/queue.c mod_proxy_core/wake.c mod_proxy_core/balancers/round_robin.c mod_proxy_core/balancers/least_requests.c mod_proxy_core/balancers/first.c */
/* libs: -lpthread */
/* The queue's rules, one at a time. A second child is a second context of this process, with threads of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool_hammer.h"

#include <dirent.h>
#include <sys/eventfd.h>

/* A waiting request. */
struct request {
    sem_t woken;
    pc_waiter *w;
    pc_lease lease;
    pc_refusal refusal;
};

static void wake(void *baton)
{
    sem_post(&((struct request *)baton)->woken);
}

static apr_status_t join_tried(pc_pool *pool, struct request *r, apr_uint64_t tried)
{
    pc_choice c = no_choice();

    memset(r, 0, sizeof(*r));
    sem_init(&r->woken, 0, 0);
    c.tried[0] = tried;
    return pc_queue_join(pool, &c, wake, r, &r->w);
}

static apr_status_t join(pc_pool *pool, struct request *r)
{
    return join_tried(pool, r, 0);
}

static apr_status_t poll_now(struct request *r)
{
    return pc_queue_poll(r->w, 0, &r->lease, &r->refusal);
}

/* Wait for the wake, then see what it brought. */
static apr_status_t await(struct request *r)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    while (sem_timedwait(&r->woken, &until) == -1) {
        if (errno == ETIMEDOUT) {
            return APR_TIMEUP;
        }
    }
    return poll_now(r);
}

static int asleep(const char *tid)
{
    char path[300], state = '?';
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%s/stat", tid);
    if (!(f = fopen(path, "r"))) {
        return 1;
    }
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1) {
        state = '?';
    }
    fclose(f);
    return state == 'S';
}

/* Until all threads but this one sleep. */
static void settle(void)
{
    int busy = 1;

    while (busy) {
        DIR *dir = opendir("/proc/self/task");
        struct dirent *e;

        require(dir != NULL, "/proc");
        busy = 0;
        while ((e = readdir(dir))) {
            busy |= e->d_name[0] != '.' && atoi(e->d_name) != (int)getpid() && !asleep(e->d_name);
        }
        closedir(dir);
        sched_yield();
    }
}

static int was_woken(struct request *r)
{
    int n = 0;

    sem_getvalue(&r->woken, &n);
    return n;
}

static pc_pool_conf *one_at_a_time(fixture *fx, int backends)
{
    static const char *const names[] = { "a", "b", "c" };
    pc_pool_conf *conf = make_conf(fx, "app", &pc_balancer_first);
    int i;

    for (i = 0; i < backends; i++) {
        add_backend(conf, names[i], 1, 1);
    }
    return conf;
}

/* F9: the next in line has the backend when it is given back; a newcomer joins the end. */
static void passes_from_hand_to_hand(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = one_pool(fx, one_at_a_time(fx, 1));
    struct request r[3];
    pc_lease holder, newcomer;
    int i;

    assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
    for (i = 0; i < 3; i++) {
        assert_int_equal(join(pool, &r[i]), APR_SUCCESS);
        assert_int_equal(poll_now(&r[i]), APR_EAGAIN);
    }
    pc_lease_give(&holder, PC_OUTCOME_OK, 1);
    assert_int_equal(take_new(pool, &newcomer), APR_EAGAIN);
    for (i = 0; i < 3; i++) {
        assert_int_equal(was_woken(&r[i]), 1); /* once, by the one who gave, in the same call */
        assert_int_equal(poll_now(&r[i]), APR_SUCCESS);
        assert_int_equal(in_flight(pool, 0), 1);
        if (i < 2) {
            assert_int_equal(was_woken(&r[i + 1]), 0);
            assert_int_equal(poll_now(&r[i + 1]), APR_EAGAIN);
        }
        pc_lease_give(&r[i].lease, PC_OUTCOME_OK, 1);
    }
    assert_int_equal(take_new(pool, &newcomer), APR_SUCCESS);
    pc_lease_give(&newcomer, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
}

/* F9: what became free before the request had joined is seen when it joins. */
static void joining_looks_again(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = one_pool(fx, one_at_a_time(fx, 1));
    struct request r;
    pc_lease holder, other;

    assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
    assert_int_equal(take_new(pool, &other), APR_EAGAIN);
    pc_lease_give(&holder, PC_OUTCOME_OK, 1);
    assert_int_equal(join(pool, &r), APR_SUCCESS);
    assert_int_equal(was_woken(&r), 1);
    assert_int_equal(poll_now(&r), APR_SUCCESS);
    pc_lease_give(&r.lease, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
}

/* F9: the length is bounded, for all children together; 0 means that nobody waits. */
static void length_is_bounded(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = one_at_a_time(fx, 1);
    pc_pool *pool, *elsewhere;
    struct request r[3];
    pc_lease holder;
    int waiting;
    pc_backend_stat st[1];

    conf->queue = 2;
    pool = one_pool(fx, conf);
    elsewhere = one_pool(fx, conf);
    assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
    assert_int_equal(join(pool, &r[0]), APR_SUCCESS);
    assert_int_equal(join(elsewhere, &r[1]), APR_SUCCESS);
    assert_int_equal(join(pool, &r[2]), APR_ENOSPC);
    assert_null(r[2].w);
    assert_int_equal(pc_pool_stat(pool, st, 1, &waiting), 1);
    assert_int_equal(waiting, 2);
    pc_queue_leave(r[0].w);
    assert_int_equal(join(pool, &r[2]), APR_SUCCESS);
    pc_queue_leave(r[1].w);
    pc_queue_leave(r[2].w);
    conf->queue = 0;
    assert_int_equal(join(pool, &r[0]), APR_ENOSPC);
    pc_lease_give(&holder, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
    end_child(elsewhere->ctx);
}

/* F9: a grant on its way to one who leaves goes to the next, also in another child. */
static void leaving_passes_the_grant_on(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = one_at_a_time(fx, 1);
    pc_pool *pool = one_pool(fx, conf), *elsewhere = one_pool(fx, conf);
    struct request r[3];
    pc_lease holder;

    assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
    assert_int_equal(join(pool, &r[0]), APR_SUCCESS);
    assert_int_equal(join(pool, &r[1]), APR_SUCCESS);
    assert_int_equal(join(elsewhere, &r[2]), APR_SUCCESS);
    pc_lease_give(&holder, PC_OUTCOME_OK, 1);
    assert_int_equal(was_woken(&r[0]), 1);
    pc_queue_leave(r[0].w); /* granted, and never looked */
    assert_int_equal(was_woken(&r[1]), 1);
    pc_queue_leave(r[1].w);
    assert_int_equal(await(&r[2]), APR_SUCCESS);
    assert_int_equal(in_flight(pool, 0), 1);
    pc_lease_give(&r[2].lease, PC_OUTCOME_OK, 1);
    assert_int_equal(in_flight(pool, 0), 0);
    end_child(pool->ctx);
    end_child(elsewhere->ctx);
}

/* F8: when the last backend alive is lost, all who wait are refused, in each child, with the time to come again. */
static void all_are_refused_when_none_is_left(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = one_at_a_time(fx, 2);
    pc_pool *pool, *elsewhere;
    struct request r[5];
    pc_lease a, b;
    int i;

    conf->disable_time = apr_time_from_sec(30);
    pool = one_pool(fx, conf);
    elsewhere = one_pool(fx, conf);
    assert_int_equal(take_new(pool, &a), APR_SUCCESS);
    assert_int_equal(take_new(pool, &b), APR_SUCCESS);
    for (i = 0; i < 5; i++) {
        assert_int_equal(join(i % 2 ? elsewhere : pool, &r[i]), APR_SUCCESS);
    }
    pc_lease_give(&a, PC_OUTCOME_CONNECT, 0);
    for (i = 0; i < 5; i++) {
        assert_int_equal(poll_now(&r[i]), APR_EAGAIN); /* b is busy, but alive */
    }
    pc_lease_give(&b, PC_OUTCOME_CONNECT, 0);
    for (i = 0; i < 5; i++) {
        assert_int_equal(await(&r[i]), APR_ENOENT);
        assert_in_range(r[i].refusal.retry_after, 1, 30);
        assert_string_equal(r[i].refusal.why, "2 of 2 backends rest after failures");
    }
    end_child(pool->ctx);
    end_child(elsewhere->ctx);
}

static void rest_ends(fixture *fx, int in_another_child)
{
    pc_pool_conf *conf = one_at_a_time(fx, 2);
    pc_pool *pool, *elsewhere;
    struct request r;
    pc_lease a, b;

    conf->disable_time = 50000;
    pool = one_pool(fx, conf);
    elsewhere = one_pool(fx, conf);
    assert_int_equal(take_new(pool, &a), APR_SUCCESS);
    assert_int_equal(take_new(pool, &b), APR_SUCCESS);
    assert_int_equal(join(in_another_child ? elsewhere : pool, &r), APR_SUCCESS);
    settle();
    pc_lease_give(&a, PC_OUTCOME_CONNECT, 0);
    assert_int_equal(await(&r), APR_SUCCESS); /* b is held all the time */
    assert_int_equal(r.lease.index, 0);
    assert_true(r.lease.probe);
    pc_lease_give(&r.lease, PC_OUTCOME_OK, 1);
    pc_lease_give(&b, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
    end_child(elsewhere->ctx);
}

/* G17: the end of a rest wakes the first who waits, in this child or another: nobody else would. */
static void end_of_a_rest_wakes(void **state)
{
    rest_ends(*state, 0);
    rest_ends(*state, 1);
}

/* A called turn that leaves before it could try passes the call on. */
static void leaving_passes_the_call_on(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = one_pool(fx, one_at_a_time(fx, 1));
    struct request r[2];
    pc_lease holder;

    assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
    assert_int_equal(join(pool, &r[0]), APR_SUCCESS);
    assert_int_equal(join(pool, &r[1]), APR_SUCCESS);
    settle();
    /* as pc_lease_give() does, but stopped before it serves */
    assert_true(pc_rec_lock(&fx->seg, pool->id));
    assert_int_equal(pc_line_call(&fx->seg, pool->id, 0), pool->ctx->row);
    assert_int_equal(pc_line_nudge(&fx->seg, pool->id), -1); /* the second is not called on suspicion */
    pool->m[0].cell->in_flight = 0;
    pc_rec_unlock(&fx->seg, pool->id);
    pc_queue_leave(r[0].w);
    assert_int_equal(poll_now(&r[1]), APR_SUCCESS);
    pc_lease_give(&r[1].lease, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
}

/* G17: the child whose clock ran ends; the waiter in another child is woken all the same. */
static void clock_is_handed_on(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = one_at_a_time(fx, 2);
    pc_pool *pool, *elsewhere;
    struct request first, second;
    pc_lease a, b;

    conf->disable_time = 300000;
    pool = one_pool(fx, conf);
    elsewhere = one_pool(fx, conf);
    assert_int_equal(take_new(pool, &a), APR_SUCCESS);
    assert_int_equal(take_new(pool, &b), APR_SUCCESS);
    assert_int_equal(join(pool, &first), APR_SUCCESS);
    assert_int_equal(join(elsewhere, &second), APR_SUCCESS);
    settle();
    pc_lease_give(&a, PC_OUTCOME_CONNECT, 0);
    settle();
    pc_queue_leave(first.w);
    end_child(pool->ctx);
    assert_int_equal(await(&second), APR_SUCCESS);
    assert_int_equal(second.lease.index, 0);
    pc_lease_give(&second.lease, PC_OUTCOME_OK, 1);
    pc_lease_give(&b, PC_OUTCOME_OK, 1);
    end_child(elsewhere->ctx);
}

/* F8: one who has tried the free backend holds nobody up, and is served when another becomes free. */
static void picky_holds_up_nobody(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = one_pool(fx, one_at_a_time(fx, 2));
    struct request picky, plain;
    pc_lease a, b, newcomer;

    assert_int_equal(take_new(pool, &a), APR_SUCCESS);
    assert_int_equal(take_new(pool, &b), APR_SUCCESS);
    assert_int_equal(join_tried(pool, &picky, 1 << b.index), APR_SUCCESS);
    assert_int_equal(join(pool, &plain), APR_SUCCESS);
    pc_lease_give(&b, PC_OUTCOME_OK, 1);
    assert_int_equal(poll_now(&picky), APR_EAGAIN);
    assert_int_equal(poll_now(&plain), APR_SUCCESS);
    pc_lease_give(&plain.lease, PC_OUTCOME_OK, 1);
    assert_int_equal(take_new(pool, &newcomer), APR_SUCCESS); /* not what the picky one waits for */
    pc_lease_give(&a, PC_OUTCOME_OK, 1);
    assert_int_equal(poll_now(&picky), APR_SUCCESS);
    assert_int_equal(picky.lease.index, 0);
    pc_lease_give(&picky.lease, PC_OUTCOME_OK, 1);
    pc_lease_give(&newcomer, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
}

/* Two generations of the configuration beside each other: the waiter of the old one gets a backend by its own numbering,
 * though the new one has another order, and a bound that is gone makes room for both. */
static void generations_share_the_line(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "app", &pc_balancer_first), *later;
    pc_pool *old, *now;
    struct request r;
    pc_lease a;

    add_backend(conf, "a", 1, 1);
    old = one_pool(fx, conf);
    assert_int_equal(take_new(old, &a), APR_SUCCESS);
    assert_int_equal(join(old, &r), APR_SUCCESS);
    later = make_conf(fx, "app", &pc_balancer_first);
    add_backend(later, "z", 1, 1);
    add_backend(later, "a", 1, 1);
    now = one_pool(fx, later);
    assert_int_equal(in_flight(now, 1), 1);
    pc_lease_give(&a, PC_OUTCOME_OK, 1);
    assert_int_equal(await(&r), APR_SUCCESS);
    assert_int_equal(r.lease.index, 0);
    assert_string_equal(r.lease.backend->name, "a");
    pc_lease_give(&r.lease, PC_OUTCOME_OK, 1);
    end_child(old->ctx);
    end_child(now->ctx);
}

/* A child that ends takes no more waiters. */
static void ending_child_takes_nobody(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = one_pool(fx, one_at_a_time(fx, 1));
    struct request r;

    pc_wake_stop(pool->ctx);
    assert_int_equal(join(pool, &r), APR_ENOMEM);
    end_child(pool->ctx);
}

/* ------------------------------------------------------------------ mod_procd's event */

struct procd_group {
    _Atomic int idle;
};

static int event_fd = -1;

static int fake_event_fd(void)
{
    return event_fd;
}

static apr_status_t fake_take(procd_group *g, apr_uint64_t avoid, procd_lease *lease)
{
    (void)avoid;
    if (g->idle == 0) {
        return APR_EAGAIN;
    }
    g->idle--;
    lease->group = g;
    return APR_SUCCESS;
}

static void fake_give(procd_lease *lease, procd_outcome outcome)
{
    (void)outcome;
    lease->group->idle++;
}

static apr_status_t fake_query(procd_group *g, procd_group_info *info)
{
    info->processes = 3;
    info->concurrency = 1;
    info->busy = 3 - g->idle;
    return APR_SUCCESS;
}

static pc_pool *spawned(fixture *fx, procd_group *g)
{
    pc_pool_conf *conf = make_conf(fx, "php", &pc_balancer_first);
    pc_backend_conf *b = add_backend(conf, "spawn:php", 1, 0);
    pc_pool *pool;

    b->kind = PC_BACKEND_SPAWN;
    b->spawn = "php";
    b->group = g;
    pool = one_pool(fx, conf);
    pool->ctx->procd.take = fake_take;
    pool->ctx->procd.give = fake_give;
    pool->ctx->procd.query = fake_query;
    pool->ctx->procd.event_fd = fake_event_fd;
    return pool;
}

/* F9: one event for several processes that became ready serves as many waiters, in both children. */
static void event_serves_as_many_as_there_are(void **state)
{
    fixture *fx = *state;
    procd_group g = { 0 };
    pc_pool *pool[2];
    struct request r[4];
    apr_uint64_t one = 1;
    int i;

    event_fd = eventfd(0, EFD_NONBLOCK);
    pool[0] = spawned(fx, &g);
    pool[1] = spawned(fx, &g);
    for (i = 0; i < 4; i++) {
        assert_int_equal(join(pool[i % 2], &r[i]), APR_SUCCESS);
        assert_int_equal(poll_now(&r[i]), APR_EAGAIN);
    }
    g.idle = 3;
    assert_int_equal(write(event_fd, &one, sizeof(one)), sizeof(one));
    for (i = 0; i < 3; i++) {
        assert_int_equal(await(&r[i]), APR_SUCCESS);
    }
    assert_int_equal(poll_now(&r[3]), APR_EAGAIN);
    pc_lease_give(&r[0].lease, PC_OUTCOME_OK, 1);
    assert_int_equal(await(&r[3]), APR_SUCCESS);
    for (i = 1; i < 4; i++) {
        pc_lease_give(&r[i].lease, PC_OUTCOME_OK, 1);
    }
    assert_int_equal(g.idle, 3);
    end_child(pool[0]->ctx);
    end_child(pool[1]->ctx);
    close(event_fd);
    event_fd = -1;
}

/* ------------------------------------------------------------------ races */

static void *give_it(void *data)
{
    pc_lease_give(data, PC_OUTCOME_OK, 1);
    return NULL;
}

/* F9: a lease is given back in one thread while the waiter leaves in another: no wake comes after leaving, nothing is
 * lost, whoever was first. */
static void leave_against_grant(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = one_at_a_time(fx, 1);
    pc_pool *pool = one_pool(fx, conf), *elsewhere = one_pool(fx, conf);
    int i;

    for (i = 0; i < 500; i++) {
        struct request *r = malloc(sizeof(*r));
        pc_lease holder;
        pthread_t t;

        assert_int_equal(take_new(pool, &holder), APR_SUCCESS);
        assert_int_equal(join(i % 2 ? elsewhere : pool, r), APR_SUCCESS);
        assert_int_equal(pthread_create(&t, NULL, give_it, &holder), 0);
        if (i % 3) {
            sched_yield();
        }
        pc_queue_leave(r->w);
        memset(r, 0xff, sizeof(*r)); /* a wake from now on would not go unnoticed */
        free(r);
        pthread_join(t, NULL);
        assert_int_equal(pool->rec->waiting, 0);
        assert_int_equal(in_flight(pool, 0), 0);
    }
    end_child(pool->ctx);
    end_child(elsewhere->ctx);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(passes_from_hand_to_hand),
        T(joining_looks_again),
        T(length_is_bounded),
        T(leaving_passes_the_grant_on),
        T(all_are_refused_when_none_is_left),
        T(end_of_a_rest_wakes),
        T(leaving_passes_the_call_on),
        T(clock_is_handed_on),
        T(picky_holds_up_nobody),
        T(generations_share_the_line),
        T(ending_child_takes_nobody),
        T(event_serves_as_many_as_there_are),
        T(leave_against_grant),
    };

    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
