/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock in a child's pool, for test_clock.c and tsan_clock.c, and alarms that write down when they rang.
 */
#ifndef CLOCK_FIXTURE_H
#define CLOCK_FIXTURE_H

#include "mod_proxy_core/clock.h"

#include "apr_general.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MSEC apr_time_from_msec(1)

/** An alarm and what became of it. `tag` is said to the log, in the order of ringing. */
typedef struct bell {
    pc_alarm alarm;
    int tag;
    atomic_int rang;
    atomic_int again;        /* ring so many times more, every msec */
    _Atomic apr_time_t late; /* how much after its time */
} bell;

#define LOG_ROOM 65536
static struct {
    int tags[LOG_ROOM];
    atomic_int n;
} rung;

static apr_time_t on_ring(void *baton)
{
    bell *b = baton;
    int i = atomic_fetch_add(&rung.n, 1);

    if (i < LOG_ROOM) {
        rung.tags[i] = b->tag;
    }
    b->late = pc_now() - b->alarm.when;
    atomic_fetch_add(&b->rang, 1);
    return atomic_fetch_sub(&b->again, 1) > 0 ? pc_now() + MSEC : 0;
}

static void bell_init(bell *b, int tag)
{
    memset(b, 0, sizeof(*b));
    b->alarm.ring = on_ring;
    b->alarm.baton = b;
    b->tag = tag;
}

static void nap(apr_interval_time_t usec)
{
    struct timespec t = { (time_t)(usec / APR_USEC_PER_SEC), (long)(usec % APR_USEC_PER_SEC) * 1000 };

    nanosleep(&t, NULL);
}

/** Wait until *n is at least `want`, at most a minute: the machine may be busy. @return whether it is */
static int reaches(atomic_int *n, int want)
{
    apr_time_t end = pc_now() + apr_time_from_sec(60);

    while (atomic_load(n) < want && pc_now() < end) {
        nap(200);
    }
    return atomic_load(n) >= want;
}

/** The clock of a child. */
static apr_pool_t *child;

static int clock_begin(void)
{
    rung.n = 0;
    return apr_pool_create(&child, NULL) != APR_SUCCESS || pc_clock_child_init(child) != APR_SUCCESS;
}

static void clock_end(void)
{
    apr_pool_destroy(child);
    child = NULL;
}

#endif /* CLOCK_FIXTURE_H */
