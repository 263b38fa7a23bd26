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
 *  @param keep  PC_KEEP_*: what stays nevertheless */
void pc_connection_take(pc_head *head, unsigned keep, pc_connection *c);
#define PC_KEEP_UPGRADE 0x1 /**< Upgrade: of a 101 */
#define PC_KEEP_TRAILER 0x2 /**< Trailer: which is for the recipient */

/** Take out of trailer fields what must not be among them, see trailer_rules.h. */
void pc_connection_trailer(pc_head *head);

#endif /* PC_CONNECTION_H */
