/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* FastCGI for fast.c: records are read just far enough to answer. PARAMS are searched for QUERY_STRING, STDIN is thrown away. */

#define _GNU_SOURCE
#include "fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 8
#define CHUNK 65528 /* the longest record whose content needs no padding to a multiple of eight */

enum { BEGIN_REQUEST = 1, ABORT_REQUEST = 2, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

static void params(fast_request *request, const unsigned char *p, size_t length)
{
    static const char name[] = "QUERY_STRING";
    const unsigned char *at = p, *end = p + length;

    while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)) != NULL) {
        const unsigned char *value = at + sizeof(name) - 1;

        /* Both lengths stand before the name, in one byte each: not part of a longer name such as REDIRECT_QUERY_STRING. */
        if (at - p >= 2 && at[-2] == sizeof(name) - 1 && at[-1] < 128 && at[-1] <= end - value) {
            fast_query(request, (const char *)value, at[-1]);
            return;
        }
        at = value;
    }
}

static void record(fast_request *request, const unsigned char *h, size_t length)
{
    switch (h[1]) {
    case BEGIN_REQUEST:
        request->begun = 1;
        request->id = (unsigned)(h[2] << 8 | h[3]);
        request->keep = length >= 3 && (h[HEADER + 2] & 1);
        break;
    case PARAMS: params(request, h + HEADER, length); break;
    case STDIN: request->complete = length == 0; break;
    default: request->broken = 1; /* an abort, or nothing that the benchmark's front ends send */
    }
}

size_t fast_parse(fast_request *request, const char *data, size_t length)
{
    const unsigned char *h = (const unsigned char *)data;
    size_t used = 0;

    while (length - used >= HEADER && !request->complete && !request->broken) {
        const unsigned char *r = h + used;
        size_t content = (size_t)(r[4] << 8 | r[5]);

        if (r[0] != 1) {
            request->broken = 1;
            break;
        }
        if (length - used < HEADER + content + r[6]) {
            break;
        }
        /* Records of a request that is over are to be ignored (FastCGI 3.3). */
        if (request->begun || r[1] == BEGIN_REQUEST) {
            record(request, r, content);
        }
        used += HEADER + content + r[6];
    }
    return used;
}

static char *put_header(char *p, int type, unsigned id, size_t length)
{
    unsigned char h[HEADER] = { 1,
                                (unsigned char)type,
                                (unsigned char)(id >> 8),
                                (unsigned char)id,
                                (unsigned char)(length >> 8),
                                (unsigned char)length,
                                0,
                                0 };

    memcpy(p, h, HEADER);
    return p + HEADER;
}

int fast_render(fast_reply *reply)
{
    char head[128];
    size_t head_length, left = reply->bytes;
    char *p;

    head_length = (size_t)snprintf(
        head, sizeof(head), "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n\r\n", reply->bytes);
    reply->data = p = malloc(head_length + reply->bytes + (reply->bytes / CHUNK + 4) * HEADER + HEADER);
    if (!p) {
        return -1;
    }
    for (size_t prefix = head_length; prefix || left; prefix = 0) {
        size_t n = left < CHUNK - prefix ? left : CHUNK - prefix;

        p = put_header(p, STDOUT, reply->id, prefix + n);
        memcpy(p, head, prefix);
        memset(p + prefix, 'x', n);
        p += prefix + n;
        left -= n;
    }
    p = put_header(p, STDOUT, reply->id, 0);
    p = put_header(p, END_REQUEST, reply->id, 8);
    memset(p, 0, 8);
    reply->length = (size_t)(p + 8 - reply->data);
    return 0;
}

void fast_readdress(fast_reply *reply, unsigned id)
{
    for (char *p = reply->data; p < reply->data + reply->length;) {
        p[2] = (char)(id >> 8);
        p[3] = (char)id;
        p += HEADER + ((unsigned char)p[4] << 8 | (unsigned char)p[5]);
    }
    reply->id = id;
}
