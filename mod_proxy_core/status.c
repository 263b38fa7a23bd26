/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * SetHandler proxy-core-status: what the pools' shared state says, as text or (?format=json) as JSON. It looks and does
 * not touch; protect it as any status page.
 */
#include "status.h"
#include "pool.h"

#include "http_core.h"
#include "http_main.h"
#include "http_protocol.h"

#include "apr_strings.h"

typedef struct page {
    request_rec *r;
    int json;
    int pools;
} page;

/* A JSON string: names come from the configuration, which may hold anything. */
static void put_string(request_rec *r, const char *s)
{
    ap_rputc('"', r);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\') {
            ap_rprintf(r, "\\%c", c);
        }
        else if (c < 0x20) {
            ap_rprintf(r, "\\u%04x", c);
        }
        else {
            ap_rputc(c, r);
        }
    }
    ap_rputc('"', r);
}

static const pc_backend_conf *conf_of(const pc_pool_conf *pool, int i)
{
    return &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);
}

static void text_backend(page *p, const pc_pool_conf *pool, const pc_backend_stat *st, int i)
{
    const pc_backend_conf *b = conf_of(pool, i);

    ap_rprintf(p->r,
               "  backend %s address=%s state=%s%s weight=%d max=%d in-flight=%u requests=%" APR_UINT64_T_FMT
               " failures=%" APR_UINT64_T_FMT " first-byte-ms=%u.%03u",
               st->name, b->text, st->state, b->backup ? " backup" : "", b->weight, b->max, st->in_flight, st->requests,
               st->failures, st->ewma_usec / 1000, st->ewma_usec % 1000);
    if (st->rest_seconds > 0) {
        ap_rprintf(p->r, " rests-seconds=%d", st->rest_seconds);
    }
    ap_rputc('\n', p->r);
}

static void json_backend(page *p, const pc_pool_conf *pool, const pc_backend_stat *st, int i)
{
    const pc_backend_conf *b = conf_of(pool, i);

    ap_rputs(i ? ",\n    {\"name\": " : "\n    {\"name\": ", p->r);
    put_string(p->r, st->name);
    ap_rputs(", \"address\": ", p->r);
    put_string(p->r, b->text);
    ap_rprintf(
        p->r,
        ", \"state\": \"%s\", \"backup\": %s, \"weight\": %d, \"max\": %d, \"in_flight\": %u, \"requests\": %" APR_UINT64_T_FMT
        ", \"failures\": %" APR_UINT64_T_FMT ", \"first_byte_usec\": %u, \"rests_seconds\": %d}",
        st->state, b->backup ? "true" : "false", b->weight, b->max, st->in_flight, st->requests, st->failures,
        st->ewma_usec, st->rest_seconds);
}

static void one_pool(void *baton, server_rec *s, pc_pool_conf *pool)
{
    page *p = baton;
    pc_backend_stat *st;
    int waiting = 0, n, i;

    if (!pool->pool) {
        return;
    }
    st = apr_pcalloc(p->r->pool, sizeof(*st) * (apr_size_t)(pool->backends->nelts + 1));
    n = pc_pool_stat(pool->pool, st, pool->backends->nelts, &waiting);
    if (pool->place && n && !st[0].requests && !waiting) {
        return; /* most places are empty */
    }
    if (p->json) {
        ap_rputs(p->pools ? ",\n  {\"name\": " : "\n  {\"name\": ", p->r);
        put_string(p->r, pool->name);
        ap_rputs(", \"server\": ", p->r);
        put_string(p->r, s->server_hostname ? s->server_hostname : "");
        ap_rprintf(p->r, ", \"protocol\": \"%s\", \"balancer\": \"%s\", \"waiting\": %d, \"backends\": [",
                   pool->codec->name, pool->balancer->name, waiting);
    }
    else {
        ap_rprintf(p->r, "pool %s server=%s protocol=%s balancer=%s waiting=%d\n", pool->name,
                   s->server_hostname ? s->server_hostname : "-", pool->codec->name, pool->balancer->name, waiting);
    }
    p->pools++;
    for (i = 0; i < n; i++) {
        (p->json ? json_backend : text_backend)(p, pool, &st[i], i);
    }
    if (p->json) {
        ap_rputs("]}", p->r);
    }
}

static int status_handler(request_rec *r)
{
    page p = { r, 0, 0 };

    if (!r->handler || strcmp(r->handler, "proxy-core-status")) {
        return DECLINED;
    }
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    p.json = r->args && strstr(r->args, "format=json") != NULL;
    ap_set_content_type(r, p.json ? "application/json" : "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (p.json) {
        ap_rputs("{\"pools\": [", r);
    }
    pc_conf_each_pool(ap_server_conf, one_pool, &p);
    if (p.json) {
        ap_rputs("\n]}\n", r);
    }
    return OK;
}

void pc_status_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(status_handler, NULL, NULL, APR_HOOK_MIDDLE);
}
