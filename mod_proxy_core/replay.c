/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * An input filter that stands where httpd's own hands out the body of a connection, and below all that may change it: an
 * internal redirect keeps those of the protocol, and this is one of them from then on.
 */
#include "replay.h"

#include "http_protocol.h"
#include "util_filter.h"

#include "apr_buckets.h"
#include "apr_strings.h"

#define FILTER "PROXY_CORE_REPLAY"

/** @param f->ctx  brigade of what was not read yet */
static apr_status_t replay(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                           apr_off_t max)
{
    apr_bucket_brigade *left = f->ctx;
    apr_bucket *end, *b;
    apr_status_t rv;

    if (mode != AP_MODE_READBYTES) {
        return ap_get_brigade(f->next, bb, mode, block, max);
    }
    rv = apr_brigade_partition(left, max, &end);
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        return rv;
    }
    while ((b = APR_BRIGADE_FIRST(left)) != end && b != APR_BRIGADE_SENTINEL(left)) {
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(bb, b);
    }
    if (APR_BRIGADE_EMPTY(left)) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    }
    return APR_SUCCESS;
}

void pc_replay(request_rec *r, pc_spool *body)
{
    apr_bucket_brigade *left = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    pc_spool_show(body, left);
    r->proto_input_filters = ap_add_input_filter(FILTER, left, r, r->connection);
    apr_table_setn(r->headers_in, "Content-Length", apr_off_t_toa(r->pool, pc_spool_length(body)));
    apr_table_unset(r->headers_in, "Transfer-Encoding");
    apr_table_unset(r->headers_in, "Expect");
}

void pc_replay_register(void)
{
    ap_register_input_filter(FILTER, replay, NULL, AP_FTYPE_PROTOCOL - 1);
}
