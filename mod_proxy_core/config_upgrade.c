/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * ProxyCoreUpgrade and ProxyCoreTrailers: what may pass beside requests and answers.
 */
#include "config_pool.h"
#include "config_values.h"

#include "apr_cstr.h"

static const char *set_drain(cmd_parms *cmd, pc_pool_conf *pool, const char *arg)
{
    const char *v = pc_value_of(arg, "drain"), *wrong;
    apr_interval_time_t drain = 0;

    if (!v) {
        return pc_conf_wrong(cmd, arg, "off, websocket or any, then drain=DUR|off");
    }
    if (apr_cstr_casecmp(v, "off")) {
        wrong = pc_value_duration(v, &drain);
        if (wrong || drain == 0) {
            return pc_conf_wrong(cmd, arg, wrong ? wrong : "a time above 0, or off");
        }
    }
    pool->upgrade_drain = drain;
    return NULL;
}

const char *pc_set_upgrade(cmd_parms *cmd, void *mconfig, const char *which, const char *drain)
{
    static const char *const words[] = { "off", "websocket", "any" };
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int i = 0;

    if (!pool) {
        return wrong;
    }
    while (i < 3 && apr_cstr_casecmp(which, words[i])) {
        i++;
    }
    if (i == 3) {
        return pc_conf_wrong(cmd, which, "off, websocket or any, then drain=DUR|off");
    }
    pool->upgrade = (pc_upgrade)i;
    return drain ? set_drain(cmd, pool, drain) : NULL;
}

const char *pc_set_trailers(cmd_parms *cmd, void *mconfig, const char *arg)
{
    static const char *const words[] = { "off", "response", "both" };
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int i;

    if (!pool) {
        return wrong;
    }
    for (i = 0; i < 3; i++) {
        if (!apr_cstr_casecmp(arg, words[i])) {
            pool->trailers = (pc_trailers)i;
            return NULL;
        }
    }
    return pc_conf_wrong(cmd, arg, "off, response or both");
}
