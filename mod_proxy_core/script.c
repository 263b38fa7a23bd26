/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "script.h"
#include "config_values.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

#define HOW_HELP "auto, whole, none, /prefix, /prefix/ or extensions such as .php"

apr_size_t pc_path_prefix(const char *path, const char *prefix)
{
    apr_size_t n = strlen(prefix);

    if (n == 0 || strncmp(path, prefix, n) != 0) {
        return 0;
    }
    return prefix[n - 1] == '/' || path[n] == '/' || path[n] == '\0' ? n : 0;
}

static const char *set_how(apr_pool_t *p, const char *arg, pc_script *s)
{
    static const struct {
        const char *word;
        pc_script_how how;
    } words[] = { { "auto", PC_SCRIPT_AUTO }, { "whole", PC_SCRIPT_WHOLE }, { "none", PC_SCRIPT_NONE } };

    if (*arg == '.' && arg[1] && !strchr(arg, '/') && (!s->how || s->how == PC_SCRIPT_EXTENSIONS)) {
        if (!s->extensions) {
            s->extensions = apr_array_make(p, 2, sizeof(const char *));
        }
        APR_ARRAY_PUSH(s->extensions, const char *) = apr_pstrdup(p, arg);
        s->how = PC_SCRIPT_EXTENSIONS;
        return NULL;
    }
    if (s->how) {
        return apr_pstrcat(p, "'", arg, "': how to split is said already; give one of " HOW_HELP, NULL);
    }
    if (*arg == '/') {
        s->how = PC_SCRIPT_PREFIX;
        s->prefix = apr_pstrdup(p, arg);
        return NULL;
    }
    for (apr_size_t i = 0; i < sizeof(words) / sizeof(words[0]); ++i) {
        if (!apr_cstr_casecmp(arg, words[i].word)) {
            s->how = words[i].how;
            return NULL;
        }
    }
    return apr_pstrcat(p, "unknown argument '", arg,
                       "'; accepted: " HOW_HELP ", path-info-in-filename=on, chroot=/path, file=EXPRESSION", NULL);
}

static const char *set_chroot(apr_pool_t *p, const char *path, pc_script *s)
{
    apr_size_t n = strlen(path);

    while (n > 0 && path[n - 1] == '/') {
        --n;
    }
    if (n == 0 || *path != '/') {
        return apr_pstrcat(p, "chroot=", path, ": accepted is a path that begins with '/' and is not the root", NULL);
    }
    s->chroot = apr_pstrmemdup(p, path, n);
    return NULL;
}

const char *pc_script_parse(apr_pool_t *p, int argc, char *const argv[], pc_script *s)
{
    const char *v, *wrong = NULL;

    memset(s, 0, sizeof(*s));
    if (argc < 1) {
        return "takes one of " HOW_HELP;
    }
    for (int i = 0; i < argc && !wrong; ++i) {
        if ((v = pc_value_of(argv[i], "path-info-in-filename"))) {
            if (pc_value_flag(v, &s->path_info_in_filename)) {
                wrong = apr_pstrcat(p, argv[i], ": accepted is on or off", NULL);
            }
        }
        else if ((v = pc_value_of(argv[i], "chroot"))) {
            wrong = set_chroot(p, v, s);
        }
        else if ((v = pc_value_of(argv[i], "file"))) {
            s->file_text = apr_pstrdup(p, v);
            wrong = *v ? NULL : "file= takes a path or an expression";
        }
        else {
            wrong = set_how(p, argv[i], s);
        }
    }
    return wrong;
}

/** Has this segment an extension? ".hidden", "name." and ".." have none. */
static int has_extension(const char *segment, apr_size_t n)
{
    for (apr_size_t i = n; i > 1; --i) {
        if (segment[i - 1] == '.') {
            return i < n && segment[i - 2] != '.';
        }
    }
    return 0;
}

static int ends_with(const char *segment, apr_size_t n, const apr_array_header_t *extensions)
{
    for (int i = 0; i < extensions->nelts; ++i) {
        const char *ext = APR_ARRAY_IDX(extensions, i, const char *);
        apr_size_t len = strlen(ext);

        if (n > len && !memcmp(segment + n - len, ext, len)) {
            return 1;
        }
    }
    return 0;
}

/** Length up to and with the first segment that fits, or 0. */
static apr_size_t first_segment(const char *path, const apr_array_header_t *extensions)
{
    const char *p = path;

    while (*p == '/') {
        const char *segment = p + 1;
        apr_size_t n = strcspn(segment, "/");

        if (extensions ? ends_with(segment, n, extensions) : has_extension(segment, n)) {
            return (apr_size_t)(segment + n - path);
        }
        p = segment + n;
    }
    return 0;
}

static apr_size_t split_prefix(const char *prefix, const char *path)
{
    apr_size_t n = pc_path_prefix(path, prefix);

    if (n && prefix[n - 1] == '/') {
        n += strcspn(path + n, "/");
    }
    return n;
}

apr_size_t pc_script_split(const pc_script *s, const char *path)
{
    apr_size_t n = 0;

    if (s) {
        switch (s->how) {
        case PC_SCRIPT_NONE: return 0;
        case PC_SCRIPT_WHOLE: return strlen(path);
        case PC_SCRIPT_PREFIX: n = split_prefix(s->prefix, path); break;
        case PC_SCRIPT_EXTENSIONS: n = first_segment(path, s->extensions); break;
        case PC_SCRIPT_UNSET:
        case PC_SCRIPT_AUTO: break;
        }
    }
    if (!n) {
        n = first_segment(path, NULL);
    }
    return n ? n : strlen(path);
}

const char *pc_script_inside(const pc_script *s, const char *file)
{
    apr_size_t n = s && s->chroot ? pc_path_prefix(file, s->chroot) : 0;

    if (!n) {
        return file;
    }
    return file[n] ? file + n : "/";
}
