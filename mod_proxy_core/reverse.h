/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  reverse.h
 * @brief From a URL as the backend says it to the same as the client must hear it, and back. Pure.
 *
 * A backend calls itself by the address that it listens on, or by the Host that it was sent; a path without a host is its
 * own, too. Nothing else is: a redirect to another site is left alone.
 */
#ifndef PC_REVERSE_H
#define PC_REVERSE_H

#include "apr_pools.h"
#include "apr_tables.h"

/** One ProxyCorePassReverse. */
typedef struct pc_reverse_map {
    const char *scheme;    /**< http or https; NULL: the backend's own addresses are meant */
    const char *authority; /**< host[:port]; NULL with scheme */
    const char *path;      /**< on the backend, without '/' at the end: "" is all */
    const char *here;      /**< the same on this server; NULL: what strip= took off */
} pc_reverse_map;

/** Who the two sides are, for one request. */
typedef struct pc_reverse_sides {
    const char *scheme;                  /**< what is spoken to the backend */
    const char *host;                    /**< Host as the backend got it */
    const apr_array_header_t *addresses; /**< of const char *: host[:port] of the pool's backends */
    const char *client;                  /**< scheme://host[:port] that the client sees */
    const char *client_host;             /**< host[:port] that the client asked for, or NULL */
    const char *prefix;                  /**< what strip= took off, "": nothing */
} pc_reverse_sides;

/** Parse what stands in the configuration: a URL of http or https, or a path.
 *  @return NULL, or what is accepted */
const char *pc_reverse_parse(apr_pool_t *p, const char *backend, const char *here, pc_reverse_map *map);

/** The backend's URL as the client must hear it. The first map that fits. @return NULL: it stays as it is */
const char *pc_reverse_answer(apr_pool_t *p, const apr_array_header_t *maps, const pc_reverse_sides *sides,
                              const char *url);

/** The client's URL (Destination) as the backend must hear it. @return NULL: it stays as it is */
const char *pc_reverse_request(apr_pool_t *p, const apr_array_header_t *maps, const pc_reverse_sides *sides,
                               const char *url);

#endif /* PC_REVERSE_H */
