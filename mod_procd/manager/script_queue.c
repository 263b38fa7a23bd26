/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Requests for scripts. Children hold a permission for each (table.h, PROCD_OPEN), and there are as many of these as
 * SpawnProcesses allows, so mostly there is room at once. A script that lives on after its answer makes the next one wait
 * here, in order, and so does a child that was taken over and does not care for permissions: how many run is counted
 * here. */
#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MOST (2 * PROCD_PROCESSES_MAX)
#define VISITORS_MOST 256                  /* connected, and no request has come yet */
#define WAIT_BYTES_MOST ((size_t)32 << 20) /* of all groups: children ask for up to a megabyte at a time */

/** A request that waits for a process to end. */
typedef struct script_wait {
    group *group;
    watch control; /* its end: nobody wants it any more */
    procd_script_fds fds;
    procd_script_head head;
    char *bytes;
    struct script_wait *next;
} script_wait;

static size_t waiting_bytes;

/* ------------------------------------------------------------------ waiting */

static void unlink_wait(script_wait *w)
{
    script_side *cgi = w->group->cgi;
    script_wait *before = NULL;

    for (script_wait *at = cgi->first; at != w; at = at->next) {
        before = at;
    }
    *(before ? &before->next : &cgi->first) = w->next;
    if (cgi->last == w) {
        cgi->last = before;
    }
    cgi->n_waiting--;
    waiting_bytes -= w->head.len;
}

static void free_wait(script_wait *w)
{
    unlink_wait(w);
    procd_script_close(&w->fds);
    free(w->bytes);
    free(w);
}

static void on_control(watch *c)
{
    script_wait *w = c->of;

    loop_unwatch(c, 1); /* whatever it says: there is nothing that could be said now */
    free_wait(w);
}

static int enqueue(group *g, const procd_script_head *head, const char *bytes, int control, const procd_script_fds *fds)
{
    int room = g->cgi->n_waiting < WAIT_MOST && head->len <= WAIT_BYTES_MOST - waiting_bytes;
    script_wait *w = room ? calloc(1, sizeof(*w)) : NULL;

    if (!w || !(w->bytes = malloc(head->len + 1)) || loop_watch(&w->control, control, on_control, w) != 0) {
        if (w) {
            free(w->bytes);
        }
        free(w);
        return -1;
    }
    memcpy(w->bytes, bytes, head->len);
    w->head = *head;
    w->fds = *fds;
    w->group = g;
    *(g->cgi->last ? &g->cgi->last->next : &g->cgi->first) = w;
    g->cgi->last = w;
    g->cgi->n_waiting++;
    waiting_bytes += head->len;
    return 0;
}

static int has_room(const group *g)
{
    return g->cgi->running < group_max(g) && the_manager.n_processes < (int)the_manager.global.max_processes;
}

/* Takes control and fds. */
static void start(group *g, const procd_script_head *head, const char *bytes, int control, const procd_script_fds *fds)
{
    procd_script strings;
    script_order order = { &strings, control, *fds };

    if (procd_script_parse(&strings, head, bytes, head->len)) {
        close(control); /* was parsed before */
        procd_script_close(&order.fds);
        return;
    }
    script_start(g, &order);
}

void script_queue_run(group *g)
{
    while (g->cgi && g->cgi->first && g->def && has_room(g)) {
        script_wait *w = g->cgi->first;
        procd_script_fds fds = w->fds;
        int control = w->control.fd;

        loop_unwatch(&w->control, 0);
        w->fds.out = w->fds.in = -1;
        start(g, &w->head, w->bytes, control, &fds);
        free_wait(w);
    }
}

void script_queue_clear(group *g)
{
    while (g->cgi && g->cgi->first) {
        loop_unwatch(&g->cgi->first->control, 1);
        free_wait(g->cgi->first);
    }
}

/* ------------------------------------------------------------------ hearing */

static void refuse(const group *g, int control, procd_script_fds *fds, const char *why)
{
    script_refuse(g, control, fds, PROCD_SCRIPT_BUSY, "-", why);
}

static void take_request(const procd_script_head *head, const char *bytes, int control, procd_script_fds *fds)
{
    group *g = head->group < PROCD_MAX_GROUPS ? the_manager.groups[head->group] : NULL;
    procd_script strings;
    const char *wrong = procd_script_parse(&strings, head, bytes, head->len);

    if (wrong || !g || !g->def || !g->cgi || g->def->socket_type != PROCD_SOCKET_PIPE) {
        static int64_t said_ms;

        if (manager_may_say(&said_ms)) {
            manager_log(LEVEL_ERROR, g, "PRD0611: a request for a script was refused: %s",
                        wrong ? wrong : "the group is not of SpawnSocketType pipe");
        }
        script_refuse(NULL, control, fds, PROCD_SCRIPT_FORBIDDEN, "-", wrong ? wrong : "not a group for scripts");
        return;
    }
    if (the_manager.mode != MODE_RUNNING || script_is_refused(g)) {
        refuse(g, control, fds, "no scripts are started now");
    }
    else if (g->cgi->first || !has_room(g)) {
        if (enqueue(g, head, bytes, control, fds) != 0) {
            refuse(g, control, fds, "too many requests wait for a process");
        }
    }
    else {
        start(g, head, bytes, control, fds);
    }
}

static visit hear(int fd, watch *w)
{
    static char buf[PROCD_SCRIPT_INLINE];
    static int64_t said_ms;
    procd_script_head head;
    procd_script_fds fds;
    char *bytes;
    int rv = procd_script_receive(fd, &head, buf, &bytes, &fds);
    int again = rv == -1 && (errno == EAGAIN || errno == EINTR);

    if (rv == 1) {
        loop_unwatch(w, 0);
        take_request(&head, bytes, fd, &fds);
        if (bytes != buf) {
            free(bytes);
        }
        return VISIT_TAKEN;
    }
    if (rv == -1 && errno == EPROTO && manager_may_say(&said_ms)) {
        manager_log(LEVEL_ERROR, NULL, "PRD0612: what came where scripts are asked for is no request");
    }
    return again ? VISIT_GOES_ON : VISIT_ENDS;
}

int script_listen(int listener)
{
    return visitors_let_in(listener, VISITORS_MOST, hear);
}
