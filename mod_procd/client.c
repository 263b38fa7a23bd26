/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The optional functions of mod_procd.h: thin, over the table. A lease makes no system call but, where the manager has to
 * look, one write to its eventfd. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"
#include "apr_strings.h"

#include <sys/eventfd.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

procd_tables procd_client_tables;

static int child_row = -1, ring_fd = -1, event_fd = -1;

_Static_assert(sizeof(((procd_hold *)0)->addr) >= sizeof(struct sockaddr_un), "the table holds any address");

static void ring_manager(void)
{
    apr_uint64_t one = 1;
    ssize_t n = write(ring_fd, &one, sizeof(one));

    (void)n; /* it can only be full of rings */
}

static int is_usable(const procd_group *g)
{
    return g && g->index >= 0 && child_row >= 0 && procd_client_tables.children;
}

static procd_group *find_in(server_rec *s, const char *name)
{
    procd_server_conf *conf = s ? procd_conf(s) : NULL;

    for (int i = 0; conf && i < conf->groups->nelts; i++) {
        procd_group *g = APR_ARRAY_IDX(conf->groups, i, procd_group *);

        if (strcmp(g->name, name) == 0) {
            return g;
        }
    }
    return NULL;
}

static procd_group *procd_group_find(server_rec *s, const char *name)
{
    procd_group *g = find_in(s, name);

    return g ? g : find_in(ap_server_conf, name);
}

static apr_status_t procd_lease_take(procd_group *g, apr_uint64_t avoid, procd_lease *lease)
{
    procd_hold hold;
    procd_taken taken;
    int ring;

    if (lease->size != sizeof(*lease)) {
        return APR_EINVAL;
    }
    lease->group = NULL;
    if (!is_usable(g)) {
        return APR_EGENERAL;
    }
    taken = procd_table_take(&procd_client_tables, child_row, g->index, avoid, &hold, &ring);
    if (ring) {
        ring_manager();
    }
    if (taken != PROCD_TAKEN) {
        return taken == PROCD_TAKE_NEVER ? APR_EGENERAL : APR_EAGAIN;
    }
    lease->group = g;
    lease->slot = hold.slot;
    lease->instance = hold.instance;
    lease->pid = hold.pid;
    lease->concurrency = hold.concurrency;
    lease->addr_len = hold.addr_len;
    memcpy(&lease->addr, hold.addr.words, sizeof(lease->addr));
    lease->request_timeout = apr_time_from_msec(hold.request_ms > 0 ? hold.request_ms : 0);
    return APR_SUCCESS;
}

static void procd_lease_give(procd_lease *lease, procd_outcome outcome)
{
    static const procd_given how[] = { PROCD_GIVEN_OK, PROCD_GIVEN_REFUSED, PROCD_GIVEN_BROKE, PROCD_GIVEN_TIMED_OUT,
                                       PROCD_GIVEN_STUCK };
    procd_hold hold = { .slot = lease->slot, .instance = lease->instance };
    procd_group *g = lease->group;

    lease->group = NULL;
    if (!is_usable(g) || lease->slot < 0 || lease->slot >= PROCD_MAX_SLOTS || (unsigned int)outcome > PROCD_STUCK) {
        return;
    }
    if (procd_table_give(&procd_client_tables, child_row, g->index, &hold, how[outcome])) {
        ring_manager();
    }
}

static void procd_waiting(procd_group *g, int delta)
{
    if (is_usable(g) && procd_table_waiting(&procd_client_tables, child_row, g->index, delta)) {
        ring_manager();
    }
}

static int procd_event_fd(void)
{
    return event_fd;
}

static int seconds_until(apr_int64_t at_ms)
{
    apr_int64_t left = at_ms - procd_now_ms();

    return left <= 0 ? 0 : left > 3600000 ? 3600 : (int)((left + 999) / 1000);
}

static void fill_info(const procd_group *g, procd_group_info *info)
{
    const procd_group_row *row = &procd_client_tables.manager->groups[g->index];
    int slots = row->slots;

    info->processes = row->ready;
    info->starting = row->starting;
    info->waiting = procd_table_waiting_sum(&procd_client_tables, g->index);
    for (int i = 0; i < slots && i < PROCD_MAX_SLOTS; i++) {
        apr_uint64_t instance = row->processes[i].instance;

        info->busy += instance ? procd_table_busy(&procd_client_tables, g->index, i, instance) : 0;
    }
    if (row->crash_loop) {
        info->retry_after = seconds_until(row->retry_ms);
        info->crash_loop = info->retry_after > 0;
    }
    procd_why_read(row, info->why);
}

_Static_assert(sizeof(((procd_group_info *)0)->why) == PROCD_WHY_WORDS * 8, "why is copied whole");

apr_status_t procd_client_query(procd_group *g, procd_group_info *info)
{
    if (!g || info->size != sizeof(*info)) {
        return APR_EINVAL;
    }
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->name = g->name;
    info->min = g->def->min;
    info->max = g->def->max;
    info->concurrency = g->def->concurrency;
    if (g->index >= 0 && procd_client_tables.manager) {
        fill_info(g, info);
    }
    else {
        apr_cpystrn(info->why, "there is no manager", sizeof(info->why));
    }
    return APR_SUCCESS;
}

static apr_status_t procd_group_query(procd_group *g, procd_group_info *info)
{
    return procd_client_query(g, info);
}

void procd_client_register_functions(void)
{
    APR_REGISTER_OPTIONAL_FN(procd_group_find);
    APR_REGISTER_OPTIONAL_FN(procd_lease_take);
    APR_REGISTER_OPTIONAL_FN(procd_lease_give);
    APR_REGISTER_OPTIONAL_FN(procd_waiting);
    APR_REGISTER_OPTIONAL_FN(procd_event_fd);
    APR_REGISTER_OPTIONAL_FN(procd_group_query);
}

void procd_client_child_init(server_rec *s, int ring, int event)
{
    ring_fd = ring;
    event_fd = event;
    if (!procd_client_tables.children) {
        return;
    }
    child_row = procd_child_register(&procd_client_tables, getpid());
    if (child_row < 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "PRD0040: more than %d children: this one cannot use process groups",
                     PROCD_MAX_CHILDREN);
    }
}
