/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "config_roles.h"
#include "config_pool.h"

#include "apr_cstr.h"
#include "apr_strings.h"
#include "util_cfgtree.h"

#include <string.h>

static const char *const names[] = { "responder", "authorizer", "filter" }; /* by pc_role */

/* @return a pc_role or -1 */
static int role_named(const char *word)
{
    for (int i = 0; i < 3; ++i) {
        if (!apr_cstr_casecmp(word, names[i])) {
            return i;
        }
    }
    return -1;
}

/* ------------------------------------------------------------------ ProxyCoreMode */

static int may_authorize(cmd_parms *cmd)
{
    return !pc_conf_in_htaccess(cmd) || (cmd->override & OR_AUTHCFG);
}

const char *pc_set_mode(cmd_parms *cmd, void *mconfig, const char *arg)
{
    pc_dir_conf *conf = mconfig;
    int role = role_named(arg);

    if (role < 0) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is responder, authorizer or filter", NULL);
    }
    if (role == PC_ROLE_AUTHORIZER && !may_authorize(cmd)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": in .htaccess this needs AllowOverride AuthConfig",
                           NULL);
    }
    conf->mode = role;
    if (!conf->block) {
        pc_roles_end_pass(conf);
    }
    return NULL;
}

void pc_roles_begin_pass(cmd_parms *cmd, pc_dir_conf *conf)
{
    if (conf->pass) {
        conf->under = apr_pmemdup(cmd->pool, conf, sizeof(*conf));
    }
    conf->guards = 0;
}

void pc_roles_end_pass(pc_dir_conf *conf)
{
    if (conf->mode == PC_ROLE_AUTHORIZER && conf->pass) {
        conf->guards = 1;
        conf->mode = -1;
    }
}

const char *pc_roles_check_htaccess(cmd_parms *cmd, const pc_dir_conf *conf)
{
    const pc_pool_conf *pool;

    if (may_authorize(cmd) || !conf->pass || !*conf->pass) {
        return NULL;
    }
    pool = pc_conf_pool(cmd->server, conf->pass);
    return pool && pool->dir && pool->dir->mode == PC_ROLE_AUTHORIZER
               ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", conf->pass,
                             ": this pool is an authorizer, which in .htaccess needs AllowOverride AuthConfig", NULL)
               : NULL;
}

/* inner's chain with outer at its end; nodes are shared by requests and not changed */
static const pc_dir_conf *put_under(apr_pool_t *p, const pc_dir_conf *inner, const pc_dir_conf *outer)
{
    pc_dir_conf *copy;

    if (!inner) {
        return outer;
    }
    copy = apr_pmemdup(p, inner, sizeof(*copy));
    copy->under = put_under(p, inner->under, outer);
    return copy;
}

const pc_dir_conf *pc_roles_merge_under(apr_pool_t *p, const pc_dir_conf *base, const pc_dir_conf *add)
{
    if (!add->pass) {
        return base->under;
    }
    return base->pass ? put_under(p, add->under, base) : add->under;
}

/* ------------------------------------------------------------------ ProxyCoreMapExtension */

static int is_extension(const char *text)
{
    return text[0] == '.' && text[1] && strcspn(text + 1, "./ \t") == strlen(text + 1) && strlen(text) <= 32;
}

const char *pc_set_map_extension(cmd_parms *cmd, void *mconfig, const char *from, const char *to)
{
    pc_dir_conf *conf = mconfig;
    pc_extension *e;

    if (!is_extension(from) || !is_extension(to) || !strcmp(from, to)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", from, " ", to,
                           ": accepted are two different extensions with their dot, such as .php3 .php", NULL);
    }
    if (conf->block) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " may not stand inside <ProxyCore>; it is about files", NULL);
    }
    for (int i = 0; conf->extensions && i < conf->extensions->nelts; ++i) {
        const pc_extension *other = &APR_ARRAY_IDX(conf->extensions, i, pc_extension);

        if (!strcmp(other->from, to) || !strcmp(other->to, from)) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", from, " ", to, ": ", other->from, " is served as ",
                               other->to, " already, and one step is all there is", NULL);
        }
    }
    if (!conf->extensions) {
        conf->extensions = apr_array_make(cmd->pool, 2, sizeof(*e));
    }
    e = apr_array_push(conf->extensions);
    e->from = apr_pstrdup(cmd->pool, from);
    e->to = apr_pstrdup(cmd->pool, to);
    return NULL;
}

/* ------------------------------------------------------------------ the whole configuration */

static const char *lacks_roles(apr_pool_t *p, const pc_pool_conf *pool, int role)
{
    if (role < PC_ROLE_AUTHORIZER || role > PC_ROLE_FILTER || (pool->codec->flags & PC_CODEC_ROLES)) {
        return NULL;
    }
    return apr_pstrcat(p, "ProxyCoreMode ", names[role], " needs ProxyCoreProtocol fastcgi, ", pool->codec->name,
                       " knows no roles", NULL);
}

const char *pc_roles_check_pool(apr_pool_t *p, const pc_pool_conf *pool)
{
    return pool->dir ? lacks_roles(p, pool, pool->dir->mode) : NULL;
}

const char *pc_roles_check_node(apr_pool_t *p, server_rec *s, const ap_directive_t *node)
{
    const char *args = node->args, *pass = NULL;
    const ap_directive_t *d = node->parent ? node->parent->first_child : ap_conftree;
    const pc_pool_conf *pool;
    int role;

    if (apr_cstr_casecmp(node->directive, "ProxyCoreMode")
        || (node->parent && !apr_cstr_casecmp(node->parent->directive, "<ProxyCore"))) {
        return NULL;
    }
    role = role_named(ap_getword_conf(p, &args));
    for (; d; d = d->next) {
        if (!apr_cstr_casecmp(d->directive, "ProxyCorePass")) {
            args = d->args;
            pass = ap_getword_conf(p, &args);
        }
    }
    if (role == PC_ROLE_AUTHORIZER && !pass) {
        return "the pool that is asked is missing: ProxyCorePass NAME in the same section";
    }
    pool = pass ? pc_conf_pool(s, pass) : NULL;
    return pool ? lacks_roles(p, pool, role) : NULL;
}
