/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: which children there are, what each holds, and its bell.
 *
 * A row is FREE, LIVE (its child wrote its pid) or DEAD (somebody saw that the child has ended). Only the parent learns
 * of an end at once, but it takes no lock here (segment.c says why): it marks the row and rings the others, when the
 * dead one held something. They reap: whoever is first goes through the pools, one lock at a time, gives back and takes
 * out of the lines what the row had, and frees it. All of that may be begun again by the next one if the reaper is
 * killed: a count is zeroed in the same locked passage that subtracts it. A request that finds no free backend reaps,
 * too, before it believes it, so the answer does not depend on who was awake.
 */
#include "segment.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

void pc_row_ring(pc_seg *seg, int row)
{
    pc_row *r;

    if (row < 0 || (unsigned)row >= seg->lim.rows) {
        return;
    }
    r = pc_seg_row(seg, (unsigned)row);
    /* An exchange on both sides: who rings after the thread began to look sees 0, and it will look again. */
    if (atomic_exchange(&r->rung, 1) == 0) {
        sem_post(&r->bell);
    }
}

static int holds_something(const pc_seg *seg, pc_row *row)
{
    unsigned c;

    for (c = 0; c < pc_seg_cell_top(seg); c++) {
        if (row->held[c]) {
            return 1;
        }
    }
    return row->turns != 0;
}

static void ring_all(pc_seg *seg)
{
    unsigned i;

    for (i = 0; i < pc_seg_row_top(seg); i++) {
        if (pc_seg_row(seg, i)->state == PC_ROW_LIVE) {
            pc_row_ring(seg, (int)i);
        }
    }
}

static void mark_dead(pc_seg *seg, pc_row *row)
{
    row->state = PC_ROW_DEAD;
    seg->head->dead = 1;
}

void pc_row_gone(pc_seg *seg, pid_t pid)
{
    unsigned i;

    for (i = 0; i < pc_seg_row_top(seg); i++) {
        pc_row *row = pc_seg_row(seg, i);

        if (row->state == PC_ROW_LIVE && row->pid == pid) {
            int needed = holds_something(seg, row);

            mark_dead(seg, row);
            if (needed) {
                ring_all(seg);
            }
        }
    }
}

void pc_row_sweep(pc_seg *seg)
{
    unsigned i;

    for (i = 0; i < pc_seg_row_top(seg); i++) {
        pc_row *row = pc_seg_row(seg, i);
        siginfo_t si;
        pid_t pid = row->pid;

        if (row->state == PC_ROW_LIVE
            && (pid <= 0 || (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD))) {
            mark_dead(seg, row);
        }
    }
}

/* @return the row to be rung, -1: nobody */
static int reap_pool(pc_seg *seg, unsigned id, unsigned dead)
{
    pc_row *row = pc_seg_row(seg, dead);
    unsigned cells = pc_seg_cell_top(seg), c;
    int next = -1;

    if (!pc_rec_lock(seg, id)) {
        return -1;
    }
    for (c = 0; c < cells; c++) {
        pc_cell *cell = &seg->cells[c];

        if (cell->pool != id + 1) {
            continue;
        }
        cell->in_flight -= row->held[c] < cell->in_flight ? row->held[c] : cell->in_flight;
        row->held[c] = 0;
        if (cell->probe_row == dead + 1) {
            cell->probe_row = 0;
        }
    }
    pc_line_drop(seg, id, (int)dead);
    if (seg->recs[id].waiting) {
        next = pc_line_nudge(seg, id);
    }
    pc_rec_unlock(seg, id);
    return next;
}

static void reap_row(pc_seg *seg, unsigned dead)
{
    pc_row *row = pc_seg_row(seg, dead);
    unsigned i;

    for (i = 0; i < pc_seg_pool_top(seg); i++) {
        pc_row_ring(seg, reap_pool(seg, i, dead));
    }
    if (row->turns) { /* claimed, but in no line yet */
        for (i = 0; i < pc_seg_turn_top(seg); i++) {
            if (seg->turns[i].owner == dead + 1) {
                seg->turns[i].where = 0;
                seg->turns[i].owner = 0;
            }
        }
    }
    for (i = 0; i < pc_seg_cell_top(seg); i++) {
        row->held[i] = 0; /* of cells that were taken away meanwhile */
    }
    row->turns = 0;
    row->state = PC_ROW_FREE;
}

/* rows_lock is held. */
static void reap_locked(pc_seg *seg)
{
    unsigned i;

    seg->head->dead = 0;
    for (i = 0; i < pc_seg_row_top(seg); i++) {
        if (pc_seg_row(seg, i)->state == PC_ROW_DEAD) {
            reap_row(seg, i);
        }
    }
}

static int lock_rows(pc_seg *seg)
{
    int rc = pthread_mutex_lock(&seg->head->rows_lock);

    if (rc == EOWNERDEAD) {
        seg->head->dead = 1;
        rc = pthread_mutex_consistent(&seg->head->rows_lock);
    }
    return rc == 0;
}

void pc_row_reap(pc_seg *seg)
{
    if (lock_rows(seg)) {
        reap_locked(seg);
        pthread_mutex_unlock(&seg->head->rows_lock);
    }
}

static int claim_locked(pc_seg *seg, pid_t pid, apr_uint32_t gen)
{
    unsigned i;

    for (i = 0; i < seg->lim.rows; i++) {
        pc_row *row = pc_seg_row(seg, i);

        if (row->state == PC_ROW_FREE) {
            row->pid = (apr_int32_t)pid;
            row->gen = gen;
            row->rung = 0;
            row->turns = 0;
            if (sem_init(&row->bell, 1, 0)) {
                return -1;
            }
            pc_seg_raise(&seg->head->row_top, i + 1);
            row->state = PC_ROW_LIVE;
            return (int)i;
        }
    }
    return -1;
}

int pc_row_claim(pc_seg *seg, pid_t pid, apr_uint32_t gen)
{
    unsigned i;
    int row;

    if (!lock_rows(seg)) {
        return -1;
    }
    for (i = 0; i < pc_seg_row_top(seg); i++) {
        pc_row *r = pc_seg_row(seg, i);

        if (r->state == PC_ROW_LIVE && (r->pid <= 0 || (kill(r->pid, 0) == -1 && errno == ESRCH))) {
            mark_dead(seg, r);
        }
    }
    reap_locked(seg);
    row = claim_locked(seg, pid, gen);
    pthread_mutex_unlock(&seg->head->rows_lock);
    return row;
}
