/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  trailer_rules.h
 * @brief Which fields may stand behind a body (RFC 9110, 6.5.1). Pure.
 */
#ifndef PC_TRAILER_RULES_H
#define PC_TRAILER_RULES_H

#include "apr_pools.h"

/** May a field of this name be a trailer field? Not what frames, routes, authenticates, modifies the request, controls the
 *  answer or says who a client is: a recipient that merges trailers would take it for the head's. */
int pc_trailer_allowed(const char *name, apr_size_t len);

/** What remains of a Trailer field when only names that may be there are left.
 *  @return in p; NULL: nothing, or it is no list of names */
const char *pc_trailer_announce(apr_pool_t *p, const char *value);

#endif /* PC_TRAILER_RULES_H */
