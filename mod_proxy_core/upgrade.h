/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  upgrade.h
 * @brief The Upgrade field (RFC 9110, 7.8): what of a client's list a backend is offered, and what it may answer. Pure.
 */
#ifndef PC_UPGRADE_H
#define PC_UPGRADE_H

#include "apr_pools.h"

typedef enum pc_upgrade {
    PC_UPGRADE_OFF,
    PC_UPGRADE_WEBSOCKET,
    PC_UPGRADE_ANY /* but HTTP/2 and TLS, in which requests would go past this server unseen */
} pc_upgrade;

/** The protocols of a client's list that may be offered, in its order.
 *  @return a list in p, NULL: none, or it is no list of protocols */
const char *pc_upgrade_offer(apr_pool_t *p, const char *list, pc_upgrade which);

/** Does this answer name exactly one protocol, and one of those offered? */
int pc_upgrade_is_offered(const char *offer, const char *answer);

#endif /* PC_UPGRADE_H */
