/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A child's threads that wake waiters. They start with the first request that waits in this child, so that a child
 * without waiters (most of prefork's) has none.
 *
 * The bell thread sleeps on the semaphore in the child's row. When it is rung it cleans up after dead children, serves
 * this child's turns that were called, and works out when the next rest of a pool with waiters ends: that is its
 * timeout, and without one it sleeps until it is rung. The event thread sleeps on mod_procd's descriptor, which cannot
 * be waited for together with a semaphore, and calls the first in the lines of pools that have spawned backends.
 *
 * A child that reads mod_procd's event and is killed before it acts has taken it from the others: it has waiters (else
 * it had no thread), so reap_row() follows and calls the first of each line. A child that ends in good order calls
 * them in pc_wake_stop().
 */
#include "pool_priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (256 * 1024)
#define LONGEST apr_time_from_sec(5) /* sem_timedwait() has the wall clock, which somebody may set */

static int stopping(pc_ctx *ctx)
{
    int yes;

    pthread_mutex_lock(&ctx->threads);
    yes = ctx->stopping;
    pthread_mutex_unlock(&ctx->threads);
    return yes;
}

static void call_first(pc_pool *pool)
{
    pc_seg *seg = &pool->ctx->seg;
    int row = -1;

    if (pool->rec->waiting && pc_rec_lock(seg, pool->id)) {
        row = pc_line_nudge(seg, pool->id);
        pc_rec_unlock(seg, pool->id);
    }
    pc_notify(pool->ctx, pool->id, row);
}

/* @param over  set when a rest has ended since `then`. @return when the next one ends, 0: none rests */
static apr_time_t next_end(pc_pool *pool, apr_time_t then, apr_time_t now, int *over)
{
    apr_time_t first = 0;
    int i;

    if (!pc_rec_lock(&pool->ctx->seg, pool->id)) {
        return 0;
    }
    for (i = 0; i < pool->n; i++) {
        apr_time_t end = pool->m[i].cell->rest_until;

        if (end > now && (!first || end < first)) {
            first = end;
        }
        *over |= end > then && end <= now;
    }
    pc_rec_unlock(&pool->ctx->seg, pool->id);
    return first;
}

/* Look at every pool once. @return how long to sleep, 0: until rung */
static apr_interval_time_t look_round(pc_ctx *ctx, apr_time_t *then)
{
    apr_time_t now = ctx->now(), first = 0;
    int i;

    if (ctx->seg.head->dead) {
        pc_row_reap(&ctx->seg);
    }
    for (i = 0; i < ctx->pools->nelts; i++) {
        pc_pool *pool = APR_ARRAY_IDX(ctx->pools, i, pc_pool *);
        apr_time_t end;
        int over = 0;

        if (pool->rec->called) {
            pc_serve(pool);
        }
        if (!pool->rec->waiting) {
            continue;
        }
        end = next_end(pool, *then, now, &over);
        if (over) {
            call_first(pool);
        }
        if (end && (!first || end < first)) {
            first = end;
        }
    }
    *then = now;
    return first ? first - now + 1000 : 0;
}

static void sleep_on(sem_t *bell, apr_interval_time_t max)
{
    struct timespec until;
    apr_time_t t;

    if (!max) {
        while (sem_wait(bell) == -1 && errno == EINTR) {
            continue;
        }
        return;
    }
    t = apr_time_now() + (max < LONGEST ? max : LONGEST);
    until.tv_sec = apr_time_sec(t);
    until.tv_nsec = apr_time_usec(t) * 1000;
    while (sem_timedwait(bell, &until) == -1 && errno == EINTR) {
        continue;
    }
}

static void *bell_main(void *data)
{
    pc_ctx *ctx = data;
    pc_row *row = pc_seg_row(&ctx->seg, (unsigned)ctx->row);
    apr_time_t then = 0;

    while (!stopping(ctx)) {
        sleep_on(&row->bell, look_round(ctx, &then));
        atomic_exchange(&row->rung, 0);
    }
    return NULL;
}

static void *event_main(void *data)
{
    pc_ctx *ctx = data;
    struct pollfd fd[2] = { { .fd = ctx->procd.event_fd(), .events = POLLIN },
                            { .fd = ctx->stop_fd, .events = POLLIN } };

    while (!stopping(ctx)) {
        apr_uint64_t n;

        if (poll(fd, 2, -1) == -1 && errno != EINTR) {
            break;
        }
        if ((fd[0].revents & (POLLERR | POLLNVAL)) || (fd[0].revents & (POLLIN | POLLHUP)) == POLLHUP) {
            fd[0].fd = -1; /* a pipe that nobody can write to any more: httpd and the manager were killed */
        }
        else if ((fd[0].revents & POLLIN) && read(fd[0].fd, &n, sizeof(n)) == (ssize_t)sizeof(n)) {
            pc_call_groups(ctx, ~(apr_uint64_t)0, -1);
        }
    }
    return NULL;
}

static int start_thread(pthread_t *t, void *(*fn)(void *), pc_ctx *ctx)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int rc;

    if ((rc = pthread_attr_init(&attr))) {
        return rc;
    }
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(t, &attr, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

static int has_groups(const pc_ctx *ctx)
{
    int i;

    for (i = 0; i < ctx->pools->nelts; i++) {
        if (APR_ARRAY_IDX(ctx->pools, i, pc_pool *)->groups) {
            return 1;
        }
    }
    return 0;
}

/* The mutex is held. */
static apr_status_t start(pc_ctx *ctx)
{
    apr_status_t rc;

    if (ctx->procd.event_fd && ctx->procd.event_fd() >= 0 && has_groups(ctx) && !ctx->has_event_thread) {
        if (ctx->stop_fd < 0 && (ctx->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
            return errno;
        }
        if ((rc = start_thread(&ctx->event_thread, event_main, ctx))) {
            return rc;
        }
        ctx->has_event_thread = 1;
    }
    if (!(rc = start_thread(&ctx->bell_thread, bell_main, ctx))) {
        ctx->started = 1;
    }
    return rc;
}

apr_status_t pc_wake_start(pc_ctx *ctx)
{
    apr_status_t rc = APR_SUCCESS;

    pthread_mutex_lock(&ctx->threads);
    if (ctx->stopping) {
        rc = APR_EINTR;
    }
    else if (!ctx->started) {
        rc = start(ctx);
    }
    pthread_mutex_unlock(&ctx->threads);
    return rc;
}

void pc_wake_stop(pc_ctx *ctx)
{
    apr_uint64_t one = 1;
    int started, events, i;

    pthread_mutex_lock(&ctx->threads);
    started = ctx->started;
    events = ctx->has_event_thread;
    ctx->stopping = 1;
    ctx->started = ctx->has_event_thread = 0;
    pthread_mutex_unlock(&ctx->threads);
    if (started) {
        pc_row_ring(&ctx->seg, ctx->row);
        pthread_join(ctx->bell_thread, NULL);
    }
    if (events) {
        if (write(ctx->stop_fd, &one, sizeof(one)) == -1) {
            pthread_cancel(ctx->event_thread);
        }
        pthread_join(ctx->event_thread, NULL);
    }
    if (ctx->stop_fd >= 0) {
        close(ctx->stop_fd);
        ctx->stop_fd = -1;
    }
    for (i = 0; started && i < ctx->pools->nelts; i++) {
        call_first(APR_ARRAY_IDX(ctx->pools, i, pc_pool *));
    }
}
