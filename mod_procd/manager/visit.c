/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Connections of httpd's children. Who can connect has inherited the way from httpd, but a child that was taken over could
 * pass it on: only httpd's user and the manager's own are let in. How many are here at a time is bounded, of one process and in
 * all, and whoever came first has to go for the next: those who mean it have said what they want at once, or come again.
 * Who comes again and again pushes out himself. */
#include "manager.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS 100
#define OF_ONE_MOST 64

typedef struct visitor {
    watch w; /* fd -1: the place is free */
    visitors *of;
    pid_t pid;
    uint64_t number;
} visitor;

struct visitors {
    visitors *other;
    watch listener;
    timer pause;
    int64_t said_ms;
    uint64_t numbers;
    visit (*hear)(int fd, watch *w);
    int fd, most;
    visitor places[];
};

/* All of them, for as long as the manager lives: only the kernel knows them otherwise, and a leak checker does not ask it. */
static visitors *every;

static int may_enter(visitors *v, int fd, pid_t *pid)
{
    struct ucred who = { 0, 0, 0 };
    socklen_t len = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0
        && (who.uid == (uid_t)the_manager.global.uid || who.uid == geteuid())) {
        *pid = who.pid;
        return 1;
    }
    if (manager_may_say(&v->said_ms)) {
        manager_log(LEVEL_ERROR, NULL,
                    "PRD0700: process %ld of user %ld has connected to where only httpd's children may", (long)who.pid,
                    (long)who.uid);
    }
    return 0;
}

static void turn_out(visitor *p)
{
    loop_unwatch(&p->w, 1);
}

static visitor *older(visitor *a, visitor *b)
{
    return !a || b->number < a->number ? b : a;
}

/* @return a free place, or else that of who is here longest; of those of the same process, when it has many */
static visitor *choose_place(visitors *v, pid_t pid)
{
    visitor *empty = NULL, *first = NULL, *own = NULL;
    int n = 0;

    for (int i = 0; i < v->most; i++) {
        visitor *p = &v->places[i];

        if (p->w.fd == -1) {
            empty = p;
            continue;
        }
        first = older(first, p);
        if (p->pid == pid) {
            own = older(own, p);
            n++;
        }
    }
    return n >= OF_ONE_MOST ? own : empty ? empty : first;
}

static void on_word(watch *w)
{
    visitor *p = w->of;

    if (p->of->hear(w->fd, w) == VISIT_ENDS) {
        turn_out(p);
    }
}

static void receive(visitors *v, int fd, pid_t pid)
{
    watch none = { .fd = -1 };
    visitor *p;

    switch (v->hear(fd, &none)) { /* mostly it has said what it wants by now */
    case VISIT_TAKEN: return;
    case VISIT_ENDS: close(fd); return;
    default: break;
    }
    p = choose_place(v, pid);
    turn_out(p);
    p->of = v;
    p->pid = pid;
    p->number = v->numbers++;
    if (loop_watch(&p->w, fd, on_word, p) != 0) {
        close(fd);
    }
}

static void on_knock(watch *w);

static void on_pause(timer *t)
{
    visitors *v = t->of;

    if (loop_watch(&v->listener, v->fd, on_knock, v) != 0) {
        loop_timer(t, procd_now_ms() + PAUSE_MS, on_pause, v);
    }
}

/* No descriptor is free: somebody goes, or all wait. */
static void make_room(visitors *v)
{
    visitor *p = NULL;

    for (int i = 0; i < v->most; i++) {
        if (v->places[i].w.fd != -1 && (!p || v->places[i].number < p->number)) {
            p = &v->places[i];
        }
    }
    if (p) {
        turn_out(p);
        return;
    }
    loop_unwatch(&v->listener, 0);
    loop_timer(&v->pause, procd_now_ms() + PAUSE_MS, on_pause, v);
}

static void on_knock(watch *w)
{
    visitors *v = w->of;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    pid_t pid;

    if (fd == -1) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            make_room(v);
        }
        return;
    }
    if (may_enter(v, fd, &pid)) {
        receive(v, fd, pid);
    }
    else {
        close(fd);
    }
}

int visitors_let_in(int listener, int most, visit (*hear)(int fd, watch *w))
{
    visitors *v = calloc(1, sizeof(*v) + (size_t)most * sizeof(visitor));

    if (!v) {
        return -1;
    }
    v->fd = listener;
    v->other = every;
    v->most = most;
    v->hear = hear;
    for (int i = 0; i < most; i++) {
        v->places[i].w.fd = -1;
    }
    if (loop_watch(&v->listener, listener, on_knock, v) != 0) {
        free(v);
        return -1;
    }
    every = v;
    return 0;
}
