/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/proc_stat.c */
/* A process chooses a part of what /proc says of it. */
#include "mod_procd/proc_stat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    proc_stat s;

    if (proc_stat_parse(&s, (const char *)data, size) == 0) {
        const uint8_t *close = memrchr(data, ')', size);

        if (!close || s.state != (char)close[2]) {
            abort();
        }
    }
    return 0;
}
