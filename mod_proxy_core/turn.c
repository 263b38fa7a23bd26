/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * An application sends the request elsewhere: an internal redirect, which goes through the server's configuration and
 * access control like any request.
 *
 * What must survive the redirect hangs on the request that was left (its request_config); its successor finds it through
 * r->prev. The application's fields are put over those of the new answer, only where that is a success: an error page of
 * this server is not the application's download. That takes two filters. The first one sees the answer before all others,
 * so that those know the type that the client is told; the other one comes behind mod_cache, which may bring fields of its
 * own out of what it has, and is not to keep what was said to one client. "Require proxy-core-internal" lets in who came
 * this way, and nobody else.
 */
#include "instead.h"
#include "replay.h"
#include "turn.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_auth.h"

#include "apr_cstr.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

#define TURNS_MAX 8
#define TYPE_FILTER "PROXY_CORE_TYPE"
#define FIELDS_FILTER "PROXY_CORE_FIELDS"

typedef struct pc_turn {
    int n;               /* 1: the first */
    const char *backend; /* of X-Rewrite-Backend, or NULL */
    apr_table_t *fields; /* of all applications so far */
    const char *type;    /* of the last application, or NULL */
    int status;          /* that it answered with */
    int entered;         /* status of the request before */
} pc_turn;

static pc_turn *turn_of(const request_rec *r)
{
    return r->prev ? ap_get_module_config(r->prev->request_config, &proxy_core_module) : NULL;
}

const char *pc_turn_backend(const request_rec *r)
{
    const pc_turn *t = turn_of(r);

    return t ? t->backend : NULL;
}

/* ------------------------------------------------------------------ the application's fields on the new answer */

/** Fields of which there may be several, for several reasons. */
static int is_added(const char *name)
{
    static const char *const names[] = { "Set-Cookie", "Vary", "Link", "WWW-Authenticate", NULL };

    for (int i = 0; names[i]; ++i) {
        if (!apr_cstr_casecmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

static int drop_same(void *r, const char *name, const char *value)
{
    (void)value;
    if (!is_added(name)) {
        apr_table_unset(((request_rec *)r)->headers_out, name);
        apr_table_unset(((request_rec *)r)->err_headers_out, name);
    }
    return 1;
}

static int add(void *t, const char *name, const char *value)
{
    apr_table_addn(t, name, value);
    return 1;
}

static int is_success(const request_rec *r, const pc_turn *t, const apr_bucket_brigade *bb)
{
    if (!APR_BRIGADE_EMPTY(bb) && AP_BUCKET_IS_ERROR(APR_BRIGADE_FIRST(bb))) {
        return 0;
    }
    return ap_is_HTTP_SUCCESS(r->status) || r->status == HTTP_NOT_MODIFIED || r->status == t->entered;
}

static apr_status_t type_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    const pc_turn *t = f->ctx;

    ap_remove_output_filter(f);
    /* For mod_cache alone: r->no_cache would tell the client, too, by an Expires that nobody gave. */
    apr_table_setn(r->subprocess_env, "no-cache", "1");
    if (t->type && is_success(r, t, bb)) {
        ap_set_content_type(r, t->type);
    }
    return ap_pass_brigade(f->next, bb);
}

static apr_status_t fields_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    const pc_turn *t = f->ctx;

    ap_remove_output_filter(f);
    if (is_success(r, t, bb)) {
        apr_table_do(drop_same, r, t->fields, NULL);
        apr_table_do(add, r->headers_out, t->fields, NULL);
        if (t->type) {
            ap_set_content_type(r, t->type);
        }
        if (r->status == HTTP_OK && t->status) {
            r->status = t->status;
        }
    }
    return ap_pass_brigade(f->next, bb);
}

static void insert_filters(request_rec *r)
{
    pc_turn *t = r->prev && !r->main ? turn_of(r) : NULL;

    if (t) {
        ap_add_output_filter(TYPE_FILTER, t, r, r->connection);
        ap_add_output_filter(FIELDS_FILTER, t, r, r->connection);
    }
}

/** A 304 is made without the filters of the resource. */
static void insert_error_filters(request_rec *r)
{
    if (r->status == HTTP_NOT_MODIFIED) {
        insert_filters(r);
    }
}

/* ------------------------------------------------------------------ Require proxy-core-internal */

/** mod_cache would serve what it has without asking anybody: it gets nothing. */
static authz_status check_internal(request_rec *asked, const char *line, const void *parsed)
{
    (void)line;
    (void)parsed;
    for (const request_rec *r = asked; r; r = r->prev ? r->prev : r->main) {
        if (turn_of(r)) {
            apr_table_setn(asked->subprocess_env, "no-cache", "1");
            return AUTHZ_GRANTED;
        }
    }
    return AUTHZ_DENIED;
}

static const char *parse_internal(cmd_parms *cmd, const char *line, const void **parsed)
{
    (void)parsed;
    return *line ? apr_pstrcat(cmd->pool, "Require proxy-core-internal takes no argument: '", line, "'", NULL) : NULL;
}

static const authz_provider internal_provider = { check_internal, parse_internal };

/* ------------------------------------------------------------------ turning */

static void forget_body(request_rec *r)
{
    r->method = r->header_only ? "HEAD" : "GET";
    r->method_number = M_GET;
    apr_table_unset(r->headers_in, "Content-Length");
    apr_table_unset(r->headers_in, "Transfer-Encoding");
    apr_table_unset(r->headers_in, "Content-Type");
    apr_table_unset(r->headers_in, "Expect");
}

void pc_turn_redirect(request_rec *r, const char *uri)
{
    forget_body(r);
    ap_internal_redirect(uri, r);
}

/** X-Rewrite-URI with the query that the request had, unless it brings one; without it the same URI once more. */
static const char *rewritten_uri(request_rec *r, const char *uri)
{
    if (!uri) {
        uri = r->unparsed_uri && *r->unparsed_uri == '/' ? r->unparsed_uri : ap_os_escape_path(r->pool, r->uri, 1);
    }
    return strchr(uri, '?') || !r->args ? uri : apr_pstrcat(r->pool, uri, "?", r->args, NULL);
}

static void rename_host(request_rec *r, const char *host)
{
    char *name = apr_pstrdup(r->pool, host), *scope;
    apr_port_t port;

    apr_table_setn(r->headers_in, "Host", host);
    if (apr_parse_addr_port(&name, &scope, &port, host, r->pool) == APR_SUCCESS && name) {
        ap_str_tolower(name);
        r->hostname = name;
    }
}

/** Conditions and ranges do not hold for what is sent with another status than 200. */
static void forget_conditions(request_rec *r)
{
    static const char *const names[] = { "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
                                         "If-Range", "Range",         "Request-Range",     NULL };

    for (int i = 0; names[i]; ++i) {
        apr_table_unset(r->headers_in, names[i]);
    }
}

static int drop_older(void *fields, const char *name, const char *value)
{
    (void)value;
    if (!is_added(name)) {
        apr_table_unset(fields, name);
    }
    return 1;
}

static pc_turn *make_turn(request_rec *r, const pc_instead *in)
{
    const pc_turn *last = NULL;
    pc_turn *t = apr_pcalloc(r->pool, sizeof(*t));

    for (const request_rec *q = r; q && !last; q = q->prev) {
        last = turn_of(q);
    }
    t->n = last ? last->n + 1 : 1;
    t->backend = in->backend;
    t->fields = last ? apr_table_copy(r->pool, last->fields) : in->fields;
    if (last) {
        apr_table_do(drop_older, t->fields, in->fields, NULL);
        apr_table_do(add, t->fields, in->fields, NULL);
    }
    t->type = in->type ? in->type : last ? last->type : NULL;
    t->status = in->kind == PC_FIELD_ACCEL && in->status != HTTP_OK ? in->status : last ? last->status : 0;
    t->entered = r->status;
    return t;
}

int pc_turn_follow(request_rec *r, const pc_instead *in, pc_spool *body)
{
    pc_turn *t = make_turn(r, in);
    apr_table_t *fields_in = r->headers_in;

    if (t->n > TURNS_MAX) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0682: %s: sent elsewhere more than %d times in a row", r->uri,
                      TURNS_MAX);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_set_module_config(r->request_config, &proxy_core_module, t);
    /* logs are written of what the client asked for */
    r->headers_in = apr_table_copy(r->pool, r->headers_in);
    if (t->status || r->method_number != M_GET) {
        forget_conditions(r);
    }
    if (in->kind == PC_FIELD_ACCEL) {
        forget_body(r);
        ap_internal_redirect(in->uri, r);
    }
    else {
        const char *hostname = r->hostname;

        if (body) {
            pc_replay(r, body);
        }
        if (in->host) {
            rename_host(r, in->host);
        }
        ap_internal_redirect(rewritten_uri(r, in->uri), r);
        r->hostname = hostname;
    }
    r->headers_in = fields_in;
    return OK;
}

void pc_turn_register_hooks(apr_pool_t *p)
{
    pc_replay_register();
    ap_register_output_filter(TYPE_FILTER, type_filter, NULL, AP_FTYPE_RESOURCE);
    ap_register_output_filter(FIELDS_FILTER, fields_filter, NULL, AP_FTYPE_PROTOCOL - 1);
    ap_hook_insert_filter(insert_filters, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_insert_error_filter(insert_error_filters, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "proxy-core-internal", AUTHZ_PROVIDER_VERSION,
                              &internal_provider, AP_AUTH_INTERNAL_PER_CONF);
}
