/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/stat: the pid, the program's name in parentheses, then fields with a space before each. The name may hold
 * anything, parentheses and line feeds as well, so fields are counted from the last parenthesis. */
#include "proc_stat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fields by their numbers in proc(5). */
enum {
    PARENT = 4,
    GROUP = 5,
    USER = 14,
    SYSTEM = 15,
    WAITED_USER = 16,
    WAITED_SYSTEM = 17,
    START = 22,
    RESIDENT = 24,
    FIELDS
};

/* A space and a number. @return where it ends, or NULL */
static const char *take_number(const char *at, const char *end, int64_t *value)
{
    uint64_t n = 0;
    int negative;
    const char *first;

    if (at == end || *at++ != ' ') {
        return NULL;
    }
    negative = at < end && *at == '-';
    at += negative;
    for (first = at; at < end && *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (n > (UINT64_MAX - digit) / 10) {
            return NULL;
        }
        n = n * 10 + digit;
    }
    *value = negative ? (int64_t)-n : (int64_t)n; /* some are unsigned and as long as this */
    return at > first ? at : NULL;
}

int proc_stat_parse(proc_stat *s, const char *text, size_t len)
{
    const char *at = memrchr(text, ')', len), *end = text + len;
    int64_t field[FIELDS];

    if (!at || end - at < 3 || at[1] != ' ') {
        return -1;
    }
    s->state = at[2];
    at += 3;
    for (int i = PARENT; i < FIELDS; i++) {
        at = take_number(at, end, &field[i]);
        if (!at) {
            return -1;
        }
    }
    s->parent = (pid_t)field[PARENT];
    s->group = (pid_t)field[GROUP];
    s->user_ticks = field[USER];
    s->system_ticks = field[SYSTEM];
    s->waited_user_ticks = field[WAITED_USER];
    s->waited_system_ticks = field[WAITED_SYSTEM];
    s->start_ticks = (uint64_t)field[START];
    s->resident_pages = field[RESIDENT];
    return 0;
}

int proc_stat_read_name(proc_stat *s, const char *name)
{
    char path[280], text[1024];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%s/stat", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }
    n = read(fd, text, sizeof(text));
    close(fd);
    return n > 0 ? proc_stat_parse(s, text, (size_t)n) : -1;
}

int proc_stat_read(proc_stat *s, pid_t pid)
{
    char name[24];

    snprintf(name, sizeof(name), "%ld", (long)pid);
    return proc_stat_read_name(s, name);
}
