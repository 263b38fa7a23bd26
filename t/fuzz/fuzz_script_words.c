/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/script_words.c mod_proxy_core/buf.c */
/* Whatever a query is, its words are as many as was said, end in NUL, and none of them is an option. */
#include "apr_general.h"
#include "script_words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    pc_buf b = { NULL, 0, 0, NULL };
    char *query = malloc(size + 1);
    unsigned int n;
    apr_size_t at = 0;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    b.pool = pool;
    memcpy(query, data, size);
    query[size] = '\0';
    n = pc_script_words(query, &b);
    CHECK(n || b.len == 0);
    CHECK(b.len <= size + 1);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(at < b.len && b.p[at] != '-');
        at += strlen(b.p + at) + 1;
    }
    CHECK(at == b.len);
    apr_pool_clear(pool);
    free(query);
    return 0;
}
