/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* A keep-alive load that forgives nothing and asks nothing twice, for the restart measurements and for large answers. C
 * connections ask without a pause until the time is over (or a TERM comes). Each gets one read of 64 KB in its turn: a client
 * that stays with a connection for as long as it is readable, as wrk does, measures its own preference and not the server's.
 * What goes wrong is sorted:
 *
 *   failed   a status other than 200, an answer cut short or malformed, a connection refused, or one that is closed before the
 *            first answer on it
 *   idle     a kept connection that the server closed before the first byte of the next answer: the race that HTTP/1.1 has by
 *            itself when a server ends an idle connection as the client asks again (RFC 9112, 9.3.1); a browser asks again
 *
 *     client_keepalive PORT /PATH CONNECTIONS BYTES SECONDS
 */

#include "client.h"

#include <signal.h>

#define TOOK_MAX 1000000

typedef struct client {
    int fd;
    int connecting;
    int answers; /* on this connection */
    double began;
    reader answer;
} client;

static volatile sig_atomic_t stopping;
static int epoll_fd, port;
static unsigned long expected, answers, failed, idle, connects, refused, cut, wrong, first_closed;
static double slowest;
static float took_ms[TOOK_MAX]; /* the first answers' */
static char question[1024];
static size_t question_length;

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static void open_one(client *c)
{
    struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };

    c->answers = 0;
    c->connecting = 1;
    c->began = now_s();
    c->fd = start_connect(port);
    connects++;
    if (c->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        perror("connect");
        exit(2);
    }
}

static void again(client *c)
{
    close(c->fd);
    open_one(c);
}

static void ask(client *c)
{
    reader_reset(&c->answer);
    c->began = now_s();
    if (send(c->fd, question, question_length, MSG_NOSIGNAL) == (ssize_t)question_length) {
        return;
    }
    /* On a kept connection the close came before the question; on a new one that is a failure. */
    if (c->answers) {
        idle++;
    }
    else {
        failed++;
        first_closed++;
    }
    again(c);
}

static void connected(client *c)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    int error = 0;
    socklen_t length = sizeof(error);

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        failed++;
        refused++;
        again(c);
        return;
    }
    c->connecting = 0;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
    ask(c);
}

static void ended(client *c)
{
    if (c->answer.state == IN_HEAD && !c->answer.head_length && c->answers) {
        idle++;
    }
    else {
        failed++;
        *(c->answer.head_length || c->answer.state != IN_HEAD ? &cut : &first_closed) += 1;
    }
    again(c);
}

static void hear(client *c)
{
    char buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);
    double took;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        ended(c);
        return;
    }
    reader_take(&c->answer, buffer, (size_t)n);
    if (c->answer.state < WHOLE) {
        return;
    }
    took = now_s() - c->began;
    slowest = took > slowest ? took : slowest;
    if (c->answer.state == BAD || c->answer.status != 200 || c->answer.body < expected) {
        failed++;
        wrong++;
        if (wrong <= 5) {
            fprintf(stderr, "wrong: status %d, %lu bytes\n", c->answer.status, c->answer.body);
        }
    }
    if (answers < TOOK_MAX) {
        took_ms[answers] = (float)(took * 1000);
    }
    answers++;
    c->answers++;
    if (c->answer.close || c->answer.state == BAD) {
        again(c);
    }
    else {
        ask(c);
    }
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

static void report(double seconds)
{
    unsigned long n = answers < TOOK_MAX ? answers : TOOK_MAX;

    qsort(took_ms, n, sizeof(took_ms[0]), compare_floats);
    printf("{\"answers\": %lu, \"failed\": %lu, \"idle\": %lu, \"refused\": %lu, \"cut\": %lu, \"wrong\": %lu, "
           "\"closed_at_first\": %lu, \"connects\": %lu, \"slowest_ms\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"seconds\": %.3f}\n",
           answers, failed, idle, refused, cut, wrong, first_closed, connects, slowest * 1000, n ? took_ms[n / 2] : 0,
           n ? took_ms[n * 99 / 100] : 0, seconds);
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    client *all;
    double began, end;
    int count;

    if (argc != 6) {
        fprintf(stderr, "client_keepalive PORT /PATH CONNECTIONS BYTES SECONDS\n");
        return 2;
    }
    raise_files();
    signal(SIGTERM, on_term);
    port = atoi(argv[1]);
    count = atoi(argv[3]);
    expected = strtoul(argv[4], NULL, 10);
    question_length =
        (size_t)snprintf(question, sizeof(question), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    all = calloc((size_t)count, sizeof(*all));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (count < 1 || !all || epoll_fd < 0 || question_length >= sizeof(question)) {
        fprintf(stderr, "client_keepalive: cannot start\n");
        return 2;
    }
    for (int i = 0; i < count; i++) {
        open_one(&all[i]);
    }
    began = now_s();
    for (end = began + atof(argv[5]); !stopping && now_s() < end;) {
        int n = epoll_wait(epoll_fd, events, 256, 100);

        for (int i = 0; i < n; i++) {
            client *c = events[i].data.ptr;

            if (c->connecting) {
                connected(c);
            }
            else {
                hear(c);
            }
        }
    }
    end = now_s();
    /* Questions that are still unanswered after a while are failures too: nothing may hang. */
    for (int i = 0; i < count; i++) {
        if (end - all[i].began > 10) {
            failed++;
            fprintf(stderr, "unanswered for %.1f s\n", end - all[i].began);
        }
    }
    report(end - began);
    free(all);
    return failed ? 1 : 0;
}
