/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/table.c mod_procd/table_child.c mod_procd/table_lease.c mod_procd/table_lock.c mod_procd/table_read.c mod_procd/table_write.c mod_procd/proc_stat.c */
/* libs: -lpthread */
/* The process table under threads that stand for children, while one that stands for the manager starts, retires and
 * replaces processes: no process has more leases than it takes, none is ended while it is leased, nothing is lost. */
#include "table.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define CHILDREN 4
#define SLOTS 3
#define CONCURRENCY 2
#define ROUNDS 20000
#define GROUP 5

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

static procd_tables child_side, manager_side;
static atomic_int users[1 << 20]; /* by instance: what the table should count */
static atomic_int ended[1 << 20];
static atomic_int finished;

static void start_process(int slot, uint64_t instance)
{
    procd_group_row *g = &manager_side.manager->groups[GROUP];
    procd_process_row *row = &g->processes[slot];
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    snprintf(un.sun_path, sizeof(un.sun_path), "/%llu", (unsigned long long)instance);
    procd_row_begin(row);
    atomic_store(&row->instance, instance);
    atomic_store(&row->pid, (int)instance);
    atomic_store(&row->concurrency, CONCURRENCY);
    procd_row_set_addr(row, &un, sizeof(un));
    procd_row_end(row);
    atomic_store(&row->state, instance % 2 ? PROCD_STARTED : PROCD_READY);
    if (atomic_load(&g->slots) <= slot) {
        atomic_store(&g->slots, slot + 1);
    }
}

/* As the real one does it: DRAINING, a fence, and then a look. */
static int end_process(int slot)
{
    procd_process_row *row = &manager_side.manager->groups[GROUP].processes[slot];
    uint64_t instance = atomic_load(&row->instance);

    atomic_store(&row->state, PROCD_DRAINING);
    atomic_thread_fence(memory_order_seq_cst);
    if (procd_table_busy(&manager_side, GROUP, slot, instance) != 0) {
        return 0;
    }
    atomic_store(&ended[instance], 1);
    CHECK(atomic_load(&users[instance]) == 0);
    procd_row_begin(row);
    atomic_store(&row->state, PROCD_EMPTY);
    atomic_store(&row->instance, 0);
    procd_row_end(row);
    return 1;
}

static void *manager(void *arg)
{
    uint64_t instance = 0;
    int slot = 0;

    (void)arg;
    for (int i = 0; i < SLOTS; i++) {
        start_process(i, ++instance);
    }
    while (!atomic_load(&finished)) {
        uint32_t started = PROCD_STARTED;

        atomic_compare_exchange_strong(&manager_side.manager->groups[GROUP].processes[slot].state, &started,
                                       PROCD_READY);
        if (end_process(slot) && instance + 1 < sizeof(users) / sizeof(users[0])) {
            start_process(slot, ++instance);
            slot = (slot + 1) % SLOTS;
        }
        sched_yield();
    }
    return NULL;
}

/* Counted after the table did and taken back before: so never more than the table has. */
static void use(procd_child *child, const procd_hold *hold)
{
    char path[32];

    CHECK(!atomic_load(&ended[hold->instance]));
    CHECK(atomic_fetch_add(&users[hold->instance], 1) < CONCURRENCY);
    snprintf(path, sizeof(path), "/%llu", (unsigned long long)hold->instance);
    CHECK(strcmp(((const struct sockaddr_un *)&hold->addr)->sun_path, path) == 0);
    sched_yield();
    CHECK(!atomic_load(&ended[hold->instance]));
    atomic_fetch_sub(&users[hold->instance], 1);
    procd_table_give(&child_side, child, GROUP, hold, PROCD_GIVEN_OK, (procd_times){ 0, 0 });
}

static void *child(void *arg)
{
    procd_child *row = procd_child_register(&child_side, (pid_t)(1000 + (intptr_t)arg));
    int taken = 0, ring;
    procd_hold hold;

    CHECK(row);
    for (int i = 0; i < ROUNDS; i++) {
        if (procd_table_take(&child_side, row, GROUP, 0, &hold, &ring) == PROCD_TAKEN) {
            use(row, &hold);
            taken++;
        }
        procd_table_waiting(&child_side, row, GROUP, i % 2 ? -1 : 1);
    }
    CHECK(taken > 0);
    return NULL;
}

/* A child that dies with leases: they are the others' again as soon as the parent has marked it. */
static void test_dead_child(void)
{
    procd_child *dying = procd_child_register(&child_side, 2000), *living = procd_child_register(&child_side, 2001);
    int ring;
    procd_hold hold, held[CONCURRENCY];

    CHECK(dying && living);
    start_process(0, 900001);
    for (int i = 1; i < SLOTS; i++) {
        CHECK(end_process(i));
    }
    for (int i = 0; i < CONCURRENCY; i++) {
        CHECK(procd_table_take(&child_side, dying, GROUP, 0, &held[i], &ring) == PROCD_TAKEN);
    }
    procd_table_waiting(&child_side, dying, GROUP, 3);
    CHECK(procd_table_take(&child_side, living, GROUP, 0, &hold, &ring) == PROCD_TAKE_LATER);
    CHECK(procd_table_busy(&manager_side, GROUP, 0, 900001) == CONCURRENCY);
    CHECK(procd_table_waiting_sum(&manager_side, GROUP) == 3);
    CHECK(procd_child_gone(&child_side, 2000) == 1);
    CHECK(procd_child_gone(&child_side, 2000) == 0);
    CHECK(procd_table_busy(&manager_side, GROUP, 0, 900001) == 0);
    CHECK(procd_table_waiting_sum(&manager_side, GROUP) == 0);
    CHECK(procd_table_take(&child_side, living, GROUP, 900001, &hold, &ring) == PROCD_TAKE_LATER);
    CHECK(procd_table_take(&child_side, living, GROUP, 0, &hold, &ring) == PROCD_TAKEN);
    CHECK(procd_child_register(&child_side, 2002));
    CHECK(procd_table_busy(&manager_side, GROUP, 0, 900001) == 1);
    procd_table_give(&child_side, living, GROUP, &hold, PROCD_GIVEN_OK, (procd_times){ 0, 0 });
    procd_table_give(&child_side, living, GROUP, &hold, PROCD_GIVEN_OK,
                     (procd_times){ 0, 0 }); /* twice changes nothing */
    CHECK(procd_table_busy(&manager_side, GROUP, 0, 900001) == 0);
}

int main(void)
{
    pthread_t threads[CHILDREN], m;
    int manager_fd, children_fd;

    CHECK(procd_table_create(&manager_fd, &children_fd) == 0);
    CHECK(procd_table_map(&child_side, manager_fd, children_fd, 0) == 0);
    CHECK(procd_table_map(&manager_side, manager_fd, children_fd, 1) == 0);
    CHECK(pthread_create(&m, NULL, manager, NULL) == 0);
    for (intptr_t i = 0; i < CHILDREN; i++) {
        CHECK(pthread_create(&threads[i], NULL, child, (void *)i) == 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&finished, 1);
    pthread_join(m, NULL);
    for (int i = 0; i < CHILDREN; i++) {
        CHECK(procd_child_gone(&child_side, 1000 + i) == 1);
    }
    test_dead_child();
    puts("ok");
    return 0;
}
