/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * ProxyCoreMapExtension .php3 .php: a file x.php3 gets the handler that x.php beside it would get. httpd itself is asked for
 * that, by looking the other name up as a subrequest: sections, AddHandler and .htaccess files all have their say, and
 * so has access control, which holds for both names. A handler that the file has by its own name comes first, and only
 * handlers of this module are taken over.
 */
#include "route.h"

#include "apr_strings.h"
#include "http_log.h"
#include "http_request.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

#define HANDLER "proxy-core"
#define HANDLER_LEN (sizeof(HANDLER) - 1)

static int is_chain(const apr_array_header_t *list, const char *to)
{
    for (int i = 0; i < list->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(list, i, pc_extension).from, to)) {
            return 1;
        }
    }
    return 0;
}

/** The name that decides. @return NULL: the file's own */
static const char *other_name(request_rec *r, const apr_array_header_t *list)
{
    apr_size_t len = strlen(r->filename);

    for (int i = list->nelts - 1; i >= 0; --i) { /* the most specific section's come last */
        const pc_extension *e = &APR_ARRAY_IDX(list, i, pc_extension);
        apr_size_t n = strlen(e->from);

        if (len <= n || strcmp(r->filename + len - n, e->from) != 0) {
            continue;
        }
        if (is_chain(list, e->to)) {
            ap_log_rerror(
                APLOG_MARK, APLOG_ERR, 0, r,
                "PXC0615: ProxyCoreMapExtension %s %s: another section maps %s further, one step is all there "
                "is",
                e->from, e->to, e->to);
            return NULL;
        }
        return apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, r->filename, len - n), e->to, NULL);
    }
    return NULL;
}

/** As a name that needs no section: those of the other file do not hold for this one. */
static const char *handler_of(request_rec *rr, apr_pool_t *p)
{
    const pc_dir_conf *pass;

    if (!rr->handler || strncmp(rr->handler, HANDLER, HANDLER_LEN) != 0) {
        return NULL;
    }
    if (rr->handler[HANDLER_LEN] == ':') {
        return apr_pstrdup(p, rr->handler);
    }
    pass = rr->handler[HANDLER_LEN] ? NULL : pc_route_pass(rr, PC_PASS_SERVES);
    return pass ? apr_pstrcat(p, HANDLER ":", pass->pass, NULL) : NULL;
}

static int type_checker(request_rec *r)
{
    const pc_dir_conf *dir = ap_get_module_config(r->per_dir_config, &proxy_core_module);
    const char *other;
    request_rec *rr;
    int rv = DECLINED;

    if (!dir || !dir->extensions || r->finfo.filetype != APR_REG || !r->filename
        || !(other = other_name(r, dir->extensions))) {
        return DECLINED;
    }
    rr = ap_sub_req_lookup_file(other, r, NULL);
    if (ap_is_HTTP_ERROR(rr->status)) {
        rv = rr->status;
    }
    else {
        const char *handler = handler_of(rr, r->pool);

        r->handler = handler ? handler : r->handler;
    }
    ap_destroy_sub_req(rr);
    return rv;
}

void pc_map_extension_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = { "mod_negotiation.c", "mod_mime.c", NULL };

    (void)p;
    ap_hook_type_checker(type_checker, NULL, before, APR_HOOK_FIRST);
}
