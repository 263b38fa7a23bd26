/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "rewrite.h"
#include "cookie.h"
#include "head.h"
#include "reference.h"
#include "reverse.h"

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

/** The addresses that a pool's backends go by. */
static apr_array_header_t *addresses_of(apr_pool_t *p, const pc_pool_conf *pool)
{
    apr_array_header_t *out = apr_array_make(p, pool->backends->nelts, sizeof(const char *));

    for (int i = 0; i < pool->backends->nelts; ++i) {
        APR_ARRAY_PUSH(out, const char *) = APR_ARRAY_IDX(pool->backends, i, pc_backend_conf).host;
    }
    return out;
}

void pc_rewrite_sides(request_rec *r, const pc_route *route, const char *host, pc_reverse_sides *sides)
{
    const char *client_host = apr_table_get(r->headers_in, "Host");

    sides->client = ap_construct_url(r->pool, "", r);
    sides->client_host = client_host ? client_host : strstr(sides->client, "://") + 3;
    if (host) {
        sides->scheme = route->pool->codec->flags & PC_CODEC_TLS ? "https" : "http";
        sides->host = host;
    }
    else { /* a CGI-like application is told the client's */
        sides->scheme = ap_http_scheme(r);
        sides->host = sides->client_host;
    }
    sides->addresses = addresses_of(r->pool, route->pool);
    sides->prefix = route->prefix ? route->prefix : "";
}

typedef struct work {
    request_rec *r;
    const pc_rewrite *rules;
    pc_reverse_sides *sides;
} work;

static const char *map_url(void *baton, const char *url)
{
    const work *w = baton;

    return pc_reverse_answer(w->r->pool, w->rules->reverse, w->sides, url);
}

/** @return NULL: it grew beyond bounds */
static const char *ready_made(work *w, const pc_field *f, int internal)
{
    pc_reference_kind kind;

    if ((w->rules->cookie_path || w->rules->cookie_domain) && PC_FIELD_IS(f, "Set-Cookie")) {
        return pc_cookie_rewrite(w->r->pool, f->value, w->rules->cookie_path, w->rules->cookie_domain);
    }
    if (!w->rules->reverse || (kind = pc_reference_in_response(f->name, f->name_len)) == PC_REF_NONE
        || (internal && PC_FIELD_IS(f, "Location"))) {
        return f->value;
    }
    return pc_reference_map(w->r->pool, kind, f->value, map_url, w);
}

static void apply_ready_made(work *w, apr_array_header_t *fields, int internal)
{
    int kept = 0;

    for (int i = 0; i < fields->nelts; ++i) {
        pc_field *f = &APR_ARRAY_IDX(fields, i, pc_field);
        const char *value = ready_made(w, f, internal);

        if (!value) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, w->r, "PXC0705: %s is left out: rewritten it would be too long",
                          f->name);
            continue;
        }
        if (value != f->value) {
            f->value = value;
            f->value_len = strlen(value);
        }
        APR_ARRAY_IDX(fields, kept++, pc_field) = *f;
    }
    fields->nelts = kept;
}

const pc_head *pc_rewrite_head(request_rec *r, const pc_route *route, const char *host, const pc_head *head,
                               int interim, int internal)
{
    const pc_rewrite *rules = route->dir->rewrite;
    pc_reverse_sides sides;
    work w = { r, rules, &sides };
    apr_array_header_t *fields;
    pc_head *out;

    if (!rules->reverse && !rules->cookie_path && !rules->cookie_domain && !rules->response) {
        return head;
    }
    fields = apr_array_make(r->pool, (int)head->nfields + 4, sizeof(pc_field));
    for (apr_size_t i = 0; i < head->nfields; ++i) {
        APR_ARRAY_PUSH(fields, pc_field) = head->fields[i];
    }
    if (rules->reverse || rules->cookie_path || rules->cookie_domain) {
        if (rules->reverse) {
            pc_rewrite_sides(r, route, host, &sides);
        }
        apply_ready_made(&w, fields, internal);
    }
    (void)pc_rules_fields(r, rules->response, fields, 0, !interim, 0);
    out = apr_pmemdup(r->pool, head, sizeof(*head));
    out->fields = (pc_field *)fields->elts;
    out->nfields = (apr_size_t)fields->nelts;
    return out;
}
