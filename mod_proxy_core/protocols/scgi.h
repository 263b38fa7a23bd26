/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  scgi.h
 * @brief SCGI as a client.
 */
#ifndef PC_PROTOCOLS_SCGI_H
#define PC_PROTOCOLS_SCGI_H

#include "mod_proxy_core.h"

extern const pc_codec pc_scgi_codec;

#endif /* PC_PROTOCOLS_SCGI_H */
