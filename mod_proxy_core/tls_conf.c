/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * ProxyCoreTLS, and SSLProxy... directives inside <ProxyCore>.
 *
 * The keys become directives of mod_ssl, read by mod_ssl itself into the pool's section, so that nothing of its private
 * structures has to be known. What decides whom a backend is believed to be stands in ProxyCoreTLS alone; the rest
 * (protocol versions, ciphers, revocation lists) is written with mod_ssl's own directives.
 */
#include "tls.h"
#include "config_pool.h"
#include "config_values.h"

#include "apr_cstr.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_ssl.h"
#include "util_cfgtree.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define KEYS_HELP "verify=on|off, ca=FILE-or-FOLDER, cert=FILE, key=FILE or name=NAME"

/* ------------------------------------------------------------------ the directive */

/** A host name or an IP address. */
static int is_peer_name(const char *text)
{
    struct in6_addr any;

    if (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1) {
        return 1;
    }
    return *text && strlen(text) <= 253 && !strpbrk(text, ":/*[]") && strspn(text, ".-") == 0
           && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(text);
}

/** The value of a key that names a file or, where `folder`, a folder. */
static const char *set_file(cmd_parms *cmd, const char *arg, const char *value, int folder, const char **out)
{
    const char *path = *value ? ap_server_root_relative(cmd->pool, value) : NULL;
    struct stat st;

    if (!path || stat(path, &st) != 0 || (!S_ISREG(st.st_mode) && !(folder && S_ISDIR(st.st_mode)))) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is ",
                           folder ? "a file or a folder" : "a file", " that can be read", NULL);
    }
    *out = path;
    return NULL;
}

static const char *set_key(cmd_parms *cmd, pc_tls *tls, const char *arg)
{
    const char *v;

    if ((v = pc_value_of(arg, "verify"))) {
        return pc_value_flag(v, &tls->verify)
                   ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg, ": accepted is on or off", NULL)
                   : NULL;
    }
    if ((v = pc_value_of(arg, "ca"))) {
        return set_file(cmd, arg, v, 1, &tls->ca);
    }
    if ((v = pc_value_of(arg, "cert"))) {
        return set_file(cmd, arg, v, 0, &tls->cert);
    }
    if ((v = pc_value_of(arg, "key"))) {
        return set_file(cmd, arg, v, 0, &tls->key);
    }
    if ((v = pc_value_of(arg, "name"))) {
        tls->name = apr_pstrdup(cmd->pool, v);
        return is_peer_name(v) ? NULL
                               : apr_pstrcat(cmd->pool, cmd->cmd->name, " ", arg,
                                             ": accepted is a host name or an IP address", NULL);
    }
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": unknown argument '", arg, "'; accepted: " KEYS_HELP, NULL);
}

static pc_tls *make_tls(apr_pool_t *p)
{
    pc_tls *tls = apr_pcalloc(p, sizeof(*tls));

    tls->verify = 1;
    return tls;
}

const char *pc_set_tls(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    pc_tls *tls;

    if (!pool) {
        return wrong;
    }
    if (argc < 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes " KEYS_HELP, NULL);
    }
    pool->tls = tls = make_tls(cmd->pool);
    for (int i = 0; i < argc && !wrong; ++i) {
        wrong = set_key(cmd, tls, argv[i]);
    }
    if (!wrong && tls->key && !tls->cert) {
        wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, " key=", tls->key, ": cert=FILE is missing", NULL);
    }
    if (!wrong && tls->ca && !tls->verify) {
        wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, " verify=off ca=", tls->ca,
                            ": nothing is verified; leave one of them out", NULL);
    }
    return wrong;
}

const char *pc_tls_directive(const char *name)
{
    static const struct {
        const char *name, *instead;
    } known[] = { { "SSLProxyProtocol", NULL },
                  { "SSLProxyCipherSuite", NULL },
                  { "SSLProxyVerifyDepth", NULL },
                  { "SSLProxyCARevocationFile", NULL },
                  { "SSLProxyCARevocationPath", NULL },
                  { "SSLProxyCARevocationCheck", NULL },
                  { "SSLProxyEngine", "ProxyCoreProtocol https is all that it takes" },
                  { "SSLProxyVerify", "write ProxyCoreTLS verify=on|off" },
                  { "SSLProxyCheckPeerName", "write ProxyCoreTLS verify=on|off" },
                  { "SSLProxyCheckPeerCN", "write ProxyCoreTLS verify=on|off" },
                  { "SSLProxyCheckPeerExpire", "write ProxyCoreTLS verify=on|off" },
                  { "SSLProxyCACertificateFile", "write ProxyCoreTLS ca=" },
                  { "SSLProxyCACertificatePath", "write ProxyCoreTLS ca=" },
                  { "SSLProxyMachineCertificateFile", "write ProxyCoreTLS cert=" },
                  { "SSLProxyMachineCertificatePath", "write ProxyCoreTLS cert=" },
                  { "SSLProxyMachineCertificateChainFile", "write ProxyCoreTLS cert=, with the chain in the file" } };

    for (apr_size_t i = 0; i < sizeof(known) / sizeof(known[0]); ++i) {
        if (!apr_cstr_casecmp(name, known[i].name)) {
            return known[i].instead;
        }
    }
    return "";
}

const char *pc_tls_complete(apr_pool_t *p, pc_pool_conf *pool)
{
    int speaks = (pool->codec->flags & PC_CODEC_TLS) != 0;

    if (!speaks && pool->tls) {
        return apr_pstrcat(p, "ProxyCoreTLS goes with ProxyCoreProtocol https, not with ", pool->codec->name, NULL);
    }
    for (const ap_directive_t *d = pool->inside; d && !speaks; d = d->next) {
        if (!apr_cstr_casecmpn(d->directive, "SSLProxy", 8)) {
            return apr_pstrcat(p, d->directive, " goes with ProxyCoreProtocol https, not with ", pool->codec->name,
                               NULL);
        }
    }
    if (speaks && !pool->tls) {
        pool->tls = make_tls(p);
    }
    return NULL;
}

/* ------------------------------------------------------------------ checks */

static int no_passphrase(char *buf, int size, int writing, void *data)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)data;
    return 0;
}

static const char *ssl_text(void)
{
    const char *text = ERR_reason_error_string(ERR_get_error());

    return text ? text : "it cannot be read";
}

/** Do the files hold what they should? A context of no further use is made of them. */
static const char *check_files(apr_pool_t *p, const pc_tls *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *wrong = NULL, *key = tls->key ? tls->key : tls->cert;
    struct stat st;
    int folder = tls->ca && stat(tls->ca, &st) == 0 && S_ISDIR(st.st_mode);

    ERR_clear_error();
    if (!ctx) {
        return "OpenSSL makes no context";
    }
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (tls->ca && SSL_CTX_load_verify_locations(ctx, folder ? NULL : tls->ca, folder ? tls->ca : NULL) != 1) {
        wrong = apr_pstrcat(p, "ProxyCoreTLS ca=", tls->ca, ": no CA certificates in PEM: ", ssl_text(), NULL);
    }
    else if (tls->cert && SSL_CTX_use_certificate_chain_file(ctx, tls->cert) != 1) {
        wrong = apr_pstrcat(p, "ProxyCoreTLS cert=", tls->cert, ": no certificate in PEM: ", ssl_text(), NULL);
    }
    else if (tls->cert && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        wrong =
            apr_pstrcat(p, "ProxyCoreTLS ", tls->key ? "key=" : "cert=", key,
                        ": no private key in PEM without a passphrase that fits the certificate: ", ssl_text(), NULL);
    }
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return wrong;
}

static const char *check_names(apr_pool_t *p, const pc_pool_conf *pool)
{
    for (int i = 0; i < pool->backends->nelts; ++i) {
        const pc_backend_conf *b = &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);

        if (pool->tls->verify && !pool->tls->name && !b->tls_name) {
            return apr_pstrcat(p, "ProxyCoreBackend ", b->text,
                               ": its certificate can be verified for no name; ProxyCoreTLS name=NAME says which",
                               NULL);
        }
    }
    return NULL;
}

/** A directive as if it stood in the block, before those that follow. */
static ap_directive_t *directive(apr_pool_t *p, const pc_pool_conf *pool, const char *name, const char *args,
                                 ap_directive_t *next)
{
    ap_directive_t *d = apr_pcalloc(p, sizeof(*d));

    d->directive = name;
    d->args = args;
    d->filename = pool->source;
    d->next = next;
    return d;
}

/** The block's own SSLProxy... directives once more, to be read after what the keys say: they may say more. */
static ap_directive_t *own_directives(apr_pool_t *p, const pc_pool_conf *pool)
{
    ap_directive_t *first = NULL, **end = &first;

    for (const ap_directive_t *d = pool->inside; d; d = d->next) {
        if (!apr_cstr_casecmpn(d->directive, "SSLProxy", 8)) {
            *end = apr_pmemdup(p, d, sizeof(*d));
            (*end)->next = NULL;
            end = &(*end)->next;
        }
    }
    return first;
}

/** Have mod_ssl read directives into a section. */
static const char *read_into(ap_conf_vector_t *section, apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s,
                             ap_directive_t *d)
{
    cmd_parms cmd;

    memset(&cmd, 0, sizeof(cmd));
    cmd.pool = pconf;
    cmd.temp_pool = ptemp;
    cmd.server = s;
    cmd.override = RSRC_CONF | ACCESS_CONF | OR_ALL | PROXY_CONF;
    cmd.limited = -1;
    cmd.directive = d;
    return ap_walk_config(d, &cmd, section);
}

/** What the keys and the block's own directives say to mod_ssl. */
static ap_directive_t *all_directives(apr_pool_t *p, const pc_pool_conf *pool)
{
    const pc_tls *tls = pool->tls;
    struct stat st;
    int folder = tls->ca && stat(tls->ca, &st) == 0 && S_ISDIR(st.st_mode);
    ap_directive_t *d = own_directives(p, pool);

    if (tls->ca) {
        d = directive(p, pool, folder ? "SSLProxyCACertificatePath" : "SSLProxyCACertificateFile",
                      apr_pstrcat(p, "\"", ap_escape_quotes(p, tls->ca), "\"", NULL), d);
    }
    d = directive(p, pool, "SSLProxyProtocol", "all -SSLv3 -TLSv1 -TLSv1.1", d);
    d = directive(p, pool, "SSLProxyVerifyDepth", "10", d);
    /* A client verifies with either; "require" is refused a word of warning where the system's CAs are to come. */
    d = directive(p, pool, "SSLProxyVerify", !tls->verify ? "none" : tls->ca ? "require" : "optional", d);
    return directive(p, pool, "SSLProxyEngine", "on", d);
}

const char *pc_tls_check(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s, pc_pool_conf *pool)
{
    const char *wrong;

    if (!ap_find_linked_module("mod_ssl.c") || !ap_ssl_has_outgoing_handlers()) {
        return "ProxyCoreProtocol https needs mod_ssl, which is not loaded";
    }
    wrong = check_files(ptemp, pool->tls);
    if (!wrong) {
        wrong = check_names(ptemp, pool);
    }
    if (!wrong) {
        pool->tls->section = ap_create_per_dir_config(pconf);
        wrong = read_into(pool->tls->section, pconf, ptemp, s, all_directives(pconf, pool));
    }
    if (!wrong) { /* one directive makes mod_ssl's structure, with its defaults */
        pool->tls->nothing = ap_create_per_dir_config(pconf);
        wrong = read_into(pool->tls->nothing, pconf, ptemp, s, directive(pconf, pool, "SSLProxyEngine", "off", NULL));
    }
    return wrong;
}
