/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* How a line of an application's standard error travels from a child of httpd to the manager: see procd_wire.h. */
#include "procd_wire.h"

#include <errno.h>
#include <string.h>

const char *procd_line_parse(procd_line *line, const procd_line_head *head, const char *bytes, size_t len)
{
    if (head->magic != PROCD_WIRE_MAGIC || head->version != PROCD_WIRE_VERSION) {
        return "not a line of this version";
    }
    if (head->flags & ~PROCD_LINE_CUT) {
        return "unknown flags";
    }
    if (head->host_len > PROCD_LINE_HOST_MAX || head->text_len > PROCD_LINE_MAX
        || (size_t)head->host_len + head->text_len != len) {
        return "its lengths are not those of what came";
    }
    line->host = bytes;
    line->host_len = head->host_len;
    line->text = bytes + head->host_len;
    line->text_len = head->text_len;
    line->cut = (head->flags & PROCD_LINE_CUT) != 0;
    return NULL;
}

int procd_line_send(int fd, uint32_t group, pid_t pid, const procd_line *line)
{
    int is_short = line->host_len <= PROCD_LINE_HOST_MAX, cut = line->cut || line->text_len > PROCD_LINE_MAX;
    size_t host_len = is_short ? line->host_len : 0, text_len = cut ? PROCD_LINE_MAX : line->text_len;
    procd_line_head head = { .magic = PROCD_WIRE_MAGIC,
                             .version = PROCD_WIRE_VERSION,
                             .flags = cut ? PROCD_LINE_CUT : 0,
                             .group = group,
                             .pid = (int32_t)pid,
                             .host_len = (uint16_t)host_len };
    struct iovec iov[3] = { { &head, sizeof(head) }, { (void *)(uintptr_t)line->host, host_len }, { NULL, 0 } };

    if (text_len > line->text_len) {
        text_len = line->text_len;
    }
    head.text_len = (uint16_t)text_len;
    iov[2].iov_base = (void *)(uintptr_t)line->text;
    iov[2].iov_len = text_len;
    return procd_wire_send(fd, iov, 3, NULL, 0) > 0 ? 0 : -1;
}

int procd_line_receive(int fd, procd_line_head *head, char bytes[PROCD_LINE_ROOM], procd_line *line)
{
    struct iovec iov[2] = { { head, sizeof(*head) }, { bytes, PROCD_LINE_ROOM } };
    int n_fds = 0;
    ssize_t n = procd_wire_receive(fd, iov, 2, NULL, &n_fds);

    if (n <= 0) {
        return (int)n;
    }
    if (n >= (ssize_t)sizeof(*head) && !procd_line_parse(line, head, bytes, (size_t)n - sizeof(*head))) {
        return 1;
    }
    errno = EPROTO;
    return -1;
}
