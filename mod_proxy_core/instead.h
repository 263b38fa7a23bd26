/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  instead.h
 * @brief Answers that name what is to be served in their place: a file (X-Sendfile and its kin), another path of the site
 *        (X-Accel-Redirect), the request once more elsewhere (X-Rewrite-…).
 */
#ifndef PC_INSTEAD_H
#define PC_INSTEAD_H

#include "config_sendfile.h"
#include "exchange.h"
#include "instead_values.h"

/** What a head said. */
typedef struct pc_instead {
    pc_instead_field kind;
    apr_array_header_t *parts; /* of pc_part */
    const char *uri, *host, *backend;
    apr_table_t *fields; /* the application's own that the client gets */
    const char *type;    /* Content-Type, or NULL */
    int status;          /* of the answer */
} pc_instead;

/** instead.c: does this head name something that is to be served in its place, and may it? Sets x->instead.
 *  @return 0: no; the answer is the client's */
int pc_instead_choose(pc_exchange *x, const pc_head *head);

/** sendfile.c: serve the files that were named; as a handler. */
int pc_sendfile_serve(request_rec *r, const pc_sendfile_conf *conf, const pc_instead *in);

/** A file that may be sent. */
typedef struct pc_file {
    apr_file_t *file;
    apr_finfo_t finfo;
    request_rec *seen; /* as if the file had been asked for: its directory's configuration; never run */
} pc_file;

/** file_open.c: open what an application named. @return OK, or an HTTP status after it was logged */
int pc_file_open(request_rec *r, const pc_sendfile_conf *conf, const char *path, pc_file *out);

#endif /* PC_INSTEAD_H */
