/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  status.h
 * @brief SetHandler proxy-core-status: every pool and backend as text, or as JSON with ?format=json.
 */
#ifndef PC_STATUS_H
#define PC_STATUS_H

#include "conf.h"

void pc_status_register_hooks(apr_pool_t *p);

#endif /* PC_STATUS_H */
