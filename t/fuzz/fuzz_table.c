/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/table.c mod_procd/table_child.c mod_procd/table_lease.c mod_procd/table_lock.c mod_procd/table_read.c mod_procd/table_write.c mod_procd/proc_stat.c */
/* libs: -lpthread */
/* Children of httpd write what they like into their half of the process table. What the manager reads there stays within its
 * bounds, and what other children and the parent do with it ends and touches nothing else. */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

#define GROUPS 3
#define ROWS 4
#define WRITES 64

typedef struct scribble {
    uint32_t where;
    uint8_t kind, value[8];
} scribble;

static procd_tables manager, child;
static procd_child *child_row;

static void set_up(void)
{
    int manager_fd, children_fd;

    CHECK(procd_table_create(&manager_fd, &children_fd) == 0);
    CHECK(procd_table_map(&manager, manager_fd, children_fd, 1) == 0);
    CHECK(procd_table_map(&child, manager_fd, children_fd, 0) == 0);
    for (int g = 0; g < GROUPS; g++) {
        procd_group_row *row = &manager.manager->groups[g];

        atomic_store(&row->state, PROCD_GROUP_ACTIVE);
        atomic_store(&row->slots, 2);
        atomic_store(&row->max, 2);
        for (int i = 0; i < 2; i++) {
            atomic_store(&row->processes[i].instance, (uint64_t)(1 + i));
            atomic_store(&row->processes[i].concurrency, 2);
            atomic_store(&row->processes[i].state, PROCD_READY);
        }
    }
    child_row = procd_child_register(&child, 1000);
    CHECK(child_row);
}

static unsigned char *part(uint8_t kind, size_t *len)
{
    procd_children_half *half = child.children;

    switch (kind % 3) {
    case 0: *len = offsetof(procd_children_half, groups); return (unsigned char *)half;
    case 1: *len = sizeof(half->groups[0]) * GROUPS; return (unsigned char *)half->groups;
    default: *len = sizeof(half->children[0]) * ROWS; return (unsigned char *)half->children;
    }
}

static int read_all(void)
{
    int sum = 0;

    for (int g = 0; g < GROUPS; g++) {
        int waiting = procd_table_waiting_sum(&manager, g);

        CHECK(waiting >= 0 && waiting <= 1000000);
        for (int i = 0; i < 2; i++) {
            procd_sums sums = { 0, 0, 0, 0 };
            int busy = procd_table_busy(&manager, g, i, (uint64_t)(1 + i));

            CHECK(busy >= 0 && busy <= PROCD_MAX_CHILDREN * UINT16_MAX);
            procd_table_sum(&manager, g, i, (uint64_t)(1 + i), &sums);
            sum += busy + (int)sums.timed;
        }
    }
    return sum;
}

static void use_all(void)
{
    for (int g = 0; g < GROUPS; g++) {
        procd_hold hold;
        int ring;

        if (procd_table_take(&child, child_row, g, 0, &hold, &ring) == PROCD_TAKEN) {
            CHECK(hold.slot >= 0 && hold.slot < 2 && hold.instance == (uint64_t)(1 + hold.slot));
            procd_table_give(&child, child_row, g, &hold, PROCD_GIVEN_OK, (procd_times){ 1, 2 });
        }
        procd_table_waiting(&child, child_row, g, 1);
    }
    procd_child_gone(&child, 4711);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scribble list[WRITES];
    size_t n = size / sizeof(scribble) < WRITES ? size / sizeof(scribble) : WRITES, len;

    if (!manager.manager) {
        set_up();
    }
    memcpy(list, data, n * sizeof(scribble));
    for (size_t i = 0; i < n; i++) {
        unsigned char *at = part(list[i].kind, &len);

        memcpy(at + list[i].where % (len - sizeof(list[i].value) + 1), list[i].value, sizeof(list[i].value));
    }
    for (int g = 0; g < GROUPS; g++) {
        atomic_store(&child.children->groups[g].lock,
                     0); /* waiting for somebody takes too long here: test_table.c has that */
    }
    (void)read_all();
    use_all();
    (void)read_all();
    for (size_t i = 0; i < n; i++) {
        unsigned char *at = part(list[i].kind, &len);

        memset(at + list[i].where % (len - sizeof(list[i].value) + 1), 0, sizeof(list[i].value));
    }
    return 0;
}
