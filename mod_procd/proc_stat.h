/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  proc_stat.h
 * @brief What /proc/PID/stat says of a process.
 */
#ifndef PROCD_PROC_STAT_H
#define PROCD_PROC_STAT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proc_stat {
    char state; /* 'Z': a zombie */
    pid_t parent, group;
    int64_t user_ticks, system_ticks;               /* sysconf(_SC_CLK_TCK) a second */
    int64_t waited_user_ticks, waited_system_ticks; /* of children it has waited for */
    uint64_t start_ticks;                           /* since the machine's start: tells a pid from its next user */
    int64_t resident_pages;
} proc_stat;

/** Pure. @return 0, or -1: that is not what such a file has */
int proc_stat_parse(proc_stat *s, const char *text, size_t len);
/** @return 0, or -1: there is no such process, or nobody may look at it */
int proc_stat_read(proc_stat *s, pid_t pid);
/** The same for the name of a directory in /proc. */
int proc_stat_read_name(proc_stat *s, const char *name);

#endif /* PROCD_PROC_STAT_H */
