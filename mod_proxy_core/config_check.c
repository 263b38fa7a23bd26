/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * What can only be said when the whole configuration was read.
 *
 * Addresses that stand inline (ProxyCorePass scheme://..., SetHandler "proxy-core:scheme://...") become pools here and
 * nowhere else: the tree of the server's own configuration is searched for them. A handler name that turns up at run time
 * (from .htaccess, from an expression, from a rewrite rule's variable) can therefore only name what the administrator
 * wrote down, and is no way to send requests to an address of somebody else's choice.
 *
 * The checks run as a check_config hook, since that is what `httpd -t` runs; only the look-up of process groups waits for
 * post_config, when mod_procd has them. Names in <Spawn> blocks are compared before that, in the tree.
 */

#include "config_backend.h"
#include "config_roles.h"
#include "script_link.h"
#include "config_pool.h"
#include "config_values.h"
#include "mass.h"
#include "mod_procd.h"
#include "pool.h"
#include "tls.h"

#include "apr_cstr.h"
#include "apr_hash.h"
#include "apr_strings.h"
#include "http_config.h"
#include "http_log.h"
#include "util_cfgtree.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

#define HANDLER_PREFIX "proxy-core:"

typedef struct check {
    apr_pool_t *pconf;
    apr_pool_t *ptemp;
    server_rec *main_server;
    apr_hash_t *spawn; /* names of <Spawn> blocks; NULL: not collected yet */
    int spawn_dir;     /* ProcdGroupDir is there: more names than these may exist */
    int failed;
} check;

static pc_server_conf *server_conf(server_rec *s)
{
    return ap_get_module_config(s->module_config, &proxy_core_module);
}

/** One line for the administrator; the check goes on, so that one run names everything. */
static void __attribute__((format(printf, 3, 4))) complain(check *c, const char *where, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, c->main_server, "PXC0101: %s: %s", where,
                 apr_pvsprintf(c->ptemp, format, ap));
    va_end(ap);
    c->failed = 1;
}

static const char *pool_label(check *c, const pc_pool_conf *pool)
{
    return pool->inline_form ? apr_psprintf(c->ptemp, "%s: %s", pool->source, pool->name)
                             : apr_psprintf(c->ptemp, "%s: <ProxyCore %s>", pool->source, pool->name);
}

/* ------------------------------------------------------------------ looking up */

static pc_pool_conf *find_pool(apr_hash_t *pools, const char *name)
{
    char small[256];
    apr_size_t n = strlen(name);
    pc_pool_conf *pool = apr_hash_get(pools, name, (apr_ssize_t)n);

    if (!pool && n < sizeof(small)) {
        memcpy(small, name, n + 1);
        ap_str_tolower(small);
        pool = apr_hash_get(pools, small, (apr_ssize_t)n);
    }
    return pool;
}

const pc_pool_conf *pc_conf_pool(server_rec *s, const char *name)
{
    pc_server_conf *conf = server_conf(s);

    return conf && conf->visible ? find_pool(conf->visible, name) : NULL;
}

void pc_conf_each_pool(server_rec *main_server, void (*fn)(void *baton, server_rec *s, pc_pool_conf *pool), void *baton)
{
    for (server_rec *s = main_server; s; s = s->next) {
        pc_server_conf *conf = server_conf(s);

        /* A virtual host without directives of ours shares the main server's structure. */
        if (!conf || (s != main_server && conf == server_conf(main_server))) {
            continue;
        }
        for (int i = 0; i < conf->list->nelts; ++i) {
            pc_pool_conf *pool = APR_ARRAY_IDX(conf->list, i, pc_pool_conf *);

            fn(baton, s, pool);
            for (int k = 0; pool->places && k < pool->places->nelts; ++k) {
                fn(baton, s, APR_ARRAY_IDX(pool->places, k, pc_pool_conf *));
            }
        }
    }
}

/* ------------------------------------------------------------------ the tree of the configuration */

typedef void (*node_fn)(check *c, server_rec *s, const ap_directive_t *node);

static server_rec *virtual_host(check *c, const ap_directive_t *node, server_rec *otherwise)
{
    for (server_rec *s = c->main_server->next; s; s = s->next) {
        if (s->defn_line_number == (unsigned)node->line_num && s->defn_name && !strcmp(s->defn_name, node->filename)) {
            return s;
        }
    }
    return otherwise;
}

static void each_node(check *c, server_rec *s, const ap_directive_t *node, node_fn fn)
{
    for (; node; node = node->next) {
        fn(c, s, node);
        if (node->first_child) {
            server_rec *inside = apr_cstr_casecmp(node->directive, "<VirtualHost") ? s : virtual_host(c, node, s);
            each_node(c, inside, node->first_child, fn);
        }
    }
}

/** The pool that a directive sends requests to, by ProxyCorePass or by a handler's name. @return NULL: none */
static const char *pool_named_by(check *c, const ap_directive_t *node)
{
    const char *args = node->args, *word = NULL, *flag;

    if (!apr_cstr_casecmp(node->directive, "ProxyCorePass")) {
        word = ap_getword_conf(c->ptemp, &args);
        return apr_cstr_casecmp(word, "off") ? word : NULL;
    }
    if (!apr_cstr_casecmp(node->directive, "SetHandler") || !apr_cstr_casecmp(node->directive, "AddHandler")) {
        word = ap_getword_conf(c->ptemp, &args);
    }
    else if (!apr_cstr_casecmp(node->directive, "RewriteRule") && (flag = strstr(args, "=" HANDLER_PREFIX))) {
        word = apr_pstrmemdup(c->ptemp, flag + 1, strcspn(flag + 1, ",] \t\""));
    }
    if (!word || apr_cstr_casecmpn(word, HANDLER_PREFIX, sizeof(HANDLER_PREFIX) - 1) || strchr(word, '%')) {
        return NULL;
    }
    return word + sizeof(HANDLER_PREFIX) - 1;
}

static const char *place_of(check *c, const ap_directive_t *node)
{
    return apr_psprintf(c->ptemp, "%s:%d: %s %s", node->filename, node->line_num, node->directive, node->args);
}

static void collect_spawn(check *c, server_rec *s, const ap_directive_t *node)
{
    (void)s;
    if (!apr_cstr_casecmp(node->directive, "<Spawn")) {
        const char *args = apr_pstrndup(c->pconf, node->args, strcspn(node->args, ">"));
        const char *name = ap_getword_conf(c->pconf, &args);

        apr_hash_set(c->spawn, name, APR_HASH_KEY_STRING, name);
    }
    else if (!apr_cstr_casecmp(node->directive, "ProcdGroupDir")) {
        c->spawn_dir = 1;
    }
}

/* ------------------------------------------------------------------ pools get their backends */

/** "a, b": what an administrator may name. */
static const char *names_in(apr_pool_t *p, apr_hash_t *names)
{
    const char *list = "";

    for (apr_hash_index_t *i = apr_hash_first(p, names); i; i = apr_hash_next(i)) {
        if (strstr(apr_hash_this_key(i), "://")) {
            continue;
        }
        list = apr_pstrcat(p, list, *list ? ", " : "", (const char *)apr_hash_this_key(i), NULL);
    }
    return *list ? list : "none";
}

static void check_group(check *c, const pc_pool_conf *pool, const char *group)
{
    if (!ap_find_linked_module("mod_procd.c")) {
        complain(c, pool_label(c, pool), "spawn:%s needs mod_procd, which is not loaded", group);
        return;
    }
    if (!c->spawn) {
        c->spawn = apr_hash_make(c->ptemp);
        each_node(c, c->main_server, ap_conftree, collect_spawn);
    }
    if (pool->spawn_name && !c->spawn_dir) {
        complain(c, pool_label(c, pool), "spawn:%s needs ProcdGroupDir: an expression names groups of it", group);
        return;
    }
    if (!c->spawn_dir && !apr_hash_get(c->spawn, group, APR_HASH_KEY_STRING)) {
        complain(c, pool_label(c, pool), "spawn:%s: there is no <Spawn %s>; groups: %s", group, group,
                 names_in(c->ptemp, c->spawn));
    }
}

static void finish_backend(check *c, pc_pool_conf *pool, const pc_backend_conf *written, apr_array_header_t *out)
{
    const char *wrong;

    if (written->kind == PC_BACKEND_SPAWN) {
        check_group(c, pool, written->spawn);
    }
    if ((wrong = pc_backend_resolve(c->pconf, c->ptemp, pool, written, out))) {
        complain(c, pool_label(c, pool), "%s", wrong);
    }
}

static void check_backends(check *c, const pc_pool_conf *pool)
{
    apr_hash_t *names = apr_hash_make(c->ptemp);

    if (pool->backends->nelts > PC_POOL_MAX_BACKENDS) {
        complain(c, pool_label(c, pool), "%d backends; a pool has at most %d", pool->backends->nelts,
                 PC_POOL_MAX_BACKENDS);
    }
    for (int i = 0; i < pool->backends->nelts; ++i) {
        const pc_backend_conf *b = &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);

        if (apr_hash_get(names, b->name, APR_HASH_KEY_STRING)) {
            complain(c, pool_label(c, pool), "two backends are called '%s'; tell them apart with name=LABEL", b->name);
        }
        apr_hash_set(names, b->name, APR_HASH_KEY_STRING, b);
    }
}

static void finish_pool(void *baton, server_rec *s, pc_pool_conf *pool)
{
    check *c = baton;
    apr_array_header_t *written = pool->backends;
    const char *wrong;

    pool->backends = apr_array_make(c->pconf, written->nelts, sizeof(pc_backend_conf));
    for (int i = 0; i < written->nelts; ++i) {
        finish_backend(c, pool, &APR_ARRAY_IDX(written, i, pc_backend_conf), pool->backends);
    }
    check_backends(c, pool);
    if ((wrong = pc_script_check_pool(c->ptemp, s, pool))) {
        complain(c, pool_label(c, pool), "%s", wrong);
    }
    if (pool->tls && (wrong = pc_tls_check(c->pconf, c->ptemp, s, pool))) {
        complain(c, pool_label(c, pool), "%s", wrong);
    }
}

/* ------------------------------------------------------------------ inline addresses and names */

static pc_pool_conf *same_but_case(check *c, const char *name)
{
    const apr_array_header_t *list = server_conf(c->main_server)->list;

    for (int i = 0; i < list->nelts; ++i) {
        pc_pool_conf *pool = APR_ARRAY_IDX(list, i, pc_pool_conf *);

        if (!apr_cstr_casecmp(pool->name, name)) {
            return pool;
        }
    }
    return NULL;
}

static void make_inline(check *c, server_rec *s, const ap_directive_t *node)
{
    const char *to = pool_named_by(c, node), *scheme, *address, *wrong;
    apr_hash_t *pools = server_conf(c->main_server)->pools;
    pc_pool_conf *pool;
    char *arg;
    pc_backend_conf b;

    (void)s;
    if (!to || !pc_inline_split(c->pconf, to, &scheme, &address)) {
        return;
    }
    if ((pool = same_but_case(c, to))) {
        if (strcmp(pool->name, to) != 0) {
            complain(c, place_of(c, node), "%s at %s differs from this in case only, which handler names do not keep",
                     pool->name, pool->source);
        }
        return;
    }
    pool = pc_pool_conf_make(c->pconf, to, apr_psprintf(c->pconf, "%s:%d", node->filename, node->line_num));
    pool->inline_form = 1;
    arg = apr_pstrdup(c->pconf, address);
    wrong = pc_pool_set_codec(c->pconf, pool, scheme);
    if (!wrong && !(wrong = pc_backend_parse(c->pconf, 1, &arg, &b))) {
        APR_ARRAY_PUSH(pool->backends, pc_backend_conf) = b;
        wrong = pc_pool_conf_complete(c->pconf, pool);
    }
    if (wrong) {
        complain(c, place_of(c, node), "%s", wrong);
        return;
    }
    apr_hash_set(pools, pool->name, APR_HASH_KEY_STRING, pool);
    APR_ARRAY_PUSH(server_conf(c->main_server)->list, pc_pool_conf *) = pool;
}

/** Handler names arrive in lower case: inline pools are found by that, too. */
static void add_lower_case(apr_pool_t *p, apr_hash_t *visible, apr_hash_t *pools)
{
    for (apr_hash_index_t *i = apr_hash_first(p, pools); i; i = apr_hash_next(i)) {
        char *name = apr_pstrdup(p, apr_hash_this_key(i));

        ap_str_tolower(name);
        apr_hash_set(visible, name, APR_HASH_KEY_STRING, apr_hash_this_val(i));
    }
}

static void make_visible(check *c)
{
    apr_hash_t *common = server_conf(c->main_server)->pools;

    for (server_rec *s = c->main_server; s; s = s->next) {
        pc_server_conf *conf = server_conf(s);

        if (conf && !conf->visible) {
            conf->visible = apr_hash_overlay(c->pconf, conf->pools, common);
            add_lower_case(c->pconf, conf->visible, common);
            add_lower_case(c->pconf, conf->visible, conf->pools);
        }
    }
}

/** Does any virtual host have it? Sections of the main server hold for all of them. */
static int known_somewhere(check *c, const char *name)
{
    for (server_rec *s = c->main_server; s; s = s->next) {
        if (pc_conf_pool(s, name)) {
            return 1;
        }
    }
    return 0;
}

static void check_name(check *c, server_rec *s, const ap_directive_t *node)
{
    const char *to = pool_named_by(c, node), *scheme, *address;

    if (!to || pc_inline_split(c->ptemp, to, &scheme, &address)) {
        return;
    }
    if (s == c->main_server ? !known_somewhere(c, to) : !pc_conf_pool(s, to)) {
        complain(c, place_of(c, node), "there is no <ProxyCore %s>; known are: %s", to,
                 names_in(c->ptemp, server_conf(s)->visible));
    }
}

/** A handler's name that is nearly one of ours: httpd would serve the file instead, a script as its source. */
static void check_handler(check *c, server_rec *s, const ap_directive_t *node)
{
    static const apr_size_t own = sizeof(HANDLER_PREFIX) - 2; /* without the colon */
    const char *args = node->args, *word;

    (void)s;
    if (apr_cstr_casecmp(node->directive, "SetHandler") && apr_cstr_casecmp(node->directive, "AddHandler")) {
        return;
    }
    word = ap_getword_conf(c->ptemp, &args);
    if (!apr_cstr_casecmpn(word, HANDLER_PREFIX, own) && word[own] && word[own] != ':'
        && apr_cstr_casecmp(word, "proxy-core-status")) {
        complain(c, place_of(c, node), "there is no handler '%s'; accepted: proxy-core:NAME, proxy-core-status", word);
    }
}

static void check_role(check *c, server_rec *s, const ap_directive_t *node)
{
    const char *wrong = pc_roles_check_node(c->ptemp, s, node);

    if (wrong) {
        complain(c, place_of(c, node), "%s", wrong);
    }
}

static void note_authorizers(check *c)
{
    for (server_rec *s = c->main_server; s; s = s->next) {
        pc_server_conf *conf = server_conf(s);

        for (apr_hash_index_t *i = apr_hash_first(c->ptemp, conf->visible); i; i = apr_hash_next(i)) {
            const pc_pool_conf *pool = apr_hash_this_val(i);

            conf->authorizers |= pool->dir && pool->dir->mode == PC_ROLE_AUTHORIZER;
        }
    }
}

/* ------------------------------------------------------------------ entries */

int pc_conf_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    check c = { pconf, ptemp, main_server, NULL, 0, 0 };

    (void)plog;
    if (server_conf(main_server)->visible) {
        return OK;
    }
    each_node(&c, main_server, ap_conftree, make_inline);
    pc_conf_each_pool(main_server, finish_pool, &c);
    make_visible(&c);
    note_authorizers(&c);
    each_node(&c, main_server, ap_conftree, check_name);
    each_node(&c, main_server, ap_conftree, check_handler);
    each_node(&c, main_server, ap_conftree, check_role);
    return c.failed ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

typedef procd_group *find_group_fn(server_rec *s, const char *name);

static void find_groups(void *baton, server_rec *s, pc_pool_conf *pool)
{
    check *c = baton;
    find_group_fn *find = APR_RETRIEVE_OPTIONAL_FN(procd_group_find);

    if (pool->place) {
        return;
    }
    if (pool->spawn_name) {
        const char *wrong = pc_mass_expand(c->pconf, s, pool);

        if (wrong) {
            complain(c, pool_label(c, pool), "ProxyCoreBackend %s: %s",
                     APR_ARRAY_IDX(pool->backends, 0, pc_backend_conf).text, wrong);
        }
        return;
    }

    for (int i = 0; i < pool->backends->nelts; ++i) {
        pc_backend_conf *b = &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);

        if (b->kind != PC_BACKEND_SPAWN) {
            continue;
        }
        b->group = find ? find(s, b->spawn) : NULL;
        if (!b->group) {
            complain(c, pool_label(c, pool), "spawn:%s: %s", b->spawn,
                     find ? "mod_procd has no group of this name for this server" : "mod_procd is not loaded");
        }
    }
}

int pc_conf_finish(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server)
{
    check c = { pconf, ptemp, main_server, NULL, 0, 0 };
    int rv = pc_conf_check(pconf, ptemp, ptemp, main_server);

    if (rv == OK) {
        pc_conf_each_pool(main_server, find_groups, &c);
        rv = c.failed ? HTTP_INTERNAL_SERVER_ERROR : OK;
    }
    return rv;
}
