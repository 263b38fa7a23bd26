/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "target.h"

#include "apr_escape.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

static const char NO_SLASH[] = "it does not begin with '/'";
static const char DOTS[] = "it has a '.' or '..' segment";
static const char WAY_UP[] = "it has a '..' segment";
static const char TOO_LONG[] = "it is longer than 32768 bytes";
static const char BAD_ESCAPE[] = "it has %00 in its path";
static const char CONTROL[] = "it has control characters";

static int is_separator(char c)
{
    return c == '/' || c == '\\' || c == '\0';
}

/** Is there a segment of so many dots, two at most, in a decoded path? Some servers take '\\' for '/', or cut ";..." off a segment before
 *  they look at it. */
static int has_dot_segment(const char *path, apr_size_t least)
{
    for (; *path; ++path) {
        apr_size_t dots;

        if (!is_separator(*path)) {
            continue;
        }
        dots = strspn(path + 1, ".");
        if (dots >= least && dots <= 2 && (is_separator(path[1 + dots]) || path[1 + dots] == ';')) {
            return 1;
        }
    }
    return 0;
}

static int is_escape(const char *p)
{
    return apr_isxdigit(p[1]) && apr_isxdigit(p[2]);
}

static int check(apr_pool_t *p, const char *target, const char **why)
{
    const char *path = pc_target_path(p, target);

    *why = !path ? BAD_ESCAPE : has_dot_segment(path, 1) ? DOTS : NULL;
    return !*why;
}

const char *pc_target_make(apr_pool_t *p, const char *text, const char **why)
{
    static const char hex[] = "0123456789ABCDEF";
    apr_size_t n = strlen(text), path = strcspn(text, "?"), o = 0;
    char *out;

    if (n > PC_REWRITE_MAX) {
        *why = TOO_LONG;
        return NULL;
    }
    if (*text != '/' && path > 0) {
        *why = NO_SLASH;
        return NULL;
    }
    out = apr_palloc(p, 3 * n + 2);
    if (path == 0) {
        out[o++] = '/';
    }
    for (apr_size_t i = 0; i < n; ++i) {
        unsigned char c = (unsigned char)text[i];

        if (c <= ' ' || c >= 0x7f || c == '#' || (c == '%' && i < path && !is_escape(text + i))) {
            out[o++] = '%';
            out[o++] = hex[c >> 4];
            out[o++] = hex[c & 15];
        }
        else {
            out[o++] = (char)c;
        }
    }
    out[o] = '\0';
    if (o > PC_REWRITE_MAX) {
        *why = TOO_LONG;
        return NULL;
    }
    return check(p, out, why) ? out : NULL;
}

const char *pc_target_path(apr_pool_t *p, const char *target)
{
    return apr_punescape_url(p, apr_pstrmemdup(p, target, strcspn(target, "?")), NULL, NULL, 0);
}

const char *pc_path_wrong(const char *path)
{
    if (*path != '/') {
        return NO_SLASH;
    }
    for (const char *c = path; *c; ++c) {
        if (apr_iscntrl(*c)) {
            return CONTROL;
        }
    }
    return has_dot_segment(path, 2) ? WAY_UP : NULL;
}
