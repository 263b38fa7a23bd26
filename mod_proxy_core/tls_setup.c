/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What mod_ssl does for a pool, and what is kept for the next connection.
 *
 * Each pool with TLS has a section of mod_ssl's settings (made by tls_conf.c); mod_ssl makes an SSL_CTX of it when the
 * hook section_post_config is run as mod_proxy runs it for <Proxy>. Hooks that other modules offer optionally are known by
 * their names alone, so mod_proxy need not be loaded. The section is self-contained: SSLProxy... directives of the server
 * hold for mod_proxy, and trust nobody on behalf of a pool.
 *
 * A new connection gets a conn_rec, because mod_ssl's callbacks (verification, client certificates) look everything up
 * there; its filters are never used. It points to the pool's section, which lives as long as the configuration.
 */
#include "tls.h"

#include "apr_optional_hooks.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "apr_thread_mutex.h"
#include "http_connection.h"
#include "http_log.h"
#include "http_ssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

APLOG_USE_MODULE(proxy_core);

/* mod_ssl's hooks, as mod_ssl_openssl.h and mod_proxy.h declare them; neither need be installed. */
typedef int ssl_HOOK_pre_handshake_t(conn_rec *c, SSL *ssl, int is_proxy);
typedef int ssl_HOOK_init_server_t(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx);
typedef int section_post_config_fn(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s,
                                   ap_conf_vector_t *section);
typedef struct section_post_config_link {
    section_post_config_fn *fn;
    const char *name;
    const char *const *before;
    const char *const *after;
    int order;
} section_post_config_link;

static const char POOL_KEY[] = "proxy_core: pool whose TLS is set up";
static const char CONN_KEY[] = "proxy_core: connection that is made";

/** Most sessions kept for a backend: as many connections at once can be resumed. */
#define SESSIONS_KEPT 16

/* A session is in the store or with one connection, never shared: OpenSSL writes to it during a handshake. */
typedef struct session_stack {
    SSL_SESSION *at[SESSIONS_KEPT]; /* the oldest first */
    int n;
} session_stack;

struct pc_tls_sessions {
    apr_thread_mutex_t *lock;
    session_stack *of; /* one a backend */
    int n;
};

/* ------------------------------------------------------------------ post_config */

/* mod_ssl has made the context of a section: add what its directives cannot say. */
static int init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    void *data = NULL;
    const pc_tls *tls;

    (void)apr_pool_userdata_get(&data, POOL_KEY, p);
    tls = data;
    if (!is_proxy || !tls) {
        return DECLINED;
    }
    if (tls->verify && !tls->ca && !SSL_CTX_set_default_verify_paths(ctx)) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, s, "PXC0642: the system's CA certificates: %s",
                     ERR_reason_error_string(ERR_get_error()));
        return !OK;
    }
    if (tls->cert
        && (SSL_CTX_use_certificate_chain_file(ctx, tls->cert) != 1
            || SSL_CTX_use_PrivateKey_file(ctx, tls->key ? tls->key : tls->cert, SSL_FILETYPE_PEM) != 1)) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, s, "PXC0643: ProxyCoreTLS cert=%s: %s", tls->cert,
                     ERR_reason_error_string(ERR_get_error()));
        return !OK;
    }
    return OK;
}

static int run_section_post_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s,
                                   ap_conf_vector_t *section)
{
    apr_array_header_t *hooks = apr_optional_hook_get("section_post_config");

    for (int i = 0; hooks && i < hooks->nelts; i++) {
        int rc = APR_ARRAY_IDX(hooks, i, section_post_config_link).fn(p, plog, ptemp, s, section);

        if (rc != OK && rc != DECLINED) {
            return rc;
        }
    }
    return OK;
}

typedef struct setup {
    apr_pool_t *pconf, *plog, *ptemp;
    int rc;
} setup;

static void set_up(void *baton, server_rec *s, pc_pool_conf *pool)
{
    setup *u = baton;
    server_rec *own;

    if (!pool->tls || u->rc != OK) {
        return;
    }
    own = apr_pmemdup(u->pconf, s, sizeof(*s));
    own->lookup_defaults = pool->tls->nothing;
    pool->tls->server = s;
    (void)apr_pool_userdata_setn(pool->tls, POOL_KEY, NULL, u->pconf);
    u->rc = run_section_post_config(u->pconf, u->plog, u->ptemp, own, pool->tls->section);
    (void)apr_pool_userdata_setn(NULL, POOL_KEY, NULL, u->pconf);
    if (u->rc != OK) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, s, "PXC0644: %s: pool %s: TLS cannot be set up",
                     pool->source, pool->name);
    }
}

int pc_tls_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    setup u = { pconf, plog, ptemp, OK };

    pc_conf_each_pool(main_server, set_up, &u);
    return u.rc == OK ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* ------------------------------------------------------------------ a connection */

static int pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    void *data = NULL;

    if (is_proxy && apr_pool_userdata_get(&data, CONN_KEY, c->pool) == APR_SUCCESS && data) {
        *(SSL **)data = ssl;
        return OK;
    }
    return DECLINED;
}

void pc_tls_register_hooks(void)
{
    APR_OPTIONAL_HOOK(ssl, pre_handshake, pre_handshake, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ssl, init_server, init_server, NULL, NULL, APR_HOOK_MIDDLE);
}

/* The descriptor as httpd wants it. The addresses are for its log only: the backend's stands for both. */
static apr_socket_t *wrap_socket(apr_pool_t *p, int fd, const struct sockaddr *peer)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr = { .in = { .sin_family = AF_INET } };
    apr_os_sock_info_t info;
    apr_socket_t *sock = NULL;

    if (peer->sa_family == AF_INET) {
        memcpy(&addr.in, peer, sizeof(addr.in));
    }
    else if (peer->sa_family == AF_INET6) {
        memcpy(&addr.in6, peer, sizeof(addr.in6));
    }
    memset(&info, 0, sizeof(info));
    info.os_sock = &fd;
    info.local = info.remote = &addr.sa;
    info.family = addr.sa.sa_family;
    info.type = SOCK_STREAM;
    info.protocol = APR_PROTO_TCP;
    return apr_os_sock_make(&sock, &info, p) == APR_SUCCESS ? sock : NULL;
}

/* The socket would close its descriptor with its pool, and that belongs to the link. */
static void take_back(apr_socket_t *sock, apr_pool_t *p)
{
    int none = -1;

    (void)apr_os_sock_put(&sock, &none, p);
}

SSL *pc_tls_make(apr_pool_t *p, const pc_tls *tls, int fd, const struct sockaddr *peer, const char **why)
{
    apr_socket_t *sock = wrap_socket(p, fd, peer);
    conn_rec *c = sock ? ap_run_create_connection(p, tls->server, sock, 0, NULL, apr_bucket_alloc_create(p)) : NULL;
    SSL *ssl = NULL;
    int rc;

    *why = "TLS: httpd made no connection of it";
    if (!c) {
        if (sock) {
            take_back(sock, p);
        }
        return NULL;
    }
    if (ap_ssl_bind_outgoing(c, tls->section, 1) != OK) {
        *why = "TLS: mod_ssl does not take it";
        take_back(sock, p);
        return NULL;
    }
    (void)apr_pool_userdata_setn(&ssl, CONN_KEY, NULL, p);
    rc = ap_run_pre_connection(c, sock);
    (void)apr_pool_userdata_setn(NULL, CONN_KEY, NULL, p);
    take_back(sock, p);
    if ((rc != OK && rc != DONE) || c->aborted || !ssl) {
        *why = "TLS: mod_ssl did not prepare it";
        return NULL;
    }
    return ssl;
}

/* ------------------------------------------------------------------ sessions */

static apr_status_t free_sessions(void *data)
{
    struct pc_tls_sessions *sessions = data;

    for (int i = 0; i < sessions->n; i++) {
        while (sessions->of[i].n) {
            SSL_SESSION_free(sessions->of[i].at[--sessions->of[i].n]);
        }
    }
    return APR_SUCCESS;
}

apr_status_t pc_tls_child_init(apr_pool_t *pchild, pc_pool_conf *pool)
{
    struct pc_tls_sessions *sessions = apr_pcalloc(pchild, sizeof(*sessions));
    apr_status_t rv = apr_thread_mutex_create(&sessions->lock, APR_THREAD_MUTEX_DEFAULT, pchild);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    sessions->n = pool->backends->nelts;
    sessions->of = apr_pcalloc(pchild, sizeof(session_stack) * (apr_size_t)(sessions->n ? sessions->n : 1));
    apr_pool_cleanup_register(pchild, sessions, free_sessions, apr_pool_cleanup_null);
    pool->tls->sessions = sessions;
    return APR_SUCCESS;
}

SSL_SESSION *pc_tls_session(const pc_tls *tls, int backend)
{
    session_stack *stack = &tls->sessions->of[backend];
    SSL_SESSION *session;

    apr_thread_mutex_lock(tls->sessions->lock);
    session = stack->n ? stack->at[--stack->n] : NULL;
    apr_thread_mutex_unlock(tls->sessions->lock);
    return session;
}

void pc_tls_session_keep(const pc_tls *tls, int backend, SSL_SESSION *session)
{
    session_stack *stack = &tls->sessions->of[backend];
    SSL_SESSION *oldest = NULL;

    apr_thread_mutex_lock(tls->sessions->lock);
    if (stack->n == SESSIONS_KEPT) {
        oldest = stack->at[0];
        memmove(stack->at, stack->at + 1, sizeof(stack->at[0]) * (SESSIONS_KEPT - 1));
        stack->n--;
    }
    stack->at[stack->n++] = session;
    apr_thread_mutex_unlock(tls->sessions->lock);
    SSL_SESSION_free(oldest);
}
