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

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_lib.h"
#include "apr_strings.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

APLOG_USE_MODULE(proxy_core);

/** Most bytes of an application's standard error that one request writes into the log. */
#define LOG_MAX 65536
/** Most bytes of a body that nobody wants. */
#define UNWANTED_MAX 1000000

/* ------------------------------------------------------------------ the client's side */

/* Does the client's socket take more? */
static int client_takes(const pc_exchange *x)
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
    apr_status_t rv;

    if (APR_BRIGADE_EMPTY(x->out)) {
        return !x->client_left;
    }
    x->head_passed = 1;
    rv = ap_pass_brigade(x->r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    if (rv != APR_SUCCESS || x->c->aborted) {
        x->client_left = 1;
        return 0;
    }
    x->unflushed = 1;
    if (!x->answered && !x->h2 && x->c->data_in_output_filters) {
        x->client_at = pc_now();
        (void)pc_reply_drain(x);
    }
    return !x->client_left;
}

void pc_reply_flush(pc_exchange *x)
{
    /* what TLS or mod_deflate held back would be written with the thread waiting for it */
    if (!client_takes(x)) {
        if (!x->held) {
            x->client_at = x->now;
        }
        x->held = x->blocked = 1;
        return;
    }
    x->held = 0;
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_flush_create(x->c->bucket_alloc));
    (void)pc_reply_pass(x);
    x->unflushed = 0;
}

void pc_reply_cut(pc_exchange *x)
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
    (void)ap_pass_brigade(r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
}

static void remember(pc_exchange *x)
{
    request_rec *r = x->r;

    x->before.headers = apr_is_empty_table(r->headers_out) ? NULL : apr_table_copy(r->pool, r->headers_out);
    x->before.type = r->content_type;
    x->before.line = r->status_line;
    x->before.status = r->status;
    x->before.proxyreq = r->proxyreq;
    x->before.length = r->clength;
    x->before.kept = 1;
}

void pc_reply_forget(pc_exchange *x)
{
    request_rec *r = x->r;

    apr_brigade_cleanup(x->out);
    x->unflushed = x->held = x->discard = 0;
    x->redirect = NULL;
    x->final_status = 0;
    x->backend_status = 0;
    x->unwanted = 0;
    x->head_at = 0;
    if (x->before.kept) {
        x->before.kept = 0;
        apr_table_clear(r->headers_out);
        if (x->before.headers) {
            r->headers_out = x->before.headers;
        }
        r->content_type = x->before.type;
        r->status_line = x->before.line;
        r->status = x->before.status;
        r->proxyreq = x->before.proxyreq;
        r->clength = x->before.length;
    }
}

/* ------------------------------------------------------------------ heads */

static void copy_fields(apr_table_t *t, const pc_head *head)
{
    apr_size_t i;

    for (i = 0; i < head->nfields; i++) {
        apr_table_addn(t, head->fields[i].name, head->fields[i].value);
    }
}

static void interim(pc_exchange *x, const pc_head *head)
{
    request_rec *r = x->r;
    apr_table_t *out = r->headers_out;
    int status = r->status;
    const char *line = r->status_line;

    if (head->status == HTTP_CONTINUE) {
        if (x->body == PC_BODY_EXPECTED) {
            pc_body_continue(x);
            x->body = PC_BODY_OPEN;
            x->client_at = x->now;
        }
        return;
    }
    if (r->main || x->head_passed) {
        return;
    }
    r->headers_out = apr_table_make(r->pool, 4);
    copy_fields(r->headers_out, head);
    r->status = head->status;
    r->status_line = NULL;
    ap_send_interim_response(r, 1);
    r->headers_out = out;
    r->status = status;
    r->status_line = line;
}

/* RFC 3875, 6.2.2: Location with a path and nothing else is followed here. */
static int is_local_redirect(const pc_exchange *x, const pc_head *head, const char *location)
{
    apr_size_t i;

    if (!(x->codec->flags & PC_CODEC_CGI) || head->status_given || !location || location[0] != '/' || x->r->main) {
        return 0;
    }
    for (i = 0; i < head->nfields; i++) {
        if (!ap_cstr_casecmp(head->fields[i].name, "Content-Type")) {
            return 0;
        }
    }
    return 1;
}

/* A file's name for the server in front, who is not to act on it unless told to: it tells of the backend's file system and
 * is nobody else's business. */
static int is_sendfile(const pc_field *f)
{
    static const char *const names[] = { "X-Sendfile", "X-LIGHTTPD-send-file", "X-Sendfile2", "X-Accel-Redirect",
                                         NULL };
    int i;

    for (i = 0; names[i]; i++) {
        if (!ap_cstr_casecmp(f->name, names[i])) {
            return 1;
        }
    }
    return 0;
}

static void set_field(pc_exchange *x, const pc_field *f)
{
    request_rec *r = x->r;

    switch (f->name[0] | 0x20) {
    case 'c':
        if (f->name_len == 12 && !ap_cstr_casecmp(f->name, "Content-Type")) {
            ap_set_content_type(r, f->value);
            return;
        }
        if (f->name_len == 14 && !ap_cstr_casecmp(f->name, "Content-Length")) {
            return; /* set from the validated number */
        }
        break;
    case 'd':
    case 's': /* kept only for a response that says it comes from elsewhere */
        if (!ap_cstr_casecmp(f->name, "Date") || !ap_cstr_casecmp(f->name, "Server")) {
            r->proxyreq = PROXYREQ_REVERSE;
            apr_table_setn(r->headers_out, f->name, f->value);
            return;
        }
        break;
    case 'x':
        if (is_sendfile(f)) {
            return;
        }
        break;
    default: break;
    }
    apr_table_addn(r->headers_out, f->name, f->value);
}

static void set_status(pc_exchange *x, const pc_head *head, const char *location)
{
    request_rec *r = x->r;

    if ((x->codec->flags & PC_CODEC_CGI) && !head->status_given && location) {
        r->status = HTTP_MOVED_TEMPORARILY;
        return;
    }
    if (ap_is_HTTP_ERROR(r->status) && head->status == HTTP_OK && !head->status_given) {
        return; /* an ErrorDocument: what went wrong stays the status */
    }
    r->status = head->status;
    if (head->reason && *head->reason) {
        const char *known = ap_get_status_line(head->status);

        if (strncmp(known, "500", 3) == 0 || strcmp(known + 4, head->reason) != 0) {
            r->status_line = apr_psprintf(r->pool, "%d %s", head->status, head->reason);
        }
    }
}

static int has_no_body(const pc_exchange *x)
{
    return x->r->header_only || x->r->status == HTTP_NO_CONTENT || x->r->status == HTTP_NOT_MODIFIED;
}

static const char *find_location(const pc_head *head)
{
    apr_size_t i;

    for (i = 0; i < head->nfields; i++) {
        if (head->fields[i].name_len == 8 && !ap_cstr_casecmp(head->fields[i].name, "Location")) {
            return head->fields[i].value;
        }
    }
    return NULL;
}

static void final_head(pc_exchange *x, const pc_head *head)
{
    request_rec *r = x->r;
    const char *location = find_location(head);
    apr_size_t i;

    x->head_at = x->last_read = pc_now();
    x->backend_status = head->status;
    pc_lease_answered(&x->lease);
    x->state = PC_STATE_STREAMING;
    pc_upstream_learn(x->pool, x->lease.index, x->head_at - x->last_write < PC_PATIENCE);
    if (x->body == PC_BODY_EXPECTED) { /* answered without wanting the body */
        x->body = PC_BODY_STOPPED;
        x->c->keepalive = AP_CONN_CLOSE; /* before the head is made */
    }
    if (is_local_redirect(x, head, location)) {
        x->redirect = location;
        x->discard = 1;
        return;
    }
    remember(x);
    for (i = 0; i < head->nfields; i++) {
        set_field(x, &head->fields[i]);
    }
    set_status(x, head, location);
    if (head->content_length >= 0 && (r->header_only || !has_no_body(x))) {
        ap_set_content_length(r, head->content_length);
    }
    if (head->content_length > PC_REPLY_FIRST) {
        x->lot = PC_REPLY_LOT;
    }
    if ((x->codec->flags & PC_CODEC_CGI) && !head->status_given && r->status == HTTP_OK && !r->main) {
        x->final_status = ap_meets_conditions(r);
        x->discard = x->final_status != OK;
    }
    x->unflushed = !x->discard; /* the head does not wait for a body that is late */
}

/* ------------------------------------------------------------------ the application's standard error */

/* One line without control characters. */
static void log_line(pc_exchange *x, const char *p, apr_size_t n)
{
    char *line;
    apr_size_t i, o = 0;

    if (n > 4096) {
        n = 4096;
    }
    line = apr_palloc(x->r->pool, n * 4 + 1);
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (apr_iscntrl(c) && c != '\t') {
            o += (apr_size_t)apr_snprintf(line + o, 5, "\\x%02x", c);
        }
        else {
            line[o++] = (char)c;
        }
    }
    line[o] = '\0';
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0440: %s: the application says: %s", x->pool->name, line);
}

static void log_span(pc_exchange *x, const char *p, apr_size_t n)
{
    const char *end = p + n;

    while (p < end) {
        const char *nl = memchr(p, '\n', (apr_size_t)(end - p));
        apr_size_t len = (apr_size_t)((nl ? nl : end) - p);

        if (x->log_bytes > LOG_MAX) {
            if (!x->logged_cut) {
                x->logged_cut = 1;
                ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                              "PXC0441: %s: the application wrote more than %d bytes to its standard error: the rest "
                              "is not logged",
                              x->pool->name, LOG_MAX);
            }
            return;
        }
        x->log_bytes += len + 1;
        while (len && (p[len - 1] == '\r')) {
            len--;
        }
        if (len) {
            log_line(x, p, len);
        }
        p = nl ? nl + 1 : end;
    }
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
    pc_exchange_release(x, PC_OUTCOME_OK, keep);
    if (x->redirect) {
        return pc_exchange_end(x, OK, "redirect");
    }
    if (x->final_status) {
        return pc_exchange_end(x, x->final_status, "ok");
    }
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(x->c->bucket_alloc));
    (void)pc_reply_pass(x);
    return pc_exchange_end(x, OK, x->client_left ? "client-left" : "ok");
}

static pc_step broken(pc_exchange *x, const pc_event *ev)
{
    pc_stage stage = x->state == PC_STATE_STREAMING ? PC_STAGE_BODY : PC_STAGE_HEAD;

    if (stage == PC_STAGE_BODY && !APR_BRIGADE_EMPTY(x->out)) {
        (void)pc_reply_pass(x); /* what came whole is the client's */
    }
    if (ev->overloaded) {
        return pc_fail(x, stage, PC_CAUSE_OVERLOADED, ev->why);
    }
    return pc_fail(x, stage, x->eof ? PC_CAUSE_RESET : PC_CAUSE_MALFORMED, ev->why);
}

/* @return PC_STEP_WAIT: go on; else the end of this try */
static pc_step one_event(pc_exchange *x, apr_bucket *rx, const char *base, const pc_event *ev, int left_over)
{
    switch (ev->type) {
    case PC_EV_INTERIM: interim(x, ev->head); break;
    case PC_EV_HEAD: final_head(x, ev->head); break;
    case PC_EV_BODY: body_span(x, rx, base, ev); break;
    case PC_EV_LOG: log_span(x, ev->data, ev->len); break;
    case PC_EV_END: return answer_ended(x, ev, left_over);
    case PC_EV_ERROR: return broken(x, ev);
    case PC_EV_TRAILER:
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

/* @param error  of the read, 0: the end of the stream */
static pc_step closed(pc_exchange *x, int error)
{
    pc_event ev;

    x->eof = 1;
    if (x->state != PC_STATE_STREAMING && x->link->reused && !x->last_event) {
        return pc_fail(x, PC_STAGE_HEAD, PC_CAUSE_STALE, "a kept connection had been closed");
    }
    if (x->state != PC_STATE_STREAMING && was_never_read(x, error)) {
        return pc_fail(x, PC_STAGE_HEAD, PC_CAUSE_UNTAKEN, "Connection reset by peer");
    }
    memset(&ev, 0, sizeof(ev));
    x->codec->eof(x->codec_state, &ev);
    return one_event(x, NULL, NULL, &ev, 0);
}

/* ------------------------------------------------------------------ reading */

static ssize_t read_lot(pc_exchange *x, char *buf, apr_size_t size)
{
    int flags = MSG_DONTWAIT;
    ssize_t n;

    if (x->may_linger && x->state == PC_STATE_AWAITING) {
        x->may_linger = 0;
        if (!x->can_park || pc_upstream_patient(x->pool, x->lease.index)) {
            flags = 0; /* the socket's receive timeout bounds it */
        }
    }
    do {
        n = recv(x->link->fd, buf, size, flags);
    } while (n == -1 && errno == EINTR);
    return n;
}

/* A body that nobody wants (HEAD, 304, a local redirect) is read so that the connection can be kept, but not for ever. */
static int is_enough(pc_exchange *x, apr_off_t n)
{
    if (x->state != PC_STATE_STREAMING || !(x->discard || has_no_body(x))) {
        return 0;
    }
    x->unwanted += n;
    return x->unwanted > UNWANTED_MAX;
}

int pc_reply_some(pc_exchange *x, pc_step *step)
{
    static const pc_event no_more = { .type = PC_EV_END };
    char *buf;
    apr_size_t size = x->lot;
    ssize_t n;

    if (x->eof) {
        *step = closed(x, 0);
        return 1;
    }
    if (x->blocked && !(client_takes(x) && pc_reply_drain(x))) {
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
        *step = answer_ended(x, &no_more, 1);
        return 1;
    }
    if (*step == PC_STEP_WAIT && x->state == PC_STATE_STREAMING && !pc_reply_pass(x)) {
        pc_exchange_client_left(x);
        *step = PC_STEP_DONE;
    }
    return 1;
}
