/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "script_order.h"
#include "script_words.h"

#include "httpd.h"

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
