/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/segment.c mod_proxy_core/line.c mod_proxy_core/rows.c mod_proxy_core/pool_make.c mod_proxy_core/choose.c mod_proxy_core/cells.c mod_proxy_core/queue.c mod_proxy_core/wake.c mod_proxy_core/balancers/round_robin.c mod_proxy_core/balancers/least_requests.c */
/* libs: -lpthread */
/*
 * F9: two children in one process, so that the thread sanitizer sees both sides of the shared memory: eight threads that
 * take, wait, leave, fail and give, while another reads the numbers.
 */
#include "pool_hammer.h"

static int failures;

static void expect(int ok, const char *what)
{
    if (!ok) {
        printf("not ok - %s\n", what);
        failures++;
    }
}

struct side {
    hammer model;
    pthread_t thread;
};

static void *run_side(void *data)
{
    struct side *side = data;

    hammer_threads(&side->model, 4);
    return NULL;
}

static _Atomic int done;

static void *watch(void *data)
{
    while (!done) {
        pc_backend_stat st[HAMMER_BACKENDS];
        int waiting, i, n = pc_pool_stat(data, st, HAMMER_BACKENDS, &waiting);

        for (i = 0; i < n; i++) {
            if (st[i].in_flight > 1) {
                return (void *)1;
            }
        }
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    struct side side[2];
    hammer_seen *seen = hammer_share();
    pthread_t watcher;
    void *too_many;
    fixture fx;
    int i, k;

    alarm(240);
    fixture_open(&fx, NULL);
    for (k = 0; k < 2; k++) {
        pc_pool_conf *conf = make_conf(&fx, "app", &pc_balancer_least_requests);
        hammer model = { NULL, seen, (unsigned)k + 1, 3000, 1, 4, 300 };

        add_backend(conf, "a", 1, 1)->retry = 300;
        add_backend(conf, "b", 1, 1)->retry = 300;
        side[k].model = model;
        side[k].model.pool = one_pool(&fx, conf); /* of the same name: the second generation beside the first */
    }
    for (k = 0; k < 2; k++) {
        require(pthread_create(&side[k].thread, NULL, run_side, &side[k]) == 0, "thread");
    }
    require(pthread_create(&watcher, NULL, watch, side[0].model.pool) == 0, "thread");
    for (k = 0; k < 2; k++) {
        pthread_join(side[k].thread, NULL);
    }
    done = 1;
    pthread_join(watcher, &too_many);
    expect(too_many == NULL, "no backend shows more than its max");
    expect(seen->over == 0, "no backend has more than its max");
    expect(seen->lost == 0, "no wakeup is lost");
    expect(seen->late_wakes == 0, "nobody is woken after he left");
    expect(seen->left > 0, "some left");
    expect(seen->served + seen->left + seen->refused + seen->full == 2 * 4 * 3000, "every request has an end");
    for (i = 0; i < HAMMER_BACKENDS; i++) {
        expect(in_flight(side[0].model.pool, i) == 0, "all was given back");
    }
    expect(side[0].model.pool->rec->waiting == 0, "nobody waits");
    for (k = 0; k < 2; k++) {
        end_child(side[k].model.pool->ctx);
    }
    printf("%s - %d served, %d left, %d refused\n", failures ? "not ok" : "ok", seen->served, seen->left,
           seen->refused);
    fixture_close(&fx);
    return failures != 0;
}
