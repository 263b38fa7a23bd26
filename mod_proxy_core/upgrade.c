/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of protocols: name, or name/version, both tokens, between commas. A field that is anything else is no offer: what
 * a backend would make of it cannot be known.
 */
#include "upgrade.h"
#include "head.h"

#include <string.h>
#include <strings.h>

/** Nobody offers more. */
#define PROTOCOLS_MAX 8
#define LIST_MAX 256

typedef struct protocol {
    const char *p;
    apr_size_t name, len; /* of the name, and of all of it */
} protocol;

static apr_size_t protocol_span(const char *p, protocol *one)
{
    one->p = p;
    one->name = one->len = pc_token_span(p, strlen(p));
    if (one->name && p[one->name] == '/') {
        apr_size_t version = pc_token_span(p + one->name + 1, strlen(p + one->name + 1));

        one->len = version ? one->name + 1 + version : 0;
    }
    return one->len;
}

/* @return how many protocols, -1: malformed, or too many */
static int split(const char *list, protocol *out)
{
    int n = 0;

    if (strlen(list) > LIST_MAX) {
        return -1;
    }
    for (list += strspn(list, " \t,"); *list; list += strspn(list, " \t,")) {
        if (n == PROTOCOLS_MAX || !protocol_span(list, &out[n])) {
            return -1;
        }
        list += out[n++].len;
        list += strspn(list, " \t");
        if (*list && *list != ',') {
            return -1;
        }
    }
    return n;
}

static int is_named(const protocol *one, const char *name)
{
    return one->name == strlen(name) && strncasecmp(one->p, name, one->name) == 0;
}

static int is_allowed(const protocol *one, pc_upgrade which)
{
    static const char *const never[] = { "h2c", "h2", "h3", "HTTP", "TLS", "SSL", NULL };
    int i;

    if (which != PC_UPGRADE_ANY) {
        return which == PC_UPGRADE_WEBSOCKET && one->name == one->len && is_named(one, "websocket");
    }
    for (i = 0; never[i]; i++) {
        if (is_named(one, never[i])) {
            return 0;
        }
    }
    return 1;
}

const char *pc_upgrade_offer(apr_pool_t *p, const char *list, pc_upgrade which)
{
    protocol all[PROTOCOLS_MAX];
    int i, n = split(list, all);
    char *offer, *at;

    if (n <= 0) {
        return NULL;
    }
    offer = at = apr_palloc(p, strlen(list) + 1);
    for (i = 0; i < n; i++) {
        if (is_allowed(&all[i], which)) {
            if (at != offer) {
                *at++ = ','; /* no longer than the client's list: it is split once more */
            }
            memcpy(at, all[i].p, all[i].len);
            at += all[i].len;
        }
    }
    *at = '\0';
    return at == offer ? NULL : offer;
}

int pc_upgrade_is_offered(const char *offer, const char *answer)
{
    protocol offers[PROTOCOLS_MAX], chosen[PROTOCOLS_MAX];
    int i, n = split(offer, offers);

    if (split(answer, chosen) != 1) {
        return 0;
    }
    for (i = 0; i < n; i++) {
        if (offers[i].len == chosen[0].len && strncasecmp(offers[i].p, chosen[0].p, chosen[0].len) == 0) {
            return 1;
        }
    }
    return 0;
}
