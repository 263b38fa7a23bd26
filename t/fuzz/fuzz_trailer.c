/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F11: a Trailer field. */

#include "trailer_rules.h"

#include "apr_general.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    const char *names, *again;
    char *value;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    value = malloc(size + 1);
    memcpy(value, data, size);
    value[size] = '\0';
    names = pc_trailer_announce(pool, value);
    /* What was left is clean and is left again. */
    if (names) {
        again = pc_trailer_announce(pool, names);
        if (!again || strcmp(again, names) || strpbrk(names, "\r\n \t\"")) {
            abort();
        }
    }
    apr_pool_clear(pool);
    free(value);
    return 0;
}
