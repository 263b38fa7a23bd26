/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

/* What the two load clients share: a nonblocking connect and a strict enough reader of one HTTP/1.1 answer. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 4096

typedef enum { IN_HEAD, IN_LENGTH, IN_CHUNKED, TO_END, WHOLE, BAD } reader_state;

typedef struct reader {
    reader_state state;
    int status;
    int close;
    unsigned long body; /* bytes seen, framing included where chunked */
    unsigned long left; /* of the Content-Length */
    size_t head_length;
    char tail[5];        /* the last bytes of a chunked body */
    char head[HEAD_MAX]; /* last, so that a reset clears little */
} reader;

static inline double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void raise_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static inline int start_connect(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void reader_reset(reader *r)
{
    memset(r, 0, offsetof(reader, head));
}

static inline const char *reader_field(const reader *r, const char *name)
{
    const char *p = strcasestr(r->head, name);

    return p ? p + strlen(name) : NULL;
}

static inline void reader_head_done(reader *r)
{
    const char *value;

    r->status = strncmp(r->head, "HTTP/1.1 ", 9) == 0 ? atoi(r->head + 9) : 0;
    r->close = (value = reader_field(r, "\nConnection: ")) != NULL && !strncasecmp(value, "close", 5);
    if ((value = reader_field(r, "\nContent-Length: ")) != NULL) {
        r->left = strtoul(value, NULL, 10);
        r->state = r->left ? IN_LENGTH : WHOLE;
    }
    else {
        r->state = reader_field(r, "\nTransfer-Encoding: chunked") ? IN_CHUNKED : TO_END;
    }
    if (!r->status) {
        r->state = BAD;
    }
}

static inline void reader_chunked(reader *r, const char *p, size_t n)
{
    size_t keep = n < 5 ? 5 - n : 0, take = n < 5 ? n : 5;

    /* The bodies of the benchmark hold no line feed, so the last chunk is the only place where this can stand. */
    memmove(r->tail, r->tail + 5 - keep, keep);
    memcpy(r->tail + keep, p + n - take, take);
    if (!memcmp(r->tail, "0\r\n\r\n", 5)) {
        r->state = WHOLE;
    }
}

/* Takes bytes of the answer; they must not go past its end, as nothing is pipelined. */
static inline void reader_take(reader *r, const char *p, size_t n)
{
    if (r->state == IN_HEAD) {
        size_t take = n < HEAD_MAX - 1 - r->head_length ? n : HEAD_MAX - 1 - r->head_length;
        char *end;

        memcpy(r->head + r->head_length, p, take);
        r->head[r->head_length + take] = '\0';
        if (!(end = strstr(r->head, "\r\n\r\n"))) {
            r->head_length += take;
            r->state = take < n ? BAD : IN_HEAD;
            return;
        }
        take = (size_t)(end + 4 - r->head) - r->head_length;
        end[2] = '\0';
        p += take;
        n -= take;
        reader_head_done(r);
    }
    r->body += n;
    if (r->state == IN_LENGTH) {
        r->left -= n < r->left ? n : r->left;
        r->state = r->left ? IN_LENGTH : WHOLE;
    }
    else if (r->state == IN_CHUNKED && n) {
        reader_chunked(r, p, n);
    }
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

#endif
