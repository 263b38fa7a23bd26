/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  proxy_header.h
 * @brief The PROXY protocol, versions 1 and 2: what a connection begins with to say whose it is. Pure.
 */
#ifndef PC_PROXY_HEADER_H
#define PC_PROXY_HEADER_H

#include "apr.h"

#include <sys/socket.h>

/** Most bytes of a header; version 1 with two IPv6 addresses. */
#define PC_PROXY_HEADER_MAX 107

/** Write the header of a connection from src to dst. An IPv4 address is written as such also when it is mapped into
 *  IPv6; where only one of the two is IPv4 it is mapped. What is not IP (a unix socket, NULL) makes the header say that
 *  nothing is known.
 *  @param version  1 or 2
 *  @return bytes written to buf */
apr_size_t pc_proxy_header(char buf[PC_PROXY_HEADER_MAX], int version, const struct sockaddr *src,
                           const struct sockaddr *dst);

#endif /* PC_PROXY_HEADER_H */
