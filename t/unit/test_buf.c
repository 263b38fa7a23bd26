/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/buf.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mod_proxy_core.h"
#include "exact_pool.h"

#include "apr_general.h"

#include <string.h>

static apr_pool_t *pool;

/* F1: bytes come out as they went in, however they were added */
static void appends(void **state)
{
    pc_buf b = { NULL, 0, 0, pool };
    char want[5000];
    size_t i;

    (void)state;
    exact_begin();
    for (i = 0; i < sizeof(want); i++) {
        want[i] = (char)(i * 7);
        pc_buf_add(&b, &want[i], 1);
    }
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.p, want, sizeof(want));
    assert_true(exact_bytes < 4 * sizeof(want)); /* doubling: what is left behind stays below what is in use */
    exact_end();
}

static void reserves(void **state)
{
    pc_buf b = { NULL, 0, 0, pool };
    char *p;

    (void)state;
    exact_begin();
    pc_buf_adds(&b, "head ");
    p = pc_buf_reserve(&b, 10000);
    memset(p, 'x', 10000);
    assert_int_equal(b.len, 5);
    assert_ptr_equal(p, b.p + 5);
    b.len += 10000;
    assert_memory_equal(b.p, "head x", 6);
    p = b.p;
    pc_buf_add(&b, NULL, 0);
    assert_ptr_equal(p, b.p);
    exact_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(appends), cmocka_unit_test(reserves) };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
