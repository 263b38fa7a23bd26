/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "config_backend.h"
#include "config_values.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#define ADDRESS_HELP "host:port, [v6]:port, unix:/path or spawn:GROUP"
#define KEYS_HELP "weight=N, max=N, backup, drain, retry=DUR, name=LABEL or proxy-protocol=v1|v2"

void pc_address_set_port(pc_addr *addr, apr_port_t port)
{
    if (addr->u.sa.sa_family == AF_INET) {
        addr->u.in.sin_port = htons(port);
    }
    else if (addr->u.sa.sa_family == AF_INET6) {
        addr->u.in6.sin6_port = htons(port);
    }
}

static const char *parse_unix(apr_pool_t *p, const char *path, pc_address *a)
{
    apr_size_t n = strlen(path);

    if (*path != '/') {
        return apr_pstrcat(p, "the path of unix:", path, " must begin with '/'", NULL);
    }
    if (n >= sizeof(a->addr.u.un.sun_path)) {
        return apr_psprintf(p, "the path of unix:%s has %" APR_SIZE_T_FMT " bytes, a socket's path has at most %d",
                            path, n, (int)sizeof(a->addr.u.un.sun_path) - 1);
    }
    a->kind = PC_ADDR_UNIX;
    a->addr.u.un.sun_family = AF_UNIX;
    memcpy(a->addr.u.un.sun_path, path, n + 1);
    a->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return NULL;
}

/** ":port" or nothing. */
static const char *parse_port(apr_pool_t *p, const char *text, const char *rest, pc_address *a)
{
    int port;

    if (!*rest) {
        return NULL;
    }
    if (*rest != ':' || pc_value_int(rest + 1, 1, 65535, &port)) {
        return apr_pstrcat(p, "the port of ", text, " must be a number from 1 to 65535", NULL);
    }
    a->port = (apr_port_t)port;
    return NULL;
}

static const char *parse_v6(apr_pool_t *p, const char *text, pc_address *a)
{
    const char *end = strchr(text, ']');
    const char *host = end ? apr_pstrmemdup(p, text + 1, (apr_size_t)(end - text - 1)) : NULL;

    if (!host || inet_pton(AF_INET6, host, &a->addr.u.in6.sin6_addr) != 1) {
        return apr_pstrcat(p, text, " is not an IPv6 address; write [v6]:port, for example [::1]:8080", NULL);
    }
    a->kind = PC_ADDR_IP;
    a->addr.u.in6.sin6_family = AF_INET6;
    a->addr.len = sizeof(a->addr.u.in6);
    return parse_port(p, text, end + 1, a);
}

/** Letters, digits and '-' in labels; '_' too, which many private names have. */
static int is_host(const char *host)
{
    apr_size_t n = strlen(host);

    if (n == 0 || n > 253 || *host == '-' || *host == '.') {
        return 0;
    }
    for (; *host; ++host) {
        if (!apr_isalnum(*host) && *host != '-' && *host != '.' && *host != '_') {
            return 0;
        }
    }
    return 1;
}

static const char *parse_host(apr_pool_t *p, const char *text, pc_address *a)
{
    const char *colon = strchr(text, ':');
    const char *host = colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text)) : apr_pstrdup(p, text);

    if (colon && strchr(colon + 1, ':')) {
        return apr_pstrcat(p, text, ": an IPv6 address stands in brackets: [v6]:port", NULL);
    }
    if (inet_pton(AF_INET, host, &a->addr.u.in.sin_addr) == 1) {
        a->kind = PC_ADDR_IP;
        a->addr.u.in.sin_family = AF_INET;
        a->addr.len = sizeof(a->addr.u.in);
    }
    else if (is_host(host)) {
        a->kind = PC_ADDR_NAME;
        a->name = host;
    }
    else {
        return apr_pstrcat(p, "'", text, "' is not an address; accepted: " ADDRESS_HELP, NULL);
    }
    return parse_port(p, text, colon ? colon : "", a);
}

const char *pc_address_parse(apr_pool_t *p, const char *text, pc_address *a)
{
    const char *wrong;

    memset(a, 0, sizeof(*a));
    if (!strncmp(text, "unix:", 5)) {
        return parse_unix(p, text + 5, a);
    }
    if (!strncmp(text, "spawn:", 6)) {
        a->kind = PC_ADDR_SPAWN;
        a->name = apr_pstrdup(p, text + 6);
        if (pc_value_is_expression(a->name)) {
            return NULL;
        }
        return pc_value_is_name(text + 6)
                   ? NULL
                   : apr_pstrcat(p, text, ": spawn: takes the name of a <Spawn> group, or an expression", NULL);
    }
    if (!strncmp(text, "srv:", 4)) {
        return apr_pstrcat(p, text, ": srv: is not available in this version; accepted: " ADDRESS_HELP, NULL);
    }
    if (strstr(text, "://") || strchr(text, '/')) {
        return apr_pstrcat(p, "'", text, "' is not an address (no scheme, no path); accepted: " ADDRESS_HELP, NULL);
    }
    wrong = *text == '[' ? parse_v6(p, text, a) : parse_host(p, text, a);
    if (!wrong && a->kind == PC_ADDR_IP) {
        pc_address_set_port(&a->addr, a->port);
    }
    return wrong;
}

static const char *key_wrong(apr_pool_t *p, const char *arg, const char *accepted)
{
    return apr_pstrcat(p, arg, ": accepted is ", accepted, NULL);
}

static const char *parse_key(apr_pool_t *p, const char *arg, pc_backend_conf *b)
{
    const char *v;

    if ((v = pc_value_of(arg, "weight"))) {
        return pc_value_int(v, 1, 1000, &b->weight) ? key_wrong(p, arg, "a number from 1 to 1000") : NULL;
    }
    if ((v = pc_value_of(arg, "max"))) {
        return pc_value_int(v, 0, 1000000, &b->max) ? key_wrong(p, arg, "a number from 0 (no bound) to 1000000") : NULL;
    }
    if ((v = pc_value_of(arg, "retry"))) {
        const char *accepted = pc_value_duration(v, &b->retry);
        return accepted ? key_wrong(p, arg, accepted) : NULL;
    }
    if ((v = pc_value_of(arg, "name"))) {
        b->name = apr_pstrdup(p, v);
        return pc_value_is_name(v) ? NULL : key_wrong(p, arg, "1 to 64 letters, digits, '.', '_' and '-'");
    }
    if ((v = pc_value_of(arg, "proxy-protocol"))) {
        b->proxy_protocol = !apr_cstr_casecmp(v, "v1") ? 1 : !apr_cstr_casecmp(v, "v2") ? 2 : 0;
        return b->proxy_protocol ? NULL : key_wrong(p, arg, "v1 or v2");
    }
    if (pc_value_of(arg, "slowstart")) {
        return apr_pstrcat(p, arg, ": slowstart= is not available in this version", NULL);
    }
    if (!apr_cstr_casecmp(arg, "backup")) {
        b->backup = 1;
        return NULL;
    }
    if (!apr_cstr_casecmp(arg, "drain")) {
        b->drain = 1;
        return NULL;
    }
    return apr_pstrcat(p, "unknown key '", arg, "'; accepted: " KEYS_HELP, NULL);
}

/** The word before '=', for "given twice". */
static apr_size_t key_len(const char *arg)
{
    return strcspn(arg, "=");
}

const char *pc_backend_parse(apr_pool_t *p, int argc, char *const argv[], pc_backend_conf *b)
{
    pc_address a;
    const char *wrong;

    if (argc < 1) {
        return "takes an address: " ADDRESS_HELP;
    }
    memset(b, 0, sizeof(*b));
    b->weight = 1;
    b->retry = -1;
    b->text = apr_pstrdup(p, argv[0]);
    if ((wrong = pc_address_parse(p, argv[0], &a))) {
        return wrong;
    }
    b->kind = a.kind == PC_ADDR_SPAWN ? PC_BACKEND_SPAWN : PC_BACKEND_ADDR;
    b->spawn = a.kind == PC_ADDR_SPAWN ? a.name : NULL;
    b->addr = a.addr;
    for (int i = 1; i < argc; ++i) {
        for (int j = 1; j < i; ++j) {
            if (key_len(argv[i]) == key_len(argv[j]) && !apr_cstr_casecmpn(argv[i], argv[j], key_len(argv[i]))) {
                return apr_pstrcat(p, argv[j], " and ", argv[i], " contradict each other: give a key once", NULL);
            }
        }
        if ((wrong = parse_key(p, argv[i], b))) {
            return wrong;
        }
    }
    return NULL;
}

int pc_inline_split(apr_pool_t *p, const char *text, const char **scheme, const char **address)
{
    const char *sep = strstr(text, "://");

    if (!sep || sep == text) {
        return 0;
    }
    *scheme = apr_pstrmemdup(p, text, (apr_size_t)(sep - text));
    *address = sep + 3;
    return 1;
}
