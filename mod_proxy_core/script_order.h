/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script_order.h
 * @brief What the manager is told to run for a request: the script, its arguments, its environment.
 */
#ifndef PC_SCRIPT_ORDER_H
#define PC_SCRIPT_ORDER_H

#include "exchange.h"

/** From x->msg.fields; in the request's pool. */
void pc_script_order(const pc_exchange *x, procd_script_order *order);

/** The words of an indexed query (RFC 3875, 4.4), decoded: "a+b%20c" is "a" and "b c". Every word of `out` ends in NUL.
 *  @return how many; 0 also when there is no such query, or one that cannot be words of a command line: a word that begins
 *  with '-' would be an option of the script or its interpreter (CVE-2012-1823) */
unsigned int pc_script_words(const char *query, pc_buf *out);

#endif /* PC_SCRIPT_ORDER_H */
