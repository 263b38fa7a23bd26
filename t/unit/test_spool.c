/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/spool.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "spool.h"

#include "apr_general.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static apr_pool_t *pool;
static apr_bucket_alloc_t *alloc;

/* What is in the spool is a part of one long pattern: any byte in the wrong place shows. */
static char byte_at(apr_off_t n)
{
    return (char)(n * 31 + (n >> 8) * 7);
}

static apr_status_t put(pc_spool *s, apr_off_t *written, apr_size_t n)
{
    char *p = malloc(n + 1);
    apr_size_t i;
    apr_status_t rv;

    for (i = 0; i < n; i++) {
        p[i] = byte_at(*written + (apr_off_t)i);
    }
    *written += (apr_off_t)n;
    rv = pc_spool_write(s, p, n);
    memset(p, 'x', n); /* the spool has its own copy */
    free(p);
    return rv;
}

/* Check what is in bb against the pattern, and empty it. */
static apr_size_t check(apr_bucket_brigade *bb, apr_off_t from)
{
    apr_size_t n = 0;

    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len, i;

        assert_int_equal(apr_bucket_read(b, &data, &len, APR_BLOCK_READ), APR_SUCCESS);
        for (i = 0; i < len; i++) {
            assert_int_equal(data[i], byte_at(from + (apr_off_t)(n + i)));
        }
        n += len;
        apr_bucket_delete(b);
    }
    return n;
}

static void take(pc_spool *s, apr_off_t *taken, apr_size_t max)
{
    apr_bucket_brigade *bb = apr_brigade_create(pool, alloc);
    apr_size_t n;

    assert_int_equal(pc_spool_take(s, bb, max), APR_SUCCESS);
    n = check(bb, *taken);
    assert_true(n > 0 && n <= max);
    *taken += (apr_off_t)n;
    apr_brigade_destroy(bb);
}

/* F24: bytes come out in the order they went in, whatever memory and file hold of them. */
static void keeps_order(void **state)
{
    static const apr_off_t bounds[][2] = { { 0, 1 << 20 }, { 10, 50 },      { 100, 0 },
                                           { 9000, 9000 }, { 20000, 1000 }, { 65536, 1 << 20 } };
    size_t k;
    int i;

    (void)state;
    srandom(1);
    for (k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
        pc_spool *s = pc_spool_make(pool, alloc, bounds[k][0], bounds[k][1]);
        apr_off_t written = 0, taken = 0;

        for (i = 0; i < 3000; i++) {
            if (random() % 2 && pc_spool_has_room(s)) {
                assert_int_equal(put(s, &written, (apr_size_t)(1 + random() % (random() % 8 ? 40 : 20000))),
                                 APR_SUCCESS);
            }
            else if (pc_spool_length(s)) {
                take(s, &taken, (apr_size_t)(1 + random() % 30000));
            }
            assert_int_equal(pc_spool_length(s), written - taken);
        }
        while (pc_spool_length(s)) {
            take(s, &taken, 61440);
        }
        assert_int_equal(taken, written);
        assert_true(pc_spool_has_room(s));
    }
}

/* Full is full until all was taken out of the file. */
static void has_bounds(void **state)
{
    pc_spool *s = pc_spool_make(pool, alloc, 100, 1000);
    apr_off_t written = 0, taken = 0;

    (void)state;
    put(s, &written, 1099);
    assert_true(pc_spool_has_room(s));
    put(s, &written, 500); /* what is too much is stored nevertheless */
    assert_false(pc_spool_has_room(s));
    take(s, &taken, 50);
    take(s, &taken, 50);
    assert_false(pc_spool_has_room(s));
    while (taken < 1100) {
        take(s, &taken, 300);
    }
    assert_false(pc_spool_has_room(s)); /* or else it would be out of order */
    take(s, &taken, 1000);
    assert_int_equal(taken, 1599);
    assert_true(pc_spool_has_room(s));
}

/* A client's tiny chunks take no more memory than one large one. */
static void is_thrifty(void **state)
{
    pc_spool *s = pc_spool_make(pool, alloc, 100000, 0);
    apr_bucket_brigade *bb = apr_brigade_create(pool, alloc);
    apr_off_t written = 0;
    apr_bucket *b;
    int i, buckets = 0;

    (void)state;
    for (i = 0; i < 100000; i++) {
        put(s, &written, 1);
    }
    pc_spool_show(s, bb);
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        buckets++;
    }
    assert_true(buckets <= 100000 / APR_BUCKET_BUFF_SIZE + 1);
    apr_brigade_destroy(bb);
}

/* A request's body is sent again as often as it must be. */
static void is_shown_again(void **state)
{
    pc_spool *s = pc_spool_make(pool, alloc, 5000, -1);
    apr_bucket_brigade *bb = apr_brigade_create(pool, alloc);
    apr_off_t written = 0;
    int i;

    (void)state;
    for (i = 0; i < 40; i++) {
        put(s, &written, 1234);
    }
    for (i = 0; i < 3; i++) {
        pc_spool_show(s, bb);
        assert_int_equal(check(bb, 0), written);
    }
    assert_int_equal(pc_spool_length(s), written);
    pc_spool_clear(s);
    pc_spool_show(s, bb);
    assert_true(APR_BRIGADE_EMPTY(bb));
    assert_int_equal(pc_spool_length(s), 0);
}

/* The file takes no more: nothing is lost, nothing more is asked for, and the file is left alone. */
static void survives_a_full_disk(void **state)
{
    struct rlimit old, small;
    pc_spool *s = pc_spool_make(pool, alloc, 100, 1 << 20);
    apr_off_t written = 0, taken = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 3000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    put(s, &written, 2000);
    assert_int_not_equal(put(s, &written, 5000), APR_SUCCESS);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(pc_spool_has_room(s));
    assert_int_equal(pc_spool_length(s), written);
    while (pc_spool_length(s)) {
        take(s, &taken, 700);
    }
    assert_int_equal(taken, written);
    assert_int_equal(put(s, &written, 100), APR_SUCCESS);
    assert_false(pc_spool_has_room(s));
    assert_int_equal(put(s, &written, 100), APR_SUCCESS);
    while (pc_spool_length(s)) {
        take(s, &taken, 700);
    }
    assert_int_equal(taken, written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order),    cmocka_unit_test(has_bounds),           cmocka_unit_test(is_thrifty),
        cmocka_unit_test(is_shown_again), cmocka_unit_test(survives_a_full_disk),
    };
    int rc;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    alloc = apr_bucket_alloc_create(pool);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    return rc;
}
