/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the pools' state meets httpd: the parent makes the segment once and keeps it across graceful restarts, each
 * generation has its own context over it, each child its row.
 *
 * What is kept stands in retained data as plain values: no pointer into this module or a configuration pool. The
 * version is that of the segment's layout; after an upgrade of the module a graceful restart finds another one, and
 * starts with a new segment. The old generation's children go on in the old one.
 */
#include "pool_priv.h"

#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "ap_mpm.h"
#include "apr_strings.h"

#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(proxy_core);

#define RETAINED_KEY "proxy_core_pool"

struct retained {
    apr_uint32_t magic, version;
    apr_size_t size; /* of this structure */
    pc_limits lim;
    void *base;            /* of the mapping */
    pc_registry *registry; /* malloc'ed */
};

static pc_ctx *the_ctx; /* this generation's; the only way in for pc_pool_child_gone() */

static apr_status_t forget_ctx(void *data)
{
    (void)data;
    the_ctx = NULL;
    return APR_SUCCESS;
}

static void set_limits(pc_limits *lim)
{
    int daemons = 0;

    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons) != APR_SUCCESS || daemons < 1) {
        daemons = 256;
    }
    lim->rows = 2 * (unsigned)daemons + 64; /* two generations, and some that end slowly */
    lim->pools = 2048;                      /* a pool whose group is an expression has one for each place */
    lim->cells = 8192;
    lim->turns = 65536;
}

static apr_status_t make_segment(struct retained *keep, pc_seg *seg, server_rec *s)
{
    apr_status_t rc;

    set_limits(&keep->lim);
    keep->registry = pc_registry_create(&keep->lim);
    rc = keep->registry ? pc_seg_create(seg, &keep->lim) : APR_ENOMEM;
    if (rc != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rc, s,
                     "PXC0300: cannot map shared memory for the state of pools (%u children)", keep->lim.rows);
        pc_registry_destroy(keep->registry);
        keep->registry = NULL;
        return rc;
    }
    keep->magic = PC_SEG_MAGIC;
    keep->version = PC_SEG_VERSION;
    keep->size = sizeof(*keep);
    keep->base = seg->head;
    return APR_SUCCESS;
}

static int fits(const struct retained *keep, server_rec *s)
{
    if (keep->magic == PC_SEG_MAGIC && keep->version == PC_SEG_VERSION && keep->size == sizeof(*keep)) {
        return 1;
    }
    ap_log_error(
        APLOG_MARK, APLOG_NOTICE, 0, s,
        "PXC0301: the module was upgraded: pools start with new state, requests under way count in the old one");
    return 0;
}

/* The segment of the generation before, or a new one. */
static apr_status_t find_segment(pc_seg *seg, pc_registry **reg, server_rec *s)
{
    struct retained *keep = ap_retained_data_get(RETAINED_KEY);
    apr_status_t rc;

    if (keep && keep->magic && fits(keep, s) && pc_seg_attach(seg, keep->base, &keep->lim) == APR_SUCCESS) {
        *reg = keep->registry;
        return APR_SUCCESS;
    }
    keep = ap_retained_data_create(RETAINED_KEY, sizeof(*keep));
    rc = make_segment(keep, seg, s);
    *reg = keep->registry;
    return rc;
}

static void fetch_procd(pc_procd *procd)
{
    procd->take = APR_RETRIEVE_OPTIONAL_FN(procd_lease_take);
    procd->give = APR_RETRIEVE_OPTIONAL_FN(procd_lease_give);
    procd->waiting = APR_RETRIEVE_OPTIONAL_FN(procd_waiting);
    procd->event_fd = APR_RETRIEVE_OPTIONAL_FN(procd_event_fd);
    procd->query = APR_RETRIEVE_OPTIONAL_FN(procd_group_query);
    if (!procd->take || !procd->give) {
        memset(procd, 0, sizeof(*procd));
    }
}

struct adding {
    pc_ctx *ctx;
    pc_registry *reg;
    apr_pool_t *p;
    apr_status_t rc;
};

/* What stays the same for a virtual host as long as its configuration does. */
static const char *key_of(apr_pool_t *p, server_rec *s, const pc_pool_conf *conf)
{
    const server_addr_rec *a = s->addrs;
    const char *name = conf->place ? apr_psprintf(p, "%s/%d", conf->name, conf->place) : conf->name;

    if (!s->is_virtual) {
        return apr_pstrcat(p, "/", name, NULL);
    }
    return apr_psprintf(p, "%s:%u %s:%u/%s", s->server_hostname ? s->server_hostname : "", s->port,
                        a && a->virthost ? a->virthost : "", a ? a->host_port : 0, name);
}

static void add_pool(void *baton, server_rec *s, pc_pool_conf *conf)
{
    struct adding *add = baton;
    const char *why = NULL;

    if (add->rc != APR_SUCCESS || conf->spawn_name) {
        return;
    }
    conf->pool = pc_ctx_add(add->ctx, add->p, add->reg, key_of(add->p, s, conf), conf, &why);
    if (!conf->pool) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "PXC0302: pool \"%s\" (%s) has no place in the shared state: %s",
                     conf->name, conf->source ? conf->source : "-", why);
        add->rc = APR_ENOSPC;
    }
}

apr_status_t pc_pool_init(apr_pool_t *pconf, server_rec *main_server)
{
    struct adding add = { NULL, NULL, pconf, APR_SUCCESS };
    pc_seg seg;
    apr_status_t rc;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return APR_SUCCESS;
    }
    if ((rc = find_segment(&seg, &add.reg, main_server)) != APR_SUCCESS) {
        return rc;
    }
    pc_row_sweep(&seg);
    add.ctx = pc_ctx_make(pconf, &seg, pc_registry_next(add.reg));
    fetch_procd(&add.ctx->procd);
    pc_conf_each_pool(main_server, add_pool, &add);
    if (add.rc == APR_SUCCESS) {
        the_ctx = add.ctx;
        apr_pool_cleanup_register(pconf, NULL, forget_ctx, apr_pool_cleanup_null);
    }
    return add.rc;
}

static apr_status_t stop_threads(void *data)
{
    pc_wake_stop(data);
    return APR_SUCCESS;
}

apr_status_t pc_pool_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    apr_status_t rc;

    if (!the_ctx) {
        return APR_SUCCESS;
    }
    rc = pc_ctx_child(the_ctx, getpid());
    if (rc != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rc, main_server,
                     "PXC0303: no place for this child in the shared state (%u rows): its requests to pools get 503",
                     the_ctx->seg.lim.rows);
        return rc;
    }
    apr_pool_pre_cleanup_register(pchild, the_ctx, stop_threads);
    return APR_SUCCESS;
}

void pc_pool_child_gone(pid_t pid)
{
    if (the_ctx) {
        pc_row_gone(&the_ctx->seg, pid);
    }
}
