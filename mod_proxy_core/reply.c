/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * From the backend: one large read, events, one brigade.
 *
 * A read goes into a heap bucket; spans of body are copies of that bucket with other offsets, so no byte is copied on
 * its way to the client and the memory is freed when the last span has been sent. What the client does not take stays in
 * the core output filter, which is left to hold at most one lot: no further read before it is empty.
 */
#include "exchange.h"
#include "clock.h"
#include "script_link.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include <errno.h>
#include <poll.h>

APLOG_USE_MODULE(proxy_core);

/** Most bytes of a body that nobody wants. */
#define UNWANTED_MAX 1000000

/* ------------------------------------------------------------------ the client's side */

int pc_reply_client_takes(const pc_exchange *x)
{
    struct pollfd p = { pc_client_fd(x), POLLOUT, 0 };

    return x->h2 || p.fd == -1 || poll(&p, 1, 0) != 0;
}

int pc_reply_drain(pc_exchange *x)
{
    ap_filter_t *f = x->c->output_filters;

    if (x->h2 || !x->c->data_in_output_filters) {
        x->blocked = 0;
        return 1;
    }
    while (f->next) {
        f = f->next;
    }
    if (f->frec->filter_func.out_func(f, NULL) != APR_SUCCESS || x->c->aborted) {
        x->client_left = 1;
    }
    x->client_at = pc_now();
    x->blocked = x->c->data_in_output_filters != 0 && !x->client_left;
    return !x->blocked;
}

int pc_reply_pass(pc_exchange *x)
{
    if (x->pool->response.on && !x->tunnel && pc_hold_needed(x)) {
        pc_hold_out(x);
        return !x->client_left;
    }
    return pc_reply_pass_on(x);
}

static int is_of_connection(apr_status_t rv)
{
    return rv == APR_SUCCESS || APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_ECONNRESET(rv)
           || APR_STATUS_IS_EPIPE(rv) || APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_EOF(rv);
}

/* Has what makes the head of a response done so? */
static int head_is_made(const request_rec *r)
{
    const ap_filter_t *f = r->output_filters;

    while (f && strcmp(f->frec->name, "http_header") != 0) {
        f = f->next;
    }
    return !f;
}

pc_step pc_reply_end(pc_exchange *x)
{
    return x->unwanted_by_filter ? pc_reply_refused(x) : pc_exchange_end(x, OK, x->client_left ? "client-left" : "ok");
}

int pc_reply_pass_on(pc_exchange *x)
{
    apr_status_t rv;
    int begun;

    if (APR_BRIGADE_EMPTY(x->out)) {
        return !x->client_left;
    }
    begun = x->r->sent_bodyct != 0;
    x->head_passed = 1;
    rv = ap_pass_brigade(x->r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    if (rv != APR_SUCCESS || x->c->aborted) {
        x->client_left = 1;
        x->unwanted_by_filter = !x->c->aborted && !is_of_connection(rv);
        x->half_passed = begun || (!x->r->eos_sent && head_is_made(x->r));
        return 0;
    }
    x->unflushed = 1;
    if ((!x->answered || x->held_back) && !x->h2 && x->c->data_in_output_filters) {
        x->client_at = pc_now();
        (void)pc_reply_drain(x);
    }
    return !x->client_left;
}

void pc_reply_flush(pc_exchange *x)
{
    if (x->held_back && pc_spool_length(x->held_back)) {
        return; /* of a stream: behind that */
    }
    /* what TLS or mod_deflate held back would be written with the thread waiting for it */
    if (!pc_reply_client_takes(x)) {
        if (!x->held) {
            x->client_at = x->now;
        }
        x->held = x->blocked = 1;
        return;
    }
    x->held = 0;
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_flush_create(x->c->bucket_alloc));
    (void)pc_reply_pass_on(x);
    x->unflushed = 0;
}

static void cut(pc_exchange *x, ap_filter_t *filters)
{
    request_rec *r = x->r;
    conn_rec *c = x->c;

    r->no_cache = 1;
    if (r->main) {
        r->main->no_cache = 1;
    }
    apr_brigade_cleanup(x->out);
    x->answered = 1;
    c->keepalive = AP_CONN_CLOSE;
    if (r->eos_sent) { /* by the input filter, which answers a malformed body itself */
        return;
    }
    APR_BRIGADE_INSERT_TAIL(x->out, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(c->bucket_alloc));
    (void)ap_pass_brigade(filters, x->out);
    apr_brigade_cleanup(x->out);
}

void pc_reply_cut(pc_exchange *x)
{
    cut(x, x->r->output_filters);
}

pc_step pc_reply_refused(pc_exchange *x)
{
    request_rec *r = x->r;

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0802: pool %s: an output filter has refused the answer",
                  x->pool->name);
    pc_send_abort(x);
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    r->no_cache = 1;
    x->c->keepalive = AP_CONN_CLOSE;
    if (!r->main && x->half_passed) { /* httpd would make a whole answer of it; the filter is not asked again */
        r->eos_sent = 0;              /* an end that the filter was given has not come through */
        cut(x, r->proto_output_filters);
    }
    return pc_exchange_end(x, AP_FILTER_ERROR, "filter");
}

/* ------------------------------------------------------------------ events */

static void body_span(pc_exchange *x, apr_bucket *rx, const char *base, const pc_event *ev)
{
    apr_bucket *b;

    x->bytes_out += (apr_off_t)ev->len;
    if (x->discard || !ev->len) {
        return;
    }
    apr_bucket_copy(rx, &b);
    b->start = rx->start + (apr_off_t)(ev->data - base);
    b->length = ev->len;
    APR_BRIGADE_INSERT_TAIL(x->out, b);
}

/* The answer is whole. */
static pc_step answer_ended(pc_exchange *x, const pc_event *ev, int left_over)
{
    int keep = ev->reusable && !left_over && !x->iov_n && (x->body == PC_BODY_SENT || x->body == PC_BODY_NONE)
               && x->msg.keep_alive;

    if (ev->app_status) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "PXC0442: %s: the application ended with status %d",
                      x->pool->name, ev->app_status);
    }
    x->answered = 1;
    x->app_status = ev->app_status;
    x->link->whole = 1;
    pc_exchange_release(x, PC_OUTCOME_OK, keep);
    if (x->instead) {
        return pc_exchange_end(x, OK, x->instead_state);
    }
    if (x->final_status) {
        return pc_exchange_end(x, x->final_status, "ok");
    }
    if (x->pool->response.on && pc_hold_needed(x)) {
        (void)pc_hold_until_drained(x, NULL);
        return PC_STEP_AGAIN;
    }
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(x->c->bucket_alloc));
    (void)pc_reply_pass_on(x);
    return pc_reply_end(x);
}

pc_step pc_reply_give_up(pc_exchange *x)
{
    x->answered = 1;
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    return pc_exchange_end(x, OK, x->instead_state);
}

static pc_step broken(pc_exchange *x, const pc_event *ev)
{
    pc_stage stage = x->state == PC_STATE_STREAMING ? PC_STAGE_BODY : PC_STAGE_HEAD;

    if (x->rest_unneeded) { /* such as one that is shorter than it said: the file's length was meant */
        return pc_reply_give_up(x);
    }
    if (stage == PC_STAGE_BODY && !APR_BRIGADE_EMPTY(x->out)) {
        (void)pc_reply_pass(x); /* what came whole is the client's */
    }
    if (ev->overloaded) {
        return pc_fail(x, stage, PC_CAUSE_OVERLOADED, ev->why);
    }
    return pc_fail(x, stage, x->eof ? PC_CAUSE_RESET : ev->early ? PC_CAUSE_ENDED : PC_CAUSE_MALFORMED, ev->why);
}

/* @return PC_STEP_WAIT: go on; else the end of this try */
static pc_step one_event(pc_exchange *x, apr_bucket *rx, const char *base, const pc_event *ev, int left_over)
{
    switch (ev->type) {
    case PC_EV_INTERIM: pc_answer_interim(x, ev->head); break;
    case PC_EV_HEAD:
        if (ev->head->status == HTTP_SWITCHING_PROTOCOLS && x->iov_n) {
            return pc_fail(x, PC_STAGE_HEAD, PC_CAUSE_MALFORMED, "101 before it had the request");
        }
        if (ev->head->status >= 500 && pc_fail_status(x, ev->head->status)) {
            return PC_STEP_AGAIN;
        }
        pc_answer_head(x, ev->head);
        break;
    case PC_EV_BODY: body_span(x, rx, base, ev); break;
    case PC_EV_LOG: pc_stderr_log(x, ev->data, ev->len); break;
    case PC_EV_END: x->whole = 1; return answer_ended(x, ev, left_over);
    case PC_EV_ERROR: return broken(x, ev);
    case PC_EV_TRAILER: pc_trailers_take(x, ev->head); break;
    case PC_EV_MORE: break;
    }
    return PC_STEP_WAIT;
}

static pc_step decode(pc_exchange *x, char *base, apr_size_t n)
{
    apr_bucket *rx = apr_bucket_heap_create(base, n, apr_bucket_free, x->c->bucket_alloc);
    apr_size_t used = 0;
    pc_step step = PC_STEP_WAIT;

    pc_event ev;

    do { /* also when all bytes are used: a last span may be followed by the end without another byte */
        memset(&ev, 0, sizeof(ev));
        used += x->codec->decode(x->codec_state, base + used, n - used, &ev);
        step = one_event(x, rx, base, &ev, used < n);
    } while (step == PC_STEP_WAIT && ev.type != PC_EV_MORE);
    apr_bucket_destroy(rx);
    return step;
}

/* A unix socket is reset, rather than closed, when its other end goes away with something unread. */
static int was_never_read(const pc_exchange *x, int error)
{
    return error == ECONNRESET && !x->last_event && x->lease.held
           && (x->lease.backend->kind == PC_BACKEND_SPAWN ? x->lease.proc.addr.sa.sa_family
                                                          : x->lease.backend->addr.u.sa.sa_family)
                  == AF_UNIX;
}

/* A backend that closes with some of the request's body unread resets the connection, however whole its answer is. */
static int is_only_unread(const pc_exchange *x, int error)
{
    return error == ECONNRESET && x->msg.body && !x->pool->tls;
}

/* @param error  of the read, 0: the end of the stream */
static pc_step closed(pc_exchange *x, int error)
{
    pc_event ev;

    if (pc_script_was_refused(x->link)) {
        return pc_script_failed(x, APR_EGENERAL);
    }
    x->eof = 1;
    if (x->state != PC_STATE_STREAMING && x->link->reused && !x->last_event) {
        return pc_fail(x, PC_STAGE_HEAD, PC_CAUSE_STALE, "a kept connection had been closed");
    }
    if (x->state != PC_STATE_STREAMING && was_never_read(x, error)) {
        return pc_fail(x, PC_STAGE_HEAD, PC_CAUSE_UNTAKEN, "Connection reset by peer");
    }
    memset(&ev, 0, sizeof(ev));
    x->codec->eof(x->codec_state, &ev);
    if (ev.type == PC_EV_END && error
        && !is_only_unread(x, error)) { /* an end that the backend did not say: some may be missing */
        ev.type = PC_EV_ERROR;
        ev.why = "the connection broke before its end, which ends the body";
    }
    if (ev.type == PC_EV_ERROR && x->link->why) {
        ev.why = x->link->why;
    }
    return one_event(x, NULL, NULL, &ev, 0);
}

/* ------------------------------------------------------------------ reading */

static ssize_t read_lot(pc_exchange *x, char *buf, apr_size_t size)
{
    int wait = 0;

    if (x->may_linger && x->state == PC_STATE_AWAITING) {
        x->may_linger = 0;
        if (!x->can_park || pc_upstream_patient(x->pool, x->lease.index)) {
            wait = 1;
        }
    }
    return pc_link_recv(x->link, buf, size, wait);
}

/* A body that nobody wants (HEAD, 304, a local redirect) is read so that the connection can be kept, but not for ever. */
static int is_enough(pc_exchange *x, apr_off_t n)
{
    if (x->state != PC_STATE_STREAMING || !(x->discard || pc_answer_has_no_body(x))) {
        return 0;
    }
    x->unwanted += n;
    return x->unwanted > UNWANTED_MAX;
}

static pc_step enough(pc_exchange *x)
{
    static const pc_event no_more = { .type = PC_EV_END };

    if (x->route->role == PC_ROLE_AUTHORIZER && x->instead) { /* it might still say that it has failed */
        return pc_fail(x, PC_STAGE_BODY, PC_CAUSE_MALFORMED, "more than 1 MB behind a head that allows, and no end");
    }
    return answer_ended(x, &no_more, 1);
}

/* The client decides how fast the backend is read, unless what it does not take can be held back. */
static int client_follows(pc_exchange *x)
{
    if (x->blocked && pc_reply_client_takes(x) && pc_reply_drain(x) && x->held_back) {
        pc_hold_feed(x, 0);
    }
    if (!x->blocked) {
        return !x->client_left;
    }
    return !x->client_left && x->pool->response.on && pc_hold_has_room(x);
}

int pc_reply_some(pc_exchange *x, pc_step *step)
{
    char *buf;
    apr_size_t size = x->lot;
    ssize_t n;

    if (x->eof) {
        *step = closed(x, 0);
        return 1;
    }
    if (x->blocked && !client_follows(x)) {
        if (x->client_left) {
            pc_exchange_client_left(x);
            *step = PC_STEP_DONE;
        }
        return 0;
    }
    buf = apr_bucket_alloc(size, x->c->bucket_alloc);
    n = read_lot(x, buf, size);
    if (n <= 0) {
        int error = n == -1 ? errno : 0;

        apr_bucket_free(buf);
        if (error == EAGAIN || error == EWOULDBLOCK) {
            return 0;
        }
        *step = closed(x, error);
        return 1;
    }
    x->last_event = 1;
    x->last_read = x->now = pc_now();
    if ((apr_size_t)n == size) {
        x->lot = PC_REPLY_LOT;
    }
    *step = decode(x, buf, (apr_size_t)n);
    if (*step == PC_STEP_WAIT && is_enough(x, (apr_off_t)n)) {
        *step = enough(x);
        return 1;
    }
    if (*step == PC_STEP_WAIT && (x->state == PC_STATE_STREAMING || x->state == PC_STATE_TUNNEL) && !pc_reply_pass(x)) {
        pc_exchange_client_left(x);
        *step = PC_STEP_DONE;
    }
    return 1;
}
