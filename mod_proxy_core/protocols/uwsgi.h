/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  uwsgi.h
 * @brief The uwsgi protocol (small u) as a client.
 */
#ifndef PC_PROTOCOLS_UWSGI_H
#define PC_PROTOCOLS_UWSGI_H

#include "mod_proxy_core.h"

extern const pc_codec pc_uwsgi_codec;

#endif /* PC_PROTOCOLS_UWSGI_H */
