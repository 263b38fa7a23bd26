/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "reference.h"
#include "head.h"
#include "target.h"

#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>
#include <strings.h>

typedef struct kind_of {
    const char *name;
    apr_size_t len;
    pc_reference_kind kind;
} kind_of;

static pc_reference_kind look_up(const kind_of *rows, const char *name, apr_size_t len)
{
    for (; rows->name; ++rows) {
        if (rows->len == len && !strncasecmp(rows->name, name, len)) {
            return rows->kind;
        }
    }
    return PC_REF_NONE;
}

pc_reference_kind pc_reference_in_response(const char *name, apr_size_t len)
{
    static const kind_of rows[] = { { "Location", 8, PC_REF_WHOLE },  { "Content-Location", 16, PC_REF_WHOLE },
                                    { "URI", 3, PC_REF_WHOLE },       { "Link", 4, PC_REF_LINK },
                                    { "Refresh", 7, PC_REF_REFRESH }, { NULL, 0, PC_REF_NONE } };

    return look_up(rows, name, len);
}

pc_reference_kind pc_reference_in_request(const char *name, apr_size_t len)
{
    static const kind_of rows[] = { { "Destination", 11, PC_REF_WHOLE },
                                    { "If", 2, PC_REF_IF },
                                    { NULL, 0, PC_REF_NONE } };

    return look_up(rows, name, len);
}

static apr_size_t blanks(const char *p)
{
    return strspn(p, " \t");
}

/* ------------------------------------------------------------------ one kind each */

static int next_whole(const char *value, apr_size_t *at, apr_size_t *start, apr_size_t *len)
{
    apr_size_t n = strlen(value);

    if (*at) {
        return 0;
    }
    *at = n;
    *start = blanks(value);
    while (n > *start && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        --n;
    }
    *len = n - *start;
    return *len > 0;
}

/** As browsers read it: a number, ';' or ',' or a blank, then perhaps "url=", then perhaps a quote. */
static int next_refresh(const char *value, apr_size_t *at, apr_size_t *start, apr_size_t *len)
{
    const char *p = value + blanks(value), *url;
    apr_size_t n;

    if (*at) {
        return 0;
    }
    *at = strlen(value);
    n = strspn(p, "0123456789.");
    if (!n) {
        return 0;
    }
    p += n;
    n = blanks(p);
    if (p[n] == ';' || p[n] == ',') {
        p += n + 1;
    }
    else if (!n) {
        return 0;
    }
    p += blanks(p);
    if (!strncasecmp(p, "url", 3) && p[3 + blanks(p + 3)] == '=') {
        p += 3 + blanks(p + 3) + 1;
        p += blanks(p);
    }
    url = p;
    if (*p == '"' || *p == '\'') {
        url = p + 1;
        n = strcspn(url, *p == '"' ? "\"" : "'");
    }
    else {
        n = strlen(url);
        while (n && (url[n - 1] == ' ' || url[n - 1] == '\t')) {
            --n;
        }
    }
    *start = (apr_size_t)(url - value);
    *len = n;
    return n > 0;
}

/** Behind a quoted string that begins at p; at the end of the text when it never ends. */
static const char *skip_quoted(const char *p)
{
    for (++p; *p && *p != '"'; ++p) {
        if (*p == '\\' && p[1]) {
            ++p;
        }
    }
    return *p ? p + 1 : p;
}

/** '<' … '>' outside of quotes; outside of parentheses and brackets, too, when nested. A link begins an element of the list:
 *  behind its own '>' a '<' means nothing before the next comma. */
static int next_angle(const char *value, int nested, apr_size_t *at, apr_size_t *start, apr_size_t *len)
{
    const char *p = value + *at;
    int depth = 0, expected = *at == 0 || nested;

    while (*p) {
        if (*p == '"') {
            p = skip_quoted(p);
            continue;
        }
        if (nested && (*p == '(' || *p == ')')) {
            depth = *p == '(';
        }
        else if (*p == ',' && !nested) {
            expected = 1;
        }
        else if (*p == '<' && expected && !depth) {
            apr_size_t n = strcspn(p + 1, "<>");

            if (p[1 + n] != '>') {
                break;
            }
            *start = (apr_size_t)(p + 1 - value);
            *len = n;
            *at = *start + n + 1;
            return 1;
        }
        ++p;
    }
    *at += strlen(value + *at);
    return 0;
}

int pc_reference_next(pc_reference_kind kind, const char *value, apr_size_t *at, apr_size_t *start, apr_size_t *len)
{
    switch (kind) {
    case PC_REF_WHOLE: return next_whole(value, at, start, len);
    case PC_REF_REFRESH: return next_refresh(value, at, start, len);
    case PC_REF_LINK: return next_angle(value, 0, at, start, len);
    case PC_REF_IF: return next_angle(value, 1, at, start, len);
    default: return 0;
    }
}

/* ------------------------------------------------------------------ all of a value */

/** May this stand where a URL of this kind stood? */
static int fits(pc_reference_kind kind, const char *url)
{
    const char *bad = kind == PC_REF_WHOLE ? "" : kind == PC_REF_REFRESH ? "\"'" : "<>";

    return pc_value_clean(url, strlen(url)) && !url[strcspn(url, bad)];
}

const char *pc_reference_map(apr_pool_t *p, pc_reference_kind kind, const char *value,
                             const char *(*fn)(void *baton, const char *url), void *baton)
{
    apr_size_t at = 0, done = 0, start, len;
    pc_buf out = { NULL, 0, 0, p };

    while (pc_reference_next(kind, value, &at, &start, &len)) {
        const char *url = fn(baton, apr_pstrmemdup(p, value + start, len));

        if (!url || !fits(kind, url)) {
            continue;
        }
        pc_buf_add(&out, value + done, start - done);
        pc_buf_adds(&out, url);
        done = start + len;
        if (out.len > PC_REWRITE_MAX) {
            return NULL;
        }
    }
    if (!done) {
        return value;
    }
    pc_buf_adds(&out, value + done);
    pc_buf_add(&out, "", 1);
    return out.len > PC_REWRITE_MAX ? NULL : out.p;
}
