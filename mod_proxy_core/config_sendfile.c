/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * ProxyCoreXSendfile and ProxyCoreXRewrite. A .htaccess file may switch the first one off, and on where the administrator
 * has named roots; it names none itself.
 */
#include "config_sendfile.h"
#include "config_pool.h"
#include "config_values.h"
#include "instead_values.h"

#include "apr_cstr.h"
#include "apr_strings.h"

#include <string.h>

#define HELP "on, then root=/path and unescape=on|off; or off"

const pc_sendfile_conf *pc_sendfile_merge(apr_pool_t *p, const pc_sendfile_conf *base, const pc_sendfile_conf *add)
{
    pc_sendfile_conf *conf;

    if (!base || !add) {
        return add ? add : base;
    }
    conf = apr_pmemdup(p, add, sizeof(*add));
    if (!conf->roots) {
        conf->roots = base->roots;
    }
    if (conf->unescape < 0) {
        conf->unescape = base->unescape;
    }
    if (base->on && !base->by_user) {
        conf->by_user = 0;
    }
    return conf;
}

static const char *add_root(cmd_parms *cmd, const char *arg, const char *path, pc_sendfile_conf *conf)
{
    char *clean;

    if (pc_conf_in_htaccess(cmd)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg,
                           ": root= may not stand in .htaccess; accepted is on or off", NULL);
    }
    if (*path != '/' || strlen(path) > PC_INSTEAD_MAX
        || apr_filepath_merge(&clean, NULL, path, APR_FILEPATH_NOTRELATIVE, cmd->pool) != APR_SUCCESS) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is a path that begins with '/'", NULL);
    }
    if (!conf->roots) {
        conf->roots = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->roots, const char *) = clean;
    return NULL;
}

static const char *add_key(cmd_parms *cmd, const char *arg, pc_sendfile_conf *conf)
{
    const char *v;

    if ((v = pc_value_of(arg, "root"))) {
        return add_root(cmd, arg, v, conf);
    }
    if ((v = pc_value_of(arg, "unescape"))) {
        return pc_value_flag(v, &conf->unescape)
                   ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is on or off", NULL)
                   : NULL;
    }
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": unknown argument '", arg,
                       "'; accepted: root=/path, unescape=on|off", NULL);
}

const char *pc_set_xsendfile(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    pc_sendfile_conf *conf = apr_pcalloc(cmd->pool, sizeof(*conf));
    const char *wrong = NULL;

    conf->unescape = -1;
    if (argc < 1 || pc_value_flag(argv[0], &conf->on)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", argc ? argv[0] : "", ": accepted is " HELP, NULL);
    }
    if (!conf->on && argc > 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " off ", argv[1], ": off takes no argument", NULL);
    }
    conf->by_user = conf->on && pc_conf_in_htaccess(cmd);
    for (int i = 1; i < argc && !wrong; ++i) {
        wrong = add_key(cmd, argv[i], conf);
    }
    ((pc_dir_conf *)mconfig)->sendfile = conf;
    return wrong;
}

const char *pc_set_xrewrite(cmd_parms *cmd, void *mconfig, const char *arg)
{
    return pc_value_flag(arg, &((pc_dir_conf *)mconfig)->xrewrite)
               ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is on or off", NULL)
               : NULL;
}
