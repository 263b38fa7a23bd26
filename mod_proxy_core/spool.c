/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Oldest first: memory, then the file, then what the file did not take. Bytes are copied into buckets of our own: those
 * they come in may be parts of much larger reads, or one for each of a client's tiny chunks, and would keep many times
 * their size in memory.
 *
 * The file is used from its beginning again when all of it was read, so that it never takes more of the disk than its
 * bound. Once it is in use, bytes go there until it is empty, or else the order would be lost.
 */
#include "spool.h"

#include "apr_file_io.h"
#include "apr_portable.h"
#include "apr_strings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct pc_spool {
    apr_pool_t *pool;
    apr_bucket_brigade *memory, *rest; /* before and behind the file */
    apr_off_t memory_max, file_max;
    apr_off_t in_memory, in_rest;
    apr_off_t first, last; /* of the file: the bytes that are not taken out */
    apr_file_t *file;
    int fd;
    unsigned failed : 1; /* the file takes no more */
};

pc_spool *pc_spool_make(apr_pool_t *pool, apr_bucket_alloc_t *alloc, apr_off_t memory, apr_off_t file)
{
    pc_spool *s = apr_pcalloc(pool, sizeof(*s));

    s->pool = pool;
    s->memory = apr_brigade_create(pool, alloc);
    s->rest = apr_brigade_create(pool, alloc);
    s->memory_max = memory;
    s->file_max = file;
    return s;
}

/* ------------------------------------------------------------------ the file */

static apr_status_t open_file(pc_spool *s)
{
    const char *dir;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&dir, s->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    name = apr_pstrcat(s->pool, dir, "/proxy_core.XXXXXX", NULL);
    rv = apr_file_mktemp(&s->file, name, APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL, s->pool);
    if (rv != APR_SUCCESS) {
        s->file = NULL;
        return rv;
    }
    (void)apr_os_file_get(&s->fd, s->file);
    return apr_file_remove(name, s->pool);
}

/* @return APR_SUCCESS, or an error; *done says how many bytes were written */
static apr_status_t write_file(pc_spool *s, const char *data, apr_size_t len, apr_size_t *done)
{
    apr_status_t rv = s->file ? APR_SUCCESS : open_file(s);

    *done = 0;
    while (rv == APR_SUCCESS && *done < len) {
        ssize_t n = pwrite(s->fd, data + *done, len - *done, (off_t)s->last);

        if (n > 0) {
            *done += (apr_size_t)n;
            s->last += n;
        }
        else if (n == 0 || errno != EINTR) {
            rv = n == 0 ? APR_ENOSPC : APR_FROM_OS_ERROR(errno);
        }
    }
    return rv;
}

static apr_status_t take_file(pc_spool *s, apr_bucket_brigade *bb, apr_size_t max)
{
    char *buf;
    ssize_t n;

    if ((apr_off_t)max > s->last - s->first) {
        max = (apr_size_t)(s->last - s->first);
    }
    buf = apr_bucket_alloc(max, bb->bucket_alloc);
    do {
        n = pread(s->fd, buf, max, (off_t)s->first);
    } while (n == -1 && errno == EINTR);
    if (n <= 0) {
        apr_bucket_free(buf);
        return n == 0 ? APR_EOF : APR_FROM_OS_ERROR(errno);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create(buf, (apr_size_t)n, apr_bucket_free, bb->bucket_alloc));
    s->first += n;
    if (s->first == s->last) {
        s->first = s->last = 0;
    }
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ in and out */

/* What is left of the last block; the bytes behind it are nobody else's. */
static apr_size_t room_in_block(apr_bucket_brigade *bb, char **at)
{
    apr_bucket *b = APR_BRIGADE_LAST(bb);
    const apr_bucket_heap *h = APR_BRIGADE_EMPTY(bb) ? NULL : b->data;

    if (!h || h->refcount.refcount != 1) {
        return 0;
    }
    *at = h->base + b->start + (apr_off_t)b->length;
    return h->alloc_len - ((apr_size_t)b->start + b->length);
}

/* apr_brigade_write() would make a bucket of each small piece behind the first block. */
static void write_memory(apr_bucket_brigade *bb, apr_off_t *held, const char *data, apr_size_t len)
{
    *held += (apr_off_t)len;
    while (len) {
        char *at = NULL;
        apr_size_t n = room_in_block(bb, &at);

        if (!n) {
            apr_bucket *b;

            at = apr_bucket_alloc(APR_BUCKET_BUFF_SIZE, bb->bucket_alloc);
            b = apr_bucket_heap_create(at, APR_BUCKET_BUFF_SIZE, apr_bucket_free, bb->bucket_alloc);
            b->length = 0;
            APR_BRIGADE_INSERT_TAIL(bb, b);
            n = APR_BUCKET_BUFF_SIZE;
        }
        n = n < len ? n : len;
        memcpy(at, data, n);
        APR_BRIGADE_LAST(bb)->length += n;
        data += n;
        len -= n;
    }
}

/* How much of len goes to memory, to the file, and nowhere. */
static apr_size_t room_in_memory(const pc_spool *s, apr_size_t len)
{
    apr_off_t room = s->last || s->in_rest ? 0 : s->memory_max - s->in_memory;

    return room <= 0 ? 0 : (apr_off_t)len < room ? len : (apr_size_t)room;
}

static apr_size_t room_in_file(const pc_spool *s, apr_size_t len)
{
    apr_off_t room = s->in_rest || s->failed ? 0 : s->file_max - s->last;

    if (s->file_max < 0 && !s->in_rest && !s->failed) {
        return len;
    }
    return room <= 0 ? 0 : (apr_off_t)len < room ? len : (apr_size_t)room;
}

apr_status_t pc_spool_write(pc_spool *s, const char *data, apr_size_t len)
{
    apr_size_t n = room_in_memory(s, len), done = 0;
    apr_status_t rv = APR_SUCCESS;

    if (n) {
        write_memory(s->memory, &s->in_memory, data, n);
        data += n;
        len -= n;
    }
    n = room_in_file(s, len);
    if (n) {
        rv = write_file(s, data, n, &done);
        s->failed = rv != APR_SUCCESS;
        data += done;
        len -= done;
    }
    if (len) {
        write_memory(s->rest, &s->in_rest, data, len);
    }
    return rv;
}

int pc_spool_has_room(const pc_spool *s)
{
    return room_in_memory(s, 1) || room_in_file(s, 1);
}

apr_off_t pc_spool_length(const pc_spool *s)
{
    return s->in_memory + (s->last - s->first) + s->in_rest;
}

static void take_memory(apr_bucket_brigade *from, apr_off_t *held, apr_bucket_brigade *bb, apr_size_t max)
{
    apr_size_t taken = 0;

    while (taken < max && !APR_BRIGADE_EMPTY(from)) {
        apr_bucket *b = APR_BRIGADE_FIRST(from);

        if (b->length > max - taken) {
            apr_bucket_split(b, max - taken);
        }
        taken += b->length;
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(bb, b);
    }
    *held -= (apr_off_t)taken;
}

apr_status_t pc_spool_take(pc_spool *s, apr_bucket_brigade *bb, apr_size_t max)
{
    if (s->in_memory) {
        take_memory(s->memory, &s->in_memory, bb, max);
        return APR_SUCCESS;
    }
    if (s->last) {
        return take_file(s, bb, max);
    }
    take_memory(s->rest, &s->in_rest, bb, max);
    return APR_SUCCESS;
}

static void show_memory(apr_bucket_brigade *from, apr_bucket_brigade *bb)
{
    apr_bucket *b, *copy;

    for (b = APR_BRIGADE_FIRST(from); b != APR_BRIGADE_SENTINEL(from); b = APR_BUCKET_NEXT(b)) {
        if (apr_bucket_copy(b, &copy) == APR_SUCCESS) {
            APR_BRIGADE_INSERT_TAIL(bb, copy);
        }
    }
}

void pc_spool_show(pc_spool *s, apr_bucket_brigade *bb)
{
    show_memory(s->memory, bb);
    if (s->last) {
        apr_bucket *b = apr_brigade_insert_file(bb, s->file, s->first, s->last - s->first, s->pool);

        /* mapped pages would count as ours */
        (void)apr_bucket_file_enable_mmap(b, 0);
    }
    show_memory(s->rest, bb);
}

void pc_spool_clear(pc_spool *s)
{
    apr_brigade_cleanup(s->memory);
    apr_brigade_cleanup(s->rest);
    s->in_memory = s->in_rest = 0;
    s->first = s->last = 0;
}
