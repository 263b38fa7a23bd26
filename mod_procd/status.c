/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* SetHandler procd-status: groups and processes as the table has them, as text or, with ?format=json, as JSON. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"

#include "http_protocol.h"
#include "apr_strings.h"

#include <arpa/inet.h>

APLOG_USE_MODULE(procd);

const char *procd_condition_name(procd_condition condition)
{
    static const char *const names[] = { "unknown", "active", "failing", "stopped", "invalid" };

    return (size_t)condition < sizeof(names) / sizeof(names[0]) ? names[condition] : "unknown";
}

typedef struct page {
    request_rec *r;
    int json;
    int n; /* groups so far */
} page;

static const char *state_name(apr_uint32_t state)
{
    static const char *const names[] = { "empty",    "starting", "started", "ready", "retiring",
                                         "draining", "stopping", "open",    "script" };

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static const char *address_text(apr_pool_t *p, const procd_hold *hold)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&hold->addr;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&hold->addr;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&hold->addr;
    char host[INET6_ADDRSTRLEN] = "";

    switch (hold->addr.sa.sa_family) {
    case AF_UNIX: return apr_pstrcat(p, "unix:", apr_pstrndup(p, un->sun_path, sizeof(un->sun_path) - 1), NULL);
    case AF_INET:
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        return apr_psprintf(p, "%s:%d", host, ntohs(in->sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        return apr_psprintf(p, "[%s]:%d", host, ntohs(in6->sin6_port));
    default: return "-";
    }
}

/* A string as JSON has it, quotes included. */
static const char *quoted(apr_pool_t *p, const char *text)
{
    char *buf = apr_palloc(p, strlen(text) * 6 + 3), *out = buf;

    *out++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        }
        else if (c < 0x20 || c >= 0x7f) {
            out += apr_snprintf(out, 7, "\\u%04x", c);
        }
        else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    *out = '\0';
    return buf;
}

static void show_process(page *pg, const procd_group *g, int slot, int *first)
{
    const procd_tables *t = &procd_client_tables;
    const procd_process_row *row = &t->manager->groups[g->index].processes[slot];
    const char *address;
    procd_hold hold;
    apr_uint32_t state;
    procd_sums sums = { 0, 0, 0, 0 };
    unsigned long requests;
    long age, first_ms, total_ms;
    int busy;

    if (procd_row_read(row, &hold, &state) != 0 || state == PROCD_EMPTY) {
        return;
    }
    busy = procd_table_busy(t, g->index, slot, hold.instance);
    procd_table_sum(t, g->index, slot, hold.instance, &sums);
    requests = (unsigned long)sums.requests;
    first_ms = sums.timed ? (long)(sums.first_us / sums.timed / 1000) : 0;
    total_ms = sums.timed ? (long)(sums.total_us / sums.timed / 1000) : 0;
    age = (long)((procd_now_ms() - row->started_ms) / 1000);
    address = address_text(pg->r->pool, &hold);
    if (pg->json) {
        ap_rprintf(pg->r,
                   "%s{\"slot\":%d,\"pid\":%ld,\"state\":\"%s\",\"busy\":%d,\"concurrency\":%d,\"requests\":%lu,"
                   "\"age\":%ld,\"first_byte_ms\":%ld,\"total_ms\":%ld,\"address\":%s}",
                   *first ? "" : ",", slot, (long)hold.pid, state_name(state), busy, hold.concurrency, requests, age,
                   first_ms, total_ms, quoted(pg->r->pool, address));
    }
    else {
        ap_rprintf(pg->r, "  pid %ld %s busy %d/%d requests %lu age %lds %s", (long)hold.pid, state_name(state), busy,
                   hold.concurrency, requests, age, address);
        if (sums.timed) {
            ap_rprintf(pg->r, " first byte %ld ms, total %ld ms", first_ms, total_ms);
        }
        ap_rputs("\n", pg->r);
    }
    *first = 0;
}

static void show_group(procd_group *g, void *baton)
{
    page *pg = baton;
    apr_pool_t *p = pg->r->pool;
    procd_group_info info = { .size = sizeof(info) };
    const procd_group_row *row;
    int first = 1;

    if (g->index < 0 || procd_client_query(g, &info) != APR_SUCCESS) {
        return;
    }
    row = &procd_client_tables.manager->groups[g->index];
    if (pg->json) {
        ap_rprintf(
            pg->r,
            "%s{\"name\":%s,\"key\":%s,\"processes\":%d,\"starting\":%d,\"min\":%d,\"max\":%d,\"concurrency\":%d,"
            "\"busy\":%d,\"waiting\":%d,\"started\":%lu,\"ended\":%lu,\"crash_loop\":%s,\"retry_after\":%d,"
            "\"condition\":\"%s\",\"requests\":%lu,\"mean_first_byte_us\":%lu,\"mean_total_us\":%lu,\"why\":%s,\"list\":[",
            pg->n++ ? "," : "", quoted(p, g->name), quoted(p, g->key), info.processes, info.starting, info.min,
            info.max, info.concurrency, info.busy, info.waiting, (unsigned long)row->started, (unsigned long)row->ended,
            info.crash_loop ? "true" : "false", info.retry_after, procd_condition_name(info.condition),
            (unsigned long)info.requests, (unsigned long)info.mean_first_byte, (unsigned long)info.mean_total,
            quoted(p, info.why));
    }
    else {
        ap_rprintf(pg->r,
                   "group %s: processes %d (%d to %d), starting %d, busy %d, waiting %d, started %lu, ended %lu\n",
                   g->key, info.processes, info.min, info.max, info.starting, info.busy, info.waiting,
                   (unsigned long)row->started, (unsigned long)row->ended);
        if (info.condition == PROCD_IS_STOPPED || info.condition == PROCD_IS_INVALID) {
            ap_rprintf(pg->r, "  %s\n", procd_condition_name(info.condition));
        }
        else if (info.crash_loop) {
            ap_rprintf(pg->r, "  starts keep failing: the next in %d s\n", info.retry_after);
        }
        if (info.why[0]) {
            ap_rprintf(pg->r, "  last end: %s\n", info.why);
        }
    }
    for (int i = 0; i < PROCD_MAX_SLOTS && i < row->slots; i++) {
        show_process(pg, g, i, &first);
    }
    ap_rputs(pg->json ? "]}" : "", pg->r);
}

void procd_each_dir_group(apr_pool_t *p, void (*act)(procd_group *g, void *baton), void *baton)
{
    int top = procd_client_tables.manager ? procd_table_dir_top(&procd_client_tables) : 0;

    for (int i = PROCD_GROUPS_CONFIGURED; i < top; i++) {
        const procd_group_row *row = &procd_client_tables.manager->groups[i];
        procd_group g = { .index = i };
        char name[PROCD_NAME_WORDS * 8];

        if (row->state == PROCD_GROUP_ACTIVE) {
            procd_row_name(row, name);
            g.name = g.key = apr_pstrdup(p, name);
            act(&g, baton);
        }
    }
}

int procd_status_handler(request_rec *r)
{
    page pg = { r, 0, 0 };

    if (strcmp(r->handler, "procd-status") != 0) {
        return DECLINED;
    }
    r->allowed = (AP_METHOD_BIT << M_GET);
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    pg.json = r->args && ap_strstr_c(r->args, "format=json");
    ap_set_content_type(r, pg.json ? "application/json" : "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (r->header_only) {
        return OK;
    }
    if (!procd_client_tables.manager) {
        ap_rputs(pg.json ? "{\"manager\":null,\"groups\":[]}\n" : "no manager: no <Spawn> group is configured\n", r);
        return OK;
    }
    if (pg.json) {
        ap_rprintf(r, "{\"manager\":%d,\"generation\":%u,\"groups\":[", (int)procd_client_tables.manager->manager_pid,
                   (unsigned int)procd_client_tables.manager->generation);
    }
    else {
        ap_rprintf(r, "manager %d, generation %u\n", (int)procd_client_tables.manager->manager_pid,
                   (unsigned int)procd_client_tables.manager->generation);
    }
    procd_each_group(ap_server_conf, show_group, &pg);
    procd_each_dir_group(r->pool, show_group, &pg);
    ap_rputs(pg.json ? "]}\n" : "", r);
    return OK;
}
