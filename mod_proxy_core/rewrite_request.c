/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request's rules work on. The target is what an HTTP backend would get: encoded as the client sent it, strip=
 * applied, with the query. So an encoded '?' stays one whatever a rule captures of it, and the result says the same to every
 * protocol. Where httpd has found the script's file, its name is not taken from the target, and stays.
 */
#include "rewrite.h"
#include "reference.h"
#include "reverse.h"
#include "target.h"
#include "field_rules.h"
#include "head.h"

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

static int refuse(request_rec *r, const char *what, const char *value, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0704: rewriting %s gives what cannot be sent: %s: %s", what, why,
                  ap_escape_logitem(r->pool, value));
    return HTTP_BAD_REQUEST;
}

static int rewrite_target(request_rec *r, const pc_rewrite *rules, pc_route *route)
{
    const char *target = pc_http_target(r, route), *why = NULL, *made;
    int changed;

    if (!target) {
        return refuse(r, "_uri", r->unparsed_uri, "the client's own cannot");
    }
    changed = pc_rules_apply(r, rules->request, PC_RULE_URI, &target);
    if (changed < 0) {
        return HTTP_BAD_REQUEST;
    }
    if (!changed) {
        return OK;
    }
    made = pc_target_make(r->pool, target, &why);
    if (!made) {
        return refuse(r, "_uri", target, why);
    }
    route->target = made;
    if (route->location) {
        route->path = pc_target_path(r->pool, made);
    }
    return OK;
}

static int rewrite_docroot(request_rec *r, const pc_rewrite *rules, pc_route *route)
{
    const char *docroot = route->docroot ? route->docroot : ap_document_root(r), *why;
    int changed = pc_rules_apply(r, rules->request, PC_RULE_DOCROOT, &docroot);
    apr_size_t n = strlen(docroot);

    if (changed <= 0) {
        return changed ? HTTP_BAD_REQUEST : OK;
    }
    if ((why = pc_path_wrong(docroot))) {
        return refuse(r, "_docroot", docroot, why);
    }
    while (n > 1 && docroot[n - 1] == '/') {
        --n;
    }
    route->docroot = apr_pstrmemdup(r->pool, docroot, n);
    return OK;
}

int pc_rewrite_route(request_rec *r, const pc_route **route)
{
    const pc_rewrite *rules = (*route)->dir->rewrite;
    pc_route *changed;
    int rc = OK;

    if (!rules->uri && !rules->docroot) {
        return OK;
    }
    changed = apr_pmemdup(r->pool, *route, sizeof(*changed));
    if (rules->uri) {
        rc = rewrite_target(r, rules, changed);
    }
    if (rc == OK && rules->docroot) {
        rc = rewrite_docroot(r, rules, changed);
    }
    *route = changed;
    return rc;
}

/** @return as pc_rules_apply() */
static int rewrite_part(request_rec *r, const pc_rewrite *rules, pc_rule_on on, const char *what, const char **value)
{
    const char *why;
    int changed = pc_rules_apply(r, rules->request, on, value);

    if (changed > 0 && **value && (why = pc_path_wrong(*value))) {
        (void)refuse(r, what, *value, why);
        return -1;
    }
    return changed;
}

int pc_rewrite_script(request_rec *r, const pc_route *route, const char **name, const char **path_info)
{
    const pc_rewrite *rules = route->dir->rewrite;
    const char *info = *path_info ? *path_info : "";
    int changed = rewrite_part(r, rules, PC_RULE_SCRIPTNAME, "_scriptname", name), rc;

    if (changed < 0 || (rc = rewrite_part(r, rules, PC_RULE_PATHINFO, "_pathinfo", &info)) < 0) {
        return -1;
    }
    if (rc) {
        *path_info = *info ? info : NULL;
    }
    return changed;
}

/* ------------------------------------------------------------------ fields */

typedef struct mapping {
    request_rec *r;
    const apr_array_header_t *maps;
    const pc_reverse_sides *sides;
} mapping;

static const char *map_back(void *baton, const char *url)
{
    const mapping *m = baton;

    return pc_reverse_request(m->r->pool, m->maps, m->sides, url);
}

/** Destination and If name the client's URLs; the backend knows its own. */
static void map_urls(request_rec *r, const pc_route *route, apr_array_header_t *fields, const char *host)
{
    pc_reverse_sides sides;
    mapping m = { r, route->dir->rewrite->reverse, &sides };
    int known = 0;

    for (int i = 0; i < fields->nelts; ++i) {
        pc_field *f = &APR_ARRAY_IDX(fields, i, pc_field);
        apr_size_t skip = !host && !strncmp(f->name, "HTTP_", 5) ? 5 : 0;
        pc_reference_kind kind =
            host || skip ? pc_reference_in_request(f->name + skip, f->name_len - skip) : PC_REF_NONE;
        const char *value;

        if (kind == PC_REF_NONE) {
            continue;
        }
        if (!known) {
            pc_rewrite_sides(r, route, host, &sides);
            known = 1;
        }
        value = pc_reference_map(r->pool, kind, f->value, map_back, &m);
        if (value) {
            f->value = value;
            f->value_len = strlen(value);
        }
    }
}

/** Host is not among the fields of HTTP. */
static int rewrite_host(request_rec *r, const pc_rewrite *rules, const char **host)
{
    const char *value = *host;

    for (int i = 0; i < rules->request->nelts; ++i) {
        const pc_rule *rule = &APR_ARRAY_IDX(rules->request, i, pc_rule);

        if (pc_rule_is_host(rule) && pc_rule_apply(r, rule, &value) < 0) {
            return -1;
        }
    }
    if (value != *host && (!*value || !pc_is_visible(value) || strpbrk(value, "/?#@,\\"))) {
        (void)refuse(r, "Host", value, "it is empty, or no host");
        return -1;
    }
    *host = value;
    return 0;
}

int pc_rewrite_fields(request_rec *r, const pc_route *route, apr_array_header_t *fields, const char **host)
{
    const pc_rewrite *rules = route->dir->rewrite;
    int done = 0;

    if (rules->field && host && rewrite_host(r, rules, host)) {
        return HTTP_BAD_REQUEST;
    }
    if (rules->reverse) {
        map_urls(r, route, fields, host ? *host : NULL);
    }
    if (rules->field) {
        done = pc_rules_fields(r, rules->request, fields, !host, 1, 1);
    }
    return done ? HTTP_BAD_REQUEST : OK;
}
