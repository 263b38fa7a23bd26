/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/upgrade.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F20: a client's Upgrade, and a backend's answer to what was offered of it, parted by a line feed. */

#include "upgrade.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    char *list, *answer;
    const char *offer, *again;
    int which;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    list = malloc(size + 1);
    memcpy(list, data, size);
    list[size] = '\0';
    answer = strchr(list, '\n');
    if (answer) {
        *answer++ = '\0';
    }
    for (which = PC_UPGRADE_WEBSOCKET; which <= PC_UPGRADE_ANY; which++) {
        offer = pc_upgrade_offer(pool, list, (pc_upgrade)which);
        if (!offer) {
            continue;
        }
        /* What was offered is a list of the same kind, and each of it may be answered alone only. */
        again = pc_upgrade_offer(pool, offer, (pc_upgrade)which);
        if (!again || strcmp(again, offer) || strpbrk(offer, "\r\n\"")
            || pc_upgrade_is_offered(offer, offer) != !strchr(offer, ',')) {
            abort();
        }
        if (answer && pc_upgrade_is_offered(offer, answer) && !pc_upgrade_offer(pool, answer, (pc_upgrade)which)) {
            abort();
        }
    }
    apr_pool_clear(pool);
    free(list);
    return 0;
}
