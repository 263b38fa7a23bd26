/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * By the request's key: the same key always comes to the same backend, which then needs to know only its share.
 *
 * Weighted rendezvous hashing: every backend draws a number for the key, the highest wins. When a backend is lost only
 * its own keys move, and they spread over all others; when it comes back it gets exactly these again. No table has to be
 * built or agreed upon by the children.
 *
 * Bounded load: a backend with more than a quarter above its fair share of the requests under way is passed over, so that
 * one key that everybody asks for does not drown one backend.
 */
#include "balancers.h"

#include <math.h>

static double draw(apr_uint32_t name, apr_uint32_t key, int weight)
{
    apr_uint64_t x = ((apr_uint64_t)name << 32 | key) * 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    /* uniform in (0, 1); -w / ln(u) makes the chances proportional to the weights */
    return -(double)weight / log(((double)(x >> 11) + 0.5) / 9007199254740992.0);
}

/* At 5/4 of its share, with the request that is to be placed counted? Never true of all of them. */
static int is_full(const pc_candidate *c, apr_uint64_t all, apr_uint64_t weights)
{
    return (apr_uint64_t)c->in_flight * 4 * weights >= (all + 1) * 5 * (apr_uint64_t)c->weight;
}

static int pick(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq)
{
    apr_uint64_t all = 0, weights = 0;
    double best = -1.0;
    int i, at = 0;

    (void)seq;
    for (i = 0; i < n; i++) {
        all += c[i].in_flight;
        weights += (apr_uint64_t)c[i].weight;
    }
    for (i = 0; i < n; i++) {
        double score = is_full(&c[i], all, weights) ? 0.0 : draw(c[i].name_hash, hash, c[i].weight);

        if (score > best) {
            best = score;
            at = i;
        }
    }
    return at;
}

const pc_balancer pc_balancer_hash = { sizeof(pc_balancer), "hash", pick };
