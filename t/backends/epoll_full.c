/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A library for LD_PRELOAD: while the file that EPOLL_FULL names exists, no eventfd can be put into an epoll set, as when
 * the user watches too many descriptors. Each one that is turned away adds a byte to that file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_eventfd(int fd)
{
    char name[64], link[64];
    ssize_t n;

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = readlink(name, link, sizeof(link));
    return n == 20 && !memcmp(link, "anon_inode:[eventfd]", 20);
}

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    const char *name = op == EPOLL_CTL_ADD ? getenv("EPOLL_FULL") : NULL;
    int full = name && is_eventfd(fd) ? open(name, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

    if (full != -1) {
        (void)!write(full, "x", 1);
        close(full);
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, set, op, fd, event);
}
