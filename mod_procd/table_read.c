/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Reading the process table, in whatever process: rows are copied under their sequence number, and what children have written
 * is clamped. */
#include "table_priv.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAITING_MOST 100000 /* requests in one child */

/* ------------------------------------------------------------------ names */

void procd_row_name(const procd_group_row *row, char name[PROCD_NAME_WORDS * 8])
{
    for (int i = 0; i < PROCD_NAME_WORDS; i++) {
        uint64_t word = get(row->name[i]);

        memcpy(name + i * 8, &word, 8);
    }
    name[PROCD_NAME_WORDS * 8 - 1] = '\0';
}

int procd_row_is(const procd_group_row *row, const char *name)
{
    char text[PROCD_NAME_WORDS * 8];

    if (get(row->state) == PROCD_GROUP_FREE) {
        return 0;
    }
    procd_row_name(row, text);
    return strcmp(text, name) == 0;
}

int procd_table_top(const procd_tables *t)
{
    int top = get(t->manager->top);

    return top >= 0 && top <= PROCD_GROUPS_CONFIGURED ? top : PROCD_GROUPS_CONFIGURED;
}

int procd_table_dir_top(const procd_tables *t)
{
    int top = get(t->manager->dir_top);

    return top >= PROCD_GROUPS_CONFIGURED && top <= PROCD_MAX_GROUPS ? top : PROCD_GROUPS_CONFIGURED;
}

int procd_table_find(const procd_tables *t, const char *name)
{
    int top = procd_table_dir_top(t);

    for (int i = PROCD_GROUPS_CONFIGURED; i < top; i++) {
        if (procd_row_is(&t->manager->groups[i], name)) {
            return i;
        }
    }
    return -1;
}

/* ------------------------------------------------------------------ reading */

/* Of permissions for scripts there may have been more than there are now. */
int procd_child_busy(const procd_tables *t, const procd_child_row *row, int group, int slot)
{
    const procd_process_row *p = &t->manager->groups[group].processes[slot];
    int n = get(row->busy[group][slot]);

    return n <= (get(p->state) == PROCD_OPEN ? PROCD_MAX_SLOTS : get(p->concurrency)) ? n : 0;
}

int procd_child_waiting(const procd_child_row *row, int group)
{
    int n = get(row->waiting[group]);

    return n >= 0 && n <= WAITING_MOST ? n : 0;
}

int procd_table_busy(const procd_tables *t, int group, int slot, uint64_t instance)
{
    const procd_slot_count *count = &t->children->groups[group].slots[slot];
    int rows = procd_child_rows(t), sum = 0;

    if (atomic_load_explicit(&count->instance, memory_order_acquire) != instance) {
        return 0;
    }
    for (int c = 0; c < rows; c++) {
        const procd_child_row *row = &t->children->children[c];

        if (atomic_load_explicit(&row->state, memory_order_acquire) == PROCD_CHILD_LIVE
            && (get(row->used[group / 64]) >> (group % 64) & 1)) {
            sum += procd_child_busy(t, row, group, slot);
        }
    }
    return sum;
}

int procd_table_waiting_sum(const procd_tables *t, int group)
{
    int rows = procd_child_rows(t);
    int64_t sum = 0;

    for (int c = 0; c < rows; c++) {
        const procd_child_row *row = &t->children->children[c];

        if (atomic_load_explicit(&row->state, memory_order_acquire) == PROCD_CHILD_LIVE) {
            sum += procd_child_waiting(row, group);
        }
    }
    return sum > 1000000 ? 1000000 : (int)sum;
}

int procd_row_read(const procd_process_row *row, procd_hold *hold, uint32_t *state)
{
    for (int tries = 0; tries < 100; tries++) {
        uint32_t seq = atomic_load_explicit(&row->seq, memory_order_acquire);

        if (seq & 1) {
            continue;
        }
        *state = get(row->state);
        hold->instance = get(row->instance);
        hold->pid = get(row->pid);
        hold->concurrency = get(row->concurrency);
        hold->addr_len = get(row->addr_len);
        for (int i = 0; i < PROCD_ADDR_WORDS; i++) {
            hold->addr.words[i] = get(row->addr[i]);
        }
        atomic_thread_fence(memory_order_acquire);
        if (get(row->seq) == seq) {
            return hold->addr_len <= sizeof(hold->addr) ? 0 : -1;
        }
    }
    return -1;
}

void procd_why_read(const procd_group_row *row, char why[PROCD_WHY_WORDS * 8])
{
    uint64_t words[PROCD_WHY_WORDS];

    for (int tries = 0; tries < 100; tries++) {
        uint32_t seq = atomic_load_explicit(&row->seq, memory_order_acquire);

        for (int i = 0; i < PROCD_WHY_WORDS; i++) {
            words[i] = get(row->why[i]);
        }
        atomic_thread_fence(memory_order_acquire);
        if (!(seq & 1) && get(row->seq) == seq) {
            break;
        }
    }
    memcpy(why, words, sizeof(words));
    why[sizeof(words) - 1] = '\0';
}

void procd_table_sum(const procd_tables *t, int group, int slot, uint64_t instance, procd_sums *sums)
{
    const procd_slot_count *count = &t->children->groups[group].slots[slot];

    if (instance && atomic_load_explicit(&count->instance, memory_order_acquire) == instance) {
        sums->requests += get(count->requests);
        sums->timed += get(count->timed);
        sums->first_us += get(count->first_us);
        sums->total_us += get(count->total_us);
    }
}

int procd_table_wait(const procd_group_row *row, uint32_t seen, int64_t timeout_us)
{
    int64_t now = procd_now_ms(), until = now + (timeout_us + 999) / 1000;

    while (atomic_load_explicit(&row->changes, memory_order_acquire) == seen) {
        struct timespec left = { (until - now) / 1000, (until - now) % 1000 * 1000000 };

        if (now >= until) {
            return -1;
        }
        syscall(SYS_futex, &row->changes, FUTEX_WAIT, seen, &left, NULL, 0);
        now = procd_now_ms();
    }
    return 0;
}
