/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  spool.h
 * @brief Bytes that wait, in order: the first in memory, what is more in a file without a name.
 *
 * A spool is either written to its end and then read as often as needed (a request's body), or read while it is written
 * (an answer that comes faster than its client takes it). It belongs to one exchange and is used by one thread at a time.
 */
#ifndef PC_SPOOL_H
#define PC_SPOOL_H

#include "apr_buckets.h"

/** ProxyCoreRequestBuffering, ProxyCoreResponseBuffering. */
typedef struct pc_spool_conf {
    unsigned on : 1;
    apr_off_t memory; /* spool= */
    apr_off_t file;   /* file= */
} pc_spool_conf;

#define PC_SPOOL_MEMORY 65536
#define PC_SPOOL_FILE (APR_INT64_C(1) << 30)
/** Most that spool= takes: each request may take as much. */
#define PC_SPOOL_MEMORY_MAX (APR_INT64_C(1) << 30)

typedef struct pc_spool pc_spool;

/** @param memory  bytes that stay in memory
 *  @param file    bytes that the file takes; -1: no bound (whoever writes has one)
 *  The spool, its memory and its file live as long as pool. */
pc_spool *pc_spool_make(apr_pool_t *pool, apr_bucket_alloc_t *alloc, apr_off_t memory, apr_off_t file);

/** Append. Never stores less than all of it when pc_spool_has_room() said that there is room: what the file does not take
 *  stays in memory.
 *  @return APR_SUCCESS, or why the file does not take it; the bytes are stored all the same */
apr_status_t pc_spool_write(pc_spool *s, const char *data, apr_size_t len);

/** Should more be written now? Not when memory and file are full, nor when the file has failed, until all was taken out. */
int pc_spool_has_room(const pc_spool *s);

/** Bytes that were written and not taken out. */
apr_off_t pc_spool_length(const pc_spool *s);

/** Move the oldest bytes to the end of bb: some, at most about max. @return APR_SUCCESS, or why the file cannot be read */
apr_status_t pc_spool_take(pc_spool *s, apr_bucket_brigade *bb, apr_size_t max);

/** Append all of it to bb, which shares it: nothing is taken out. Valid while the spool is. */
void pc_spool_show(pc_spool *s, apr_bucket_brigade *bb);

/** Forget what it holds. */
void pc_spool_clear(pc_spool *s);

#endif /* PC_SPOOL_H */
