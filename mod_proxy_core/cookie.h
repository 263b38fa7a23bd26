/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  cookie.h
 * @brief The attributes Path and Domain of a Set-Cookie field (RFC 6265, 4.1), rewritten. Pure.
 *
 * Only an attribute of exactly that name is looked at, never the cookie's value nor another attribute that has its name in
 * it. What is not rewritten stays byte for byte.
 */
#ifndef PC_COOKIE_H
#define PC_COOKIE_H

#include "apr_pools.h"
#include "apr_tables.h"

/** One ProxyCoreCookiePath or ProxyCoreCookieDomain. */
typedef struct pc_cookie_map {
    const char *from; /**< a path without '/' at its end ("" is all); a domain without leading '.', "*" is any */
    const char *to;   /**< NULL: the attribute is left out */
} pc_cookie_map;

/** @return NULL, or what is accepted */
const char *pc_cookie_parse_path(apr_pool_t *p, const char *from, const char *to, pc_cookie_map *map);
const char *pc_cookie_parse_domain(apr_pool_t *p, const char *from, const char *to, pc_cookie_map *map);

/** Rewrite one Set-Cookie value; of each kind the first map that fits. Either array may be NULL.
 *  @return the new value; value itself when nothing fits; NULL: it would be longer than PC_REWRITE_MAX */
const char *pc_cookie_rewrite(apr_pool_t *p, const char *value, const apr_array_header_t *paths,
                              const apr_array_header_t *domains);

#endif /* PC_COOKIE_H */
