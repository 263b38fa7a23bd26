/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  reference.h
 * @brief Where URLs stand in the values of fields: Location and its like, Refresh, Link, If. Pure.
 */
#ifndef PC_REFERENCE_H
#define PC_REFERENCE_H

#include "apr_pools.h"

typedef enum pc_reference_kind {
    PC_REF_NONE,    /**< no field that holds URLs of the backend's */
    PC_REF_WHOLE,   /**< the value is one: Location, Content-Location, URI, Destination */
    PC_REF_REFRESH, /**< "5; url=/x", "5; url='/x'", "5, /x" */
    PC_REF_LINK,    /**< "</a>; rel=next; title=\"<, >\", </b>" (RFC 8288) */
    PC_REF_IF       /**< "</a> (<token>) (Not [\"etag\"])" (RFC 4918, 10.4): what stands in parentheses is no URL */
} pc_reference_kind;

/** What a field of a response, or of a request, holds. */
pc_reference_kind pc_reference_in_response(const char *name, apr_size_t len);
pc_reference_kind pc_reference_in_request(const char *name, apr_size_t len);

/** Find the next URL from *at on.
 *  @return 1: it is value[*start] to value[*start + *len - 1], *at is behind it; 0: there is none */
int pc_reference_next(pc_reference_kind kind, const char *value, apr_size_t *at, apr_size_t *start, apr_size_t *len);

/** Replace URLs. fn gets one and gives what is to stand there, NULL: it stays. Its result must be free of what would end a
 *  URL in this kind of field; one that is not is left out of account.
 *  @return the new value; value itself when nothing changed; NULL: it would be longer than PC_REWRITE_MAX */
const char *pc_reference_map(apr_pool_t *p, pc_reference_kind kind, const char *value,
                             const char *(*fn)(void *baton, const char *url), void *baton);

#endif /* PC_REFERENCE_H */
