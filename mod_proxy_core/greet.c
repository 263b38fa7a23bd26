/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new connection begins with, before the request: a header of the PROXY protocol, then TLS. Part of
 * PC_STATE_CONNECTING: nothing here waits, and the time for connecting bounds it.
 */
#include "exchange.h"
#include "proxy_header.h"
#include "tls.h"

#include "http_log.h"

#include <errno.h>

APLOG_USE_MODULE(proxy_core);

/* The header is smaller than any socket's empty buffer: it is written whole or the connection is of no use. */
static apr_status_t send_header(pc_exchange *x)
{
    char buf[PC_PROXY_HEADER_MAX];
    apr_size_t n =
        pc_proxy_header(buf, (int)x->lease.backend->proxy_protocol, (const struct sockaddr *)&x->r->useragent_addr->sa,
                        (const struct sockaddr *)&x->c->local_addr->sa);
    struct iovec iov = { buf, n };

    if (pc_link_send(x->link, &iov, 1) != (ssize_t)n) {
        x->link->why = "it did not take the PROXY header";
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t pc_greet(pc_exchange *x)
{
    pc_link *link = x->link;
    apr_status_t rv = APR_SUCCESS;

    if (!link->ops) { /* the first time */
        if (x->lease.backend->proxy_protocol) {
            rv = send_header(x);
        }
        if (rv == APR_SUCCESS && x->pool->tls) {
            rv = pc_tls_start(x->pool, &x->lease, link);
        }
    }
    if (rv == APR_SUCCESS && x->pool->tls) {
        rv = pc_tls_handshake(link);
        if (rv == APR_SUCCESS && APLOGrdebug(x->r)) {
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "PXC0640: pool %s backend %s: %s", x->pool->name,
                          x->lease.backend->name, pc_tls_describe(link));
        }
    }
    if (rv == APR_SUCCESS) {
        link->greeting = 0;
    }
    return rv;
}
