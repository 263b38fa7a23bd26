/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * ProxyCoreResponseBuffering: an answer that comes faster than its client takes it waits here, so that the backend, its
 * connection and its lease are free as soon as it has said all.
 *
 * It is still streamed: nothing is held while the client takes what there is. Once it does not (x->blocked), what comes is
 * held until it takes more, oldest first. When the backend is through, or has failed, and something is left, the exchange
 * is DRAINING: the end, or the cut, follows the last byte.
 *
 * A stream of HTTP/2 has no descriptor that would tell whether it takes more, and passing waits in the thread; so does
 * mod_ratelimit (x->pass_waits). There a beginning that a stream's own buffer takes is passed at once, and the rest when
 * the backend is through or pauses, or for a lot now and then.
 */
#include "exchange.h"
#include "clock.h"

#include "http_log.h"
#include "util_filter.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

/** A stream's output takes so much without waiting (H2StreamMaxMemSize is twice as much unless set lower). */
#define PASS_AT_ONCE 32768
/** A backend that is silent for so long pauses. */
#define PASS_PAUSE apr_time_from_msec(20)
/** However much it says, the client gets a lot so often. */
#define PASS_OFTEN apr_time_from_sec(1)

static int holds_something(const pc_exchange *x)
{
    return x->held_back && pc_spool_length(x->held_back) > 0;
}

void pc_hold_begin(pc_exchange *x)
{
    const ap_filter_t *f = x->r->output_filters;

    while (f && strcmp(f->frec->name, "rate_limit") != 0) {
        f = f->next;
    }
    x->pass_waits = x->h2 || f;
}

static int passing_waits(const pc_exchange *x)
{
    return x->pass_waits && x->bytes_out > PASS_AT_ONCE;
}

int pc_hold_needed(const pc_exchange *x)
{
    return x->blocked || holds_something(x) || passing_waits(x);
}

int pc_hold_has_room(const pc_exchange *x)
{
    return !x->held_back || pc_spool_has_room(x->held_back);
}

void pc_hold_out(pc_exchange *x)
{
    if (!x->held_back) {
        x->held_back = pc_spool_make(x->r->pool, x->c->bucket_alloc, x->pool->response.memory, x->pool->response.file);
        x->fed_at = x->now;
    }
    while (!APR_BRIGADE_EMPTY(x->out)) {
        apr_bucket *b = APR_BRIGADE_FIRST(x->out);
        const char *data;
        apr_size_t len;
        apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ); /* of heap buckets */

        if (rv == APR_SUCCESS) {
            rv = pc_spool_write(x->held_back, data, len);
        }
        if (rv != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, x->r,
                          "PXC0720: an answer cannot be buffered in a file: the backend waits for the client");
        }
        apr_bucket_delete(b);
    }
    if (x->pass_waits && (!pc_hold_has_room(x) || x->now - x->fed_at >= PASS_OFTEN)) {
        pc_hold_feed(x, pc_hold_has_room(x));
    }
}

/* The bytes are gone: what the client has got is all it can get. */
static void lost(pc_exchange *x, apr_status_t rv)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, x->r, "PXC0721: what was buffered of an answer cannot be read: it is cut");
    pc_spool_clear(x->held_back);
    pc_reply_cut(x);
    x->client_left = 1;
}

void pc_hold_feed(pc_exchange *x, int lots)
{
    while (holds_something(x) && !x->blocked && !x->client_left) {
        apr_status_t rv = pc_spool_take(x->held_back, x->out, PC_REPLY_LOT);

        if (rv != APR_SUCCESS) {
            lost(x, rv);
            return;
        }
        (void)pc_reply_pass_on(x);
        x->fed_at = pc_now();
        if (lots && !--lots) {
            return;
        }
    }
}

apr_time_t pc_hold_feed_due(const pc_exchange *x)
{
    if (!x->pass_waits || !holds_something(x)) {
        return 0;
    }
    return x->last_read + PASS_PAUSE < x->fed_at + PASS_OFTEN ? x->last_read + PASS_PAUSE : x->fed_at + PASS_OFTEN;
}

int pc_hold_until_drained(pc_exchange *x, const char *cut)
{
    if (!cut) {
        pc_hold_out(x);
    }
    if (cut && !holds_something(x)) {
        return 0;
    }
    x->cut_then = cut;
    x->state = PC_STATE_DRAINING;
    return 1;
}

pc_step pc_hold_drain(pc_exchange *x)
{
    if (x->blocked && pc_reply_client_takes(x)) {
        (void)pc_reply_drain(x);
    }
    pc_hold_feed(x, 0);
    if (x->client_left) {
        pc_exchange_client_left(x);
        return PC_STEP_DONE;
    }
    if (x->blocked) {
        x->want = PC_WANT_CLIENT_WRITE;
        return PC_STEP_WAIT;
    }
    if (x->cut_then) {
        pc_reply_cut(x);
        return pc_exchange_end(x, OK, x->cut_then);
    }
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(x->c->bucket_alloc));
    (void)pc_reply_pass_on(x);
    return pc_reply_end(x);
}
