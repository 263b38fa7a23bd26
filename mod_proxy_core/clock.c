/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms of a child: a binary heap under one lock and a thread that sleeps until the first of them.
 *
 * The event MPM's timed callbacks will not do: in 2.4 one that is the next to come does not shorten the listener's sleep.
 * A timerfd for each parked request works and costs each a descriptor and two system calls; an alarm costs a lock. The
 * thread is woken only when a new alarm is to ring before it would look by itself, which for requests with the same timeout
 * is the first one only: it is not told of alarms that are cancelled, and looks when the first of them would have rung.
 */
#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_t thread;
    pc_alarm **heap; /* from index 1 */
    unsigned n, room;
    apr_time_t looks_at; /* when the thread that sleeps will wake by itself */
    int running, stop;
} the_clock;

#define NEVER APR_INT64_MAX

/* ------------------------------------------------------------------ heap */

static void put(pc_alarm *a, unsigned place)
{
    the_clock.heap[place] = a;
    a->place = place;
}

static void up(pc_alarm *a, unsigned place)
{
    while (place > 1 && a->when < the_clock.heap[place / 2]->when) {
        put(the_clock.heap[place / 2], place);
        place /= 2;
    }
    put(a, place);
}

static void down(pc_alarm *a, unsigned place)
{
    unsigned child;

    while ((child = place * 2) <= the_clock.n) {
        if (child < the_clock.n && the_clock.heap[child + 1]->when < the_clock.heap[child]->when) {
            child++;
        }
        if (a->when <= the_clock.heap[child]->when) {
            break;
        }
        put(the_clock.heap[child], place);
        place = child;
    }
    put(a, place);
}

static void take_out(pc_alarm *a)
{
    unsigned place = a->place;
    pc_alarm *last = the_clock.heap[the_clock.n--];

    a->place = 0;
    if (last == a) {
        return;
    }
    if (place > 1 && last->when < the_clock.heap[place / 2]->when) {
        up(last, place);
    }
    else {
        down(last, place);
    }
}

static int make_room(void)
{
    if (the_clock.n + 1 >= the_clock.room) {
        unsigned room = the_clock.room ? the_clock.room * 2 : 64;
        pc_alarm **heap = realloc(the_clock.heap, room * sizeof(*heap));

        if (!heap) {
            return 0;
        }
        the_clock.heap = heap;
        the_clock.room = room;
    }
    return 1;
}

/* ------------------------------------------------------------------ thread */

static void sleep_until(apr_time_t when)
{
    struct timespec until;

    until.tv_sec = (time_t)apr_time_sec(when);
    until.tv_nsec = (long)apr_time_usec(when) * 1000;
    (void)pthread_cond_timedwait(&the_clock.cond, &the_clock.lock, &until);
}

static void ring_first(void)
{
    pc_alarm *a = the_clock.heap[1];

    take_out(a);
    a->when = a->ring(a->baton);
    if (a->when) {
        up(a, ++the_clock.n); /* into the place that it left */
    }
}

static void *clock_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&the_clock.lock);
    while (!the_clock.stop) {
        pc_alarm *a = the_clock.n ? the_clock.heap[1] : NULL;

        the_clock.looks_at = a ? a->when : NEVER;
        if (!a) {
            pthread_cond_wait(&the_clock.cond, &the_clock.lock);
        }
        else if (a->when <= pc_now()) {
            ring_first();
        }
        else {
            sleep_until(a->when);
        }
    }
    pthread_mutex_unlock(&the_clock.lock);
    return NULL;
}

/* Under the lock. */
static int start_thread(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    the_clock.running = pthread_create(&the_clock.thread, NULL, clock_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return the_clock.running;
}

static apr_status_t stop_clock(void *unused)
{
    int running;

    (void)unused;
    pthread_mutex_lock(&the_clock.lock);
    the_clock.stop = 1;
    running = the_clock.running;
    pthread_cond_signal(&the_clock.cond);
    pthread_mutex_unlock(&the_clock.lock);
    if (running) {
        pthread_join(the_clock.thread, NULL);
    }
    return APR_SUCCESS;
}

apr_status_t pc_clock_child_init(apr_pool_t *pchild)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    the_clock.n = 0;
    the_clock.looks_at = NEVER;
    the_clock.running = the_clock.stop = 0;
    if (pthread_mutex_init(&the_clock.lock, NULL) || pthread_cond_init(&the_clock.cond, &attr)) {
        return APR_ENOMEM;
    }
    pthread_condattr_destroy(&attr);
    apr_pool_pre_cleanup_register(pchild, NULL, stop_clock);
    return APR_SUCCESS;
}

int pc_alarm_set(pc_alarm *a, apr_time_t when)
{
    int ok = 1;

    pthread_mutex_lock(&the_clock.lock);
    if (a->place) {
        take_out(a);
    }
    if (the_clock.stop || !make_room() || (!the_clock.running && !start_thread())) {
        ok = 0;
    }
    else {
        a->when = when;
        up(a, ++the_clock.n);
        if (when < the_clock.looks_at) {
            the_clock.looks_at = when; /* it is awake by then */
            pthread_cond_signal(&the_clock.cond);
        }
    }
    pthread_mutex_unlock(&the_clock.lock);
    return ok;
}

void pc_alarm_cancel(pc_alarm *a)
{
    pthread_mutex_lock(&the_clock.lock);
    if (a->place) {
        take_out(a);
    }
    pthread_mutex_unlock(&the_clock.lock);
}
