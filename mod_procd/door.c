/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Doors: how children of httpd reach the manager (procd_wire.h).
 *
 * A socket that all of them held could be shut down by one of them for all: shutdown(2) is about what a descriptor refers
 * to and not about the descriptor. So each comes with a connection of its own, and what they have in common is an
 * O_PATH descriptor of the listening socket's place in the file system, through which one can connect and nothing else.
 * The place itself is removed at once: who has not inherited that descriptor finds no way. It belongs to who started httpd,
 * so that children cannot change its mode. */
#include "procd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096 /* or what the system allows: connections wait here while there is no manager */

static void close_kept(int fd)
{
    int error = errno;

    if (fd != -1) {
        close(fd);
    }
    errno = error;
}

static struct sockaddr_un address_of(int fd, const char *tail)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d%s", fd, tail);
    return un;
}

static int make_in(int dir, int *door, int *listener)
{
    struct sockaddr_un un = address_of(dir, "/door");
    struct stat st;

    *door = -1;
    *listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*listener != -1 && bind(*listener, (const struct sockaddr *)&un, sizeof(un)) == 0
        && (*door = openat(dir, "door", O_PATH | O_NOFOLLOW | O_CLOEXEC)) != -1 && fstat(*door, &st) == 0
        && S_ISSOCK(st.st_mode) && st.st_uid == geteuid()) {
        un = address_of(*door, "");
        if (chmod(un.sun_path, 0666) == 0 && listen(*listener, BACKLOG) == 0) {
            return 0;
        }
    }
    close_kept(*door);
    close_kept(*listener);
    *door = *listener = -1;
    return -1;
}

static void remove_kept(int dir, const char *path)
{
    int error = errno;

    unlinkat(dir, "door", 0);
    rmdir(path);
    errno = error;
}

int procd_door_make(const char *in, int *door, int *listener)
{
    char path[PATH_MAX];
    int dir, rv;

    *door = *listener = -1;
    if (snprintf(path, sizeof(path), "%s/procd-XXXXXX", in) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!mkdtemp(path)) {
        return -1;
    }
    dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rv = dir == -1 ? -1 : make_in(dir, door, listener);
    remove_kept(dir, path);
    close_kept(dir);
    return rv;
}

int procd_door_knock(int door)
{
    struct sockaddr_un un = address_of(door, "");
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd != -1 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
        close_kept(fd);
        return -1;
    }
    return fd;
}
