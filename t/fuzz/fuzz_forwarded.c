/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/field_rules.c */

/* A Forwarded field of a neighbour: whatever is taken for valid stays so with an element of ours behind it, which is then
 * the last one; and a value of any bytes becomes a valid element. */

#include "field_rules.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_clean(const char *text)
{
    for (; *text; ++text) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return 0;
        }
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char element[] = "for=\"[2001:db8::1]\";host=a;proto=https";
    static apr_pool_t *pool;
    const char *field, *more;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    field = apr_pstrmemdup(pool, (const char *)data, size);
    more = pc_forwarded_append(pool, field, element);
    if (strlen(more) < sizeof(element) - 1 || strcmp(more + strlen(more) - (sizeof(element) - 1), element) != 0) {
        abort();
    }
    if (pc_forwarded_is_valid(field) && !pc_forwarded_is_valid(more)) {
        abort();
    }
    if (is_clean(field) && *field && !pc_forwarded_is_valid(pc_forwarded_element(pool, "192.0.2.1", field, "http"))) {
        abort();
    }
    apr_pool_clear(pool);
    return 0;
}
