/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  balancers.h
 * @brief The balancers that come with mod_proxy_core, each a file in balancers/.
 */
#ifndef PC_BALANCERS_H
#define PC_BALANCERS_H

#include "mod_proxy_core.h"

extern const pc_balancer pc_balancer_round_robin;
extern const pc_balancer pc_balancer_least_requests;
extern const pc_balancer pc_balancer_random;
extern const pc_balancer pc_balancer_first;
extern const pc_balancer pc_balancer_hash;

/** Register all of them as providers, in register_hooks. */
void pc_balancers_register(apr_pool_t *p);

/** Smooth weighted round-robin among those c[i] with in_turn[i] (all when NULL): with weights 5, 1, 1 the order is
 *  a a b a c a a, and so on. Exact, because the numbers are shared by all children. @return index into c */
int pc_smooth_next(const pc_candidate *c, int n, const unsigned char *in_turn);

#endif /* PC_BALANCERS_H */
