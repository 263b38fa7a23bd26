/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What a child of httpd asks for when it wants a script run. It may have been taken over: nothing in it is believed. */
#include "procd_wire.h"

#include <string.h>

/* Step over n strings that end in NUL. @return what follows, or NULL: there are not so many, or one is too long */
static const char *skip(const char *at, const char *end, uint32_t n)
{
    for (; n > 0; n--) {
        const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;

        if (!nul || nul - at >= PROCD_SCRIPT_STRING_MAX) {
            return NULL;
        }
        at = nul + 1;
    }
    return at;
}

static int are_pairs(const char *at, uint32_t n)
{
    for (; n > 0; n--) {
        const char *equal = strchr(at, '=');

        if (!equal || equal == at) {
            return 0;
        }
        at += strlen(at) + 1;
    }
    return 1;
}

const char *procd_script_parse(procd_script *s, const procd_script_head *head, const char *bytes, size_t len)
{
    const char *end = bytes + len, *past;

    if (head->magic != PROCD_WIRE_MAGIC || head->version != PROCD_WIRE_VERSION || head->len != len) {
        return "not a request of this version";
    }
    if (head->flags & ~PROCD_SCRIPT_BODY) {
        return "unknown flags";
    }
    if (len > PROCD_SCRIPT_MAX || head->n_args > PROCD_SCRIPT_ARGS_MAX || head->n_env > PROCD_SCRIPT_ENV_MAX) {
        return "too many strings";
    }
    s->path = bytes;
    s->n_args = head->n_args;
    s->n_env = head->n_env;
    s->args = skip(bytes, end, 1);
    s->env = s->args ? skip(s->args, end, s->n_args) : NULL;
    past = s->env ? skip(s->env, end, s->n_env) : NULL;
    if (past != end) {
        return "its strings are not as many as it says, or one is too long";
    }
    if (s->path[0] != '/') {
        return "the script's path is not absolute";
    }
    return are_pairs(s->env, s->n_env) ? NULL : "its environment is not of NAME=VALUE";
}
