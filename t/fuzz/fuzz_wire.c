/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/wire.c mod_procd/close_aside.c mod_procd/script_wire.c mod_procd/script_parse.c */
/* libs: -lpthread */
/* What arrives on the manager's sockets, with descriptors or without, and the pieces of a configuration: each is a message or
 * an error, no descriptor stays open, and pieces lie one behind another. */
#include "procd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

static void pieces(const char *bytes, size_t size)
{
    procd_blob blob = { malloc(size ? size : 1), size, size, 0 };
    const char *piece, *end = blob.bytes;
    uint32_t tag;
    size_t at = 0, len;

    memcpy(blob.bytes, bytes, size);
    while (procd_blob_next(&blob, &at, &tag, &piece, &len) == 1) {
        CHECK(piece >= end + 8 && piece + len <= blob.bytes + size && at == (size_t)(piece + len - blob.bytes));
        end = piece + len;
    }
    free(blob.bytes);
}

/* The next descriptor that would be opened: the same before and after where nothing was left open. */
static int next_fd(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
        close(fds[i]);
    }
}

static void as_message(int fd)
{
    int fds[3], n = 3, rv;
    procd_message m;

    rv = procd_receive(fd, &m, fds, &n);
    CHECK(rv != 1 || (m.magic == PROCD_WIRE_MAGIC && m.version == PROCD_WIRE_VERSION && m.n_fds == (uint32_t)n));
    CHECK(rv == 1 || n == 0);
    close_all(fds, n);
}

static void as_script(int fd)
{
    static char buf[PROCD_SCRIPT_INLINE];
    procd_script_head head;
    procd_script_fds fds;
    procd_script s;
    char *bytes;

    if (procd_script_receive(fd, &head, buf, &bytes, &fds) == 1) {
        CHECK(fds.out != -1 && (fds.in == -1) == !(head.flags & PROCD_SCRIPT_BODY));
        procd_script_parse(&s, &head, bytes, head.len);
        if (bytes != buf) {
            free(bytes);
        }
        procd_script_close(&fds);
    }
    else {
        CHECK(fds.out == -1 && fds.in == -1);
    }
}

static void as_answer(int fd)
{
    procd_script_answer_message answer;
    int rv = procd_script_answer_receive(fd, &answer);

    CHECK(rv != 1 || memchr(answer.why, '\0', sizeof(answer.why)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void (*const as[])(int fd) = { as_message, as_script, as_answer };
    static int any_fd = -1; /* whose closing takes no time */
    int pair[2], fds[5], before;
    struct iovec iov = { (void *)(uintptr_t)(data + 1), size - 1 };

    if (size < 2 || size > 60000) {
        return 0;
    }
    if (data[0] % 4 == 3) {
        pieces((const char *)data + 1, size - 1);
        return 0;
    }
    any_fd = any_fd == -1 ? memfd_create("any", 0) : any_fd;
    for (int i = 0; i < 5; i++) {
        fds[i] = any_fd;
    }
    before = next_fd();
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(procd_wire_send(pair[0], &iov, 1, fds, (data[0] >> 2) % 6) == (ssize_t)iov.iov_len);
    as[data[0] % 4](pair[1]);
    close(pair[0]);
    close(pair[1]);
    CHECK(next_fd() == before);
    return 0;
}
