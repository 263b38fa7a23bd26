/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/config_backend.c mod_proxy_core/config_values.c mod_proxy_core/script.c */

/* A line of ProxyCoreBackend, and the same line as ProxyCoreScript: words parted by spaces. */

#include "config_backend.h"
#include "script.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    char *argv[64], *line, *last, *word;
    int argc = 0;
    pc_backend_conf b;
    pc_script s;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    line = apr_pstrmemdup(pool, (const char *)data, size);
    for (word = apr_strtok(line, " ", &last); word && argc < 64; word = apr_strtok(NULL, " ", &last)) {
        argv[argc++] = word;
    }
    if (!pc_backend_parse(pool, argc, argv, &b)) {
        /* What was accepted is within its bounds. */
        if (b.weight < 1 || b.weight > 1000 || b.max < 0 || b.addr.len > sizeof(b.addr.u) || (b.name && !*b.name)
            || (b.kind == PC_BACKEND_SPAWN && !b.spawn)) {
            abort();
        }
        if (b.kind == PC_BACKEND_ADDR && b.addr.len && b.addr.u.sa.sa_family == AF_UNIX
            && strlen(b.addr.u.un.sun_path) >= sizeof(b.addr.u.un.sun_path)) {
            abort();
        }
    }
    if (!pc_script_parse(pool, argc, argv, &s)) {
        for (int i = 0; i < argc; ++i) {
            if (*argv[i] == '/' && pc_script_split(&s, argv[i]) > strlen(argv[i])) {
                abort();
            }
        }
    }
    apr_pool_clear(pool);
    return 0;
}
