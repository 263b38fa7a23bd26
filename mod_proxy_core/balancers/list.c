/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "balancers.h"

#include "ap_provider.h"

static const pc_balancer *const all[] = {
    &pc_balancer_round_robin, &pc_balancer_least_requests, &pc_balancer_random, &pc_balancer_first, &pc_balancer_hash,
};

void pc_balancers_register(apr_pool_t *p)
{
    unsigned i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ap_register_provider(p, PC_BALANCER_GROUP, all[i]->name, PC_BALANCER_VERSION, all[i]);
    }
}
