/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  field_rules.h
 * @brief Rules on a request's fields and target that need no request_rec: which fields end here (RFC 9110, 7.6.1), what
 *        Connection lists, how a node is written in Forwarded (RFC 7239), and how a target is made again.
 */
#ifndef PC_FIELD_RULES_H
#define PC_FIELD_RULES_H

#include "mod_proxy_core.h"

#include "apr_tables.h"

/** A field between two neighbours, or one that must never reach a backend (Proxy: "httpoxy"). */
int pc_field_is_hop(const char *name, apr_size_t len);

/** Does a field of this name say where a client is? Those that a client sent are not believed. */
int pc_field_is_forwarding(const char *name, apr_size_t len);

/** Is this one by which a server in front says that it serves files (X-Sendfile-Type), and from where (X-Accel-Mapping)?
 *  Also with '_', which applications take for '-'. */
int pc_field_is_sendfile_offer(const char *name, apr_size_t len);

/** Add the names that a Connection field lists, but keep-alive and close.
 *  @param names  *names may be NULL and is made in p when needed; of const char *
 *  @return 0, or -1: malformed */
int pc_connection_names(apr_pool_t *p, const char *value, apr_array_header_t **names);

/** Is name one of names? names may be NULL. */
int pc_name_listed(const apr_array_header_t *names, const char *name);

/** for="…" of Forwarded: an IPv6 address in brackets and quotes. host: 0 for an address, 1 for a Host value. */
const char *pc_forwarded_value(apr_pool_t *p, const char *text, int host);

/** An element of Forwarded: who asked us, for which host, by what. */
const char *pc_forwarded_element(apr_pool_t *p, const char *node, const char *host, const char *proto);

/** Is it a value of Forwarded by the grammar (RFC 7239, 4), with white space around ';' let pass? What is not must not
 *  stand before an element of ours: an open quote would hide it. */
int pc_forwarded_is_valid(const char *value);

/** "before, element": what a trusted neighbour has said, and what is known here. Nothing or blanks before: element. */
const char *pc_forwarded_append(apr_pool_t *p, const char *before, const char *element);

/** Does raw, as a client sent it, stand for exactly this decoded path? A "%2F" that was kept matches itself.
 *  @return 1: yes, and raw has no byte that must be escaped */
int pc_path_is(const char *raw, apr_size_t raw_len, const char *decoded);

/** Are all bytes printable ASCII without space? */
int pc_is_visible(const char *text);

#endif /* PC_FIELD_RULES_H */
