/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields that are no trailers. The definitions of most fields do not say that they may be, and those of applications are
 * not known here: what is forbidden is listed, by name and by kind.
 */
#include "trailer_rules.h"
#include "head.h"

#include <string.h>
#include <strings.h>

/** Names that are announced at most. */
#define ANNOUNCED_MAX 64

/* Kinds: every name that begins so. */
static const char *const kinds[] = { "If-",        "Proxy",      "Sec-",        "X-Forwarded",     "X-Accel-",
                                     "X-Sendfile", "X-Rewrite-", "X-LIGHTTPD-", "Access-Control-", "Forwarded",
                                     "Content-",   NULL };

/* … but these, which are made for it (RFC 9530). */
static const char *const made_for_it[] = { "Content-Digest", "Content-MD5", NULL };

static const char *const names[] = {
    "Accept",
    "Accept-Encoding",
    "Age",
    "Alt-Svc",
    "Authentication-Info",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Cookie",
    "Clear-Site-Data",
    "Date",
    "Expect",
    "Expires",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    "Link",
    "Location",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Range",
    "Referer",
    "Refresh",
    "Retry-After",
    "Set-Cookie",
    "Status",
    "Strict-Transport-Security",
    "TE",
    "Trailer",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Vary",
    "Via",
    "Warning",
    "WWW-Authenticate",
    "X-Frame-Options",
    "X-HTTP-Method-Override",
    "X-Real-IP",
    NULL,
};

static int is_one_of(const char *name, apr_size_t len, const char *const *list)
{
    for (; *list; list++) {
        if (strlen(*list) == len && strncasecmp(name, *list, len) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_of_a_kind(const char *name, apr_size_t len)
{
    const char *const *k;

    for (k = kinds; *k; k++) {
        apr_size_t n = strlen(*k);

        if (len >= n && strncasecmp(name, *k, n) == 0) {
            return 1;
        }
    }
    return 0;
}

int pc_trailer_allowed(const char *name, apr_size_t len)
{
    return is_one_of(name, len, made_for_it) || !(is_of_a_kind(name, len) || is_one_of(name, len, names));
}

const char *pc_trailer_announce(apr_pool_t *p, const char *value)
{
    char *out = apr_palloc(p, strlen(value) + 1), *at = out;
    int n = 0;

    for (value += strspn(value, " \t,"); *value; value += strspn(value, " \t,")) {
        apr_size_t len = pc_token_span(value, strlen(value));

        if (!len || ++n > ANNOUNCED_MAX || !strchr(" \t,", value[len])) { /* strchr finds the NUL, too */
            return NULL;
        }
        if (pc_trailer_allowed(value, len)) {
            if (at != out) {
                *at++ = ',';
            }
            memcpy(at, value, len);
            at += len;
        }
        value += len;
    }
    *at = '\0';
    return at == out ? NULL : out;
}
