/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * Which pool serves a request.
 *
 * There are two ways to one. A part of the URL space is passed (ProxyCorePass in <Location>, or outside of sections):
 * no file stands behind it, so translate_name and map_to_storage are answered here and httpd walks no directory, which
 * saves an lstat for each segment and a .htaccess look-up for each directory. Or a file is passed (SetHandler and
 * AddHandler, ProxyCorePass in <Directory>, <Files> and .htaccess): httpd maps the URL as always, and what it found
 * gives the script's name and PATH_INFO.
 *
 * A request that is passed by its URL gets a file name that holds no byte of the client's and is no path: whatever module
 * looks at r->filename, there is nothing to find, and finfo stays APR_NOFILE, so that the default handler would answer
 * 404 if the request ever came to it.
 *
 * The location walk runs before translate_name and once more after map_to_storage. When a rewrite rule has changed r->uri
 * in between ([PT]), the walk is repeated here, since sections hold for the new path.
 */

#include "route.h"
#include "mass.h"
#include "turn.h"
#include "script.h"
#include "target.h"

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

#define HANDLER "proxy-core"
#define HANDLER_LEN (sizeof(HANDLER) - 1)
#define NOTE_LOCATION "proxy-core-location"
/** What mod_rewrite puts before the path that a rule of a directory made. */
#define REDIRECT "redirect:"
#define NOTE_HANDLER "proxy-core-handler"
#define NOTE_REWRITE_HANDLER "rewrite-forced-handler" /* mod_rewrite's, of [H=] */

static const pc_dir_conf *dir_conf(request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &proxy_core_module);
}

/** Does this ProxyCorePass name an authorizer?
 *  @param some  0: no pool of this server is one by its own block */
static int guards(request_rec *r, const pc_dir_conf *dir, int some)
{
    const pc_pool_conf *pool;

    if (dir->guards || !some || !*dir->pass) {
        return dir->guards;
    }
    pool = pc_conf_pool(r->server, dir->pass);
    return pool && pool->dir && pool->dir->mode == PC_ROLE_AUTHORIZER;
}

/** The innermost ProxyCorePass of a kind, off included. */
static const pc_dir_conf *find_pass(request_rec *r, pc_pass_kind kind)
{
    const pc_dir_conf *dir = dir_conf(r);
    const pc_server_conf *conf = ap_get_module_config(r->server->module_config, &proxy_core_module);

    while (dir && dir->pass && guards(r, dir, conf->authorizers) != (kind == PC_PASS_GUARDS)) {
        dir = dir->under;
    }
    return dir && dir->pass ? dir : NULL;
}

const pc_dir_conf *pc_route_pass(request_rec *r, pc_pass_kind kind)
{
    const pc_dir_conf *dir = find_pass(r, kind);

    return dir && *dir->pass ? dir : NULL;
}

/** Is this a request that any pool could serve? TRACE is httpd's own; "*" and what mod_proxy took are not ours. */
static int is_ours(request_rec *r)
{
    return !r->proxyreq && r->uri && r->uri[0] == '/' && r->method_number != M_TRACE;
}

/* ------------------------------------------------------------------ hooks */

static int knows_scripts(const pc_pool_conf *pool)
{
    return (pool->codec->flags & (PC_CODEC_CGI | PC_CODEC_NO_SCRIPTS)) == PC_CODEC_CGI;
}

/** SetHandler proxy-core:NAME in a <Location>, of a pool whose protocol knows no scripts: the URL is passed, too. */
static const char *handler_of_location(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *wrong = NULL, *handler = core->handler;
    const pc_pool_conf *pool;

    if (core->expr_handler) {
        handler = ap_expr_str_exec(r, core->expr_handler, &wrong);
    }
    if (wrong || !handler || strncmp(handler, HANDLER ":", HANDLER_LEN + 1) != 0) {
        return NULL;
    }
    pool = pc_conf_pool(r->server, handler + HANDLER_LEN + 1);
    return pool && !knows_scripts(pool) ? HANDLER : NULL;
}

static int is_location(request_rec *r)
{
    const pc_dir_conf *dir = find_pass(r, PC_PASS_SERVES);

    if (dir) {
        return *dir->pass && dir->check_local != 1;
    }
    return handler_of_location(r) != NULL;
}

static void be_location(request_rec *r)
{
    r->filename = apr_pstrmemdup(r->pool, HANDLER, HANDLER_LEN);
    r->canonical_filename = r->filename;
    apr_table_setn(r->notes, NOTE_LOCATION, "1");
}

static int translate(request_rec *r)
{
    ap_conf_vector_t *walked = r->per_dir_config;
    int location;

    if (!is_ours(r)) {
        return DECLINED;
    }
    if (pc_turn_backend(r)) {
        be_location(r);
        return OK;
    }
    if (r->uri != r->parsed_uri.path) {
        r->per_dir_config = r->server->lookup_defaults;
        if (ap_location_walk(r) != OK) {
            r->per_dir_config = walked;
            return DECLINED;
        }
    }
    location = is_location(r);
    r->per_dir_config = walked;
    if (!location) {
        return DECLINED;
    }
    be_location(r);
    return OK;
}

static int map_to_storage(request_rec *r)
{
    return apr_table_get(r->notes, NOTE_LOCATION) ? OK : DECLINED;
}

/** Nothing that looks at the file's name has anything to say about these. */
static int type_checker(request_rec *r)
{
    if (!apr_table_get(r->notes, NOTE_LOCATION)) {
        return DECLINED;
    }
    if (pc_route_pass(r, PC_PASS_SERVES)) {
        r->handler = HANDLER;
    }
    return OK;
}

/** 1: a file must be there. */
static int wants_file(request_rec *r, const pc_dir_conf *dir)
{
    if (apr_table_get(r->notes, NOTE_LOCATION)) {
        return 0;
    }
    return dir->check_local >= 0 ? dir->check_local : !dir->pass_location;
}

/** RewriteRule of a directory with a substitution and [H=proxy-core:NAME]: mod_rewrite asks for an internal redirect by
 *  the handler that [H=] then replaces, so it is made here, and the rule's handler is what serves the new path. */
static int follow_rewrite(request_rec *r)
{
    const char *path = r->filename + sizeof(REDIRECT) - 1;

    apr_table_setn(r->notes, NOTE_HANDLER, r->handler);
    ap_internal_redirect(apr_pstrcat(r->pool, path, r->args ? "?" : NULL, r->args, NULL), r);
    return DONE;
}

int pc_route_is_rewritten(const request_rec *r)
{
    return r->filename && !strncmp(r->filename, REDIRECT, sizeof(REDIRECT) - 1);
}

static int fixups(request_rec *r)
{
    const pc_dir_conf *dir;
    const char *backend = pc_turn_backend(r);

    if (backend && is_ours(r)) {
        r->handler = apr_pstrcat(r->pool, HANDLER ":", backend, NULL);
        return DECLINED;
    }
    if (r->prev && is_ours(r) && r->finfo.filetype != APR_DIR && apr_table_get(r->prev->notes, NOTE_HANDLER)) {
        r->handler = apr_table_get(r->prev->notes, NOTE_HANDLER);
    }
    dir = pc_route_pass(r, PC_PASS_SERVES);
    if (!dir || !is_ours(r)) {
        return DECLINED;
    }
    /* A directory is left to DirectoryIndex and to listings. */
    if (r->finfo.filetype != APR_DIR || !wants_file(r, dir)) {
        r->handler = HANDLER;
    }
    return DECLINED;
}

void pc_route_register_hooks(apr_pool_t *p)
{
    static const char *const rewrite[] = { "mod_rewrite.c", NULL };
    static const char *const proxy[] = { "mod_proxy.c", "mod_alias.c", NULL };
    static const char *const core[] = { "core.c", NULL };
    static const char *const negotiation[] = { "mod_negotiation.c", "mod_mime.c", NULL };

    (void)p;
    ap_hook_check_config(pc_conf_check, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(translate, rewrite, proxy, APR_HOOK_FIRST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_LAST);
    ap_hook_type_checker(type_checker, NULL, negotiation, APR_HOOK_REALLY_FIRST);
    /* Before mod_rewrite's rules of directories, which may send the request elsewhere by a handler of their own. */
    ap_hook_fixups(fixups, core, rewrite, APR_HOOK_REALLY_FIRST);
}

/* ------------------------------------------------------------------ in the handler */

/** The pool's name, by handler or by ProxyCorePass, which is *pass then. @return DECLINED: not ours */
static int pool_name(request_rec *r, const char **name, const pc_dir_conf **pass)
{
    const char *rest;

    *pass = NULL;
    if (!r->handler || strncmp(r->handler, HANDLER, HANDLER_LEN) != 0 || !is_ours(r)) {
        return DECLINED;
    }
    rest = r->handler + HANDLER_LEN;
    if (*rest == ':') {
        *name = rest + 1;
        return pc_route_is_rewritten(r) ? follow_rewrite(r) : OK;
    }
    if (!strcmp(rest, "-status")) {
        return DECLINED;
    }
    if (*rest) { /* a slip of the pen, behind which the file itself would be sent, a script as its source */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0850: there is no handler '%s' for %s; write " HANDLER ":NAME or " HANDLER "-status",
                      ap_escape_logitem(r->pool, r->handler), r->uri);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!(*pass = pc_route_pass(r, PC_PASS_SERVES))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0200: the handler is " HANDLER " but no ProxyCorePass holds for %s; write " HANDLER ":NAME",
                      r->uri);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    *name = (*pass)->pass;
    return OK;
}

/** What check-local asks for. */
static int check_file(request_rec *r)
{
    if (r->finfo.filetype == APR_NOFILE) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "PXC0202: check-local: there is no %s", r->filename);
        return HTTP_NOT_FOUND;
    }
    if (r->finfo.filetype == APR_DIR) {
        return DECLINED;
    }
    if (r->finfo.filetype != APR_REG) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0203: check-local: %s is no regular file", r->filename);
        return HTTP_FORBIDDEN;
    }
    if (r->used_path_info == AP_REQ_REJECT_PATH_INFO && r->path_info && *r->path_info) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "PXC0204: AcceptPathInfo off disallows %s behind %s", r->path_info,
                      r->filename);
        return HTTP_NOT_FOUND;
    }
    return OK;
}

/** Was the handler set for a URL, by a <Location> or a rule of mod_rewrite? Scripts are files also then. */
static int handles_url(request_rec *r, const pc_pool_conf *pool)
{
    return apr_table_get(r->notes, NOTE_LOCATION)
           || (!knows_scripts(pool) && apr_table_get(r->notes, NOTE_REWRITE_HANDLER));
}

/** A path from an expression, which may hold what a client sent: absolute, no control characters, no way up. */
static int path_value(request_rec *r, ap_expr_info_t *expr, const char *directive, const char **out)
{
    const char *wrong = NULL, *value = ap_expr_str_exec(r, expr, &wrong);
    apr_size_t n = value ? strlen(value) : 0;

    if (wrong || !value || *value != '/') {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0205: %s gives no path that begins with '/': %s", directive,
                      wrong   ? wrong
                      : value ? value
                              : "nothing");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (pc_path_wrong(value)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0206: %s gives a path with '..' or control characters: %s",
                      directive, ap_escape_logitem(r->pool, value));
        return HTTP_BAD_REQUEST;
    }
    while (n > 1 && value[n - 1] == '/') {
        --n;
    }
    *out = value[n] ? apr_pstrmemdup(r->pool, value, n) : value;
    return OK;
}

/** The values of ProxyCoreDocumentRoot and ProxyCoreScript file=. */
static int evaluate(request_rec *r, pc_route *route)
{
    const pc_dir_conf *dir = route->dir;
    int rv = OK;

    if (dir->docroot) {
        rv = path_value(r, dir->docroot, "ProxyCoreDocumentRoot", &route->docroot);
    }
    if (rv == OK && dir->script && dir->script->file) {
        rv = path_value(r, dir->script->file, "ProxyCoreScript file=", &route->script_file);
    }
    return rv;
}

static void set_path(request_rec *r, const char *strip, pc_route *route)
{
    apr_size_t n = strip ? pc_path_prefix(r->uri, strip) : 0;

    route->path = r->uri[n] ? r->uri + n : "/";
    route->prefix = n ? strip : NULL;
}

/** The pool of this name, the path that it is asked for, and what holds for it. */
static int make_route(request_rec *r, const char *name, const char *strip, pc_route **out)
{
    const pc_dir_conf *dir = dir_conf(r);
    pc_route *route = apr_pcalloc(r->pool, sizeof(*route));

    if (!(route->pool = pc_conf_pool(r->server, name))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0201: this server has no <ProxyCore %s>, and no such address stands in "
                      "its own configuration",
                      ap_escape_logitem(r->pool, name));
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (route->pool->spawn_name) {
        int rv = pc_mass_choose(r, route);

        if (rv != OK) {
            return rv;
        }
    }
    set_path(r, strip, route);
    route->dir = route->pool->dir ? pc_conf_merge_dir(r->pool, (void *)route->pool->dir, (void *)dir) : dir;
    *out = route;
    return OK;
}

static int knows_roles(request_rec *r, const pc_route *route)
{
    if (route->pool->codec->flags & PC_CODEC_ROLES) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0602: pool %s: %s knows no roles, ProxyCoreMode needs fastcgi",
                  route->pool->name, route->pool->codec->name);
    return HTTP_INTERNAL_SERVER_ERROR;
}

/** The role that a pool is to play in serving the request. */
static int take_role(request_rec *r, pc_route *route)
{
    if (route->dir->mode <= PC_ROLE_RESPONDER) {
        return OK;
    }
    if (route->dir->mode == PC_ROLE_AUTHORIZER) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0600: pool %s is an authorizer and cannot serve %s: it is named by ProxyCorePass, next to "
                      "ProxyCoreMode, and not by a handler",
                      route->pool->name, r->uri);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    route->role = PC_ROLE_FILTER;
    return knows_roles(r, route);
}

int pc_route_find(request_rec *r, pc_route **out)
{
    const pc_dir_conf *pass;
    const char *name;
    int rv;
    pc_route *route;

    if ((rv = pool_name(r, &name, &pass)) != OK
        || (rv = make_route(r, name, pass ? pass->strip : NULL, &route)) != OK) {
        return rv;
    }
    route->check_local = pass ? wants_file(r, pass) : !handles_url(r, route->pool);
    route->location = !route->check_local && (r->finfo.filetype == APR_NOFILE || (pass && pass->pass_location));
    if ((route->check_local && (rv = check_file(r)) != OK) || (rv = take_role(r, route)) != OK
        || (rv = evaluate(r, route)) != OK) {
        return rv;
    }
    *out = route;
    return OK;
}

int pc_route_authorizer(request_rec *r, const pc_dir_conf *guard, pc_route **out)
{
    int rv = make_route(r, guard->pass, guard->strip, out);
    pc_route *route = *out;
    const pc_dir_conf *own;

    if (rv != OK) {
        return rv;
    }
    route->role = PC_ROLE_AUTHORIZER;
    route->location = !r->filename || r->proxyreq || apr_table_get(r->notes, NOTE_LOCATION);
    own = route->pool->dir;
    if (own || route->dir->rewrite || route->dir->override) { /* the section's are for who serves the request */
        pc_dir_conf *dir = apr_pmemdup(r->pool, route->dir, sizeof(*dir));

        dir->script = own && own->script ? own->script : dir->script;
        dir->docroot = own && own->docroot ? own->docroot : dir->docroot;
        dir->rewrite = own ? own->rewrite : NULL;
        dir->override = NULL;
        route->dir = dir;
    }
    rv = knows_roles(r, route);
    return rv == OK ? evaluate(r, route) : rv;
}
