/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  upstream.h
 * @brief Connections to backends: the only room that connects, and the child's store of idle connections.
 *
 * A link belongs to one exchange at a time, or to the store. From the first answer that is waited for on, its descriptor is
 * in blocking mode with a short receive timeout (PC_PATIENCE), so that one recv() can wait for a quick answer without a
 * poll(); whoever must not wait says MSG_DONTWAIT.
 */
#ifndef PC_UPSTREAM_H
#define PC_UPSTREAM_H

#include "pool.h"

#include <sys/uio.h>

/** How long a receiving call may wait in a thread before the exchange is parked. */
#define PC_PATIENCE apr_time_from_msec(3)
/** The same for a script, which is a new process each time: what one takes where many are started at once. */
#define PC_SCRIPT_PATIENCE apr_time_from_msec(30)

typedef struct pc_link pc_link;

/** How bytes travel where a plain socket's recv() and sendmsg() will not do. */
typedef struct pc_link_ops {
    /** As pc_link_recv(). */
    ssize_t (*recv)(pc_link *link, void *buf, apr_size_t size, int wait);
    /** As pc_link_send(). */
    ssize_t (*send)(pc_link *link, const struct iovec *iov, int n);
    /** As pc_link_shut(); NULL: cannot. */
    int (*shut)(pc_link *link);
    /** What belongs to the link beside its descriptors. Before these are closed; may be NULL. */
    void (*close)(pc_link *link);
    /** As pc_link_is_stale(); NULL: what is readable is stale. */
    int (*stale)(pc_link *link);
} pc_link_ops;

struct pc_link {
    int fd;                 /* to read from; -1: none */
    int out_fd;             /* to write to: the same, or the other one of two pipes; -1: closed */
    const pc_link_ops *ops; /* NULL: a socket */
    void *data;             /* of the ops */
    unsigned requests;      /* that were begun on it */
    const char *why;        /* of the last error of the ops, for the log; lives as long as the link */
    unsigned connected : 1;
    unsigned patient : 1;          /* a recv() without MSG_DONTWAIT waits for PC_PATIENCE */
    unsigned reused : 1;           /* came from the store: may be stale */
    unsigned greeting : 1;         /* connected, and pc_greet() has not come to its end */
    unsigned read_needs_write : 1; /* what stopped recv() is that nothing can be written (TLS) */
    unsigned write_needs_read : 1; /* the other way round */
    unsigned begun : 1;            /* with the connection the request has begun: it is as good as sent */
    unsigned whole : 1;            /* the answer was whole */
    int backend;
    apr_uint64_t instance; /* procd's process, 0 otherwise */
    apr_time_t born;
    apr_time_t idle_since;
    pc_link *next;
};

/** In child_init: make the store of a pool. */
apr_status_t pc_upstream_child_init(apr_pool_t *pchild, pc_pool_conf *pool);

/** Whether a connection of this lease may be kept, by configuration. One that began with the PROXY protocol belongs to
 *  one client. */
int pc_upstream_may_keep(const pc_pool_conf *pool, const pc_lease *lease);

/** A link for the lease: an idle one when `reuse`, else a new one whose connection has been begun.
 *  @return APR_SUCCESS: connected; APR_EINPROGRESS: wait for writable, then pc_link_connected(); APR_EAGAIN: the
 *  backlog of a unix socket is full, call pc_link_retry() after a while; else why it cannot be had (*link is NULL) */
apr_status_t pc_link_get(const pc_pool_conf *pool, const pc_lease *lease, int reuse, pc_link **link);
/** The begun connection became writable. @return APR_SUCCESS or its error */
apr_status_t pc_link_connected(pc_link *link);
/** Try again to connect after APR_EAGAIN. @return as pc_link_get() */
apr_status_t pc_link_retry(const pc_lease *lease, pc_link *link);
/** @return 1: an idle connection that was closed, or spoke unasked, in the meantime (one recv(MSG_PEEK)) */
int pc_link_is_stale(pc_link *link);

/** Read what is there.
 *  @param wait  1: wait for PC_PATIENCE when there is nothing
 *  @return bytes, 0: the end, -1: errno (EAGAIN: nothing now) */
ssize_t pc_link_recv(pc_link *link, void *buf, apr_size_t size, int wait);
/** Write without waiting. @return bytes, -1: errno (EAGAIN: not now) */
ssize_t pc_link_send(pc_link *link, const struct iovec *iov, int n);
/** Say that nothing more will be sent, and go on to read. @return 0: this connection cannot be closed in one direction */
int pc_link_shut(pc_link *link);

/** Is the number of requests at once bounded, so that an idle connection could keep others out? Such a connection is
 *  only kept to be handed to a request of this child that waits for it. */
int pc_upstream_bounded(const pc_backend_conf *backend);
/** Nobody came for the connection that was kept last for this lease: close it. */
void pc_link_shed(const pc_pool_conf *pool, const pc_lease *lease);
/** Back into the store (or closed, when it is full or the link has done its share). Takes the link. */
void pc_link_keep(const pc_pool_conf *pool, pc_link *link);
/** Close. Takes the link; NULL is fine. */
void pc_link_close(pc_link *link);

/** Whether a thread should wait for this backend's answer rather than park at once: learnt from the last ones. */
int pc_upstream_patient(const pc_pool_conf *pool, int backend);
/** @return 0: none of the pool's backends has answered quickly of late */
int pc_upstream_quick(const pc_pool_conf *pool);
/** How soon an answer must begin to be a quick one: PC_PATIENCE or PC_SCRIPT_PATIENCE. */
apr_interval_time_t pc_upstream_patience(const pc_pool_conf *pool);
/** An answer began so soon (quick) or not. */
void pc_upstream_learn(const pc_pool_conf *pool, int backend, int quick);

#endif /* PC_UPSTREAM_H */
