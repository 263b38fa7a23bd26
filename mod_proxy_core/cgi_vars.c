/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * The CGI meta-variables (RFC 3875, 4.1), for FastCGI and its like.
 *
 * httpd's own way to them (ap_add_common_vars, ap_add_cgi_vars) fills a table, merges it into another and runs a
 * subrequest for PATH_TRANSLATED. This is the hot path, so here the variables go straight into one array, with names that
 * are literals and values that are httpd's own strings.
 *
 * Each name appears once, and the first one wins: what ProxyCoreSetEnv says, the meta-variables, the client's fields as
 * HTTP_*, the server's environment (ProxyCorePassEnv), and last r->subprocess_env (SetEnv, TLS and so on), where a name
 * that must be mangled ("REQUEST-METHOD") comes after all others. So nothing that a client sends, and no SetEnv, can stand
 * for a variable that says who asks and which file runs; names that only we may give are left out even when we give none.
 */

#include "field_rules.h"
#include "config_sendfile.h"
#include "rewrite.h"
#include "route.h"
#include "script.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "util_script.h"

#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(proxy_core);

typedef struct vars {
    request_rec *r;
    const pc_route *route;
    apr_array_header_t *a;
    int checked;          /* so many first entries must be compared with a new name */
    int front_controller; /* see is_front_controller() */
} vars;

/** Is there an entry of this name among entries from..to? */
static pc_field *find(const vars *v, int from, int to, const char *name, apr_size_t len)
{
    pc_field *f = (pc_field *)v->a->elts;

    for (int i = from; i < to; ++i) {
        if (f[i].name_len == len && !memcmp(f[i].name, name, len)) {
            return &f[i];
        }
    }
    return NULL;
}

static void push(vars *v, const char *name, apr_size_t len, const char *value)
{
    pc_field *f = apr_array_push(v->a);

    f->name = name;
    f->name_len = len;
    f->value = value;
    f->value_len = strlen(value);
}

/** A meta-variable. Only ProxyCoreSetEnv stands before these. */
static void put(vars *v, const char *name, apr_size_t len, const char *value)
{
    if (value && !find(v, 0, v->checked, name, len)) {
        push(v, name, len, value);
    }
}

#define PUT(v, name, value) put(v, name, sizeof(name) - 1, value)

/* ------------------------------------------------------------------ the script */

typedef struct script_names {
    const char *name;      /* SCRIPT_NAME */
    const char *path_info; /* PATH_INFO or NULL */
    const char *file;      /* SCRIPT_FILENAME */
    const char *docroot;
} script_names;

/** The path was passed by its URL: split it by ProxyCoreScript. */
static void split_location(const vars *v, script_names *s)
{
    const char *path = v->route->path;
    const pc_script *script = v->route->dir->script;
    int said = script && script->how != PC_SCRIPT_UNSET;
    apr_size_t n = said || !(v->route->pool->codec->flags & PC_CODEC_NO_SCRIPTS) ? pc_script_split(script, path) : 0;

    s->name = path[n] ? apr_pstrmemdup(v->r->pool, path, n) : path;
    s->path_info = path[n] ? path + n : NULL;
    s->file = apr_pstrcat(v->r->pool, s->docroot, s->name, NULL);
}

/** httpd has found the file: PATH_INFO is what was left over. */
static void split_file(const vars *v, script_names *s)
{
    request_rec *r = v->r;
    const char *path = v->route->path;
    apr_size_t n = strlen(path), left = r->path_info ? strlen(r->path_info) : 0;

    s->path_info = left ? r->path_info : NULL;
    if (left <= n && (!left || !strcmp(path + n - left, r->path_info))) {
        s->name = left ? apr_pstrmemdup(r->pool, path, n - left) : path;
    }
    else {
        s->name = apr_pstrndup(r->pool, path, (apr_size_t)ap_find_path_info(path, r->path_info));
    }
    s->file = v->route->docroot ? apr_pstrcat(r->pool, s->docroot, s->name, NULL) : r->filename;
}

/** Rules on the script's name and PATH_INFO. @return 0, or -1: failed */
static int rewrite_script(const vars *v, script_names *s)
{
    int renamed = pc_rewrite_script(v->r, v->route, &s->name, &s->path_info);

    if (renamed > 0) {
        s->file = apr_pstrcat(v->r->pool, s->docroot, s->name, NULL);
    }
    return renamed < 0 ? -1 : 0;
}

/** The names as httpd sees the files. @return the document root as it was set, NULL: failed */
static const char *find_names(const vars *v, script_names *s)
{
    const pc_rewrite *rewrite = v->route->dir->rewrite;
    const pc_script *script = v->route->dir->script;
    const char *docroot = v->route->docroot ? v->route->docroot : ap_document_root(v->r);

    /* The root itself: file names begin with their own slash. */
    s->docroot = !strcmp(docroot, "/") ? "" : docroot;
    if (v->route->location) {
        split_location(v, s);
    }
    else {
        split_file(v, s);
        if (script && script->how == PC_SCRIPT_NONE) {
            s->name = "";
            s->path_info = v->route->path;
        }
    }
    if (rewrite && rewrite->script && rewrite_script(v, s)) {
        return NULL;
    }
    if (v->route->script_file) {
        s->file = v->route->script_file;
    }
    return docroot;
}

/** @return 0, or -1: failed */
static int find_script(const vars *v, script_names *s)
{
    const pc_script *script = v->route->dir->script;
    const char *docroot = find_names(v, s);

    if (!docroot) {
        return -1;
    }
    s->file = pc_script_inside(script, s->file);
    s->docroot = pc_script_inside(script, docroot);
    return 0;
}

const char *pc_cgi_script(request_rec *r, const pc_route *route)
{
    const vars v = { .r = r, .route = route };
    script_names s;

    return find_names(&v, &s) ? s.file : "";
}

/** FastCGI 1.0, 6.3: an authorizer is not told how the path is split. */
static int is_authorizer(const vars *v)
{
    return v->route->role == PC_ROLE_AUTHORIZER;
}

/** Was the request redirected in here to a script with a PATH_INFO (index.php/... of a rewrite rule, an ErrorDocument, an
 *  application's redirect)? PHP then takes REDIRECT_URL for the work of Action, as if PHP itself were what Action names: it
 *  runs PATH_TRANSLATED, whatever SCRIPT_FILENAME says, and forgets PATH_INFO. So one of the two is left out: REDIRECT_URL,
 *  but where an error is told of. What Action has sent here has the path before as its PATH_INFO, and gets both. */
static int is_front_controller(const vars *v, const char *path_info)
{
    const request_rec *before = v->r->prev;

    return before && (strcmp(path_info, before->uri) || pc_route_is_rewritten(before));
}

static int add_script(vars *v)
{
    const pc_script *script = v->route->dir->script;
    script_names s;

    if (find_script(v, &s)) {
        return -1;
    }
    if (!is_authorizer(v)) {
        PUT(v, "SCRIPT_NAME", s.name);
    }
    if (s.path_info && !is_authorizer(v)) {
        PUT(v, "PATH_INFO", s.path_info);
        v->front_controller = is_front_controller(v, s.path_info);
        if (!v->front_controller || ap_is_HTTP_SUCCESS(v->r->prev->status)) {
            PUT(v, "PATH_TRANSLATED",
                apr_pstrcat(v->r->pool, strcmp(s.docroot, "/") ? s.docroot : "", s.path_info, NULL));
        }
        if (script && script->path_info_in_filename) {
            s.file = apr_pstrcat(v->r->pool, s.file, s.path_info, NULL);
        }
    }
    PUT(v, "SCRIPT_FILENAME", s.file);
    PUT(v, "DOCUMENT_ROOT", s.docroot);
    PUT(v, "DOCUMENT_URI", v->route->path);
    return 0;
}

/* ------------------------------------------------------------------ request, server, client */

/** The target as the client sent it, also after internal redirects; without scheme and authority. */
static const char *request_uri(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *rule =
        core->cgi_var_rules ? apr_hash_get(core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING) : NULL;
    const char *uri, *sep;

    if (rule && !strcmp(rule, "current-uri")) {
        return r->uri;
    }
    while (r->main || r->prev) {
        r = r->prev ? r->prev : r->main;
    }
    uri = r->unparsed_uri ? r->unparsed_uri : r->uri;
    if (*uri == '/' || !(sep = strstr(uri, "://"))) {
        return uri;
    }
    sep += 3 + strcspn(sep + 3, "/?#");
    return *sep == '/' ? sep : apr_pstrcat(r->pool, "/", sep, NULL);
}

/** What stands behind the '?' of a target that rules have made. */
static const char *query_of(const char *target)
{
    target += strcspn(target, "?");
    return *target ? target + 1 : target;
}

static void add_request(vars *v, apr_off_t content_length)
{
    request_rec *r = v->r;
    const char *target = v->route->target;

    PUT(v, "REQUEST_METHOD", r->method);
    PUT(v, "QUERY_STRING", target ? query_of(target) : r->args ? r->args : "");
    PUT(v, "CONTENT_TYPE", apr_table_get(r->headers_in, "Content-Type"));
    if (content_length >= 0) {
        PUT(v, "CONTENT_LENGTH", content_length ? apr_off_t_toa(r->pool, content_length) : "0");
    }
    if (v->route->role == PC_ROLE_FILTER) {
        PUT(v, "FCGI_DATA_LENGTH", apr_off_t_toa(r->pool, v->route->data_length));
        PUT(v, "FCGI_DATA_LAST_MOD", apr_ltoa(r->pool, (long)apr_time_sec(v->route->data_mtime)));
    }
    PUT(v, "REQUEST_URI", target ? target : request_uri(r));
    PUT(v, "SERVER_PROTOCOL", r->protocol);
    PUT(v, "GATEWAY_INTERFACE", "CGI/1.1");
}

static void add_server(vars *v)
{
    request_rec *r = v->r;
    const char *scheme = ap_http_scheme(r), *path;

    PUT(v, "REQUEST_SCHEME", scheme);
    if (!strcmp(scheme, "https")) {
        PUT(v, "HTTPS", "on");
    }
    PUT(v, "SERVER_NAME", ap_escape_html(r->pool, ap_get_server_name_for_url(r)));
    PUT(v, "SERVER_PORT", apr_itoa(r->pool, ap_get_server_port(r)));
    PUT(v, "SERVER_ADDR", r->connection->local_ip);
    PUT(v, "SERVER_SOFTWARE", ap_get_server_banner());
    PUT(v, "SERVER_SIGNATURE", ap_psignature("", r));
    PUT(v, "SERVER_ADMIN", r->server->server_admin);
    PUT(v, "CONTEXT_PREFIX", ap_context_prefix(r));
    PUT(v, "CONTEXT_DOCUMENT_ROOT", ap_context_document_root(r));
    path = apr_table_get(r->subprocess_env, "PATH");
    if (!path && !(path = getenv("PATH"))) {
        path = "/bin:/usr/bin:/usr/ucb:/usr/bsd:/usr/local/bin";
    }
    PUT(v, "PATH", path);
}

static void add_client(vars *v)
{
    request_rec *r = v->r;

    PUT(v, "REMOTE_ADDR", r->useragent_ip);
    PUT(v, "REMOTE_PORT", apr_itoa(r->pool, r->connection->client_addr->port));
    PUT(v, "REMOTE_HOST", ap_get_useragent_host(r, REMOTE_HOST, NULL));
    PUT(v, "REMOTE_USER", r->user);
    PUT(v, "AUTH_TYPE", r->ap_auth_type);
    PUT(v, "REMOTE_IDENT", ap_get_remote_logname(r));
}

/** What php-cgi and error documents want to know of an internal redirect. */
static void add_redirect(vars *v)
{
    request_rec *r = v->r;
    const char *status = r->prev ? apr_table_get(r->subprocess_env, "REDIRECT_STATUS") : NULL;

    PUT(v, "REDIRECT_STATUS", status ? status : "200");
    if (!r->prev) {
        return;
    }
    if (!v->front_controller || !ap_is_HTTP_SUCCESS(r->prev->status)) {
        PUT(v, "REDIRECT_URL", r->prev->uri);
    }
    PUT(v, "REDIRECT_QUERY_STRING", r->prev->args);
    for (const request_rec *back = r->prev; back && !r->user; back = back->prev) {
        if (back->user) {
            PUT(v, "REDIRECT_REMOTE_USER", back->user);
            break;
        }
    }
}

/* ------------------------------------------------------------------ the client's fields */

/** HTTP_ and the name in capitals. @return NULL: a byte that no other name may be mistaken for */
static const char *http_name(apr_pool_t *p, const char *name, apr_size_t len)
{
    char *out = apr_palloc(p, len + sizeof("HTTP_"));

    memcpy(out, "HTTP_", 5);
    for (apr_size_t i = 0; i < len; ++i) {
        char c = name[i];

        if (c != '-' && !apr_isalnum(c)) {
            return NULL;
        }
        out[5 + i] = c == '-' ? '_' : (char)apr_toupper(c);
    }
    out[5 + len] = '\0';
    return out;
}

static int is_meta_field(const char *name, apr_size_t len)
{
    return (len == 12 && !ap_cstr_casecmp(name, "Content-Type"))
           || (len == 14 && !ap_cstr_casecmp(name, "Content-Length"));
}

/** Fields that are kept back: of the connection, of the part that a subrequest is not, and passwords. */
static int is_kept_back(const vars *v, const apr_array_header_t *listed, const char *name, apr_size_t len)
{
    const core_dir_config *core;

    if (is_meta_field(name, len) || pc_field_is_hop(name, len) || (listed && pc_name_listed(listed, name))
        || pc_field_is_sendfile_offer(name, len)) {
        return 1;
    }
    if (v->r->main && (!ap_cstr_casecmpn(name, "If-", 3) || (len == 5 && !ap_cstr_casecmp(name, "Range")))) {
        return 1;
    }
    if (len == 13 && !ap_cstr_casecmp(name, "Authorization") && !is_authorizer(v)) {
        core = ap_get_core_module_config(v->r->per_dir_config);
        return core->cgi_pass_auth != AP_CGI_PASS_AUTH_ON;
    }
    return 0;
}

static void add_fields(vars *v)
{
    request_rec *r = v->r;
    const apr_array_header_t *in = apr_table_elts(r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)in->elts;
    const char *connection = apr_table_get(r->headers_in, "Connection");
    apr_array_header_t *listed = NULL;
    int first = v->a->nelts;

    if (connection && pc_connection_names(r->pool, connection, &listed)) {
        listed = NULL;
    }
    for (int i = 0; i < in->nelts; ++i) {
        apr_size_t n = e[i].key ? strlen(e[i].key) : 0;
        const char *name;
        pc_field *same;

        if (!n || is_kept_back(v, listed, e[i].key, n) || !(name = http_name(r->pool, e[i].key, n))) {
            continue;
        }
        if ((same = find(v, first, v->a->nelts, name, n + 5))) {
            same->value = apr_pstrcat(r->pool, same->value, strcmp(name, "HTTP_COOKIE") ? ", " : "; ", e[i].val, NULL);
            same->value_len = strlen(same->value);
        }
        else {
            put(v, name, n + 5, e[i].val);
        }
    }
}

/* ------------------------------------------------------------------ environment */

/** Names that only this file gives, and only when there is something to say. */
static int is_reserved(const char *name, apr_size_t len)
{
    static const char *const names[] = { "CONTENT_LENGTH", "CONTENT_TYPE", "PATH_INFO", "PATH_TRANSLATED", NULL };

    if (len > 5 && !strncmp(name, "HTTP_", 5)) {
        char field[32];

        if (len - 5 >= sizeof(field)) {
            return 0;
        }
        for (apr_size_t i = 5; i <= len; ++i) {
            field[i - 5] = name[i] == '_' ? '-' : name[i];
        }
        return pc_field_is_hop(field, len - 5);
    }
    /* They name the file that a uwsgi server runs, and where: for ProxyCoreSetEnv only, which a .htaccess file may not
     * give them. */
    if (!strncmp(name, "UWSGI_", 6)) {
        return 1;
    }
    for (const char *const *n = names; *n; ++n) {
        if (!strcmp(name, *n)) {
            return 1;
        }
    }
    return 0;
}

static int is_clean(const char *name)
{
    if (apr_isdigit(*name)) {
        return 0;
    }
    for (; *name; ++name) {
        if (!apr_isalnum(*name) && *name != '_') {
            return 0;
        }
    }
    return 1;
}

static const char *mangle(apr_pool_t *p, const char *name)
{
    char *out = apr_pstrdup(p, name);

    for (char *c = out; *c; ++c) {
        if ((!apr_isalnum(*c) && *c != '_') || (c == out && apr_isdigit(*c))) {
            *c = '_';
        }
    }
    return out;
}

static void put_env(vars *v, const char *name, const char *value)
{
    apr_size_t len = strlen(name);

    if (is_authorizer(v) && !strcmp(name, "SCRIPT_NAME")) {
        return;
    }
    if (len && value && !is_reserved(name, len) && !find(v, 0, v->a->nelts, name, len)) {
        push(v, name, len, value);
    }
}

static void add_environment(vars *v)
{
    const apr_array_header_t *env = apr_table_elts(v->r->subprocess_env), *passed = v->route->dir->passenv;
    const apr_table_entry_t *e = (const apr_table_entry_t *)env->elts;
    int mangled = 0;

    for (int i = 0; passed && i < passed->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(passed, i, const char *);

        if (!apr_table_get(v->r->subprocess_env, name)) {
            put_env(v, name, getenv(name));
        }
    }
    for (int i = 0; i < env->nelts; ++i) {
        if (!e[i].key) {
            continue;
        }
        if (is_clean(e[i].key)) {
            put_env(v, e[i].key, e[i].val);
        }
        else {
            mangled = 1;
        }
    }
    for (int i = 0; mangled && i < env->nelts; ++i) {
        if (e[i].key && !is_clean(e[i].key)) {
            put_env(v, mangle(v->r->pool, e[i].key), e[i].val);
        }
    }
}

/** ProxyCoreSetEnv: of two of the same name the later one, which is the more specific section's. */
static void add_setenv(vars *v)
{
    const apr_array_header_t *setenv = v->route->dir->setenv;

    for (int i = setenv ? setenv->nelts - 1 : -1; i >= 0; --i) {
        const pc_setenv *env = &APR_ARRAY_IDX(setenv, i, pc_setenv);
        const char *wrong = NULL, *value;

        if (find(v, 0, v->a->nelts, env->name, strlen(env->name))) {
            continue;
        }
        value = ap_expr_str_exec(v->r, env->expr, &wrong);
        if (wrong || !value) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, v->r, "PXC0220: ProxyCoreSetEnv %s: %s", env->name,
                          wrong ? wrong : "no value");
            continue;
        }
        push(v, env->name, strlen(env->name), value);
    }
    v->checked = v->a->nelts;
}

int pc_cgi_variables(request_rec *r, const pc_route *route, apr_off_t content_length, apr_array_header_t *fields)
{
    vars v = { r, route, fields, 0, 0 };

    add_setenv(&v);
    if (add_script(&v)) {
        return 0;
    }
    add_request(&v, content_length);
    add_server(&v);
    add_client(&v);
    add_redirect(&v);
    if (pc_sendfile_is_on(route->dir)) {
        PUT(&v, "HTTP_X_SENDFILE_TYPE", "X-Sendfile");
    }
    add_fields(&v);
    add_environment(&v);
    return 1;
}
