/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What ProxyCoreBackend says becomes addresses, with the protocol's usual port where it says none. */
#include "config_backend.h"
#include "config_values.h"

#include "apr_network_io.h"
#include "apr_strings.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ADDRESSES 64 /* of one host name */

static int compare_addr(const void *a, const void *b)
{
    const pc_addr *x = a, *y = b;

    return x->len != y->len ? (x->len > y->len ? 1 : -1) : memcmp(&x->u, &y->u, x->len);
}

/** All addresses of a host name, sorted, so that names made from their order survive a restart.
 *  @return NULL, or what is wrong; *found: how many */
static const char *resolve(apr_pool_t *p, const char *host, apr_port_t port, pc_addr *out, int *found)
{
    apr_sockaddr_t *sa = NULL;
    apr_status_t rv = apr_sockaddr_info_get(&sa, host, APR_UNSPEC, port, 0, p);
    int n = 0, kept = 0;

    *found = 0;
    if (rv != APR_SUCCESS) {
        char why[120];

        return apr_psprintf(p, "ProxyCoreBackend %s: the name cannot be looked up: %s", host,
                            apr_strerror(rv, why, sizeof(why)));
    }
    for (; sa && n < MOST_ADDRESSES; sa = sa->next) {
        pc_addr *a = &out[n];

        memset(a, 0, sizeof(*a));
        if (sa->salen > sizeof(a->u)) {
            continue;
        }
        memcpy(&a->u, &sa->sa, sa->salen);
        a->len = sa->salen;
        pc_address_set_port(a, port);
        ++n;
    }
    qsort(out, (size_t)n, sizeof(*out), compare_addr);
    for (int i = 0; i < n; ++i) {
        if (!kept || compare_addr(&out[kept - 1], &out[i])) {
            out[kept++] = out[i];
        }
    }
    *found = kept;
    return NULL;
}

static const char *addr_text(apr_pool_t *p, const pc_addr *a)
{
    char text[INET6_ADDRSTRLEN] = "?";

    inet_ntop(a->u.sa.sa_family, a->u.sa.sa_family == AF_INET ? (const void *)&a->u.in.sin_addr : &a->u.in6.sin6_addr,
              text, sizeof(text));
    return apr_pstrdup(p, text);
}

/** A host name becomes a backend for each address. */
static const char *expand_name(apr_pool_t *p, apr_pool_t *ptemp, const pc_backend_conf *b, const char *host,
                               apr_port_t port, apr_array_header_t *out)
{
    pc_addr addrs[MOST_ADDRESSES];
    int n;
    const char *wrong = resolve(ptemp, host, port, addrs, &n);

    for (int i = 0; i < n; ++i) {
        pc_backend_conf *one = apr_array_push(out);

        *one = *b;
        one->addr = addrs[i];
        if (!b->name) {
            one->name = apr_psprintf(p, "%s:%d@%s", host, port, addr_text(ptemp, &addrs[i]));
        }
        else if (n > 1) {
            one->name = apr_psprintf(p, "%s-%d", b->name, i + 1);
        }
    }
    return wrong;
}

const char *pc_backend_resolve(apr_pool_t *p, apr_pool_t *ptemp, const pc_pool_conf *pool,
                               const pc_backend_conf *written, apr_array_header_t *out)
{
    pc_backend_conf b = *written;
    pc_address a;
    const char *end = strrchr(b.text, ':');
    apr_port_t port;

    if (pc_address_parse(p, b.text, &a)) {
        return NULL; /* was parsed before, so this does not happen */
    }
    b.host = "localhost";
    b.tls_name = a.kind == PC_ADDR_NAME ? a.name : a.kind == PC_ADDR_IP ? addr_text(p, &a.addr) : NULL;
    if (a.kind != PC_ADDR_SPAWN && a.kind != PC_ADDR_UNIX) {
        port = a.port ? a.port : pool->codec->default_port;
        if (!port) {
            return apr_psprintf(ptemp, "ProxyCoreBackend %s needs a port, since %s has no usual one: %s:PORT", b.text,
                                pool->codec->name, b.text);
        }
        pc_address_set_port(&b.addr, port);
        b.host = !a.port || port != pool->codec->default_port ? b.text
                                                              : apr_pstrmemdup(p, b.text, (apr_size_t)(end - b.text));
        if (a.kind == PC_ADDR_NAME) {
            return expand_name(p, ptemp, &b, a.name, port, out);
        }
        if (!b.name && !a.port) {
            b.name = apr_psprintf(p, "%s:%d", b.text, port);
        }
    }
    if (!b.name) {
        b.name = b.text;
    }
    APR_ARRAY_PUSH(out, pc_backend_conf) = b;
    return NULL;
}
