/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/ctl_text.c mod_procd/groupdef.c mod_procd/groupdef_set.c mod_procd/groupdef_log.c mod_procd/groupdef_text.c mod_procd/groupdef_cgroup.c */
/* Any packet is a request or an error, any text is records: within the bounds, and what was escaped comes back. */
#include "ctl_text.h"
#include "groupdef.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

static void as_request(const char *bytes, size_t size)
{
    procd_ctl_request r;

    if (procd_ctl_parse(bytes, size, &r) == NULL) {
        CHECK(r.command <= PROCD_CTL_LOGS);
        CHECK(r.group == NULL || (r.group > bytes && r.group + strlen(r.group) < bytes + size && r.group[0]));
        CHECK(r.command != PROCD_CTL_SCALE || (r.min == -1 && r.max == -1)
              || (r.min >= 0 && r.min <= r.max && r.max > 0));
        CHECK(r.max <= PROCD_PROCESSES_MAX);
    }
}

static void as_records(char *text)
{
    procd_ctl_pair pairs[5];
    char *at = text, *end = text + strlen(text);
    int n, records = 0;

    while ((n = procd_ctl_next(&at, pairs, 5)) > 0) {
        CHECK(n <= 5 && at <= end && ++records < 100000);
        for (int i = 0; i < n; i++) {
            CHECK(strlen(pairs[i].key) <= (size_t)(end - text) && strlen(pairs[i].value) <= (size_t)(end - text));
        }
    }
}

static void there_and_back(const char *value)
{
    size_t room = strlen(value) * 2 + 16;
    char *text = malloc(room), *at = text;
    procd_ctl_pair pairs[2];

    memcpy(text, "r\tv=", 4);
    procd_ctl_escape(text + 4, room - 4, value);
    CHECK(procd_ctl_next(&at, pairs, 2) == 2 && strcmp(pairs[1].value, value) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    as_request(text, size);
    there_and_back(text);
    as_records(text);
    free(text);
    return 0;
}
