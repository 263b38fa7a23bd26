/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Where CGI scripts may be unless their group says it itself: every DocumentRoot, and every directory that a ScriptAlias
 * leads to. The parent reads it out of the configuration, because a child of httpd must have no say in it. */
#include "procd_mod.h"

#include "http_core.h"
#include "apr_strings.h"
#include "util_cfgtree.h"

#include <strings.h>

APLOG_USE_MODULE(procd);

static void put_root(procd_blob *blob, apr_pool_t *p, const char *path)
{
    path = path && *path ? ap_server_root_relative(p, path) : NULL;
    if (path && strcmp(path, "/") != 0) {
        procd_blob_put(blob, PROCD_TAG_SCRIPT_ROOT, path, strlen(path));
    }
}

/* ScriptAlias URL PATH, or ScriptAlias PATH inside of <Location>. An expression cannot be known. */
static void put_alias(procd_blob *blob, apr_pool_t *p, const ap_directive_t *node)
{
    const char *args = ap_resolve_env(p, node->args), *first = ap_getword_conf(p, &args);
    const char *second = ap_getword_conf(p, &args), *path = *second ? second : first;

    if (!ap_strstr_c(path, "%{")) {
        put_root(blob, p, path);
    }
}

static void walk(procd_blob *blob, apr_pool_t *p, const ap_directive_t *node)
{
    for (; node; node = node->next) {
        if (strcasecmp(node->directive, "ScriptAlias") == 0 && node->args) {
            put_alias(blob, p, node);
        }
        walk(blob, p, node->first_child);
    }
}

void procd_script_put_roots(procd_blob *blob, apr_pool_t *p, server_rec *s)
{
    for (server_rec *each = s; each; each = each->next) {
        core_server_config *core = ap_get_core_module_config(each->module_config);

        put_root(blob, p, core->ap_document_root);
    }
    walk(blob, p, ap_conftree);
}
