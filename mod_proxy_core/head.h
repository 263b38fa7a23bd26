/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  head.h
 * @brief The parser of response heads that all codecs share: incremental, bounded, strict.
 *
 * Feed it bytes as they come, cut anywhere. Until the first byte it owns no memory; then it keeps a copy of the head
 * in blocks of the pool, sized to what came, and its fields point into that copy. Where the input was cut makes no
 * difference to what it finds: neither to the fields nor to the text of an error.
 */
#ifndef PC_HEAD_H
#define PC_HEAD_H

#include "mod_proxy_core.h"

typedef enum pc_head_dialect {
    PC_HEAD_HTTP,   /**< status line; every line ends in CRLF */
    PC_HEAD_CGI,    /**< no status line; LF or CRLF; Status is taken out of the fields */
    PC_HEAD_EITHER, /**< as PC_HEAD_CGI, but the first line may be a status line of any HTTP/d.d */
    PC_HEAD_TRAILER /**< fields only, CRLF; nothing is made of Content-Length */
} pc_head_dialect;

/** Bounds of one head. */
typedef struct pc_head_limits {
    apr_size_t bytes; /**< of all lines with their ends; at least 16 */
    apr_size_t fields;
} pc_head_limits;

extern const pc_head_limits pc_head_default_limits; /* 64 KB, 200 fields */

typedef enum pc_head_result { PC_HEAD_MORE, PC_HEAD_DONE, PC_HEAD_BAD } pc_head_result;

/** Fields below head and minor are the parser's own. */
typedef struct pc_head_parser {
    pc_head head;    /**< after PC_HEAD_DONE, until pc_head_again() */
    const char *why; /**< after PC_HEAD_BAD: static text */
    apr_pool_t *pool;
    const pc_head_limits *limits;
    char *block; /* lines are copied here and cut up in place; full blocks stay where they are */
    apr_size_t cap;
    apr_size_t start; /* of the line that is being read */
    apr_size_t half;  /* bytes of it that are there */
    apr_size_t bytes; /* of this head, up to start */
    apr_size_t room;  /* of head.fields */
    unsigned char dialect;
    unsigned char minor;       /**< of HTTP/1.minor; 0 or 1, greater ones are 1 */
    unsigned char status_line; /* 1: the next line is one */
    unsigned char begun;       /* 1: at least one byte of this head came */
    unsigned char line_seen;   /* PC_HEAD_EITHER: 1: the first line was a status line */
} pc_head_parser;

/** @param limits NULL: the default; else it must outlive the parser */
void pc_head_init(pc_head_parser *h, apr_pool_t *pool, pc_head_dialect dialect, const pc_head_limits *limits);

/** Parse another head of the same kind with the memory of the last one, whose fields are gone then. */
void pc_head_again(pc_head_parser *h);

/** @return bytes used: up to the end of the head when DONE, all with MORE; of no meaning with BAD */
apr_size_t pc_head_feed(pc_head_parser *h, const char *buf, apr_size_t len, pc_head_result *result);

/** What to say when the input ends while the head is not complete. */
const char *pc_head_eof(const pc_head_parser *h);

/** Take field i out of a head, order kept. */
void pc_head_remove(pc_head *head, apr_size_t i);

/** Is the field's name this one (ASCII, case ignored)? */
int pc_field_is(const pc_field *f, const char *name, apr_size_t name_len);
#define PC_FIELD_IS(f, literal) pc_field_is((f), (literal), sizeof(literal) - 1)

/** How many of these n bytes are a token (RFC 9110, 5.6.2), from the first on. */
apr_size_t pc_token_span(const char *p, apr_size_t n);

/** Are these bytes free of what a field's value must not have: all control characters but HTAB? */
int pc_value_clean(const char *p, apr_size_t n);

#endif /* PC_HEAD_H */
