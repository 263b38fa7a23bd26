/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The last lines that a group's processes wrote, whatever its log is: for `procctl logs`, and for the log line that says
 * why starts keep failing. A ring of bytes, made with the group's first line. */
#include "manager.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_ROOM 8192

struct log_tail {
    size_t first, len; /* whole lines, each with its line feed */
    char bytes[TAIL_ROOM];
};

static char at(const log_tail *t, size_t i)
{
    return t->bytes[(t->first + i) % TAIL_ROOM];
}

static void drop_line(log_tail *t)
{
    size_t n = 0;

    while (n < t->len && at(t, n) != '\n') {
        n++;
    }
    n += n < t->len;
    t->first = (t->first + n) % TAIL_ROOM;
    t->len -= n;
}

void tail_add(group *g, const char *line, size_t len)
{
    log_tail *t = g->tail;

    if (!t && !(t = g->tail = calloc(1, sizeof(*t)))) {
        return;
    }
    if (len > TAIL_ROOM / 2) {
        len = TAIL_ROOM / 2;
    }
    while (t->len + len + 1 > TAIL_ROOM) {
        drop_line(t);
    }
    for (size_t i = 0; i < len; i++) {
        t->bytes[(t->first + t->len++) % TAIL_ROOM] = line[i] == '\n' ? ' ' : line[i];
    }
    t->bytes[(t->first + t->len++) % TAIL_ROOM] = '\n';
}

size_t tail_copy(const group *g, char *out, size_t room)
{
    const log_tail *t = g->tail;
    size_t n = 0, from;

    if (!t || room == 0) {
        return 0;
    }
    from = t->len < room ? 0 : t->len - (room - 1);
    while (from > 0 && from < t->len && at(t, from - 1) != '\n') {
        from++;
    }
    for (; from < t->len; from++) {
        out[n++] = at(t, from);
    }
    out[n] = '\0';
    return n;
}

void tail_free(group *g)
{
    free(g->tail);
    g->tail = NULL;
}
