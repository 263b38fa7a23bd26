/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include "procd_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/** A manager that is busy answers within this many seconds. */
#define PATIENCE 10

int ctl_connect(ctl_channel *c)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct timeval patience = { PATIENCE, 0 };

    if (strlen(c->path) >= sizeof(un.sun_path)) {
        fprintf(stderr, "procctl: the path of the control socket is too long: %s\n", c->path);
        return CTL_NO_MANAGER;
    }
    memcpy(un.sun_path, c->path, strlen(c->path));
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&un, (socklen_t)sizeof(un)) != 0) {
        fprintf(stderr, "procctl: no manager at %s: %s%s\n", c->path, strerror(errno),
                errno == EACCES ? " (only root and the user httpd was started as may speak to it)"
                : errno == ENOENT
                    ? " (is httpd running with a <Spawn> group? -s SOCKET names another: control in ProcdRuntimeDir)"
                    : "");
        if (c->fd != -1) {
            close(c->fd);
        }
        return CTL_NO_MANAGER;
    }
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return CTL_OK;
}

/* @return bytes, 0 or -1 as recvmsg(); *fd is a descriptor that came, or -1 */
static ssize_t receive(int from, char *text, size_t room, int *fd)
{
    struct iovec iov = { text, room - 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    struct cmsghdr *h;
    ssize_t n;

    *fd = -1;
    do {
        n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    } while (n == -1 && errno == EINTR);
    text[n > 0 ? n : 0] = '\0';
    h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(fd, CMSG_DATA(h), sizeof(int));
    }
    return n;
}

static int take_text(int fd, char **text)
{
    procd_blob blob;
    int rv = procd_blob_from_fd(&blob, fd);

    close(fd);
    if (rv != 0) {
        fprintf(stderr, "procctl: cannot read the manager's answer: %s\n", strerror(errno));
        return CTL_NO_MANAGER;
    }
    blob.bytes[blob.len] = '\0';
    *text = blob.bytes;
    return CTL_OK;
}

int ctl_ask(ctl_channel *c, int n, const char *const *words, char **text)
{
    const char *all[PROCD_CTL_WORDS] = { PROCD_CTL_VERSION };
    char packet[PROCD_CTL_REQUEST_MAX], line[600];
    size_t len;
    ssize_t got;
    int fd;

    for (int i = 0; i < n && i + 1 < PROCD_CTL_WORDS; i++) {
        all[i + 1] = words[i];
    }
    len = n < PROCD_CTL_WORDS ? procd_ctl_pack(packet, sizeof(packet), n + 1, all) : 0;
    if (len == 0) {
        fputs("procctl: too many arguments\n", stderr);
        return CTL_REFUSED;
    }
    got = send(c->fd, packet, len, MSG_NOSIGNAL) == (ssize_t)len ? receive(c->fd, line, sizeof(line), &fd) : -1;
    if (got <= 0) {
        fprintf(stderr, "procctl: the manager does not answer: %s\n", got == 0 ? "it closed" : strerror(errno));
        return CTL_NO_MANAGER;
    }
    if (strncmp(line, "ok", 2) != 0) {
        fprintf(stderr, "procctl: %s\n", strncmp(line, "error ", 6) == 0 ? line + 6 : line);
        if (fd != -1) {
            close(fd);
        }
        return CTL_REFUSED;
    }
    if (fd == -1) {
        return CTL_OK;
    }
    if (!text) {
        close(fd);
        return CTL_OK;
    }
    return take_text(fd, text);
}

int ctl_follow(ctl_channel *c)
{
    struct timeval for_ever = { 0, 0 };
    static char line[PROCD_CTL_LINE_MAX];
    ssize_t n;
    int fd;

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
    while ((n = receive(c->fd, line, sizeof(line), &fd)) > 0) {
        puts(line);
        if (fflush(stdout) != 0) {
            return CTL_OK;
        }
    }
    fputs("procctl: the manager has ended\n", stderr);
    return CTL_NO_MANAGER;
}
