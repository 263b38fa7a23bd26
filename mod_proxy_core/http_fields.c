/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/*
 * A request as an HTTP backend gets it.
 *
 * The order matters: first everything that ends here is left out, also what the client's Connection field lists, and only
 * then are the fields added that say who the client is, so that a client can neither send nor take away those.
 *
 * The target is made of what httpd has checked (r->uri, r->args), never of the request line. The client's own encoding is
 * kept where it stands for exactly the path that was checked; a path that httpd has simplified ("/a/../b", "//") or a
 * rewrite rule has changed is encoded anew.
 */

#include "field_rules.h"
#include "config_sendfile.h"
#include "route.h"
#include "script.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_core.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

static void add(apr_array_header_t *fields, const char *name, apr_size_t name_len, const char *value)
{
    pc_field *f = apr_array_push(fields);

    f->name = name;
    f->name_len = name_len;
    f->value = value;
    f->value_len = strlen(value);
}

#define ADD(fields, name, value) add(fields, name, sizeof(name) - 1, value)

/* ------------------------------------------------------------------ target and Host */

/** Where the path begins in what the client sent as target: behind scheme and authority, if it sent these. */
static const char *raw_path(const char *unparsed)
{
    const char *sep;

    if (*unparsed == '/') {
        return unparsed;
    }
    sep = strstr(unparsed, "://");
    return sep ? sep + 3 + strcspn(sep + 3, "/?#") : unparsed;
}

/** The client's own path, when it stands for r->uri; after httpd's own simplification, if need be.
 *  @return NULL: it does not */
static const char *clients_path(request_rec *r, apr_size_t *len)
{
    const char *raw = r->unparsed_uri ? raw_path(r->unparsed_uri) : "";
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    unsigned flags = AP_NORMALIZE_NOT_ABOVE_ROOT | AP_NORMALIZE_DECODE_UNRESERVED;
    char *copy;

    *len = strcspn(raw, "?#");
    if (pc_path_is(raw, *len, r->uri)) {
        return raw;
    }
    copy = apr_pstrmemdup(r->pool, raw, *len);
    if (core->merge_slashes != AP_CORE_CONFIG_OFF) {
        flags |= AP_NORMALIZE_MERGE_SLASHES;
    }
    if (*copy != '/' || !ap_normalize_path(copy, flags)) {
        return NULL;
    }
    *len = strlen(copy);
    return pc_path_is(copy, *len, r->uri) ? copy : NULL;
}

/** The escaped path for the backend. */
static const char *target_path(request_rec *r, const pc_route *route)
{
    apr_size_t len, skip = strlen(r->uri) - strlen(route->path);
    const char *raw = clients_path(r, &len), *strip = route->dir->strip;

    if (raw && route->path >= r->uri && route->path <= r->uri + skip && !strcmp(r->uri + skip, route->path)) {
        if (skip == 0) {
            return raw[len] ? apr_pstrmemdup(r->pool, raw, len) : raw;
        }
        if (strip && strlen(strip) == skip && pc_path_prefix(raw, strip)) {
            return apr_pstrmemdup(r->pool, raw + skip, len - skip);
        }
    }
    return ap_os_escape_path(r->pool, route->path, 1);
}

const char *pc_http_target(request_rec *r, const pc_route *route)
{
    const char *path;

    if (route->target) {
        return route->target;
    }
    path = target_path(r, route);
    if (!pc_is_visible(path)) {
        return NULL;
    }
    if (!r->args) {
        return path;
    }
    for (const char *p = r->args; *p; ++p) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '#') {
            return NULL;
        }
    }
    return apr_pstrcat(r->pool, path, "?", r->args, NULL);
}

/** The client's Host, else the server's name. */
static const char *make_host(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    apr_port_t port;

    if (host && *host) {
        return pc_is_visible(host) ? host : NULL;
    }
    port = ap_get_server_port(r);
    host = ap_get_server_name_for_url(r);
    return ap_is_default_port(port, r) ? host : apr_psprintf(r->pool, "%s:%d", host, port);
}

/* ------------------------------------------------------------------ fields */

/** Fields that the codec writes by itself. */
static int is_codecs(const char *name, apr_size_t len)
{
    return (len == 4 && !ap_cstr_casecmp(name, "Host")) || (len == 14 && !ap_cstr_casecmp(name, "Content-Length"));
}

/** A subrequest asks for a part of a page: conditions and ranges were meant for the whole. */
static int is_conditional(const char *name)
{
    return !ap_cstr_casecmpn(name, "If-", 3) || !ap_cstr_casecmp(name, "Range");
}

/** What the client's Connection fields list. @return -1: malformed */
static int connection_names(request_rec *r, apr_array_header_t **names)
{
    const apr_array_header_t *in = apr_table_elts(r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)in->elts;

    *names = NULL;
    for (int i = 0; i < in->nelts; ++i) {
        if (e[i].key && !ap_cstr_casecmp(e[i].key, "Connection") && pc_connection_names(r->pool, e[i].val, names)) {
            return -1;
        }
    }
    return 0;
}

/** May what the client says of others be believed? */
static int is_trusted(request_rec *r, const pc_pool_conf *pool)
{
    for (int i = 0; i < pool->trust->nelts; ++i) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(pool->trust, i, apr_ipsubnet_t *), r->useragent_addr)) {
            return 1;
        }
    }
    return 0;
}

/** Does a field that says where a client is go on as it came? Of one that is trusted those of the kind that is in use,
 *  but for the two that are added to. */
static int goes_on(const pc_route *route, int trusted, const char *name, apr_size_t n, const char *value)
{
    if (route->pool->forwarded == PC_FORWARDED_OFF) {
        return 1;
    }
    return trusted && *value && route->pool->forwarded != PC_FORWARDED_RFC
           && !(n == 9 && !ap_cstr_casecmp(name, "Forwarded"))
           && !(n == 15 && !ap_cstr_casecmp(name, "X-Forwarded-For"));
}

static void add_clients(request_rec *r, const pc_route *route, const apr_array_header_t *listed, int trusted,
                        apr_array_header_t *fields)
{
    const apr_array_header_t *in = apr_table_elts(r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)in->elts;

    for (int i = 0; i < in->nelts; ++i) {
        apr_size_t n;

        if (!e[i].key || !e[i].val) {
            continue;
        }
        n = strlen(e[i].key);
        if (is_codecs(e[i].key, n) || pc_field_is_hop(e[i].key, n) || (listed && pc_name_listed(listed, e[i].key))
            || (pc_field_is_forwarding(e[i].key, n) && !goes_on(route, trusted, e[i].key, n, e[i].val))
            || (r->main && is_conditional(e[i].key)) || pc_field_is_sendfile_offer(e[i].key, n)) {
            continue;
        }
        add(fields, e[i].key, n, e[i].val);
    }
}

/** What a trusted client has said in a field, or NULL. */
static const char *believed(request_rec *r, const apr_array_header_t *listed, int trusted, const char *name)
{
    const char *value = trusted && !pc_name_listed(listed, name) ? apr_table_getm(r->pool, r->headers_in, name) : NULL;

    return value && *value ? value : NULL;
}

static void add_forwarding(request_rec *r, const pc_route *route, const char *host, const apr_array_header_t *listed,
                           int trusted, apr_array_header_t *fields)
{
    pc_forwarded how = route->pool->forwarded;
    const char *scheme = ap_http_scheme(r), *before;

    if (how == PC_FORWARDED_X || how == PC_FORWARDED_BOTH) {
        before = believed(r, listed, trusted, "X-Forwarded-For");
        ADD(fields, "X-Forwarded-For", pc_forwarded_append(r->pool, before, r->useragent_ip));
        if (!believed(r, listed, trusted, "X-Forwarded-Host")) {
            ADD(fields, "X-Forwarded-Host", host);
        }
        if (!believed(r, listed, trusted, "X-Forwarded-Proto")) {
            ADD(fields, "X-Forwarded-Proto", scheme);
        }
    }
    if (how == PC_FORWARDED_RFC || how == PC_FORWARDED_BOTH) {
        before = believed(r, listed, trusted, "Forwarded");
        if (before && !pc_forwarded_is_valid(before)) {
            before = NULL;
        }
        ADD(fields, "Forwarded",
            pc_forwarded_append(r->pool, before, pc_forwarded_element(r->pool, r->useragent_ip, host, scheme)));
    }
}

int pc_http_fields(request_rec *r, const pc_route *route, const char **target, const char **host,
                   apr_array_header_t *fields)
{
    apr_array_header_t *listed;
    int trusted = route->pool->trust && is_trusted(r, route->pool);

    if (!(*target = pc_http_target(r, route))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0210: path or query have characters that cannot be sent on: %s",
                      ap_escape_logitem(r->pool, r->unparsed_uri));
        return HTTP_BAD_REQUEST;
    }
    if (!(*host = make_host(r))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0211: Host has characters that cannot be sent on");
        return HTTP_BAD_REQUEST;
    }
    if (connection_names(r, &listed)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0212: the Connection field is malformed");
        return HTTP_BAD_REQUEST;
    }
    add_clients(r, route, listed, trusted, fields);
    add_forwarding(r, route, *host, listed, trusted, fields);
    if (pc_sendfile_is_on(route->dir)) {
        ADD(fields, "X-Sendfile-Type", "X-Sendfile");
    }
    return OK;
}

int pc_http_last_hop(request_rec *r)
{
    const char *value = apr_table_get(r->headers_in, "Max-Forwards");
    apr_int64_t n;
    char *end;
    int rc;

    if (!value || !apr_isdigit(*value)) {
        return DECLINED;
    }
    n = apr_strtoi64(value, &end, 10);
    if (*end) {
        return DECLINED;
    }
    if (n > 0) {
        apr_table_setn(r->headers_in, "Max-Forwards", apr_psprintf(r->pool, "%" APR_INT64_T_FMT, n - 1));
        return DECLINED;
    }
    if ((rc = ap_discard_request_body(r)) != OK) {
        return rc;
    }
    ap_allow_standard_methods(r, MERGE_ALLOW, M_GET, M_POST, M_PUT, M_PATCH, M_DELETE, M_OPTIONS, -1);
    return ap_send_http_options(r);
}
