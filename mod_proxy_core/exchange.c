/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange's states.
 *
 *   [SPOOLING] ──▶ ROUTED ──lease──▶ CONNECTING ──▶ SENDING ──▶ AWAITING ──▶ STREAMING ──▶ [DRAINING] ──▶ DONE
 *                  ▲  └──full──▶ QUEUED ──▲             └── the head may come while the body is still sent ──┘
 *                  └── pc_fail(): another try                                     (101: TUNNEL in place of STREAMING)
 *
 * Each step_…() either moves on (PC_STEP_AGAIN), says what it waits for (x->want, PC_STEP_WAIT) or is done. Deadlines
 * are derived from times that the exchange keeps anyway (due.c), so that no timer has to be moved with each byte.
 */
#include "exchange.h"
#include "clock.h"
#include "mass.h"
#include "script_link.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_atomic.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

static apr_status_t cleanup_exchange(void *data)
{
    pc_exchange *x = data;

    if (x->state != PC_STATE_DONE) {
        pc_send_abort(x);
    }
    pc_exchange_release(x, PC_OUTCOME_UNUSED, 0);
    pc_perch_release(x);
    return APR_SUCCESS;
}

/* What a balancer that goes by the request's key goes by: key=, else the path. */
static apr_uint32_t hash_of_key(request_rec *r, const pc_route *route)
{
    const char *err = NULL, *key = route->path;
    apr_ssize_t len = APR_HASH_KEY_STRING;

    if (route->pool->key) {
        key = ap_expr_str_exec(r, route->pool->key, &err);
    }
    return key && !err ? apr_hashfunc_default(key, &len) : 0;
}

pc_exchange *pc_exchange_create(request_rec *r, const pc_route *route)
{
    pc_exchange *x = apr_pcalloc(r->pool, sizeof(*x));

    x->r = r;
    x->c = r->connection;
    x->route = route;
    x->pool = route->pool;
    x->codec = route->pool->codec;
    x->h2 = x->c->master != NULL;
    x->lot = PC_REPLY_FIRST;
    x->started = x->now = pc_now();
    x->head.pool = r->pool;
    x->iov = x->alone;
    x->out = apr_brigade_create(r->pool, x->c->bucket_alloc);
    x->codec_state = apr_palloc(r->pool, x->codec->state_size);
    x->choice.hash = hash_of_key(r, route);
    apr_pool_cleanup_register(r->pool, x, cleanup_exchange, apr_pool_cleanup_null);
    return x;
}

void pc_exchange_wake(void *exchange)
{
    pc_perch_fire(exchange);
}

void pc_exchange_release(pc_exchange *x, pc_outcome outcome, int keep)
{
    if (x->waiter) {
        pc_queue_leave(x->waiter);
        x->waiter = NULL;
    }
    if (x->link) {
        pc_link *link = x->link;

        x->link = NULL;
        pc_perch_forget_link(x);
        if (keep) {
            pc_link_keep(x->pool, link);
        }
        else {
            pc_link_close(link);
        }
    }
    if (x->lease.held) {
        int hand = keep && pc_upstream_bounded(x->lease.backend);
        /* from the last byte sent: how long an upload took says nothing of the backend */
        apr_interval_time_t first = x->head_at > x->last_write ? x->head_at - x->last_write : 0;

        x->lease.proc.total = x->now - x->lease_at;
        ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, x->r, "PXC0404: pool %s: backend %s is given back", x->pool->name,
                      x->lease.backend->name);
        if (!pc_lease_pass(&x->lease, outcome, first, hand) && hand) {
            pc_link_shed(x->pool, &x->lease);
        }
    }
}

/* Bytes of a body that nobody wants are not read just to keep the connection: the MPM's lingering close sees to them. */
static int body_unread(const pc_exchange *x)
{
    return x->body == PC_BODY_OPEN || x->body == PC_BODY_EXPECTED || x->body == PC_BODY_STOPPED;
}

pc_step pc_exchange_end(pc_exchange *x, int rc, const char *outcome)
{
    if (body_unread(x)) {
        x->c->keepalive = AP_CONN_CLOSE;
    }
    if (ap_is_HTTP_ERROR(rc) && !x->head_passed && !x->final_status) {
        pc_answer_forget(x);
    }
    x->state = PC_STATE_DONE;
    x->rc = rc;
    x->outcome = outcome;
    x->finished_at = pc_now();
    pc_notes_set(x);
    return PC_STEP_DONE;
}

void pc_exchange_client_left(pc_exchange *x)
{
    if (x->state == PC_STATE_TUNNEL) {
        x->client_left = 1;
        (void)pc_tunnel_end(x, "client");
        return;
    }
    if (x->unwanted_by_filter) {
        (void)pc_reply_refused(x);
        return;
    }
    pc_send_abort(x);
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    x->c->aborted = 1;
    x->c->keepalive = AP_CONN_CLOSE;
    x->r->no_cache = 1;
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "PXC0401: the client left while the request was with pool %s",
                  x->pool->name);
    (void)pc_exchange_end(x, DONE, "client-left");
}

/* ------------------------------------------------------------------ a lease */

static pc_step after_lease(pc_exchange *x)
{
    if (x->route->group && !pc_mass_is_right(x->route)) {
        pc_exchange_release(x, PC_OUTCOME_UNUSED, 0);
        return pc_fail(x, PC_STAGE_CHOOSE, PC_CAUSE_NONE_ALIVE, "its group has gone this moment");
    }
    x->tries++;
    x->lease_at = x->now;
    x->lease.stuck = 0;
    ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, x->r, "PXC0403: pool %s: got backend %s, process %ld, try %d",
                  x->pool->name, x->lease.backend->name, (long)x->lease.proc.pid, x->tries);
    x->state = PC_STATE_CONNECTING;
    return PC_STEP_AGAIN;
}

static pc_step refused(pc_exchange *x, pc_stage stage, const pc_refusal *refusal)
{
    x->retry_after = refusal->retry_after;
    return pc_fail(x, stage, PC_CAUSE_NONE_ALIVE, apr_pstrdup(x->r->pool, refusal->why));
}

static pc_step step_routed(pc_exchange *x)
{
    pc_refusal refusal;
    apr_status_t rv = pc_lease_take(x->pool->pool, &x->choice, x->tries == 0, &x->lease, &refusal);

    if (rv == APR_SUCCESS) {
        return after_lease(x);
    }
    if (rv != APR_EAGAIN) {
        return refused(x, PC_STAGE_CHOOSE, &refusal);
    }
    x->queued_at = x->now;
    if (pc_perch_fd(x) == -1) {
        return pc_fail(x, PC_STAGE_QUEUE, PC_CAUSE_LOCAL, "no descriptor to wait on");
    }
    x->nap_ended = 0;
    if (apr_atomic_read32(&x->woken)) { /* from an earlier wait: nobody is to be woken by it */
        pc_perch_quiet(x);
    }
    rv = pc_queue_join(x->pool->pool, &x->choice, pc_exchange_wake, x, &x->waiter);
    if (rv != APR_SUCCESS) {
        x->retry_after = 1;
        return pc_fail(x, PC_STAGE_QUEUE, PC_CAUSE_QUEUE_FULL,
                       rv == APR_ENOSPC ? "ProxyCoreQueue bounds it" : "this child takes no more waiters");
    }
    x->state = PC_STATE_QUEUED;
    return PC_STEP_AGAIN;
}

static pc_step step_queued(pc_exchange *x)
{
    pc_refusal refusal;
    apr_status_t rv = pc_queue_poll(x->waiter, x->nap_ended, &x->lease, &refusal);

    if (rv == APR_EAGAIN) {
        x->want = PC_WANT_WAKE;
        return PC_STEP_WAIT;
    }
    x->waiter = NULL;
    if (rv == APR_SUCCESS) {
        return after_lease(x);
    }
    return refused(x, PC_STAGE_QUEUE, &refusal);
}

static pc_step step_spooling(pc_exchange *x)
{
    apr_status_t rv = pc_body_spool(x);

    if (rv == APR_EAGAIN) {
        x->want = PC_WANT_CLIENT_READ;
        return PC_STEP_WAIT;
    }
    if (rv != APR_EOF) {
        return pc_exchange_end(x, x->rc, "client-body");
    }
    x->state = PC_STATE_ROUTED;
    return PC_STEP_AGAIN;
}

/* ------------------------------------------------------------------ a connection */

static pc_step connected(pc_exchange *x)
{
    int rc;

    x->msg.keep_alive = pc_upstream_may_keep(x->pool, &x->lease);
    x->msg.expect_100 = x->body == PC_BODY_EXPECTED;
    rc = pc_send_prepare(x);
    if (rc != OK) {
        pc_exchange_release(x, PC_OUTCOME_UNUSED, x->msg.keep_alive);
        return pc_exchange_end(x, rc, "request");
    }
    x->link->requests++;
    x->sent_at = x->last_write = x->last_read = x->client_at = x->now;
    x->state = PC_STATE_SENDING;
    return PC_STEP_AGAIN;
}

/* Is it us who cannot connect? Then the backend must not rest for it. */
static int is_our_own(apr_status_t rv)
{
    return rv == EMFILE || rv == ENFILE || rv == ENOBUFS || APR_STATUS_IS_ENOMEM(rv);
}

/* Connected; what comes before the request is not through yet. */
static pc_step step_greeting(pc_exchange *x)
{
    apr_status_t rv = pc_greet(x);

    if (rv == APR_SUCCESS) {
        return connected(x);
    }
    if (rv == APR_EAGAIN || rv == APR_EINPROGRESS) {
        x->want = rv == APR_EAGAIN ? PC_WANT_BACKEND_READ : PC_WANT_BACKEND_WRITE;
        return PC_STEP_WAIT;
    }
    return pc_fail(x, PC_STAGE_CONNECT, PC_CAUSE_GREETING, x->link->why);
}

static pc_step step_connecting(pc_exchange *x)
{
    int script = pc_script_leased(&x->lease);
    apr_status_t rv;

    if (!x->connect_at) {
        x->connect_at = x->now;
    }
    if (script) {
        rv = pc_script_connect(x);
    }
    else if (!x->link) {
        do {
            rv = pc_link_get(x->pool, &x->lease, !x->free_retry, &x->link);
            /* closed meanwhile, or bytes that nobody asked for and that must not become somebody's answer */
            if (rv == APR_SUCCESS && x->link->reused && pc_link_is_stale(x->link)) {
                pc_link_close(x->link);
                x->link = NULL;
            }
        } while (rv == APR_SUCCESS && !x->link);
    }
    else if (x->due == PC_DUE_RETRY_CONNECT) {
        rv = pc_link_retry(&x->lease, x->link);
    }
    else {
        rv = x->link->connected ? APR_SUCCESS : pc_link_connected(x->link);
    }
    x->due = PC_DUE_NOTHING;
    if (rv == APR_SUCCESS) {
        return x->link->greeting ? step_greeting(x) : connected(x);
    }
    if (rv == APR_EINPROGRESS || rv == APR_EAGAIN) {
        x->want = rv == APR_EAGAIN ? 0 : script ? PC_WANT_BACKEND_READ : PC_WANT_BACKEND_WRITE;
        x->due = rv == APR_EAGAIN ? PC_DUE_RETRY_CONNECT : PC_DUE_NOTHING;
        return PC_STEP_WAIT;
    }
    if (script) {
        return pc_script_failed(x, rv);
    }
    {
        char buf[120];

        return pc_fail(x, PC_STAGE_CONNECT, is_our_own(rv) ? PC_CAUSE_LOCAL : PC_CAUSE_REFUSED,
                       apr_strerror(rv, buf, sizeof(buf)));
    }
}

/* ------------------------------------------------------------------ the talk */

unsigned pc_exchange_cross_wants(const pc_link *link, unsigned want)
{
    unsigned crossed = want & ~(PC_WANT_BACKEND_READ | PC_WANT_BACKEND_WRITE);

    if (want & PC_WANT_BACKEND_READ) {
        crossed |= link->read_needs_write ? PC_WANT_BACKEND_WRITE : PC_WANT_BACKEND_READ;
    }
    if (want & PC_WANT_BACKEND_WRITE) {
        crossed |= link->write_needs_read ? PC_WANT_BACKEND_READ : PC_WANT_BACKEND_WRITE;
    }
    return crossed;
}

static void say_what_talk_wants(pc_exchange *x)
{
    x->want = 0;
    if (x->iov_n) {
        x->want |= PC_WANT_BACKEND_WRITE;
    }
    else if (x->body == PC_BODY_OPEN || x->body == PC_BODY_EXPECTED) { /* who asked for 100 may begin without it */
        x->want |= PC_WANT_CLIENT_READ;
    }
    x->want |= x->blocked ? PC_WANT_CLIENT_WRITE : PC_WANT_BACKEND_READ;
    if (x->blocked && x->pool->response.on && pc_hold_has_room(x)) {
        x->want |= PC_WANT_BACKEND_READ;
    }
    if (x->link->read_needs_write || x->link->write_needs_read) {
        x->want = pc_exchange_cross_wants(x->link, x->want);
    }
}

/* A backend whose last answers took their time has nothing to say a microsecond after it was asked. */
static int too_early(const pc_exchange *x, int sent)
{
    return sent && x->can_park && x->state == PC_STATE_AWAITING && !pc_upstream_patient(x->pool, x->lease.index);
}

/* While there is always more to do nobody waits, and nobody else looks at deadlines. */
static int talks_too_long(const pc_exchange *x)
{
    const pc_timeouts *t = &x->pool->timeout;

    if (t->total > 0 && x->now - x->started >= t->total) {
        return 1;
    }
    if (pc_due_process_timeout(x) > 0 && x->now - x->lease_at >= pc_due_process_timeout(x)) {
        return 1;
    }
    return x->state == PC_STATE_AWAITING && t->first > 0 && x->now - x->last_write >= t->first;
}

static int nothing_to_send(const pc_exchange *x)
{
    return x->body == PC_BODY_SENT || x->body == PC_BODY_NONE || x->body == PC_BODY_STOPPED;
}

static pc_step step_talk(pc_exchange *x)
{
    pc_step step = PC_STEP_WAIT;
    int sent, moved;

    do {
        sent = pc_send_some(x, &step);
        if (step != PC_STEP_WAIT) {
            return step;
        }
        if (x->state == PC_STATE_SENDING && !x->iov_n && nothing_to_send(x)) {
            x->state = PC_STATE_AWAITING;
        }
        moved = !too_early(x, sent) && pc_reply_some(x, &step);
        if (step != PC_STEP_WAIT) {
            return step;
        }
    } while ((moved || sent == 2) && !talks_too_long(x) && x->state != PC_STATE_TUNNEL);
    if (x->state == PC_STATE_TUNNEL) {
        return PC_STEP_AGAIN;
    }
    if (x->unflushed && !x->blocked) {
        pc_reply_flush(x);
        if (x->client_left) {
            pc_exchange_client_left(x);
            return PC_STEP_DONE;
        }
    }
    say_what_talk_wants(x);
    return PC_STEP_WAIT;
}

/* ------------------------------------------------------------------ all of it */

static pc_step step_on(pc_exchange *x)
{
    pc_step step;

    for (;;) {
        switch (x->state) {
        case PC_STATE_ROUTED: step = step_routed(x); break;
        case PC_STATE_QUEUED: step = step_queued(x); break;
        case PC_STATE_SPOOLING: step = step_spooling(x); break;
        case PC_STATE_CONNECTING: step = step_connecting(x); break;
        case PC_STATE_SENDING:
        case PC_STATE_AWAITING:
        case PC_STATE_STREAMING: step = step_talk(x); break;
        case PC_STATE_DRAINING: step = pc_hold_drain(x); break;
        case PC_STATE_TUNNEL: step = pc_tunnel_step(x); break;
        default: return PC_STEP_DONE;
        }
        if (step == PC_STEP_WAIT) {
            pc_due_of(x);
            if (!x->deadline || x->now < x->deadline) {
                return PC_STEP_WAIT;
            }
            step = pc_due_come(x);
        }
        if (step == PC_STEP_DONE) {
            return PC_STEP_DONE;
        }
    }
}

pc_step pc_exchange_step(pc_exchange *x)
{
    char room[PC_HEAD_ROOM];
    pc_step step;

    x->now = pc_now();
    x->room = room;
    step = step_on(x);
    pc_send_leave_room(x);
    x->room = NULL;
    return step;
}

int pc_exchange_finish(pc_exchange *x)
{
    if (x->rc == OK && x->instead) {
        return x->instead(x);
    }
    return x->rc;
}
