/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What the access log is told of an exchange: notes for %{proxy-core-…}n. Times are milliseconds with three decimals, so
 * that a microsecond is seen; "-" (no note) where a stage was not reached.
 *
 * They are added to the table, not set: a name that is set is compared with every other that begins with the same four bytes,
 * and all of ours do. What an earlier exchange of the same request may have left is taken out first.
 */
#include "exchange.h"

#include "apr_strings.h"

static char *put_number(char *p, apr_uint64_t n, int digits)
{
    char tmp[24];
    int i = 0;

    do {
        tmp[i++] = (char)('0' + n % 10);
        n /= 10;
    } while (n || i < digits);
    while (i) {
        *p++ = tmp[--i];
    }
    return p;
}

static void note_number(pc_exchange *x, const char *name, apr_int64_t n)
{
    char *s = apr_palloc(x->r->pool, 24), *end;

    end = put_number(s, (apr_uint64_t)(n < 0 ? 0 : n), 1);
    *end = '\0';
    apr_table_addn(x->r->notes, name, s);
}

static void note_time(pc_exchange *x, const char *name, apr_time_t from, apr_time_t to)
{
    apr_uint64_t usec = to > from ? (apr_uint64_t)(to - from) : 0;
    char *s, *end;

    if (!from || !to) {
        return;
    }
    s = apr_palloc(x->r->pool, 28);
    end = put_number(s, usec / 1000, 1);
    *end++ = '.';
    end = put_number(end, usec % 1000, 3);
    *end = '\0';
    apr_table_addn(x->r->notes, name, s);
}

static void forget(apr_table_t *notes, const char *const *names)
{
    if (apr_table_get(notes, *names)) {
        for (; *names; names++) {
            apr_table_unset(notes, *names);
        }
    }
}

static void note_authorizer(pc_exchange *x)
{
    static const char *const names[] = { "proxy-core-authorizer", "proxy-core-authorizer-state",
                                         "proxy-core-authorizer-time", NULL };

    forget(x->r->notes, names);
    apr_table_addn(x->r->notes, "proxy-core-authorizer", x->pool->name);
    apr_table_addn(x->r->notes, "proxy-core-authorizer-state",
                   x->refused && !strcmp(x->outcome, "ok") ? "refused" : x->outcome);
    note_time(x, "proxy-core-authorizer-time", x->started, x->finished_at);
}

void pc_notes_set(pc_exchange *x)
{
    static const char *const names[] = { "proxy-core-pool",
                                         "proxy-core-backend",
                                         "proxy-core-state",
                                         "proxy-core-attempts",
                                         "proxy-core-queued",
                                         "proxy-core-connect",
                                         "proxy-core-first-byte",
                                         "proxy-core-time",
                                         "proxy-core-bytes-in",
                                         "proxy-core-bytes-out",
                                         NULL };
    apr_table_t *n = x->r->notes;

    if (x->route->role == PC_ROLE_AUTHORIZER) { /* the other names are for who serves the request */
        note_authorizer(x);
        return;
    }
    forget(n, names);
    if (x->lease.backend) {
        apr_table_addn(n, "proxy-core-backend", x->route->group ? x->route->group : x->lease.backend->name);
    }
    apr_table_addn(n, "proxy-core-pool", x->pool->name);
    apr_table_addn(n, "proxy-core-state", x->outcome);
    note_number(x, "proxy-core-attempts", x->tries + x->free_retry);
    note_time(x, "proxy-core-queued", x->queued_at, x->connect_at);
    note_time(x, "proxy-core-connect", x->connect_at, x->sent_at);
    note_time(x, "proxy-core-first-byte", x->sent_at, x->head_at);
    note_time(x, "proxy-core-time", x->started, x->finished_at);
    note_number(x, "proxy-core-bytes-in", x->bytes_in);
    note_number(x, "proxy-core-bytes-out", x->bytes_out);
}
