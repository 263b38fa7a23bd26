/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  mass.h
 * @brief `spawn:%{EXPRESSION}`: a pool whose group is known with the request. Mass virtual hosting: each group of
 *        ProcdGroupDir has a place, and each place is a pool of its own, with its own queue and connections, so that one
 *        host's slow application holds nobody else up.
 */
#ifndef PC_MASS_H
#define PC_MASS_H

#include "route.h"

/** In post_config: make the places of a pool that has pool->spawn_name. @return NULL, or what is wrong */
const char *pc_mass_expand(apr_pool_t *p, server_rec *s, pc_pool_conf *pool);
/** In the handler: the pool of this request's group, in route->pool. @return OK; HTTP_NOT_FOUND: there is no such group */
int pc_mass_choose(request_rec *r, pc_route *route);
/** A lease was taken: is it one of the group that the request is for? Places are given to other groups in time. */
int pc_mass_is_right(const pc_route *route);

#endif /* PC_MASS_H */
