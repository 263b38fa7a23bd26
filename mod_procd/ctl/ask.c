/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include "procd_wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/** A manager that is busy answers within this many seconds. */
#define PATIENCE 10
#define PATIENCE_TEXT "10 s"

void ctl_wrong(const ctl_channel *c, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (c->json) {
        fputs("{\"error\":", stdout);
        ctl_json_string(text, strlen(text));
        puts("}");
    }
    else {
        fprintf(stderr, "procctl: %s\n", text);
    }
}

int ctl_connect(ctl_channel *c)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct timeval patience = { PATIENCE, 0 };

    if (strlen(c->path) >= sizeof(un.sun_path)) {
        ctl_wrong(c, "the path of the control socket is too long: %s", c->path);
        return CTL_NO_MANAGER;
    }
    memcpy(un.sun_path, c->path, strlen(c->path));
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&un, (socklen_t)sizeof(un)) != 0) {
        ctl_wrong(c, "no manager at %s: %s%s", c->path, strerror(errno),
                  errno == EACCES ? " (only root and the user httpd was started as may speak to it)"
                  : errno == ENOENT
                      ? " (is httpd running with a <Spawn> group? -s SOCKET names another: control in ProcdRuntimeDir)"
                  : errno == ECONNREFUSED ? " (nobody listens there: httpd has ended or was killed)"
                                          : "");
        if (c->fd != -1) {
            close(c->fd);
        }
        return CTL_NO_MANAGER;
    }
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return CTL_OK;
}

ssize_t ctl_receive(int from, char *text, size_t room, int *fd)
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

static int take_text(const ctl_channel *c, int fd, char **text)
{
    procd_blob blob;
    int rv = procd_blob_from_fd(&blob, fd);

    close(fd);
    if (rv != 0) {
        ctl_wrong(c, "cannot read the manager's answer: %s", strerror(errno));
        return CTL_NO_MANAGER;
    }
    blob.bytes[blob.len] = '\0';
    *text = blob.bytes;
    return CTL_OK;
}

/* @return the packet's length, 0: too long */
static size_t pack(char packet[PROCD_CTL_REQUEST_MAX], int n, const char *const *words)
{
    const char *all[PROCD_CTL_WORDS] = { PROCD_CTL_VERSION };

    for (int i = 0; i < n && i + 1 < PROCD_CTL_WORDS; i++) {
        all[i + 1] = words[i];
    }
    return n < PROCD_CTL_WORDS ? procd_ctl_pack(packet, PROCD_CTL_REQUEST_MAX, n + 1, all) : 0;
}

const char *ctl_check_words(int n, const char *const *words)
{
    char packet[PROCD_CTL_REQUEST_MAX];
    size_t len = pack(packet, n, words);
    procd_ctl_request request;

    return len ? procd_ctl_parse(packet, len, &request) : "too many arguments, or too long";
}

int ctl_ask(ctl_channel *c, int n, const char *const *words, char **text)
{
    char packet[PROCD_CTL_REQUEST_MAX], line[600];
    size_t len = pack(packet, n, words);
    ssize_t got;
    int fd;

    got = send(c->fd, packet, len, MSG_NOSIGNAL) == (ssize_t)len ? ctl_receive(c->fd, line, sizeof(line), &fd) : -1;
    if (got <= 0) {
        ctl_wrong(c, "the manager does not answer: %s",
                  got == 0          ? "it closed"
                  : errno == EAGAIN ? "nothing came within " PATIENCE_TEXT
                                    : strerror(errno));
        return CTL_NO_MANAGER;
    }
    if (strncmp(line, "ok", 2) != 0) {
        ctl_wrong(c, "%s", strncmp(line, "error ", 6) == 0 ? line + 6 : line);
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
    return take_text(c, fd, text);
}
