/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend's answer is read to its end, so that its connection can be kept, but not waited for: nobody sees it. Then the
 * handler returns the status: httpd does what it does for an error of its own. What a client needs in order to go on after that status is kept of the
 * backend's fields. An ErrorDocument that is itself proxied is shown whatever its status is, and so nothing turns in circles.
 */
#include "override.h"
#include "config_values.h"
#include "head.h"

#include "apr_strings.h"
#include "http_protocol.h"

#include <string.h>

typedef struct error_answer {
    int status;
    apr_array_header_t *fields; /* of pc_field */
} error_answer;

static int is_kept(const pc_field *f)
{
    return PC_FIELD_IS(f, "WWW-Authenticate") || PC_FIELD_IS(f, "Authentication-Info") || PC_FIELD_IS(f, "Set-Cookie")
           || PC_FIELD_IS(f, "Retry-After") || PC_FIELD_IS(f, "Content-Range") || PC_FIELD_IS(f, "DAV");
}

/* httpd makes Allow of what it believes to be allowed. */
static void allow(request_rec *r, const char *methods)
{
    while (*methods) {
        apr_size_t n = strcspn(methods, ", \t");

        if (n) {
            ap_method_list_add(r->allowed_methods, apr_pstrmemdup(r->pool, methods, n));
        }
        methods += n;
        methods += strspn(methods, ", \t");
    }
}

/* In handler context, see x->instead. */
static int serve(pc_exchange *x)
{
    const error_answer *a = x->instead_data;

    for (int i = 0; i < a->fields->nelts; ++i) {
        const pc_field *f = &APR_ARRAY_IDX(a->fields, i, pc_field);

        if (PC_FIELD_IS(f, "Allow")) {
            allow(x->r, f->value);
        }
        else {
            apr_table_add(x->r->err_headers_out, f->name, f->value);
        }
    }
    return a->status;
}

int pc_override_takes(pc_exchange *x, const pc_head *head)
{
    const pc_override *o = x->route->dir->override;
    error_answer *a;

    if (head->status < 400 || head->status > 599 || !(o->bits[(head->status - 400) / 8] & 1 << head->status % 8)
        || x->r->main || ap_is_HTTP_ERROR(x->r->status)) {
        return 0;
    }
    a = apr_palloc(x->r->pool, sizeof(*a));
    a->status = head->status;
    a->fields = apr_array_make(x->r->pool, 2, sizeof(pc_field));
    for (apr_size_t i = 0; i < head->nfields; ++i) {
        if (is_kept(&head->fields[i]) || PC_FIELD_IS(&head->fields[i], "Allow")) {
            APR_ARRAY_PUSH(a->fields, pc_field) = head->fields[i];
        }
    }
    x->instead = serve;
    x->instead_data = a;
    x->instead_state = "error-override";
    x->rest_unneeded = 1;
    x->discard = 1;
    return 1;
}

const char *pc_set_error_override(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    pc_override *o = apr_pcalloc(cmd->pool, sizeof(*o));
    int on;

    if (argc < 1 || pc_value_flag(argv[0], &on) || (!on && argc > 1)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, argc ? " " : "", argc ? argv[0] : "",
                           ": accepted is off, on, or on and statuses such as 404 500-599", NULL);
    }
    for (int i = on; on && i < (argc > 1 ? argc : 2); ++i) {
        int from = 400, to = 599;

        if (argc > 1 && pc_value_range(argv[i], 400, 599, &from, &to)) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " on ", argv[i],
                               ": accepted is a status from 400 to 599, or a range such as 500-599", NULL);
        }
        for (int status = from; status <= to; ++status) {
            o->bits[(status - 400) / 8] |= (unsigned char)(1 << status % 8);
        }
    }
    ((pc_dir_conf *)mconfig)->override = o;
    return NULL;
}
