/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/table.c mod_procd/table_child.c mod_procd/table_lease.c mod_procd/table_lock.c mod_procd/table_read.c mod_procd/table_write.c mod_procd/proc_stat.c */
/* libs: -lpthread */
/* Whom a lease goes to: processes that accept before those that only have been started. P6 P9 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUP 3

typedef struct fixture {
    procd_tables manager, child;
    procd_group_row *group;
    procd_child *row;
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
    assert_non_null(fx->row);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    procd_table_unmap(&fx->manager);
    procd_table_unmap(&fx->child);
    procd_child_free(fx->row);
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

/* ------------------------------------------------------------------ what was written over */

static int taken_of(fixture *fx, int slot)
{
    return procd_table_busy(&fx->manager, GROUP, slot, (uint64_t)(100 + slot));
}

/* The sum that all read says that a process is full. */
static void a_sum_that_is_wrong(void **state)
{
    fixture *fx = *state;
    procd_slot_count *count = &fx->child.children->groups[GROUP].slots[0];
    static const int wrong[] = { 1, 2, 77, -1, INT32_MAX, INT32_MIN };

    set_process(fx, 0, PROCD_READY, 2);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(take(fx, 0), 0);
        atomic_store(&count->busy, wrong[i]);
        give(fx, 0);
        atomic_store(&count->busy, wrong[i]);
        for (int n = 0; n < 200 && take(fx, 0) != 0; n++) {
            usleep(10000); /* it looks once a second whether the group is full */
        }
        give(fx, 0);
        assert_int_equal(taken_of(fx, 0), 0);
        atomic_store(&count->busy, 0);
    }
}

/* A child's own row is a copy of what it knows. */
static void a_row_that_is_wrong(void **state)
{
    fixture *fx = *state;
    procd_child_row *row = &fx->child.children->children[0];
    procd_child *other = procd_child_register(&fx->child, 1001);

    set_process(fx, 0, PROCD_READY, 4);
    set_process(fx, 1, PROCD_READY, 4);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(take(fx, 0), 1);
    procd_table_waiting(&fx->child, fx->row, GROUP, 2);
    atomic_store(&row->busy[GROUP][0], 4);
    assert_int_equal(taken_of(fx, 0), 4); /* which nobody can see ... */
    assert_int_equal(take(fx, 0), 0);     /* ... until it is touched */
    assert_int_equal(taken_of(fx, 0), 2);
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        atomic_store(&row->waiting[i], 3);
    }
    atomic_store(&row->busy[GROUP][0], 0);
    atomic_store(&row->busy[GROUP][1], 60000);
    atomic_store(&row->used[0], 0);
    atomic_fetch_add(&fx->manager.manager->healed, 1); /* as heal.c does */
    procd_table_waiting(&fx->child, fx->row, GROUP + 1, 1);
    assert_int_equal(taken_of(fx, 0), 2);
    assert_int_equal(taken_of(fx, 1), 1);
    assert_int_equal(procd_table_waiting_sum(&fx->manager, GROUP), 2);
    assert_int_equal(procd_table_waiting_sum(&fx->manager, GROUP + 1), 1);
    assert_int_equal(procd_table_waiting_sum(&fx->manager, 0), 0);
    procd_child_free(other);
}

/* It is marked as that of one who has died, or given to somebody. */
static void a_row_that_is_lost(void **state)
{
    fixture *fx = *state;
    procd_child_row *row = &fx->child.children->children[0], *next = &fx->child.children->children[1];

    set_process(fx, 0, PROCD_READY, 4);
    assert_int_equal(take(fx, 0), 0);
    atomic_store(&row->state, PROCD_CHILD_GONE);
    assert_int_equal(taken_of(fx, 0), 0);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(taken_of(fx, 0), 2);
    atomic_store(&row->pid, 0);
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(taken_of(fx, 0), 3);
    assert_int_equal(atomic_load(&row->pid), 1000);
    atomic_store(&row->pid, getpid()); /* who lives */
    give(fx, 0);
    assert_int_equal(atomic_load(&row->pid), getpid());
    assert_int_equal(atomic_load(&next->pid), 1000);
    assert_int_equal(atomic_load(&next->busy[GROUP][0]), 2);
    atomic_store(&row->state, PROCD_CHILD_GONE); /* as heal.c does when nobody like that is there */
    atomic_store(&fx->child.children->rows, -7);
    give(fx, 0);
    assert_int_equal(atomic_load(&fx->child.children->rows), 2);
    assert_int_equal(taken_of(fx, 0), 1);
}

/* A lock whose owner is not, or never gives it back. */
static void a_lock_that_is_wrong(void **state)
{
    fixture *fx = *state;
    _Atomic uint32_t *lock = &fx->child.children->groups[GROUP].lock;
    uint32_t dead[] = { 4194303u, 0x80000000u + 4194303u, 0xffffffffu, 0x7fc00000u, 0x80000000u };
    int64_t begin = procd_now_ms();
    pid_t pid;

    set_process(fx, 0, PROCD_READY, 1);
    for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
        atomic_store(lock, dead[i]);
        assert_int_equal(take(fx, 0), 0);
        give(fx, 0);
    }
    assert_true(procd_now_ms() - begin < 4000); /* who has died is not waited for */
    atomic_store(lock, (uint32_t)getpid());
    assert_int_equal(take(fx, 0), 0);
    assert_int_equal(taken_of(fx, 0), 1);
    pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    atomic_store(lock, (uint32_t)pid); /* perhaps a zombie by now */
    give(fx, 0);
    assert_int_equal(taken_of(fx, 0), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(atomic_load(lock) & 0x3fffff, 0);
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
        cmocka_unit_test_setup_teardown(a_sum_that_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_that_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_that_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_that_is_wrong, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
