/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  dump.c
 * @brief A module for the documentation alone: with `httpd -t` it writes the directive tables of the two modules, as httpd
 *        itself sees them, to the file that $DOCS_DUMP names. One line each: module, directive, override bits, help.
 */
#include "httpd.h"
#include "http_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern __attribute__((visibility("default"))) module docs_dump_module;

static void dump(apr_pool_t *p, server_rec *s)
{
    const char *path = getenv("DOCS_DUMP");
    FILE *out = path ? fopen(path, "w") : NULL;
    module *m;

    (void)p;
    (void)s;
    if (!out) {
        return;
    }
    for (m = ap_top_module; m; m = m->next) {
        const command_rec *c = m->cmds;

        if (strcmp(m->name, "mod_proxy_core.c") != 0 && strcmp(m->name, "mod_procd.c") != 0) {
            continue;
        }
        for (; c && c->name; c++) {
            fprintf(out, "%s\t%s\t%d\t%s\n", m->name, c->name, c->req_override, c->errmsg ? c->errmsg : "");
        }
    }
    fclose(out);
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_test_config(dump, NULL, NULL, APR_HOOK_MIDDLE);
}

module docs_dump_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    register_hooks,
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 74)
    0,
#endif
};
