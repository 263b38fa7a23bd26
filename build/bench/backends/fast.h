/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_FAST_H
#define BENCH_FAST_H

#include <stddef.h>

/* What one connection's parser knows of the request it is reading. The loop zeroes it before every request. */
typedef struct fast_request {
    unsigned long bytes;    /* length of the answer's body: n= of the query */
    unsigned long delay_ms; /* answer after that time: d= of the query */
    unsigned long skip;     /* body bytes of the request still to be thrown away */
    unsigned id;            /* FastCGI request id */
    int keep;               /* the connection stays open after the answer */
    int begun;              /* the head was seen */
    int complete;           /* the whole request was seen */
    int broken;             /* not this protocol, or the peer gave up: close */
} fast_request;

/* A whole answer, made once for each length and then only ever written. */
typedef struct fast_reply {
    unsigned long bytes;
    unsigned id;
    int keep;
    char *data;
    size_t length;
} fast_reply;

/* The functions that a protocol supplies. fast_parse takes what it can from the bytes and returns how many that were; it
 * stops behind the request's last byte. fast_render fills data and length (malloc'ed). fast_readdress makes an answer one to
 * another request id. */
size_t fast_parse(fast_request *request, const char *data, size_t length);
int fast_render(fast_reply *reply);
void fast_readdress(fast_reply *reply, unsigned id);

/* Reads n= and d= from a query string. */
void fast_query(fast_request *request, const char *query, size_t length);

#endif
