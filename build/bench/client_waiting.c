/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* N clients that ask once and wait: each has its own connection and its own clock, from connect to the last byte. They come
 * spread evenly over RAMP_SECONDS; 0: as fast as they are taken. A bounded number is on its way, so that the listener's backlog
 * is not what is measured. A thread asks meanwhile for another path, each time on a new connection. At the end one line of JSON;
 * moments are CLOCK_MONOTONIC's.
 *
 *     client_waiting PORT /PATH CLIENTS BYTES LIMIT_SECONDS RAMP_SECONDS [/MEANWHILE]
 */

#include "client.h"

#include <pthread.h>
#include <stdatomic.h>

#define ON_THEIR_WAY 128
#define MEANWHILE_MAX 8192
#define MEANWHILE_EVERY_MS 10

typedef struct client {
    int fd;
    int asked;
    double began;
    double took;
    reader answer;
} client;

static int epoll_fd, port, clients, opened, pending, in_flight, answered, good, refused, cut, wrong;
static unsigned long expected;
static char question[1024];
static size_t question_length;
static double last_asked, first_answer;

static struct {
    const char *path;
    int n, failed;
    struct {
        double at, took;
    } asks[MEANWHILE_MAX];
    atomic_int enough;
} meanwhile;

static void finish(client *c)
{
    if (!c->asked) {
        pending--;
    }
    else {
        in_flight--;
    }
    c->took = now_s() - c->began;
    close(c->fd);
    c->fd = -1;
    answered++;
}

static void open_one(client *c)
{
    struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };

    opened++;
    c->began = now_s();
    c->fd = start_connect(port);
    if (c->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        refused++;
        answered++;
        return;
    }
    pending++;
}

static void ask(client *c)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

    if (send(c->fd, question, question_length, MSG_NOSIGNAL) != (ssize_t)question_length) {
        refused++;
        finish(c);
        return;
    }
    c->asked = 1;
    last_asked = now_s();
    pending--;
    in_flight++;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void hear(client *c)
{
    char buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (!first_answer) {
        first_answer = now_s();
    }
    if (n > 0) {
        reader_take(&c->answer, buffer, (size_t)n);
    }
    if (n > 0 && c->answer.state < WHOLE) {
        return;
    }
    if (c->answer.state != WHOLE) {
        cut++;
    }
    else if (c->answer.status != 200 || c->answer.body < expected) {
        wrong++;
    }
    else {
        good++;
    }
    finish(c);
}

/* ------------------------------------------------------------------ the thread that asks for something else */

static int ask_meanwhile(void)
{
    static reader answer;
    static char buffer[65536];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    struct timeval limit = { 30, 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    if (fd < 0) {
        return 0;
    }
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    n = snprintf(buffer, sizeof(buffer), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                 meanwhile.path);
    reader_reset(&answer);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n) {
        while (answer.state < WHOLE && (n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
            reader_take(&answer, buffer, (size_t)n);
        }
    }
    close(fd);
    return answer.state == WHOLE && answer.status > 0;
}

static void *ask_on(void *unused)
{
    struct timespec pause = { 0, MEANWHILE_EVERY_MS * 1000000L };

    (void)unused;
    while (!atomic_load(&meanwhile.enough) && meanwhile.n < MEANWHILE_MAX) {
        double at = now_s();

        if (ask_meanwhile()) {
            meanwhile.asks[meanwhile.n].at = at;
            meanwhile.asks[meanwhile.n++].took = now_s() - at;
        }
        else {
            meanwhile.failed++;
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void report(client *all)
{
    double *took = calloc((size_t)clients, sizeof(double));
    int n = 0;

    for (int i = 0; took && i < clients; i++) {
        if (all[i].took > 0) {
            took[n++] = all[i].took * 1000;
        }
    }
    if (n) {
        qsort(took, (size_t)n, sizeof(double), compare_doubles);
    }
    printf("{\"clients\": %d, \"good\": %d, \"refused\": %d, \"cut\": %d, \"wrong\": %d, \"unanswered\": %d, "
           "\"median_ms\": %.0f, \"p99_ms\": %.0f, \"slowest_ms\": %.0f, \"last_asked\": %.4f, \"first_answer\": %.4f, "
           "\"static_failed\": %d, \"static\": [",
           clients, good, refused, cut, wrong, clients - answered, n ? took[n / 2] : 0, n ? took[n * 99 / 100] : 0,
           n ? took[n - 1] : 0, last_asked, first_answer, meanwhile.failed);
    for (int i = 0; i < meanwhile.n; i++) {
        printf("%s[%.4f, %.5f]", i ? ", " : "", meanwhile.asks[i].at, meanwhile.asks[i].took);
    }
    printf("]}\n");
    free(took);
}

/* How many may have come by now. */
static int due(double began, double ramp)
{
    double gone = now_s() - began;

    return ramp > 0 && gone < ramp ? (int)(clients * (gone / ramp)) : clients;
}

static void run(client *all, double limit, double ramp)
{
    struct epoll_event events[256];
    double began = now_s();

    while (answered < clients && now_s() < began + limit) {
        int may = due(began, ramp);

        while (opened < may && pending < ON_THEIR_WAY) {
            open_one(&all[opened]);
        }
        int n = epoll_wait(epoll_fd, events, 256, opened < clients ? 1 : 100);

        for (int i = 0; i < n; i++) {
            client *c = events[i].data.ptr;

            if (c->asked) {
                hear(c);
            }
            else {
                ask(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    client *all;

    if (argc != 7 && argc != 8) {
        fprintf(stderr, "client_waiting PORT /PATH CLIENTS BYTES LIMIT_SECONDS RAMP_SECONDS [/MEANWHILE]\n");
        return 2;
    }
    raise_files();
    port = atoi(argv[1]);
    clients = atoi(argv[3]);
    expected = strtoul(argv[4], NULL, 10);
    meanwhile.path = argv[7];
    question_length =
        (size_t)snprintf(question, sizeof(question), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    all = calloc((size_t)clients, sizeof(*all));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (clients < 1 || !all || epoll_fd < 0 || question_length >= sizeof(question)
        || (meanwhile.path && pthread_create(&thread, NULL, ask_on, NULL))) {
        fprintf(stderr, "client_waiting: cannot start\n");
        return 2;
    }
    run(all, atof(argv[5]), atof(argv[6]));
    if (meanwhile.path) {
        atomic_store(&meanwhile.enough, 1);
        pthread_join(thread, NULL);
    }
    report(all);
    free(all);
    return good == clients ? 0 : 1;
}
