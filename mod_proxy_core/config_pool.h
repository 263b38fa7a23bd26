/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  config_pool.h
 * @brief What stands inside <ProxyCore NAME>: the directives and the checks that one block allows.
 */
#ifndef PC_CONFIG_POOL_H
#define PC_CONFIG_POOL_H

#include "conf.h"

/** A block while it is read. */
typedef struct pc_block {
    pc_pool_conf *pool;
    apr_hash_t *seen; /* directives that stand at most once */
} pc_block;

/** A pool with every default of the documentation; codec and balancer are still NULL. */
pc_pool_conf *pc_pool_conf_make(apr_pool_t *p, const char *name, const char *source);
/** The codec of this name. @return NULL, or what is wrong and which are there, in p */
const char *pc_pool_set_codec(apr_pool_t *p, pc_pool_conf *pool, const char *name);
/** The balancer of this name. @return as above */
const char *pc_pool_set_balancer(apr_pool_t *p, pc_pool_conf *pool, const char *name);
/** Checks at the end of a block; sets the default balancer. @return NULL, or what is wrong, in p */
const char *pc_pool_conf_complete(apr_pool_t *p, pc_pool_conf *pool);

/** The pool of the block around this directive.
 *  @param once  1: the directive stands at most once in a block
 *  @return NULL: *wrong says why */
pc_pool_conf *pc_conf_pool_of(cmd_parms *cmd, void *mconfig, int once, const char **wrong);
/** "DIRECTIVE value: accepted is ..." */
const char *pc_conf_wrong(cmd_parms *cmd, const char *value, const char *accepted);
/** Parse an Apache string expression; within .htaccess without access to files. @return NULL or what is wrong */
const char *pc_conf_expr(cmd_parms *cmd, const char *text, ap_expr_info_t **out);
/** 1 while a .htaccess file is read. */
int pc_conf_in_htaccess(cmd_parms *cmd);
/** "DIRECTIVE value: accepted is ..." */
const char *pc_conf_wrong(cmd_parms *cmd, const char *value, const char *accepted);

const char *pc_set_protocol(cmd_parms *cmd, void *mconfig, const char *name);
const char *pc_set_backend(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_balancer(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_keepalive(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_queue(cmd_parms *cmd, void *mconfig, const char *n, const char *timeout);
const char *pc_set_timeout(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_retry(cmd_parms *cmd, void *mconfig, const char *n, const char *on);
const char *pc_set_disable_time(cmd_parms *cmd, void *mconfig, const char *arg);
const char *pc_set_forwarded(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_expect(cmd_parms *cmd, void *mconfig, const char *arg);
const char *pc_set_async(cmd_parms *cmd, void *mconfig, const char *arg);
const char *pc_set_buffering(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_trailers(cmd_parms *cmd, void *mconfig, const char *arg);
const char *pc_set_upgrade(cmd_parms *cmd, void *mconfig, const char *which, const char *drain);

#endif /* PC_CONFIG_POOL_H */
