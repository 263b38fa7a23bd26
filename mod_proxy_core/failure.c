/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failure leads to. Three questions, in this order:
 *
 *   1. Has the client seen a byte of the answer? Then it is cut, and nothing else can be done.
 *   2. May another try have no effect that the first may have had already? Nothing was sent, or the backend said that it
 *      took nothing on, or the method is idempotent (RFC 9110, 9.2.2) and the body can be had again.
 *   3. If not: 502 the backend was reached and did not speak, 503 none could be reached, 504 a timeout of ours.
 *
 * One line in the log for each failure that a client sees, and one at info for each that it does not.
 */
#include "exchange.h"
#include "script_link.h"

#include "http_log.h"

#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

static const char *const stage_names[] = { "choose", "queue", "connect", "send", "head", "body" };

static int is_idempotent(const request_rec *r)
{
    switch (r->method_number) {
    case M_GET: /* and HEAD */
    case M_PUT:
    case M_DELETE:
    case M_OPTIONS:
    case M_TRACE:
    case M_PROPFIND: return 1;
    default: return 0;
    }
}

/* RFC 9110, 9.2.1: asks for nothing but an answer. */
static int is_only_asking(const request_rec *r)
{
    return is_idempotent(r) && r->method_number != M_PUT && r->method_number != M_DELETE;
}

static const char *backend_name(const pc_exchange *x)
{
    return x->route->group ? x->route->group : x->lease.backend ? x->lease.backend->name : "-";
}

/* What the administrator should look at, for failures that look alike to the client (G35). */
static const char *cause_text(const pc_exchange *x, pc_stage stage, pc_cause cause)
{
    switch (cause) {
    case PC_CAUSE_REFUSED: return "could not be connected to: nothing listens there, or it is out of reach";
    case PC_CAUSE_STALE: return "closed a kept connection";
    case PC_CAUSE_RESET:
        if (stage == PC_STAGE_BODY) {
            return "cut its answer short";
        }
        return x->any_sent ? "accepted the request and closed the connection before it answered"
                           : "closed the connection before it took the request";
    case PC_CAUSE_MALFORMED: return "sent what is not an answer";
    case PC_CAUSE_ENDED:
        return stage == PC_STAGE_BODY ? "cut its answer short" : "ended the request before it had answered";
    case PC_CAUSE_OVERLOADED: return "is overloaded and took nothing on";
    case PC_CAUSE_GREETING: return "accepted the connection and cannot be talked to";
    case PC_CAUSE_TIMEOUT:
        if (stage == PC_STAGE_CONNECT) {
            return x->link && x->link->connected ? "accepted the connection and did not end the TLS handshake in time"
                                                 : "did not accept the connection in time: its backlog may be full";
        }
        return "took too long";
    case PC_CAUSE_QUEUE_FULL: return "has no room: the queue is full";
    case PC_CAUSE_UNTAKEN: return "ended with the request unread, or some of it";
    case PC_CAUSE_LOCAL: return "was not asked: this server is short of descriptors or memory";
    case PC_CAUSE_NONE_ALIVE: break;
    }
    return "cannot be asked now";
}

/* How far an answer came. */
static const char *how_far(const pc_exchange *x, pc_stage stage)
{
    if (stage != PC_STAGE_BODY || pc_answer_has_no_body(x)) {
        return "";
    }
    if (x->announced >= 0) {
        return apr_psprintf(x->r->pool, " after %" APR_OFF_T_FMT " of %" APR_OFF_T_FMT " bytes of the body",
                            x->bytes_out, x->announced);
    }
    return apr_psprintf(x->r->pool, " after %" APR_OFF_T_FMT " bytes of the body", x->bytes_out);
}

static pc_outcome outcome_of_timeout(const pc_exchange *x, pc_stage stage)
{
    if (stage == PC_STAGE_CONNECT) {
        return PC_OUTCOME_CONNECT;
    }
    if (x->head_at) {
        return PC_OUTCOME_OK;
    }
    /* what a client used up of the total time says nothing of the backend */
    return !x->any_sent || (x->want & (PC_WANT_CLIENT_READ | PC_WANT_CLIENT_WRITE)) ? PC_OUTCOME_UNUSED
                                                                                    : PC_OUTCOME_TIMEOUT;
}

static pc_outcome outcome_of(const pc_exchange *x, pc_stage stage, pc_cause cause)
{
    switch (cause) {
    case PC_CAUSE_REFUSED:
    case PC_CAUSE_GREETING:
    case PC_CAUSE_UNTAKEN: return PC_OUTCOME_CONNECT;
    case PC_CAUSE_TIMEOUT: return outcome_of_timeout(x, stage);
    case PC_CAUSE_RESET:
    case PC_CAUSE_ENDED:
    case PC_CAUSE_MALFORMED: return x->head_at ? PC_OUTCOME_OK : PC_OUTCOME_BROKE;
    default: return PC_OUTCOME_UNUSED;
    }
}

/* Bits of retry_on that allow a try after this cause. 0: always allowed. */
static unsigned needed_bit(pc_cause cause)
{
    switch (cause) {
    case PC_CAUSE_REFUSED:
    case PC_CAUSE_GREETING:
    case PC_CAUSE_UNTAKEN: return PC_RETRY_CONNECT;
    case PC_CAUSE_STALE: return PC_RETRY_STALE;
    case PC_CAUSE_RESET:
    case PC_CAUSE_ENDED:
    case PC_CAUSE_MALFORMED: return PC_RETRY_RESET;
    case PC_CAUSE_TIMEOUT: return PC_RETRY_TIMEOUT;
    default: return 0;
    }
}

static int is_safe(const pc_exchange *x, pc_cause cause)
{
    if (!pc_body_replayable(x)) {
        return 0;
    }
    if (!x->any_sent || cause == PC_CAUSE_OVERLOADED || x->route->role == PC_ROLE_AUTHORIZER) { /* it only says */
        return 1;
    }
    /* some of it was unread, at least: PHP runs a script with the end of its input unread, and may die in it */
    return cause == PC_CAUSE_UNTAKEN ? is_only_asking(x->r) : is_idempotent(x->r);
}

static int may_retry(pc_exchange *x, pc_stage stage, pc_cause cause)
{
    unsigned bit = needed_bit(cause);

    if (stage == PC_STAGE_CHOOSE || stage == PC_STAGE_QUEUE || cause == PC_CAUSE_LOCAL || x->c->aborted) {
        return 0;
    }
    if (cause == PC_CAUSE_TIMEOUT && x->due == PC_DUE_TOTAL) {
        return 0;
    }
    if (stage == PC_STAGE_CONNECT && cause == PC_CAUSE_TIMEOUT) {
        bit = PC_RETRY_CONNECT;
    }
    if (bit && !(x->pool->retry_on & bit)) {
        return 0;
    }
    if (!is_safe(x, cause)) {
        return 0;
    }
    if (cause == PC_CAUSE_STALE) {
        return x->free_retry++ == 0;
    }
    return x->tries <= x->pool->retries;
}

static void mark_tried(pc_exchange *x)
{
    if (pc_script_leased(&x->lease)) {
        return; /* each try is another process anyhow */
    }
    if (x->lease.backend->kind == PC_BACKEND_SPAWN) {
        x->choice.avoid = x->lease.proc.instance; /* another process of the group may serve it */
        return;
    }
    x->choice.tried[x->lease.index / 64] |= APR_UINT64_C(1) << (x->lease.index % 64);
}

static pc_step again(pc_exchange *x, pc_cause cause, pc_outcome outcome, int status)
{
    x->prior_status = status;
    if (cause == PC_CAUSE_STALE) { /* the same backend, over a new connection, on the same lease */
        pc_perch_forget_link(x);
        pc_link_close(x->link);
        x->link = NULL;
        x->state = PC_STATE_CONNECTING;
    }
    else {
        mark_tried(x);
        pc_exchange_release(x, outcome, 0);
        x->state = PC_STATE_ROUTED;
    }
    pc_answer_forget(x);
    pc_send_reset(x);
    x->connect_at = 0;
    x->eof = 0;
    x->bytes_out = 0;
    x->last_event = 0;
    x->due = PC_DUE_NOTHING;
    if (!x->spool) {
        (void)pc_body_setup(x);
    }
    return PC_STEP_AGAIN;
}

/* Is there anybody who was not asked? Whether they can be, the next choice finds out. */
static int others_left(const pc_exchange *x)
{
    for (int i = 0; i < x->pool->backends->nelts; i++) {
        if (APR_ARRAY_IDX(x->pool->backends, i, pc_backend_conf).kind == PC_BACKEND_SPAWN
            || (i != x->lease.index && !(x->choice.tried[i / 64] >> (i % 64) & 1))) {
            return 1;
        }
    }
    return 0;
}

int pc_fail_status(pc_exchange *x, int status)
{
    if (!(x->pool->retry_on & PC_RETRY_5XX) || status < 500 || status > 599 || x->head_passed || x->c->aborted
        || x->tries > x->pool->retries || !is_safe(x, PC_CAUSE_RESET) || !others_left(x)) {
        return 0;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "PXC0750: pool %s backend %s answered %d; trying again",
                  x->pool->name, backend_name(x), status);
    x->prior_text =
        apr_psprintf(x->r->pool, "backend %s answered %d, and nobody else is left to ask", backend_name(x), status);
    x->prior_outcome = "5xx";
    (void)again(x, PC_CAUSE_MALFORMED, PC_OUTCOME_OK, status);
    return 1;
}

static int status_of(const pc_exchange *x, pc_stage stage, pc_cause cause)
{
    switch (cause) {
    case PC_CAUSE_TIMEOUT: return HTTP_GATEWAY_TIME_OUT;
    case PC_CAUSE_RESET:
    case PC_CAUSE_ENDED:
    case PC_CAUSE_MALFORMED:
    case PC_CAUSE_GREETING:
    case PC_CAUSE_UNTAKEN:
    case PC_CAUSE_STALE: return HTTP_BAD_GATEWAY;
    case PC_CAUSE_NONE_ALIVE:
        /* all were tried, and one of them was reached */
        return x->prior_status ? x->prior_status : HTTP_SERVICE_UNAVAILABLE;
    default: return stage == PC_STAGE_BODY ? HTTP_BAD_GATEWAY : HTTP_SERVICE_UNAVAILABLE;
    }
}

static const char *outcome_name(pc_cause cause)
{
    static const char *const names[] = { "connect",    "timeout",     "stale",      "reset", "malformed", "malformed",
                                         "overloaded", "unavailable", "queue-full", "local", "tls",       "untaken" };

    return names[cause];
}

/* A failure that another try may make good; what it was is remembered for when there is nobody left to try. */
static pc_step try_again(pc_exchange *x, pc_stage stage, pc_cause cause, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "PXC0450: pool %s backend %s stage %s: %s (%s); trying again",
                  x->pool->name, backend_name(x), stage_names[stage], cause_text(x, stage, cause), why);
    x->prior_text = apr_psprintf(x->r->pool, "backend %s stage %s: %s (%s), and nobody else is left to ask",
                                 backend_name(x), stage_names[stage], cause_text(x, stage, cause), why);
    x->prior_outcome = outcome_name(cause);
    return again(x, cause, outcome_of(x, stage, cause), status_of(x, stage, cause));
}

static void log_failure(const pc_exchange *x, pc_stage stage, pc_cause cause, const char *why)
{
    if (cause == PC_CAUSE_NONE_ALIVE && x->prior_text) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0452: pool %s %s", x->pool->name, x->prior_text);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0451: pool %s backend %s stage %s: %s%s (%s)", x->pool->name,
                  backend_name(x), stage_names[stage], cause_text(x, stage, cause), how_far(x, stage), why);
}

static void say_when_to_retry(pc_exchange *x)
{
    int after = x->retry_after > 0 ? x->retry_after : 1;

    apr_table_setn(x->r->err_headers_out, "Retry-After", apr_itoa(x->r->pool, after));
}

pc_step pc_fail(pc_exchange *x, pc_stage stage, pc_cause cause, const char *why)
{
    const char *name = cause == PC_CAUSE_NONE_ALIVE && x->prior_text ? x->prior_outcome : outcome_name(cause);
    int status = status_of(x, stage, cause);

    why = why ? why : "-";
    if (!x->head_passed && may_retry(x, stage, cause)) {
        return try_again(x, stage, cause, why);
    }
    log_failure(x, stage, cause, why);
    if (cause == PC_CAUSE_TIMEOUT && stage >= PC_STAGE_SEND) {
        pc_send_abort(x);
    }
    pc_exchange_release(x, outcome_of(x, stage, cause), 0);
    if (x->head_passed) {
        name = stage == PC_STAGE_BODY ? "cut" : name;
        if (x->held_back && pc_hold_until_drained(x, name)) {
            return PC_STEP_AGAIN;
        }
        pc_reply_cut(x);
        return pc_exchange_end(x, OK, name);
    }
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        say_when_to_retry(x);
    }
    return pc_exchange_end(x, status, name);
}
