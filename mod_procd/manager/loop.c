/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The event loop: epoll and a list of timers.
 *
 * One event is fetched at a time, so a handler may free whatever it likes, also what another descriptor belongs to: no
 * event that was fetched before can point there. */
#include "manager.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

static int epoll_fd = -1;
static timer *timers;

int loop_init(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd == -1 ? -1 : 0;
}

int loop_watch(watch *w, int fd, void (*ready)(watch *w), void *of)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return -1;
    }
    w->fd = fd;
    w->ready = ready;
    w->of = of;
    return 0;
}

void loop_unwatch(watch *w, int close_fd)
{
    if (w->fd == -1) {
        return;
    }
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    if (close_fd) {
        close(w->fd);
    }
    w->fd = -1;
}

void loop_timer(timer *t, int64_t at_ms, void (*fire)(timer *t), void *of)
{
    loop_cancel(t);
    t->at_ms = at_ms;
    t->fire = fire;
    t->of = of;
    t->next = timers;
    t->link = &timers;
    if (timers) {
        timers->link = &t->next;
    }
    timers = t;
}

void loop_cancel(timer *t)
{
    if (t->link) {
        *t->link = t->next;
        if (t->next) {
            t->next->link = t->link;
        }
        t->link = NULL;
    }
}

static timer *first_timer(void)
{
    timer *first = timers;

    for (timer *t = timers; t; t = t->next) {
        if (t->at_ms < first->at_ms) {
            first = t;
        }
    }
    return first;
}

static int milliseconds_left(const timer *t)
{
    int64_t left = t ? t->at_ms - procd_now_ms() : -1;

    return !t ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void loop_run(const int *until)
{
    while (!*until) {
        timer *t = first_timer();
        struct epoll_event event;
        int n = epoll_wait(epoll_fd, &event, 1, milliseconds_left(t));

        if (n == 1) {
            watch *w = event.data.ptr;

            w->ready(w);
        }
        t = first_timer();
        if (!*until && t && t->at_ms <= procd_now_ms()) {
            loop_cancel(t);
            t->fire(t);
        }
    }
}
