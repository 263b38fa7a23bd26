/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "reverse.h"
#include "field_rules.h"

#include "apr_strings.h"

#include <string.h>
#include <strings.h>

/** A reference, cut up. */
typedef struct parts {
    const char *scheme; /* "http", "https"; NULL: none */
    const char *authority;
    apr_size_t authority_len; /* 0: none */
    const char *path;         /* with query and fragment; "" when nothing follows the authority */
} parts;

/* ------------------------------------------------------------------ parsing */

static const char *scheme_of(const char *url, apr_size_t *len)
{
    *len = !strncasecmp(url, "http://", 7) ? 5 : !strncasecmp(url, "https://", 8) ? 6 : 0;
    return *len == 5 ? "http" : *len == 6 ? "https" : NULL;
}

/** @return 0: it is neither a URL of http nor one that begins with '/' */
static int cut(const char *url, parts *out)
{
    apr_size_t n;

    memset(out, 0, sizeof(*out));
    out->scheme = scheme_of(url, &n);
    if (url[n] != '/') {
        return 0;
    }
    if (url[n + 1] == '/') {
        out->authority = url + n + 2;
        out->authority_len = strcspn(out->authority, "/?#\\");
        out->path = out->authority + out->authority_len;
        return out->authority_len > 0;
    }
    out->path = url;
    return 1;
}

/** The length of an authority without its port; *port is 80 or 443 when it names none. 0: it has a user, or no good port. */
static apr_size_t host_len(const char *authority, apr_size_t len, const char *scheme, unsigned *port)
{
    const char *colon = NULL;

    *port = scheme && !strcmp(scheme, "https") ? 443 : 80;
    for (apr_size_t i = 0; i < len; ++i) {
        if (authority[i] == '@') {
            return 0;
        }
        if (authority[i] == ':') {
            colon = authority + i;
        }
        else if (authority[i] == ']') {
            colon = NULL;
        }
    }
    if (!colon || colon == authority + len - 1) {
        return colon ? len - 1 : len;
    }
    *port = 0;
    for (const char *p = colon + 1; p < authority + len; ++p) {
        if (*p < '0' || *p > '9' || *port > 65535) {
            return 0;
        }
        *port = *port * 10 + (unsigned)(*p - '0');
    }
    return (apr_size_t)(colon - authority);
}

/** Are these the same host and port? */
static int same_place(const char *a, apr_size_t a_len, const char *b, const char *scheme)
{
    unsigned a_port, b_port;
    apr_size_t a_host = host_len(a, a_len, scheme, &a_port), b_host = host_len(b, strlen(b), scheme, &b_port);

    return a_host && a_host == b_host && a_port == b_port && !strncasecmp(a, b, a_host);
}

/** Does the path begin with this prefix, at a segment boundary? prefix is without '/' at its end. */
static int is_below(const char *path, const char *prefix)
{
    apr_size_t n = strlen(prefix);

    return !strncmp(path, prefix, n) && (!path[n] || strchr("/?#", path[n]));
}

static const char *without_slash(apr_pool_t *p, const char *path)
{
    apr_size_t n = strlen(path);

    while (n && path[n - 1] == '/') {
        --n;
    }
    return apr_pstrmemdup(p, path, n);
}

const char *pc_reverse_parse(apr_pool_t *p, const char *backend, const char *here, pc_reverse_map *map)
{
    parts b;
    unsigned port;

    memset(map, 0, sizeof(*map));
    if (!pc_is_visible(backend) || strpbrk(backend, "?#\"<>\\") || !cut(backend, &b)
        || (b.authority && (!b.scheme || !host_len(b.authority, b.authority_len, b.scheme, &port)))) {
        return "accepted is a URL such as http://127.0.0.1:8001/path, or a path";
    }
    if (here && (*here != '/' || here[1] == '/' || !pc_is_visible(here) || strpbrk(here, "?#\"<>\\"))) {
        return "accepted is a path that begins with '/'";
    }
    map->scheme = b.scheme;
    map->authority = b.authority ? apr_pstrmemdup(p, b.authority, b.authority_len) : NULL;
    map->path = without_slash(p, b.path);
    map->here = here ? without_slash(p, here) : NULL;
    return NULL;
}

/* ------------------------------------------------------------------ mapping */

typedef enum { NOT_ITS, ITS_ADDRESS, ITS_HOST, ITS_PATH } whose;

/** By which name, if any, does the backend call itself here? */
static whose is_backends(const pc_reverse_sides *s, const parts *u)
{
    const char *scheme = u->scheme ? u->scheme : s->scheme;

    if (!u->authority) {
        return ITS_PATH;
    }
    if (strcmp(scheme, s->scheme) != 0) {
        return NOT_ITS;
    }
    if (s->host && same_place(u->authority, u->authority_len, s->host, scheme)) {
        return ITS_HOST;
    }
    for (int i = 0; s->addresses && i < s->addresses->nelts; ++i) {
        if (same_place(u->authority, u->authority_len, APR_ARRAY_IDX(s->addresses, i, const char *), scheme)) {
            return ITS_ADDRESS;
        }
    }
    return NOT_ITS;
}

static whose is_maps(const pc_reverse_map *m, const pc_reverse_sides *s, const parts *u)
{
    if (!m->scheme) {
        return is_backends(s, u);
    }
    if (!u->authority) {
        return ITS_PATH;
    }
    return !strcmp(u->scheme ? u->scheme : s->scheme, m->scheme)
                   && same_place(u->authority, u->authority_len, m->authority, m->scheme)
               ? ITS_ADDRESS
               : NOT_ITS;
}

/** site, prefix and rest; without the site where the URL had none, unless what is left could be taken for another site's
 *  ("//host"). */
static const char *join(apr_pool_t *p, const char *site, int with_site, const char *prefix, const char *rest)
{
    if (!*prefix && rest[0] == '/' && (rest[1] == '/' || rest[1] == '\\')) {
        with_site = 1;
    }
    return apr_pstrcat(p, with_site ? site : "", prefix, *prefix || *rest == '/' ? "" : "/", rest, NULL);
}

const char *pc_reverse_answer(apr_pool_t *p, const apr_array_header_t *maps, const pc_reverse_sides *sides,
                              const char *url)
{
    parts u;

    if (!cut(url, &u)) {
        return NULL;
    }
    for (int i = 0; i < maps->nelts; ++i) {
        const pc_reverse_map *m = &APR_ARRAY_IDX(maps, i, pc_reverse_map);
        const char *here = m->here ? m->here : sides->prefix, *path = *u.path == '/' ? u.path : "/";
        const char *rest = *u.path == '/' ? "" : u.path; /* "http://host?query" */
        whose w = is_maps(m, sides, &u);

        if (w == NOT_ITS || !is_below(path, m->path)) {
            continue;
        }
        path += strlen(m->path);
        /* An application that was told where it stands says so, except by its address. */
        if (w != ITS_ADDRESS && *here && is_below(u.path, here)) {
            path = u.path + strlen(here);
        }
        return join(p, sides->client, u.authority != NULL, here, *rest ? apr_pstrcat(p, path, rest, NULL) : path);
    }
    return NULL;
}

const char *pc_reverse_request(apr_pool_t *p, const apr_array_header_t *maps, const pc_reverse_sides *sides,
                               const char *url)
{
    parts u;

    /* whatever the scheme: TLS may end in front of this server */
    if (!cut(url, &u)
        || (u.authority
            && (!u.scheme || !sides->client_host
                || !same_place(u.authority, u.authority_len, sides->client_host, u.scheme)))) {
        return NULL;
    }
    for (int i = 0; i < maps->nelts; ++i) {
        const pc_reverse_map *m = &APR_ARRAY_IDX(maps, i, pc_reverse_map);
        const char *here = m->here ? m->here : sides->prefix;

        if (is_below(u.path, here)) {
            return join(p, apr_pstrcat(p, sides->scheme, "://", sides->host, NULL), u.authority != NULL, m->path,
                        u.path + strlen(here));
        }
    }
    return NULL;
}
