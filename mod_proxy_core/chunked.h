/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  chunked.h
 * @brief Chunked transfer coding (RFC 9112, 7.1), both ways.
 */
#ifndef PC_CHUNKED_H
#define PC_CHUNKED_H

#include "head.h"

typedef enum pc_chunked_result {
    PC_CHUNKED_MORE,    /**< all bytes are used up */
    PC_CHUNKED_DATA,    /**< a span of the body, in place */
    PC_CHUNKED_TRAILER, /**< trailer fields are in c->trailer->head */
    PC_CHUNKED_END,     /**< behind the last byte of the body */
    PC_CHUNKED_BAD      /**< c->why */
} pc_chunked_result;

/** A decoder. */
typedef struct pc_chunked {
    const char *why;         /**< static text */
    pc_head_parser *trailer; /**< made when a trailer field comes */
    apr_pool_t *pool;
    apr_uint64_t left;      /* of the chunk's size while it is read, then of its data */
    apr_uint16_t extension; /* bytes of extension in this chunk's line */
    unsigned char state;
    unsigned char digits;
} pc_chunked;

void pc_chunked_init(pc_chunked *c, apr_pool_t *pool);

/** @param data, n  set with PC_CHUNKED_DATA
 *  @return bytes used, the span included */
apr_size_t pc_chunked_decode(pc_chunked *c, const char *buf, apr_size_t len, pc_chunked_result *result,
                             const char **data, apr_size_t *n);

/** Longest line that pc_chunked_prefix() writes. */
#define PC_CHUNKED_PREFIX_MAX 18
/** The line before n bytes of a chunk (n > 0); CRLF follows them. @return its length */
apr_size_t pc_chunked_prefix(char *out, apr_uint64_t n);
/** The last chunk, without trailer fields. */
#define PC_CHUNKED_LAST "0\r\n\r\n"

#endif /* PC_CHUNKED_H */
