/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * FastCGI's authorizers, in front of whatever serves the request: files, scripts, this module's other pools, mod_proxy.
 *
 * When they are asked. A request is asked for in the fixups phase: httpd's own authentication and authorization are over
 * and have allowed it (with Satisfy any they cannot overrule an authorizer, nor it them), SetEnv and mod_ssl have given
 * their variables, and nothing has looked at what there is to be served, neither mod_dir nor mod_rewrite nor a redirect.
 * Subrequests are mostly look-ups, a directory's index or a listing's entries: they are asked for only when they are run,
 * by a handler that comes before all others, or when their method says that more is to happen (WebDAV's COPY looks up
 * where to). That handler also catches a request which has become another since (a directory's index with an authorizer
 * of its own). An internal redirect, an ErrorDocument included, is a request with
 * another URL and asked for like any other.
 *
 * A request cannot be parked in these phases: a thread waits while an authorizer thinks.
 *
 * Nothing but a whole answer with status 200 allows. What else may happen ends the request: a refusal is the answer, as
 * the authorizer has said it, and a failure is 502, 503 or 504.
 */
#include "exchange.h"
#include "config_values.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_cstr.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

#define NOTE_ASKED "proxy-core-authorized" /* who has allowed this request */
#define NOTE_STATE "proxy-core-authorizer-state"
#define NOTE_FAILED "proxy-core-authorizer-failure" /* who could not say, and the status of that */
#define VARIABLE "Variable-"
#define VARIABLE_LEN (sizeof(VARIABLE) - 1)

/* ------------------------------------------------------------------ an answer */

/* Names that no authorizer gives: the request's own, those of other modules, and what changes how programs run. */
static int may_set(const char *name)
{
    static const char *const prefixes[] = { "HTTP_",     "CONTENT_",        "SSL_", "LD_", "FCGI_",
                                            "PHP_VALUE", "PHP_ADMIN_VALUE", NULL };

    for (const char *const *p = prefixes; *p; ++p) {
        if (!strncasecmp(name, *p, strlen(*p))) {
            return 0;
        }
    }
    return pc_value_is_env_name(name) && !pc_value_is_reserved_env(name) && strcmp(name, "PATH") != 0;
}

static void take_variable(pc_exchange *x, const char *name, const char *value)
{
    request_rec *r = x->r;

    if (!strcmp(name, "REMOTE_USER")) {
        if (!r->user && *value) { /* who has proved it to httpd itself stays who they are */
            r->user = apr_pstrdup(r->pool, value);
        }
        return;
    }
    if (!may_set(name)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "PXC0603: pool %s: an authorizer may not set the variable %s",
                      x->pool->name, name);
        return;
    }
    apr_table_set(r->subprocess_env, name, value);
}

static int distrust(pc_exchange *x)
{
    apr_table_setn(x->r->notes, NOTE_STATE, "malformed"); /* it says "allowed" */
    return HTTP_BAD_GATEWAY;
}

/* x->instead */
static int allow(pc_exchange *x)
{
    const pc_head *head = x->instead_data;

    if (!x->whole) { /* whoever ended the exchange: nothing else may stand for the end of the answer */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                      "PXC0800: pool %s: the authorizer allowed the request and its answer did not come to its end",
                      x->pool->name);
        return distrust(x);
    }
    if (x->app_status) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                      "PXC0604: pool %s: the authorizer allowed the request and ended with status %d", x->pool->name,
                      x->app_status);
        return distrust(x);
    }
    for (apr_size_t i = 0; i < head->nfields; ++i) {
        const pc_field *f = &head->fields[i];

        if (f->name_len > VARIABLE_LEN && !ap_cstr_casecmpn(f->name, VARIABLE, VARIABLE_LEN)) {
            take_variable(x, f->name + VARIABLE_LEN, f->value);
        }
    }
    /* Others must not get from mod_cache what this client was allowed to see. */
    apr_table_setn(x->r->subprocess_env, "no-cache", "1");
    return DECLINED;
}

int pc_authorizer_head(pc_exchange *x, const pc_head *head, const char *location)
{
    if (head->status == HTTP_OK && !(location && !head->status_given)) {
        x->instead = allow;
        x->instead_data = head;
        x->instead_state = "allowed";
        x->discard = 1;
        return 1;
    }
    if (x->r->main) { /* a part of a page: it is missing there, and says nothing itself */
        x->final_status = ap_is_HTTP_ERROR(head->status) ? head->status : HTTP_FORBIDDEN;
        x->discard = 1;
        return 1;
    }
    if (!x->refused) {
        ap_run_insert_error_filter(x->r); /* those of a handler's answer are for what was to be served */
        x->refused = 1;
    }
    if (ap_request_has_body(x->r)) {
        x->c->keepalive = AP_CONN_CLOSE; /* before the head is made: nobody reads it */
    }
    return 0;
}

/* ------------------------------------------------------------------ asking */

/* What tells one authorizer from another: the pool, and what this section has it know. */
static const char *identity(request_rec *r, const pc_route *route)
{
    const apr_array_header_t *env = route->dir->setenv;
    const char *id = route->pool->name;

    for (int i = 0; env && i < env->nelts; ++i) {
        id = apr_psprintf(r->pool, "%s %pp", id, (const void *)APR_ARRAY_IDX(env, i, pc_setenv).expr);
    }
    return id;
}

static int is_note(request_rec *r, const char *note, const char *id)
{
    const char *value = apr_table_get(r->notes, note);

    return value && !strcmp(value, id);
}

static int ask(request_rec *r, const pc_dir_conf *guard)
{
    pc_route *route = NULL;
    pc_exchange *x;
    const char *id;
    int rv = pc_route_authorizer(r, guard, &route);

    if (rv != OK) {
        return rv;
    }
    id = identity(r, route);
    if (is_note(r, NOTE_ASKED, id)) {
        return DECLINED;
    }
    if (r->prev && is_note(r->prev, NOTE_FAILED, id)) { /* its ErrorDocument: it would be the same once more */
        return r->prev->status;
    }
    x = pc_exchange_create(r, route);
    rv = pc_drive(x);
    pc_perch_release(x); /* what it allowed may last for hours */
    if (rv == DECLINED) {
        apr_table_setn(r->notes, NOTE_ASKED, id);
    }
    else if (ap_is_HTTP_ERROR(rv)) {
        apr_table_setn(r->notes, NOTE_FAILED, id);
    }
    return rv == OK ? DONE : rv;
}

static int handler(request_rec *r)
{
    const pc_dir_conf *dir = ap_get_module_config(r->per_dir_config, &proxy_core_module), *guard;

    if (dir->mode == PC_ROLE_AUTHORIZER) { /* httpd -t says so, but reads no .htaccess */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0605: ProxyCoreMode authorizer without ProxyCorePass NAME next to it: nobody can be asked");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    guard = dir->pass ? pc_route_pass(r, PC_PASS_GUARDS) : NULL;
    return guard ? ask(r, guard) : DECLINED;
}

static int fixups(request_rec *r)
{
    return r->main && r->method_number == M_GET ? DECLINED : handler(r);
}

void pc_authorizer_register_hooks(apr_pool_t *p)
{
    /* Variables of theirs are an authorizer's, too; what the others answer says something of what is there. */
    static const char *const after[] = { "core.c", "mod_env.c", "mod_ssl.c", NULL };
    static const char *const before[] = { "mod_rewrite.c", "mod_alias.c", "mod_dir.c",
                                          "mod_speling.c", "mod_proxy.c", NULL };
    static const char *const all[] = { "mod_cache.c", NULL };

    (void)p;
    ap_hook_fixups(fixups, after, before, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, all, APR_HOOK_REALLY_FIRST);
}
