/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Which files of a cgroup SpawnCgroup sets, and how their values are written there. */
#include "groupdef.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *size_or_max(const char *word, char value[PROCD_CGROUP_VALUE_ROOM])
{
    uint64_t bytes;

    if (strcmp(word, "max") != 0) {
        if (procd_parse_size(word, &bytes) != 0) {
            return "bytes, perhaps with K, M or G, or max";
        }
        snprintf(value, PROCD_CGROUP_VALUE_ROOM, "%" PRIu64, bytes);
    }
    return NULL;
}

/* Of one processor; what the kernel wants is microseconds of each 100 ms. */
static const char *percent_or_max(const char *word, char value[PROCD_CGROUP_VALUE_ROOM])
{
    static const char accepted[] = "1% to 100000% of a processor, or max";
    size_t len = strlen(word);
    char digits[8];
    int n;

    if (strcmp(word, "max") == 0) {
        return NULL;
    }
    if (len < 2 || len > sizeof(digits) || word[len - 1] != '%') {
        return accepted;
    }
    memcpy(digits, word, len - 1);
    digits[len - 1] = '\0';
    if (procd_parse_int(digits, 1, 100000, &n) != 0) {
        return accepted;
    }
    snprintf(value, PROCD_CGROUP_VALUE_ROOM, "%d 100000", n * 1000);
    return NULL;
}

static const char *number_or_max(const char *word, char value[PROCD_CGROUP_VALUE_ROOM])
{
    int n;

    (void)value;
    return strcmp(word, "max") == 0 || procd_parse_int(word, 1, 4194304, &n) == 0 ? NULL : "1 to 4194304, or max";
}

static const char *weight(const char *word, char value[PROCD_CGROUP_VALUE_ROOM])
{
    int n;

    (void)value;
    return procd_parse_int(word, 1, 10000, &n) == 0 ? NULL : "1 to 10000";
}

static const char *zero_or_one(const char *word, char value[PROCD_CGROUP_VALUE_ROOM])
{
    (void)value;
    return strcmp(word, "0") == 0 || strcmp(word, "1") == 0 ? NULL : "0 or 1";
}

static const struct {
    const char *file;
    const char *unset; /* what the kernel begins with */
    const char *(*read)(const char *word, char value[PROCD_CGROUP_VALUE_ROOM]);
} files[] = {
    { "memory.max", "max", size_or_max },
    { "memory.high", "max", size_or_max },
    { "memory.swap.max", "max", size_or_max },
    { "memory.oom.group", "0", zero_or_one },
    { "cpu.max", "max", percent_or_max },
    { "cpu.weight", "100", weight },
    { "io.weight", "100", weight },
    { "pids.max", "max", number_or_max },
    { "hugetlb.2MB.max", "max", size_or_max },
    { "hugetlb.1GB.max", "max", size_or_max },
};
#define N_FILES ((int)(sizeof(files) / sizeof(files[0])))

_Static_assert(sizeof(files) / sizeof(files[0]) == PROCD_CGROUP_FILES, "a definition has room for each");

const char *procd_cgroup_file(int i)
{
    return i >= 0 && i < N_FILES ? files[i].file : NULL;
}

const char *procd_cgroup_unset(int i)
{
    return i >= 0 && i < N_FILES ? files[i].unset : NULL;
}

const char *procd_cgroup_read(const char *word, int *file, char value[PROCD_CGROUP_VALUE_ROOM])
{
    const char *equal = strchr(word, '=');
    size_t len = equal ? (size_t)(equal - word) : strlen(word);

    for (int i = 0; equal && i < N_FILES; i++) {
        if (strlen(files[i].file) == len && strncmp(files[i].file, word, len) == 0) {
            *file = i;
            snprintf(value, PROCD_CGROUP_VALUE_ROOM, "%s", equal + 1);
            return files[i].read(equal + 1, value);
        }
    }
    return "path=DIRECTORY, or FILE=VALUE with memory.max, memory.high, memory.swap.max, memory.oom.group, cpu.max, "
           "cpu.weight, io.weight, pids.max, hugetlb.2MB.max or hugetlb.1GB.max";
}
