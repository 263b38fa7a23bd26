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

int procd_script_send(int fd, procd_script_head *head, const char *strings, size_t len, const procd_script_fds *fds)
{
    struct iovec iov[2] = { { head, sizeof(*head) }, { (void *)(uintptr_t)strings, len } };
    int all[3] = { fds->out, fds->in, -1 }, n_fds = fds->in == -1 ? 1 : 2, is_long = len > PROCD_SCRIPT_INLINE;
    ssize_t n;

    if (len > PROCD_SCRIPT_MAX) {
        errno = E2BIG;
        return -1;
    }
    head->magic = PROCD_WIRE_MAGIC;
    head->version = PROCD_WIRE_VERSION;
    head->flags = fds->in == -1 ? 0 : PROCD_SCRIPT_BODY;
    head->len = (uint32_t)len;
    if (is_long && (all[n_fds] = strings_to_fd(strings, len)) == -1) {
        return -1;
    }
    n = procd_wire_send(fd, iov, is_long ? 1 : 2, all, n_fds + is_long);
    if (is_long) {
        int error = errno;

        close(all[n_fds]);
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

/* Strings in the message, or in a memfd behind the n_own descriptors of the request itself. @return NULL: neither */
static char *find_strings(const procd_script_head *head, char *buf, ssize_t n, const int *all, int n_fds, int n_own)
{
    if (n_fds == n_own && (size_t)n - sizeof(*head) == head->len) {
        return buf;
    }
    return n_fds == n_own + 1 && n == (ssize_t)sizeof(*head) ? strings_from_fd(all[n_own], head->len) : NULL;
}

int procd_script_receive(int fd, procd_script_head *head, char *buf, char **bytes, procd_script_fds *fds)
{
    struct iovec iov[2] = { { head, sizeof(*head) }, { buf, PROCD_SCRIPT_INLINE } };
    int all[3], n_fds = procd_close_is_busy() ? 0 : 3, n_own, kept = 0;
    ssize_t n = procd_wire_receive(fd, iov, 2, all, &n_fds);

    fds->out = fds->in = -1;
    *bytes = NULL;
    if (n <= 0) {
        return (int)n;
    }
    if (n >= (ssize_t)sizeof(*head)) {
        n_own = head->flags & PROCD_SCRIPT_BODY ? 2 : 1;
        *bytes = find_strings(head, buf, n, all, n_fds, n_own);
        kept = *bytes ? n_own : 0;
    }
    for (int i = kept; i < n_fds; i++) {
        procd_close_aside(all[i]);
    }
    if (!*bytes) {
        errno = EPROTO;
        return -1;
    }
    fds->out = all[0];
    fds->in = kept == 2 ? all[1] : -1;
    return 1;
}

static void close_one(int *fd)
{
    if (*fd != -1) {
        procd_close_aside(*fd);
        *fd = -1;
    }
}

void procd_script_close(procd_script_fds *fds)
{
    close_one(&fds->out);
    close_one(&fds->in);
}

int procd_script_answer_send(int control, const procd_script_answer_message *answer)
{
    struct iovec iov = { (void *)(uintptr_t)answer, sizeof(*answer) };

    return procd_wire_send(control, &iov, 1, NULL, 0) == (ssize_t)sizeof(*answer) ? 0 : -1;
}

int procd_script_answer_receive(int control, procd_script_answer_message *answer)
{
    struct iovec iov = { answer, sizeof(*answer) };
    int n_fds = 0;
    ssize_t n = procd_wire_receive(control, &iov, 1, NULL, &n_fds);

    if (n <= 0) {
        return (int)n;
    }
    if (n == (ssize_t)sizeof(*answer) && answer->magic == PROCD_WIRE_MAGIC && answer->version == PROCD_WIRE_VERSION) {
        answer->why[sizeof(answer->why) - 1] = '\0';
        return 1;
    }
    errno = EPROTO;
    return -1;
}
