/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The state of groups and processes as records (ctl_text.h), for procctl. */
#include "ctl_text.h"
#include "manager.h"
#include "proc_stat.h"
#include "script.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a text that grows */

void report_add(procd_blob *b, const char *bytes, size_t len)
{
    if (b->failed || len > PROCD_CONFIG_MAX - b->len) {
        b->failed = 1;
        return;
    }
    if (b->len + len + 1 > b->room) {
        size_t room = (b->len + len + 1) * 2;
        char *grown = realloc(b->bytes, room);

        if (!grown) {
            b->failed = 1;
            return;
        }
        b->bytes = grown;
        b->room = room;
    }
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static void value(procd_blob *b, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void value(procd_blob *b, const char *key, const char *format, ...)
{
    char text[1024], line[2200];
    va_list args;
    int n;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    n = snprintf(line, sizeof(line), "\t%s=", key);
    n += (int)procd_ctl_escape(line + n, sizeof(line) - (size_t)n, text);
    report_add(b, line, (size_t)n);
}

/* ------------------------------------------------------------------ what the system knows of a process */

/* Of the main process: resident kilobytes and milliseconds of processor time. */
static void usage_of(pid_t pid, long *rss_kb, long *cpu_ms)
{
    proc_stat s;

    *rss_kb = *cpu_ms = 0;
    if (proc_stat_read(&s, pid) == 0) {
        *rss_kb = (long)(s.resident_pages * (sysconf(_SC_PAGESIZE) / 1024));
        *cpu_ms = (long)((s.user_ticks + s.system_ticks) * 1000 / sysconf(_SC_CLK_TCK));
    }
}

static void address_text(const process *p, char *out, size_t room)
{
    char host[INET6_ADDRSTRLEN] = "";
    procd_hold hold;
    uint32_t state;

    snprintf(out, room, "%s%s", p->path[0] ? "unix:" : "", p->path);
    if (p->path[0] || procd_row_read(p->row, &hold, &state) != 0) {
        return;
    }
    if (hold.addr.sa.sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&hold.addr;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, room, "%s:%d", host, ntohs(in->sin_port));
    }
    else if (hold.addr.sa.sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&hold.addr;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(out, room, "[%s]:%d", host, ntohs(in6->sin6_port));
    }
    else if (hold.addr.sa.sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&hold.addr;

        snprintf(out, room, "unix:%.*s", (int)sizeof(un->sun_path), un->sun_path);
    }
}

/* ------------------------------------------------------------------ records */

static const char *state_name(procd_state state)
{
    static const char *const names[] = { "empty", "starting", "started", "ready", "retiring", "draining", "stopping" };

    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

uint64_t process_requests(const process *p)
{
    const procd_slot_count *c = process_counts(p);

    return c ? atomic_load(&c->requests) : 0;
}

static void report_process(procd_blob *b, const process *p)
{
    procd_sums sums = { 0, 0, 0, 0 };
    char address[160];
    long rss_kb, cpu_ms;

    procd_table_sum(&the_manager.tables, p->group->index, p->slot, p->instance, &sums);
    usage_of(p->pid, &rss_kb, &cpu_ms);
    address_text(p, address, sizeof(address));
    report_add(b, "process", 7);
    value(b, "pid", "%ld", (long)p->pid);
    value(b, "state", "%s", state_name(p->state));
    value(b, "busy", "%d", process_busy(p));
    value(b, "concurrency", "%d", (int)atomic_load(&p->row->concurrency));
    value(b, "requests", "%llu", (unsigned long long)process_requests(p));
    value(b, "age", "%lld", (long long)((procd_now_ms() - p->started_ms) / 1000));
    value(b, "rss", "%ld", rss_kb);
    value(b, "cpu_ms", "%ld", cpu_ms);
    value(b, "first_byte_us", "%llu", (unsigned long long)(sums.timed ? sums.first_us / sums.timed : 0));
    value(b, "total_us", "%llu", (unsigned long long)(sums.timed ? sums.total_us / sums.timed : 0));
    value(b, "address", "%s", address);
    if (p->ending) {
        value(b, "ending", "%s", p->ending);
    }
    report_add(b, "\n", 1);
}

static void report_ends(procd_blob *b, const group *g)
{
    unsigned first = g->n_ends > ENDS_KEPT ? g->n_ends - ENDS_KEPT : 0;
    int64_t now = procd_now_ms();

    for (unsigned i = first; i < g->n_ends; i++) {
        const end_record *e = &g->ends[i % ENDS_KEPT];

        report_add(b, "end", 3);
        value(b, "pid", "%ld", (long)e->pid);
        value(b, "ago", "%lld", (long long)((now - e->at_ms) / 1000));
        value(b, "age", "%lld", (long long)(e->age_ms / 1000));
        value(b, "why", "%s", e->text);
        report_add(b, "\n", 1);
    }
}

static const char *group_state(const group *g)
{
    if (g->removed) {
        return "removed";
    }
    if (!g->def) {
        return "invalid";
    }
    if (group_is_halted(g)) {
        return "stopped";
    }
    return atomic_load(&g->row->crash_loop) ? "failing" : "active";
}

static void report_group(procd_blob *b, const group *g)
{
    int ready = 0, starting = 0, busy = 0;
    uint64_t requests = g->requests_before;
    int64_t retry = atomic_load(&g->row->crash_loop) ? atomic_load(&g->row->retry_ms) - procd_now_ms() : 0;
    char why[PROCD_WHY_WORDS * 8];

    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        const process *p = g->processes[i];

        if (p) {
            ready += p->state == PROCD_READY || p->state == PROCD_RETIRING;
            starting += p->state == PROCD_STARTING || p->state == PROCD_STARTED;
            busy += process_busy(p);
            requests += process_requests(p);
        }
    }
    ready += g->cgi ? g->cgi->running : 0;
    busy += script_busy(g);
    procd_why_read(g->row, why);
    report_add(b, "group", 5);
    value(b, "name", "%s", g->key);
    value(b, "state", "%s", group_state(g));
    value(b, "min", "%d", g->def ? group_min(g) : 0);
    value(b, "max", "%d", g->def ? group_max(g) : 0);
    value(b, "scaled", "%d", g->def && atomic_load(&g->row->scale_max) > 0);
    value(b, "processes", "%d", ready);
    value(b, "starting", "%d", starting);
    value(b, "busy", "%d", busy);
    value(b, "waiting", "%d", procd_table_waiting_sum(&the_manager.tables, g->index));
    value(b, "requests", "%llu", (unsigned long long)requests);
    value(b, "started", "%llu", (unsigned long long)atomic_load(&g->row->started));
    value(b, "ended", "%llu", (unsigned long long)atomic_load(&g->row->ended));
    value(b, "retry_after", "%lld", retry > 0 && retry < INT32_MAX ? (long long)((retry + 999) / 1000) : 0);
    value(b, "why", "%s", why);
    report_add(b, "\n", 1);
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (g->processes[i]) {
            report_process(b, g->processes[i]);
        }
    }
    report_ends(b, g);
}

void report_status(procd_blob *b, const char *key)
{
    long rss_kb, cpu_ms;

    usage_of(getpid(), &rss_kb, &cpu_ms);
    report_add(b, "manager", 7);
    value(b, "pid", "%ld", (long)getpid());
    value(b, "generation", "%u", atomic_load(&the_manager.tables.manager->generation));
    value(b, "processes", "%d", the_manager.n_processes);
    value(b, "max_processes", "%u", the_manager.global.max_processes);
    value(b, "rss", "%ld", rss_kb);
    value(b, "cpu_ms", "%ld", cpu_ms);
    value(b, "state", "%s", the_manager.mode == MODE_RUNNING ? "running" : "ending");
    report_add(b, "\n", 1);
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i] && (!key || strcmp(the_manager.groups[i]->key, key) == 0)) {
            report_group(b, the_manager.groups[i]);
        }
    }
}
