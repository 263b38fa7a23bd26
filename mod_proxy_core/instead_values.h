/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  instead_values.h
 * @brief What the fields of an application say that name something to be served in place of its answer: values only, no
 *        file is touched. Needs APR only. A function that returns text returns NULL when the value was good.
 */
#ifndef PC_INSTEAD_VALUES_H
#define PC_INSTEAD_VALUES_H

#include "apr_pools.h"
#include "apr_tables.h"

/** The fields, in the order of precedence: of two kinds in one head the first one counts. */
typedef enum pc_instead_field {
    PC_FIELD_SENDFILE,        /* X-Sendfile */
    PC_FIELD_LIGHTTPD,        /* X-LIGHTTPD-send-file */
    PC_FIELD_SENDFILE2,       /* X-Sendfile2 */
    PC_FIELD_ACCEL,           /* X-Accel-Redirect */
    PC_FIELD_REWRITE_URI,     /* X-Rewrite-URI */
    PC_FIELD_REWRITE_HOST,    /* X-Rewrite-Host */
    PC_FIELD_REWRITE_BACKEND, /* X-Rewrite-Backend */
    PC_FIELD_OTHER
} pc_instead_field;

/** Which one is this? PC_FIELD_OTHER: none of them. */
pc_instead_field pc_instead_field_of(const char *name, apr_size_t len);

/** A span of a file. */
typedef struct pc_part {
    const char *path; /* absolute */
    apr_off_t first;
    apr_off_t last; /* -1: to the end of the file */
} pc_part;

/** Most parts of one answer: each may hold a descriptor until it is sent. */
#define PC_PARTS_MAX 32
/** Longest path or URI that is looked at. */
#define PC_INSTEAD_MAX 4000

/** X-Sendfile: a path as it stands. @param unescape  it is percent-encoded @param parts gets one part more */
const char *pc_sendfile_parse(apr_pool_t *p, const char *value, int unescape, apr_array_header_t *parts);

/** X-Sendfile2: "path first-last" or "path first-", the path percent-encoded (a comma is %2c), several parted by commas.
 *  @param parts  of pc_part, gets those of this field added */
const char *pc_sendfile2_parse(apr_pool_t *p, const char *value, apr_array_header_t *parts);

/** Clip a part to a file of this size. @return 0: it begins behind the end. *len gets the number of bytes */
int pc_part_clip(const pc_part *part, apr_off_t size, apr_off_t *len);

/** A path of the site, percent-encoded, with or without a query: the value of X-Accel-Redirect and X-Rewrite-URI. */
const char *pc_site_uri_check(const char *uri);

/** A value for Host: name or address, with or without a port. */
const char *pc_host_check(const char *host);

#endif /* PC_INSTEAD_VALUES_H */
