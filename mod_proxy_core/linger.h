/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  linger.h
 * @brief Wait a moment for a client's next request in the thread that answered its last one.
 */
#ifndef PC_LINGER_H
#define PC_LINGER_H

#include "httpd.h"

/** In child_init. */
void pc_linger_child_init(apr_pool_t *pchild);
/** May this thread wait a few milliseconds for something that is likely to come? At most half of a child's threads may at
 *  once. @return 1: yes, and pc_thread_waited() must follow */
int pc_thread_may_wait(void);
void pc_thread_waited(void);

/** After a request on c was answered and the connection is to be kept.
 *  @param waiting  requests of this child that hold no thread and may want one any moment
 *  @return 1: another request is there, run the connection again; 0: leave it to the MPM */
int pc_linger(conn_rec *c, apr_uint32_t waiting);

#endif /* PC_LINGER_H */
