/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/target.c mod_proxy_core/reference.c mod_proxy_core/reverse.c mod_proxy_core/cookie.c mod_proxy_core/field_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */

/* The texts that rewriting works on. The first byte says which kind: t a target, w r l i a field with URLs, c a cookie. */

#include "cookie.h"
#include "field_rules.h"
#include "reference.h"
#include "reverse.h"
#include "target.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static apr_pool_t *pool;

static void must(int fine)
{
    if (!fine) {
        abort();
    }
}

static void target(const char *text)
{
    const char *why = NULL, *made = pc_target_make(pool, text, &why), *path;

    if (!made) {
        must(why != NULL);
        return;
    }
    must(*made == '/' && pc_is_visible(made) && !strchr(made, '#') && strlen(made) <= PC_REWRITE_MAX);
    must((path = pc_target_path(pool, made)) && *path == '/' && !strstr(path, "/../"));
    must(!strcmp(pc_target_make(pool, made, &why), made));
}

static const char *same(void *baton, const char *url)
{
    (void)baton;
    return url;
}

static const char *mapped(void *baton, const char *url)
{
    static const pc_reverse_map auto_map = { NULL, NULL, "", NULL };
    apr_array_header_t *maps = apr_array_make(pool, 2, sizeof(pc_reverse_map));
    apr_array_header_t *addresses = apr_array_make(pool, 1, sizeof(const char *));
    pc_reverse_sides s = { "http", "w.example", addresses, "https://w.example", "w.example", baton };
    pc_reverse_map map;
    const char *out;

    APR_ARRAY_PUSH(addresses, const char *) = "b:81";
    must(!pc_reverse_parse(pool, "http://b:82/x", "/", &map));
    APR_ARRAY_PUSH(maps, pc_reverse_map) = map;
    APR_ARRAY_PUSH(maps, pc_reverse_map) = auto_map;
    if ((out = pc_reverse_answer(pool, maps, &s, url))) {
        must(!strncmp(out, "https://w.example/", 18) || (*out == '/' && out[1] != '/' && out[1] != '\\'));
    }
    if (pc_reverse_parse(pool, url, "/", &map) == NULL) {
        must(!*map.path || *map.path == '/');
    }
    if ((out = pc_reverse_request(pool, maps, &s, url))) {
        must(!strncmp(out, "http://w.example/", 17) || (*out == '/' && out[1] != '/' && out[1] != '\\'));
    }
    return out;
}

static void references(pc_reference_kind kind, const char *text)
{
    const char *out = pc_reference_map(pool, kind, text, same, NULL);

    must(!out || !strcmp(out, text));
    (void)pc_reference_map(pool, kind, text, mapped, (void *)"");
    (void)pc_reference_map(pool, kind, text, mapped, (void *)"/app");
}

static void cookie(const char *text)
{
    apr_array_header_t *paths = apr_array_make(pool, 1, sizeof(pc_cookie_map));
    apr_array_header_t *domains = apr_array_make(pool, 1, sizeof(pc_cookie_map));
    const char *out;

    must(!pc_cookie_parse_path(pool, "/", "/", (pc_cookie_map *)apr_array_push(paths)));
    out = pc_cookie_rewrite(pool, text, paths, NULL);
    must(!out || strlen(out) == strlen(text));
    must(!pc_cookie_parse_domain(pool, "*", "off", (pc_cookie_map *)apr_array_push(domains)));
    out = pc_cookie_rewrite(pool, text, NULL, domains);
    must(!out || (strlen(out) <= strlen(text) && pc_cookie_rewrite(pool, out, NULL, domains) == out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text;

    if (!size) {
        return 0;
    }
    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    text = apr_pstrmemdup(pool, (const char *)data + 1, size - 1);
    switch (*data) {
    case 't': target(text); break;
    case 'w': references(PC_REF_WHOLE, text); break;
    case 'r': references(PC_REF_REFRESH, text); break;
    case 'l': references(PC_REF_LINK, text); break;
    case 'i': references(PC_REF_IF, text); break;
    case 'c': cookie(text); break;
    default: break;
    }
    apr_pool_clear(pool);
    return 0;
}
