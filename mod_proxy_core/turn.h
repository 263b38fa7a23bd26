/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  turn.h
 * @brief Requests that an application sends to another path of the site, or once more through the server.
 */
#ifndef PC_TURN_H
#define PC_TURN_H

#include "spool.h"

#include "httpd.h"

struct pc_instead; /* instead.h */

/** Let the server answer r as X-Accel-Redirect or X-Rewrite-… said; as a handler.
 *  @param body  X-Rewrite-…: what was read of the request's body, which is all of it; NULL: nothing was
 *  @return OK, or an HTTP status */
int pc_turn_follow(request_rec *r, const struct pc_instead *in, pc_spool *body);
/** Answer r with uri, asked for by GET and without the body that r came with. */
void pc_turn_redirect(request_rec *r, const char *uri);
/** The pool that X-Rewrite-Backend sent r to, NULL: none. */
const char *pc_turn_backend(const request_rec *r);
/** Also "Require proxy-core-internal". */
void pc_turn_register_hooks(apr_pool_t *p);

#endif /* PC_TURN_H */
