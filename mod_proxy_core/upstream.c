/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to backends.
 *
 * Idle connections are kept for each backend in a list of this child, the last used first: what is not needed grows old
 * at the end and is closed by an alarm of the child.
 *
 * The lists' lock is held for a few pointer moves, never across a system call: what has to be closed is unlinked first.
 */
#include "upstream.h"
#include "clock.h"
#include "protocols/cgi.h"

#include "apr_atomic.h"
#include "apr_strings.h"
#include "apr_thread_mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_FULL 4
/** A connection that was kept for a waiting request is taken at once or not at all. */
#define HANDED_IDLE apr_time_from_msec(100)
/** A connection that may occupy a process is given up after this time however busy it is: others wait for the process in
 *  its backlog. */
#define EXCLUSIVE_SLICE apr_time_from_msec(20)

typedef struct idle_list {
    pc_link *first;
    int n;
    apr_uint32_t impatience; /* misses in a row; at PATIENCE_FULL nobody waits */
} idle_list;

struct pc_upstream {
    apr_thread_mutex_t *lock;
    idle_list *lists; /* one a backend */
    pc_alarm sweep;
    apr_uint32_t sweeping; /* the alarm is set */
};

static apr_status_t close_all(void *data)
{
    const pc_pool_conf *pool = data;
    struct pc_upstream *up = pool->upstream;
    int i;

    for (i = 0; i < pool->backends->nelts; i++) {
        while (up->lists[i].first) {
            pc_link *link = up->lists[i].first;

            up->lists[i].first = link->next;
            pc_link_close(link);
        }
        up->lists[i].n = 0;
    }
    return APR_SUCCESS;
}

int pc_upstream_may_keep(const pc_pool_conf *pool, const pc_lease *lease)
{
    if (!(pool->codec->flags & PC_CODEC_KEEP) || pool->keep.on == 0 || pool->keep.max == 0
        || lease->backend->proxy_protocol) {
        return 0;
    }
    if (pool->keep.on == 1 || pc_upstream_bounded(lease->backend)) {
        return 1;
    }
    /* how many it takes at once is not known: an idle connection might be one of few */
    return !(pool->codec->flags & PC_CODEC_EXCLUSIVE);
}

int pc_upstream_bounded(const pc_backend_conf *backend)
{
    return backend->max > 0 || backend->kind == PC_BACKEND_SPAWN;
}

/* Unlinks what is too old, behind the first; the caller closes it. */
static pc_link *cut_old(idle_list *l, apr_time_t now, apr_interval_time_t idle)
{
    pc_link **at = &l->first, *old;

    while (*at && now - (*at)->idle_since < idle) {
        at = &(*at)->next;
    }
    old = *at;
    *at = NULL;
    for (pc_link *o = old; o; o = o->next) {
        l->n--;
    }
    return old;
}

static void close_chain(pc_link *link)
{
    while (link) {
        pc_link *next = link->next;

        pc_link_close(link);
        link = next;
    }
}

static apr_interval_time_t idle_of(const pc_pool_conf *pool, int i)
{
    int brief = pc_upstream_bounded(&APR_ARRAY_IDX(pool->backends, i, pc_backend_conf))
                || (pool->codec->flags & PC_CODEC_EXCLUSIVE);

    return brief && pool->keep.idle > HANDED_IDLE ? HANDED_IDLE : pool->keep.idle;
}

/* How often to look: at half of the shortest time. */
static apr_interval_time_t sweep_pause(const pc_pool_conf *pool)
{
    apr_interval_time_t shortest = pool->keep.idle;
    int i;

    for (i = 0; i < pool->backends->nelts; i++) {
        apr_interval_time_t idle = idle_of(pool, i);

        shortest = idle < shortest ? idle : shortest;
    }
    return shortest / 2 + apr_time_from_msec(20);
}

/* @return connections that are left */
static int sweep(const pc_pool_conf *pool)
{
    apr_time_t now = pc_now();
    int i, left = 0;

    for (i = 0; i < pool->backends->nelts; i++) {
        pc_link *old;

        apr_thread_mutex_lock(pool->upstream->lock);
        old = cut_old(&pool->upstream->lists[i], now, idle_of(pool, i));
        left += pool->upstream->lists[i].n;
        apr_thread_mutex_unlock(pool->upstream->lock);
        close_chain(old);
    }
    return left;
}

static int anything_kept(const pc_pool_conf *pool)
{
    int i, n = 0;

    apr_thread_mutex_lock(pool->upstream->lock);
    for (i = 0; i < pool->backends->nelts; i++) {
        n += pool->upstream->lists[i].n;
    }
    apr_thread_mutex_unlock(pool->upstream->lock);
    return n != 0;
}

/* Every half of the idle time, for as long as there is something to look at. */
static apr_time_t sweep_alarm(void *data)
{
    const pc_pool_conf *pool = data;

    if (!sweep(pool)) {
        apr_atomic_set32(&pool->upstream->sweeping, 0);
        /* one that was kept since then found the alarm set */
        if (!anything_kept(pool) || apr_atomic_cas32(&pool->upstream->sweeping, 1, 0) != 0) {
            return 0;
        }
    }
    return pc_now() + sweep_pause(pool);
}

static void order_sweep(const pc_pool_conf *pool)
{
    struct pc_upstream *us = pool->upstream;

    if (!apr_atomic_read32(&us->sweeping) && apr_atomic_cas32(&us->sweeping, 1, 0) == 0) {
        (void)pc_alarm_set(&us->sweep, pc_now() + sweep_pause(pool));
    }
}

apr_status_t pc_upstream_child_init(apr_pool_t *pchild, pc_pool_conf *pool)
{
    struct pc_upstream *up = apr_pcalloc(pchild, sizeof(*up));
    apr_status_t rv = apr_thread_mutex_create(&up->lock, APR_THREAD_MUTEX_DEFAULT, pchild);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    up->lists =
        apr_pcalloc(pchild, sizeof(idle_list) * (apr_size_t)(pool->backends->nelts ? pool->backends->nelts : 1));
    pool->upstream = up;
    up->sweep.ring = sweep_alarm;
    up->sweep.baton = pool;
    apr_pool_cleanup_register(pchild, pool, close_all, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static pc_link *take_idle(const pc_pool_conf *pool, const pc_lease *lease)
{
    struct pc_upstream *up = pool->upstream;
    idle_list *l = &up->lists[lease->index];
    apr_uint64_t instance = lease->backend->kind == PC_BACKEND_SPAWN ? lease->proc.instance : 0;
    pc_link *link = NULL, **at, *old = NULL;

    if (!l->first) { /* a stale look costs a connection at most */
        return NULL;
    }
    apr_thread_mutex_lock(up->lock);
    for (at = &l->first; *at; at = &(*at)->next) {
        if ((*at)->instance == instance) {
            link = *at;
            *at = link->next;
            l->n--;
            break;
        }
    }
    if (link && l->first && pool->keep.idle > 0) {
        old = cut_old(l, link->idle_since + pool->keep.idle / 2, pool->keep.idle);
    }
    apr_thread_mutex_unlock(up->lock);
    close_chain(old);
    if (link) {
        link->next = NULL;
        link->reused = 1;
    }
    return link;
}

static void now_connected(pc_link *link, const struct sockaddr *sa)
{
    int one = 1;

    link->connected = 1;
    if (sa->sa_family != AF_UNIX) {
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
}

/* A request that is parked at once never comes here. @return 1: a recv() waits for PC_PATIENCE */
static int has_patience(pc_link *link)
{
    struct timeval tv = { 0, (suseconds_t)PC_PATIENCE };

    if (!link->patient) {
        link->patient = setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0
                        && fcntl(link->fd, F_SETFL, 0) == 0; /* O_NONBLOCK is the only flag it has */
    }
    return link->patient;
}

static void lease_address(const pc_lease *lease, const struct sockaddr **sa, socklen_t *len)
{
    if (lease->backend->kind == PC_BACKEND_SPAWN) {
        *sa = &lease->proc.addr.sa;
        *len = lease->proc.addr_len;
    }
    else {
        *sa = &lease->backend->addr.u.sa;
        *len = lease->backend->addr.len;
    }
}

apr_status_t pc_link_retry(const pc_lease *lease, pc_link *link)
{
    const struct sockaddr *sa;
    socklen_t len;
    int rc;

    lease_address(lease, &sa, &len);
    do {
        rc = connect(link->fd, sa, len);
    } while (rc == -1 && errno == EINTR);
    if (rc == -1 && errno != EISCONN) {
        return errno == EINPROGRESS ? APR_EINPROGRESS : errno == EAGAIN ? APR_EAGAIN : APR_FROM_OS_ERROR(errno);
    }
    now_connected(link, sa);
    return APR_SUCCESS;
}

apr_status_t pc_link_get(const pc_pool_conf *pool, const pc_lease *lease, int reuse, pc_link **out)
{
    const struct sockaddr *sa;
    socklen_t len;
    pc_link *link = reuse ? take_idle(pool, lease) : NULL;
    apr_status_t rv;

    *out = link;
    if (link) {
        return APR_SUCCESS;
    }
    link = calloc(1, sizeof(*link));
    if (!link) {
        return APR_ENOMEM;
    }
    lease_address(lease, &sa, &len);
    link->backend = lease->index;
    link->born = pc_now();
    link->instance = lease->backend->kind == PC_BACKEND_SPAWN ? lease->proc.instance : 0;
    link->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd == -1) {
        rv = APR_FROM_OS_ERROR(errno);
        free(link);
        return rv;
    }
    link->out_fd = link->fd;
    link->greeting = pool->tls || lease->backend->proxy_protocol;
    rv = pc_link_retry(lease, link);
    if (rv != APR_SUCCESS && rv != APR_EINPROGRESS && rv != APR_EAGAIN) {
        pc_link_close(link);
        return rv;
    }
    *out = link;
    return rv;
}

apr_status_t pc_link_connected(pc_link *link)
{
    union {
        struct sockaddr sa;
        struct sockaddr_storage ss;
    } peer;
    socklen_t len = sizeof(int);
    int err = 0;

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1) {
        err = errno;
    }
    if (err) {
        return APR_FROM_OS_ERROR(err);
    }
    len = sizeof(peer);
    if (getpeername(link->fd, &peer.sa, &len) == -1) {
        return errno == ENOTCONN ? APR_EINPROGRESS : APR_FROM_OS_ERROR(errno);
    }
    now_connected(link, &peer.sa);
    return APR_SUCCESS;
}

ssize_t pc_link_recv(pc_link *link, void *buf, apr_size_t size, int wait)
{
    ssize_t n;

    if (link->ops) {
        return link->ops->recv(link, buf, size, wait);
    }
    do { /* the socket's receive timeout bounds a wait */
        n = recv(link->fd, buf, size, wait && has_patience(link) ? 0 : MSG_DONTWAIT);
    } while (n == -1 && errno == EINTR);
    return n;
}

ssize_t pc_link_send(pc_link *link, const struct iovec *iov, int n)
{
    struct msghdr msg;
    ssize_t sent;

    if (link->ops) {
        return link->ops->send(link, iov, n);
    }
    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = (struct iovec *)iov;
    msg.msg_iovlen = (size_t)n;
    do {
        sent = sendmsg(link->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent == -1 && errno == EINTR);
    return sent;
}

int pc_link_shut(pc_link *link)
{
    if (link->ops) {
        return link->ops->shut && link->ops->shut(link);
    }
    return shutdown(link->out_fd, SHUT_WR) == 0;
}

int pc_link_is_stale(pc_link *link)
{
    char c;
    ssize_t n;

    if (link->ops && link->ops->stale) {
        return link->ops->stale(link);
    }
    n = recv(link->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return !(n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

void pc_link_shed(const pc_pool_conf *pool, const pc_lease *lease)
{
    pc_link_close(take_idle(pool, lease));
}

static int has_done_its_share(const pc_pool_conf *pool, const pc_link *link)
{
    const pc_backend_conf *b = &APR_ARRAY_IDX(pool->backends, link->backend, pc_backend_conf);

    if (pool->keep.requests && link->requests >= (unsigned)pool->keep.requests) {
        return 1;
    }
    return (pool->codec->flags & PC_CODEC_EXCLUSIVE) && !pc_upstream_bounded(b)
           && link->idle_since - link->born > EXCLUSIVE_SLICE;
}

void pc_link_keep(const pc_pool_conf *pool, pc_link *link)
{
    struct pc_upstream *up = pool->upstream;
    idle_list *l = &up->lists[link->backend];

    link->idle_since = pc_now();
    if (has_done_its_share(pool, link)) {
        pc_link_close(link);
        return;
    }
    apr_thread_mutex_lock(up->lock);
    if (l->n < pool->keep.max) {
        link->next = l->first;
        l->first = link;
        l->n++;
        link = NULL;
    }
    apr_thread_mutex_unlock(up->lock);
    pc_link_close(link);
    order_sweep(pool);
}

void pc_link_close(pc_link *link)
{
    if (link) {
        if (link->ops && link->ops->close) {
            link->ops->close(link);
        }
        if (link->fd != -1) {
            close(link->fd);
        }
        if (link->out_fd != -1 && link->out_fd != link->fd) {
            close(link->out_fd);
        }
        free(link);
    }
}

int pc_upstream_patient(const pc_pool_conf *pool, int backend)
{
    return apr_atomic_read32(&pool->upstream->lists[backend].impatience) < PATIENCE_FULL;
}

int pc_upstream_quick(const pc_pool_conf *pool)
{
    int i;

    for (i = 0; i < pool->backends->nelts; i++) {
        if (pc_upstream_patient(pool, i)) {
            return 1;
        }
    }
    return 0;
}

apr_interval_time_t pc_upstream_patience(const pc_pool_conf *pool)
{
    return pool->codec == &pc_cgi_codec ? PC_SCRIPT_PATIENCE : PC_PATIENCE;
}

void pc_upstream_learn(const pc_pool_conf *pool, int backend, int quick)
{
    apr_uint32_t *p = &pool->upstream->lists[backend].impatience;
    apr_uint32_t now = apr_atomic_read32(p);

    /* Two threads may learn at once; one lesson more or less does not matter. */
    if (quick && now) {
        apr_atomic_set32(p, 0);
    }
    else if (!quick && now < PATIENCE_FULL) {
        apr_atomic_set32(p, now + 1);
    }
}
