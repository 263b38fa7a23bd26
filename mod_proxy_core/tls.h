/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  tls.h
 * @brief TLS to backends: what ProxyCoreTLS says, the contexts that mod_ssl makes of it, and links that are TLS.
 *
 *   tls_conf.c   the directive and its checks                      tls_link.c  a connection: handshake, bytes, close
 *   tls_setup.c  mod_ssl's context for a pool, sessions to resume
 *
 * mod_ssl has the configuration, the certificates and their verification (its outgoing API). Its filters are not used:
 * their handshake waits for the backend with the thread held. The SSL that mod_ssl has made for a connection is taken
 * over in its pre_handshake hook and driven here, without ever waiting.
 */
#ifndef PC_TLS_H
#define PC_TLS_H

#include "upstream.h"

struct ssl_st;
struct ssl_session_st;

/** ProxyCoreTLS of a pool; const once the server runs. */
typedef struct pc_tls {
    int verify;
    const char *ca;   /* file or folder; NULL: the system's */
    const char *cert; /* of this server as a client; NULL: none */
    const char *key;  /* NULL: it stands in cert */
    const char *name; /* instead of the backend's; NULL: the backend's */
    server_rec *server;
    ap_conf_vector_t *section; /* mod_ssl's settings of this pool */
    ap_conf_vector_t *nothing; /* what it inherits: mod_ssl's defaults */
    struct pc_tls_sessions *sessions;
} pc_tls;

/* tls_conf.c */
const char *pc_set_tls(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
/** May a directive of this name stand inside <ProxyCore>? @return NULL: yes; else what to write instead, or "" */
const char *pc_tls_directive(const char *name);
/** Of a whole block: TLS goes with a protocol that has it. @return NULL or what is wrong, in p */
const char *pc_tls_complete(apr_pool_t *p, pc_pool_conf *pool);
/** What can be found wrong before the server runs: mod_ssl missing, files, names. @return NULL or what is wrong, in p */
const char *pc_tls_check(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s, pc_pool_conf *pool);

/* tls_setup.c */
void pc_tls_register_hooks(void);
/** In post_config, after mod_ssl's: its contexts. @return OK, or an HTTP_ error after it was logged */
int pc_tls_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);
apr_status_t pc_tls_child_init(apr_pool_t *pchild, pc_pool_conf *pool);
/** The SSL of a new connection, configured by mod_ssl; freed with p. @return NULL: *why says why not */
struct ssl_st *pc_tls_make(apr_pool_t *p, const pc_tls *tls, int fd, const struct sockaddr *peer, const char **why);
/** A session to resume with this backend, or NULL. It is taken out: whoever has it frees it, or keeps what came of it. */
struct ssl_session_st *pc_tls_session(const pc_tls *tls, int backend);
/** Keep one for the next connection; takes the session. */
void pc_tls_session_keep(const pc_tls *tls, int backend, struct ssl_session_st *session);

/* tls_link.c */
/** Begin TLS on a connected link. @return APR_SUCCESS, then pc_tls_handshake(); else link->why */
apr_status_t pc_tls_start(const pc_pool_conf *pool, const pc_lease *lease, pc_link *link);
/** Go on with the handshake. @return APR_SUCCESS: it is done and the backend is who it should be; APR_EAGAIN,
 *  APR_EINPROGRESS: call again when readable, writable; else link->why */
apr_status_t pc_tls_handshake(pc_link *link);
/** What was agreed on, for the log. Lives as long as the link. */
const char *pc_tls_describe(const pc_link *link);

#endif /* PC_TLS_H */
