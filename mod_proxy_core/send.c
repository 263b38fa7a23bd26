/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * To the backend: head and body leave through one queue of iovecs, so that a head and a small body are one system call.
 * The queue is refilled only when it is empty; what it points into (the head's buffer, frames, buckets of x->in before
 * x->in_next) stays until then.
 *
 * A request's fields and its head are made on the stack, of the step that sends them: nearly always they leave at once, and
 * of a request that waits for its answer nothing is left of them. Another try makes them anew. Fields stay in the request's
 * pool where they are looked at again, or where rules of the administrator's made them, which are applied once.
 */
#include "exchange.h"
#include "clock.h"
#include "rewrite.h"

#include "http_log.h"
#include "http_protocol.h"

#include "apr_strings.h"

#include <errno.h>
#include <sys/socket.h>

APLOG_USE_MODULE(proxy_core);

/** After so many lots of the body it is looked whether the backend has answered. */
#define LOTS_AT_ONCE 16

/** Fields that are made on the stack; for more there is the request's pool. */
#define FIELDS_ROOM 64

static void build_message(pc_exchange *x, const apr_array_header_t *fields)
{
    x->msg.method = x->r->method;
    x->msg.fields = (const pc_field *)fields->elts;
    x->msg.nfields = (apr_size_t)fields->nelts;
    x->msg.head_only = x->r->header_only;
    x->msg.role = x->route->role;
    x->msg.data_length = x->route->data_length;
}

static int build_fields(pc_exchange *x, apr_array_header_t *fields)
{
    const pc_rewrite *rewrite = x->route->dir->rewrite;
    int cgi = x->codec->flags & PC_CODEC_CGI, status;

    if (rewrite && (status = pc_rewrite_route(x->r, &x->route)) != OK) {
        return status;
    }
    if (cgi) {
        status =
            pc_cgi_variables(x->r, x->route, x->msg.body ? x->msg.content_length : -1, fields) ? OK : HTTP_BAD_REQUEST;
    }
    else {
        status = pc_http_fields(x->r, x->route, &x->msg.target, &x->msg.host, fields);
    }
    if (status != OK) {
        return status;
    }
    if (rewrite && (status = pc_rewrite_fields(x->r, x->route, fields, cgi ? NULL : &x->msg.host)) != OK) {
        return status;
    }
    if (x->pool->trailers == PC_TRAILERS_BOTH) {
        pc_trailers_announce(x, fields);
    }
    build_message(x, fields);
    return OK;
}

int pc_send_fields(pc_exchange *x)
{
    return x->msg.fields ? OK : build_fields(x, apr_array_make(x->r->pool, 32, sizeof(pc_field)));
}

static int must_keep_fields(const pc_exchange *x)
{
    return x->route->dir->rewrite || x->pool->trailers == PC_TRAILERS_BOTH || x->msg.fields;
}

/* @return OK or an HTTP status */
static int make_head(pc_exchange *x)
{
    const char *refused;

    memset(x->codec_state, 0, x->codec->state_size);
    x->codec->start(x->codec_state, x->r->pool, &x->msg);
    refused = x->codec->head(x->codec_state, &x->head);
    if (!refused) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0410: %s: %s", x->pool->name, refused);
    return HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

static int make_fields_and_head(pc_exchange *x)
{
    pc_field room[FIELDS_ROOM];
    apr_array_header_t fields = { x->r->pool, sizeof(pc_field), 0, FIELDS_ROOM, (char *)room };
    int rc;

    if (must_keep_fields(x)) {
        rc = pc_send_fields(x);
        return rc == OK ? make_head(x) : rc;
    }
    rc = build_fields(x, &fields);
    rc = rc == OK ? make_head(x) : rc;
    x->msg.fields = NULL;
    x->msg.nfields = 0;
    return rc;
}

void pc_send_reset(pc_exchange *x)
{
    x->iov_first = x->iov_n = 0;
    x->head.len = 0;
    x->head_queued = 0;
    x->any_sent = 0;
    x->in_next = NULL;
}

void pc_send_leave_room(pc_exchange *x)
{
    if (x->head.p != x->room) {
        return;
    }
    x->head.p = NULL;
    x->head.cap = 0;
    if (x->iov_n && (char *)x->iov[x->iov_first].iov_base >= x->room
        && (char *)x->iov[x->iov_first].iov_base < x->room + x->head.len) {
        struct iovec *left = &x->iov[x->iov_first];

        left->iov_base = apr_pmemdup(x->r->pool, left->iov_base, left->iov_len);
    }
}

int pc_send_prepare(pc_exchange *x)
{
    int rc;

    pc_send_reset(x);
    x->head.p = x->room;
    x->head.cap = PC_HEAD_ROOM;
    x->any_sent = x->link->begun;
    rc = make_fields_and_head(x);
    if (rc != OK) {
        return rc;
    }
    if (x->spool) {
        pc_body_rewind(x);
    }
    if (x->route->data) {
        pc_filter_queue(x);
    }
    return OK;
}

static void queue(pc_exchange *x, const void *p, apr_size_t n)
{
    if (n) {
        x->iov[x->iov_first + x->iov_n].iov_base = (void *)p;
        x->iov[x->iov_first + x->iov_n].iov_len = n;
        x->iov_n++;
    }
}

static void queue_head(pc_exchange *x)
{
    if (x->body == PC_BODY_NONE) {
        x->head.len += x->codec->finish(x->codec_state, pc_buf_reserve(&x->head, PC_FRAME_MAX));
        x->body = PC_BODY_SENT;
    }
    queue(x, x->head.p, x->head.len);
    x->head_queued = 1;
}

static void queue_finish(pc_exchange *x)
{
    const pc_buf *trailers = pc_trailers_finish(x);
    char buf[PC_FRAME_MAX];
    apr_size_t n = trailers ? 0 : x->codec->finish(x->codec_state, buf);

    if (trailers) {
        queue(x, trailers->p, trailers->len);
    }
    else if (n) {
        char *p = apr_pmemdup(x->r->pool, buf, n);

        queue(x, p, n);
    }
    x->body = PC_BODY_SENT;
}

static void drop_sent_buckets(pc_exchange *x)
{
    while (x->in && !APR_BRIGADE_EMPTY(x->in) && APR_BRIGADE_FIRST(x->in) != x->in_next) {
        if (!x->in_next) {
            apr_brigade_cleanup(x->in);
            return;
        }
        apr_bucket_delete(APR_BRIGADE_FIRST(x->in));
    }
}

/* Frame one bucket's bytes. A frame may take less than all: the rest becomes the next bucket. */
static apr_status_t queue_bucket(pc_exchange *x, apr_bucket *b, int frame, apr_size_t *lot)
{
    const char *data;
    apr_size_t len, n;
    pc_frame *f = &x->body_queue->frames[frame];
    apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);

    if (rv != APR_SUCCESS || len == 0) { /* a file of ours that is shorter than it was is APR_EOF */
        x->rc = HTTP_INTERNAL_SERVER_ERROR;
        return rv;
    }
    f->prefix_len = f->suffix_len = 0;
    n = x->codec->frame(x->codec_state, len, f);
    if (n == 0) { /* more than the length that was promised */
        x->rc = HTTP_BAD_REQUEST;
        return APR_EGENERAL;
    }
    if (n < len) {
        apr_bucket_split(b, n);
    }
    queue(x, f->prefix, f->prefix_len);
    queue(x, data, n);
    queue(x, f->suffix, f->suffix_len);
    x->bytes_in += (apr_off_t)n;
    *lot -= n < *lot ? n : *lot;
    return APR_SUCCESS;
}

static void make_body_queue(pc_exchange *x)
{
    if (!x->body_queue) {
        x->body_queue = apr_palloc(x->r->pool, sizeof(*x->body_queue));
        memcpy(x->body_queue->iov, x->iov, sizeof(x->alone));
        x->iov = x->body_queue->iov;
    }
}

/* Queue what of the body is at hand. @return APR_SUCCESS (maybe nothing), or an error of the body */
static apr_status_t queue_body(pc_exchange *x)
{
    apr_size_t lot = PC_SEND_LOT;
    int frame = 0;
    apr_status_t rv;

    make_body_queue(x);
    while (frame < PC_FRAMES && lot && x->in_next && x->in_next != APR_BRIGADE_SENTINEL(x->in)) {
        apr_bucket *b = x->in_next;

        if (!APR_BUCKET_IS_METADATA(b)) {
            rv = queue_bucket(x, b, frame++, &lot);
            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        x->in_next = APR_BUCKET_NEXT(b);
    }
    if (x->in_next == APR_BRIGADE_SENTINEL(x->in)) {
        x->in_next = NULL;
    }
    return APR_SUCCESS;
}

static pc_step body_failed(pc_exchange *x, apr_status_t rv)
{
    int rc = x->rc;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, x->r,
                  "PXC0411: reading the request's body, or the file behind it, failed");
    pc_send_abort(x);
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    x->c->keepalive = AP_CONN_CLOSE;
    if (x->head_passed) {
        pc_reply_cut(x);
        rc = DONE;
    }
    return pc_exchange_end(x, rc, "client-body");
}

/* More of the body from the client. */
static apr_status_t refill(pc_exchange *x)
{
    apr_status_t rv;

    x->client_dry = 0;                 /* said of this read only: what filters hold back shows on no descriptor */
    if (x->body == PC_BODY_EXPECTED) { /* a client that does not wait for 100 any longer */
        rv = x->any_sent ? pc_body_read(x) : APR_EAGAIN;
        if (rv == APR_EAGAIN) {
            return APR_SUCCESS;
        }
        x->r->expecting_100 = 0;
    }
    else {
        rv = pc_body_read(x);
    }
    if (rv == APR_EAGAIN) {
        x->client_dry = 1;
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS || rv == APR_EOF) {
        x->body = rv == APR_EOF ? PC_BODY_READ : PC_BODY_OPEN;
        x->client_at = x->now;
        x->in_next = APR_BRIGADE_FIRST(x->in);
        if (x->in_next == APR_BRIGADE_SENTINEL(x->in)) {
            x->in_next = NULL;
        }
        return APR_SUCCESS;
    }
    return rv;
}

/* Fill the empty queue. @return APR_SUCCESS, or what is wrong with the body */
static apr_status_t fill(pc_exchange *x)
{
    apr_status_t rv = APR_SUCCESS;

    x->iov_first = x->iov_n = 0;
    drop_sent_buckets(x);
    if (!x->head_queued) {
        queue_head(x);
    }
    if ((x->body == PC_BODY_OPEN || x->body == PC_BODY_EXPECTED) && !x->in_next) {
        rv = refill(x);
    }
    if (rv == APR_SUCCESS && x->in_next && (x->body == PC_BODY_OPEN || x->body == PC_BODY_READ)) {
        rv = queue_body(x);
    }
    if (rv == APR_SUCCESS && x->body == PC_BODY_READ && !x->in_next) {
        queue_finish(x);
    }
    return rv;
}

/* @return bytes written, 0: would block, -1: errno */
static ssize_t write_queue(pc_exchange *x)
{
    ssize_t n = pc_link_send(x->link, x->iov + x->iov_first, x->iov_n);

    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    return n;
}

static void advance(pc_exchange *x, size_t n)
{
    while (x->iov_n && n >= x->iov[x->iov_first].iov_len) {
        n -= x->iov[x->iov_first].iov_len;
        x->iov_first++;
        x->iov_n--;
    }
    if (x->iov_n) {
        x->iov[x->iov_first].iov_base = (char *)x->iov[x->iov_first].iov_base + n;
        x->iov[x->iov_first].iov_len -= n;
    }
}

/* Where the end of the request is something that is done, not said. */
static void say_sent(pc_exchange *x)
{
    if (x->link->out_fd != x->link->fd && x->link->out_fd != -1) {
        pc_perch_forget_link(x);
        (void)pc_link_shut(x->link);
    }
}

/* A backend that takes no more may have answered nevertheless: stop sending, keep reading. */
static int write_failed(pc_exchange *x)
{
    x->iov_n = 0;
    x->body = PC_BODY_STOPPED;
    say_sent(x);
    x->eof = !x->any_sent && x->link->reused; /* nothing of it arrived: a stale connection for certain */
    return 1;
}

int pc_send_some(pc_exchange *x, pc_step *step)
{
    ssize_t n;
    int moved = 0, lots = 0;

    while (x->iov_n || !x->head_queued || x->body == PC_BODY_OPEN || x->body == PC_BODY_READ
           || x->body == PC_BODY_EXPECTED) {
        if (!x->iov_n) {
            apr_status_t rv = fill(x);

            if (rv != APR_SUCCESS) {
                *step = body_failed(x, rv);
                return 1;
            }
            if (!x->iov_n) {
                break;
            }
        }
        n = write_queue(x);
        if (n == -1) {
            return write_failed(x);
        }
        if (n == 0) {
            break;
        }
        moved = 1;
        x->any_sent = 1;
        x->last_write = x->now = pc_now();
        advance(x, (size_t)n);
        if (x->iov_n) {
            break;
        }
        if (x->client_dry) { /* the read that filled this lot had found all there was */
            x->client_dry = 0;
            break;
        }
        if (++lots == LOTS_AT_ONCE) {
            return 2;
        }
    }
    if (x->body == PC_BODY_SENT && !x->iov_n) {
        say_sent(x);
    }
    return moved;
}

void pc_send_abort(pc_exchange *x)
{
    char buf[PC_FRAME_MAX];
    apr_size_t n;

    if (!x->link || !x->link->connected || !x->any_sent || x->answered) {
        return;
    }
    n = x->codec->abort(x->codec_state, buf);
    if (n && !x->iov_n) { /* never in the middle of a record */
        struct iovec iov = { buf, n };

        (void)!pc_link_send(x->link, &iov, 1);
    }
}
