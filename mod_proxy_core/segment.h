/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  segment.h
 * @brief The shared mapping behind pool.h: its tables, its locks, a row for each child, the line of waiting requests.
 *        Knows APR and POSIX only, so that it is tested without httpd.
 *
 * Handles (pc_seg, pc_registry) are private memory; what stands in the mapping is only believed within the handle's
 * limits. The parent, which may be root, takes none of the locks in here: see segment.c.
 */
#ifndef PC_SEGMENT_H
#define PC_SEGMENT_H

#include "apr.h"
#include "apr_errno.h"
#include "apr_time.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>

#define PC_SEG_MAGIC 0x50435047u
#define PC_SEG_VERSION 1u /* changes with any structure in this file */

#define PC_CACHE_LINE 64

/** How much the tables hold. Pages that are never touched cost nothing. */
typedef struct pc_limits {
    unsigned rows; /* children, of all generations */
    unsigned pools;
    unsigned cells; /* backends, of all pools */
    unsigned turns; /* requests that wait */
} pc_limits;

/** A backend. Written under its pool's lock. */
typedef struct pc_cell {
    _Alignas(PC_CACHE_LINE) _Atomic apr_uint32_t pool; /* id + 1; 0: free. Written by the parent */
    apr_uint32_t in_flight;                            /* always the sum of the rows' held[] */
    apr_int32_t current;                               /* the balancer's */
    apr_uint32_t ewma_usec;
    apr_uint32_t soft;      /* BROKE and TIMEOUT since the last success */
    apr_uint32_t rests;     /* rests since the last success: each is twice as long */
    apr_uint32_t probe_row; /* row + 1 of the child that probes; 0: nobody does */
    apr_int64_t rest_until; /* 0: does not rest. In the past: may be probed */
    apr_uint64_t requests, failures;
} pc_cell;

/** A pool. Written under its lock; the counts may be read without as a hint. */
typedef struct pc_rec {
    _Alignas(PC_CACHE_LINE) pthread_mutex_t lock;
    apr_uint32_t seq;
    apr_uint32_t head, tail; /* the line: turn numbers, 0: empty */
    apr_uint64_t ticket;
    _Atomic apr_uint32_t waiting; /* turns in the line */
    _Atomic apr_uint32_t called;  /* of these, told to try */
    _Atomic apr_uint32_t plain;   /* of these, without a backend that they have tried */
    _Atomic apr_uint64_t groups;  /* a bit for the hash of each spawn group's name */
} pc_rec;

typedef enum { PC_TURN_NONE, PC_TURN_WAITING, PC_TURN_CALLED } pc_turn_state;

/** A place in a pool's line. Claimed with a CAS on owner; the rest is written under the pool's lock. */
typedef struct pc_turn {
    _Atomic apr_uint32_t owner; /* row + 1; 0: free */
    _Atomic apr_uint32_t where; /* (pool + 1) << 2 | pc_turn_state: one word, so that it is never seen half changed */
    apr_uint32_t prev, next;
    apr_uint32_t picky; /* has tried a backend: may be unable to take what others can */
    apr_uint64_t ticket;
} pc_turn;

typedef enum { PC_ROW_FREE, PC_ROW_LIVE, PC_ROW_DEAD } pc_row_state;

/** A child. held[cell] is written by that child, under the lock of the cell's pool. */
typedef struct pc_row {
    _Alignas(PC_CACHE_LINE) _Atomic apr_uint32_t state;
    _Atomic apr_int32_t pid;
    _Atomic apr_uint32_t gen;
    _Atomic apr_uint32_t rung;  /* the bell was rung and not yet heard */
    _Atomic apr_uint32_t turns; /* turns claimed */
    sem_t bell;
    _Atomic apr_uint32_t held[];
} pc_row;

/** The mapping's first page. */
typedef struct pc_seg_head {
    apr_uint32_t magic, version;
    pthread_mutex_t rows_lock; /* before any pool's lock. Claiming and reaping rows; children only */
    _Atomic apr_uint32_t row_top, pool_top, cell_top, turn_top; /* used so far: where a scan may end */
    _Atomic apr_uint32_t dead;                                  /* there are rows to reap */
} pc_seg_head;

/** A process's own view of the mapping. */
typedef struct pc_seg {
    pc_limits lim;
    apr_size_t size;
    pc_seg_head *head;
    pc_rec *recs;
    pc_cell *cells;
    pc_turn *turns;
    char *rows;
    apr_size_t row_size;
} pc_seg;

/** Make the mapping. */
apr_status_t pc_seg_create(pc_seg *seg, const pc_limits *lim);
/** View a mapping made by pc_seg_create() with the same limits. @return APR_EINVAL: another layout */
apr_status_t pc_seg_attach(pc_seg *seg, void *base, const pc_limits *lim);
/** For tests. */
void pc_seg_destroy(pc_seg *seg);

pc_row *pc_seg_row(const pc_seg *seg, unsigned i);
unsigned pc_seg_row_top(const pc_seg *seg);
unsigned pc_seg_pool_top(const pc_seg *seg);
unsigned pc_seg_cell_top(const pc_seg *seg);
unsigned pc_seg_turn_top(const pc_seg *seg);
/** Raise a top to at least n. */
void pc_seg_raise(_Atomic apr_uint32_t *top, apr_uint32_t n);

/** Lock a pool; repairs it when the last owner was killed inside. @return 0: the memory is damaged, not locked */
int pc_rec_lock(pc_seg *seg, unsigned id);
void pc_rec_unlock(pc_seg *seg, unsigned id);

/* ------------------------------------------------------------------ names (parent only, private memory) */

/** Which name has which number. Survives graceful restarts in the parent; children have the copy of their fork. */
typedef struct pc_registry pc_registry;

pc_registry *pc_registry_create(const pc_limits *lim);
void pc_registry_destroy(pc_registry *reg);
/** A new generation of the configuration. @return its number, from 1 */
apr_uint32_t pc_registry_next(pc_registry *reg);
/** Find or make the pool of this name. @return id; -1: the table is full; -2: the name is taken in this generation */
int pc_registry_pool(pc_registry *reg, pc_seg *seg, const char *name);
/** The same for a backend of a pool. */
int pc_registry_cell(pc_registry *reg, pc_seg *seg, unsigned pool, const char *name);
apr_uint32_t pc_hash(const char *s);

/* ------------------------------------------------------------------ rows */

/** A row for this process. Reaps rows of processes that are gone. @return -1: none is free */
int pc_row_claim(pc_seg *seg, pid_t pid, apr_uint32_t gen);
/** The process has ended: note it and ring those who may clean up. Takes no lock (for the parent). */
void pc_row_gone(pc_seg *seg, pid_t pid);
/** Note rows whose process is not a child of this one (for the parent, before a generation starts). */
void pc_row_sweep(pc_seg *seg);
/** Give back what dead children held. No lock may be held. */
void pc_row_reap(pc_seg *seg);
/** Wake the thread of that row. A system call when it sleeps: no lock may be held. */
void pc_row_ring(pc_seg *seg, int row);

/* ------------------------------------------------------------------ the line (under the pool's lock, except claim) */

/** @param hint where to look first. @return turn number, 0: the table is full */
unsigned pc_turn_claim(pc_seg *seg, int row, unsigned hint);
void pc_turn_release(pc_seg *seg, unsigned turn);
void pc_line_append(pc_seg *seg, unsigned id, unsigned turn, int picky);
void pc_line_remove(pc_seg *seg, unsigned id, unsigned turn);
/** Call the first who was not called. @param after begin behind this turn, 0: at the head
 *  @return the row to be rung, -1: nobody */
int pc_line_call(pc_seg *seg, unsigned id, unsigned after);
/** The same, but a turn of `row` that is nearly the first (PC_LINE_NEAR places) is called in place of the first.
 *  @return as pc_line_call() */
int pc_line_call_near(pc_seg *seg, unsigned id, int row);
/** Called, but there was nothing: wait on, in the same place. */
void pc_line_uncall(pc_seg *seg, unsigned id, unsigned turn);
/** The first of this row that was called. @return 0: none */
unsigned pc_line_mine(pc_seg *seg, unsigned id, int row);
/** Take all of a row out of the line. @return how many */
unsigned pc_line_drop(pc_seg *seg, unsigned id, int row);
/** Link again what says that it is in this line (after a kill). */
void pc_line_rebuild(pc_seg *seg, unsigned id);
/** Something may have changed, but no room was made for certain: call the first unless somebody is called already, who
 *  will look and call on. So that no call without room lets a later one overtake. */
int pc_line_nudge(pc_seg *seg, unsigned id);
/** Call this one. */
void pc_line_call_turn(pc_seg *seg, unsigned id, unsigned turn);
int pc_turn_called(pc_seg *seg, unsigned id, unsigned turn);
int pc_turn_picky(pc_seg *seg, unsigned turn);

#endif /* PC_SEGMENT_H */
