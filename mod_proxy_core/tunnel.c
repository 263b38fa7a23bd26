/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind 101: bytes of another protocol, both ways, until both sides have ended or one of them has failed.
 *
 * Each direction has at most one lot on its way, in x->tunnel->up or in the core output filter, and reads no more before
 * that one is gone. A direction ends when its source does and its last byte is sent: the other side is told by closing
 * the sending half of its connection, and the tunnel ends when both have ended. Where that half cannot be closed alone
 * (TLS, an HTTP/2 stream) the end of the source is the end of the tunnel.
 */
#include "tunnel.h"
#include "clock.h"
#include "instead_values.h"
#include "upgrade.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"

#include "apr_strings.h"

#include <errno.h>
#include <stdlib.h>

APLOG_USE_MODULE(proxy_core);

/** Most of the client's bytes on their way. */
#define UP_LOT 32768
#define UP_IOVS 16
/** A read of the backend, until there is more. */
#define FEW 4096
/** So many lots, then a pause: the listener takes no new connection as long as it finds no thread idle. */
#define ROUNDS 32
#define PAUSE apr_time_from_msec(1)

/* ------------------------------------------------------------------ begin */

/* An extended CONNECT of HTTP/2 was made a GET by mod_http2, with a body that is said to be chunked, and is empty. */
static void look_into_body(pc_exchange *x)
{
    apr_status_t rv = pc_body_read(x);

    if (rv == APR_EOF && APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(x->in))) {
        apr_table_unset(x->r->headers_in, "Transfer-Encoding");
        apr_brigade_cleanup(x->in);
        x->body = PC_BODY_NONE;
        x->msg.body = 0;
        x->msg.content_length = 0;
    }
    else if (rv == APR_EOF || rv == APR_SUCCESS) {
        x->body = rv == APR_EOF ? PC_BODY_READ : PC_BODY_OPEN;
        x->in_next = APR_BRIGADE_FIRST(x->in);
    }
}

void pc_tunnel_offer(pc_exchange *x)
{
    request_rec *r = x->r;
    const char *list = apr_table_get(r->headers_in, "Upgrade");

    if (!list || r->main || r->header_only || r->proto_num < HTTP_VERSION(1, 1)
        || !ap_find_token(r->pool, apr_table_get(r->headers_in, "Connection"), "upgrade")) {
        return;
    }
    if (x->h2 && x->body == PC_BODY_OPEN) {
        look_into_body(x);
    }
    if (x->body != PC_BODY_NONE || x->msg.body
        || (x->pool->upgrade == PC_UPGRADE_WEBSOCKET && r->method_number != M_GET)) {
        return;
    }
    x->msg.upgrade = pc_upgrade_offer(r->pool, list, x->pool->upgrade);
}

/* The head goes past the filters of the request, which know of one answer and one body. */
static void pass_head(pc_exchange *x, const pc_head *head)
{
    request_rec *r = x->r;
    apr_table_t *fields = apr_table_make(r->pool, (int)head->nfields + 1);
    apr_size_t i;

    for (i = 0; i < head->nfields; i++) {
        if (pc_instead_field_of(head->fields[i].name, head->fields[i].name_len) == PC_FIELD_OTHER) { /* for us only */
            apr_table_addn(fields, head->fields[i].name, head->fields[i].value);
        }
    }
    apr_table_setn(fields, "Connection", "Upgrade");
    r->headers_out = apr_table_copy(r->pool, fields);
    r->status = head->status;
    r->status_line = NULL;
    ap_send_interim_response(r, 1);
    r->headers_out = fields; /* for the log */
    x->head_passed = 1;
    r->sent_bodyct = 1;
    r->input_filters = r->proto_input_filters = x->c->input_filters;
    r->output_filters = r->proto_output_filters = x->c->output_filters;
}

void pc_tunnel_begin(pc_exchange *x, const pc_head *head)
{
    pc_tunnel *t = apr_pcalloc(x->r->pool, sizeof(*t));

    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "PXC0660: pool %s backend %s: a tunnel begins", x->pool->name,
                  x->lease.backend->name);
    t->x = x;
    t->up = apr_brigade_create(x->r->pool, x->c->bucket_alloc);
    t->moved = x->now;
    x->lot = FEW;
    x->tunnel = t;
    x->state = PC_STATE_TUNNEL;
    x->c->keepalive = AP_CONN_CLOSE;
    (void)ap_remove_input_filter_byhandle(x->c->input_filters, "reqtimeout"); /* it times requests and their bodies */
    pass_head(x, head);
    if (x->can_park && pc_perch_fd(x) != -1) {
        apr_pool_cleanup_register(x->r->pool, t, pc_tunnel_delist, apr_pool_cleanup_null);
        pc_tunnel_enlist(t);
    }
}

/* ------------------------------------------------------------------ from the client */

/* @return 1: something is in t->up */
static int read_client(pc_exchange *x, pc_tunnel *t)
{
    apr_status_t rv = ap_get_brigade(x->c->input_filters, t->up, AP_MODE_READBYTES, APR_NONBLOCK_READ, UP_LOT);

    if (rv == APR_SUCCESS) {
        return !APR_BRIGADE_EMPTY(t->up);
    }
    if (APR_STATUS_IS_EOF(rv)) {
        t->client_ended = 1;
    }
    else if (!APR_STATUS_IS_EAGAIN(rv)) {
        t->over = "client";
    }
    return 0;
}

static int gather(pc_tunnel *t, struct iovec *iov)
{
    int n = 0;
    apr_bucket *b = APR_BRIGADE_FIRST(t->up);

    while (n < UP_IOVS && b != APR_BRIGADE_SENTINEL(t->up)) {
        apr_bucket *next = APR_BUCKET_NEXT(b);
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            t->client_ended = 1;
        }
        if (APR_BUCKET_IS_METADATA(b) || apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS || !len) {
            apr_bucket_delete(b);
        }
        else {
            iov[n].iov_base = (void *)data;
            iov[n++].iov_len = len;
        }
        b = next;
    }
    return n;
}

static void drop(apr_bucket_brigade *bb, apr_size_t n)
{
    while (n) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);

        if (b->length > n) {
            apr_bucket_split(b, n);
        }
        n -= b->length;
        apr_bucket_delete(b);
    }
}

/* What the backend does not take now stays here, and must outlive the filter's buffer. */
static void keep(pc_exchange *x, apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        (void)apr_bucket_setaside(b, x->r->pool);
    }
}

/* @return 1: something moved */
static int up(pc_exchange *x, pc_tunnel *t)
{
    struct iovec iov[UP_IOVS];
    ssize_t sent;
    int n;

    if (APR_BRIGADE_EMPTY(t->up) && (t->client_ended || !read_client(x, t))) {
        return 0;
    }
    n = gather(t, iov);
    if (n == 0) {
        return 1;
    }
    sent = pc_link_send(x->link, iov, n);
    if (sent == -1 && errno != EAGAIN && errno != EWOULDBLOCK) {
        t->over = "backend";
        return 0;
    }
    if (sent <= 0) {
        keep(x, t->up);
        return 0;
    }
    drop(t->up, (apr_size_t)sent);
    x->bytes_in += sent;
    t->moved = x->last_write = pc_now();
    return 1;
}

/* ------------------------------------------------------------------ from the backend */

/* Not from the connection's allocator, which would keep a buffer for as long as the tunnel lives.
 * @return as pc_link_recv(), *b: the bytes */
static ssize_t read_backend(pc_exchange *x, apr_bucket **b)
{
    char few[FEW], *buf = x->lot > FEW ? malloc(x->lot) : few;
    ssize_t n;

    if (!buf) {
        errno = ENOMEM;
        return -1;
    }
    n = pc_link_recv(x->link, buf, x->lot > FEW ? x->lot : FEW, 0);
    if (n > 0) {
        *b = apr_bucket_heap_create(buf, (apr_size_t)n, buf == few ? NULL : free, x->c->bucket_alloc);
    }
    else if (buf != few) {
        int error = errno;

        free(buf);
        errno = error;
    }
    return n;
}

/* @return 1: something moved, and there may be more */
static int down(pc_exchange *x, pc_tunnel *t)
{
    apr_bucket *b;
    ssize_t n;

    if ((x->blocked && !(pc_reply_client_takes(x) && pc_reply_drain(x))) || t->backend_ended) {
        return 0;
    }
    n = read_backend(x, &b);
    if (n <= 0) {
        t->backend_ended = n == 0;
        if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK) {
            t->over = "backend";
        }
        return 0;
    }
    x->lot = (apr_size_t)n >= FEW ? PC_REPLY_LOT : FEW;
    x->bytes_out += n;
    t->moved = x->last_read = pc_now();
    APR_BRIGADE_INSERT_TAIL(x->out, b);
    return pc_reply_pass_on(x);
}

/* ------------------------------------------------------------------ ends */

/* @return 0: this connection cannot be closed in one direction */
static int shut_client(pc_exchange *x)
{
    return !x->h2 && !ap_ssl_conn_is_ssl(x->c)
           && apr_socket_shutdown(ap_get_conn_socket(x->c), APR_SHUTDOWN_WRITE) == APR_SUCCESS;
}

/* Pass the end of a side on to the other, once its last byte is. */
static void pass_ends(pc_exchange *x, pc_tunnel *t)
{
    if (t->client_ended || t->backend_ended) {
        t->first = t->first ? t->first : t->client_ended ? "client" : "backend";
    }
    if (t->client_ended && !t->backend_told && APR_BRIGADE_EMPTY(t->up)) {
        t->backend_told = 1;
        if (!t->backend_ended && !pc_link_shut(x->link)) {
            t->over = t->first;
        }
    }
    if (t->backend_ended && !t->client_told && !x->blocked && !x->unflushed) {
        t->client_told = 1;
        if (!t->client_ended && !shut_client(x)) {
            t->over = t->first;
        }
    }
    if (t->client_told && t->backend_told) {
        t->over = t->first;
    }
}

pc_step pc_tunnel_end(pc_exchange *x, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r,
                  "PXC0661: pool %s backend %s: a tunnel ends (%s) after %" APR_OFF_T_FMT " bytes from the client and "
                  "%" APR_OFF_T_FMT " to it",
                  x->pool->name, x->lease.backend->name, why, x->bytes_in, x->bytes_out);
    (void)pc_tunnel_delist(x->tunnel);
    apr_table_setn(x->r->notes, "proxy-core-tunnel", why);
    x->r->bytes_sent = x->bytes_out;
    x->answered = 1;
    if (x->client_left) {
        x->c->aborted = 1;
    }
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    return pc_exchange_end(x, OK, "tunnel");
}

pc_step pc_tunnel_overdue(pc_exchange *x)
{
    if (x->due == PC_DUE_LOOK) {
        return PC_STEP_AGAIN;
    }
    return pc_tunnel_end(x, x->due == PC_DUE_IDLE ? "idle" : x->due == PC_DUE_TOTAL ? "total" : "stop");
}

/* ------------------------------------------------------------------ step */

static unsigned wanted(const pc_exchange *x, const pc_tunnel *t)
{
    unsigned want = 0;

    if (!APR_BRIGADE_EMPTY(t->up)) {
        want |= PC_WANT_BACKEND_WRITE;
    }
    else if (!t->client_ended) {
        want |= PC_WANT_CLIENT_READ;
    }
    if (x->blocked) {
        want |= PC_WANT_CLIENT_WRITE;
    }
    else if (!t->backend_ended) {
        want |= PC_WANT_BACKEND_READ;
    }
    return want;
}

/* Move what can be moved. @return 1: there is more to do, and it is not to be waited for */
static int move(pc_exchange *x, pc_tunnel *t)
{
    int rounds = 0;

    while (!t->over && !x->client_left) {
        int moved = up(x, t);

        moved |= down(x, t);
        if (!moved) {
            return 0;
        }
        if (++rounds == ROUNDS) {
            return 1;
        }
    }
    return 0;
}

pc_step pc_tunnel_step(pc_exchange *x)
{
    pc_tunnel *t = x->tunnel;
    int more = move(x, t);

    if (x->unflushed && !x->blocked && !x->client_left) {
        pc_reply_flush(x);
    }
    x->now = pc_now();
    pass_ends(x, t);
    if (x->client_left || t->over) {
        return pc_tunnel_end(x, x->client_left ? "client" : t->over);
    }
    t->pausing = more != 0;
    x->want = more ? 0 : pc_exchange_cross_wants(x->link, wanted(x, t));
    return PC_STEP_WAIT;
}

apr_time_t pc_tunnel_idle_since(const pc_exchange *x)
{
    return x->tunnel->moved;
}

apr_interval_time_t pc_tunnel_pause(const pc_exchange *x)
{
    return x->tunnel->pausing ? PAUSE : 0;
}

int pc_tunnel_watches_client(const pc_exchange *x)
{
    const pc_tunnel *t = x->tunnel;

    return (x->want & (PC_WANT_CLIENT_READ | PC_WANT_CLIENT_WRITE)) || !(t->client_ended || t->client_told);
}
