/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A whole module on include/mod_procd.h, without mod_proxy_core: it defines groups from a directive of its own and serves
 * requests through them. docs/api.md explains it, t/procd/api.t builds it with apxs and tests it.
 *
 *     ProcdExample greet SpawnCommand /usr/local/bin/greeter; SpawnProcesses 0 4
 *     <Location "/greet">
 *         SetHandler procd-example
 *         ProcdExampleGroup greet
 *     </Location>
 *
 * SetHandler procd-example      the query is sent as one line to a process of the group, what it answers is the body
 * SetHandler procd-example-cgi  the file is run as a CGI script; the group is of SpawnSocketType pipe
 * SetHandler procd-example-info what is known of the group
 *
 * Its threads block while they wait: that keeps it short. A module for busy servers would leave the thread to the MPM. */
#include "mod_procd.h"

#include "http_config.h"
#include "http_protocol.h"
#include "util_script.h"
#include "apr_portable.h"
#include "apr_strings.h"

#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) procd_example_module;

#define WAIT_MOST apr_time_from_sec(10)
#define LOOK_AGAIN apr_time_from_msec(20) /* others give leases back, which procd_group_wait() does not see */

static APR_OPTIONAL_FN_TYPE(procd_group_find) * group_find;
static APR_OPTIONAL_FN_TYPE(procd_group_query) * group_query;
static APR_OPTIONAL_FN_TYPE(procd_group_changes) * group_changes;
static APR_OPTIONAL_FN_TYPE(procd_group_wait) * group_wait;
static APR_OPTIONAL_FN_TYPE(procd_lease_take) * lease_take;
static APR_OPTIONAL_FN_TYPE(procd_lease_give) * lease_give;
static APR_OPTIONAL_FN_TYPE(procd_waiting) * waiting;
static APR_OPTIONAL_FN_TYPE(procd_script_ask) * script_ask;
static APR_OPTIONAL_FN_TYPE(procd_script_answer) * script_answer;
static APR_OPTIONAL_FN_TYPE(procd_script_end) * script_end;

/* ------------------------------------------------------------------ configuration */

static const char *cmd_example(cmd_parms *cmd, void *dummy, const char *args)
{
    APR_OPTIONAL_FN_TYPE(procd_group_register) *group_register = APR_RETRIEVE_OPTIONAL_FN(procd_group_register);
    procd_definition def = { .size = sizeof(def), .file = cmd->directive->filename, .line = cmd->directive->line_num };
    procd_group *group;
    char *text;

    (void)dummy;
    if (!group_register) {
        return "ProcdExample needs mod_procd";
    }
    def.name = ap_getword_conf(cmd->pool, &args);
    def.text = text = apr_pstrcat(cmd->pool, args, "\n", NULL);
    for (; *text; text++) {
        *text = *text == ';' ? '\n' : *text;
    }
    return group_register(cmd->pool, cmd->server, &def, &group);
}

static const char *cmd_group(cmd_parms *cmd, void *dir, const char *name)
{
    (void)cmd;
    *(const char **)dir = name;
    return NULL;
}

static void *create_dir_conf(apr_pool_t *p, char *dir)
{
    (void)dir;
    return apr_pcalloc(p, sizeof(const char *));
}

static const command_rec commands[] = {
    AP_INIT_RAW_ARGS("ProcdExample", cmd_example, NULL, RSRC_CONF, "a group's name, and its directives with ; between"),
    AP_INIT_TAKE1("ProcdExampleGroup", cmd_group, NULL, ACCESS_CONF, "the group that serves"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL }
};

/* ------------------------------------------------------------------ a lease */

/* The number of changes is read before looking, so that no change in between is slept through. */
static apr_status_t take_in_time(procd_group *g, procd_lease *lease)
{
    apr_time_t until = apr_time_now() + WAIT_MOST;
    apr_uint32_t seen = group_changes(g);
    apr_status_t rv = lease_take(g, 0, lease);

    if (rv != APR_EAGAIN) {
        return rv;
    }
    waiting(g, 1);
    while (rv == APR_EAGAIN && apr_time_now() < until) {
        group_wait(g, seen, LOOK_AGAIN);
        seen = group_changes(g);
        rv = lease_take(g, 0, lease);
    }
    waiting(g, -1);
    return rv;
}

static int refuse(request_rec *r, procd_group *g)
{
    procd_group_info info = { .size = sizeof(info) };

    group_query(g, &info);
    r->status = HTTP_SERVICE_UNAVAILABLE;
    apr_table_setn(r->headers_out, "Retry-After", apr_itoa(r->pool, info.retry_after > 0 ? info.retry_after : 1));
    ap_rprintf(r, "no process: condition %d, %s\n", info.condition, info.why);
    return OK;
}

/* ------------------------------------------------------------------ a process that listens */

static procd_outcome talk(request_rec *r, procd_lease *lease)
{
    const char *line = apr_pstrcat(r->pool, r->args ? r->args : "info", "\n", NULL);
    struct timeval limit = { 10, 0 };
    int fd = socket(lease->addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    procd_outcome outcome = PROCD_BROKE;
    apr_time_t sent;
    char buf[4096];
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (fd == -1 || connect(fd, &lease->addr.sa, lease->addr_len) != 0) {
        outcome = PROCD_CONNECT_FAILED;
    }
    else if (send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line)) {
        sent = apr_time_now();
        while ((n = read(fd, buf, sizeof(buf))) > 0) {
            if (!lease->first_byte) {
                lease->first_byte = apr_time_now() - sent;
            }
            ap_rwrite(buf, (int)n, r);
            outcome = PROCD_OK;
        }
    }
    if (fd != -1) {
        close(fd);
    }
    return outcome;
}

static int serve(request_rec *r, procd_group *g)
{
    procd_lease lease = { .size = sizeof(lease) };
    procd_outcome outcome;
    apr_time_t taken;

    if (take_in_time(g, &lease) != APR_SUCCESS) {
        return refuse(r, g);
    }
    taken = apr_time_now();
    outcome = talk(r, &lease);
    lease.total = apr_time_now() - taken;
    lease_give(&lease, outcome);
    return outcome == PROCD_OK ? OK : HTTP_BAD_GATEWAY;
}

/* ------------------------------------------------------------------ a script */

/* Path, then NAME=VALUE pairs, each with its NUL. */
static void write_order(request_rec *r, procd_script_order *order)
{
    const apr_array_header_t *env = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)(const void *)env->elts;
    char *at;

    order->len = strlen(r->filename) + 1;
    for (int i = 0; i < env->nelts; i++) {
        order->len += strlen(e[i].key) + strlen(e[i].val) + 2;
    }
    order->n_env = (apr_uint32_t)env->nelts;
    order->strings = at = apr_palloc(r->pool, order->len);
    at = apr_cpystrn(at, r->filename, strlen(r->filename) + 1) + 1;
    for (int i = 0; i < env->nelts; i++) {
        at += apr_snprintf(at, strlen(e[i].key) + strlen(e[i].val) + 2, "%s=%s", e[i].key, e[i].val) + 1;
    }
}

static int pass_output(request_rec *r, int fd)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_file_t *pipe = NULL;
    apr_os_file_t os = fd;
    int rc;

    apr_os_pipe_put_ex(&pipe, &os, 1, r->pool);
    apr_file_pipe_timeout_set(pipe, r->server->timeout);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pipe_create(pipe, r->connection->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    rc = ap_scan_script_header_err_brigade(r, bb, NULL);
    return rc != OK ? rc : ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
}

static int run(request_rec *r, procd_script_pipes *pipes, int control)
{
    struct pollfd pfd = { .fd = control, .events = POLLIN };

    if (poll(&pfd, 1, 10000) != 1 || script_answer(control, pipes) != APR_SUCCESS) {
        close(pipes->out);
        return HTTP_GATEWAY_TIME_OUT;
    }
    if (pipes->result == PROCD_SCRIPT_RUNS) {
        return pass_output(r, pipes->out);
    }
    close(pipes->out);
    switch (pipes->result) {
    case PROCD_SCRIPT_NOT_FOUND: return HTTP_NOT_FOUND;
    case PROCD_SCRIPT_REFUSED: return HTTP_FORBIDDEN;
    default: return HTTP_SERVICE_UNAVAILABLE;
    }
}

static int serve_script(request_rec *r, procd_group *g)
{
    procd_script_order order = { .size = sizeof(order) };
    procd_script_pipes pipes = { .size = sizeof(pipes) };
    procd_lease lease = { .size = sizeof(lease) };
    int control, rc;

    ap_add_common_vars(r);
    ap_add_cgi_vars(r);
    write_order(r, &order);
    if (take_in_time(g, &lease) != APR_SUCCESS) {
        return refuse(r, g);
    }
    if (script_ask(g, &order, &pipes, &control) == APR_SUCCESS) {
        rc = run(r, &pipes, control);
        script_end(control, rc == OK);
    }
    else {
        rc = HTTP_SERVICE_UNAVAILABLE;
    }
    lease_give(&lease, PROCD_OK);
    return rc;
}

/* ------------------------------------------------------------------ */

static int show(request_rec *r, procd_group *g)
{
    static const char *const names[] = { "unknown", "active", "failing", "stopped", "invalid" };
    procd_group_info info = { .size = sizeof(info) };

    group_query(g, &info);
    ap_rprintf(r,
               "name=%s\ncondition=%s\nprocesses=%d\nmin=%d\nmax=%d\nbusy=%d\nchanges=%u\ntimed=%" APR_UINT64_T_FMT
               "\nfirst_byte_us=%" APR_TIME_T_FMT "\ntotal_us=%" APR_TIME_T_FMT "\nwhy=%s\n",
               info.name, names[info.condition], info.processes, info.min, info.max, info.busy, group_changes(g),
               info.timed, info.mean_first_byte, info.mean_total, info.why);
    return OK;
}

static int handler(request_rec *r)
{
    const char *name = *(const char **)ap_get_module_config(r->per_dir_config, &procd_example_module);
    procd_group *g;

    if (strncmp(r->handler, "procd-example", 13) != 0) {
        return DECLINED;
    }
    g = group_find && name ? group_find(r->server, name) : NULL;
    if (!g) {
        return HTTP_NOT_FOUND;
    }
    ap_set_content_type(r, "text/plain");
    return strcmp(r->handler + 13, "-cgi") == 0    ? serve_script(r, g)
           : strcmp(r->handler + 13, "-info") == 0 ? show(r, g)
                                                   : serve(r, g);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    group_find = APR_RETRIEVE_OPTIONAL_FN(procd_group_find);
    group_query = APR_RETRIEVE_OPTIONAL_FN(procd_group_query);
    group_changes = APR_RETRIEVE_OPTIONAL_FN(procd_group_changes);
    group_wait = APR_RETRIEVE_OPTIONAL_FN(procd_group_wait);
    lease_take = APR_RETRIEVE_OPTIONAL_FN(procd_lease_take);
    lease_give = APR_RETRIEVE_OPTIONAL_FN(procd_lease_give);
    waiting = APR_RETRIEVE_OPTIONAL_FN(procd_waiting);
    script_ask = APR_RETRIEVE_OPTIONAL_FN(procd_script_ask);
    script_answer = APR_RETRIEVE_OPTIONAL_FN(procd_script_answer);
    script_end = APR_RETRIEVE_OPTIONAL_FN(procd_script_end);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(procd_example)
= {
    STANDARD20_MODULE_STUFF, create_dir_conf, NULL, NULL, NULL, commands, register_hooks,
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 74)
    AP_MODULE_FLAG_NONE,
#endif
};
