/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* The event loop of the two backends that cost next to nothing: one process, one epoll descriptor, one read and one write for
 * a request, answers prepared beforehand. A delay holds a connection in a list ordered by time; as a benchmark uses one delay
 * for all, an insertion looks at the list's tail only. No threads, so thousands of waiting requests cost a few hundred bytes
 * each.
 *
 *     fcgi_fast|http_fast [unix:PATH] [tcp:PORT] [fd:N] ...      (no argument: fd:0, as a FastCGI process manager starts it)
 */

#define _GNU_SOURCE
#include "fast.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BYTES 100
#define MAX_BYTES (64UL << 20)
#define MAX_REPLIES 32
#define READ_SIZE (256 * 1024)
#define MAX_CARRY (128 * 1024)
#define BACKLOG 8192

typedef struct connection connection;
struct connection {
    int fd;
    int listener;
    unsigned events;
    int doomed;
    fast_request request;
    const fast_reply *reply; /* being written */
    fast_reply own;          /* a copy for request ids other than the usual one: HAProxy counts them up */
    size_t written;
    char *carry; /* bytes of an incomplete unit, kept for the next read */
    size_t carried;
    unsigned long due; /* ms; only meaningful while waiting */
    int waiting;
    connection *earlier, *later;
    connection *next_free;
};

static int epoll_fd;
static char read_buffer[READ_SIZE + MAX_CARRY];
static fast_reply replies[MAX_REPLIES];
static int reply_count;
static connection *timers_first, *timers_last;
static connection *closed; /* freed after the batch of events, which may still name them */

static void die(const char *what, const char *value)
{
    fprintf(stderr, "%s %s: %s\n", what, value, strerror(errno));
    exit(1);
}

static unsigned long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long)t.tv_sec * 1000 + (unsigned long)t.tv_nsec / 1000000;
}

void fast_query(fast_request *request, const char *query, size_t length)
{
    const char *end = query + length;

    for (const char *p = query; p + 2 < end; p++) {
        unsigned long value = 0;
        char key = *p;

        if ((key != 'n' && key != 'd') || p[1] != '=' || (p > query && p[-1] != '&')) {
            continue;
        }
        for (p += 2; p < end && *p >= '0' && *p <= '9' && value < MAX_BYTES; p++) {
            value = value * 10 + (unsigned long)(*p - '0');
        }
        if (key == 'n') {
            request->bytes = value > MAX_BYTES ? MAX_BYTES : value;
        }
        else {
            request->delay_ms = value;
        }
    }
}

static const fast_reply *shared_reply(const fast_request *request)
{
    fast_reply *reply;

    for (int i = 0; i < reply_count; i++) {
        reply = &replies[i];
        if (reply->bytes == request->bytes && reply->keep == request->keep) {
            return reply;
        }
    }
    if (reply_count == MAX_REPLIES) {
        return NULL;
    }
    reply = &replies[reply_count];
    *reply = (fast_reply){ .bytes = request->bytes, .id = request->id, .keep = request->keep };
    if (fast_render(reply) != 0) {
        return NULL;
    }
    reply_count++;
    return reply;
}

static const fast_reply *reply_for(connection *c)
{
    const fast_reply *shared = shared_reply(&c->request);

    if (!shared || shared->id == c->request.id) {
        return shared;
    }
    if (!c->own.data || c->own.bytes != shared->bytes || c->own.keep != shared->keep) {
        free(c->own.data);
        c->own = *shared;
        c->own.data = malloc(shared->length);
        if (!c->own.data) {
            return NULL;
        }
        memcpy(c->own.data, shared->data, shared->length);
    }
    fast_readdress(&c->own, c->request.id);
    return &c->own;
}

static void timer_add(connection *c)
{
    connection *before = timers_last;

    c->due = now_ms() + c->request.delay_ms;
    c->waiting = 1;
    while (before && before->due > c->due) {
        before = before->earlier;
    }
    c->earlier = before;
    c->later = before ? before->later : timers_first;
    *(c->later ? &c->later->earlier : &timers_last) = c;
    *(before ? &before->later : &timers_first) = c;
}

static void timer_remove(connection *c)
{
    *(c->earlier ? &c->earlier->later : &timers_first) = c->later;
    *(c->later ? &c->later->earlier : &timers_last) = c->earlier;
    c->earlier = c->later = NULL;
    c->waiting = 0;
}

static void drop(connection *c)
{
    if (c->doomed) {
        return;
    }
    if (c->waiting) {
        timer_remove(c);
    }
    close(c->fd);
    free(c->carry);
    free(c->own.data);
    c->carry = c->own.data = NULL;
    c->doomed = 1;
    c->next_free = closed;
    closed = c;
}

static void reap_closed(void)
{
    while (closed) {
        connection *next = closed->next_free;

        free(closed);
        closed = next;
    }
}

static void want(connection *c, unsigned events)
{
    struct epoll_event ev = { .events = events, .data.ptr = c };

    if (c->events != events) {
        c->events = events;
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
    }
}

static void fresh_request(fast_request *request)
{
    memset(request, 0, sizeof(*request));
    request->bytes = DEFAULT_BYTES;
}

/* Writes what is left of the answer. Returns 1 when it is all out and the connection goes on. */
static int write_reply(connection *c)
{
    const fast_reply *reply = c->reply;

    while (c->written < reply->length) {
        ssize_t n = send(c->fd, reply->data + c->written, reply->length - c->written, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EAGAIN) {
                want(c, EPOLLOUT);
            }
            else if (errno == EINTR) {
                continue;
            }
            else {
                drop(c);
            }
            return 0;
        }
        c->written += (size_t)n;
    }
    c->reply = NULL;
    if (!c->request.keep) {
        drop(c);
        return 0;
    }
    fresh_request(&c->request);
    want(c, EPOLLIN);
    return 1;
}

static int answer(connection *c)
{
    c->reply = reply_for(c);
    c->written = 0;
    if (!c->reply) {
        drop(c);
        return 0;
    }
    return write_reply(c);
}

static void keep_rest(connection *c, const char *data, size_t length)
{
    if (length > MAX_CARRY) {
        drop(c);
        return;
    }
    if (length && !c->carry && !(c->carry = malloc(MAX_CARRY))) {
        drop(c);
        return;
    }
    if (length) {
        memmove(c->carry, data, length);
    }
    else {
        free(c->carry);
        c->carry = NULL;
    }
    c->carried = length;
}

static void consume(connection *c, const char *data, size_t length)
{
    size_t used = 0;

    while (used < length && !c->reply && !c->waiting) {
        size_t n = fast_parse(&c->request, data + used, length - used);

        used += n;
        if (c->request.broken) {
            drop(c);
            return;
        }
        if (c->request.complete && c->request.delay_ms) {
            timer_add(c);
        }
        else if (c->request.complete && !answer(c) && c->doomed) {
            return;
        }
        else if (!n) {
            break;
        }
    }
    if (used < length || c->carry) {
        keep_rest(c, data + used, length - used);
    }
}

static void readable(connection *c)
{
    ssize_t n;

    if (c->carried) {
        memcpy(read_buffer, c->carry, c->carried);
    }
    n = recv(c->fd, read_buffer + c->carried, READ_SIZE, 0);
    if (n > 0 && !c->waiting) {
        consume(c, read_buffer, c->carried + (size_t)n);
    }
    else if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
        /* The end, or a word (an abort) while the answer is still being waited for. */
        drop(c);
    }
}

static void accept_all(connection *listener)
{
    for (int i = 0; i < 64; i++) {
        int one = 1, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        connection *c;
        struct epoll_event ev = { .events = EPOLLIN };

        if (fd < 0) {
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c = calloc(1, sizeof(*c));
        if (!c) {
            close(fd);
            return;
        }
        c->fd = fd;
        c->events = EPOLLIN;
        fresh_request(&c->request);
        ev.data.ptr = c;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
            drop(c);
        }
    }
}

static void fire_timers(void)
{
    unsigned long now = timers_first ? now_ms() : 0;

    while (timers_first && timers_first->due <= now) {
        connection *c = timers_first;

        timer_remove(c);
        if (answer(c) && c->carried) {
            memcpy(read_buffer, c->carry, c->carried);
            consume(c, read_buffer, c->carried);
        }
    }
}

static int next_timeout(void)
{
    unsigned long now;

    if (!timers_first) {
        return -1;
    }
    now = now_ms();
    return timers_first->due > now ? (int)(timers_first->due - now) : 0;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        die("socket", path);
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || chmod(path, 0666) != 0) {
        die("socket", path);
    }
    return fd;
}

static int listen_tcp(const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0
        || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        die("port", port);
    }
    return fd;
}

static void add_listener(const char *address)
{
    connection *c = calloc(1, sizeof(*c));
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

    if (!c) {
        die("memory", "");
    }
    if (!strncmp(address, "unix:", 5)) {
        c->fd = listen_unix(address + 5);
    }
    else if (!strncmp(address, "tcp:", 4)) {
        c->fd = listen_tcp(address + 4);
    }
    else if (!strncmp(address, "fd:", 3)) {
        c->fd = atoi(address + 3);
    }
    else {
        errno = EINVAL;
        die("unix:PATH, tcp:PORT or fd:N wanted, not", address);
    }
    c->listener = 1;
    if (listen(c->fd, BACKLOG) != 0) {
        die("listen", address);
    }
    /* A listening descriptor from a process manager is shared: it must not block after a lost race for a connection. */
    if (fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK) != 0
        || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        die("epoll", address);
    }
}

static void handle(const struct epoll_event *ev)
{
    connection *c = ev->data.ptr;

    if (c->doomed) {
        return;
    }
    if (c->listener) {
        accept_all(c);
    }
    else if (c->reply) {
        if (write_reply(c) && c->carried) {
            memcpy(read_buffer, c->carry, c->carried);
            consume(c, read_buffer, c->carried);
        }
    }
    else {
        readable(c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (argc < 2) {
        add_listener("fd:0");
    }
    for (int i = 1; i < argc; i++) {
        add_listener(argv[i]);
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, next_timeout());

        for (int i = 0; i < n; i++) {
            handle(&events[i]);
        }
        fire_timers();
        reap_closed();
    }
}
