/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script_link.h
 * @brief Links to CGI scripts: mod_procd's manager starts one for each request and hands its pipes over.
 *
 * A lease of a group of SpawnSocketType pipe is the permission to run one script. Being connected is having its pipes.
 */
#ifndef PC_SCRIPT_LINK_H
#define PC_SCRIPT_LINK_H

#include "exchange.h"

/** In the parent, once mod_procd's functions can be had. */
void pc_script_init(void);

/** May this request run a script at all (Options ExecCGI, as for mod_cgid)? @return OK or HTTP_FORBIDDEN */
int pc_script_permitted(request_rec *r);

/** Is the lease the permission to run a script? */
int pc_script_leased(const pc_lease *lease);

/** Begin or go on connecting x->link. @return APR_SUCCESS: it runs; APR_EINPROGRESS: wait for readable; APR_EAGAIN: after a
 *  while; else pc_script_failed() knows what that means */
apr_status_t pc_script_connect(pc_exchange *x);
pc_step pc_script_failed(pc_exchange *x, apr_status_t rv);
/** Has its output ended because it was not run? Then it is pc_script_failed() that knows what that means. */
int pc_script_was_refused(const pc_link *link);

/** Do pools of this protocol and groups of that type go together? For httpd -t.
 *  @return NULL, or what is wrong */
const char *pc_script_check_pool(apr_pool_t *p, server_rec *s, const pc_pool_conf *pool);

#endif /* PC_SCRIPT_LINK_H */
