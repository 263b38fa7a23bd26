/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * One anonymous shared mapping, made by the parent before the first child.
 *
 * Why a mutex, and not a compare-and-swap on the backend's count. A lease is counted twice: in the backend's cell, where
 * the balancer looks, and in the row of the child that holds it, so that it can be given back when the child is killed.
 * No atomic instruction changes both words; a child killed between the two would leave them apart for ever, and nobody
 * could tell. Under a robust mutex the next one who locks is told (EOWNERDEAD) that its predecessor died inside, and
 * can repair: the rows are the truth, a cell's in_flight is their sum, and a line is made of all turns that say they
 * are in it. A repair that is itself killed is simply begun again. Uncontended, lock and unlock are two atomic
 * instructions and no system call.
 *
 * Who may lock. glibc links a robust mutex into a list of the owning thread, with pointers that stand in the mutex. In
 * a mapping that children can write these pointers are theirs to forge, and an unlock in the parent would write where
 * they point, as root. So the parent locks nothing in here. It writes tables (mutex initialisation is a plain write),
 * compares process ids, sets the state of a row, and posts semaphores (an atomic add and a futex call on an address
 * that it computed itself). What remains of a dead child is cleaned up by the living ones: pc_row_reap().
 * For the same reason the names stand in the parent's private memory, and every number found in the mapping is compared
 * with the limits in the private handle before it is used as an index; each walk along a list is bounded.
 *
 * Order of locks: rows_lock, then a pool's process-local lock (queue.c), then the pool's shared lock, then whatever
 * mod_procd takes. Never two pools at once. The bell is a POSIX semaphore in the row, not an eventfd: as many as rows
 * are needed, and a prefork server with hundreds of children should not hold hundreds of descriptors in each of them.
 */
#include "segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN_UP(n, to) (((n) + (to)-1) / (to) * (to))

static apr_size_t row_size(const pc_limits *lim)
{
    return ALIGN_UP(sizeof(pc_row) + lim->cells * sizeof(apr_uint32_t), PC_CACHE_LINE);
}

static apr_size_t pages(apr_size_t n)
{
    return ALIGN_UP(n, 4096);
}

static apr_size_t seg_size(const pc_limits *lim)
{
    return pages(sizeof(pc_seg_head)) + pages(lim->pools * sizeof(pc_rec)) + pages(lim->cells * sizeof(pc_cell))
           + pages(lim->turns * sizeof(pc_turn)) + pages(lim->rows * row_size(lim));
}

static void lay_out(pc_seg *seg, char *base, const pc_limits *lim)
{
    seg->lim = *lim;
    seg->size = seg_size(lim);
    seg->row_size = row_size(lim);
    seg->head = (pc_seg_head *)(void *)base;
    base += pages(sizeof(pc_seg_head));
    seg->recs = (pc_rec *)(void *)base;
    base += pages(lim->pools * sizeof(pc_rec));
    seg->cells = (pc_cell *)(void *)base;
    base += pages(lim->cells * sizeof(pc_cell));
    seg->turns = (pc_turn *)(void *)base;
    base += pages(lim->turns * sizeof(pc_turn));
    seg->rows = base;
}

static apr_status_t init_lock(pthread_mutex_t *m)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);

    if (rc) {
        return rc;
    }
    if (!(rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED))
        && !(rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST))) {
        rc = pthread_mutex_init(m, &attr);
    }
    pthread_mutexattr_destroy(&attr);
    return rc;
}

apr_status_t pc_seg_create(pc_seg *seg, const pc_limits *lim)
{
    void *base = mmap(NULL, seg_size(lim), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) {
        return errno;
    }
    lay_out(seg, base, lim);
    seg->head->magic = PC_SEG_MAGIC;
    seg->head->version = PC_SEG_VERSION;
    return init_lock(&seg->head->rows_lock);
}

apr_status_t pc_seg_attach(pc_seg *seg, void *base, const pc_limits *lim)
{
    const pc_seg_head *head = base;

    if (!base || head->magic != PC_SEG_MAGIC || head->version != PC_SEG_VERSION) {
        return APR_EINVAL;
    }
    lay_out(seg, base, lim);
    return APR_SUCCESS;
}

void pc_seg_destroy(pc_seg *seg)
{
    munmap(seg->head, seg->size);
}

pc_row *pc_seg_row(const pc_seg *seg, unsigned i)
{
    return (pc_row *)(void *)(seg->rows + i * seg->row_size);
}

static unsigned at_most(unsigned n, unsigned max)
{
    return n < max ? n : max;
}

unsigned pc_seg_row_top(const pc_seg *seg)
{
    return at_most(seg->head->row_top, seg->lim.rows);
}

unsigned pc_seg_pool_top(const pc_seg *seg)
{
    return at_most(seg->head->pool_top, seg->lim.pools);
}

unsigned pc_seg_cell_top(const pc_seg *seg)
{
    return at_most(seg->head->cell_top, seg->lim.cells);
}

unsigned pc_seg_turn_top(const pc_seg *seg)
{
    return at_most(seg->head->turn_top, seg->lim.turns);
}

void pc_seg_raise(_Atomic apr_uint32_t *top, apr_uint32_t n)
{
    apr_uint32_t was = atomic_load(top);

    while (was < n && !atomic_compare_exchange_weak(top, &was, n)) {
        continue;
    }
}

/* The last owner was killed inside: the rows are the truth. */
static void repair(pc_seg *seg, unsigned id)
{
    unsigned rows = pc_seg_row_top(seg), cells = pc_seg_cell_top(seg), r, c;

    for (c = 0; c < cells; c++) {
        apr_uint32_t sum = 0;

        if (seg->cells[c].pool != id + 1) {
            continue;
        }
        for (r = 0; r < rows; r++) {
            sum += pc_seg_row(seg, r)->held[c];
        }
        seg->cells[c].in_flight = sum;
    }
    pc_line_rebuild(seg, id);
}

int pc_rec_lock(pc_seg *seg, unsigned id)
{
    pthread_mutex_t *m = &seg->recs[id].lock;
    int rc = pthread_mutex_lock(m);

    if (rc == EOWNERDEAD) {
        repair(seg, id);
        rc = pthread_mutex_consistent(m);
    }
    return rc == 0;
}

void pc_rec_unlock(pc_seg *seg, unsigned id)
{
    pthread_mutex_unlock(&seg->recs[id].lock);
}

/* ------------------------------------------------------------------ names */

struct entry {
    char *name;
    apr_uint32_t hash;
    apr_uint32_t gen; /* the last generation that had it */
    unsigned pool;    /* of a cell */
};

struct pc_registry {
    apr_uint32_t gen;
    unsigned npools, ncells;
    struct entry *pools;
    struct entry *cells;
};

apr_uint32_t pc_hash(const char *s)
{
    apr_uint32_t h = 2166136261u;

    while (*s) {
        h = (h ^ (unsigned char)*s++) * 16777619u;
    }
    return h;
}

pc_registry *pc_registry_create(const pc_limits *lim)
{
    pc_registry *reg = calloc(1, sizeof(*reg));

    if (!reg || !(reg->pools = calloc(lim->pools, sizeof(*reg->pools)))
        || !(reg->cells = calloc(lim->cells, sizeof(*reg->cells)))) {
        pc_registry_destroy(reg);
        return NULL;
    }
    return reg;
}

void pc_registry_destroy(pc_registry *reg)
{
    unsigned i;

    if (reg) {
        for (i = 0; i < reg->npools; i++) {
            free(reg->pools[i].name);
        }
        for (i = 0; i < reg->ncells; i++) {
            free(reg->cells[i].name);
        }
        free(reg->pools);
        free(reg->cells);
        free(reg);
    }
}

apr_uint32_t pc_registry_next(pc_registry *reg)
{
    return ++reg->gen;
}

static int find(const struct entry *e, unsigned n, unsigned pool, const char *name)
{
    apr_uint32_t hash = pc_hash(name);
    unsigned i;

    for (i = 0; i < n; i++) {
        if (e[i].name && e[i].hash == hash && e[i].pool == pool && !strcmp(e[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

/* No child knows it any more. One that was forked by the generation before and has no row yet is not seen here: so two
 * generations must have passed. */
static int forgotten(const pc_registry *reg, pc_seg *seg, apr_uint32_t gen)
{
    unsigned r;

    if (gen + 2 > reg->gen) {
        return 0;
    }
    for (r = 0; r < pc_seg_row_top(seg); r++) {
        pc_row *row = pc_seg_row(seg, r);

        if (row->state != PC_ROW_FREE && row->gen <= gen) {
            return 0;
        }
    }
    return 1;
}

/* A free entry; one that nobody knows any more only when there is no other. */
static int vacant(pc_registry *reg, pc_seg *seg, struct entry *e, unsigned n, unsigned max)
{
    unsigned i;

    if (n < max) {
        return (int)n;
    }
    for (i = 0; i < n; i++) {
        if (!e[i].name || forgotten(reg, seg, e[i].gen)) {
            return (int)i;
        }
    }
    return -1;
}

static int take_name(struct entry *e, const char *name, unsigned pool)
{
    char *copy = strdup(name);

    if (!copy) {
        return 0;
    }
    free(e->name);
    e->name = copy;
    e->hash = pc_hash(name);
    e->pool = pool;
    return 1;
}

static int new_pool(pc_registry *reg, pc_seg *seg, const char *name)
{
    int id = vacant(reg, seg, reg->pools, reg->npools, seg->lim.pools);
    unsigned c;

    if (id < 0 || !take_name(&reg->pools[id], name, 0)) {
        return -1;
    }
    for (c = 0; c < reg->ncells; c++) {
        if (reg->cells[c].name && reg->cells[c].pool == (unsigned)id) {
            free(reg->cells[c].name);
            reg->cells[c].name = NULL;
            seg->cells[c].pool = 0;
        }
    }
    reg->npools = reg->npools > (unsigned)id + 1 ? reg->npools : (unsigned)id + 1;
    memset((void *)&seg->recs[id], 0, sizeof(pc_rec));
    if (init_lock(&seg->recs[id].lock)) {
        return -1;
    }
    pc_seg_raise(&seg->head->pool_top, (apr_uint32_t)id + 1);
    return id;
}

int pc_registry_pool(pc_registry *reg, pc_seg *seg, const char *name)
{
    int id = find(reg->pools, reg->npools, 0, name);

    if (id >= 0 && reg->pools[id].gen == reg->gen) {
        return -2;
    }
    if (id < 0 && (id = new_pool(reg, seg, name)) < 0) {
        return -1;
    }
    reg->pools[id].gen = reg->gen;
    return id;
}

static int new_cell(pc_registry *reg, pc_seg *seg, unsigned pool, const char *name)
{
    int c = vacant(reg, seg, reg->cells, reg->ncells, seg->lim.cells);

    if (c < 0 || !take_name(&reg->cells[c], name, pool)) {
        return -1;
    }
    reg->ncells = reg->ncells > (unsigned)c + 1 ? reg->ncells : (unsigned)c + 1;
    memset((void *)&seg->cells[c], 0, sizeof(pc_cell));
    seg->cells[c].pool = pool + 1;
    pc_seg_raise(&seg->head->cell_top, (apr_uint32_t)c + 1);
    return c;
}

int pc_registry_cell(pc_registry *reg, pc_seg *seg, unsigned pool, const char *name)
{
    int c = find(reg->cells, reg->ncells, pool, name);

    if (c >= 0 && reg->cells[c].gen == reg->gen) {
        return -2;
    }
    if (c < 0 && (c = new_cell(reg, seg, pool, name)) < 0) {
        return -1;
    }
    reg->cells[c].gen = reg->gen;
    return c;
}
