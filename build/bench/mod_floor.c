/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* The floor: what httpd itself costs for an answer that costs nothing. `SetHandler floor` in a <Location> answers n= bytes from
 * memory; as a location-backed handler does, it says itself where a request leads, so that no directory is walked. d= sleeps in
 * the thread that many milliseconds first: the plain httpd's side of the restart measurements. */

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_config.h"

#include "apr_strings.h"

#define FLOOR_MAX (16 * 1024 * 1024)
#define FLOOR_KEY "mod_floor_bytes"

static char *floor_bytes;

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

static int floor_handler(request_rec *r)
{
    apr_bucket_brigade *bb;
    unsigned long bytes, delay;

    if (strcmp(r->handler, "floor") != 0) {
        return DECLINED;
    }
    bytes = floor_number(r->args, "n=", 100);
    delay = floor_number(r->args, "d=", 0);
    if (bytes > FLOOR_MAX) {
        return HTTP_BAD_REQUEST;
    }
    if (delay) {
        apr_sleep((apr_interval_time_t)delay * 1000);
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)bytes);
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(floor_bytes, bytes, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
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
}

AP_DECLARE_MODULE(floor)
= { STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, floor_hooks, AP_MODULE_FLAG_NONE };
