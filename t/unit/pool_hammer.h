/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Requests as the exchange makes them, by many threads: take or wait, hold for a moment, give back. */
#ifndef POOL_HAMMER_H
#define POOL_HAMMER_H

#include "pool_fixture.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#define HAMMER_BACKENDS 2
#define HAMMER_PATIENCE 60 /* seconds until a waiter that nobody wakes is a failure */

/** In shared memory: what all processes saw. */
typedef struct hammer_seen {
    _Atomic int inside[HAMMER_BACKENDS]; /* requests that hold the backend */
    _Atomic int over;                    /* times that more than max were inside */
    _Atomic int served, refused, full, left, lost, late_wakes;
} hammer_seen;

typedef struct hammer {
    pc_pool *pool;
    hammer_seen *seen;
    unsigned seed;
    int rounds;
    int max;   /* of each backend */
    int leave; /* one in so many waiters leaves soon, 0: none */
    int fail;  /* one in so many requests fails, 0: none */
} hammer;

static hammer_seen *hammer_share(void)
{
    void *p = mmap(NULL, sizeof(hammer_seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    require(p != MAP_FAILED, "mmap");
    return p;
}

static unsigned hammer_random(hammer *h)
{
    h->seed = h->seed * 1664525u + 1013904223u;
    return h->seed >> 8;
}

static int one_in(hammer *h, int n)
{
    return n > 0 && hammer_random(h) % (unsigned)n == 0;
}

struct ear {
    sem_t sem;
    _Atomic int gone;
    hammer_seen *seen;
};

static void hear(void *baton)
{
    struct ear *ear = baton;

    if (ear->gone) {
        ear->seen->late_wakes++;
    }
    sem_post(&ear->sem);
}

static apr_status_t hammer_wait(hammer *h, pc_waiter *w, struct ear *ear, pc_lease *lease)
{
    struct timespec until;
    pc_refusal refusal;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HAMMER_PATIENCE;
    if (one_in(h, h->leave)) {
        if (one_in(h, 2)) {
            sched_yield();
        }
        pc_queue_leave(w);
        ear->gone = 1;
        h->seen->left++;
        return APR_EINTR;
    }
    while (sem_timedwait(&ear->sem, &until) == -1) {
        if (errno == ETIMEDOUT) {
            h->seen->lost++;
            pc_queue_leave(w);
            return APR_TIMEUP;
        }
    }
    return pc_queue_poll(w, 0, lease, &refusal);
}

static apr_status_t hammer_lease(hammer *h, pc_lease *lease, struct ear *ear)
{
    pc_choice c = no_choice();
    pc_refusal refusal;
    pc_waiter *w;
    apr_status_t rc = pc_lease_take(h->pool, &c, 1, lease, &refusal);

    if (rc != APR_EAGAIN) {
        return rc;
    }
    ear->gone = 0;
    rc = pc_queue_join(h->pool, &c, hear, ear, &w);
    return rc == APR_SUCCESS ? hammer_wait(h, w, ear, lease) : rc;
}

static void hammer_hold(hammer *h, pc_lease *lease)
{
    _Atomic int *inside = &h->seen->inside[lease->index];
    pc_outcome outcome = one_in(h, h->fail) ? PC_OUTCOME_CONNECT : PC_OUTCOME_OK;

    if (++*inside > h->max) {
        h->seen->over++;
    }
    if (one_in(h, 4)) {
        sched_yield();
    }
    --*inside;
    h->seen->served++;
    pc_lease_give(lease, outcome, outcome == PC_OUTCOME_OK ? 1 : 0);
}

static void *hammer_run(void *data)
{
    hammer *h = data;
    struct ear ear;
    int i;

    ear.seen = h->seen;
    ear.gone = 0;
    sem_init(&ear.sem, 0, 0);
    for (i = 0; i < h->rounds; i++) {
        pc_lease lease;
        apr_status_t rc;

        memset(&lease, 0, sizeof(lease));
        rc = hammer_lease(h, &lease, &ear);
        if (rc == APR_SUCCESS) {
            hammer_hold(h, &lease);
        }
        else if (rc == APR_ENOENT) {
            h->seen->refused++;
        }
        else if (rc == APR_ENOSPC) {
            h->seen->full++;
        }
        if (ear.gone) { /* wakes that came before the end of leaving */
            while (sem_trywait(&ear.sem) == 0) {
                continue;
            }
        }
    }
    sem_destroy(&ear.sem);
    return NULL;
}

static void hammer_threads(const hammer *model, int n)
{
    pthread_t t[16];
    hammer h[16];
    int i;

    require(n <= 16, "threads");
    for (i = 0; i < n; i++) {
        h[i] = *model;
        h[i].seed = model->seed * 31 + (unsigned)i;
        require(pthread_create(&t[i], NULL, hammer_run, &h[i]) == 0, "thread");
    }
    for (i = 0; i < n; i++) {
        pthread_join(t[i], NULL);
    }
}

#endif /* POOL_HAMMER_H */
