/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The groups on mod_status's page, where that module is loaded; with ?auto a line of numbers for each. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"
#include "http_protocol.h"
#include "apr_optional_hooks.h"
#include "mod_status.h"

APLOG_USE_MODULE(procd);

typedef struct page {
    request_rec *r;
    int short_report, n;
} page;

static const char *state_of(const procd_group_info *info)
{
    if (info->condition != PROCD_IS_ACTIVE) {
        return procd_condition_name(info->condition);
    }
    return info->processes ? "active" : info->starting ? "starting" : "resting";
}

static void show_group(procd_group *g, void *baton)
{
    page *pg = baton;
    procd_group_info info = { .size = sizeof(info) };

    if (procd_client_query(g, &info) != APR_SUCCESS) {
        return;
    }
    if (pg->short_report) {
        ap_rprintf(pg->r, "ProcdGroup: %s %s processes=%d starting=%d min=%d max=%d busy=%d waiting=%d\n", g->key,
                   state_of(&info), info.processes, info.starting, info.min, info.max, info.busy, info.waiting);
        return;
    }
    if (!pg->n++) {
        ap_rputs("<table border=\"0\"><tr><th>Group</th><th>State</th><th>Processes</th><th>Starting</th>"
                 "<th>Busy</th><th>Waiting</th><th>Last trouble</th></tr>\n",
                 pg->r);
    }
    ap_rprintf(pg->r,
               "<tr><td>%s</td><td>%s</td><td>%d (%d to %d)</td><td>%d</td><td>%d</td><td>%d</td><td>%s</td></tr>\n",
               ap_escape_html(pg->r->pool, g->key), state_of(&info), info.processes, info.min, info.max, info.starting,
               info.busy, info.waiting, ap_escape_html(pg->r->pool, info.why));
}

static int show_groups(request_rec *r, int flags)
{
    page pg = { r, (flags & AP_STATUS_SHORT) != 0, 0 };

    if (!procd_client_tables.manager) {
        return OK;
    }
    if (!pg.short_report) {
        ap_rprintf(r, "<hr />\n<h2>Process groups (mod_procd, manager %d)</h2>\n",
                   (int)procd_client_tables.manager->manager_pid);
    }
    procd_each_group(ap_server_conf, show_group, &pg);
    procd_each_dir_group(r->pool, show_group, &pg);
    if (pg.n) {
        ap_rputs("</table>\n", r);
    }
    return OK;
}

void procd_server_status_register(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, show_groups, NULL, NULL, APR_HOOK_MIDDLE);
}
