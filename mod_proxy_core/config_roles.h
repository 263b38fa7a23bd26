/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  config_roles.h
 * @brief ProxyCoreMode and ProxyCoreMapExtension, and what a ProxyCorePass means that names an authorizer.
 *
 * A request has at most one pool that serves it and at most one authorizer that is asked before. Both are named by
 * ProxyCorePass; a ProxyCorePass of one kind does not hide one of the other kind that stands further out (or in the same
 * section). Which kind it is says ProxyCoreMode in the same section, or the pool's own block, which may not have been
 * read yet: so a pc_dir_conf keeps those that its pass hides (under), and pc_route_pass() looks for the first of a kind.
 */
#ifndef PC_CONFIG_ROLES_H
#define PC_CONFIG_ROLES_H

#include "conf.h"

const char *pc_set_mode(cmd_parms *cmd, void *mconfig, const char *arg);
const char *pc_set_map_extension(cmd_parms *cmd, void *mconfig, const char *from, const char *to);

/** Another ProxyCorePass is about to be written into conf: one of the same section goes under it. */
void pc_roles_begin_pass(cmd_parms *cmd, pc_dir_conf *conf);
/** It was: a ProxyCoreMode authorizer that stood before it is meant for it. */
void pc_roles_end_pass(pc_dir_conf *conf);
/** Who may not change authentication in .htaccess may not change the authorizer. @return NULL or what is wrong */
const char *pc_roles_check_htaccess(cmd_parms *cmd, const pc_dir_conf *conf);
/** The `under` of base and add merged. */
const pc_dir_conf *pc_roles_merge_under(apr_pool_t *p, const pc_dir_conf *base, const pc_dir_conf *add);

/** What is wrong with a ProxyCoreMode of the configuration's tree, in p. @return NULL: nothing */
const char *pc_roles_check_node(apr_pool_t *p, server_rec *s, const ap_directive_t *node);
/** The same for the end of a pool's block. */
const char *pc_roles_check_pool(apr_pool_t *p, const pc_pool_conf *pool);

#endif /* PC_CONFIG_ROLES_H */
