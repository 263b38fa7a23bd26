/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * The command table, the <ProxyCore> container and the directives that may stand in any section.
 *
 * Inside of <ProxyCore> the directives are walked with a configuration vector of their own, whose entry of this module
 * is a pc_dir_conf that points to the block being read. So one handler serves a directive wherever it stands, directives
 * of a pool can tell that they are inside of one, and what belongs to a directory (ProxyCoreSetEnv and others) becomes
 * the pool's default, which sections then override.
 *
 * A documented directive that this version does not build is in the table too: its default is accepted, anything else is
 * refused by name, so that nobody believes in a setting that does nothing.
 */

#include "config_backend.h"
#include "config_pool.h"
#include "config_roles.h"
#include "config_values.h"
#include "config_sendfile.h"
#include "override.h"
#include "rewrite.h"
#include "script.h"
#include "tls.h"

#include "apr_cstr.h"
#include "apr_hash.h"
#include "apr_strings.h"
#include "http_core.h"
#include "util_cfgtree.h"

#include <string.h>

/* ------------------------------------------------------------------ create and merge */

void *pc_conf_create_dir(apr_pool_t *p, char *dir)
{
    pc_dir_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)dir;
    conf->check_local = -1;
    conf->mode = -1;
    conf->xrewrite = -1;
    return conf;
}

static apr_array_header_t *merge_arrays(apr_pool_t *p, apr_array_header_t *base, apr_array_header_t *add)
{
    return base && add ? apr_array_append(p, base, add) : add ? add : base;
}

/** Field by field; ProxyCorePass with its keys is one field. Also at run time, for .htaccess and pool defaults. */
void *pc_conf_merge_dir(apr_pool_t *p, void *base_, void *add_)
{
    const pc_dir_conf *base = base_, *add = add_, *pass = add->pass ? add : base;
    pc_dir_conf *conf = apr_pcalloc(p, sizeof(*conf));

    conf->pass = pass->pass;
    conf->strip = pass->strip;
    conf->check_local = pass->check_local;
    conf->pass_location = pass->pass_location;
    conf->guards = pass->guards;
    conf->under = pc_roles_merge_under(p, base, add);
    conf->mode = add->mode >= 0 ? add->mode : base->mode;
    conf->extensions = merge_arrays(p, base->extensions, add->extensions);
    conf->docroot = add->docroot ? add->docroot : base->docroot;
    conf->script = add->script ? add->script : base->script;
    conf->rewrite = pc_rewrite_merge(p, base->rewrite, add->rewrite);
    conf->override = add->override ? add->override : base->override;
    conf->setenv = merge_arrays(p, base->setenv, add->setenv);
    conf->passenv = merge_arrays(p, base->passenv, add->passenv);
    conf->sendfile = pc_sendfile_merge(p, base->sendfile, add->sendfile);
    conf->xrewrite = add->xrewrite >= 0 ? add->xrewrite : base->xrewrite;
    return conf;
}

void *pc_conf_create_server(apr_pool_t *p, server_rec *s)
{
    pc_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    conf->pools = apr_hash_make(p);
    conf->list = apr_array_make(p, 4, sizeof(pc_pool_conf *));
    return conf;
}

/** A virtual host has its own blocks only; pc_conf_check() adds the main server's to what it sees. */
void *pc_conf_merge_server(apr_pool_t *p, void *base_, void *add_)
{
    pc_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)base_;
    conf->pools = ((pc_server_conf *)add_)->pools;
    conf->list = ((pc_server_conf *)add_)->list;
    return conf;
}

/* ------------------------------------------------------------------ <ProxyCore NAME> */

/** Names are compared in lower case, because httpd hands handler names on in lower case. */
static const char *lower(apr_pool_t *p, const char *name)
{
    char *copy = apr_pstrdup(p, name);

    ap_str_tolower(copy);
    return copy;
}

/** The one argument of a container, without its '>'. @return NULL: *wrong says why */
static const char *container_name(cmd_parms *cmd, const char *arg, const char **wrong)
{
    const char *end = strrchr(arg, '>');
    const char *rest = end ? apr_pstrmemdup(cmd->temp_pool, arg, (apr_size_t)(end - arg)) : NULL;
    const char *name = rest ? ap_getword_conf(cmd->pool, &rest) : NULL;

    *wrong = NULL;
    if (!name) {
        *wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, "> is missing its closing '>'", NULL);
    }
    else if (!*name || *rest) {
        *wrong = "<ProxyCore NAME> takes one name";
    }
    else if (!pc_value_is_name(name) || !apr_cstr_casecmp(name, "off")) {
        *wrong = apr_pstrcat(cmd->pool, "<ProxyCore ", name,
                             ">: a name has 1 to 64 letters, digits, '.', '_' and '-', and is not 'off'", NULL);
    }
    return *wrong ? NULL : name;
}

/** Only directives of this module, and mod_ssl's for TLS to backends, may stand in the block: another module's would be
 *  lost in silence. */
static const char *only_ours(cmd_parms *cmd, const char *name)
{
    for (const ap_directive_t *d = cmd->directive->first_child; d; d = d->next) {
        const char *instead;

        if (!apr_cstr_casecmpn(d->directive, "ProxyCore", 9) || !(instead = pc_tls_directive(d->directive))) {
            continue;
        }
        cmd->err_directive = d;
        return apr_pstrcat(cmd->pool, d->directive, *d->directive == '<' ? ">" : "",
                           " may not stand inside <ProxyCore ", name, ">",
                           *instead ? ": " : ", only ProxyCore... directives may", instead, NULL);
    }
    return NULL;
}

/** Walk what stands inside. */
static const char *read_block(cmd_parms *cmd, pc_pool_conf *pool)
{
    ap_directive_t *self = cmd->directive;
    ap_conf_vector_t *vector = ap_create_per_dir_config(cmd->pool);
    pc_dir_conf *dir = pc_conf_create_dir(cmd->pool, NULL);
    pc_block block = { pool, apr_hash_make(cmd->temp_pool) };
    const char *wrong;
    int override = cmd->override;

    dir->block = &block;
    ap_set_module_config(vector, &proxy_core_module, dir);
    cmd->override |= PROXY_CONF; /* what mod_ssl allows in <Proxy> */
    wrong = ap_walk_config(self->first_child, cmd, vector);
    cmd->override = override;
    cmd->directive = self;
    pool->inside = self->first_child;
    dir->block = NULL;
    if (dir->docroot || dir->script || dir->setenv || dir->passenv || dir->rewrite || dir->override || dir->mode >= 0
        || dir->sendfile || dir->xrewrite >= 0) {
        pool->dir = dir;
    }
    return wrong;
}

static const char *proxy_core_section(cmd_parms *cmd, void *mconfig, const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE | NOT_IN_LIMIT | NOT_IN_HTACCESS);
    const char *name = wrong ? NULL : container_name(cmd, arg, &wrong);
    pc_server_conf *conf = ap_get_module_config(cmd->server->module_config, &proxy_core_module);
    pc_pool_conf *pool, *other;

    (void)mconfig;
    if (!name) {
        return wrong;
    }
    other = apr_hash_get(conf->pools, lower(cmd->temp_pool, name), APR_HASH_KEY_STRING);
    if (other) {
        return apr_pstrcat(cmd->pool, "<ProxyCore ", name, ">: this server has a block of this name already, at ",
                           other->source, NULL);
    }
    pool = pc_pool_conf_make(cmd->pool, name,
                             apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num));
    wrong = only_ours(cmd, name);
    if (!wrong) {
        wrong = read_block(cmd, pool);
    }
    if (!wrong
        && ((wrong = pc_pool_conf_complete(cmd->pool, pool)) || (wrong = pc_roles_check_pool(cmd->pool, pool)))) {
        wrong = apr_pstrcat(cmd->pool, "<ProxyCore ", name, ">: ", wrong, NULL);
    }
    if (!wrong) {
        apr_hash_set(conf->pools, lower(cmd->pool, name), APR_HASH_KEY_STRING, pool);
        APR_ARRAY_PUSH(conf->list, pc_pool_conf *) = pool;
    }
    return wrong;
}

/* ------------------------------------------------------------------ directives of any section */

/** Is the directive one of URLs (in <Location>, or outside of sections), not of files? */
static int is_by_location(cmd_parms *cmd)
{
    if (pc_conf_in_htaccess(cmd)) {
        return 0;
    }
    for (const ap_directive_t *d = cmd->directive->parent; d; d = d->parent) {
        if (!apr_cstr_casecmpn(d->directive, "<Directory", 10) || !apr_cstr_casecmpn(d->directive, "<Files", 6)) {
            return 0;
        }
    }
    return 1;
}

static const char *set_pass_key(cmd_parms *cmd, pc_dir_conf *conf, const char *arg)
{
    const char *v;

    if ((v = pc_value_of(arg, "check-local"))) {
        return pc_value_flag(v, &conf->check_local)
                   ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is on or off", NULL)
                   : NULL;
    }
    if ((v = pc_value_of(arg, "strip"))) {
        apr_size_t n = strlen(v);

        if (*v != '/') {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is a path that begins with '/'", NULL);
        }
        while (n > 0 && v[n - 1] == '/') {
            --n;
        }
        conf->strip = n ? apr_pstrmemdup(cmd->pool, v, n) : NULL;
        return NULL;
    }
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": unknown argument '", arg,
                       "'; accepted: strip=/prefix and check-local=on|off", NULL);
}

/** The first argument: NAME or scheme://address. */
static const char *set_pass_to(cmd_parms *cmd, pc_dir_conf *conf, const char *to)
{
    const char *scheme, *address;

    conf->pass = lower(cmd->pool, to);
    if (pc_inline_split(cmd->temp_pool, to, &scheme, &address)) {
        conf->pass = apr_pstrdup(cmd->pool, to);
        if (pc_conf_in_htaccess(cmd)) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", to,
                               ": an address may not stand in .htaccess; accepted is the name of a <ProxyCore> pool",
                               NULL);
        }
    }
    else if (!pc_value_is_name(to)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", to,
                           ": accepted is the name of a <ProxyCore> pool, scheme://address or off", NULL);
    }
    else if (pc_conf_in_htaccess(cmd) && !pc_conf_pool(cmd->server, conf->pass)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", to, ": this server has no <ProxyCore ", to, ">", NULL);
    }
    return NULL;
}

static const char *set_pass(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    pc_dir_conf *conf = mconfig;
    const char *wrong;

    if (conf->block) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " may not stand inside <ProxyCore>; it sends a section there",
                           NULL);
    }
    if (argc < 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes the name of a <ProxyCore> pool, scheme://address or off",
                           NULL);
    }
    pc_roles_begin_pass(cmd, conf);
    conf->strip = NULL;
    conf->check_local = -1;
    conf->pass_location = is_by_location(cmd);
    if (!apr_cstr_casecmp(argv[0], "off")) {
        conf->pass = "";
        pc_roles_end_pass(conf);
        return argc > 1 ? apr_pstrcat(cmd->pool, cmd->cmd->name, " off ", argv[1], ": off takes no argument", NULL)
                        : NULL;
    }
    wrong = set_pass_to(cmd, conf, argv[0]);
    for (int i = 1; i < argc && !wrong; ++i) {
        wrong = set_pass_key(cmd, conf, argv[i]);
    }
    pc_roles_end_pass(conf);
    return wrong ? wrong : pc_roles_check_htaccess(cmd, conf);
}

static const char *set_docroot(cmd_parms *cmd, void *mconfig, const char *arg)
{
    if (*arg != '/' && *arg != '%') {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg,
                           ": accepted is a path that begins with '/', or an expression that gives one", NULL);
    }
    return pc_conf_expr(cmd, arg, &((pc_dir_conf *)mconfig)->docroot);
}

static const char *set_script(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    pc_script *script = apr_palloc(cmd->pool, sizeof(*script));
    const char *wrong = pc_script_parse(cmd->pool, argc, argv, script);

    if (wrong) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", wrong, NULL);
    }
    if (script->file_text) {
        ap_expr_info_t *file = NULL;

        if ((wrong = pc_conf_expr(cmd, script->file_text, &file))) {
            return wrong;
        }
        script->file = file;
    }
    ((pc_dir_conf *)mconfig)->script = script;
    return NULL;
}

/** Raw, because httpd's own splitting takes "" for a missing argument. */
static const char *set_setenv(cmd_parms *cmd, void *mconfig, const char *args)
{
    pc_dir_conf *conf = mconfig;
    const char *wrong, *name = ap_getword_conf(cmd->pool, &args),
                       *value = *args ? ap_getword_conf(cmd->pool, &args) : NULL;
    pc_setenv env;

    if (!value || *args) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name,
                           " takes a name and one value, in quotes if it has spaces or is empty", NULL);
    }
    if (!pc_value_is_env_name(name)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", name, ": a name has letters, digits and '_', no digit first",
                           NULL);
    }
    if (!strcmp(name, "CONTENT_LENGTH") || !strcmp(name, "CONTENT_TYPE") || !strcmp(name, "HTTP_PROXY")) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", name, ": this variable cannot be set", NULL);
    }
    if (pc_conf_in_htaccess(cmd) && pc_value_is_reserved_env(name)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", name, ": this variable cannot be set in .htaccess", NULL);
    }
    env.name = apr_pstrdup(cmd->pool, name);
    if ((wrong = pc_conf_expr(cmd, value, &env.expr))) {
        return wrong;
    }
    if (!conf->setenv) {
        conf->setenv = apr_array_make(cmd->pool, 4, sizeof(pc_setenv));
    }
    APR_ARRAY_PUSH(conf->setenv, pc_setenv) = env;
    return NULL;
}

static const char *set_passenv(cmd_parms *cmd, void *mconfig, const char *name)
{
    pc_dir_conf *conf = mconfig;

    if (!pc_value_is_env_name(name)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", name, ": a name has letters, digits and '_', no digit first",
                           NULL);
    }
    if (!conf->passenv) {
        conf->passenv = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->passenv, const char *) = apr_pstrdup(cmd->pool, name);
    return NULL;
}

/* ------------------------------------------------------------------ documented, not built yet */

/** cmd_data: the value that means what this version does, or NULL when there is none. */
static const char *unavailable(cmd_parms *cmd, void *mconfig, const char *args)
{
    const char *fine = cmd->info, *word = ap_getword_conf(cmd->temp_pool, &args);

    (void)mconfig;
    if (fine && !*args && !apr_cstr_casecmp(word, fine)) {
        return NULL;
    }
    return fine ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", word, *args ? " " : "", args,
                              " is not available in this version; accepted is ", fine, NULL)
                : apr_pstrcat(cmd->pool, cmd->cmd->name, " is not available in this version", NULL);
}

#define ANY_SECTION (OR_FILEINFO | ACCESS_CONF)
#define LATER(name, fine, where, help) AP_INIT_RAW_ARGS(name, unavailable, (void *)fine, where, help)

const command_rec pc_conf_commands[] = {
    AP_INIT_RAW_ARGS("<ProxyCore", proxy_core_section, NULL, RSRC_CONF, "Container: a pool of backends, by name"),
    AP_INIT_TAKE1("ProxyCoreProtocol", pc_set_protocol, NULL, RSRC_CONF,
                  "The protocol of the pool's backends: http, https, fastcgi, scgi or uwsgi"),
    AP_INIT_TAKE_ARGV(
        "ProxyCoreBackend", pc_set_backend, NULL, RSRC_CONF,
        "A backend: host:port, [v6]:port, unix:/path or spawn:GROUP, then keys such as weight=N max=N backup"),
    AP_INIT_TAKE_ARGV("ProxyCoreBalancer", pc_set_balancer, NULL, RSRC_CONF,
                      "How a backend is chosen: least-requests, round-robin, random, first, or hash [key=EXPRESSION]"),
    AP_INIT_TAKE_ARGV("ProxyCoreKeepAlive", pc_set_keepalive, NULL, RSRC_CONF,
                      "Keep connections to backends: on or off, then max=N idle=DUR requests=N"),
    AP_INIT_TAKE12("ProxyCoreQueue", pc_set_queue, NULL, RSRC_CONF,
                   "How many requests may wait when every backend is at its max, then timeout=DUR"),
    AP_INIT_TAKE_ARGV("ProxyCoreTimeout", pc_set_timeout, NULL, RSRC_CONF,
                      "Times for a backend: connect=DUR send=DUR first=DUR idle=DUR total=DUR"),
    AP_INIT_TAKE12("ProxyCoreRetry", pc_set_retry, NULL, RSRC_CONF,
                   "How many other backends are tried, then on=connect,stale,reset,timeout,5xx"),
    AP_INIT_TAKE1("ProxyCoreDisableTime", pc_set_disable_time, NULL, RSRC_CONF,
                  "How long a failed backend rests at first; doubles up to 60s"),
    AP_INIT_TAKE_ARGV(
        "ProxyCoreForwarded", pc_set_forwarded, NULL, RSRC_CONF,
        "Which fields tell an HTTP backend of the client: x-forwarded, forwarded, both or off; then trust=ADDRESS,..."),
    AP_INIT_TAKE_ARGV("ProxyCoreTLS", pc_set_tls, NULL, RSRC_CONF,
                      "TLS to https backends: verify=on|off ca=FILE-or-FOLDER cert=FILE key=FILE name=NAME"),
    AP_INIT_TAKE1("ProxyCoreExpect", pc_set_expect, NULL, RSRC_CONF,
                  "Who decides on 100-continue: forward (the backend) or local (this server)"),
    AP_INIT_TAKE1("ProxyCoreTrailers", pc_set_trailers, NULL, RSRC_CONF,
                  "Whose trailer fields are passed on: off, response (the backend's), or both"),
    AP_INIT_TAKE12("ProxyCoreUpgrade", pc_set_upgrade, NULL, RSRC_CONF,
                   "Protocols that may take over a connection to the pool: off, websocket or any, then drain=DUR|off"),
    AP_INIT_TAKE1("ProxyCoreAsync", pc_set_async, NULL, RSRC_CONF,
                  "auto gives the worker thread back while a backend or a client is slow; off never does"),
    AP_INIT_TAKE_ARGV("ProxyCoreRequestBuffering", pc_set_buffering, NULL, RSRC_CONF,
                      "Read a request's body before a backend is asked: off, or on [spool=SIZE]"),
    AP_INIT_TAKE_ARGV("ProxyCoreResponseBuffering", pc_set_buffering, NULL, RSRC_CONF,
                      "Take an answer off the backend as fast as it comes: off, or on [spool=SIZE] [file=SIZE]"),

    AP_INIT_TAKE_ARGV(
        "ProxyCorePass", set_pass, NULL, ANY_SECTION,
        "Send this section to a pool: NAME or scheme://address, then strip=/prefix check-local=on|off; or off"),
    AP_INIT_TAKE1("ProxyCoreDocumentRoot", set_docroot, NULL, ANY_SECTION,
                  "The document root on the backend's side, a path or an expression"),
    AP_INIT_TAKE_ARGV(
        "ProxyCoreScript", set_script, NULL, ANY_SECTION,
        "How the path is split into script and PATH_INFO: auto, whole, none, /prefix, .ext, and file names"),
    AP_INIT_RAW_ARGS("ProxyCoreSetEnv", set_setenv, NULL, ANY_SECTION,
                     "A CGI variable for the backend: a name and an expression"),
    AP_INIT_ITERATE("ProxyCorePassEnv", set_passenv, NULL, ANY_SECTION,
                    "Variables of the server's own environment that the backend gets"),
    AP_INIT_TAKE_ARGV(
        "ProxyCoreXSendfile", pc_set_xsendfile, NULL, ANY_SECTION,
        "Serve the file or path that the backend names in X-Sendfile and its like: on [root=/path ...] or off"),
    AP_INIT_TAKE1("ProxyCoreXRewrite", pc_set_xrewrite, NULL, ANY_SECTION,
                  "Let the backend send the request elsewhere with X-Rewrite-URI, -Host and -Backend: on or off"),
    AP_INIT_RAW_ARGS(
        "ProxyCoreRewriteRequest", pc_set_rewrite_request, NULL, ANY_SECTION,
        "Rewrite for the backend: _uri, _docroot, _scriptname, _pathinfo or a field, a regex, a replacement; or off"),
    AP_INIT_RAW_ARGS("ProxyCoreRewriteResponse", pc_set_rewrite_response, NULL, ANY_SECTION,
                     "Rewrite what the backend says: a field, a regex, a replacement; or off"),
    AP_INIT_TAKE_ARGV(
        "ProxyCorePassReverse", pc_set_pass_reverse, NULL, ANY_SECTION,
        "Turn the backend's URLs in Location and its like into this server's: [URL-or-path there] [path here]; or off"),
    AP_INIT_TAKE12("ProxyCoreCookiePath", pc_set_cookie_path, NULL, ANY_SECTION,
                   "Rewrite Path of Set-Cookie: a path on the backend, a path here; or off"),
    AP_INIT_TAKE12("ProxyCoreCookieDomain", pc_set_cookie_domain, NULL, ANY_SECTION,
                   "Rewrite Domain of Set-Cookie: the backend's domain or *, the one here or off; or off"),
    AP_INIT_TAKE_ARGV("ProxyCoreErrorOverride", pc_set_error_override, NULL, ANY_SECTION,
                      "ErrorDocument instead of the backend's body: off, on, or on and statuses such as 404 500-599"),

    AP_INIT_TAKE1("ProxyCoreMode", pc_set_mode, NULL, ANY_SECTION | OR_AUTHCFG,
                  "The application's role (FastCGI): responder, authorizer (asked before something else serves the "
                  "request) or filter"),
    AP_INIT_TAKE2("ProxyCoreMapExtension", pc_set_map_extension, NULL, ANY_SECTION,
                  "Files of the first extension are served as those of the second: .php3 .php"),

    LATER("ProxyCoreResolve", "off", RSRC_CONF, "How often names are looked up again: off (once, at start)"),
    LATER("ProxyCoreSticky", "off", RSRC_CONF, "Pin a client to a backend: off"),
    LATER("ProxyCoreHealthCheck", "off", RSRC_CONF, "Ask backends whether they are well: off"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL },
};
