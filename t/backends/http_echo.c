/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * An HTTP/1.1 server for the tests, a thread for each connection. It listens on descriptor 0 when that is a listening
 * socket, or on -l PORT or -l /path. -i ID; -m N serves at most N requests at once (the rest wait in accept order);
 * -k 0 closes after each answer; -f FILE gets a line "accept" for each connection and "request N-at-once" for each request.
 *
 * The answer is a text: "app.*" facts, then the request line and every field as received. Words of the query string:
 *   bytes=N sleep=MS status=N chunked close cl=N die=N exit=N print=TEXT noread drip=MS (pause between blocks)
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"

typedef struct conn {
    int fd;
    char in[65536];
    size_t at, len;
} conn;

static const char *opt_id = "-";
static int opt_keep = 1, opt_max = 0;
static FILE *opt_file;
static int busy, most_busy;
static long requests, connections;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;

static int put(conn *c, const char *p, size_t n)
{
    while (n) {
        ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);

        if (w <= 0) {
            return -1;
        }
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static int fill(conn *c)
{
    ssize_t n;

    if (c->at > 0) {
        memmove(c->in, c->in + c->at, c->len - c->at);
        c->len -= c->at;
        c->at = 0;
    }
    if (c->len == sizeof(c->in) - 1) {
        return -1;
    }
    n = recv(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len, 0);
    if (n <= 0) {
        return -1;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    return 0;
}

/* A line without its end, in place; NULL at the end of the connection. */
static char *get_line(conn *c)
{
    for (;;) {
        char *line = c->in + c->at;
        char *nl = memchr(line, '\n', c->len - c->at);

        if (nl) {
            c->at = (size_t)(nl - c->in) + 1;
            *nl = '\0';
            if (nl > line && nl[-1] == '\r') {
                nl[-1] = '\0';
            }
            return line;
        }
        if (fill(c)) {
            return NULL;
        }
    }
}

static int take(conn *c, long long n, uint32_t *crc)
{
    while (n > 0) {
        size_t have = c->len - c->at;

        if (have == 0) {
            if (fill(c)) {
                return -1;
            }
            continue;
        }
        if ((long long)have > n) {
            have = (size_t)n;
        }
        *crc = crc_add(*crc, c->in + c->at, have);
        c->at += have;
        n -= (long long)have;
    }
    return 0;
}

typedef struct request {
    char *method, *target, *query;
    char *text;
    size_t text_len, text_cap;
    long long body, length;
    uint32_t crc;
    int chunked, close, expect;
    int inside; /* counted as busy */
} request;

static void enter(request *r)
{
    pthread_mutex_lock(&lock);
    r->inside = 1;
    while (opt_max && busy >= opt_max) {
        pthread_cond_wait(&room, &lock);
    }
    requests++;
    if (++busy > most_busy) {
        most_busy = busy;
    }
    if (opt_file) {
        fprintf(opt_file, "request %d\n", busy);
        fflush(opt_file);
    }
    pthread_mutex_unlock(&lock);
}

/* Before the last bytes of the answer are written: the next request may follow them at once. */
static void leave(request *r)
{
    pthread_mutex_lock(&lock);
    busy -= r->inside;
    r->inside = 0;
    pthread_cond_signal(&room);
    pthread_mutex_unlock(&lock);
}

static void note(request *r, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (r->text_len + (size_t)n + 1 > r->text_cap) {
        r->text_cap = (r->text_len + (size_t)n + 1) * 2;
        r->text = realloc(r->text, r->text_cap);
    }
    va_start(ap, fmt);
    vsnprintf(r->text + r->text_len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    r->text_len += (size_t)n;
}

static int read_head(conn *c, request *r)
{
    char *line = get_line(c);
    char *sp;

    if (!line) {
        return -1;
    }
    note(r, "line=%s\n", line);
    sp = strchr(line, ' ');
    if (!sp) {
        return -1;
    }
    r->method = strndup(line, (size_t)(sp - line));
    r->target = strdup(sp + 1);
    r->target[strcspn(r->target, " ")] = '\0';
    r->query = strchr(r->target, '?');
    r->query = r->query ? r->query + 1 : r->target + strlen(r->target);
    while ((line = get_line(c)) && *line) {
        note(r, "%s\n", line);
        if (!strncasecmp(line, "Content-Length:", 15)) {
            r->length = atoll(line + 15);
        }
        else if (!strncasecmp(line, "Transfer-Encoding:", 18)) {
            r->chunked = strstr(line, "chunked") != NULL;
        }
        else if (!strncasecmp(line, "Connection:", 11)) {
            r->close = strcasestr(line, "close") != NULL;
        }
        else if (!strncasecmp(line, "Expect:", 7)) {
            r->expect = 1;
        }
    }
    return line ? 0 : -1;
}

static int read_body(conn *c, request *r)
{
    char *line;
    long long n;

    if (r->expect && put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25)) {
        return -1;
    }
    if (!r->chunked) {
        r->body = r->length;
        return take(c, r->length, &r->crc);
    }
    while ((line = get_line(c)) && (n = strtoll(line, NULL, 16)) > 0) {
        if (take(c, n, &r->crc) || !get_line(c)) {
            return -1;
        }
        r->body += n;
    }
    while (line && (line = get_line(c)) && *line) {
        note(r, "trailer.%s\n", line);
    }
    return line ? 0 : -1;
}

static int put_body(conn *c, request *r, const char *text, long long len, int chunked)
{
    static char block[23 * 2048];
    long die_at = number(r->query, "die", -1), drip = number(r->query, "drip", 0);
    long long at = 0;
    char head[32];

    if (!text && !block[0]) {
        for (size_t i = 0; i < sizeof(block); i++) {
            block[i] = (char)('a' + i % 23);
        }
    }
    while (at < len) {
        long long n = len - at;

        if (!text && n > (long long)sizeof(block)) {
            n = sizeof(block);
        }
        if (die_at >= 0 && at + n > die_at) {
            return -1;
        }
        if (!chunked && at + n == len) {
            leave(r);
        }
        if (chunked && put(c, head, (size_t)snprintf(head, sizeof(head), "%llx\r\n", (unsigned long long)n))) {
            return -1;
        }
        if (put(c, text ? text + at : block, (size_t)n) || (chunked && put(c, "\r\n", 2))) {
            return -1;
        }
        at += n;
        pause_ms(drip);
    }
    leave(r);
    return chunked ? put(c, "0\r\n\r\n", 5) : 0;
}

static int answer(conn *c, request *r)
{
    long bytes = number(r->query, "bytes", -1);
    long status = number(r->query, "status", 200);
    char buf[256], head[512];
    int chunked = arg(r->query, "chunked", buf, sizeof(buf)) != NULL;
    int bare = !strcmp(r->method, "HEAD") || status == 204 || status == 304;
    int n;

    if (number(r->query, "exit", -1) >= 0) {
        _exit((int)number(r->query, "exit", 0));
    }
    if (arg(r->query, "print", buf, sizeof(buf))) {
        fprintf(stderr, "%s\n", buf);
    }
    if (arg(r->query, "close", buf, sizeof(buf)) || !opt_keep) {
        r->close = 1;
    }
    pause_ms(number(r->query, "sleep", 0));
    note(r,
         "app.pid=%d\napp.id=%s\napp.uid=%d\napp.body=%lld\napp.crc=%08x\napp.requests=%ld\napp.connections=%ld\n"
         "app.most_busy=%d\n",
         (int)getpid(), opt_id, (int)getuid(), r->body, (unsigned)(r->crc ^ 0xFFFFFFFFu), requests, connections,
         most_busy);
    n = snprintf(head, sizeof(head), "HTTP/1.1 %ld %s\r\nContent-Type: text/plain\r\nX-App: %s\r\n", status,
                 status == 200 ? "OK" : "Some", opt_id);
    if (chunked) {
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Transfer-Encoding: chunked\r\n");
    }
    else {
        long long len = bytes >= 0 ? bytes : (long long)r->text_len;

        n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %lld\r\n",
                      (long long)number(r->query, "cl", (long)len));
    }
    n += snprintf(head + n, sizeof(head) - (size_t)n, "%s\r\n", r->close ? "Connection: close\r\n" : "");
    if (bare || (bytes == 0 && !chunked)) {
        leave(r);
    }
    if (put(c, head, (size_t)n)) {
        return -1;
    }
    if (bare) {
        return 0;
    }
    return put_body(c, r, bytes >= 0 ? NULL : r->text, bytes >= 0 ? bytes : (long long)r->text_len, chunked);
}

static int exchange(conn *c)
{
    request r = { .crc = 0xFFFFFFFFu };
    char buf[8];
    int rc = read_head(c, &r);

    if (rc == 0) {
        enter(&r);
        if (!arg(r.query, "noread", buf, sizeof(buf))) {
            rc = read_body(c, &r);
        }
        rc = rc ? rc : answer(c, &r);
        leave(&r);
        rc = rc ? rc : r.close;
    }
    free(r.method);
    free(r.target);
    free(r.text);
    return rc;
}

static void *serve(void *p)
{
    conn *c = p;

    while (exchange(c) == 0) {
    }
    shutdown(c->fd, SHUT_WR);
    close(c->fd);
    free(c);
    return NULL;
}

static int listen_on(const char *where)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct sockaddr_in in = { .sin_family = AF_INET };
    int fd, one = 1, rc;

    if (*where == '/') {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", where);
        unlink(where);
        rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
    }
    else {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        in.sin_port = htons((unsigned short)atoi(where));
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        rc = bind(fd, (struct sockaddr *)&in, sizeof(in));
    }
    if (rc || listen(fd, 1024)) {
        perror(where);
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    pthread_attr_t attr;
    int c, fd = 0;

    while ((c = getopt(argc, argv, "l:i:m:k:f:")) != -1) {
        switch (c) {
        case 'l': fd = listen_on(optarg); break;
        case 'i': opt_id = optarg; break;
        case 'm': opt_max = atoi(optarg); break;
        case 'k': opt_keep = atoi(optarg); break;
        case 'f': opt_file = fopen(optarg, "a"); break;
        default: return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    crc_init();
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        conn *k = calloc(1, sizeof(*k));
        pthread_t t;
        int one = 1;

        k->fd = accept(fd, NULL, NULL);
        if (k->fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) {
                free(k);
                continue;
            }
            perror("accept");
            return 1;
        }
        setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        pthread_mutex_lock(&lock);
        connections++;
        if (opt_file) {
            fprintf(opt_file, "accept\n");
            fflush(opt_file);
        }
        pthread_mutex_unlock(&lock);
        if (pthread_create(&t, &attr, serve, k)) {
            close(k->fd);
            free(k);
        }
    }
}
