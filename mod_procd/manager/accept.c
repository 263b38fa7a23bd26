/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* When a process accepts. A command's socket listens before the command runs, so that a connection succeeds long before
 * anybody takes it: a program that still loads its modules looks as good as one that answers at once. No protocol is
 * spoken to find out. One connection of our own is put into the queue of the listening socket as soon as exec has
 * succeeded, and the kernel is asked how long that queue is (sock_diag(7)) until it has become shorter or empty: only
 * accept(2) takes anything out of it.
 *
 * The connection is closed at once and not when it was accepted. It keeps its place in the queue, and a program that
 * serves one connection at a time does not wait for the first byte of one that has none: it reads the end and goes on.
 *
 * Requests may stand in the queue as well, before and behind our connection: that is why a queue that has become shorter
 * is as good as an empty one. When as many arrive as are taken between two looks, a later look finds out.
 *
 * Where the kernel does not tell (no sock_diag, or it is forbidden), a process counts as ready when exec has succeeded. */
#include "manager.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LOOK_MS 1
#define LONGEST_LOOK_MS 20

/* ------------------------------------------------------------------ asking the kernel */

typedef struct diag_answer {
    struct nlmsghdr head;
    union {
        struct nlmsgerr error;
        struct unix_diag_msg un;
        struct inet_diag_msg in;
        unsigned char bytes[1024];
    } body;
} diag_answer;

/* The answer is there when sending has returned. @return bytes of its body, or -1 and errno */
static int ask(const struct nlmsghdr *question, diag_answer *answer)
{
    static int diag_fd = -1;
    ssize_t n;

    if (diag_fd == -1) {
        diag_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    }
    if (diag_fd == -1 || send(diag_fd, question, question->nlmsg_len, 0) == -1) {
        return -1;
    }
    n = recv(diag_fd, answer, sizeof(*answer), MSG_DONTWAIT);
    if (n == -1) {
        int error = errno;

        close(diag_fd); /* a late answer must not be taken for that of the next question */
        diag_fd = -1;
        errno = error;
        return -1;
    }
    if ((size_t)n < sizeof(answer->head) || answer->head.nlmsg_len < sizeof(answer->head)
        || answer->head.nlmsg_len > (size_t)n) {
        errno = EPROTO;
        return -1;
    }
    n = (ssize_t)(answer->head.nlmsg_len - sizeof(answer->head));
    if (answer->head.nlmsg_type != SOCK_DIAG_BY_FAMILY) {
        int is_error = answer->head.nlmsg_type == NLMSG_ERROR && (size_t)n >= sizeof(answer->body.error);

        errno = is_error && answer->body.error.error < 0 ? -answer->body.error.error : EPROTO;
        return -1;
    }
    return (int)n;
}

static int unix_queue(uint32_t ino)
{
    struct {
        struct nlmsghdr head;
        struct unix_diag_req req;
    } question = {
        .head = { .nlmsg_len = sizeof(question), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
        .req = { .sdiag_family = AF_UNIX,
                 .udiag_states = UINT32_MAX,
                 .udiag_ino = ino,
                 .udiag_show = UDIAG_SHOW_RQLEN,
                 .udiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } }
    };
    diag_answer answer;
    size_t at = sizeof(answer.body.un), len;
    int n = ask(&question.head, &answer);

    if (n == -1) {
        return -1;
    }
    for (len = (size_t)n; at + sizeof(struct nlattr) <= len;) {
        struct nlattr attr;
        struct unix_diag_rqlen queue;

        memcpy(&attr, answer.body.bytes + at, sizeof(attr));
        if (attr.nla_len < sizeof(attr) || attr.nla_len > len - at) {
            break;
        }
        if (attr.nla_type == UNIX_DIAG_RQLEN && attr.nla_len >= sizeof(attr) + sizeof(queue)) {
            memcpy(&queue, answer.body.bytes + at + sizeof(attr), sizeof(queue));
            return queue.udiag_rqueue > INT32_MAX ? INT32_MAX : (int)queue.udiag_rqueue;
        }
        at += NLA_ALIGN(attr.nla_len);
    }
    errno = EPROTO;
    return -1;
}

/* By its address, for want of a question by inode; that it is the socket meant is checked. */
static int inet_queue(const struct sockaddr *addr, uint32_t ino)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } question = {
        .head = { .nlmsg_len = sizeof(question), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
        .req = { .sdiag_family = (uint8_t)addr->sa_family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = UINT32_MAX,
                 .id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } }
    };
    const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
    diag_answer answer;
    int n;

    if (addr->sa_family == AF_INET) {
        question.req.id.idiag_sport = in->sin_port;
        memcpy(question.req.id.idiag_src, &in->sin_addr, sizeof(in->sin_addr));
    }
    else {
        question.req.id.idiag_sport = in6->sin6_port;
        memcpy(question.req.id.idiag_src, &in6->sin6_addr, sizeof(in6->sin6_addr));
    }
    n = ask(&question.head, &answer);
    if (n == -1) {
        return -1;
    }
    if ((size_t)n < sizeof(answer.body.in) || answer.body.in.idiag_inode != ino) {
        errno = ENOENT;
        return -1;
    }
    return answer.body.in.idiag_rqueue > INT32_MAX ? INT32_MAX : (int)answer.body.in.idiag_rqueue;
}

/* Connections that wait to be accepted. @return -1 and errno; ENOENT: there is no such socket (any more) */
static int queue_length(const struct sockaddr *addr, uint32_t ino)
{
    switch (addr->sa_family) {
    case AF_UNIX: return unix_queue(ino);
    case AF_INET:
    case AF_INET6: return inet_queue(addr, ino);
    default: errno = EAFNOSUPPORT; return -1;
    }
}

static void cannot_tell(const group *g, const char *what)
{
    static int said;

    if (!said) {
        said = 1;
        manager_log(LEVEL_WARNING, g,
                    "PRD0170: group %s: %s: %s; processes count as ready from exec on, here and in other groups alike",
                    g->name, what, strerror(errno));
    }
}

uint32_t accept_identify(const group *g, int listen_fd, const struct sockaddr *addr)
{
    struct stat st;

    if (fstat(listen_fd, &st) == 0 && queue_length(addr, (uint32_t)st.st_ino) >= 0) {
        return (uint32_t)st.st_ino;
    }
    cannot_tell(g, "the kernel does not tell how many connections wait to be accepted (sock_diag)");
    return 0;
}

/* ------------------------------------------------------------------ looking */

static void forget_probe(process *p)
{
    if (p->probe_fd != -1) {
        close(p->probe_fd);
        p->probe_fd = -1;
    }
}

static int may_try_again(int error)
{
    return error == EAGAIN || error == EINTR || error == EINPROGRESS || error == EALREADY || error == ECONNREFUSED
           || error == ECONNRESET || error == ETIMEDOUT || error == ENOENT || error == EMFILE || error == ENFILE
           || error == ENOBUFS || error == ENOMEM;
}

/* Put our connection into the queue, if it is not there yet. @return -1 and errno when that will never be possible */
static int probe(process *p, const struct sockaddr *addr, socklen_t len)
{
    int rv, error;

    if (p->probed) {
        return 0;
    }
    if (p->probe_fd == -1) {
        p->probe_fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    rv = p->probe_fd == -1 ? -1 : connect(p->probe_fd, addr, len);
    if (rv != 0 && errno == EINPROGRESS) {
        rv = connect(p->probe_fd, addr, len); /* over the loopback interface it is done by now */
    }
    error = rv == 0 ? 0 : errno;
    p->probed = rv == 0 || error == EISCONN;
    if (p->probed || (error != EINPROGRESS && error != EALREADY)) {
        forget_probe(p);
    }
    errno = error;
    return p->probed || may_try_again(error) ? 0 : -1;
}

/* @return 1 when the process accepts, or nobody can know. What was in the queue before this look does not count: the last
 * step of a TCP handshake may still be on its way. */
static int look(process *p, const procd_hold *hold)
{
    int was_probed = p->probed, n;

    if (probe(p, &hold->addr.sa, hold->addr_len) != 0) {
        cannot_tell(p->group, "cannot connect to a process");
        return 1;
    }
    n = queue_length(&hold->addr.sa, p->listen_ino);
    if (n < 0) {
        if (errno == ENOENT) {
            return 0; /* it has closed its socket: SpawnStartTimeout is for that */
        }
        cannot_tell(p->group, "the kernel does not tell any more how many connections wait (sock_diag)");
        return 1;
    }
    if (n < p->queue_most || (was_probed && n == 0)) {
        return 1;
    }
    p->queue_most = n;
    return 0;
}

static void on_look(timer *t)
{
    process *p = t->of;
    procd_hold hold;
    uint32_t state;

    if (procd_row_read(p->row, &hold, &state) == 0 && look(p, &hold)) {
        accept_forget(p);
        process_accepts(p);
        return;
    }
    p->look_step_ms = p->look_step_ms * 2 > LONGEST_LOOK_MS ? LONGEST_LOOK_MS : p->look_step_ms * 2;
    loop_timer(t, procd_now_ms() + p->look_step_ms, on_look, p);
}

void accept_watch(process *p)
{
    procd_hold hold;
    uint32_t state;

    p->probed = p->queue_most = 0;
    p->look_step_ms = FIRST_LOOK_MS;
    if (procd_row_read(p->row, &hold, &state) == 0) {
        probe(p, &hold.addr.sa, hold.addr_len); /* what fails for good fails again at the first look */
    }
    loop_timer(&p->look, procd_now_ms() + p->look_step_ms, on_look, p);
}

void accept_forget(process *p)
{
    loop_cancel(&p->look);
    forget_probe(p);
}
