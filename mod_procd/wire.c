/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The control channel's messages and the configuration's pieces: see procd_wire.h. */
#include "procd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef union control_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PROCD_WIRE_FDS * sizeof(int))];
} control_space;

ssize_t procd_wire_send(int fd, const struct iovec *iov, int n_iov, const int *fds, int n_fds)
{
    struct msghdr head = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov };
    control_space control;
    ssize_t n;

    if (n_fds < 0 || n_fds > PROCD_WIRE_FDS) {
        errno = E2BIG;
        return -1;
    }
    if (n_fds > 0) {
        struct cmsghdr *c;

        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        memset(control.bytes, 0, head.msg_controllen);
        c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
    }
    do {
        n = sendmsg(fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);
    return n;
}

int procd_send(int fd, procd_message_type type, uint32_t value, const int *fds, int n_fds)
{
    procd_message message = { PROCD_WIRE_MAGIC, PROCD_WIRE_VERSION, (uint16_t)type, value, (uint32_t)n_fds };
    struct iovec iov = { &message, sizeof(message) };

    return procd_wire_send(fd, &iov, 1, fds, n_fds) == (ssize_t)sizeof(message) ? 0 : -1;
}

void procd_wire_token(int fd)
{
    uint64_t one = 1;
    int waiting = 0;
    ssize_t n;

    if (ioctl(fd, FIONREAD, &waiting) != 0 || waiting < (int)sizeof(one)) {
        n = write(fd, &one, sizeof(one));
        (void)n; /* it can only be full of them */
    }
}

/* All descriptors that came, wherever they stand; those past the room are closed. Of the kernel's headers some are longer than
 * what they are for. */
static int take_fds(struct msghdr *head, int *fds, int room)
{
    int n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(0)
                           ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                           : 0;

        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (n < room) {
                fds[n++] = fd;
            }
            else {
                procd_close_aside(fd);
            }
        }
    }
    return n;
}

static void close_fds(int *fds, int *n_fds)
{
    while (*n_fds > 0) {
        procd_close_aside(fds[--*n_fds]);
    }
}

ssize_t procd_wire_receive(int fd, struct iovec *iov, int n_iov, int *fds, int *n_fds)
{
    control_space control;
    int room = *n_fds < 0 ? 0 : *n_fds > PROCD_WIRE_FDS ? PROCD_WIRE_FDS : *n_fds;
    struct msghdr head = { .msg_iov = iov,
                           .msg_iovlen = (size_t)n_iov,
                           .msg_control = room ? control.bytes : NULL,
                           .msg_controllen = room ? CMSG_LEN((size_t)room * sizeof(int)) : 0 };
    ssize_t n;

    *n_fds = 0;
    do {
        n = recvmsg(fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        return -1;
    }
    *n_fds = take_fds(&head, fds, room);
    if (n == 0) { /* the end, or a message of no bytes: that can bring descriptors, too */
        close_fds(fds, n_fds);
        return 0;
    }
    if (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        close_fds(fds, n_fds);
        errno = EPROTO;
        return -1;
    }
    return n;
}

int procd_receive(int fd, procd_message *message, int *fds, int *n_fds)
{
    struct iovec iov = { message, sizeof(*message) };
    ssize_t n = procd_wire_receive(fd, &iov, 1, fds, n_fds);

    if (n <= 0) {
        return (int)n;
    }
    if (n != (ssize_t)sizeof(*message) || message->magic != PROCD_WIRE_MAGIC || message->version != PROCD_WIRE_VERSION
        || message->n_fds != (uint32_t)*n_fds) {
        close_fds(fds, n_fds);
        errno = EPROTO;
        return -1;
    }
    return 1;
}

/* ------------------------------------------------------------------ the configuration */

typedef struct piece_head {
    uint32_t tag, len;
} piece_head;

void procd_blob_put(procd_blob *blob, procd_tag tag, const void *bytes, size_t len)
{
    piece_head head = { (uint32_t)tag, (uint32_t)len };
    size_t need = blob->len + sizeof(head) + len;

    if (blob->failed || len > PROCD_CONFIG_MAX || need > PROCD_CONFIG_MAX) {
        blob->failed = 1;
        return;
    }
    if (need > blob->room) {
        size_t room = need + need / 2 + 4096;
        char *grown = realloc(blob->bytes, room);

        if (!grown) {
            blob->failed = 1;
            return;
        }
        blob->bytes = grown;
        blob->room = room;
    }
    memcpy(blob->bytes + blob->len, &head, sizeof(head));
    if (len) {
        memcpy(blob->bytes + blob->len + sizeof(head), bytes, len);
    }
    blob->len = need;
}

int procd_blob_to_fd(const procd_blob *blob)
{
    int fd = blob->failed ? -1 : memfd_create("procd-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;

    if (blob->failed) {
        errno = ENOMEM;
    }
    if (fd == -1) {
        return -1;
    }
    while (done < blob->len) {
        ssize_t n = write(fd, blob->bytes + done, blob->len - done);

        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

int procd_blob_from_fd(procd_blob *blob, int fd)
{
    struct stat st;
    size_t done = 0;

    memset(blob, 0, sizeof(*blob));
    if (fstat(fd, &st) != 0) {
        return -1;
    }
    if (st.st_size < 0 || st.st_size > PROCD_CONFIG_MAX) {
        errno = EFBIG;
        return -1;
    }
    blob->room = (size_t)st.st_size;
    blob->bytes = malloc(blob->room + 1);
    if (!blob->bytes) {
        return -1;
    }
    while (done < blob->room) {
        ssize_t n = pread(fd, blob->bytes + done, blob->room - done, (off_t)done);

        if (n <= 0) {
            procd_blob_free(blob);
            errno = n == 0 ? EPROTO : errno;
            return -1;
        }
        done += (size_t)n;
    }
    blob->len = done;
    return 0;
}

int procd_blob_next(const procd_blob *blob, size_t *at, uint32_t *tag, const char **bytes, size_t *len)
{
    piece_head head;

    if (*at == blob->len) {
        return 0;
    }
    if (blob->len - *at < sizeof(head)) {
        return -1;
    }
    memcpy(&head, blob->bytes + *at, sizeof(head));
    if (head.len > blob->len - *at - sizeof(head)) {
        return -1;
    }
    *tag = head.tag;
    *bytes = blob->bytes + *at + sizeof(head);
    *len = head.len;
    *at += sizeof(head) + head.len;
    return 1;
}

void procd_blob_free(procd_blob *blob)
{
    free(blob->bytes);
    memset(blob, 0, sizeof(*blob));
}
