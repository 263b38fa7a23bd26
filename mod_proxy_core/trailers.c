/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Trailer fields, both ways (RFC 9110, 6.5). They are never merged into a head (CVE-2013-5704).
 *
 * To the backend go those of a body that is sent in chunks, where the pool says so: for a backend that does merge them they
 * would be a way around fields that this server sets or takes away, and so those are left out that the head has, too.
 *
 * To the client go those of a client that says TE: trailers. HTTP/2 takes them from r->trailers_out. httpd's chunk filter
 * does not write any: a filter behind it puts them into the last chunk.
 */
#include "exchange.h"
#include "field_rules.h"
#include "head.h"
#include "trailer_rules.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "util_filter.h"

#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

/** Most trailer fields of a request that are passed on, and most bytes of them. */
#define FIELDS_MAX 64
#define BYTES_MAX 16384

static const char last_chunk[] = "0\r\n\r\n";

/* A codec may be older than the member. */
static int has_trailers(const pc_codec *codec)
{
    return codec->size >= sizeof(*codec) && codec->trailers;
}

/* ------------------------------------------------------------------ to the backend */

static int is_in_head(const pc_exchange *x, const char *name, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < x->msg.nfields; i++) {
        if (pc_field_is(&x->msg.fields[i], name, len)) {
            return 1;
        }
    }
    return 0;
}

static int is_good(const char *name, apr_size_t len, const char *value)
{
    return len && pc_token_span(name, len) == len && pc_value_clean(value, strlen(value))
           && pc_trailer_allowed(name, len);
}

static apr_array_header_t *requests_trailers(pc_exchange *x)
{
    const apr_array_header_t *in = apr_table_elts(x->r->trailers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)in->elts;
    apr_array_header_t *fields = apr_array_make(x->r->pool, 4, sizeof(pc_field));
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < in->nelts && fields->nelts < FIELDS_MAX; i++) {
        apr_size_t name_len = strlen(e[i].key);
        pc_field *f;

        if (!is_good(e[i].key, name_len, e[i].val) || is_in_head(x, e[i].key, name_len)) {
            continue;
        }
        f = apr_array_push(fields);
        f->name = e[i].key;
        f->name_len = name_len;
        f->value = e[i].val;
        f->value_len = strlen(e[i].val);
        bytes += f->name_len + f->value_len;
    }
    if (bytes > BYTES_MAX) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                      "PXC0662: %s: the request's trailer fields are too large to be passed on", x->pool->name);
        fields->nelts = 0;
    }
    return fields;
}

const pc_buf *pc_trailers_finish(pc_exchange *x)
{
    apr_array_header_t *fields;
    pc_buf *out;

    if (x->pool->trailers != PC_TRAILERS_BOTH || !has_trailers(x->codec) || !x->msg.body || x->msg.content_length >= 0
        || apr_is_empty_table(x->r->trailers_in)) {
        return NULL;
    }
    fields = requests_trailers(x);
    out = apr_pcalloc(x->r->pool, sizeof(*out));
    out->pool = x->r->pool;
    x->codec->trailers(x->codec_state, (const pc_field *)fields->elts, (apr_size_t)fields->nelts, out);
    return out;
}

void pc_trailers_announce(pc_exchange *x, apr_array_header_t *fields)
{
    const char *said = apr_table_get(x->r->headers_in, "Trailer");
    const char *value;
    pc_field *f;

    if (!said || !has_trailers(x->codec) || !x->msg.body || x->msg.content_length >= 0
        || !(value = pc_trailer_announce(x->r->pool, said))) {
        return;
    }
    f = apr_array_push(fields);
    f->name = "Trailer";
    f->name_len = sizeof("Trailer") - 1;
    f->value = value;
    f->value_len = strlen(value);
}

/* ------------------------------------------------------------------ from the backend */

int pc_trailers_wanted(const pc_exchange *x)
{
    request_rec *r = x->r;
    const char *te = x->pool->trailers && has_trailers(x->codec) ? apr_table_get(r->headers_in, "TE") : NULL;

    if (!te || r->main || r->header_only || r->proto_num < HTTP_VERSION(1, 1)
        || !ap_find_token(r->pool, te, "trailers")) {
        return 0;
    }
    /* over HTTP/1.1 it is of this connection only, and says so: else it may have come from further away */
    return r->connection->master || ap_find_token(r->pool, apr_table_get(r->headers_in, "Connection"), "te");
}

static apr_bucket *fields_bucket(request_rec *r)
{
    const apr_array_header_t *out = apr_table_elts(r->trailers_out);
    const apr_table_entry_t *e = (const apr_table_entry_t *)out->elts;
    pc_buf b = { NULL, 0, 0, r->pool };
    int i;

    for (i = 0; i < out->nelts; i++) {
        if (is_good(e[i].key, strlen(e[i].key), e[i].val)) {
            pc_buf_adds(&b, e[i].key);
            pc_buf_adds(&b, ": ");
            pc_buf_adds(&b, e[i].val);
            pc_buf_adds(&b, "\r\n");
        }
    }
    return b.len ? apr_bucket_pool_create(b.p, b.len, r->pool, r->connection->bucket_alloc) : NULL;
}

static int is_last_chunk(apr_bucket *b)
{
    const char *data;
    apr_size_t n;

    return !APR_BUCKET_IS_METADATA(b) && b->length == sizeof(last_chunk) - 1
           && apr_bucket_read(b, &data, &n, APR_BLOCK_READ) == APR_SUCCESS && n == sizeof(last_chunk) - 1
           && memcmp(data, last_chunk, n) == 0;
}

/* The chunk filter writes the last chunk just before EOS, and none behind an answer that was cut. */
static apr_status_t trailers_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_bucket *eos, *last, *fields;

    for (eos = APR_BRIGADE_FIRST(bb); eos != APR_BRIGADE_SENTINEL(bb); eos = APR_BUCKET_NEXT(eos)) {
        if (!APR_BUCKET_IS_EOS(eos)) {
            continue;
        }
        ap_remove_output_filter(f);
        last = APR_BUCKET_PREV(eos);
        if (f->r->chunked && last != APR_BRIGADE_SENTINEL(bb) && is_last_chunk(last)
            && (fields = fields_bucket(f->r))) {
            apr_bucket_split(last, 3);
            APR_BUCKET_INSERT_AFTER(last, fields);
        }
        break;
    }
    return ap_pass_brigade(f->next, bb);
}

void pc_trailers_take(pc_exchange *x, const pc_head *trailer)
{
    request_rec *r = x->r;
    apr_size_t i;

    if (!x->msg.te_trailers || x->discard || x->instead || pc_answer_has_no_body(x) || !trailer->nfields) {
        return;
    }
    for (i = 0; i < trailer->nfields; i++) {
        apr_table_addn(r->trailers_out, trailer->fields[i].name, trailer->fields[i].value);
    }
    if (x->h2) {
        return;
    }
    if (!x->head_passed) { /* or it would say Content-Length */
        APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_flush_create(x->c->bucket_alloc));
        (void)pc_reply_pass(x);
    }
    ap_add_output_filter("PROXY_CORE_TRAILERS", NULL, r, x->c);
}

void pc_trailers_register(void)
{
    ap_register_output_filter("PROXY_CORE_TRAILERS", trailers_out, NULL, AP_FTYPE_CONNECTION - 1);
}
