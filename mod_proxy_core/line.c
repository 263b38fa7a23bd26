/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The line of a pool: requests of all children that wait, in the order in which they came, as a list of numbers in the
 * shared table of turns. queue.c has the rules of the game; here are only its moves.
 *
 * A turn is claimed without a lock, by writing the row into its owner, so that a child that is killed with turns of
 * its own leaves them recognisable. From then on it changes under the lock of the pool in whose line it stands.
 */
#include "segment.h"

static pc_turn *turn_at(const pc_seg *seg, unsigned turn)
{
    return turn && turn <= seg->lim.turns ? &seg->turns[turn - 1] : NULL;
}

static apr_uint32_t place(unsigned id, pc_turn_state state)
{
    return ((apr_uint32_t)id + 1) << 2 | (apr_uint32_t)state;
}

unsigned pc_turn_claim(pc_seg *seg, int row, unsigned hint)
{
    unsigned n = seg->lim.turns, i, at;
    pc_row *r = pc_seg_row(seg, (unsigned)row);

    r->turns++; /* before the claim: at worst the one who cleans up searches in vain */
    for (i = 0; i < n; i++) {
        apr_uint32_t none = 0;

        at = (hint + i) % n;
        if (seg->turns[at].owner == 0
            && atomic_compare_exchange_strong(&seg->turns[at].owner, &none, (apr_uint32_t)row + 1)) {
            pc_seg_raise(&seg->head->turn_top, at + 1);
            return at + 1;
        }
    }
    r->turns--;
    return 0;
}

void pc_turn_release(pc_seg *seg, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn);

    apr_uint32_t owner = t ? t->owner : 0;

    if (owner && owner <= seg->lim.rows) {
        t->where = 0;
        t->owner = 0;
        pc_seg_row(seg, owner - 1)->turns--;
    }
}

int pc_turn_picky(pc_seg *seg, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn);

    return t && t->picky;
}

static void link_after(pc_seg *seg, pc_rec *rec, unsigned prev, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn), *p = turn_at(seg, prev), *n;

    t->prev = prev;
    t->next = p ? p->next : rec->head;
    if (p) {
        p->next = turn;
    }
    else {
        rec->head = turn;
    }
    if ((n = turn_at(seg, t->next))) {
        n->prev = turn;
    }
    else {
        rec->tail = turn;
    }
}

void pc_line_append(pc_seg *seg, unsigned id, unsigned turn, int picky)
{
    pc_rec *rec = &seg->recs[id];
    pc_turn *t = turn_at(seg, turn);

    t->picky = picky != 0;
    t->ticket = ++rec->ticket;
    t->where = place(id, PC_TURN_WAITING);
    link_after(seg, rec, rec->tail, turn);
    rec->waiting++;
    rec->plain += !picky;
}

void pc_line_remove(pc_seg *seg, unsigned id, unsigned turn)
{
    pc_rec *rec = &seg->recs[id];
    pc_turn *t = turn_at(seg, turn), *p, *n;

    if (!t || t->where >> 2 != id + 1) {
        return;
    }
    p = turn_at(seg, t->prev);
    n = turn_at(seg, t->next);
    if (p) {
        p->next = t->next;
    }
    else {
        rec->head = t->next;
    }
    if (n) {
        n->prev = t->prev;
    }
    else {
        rec->tail = t->prev;
    }
    rec->called -= t->where == place(id, PC_TURN_CALLED);
    rec->plain -= !t->picky;
    rec->waiting--;
    t->where = 0;
}

int pc_turn_called(pc_seg *seg, unsigned id, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn);

    return t && t->where == place(id, PC_TURN_CALLED);
}

void pc_line_call_turn(pc_seg *seg, unsigned id, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn);

    if (t && t->where == place(id, PC_TURN_WAITING)) {
        t->where = place(id, PC_TURN_CALLED);
        seg->recs[id].called++;
    }
}

int pc_line_call(pc_seg *seg, unsigned id, unsigned after)
{
    pc_rec *rec = &seg->recs[id];
    pc_turn *t = turn_at(seg, after);
    unsigned steps;

    t = turn_at(seg, t ? t->next : rec->head);
    for (steps = 0; t && steps < seg->lim.turns; t = turn_at(seg, t->next), steps++) {
        if (t->where == place(id, PC_TURN_WAITING)) {
            pc_line_call_turn(seg, id, (unsigned)(t - seg->turns) + 1);
            return (int)t->owner - 1;
        }
    }
    return -1;
}

/** So far may a turn be overtaken by one whose child has a connection to hand on. Tickets only grow, so the bound holds. */
#define PC_LINE_NEAR 16

int pc_line_call_near(pc_seg *seg, unsigned id, int row)
{
    unsigned turn = seg->recs[id].head, steps;
    apr_uint64_t first = 0;
    pc_turn *t;

    for (steps = 0; (t = turn_at(seg, turn)) && steps < seg->lim.turns; turn = t->next, steps++) {
        if (t->where != place(id, PC_TURN_WAITING)) {
            continue;
        }
        first = first ? first : t->ticket;
        if (t->ticket - first > PC_LINE_NEAR) {
            break;
        }
        if (t->owner == (apr_uint32_t)row + 1) {
            pc_line_call_turn(seg, id, turn);
            return row;
        }
    }
    return pc_line_call(seg, id, 0);
}

int pc_line_nudge(pc_seg *seg, unsigned id)
{
    return seg->recs[id].called ? -1 : pc_line_call(seg, id, 0);
}

void pc_line_uncall(pc_seg *seg, unsigned id, unsigned turn)
{
    pc_turn *t = turn_at(seg, turn);

    if (t && t->where == place(id, PC_TURN_CALLED)) {
        t->where = place(id, PC_TURN_WAITING);
        seg->recs[id].called--;
    }
}

unsigned pc_line_mine(pc_seg *seg, unsigned id, int row)
{
    pc_rec *rec = &seg->recs[id];
    unsigned left = rec->called, turn = rec->head, steps;
    pc_turn *t;

    for (steps = 0; left && (t = turn_at(seg, turn)) && steps < seg->lim.turns; turn = t->next, steps++) {
        if (t->where == place(id, PC_TURN_CALLED)) {
            if (t->owner == (apr_uint32_t)row + 1) {
                return turn;
            }
            left--;
        }
    }
    return 0;
}

unsigned pc_line_drop(pc_seg *seg, unsigned id, int row)
{
    unsigned turn = seg->recs[id].head, n = 0, steps;
    pc_turn *t;

    for (steps = 0; (t = turn_at(seg, turn)) && steps < seg->lim.turns; steps++) {
        unsigned next = t->next;

        if (t->owner == (apr_uint32_t)row + 1) {
            pc_line_remove(seg, id, turn);
            pc_turn_release(seg, turn);
            n++;
        }
        turn = next;
    }
    return n;
}

void pc_line_rebuild(pc_seg *seg, unsigned id)
{
    pc_rec *rec = &seg->recs[id];
    unsigned top = pc_seg_turn_top(seg), i;

    rec->head = rec->tail = 0;
    rec->waiting = rec->called = rec->plain = 0;
    for (i = 0; i < top; i++) {
        pc_turn *t = &seg->turns[i], *p;
        apr_uint32_t where = t->where;
        unsigned prev = rec->tail;

        if (!t->owner || where >> 2 != id + 1 || (where & 3) == PC_TURN_NONE) {
            continue;
        }
        while ((p = turn_at(seg, prev)) && p->ticket > t->ticket) {
            prev = p->prev;
        }
        link_after(seg, rec, prev, i + 1);
        rec->waiting++;
        rec->called += (where & 3) == PC_TURN_CALLED;
        rec->plain += !t->picky;
    }
}
