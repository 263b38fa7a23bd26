/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  connection.h
 * @brief Fields that belong to one connection (RFC 9110, 7.6.1): read what they say, take them out of a head.
 */
#ifndef PC_CONNECTION_H
#define PC_CONNECTION_H

#include "mod_proxy_core.h"

typedef enum pc_coding {
    PC_CODING_NONE,    /**< no Transfer-Encoding */
    PC_CODING_CHUNKED, /**< exactly "chunked", once */
    PC_CODING_OTHER    /**< anything else: the end of the body cannot be known */
} pc_coding;

/** What the connection's fields said. */
typedef struct pc_connection {
    pc_coding coding;
    unsigned close : 1;
    unsigned keep_alive : 1;
    unsigned malformed : 1; /**< Connection is not a list of tokens */
} pc_connection;

/** Take Connection, what it lists, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding and Upgrade out of the
 *  head. Content-Length stays even when listed: it frames this message.
 *  @param upgrade  1: Upgrade stays (101) */
void pc_connection_take(pc_head *head, int upgrade, pc_connection *c);

/** Take out of trailer fields what must not be among them (RFC 9110, 6.5.1): framing, routing, representation and
 *  authentication, which a recipient that merges trailers would take for the head's. */
void pc_connection_trailer(pc_head *head);

#endif /* PC_CONNECTION_H */
