/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What children of httpd have written over in their half of the table, and what can be told to be wrong: rows of processes
 * that are no children of httpd, two rows of one, counts that nobody can have. Such a row is marked as that of one who has
 * died, such a count becomes zero, and all children write anew what they know of themselves (table_child.c). So nothing is
 * lost when this goes too far; and where a number is wrong but possible, its child corrects it when it next has to do with
 * the table.
 *
 * A row must be wrong in two rounds: of a child that has just ended the parent may not have heard yet. Nothing is believed
 * and no lock is taken: what is written here are single numbers. A few rows at a time. */
#include "manager.h"
#include "proc_stat.h"

#include <errno.h>
#include <signal.h>

#define ROUND_MS 2000
#define SLICE_MS 10
#define ROWS_AT_ONCE 64

static timer look;
static int at;                         /* the next row */
static int rows_healed, counts_healed; /* since the log was told */
static int wrong;                      /* in this round */
static int64_t said_ms;
static pid_t known[PROCD_MAX_CHILDREN];        /* was seen to be a child of httpd */
static uint64_t suspected[PROCD_MAX_CHILDREN]; /* what was wrong in the last round, or 0 */

static void end_row(procd_child_row *row)
{
    atomic_store(&row->state, PROCD_CHILD_GONE);
    atomic_fetch_add(&the_manager.tables.children->gone, 1);
    rows_healed++;
    wrong = 1;
}

/* Where it cannot be told (a /proc that hides processes), it may be one. */
static int may_be_child(int index, pid_t pid)
{
    proc_stat s;

    if (pid <= 1 || (kill(pid, 0) != 0 && errno == ESRCH)) {
        known[index] = 0;
        return 0;
    }
    if (known[index] != pid && pid != the_manager.parent && proc_stat_read(&s, pid) == 0
        && s.parent != the_manager.parent) {
        return 0;
    }
    known[index] = pid;
    return 1;
}

static int has_another_row(const procd_children_half *half, int index, int n)
{
    pid_t pid = atomic_load(&half->children[index].pid);

    for (int i = 0; i < n; i++) {
        if (i != index && atomic_load(&half->children[i].pid) == pid
            && atomic_load(&half->children[i].state) == PROCD_CHILD_LIVE) {
            return 1;
        }
    }
    return 0;
}

static void heal_counts_of(procd_child_row *row, const group *g)
{
    const procd_tables *tables = &the_manager.tables;
    int n = atomic_load(&g->row->slots), before = counts_healed;

    if (atomic_load(&row->waiting[g->index]) != procd_child_waiting(row, g->index)) {
        atomic_store(&row->waiting[g->index], 0);
        counts_healed++;
    }
    for (int i = 0; i < n && i < PROCD_MAX_SLOTS; i++) {
        uint64_t instance = atomic_load(&g->row->processes[i].instance);

        if (instance && atomic_load(&row->busy[g->index][i]) && procd_child_busy(tables, row, g->index, i) == 0
            && atomic_load(&tables->children->groups[g->index].slots[i].instance) == instance) {
            atomic_store(&row->busy[g->index][i], 0);
            counts_healed++;
        }
    }
    wrong |= counts_healed != before;
}

static void heal_counts(procd_child_row *row)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i]) {
            heal_counts_of(row, the_manager.groups[i]);
        }
    }
}

/* Which of several is the child's own nobody can tell but the child, which takes it back. */
static void end_rows_of(procd_children_half *half, pid_t pid, int n)
{
    for (int i = 0; i < n; i++) {
        procd_child_row *row = &half->children[i];

        if (atomic_load(&row->pid) == pid && atomic_load(&row->state) == PROCD_CHILD_LIVE) {
            end_row(row);
        }
    }
}

static void heal_row(procd_children_half *half, int index, int n)
{
    procd_child_row *row = &half->children[index];
    uint32_t state = atomic_load(&row->state);
    pid_t pid = atomic_load(&row->pid);
    uint64_t what = (uint64_t)state << 32 | (uint32_t)pid, before = suspected[index];

    suspected[index] = 0;
    if (state == PROCD_CHILD_FREE || state == PROCD_CHILD_GONE) {
        return;
    }
    if (state == PROCD_CHILD_LIVE && may_be_child(index, pid) && !has_another_row(half, index, n)) {
        heal_counts(row);
    }
    else if (before == what) {
        end_row(row);
        end_rows_of(half, pid, n);
    }
    else {
        suspected[index] = what;
    }
}

/* Rows at the end that nobody has are not looked at any more. A child that comes there meanwhile raises the number again
 * before it leases anything. */
static void lower_rows(procd_children_half *half)
{
    int32_t seen = atomic_load(&half->rows), n = procd_child_rows(&the_manager.tables), last = n;

    while (last > 0) {
        uint32_t state = atomic_load(&half->children[last - 1].state);

        if (state != PROCD_CHILD_FREE && state != PROCD_CHILD_GONE) {
            break;
        }
        last--;
    }
    if (last != seen) {
        atomic_compare_exchange_strong(&half->rows, &seen, last);
    }
}

static void tell(void)
{
    if ((rows_healed || counts_healed) && manager_may_say(&said_ms)) {
        manager_log(
            LEVEL_WARNING, NULL,
            "PRD0701: the process table was put right: %d rows of what is no child of httpd, %d impossible counts; "
            "a child of httpd has written there what it must not",
            rows_healed, counts_healed);
        rows_healed = counts_healed = 0;
    }
}

static int anybody_waits(void)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i] && procd_table_waiting_sum(&the_manager.tables, i) > 0) {
            return 1;
        }
    }
    return 0;
}

/* Who waits may wait because of a number that is wrong and possible: who has to do with it looks again. */
static void end_round(procd_children_half *half)
{
    lower_rows(half);
    if (wrong || anybody_waits()) {
        atomic_fetch_add(&the_manager.tables.manager->healed, 1);
        manager_wake_children();
    }
    wrong = at = 0;
    tell();
}

static void on_look(timer *t)
{
    procd_children_half *half = the_manager.tables.children;
    int n = procd_child_rows(&the_manager.tables), is_end;

    for (int i = 0; i < ROWS_AT_ONCE && at < n; i++, at++) {
        heal_row(half, at, n);
    }
    is_end = at >= n;
    if (is_end) {
        end_round(half);
    }
    if (the_manager.mode == MODE_RUNNING) {
        loop_timer(t, procd_now_ms() + (is_end ? ROUND_MS : SLICE_MS), on_look, NULL);
    }
}

void heal_start(void)
{
    if (!look.link) {
        loop_timer(&look, procd_now_ms() + ROUND_MS, on_look, NULL);
    }
}
