/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "instead_values.h"

#include "apr_cstr.h"
#include "apr_escape.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

#define NOT_ABSOLUTE "the path does not begin with '/'"
#define TOO_LONG "it is longer than 4000 bytes"
#define CONTROLS "it has control characters"

pc_instead_field pc_instead_field_of(const char *name, apr_size_t len)
{
    static const struct {
        apr_size_t len;
        const char *name;
    } fields[] = {
        { 10, "X-Sendfile" },        { 20, "X-LIGHTTPD-send-file" }, { 11, "X-Sendfile2" },
        { 16, "X-Accel-Redirect" },  { 13, "X-Rewrite-URI" },        { 14, "X-Rewrite-Host" },
        { 17, "X-Rewrite-Backend" },
    };
    int i;

    for (i = 0; i < PC_FIELD_OTHER; ++i) {
        if (len == fields[i].len && !apr_cstr_casecmp(name, fields[i].name)) {
            return (pc_instead_field)i;
        }
    }
    return PC_FIELD_OTHER;
}

static int has_controls(const char *s)
{
    for (; *s; ++s) {
        if (apr_iscntrl(*s)) {
            return 1;
        }
    }
    return 0;
}

/** @param len  of text, which need not end there */
static const char *path_of(apr_pool_t *p, const char *text, apr_size_t len, int unescape, const char **path)
{
    char *copy;
    apr_status_t rv = APR_SUCCESS;

    if (len > PC_INSTEAD_MAX) {
        return TOO_LONG;
    }
    copy = apr_pstrmemdup(p, text, len);
    if (unescape) {
        rv = apr_unescape_url(copy, copy, APR_ESCAPE_STRING, NULL, NULL, 0, NULL);
    }
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) { /* the latter: there was nothing to decode */
        return "the path is not percent-encoded as it should be";
    }
    if (*copy != '/') {
        return NOT_ABSOLUTE;
    }
    if (has_controls(copy)) {
        return CONTROLS;
    }
    *path = copy;
    return NULL;
}

static pc_part *add_part(apr_array_header_t *parts, const char *path)
{
    pc_part *part = apr_array_push(parts);

    part->path = path;
    part->first = 0;
    part->last = -1;
    return part;
}

const char *pc_sendfile_parse(apr_pool_t *p, const char *value, int unescape, apr_array_header_t *parts)
{
    const char *path, *wrong = path_of(p, value, strlen(value), unescape, &path);

    if (!wrong) {
        add_part(parts, path);
    }
    return wrong;
}

/** Digits, at most 18. @return behind them, or NULL */
static const char *take_number(const char *s, apr_off_t *out)
{
    const char *begin = s;
    apr_int64_t n = 0;

    for (; apr_isdigit(*s) && s - begin < 18; ++s) {
        n = n * 10 + (*s - '0');
    }
    *out = (apr_off_t)n;
    return s == begin || apr_isdigit(*s) ? NULL : s;
}

static const char *take_range(const char *s, pc_part *part)
{
    if (!(s = take_number(s, &part->first)) || *s++ != '-') {
        return NULL;
    }
    if (apr_isdigit(*s)) {
        if (!(s = take_number(s, &part->last)) || part->last < part->first) {
            return NULL;
        }
    }
    return s;
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

const char *pc_sendfile2_parse(apr_pool_t *p, const char *value, apr_array_header_t *parts)
{
    const char *s = skip_blanks(value), *wrong;

    while (*s) {
        apr_size_t n = strcspn(s, " \t,");
        pc_part part = { NULL, 0, -1 };

        if (parts->nelts >= PC_PARTS_MAX) {
            return "it has more than 32 parts";
        }
        if ((wrong = path_of(p, s, n, 1, &part.path))) {
            return wrong;
        }
        s = take_range(skip_blanks(s + n), &part);
        if (!s) {
            return "a path is not followed by first-last or first-";
        }
        APR_ARRAY_PUSH(parts, pc_part) = part;
        s = skip_blanks(s);
        if (*s && *s != ',') {
            return "parts are parted by commas";
        }
        if (*s == ',' && !*(s = skip_blanks(s + 1))) {
            return "nothing follows the last comma";
        }
    }
    return parts->nelts ? NULL : "it is empty";
}

int pc_part_clip(const pc_part *part, apr_off_t size, apr_off_t *len)
{
    apr_off_t end = part->last < 0 || part->last >= size ? size : part->last + 1;

    *len = end - part->first;
    return part->first <= size;
}

const char *pc_site_uri_check(const char *uri)
{
    if (*uri != '/') {
        return NOT_ABSOLUTE;
    }
    if (strlen(uri) > PC_INSTEAD_MAX) {
        return TOO_LONG;
    }
    if (has_controls(uri)) {
        return CONTROLS;
    }
    return strchr(uri, '#') ? "it has a '#', which is written %23 in a path" : NULL;
}

const char *pc_host_check(const char *host)
{
    apr_size_t n = strlen(host), i;

    if (n == 0 || n > 255) {
        return "a host has 1 to 255 bytes";
    }
    for (i = 0; i < n; ++i) {
        if (!apr_isalnum(host[i]) && !strchr("-._:[]", host[i])) {
            return "a host has letters, digits, '-', '.', '_', and ':' before a port";
        }
    }
    return NULL;
}
