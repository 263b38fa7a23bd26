/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked transfer coding. What stands around the data is a few bytes for each chunk and is walked byte by byte; the
 * data is handed on as it lies. Nothing is kept between calls but a count and a state, until a trailer field comes.
 *
 * The grammar is taken literally: a size of at most 16 digits and 63 bits, extensions that are bounded and skipped,
 * CRLF and nothing else as line end. Every liberty here (a bare LF, a sign, a blank behind the size) has been a way to
 * make two parsers disagree on where a message ends (CVE-2015-3183, CVE-2022-22720).
 */
#include "chunked.h"

#include <string.h>

#define EXTENSION_MAX 1024

enum {
    SIZE,
    BLANK,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LF,
    TRAILER_FIELDS,
    TRAILER_DONE,
    OVER
};

static const pc_head_limits trailer_limits = { 16384, 64 };

static const char NO_SIZE[] = "chunk without a size";
static const char BAD_SIZE[] = "character in a chunk size that is not a hexadecimal digit";
static const char BIG_SIZE[] = "chunk size is larger than 63 bits or longer than 16 digits";
static const char BAD_BLANK[] = "white space behind a chunk size";
static const char LONG_EXTENSION[] = "chunk extension is larger than the bound";
static const char BAD_EXTENSION[] = "control character in a chunk extension";
static const char NO_LF[] = "CR without LF in a chunk's line";
static const char NO_END[] = "chunk data is not followed by CRLF";
static const char NO_LAST[] = "last chunk is not followed by CRLF";

void pc_chunked_init(pc_chunked *c, apr_pool_t *pool)
{
    memset(c, 0, sizeof(*c));
    c->pool = pool;
}

static int hex_digit(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static const char *size_byte(pc_chunked *c, unsigned char ch)
{
    int digit = hex_digit(ch);

    if (digit >= 0) {
        if (c->digits == 16 || c->left > (apr_uint64_t)APR_INT64_MAX >> 4) {
            return BIG_SIZE;
        }
        c->digits++;
        c->left = c->left << 4 | (apr_uint64_t)digit;
        return NULL;
    }
    if (c->digits == 0) {
        return NO_SIZE;
    }
    switch (ch) {
    case '\r': c->state = SIZE_LF; return NULL;
    case ';': c->state = EXTENSION; return NULL;
    case ' ':
    case '\t': c->state = BLANK; return NULL;
    default: return BAD_SIZE;
    }
}

static const char *extension_byte(pc_chunked *c, unsigned char ch)
{
    if (ch == '\r' && c->state == EXTENSION) {
        c->state = SIZE_LF;
        return NULL;
    }
    if (++c->extension > EXTENSION_MAX) {
        return LONG_EXTENSION;
    }
    if (c->state == BLANK) { /* BWS: only before a semicolon */
        if (ch == ';') {
            c->state = EXTENSION;
        }
        else if (ch != ' ' && ch != '\t') {
            return BAD_BLANK;
        }
        return NULL;
    }
    return (ch < 0x20 && ch != '\t') || ch == 0x7f ? BAD_EXTENSION : NULL;
}

/* A byte that is neither data nor part of a trailer field. */
static const char *frame_byte(pc_chunked *c, unsigned char ch)
{
    switch (c->state) {
    case SIZE: return size_byte(c, ch);
    case BLANK:
    case EXTENSION: return extension_byte(c, ch);
    case SIZE_LF: c->state = c->left ? DATA : TRAILER; return ch == '\n' ? NULL : NO_LF;
    case DATA_CR: c->state = DATA_LF; return ch == '\r' ? NULL : NO_END;
    case DATA_LF:
        c->state = SIZE;
        c->digits = 0;
        c->extension = 0;
        return ch == '\n' ? NULL : NO_END;
    default: /* TRAILER_LF */ c->state = OVER; return ch == '\n' ? NULL : NO_LAST;
    }
}

/* The first byte behind the last chunk: mostly the CR of the empty line. */
static apr_size_t trailer_begin(pc_chunked *c, unsigned char ch)
{
    if (ch == '\r') {
        c->state = TRAILER_LF;
        return 1;
    }
    c->trailer = apr_palloc(c->pool, sizeof(*c->trailer));
    pc_head_init(c->trailer, c->pool, PC_HEAD_TRAILER, &trailer_limits);
    c->state = TRAILER_FIELDS;
    return 0;
}

static apr_size_t trailer_fields(pc_chunked *c, const char *buf, apr_size_t len, pc_chunked_result *result)
{
    pc_head_result r;
    apr_size_t used = pc_head_feed(c->trailer, buf, len, &r);

    if (r == PC_HEAD_BAD) {
        c->why = c->trailer->why;
        *result = PC_CHUNKED_BAD;
    }
    else if (r == PC_HEAD_DONE) {
        c->state = TRAILER_DONE;
        *result = PC_CHUNKED_TRAILER;
    }
    return used;
}

apr_size_t pc_chunked_decode(pc_chunked *c, const char *buf, apr_size_t len, pc_chunked_result *result,
                             const char **data, apr_size_t *n)
{
    apr_size_t used = 0;

    *result = PC_CHUNKED_MORE;
    while (used < len && *result == PC_CHUNKED_MORE && c->state < TRAILER_DONE) {
        if (c->state == DATA) {
            *data = buf + used;
            *n = len - used < c->left ? len - used : (apr_size_t)c->left;
            c->left -= *n;
            if (c->left == 0) {
                c->state = DATA_CR;
            }
            *result = PC_CHUNKED_DATA;
            return used + *n;
        }
        if (c->state == TRAILER) {
            used += trailer_begin(c, (unsigned char)buf[used]);
        }
        else if (c->state == TRAILER_FIELDS) {
            used += trailer_fields(c, buf + used, len - used, result);
        }
        else {
            c->why = frame_byte(c, (unsigned char)buf[used++]);
            if (c->why) {
                *result = PC_CHUNKED_BAD;
            }
        }
    }
    if (c->state == TRAILER_DONE && *result == PC_CHUNKED_MORE) {
        c->state = OVER;
    }
    if (c->state == OVER && *result == PC_CHUNKED_MORE) {
        *result = PC_CHUNKED_END;
    }
    return used;
}

apr_size_t pc_chunked_prefix(char *out, apr_uint64_t n)
{
    static const char hex[] = "0123456789abcdef";
    apr_size_t digits = 1, i;
    apr_uint64_t rest;

    for (rest = n >> 4; rest; rest >>= 4) {
        digits++;
    }
    for (i = digits; i--; n >>= 4) {
        out[i] = hex[n & 15];
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
