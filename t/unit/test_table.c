/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/table.c */
/* libs: -lpthread */
/* Whom a lease goes to: processes that accept before those that only have been started. P6 P9 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define GROUP 3

typedef struct fixture {
    procd_tables manager, child;
    procd_group_row *group;
    int row;
} fixture;

static int setup(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));
    int manager_fd, children_fd;

    assert_non_null(fx);
    assert_int_equal(procd_table_create(&manager_fd, &children_fd), 0);
    assert_int_equal(procd_table_map(&fx->manager, manager_fd, children_fd, 1), 0);
    assert_int_equal(procd_table_map(&fx->child, manager_fd, children_fd, 0), 0);
    close(manager_fd);
    close(children_fd);
    fx->group = &fx->manager.manager->groups[GROUP];
    atomic_store(&fx->group->state, PROCD_GROUP_ACTIVE);
    atomic_store(&fx->group->max, 4);
    atomic_store(&fx->group->live, 4);
    fx->row = procd_child_register(&fx->child, 1000);
    assert_true(fx->row >= 0);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    procd_table_unmap(&fx->manager);
    procd_table_unmap(&fx->child);
    free(fx);
    return 0;
}

/* Its instance is 100 + slot. */
static void set_process(fixture *fx, int slot, procd_state process_state, int concurrency)
{
    procd_process_row *row = &fx->group->processes[slot];
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };

    if (atomic_load(&row->instance) == 0) {
        procd_row_begin(row);
        atomic_store(&row->instance, (uint64_t)(100 + slot));
        atomic_store(&row->pid, 100 + slot);
        atomic_store(&row->concurrency, concurrency);
        procd_row_set_addr(row, &un, sizeof(un));
        procd_row_end(row);
    }
    atomic_store(&row->state, process_state);
    if (atomic_load(&fx->group->slots) <= slot) {
        atomic_store(&fx->group->slots, slot + 1);
    }
}

/* The slot, or -1 for later and -2 for never. */
static int take(fixture *fx, uint64_t avoid)
{
    procd_hold hold;
    int ring;

    switch (procd_table_take(&fx->child, fx->row, GROUP, avoid, &hold, &ring)) {
    case PROCD_TAKEN: return hold.slot;
    case PROCD_TAKE_LATER: return -1;
    default: return -2;
    }
}

static void give(fixture *fx, int slot)
{
    procd_hold hold = { .slot = slot, .instance = (uint64_t)(100 + slot) };

    procd_table_give(&fx->child, fx->row, GROUP, &hold, PROCD_GIVEN_OK, (procd_times){ 0, 0 });
}

static void a_started_one_when_none_accepts(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_STARTING, 1);
    assert_int_equal(take(fx, 0), -1);
    set_process(fx, 0, PROCD_STARTED, 1);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(take(fx, 0), -1); /* no more than it takes at once */
    set_process(fx, 1, PROCD_STARTED, 2);
    assert_int_equal(take(fx, 0), 1);
    assert_int_equal(take(fx, 0), 1);
    assert_int_equal(take(fx, 0), -1);
}

static void one_that_accepts_first(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_STARTED, 2);
    set_process(fx, 1, PROCD_READY, 2);
    assert_int_equal(take(fx, 0), 1);
    assert_int_equal(take(fx, 0), 1); /* busier than the other, and better */
}

static void busy_ones_are_waited_for(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_READY, 1);
    set_process(fx, 1, PROCD_STARTED, 1);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(take(fx, 0), -1);
    set_process(fx, 0, PROCD_RETIRING, 1);
    assert_int_equal(take(fx, 0), -1);
    set_process(fx, 1, PROCD_READY, 1);
    assert_int_equal(take(fx, 0), 1);
    give(fx, 0);
    assert_int_equal(take(fx, 0), 0);
}

/* What takes no more leases does not keep requests from one that has been started. */
static void those_that_end_do_not_count(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_READY, 1);
    assert_int_equal(take(fx, 0), 0);
    set_process(fx, 0, PROCD_DRAINING, 1);
    set_process(fx, 1, PROCD_STARTED, 1);
    assert_int_equal(take(fx, 0), 1);
    give(fx, 1);
    set_process(fx, 0, PROCD_STOPPING, 1);
    assert_int_equal(take(fx, 0), 1);
}

/* A request that has just failed there has no use for it, whether it accepts or not. */
static void an_avoided_one_does_not_count(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_READY, 1);
    assert_int_equal(take(fx, 100), -1);
    set_process(fx, 1, PROCD_STARTED, 1);
    assert_int_equal(take(fx, 100), 1);
    assert_int_equal(take(fx, 101), 0);
    give(fx, 0);
    set_process(fx, 0, PROCD_EMPTY, 1);
    give(fx, 1);
    assert_int_equal(take(fx, 101), -1);
}

static void leases_are_kept_when_it_becomes_ready(void **state)
{
    fixture *fx = *state;

    set_process(fx, 0, PROCD_STARTED, 2);
    assert_int_equal(take(fx, 0), 0);
    set_process(fx, 0, PROCD_READY, 2);
    assert_int_equal(procd_table_busy(&fx->manager, GROUP, 0, 100), 1);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(take(fx, 0), -1);
    give(fx, 0);
    give(fx, 0);
    assert_int_equal(procd_table_busy(&fx->manager, GROUP, 0, 100), 0);
}

static void times_are_added_up(void **state)
{
    fixture *fx = *state;
    procd_hold hold = { .slot = 0, .instance = 100 };
    procd_sums sums = { 0, 0, 0, 0 };

    set_process(fx, 0, PROCD_READY, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(take(fx, 0), 0);
    }
    procd_table_give(&fx->child, fx->row, GROUP, &hold, PROCD_GIVEN_OK, (procd_times){ 100, 300 });
    procd_table_give(&fx->child, fx->row, GROUP, &hold, PROCD_GIVEN_BROKE, (procd_times){ 50, 100 });
    procd_table_give(&fx->child, fx->row, GROUP, &hold, PROCD_GIVEN_OK, (procd_times){ 0, 100 });
    procd_table_give(&fx->child, fx->row, GROUP, &hold, PROCD_GIVEN_OK, (procd_times){ -1, -1 });
    procd_table_sum(&fx->manager, GROUP, 0, 100, &sums);
    assert_true(sums.requests == 4 && sums.timed == 2 && sums.first_us == 150 && sums.total_us == 400);
    procd_table_sum(&fx->manager, GROUP, 0, 101, &sums); /* another process's */
    procd_table_sum(&fx->manager, GROUP, 1, 0, &sums);
    assert_int_equal(sums.requests, 4);
}

static void *change_it(void *row)
{
    usleep(20000);
    procd_table_changed(row);
    return NULL;
}

static void a_change_is_waited_for(void **state)
{
    fixture *fx = *state;
    const procd_group_row *row = &fx->child.manager->groups[GROUP]; /* read-only, as children have it */
    uint32_t seen = atomic_load(&row->changes);
    int64_t begin = procd_now_ms();
    pthread_t t;

    assert_int_equal(procd_table_wait(row, seen + 1, 1000000), 0); /* is another number already */
    assert_int_equal(procd_table_wait(row, seen, 0), -1);
    assert_int_equal(procd_table_wait(row, seen, 15000), -1);
    assert_true(procd_now_ms() - begin >= 14);
    assert_int_equal(pthread_create(&t, NULL, change_it, fx->group), 0);
    begin = procd_now_ms();
    assert_int_equal(procd_table_wait(row, seen, 120000000), 0);
    assert_true(procd_now_ms() - begin < 60000); /* woken, not timed out */
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_started_one_when_none_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_accepts_first, setup, teardown),
        cmocka_unit_test_setup_teardown(busy_ones_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(those_that_end_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(an_avoided_one_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(leases_are_kept_when_it_becomes_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(times_are_added_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_is_waited_for, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
