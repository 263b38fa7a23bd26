/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script.h
 * @brief ProxyCoreScript: which part of a URL path names the script, which is PATH_INFO, and how the script's file is
 *        called on the backend's side. Needs APR only.
 *
 *     ProxyCoreScript [HOW] [path-info-in-filename=on|off] [chroot=/path] [file=EXPRESSION]
 *
 * HOW is one of
 *   auto           the first segment with an extension (/a/x.php) ends the script, else the whole path is one (default)
 *   whole          all of the path is the script, there is no PATH_INFO
 *   none           SCRIPT_NAME is empty, PATH_INFO is all of the path (an application at the root)
 *   /prefix        the prefix is the script, the rest is PATH_INFO
 *   /prefix/       the segment behind the prefix is the script, the rest is PATH_INFO
 *   .php [.phtml]  the first segment that ends so is the script
 * A path that HOW says nothing about (not below the prefix, no such extension) is split as by auto. A prefix matches at
 * a segment boundary only. SCRIPT_NAME and PATH_INFO together are always the whole path.
 */
#ifndef PC_SCRIPT_H
#define PC_SCRIPT_H

#include "apr_pools.h"
#include "apr_tables.h"

typedef enum {
    PC_SCRIPT_UNSET, /* not said here: split as by auto */
    PC_SCRIPT_AUTO,
    PC_SCRIPT_WHOLE,
    PC_SCRIPT_NONE,
    PC_SCRIPT_PREFIX,
    PC_SCRIPT_EXTENSIONS
} pc_script_how;

typedef struct pc_script {
    pc_script_how how;
    const char *prefix;             /* PC_SCRIPT_PREFIX */
    apr_array_header_t *extensions; /* PC_SCRIPT_EXTENSIONS: of const char *, with the dot */
    int path_info_in_filename;      /* SCRIPT_FILENAME is path + PATH_INFO */
    const char *chroot;             /* taken from the front of file names, without '/' at the end; or NULL */
    const char *file_text;          /* file= as written, or NULL */
    void *file;                     /* file= parsed: ap_expr_info_t *, set by config.c */
} pc_script;

/** @return NULL, or what is wrong, in p */
const char *pc_script_parse(apr_pool_t *p, int argc, char *const argv[], pc_script *script);

/** Split a path that begins with '/'. @param script may be NULL @return length of SCRIPT_NAME; the rest is PATH_INFO */
apr_size_t pc_script_split(const pc_script *script, const char *path);

/** file without the chroot in front of it; at least "/". */
const char *pc_script_inside(const pc_script *script, const char *file);

/** Does path begin with prefix, and end there or go on with '/'? A '/' at the end of prefix counts as the boundary.
 *  @return length of what matched, 0: no */
apr_size_t pc_path_prefix(const char *path, const char *prefix);

#endif /* PC_SCRIPT_H */
