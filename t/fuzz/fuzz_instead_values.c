/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/instead_values.c */

/* The value of X-Sendfile2, X-Sendfile, X-Accel-Redirect and X-Rewrite-Host. */

#include "instead_values.h"

#include "apr_general.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_path(const pc_part *part)
{
    if (*part->path != '/' || strlen(part->path) > PC_INSTEAD_MAX || part->first < 0
        || (part->last >= 0 && part->last < part->first) || part->last < -1) {
        abort();
    }
    for (const char *p = part->path; *p; ++p) {
        if (apr_iscntrl(*p)) {
            abort();
        }
    }
}

static void check_parts(const apr_array_header_t *parts)
{
    static const apr_off_t sizes[] = { 0, 1, 100, APR_INT64_C(0x7fffffffffffffff) };

    if (parts->nelts > PC_PARTS_MAX) {
        abort();
    }
    for (int i = 0; i < parts->nelts; ++i) {
        const pc_part *part = &APR_ARRAY_IDX(parts, i, pc_part);

        must_be_path(part);
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); ++k) {
            apr_off_t len;

            if (pc_part_clip(part, sizes[k], &len) && (len < 0 || part->first + len > sizes[k])) {
                abort();
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    apr_array_header_t *parts;
    char *value;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    value = malloc(size + 1); /* so that a byte too far is seen */
    memcpy(value, data, size);
    value[size] = '\0';
    for (int how = 0; how < 3; ++how) {
        parts = apr_array_make(pool, 1, sizeof(pc_part));
        if (!(how == 2 ? pc_sendfile2_parse(pool, value, parts) : pc_sendfile_parse(pool, value, how, parts))) {
            if (!parts->nelts) {
                abort();
            }
            check_parts(parts);
        }
    }
    (void)pc_site_uri_check(value);
    (void)pc_host_check(value);
    (void)pc_instead_field_of(value, strlen(value));
    free(value);
    apr_pool_clear(pool);
    return 0;
}
