/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What an administrator orders with procctl. A group that was stopped, or scaled, stays so over graceful restarts and
 * over the manager's death: both are kept in the group's row of the table. A changed definition ends a scale. */
#include "manager.h"
#include "script.h"

#include <stdio.h>
#include <string.h>

#define REFUSED_FOR_EVER (INT64_MAX / 2)

int group_is_halted(const group *g)
{
    return atomic_load(&g->row->halted) != 0;
}

int group_min(const group *g)
{
    return atomic_load(&g->row->scale_max) > 0 ? atomic_load(&g->row->scale_min) : g->def->min;
}

int group_max(const group *g)
{
    return atomic_load(&g->row->scale_max) > 0 ? atomic_load(&g->row->scale_max) : g->def->max;
}

/* Requests are refused at once, with a reason, instead of being queued for processes that will not come. */
void group_show_halted(group *g)
{
    procd_why_write(g->row, "stopped by procctl");
    atomic_store(&g->row->retry_ms, REFUSED_FOR_EVER);
    if (!atomic_exchange(&g->row->crash_loop, 1)) {
        procd_table_changed(g->row);
    }
}

const char *group_order_stop(group *g)
{
    if (!g->def) {
        return "the group has no valid definition";
    }
    if (!group_is_halted(g)) {
        manager_log(LEVEL_NOTICE, g, "PRD0200: group %s: stopped by procctl", g->name);
        atomic_store(&g->row->halted, 1);
    }
    group_balance(g);
    procd_table_changed(g->row);
    manager_wake_children();
    return NULL;
}

/* Also of one that is not stopped: a crash loop's delay ends, and there is at least one process. */
const char *group_order_start(group *g)
{
    if (!g->def || script_is_refused(g)) {
        return "the group has no valid definition: see the error log";
    }
    manager_log(LEVEL_NOTICE, g, "PRD0201: group %s: started by procctl", g->name);
    atomic_store(&g->row->halted, 0);
    atomic_store(&g->row->crash_loop, 0);
    g->failures = 0;
    g->not_before_ms = 0;
    g->demanded = 1;
    g->wanted_once = 1;
    procd_why_write(g->row, "");
    group_balance(g);
    procd_table_changed(g->row);
    manager_wake_children();
    return NULL;
}

const char *group_order_restart(group *g)
{
    int n = 0;

    if (!g->def || group_is_halted(g)) {
        return g->def ? "the group is stopped: start it" : "the group has no valid definition: see the error log";
    }
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (g->processes[i]) {
            g->processes[i]->worn = "restarted by procctl";
            n++;
        }
    }
    manager_log(LEVEL_NOTICE, g, "PRD0202: group %s: restart by procctl of %d processes", g->name, n);
    g->failures = 0;
    g->not_before_ms = 0;
    atomic_store(&g->row->crash_loop, 0);
    group_balance(g);
    return NULL;
}

const char *group_order_scale(group *g, int min, int max)
{
    if (!g->def) {
        return "the group has no valid definition: see the error log";
    }
    if (g->def->n_socket_names && max > g->def->n_socket_names) {
        return "the group has one process for each address of SpawnSocketName: it cannot have more";
    }
    manager_log(LEVEL_NOTICE, g, "PRD0203: group %s: scaled by procctl to %d processes at least, %d at most", g->name,
                max > 0 ? min : g->def->min, max > 0 ? max : g->def->max);
    atomic_store(&g->row->scale_max, max > 0 ? max : 0);
    atomic_store(&g->row->scale_min, max > 0 ? min : 0);
    atomic_store(&g->row->min, group_min(g));
    atomic_store(&g->row->max, group_max(g));
    g->demanded |= max > 0 && min > 0;
    group_balance(g);
    procd_table_changed(g->row);
    manager_wake_children();
    return NULL;
}

/* ------------------------------------------------------------------ what became of processes */

void group_remember_end(group *g, const process *p, const char *what)
{
    end_record *e = &g->ends[g->n_ends++ % ENDS_KEPT];
    int64_t now = procd_now_ms();

    e->at_ms = now;
    e->pid = p ? p->pid : 0;
    e->age_ms = p ? now - p->started_ms : 0;
    snprintf(e->text, sizeof(e->text), "%s", what);
}
