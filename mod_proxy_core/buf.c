/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * pc_buf: bytes that grow in a pool. A buffer that outgrows its room leaves the old one to the pool, so growth doubles:
 * what is left behind is never more than what is in use.
 */
#include "mod_proxy_core.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

char *pc_buf_reserve(pc_buf *b, apr_size_t n)
{
    if (n > b->cap - b->len) {
        apr_size_t cap = b->cap ? b->cap * 2 : BUF_FIRST;
        char *p;

        if (n > APR_SIZE_MAX / 4 - b->len) {
            abort(); /* cannot be: n counts bytes that are in memory already */
        }
        if (cap < b->len + n) {
            cap = b->len + n;
        }
        p = apr_palloc(b->pool, cap);
        if (b->len) {
            memcpy(p, b->p, b->len);
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

void pc_buf_add(pc_buf *b, const void *p, apr_size_t n)
{
    if (n) {
        memcpy(pc_buf_reserve(b, n), p, n);
        b->len += n;
    }
}

void pc_buf_adds(pc_buf *b, const char *s)
{
    pc_buf_add(b, s, strlen(s));
}
