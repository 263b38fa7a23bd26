/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char MAPPED[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/** An end of a connection as IPv6 has it. */
typedef struct end {
    unsigned char addr[16];
    unsigned port;
} end;

/* @return 0: not IP */
static int take(const struct sockaddr *sa, end *e)
{
    if (sa && sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        memcpy(e->addr, MAPPED, sizeof(MAPPED));
        memcpy(e->addr + 12, &in.sin_addr, 4);
        e->port = ntohs(in.sin_port);
        return 1;
    }
    if (sa && sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        memcpy(e->addr, &in6.sin6_addr, 16);
        e->port = ntohs(in6.sin6_port);
        return 1;
    }
    return 0;
}

static int is_v4(const end *e)
{
    return memcmp(e->addr, MAPPED, sizeof(MAPPED)) == 0;
}

static apr_size_t write_v1(char *buf, int ip, int v4, const end *src, const end *dst)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[160];
    int family = v4 ? AF_INET : AF_INET6, skip = v4 ? 12 : 0, n;

    if (!ip) {
        memcpy(buf, "PROXY UNKNOWN\r\n", 15);
        return 15;
    }
    inet_ntop(family, src->addr + skip, from, sizeof(from));
    inet_ntop(family, dst->addr + skip, to, sizeof(to));
    n = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", v4 ? 4 : 6, from, to, src->port, dst->port);
    if (n < 0 || n > PC_PROXY_HEADER_MAX) { /* cannot be, by the lengths of the texts */
        return 0;
    }
    memcpy(buf, line, (apr_size_t)n);
    return (apr_size_t)n;
}

static char *put_port(char *p, unsigned port)
{
    *p++ = (char)(port >> 8);
    *p++ = (char)(port & 0xff);
    return p;
}

static apr_size_t write_v2(char *buf, int ip, int v4, const end *src, const end *dst)
{
    static const char signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };
    apr_size_t size = v4 ? 4 : 16, skip = 16 - size;
    char *p = buf;

    memcpy(p, signature, sizeof(signature));
    p += sizeof(signature);
    *p++ = 0x21;                               /* version 2, PROXY */
    *p++ = (char)(!ip ? 0 : v4 ? 0x11 : 0x21); /* unspecified; stream over IPv4, IPv6 */
    p = put_port(p, ip ? (unsigned)(2 * size + 4) : 0);
    if (ip) {
        memcpy(p, src->addr + skip, size);
        memcpy(p + size, dst->addr + skip, size);
        p = put_port(p + 2 * size, src->port);
        p = put_port(p, dst->port);
    }
    return (apr_size_t)(p - buf);
}

apr_size_t pc_proxy_header(char buf[PC_PROXY_HEADER_MAX], int version, const struct sockaddr *src,
                           const struct sockaddr *dst)
{
    end from, to;
    int ip = take(src, &from) && take(dst, &to), v4 = ip && is_v4(&from) && is_v4(&to);

    return version == 1 ? write_v1(buf, ip, v4, &from, &to) : write_v2(buf, ip, v4, &from, &to);
}
