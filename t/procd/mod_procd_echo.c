/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What t/procd/smoke.sh tests with (mod_procd_example.c is the one to learn from): `SetHandler procd-echo` leases a process of the
 * group that the query names, speaks one line with it and gives it back.
 *
 *     ?group=NAME      which group
 *     &line=TEXT       what to say to it (default "info"); without `line` nothing is said
 *     &wait=SECONDS    how long to wait for a process (default 5)
 *     &hold=MS         how long to keep the lease
 *
 * Its structures are as long as they were in the first version of the header: that must go on working. */
#include "mod_procd.h"

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"
#include "apr_strings.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) procd_echo_module;

static APR_OPTIONAL_FN_TYPE(procd_group_find) * group_find;
static APR_OPTIONAL_FN_TYPE(procd_lease_take) * lease_take;
static APR_OPTIONAL_FN_TYPE(procd_lease_give) * lease_give;
static APR_OPTIONAL_FN_TYPE(procd_waiting) * waiting;
static APR_OPTIONAL_FN_TYPE(procd_event_fd) * event_fd;
static APR_OPTIONAL_FN_TYPE(procd_group_query) * group_query;

static const char *argument(request_rec *r, const char *name, const char *otherwise)
{
    apr_size_t len = strlen(name);
    char *args = apr_pstrdup(r->pool, r->args ? r->args : ""), *last, *pair;

    for (pair = apr_strtok(args, "&", &last); pair; pair = apr_strtok(NULL, "&", &last)) {
        if (strncmp(pair, name, len) == 0 && pair[len] == '=') {
            return pair + len + 1;
        }
    }
    return otherwise;
}

/* Look, and look again whenever the manager says that something has changed. */
static apr_status_t take_in_time(procd_group *g, procd_lease *lease, apr_time_t until)
{
    apr_status_t rv = lease_take(g, 0, lease);
    struct pollfd pfd = { .fd = event_fd(), .events = POLLIN };
    apr_uint64_t n;

    if (rv != APR_EAGAIN) {
        return rv;
    }
    waiting(g, 1);
    while ((rv = lease_take(g, 0, lease)) == APR_EAGAIN && apr_time_now() < until) {
        /* Another child may have read it first: that is why nobody sleeps long here. */
        if (poll(&pfd, 1, 20) == 1 && read(pfd.fd, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
            continue;
        }
    }
    waiting(g, -1);
    return rv;
}

static procd_outcome talk(request_rec *r, const procd_lease *lease, const char *line)
{
    struct timeval limit = { 10, 0 };
    char buf[4096];
    int fd = socket(lease->addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    procd_outcome outcome = PROCD_BROKE;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, &lease->addr.sa, lease->addr_len) != 0) {
        outcome = PROCD_CONNECT_FAILED;
    }
    else if (write(fd, line, strlen(line)) > 0 && write(fd, "\n", 1) == 1) {
        while ((n = read(fd, buf, sizeof(buf))) > 0) {
            ap_rwrite(buf, (int)n, r);
            outcome = PROCD_OK;
        }
    }
    close(fd);
    return outcome;
}

static int handler(request_rec *r)
{
    procd_lease lease = { .size = offsetof(procd_lease, first_byte) };
    procd_group_info info = { .size = offsetof(procd_group_info, condition) };
    const char *line = argument(r, "line", NULL);
    procd_outcome outcome = PROCD_OK;
    procd_group *g;
    apr_status_t rv;

    if (strcmp(r->handler, "procd-echo") != 0) {
        return DECLINED;
    }
    g = group_find ? group_find(r->server, argument(r, "group", "")) : NULL;
    if (!g) {
        return HTTP_NOT_FOUND;
    }
    ap_set_content_type(r, "text/plain");
    rv = take_in_time(g, &lease, apr_time_now() + apr_time_from_sec(atoi(argument(r, "wait", "5"))));
    if (rv != APR_SUCCESS) {
        group_query(g, &info);
        r->status = HTTP_SERVICE_UNAVAILABLE;
        ap_rprintf(r, "%s crash_loop=%d retry_after=%d why=%s\n", rv == APR_EAGAIN ? "busy" : "refused",
                   info.crash_loop, info.retry_after, info.why);
        return OK;
    }
    ap_rprintf(r, "leased=%ld slot=%d concurrency=%d\n", (long)lease.pid, lease.slot, lease.concurrency);
    ap_rflush(r);
    if (line) {
        outcome = talk(r, &lease, line);
    }
    apr_sleep(apr_time_from_msec(atoi(argument(r, "hold", "0"))));
    lease_give(&lease, outcome);
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    group_find = APR_RETRIEVE_OPTIONAL_FN(procd_group_find);
    lease_take = APR_RETRIEVE_OPTIONAL_FN(procd_lease_take);
    lease_give = APR_RETRIEVE_OPTIONAL_FN(procd_lease_give);
    waiting = APR_RETRIEVE_OPTIONAL_FN(procd_waiting);
    event_fd = APR_RETRIEVE_OPTIONAL_FN(procd_event_fd);
    group_query = APR_RETRIEVE_OPTIONAL_FN(procd_group_query);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after[] = { "mod_procd.c", NULL };

    (void)p;
    ap_hook_post_config(post_config, after, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(procd_echo)
= {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 74)
    AP_MODULE_FLAG_NONE,
#endif
};
