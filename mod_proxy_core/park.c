/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver that holds no thread.
 *
 * httpd 2.4 has no call that resumes a suspended connection, but an MPM that answers AP_MPMQ_CAN_WAITIO polls the socket
 * of a connection in CONN_STATE_ASYNC_WAITIO and comes back through process_connection. So the connection's descriptor
 * is exchanged, while it is parked, for an epoll descriptor that holds what the exchange waits for: the backend's socket,
 * the client's. Timeouts, graceful stop, limits and keep-alive stay the MPM's own.
 *
 *   handler            pc_park(): interest set, alarm set, returns SUSPENDED
 *   process_connection (ours, around the whole chain) turns SUSPENDED into ASYNC_WAITIO
 *   suspend_connection the last thing before the pollset: descriptor exchanged
 *   resume_connection  the first thing after it, on every way out (ready, timed out, cleanup): true descriptor back
 *   process_connection steps on; at the end finishes the request as ap_process_async_request() would have
 *
 * A perch is the epoll descriptor with an alarm; perches are kept and used again. The alarm, and the queue, wake an
 * exchange by putting a descriptor that is always readable, one of a few of the whole child, into the set: Linux lets one
 * be in no more than 500 sets that are themselves in a set (the MPM's), and wakings come by thousands. They may do so before
 * the exchange has put itself to sleep: x->woken is set first and looked at last, so that no waking is lost; one too many
 * costs a step.
 */
#include "exchange.h"
#include "clock.h"
#include "linger.h"

#include "ap_mpm.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"
#include "scoreboard.h"

#include "apr_atomic.h"
#include "apr_portable.h"
#include "apr_thread_mutex.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

APLOG_USE_MODULE(proxy_core);

#define PERCHES_KEPT 256
#define READY_FDS 64
#define FIRE_AGAIN apr_time_from_msec(20)

typedef struct pc_perch pc_perch;
struct pc_perch {
    int epfd;
    int ready; /* one of perches.ready */
    pc_alarm alarm;
    int backend_fd; /* in the set, -1: none */
    int out_fd;     /* the same for a link with two descriptors */
    int client_fd;
    unsigned backend_events;
    unsigned out_events;
    unsigned client_events;
    pc_perch *next;
};

/** What we know of a connection; in its conn_config. */
typedef struct pc_conn {
    pc_exchange *parked;
    int true_fd;
    unsigned inside : 1; /* our process_connection is on the stack */
    unsigned exchanged : 1;
    unsigned served : 1; /* the request just answered was ours */
} pc_conn;

/* This child's free perches; made in child_init, before any thread. */
static struct {
    apr_thread_mutex_t *lock;
    pc_perch *free;
    int n;
    apr_uint32_t taken; /* perches in use; atomic */
    int can_wait;
    int ready[READY_FDS];    /* always readable */
    apr_uint32_t next_ready; /* atomic */
} perches;

/* ------------------------------------------------------------------ perches */

static void perch_close(pc_perch *p)
{
    if (p->epfd != -1) {
        close(p->epfd);
    }
    free(p);
}

/* @return 0: the kernel does not take it now (no memory, or too many descriptors are watched) */
static int perch_fire(pc_exchange *x)
{
    struct epoll_event ev = { .events = EPOLLIN, .data = { .fd = x->perch->ready } };

    apr_atomic_set32(&x->woken, 1);
    return pc_nap_end(x) || epoll_ctl(x->perch->epfd, EPOLL_CTL_ADD, x->perch->ready, &ev) == 0 || errno == EEXIST;
}

static apr_time_t on_alarm(void *exchange)
{
    return perch_fire(exchange) ? 0 : pc_now() + FIRE_AGAIN;
}

static pc_perch *perch_make(void)
{
    pc_perch *p = calloc(1, sizeof(*p));

    if (!p) {
        return NULL;
    }
    p->backend_fd = p->out_fd = p->client_fd = -1;
    p->ready = perches.ready[apr_atomic_inc32(&perches.next_ready) % READY_FDS];
    p->alarm.ring = on_alarm;
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epfd == -1) {
        perch_close(p);
        return NULL;
    }
    return p;
}

static pc_perch *perch_get(pc_exchange *x)
{
    pc_perch *p;

    if (x->perch) {
        return x->perch;
    }
    apr_thread_mutex_lock(perches.lock);
    p = perches.free;
    if (p) {
        perches.free = p->next;
        perches.n--;
    }
    apr_thread_mutex_unlock(perches.lock);
    if (!p) {
        p = perch_make();
    }
    if (p) {
        p->alarm.baton = x;
        apr_atomic_inc32(&perches.taken);
    }
    x->perch = p;
    return p;
}

/* Put one descriptor into the set as wanted, changing as little as possible. */
static int interest(pc_perch *p, int *have, unsigned *have_events, int fd, unsigned events)
{
    struct epoll_event ev = { .events = events, .data = { .fd = fd } };

    if (*have != -1 && (fd == -1 || *have != fd)) {
        (void)epoll_ctl(p->epfd, EPOLL_CTL_DEL, *have, NULL);
        *have = -1;
    }
    if (fd == -1 || (*have == fd && *have_events == events)) {
        return 1;
    }
    if (epoll_ctl(p->epfd, *have == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == -1) {
        /* a descriptor of the same number was closed and opened in between */
        if (epoll_ctl(p->epfd, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) == -1) {
            return 0;
        }
    }
    *have = fd;
    *have_events = events;
    return 1;
}

int pc_perch_fd(pc_exchange *x)
{
    pc_perch *p = perch_get(x);

    return p ? p->epfd : -1;
}

void pc_perch_fire(pc_exchange *x)
{
    if (!perch_fire(x)) { /* else it would wait for something else to happen, or for ever */
        (void)pc_alarm_set(&x->perch->alarm, pc_now() + FIRE_AGAIN);
    }
}

void pc_perch_quiet(pc_exchange *x)
{
    (void)epoll_ctl(x->perch->epfd, EPOLL_CTL_DEL, x->perch->ready, NULL);
    apr_atomic_set32(&x->woken, 0);
}

void pc_perch_forget_link(pc_exchange *x)
{
    pc_perch *p = x->perch;

    /* before its number can stand for another connection */
    if (p) {
        (void)interest(p, &p->backend_fd, &p->backend_events, -1, 0);
        (void)interest(p, &p->out_fd, &p->out_events, -1, 0);
    }
}

void pc_perch_release(pc_exchange *x)
{
    pc_perch *p = x->perch;

    if (!p) {
        return;
    }
    apr_atomic_dec32(&perches.taken);
    pc_alarm_cancel(&p->alarm);
    pc_perch_forget_link(x);
    if (apr_atomic_read32(&x->woken)) {
        pc_perch_quiet(x);
    }
    x->perch = NULL;
    (void)interest(p, &p->client_fd, &p->client_events, -1, 0);
    apr_thread_mutex_lock(perches.lock);
    if (perches.n < PERCHES_KEPT) {
        p->next = perches.free;
        perches.free = p;
        perches.n++;
        p = NULL;
    }
    apr_thread_mutex_unlock(perches.lock);
    if (p) {
        perch_close(p);
    }
}

/* ------------------------------------------------------------------ parking */

static pc_conn *conn_of(conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &proxy_core_module);
}

int pc_park_possible(request_rec *r)
{
    pc_conn *pc = conn_of(r->connection);

    if (!pc || !pc->inside || r->main || r->prev || r->connection->master) {
        return 0;
    }
    pc->served = 1;
    return 1;
}

/* Never later than the MPM's own timeout for the connection: it must be us who find out. */
static apr_interval_time_t park_time(const pc_exchange *x)
{
    apr_interval_time_t mpm = x->r->server->timeout, wait;

    if (x->c->base_server->timeout < mpm) {
        mpm = x->c->base_server->timeout;
    }
    wait = mpm / 4 * 3;
    if (x->deadline && x->deadline - x->now < wait) {
        wait = x->deadline - x->now;
    }
    return wait;
}

static int set_interest(pc_exchange *x, pc_perch *p)
{
    unsigned backend = 0, out = 0, client = x->tunnel || x->hung_up_at ? 0 : EPOLLRDHUP;
    int client_fd = x->tunnel && !pc_tunnel_watches_client(x) ? -1 : pc_client_fd(x);
    int fd = x->link ? x->link->fd : -1, out_fd = x->link ? x->link->out_fd : -1;

    if (x->want & PC_WANT_BACKEND_READ) {
        backend |= EPOLLIN;
    }
    if (x->want & PC_WANT_BACKEND_WRITE) {
        *(fd == out_fd ? &backend : &out) |= EPOLLOUT;
    }
    if (x->want & PC_WANT_CLIENT_READ) {
        client = EPOLLIN;
    }
    if (x->want & PC_WANT_CLIENT_WRITE) {
        client |= EPOLLOUT;
    }
    return interest(p, &p->backend_fd, &p->backend_events, backend ? fd : -1, backend)
           && interest(p, &p->out_fd, &p->out_events, out ? out_fd : -1, out)
           && interest(p, &p->client_fd, &p->client_events, client_fd, client);
}

int pc_park(pc_exchange *x)
{
    pc_perch *p = perch_get(x);

    if (!p || !set_interest(x, p) || !pc_alarm_set(&p->alarm, x->now + park_time(x))) {
        return 0;
    }
    if (apr_atomic_read32(&x->woken)) {
        pc_perch_fire(x);
    }
    conn_of(x->c)->parked = x;
    x->c->cs->state = CONN_STATE_SUSPENDED;
    return 1;
}

static void on_suspend(conn_rec *c, request_rec *r)
{
    pc_conn *pc = conn_of(c);
    apr_socket_t *sock;

    (void)r;
    if (!pc || !pc->parked || pc->exchanged || c->cs->state != CONN_STATE_ASYNC_WAITIO) {
        return;
    }
    sock = ap_get_conn_socket(c);
    if (apr_os_sock_get(&pc->true_fd, sock) == APR_SUCCESS) {
        apr_os_sock_put(&sock, &pc->parked->perch->epfd, c->pool);
        pc->exchanged = 1;
    }
}

static void on_resume(conn_rec *c, request_rec *r)
{
    pc_conn *pc = conn_of(c);

    (void)r;
    if (pc && pc->exchanged) {
        apr_socket_t *sock = ap_get_conn_socket(c);

        apr_os_sock_put(&sock, &pc->true_fd, c->pool);
        pc->exchanged = 0;
    }
}

/* ------------------------------------------------------------------ stepping on */

/* What happened while the exchange was parked: is the client still there, was it woken? */
static void look_around(pc_exchange *x)
{
    struct epoll_event ev[4];
    int i, n = epoll_wait(x->perch->epfd, ev, 4, 0);
    unsigned left = EPOLLHUP | EPOLLERR, hung_up = x->want & PC_WANT_CLIENT_READ ? 0 : EPOLLRDHUP;

    if (x->tunnel) { /* if it is read, that tells, behind what the client has sent before */
        left = x->want & PC_WANT_CLIENT_READ ? 0 : left | EPOLLRDHUP;
        hung_up = 0;
    }

    for (i = 0; i < n; i++) {
        if (ev[i].data.fd == x->perch->ready) {
            pc_perch_quiet(x);
        }
        else if (ev[i].data.fd == x->perch->client_fd && (ev[i].events & left)) {
            x->client_left = 1;
        }
        else if (ev[i].data.fd == x->perch->client_fd && (ev[i].events & hung_up)) {
            pc_client_hung_up(x);
        }
    }
}

/* The request's end, as ap_process_async_request() has it. */
static void complete(pc_exchange *x)
{
    request_rec *r = x->r;
    int rc = pc_exchange_finish(x);

    pc_perch_release(x);
    ap_die(rc, r);
    ap_process_request_after_handler(r);
}

static void step_on(conn_rec *c, pc_conn *pc)
{
    pc_exchange *x = pc->parked;

    pc->parked = NULL;
    pc->served = 1;
    c->cs->state = CONN_STATE_HANDLER;
    ap_update_child_status(c->sbh, SERVER_BUSY_WRITE, x->r);
    look_around(x);
    for (;;) {
        if (x->client_left) {
            pc_exchange_client_left(x);
        }
        if (pc_exchange_step(x) == PC_STEP_DONE) {
            complete(x);
            return;
        }
        if (pc_park(x)) {
            return;
        }
        (void)pc_drive_wait(x, -1);
    }
}

/* The MPM closes the connection of a parked request: its Timeout is over (by the wall clock, which may have been set), or
 * it could not be polled. The request ends here: what lingers afterwards must not be taken for parked. */
static int on_pre_close(conn_rec *c)
{
    pc_conn *pc = conn_of(c);
    pc_exchange *x = pc ? pc->parked : NULL;

    if (x) {
        pc->parked = NULL;
        pc_exchange_client_left(x);
        complete(x);
    }
    return OK;
}

static int around_process_connection(conn_rec *c)
{
    pc_conn *pc = conn_of(c);
    int rc = OK;

    if (!perches.can_wait || c->master || !c->cs) {
        return DECLINED;
    }
    if (!pc) {
        pc = apr_pcalloc(c->pool, sizeof(*pc));
        ap_set_module_config(c->conn_config, &proxy_core_module, pc);
    }
    if (pc->inside) {
        return DECLINED;
    }
    pc->inside = 1;
    if (pc->parked) {
        step_on(c, pc);
    }
    else {
        rc = ap_run_process_connection(c);
    }
    while (rc == OK && pc->served && c->cs->state == CONN_STATE_WRITE_COMPLETION
           && pc_linger(c, apr_atomic_read32(&perches.taken))) {
        pc->served = 0;
        c->cs->state = CONN_STATE_PROCESSING;
        rc = ap_run_process_connection(c);
    }
    pc->served = 0;
    pc->inside = 0;
#ifdef AP_MPMQ_CAN_WAITIO /* httpd 2.4.63; before, nothing is ever parked */
    if (pc->parked && c->cs->state == CONN_STATE_SUSPENDED) {
        c->cs->state = CONN_STATE_ASYNC_WAITIO;
        c->cs->sense = CONN_SENSE_WANT_READ;
    }
#endif
    return rc;
}

static apr_status_t close_perches(void *unused)
{
    (void)unused;
    while (perches.free) {
        pc_perch *p = perches.free;

        perches.free = p->next;
        perch_close(p);
    }
    for (int i = 0; i < READY_FDS; i++) {
        close(perches.ready[i]);
    }
    return APR_SUCCESS;
}

void pc_park_child_init(apr_pool_t *pchild)
{
    perches.free = NULL;
    perches.n = 0;
    perches.taken = 0;
    perches.can_wait = 0;
    for (int i = 0; i < READY_FDS; i++) {
        perches.ready[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    }
#ifdef AP_MPMQ_CAN_WAITIO
    if (ap_mpm_query(AP_MPMQ_CAN_WAITIO, &perches.can_wait) != APR_SUCCESS) {
        perches.can_wait = 0;
    }
#endif
    (void)apr_thread_mutex_create(&perches.lock, APR_THREAD_MUTEX_DEFAULT, pchild);
    apr_pool_cleanup_register(pchild, NULL, close_perches, apr_pool_cleanup_null);
}

void pc_park_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_process_connection(around_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_close_connection(on_pre_close, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_suspend_connection(on_suspend, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_resume_connection(on_resume, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
