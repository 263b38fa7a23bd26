/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of one hop. Most heads have none or one of them, so they are looked for by their length first, and the fields
 * are only moved when one was found.
 */
#include "connection.h"
#include "head.h"
#include "trailer_rules.h"

#include <string.h>
#include <strings.h>

static int is_transfer_encoding(const pc_field *f, pc_connection *c)
{
    if (!PC_FIELD_IS(f, "Transfer-Encoding")) {
        return 0;
    }
    if (c->coding == PC_CODING_NONE && f->value_len == 7 && strncasecmp(f->value, "chunked", 7) == 0) {
        c->coding = PC_CODING_CHUNKED;
    }
    else {
        c->coding = PC_CODING_OTHER;
    }
    return 1;
}

static int is_hop(const pc_field *f, unsigned keep, pc_connection *c)
{
    switch (f->name_len) {
    case 2: return PC_FIELD_IS(f, "TE");
    case 7:
        return (!(keep & PC_KEEP_TRAILER) && PC_FIELD_IS(f, "Trailer"))
               || (!(keep & PC_KEEP_UPGRADE) && PC_FIELD_IS(f, "Upgrade"));
    case 10: return PC_FIELD_IS(f, "Keep-Alive");
    case 16: return PC_FIELD_IS(f, "Proxy-Connection");
    case 17: return is_transfer_encoding(f, c);
    default: return 0;
    }
}

/* One token of Connection. @return is a field of that name to be removed? */
static int take_option(const char *p, apr_size_t n, unsigned keep, pc_connection *c)
{
    if (n == 5 && strncasecmp(p, "close", n) == 0) {
        c->close = 1;
        return 0;
    }
    if (n == 10 && strncasecmp(p, "keep-alive", n) == 0) {
        c->keep_alive = 1;
        return 0;
    }
    if ((keep & PC_KEEP_UPGRADE) && n == 7 && strncasecmp(p, "upgrade", n) == 0) {
        return 0;
    }
    return !(n == 14 && strncasecmp(p, "content-length", n) == 0)
           && !(n == 17 && strncasecmp(p, "transfer-encoding", n) == 0) && /* must be seen by is_hop() */
           !(n == 10 && strncasecmp(p, "connection", n) == 0);
}

static void remove_named(pc_head *head, const char *name, apr_size_t n)
{
    apr_size_t i = 0;

    while (i < head->nfields) {
        if (pc_field_is(&head->fields[i], name, n)) {
            pc_head_remove(head, i);
        }
        else {
            i++;
        }
    }
}

static void take_list(pc_head *head, const char *p, unsigned keep, pc_connection *c)
{
    int members = 0;

    for (;;) {
        apr_size_t n;

        p += strspn(p, " \t,");
        if (*p == '\0') {
            break;
        }
        n = pc_token_span(p, strlen(p));
        if (n == 0 || !strchr(" \t,", p[n]) || ++members > 32) { /* strchr finds the NUL, too */
            c->malformed = 1;
            break;
        }
        if (take_option(p, n, keep, c)) {
            remove_named(head, p, n);
        }
        p += n;
    }
}

/* Connection comes out first, its lists are read when all are out: a list may name fields on either side of it. */
static void take_connection(pc_head *head, unsigned keep, pc_connection *c)
{
    apr_size_t i = 0;

    while (i < head->nfields) {
        if (PC_FIELD_IS(&head->fields[i], "Connection")) {
            const char *list = head->fields[i].value;

            pc_head_remove(head, i);
            take_list(head, list, keep, c);
            i = 0; /* a list may have removed fields before this one */
        }
        else {
            i++;
        }
    }
}

void pc_connection_take(pc_head *head, unsigned keep, pc_connection *c)
{
    apr_size_t i, kept = 0;
    int connection = 0;

    memset(c, 0, sizeof(*c));
    for (i = 0; i < head->nfields; i++) {
        const pc_field *f = &head->fields[i];

        connection |= PC_FIELD_IS(f, "Connection");
        if (!is_hop(f, keep, c)) {
            head->fields[kept++] = *f;
        }
    }
    head->nfields = kept;
    if (connection) {
        take_connection(head, keep, c);
    }
}

/* ------------------------------------------------------------------ trailers */

void pc_connection_trailer(pc_head *head)
{
    apr_size_t i, kept = 0;
    pc_connection c;

    pc_connection_take(head, 0, &c);
    for (i = 0; i < head->nfields; i++) {
        if (pc_trailer_allowed(head->fields[i].name, head->fields[i].name_len)) {
            head->fields[kept++] = head->fields[i];
        }
    }
    head->nfields = kept;
}
