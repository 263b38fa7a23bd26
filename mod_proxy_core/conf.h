/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  conf.h
 * @brief What the configuration says, after it was read. Made by config.c before the server starts; const afterwards.
 */
#ifndef PC_CONF_H
#define PC_CONF_H

#ifndef __linux__
#error "mod_proxy_core needs Linux: epoll and timerfd (park.c, wake.c), openat2 (file_open.c)"
#endif

#include "mod_proxy_core.h"
#include "spool.h"
#include "upgrade.h"

#include "httpd.h"
#include "http_config.h"
#include "ap_expr.h"
#include "util_cfgtree.h"
#include "apr_hash.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

struct pc_pool;     /* pool.h: the pool's state */
struct pc_upstream; /* upstream.h */
struct procd_group; /* mod_procd.h */
struct pc_dir_conf;
struct pc_tls;           /* tls.h */
struct pc_sendfile_conf; /* config_sendfile.h */

/** One address to connect to. */
typedef struct pc_addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
} pc_addr;

typedef enum { PC_BACKEND_ADDR, PC_BACKEND_SPAWN } pc_backend_kind;

/** One ProxyCoreBackend; a host name makes one for each of its addresses. */
typedef struct pc_backend_conf {
    pc_backend_kind kind;
    const char *name;          /* name=LABEL, else the address as text: unique in the pool, key of its shared state */
    const char *text;          /* as written */
    const char *host;          /* what Host says when the client's is not passed on; for unix: "localhost" */
    pc_addr addr;              /* PC_BACKEND_ADDR */
    const char *spawn;         /* PC_BACKEND_SPAWN: the group's name */
    struct procd_group *group; /* found in post_config */
    int weight;                /* 1..1000 */
    int max;                   /* 0: no bound */
    unsigned backup : 1;       /* asked only when no other is alive */
    unsigned drain : 1;        /* gets no new requests */
    unsigned proxy_protocol;   /* version of the PROXY protocol that a connection begins with, 0: none */
    const char *tls_name;      /* whom its certificate must name and SNI says: host name or IP address; NULL: unknown */
    apr_interval_time_t retry; /* first rest after a failure; -1: the pool's DisableTime */
} pc_backend_conf;

typedef struct pc_timeouts {
    apr_interval_time_t connect, send, first, idle, total; /* microseconds; total 0: none */
} pc_timeouts;

/* ProxyCoreRetry on= */
#define PC_RETRY_CONNECT 0x01
#define PC_RETRY_STALE 0x02
#define PC_RETRY_RESET 0x04
#define PC_RETRY_TIMEOUT 0x08
#define PC_RETRY_5XX 0x10

typedef struct pc_keep_conf {
    int on;                   /* -1: not said (on, but off for PC_CODEC_EXCLUSIVE codecs), 0, 1 */
    int max;                  /* idle connections kept per backend and child, 64 */
    int requests;             /* requests on one connection, 0: no bound */
    apr_interval_time_t idle; /* 30 s; closed after */
} pc_keep_conf;

typedef enum { PC_TRAILERS_OFF, PC_TRAILERS_RESPONSE, PC_TRAILERS_BOTH } pc_trailers;

typedef enum { PC_FORWARDED_X, PC_FORWARDED_RFC, PC_FORWARDED_BOTH, PC_FORWARDED_OFF } pc_forwarded;

/** A <ProxyCore NAME>, or one made from an inline address. */
typedef struct pc_pool_conf {
    const char *name;
    const char *source; /* "file:line" for messages */
    const pc_codec *codec;
    const pc_balancer *balancer;
    ap_expr_info_t *key;          /* key= of the balancer or NULL */
    apr_array_header_t *backends; /* of pc_backend_conf */
    pc_keep_conf keep;
    pc_timeouts timeout;
    int queue;                         /* 512 */
    apr_interval_time_t queue_timeout; /* 10 s */
    int retries;                       /* 1 */
    unsigned retry_on;                 /* PC_RETRY_* */
    apr_interval_time_t disable_time;  /* 1 s */
    pc_forwarded forwarded;
    apr_array_header_t *trust;       /* of apr_ipsubnet_t *: whose forwarding fields are believed; NULL: nobody's */
    pc_spool_conf request, response; /* ProxyCoreRequestBuffering, ProxyCoreResponseBuffering */
    pc_trailers trailers;
    pc_upgrade upgrade;
    apr_interval_time_t upgrade_drain; /* 30 s; 0: tunnels outlive the stopping of their child */
    unsigned expect_local : 1;
    unsigned async : 1; /* ProxyCoreAsync auto */
    unsigned inline_form : 1;
    const struct pc_dir_conf *dir;     /* ProxyCoreDocumentRoot and others that stand inside the block; NULL: none */
    struct pc_tls *tls;                /* PC_CODEC_TLS: how; else NULL */
    const ap_directive_t *inside;      /* what stands in the block; until the configuration is checked */
    struct pc_pool *pool;              /* state, made in post_config */
    struct pc_upstream *upstream;      /* this child's idle connections, made in child_init */
    ap_expr_info_t *spawn_name;        /* spawn:%{…}: gives the group's name; NULL: no such pool */
    apr_array_header_t *places;        /* of pc_pool_conf *, one for each place of ProcdGroupDir: mass.h */
    int place;                         /* this is one of these, its number + 1; 0: it is not */
    int (*dir_find)(const char *name); /* procd_dir_find() */
} pc_pool_conf;

typedef struct pc_setenv {
    const char *name;
    ap_expr_info_t *expr;
} pc_setenv;

/** A file that ends in `from` gets the handler that one ending in `to` would get. Both with the dot. */
typedef struct pc_extension {
    const char *from;
    const char *to;
} pc_extension;

/** Per directory (D in directives.md). Fields that were not set are NULL or -1. */
typedef struct pc_dir_conf {
    const char *pass;                        /* ProxyCorePass NAME or scheme://…; "" for off; NULL: not set */
    const char *strip;                       /* strip=/prefix or NULL */
    int check_local;                         /* -1: by how the request came here */
    ap_expr_info_t *docroot;                 /* ProxyCoreDocumentRoot */
    const struct pc_script *script;          /* ProxyCoreScript, see script.h */
    const struct pc_rewrite *rewrite;        /* rewriting, see rewrite.h */
    const struct pc_override *override;      /* ProxyCoreErrorOverride, see override.h */
    apr_array_header_t *setenv;              /* of pc_setenv */
    apr_array_header_t *passenv;             /* of const char * */
    int mode;                                /* ProxyCoreMode, a pc_role; -1: not set */
    apr_array_header_t *extensions;          /* ProxyCoreMapExtension: of pc_extension */
    const struct pc_sendfile_conf *sendfile; /* ProxyCoreXSendfile */
    int xrewrite;                            /* ProxyCoreXRewrite; -1: not set */
    const struct pc_dir_conf
        *under;                 /* pass hides this one's, which may be of the other kind (config_roles.h); NULL: none */
    unsigned guards : 1;        /* pass names an authorizer: it is asked, and something else serves the request */
    unsigned pass_location : 1; /* pass stands in a <Location> or outside of sections: the URL says it, not a file */
    struct pc_block *block;     /* config.c: the <ProxyCore> whose inside is being read */
} pc_dir_conf;

/** Per server. */
typedef struct pc_server_conf {
    apr_hash_t *pools;        /* name in lower case -> pc_pool_conf * of this server's own blocks */
    apr_array_header_t *list; /* the same, of pc_pool_conf *, in the order of the configuration */
    apr_hash_t *visible;      /* pools with the main server's added: made by pc_conf_check() */
    unsigned authorizers : 1; /* one of them is an authorizer by its own block */
} pc_server_conf;

extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) proxy_core_module;

/** The pool NAME (or the inline address) as this server sees it. @return NULL: unknown */
const pc_pool_conf *pc_conf_pool(server_rec *s, const char *name);
/** Every pool of every server, for post_config, status and child_init. Calls fn(baton, server, pool) once for each, also
 *  for those that are places of another (mass.h), which is called first. */
void pc_conf_each_pool(server_rec *main_server, void (*fn)(void *baton, server_rec *s, pc_pool_conf *pool),
                       void *baton);

extern const command_rec pc_conf_commands[];
void *pc_conf_create_dir(apr_pool_t *p, char *dir);
void *pc_conf_merge_dir(apr_pool_t *p, void *base, void *add);
void *pc_conf_create_server(apr_pool_t *p, server_rec *s);
void *pc_conf_merge_server(apr_pool_t *p, void *base, void *add);
/** Checks that need the whole configuration: unknown pools where they can be known, inline pools made, names resolved.
 *  A check_config hook (pc_route_register_hooks() adds it), because that is what `httpd -t` runs. */
int pc_conf_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);
/** What is left for post_config, in every pass: process groups found.
 *  @return OK, or an HTTP_ error after it has logged what is wrong */
int pc_conf_finish(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server);

#endif /* PC_CONF_H */
