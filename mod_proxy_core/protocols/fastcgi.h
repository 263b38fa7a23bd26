/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  fastcgi.h
 * @brief FastCGI 1.0 as a client (a "Web server" in the specification's words).
 */
#ifndef PC_PROTOCOLS_FASTCGI_H
#define PC_PROTOCOLS_FASTCGI_H

#include "mod_proxy_core.h"

extern const pc_codec pc_fastcgi_codec;

#endif /* PC_PROTOCOLS_FASTCGI_H */
