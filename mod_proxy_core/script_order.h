/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script_order.h
 * @brief What the manager is told to run for a request: the script, its arguments, its environment.
 */
#ifndef PC_SCRIPT_ORDER_H
#define PC_SCRIPT_ORDER_H

#include "exchange.h"

/** From x->msg.fields; in the request's pool. */
void pc_script_order(const pc_exchange *x, procd_script_order *order);

#endif /* PC_SCRIPT_ORDER_H */
