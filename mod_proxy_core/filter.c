/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * FastCGI's filters: the file that httpd has found goes to the application behind the client's body, as a stream of its
 * own, and what the application says is the answer.
 */
#include "exchange.h"

#include "http_core.h"
#include "http_log.h"

#include "apr_file_io.h"

APLOG_USE_MODULE(proxy_core);

int pc_filter_open(request_rec *r, pc_route *route)
{
    apr_finfo_t finfo;
    apr_status_t rv;

    if (r->finfo.filetype != APR_REG) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0610: pool %s: a filter needs a file, and no regular file was found for %s; in <Location> it "
                      "takes check-local=on",
                      route->pool->name, r->uri);
        return route->check_local ? HTTP_NOT_FOUND : HTTP_INTERNAL_SERVER_ERROR;
    }
    /* it may be a FIFO by now, which must not be waited for */
    rv = apr_file_open(&route->data, r->filename, APR_FOPEN_READ | APR_FOPEN_BINARY | APR_FOPEN_NONBLOCK, 0, r->pool);
    if (rv == APR_SUCCESS) { /* of what was opened: it may be another one by now */
        rv = apr_file_info_get(&finfo, APR_FINFO_SIZE | APR_FINFO_MTIME | APR_FINFO_TYPE, route->data);
    }
    if (rv != APR_SUCCESS || finfo.filetype != APR_REG) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r, "PXC0611: pool %s: the filter's file %s cannot be read",
                      route->pool->name, r->filename);
        return HTTP_FORBIDDEN;
    }
    route->data_length = finfo.size;
    route->data_mtime = finfo.mtime;
    return OK;
}

void pc_filter_queue(pc_exchange *x)
{
    apr_bucket *b;

    if (!x->in) {
        x->in = apr_brigade_create(x->r->pool, x->c->bucket_alloc);
    }
    else if (!x->spool) {
        apr_brigade_cleanup(x->in); /* what an earlier try has left of the file */
    }
    x->body = PC_BODY_READ;
    if (x->route->data_length) {
        b = apr_brigade_insert_file(x->in, x->route->data, 0, x->route->data_length, x->r->pool);
        (void)apr_bucket_file_enable_mmap(b, 0); /* who shortens it meanwhile must not end this child */
    }
    if (!x->in_next && !APR_BRIGADE_EMPTY(x->in)) {
        x->in_next = APR_BRIGADE_FIRST(x->in);
    }
}
