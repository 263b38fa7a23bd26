/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A link that is TLS.
 *
 * The socket does not block, and no call here waits but for PC_PATIENCE when asked to. Whoever waits for more has read
 * until there was nothing (EAGAIN), so that OpenSSL sits on no bytes that poll() cannot see. Where reading needs the socket
 * to be writable, or the other way round (key updates, a certificate asked for late), the link says so and the exchange
 * waits for that.
 *
 * The end of the stream is one only when the backend has said so (close_notify): else an attacker could cut an answer
 * that is delimited by the end of the connection.
 */
#include "tls.h"

#include "apr_strings.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define SSL_get1_peer_certificate SSL_get_peer_certificate
#endif
#ifndef SSL_R_UNEXPECTED_EOF_WHILE_READING /* OpenSSL 3; before, it is a system error without a number */
#define SSL_R_UNEXPECTED_EOF_WHILE_READING (-1)
#endif

/** Most plain bytes in a record. */
#define RECORD_MAX 16384
/** So many times an idle connection may have had something to say before it is given up. */
#define STALE_LOOKS 8

static const unsigned char alpn[] = "\x08http/1.1";

typedef struct tls_state {
    SSL *ssl;
    apr_pool_t *pool;
    const pc_tls *conf;
    const char *name;
    int backend;
    int over;           /* errno of reads from now on; 0: none; -1: the end was announced */
    unsigned up : 1;    /* the handshake is complete */
    unsigned saved : 1; /* its session was kept for others */
} tls_state;

/* ------------------------------------------------------------------ errors */

/* The text of what SSL_get_error() calls an error. Uses up the error queue. */
static const char *reason(apr_pool_t *p, int error, int saved_errno)
{
    unsigned long e = ERR_peek_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    char buf[120];

    if (e && ERR_GET_LIB(e) == ERR_LIB_SSL
        && (ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER || ERR_GET_REASON(e) == SSL_R_HTTP_REQUEST)) {
        text = "it does not speak TLS";
    }
    else if (e && ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        text = "closed without close_notify";
    }
    else if (!text && error == SSL_ERROR_ZERO_RETURN) {
        text = "closed";
    }
    else if (!text) {
        text = saved_errno ? apr_strerror(saved_errno, buf, sizeof(buf)) : "closed without close_notify";
    }
    ERR_clear_error();
    return apr_pstrcat(p, "TLS: ", text, NULL);
}

/* ------------------------------------------------------------------ the handshake */

/* An address is compared as such, and is not sent as SNI (RFC 6066, 3). */
static int expect_name(const tls_state *t)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    int is_ip = X509_VERIFY_PARAM_set1_ip_asc(param, t->name);

    ERR_clear_error();
    if (!t->conf->verify) {
        (void)X509_VERIFY_PARAM_set1_ip(param, NULL, 0);
        return is_ip || SSL_set_tlsext_host_name(t->ssl, t->name);
    }
    if (is_ip) {
        return 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, t->name, 0) && SSL_set_tlsext_host_name(t->ssl, t->name);
}

static int configure(tls_state *t, int fd)
{
    SSL_SESSION *session = pc_tls_session(t->conf, t->backend);

    SSL_set_connect_state(t->ssl);
    SSL_set_mode(t->ssl,
                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_set_options(t->ssl, SSL_OP_NO_RENEGOTIATION);
    SSL_set_read_ahead(t->ssl, 1);
    if (session) { /* one that is of no use any more costs a full handshake */
        (void)SSL_set_session(t->ssl, session);
        SSL_SESSION_free(session);
    }
    return SSL_set_fd(t->ssl, fd) && (!t->name || expect_name(t))
           && SSL_set_alpn_protos(t->ssl, alpn, sizeof(alpn) - 1) == 0;
}

/* Is it who it should be? OpenSSL has checked chain and name; whatever made it lenient, an answer is needed. */
static const char *wrong_peer(const tls_state *t)
{
    const unsigned char *selected;
    unsigned n;
    X509 *cert;

    SSL_get0_alpn_selected(t->ssl, &selected, &n);
    if (n && (n != sizeof(alpn) - 2 || memcmp(selected, alpn + 1, n) != 0)) {
        return "TLS: it chose a protocol (ALPN) other than http/1.1";
    }
    if (!t->conf->verify) {
        return NULL;
    }
    if (!t->name) { /* the check of the configuration does not let it come to that */
        return "TLS: there is no name to compare its certificate with";
    }
    if (SSL_get_verify_result(t->ssl) != X509_V_OK) {
        return X509_verify_cert_error_string(SSL_get_verify_result(t->ssl));
    }
    cert = SSL_get1_peer_certificate(t->ssl);
    X509_free(cert);
    return cert ? NULL : "TLS: it has no certificate";
}

static const char *handshake_failed(const tls_state *t, int error, int saved_errno)
{
    long verdict = SSL_get_verify_result(t->ssl);

    if (t->conf->verify && verdict != X509_V_OK) {
        ERR_clear_error();
        return apr_psprintf(t->pool, "TLS: its certificate is refused: %s (expected name: %s)",
                            X509_verify_cert_error_string(verdict), t->name);
    }
    return reason(t->pool, error, saved_errno);
}

apr_status_t pc_tls_handshake(pc_link *link)
{
    tls_state *t = link->data;
    int rc, error, saved_errno;

    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(t->ssl);
    saved_errno = errno;
    if (rc == 1) {
        t->up = 1;
        link->why = wrong_peer(t);
        return link->why ? APR_EGENERAL : APR_SUCCESS;
    }
    error = SSL_get_error(t->ssl, rc);
    switch (error) {
    case SSL_ERROR_WANT_READ: return APR_EAGAIN;
    case SSL_ERROR_WANT_WRITE: return APR_EINPROGRESS;
    default:
        t->over = ECONNRESET;
        link->why = handshake_failed(t, error, saved_errno);
        return APR_EGENERAL;
    }
}

const char *pc_tls_describe(const pc_link *link)
{
    const tls_state *t = link->data;

    return apr_psprintf(t->pool, "%s, %s, %s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl),
                        SSL_session_reused(t->ssl) ? "resumed" : "full handshake");
}

/* ------------------------------------------------------------------ bytes */

/* Tickets come with or before the first bytes of an answer. */
static void save_session(tls_state *t)
{
    SSL_SESSION *session = SSL_get0_session(t->ssl);

    t->saved = 1;
    if (session && SSL_SESSION_is_resumable(session)) {
        session = SSL_SESSION_dup(session); /* this connection goes on with its own */
        if (session) {
            pc_tls_session_keep(t->conf, t->backend, session);
        }
    }
}

/* The read that gave rc found no bytes. @return 0: try again later, as the link's flags say; else it is over */
static int note_end(pc_link *link, tls_state *t, int rc, int saved_errno)
{
    int error = SSL_get_error(t->ssl, rc);

    switch (error) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: link->read_needs_write = 1; return 0;
    case SSL_ERROR_ZERO_RETURN: t->over = -1; return 1;
    default:
        t->over = saved_errno ? saved_errno : ECONNRESET;
        link->why = reason(t->pool, error, saved_errno);
        return 1;
    }
}

static int becomes_readable(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };

    return poll(&p, 1, (int)(PC_PATIENCE / 1000)) > 0;
}

static ssize_t tls_recv(pc_link *link, void *buf, apr_size_t size, int wait)
{
    tls_state *t = link->data;
    apr_size_t got = 0;

    link->read_needs_write = 0;
    while (got < size && !t->over) {
        size_t n = 0;
        int rc;

        ERR_clear_error();
        errno = 0;
        rc = SSL_read_ex(t->ssl, (char *)buf + got, size - got, &n);
        if (rc) {
            got += n;
            if (n < RECORD_MAX && !SSL_has_pending(t->ssl)) {
                break; /* a small answer: likely all of it */
            }
            continue;
        }
        if (note_end(link, t, rc, errno) || got || !wait || link->read_needs_write || !becomes_readable(link->fd)) {
            break;
        }
        wait = 0;
    }
    if (got) {
        if (!t->saved) {
            save_session(t);
        }
        return (ssize_t)got;
    }
    if (t->over == -1) {
        return 0;
    }
    errno = t->over ? t->over : EAGAIN;
    return -1;
}

/* The next record's bytes: small pieces together, so that a head and its body are one record; a large one as it stands.
 * What a record was begun with is offered again, and more at most, as OpenSSL wants it. */
static apr_size_t gather(const struct iovec *iov, int n, apr_size_t skip, char *room, const char **from)
{
    apr_size_t len = 0;

    while (n && skip >= iov->iov_len) {
        skip -= iov->iov_len;
        iov++;
        n--;
    }
    if (n && iov->iov_len - skip >= RECORD_MAX) {
        *from = (const char *)iov->iov_base + skip;
        return RECORD_MAX;
    }
    for (; n && len < RECORD_MAX; iov++, n--) {
        apr_size_t part = iov->iov_len - skip;

        part = part < RECORD_MAX - len ? part : RECORD_MAX - len;
        memcpy(room + len, (const char *)iov->iov_base + skip, part);
        len += part;
        skip = 0;
    }
    *from = room;
    return len;
}

static ssize_t tls_send(pc_link *link, const struct iovec *iov, int n)
{
    tls_state *t = link->data;
    char room[RECORD_MAX];
    apr_size_t sent = 0, len;
    const char *from;

    link->write_needs_read = 0;
    if (t->over > 0) {
        errno = EPIPE;
        return -1;
    }
    while ((len = gather(iov, n, sent, room, &from)) > 0) {
        size_t written = 0;
        int rc, error;

        ERR_clear_error();
        errno = 0;
        rc = SSL_write_ex(t->ssl, from, len, &written);
        if (rc) {
            sent += written;
            continue;
        }
        error = SSL_get_error(t->ssl, rc);
        link->write_needs_read = error == SSL_ERROR_WANT_READ;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE && !sent) {
            ERR_clear_error(); /* reading goes on: it may have said why */
            errno = EPIPE;
            return -1;
        }
        break;
    }
    if (!sent && len) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)sent;
}

/* What the backend still says can be read (RFC 8446, 6.1). */
static int tls_shut(pc_link *link)
{
    tls_state *t = link->data;
    int rc;

    ERR_clear_error();
    rc = t->over > 0 ? -1 : SSL_shutdown(t->ssl);
    ERR_clear_error();
    return rc >= 0;
}

/* Tickets and key updates of an idle connection are not an answer; SSL_peek() takes them in, and may stop behind one: what
 * follows it, an end for instance, is seen by the next. */
static int tls_stale(pc_link *link)
{
    tls_state *t = link->data;
    int looks = t->over ? 0 : STALE_LOOKS;

    while (looks--) {
        uint64_t before = BIO_number_read(SSL_get_rbio(t->ssl));
        size_t n;
        char c;
        int rc;

        ERR_clear_error();
        rc = SSL_peek_ex(t->ssl, &c, 1, &n);
        if (rc || SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ) {
            break;
        }
        if (BIO_number_read(SSL_get_rbio(t->ssl)) == before) {
            return 0;
        }
    }
    ERR_clear_error();
    return 1;
}

/* One attempt at a close_notify; nobody waits for the other's. */
static void close_link(pc_link *link)
{
    tls_state *t = link->data;

    link->ops = NULL;
    link->data = NULL;
    if (t->up && t->over <= 0) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl);
    }
    ERR_clear_error();
    apr_pool_destroy(t->pool);
}

static const pc_link_ops tls_ops = {
    .recv = tls_recv,
    .send = tls_send,
    .shut = tls_shut,
    .close = close_link,
    .stale = tls_stale,
};

apr_status_t pc_tls_start(const pc_pool_conf *pool, const pc_lease *lease, pc_link *link)
{
    const struct sockaddr *peer =
        lease->backend->kind == PC_BACKEND_SPAWN ? &lease->proc.addr.sa : &lease->backend->addr.u.sa;
    apr_pool_t *p;
    tls_state *t;

    /* of its own, with an allocator of its own: a link moves between threads */
    if (apr_pool_create_unmanaged(&p) != APR_SUCCESS) {
        link->why = "TLS: no memory";
        return APR_ENOMEM;
    }
    t = apr_pcalloc(p, sizeof(*t));
    t->pool = p;
    t->conf = pool->tls;
    t->name = pool->tls->name ? pool->tls->name : lease->backend->tls_name;
    t->backend = lease->index;
    t->ssl = pc_tls_make(p, t->conf, link->fd, peer, &link->why);
    if (!t->ssl) {
        apr_pool_destroy(p);
        return APR_EGENERAL;
    }
    link->ops = &tls_ops;
    link->data = t;
    if (!configure(t, link->fd)) {
        link->why = reason(p, SSL_ERROR_SSL, errno);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}
