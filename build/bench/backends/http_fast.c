/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* HTTP/1.1 for fast.c: the head is searched for the query, Connection and Content-Length; a request body is thrown away. */

#define _GNU_SOURCE
#include "fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The value of a field, or NULL. Field lines start behind a line feed. */
static const char *field(const char *head, size_t length, const char *name)
{
    size_t n = strlen(name);
    const char *end = head + length, *p = head;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        if ((size_t)(end - p) > n && p[n] == ':' && !strncasecmp(p, name, n)) {
            for (p += n + 1; p < end && *p == ' '; p++) {
            }
            return p;
        }
    }
    return NULL;
}

static void head(fast_request *request, const char *data, size_t length)
{
    const char *line_end = memchr(data, '\r', length);
    const char *query = line_end ? memchr(data, '?', (size_t)(line_end - data)) : NULL;
    const char *value = field(data, length, "Connection");

    request->begun = 1;
    request->keep = !(value && !strncasecmp(value, "close", 5));
    if (query) {
        const char *end = memchr(query, ' ', (size_t)(line_end - query));

        fast_query(request, query + 1, (size_t)((end ? end : line_end) - query - 1));
    }
    if (data[0] != 'G' && (value = field(data, length, "Content-Length")) != NULL) {
        request->skip = strtoul(value, NULL, 10);
    }
    if (line_end && line_end[-1] == '0' && !value) {
        request->keep = 0; /* HTTP/1.0 */
    }
}

size_t fast_parse(fast_request *request, const char *data, size_t length)
{
    size_t used = 0;

    if (!request->begun) {
        const char *end = memmem(data, length, "\r\n\r\n", 4);

        if (!end) {
            return 0;
        }
        used = (size_t)(end - data) + 4;
        head(request, data, used);
    }
    if (request->skip) {
        size_t n = request->skip < length - used ? request->skip : length - used;

        request->skip -= n;
        used += n;
    }
    request->complete = request->skip == 0;
    return used;
}

int fast_render(fast_reply *reply)
{
    char text[160];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n%s\r\n",
                     reply->bytes, reply->keep ? "" : "Connection: close\r\n");

    reply->data = malloc((size_t)n + reply->bytes);
    if (!reply->data) {
        return -1;
    }
    memcpy(reply->data, text, (size_t)n);
    memset(reply->data + n, 'x', reply->bytes);
    reply->length = (size_t)n + reply->bytes;
    return 0;
}

void fast_readdress(fast_reply *reply, unsigned id)
{
    reply->id = id; /* HTTP/1.1 has none */
}
