/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "field_rules.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

static int is_one_of(const char *name, apr_size_t len, const char *const *list)
{
    for (; *list; ++list) {
        if (!apr_cstr_casecmpn(name, *list, len) && !(*list)[len]) {
            return 1;
        }
    }
    return 0;
}

int pc_field_is_hop(const char *name, apr_size_t len)
{
    static const char *const with_c[] = { "Connection", NULL };
    static const char *const with_e[] = { "Expect", NULL };
    static const char *const with_h[] = { "HTTP2-Settings", NULL };
    static const char *const with_k[] = { "Keep-Alive", NULL };
    static const char *const with_p[] = { "Proxy-Connection", "Proxy", "Proxy-Authorization", "Proxy-Authenticate",
                                          NULL };
    static const char *const with_t[] = { "TE", "Transfer-Encoding", "Trailer", "Trailers", NULL };
    static const char *const with_u[] = { "Upgrade", NULL };

    switch (*name | 0x20) {
    case 'c': return is_one_of(name, len, with_c);
    case 'e': return is_one_of(name, len, with_e);
    case 'h': return is_one_of(name, len, with_h);
    case 'k': return is_one_of(name, len, with_k);
    case 'p': return is_one_of(name, len, with_p);
    case 't': return is_one_of(name, len, with_t);
    case 'u': return is_one_of(name, len, with_u);
    default: return 0;
    }
}

int pc_field_is_forwarding(const char *name, apr_size_t len)
{
    static const char *const names[] = { "X-Forwarded-For",    "X-Forwarded-Host",   "X-Forwarded-Proto",
                                         "X-Forwarded-Port",   "X-Forwarded-Server", "X-Forwarded-Ssl",
                                         "X-Forwarded-Scheme", "X-Forwarded-By",     "X-Forwarded-Prefix",
                                         "X-Real-IP",          "Forwarded",          NULL };
    int first = *name | 0x20;

    return (first == 'x' || first == 'f') && is_one_of(name, len, names);
}

int pc_field_is_sendfile_offer(const char *name, apr_size_t len)
{
    static const char *const names[] = { "x-sendfile-type", "x-accel-mapping" };
    char lower[15];

    if (len != sizeof(lower)) {
        return 0;
    }
    for (apr_size_t i = 0; i < len; ++i) {
        lower[i] = name[i] == '_' ? '-' : (char)apr_tolower(name[i]);
    }
    return !memcmp(lower, names[0], len) || !memcmp(lower, names[1], len);
}

/* ------------------------------------------------------------------ Connection */

static apr_size_t token_span(const char *p)
{
    apr_size_t n = 0;

    while (p[n] && (apr_isalnum(p[n]) || strchr("!#$%&'*+-.^_`|~", p[n]))) {
        ++n;
    }
    return n;
}

static int is_token(const char *p, apr_size_t n)
{
    return n > 0 && token_span(p) >= n;
}

int pc_connection_names(apr_pool_t *p, const char *value, apr_array_header_t **names)
{
    const char *s = value;

    while (*s) {
        apr_size_t n;

        while (*s == ' ' || *s == '\t' || *s == ',') {
            ++s;
        }
        if (!*s) {
            break;
        }
        n = strcspn(s, ", \t");
        if (!is_token(s, n)) {
            return -1;
        }
        if (!(n == 5 && !apr_cstr_casecmpn(s, "close", n)) && !(n == 10 && !apr_cstr_casecmpn(s, "keep-alive", n))) {
            if (!*names) {
                *names = apr_array_make(p, 2, sizeof(const char *));
            }
            APR_ARRAY_PUSH(*names, const char *) = apr_pstrmemdup(p, s, n);
        }
        s += n;
        s += strspn(s, " \t");
        if (*s && *s != ',') {
            return -1;
        }
    }
    return 0;
}

int pc_name_listed(const apr_array_header_t *names, const char *name)
{
    for (int i = 0; names && i < names->nelts; ++i) {
        if (!apr_cstr_casecmp(APR_ARRAY_IDX(names, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ Forwarded */

const char *pc_forwarded_value(apr_pool_t *p, const char *text, int host)
{
    apr_size_t n = strlen(text), o = 0;
    char *out;

    if (!host && strchr(text, ':')) {
        return apr_pstrcat(p, "\"[", text, "]\"", NULL);
    }
    if (is_token(text, n)) {
        return text;
    }
    out = apr_palloc(p, 2 * n + 3);
    out[o++] = '"';
    for (; *text; ++text) {
        if (*text == '"' || *text == '\\') {
            out[o++] = '\\';
        }
        out[o++] = *text;
    }
    out[o++] = '"';
    out[o] = '\0';
    return out;
}

const char *pc_forwarded_element(apr_pool_t *p, const char *node, const char *host, const char *proto)
{
    return apr_pstrcat(p, "for=", pc_forwarded_value(p, node, 0), ";host=", pc_forwarded_value(p, host, 1),
                       ";proto=", pc_forwarded_value(p, proto, 1), NULL);
}

/** @return behind the quoted string that p begins, NULL: it is none */
static const char *skip_quoted(const char *p)
{
    for (++p; *p && *p != '"'; ++p) {
        if (*p == '\\' && p[1]) {
            ++p;
        }
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f) {
            return NULL;
        }
    }
    return *p ? p + 1 : NULL;
}

/** One name=value. @return behind it, NULL: it is none */
static const char *skip_pair(const char *p)
{
    apr_size_t n = token_span(p);

    if (n == 0 || p[n] != '=') {
        return NULL;
    }
    p += n + 1;
    if (*p == '"') {
        return skip_quoted(p);
    }
    n = token_span(p);
    return n ? p + n : NULL;
}

int pc_forwarded_is_valid(const char *value)
{
    const char *p = value;

    while (p) {
        p += strspn(p, " \t,;"); /* empty elements and pairs are allowed */
        if (!*p) {
            return 1;
        }
        p = skip_pair(p);
        if (p) {
            p += strspn(p, " \t");
            if (*p && *p != ',' && *p != ';') {
                return 0;
            }
        }
    }
    return 0;
}

const char *pc_forwarded_append(apr_pool_t *p, const char *before, const char *element)
{
    apr_size_t n;

    if (!before) {
        return element;
    }
    before += strspn(before, " \t,");
    n = strlen(before);
    while (n && strchr(" \t,", before[n - 1])) {
        --n;
    }
    return n ? apr_pstrcat(p, apr_pstrmemdup(p, before, n), ", ", element, NULL) : element;
}

/* ------------------------------------------------------------------ the target */

static int hex(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

int pc_path_is(const char *raw, apr_size_t raw_len, const char *decoded)
{
    const char *end = raw + raw_len;

    while (raw < end) {
        unsigned char c = (unsigned char)*raw;
        int high, low;

        if (c <= ' ' || c >= 0x7f) {
            return 0;
        }
        if (c != '%') {
            if (*decoded++ != *raw++) {
                return 0;
            }
            continue;
        }
        if (end - raw < 3 || (high = hex(raw[1])) < 0 || (low = hex(raw[2])) < 0) {
            return 0;
        }
        if (*decoded && (unsigned char)*decoded == high * 16 + low) {
            decoded += 1;
        }
        else if (high * 16 + low == '/' && *decoded == '%' && !strncmp(decoded, raw, 3)) {
            decoded += 3;
        }
        else {
            return 0;
        }
        raw += 3;
    }
    return !*decoded;
}

int pc_is_visible(const char *text)
{
    for (; *text; ++text) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f) {
            return 0;
        }
    }
    return 1;
}
