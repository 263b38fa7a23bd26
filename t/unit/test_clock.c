/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/clock.c */
/* libs: -lpthread */

/* Alarms: their order and their time, moving, cancelling, the end of the child. D18 */

#include "clock_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int begin(void **state)
{
    (void)state;
    return clock_begin();
}

static int end(void **state)
{
    (void)state;
    if (child) {
        clock_end();
    }
    return 0;
}

static void rings_once(void **state)
{
    bell b;

    (void)state;
    bell_init(&b, 1);
    assert_true(pc_alarm_set(&b.alarm, pc_now() + 500 * MSEC));
    assert_int_equal(b.rang, 0);
    assert_true(reaches(&b.rang, 1));
    assert_true(b.late >= 0);
    nap(30 * MSEC);
    assert_int_equal(b.rang, 1);
    pc_alarm_cancel(&b.alarm);
    assert_int_equal(b.alarm.place, 0);
}

/* Its time is over already. */
static void past(void **state)
{
    bell b;

    (void)state;
    bell_init(&b, 1);
    assert_true(pc_alarm_set(&b.alarm, 1));
    assert_true(reaches(&b.rang, 1));
}

static void earlier_wakes_the_thread(void **state)
{
    bell far, near;
    apr_time_t start = pc_now();

    (void)state;
    bell_init(&far, 1);
    bell_init(&near, 2);
    assert_true(pc_alarm_set(&far.alarm, start + apr_time_from_sec(600)));
    nap(10 * MSEC); /* the thread sleeps until then */
    assert_true(pc_alarm_set(&near.alarm, pc_now() + 5 * MSEC));
    assert_true(reaches(&near.rang, 1));
    assert_true(pc_now() - start < apr_time_from_sec(60));
    assert_int_equal(far.rang, 0);
    pc_alarm_cancel(&far.alarm);
}

/* The thread is not told of what is cancelled, and looks when that would have rung: what comes then must not be missed,
 * neither before that time nor behind it. */
static void in_place_of_a_cancelled_one(void **state)
{
    static const int first[] = { 60000, 60000, 10, 10 }, second[] = { 15, 60000, 25, 5 };
    bell a[4], b[4], last;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        bell_init(&a[i], 1);
        bell_init(&b[i], 2);
        assert_true(pc_alarm_set(&a[i].alarm, pc_now() + first[i] * MSEC));
        nap(5 * MSEC); /* the thread sleeps until then */
        pc_alarm_cancel(&a[i].alarm);
        assert_true(pc_alarm_set(&b[i].alarm, pc_now() + second[i] * MSEC));
        if (i != 1) {
            assert_true(reaches(&b[i].rang, 1));
        }
    }
    bell_init(&last, 3);
    assert_true(pc_alarm_set(&last.alarm, pc_now() + MSEC));
    assert_true(reaches(&last.rang, 1));
    assert_int_equal(b[1].rang, 0);
    pc_alarm_cancel(&b[1].alarm);
    for (i = 0; i < 4; i++) {
        assert_true(a[i].rang == 0 || first[i] == 10); /* on a busy machine it may have rung before it was cancelled */
    }
}

/* Every permutation would be too many; this one takes the heap's branches both up and down. */
static void in_order(void **state)
{
    enum { N = 500 };
    static bell b[N];
    apr_time_t base = pc_now() + 1000 * MSEC; /* more than setting all of them takes */
    int i;

    (void)state;
    for (i = 0; i < N; i++) {
        bell_init(&b[i], i * 7919 % N);
        assert_true(pc_alarm_set(&b[i].alarm, base + b[i].tag * 20));
    }
    for (i = 0; i < N; i += 3) {
        pc_alarm_cancel(&b[i].alarm);
    }
    for (i = 0; i < N; i += 3) { /* and back, from the other end */
        int j = (N - 1) / 3 * 3 - i;

        assert_true(pc_alarm_set(&b[j].alarm, base + b[j].tag * 20));
    }
    assert_true(reaches(&rung.n, N));
    for (i = 0; i < N; i++) {
        assert_int_equal(rung.tags[i], i);
    }
}

static void moved(void **state)
{
    bell later, sooner;

    (void)state;
    bell_init(&later, 1);
    bell_init(&sooner, 2);
    assert_true(pc_alarm_set(&later.alarm, pc_now() + 500 * MSEC));
    assert_true(pc_alarm_set(&sooner.alarm, pc_now() + apr_time_from_sec(600)));
    assert_true(pc_alarm_set(&later.alarm, pc_now() + apr_time_from_sec(600)));
    assert_true(pc_alarm_set(&sooner.alarm, pc_now() + 550 * MSEC));
    assert_true(reaches(&sooner.rang, 1));
    nap(20 * MSEC);
    assert_int_equal(later.rang, 0);
    pc_alarm_cancel(&later.alarm);
}

static void again(void **state)
{
    bell b;

    (void)state;
    bell_init(&b, 1);
    b.again = 4;
    assert_true(pc_alarm_set(&b.alarm, pc_now() + MSEC));
    assert_true(reaches(&b.rang, 5));
    nap(10 * MSEC);
    assert_int_equal(b.rang, 5);
}

static void cancelled(void **state)
{
    bell b[40];
    int i;

    (void)state;
    for (i = 0; i < 40; i++) {
        bell_init(&b[i], i);
        pc_alarm_cancel(&b[i].alarm); /* one that was never set */
        assert_true(pc_alarm_set(&b[i].alarm, pc_now() + 700 * MSEC + i));
    }
    for (i = 0; i < 40; i++) {
        pc_alarm_cancel(&b[(i * 17) % 40].alarm);
        pc_alarm_cancel(&b[(i * 17) % 40].alarm); /* twice is once */
    }
    nap(720 * MSEC);
    assert_int_equal(rung.n, 0);
}

/* Set alarms do not keep a child from ending, and none rings or is set afterwards. */
static void end_of_the_child(void **state)
{
    bell b, other;
    apr_time_t start = pc_now();

    (void)state;
    bell_init(&b, 1);
    bell_init(&other, 2);
    assert_true(pc_alarm_set(&b.alarm, pc_now() + apr_time_from_sec(600)));
    clock_end();
    assert_true(pc_now() - start < apr_time_from_sec(60));
    assert_false(pc_alarm_set(&other.alarm, pc_now()));
    pc_alarm_cancel(&b.alarm);
    assert_int_equal(b.rang + other.rang, 0);
}

/* No thread before the first alarm. */
static void no_alarm(void **state)
{
    apr_time_t start = pc_now();

    (void)state;
    clock_end();
    assert_true(pc_now() - start < apr_time_from_sec(60));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rings_once),
        TEST(past),
        TEST(earlier_wakes_the_thread),
        TEST(in_place_of_a_cancelled_one),
        TEST(in_order),
        TEST(moved),
        TEST(again),
        TEST(cancelled),
        TEST(end_of_the_child),
        TEST(no_alarm),
    };
    int rc;

    apr_initialize();
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return rc;
}
