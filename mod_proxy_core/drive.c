/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver that waits in a thread: prefork and worker, HTTP/2 streams, subrequests, internal redirects, and the first
 * moments of every other exchange.
 */
#include "exchange.h"
#include "clock.h"

#include "http_core.h"
#include "http_protocol.h"

#include "apr_atomic.h"
#include "apr_portable.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>

/** A stream's reset cannot be seen through a descriptor: look at the connection this often. */
#define H2_LOOK apr_time_from_msec(250)
/** Nor can the end of the child be, which a tunnel is to notice. */
#define STOP_LOOK apr_time_from_sec(1)

int pc_client_fd(const pc_exchange *x)
{
    int fd = -1;

    if (!x->h2) {
        apr_socket_t *sock = ap_get_conn_socket(x->c);

        return sock && apr_os_sock_get(&fd, sock) == APR_SUCCESS ? fd : -1;
    }
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 129)
    {
        apr_pollfd_t pfd;

        memset(&pfd, 0, sizeof(pfd));
        if (ap_get_pollfd_from_conn(x->c, &pfd, NULL) == APR_SUCCESS && pfd.desc_type == APR_POLL_FILE) {
            (void)apr_os_file_get(&fd, pfd.desc.f);
        }
    }
#endif
    return fd;
}

void pc_client_hung_up(pc_exchange *x)
{
    if (!x->hung_up_at) {
        x->hung_up_at = pc_now();
    }
}

static int add(struct pollfd *p, int n, int fd, short events)
{
    if (fd == -1) {
        return n;
    }
    p[n].fd = fd;
    p[n].events = events;
    p[n].revents = 0;
    return n + 1;
}

static short backend_events(const pc_exchange *x)
{
    return (short)((x->want & PC_WANT_BACKEND_READ ? POLLIN : 0) | (x->want & PC_WANT_BACKEND_WRITE ? POLLOUT : 0));
}

static short client_events(const pc_exchange *x)
{
    short events =
        (short)((x->want & PC_WANT_CLIENT_READ ? POLLIN : 0) | (x->want & PC_WANT_CLIENT_WRITE ? POLLOUT : 0));

    if (!x->h2 && !x->tunnel && !x->hung_up_at && !(events & POLLIN)) {
        events |= POLLRDHUP;
    }
    return events;
}

/* How long: until the deadline, max, or the next look at a stream. */
static int poll_timeout(const pc_exchange *x, apr_interval_time_t max)
{
    apr_interval_time_t wait = max;

    if (x->deadline) {
        apr_interval_time_t left = x->deadline - pc_now();

        if (wait < 0 || left < wait) {
            wait = left > 0 ? left : 0;
        }
    }
    if (x->tunnel && (wait < 0 || wait > STOP_LOOK)) {
        wait = STOP_LOOK;
    }
    if (x->h2 && (wait < 0 || wait > H2_LOOK)) {
        wait = H2_LOOK;
    }
    return wait < 0 ? -1 : (int)((wait + 999) / 1000);
}

int pc_drive_wait(pc_exchange *x, apr_interval_time_t max)
{
    struct pollfd p[4];
    int n = 0, client = -1, rc, timeout = poll_timeout(x, max), client_fd = pc_client_fd(x);

    if (x->link && backend_events(x)) {
        if (x->link->fd == x->link->out_fd) {
            n = add(p, n, x->link->fd, backend_events(x));
        }
        else {
            /* one that nothing is wanted of would still say that its other end is closed, again and again */
            n = add(p, n, backend_events(x) & POLLIN ? x->link->fd : -1, POLLIN);
            n = add(p, n, backend_events(x) & POLLOUT ? x->link->out_fd : -1, POLLOUT);
        }
    }
    if (x->tunnel && !pc_tunnel_watches_client(x)) {
        client_fd = -1;
    }
    if (client_fd != -1 && (client_events(x) || !x->h2)) {
        client = n;
        n = add(p, n, client_fd, client_events(x));
    }
    else if (x->want & PC_WANT_CLIENT_READ) { /* a stream without a pipe */
        timeout = timeout < 0 || timeout > 10 ? 10 : timeout;
    }
    if (x->want & PC_WANT_WAKE) {
        n = add(p, n, pc_perch_fd(x), POLLIN);
    }
    rc = poll(p, (nfds_t)n, timeout);
    if (rc > 0 && (x->want & PC_WANT_WAKE) && p[n - 1].revents) {
        pc_perch_quiet(x);
    }
    if (x->c->aborted) {
        x->client_left = 1;
    }
    if (rc > 0 && client != -1 && !(x->want & PC_WANT_CLIENT_READ)) {
        if (p[client].revents & (POLLHUP | POLLERR)) {
            x->client_left = 1;
        }
        else if (p[client].revents & POLLRDHUP) {
            pc_client_hung_up(x);
        }
    }
    return rc != 0 || x->client_left;
}

/*
 * A nap is a semaphore on the stack of the thread that waits. Who takes its address out of x->nap posts it; a thread
 * whose time is over and that finds it taken waits for the post that is on its way.
 */
int pc_nap(pc_exchange *x, apr_interval_time_t max)
{
    sem_t sem;
    struct timespec until;
    apr_time_t t = pc_now() + max;
    int rc;

    sem_init(&sem, 0, 0);
    (void)apr_atomic_xchgptr((volatile void **)&x->nap, &sem);
    if (apr_atomic_read32(&x->woken) && apr_atomic_xchgptr((volatile void **)&x->nap, NULL)) {
        sem_destroy(&sem);
        return 1;
    }
    until.tv_sec = (time_t)apr_time_sec(t);
    until.tv_nsec = (long)apr_time_usec(t) * 1000;
    do {
        rc = sem_clockwait(&sem, CLOCK_MONOTONIC, &until);
    } while (rc == -1 && errno == EINTR);
    if (rc == -1 && apr_atomic_xchgptr((volatile void **)&x->nap, NULL) == NULL) {
        while ((rc = sem_wait(&sem)) == -1 && errno == EINTR) {
            continue;
        }
    }
    sem_destroy(&sem);
    x->nap_ended = rc == 0;
    return rc == 0;
}

int pc_nap_end(pc_exchange *x)
{
    sem_t *sem = apr_atomic_xchgptr((volatile void **)&x->nap, NULL);

    return sem && sem_post(sem) == 0;
}

int pc_drive(pc_exchange *x)
{
    while (pc_exchange_step(x) == PC_STEP_WAIT) {
        (void)pc_drive_wait(x, -1);
        if (x->client_left) {
            pc_exchange_client_left(x);
            break;
        }
    }
    return pc_exchange_finish(x);
}
