/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* How a request for a script travels, and its answer: see procd_wire.h. */
#include "procd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int strings_to_fd(const char *strings, size_t len)
{
    int fd = memfd_create("procd-script", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;

    while (fd != -1 && done < len) {
        ssize_t n = write(fd, strings + done, len - done);

        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    if (fd != -1) {
        fcntl(fd, F_ADD_SEALS, SEALS);
    }
    return fd;
}

int procd_script_send(int fd, procd_script_head *head, const char *strings, size_t len)
{
    struct iovec iov[2] = { { head, sizeof(*head) }, { (void *)(uintptr_t)strings, len } };
    int memfd = -1, is_long = len > PROCD_SCRIPT_INLINE;
    ssize_t n;

    if (len > PROCD_SCRIPT_MAX) {
        errno = E2BIG;
        return -1;
    }
    head->magic = PROCD_WIRE_MAGIC;
    head->version = PROCD_WIRE_VERSION;
    head->len = (uint32_t)len;
    if (is_long && (memfd = strings_to_fd(strings, len)) == -1) {
        return -1;
    }
    n = procd_wire_send(fd, iov, is_long ? 1 : 2, &memfd, is_long);
    if (is_long) {
        int error = errno;

        close(memfd);
        errno = error;
    }
    return n > 0 ? 0 : -1;
}

/* Only of what can be sealed: reading anything else might make the manager wait. @return malloc'ed, or NULL */
static char *strings_from_fd(int fd, size_t len)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    char *bytes;

    if (seals == -1 || (seals & SEALS) != SEALS || len > PROCD_SCRIPT_MAX || fstat(fd, &st) != 0
        || st.st_size != (off_t)len || !(bytes = malloc(len + 1))) {
        return NULL;
    }
    if (pread(fd, bytes, len, 0) != (ssize_t)len) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

int procd_script_receive(int fd, procd_script_head *head, char *buf, char **bytes)
{
    struct iovec iov[2] = { { head, sizeof(*head) }, { buf, PROCD_SCRIPT_INLINE } };
    int memfd, n_fds = 1;
    ssize_t n = procd_wire_receive(fd, iov, 2, &memfd, &n_fds);

    *bytes = NULL;
    if (n <= 0) {
        return (int)n;
    }
    if (n_fds == 0 && n >= (ssize_t)sizeof(*head) && (size_t)n - sizeof(*head) == head->len) {
        *bytes = buf;
    }
    else if (n_fds == 1 && n == (ssize_t)sizeof(*head)) {
        *bytes = strings_from_fd(memfd, head->len);
    }
    if (n_fds == 1) {
        close(memfd);
    }
    if (*bytes) {
        return 1;
    }
    errno = EPROTO;
    return -1;
}

int procd_script_answer_send(int control, const procd_script_answer_message *answer, const int *fds, int n_fds)
{
    struct iovec iov = { (void *)(uintptr_t)answer, sizeof(*answer) };

    return procd_wire_send(control, &iov, 1, fds, n_fds) == (ssize_t)sizeof(*answer) ? 0 : -1;
}

int procd_script_answer_receive(int control, procd_script_answer_message *answer, int fds[2])
{
    struct iovec iov = { answer, sizeof(*answer) };
    int n_fds = 2;
    ssize_t n = procd_wire_receive(control, &iov, 1, fds, &n_fds);

    for (int i = n_fds; i < 2; i++) {
        fds[i] = -1;
    }
    if (n <= 0) {
        return (int)n;
    }
    if (n == (ssize_t)sizeof(*answer) && answer->magic == PROCD_WIRE_MAGIC && answer->version == PROCD_WIRE_VERSION
        && (answer->verdict == PROCD_SCRIPT_STARTED) == (n_fds > 0)) {
        answer->why[sizeof(answer->why) - 1] = '\0';
        return 1;
    }
    for (int i = 0; i < n_fds; i++) {
        close(fds[i]);
        fds[i] = -1;
    }
    errno = EPROTO;
    return -1;
}
