/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* For t/procd/taken.t: a child of httpd that was taken over. `SetHandler procd-taken` forks a process which, as httpd's user
 * and with everything that the child has, writes garbage into all that it can reach of mod_procd for a while.
 *
 *     ?what=group&row=N&seconds=N&fds=A.B.C   one group's counts, also in the child's own row, the header, and the descriptors
 *     ?what=all&...                           all that there is but the locks
 *     ?what=locks&...                         these as well
 *     ?what=invent                            children that are none have leased everything
 *
 * fds are the descriptors that the child shares with the manager: who runs as httpd's user cannot see which they are. */
#include "procd_wire.h"
#include "table.h"

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) procd_taken_module;

static unsigned long long state = 88172645463325252ull;

static unsigned long long number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void *mapping(const char *name)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    void *at = NULL;

    while (maps && !at && fgets(line, sizeof(line), maps)) {
        if (strstr(line, name)) {
            at = (void *)(apr_uintptr_t)strtoull(line, NULL, 16);
        }
    }
    if (maps) {
        fclose(maps);
    }
    return at;
}

/* Small numbers, large ones, negative ones. */
static unsigned long long garbage(void)
{
    unsigned long long n = number();

    switch (n % 5) {
    case 0: return n % 300;
    case 1: return n;
    case 2: return (unsigned long long)-1 - n % 3;
    case 3: return 0x7fffffff7fffffffull;
    default: return n << 20;
    }
}

static void scribble(void *at, size_t len)
{
    unsigned char *bytes = at;

    for (size_t i = 0; i + sizeof(unsigned long long) <= len; i += sizeof(unsigned long long)) {
        unsigned long long n = garbage();

        if (number() % 3 == 0) {
            memcpy(bytes + i, &n, sizeof(n));
        }
    }
}

typedef enum extent { ONE_GROUP, ALL, LOCKS_TOO } extent;

/* What it says to hold of this group. (Of the others it could have as much as there is by asking for it.) */
static void scribble_own_row(procd_children_half *half, int row)
{
    for (int i = 0; i < PROCD_MAX_CHILDREN; i++) {
        procd_child_row *c = &half->children[i];

        if (c->pid == getppid()) {
            scribble(&c->busy[row], sizeof(c->busy[row]));
            atomic_store(&c->waiting[row], (int)garbage());
        }
    }
}

static void scribble_table(procd_children_half *half, extent what, int row)
{
    scribble(half, offsetof(procd_children_half, groups));
    for (int i = 0; i < 8; i++) {
        uint32_t lock = half->groups[i].lock;

        if (what != ONE_GROUP || i == row) {
            scribble(&half->groups[i], sizeof(half->groups[i]));
        }
        if (what != LOCKS_TOO) {
            half->groups[i].lock = lock;
        }
    }
    if (what == ONE_GROUP) {
        scribble_own_row(half, row);
        return;
    }
    for (int i = 0; i < PROCD_MAX_CHILDREN; i += 1 + (int)(number() % 300)) {
        scribble(&half->children[i], sizeof(half->children[i]));
    }
}

static void send_garbage(int fd)
{
    char buf[4096];
    int pair[2];
    struct iovec iov = { buf, number() % sizeof(buf) };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(pair)) } };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

    scribble(buf, sizeof(buf));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0) {
        ssize_t rc;

        memcpy(CMSG_DATA(&control.head), pair, sizeof(pair));
        rc = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)rc;
        close(pair[0]);
        close(pair[1]);
    }
}

/* In and say nothing, or nonsense; shut what can be shut, and stay as long as there is room. */
static void misuse_door(int door)
{
    static int guests[600], n;

    for (int i = 0; i < 40; i++) {
        int fd = procd_door_knock(door);

        if (fd == -1) {
            return;
        }
        if (number() % 3) {
            send_garbage(fd);
        }
        if (number() % 2) {
            shutdown(fd, (int)(number() % 3));
        }
        if (guests[n]) {
            close(guests[n]);
        }
        guests[n] = fd;
        n = (n + 1) % 600;
    }
    shutdown(door, SHUT_RDWR);
}

/* Flags belong to what is open, not to the descriptor: whoever shares it sees them. */
static void misuse(int fd)
{
    unsigned long long n = ~0ull - 1;
    char buf[4096];
    int flags = fcntl(fd, F_GETFL), type;
    socklen_t len = sizeof(type);
    ssize_t rc;

    if (flags & O_PATH) {
        misuse_door(fd);
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
        send_garbage(fd);
        shutdown(fd, (int)(number() % 3));
        return;
    }
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if ((flags & O_ACCMODE) != O_WRONLY) {
        rc = read(fd, buf, sizeof(buf));
    }
    if ((flags & O_ACCMODE) != O_RDONLY) {
        rc = write(fd, &n, sizeof(n));
        rc = write(fd, buf, sizeof(buf));
    }
    (void)rc;
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

static void run(const char *fds, int seconds, extent what, int row)
{
    procd_children_half *half = mapping("procd-children");
    time_t until = time(NULL) + seconds;

    alarm((unsigned)seconds + 2);
    signal(SIGALRM, SIG_DFL);
    while (time(NULL) < until) {
        const char *at = fds;

        if (half) {
            scribble_table(half, what, row);
        }
        while (*at) {
            char *end;
            int fd = (int)strtol(at, &end, 10);

            misuse(fd);
            at = *end ? end + 1 : end;
        }
    }
    _exit(0);
}

/* Children that are none have leased everything. Nothing of it is impossible by itself but who they are said to be. */
static void invent_children(void)
{
    procd_children_half *half = mapping("procd-children");

    for (int i = 200; i < 203; i++) {
        procd_child_row *row = &half->children[i];

        memset((void *)row->used, 0xff, sizeof(row->used));
        for (int g = 0; g < 8; g++) {
            row->waiting[g] = 3;
            for (int slot = 0; slot < PROCD_MAX_SLOTS; slot++) {
                row->busy[g][slot] = 4;
            }
        }
        row->pid = i == 200 ? 1 : i == 201 ? getppid() + 4000000 : (int32_t)getpid();
        row->state = PROCD_CHILD_LIVE;
    }
    half->rows = 203;
    half->gone++;
}

static const char *argument(const request_rec *r, const char *name)
{
    const char *at = r->args ? ap_strstr_c(r->args, name) : NULL;

    return at ? at + strlen(name) : "";
}

static int handler(request_rec *r)
{
    const char *what = argument(r, "what=");
    void *manager;
    pid_t pid;

    if (strcmp(r->handler, "procd-taken") != 0) {
        return DECLINED;
    }
    manager = mapping("procd-manager");
    if (!manager || !mapping("procd-children")) {
        return HTTP_NOT_FOUND;
    }
    if (*argument(r, "what=") == 'i') {
        invent_children();
        return OK;
    }
    pid = fork();
    if (pid == 0) {
        run(argument(r, "fds="), atoi(argument(r, "seconds=")),
            *what == 'g'   ? ONE_GROUP
            : *what == 'a' ? ALL
                           : LOCKS_TOO,
            atoi(argument(r, "row=")));
    }
    ap_set_content_type(r, "text/plain");
    ap_rprintf(r, "pid=%ld\nchild=%ld\nmanager_half=%s\n", (long)pid, (long)getpid(),
               mprotect(manager, 4096, PROT_READ | PROT_WRITE) == 0 ? "writable" : "closed");
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(procd_taken)
= {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 74)
    AP_MODULE_FLAG_NONE,
#endif
};
