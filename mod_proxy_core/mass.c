/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "mass.h"
#include "config_values.h"

#include "mod_procd.h"

#include "http_log.h"

#include "apr_strings.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

/** Of a group's name, see procd_name_ok(). */
#define NAME_MOST 63

/* The pool of one place: as the one that was configured, with a backend of its own. */
static pc_pool_conf *make_place(apr_pool_t *p, const pc_pool_conf *pool, struct procd_group *group, int place)
{
    pc_pool_conf *copy = apr_pmemdup(p, pool, sizeof(*pool));
    pc_backend_conf *b;

    copy->backends = apr_array_copy(p, pool->backends);
    copy->spawn_name = NULL;
    copy->places = NULL;
    copy->place = place + 1;
    b = &APR_ARRAY_IDX(copy->backends, 0, pc_backend_conf);
    b->spawn = apr_psprintf(p, "%d of ProcdGroupDir", place);
    b->group = group;
    return copy;
}

const char *pc_mass_expand(apr_pool_t *p, server_rec *s, pc_pool_conf *pool)
{
    APR_OPTIONAL_FN_TYPE(procd_dir_group) *group_of = APR_RETRIEVE_OPTIONAL_FN(procd_dir_group);
    struct procd_group *group;

    pool->dir_find = APR_RETRIEVE_OPTIONAL_FN(procd_dir_find);
    if (!group_of || !pool->dir_find) {
        return "an expression needs mod_procd, which is not loaded";
    }
    pool->places = apr_array_make(p, 512, sizeof(pc_pool_conf *));
    while ((group = group_of(s, pool->places->nelts))) {
        pc_pool_conf *place = make_place(p, pool, group, pool->places->nelts);

        APR_ARRAY_PUSH(pool->places, pc_pool_conf *) = place;
    }
    return NULL;
}

/* In lower case, as host names are. @return NULL: it cannot be a group's name */
static const char *name_of(request_rec *r, const pc_pool_conf *pool)
{
    const char *err = NULL, *value = ap_expr_str_exec(r, pool->spawn_name, &err);
    char *name;

    if (err || !value || !pc_value_is_name(value) || strlen(value) > NAME_MOST) {
        return NULL;
    }
    name = apr_pstrdup(r->pool, value);
    ap_str_tolower(name);
    return name;
}

int pc_mass_choose(request_rec *r, pc_route *route)
{
    const pc_pool_conf *pool = route->pool;
    const char *name = name_of(r, pool);
    int place = name ? pool->dir_find(name) : -1;

    if (place < 0 || place >= pool->places->nelts) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "PXC0780: pool %s: ProcdGroupDir has no group %s", pool->name,
                      name ? name : "of the name that its expression gives");
        return HTTP_NOT_FOUND;
    }
    route->group = name;
    route->pool = APR_ARRAY_IDX(pool->places, place, pc_pool_conf *);
    return OK;
}

int pc_mass_is_right(const pc_route *route)
{
    return route->pool->dir_find(route->group) == route->pool->place - 1;
}
