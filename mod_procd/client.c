/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The optional functions of mod_procd.h: thin, over the table. A lease makes no system call but, where the manager has to
 * look, one write to its pipe. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"
#include "apr_atomic.h"
#include "apr_strings.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

procd_tables procd_client_tables;

static procd_child *child;
static int ring_fd = -1, event_fd = -1;

_Static_assert(sizeof(((procd_hold *)0)->addr) >= sizeof(struct sockaddr_un), "the table holds any address");

static void ring_manager(void)
{
    apr_uint64_t token = 1;
    ssize_t n = write(ring_fd, &token, sizeof(token));

    (void)n; /* it can only be full of them */
}

/* A group's row in the table. That of one of ProcdGroupDir is found by its name, and looked for again when another group
 * has it: a row is never given to another while a lease or a waiting request counts in it. @return -1: it has none */
static int row_of(procd_group *g)
{
    apr_uint32_t cached;
    int row;

    if (!g || !g->dynamic || !procd_client_tables.manager) {
        return g ? g->index : -1;
    }
    cached = apr_atomic_read32(&g->cached);
    if (cached && procd_row_is(&procd_client_tables.manager->groups[cached - 1], g->name)) {
        return (int)cached - 1;
    }
    row = procd_table_find(&procd_client_tables, g->name);
    apr_atomic_set32(&g->cached, (apr_uint32_t)(row + 1));
    return row;
}

int procd_client_row(procd_group *g)
{
    return row_of(g);
}

static int is_usable(int row)
{
    return row >= 0 && child && procd_client_tables.children;
}

/* One of ProcdGroupDir whose file is gone serves those who have it already. */
static int takes_requests(int row)
{
    const procd_group_row *r = &procd_client_tables.manager->groups[row];

    return row < PROCD_GROUPS_CONFIGURED || r->state == PROCD_GROUP_ACTIVE;
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

/* A group that may have a file in ProcdGroupDir, now or later. */
static procd_group *dynamic_group(server_rec *s, const char *name)
{
    procd_group *g;

    if (!procd_conf(ap_server_conf ? ap_server_conf : s)->group_dir || !procd_name_ok(name)) {
        return NULL;
    }
    g = apr_pcalloc(s->process->pconf, sizeof(*g));
    g->name = g->key = apr_pstrdup(s->process->pconf, name);
    g->server = ap_server_conf;
    g->index = -1;
    g->dynamic = 1;
    return g;
}

static procd_group *procd_group_find(server_rec *s, const char *name)
{
    procd_group *g = find_in(s, name);

    g = g ? g : find_in(ap_server_conf, name);
    return g || child ? g : dynamic_group(s, name);
}

/* ------------------------------------------------------------------ the groups of ProcdGroupDir, by place */

static procd_group *procd_dir_group(server_rec *s, int place)
{
    procd_group *g;

    if (place < 0 || place >= PROCD_MAX_GROUPS - PROCD_GROUPS_CONFIGURED) {
        return NULL;
    }
    g = apr_pcalloc(s->process->pconf, sizeof(*g));
    g->name = g->key = apr_psprintf(s->process->pconf, "%d of ProcdGroupDir", place);
    g->server = ap_server_conf;
    g->index = PROCD_GROUPS_CONFIGURED + place;
    return g;
}

static int procd_dir_find(const char *name)
{
    int row = procd_client_tables.manager ? procd_table_find(&procd_client_tables, name) : -1;

    return row >= 0 && procd_client_tables.manager->groups[row].state == PROCD_GROUP_ACTIVE
               ? row - PROCD_GROUPS_CONFIGURED
               : -1;
}

/* ------------------------------------------------------------------ leases */

/* How much of a structure there is at least: fields up to this one were there from the first version. */
#define SIZE_UP_TO(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))
#define LEASE_SIZE_LEAST SIZE_UP_TO(procd_lease, request_timeout)
#define INFO_SIZE_LEAST SIZE_UP_TO(procd_group_info, why)

static apr_status_t procd_lease_take(procd_group *g, apr_uint64_t avoid, procd_lease *lease)
{
    procd_hold hold;
    procd_taken taken;
    int ring, row = row_of(g);

    if (lease->size < LEASE_SIZE_LEAST) {
        return APR_EINVAL;
    }
    lease->group = NULL;
    if (!is_usable(row) || !takes_requests(row)) {
        return APR_EGENERAL;
    }
    taken = procd_table_take(&procd_client_tables, child, row, avoid, &hold, &ring);
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
    procd_times times = { 0, 0 };
    int row = row_of(lease->group);

    lease->group = NULL;
    if (!is_usable(row) || lease->slot < 0 || lease->slot >= PROCD_MAX_SLOTS || (unsigned int)outcome > PROCD_STUCK) {
        return;
    }
    if (lease->size >= SIZE_UP_TO(procd_lease, total)) {
        times.first = lease->first_byte;
        times.total = lease->total;
    }
    if (procd_table_give(&procd_client_tables, child, row, &hold, how[outcome], times)) {
        ring_manager();
    }
}

static void procd_waiting(procd_group *g, int delta)
{
    int row = row_of(g);

    if (is_usable(row) && procd_table_waiting(&procd_client_tables, child, row, delta)) {
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

#define FOR_EVER_MS (INT64_MAX / 4) /* the manager's times of what will not come are beyond */

static procd_condition condition_of(const procd_group_row *row)
{
    if (row->state != PROCD_GROUP_ACTIVE && !row->crash_loop) {
        return PROCD_IS_UNKNOWN;
    }
    if (row->halted) {
        return PROCD_IS_STOPPED;
    }
    if (row->crash_loop && row->retry_ms > FOR_EVER_MS) {
        return PROCD_IS_INVALID;
    }
    return row->crash_loop && row->retry_ms > procd_now_ms() ? PROCD_IS_FAILING : PROCD_IS_ACTIVE;
}

static void fill_sums(int index, procd_group_info *info)
{
    const procd_group_row *row = &procd_client_tables.manager->groups[index];
    procd_sums sums = { 0, 0, 0, 0 };
    int slots = row->slots;

    for (int i = 0; i < slots && i < PROCD_MAX_SLOTS; i++) {
        apr_uint64_t instance = row->processes[i].instance;

        info->busy += instance ? procd_table_busy(&procd_client_tables, index, i, instance) : 0;
        procd_table_sum(&procd_client_tables, index, i, instance, &sums);
    }
    info->requests = sums.requests;
    info->timed = sums.timed;
    info->mean_first_byte = sums.timed ? (apr_interval_time_t)(sums.first_us / sums.timed) : 0;
    info->mean_total = sums.timed ? (apr_interval_time_t)(sums.total_us / sums.timed) : 0;
}

static void fill_info(int index, procd_group_info *info)
{
    const procd_group_row *row = &procd_client_tables.manager->groups[index];

    info->processes = row->ready;
    info->starting = row->starting;
    info->waiting = procd_table_waiting_sum(&procd_client_tables, index);
    info->min = row->min;
    info->max = row->max;
    info->concurrency = row->concurrency;
    fill_sums(index, info);
    if (row->crash_loop) {
        info->retry_after = seconds_until(row->retry_ms);
        info->crash_loop = info->retry_after > 0;
    }
    info->condition = condition_of(row);
    procd_why_read(row, info->why);
}

_Static_assert(sizeof(((procd_group_info *)0)->why) == PROCD_WHY_WORDS * 8, "why is copied whole");

apr_status_t procd_client_query(procd_group *g, procd_group_info *out)
{
    procd_group_info info = { .size = out->size };

    if (!g || out->size < INFO_SIZE_LEAST) {
        return APR_EINVAL;
    }
    info.name = g->name;
    if (g->def) {
        info.min = g->def->min;
        info.max = g->def->max;
        info.concurrency = g->def->concurrency;
    }
    if (row_of(g) >= 0 && procd_client_tables.manager) {
        fill_info(row_of(g), &info);
    }
    else {
        apr_cpystrn(info.why, g->dynamic ? "it has no file in ProcdGroupDir" : "there is no manager", sizeof(info.why));
    }
    memcpy(out, &info, out->size < sizeof(info) ? out->size : sizeof(info));
    return APR_SUCCESS;
}

static const procd_group_row *table_row(procd_group *g)
{
    int index = g ? row_of(g) : -1;

    return index >= 0 && procd_client_tables.manager ? &procd_client_tables.manager->groups[index] : NULL;
}

static apr_uint32_t procd_group_changes(procd_group *g)
{
    const procd_group_row *row = table_row(g);

    return row ? row->changes : 0;
}

static apr_status_t procd_group_wait(procd_group *g, apr_uint32_t seen, apr_interval_time_t timeout)
{
    const procd_group_row *row = table_row(g);

    if (!row) {
        return APR_EGENERAL;
    }
    timeout = timeout < 0 ? 0 : timeout > apr_time_from_sec(60) ? apr_time_from_sec(60) : timeout;
    return procd_table_wait(row, seen, timeout) == 0 ? APR_SUCCESS : APR_TIMEUP;
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
    APR_REGISTER_OPTIONAL_FN(procd_dir_group);
    APR_REGISTER_OPTIONAL_FN(procd_dir_find);
    APR_REGISTER_OPTIONAL_FN(procd_group_changes);
    APR_REGISTER_OPTIONAL_FN(procd_group_wait);
}

void procd_client_child_init(server_rec *s, int ring, int event)
{
    ring_fd = ring;
    event_fd = event;
    if (!procd_client_tables.children) {
        return;
    }
    child = procd_child_register(&procd_client_tables, getpid());
    if (!child) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s,
                     "PRD0040: more than %d children: this one cannot use process groups", PROCD_MAX_CHILDREN);
    }
}
