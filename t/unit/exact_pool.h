/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  exact_pool.h
 * @brief apr_palloc() with a malloc() of its own for each call, so that AddressSanitizer sees a byte too many.
 *
 * The definition here takes the place of libapr's for the whole program. Only between exact_begin() and exact_end()
 * does it differ from it, in one thread.
 */
#ifndef PC_TEST_EXACT_POOL_H
#define PC_TEST_EXACT_POOL_H

#include "apr_pools.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef struct exact_block {
    struct exact_block *next;
    void *memory;
} exact_block;

static exact_block *exact_blocks;
static apr_size_t exact_bytes; /* allocated since exact_begin() */
static int exact_on;

APR_DECLARE(void *) apr_palloc(apr_pool_t *p, apr_size_t size);

APR_DECLARE(void *) apr_palloc(apr_pool_t *p, apr_size_t size)
{
    static void *(*real)(apr_pool_t *, apr_size_t);
    exact_block *b;

    if (!exact_on) {
        if (!real) {
            void *symbol = dlsym(RTLD_NEXT, "apr_palloc");

            *(void **)&real = symbol;
        }
        return real(p, size);
    }
    b = malloc(sizeof(*b));
    b->memory = malloc(size ? size : 1);
    b->next = exact_blocks;
    exact_blocks = b;
    exact_bytes += size;
    return b->memory;
}

static void exact_begin(void)
{
    exact_on = 1;
    exact_bytes = 0;
}

static void exact_end(void)
{
    exact_on = 0;
    while (exact_blocks) {
        exact_block *b = exact_blocks;

        exact_blocks = b->next;
        free(b->memory);
        free(b);
    }
}

#endif /* PC_TEST_EXACT_POOL_H */
