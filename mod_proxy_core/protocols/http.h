/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  http.h
 * @brief HTTP/1.1 as a client (RFC 9112).
 */
#ifndef PC_PROTOCOLS_HTTP_H
#define PC_PROTOCOLS_HTTP_H

#include "mod_proxy_core.h"

extern const pc_codec pc_http_codec;
/** The same over TLS. */
extern const pc_codec pc_https_codec;

#endif /* PC_PROTOCOLS_HTTP_H */
