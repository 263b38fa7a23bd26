/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "cookie.h"
#include "field_rules.h"
#include "target.h"

#include "apr_strings.h"

#include <string.h>
#include <strings.h>

/** One attribute: " ; Path = /x " has its value at "/x". Lengths are of what stands there, without blanks around. */
typedef struct attribute {
    const char *name, *value;
    apr_size_t name_len, value_len;
    const char *end; /* the next ';', or the end of the field */
} attribute;

static const char *trim(const char *p, const char *end, apr_size_t *len)
{
    while (p < end && (*p == ' ' || *p == '\t')) {
        ++p;
    }
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) {
        --end;
    }
    *len = (apr_size_t)(end - p);
    return p;
}

/** @param p  behind a ';' */
static void read_attribute(const char *p, attribute *a)
{
    const char *eq;

    a->end = p + strcspn(p, ";");
    eq = memchr(p, '=', (apr_size_t)(a->end - p));
    a->name = trim(p, eq ? eq : a->end, &a->name_len);
    a->value = trim(eq ? eq + 1 : a->end, a->end, &a->value_len);
}

static int is_called(const attribute *a, const char *name, apr_size_t len)
{
    return a->name_len == len && !strncasecmp(a->name, name, len);
}

/* ------------------------------------------------------------------ what fits */

static const char *new_path(apr_pool_t *p, const pc_cookie_map *m, const attribute *a)
{
    apr_size_t n = strlen(m->from), to = m->to ? strlen(m->to) : 0;
    const char *rest = a->value + n;
    apr_size_t left;

    if (a->value_len < n || strncmp(a->value, m->from, n) != 0 || (a->value_len > n && *rest != '/')
        || (!n && *a->value != '/')) {
        return NULL;
    }
    left = a->value_len - n;
    if (left && to && m->to[to - 1] == '/') {
        --to; /* one slash between the two */
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, m->to ? m->to : "", to), apr_pstrmemdup(p, rest, left), NULL);
}

static const char *new_domain(apr_pool_t *p, const pc_cookie_map *m, const attribute *a)
{
    apr_size_t dot = a->value_len && *a->value == '.';

    (void)p;
    if (strcmp(m->from, "*") != 0
        && (a->value_len - dot != strlen(m->from) || strncasecmp(a->value + dot, m->from, a->value_len - dot) != 0)) {
        return NULL;
    }
    return m->to ? m->to : "";
}

typedef const char *fit_fn(apr_pool_t *p, const pc_cookie_map *m, const attribute *a);

/** @return NULL: no map fits; *gone: the attribute is to be left out */
static const char *find(apr_pool_t *p, const apr_array_header_t *maps, fit_fn *fit, const attribute *a, int *gone)
{
    for (int i = 0; maps && i < maps->nelts; ++i) {
        const pc_cookie_map *m = &APR_ARRAY_IDX(maps, i, pc_cookie_map);
        const char *text = fit(p, m, a);

        if (text) {
            *gone = !m->to;
            return text;
        }
    }
    return NULL;
}

const char *pc_cookie_rewrite(apr_pool_t *p, const char *value, const apr_array_header_t *paths,
                              const apr_array_header_t *domains)
{
    const char *done = value, *semicolon = strchr(value, ';');
    pc_buf out = { NULL, 0, 0, p };

    while (semicolon) {
        attribute a;
        const char *text = NULL;
        int gone = 0;

        read_attribute(semicolon + 1, &a);
        if (is_called(&a, "Path", 4)) {
            text = find(p, paths, new_path, &a, &gone);
        }
        else if (is_called(&a, "Domain", 6)) {
            text = find(p, domains, new_domain, &a, &gone);
        }
        if (text) {
            const char *until = gone ? semicolon : a.value;

            pc_buf_add(&out, done, (apr_size_t)(until - done));
            pc_buf_adds(&out, text);
            done = gone ? a.end : a.value + a.value_len;
            if (out.len > PC_REWRITE_MAX) {
                return NULL;
            }
        }
        semicolon = *a.end ? a.end : NULL;
    }
    if (done == value) {
        return value;
    }
    pc_buf_adds(&out, done);
    pc_buf_add(&out, "", 1);
    return out.len > PC_REWRITE_MAX ? NULL : out.p;
}

/* ------------------------------------------------------------------ configuration */

const char *pc_cookie_parse_path(apr_pool_t *p, const char *from, const char *to, pc_cookie_map *map)
{
    apr_size_t n = strlen(from);

    if (*from != '/' || *to != '/' || !pc_is_visible(from) || !pc_is_visible(to) || strchr(from, ';')
        || strchr(to, ';')) {
        return "accepted are two paths that begin with '/'";
    }
    while (n && from[n - 1] == '/') {
        --n;
    }
    map->from = apr_pstrmemdup(p, from, n);
    map->to = apr_pstrdup(p, to);
    return NULL;
}

static int is_domain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

    return *text && !text[strspn(text, letters)];
}

const char *pc_cookie_parse_domain(apr_pool_t *p, const char *from, const char *to, pc_cookie_map *map)
{
    if ((strcmp(from, "*") != 0 && !is_domain(from)) || !is_domain(to)) {
        return "accepted are two domains; the first may be '*' for any, the second 'off' to leave the attribute out";
    }
    map->from = apr_pstrdup(p, *from == '.' ? from + 1 : from);
    map->to = strcasecmp(to, "off") != 0 ? apr_pstrdup(p, to) : NULL;
    return NULL;
}
