/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A library for LD_PRELOAD: a sendmsg() that must not wait takes 100 bytes at most, and the one behind it finds the socket
 * full, as if the other end read slowly all the time. And poll() writes over the stack below it, so that nothing is found
 * there that was left by who has returned.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST 100
#define STACK 65536

static __thread int full;

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    char bytes[MOST];
    size_t n = 0;

    if (!(flags & MSG_DONTWAIT) || msg->msg_controllen) {
        return syscall(SYS_sendmsg, fd, msg, flags);
    }
    full = !full;
    if (!full) {
        errno = EAGAIN;
        return -1;
    }
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        const char *from = msg->msg_iov[i].iov_base;

        for (size_t k = 0; k < msg->msg_iov[i].iov_len && n < MOST; k++) {
            bytes[n++] = from[k];
        }
    }
    return send(fd, bytes, n, flags);
}

__attribute__((noinline)) static void wipe(void)
{
    char stack[STACK];

    memset(stack, '#', sizeof(stack));
    __asm__ volatile("" : : "r"(stack) : "memory");
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    wipe();
    return (int)syscall(SYS_poll, fds, n, timeout);
}
