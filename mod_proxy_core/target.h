/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  target.h
 * @brief A request-target that rules have made: checked and encoded, so that whatever stood in it is still one path and one
 *        query, and no path leads out of where it began. Pure.
 */
#ifndef PC_TARGET_H
#define PC_TARGET_H

#include "apr_pools.h"

/** Longest target or field value that a rule may make. */
#define PC_REWRITE_MAX 32768

/** Make a target of text, a path and a query that are encoded already, as far as they came from the client. What may not
 *  stand in a request line is encoded; an empty path becomes "/".
 *  @return NULL: *why says what is wrong (static text) */
const char *pc_target_make(apr_pool_t *p, const char *text, const char **why);

/** The decoded path of what pc_target_make() gave. @return NULL: it cannot be decoded ("%00") */
const char *pc_target_path(apr_pool_t *p, const char *target);

/** What is wrong with a decoded path: it is not absolute, has control characters or a way up. @return NULL: nothing */
const char *pc_path_wrong(const char *path);

#endif /* PC_TARGET_H */
