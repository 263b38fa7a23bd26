/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines. They are derived from times that the exchange keeps anyway, each time it waits, so that no timer has to be moved
 * with each byte; what happens when one has come is said here too.
 */
#include "exchange.h"

#include "http_log.h"
#include "util_filter.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

/** How long a backend may keep silent on Expect: 100-continue before the client is told to go on. */
#define EXPECT_WAIT apr_time_from_sec(1)
#define BACKLOG_RETRY apr_time_from_msec(5)
/** How often a silent upload is looked after. */
#define LOOK_PAUSE apr_time_from_sec(1)
/** How long an answer that is not sent may take to end, for the connection to be kept. */
#define REST_WAIT apr_time_from_sec(1)
/** How long a client that has closed its sending side is answered while the backend says nothing. Most such clients have
 *  left, which cannot be seen before something is written to them; a few (nc -N) just have no more to say. */
#define HUNG_UP_WAIT apr_time_from_msec(500)

apr_interval_time_t pc_due_process_timeout(const pc_exchange *x)
{
    return x->lease.held && x->state >= PC_STATE_CONNECTING && x->state != PC_STATE_TUNNEL
                   && x->lease.backend->kind == PC_BACKEND_SPAWN
               ? x->lease.proc.request_timeout
               : 0;
}

static void due_at(pc_exchange *x, pc_due due, apr_time_t since, apr_interval_time_t after)
{
    if (after > 0 && (!x->deadline || since + after < x->deadline)) {
        x->deadline = since + after;
        x->due = due;
    }
}

static apr_interval_time_t client_timeout(const pc_exchange *x)
{
    return x->r->server->timeout;
}

/* mod_reqtimeout finds that a body takes too long when it is asked for more of it, and no sooner. */
static void due_of_client_read(pc_exchange *x)
{
    const ap_filter_t *f;

    due_at(x, PC_DUE_CLIENT, x->client_at, client_timeout(x));
    for (f = x->c->input_filters; f; f = f->next) {
        if (!strcmp(f->frec->name, "reqtimeout")) {
            due_at(x, PC_DUE_LOOK, x->now, LOOK_PAUSE);
            return;
        }
    }
}

static void due_of_talk(pc_exchange *x)
{
    const pc_timeouts *t = &x->pool->timeout;

    if (x->body == PC_BODY_EXPECTED && !x->iov_n) {
        due_at(x, PC_DUE_CONTINUE, x->last_write, EXPECT_WAIT < t->first ? EXPECT_WAIT : t->first / 2);
    }
    /* a script need not read what it was sent: how long it may take is said by the other times */
    if ((x->want & PC_WANT_BACKEND_WRITE) && x->link->fd != x->link->out_fd) {
        due_at(x, x->head_at ? PC_DUE_IDLE : PC_DUE_FIRST, x->last_read > x->last_write ? x->last_read : x->last_write,
               x->head_at ? t->idle : t->first);
    }
    else if (x->want & PC_WANT_BACKEND_WRITE) {
        due_at(x, PC_DUE_SEND, x->last_write, t->send);
    }
    if (x->want & PC_WANT_CLIENT_READ) {
        due_of_client_read(x);
    }
    else if (x->want & PC_WANT_CLIENT_WRITE) {
        due_at(x, PC_DUE_CLIENT, x->client_at, client_timeout(x));
    }
    if (x->held_back && pc_hold_feed_due(x)) {
        due_at(x, PC_DUE_FEED, pc_hold_feed_due(x), 1);
    }
    if ((x->want & PC_WANT_BACKEND_READ) && !(x->want & PC_WANT_CLIENT_READ)) {
        if (x->state == PC_STATE_AWAITING) {
            due_at(x, PC_DUE_FIRST, x->last_write, t->first);
        }
        else if (x->state == PC_STATE_STREAMING) {
            /* an authorizer that has allowed has nothing more to say, and holds a thread until it has said so */
            due_at(x, PC_DUE_IDLE, x->instead && x->route->role == PC_ROLE_AUTHORIZER ? x->head_at : x->last_read,
                   t->idle);
        }
    }
}

static void due_of_tunnel(pc_exchange *x)
{
    apr_time_t stop = pc_tunnel_drain_at(x);

    due_at(x, PC_DUE_LOOK, x->now, pc_tunnel_pause(x));
    due_at(x, PC_DUE_IDLE, pc_tunnel_idle_since(x), x->pool->timeout.idle);
    if (stop) {
        due_at(x, PC_DUE_STOP, stop - 1, 1);
    }
}

void pc_due_of(pc_exchange *x)
{
    const pc_timeouts *t = &x->pool->timeout;
    pc_due retry = x->due;

    x->deadline = 0;
    x->due = PC_DUE_NOTHING;
    switch (x->state) {
    case PC_STATE_QUEUED: due_at(x, PC_DUE_QUEUE, x->queued_at, x->pool->queue_timeout); break;
    case PC_STATE_SPOOLING: due_of_client_read(x); break;
    case PC_STATE_DRAINING: due_at(x, PC_DUE_CLIENT, x->client_at, client_timeout(x)); return;
    case PC_STATE_CONNECTING:
        due_at(x, PC_DUE_CONNECT, x->connect_at, t->connect);
        if (retry == PC_DUE_RETRY_CONNECT) {
            due_at(x, PC_DUE_RETRY_CONNECT, x->now, BACKLOG_RETRY);
        }
        break;
    case PC_STATE_TUNNEL: due_of_tunnel(x); break;
    default: due_of_talk(x); break;
    }
    if (x->hung_up_at && x->state != PC_STATE_TUNNEL && !(x->want & (PC_WANT_CLIENT_READ | PC_WANT_CLIENT_WRITE))) {
        due_at(x, PC_DUE_LEFT, x->hung_up_at > x->last_read ? x->hung_up_at : x->last_read, HUNG_UP_WAIT);
    }
    due_at(x, PC_DUE_PROCESS, x->lease_at, pc_due_process_timeout(x));
    due_at(x, PC_DUE_TOTAL, x->started, t->total);
    if (x->rest_unneeded) {
        due_at(x, PC_DUE_REST, x->head_at, REST_WAIT);
    }
}

static pc_stage stage_of(const pc_exchange *x)
{
    switch (x->state) {
    case PC_STATE_QUEUED: return PC_STAGE_QUEUE;
    case PC_STATE_CONNECTING: return PC_STAGE_CONNECT;
    case PC_STATE_AWAITING: return PC_STAGE_HEAD;
    case PC_STATE_STREAMING: return PC_STAGE_BODY;
    default: return PC_STAGE_SEND;
    }
}

static pc_step client_too_slow(pc_exchange *x)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "PXC0402: the client neither sent nor took anything in time");
    pc_send_abort(x);
    if (x->head_passed) {
        pc_reply_cut(x);
        x->c->aborted = 1;
    }
    pc_exchange_release(x, PC_OUTCOME_OK, 0);
    x->c->keepalive = AP_CONN_CLOSE;
    return pc_exchange_end(x, x->head_passed ? DONE : HTTP_REQUEST_TIME_OUT, "client-timeout");
}

pc_step pc_due_come(pc_exchange *x)
{
    if (x->state == PC_STATE_TUNNEL) {
        return pc_tunnel_overdue(x);
    }
    switch (x->due) {
    case PC_DUE_LEFT: pc_exchange_client_left(x); return PC_STEP_DONE;
    case PC_DUE_LOOK:
    case PC_DUE_RETRY_CONNECT: return PC_STEP_AGAIN;
    case PC_DUE_FEED:
        pc_hold_feed(x, 1);
        if (x->client_left) {
            pc_exchange_client_left(x);
            return PC_STEP_DONE;
        }
        return PC_STEP_AGAIN;
    case PC_DUE_CONTINUE:
        pc_body_continue(x);
        x->body = PC_BODY_OPEN;
        return PC_STEP_AGAIN;
    case PC_DUE_CLIENT: return client_too_slow(x);
    case PC_DUE_QUEUE: return pc_fail(x, PC_STAGE_QUEUE, PC_CAUSE_TIMEOUT, "no backend became free in time");
    case PC_DUE_REST: return pc_reply_give_up(x);
    case PC_DUE_TOTAL: return pc_fail(x, stage_of(x), PC_CAUSE_TIMEOUT, "the total time is over");
    case PC_DUE_PROCESS:
        x->lease.stuck = 1;
        return pc_fail(x, stage_of(x), PC_CAUSE_TIMEOUT, "SpawnRequestTimeout is over");
    default: return pc_fail(x, stage_of(x), PC_CAUSE_TIMEOUT, "no answer in time");
    }
}
