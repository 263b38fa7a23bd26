/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend with the fewest requests for its weight. Equals take turns by smooth weighted round-robin, so that backends
 * that are idle most of the time share the work, too.
 */
#include "balancers.h"

#define MOST 256 /* backends of a pool */

/* Is a less loaded than b (-1), more (1) or as much (0)? Fractions compared without division. */
static int compare(const pc_candidate *a, const pc_candidate *b)
{
    apr_uint64_t x = (apr_uint64_t)a->in_flight * (apr_uint32_t)b->weight;
    apr_uint64_t y = (apr_uint64_t)b->in_flight * (apr_uint32_t)a->weight;

    return x < y ? -1 : x > y;
}

static int pick(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq)
{
    unsigned char equal[MOST];
    int i, best = 0, ties = 0;

    (void)hash;
    (void)seq;
    if (n > MOST) {
        n = MOST;
    }
    for (i = 1; i < n; i++) {
        if (compare(&c[i], &c[best]) < 0) {
            best = i;
        }
    }
    for (i = 0; i < n; i++) {
        equal[i] = compare(&c[i], &c[best]) == 0;
        ties += equal[i];
    }
    return ties > 1 ? pc_smooth_next(c, n, equal) : best;
}

const pc_balancer pc_balancer_least_requests = { sizeof(pc_balancer), "least-requests", pick };
