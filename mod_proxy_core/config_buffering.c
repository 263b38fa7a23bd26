/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * ProxyCoreRequestBuffering and ProxyCoreResponseBuffering.
 */

#include "config_pool.h"
#include "config_values.h"

#include "apr_cstr.h"

#define REQUEST "off, or on [spool=SIZE]"
#define RESPONSE "off, or on [spool=SIZE] [file=SIZE]"

/** @return NULL, or what is accepted */
static const char *set_size(const char *value, apr_off_t max, const char *accepted, apr_off_t *size)
{
    apr_off_t n;
    const char *wrong = pc_value_size(value, &n);

    if (wrong || (max >= 0 && n > max)) {
        return wrong ? wrong : accepted;
    }
    *size = n;
    return NULL;
}

const char *pc_set_buffering(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int response = !apr_cstr_casecmp(cmd->cmd->name, "ProxyCoreResponseBuffering"), on = 0;
    pc_spool_conf *conf;

    if (!pool) {
        return wrong;
    }
    if (argc < 1 || pc_value_flag(argv[0], &on) || (!on && argc > 1)) {
        return pc_conf_wrong(cmd,
                             argc > 1 && !pc_value_flag(argv[0], &on) ? argv[1]
                             : argc                                   ? argv[0]
                                                                      : "",
                             response ? RESPONSE : REQUEST);
    }
    conf = response ? &pool->response : &pool->request;
    conf->on = on != 0;
    for (int i = 1; i < argc; ++i) {
        if ((v = pc_value_of(argv[i], "spool"))) {
            wrong = set_size(v, PC_SPOOL_MEMORY_MAX, "a size up to 1G: each request may take as much memory",
                             &conf->memory);
        }
        else if (response && (v = pc_value_of(argv[i], "file"))) {
            wrong = set_size(v, -1, NULL, &conf->file);
        }
        else {
            wrong = response ? RESPONSE : REQUEST;
        }
        if (wrong) {
            return pc_conf_wrong(cmd, argv[i], wrong);
        }
    }
    if (response && conf->memory == 0 && conf->file == 0) {
        return pc_conf_wrong(cmd, "spool=0 file=0", "at least one of them above 0");
    }
    return NULL;
}
