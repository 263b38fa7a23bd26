/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/script_parse.c mod_procd/manager/script_env.c */
/* A request for a script from a child of httpd that was taken over: whatever is accepted can be walked through. */
#include "mod_procd/manager/script.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

static void walk(const procd_script *s, const char *end)
{
    const char *at = s->args;

    CHECK(s->path[0] == '/' && s->path + strlen(s->path) + 1 == s->args);
    for (uint32_t i = 0; i < s->n_args; i++) {
        at += strlen(at) + 1;
    }
    CHECK(at == s->env);
    for (uint32_t i = 0; i < s->n_env; i++) {
        CHECK(strchr(at, '=') > at);
        if (script_env_is_safe(at) && strncmp(at, "HTTP_", 5) != 0) {
            CHECK(strncmp(at, "LD_", 3) != 0 && strncmp(at, "PATH=", 5) != 0);
        }
        (void)script_env_is_sane(at);
        at += strlen(at) + 1;
    }
    CHECK(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    procd_script_head head;
    procd_script s;
    char *bytes;

    if (size < 2) {
        return 0;
    }
    memset(&head, 0, sizeof(head));
    head.magic = PROCD_WIRE_MAGIC;
    head.version = PROCD_WIRE_VERSION;
    head.n_args = data[0];
    head.n_env = data[1];
    head.len = (uint32_t)(size - 2);
    bytes = malloc(size - 1); /* of its own, so that reading past it is seen */
    memcpy(bytes, data + 2, size - 2);
    if (!procd_script_parse(&s, &head, bytes, size - 2)) {
        walk(&s, bytes + size - 2);
    }
    free(bytes);
    return 0;
}
