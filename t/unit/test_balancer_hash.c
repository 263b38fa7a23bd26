/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/balancers/hash.c */
/* libs: -lm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancers/balancers.h"

#define KEYS 10000

static void fill(pc_candidate *c, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        c[i] = (pc_candidate){ .backend = i, .weight = 1, .name_hash = 0x51ed270bu * (apr_uint32_t)(i + 1) };
    }
}

static apr_uint32_t key(int i)
{
    return 2654435761u * (apr_uint32_t)i;
}

/* F6: the same key, the same backend, whatever its place in the list or the sequence number. */
static void same_key_same_backend(void **state)
{
    pc_candidate c[3], turned[3];
    int i;

    (void)state;
    fill(c, 3);
    for (i = 0; i < 3; i++) {
        turned[i] = c[(i + 1) % 3];
    }
    for (i = 0; i < KEYS; i++) {
        int at = pc_balancer_hash.pick(c, 3, key(i), (apr_uint32_t)i);

        assert_int_equal(c[at].backend, turned[pc_balancer_hash.pick(turned, 3, key(i), 7)].backend);
    }
}

/* F6: a lost backend moves only its own keys, and spreads them over all others. */
static void only_the_lost_ones_keys_move(void **state)
{
    pc_candidate c[4];
    int moved[3] = { 0, 0, 0 }, own = 0, i;

    (void)state;
    fill(c, 4);
    for (i = 0; i < KEYS; i++) {
        int before = pc_balancer_hash.pick(c, 4, key(i), 0), after = pc_balancer_hash.pick(c, 3, key(i), 0);

        if (before == 3) {
            own++;
            moved[after]++;
        }
        else {
            assert_int_equal(before, after);
        }
    }
    assert_in_range(own, KEYS / 4 - KEYS / 25, KEYS / 4 + KEYS / 25);
    for (i = 0; i < 3; i++) {
        assert_in_range(moved[i], own / 3 - own / 8, own / 3 + own / 8);
    }
}

static void shares_follow_the_weights(void **state)
{
    pc_candidate c[2];
    int first = 0, i;

    (void)state;
    fill(c, 2);
    c[0].weight = 3;
    for (i = 0; i < KEYS; i++) {
        first += pc_balancer_hash.pick(c, 2, key(i), 0) == 0;
    }
    assert_in_range(first, KEYS * 3 / 4 - KEYS / 25, KEYS * 3 / 4 + KEYS / 25);
}

/* One key that everybody asks for: nobody gets more than a quarter above the share, and somebody is always found. */
static void load_is_bounded(void **state)
{
    pc_candidate c[4];
    int i, j;

    (void)state;
    fill(c, 4);
    for (i = 0; i < 400; i++) {
        c[pc_balancer_hash.pick(c, 4, 42, 0)].in_flight++;
        for (j = 0; j < 4; j++) {
            assert_true(c[j].in_flight * 4 * 4 < (apr_uint32_t)(i + 1) * 5 + 4 * 4);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_key_same_backend),
        cmocka_unit_test(only_the_lost_ones_keys_move),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(load_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
