/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Which answers are not the client's. Nothing of the request changes here: what comes of it is made when the answer was
 * read to its end, so that an answer that is refused leaves no trace.
 */
#include "instead.h"
#include "turn.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"

#include "apr_cstr.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

/* ------------------------------------------------------------------ what the head says */

static const char *take_value(request_rec *r, pc_instead *in, pc_instead_field kind, const char *value, int unescape)
{
    const char **text = kind == PC_FIELD_REWRITE_HOST      ? &in->host
                        : kind == PC_FIELD_REWRITE_BACKEND ? &in->backend
                                                           : &in->uri;

    if (kind <= PC_FIELD_SENDFILE2) {
        if (in->parts->nelts && kind != PC_FIELD_SENDFILE2) {
            return NULL; /* the first one counts */
        }
        return kind == PC_FIELD_SENDFILE2 ? pc_sendfile2_parse(r->pool, value, in->parts)
                                          : pc_sendfile_parse(r->pool, value, unescape, in->parts);
    }
    if (*text) {
        return NULL;
    }
    *text = value;
    switch (kind) {
    case PC_FIELD_REWRITE_HOST: return pc_host_check(value);
    case PC_FIELD_REWRITE_BACKEND: {
        const pc_pool_conf *pool = pc_conf_pool(r->server, value);

        return pool && !pool->inline_form ? NULL : "this server has no <ProxyCore> of this name";
    }
    default: return pc_site_uri_check(value);
    }
}

/** X-Rewrite-… are one kind. */
static pc_instead_field group_of(pc_instead_field kind)
{
    return kind > PC_FIELD_ACCEL && kind < PC_FIELD_OTHER ? PC_FIELD_REWRITE_URI : kind;
}

static pc_instead_field kind_of(const pc_exchange *x, const pc_field *f)
{
    pc_instead_field kind = pc_instead_field_of(f->name, f->name_len);
    const pc_dir_conf *dir = x->route->dir;

    if (kind <= PC_FIELD_ACCEL ? !pc_sendfile_is_on(dir) : dir->xrewrite <= 0) {
        return PC_FIELD_OTHER;
    }
    return kind;
}

static pc_instead_field find_kind(const pc_exchange *x, const pc_head *head)
{
    pc_instead_field found = PC_FIELD_OTHER;

    for (apr_size_t i = 0; i < head->nfields; ++i) {
        pc_instead_field kind = group_of(kind_of(x, &head->fields[i]));

        found = kind < found ? kind : found;
    }
    return found;
}

/** @return 0: a value is no good; it was logged */
static int take_values(pc_exchange *x, const pc_head *head, pc_instead *in)
{
    for (apr_size_t i = 0; i < head->nfields; ++i) {
        const pc_field *f = &head->fields[i];
        pc_instead_field kind = kind_of(x, f);
        const char *wrong;

        if (kind == PC_FIELD_OTHER || group_of(kind) != in->kind) {
            continue;
        }
        wrong = take_value(x->r, in, kind, f->value,
                           in->kind < PC_FIELD_SENDFILE2 && x->route->dir->sendfile->unescape > 0);
        if (wrong) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0680: pool %s: %s: %s: %s", x->pool->name, f->name,
                          ap_escape_logitem(x->r->pool, f->value), wrong);
            return 0;
        }
    }
    return 1;
}

/* ------------------------------------------------------------------ the application's own fields */

/** Fields that tell of the answer that is not sent. Several parts are the application's own composition: what identifies
 *  it only the application can say. */
static int is_replaced(const pc_field *f, pc_instead_field kind)
{
    static const char *const always[] = { "Content-Length", "Content-Encoding", "Date", "Server",
                                          "Location",       "Trailer",          NULL };
    static const char *const of_file[] = { "ETag", "Last-Modified", "Content-Range", NULL };

    for (int i = 0; always[i]; ++i) {
        if (!apr_cstr_casecmp(f->name, always[i])) {
            return 1;
        }
    }
    for (int i = 0; kind != PC_FIELD_SENDFILE2 && of_file[i]; ++i) {
        if (!apr_cstr_casecmp(f->name, of_file[i])) {
            return 1;
        }
    }
    if (!apr_cstr_casecmp(f->name, "Accept-Ranges")) {
        return apr_cstr_casecmp(f->value, "none") != 0;
    }
    return pc_instead_field_of(f->name, f->name_len) != PC_FIELD_OTHER;
}

static void keep_fields(pc_exchange *x, const pc_head *head, pc_instead *in)
{
    in->fields = apr_table_make(x->r->pool, (int)head->nfields);
    for (apr_size_t i = 0; i < head->nfields; ++i) {
        const pc_field *f = &head->fields[i];

        if (in->kind == PC_FIELD_REWRITE_URI) {
            if (!apr_cstr_casecmp(f->name, "Set-Cookie")) {
                apr_table_addn(in->fields, f->name, f->value);
            }
        }
        else if (f->name_len == 12 && !apr_cstr_casecmp(f->name, "Content-Type")) {
            in->type = f->value;
        }
        else if (!is_replaced(f, in->kind)) {
            apr_table_addn(in->fields, f->name, f->value);
        }
    }
}

/* ------------------------------------------------------------------ what may stand in for what */

/** An answer that says by its status that it has a body, and that the body is all of it. */
static int may_be_replaced(const pc_head *head, pc_instead_field kind)
{
    int status = head->status;

    if (status == HTTP_PARTIAL_CONTENT) {
        return kind == PC_FIELD_SENDFILE2;
    }
    return status >= 400
           || (status >= 200 && status < 300 && status != HTTP_NO_CONTENT && status != HTTP_RESET_CONTENT);
}

static int status_of(const pc_exchange *x, const pc_head *head)
{
    /* an ErrorDocument: what went wrong stays the status */
    return ap_is_HTTP_ERROR(x->r->status) && head->status == HTTP_OK && !head->status_given ? x->r->status
                                                                                            : head->status;
}

/* ------------------------------------------------------------------ in handler context, see x->instead */

static int serve_file(pc_exchange *x)
{
    return pc_sendfile_serve(x->r, x->route->dir->sendfile, x->instead_data);
}

static int follow(pc_exchange *x)
{
    const pc_instead *in = x->instead_data;

    if (in->kind != PC_FIELD_ACCEL && !pc_body_replayable(x)
        && (x->body != PC_BODY_SENT || x->bytes_in)) { /* anything else would be another request than the client's */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                      "PXC0801: pool %s: X-Rewrite: some of the request's body was read for this answer and is gone; "
                      "ProxyCoreRequestBuffering on keeps it",
                      x->pool->name);
        apr_table_setn(x->r->notes, "proxy-core-state", "malformed");
        return HTTP_BAD_GATEWAY;
    }
    return pc_turn_follow(x->r, in, x->spool);
}

static int refuse(pc_exchange *x)
{
    (void)x;
    return HTTP_BAD_GATEWAY;
}

int pc_instead_choose(pc_exchange *x, const pc_head *head)
{
    pc_instead_field kind = find_kind(x, head);
    pc_instead *in;

    if (kind == PC_FIELD_OTHER || x->route->role == PC_ROLE_AUTHORIZER) { /* who refuses serves nothing */
        return 0;
    }
    if (!may_be_replaced(head, kind)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "PXC0681: pool %s: status %d is not one for which %s is obeyed",
                      x->pool->name, head->status,
                      kind <= PC_FIELD_SENDFILE2 ? "X-Sendfile"
                      : kind == PC_FIELD_ACCEL   ? "X-Accel-Redirect"
                                                 : "X-Rewrite");
        return 0;
    }
    in = apr_pcalloc(x->r->pool, sizeof(*in));
    in->kind = kind;
    in->parts = apr_array_make(x->r->pool, 1, sizeof(pc_part));
    in->status = status_of(x, head);
    x->instead = kind <= PC_FIELD_SENDFILE2 ? serve_file : follow;
    x->instead_state = kind <= PC_FIELD_SENDFILE2 ? "sendfile" : kind == PC_FIELD_ACCEL ? "accel" : "rewrite";
    if (!take_values(x, head, in)) {
        x->instead = refuse;
        x->instead_state = "malformed";
    }
    keep_fields(x, head, in);
    x->instead_data = in;
    x->rest_unneeded = 1;
    x->discard = 1;
    return 1;
}
