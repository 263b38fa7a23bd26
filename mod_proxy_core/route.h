/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  route.h
 * @brief From a request to a pool and to what the backend is told: which pool, which path, which script.
 */
#ifndef PC_ROUTE_H
#define PC_ROUTE_H

#include "conf.h"

#include "apr_file_io.h"

/** Where a request goes. Made by pc_route_find() in r->pool. */
typedef struct pc_route {
    const pc_pool_conf *pool;
    const pc_dir_conf *dir;
    const char *path;        /* decoded URL path after strip=, begins with '/' */
    const char *docroot;     /* ProxyCoreDocumentRoot's value, NULL: not set */
    const char *prefix;      /* what strip= took off the path; NULL: nothing */
    const char *target;      /* what rules on _uri made of path and query, escaped; NULL: there was none that fitted */
    const char *group;       /* of a pool with places: the name of the group of ProcdGroupDir; else NULL */
    const char *script_file; /* file= of ProxyCoreScript, its value; NULL: not set */
    pc_role role;
    apr_file_t *data; /* PC_ROLE_FILTER: the file, its length and its age; else NULL */
    apr_off_t data_length;
    apr_time_t data_mtime;
    unsigned location : 1; /* came by ProxyCorePass: no file behind it unless check_local */
    unsigned check_local : 1;
} pc_route;

/** translate_name, map_to_storage and type hooks for ProxyCorePass in a section: answer without a directory walk.
 *  Also the check_config hook of conf.h. */
void pc_route_register_hooks(apr_pool_t *p);

/** The hook of ProxyCoreMapExtension (map_extension.c). */
void pc_map_extension_register_hooks(apr_pool_t *p);

/** Has a rewrite rule of a directory sent r elsewhere, by an internal redirect? */
int pc_route_is_rewritten(const request_rec *r);

/** Which pool serves r, if any (in the handler). @return OK with *route set; DECLINED; or an HTTP status
 *  (404: check-local and no such file; 500: unknown pool) */
int pc_route_find(request_rec *r, pc_route **route);

/** What ProxyCorePass says of this request. @return the section's settings, NULL: nothing */
typedef enum { PC_PASS_SERVES, PC_PASS_GUARDS } pc_pass_kind;
const pc_dir_conf *pc_route_pass(request_rec *r, pc_pass_kind kind);

/** The route to the authorizer that guard names. @return OK with *route set, or an HTTP status */
int pc_route_authorizer(request_rec *r, const pc_dir_conf *guard, pc_route **route);

/** The request-target, escaped, as an HTTP backend gets it. @return NULL: it has bytes that cannot be sent on */
const char *pc_http_target(request_rec *r, const pc_route *route);

/** Max-Forwards of an OPTIONS request (RFC 9110, 7.6.2): one less for the backend, or the answer of whom it ends at.
 *  @return DECLINED: it goes on */
int pc_http_last_hop(request_rec *r);

/** The CGI meta-variables (RFC 3875, 4.1; handler-facts 2.8) for PC_CODEC_CGI codecs, without CONTENT_LENGTH and
 *  CONTENT_TYPE's length twin: content_length >= 0 adds CONTENT_LENGTH, -1 leaves it out.
 *  @param fields  gets them; an empty array of pc_field whose first elements may be anywhere
 *  @return 1, or 0: rewriting failed, and that was logged */
int pc_cgi_variables(request_rec *r, const pc_route *route, apr_off_t content_length, apr_array_header_t *fields);

/** The file that is the script, as httpd names it: SCRIPT_FILENAME before ProxyCoreScript chroot=, and whatever
 *  ProxyCoreSetEnv says. */
const char *pc_cgi_script(request_rec *r, const pc_route *route);

/** The request's fields for HTTP codecs, by handler-facts 2.7 in that order: hop-by-hop removed, then forwarding fields
 *  added; no Host, Connection, Content-Length, Transfer-Encoding, Expect (the codec writes these).
 *  @param target  gets the request-target
 *  @param host    gets the value of Host
 *  @param fields  as for pc_cgi_variables()
 *  @return OK, or the answer to a malformed request (400) */
int pc_http_fields(request_rec *r, const pc_route *route, const char **target, const char **host,
                   apr_array_header_t *fields);

#endif /* PC_ROUTE_H */
