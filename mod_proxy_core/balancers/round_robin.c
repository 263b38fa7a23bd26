/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Smooth weighted round-robin: each time, everybody gains its weight and the one with most pays the sum. Over any
 * span of (sum of weights) choices each is chosen exactly weight times, spread out. What a backend had gained while it
 * was away (resting, full) is bounded, so that a long absence is not followed by a flood.
 */
#include "balancers.h"

#define CLAMP (1 << 20)

int pc_smooth_next(const pc_candidate *c, int n, const unsigned char *in_turn)
{
    apr_int32_t sum = 0;
    int i, best = -1;

    for (i = 0; i < n; i++) {
        apr_int32_t *current = c[i].current;

        if (in_turn && !in_turn[i]) {
            continue;
        }
        if (*current > CLAMP || *current < -CLAMP) {
            *current = 0;
        }
        *current += c[i].weight;
        sum += c[i].weight;
        if (best < 0 || *current > *c[best].current) {
            best = i;
        }
    }
    if (best < 0) {
        return 0;
    }
    *c[best].current -= sum;
    return best;
}

static int pick(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq)
{
    (void)hash;
    (void)seq;
    return pc_smooth_next(c, n, NULL);
}

const pc_balancer pc_balancer_round_robin = { sizeof(pc_balancer), "round-robin", pick };
