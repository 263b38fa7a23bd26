/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * uwsgi (https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html): a packet of variables, then the body. The packet is
 *
 *     modifier1 (0: a request for an application), size of what follows (16 bits, little-endian), modifier2 (0),
 *     for each variable: size, name, size, value (sizes as above)
 *
 * All of it is measured before a byte is written: each name, each value and the whole must fit into 16 bits. What does
 * not is refused, never cut or wrapped around (CVE-2020-11984, CVE-2021-36160).
 */
#include "uwsgi.h"

#include "cgi_stream.h"

#include <string.h>

#define SIZE_MAX_16 65535
#define HEADER_LEN 4
#define TOO_LARGE "the request's variables do not fit into a uwsgi packet of 64 KB"

/* @return bytes of all variables, or (apr_size_t)-1: they do not fit */
static apr_size_t size_of(const pc_message *m)
{
    apr_size_t i, size = 0;

    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (f->name_len > SIZE_MAX_16 || f->value_len > SIZE_MAX_16) {
            return (apr_size_t)-1;
        }
        size += 2 + f->name_len + 2 + f->value_len;
        if (size > SIZE_MAX_16) {
            return (apr_size_t)-1;
        }
    }
    return size;
}

static char *put_size(char *p, apr_size_t n)
{
    p[0] = (char)(n & 0xff);
    p[1] = (char)(n >> 8);
    return p + 2;
}

static char *put_string(char *p, const char *s, apr_size_t n)
{
    p = put_size(p, n);
    memcpy(p, s, n);
    return p + n;
}

static const char *uwsgi_head(void *state, pc_buf *out)
{
    const pc_message *m = ((pc_cgi_stream *)state)->m;
    apr_size_t i, size = size_of(m);
    char *begin, *p;

    if (size == (apr_size_t)-1) {
        return TOO_LARGE;
    }
    begin = p = pc_buf_reserve(out, HEADER_LEN + size);
    *p++ = 0;
    p = put_size(p, size);
    *p++ = 0;
    for (i = 0; i < m->nfields; i++) {
        p = put_string(p, m->fields[i].name, m->fields[i].name_len);
        p = put_string(p, m->fields[i].value, m->fields[i].value_len);
    }
    out->len += (apr_size_t)(p - begin);
    return NULL;
}

const pc_codec pc_uwsgi_codec = {
    .size = sizeof(pc_codec),
    .name = "uwsgi",
    .flags = PC_CODEC_CGI | PC_CODEC_NO_SCRIPTS,
    .default_port = 3031,
    .state_size = sizeof(pc_cgi_stream),
    .start = pc_cgi_stream_start,
    .head = uwsgi_head,
    .frame = pc_cgi_stream_frame,
    .finish = pc_cgi_stream_finish,
    .abort = pc_cgi_stream_abort,
    .decode = pc_cgi_stream_decode,
    .eof = pc_cgi_stream_eof,
};
