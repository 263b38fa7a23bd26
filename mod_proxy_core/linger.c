/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that has just been answered often asks again at once. The way through the event MPM's listener costs it two
 * changes of the pollset, a wake-up of the listener and one of another worker: more than the request itself. A thread
 * that has nothing else to do therefore looks at the connection for a moment before it lets go.
 *
 * At most half of a child's threads do so, so that new connections and parked ones always find one, and none does while
 * the child is stopping or while more requests are parked than it has threads: the listener, once it has had to wait for
 * a thread, takes no new connection until it finds one at once. Short waits for a backend are counted together with
 * these.
 */
#include "linger.h"

#include "ap_mpm.h"
#include "http_connection.h"
#include "http_core.h"

#include "apr_atomic.h"
#include "apr_portable.h"

#include <poll.h>

/** Milliseconds. */
#define LINGER_MSEC 2

static struct {
    apr_uint32_t now; /* threads that wait */
    apr_uint32_t max;
} lingering;

void pc_linger_child_init(apr_pool_t *pchild)
{
    int threads = 0;

    (void)pchild;
    lingering.now = 0;
    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS) {
        threads = 0;
    }
    lingering.max = (apr_uint32_t)(threads / 2);
}

static int flush_pending(conn_rec *c)
{
    ap_filter_t *f = c->output_filters;

    while (f->next) {
        f = f->next;
    }
    return f->frec->filter_func.out_func(f, NULL) == APR_SUCCESS && !c->data_in_output_filters && !c->aborted;
}

static int readable_soon(conn_rec *c)
{
    struct pollfd p = { -1, POLLIN, 0 };
    apr_socket_t *sock = ap_get_conn_socket(c);

    if (!sock || apr_os_sock_get(&p.fd, sock) != APR_SUCCESS) {
        return 0;
    }
    return poll(&p, 1, LINGER_MSEC) == 1 && (p.revents & POLLIN);
}

int pc_thread_may_wait(void)
{
    if (apr_atomic_inc32(&lingering.now) < lingering.max) {
        return 1;
    }
    apr_atomic_dec32(&lingering.now);
    return 0;
}

void pc_thread_waited(void)
{
    apr_atomic_dec32(&lingering.now);
}

int pc_linger(conn_rec *c, apr_uint32_t waiting)
{
    int state, soon;

    if (c->keepalive != AP_CONN_KEEPALIVE || c->aborted || !flush_pending(c)) {
        return 0;
    }
    if (c->data_in_input_filters) {
        return 1;
    }
    if (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS || state == AP_MPMQ_STOPPING) {
        return 0;
    }
    if (waiting > lingering.max * 2 || !pc_thread_may_wait()) {
        return 0;
    }
    soon = readable_soon(c);
    pc_thread_waited();
    return soon;
}
