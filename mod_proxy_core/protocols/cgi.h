/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  cgi.h
 * @brief CGI (RFC 3875): a body on standard input, an answer on standard output, and no framing.
 */
#ifndef PC_PROTOCOLS_CGI_H
#define PC_PROTOCOLS_CGI_H

#include "mod_proxy_core.h"

extern const pc_codec pc_cgi_codec;

#endif /* PC_PROTOCOLS_CGI_H */
