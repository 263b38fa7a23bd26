/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * SCGI (https://python.ca/scgi/protocol.txt): the variables in one netstring, name and value each ended by a NUL, then
 * the body. CONTENT_LENGTH comes first and is always there, SCGI is always "1", and no name stands twice: what an
 * environment says under these two names is left out.
 */
#include "scgi.h"

#include "cgi_stream.h"

#include <stdio.h>
#include <string.h>

/* All variables together, as for FastCGI; httpd's own limits on a request stay far below. */
#define VARIABLES_MAX (16 * 1024 * 1024)
#define TOO_LARGE "the request's CGI variables are larger than 16 MB"

static const char LENGTH_NAME[] = "CONTENT_LENGTH";
static const char MARK[] = "SCGI\0"
                           "1"; /* with the NUL behind it, as it is sent */

static int is_name(const pc_field *f, const char *name, apr_size_t len)
{
    return f->name_len == len && memcmp(f->name, name, len) == 0;
}

static int is_ours(const pc_field *f)
{
    return is_name(f, LENGTH_NAME, sizeof(LENGTH_NAME) - 1) || is_name(f, MARK, 4) || f->name_len == 0;
}

/* @return bytes of all variables that are passed on with their NULs, or (apr_size_t)-1: too many */
static apr_size_t size_of(const pc_message *m)
{
    apr_size_t i, size = 0;

    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (f->name_len > VARIABLES_MAX || f->value_len > VARIABLES_MAX) {
            return (apr_size_t)-1;
        }
        size += is_ours(f) ? 0 : f->name_len + f->value_len + 2;
        if (size > VARIABLES_MAX) {
            return (apr_size_t)-1;
        }
    }
    return size;
}

static char *put(char *p, const char *bytes, apr_size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static const char *scgi_head(void *state, pc_buf *out)
{
    const pc_message *m = ((pc_cgi_stream *)state)->m;
    apr_size_t i, size = size_of(m);
    char number[24], prefix[24], *begin, *p;
    int number_len, prefix_len;

    if (size == (apr_size_t)-1) {
        return TOO_LARGE;
    }
    number_len = snprintf(number, sizeof(number), "%" APR_OFF_T_FMT, ((pc_cgi_stream *)state)->left);
    size += sizeof(LENGTH_NAME) + (apr_size_t)number_len + 1 + sizeof(MARK);
    prefix_len = snprintf(prefix, sizeof(prefix), "%" APR_SIZE_T_FMT ":", size);
    begin = pc_buf_reserve(out, (apr_size_t)prefix_len + size + 1);
    p = put(begin, prefix, (apr_size_t)prefix_len);
    p = put(p, LENGTH_NAME, sizeof(LENGTH_NAME));
    p = put(p, number, (apr_size_t)number_len + 1);
    p = put(p, MARK, sizeof(MARK));
    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (!is_ours(f)) {
            p = put(p, f->name, f->name_len);
            *p++ = '\0';
            p = put(p, f->value, f->value_len);
            *p++ = '\0';
        }
    }
    *p++ = ',';
    out->len += (apr_size_t)(p - begin);
    return NULL;
}

const pc_codec pc_scgi_codec = {
    .size = sizeof(pc_codec),
    .name = "scgi",
    .flags = PC_CODEC_CGI,
    .default_port = 4000,
    .state_size = sizeof(pc_cgi_stream),
    .start = pc_cgi_stream_start,
    .head = scgi_head,
    .frame = pc_cgi_stream_frame,
    .finish = pc_cgi_stream_finish,
    .abort = pc_cgi_stream_abort,
    .decode = pc_cgi_stream_decode,
    .eof = pc_cgi_stream_eof,
};
