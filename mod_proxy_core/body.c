/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's body. Always read without blocking: the HTTP input filter sends 100 Continue by itself only on a blocking
 * read, so it is sent here, when a backend is ready to take the body and not before.
 */
#include "exchange.h"
#include "clock.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"

#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

static int expects_backend(const pc_exchange *x)
{
    return (x->codec->flags & PC_CODEC_EXPECT) && !x->pool->expect_local && !x->spool_first
           && x->r->proto_num >= HTTP_VERSION(1, 1);
}

static int is_over_limit(const pc_exchange *x, apr_off_t length)
{
    apr_off_t limit = ap_get_limit_req_body(x->r);

    if (limit <= 0 || length <= limit) {
        return 0;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                  "PXC0423: a body of %" APR_OFF_T_FMT " bytes or more is over "
                  "LimitRequestBody, %" APR_OFF_T_FMT,
                  length, limit);
    return 1;
}

int pc_body_setup(pc_exchange *x)
{
    request_rec *r = x->r;
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");

    x->body = PC_BODY_NONE;
    if (r->main || x->route->role == PC_ROLE_AUTHORIZER || (!length && !ap_request_has_body(r))) {
        return OK;
    }
    if (r->prev && ap_is_HTTP_ERROR(r->status)) {
        /* An ErrorDocument: the body belongs to the request that failed, which may have read it or not. */
        r->connection->keepalive = AP_CONN_CLOSE;
        return OK;
    }
    if (coding && ap_cstr_casecmp(coding, "chunked")) { /* httpd undoes only this one */
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "PXC0422: Transfer-Encoding \"%s\" is not \"chunked\"", coding);
        return HTTP_NOT_IMPLEMENTED;
    }
    x->msg.content_length = -1;
    if (length && !coding && !ap_parse_strict_length(&x->msg.content_length, length)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "PXC0420: Content-Length \"%s\" is not a length", length);
        return HTTP_BAD_REQUEST;
    }
    if (is_over_limit(x, x->msg.content_length)) { /* before a backend is asked and the body invited */
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    x->msg.body = 1;
    if (x->msg.content_length == 0) {
        return OK; /* said to be empty: nothing to read */
    }
    if (r->input_filters != r->proto_input_filters || x->route->role == PC_ROLE_FILTER) {
        /* Filters may make something else of it (mod_deflate), and change its fields when they do; and what follows it for
         * an application that is a filter must be known before: read it first. */
        x->msg.content_length = -1;
        x->spool_first = 1;
    }
    if (x->pool->request.on || (x->msg.content_length < 0 && !(x->codec->flags & PC_CODEC_CHUNKS))) {
        x->spool_first = 1;
    }
    if (x->spool_first) { /* without a lease: a client that is slow has no backend's place */
        x->state = PC_STATE_SPOOLING;
    }
    x->body = r->expecting_100 && expects_backend(x) ? PC_BODY_EXPECTED : PC_BODY_OPEN;
    x->in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    return OK;
}

void pc_body_continue(pc_exchange *x)
{
    request_rec *r = x->r;
    int status = r->status;
    const char *line = r->status_line;

    if (r->expecting_100) {
        r->status = HTTP_CONTINUE;
        r->status_line = NULL;
        ap_send_interim_response(r, 0);
        r->status = status;
        r->status_line = line;
    }
}

/* What must be returned for an error of the input filters. */
static apr_status_t read_failed(pc_exchange *x, apr_status_t rv)
{
    x->rc = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    return rv == APR_EOF || rv == APR_SUCCESS || rv == APR_EAGAIN ? APR_EGENERAL : rv;
}

apr_status_t pc_body_read(pc_exchange *x)
{
    int proxyreq = x->r->proxyreq;
    apr_status_t rv;
    apr_bucket *b;

    if (x->head_passed) {
        /* The HTTP input filter answers a malformed body itself, with an error and EOS: behind a head that has left, that
         * would end a half answer as if it were whole. Of what it takes for a response it only reports the error. */
        x->r->proxyreq = PROXYREQ_RESPONSE;
    }
    rv = ap_get_brigade(x->r->input_filters, x->in, AP_MODE_READBYTES, APR_NONBLOCK_READ, PC_SEND_LOT);
    x->r->proxyreq = proxyreq;
    if (APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(x->in))) {
        if (x->body == PC_BODY_OPEN && x->r->expecting_100) { /* not if it comes, or is refused, without */
            pc_body_continue(x);
        }
        return APR_EAGAIN;
    }
    if (rv != APR_SUCCESS) {
        return read_failed(x, rv);
    }
    x->body_taken = 1;
    x->r->expecting_100 = 0;
    for (b = APR_BRIGADE_FIRST(x->in); b != APR_BRIGADE_SENTINEL(x->in); b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            return APR_EOF;
        }
    }
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ spool */

static apr_status_t spool_in(pc_exchange *x)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(x->in)) {
        apr_bucket *b = APR_BRIGADE_FIRST(x->in);
        const char *data;
        apr_size_t len;

        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS && len) {
            x->spooled += (apr_off_t)len;
            rv = pc_spool_write(x->spool, data, len);
        }
        apr_bucket_delete(b);
    }
    return rv;
}

apr_status_t pc_body_spool(pc_exchange *x)
{
    apr_status_t rv, kept;

    if (!x->spool) {
        x->spool = pc_spool_make(x->r->pool, x->c->bucket_alloc, x->pool->request.memory, x->pool->request.file);
        x->client_at = x->now;
    }
    do {
        rv = pc_body_read(x);
        if (rv != APR_SUCCESS && rv != APR_EOF) {
            return rv;
        }
        x->client_at = pc_now();
        kept = spool_in(x);
        if (kept != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, kept, x->r, "PXC0421: the request's body cannot be spooled");
            x->rc = HTTP_INTERNAL_SERVER_ERROR;
            return kept;
        }
        if (is_over_limit(x, x->spooled)) { /* what filters made of a body that was not */
            x->rc = HTTP_REQUEST_ENTITY_TOO_LARGE;
            return APR_EGENERAL;
        }
    } while (rv == APR_SUCCESS);
    x->msg.content_length = x->spooled;
    x->msg.fields = NULL; /* with the length, now that it is known */
    return APR_EOF;
}

void pc_body_rewind(pc_exchange *x)
{
    apr_brigade_cleanup(x->in);
    pc_spool_show(x->spool, x->in);
    x->body = PC_BODY_READ;
    x->in_next = APR_BRIGADE_FIRST(x->in);
    if (x->in_next == APR_BRIGADE_SENTINEL(x->in)) {
        x->in_next = NULL;
    }
}

int pc_body_replayable(const pc_exchange *x)
{
    return x->spool != NULL || !x->body_taken;
}
