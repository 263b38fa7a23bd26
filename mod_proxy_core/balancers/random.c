/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * By chance, in proportion to the weights. The pool's sequence number, well mixed, is chance enough to spread requests
 * and needs no generator to seed and lock.
 */
#include "balancers.h"

static apr_uint32_t mix(apr_uint32_t seq)
{
    apr_uint64_t x = ((apr_uint64_t)seq + 1) * 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (apr_uint32_t)(x >> 32);
}

static int pick(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq)
{
    apr_uint64_t sum = 0, at;
    int i;

    (void)hash;
    for (i = 0; i < n; i++) {
        sum += (apr_uint32_t)c[i].weight;
    }
    at = (sum * mix(seq)) >> 32;
    for (i = 0; i < n - 1; i++) {
        if (at < (apr_uint32_t)c[i].weight) {
            break;
        }
        at -= (apr_uint32_t)c[i].weight;
    }
    return i;
}

const pc_balancer pc_balancer_random = { sizeof(pc_balancer), "random", pick };
