/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  config_backend.h
 * @brief Addresses and the keys behind them, as ProxyCoreBackend and the short forms have them. Needs APR only; names are
 *        looked up in config_resolve.c and nowhere else.
 */
#ifndef PC_CONFIG_BACKEND_H
#define PC_CONFIG_BACKEND_H

#include "conf.h"

typedef enum { PC_ADDR_UNIX, PC_ADDR_IP, PC_ADDR_NAME, PC_ADDR_SPAWN } pc_addr_kind;

/** An address as written. */
typedef struct pc_address {
    pc_addr_kind kind;
    const char *name; /* PC_ADDR_NAME: host; PC_ADDR_SPAWN: group; else NULL */
    apr_port_t port;  /* 0: none was given */
    pc_addr addr;     /* PC_ADDR_UNIX, PC_ADDR_IP (its port is set by pc_address_set_port()) */
} pc_address;

/** host[:port], v4[:port], [v6][:port], unix:/path, spawn:GROUP.
 *  @return NULL, or what is wrong with it, in p */
const char *pc_address_parse(apr_pool_t *p, const char *text, pc_address *a);

/** Give an IP address its port. */
void pc_address_set_port(pc_addr *addr, apr_port_t port);

/** All of a ProxyCoreBackend's arguments. b->name is NULL without name=, b->addr is not set for a host name.
 *  @return NULL, or what is wrong, in p */
const char *pc_backend_parse(apr_pool_t *p, int argc, char *const argv[], pc_backend_conf *b);

/** Split scheme://address. @return 1: it is one (*scheme in p, *address points into text) */
int pc_inline_split(apr_pool_t *p, const char *text, const char **scheme, const char **address);

/** config_resolve.c: add to out what is asked when written is; a host name is one for each of its addresses.
 *  @return NULL, or what is wrong */
const char *pc_backend_resolve(apr_pool_t *p, apr_pool_t *ptemp, const pc_pool_conf *pool,
                               const pc_backend_conf *written, apr_array_header_t *out);

#endif /* PC_CONFIG_BACKEND_H */
