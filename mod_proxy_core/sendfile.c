/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that an application named, sent as httpd sends a static file: validators and conditions here, ranges and HEAD
 * by the filters that are there anyway, the bytes as file buckets.
 *
 * Files are never mapped into memory: who writes them is the application, and one that is cut short while it is sent would
 * end the whole process with all of its connections. So a short read ends this one connection.
 */
#include "instead.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_cstr.h"

APLOG_USE_MODULE(proxy_core);

/** A read, where sendfile(2) is not used. */
#define READ_SIZE 65536

/* ------------------------------------------------------------------ the head */

static int copy_field(void *r, const char *name, const char *value)
{
    apr_table_addn(((request_rec *)r)->headers_out, name, value);
    return 1;
}

/** The application has said no type: the file's, as for a static one. */
static void set_type_of(request_rec *r, request_rec *seen)
{
    (void)ap_run_type_checker(seen);
    if (seen->content_type) {
        ap_set_content_type(r, seen->content_type);
        r->content_encoding = seen->content_encoding;
    }
}

static void set_head(request_rec *r, const pc_instead *in, pc_file *first)
{
    apr_table_do(copy_field, r, in->fields, NULL);
    if (in->type) {
        ap_set_content_type(r, in->type);
    }
    else {
        set_type_of(r, first->seen);
    }
    r->status = in->status;
}

/** What one file says of itself. Several parts are no file's. */
static void set_validators(request_rec *r, const pc_instead *in, pc_file *f)
{
    const char *tag;

    if (in->kind == PC_FIELD_SENDFILE2) {
        return;
    }
    ap_update_mtime(r, f->finfo.mtime);
    ap_set_last_modified(r);
    ap_update_mtime(f->seen, f->finfo.mtime);
    ap_set_etag_fd(f->seen, f->file);
    tag = apr_table_get(f->seen->headers_out, "ETag");
    if (tag) {
        apr_table_setn(r->headers_out, "ETag", tag);
    }
}

/** Conditions and ranges are a matter of asking for the whole of something. What was done by POST is done. */
static int meets_conditions(request_rec *r)
{
    if (r->method_number != M_GET) {
        if (!r->main) {
            (void)ap_remove_output_filter_byhandle(r->output_filters, "BYTERANGE");
        }
        return OK;
    }
    if (!apr_table_get(r->headers_out, "Accept-Ranges")) {
        ap_set_accept_ranges(r);
    }
    return r->main ? OK : ap_meets_conditions(r);
}

/* ------------------------------------------------------------------ the body */

static void add_bytes(request_rec *r, apr_bucket_brigade *bb, const pc_file *f, apr_off_t first, apr_off_t len)
{
    const core_dir_config *core = ap_get_core_module_config(f->seen->per_dir_config);
    apr_size_t size = core->read_buf_size > READ_SIZE ? core->read_buf_size : READ_SIZE;
    apr_bucket *e;

    if (len > 0) {
        e = apr_brigade_insert_file(bb, f->file, first, len, r->pool);
        (void)apr_bucket_file_enable_mmap(e, 0);
        (void)apr_bucket_file_set_buf_size(e, size);
    }
}

/** Open the parts, in order, and put them together. @return OK, or an HTTP status; *len: all bytes */
static int collect(request_rec *r, const pc_sendfile_conf *conf, const pc_instead *in, apr_bucket_brigade *bb,
                   pc_file *first, apr_off_t *len)
{
    pc_file f = *first;
    const char *opened = NULL;

    *len = 0;
    for (int i = 0; i < in->parts->nelts; ++i) {
        const pc_part *part = &APR_ARRAY_IDX(in->parts, i, pc_part);
        apr_off_t n;
        int rc = opened && !strcmp(opened, part->path) ? OK : pc_file_open(r, conf, part->path, &f);

        if (rc != OK) {
            return rc;
        }
        opened = part->path;
        if (!pc_part_clip(part, f.finfo.size, &n)) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          "PXC0684: X-Sendfile2: %s has %" APR_OFF_T_FMT " bytes and no byte %" APR_OFF_T_FMT,
                          part->path, f.finfo.size, part->first);
            return HTTP_BAD_GATEWAY;
        }
        if (i == 0) {
            *first = f;
        }
        add_bytes(r, bb, &f, part->first, n);
        *len += n;
    }
    return OK;
}

static int pass(request_rec *r, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    rv = ap_pass_brigade(r->output_filters, bb);
    apr_brigade_cleanup(bb);
    if (rv == APR_SUCCESS || r->connection->aborted) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, r, "PXC0685: a file could not be sent to its end");
    r->connection->keepalive = AP_CONN_CLOSE;
    return AP_FILTER_ERROR;
}

int pc_sendfile_serve(request_rec *r, const pc_sendfile_conf *conf, const pc_instead *in)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    pc_file first = { NULL, { 0 }, NULL };
    apr_off_t len;
    int rc = collect(r, conf, in, bb, &first, &len);

    if (rc != OK) {
        apr_brigade_destroy(bb);
        return rc;
    }
    set_head(r, in, &first);
    set_validators(r, in, &first);
    ap_set_content_length(r, len);
    rc = meets_conditions(r);
    if (rc != OK) {
        apr_brigade_cleanup(bb);
        r->status = rc;
    }
    return pass(r, bb);
}
