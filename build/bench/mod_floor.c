/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* The floor: what httpd itself costs for an answer that costs nothing. `SetHandler floor` in a <Location> answers n= bytes from
 * memory; as a location-backed handler does, it says itself where a request leads, so that no directory is walked. d= sleeps in
 * the thread that many milliseconds first: the plain httpd's side of the restart measurements. With `SetHandler floor-parked`
 * it waits without the thread, as mod_proxy_core's parked requests do (park.c says how): what httpd takes for a request that
 * waits. */

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_config.h"
#include "mpm_common.h"

#include "apr_portable.h"
#include "apr_strings.h"

#include <sys/timerfd.h>
#include <unistd.h>

#define FLOOR_MAX (16 * 1024 * 1024)
#define FLOOR_KEY "mod_floor_bytes"

static char *floor_bytes;

/* Of a connection. */
typedef struct floor_conn {
    request_rec *parked;
    int timer; /* in the socket's place while its request waits */
    int true_fd;
    unsigned inside : 1;
    unsigned exchanged : 1;
} floor_conn;

extern module AP_MODULE_DECLARE_DATA floor_module;

static floor_conn *floor_conn_of(conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &floor_module);
}

static unsigned long floor_number(const char *args, const char *key, unsigned long otherwise)
{
    const char *p = args ? ap_strstr_c(args, key) : NULL;

    return p ? strtoul(p + strlen(key), NULL, 10) : otherwise;
}

static int floor_is_ours(request_rec *r)
{
    return !strncmp(r->uri, "/app", 4);
}

static int floor_translate(request_rec *r)
{
    if (!floor_is_ours(r)) {
        return DECLINED;
    }
    r->filename = apr_pstrcat(r->pool, "floor:", r->uri, NULL);
    return OK;
}

static int floor_map_to_storage(request_rec *r)
{
    return floor_is_ours(r) ? OK : DECLINED;
}

static int floor_answer(request_rec *r)
{
    unsigned long bytes = floor_number(r->args, "n=", 100);
    apr_bucket_brigade *bb;

    if (bytes > FLOOR_MAX) {
        return HTTP_BAD_REQUEST;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)bytes);
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(floor_bytes, bytes, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
}

static int floor_park(request_rec *r, unsigned long delay)
{
    floor_conn *fc = floor_conn_of(r->connection);
    struct itimerspec when = { .it_value = { (time_t)(delay / 1000), (long)(delay % 1000) * 1000000 } };

    fc->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fc->timer == -1 || timerfd_settime(fc->timer, 0, &when, NULL)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    fc->parked = r;
    r->connection->cs->state = CONN_STATE_SUSPENDED;
    return SUSPENDED;
}

static int floor_handler(request_rec *r)
{
    unsigned long delay;

    if (strncmp(r->handler, "floor", 5) != 0) {
        return DECLINED;
    }
    delay = floor_number(r->args, "d=", 0);
    if (delay && r->handler[5] && floor_conn_of(r->connection)) {
        return floor_park(r, delay);
    }
    if (delay) {
        apr_sleep((apr_interval_time_t)delay * 1000);
    }
    return floor_answer(r);
}

static int floor_process_connection(conn_rec *c)
{
    floor_conn *fc = floor_conn_of(c);
    int rc = OK;

#ifdef AP_MPMQ_CAN_WAITIO
    if (!fc) {
        fc = apr_pcalloc(c->pool, sizeof(*fc));
        ap_set_module_config(c->conn_config, &floor_module, fc);
    }
    if (fc->inside) {
        return DECLINED;
    }
    if (fc->parked) {
        request_rec *r = fc->parked;

        fc->parked = NULL;
        close(fc->timer);
        c->cs->state = CONN_STATE_HANDLER;
        ap_die(floor_answer(r), r);
        ap_process_request_after_handler(r);
        return OK;
    }
    fc->inside = 1;
    rc = ap_run_process_connection(c);
    fc->inside = 0;
    if (fc->parked && c->cs->state == CONN_STATE_SUSPENDED) {
        c->cs->state = CONN_STATE_ASYNC_WAITIO;
        c->cs->sense = CONN_SENSE_WANT_READ;
    }
    return rc;
#else
    (void)fc, (void)rc;
    return DECLINED;
#endif
}

static void floor_exchange(conn_rec *c, int fd, unsigned exchanged)
{
    apr_socket_t *sock = ap_get_conn_socket(c);

    apr_os_sock_put(&sock, &fd, c->pool);
    floor_conn_of(c)->exchanged = exchanged != 0;
}

static void floor_suspend(conn_rec *c, request_rec *r)
{
    floor_conn *fc = floor_conn_of(c);

    (void)r;
    if (fc && fc->parked && !fc->exchanged && apr_os_sock_get(&fc->true_fd, ap_get_conn_socket(c)) == APR_SUCCESS) {
        floor_exchange(c, fc->timer, 1);
    }
}

static void floor_resume(conn_rec *c, request_rec *r)
{
    floor_conn *fc = floor_conn_of(c);

    (void)r;
    if (fc && fc->exchanged) {
        floor_exchange(c, fc->true_fd, 0);
    }
}

static int floor_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp, (void)s;
    /* Made once: filling it with each restart would make restarts slow, and the parent, which replaces at once only children
     * that have ended when its configuration is read, would look quicker than it is. */
    floor_bytes = ap_retained_data_get(FLOOR_KEY);
    if (!floor_bytes) {
        floor_bytes = ap_retained_data_create(FLOOR_KEY, FLOOR_MAX);
        memset(floor_bytes, 'x', FLOOR_MAX);
    }
    return OK;
}

static void floor_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(floor_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(floor_translate, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(floor_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(floor_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(floor_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(floor_suspend, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_resume_connection(floor_resume, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(floor)
= { STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, floor_hooks, AP_MODULE_FLAG_NONE };
