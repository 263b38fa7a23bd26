/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_proxy_core: the hooks, and nothing else.
 */
#include "exchange.h"
#include "clock.h"
#include "linger.h"
#include "balancers/balancers.h"
#include "protocols/cgi.h"
#include "protocols/fastcgi.h"
#include "protocols/http.h"
#include "protocols/scgi.h"
#include "protocols/uwsgi.h"
#include "script_link.h"
#include "status.h"
#include "tls.h"
#include "turn.h"

#include "ap_mpm.h"
#include "ap_provider.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"

/** A wait this short is not worth the way to the listener and back. */
#define SHORT_WAIT apr_time_from_msec(2)
/** The same for a place in a queue that moves quickly: a few answers long. */
#define QUEUE_WAIT apr_time_from_msec(10)

static int is_script(const pc_exchange *x)
{
    return x->codec == &pc_cgi_codec;
}

/* How long is a moment? 0: no time at all. That a backend may answer soon has been seen to by the first read (reply.c); a
 * script's answer is waited for here, and then its end, which mostly follows. */
static apr_interval_time_t moment_of(const pc_exchange *x)
{
    if (x->want & PC_WANT_WAKE) {
        return QUEUE_WAIT;
    }
    if (x->want & (PC_WANT_CLIENT_READ | PC_WANT_BACKEND_WRITE)) {
        return SHORT_WAIT;
    }
    if (is_script(x) && (x->state == PC_STATE_CONNECTING || x->state == PC_STATE_AWAITING)) {
        return PC_SCRIPT_PATIENCE;
    }
    return is_script(x) || x->state == PC_STATE_CONNECTING ? SHORT_WAIT : 0;
}

/* Something is likely to happen before the way to the listener and back is worth it. @return 1: it has */
static int wait_a_moment(pc_exchange *x)
{
    apr_interval_time_t moment = moment_of(x);
    int happened;

    if (!moment || !pc_upstream_quick(x->pool) || !pc_thread_may_wait()) {
        return 0;
    }
    happened = x->want == PC_WANT_WAKE ? pc_nap(x, moment) : pc_drive_wait(x, moment);
    pc_thread_waited();
    if (!happened && is_script(x) && x->state == PC_STATE_AWAITING) {
        pc_upstream_learn(x->pool, x->lease.index, 0);
    }
    return happened;
}

/* In this thread for a few milliseconds, then without one. */
static int run_parkable(pc_exchange *x)
{
    while (pc_exchange_step(x) == PC_STEP_WAIT) {
        if (wait_a_moment(x)) {
            if (x->client_left) {
                pc_exchange_client_left(x);
                break;
            }
            continue;
        }
        if (!is_script(x) && x->state == PC_STATE_AWAITING) {
            pc_upstream_learn(x->pool, x->lease.index, 0);
        }
        if (pc_park(x)) {
            return SUSPENDED;
        }
        (void)pc_drive_wait(x, -1);
        if (x->client_left) {
            pc_exchange_client_left(x);
            break;
        }
    }
    return pc_exchange_finish(x);
}

/* The core's input filter holds on to the buffer that the request was read into, through an empty bucket, until it is
 * asked again. Ask it before memory is taken for an exchange that is going to wait: 8 KB for each waiting request. */
static void let_go_of_input(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    (void)ap_get_brigade(r->connection->input_filters, bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);
    apr_brigade_destroy(bb);
}

static int handler(request_rec *r)
{
    int parkable;
    pc_route *route = NULL;
    pc_exchange *x;
    int rc = pc_route_find(r, &route);

    if (rc == OK && route->pool->codec == &pc_cgi_codec) {
        rc = pc_script_permitted(r);
    }
    if (rc != OK) {
        return rc;
    }
    if (r->method_number == M_OPTIONS && !(route->pool->codec->flags & PC_CODEC_CGI)
        && (rc = pc_http_last_hop(r)) != DECLINED) {
        return rc;
    }
    if (route->role == PC_ROLE_FILTER && (rc = pc_filter_open(r, route)) != OK) {
        return rc;
    }
    parkable = route->pool->async && pc_park_possible(r);
    if (parkable
        && (!pc_upstream_quick(route->pool) || (route->pool->upgrade && apr_table_get(r->headers_in, "Upgrade")))) {
        let_go_of_input(r);
    }
    x = pc_exchange_create(r, route);
    rc = pc_body_setup(x);
    if (rc != OK) {
        (void)pc_exchange_end(x, rc, "request");
        return rc;
    }
    x->may_linger = 1;
    x->can_park = parkable != 0;
    if (x->pool->upgrade) {
        pc_tunnel_offer(x);
    }
    x->msg.te_trailers = pc_trailers_wanted(x) != 0;
    if (parkable) {
        return run_parkable(x);
    }
    return pc_drive(x);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = pc_conf_finish(pconf, ptemp, s);

    if (rc == OK) {
        rc = pc_tls_post_config(pconf, plog, ptemp, s);
    }
    if (rc != OK || ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        || ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return rc;
    }
    pc_script_init();
    pc_stderr_init();
    if (pc_pool_init(pconf, s) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static void init_upstream(void *baton, server_rec *s, pc_pool_conf *pool)
{
    apr_status_t rv = pool->spawn_name ? APR_SUCCESS : pc_upstream_child_init(baton, pool);

    if (rv == APR_SUCCESS && pool->tls) {
        rv = pc_tls_child_init(baton, pool);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "PXC0400: pool %s: no store for its connections", pool->name);
    }
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv;

    rv = pc_clock_child_init(pchild);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "PXC0398: this child has no clock");
    }
    pc_conf_each_pool(s, init_upstream, pchild);
    pc_park_child_init(pchild);
    pc_tunnel_child_init(pchild);
    pc_linger_child_init(pchild);
    rv = pc_pool_child_init(pchild, s);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "PXC0399: this child cannot take part in the pools' state");
    }
}

static void child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot, mpm_child_status status)
{
    (void)s;
    (void)gen;
    (void)slot;
    if (status == MPM_CHILD_EXITED || status == MPM_CHILD_LOST_SLOT) {
        if (status == MPM_CHILD_EXITED) {
            pc_pool_child_gone(pid);
        }
    }
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after[] = { "mod_procd.c", "mod_ssl.c", NULL };

    ap_register_provider(p, PC_CODEC_GROUP, pc_http_codec.name, PC_CODEC_VERSION, &pc_http_codec);
    ap_register_provider(p, PC_CODEC_GROUP, pc_https_codec.name, PC_CODEC_VERSION, &pc_https_codec);
    ap_register_provider(p, PC_CODEC_GROUP, pc_cgi_codec.name, PC_CODEC_VERSION, &pc_cgi_codec);
    ap_register_provider(p, PC_CODEC_GROUP, pc_fastcgi_codec.name, PC_CODEC_VERSION, &pc_fastcgi_codec);
    ap_register_provider(p, PC_CODEC_GROUP, pc_scgi_codec.name, PC_CODEC_VERSION, &pc_scgi_codec);
    ap_register_provider(p, PC_CODEC_GROUP, pc_uwsgi_codec.name, PC_CODEC_VERSION, &pc_uwsgi_codec);
    pc_balancers_register(p);
    ap_hook_post_config(post_config, after, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_FIRST);
    pc_route_register_hooks(p);
    pc_authorizer_register_hooks(p);
    pc_map_extension_register_hooks(p);
    pc_turn_register_hooks(p);
    pc_park_register_hooks(p);
    pc_tunnel_register_hooks(p);
    pc_trailers_register();
    pc_status_register_hooks(p);
    pc_tls_register_hooks();
}

AP_DECLARE_MODULE(proxy_core)
= {
    STANDARD20_MODULE_STUFF, pc_conf_create_dir, pc_conf_merge_dir, pc_conf_create_server,
    pc_conf_merge_server,    pc_conf_commands,   register_hooks,    AP_MODULE_FLAG_NONE,
};
