/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Groups that other modules define: the same parser, the same checks and the same list as <Spawn>. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"
#include "apr_strings.h"

#define DEFINITION_SIZE_LEAST sizeof(procd_definition)

/* This generation's configuration is being read. The parent's only thread. */
static int is_open;

/* A virtual host in which no directive of ours stands has no configuration of its own while the file is read, and the
 * main server's when that is done. */
static procd_server_conf *own_conf(apr_pool_t *p, server_rec *s)
{
    procd_server_conf *conf = procd_conf(s);

    if (!conf || (s->is_virtual && ap_server_conf && conf == procd_conf(ap_server_conf))) {
        conf = procd_create_server_conf(p, s);
        ap_set_module_config(s->module_config, &procd_module, conf);
    }
    return conf;
}

static const char *procd_group_register(apr_pool_t *pconf, server_rec *s, const procd_definition *definition,
                                        procd_group **group)
{
    const char *err;
    int line;

    *group = NULL;
    if (definition->size < DEFINITION_SIZE_LEAST) {
        return "procd_group_register: the size of the definition is not set";
    }
    if (!is_open) {
        return "procd_group_register: groups can be defined only while the configuration is read";
    }
    if (!definition->name || !definition->text || !procd_name_ok(definition->name)) {
        return procd_bad_name(pconf, "procd_group_register:", definition->name ? definition->name : "");
    }
    if (strlen(definition->text) > PROCD_TEXT_MAX) {
        return apr_psprintf(pconf, "<Spawn %s>: longer than %d bytes", definition->name, PROCD_TEXT_MAX);
    }
    (void)own_conf(pconf, s);
    err = procd_add_group(pconf, s, definition->name, apr_pstrdup(pconf, definition->text), &line, group);
    if (err) {
        return line > 0 ? apr_psprintf(pconf, "%s (line %d of the group's definition)", err, line) : err;
    }
    (*group)->filename = apr_pstrdup(pconf, definition->file);
    (*group)->line = definition->line;
    return NULL;
}

void procd_register_end(void)
{
    is_open = 0;
}

void procd_register_functions(void)
{
    is_open = 1;
    APR_REGISTER_OPTIONAL_FN(procd_group_register);
}
