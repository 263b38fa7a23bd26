/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/segment.c mod_proxy_core/line.c mod_proxy_core/rows.c mod_proxy_core/pool_make.c mod_proxy_core/queue.c mod_proxy_core/wake.c mod_proxy_core/balancers/round_robin.c mod_proxy_core/balancers/least_requests.c */
/* libs: -lpthread */
/* The pools' state among several processes: order, bounds, and what a killed one leaves behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

/* Where a process may be told to die with the lock held and its numbers half changed. */
static _Atomic int die_at;
static void test_point(void);
#define PC_TEST_POINT() test_point()
#include "mod_proxy_core/choose.c"
#include "mod_proxy_core/cells.c"

#include "pool_hammer.h"

static void test_point(void)
{
    if (die_at && --die_at == 0) {
        raise(SIGKILL);
    }
}

static pc_pool *two_backends(fixture *fx, int max)
{
    pc_pool_conf *conf = make_conf(fx, "app", &pc_balancer_least_requests);

    add_backend(conf, "a", 1, max);
    add_backend(conf, "b", 1, max);
    return add_pool(fx, new_generation(fx), conf);
}

static pid_t fork_child(pc_pool *pool)
{
    pid_t pid = fork();

    require(pid >= 0, "fork");
    if (pid == 0) {
        alarm(120);
        require(pc_ctx_child(pool->ctx, getpid()) == APR_SUCCESS, "row");
    }
    return pid;
}

/* @return 1 when it ended by itself with status 0 */
static int reap(fixture *fx, pid_t pid)
{
    int status;

    require(waitpid(pid, &status, 0) == pid, "waitpid");
    pc_row_gone(&fx->seg, pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void assert_nothing_held(fixture *fx, pc_pool *pool)
{
    int i;

    pc_row_reap(&fx->seg);
    assert_true(pc_rec_lock(&fx->seg, pool->id));
    for (i = 0; i < pool->n; i++) {
        assert_int_equal(in_flight(pool, i), 0);
    }
    assert_int_equal(pool->rec->waiting, 0);
    assert_int_equal(pool->rec->called, 0);
    assert_int_equal(pool->rec->plain, 0);
    assert_int_equal(pool->rec->head, 0);
    pc_rec_unlock(&fx->seg, pool->id);
    for (i = 0; i < (int)pc_seg_turn_top(&fx->seg); i++) {
        assert_int_equal(fx->seg.turns[i].owner, 0);
    }
    for (i = 0; i < (int)pc_seg_row_top(&fx->seg); i++) {
        assert_int_equal(pc_seg_row(&fx->seg, (unsigned)i)->state, PC_ROW_FREE);
    }
}

/* ------------------------------------------------------------------ order */

#define CHILDREN 3
#define EACH 5

struct order {
    _Atomic int joined;
    _Atomic int granted;
    int log[CHILDREN * EACH];
};

static void post(void *baton)
{
    sem_post(baton);
}

/* Child k joins when k, k + CHILDREN, … have their turn; then serves whatever is granted. */
static void order_child(pc_pool *pool, struct order *o, int k)
{
    pc_waiter *w[EACH];
    pc_choice c = no_choice();
    sem_t sem;
    int i, left = EACH;

    sem_init(&sem, 0, 0);
    for (i = 0; i < EACH; i++) {
        while (o->joined != i * CHILDREN + k) {
            sched_yield();
        }
        require(pc_queue_join(pool, &c, post, &sem, &w[i]) == APR_SUCCESS, "join");
        o->joined++;
    }
    while (left > 0) {
        while (sem_wait(&sem) == -1) {
            continue;
        }
        for (i = 0; i < EACH; i++) {
            pc_lease lease;
            pc_refusal refusal;

            if (w[i] && pc_queue_poll(w[i], 0, &lease, &refusal) == APR_SUCCESS) {
                w[i] = NULL;
                left--;
                o->log[o->granted++] = i * CHILDREN + k;
                pc_lease_give(&lease, PC_OUTCOME_OK, 1);
            }
        }
    }
    end_child(pool->ctx);
}

/* F9: one backend that takes one at a time; requests of three processes get it in the order in which they came. */
static void first_come_first_served(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "fifo", &pc_balancer_least_requests);
    struct order *o = mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[CHILDREN];
    pc_lease first, newcomer;
    pc_pool *pool;
    int i;

    add_backend(conf, "a", 1, 1);
    pool = add_pool(fx, new_generation(fx), conf);
    o->joined = -1; /* nobody's turn before the backend is taken */
    for (i = 0; i < CHILDREN; i++) {
        if ((pid[i] = fork_child(pool)) == 0) {
            order_child(pool, o, i);
            _exit(0);
        }
    }
    require(pc_ctx_child(pool->ctx, getpid()) == APR_SUCCESS, "row");
    assert_int_equal(take_new(pool, &first), APR_SUCCESS);
    o->joined = 0;
    while (o->joined < CHILDREN * EACH) {
        sched_yield();
    }
    assert_int_equal(pool->rec->waiting, CHILDREN * EACH);
    assert_int_equal(take_new(pool, &newcomer), APR_EAGAIN);
    pc_lease_give(&first, PC_OUTCOME_OK, 1);
    for (i = 0; i < CHILDREN; i++) {
        assert_true(reap(fx, pid[i]));
    }
    assert_int_equal(o->granted, CHILDREN * EACH);
    for (i = 0; i < CHILDREN * EACH; i++) {
        assert_int_equal(o->log[i], i);
    }
    end_child(pool->ctx);
    pc_row_gone(&fx->seg, getpid());
    assert_nothing_held(fx, pool);
    munmap(o, sizeof(*o));
}

/* ------------------------------------------------------------------ bounds */

/* F9: four processes of four threads each; a backend never has more than its max, everyone is served. */
static void max_is_never_exceeded(void **state)
{
    fixture *fx = *state;
    hammer_seen *seen = hammer_share();
    pc_pool *pool = two_backends(fx, 2);
    hammer model = { pool, seen, 1, 1500, 2, 0, 0 };
    pid_t pid[4];
    int i;

    for (i = 0; i < 4; i++) {
        if ((pid[i] = fork_child(pool)) == 0) {
            model.seed = (unsigned)i + 1;
            hammer_threads(&model, 4);
            end_child(pool->ctx);
            _exit(0);
        }
    }
    for (i = 0; i < 4; i++) {
        assert_true(reap(fx, pid[i]));
    }
    assert_int_equal(seen->over, 0);
    assert_int_equal(seen->lost, 0);
    assert_int_equal(seen->refused, 0);
    assert_int_equal(seen->served, 4 * 4 * 1500);
    assert_nothing_held(fx, pool);
    munmap(seen, sizeof(*seen));
}

/* F9: waiters that leave just as they are granted, and backends that fail and rest, lose nothing either. */
static void leaving_and_failing_lose_nothing(void **state)
{
    fixture *fx = *state;
    hammer_seen *seen = hammer_share();
    pc_pool_conf *conf = make_conf(fx, "app", &pc_balancer_least_requests);
    hammer model = { NULL, seen, 1, 1000, 1, 3, 300 };
    pid_t pid[3];
    int i;

    add_backend(conf, "a", 1, 1)->retry = 300;
    add_backend(conf, "b", 1, 1)->retry = 300;
    conf->queue = 10; /* of twelve threads: full now and then */
    model.pool = add_pool(fx, new_generation(fx), conf);
    for (i = 0; i < 3; i++) {
        if ((pid[i] = fork_child(model.pool)) == 0) {
            model.seed = (unsigned)i + 100;
            hammer_threads(&model, 4);
            end_child(model.pool->ctx);
            _exit(0);
        }
    }
    for (i = 0; i < 3; i++) {
        assert_true(reap(fx, pid[i]));
    }
    assert_int_equal(seen->over, 0);
    assert_int_equal(seen->lost, 0);
    assert_int_equal(seen->late_wakes, 0);
    assert_true(seen->left > 0);
    assert_int_equal(seen->served + seen->left + seen->refused + seen->full, 3 * 4 * 1000);
    assert_nothing_held(fx, model.pool);
    munmap(seen, sizeof(*seen));
}

/* ------------------------------------------------------------------ kills */

static void kill_round(fixture *fx, pc_pool *pool, hammer_seen *seen, unsigned seed, int inside)
{
    hammer model = { pool, seen, seed, 100, 1000, 5, 0 };
    pid_t pid[3];
    int i;

    for (i = 0; i < 3; i++) {
        if ((pid[i] = fork_child(pool)) == 0) {
            model.seed = seed * 8 + (unsigned)i;
            if (i == 0) {
                model.rounds = 1000000; /* until it is killed */
                die_at = inside ? 1 + (int)(seed * 7919 % 200) : 0;
            }
            hammer_threads(&model, 3);
            end_child(pool->ctx);
            _exit(0);
        }
    }
    if (!inside) {
        usleep(seed * 7919 % 5000); /* the moment is the test's subject */
        kill(pid[0], SIGKILL);
    }
    assert_false(reap(fx, pid[0]));
    assert_true(reap(fx, pid[1]));
    assert_true(reap(fx, pid[2]));
    assert_int_equal(seen->lost, 0);
    assert_nothing_held(fx, pool);
}

/* F9: a process killed at any moment leaks no lease and no place, and the others go on. */
static void killed_at_random(void **state)
{
    fixture *fx = *state;
    hammer_seen *seen = hammer_share();
    pc_pool *pool = two_backends(fx, 1);
    unsigned i;

    for (i = 0; i < 40; i++) {
        kill_round(fx, pool, seen, i, 0);
    }
    munmap(seen, sizeof(*seen));
}

/* F9: the same with the lock held and the numbers half changed. */
static void killed_inside_the_lock(void **state)
{
    fixture *fx = *state;
    hammer_seen *seen = hammer_share();
    pc_pool *pool = two_backends(fx, 1);
    unsigned i;

    for (i = 0; i < 40; i++) {
        kill_round(fx, pool, seen, i, 1);
    }
    munmap(seen, sizeof(*seen));
}

/* A line that was half changed is made again from the turns, in the order of their coming. */
static void line_is_rebuilt(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "line", &pc_balancer_least_requests);
    pc_choice c = no_choice();
    pc_waiter *w[4];
    pc_refusal refusal;
    pc_lease lease, got;
    pc_pool *pool;
    pid_t pid;
    sem_t sem;
    int i;

    add_backend(conf, "a", 1, 1);
    pool = one_pool(fx, conf);
    sem_init(&sem, 0, 0);
    assert_int_equal(take_new(pool, &lease), APR_SUCCESS);
    for (i = 0; i < 4; i++) {
        assert_int_equal(pc_queue_join(pool, &c, post, &sem, &w[i]), APR_SUCCESS);
    }
    if ((pid = fork_child(pool)) == 0) {
        unsigned turn = pc_turn_claim(&fx->seg, pool->ctx->row, 2000);

        pc_rec_lock(&fx->seg, pool->id);
        pc_line_append(&fx->seg, pool->id, turn, 0);
        pool->rec->head = 1 + fx->seg.lim.turns; /* nonsense, of which nothing may follow */
        fx->seg.turns[0].next = 12;
        pool->rec->waiting = 99;
        pool->m[0].cell->in_flight = 77;
        raise(SIGKILL);
    }
    assert_false(reap(fx, pid));
    pc_row_reap(&fx->seg);
    assert_int_equal(pool->rec->waiting, 4);
    assert_int_equal(in_flight(pool, 0), 1);
    for (i = 0; i < 4; i++) {
        pc_lease_give(i ? &got : &lease, PC_OUTCOME_OK, 1);
        assert_int_equal(pc_queue_poll(w[i], 0, &got, &refusal), APR_SUCCESS);
    }
    pc_lease_give(&got, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
    pc_row_gone(&fx->seg, getpid());
    assert_nothing_held(fx, pool);
}

/* All children die at once: the next one that starts finds a clean table. */
static void next_child_cleans_up(void **state)
{
    fixture *fx = *state;
    pc_pool *pool = two_backends(fx, 0);
    int ready[2], i;
    pid_t pid;
    char c;

    require(pipe(ready) == 0, "pipe");
    if ((pid = fork_child(pool)) == 0) {
        pc_lease lease[8];

        for (i = 0; i < 8; i++) {
            require(take_new(pool, &lease[i]) == APR_SUCCESS, "take");
        }
        require(write(ready[1], "x", 1) == 1, "write");
        for (;;) {
            pause();
        }
    }
    require(read(ready[0], &c, 1) == 1, "read");
    assert_int_equal(in_flight(pool, 0) + in_flight(pool, 1), 8);
    kill(pid, SIGKILL);
    require(waitpid(pid, NULL, 0) == pid, "waitpid"); /* and nobody says so */
    if ((pid = fork_child(pool)) == 0) {
        _exit(in_flight(pool, 0) + in_flight(pool, 1));
    }
    assert_true(reap(fx, pid));
    close(ready[0]);
    close(ready[1]);
    assert_nothing_held(fx, pool);
}

/* A child that dies with the only lease: who waits in another child is served. */
static void waiter_inherits_from_the_dead(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "heir", &pc_balancer_least_requests);
    int ready[2];
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_lease lease;
    pc_waiter *w;
    pc_pool *pool;
    pid_t pid;
    sem_t sem;
    char x;

    add_backend(conf, "a", 1, 1);
    pool = add_pool(fx, new_generation(fx), conf);
    require(pipe(ready) == 0, "pipe");
    if ((pid = fork_child(pool)) == 0) {
        require(take_new(pool, &lease) == APR_SUCCESS, "take");
        require(write(ready[1], "x", 1) == 1, "write");
        for (;;) {
            pause();
        }
    }
    require(read(ready[0], &x, 1) == 1, "read");
    require(pc_ctx_child(pool->ctx, getpid()) == APR_SUCCESS, "row");
    sem_init(&sem, 0, 0);
    assert_int_equal(take_new(pool, &lease), APR_EAGAIN);
    assert_int_equal(pc_queue_join(pool, &c, post, &sem, &w), APR_SUCCESS);
    kill(pid, SIGKILL);
    assert_false(reap(fx, pid));
    while (sem_wait(&sem) == -1) {
        continue;
    }
    assert_int_equal(pc_queue_poll(w, 0, &lease, &refusal), APR_SUCCESS);
    pc_lease_give(&lease, PC_OUTCOME_OK, 1);
    end_child(pool->ctx);
    pc_row_gone(&fx->seg, getpid());
    assert_nothing_held(fx, pool);
    close(ready[0]);
    close(ready[1]);
}

/* G17: a child that dies while it probes leaves the probe to the next request. */
static void probe_of_the_dead_is_free(void **state)
{
    fixture *fx = *state;
    pc_pool_conf *conf = make_conf(fx, "probe", &pc_balancer_least_requests);
    pc_lease lease;
    pc_pool *pool;
    pid_t pid;

    add_backend(conf, "a", 1, 0)->retry = 1;
    add_backend(conf, "b", 1, 0)->drain = 0;
    pool = add_pool(fx, new_generation(fx), conf);
    if ((pid = fork_child(pool)) == 0) {
        require(take_new(pool, &lease) == APR_SUCCESS && lease.index == 0, "take");
        pc_lease_give(&lease, PC_OUTCOME_CONNECT, 0);
        do {
            require(take_new(pool, &lease) == APR_SUCCESS, "take");
        } while (!lease.probe);
        raise(SIGKILL);
    }
    assert_false(reap(fx, pid));
    require(pc_ctx_child(pool->ctx, getpid()) == APR_SUCCESS, "row");
    do {
        assert_int_equal(take_new(pool, &lease), APR_SUCCESS);
        pc_lease_give(&lease, PC_OUTCOME_OK, 1);
    } while (!lease.probe);
    assert_int_equal(pool->m[0].cell->rest_until, 0);
    end_child(pool->ctx);
    pc_row_gone(&fx->seg, getpid());
    assert_nothing_held(fx, pool);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(first_come_first_served), T(max_is_never_exceeded),         T(leaving_and_failing_lose_nothing),
        T(killed_at_random),        T(killed_inside_the_lock),        T(line_is_rebuilt),
        T(next_child_cleans_up),    T(waiter_inherits_from_the_dead), T(probe_of_the_dead_is_free),
    };

    alarm(300);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
