/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "script_order.h"

#include "apr_lib.h"

#include <string.h>

/** More words than anybody searches for. */
#define WORDS_MAX 64

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* One word without its escapes. @return 0: it cannot be an argument */
static int add_word(const char *p, apr_size_t n, pc_buf *out)
{
    apr_size_t begin = out->len;
    char c;

    for (apr_size_t i = 0; i < n; i++) {
        c = p[i];
        if (c == '%') {
            if (n - i < 3 || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0) {
                return 0;
            }
            c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
            i += 2;
        }
        if (apr_iscntrl(c)) {
            return 0;
        }
        pc_buf_add(out, &c, 1);
    }
    pc_buf_add(out, "", 1);
    return out->p[begin] != '-';
}

unsigned int pc_script_words(const char *query, pc_buf *out)
{
    apr_size_t before = out->len;
    unsigned int n = 0;

    if (!query || !*query || strchr(query, '=')) {
        return 0;
    }
    for (;;) {
        apr_size_t len = strcspn(query, "+");

        if (n == WORDS_MAX || !add_word(query, len, out)) {
            out->len = before;
            return 0;
        }
        n++;
        if (!query[len]) {
            return n;
        }
        query += len + 1;
    }
}

/* Not for a part of a page: there the query is the page's (CVE-2025-58098). */
static const char *query_of(const request_rec *r)
{
    return r->method_number == M_GET && !r->main ? r->args : NULL;
}

void pc_script_order(const pc_exchange *x, procd_script_order *order)
{
    pc_buf b = { NULL, 0, 0, x->r->pool };
    apr_size_t i;

    (void)pc_buf_reserve(&b, 4096);
    pc_buf_adds(&b, pc_cgi_script(x->r, x->route));
    pc_buf_add(&b, "", 1);
    order->size = sizeof(*order);
    order->n_args = pc_script_words(query_of(x->r), &b);
    order->n_env = (apr_uint32_t)x->msg.nfields;
    order->body = x->msg.body;
    for (i = 0; i < x->msg.nfields; i++) {
        const pc_field *f = &x->msg.fields[i];

        pc_buf_add(&b, f->name, f->name_len);
        pc_buf_add(&b, "=", 1);
        pc_buf_add(&b, f->value, f->value_len + 1);
    }
    order->strings = b.p;
    order->len = b.len;
}
