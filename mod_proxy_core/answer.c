/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What a response head makes of the request: fields, type, status; interim heads; and the answers that are not the
 * client's but say what is to be served in their place (x->instead).
 *
 * Until its first byte has left an answer can be taken back (pc_answer_forget()), for one more try.
 */
#include "exchange.h"
#include "clock.h"
#include "trailer_rules.h"
#include "instead.h"
#include "override.h"
#include "rewrite.h"
#include "turn.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_cstr.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

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

void pc_answer_forget(pc_exchange *x)
{
    request_rec *r = x->r;

    apr_brigade_cleanup(x->out);
    x->unflushed = x->held = x->discard = x->rest_unneeded = x->whole = 0;
    x->instead = NULL;
    x->final_status = 0;
    x->backend_status = 0;
    x->unwanted = 0;
    if (x->held_back) {
        pc_spool_clear(x->held_back);
    }
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

/* X-Sendfile and its like are for the server in front, who is not to act on them unless told to: they tell of file systems
 * and pools, and are nobody else's business. */
static int is_for_us(const pc_field *f)
{
    return (f->name[0] | 0x20) == 'x' && pc_instead_field_of(f->name, f->name_len) != PC_FIELD_OTHER;
}

static void copy_fields(apr_table_t *t, const pc_head *head)
{
    apr_size_t i;

    for (i = 0; i < head->nfields; i++) {
        if (!is_for_us(&head->fields[i])) {
            apr_table_addn(t, head->fields[i].name, head->fields[i].value);
        }
    }
}

void pc_answer_interim(pc_exchange *x, const pc_head *head)
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
    if (r->main || x->head_passed || x->route->role == PC_ROLE_AUTHORIZER) {
        return;
    }
    if (x->route->dir->rewrite) {
        head = pc_rewrite_head(r, x->route, x->msg.host, head, 1, 0);
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

/* In handler context, see x->instead. */
static int follow_redirect(pc_exchange *x)
{
    pc_turn_redirect(x->r, x->instead_data);
    return OK;
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
    case 't':
        if (f->name_len == 7 && !ap_cstr_casecmp(f->name, "Trailer")) {
            const char *names = x->msg.te_trailers ? pc_trailer_announce(r->pool, f->value) : NULL;

            if (names) {
                apr_table_mergen(r->headers_out, "Trailer", names);
            }
            return;
        }
        break;
    case 'x':
        if (is_for_us(f)) {
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

int pc_answer_has_no_body(const pc_exchange *x)
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

void pc_answer_head(pc_exchange *x, const pc_head *head)
{
    request_rec *r = x->r;
    const char *location = find_location(head);
    apr_size_t i;

    if (x->route->dir->rewrite) {
        head = pc_rewrite_head(r, x->route, x->msg.host, head, 0, is_local_redirect(x, head, location));
        location = find_location(head);
    }
    x->head_at = x->last_read = pc_now();
    x->backend_status = head->status;
    x->announced = head->content_length;
    pc_lease_answered(&x->lease);
    if (x->pool->response.on) {
        pc_hold_begin(x);
    }
    x->state = PC_STATE_STREAMING;
    pc_upstream_learn(x->pool, x->lease.index, x->head_at - x->last_write < pc_upstream_patience(x->pool));
    if (x->body == PC_BODY_EXPECTED) { /* answered without wanting the body */
        x->body = PC_BODY_STOPPED;
        x->c->keepalive = AP_CONN_CLOSE; /* before the head is made */
    }
    if (head->status == HTTP_SWITCHING_PROTOCOLS && x->msg.upgrade) {
        pc_tunnel_begin(x, head);
        return;
    }
    if (x->route->role == PC_ROLE_AUTHORIZER) {
        if (pc_authorizer_head(x, head, location)) {
            return;
        }
    }
    else if (is_local_redirect(x, head, location)) {
        x->instead = follow_redirect;
        x->instead_data = location;
        x->instead_state = "redirect";
        x->discard = 1;
        return;
    }
    if (x->route->dir->override && pc_override_takes(x, head)) {
        return;
    }
    if ((x->route->dir->sendfile || x->route->dir->xrewrite > 0) && pc_instead_choose(x, head)) {
        return;
    }
    remember(x);
    for (i = 0; i < head->nfields; i++) {
        set_field(x, &head->fields[i]);
    }
    set_status(x, head, location);
    if (head->content_length >= 0 && (r->header_only || !pc_answer_has_no_body(x))) {
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
