/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A picture of the groups, every second. Rates come from the difference between two pictures; the mean time of a request
 * from Little's law: requests under way divided by requests a second. As JSON an object for each picture, a line each. */
#include "ctl.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NAMES 1024

typedef struct row {
    char name[192], state[16], why[96];
    int processes, starting, max, busy, waiting;
    long long requests, ended;
    long rss;
} row;

typedef struct picture {
    row rows[NAMES];
    int n;
    double at;
    char manager[96];
} picture;

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void take_group(picture *p, const procd_ctl_pair *pairs, int n)
{
    row *r = &p->rows[p->n++];

    memset(r, 0, sizeof(*r));
    snprintf(r->name, sizeof(r->name), "%s", procd_ctl_value(pairs, n, "name"));
    snprintf(r->state, sizeof(r->state), "%s", procd_ctl_value(pairs, n, "state"));
    snprintf(r->why, sizeof(r->why), "%s", procd_ctl_value(pairs, n, "why"));
    r->processes = atoi(procd_ctl_value(pairs, n, "processes"));
    r->starting = atoi(procd_ctl_value(pairs, n, "starting"));
    r->max = atoi(procd_ctl_value(pairs, n, "max"));
    r->busy = atoi(procd_ctl_value(pairs, n, "busy"));
    r->waiting = atoi(procd_ctl_value(pairs, n, "waiting"));
    r->requests = atoll(procd_ctl_value(pairs, n, "requests"));
    r->ended = atoll(procd_ctl_value(pairs, n, "ended"));
}

static int take(ctl_channel *c, picture *p)
{
    static const char *const words[] = { "status" };
    procd_ctl_pair pairs[CTL_PAIRS];
    char *text = NULL, *at;
    int n, rc = ctl_connect(c);

    if (rc != CTL_OK) {
        return rc;
    }
    rc = ctl_ask(c, 1, words, &text);
    close(c->fd);
    p->n = 0;
    p->at = now();
    for (at = text; rc == CTL_OK && at && (n = procd_ctl_next(&at, pairs, CTL_PAIRS)) > 0;) {
        if (strcmp(pairs[0].key, "manager") == 0) {
            snprintf(p->manager, sizeof(p->manager), "manager %s, generation %s, %s processes",
                     procd_ctl_value(pairs, n, "pid"), procd_ctl_value(pairs, n, "generation"),
                     procd_ctl_value(pairs, n, "processes"));
        }
        else if (strcmp(pairs[0].key, "group") == 0 && p->n < NAMES) {
            take_group(p, pairs, n);
        }
        else if (strcmp(pairs[0].key, "process") == 0 && p->n > 0) {
            p->rows[p->n - 1].rss += atol(procd_ctl_value(pairs, n, "rss"));
        }
    }
    free(text);
    return rc;
}

static const row *find(const picture *p, const char *name)
{
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->rows[i].name, name) == 0) {
            return &p->rows[i];
        }
    }
    return NULL;
}

static int busiest_first(const void *a, const void *b)
{
    const row *x = a, *y = b;
    int load = y->busy + y->waiting - x->busy - x->waiting;

    return load ? load : strcmp(x->name, y->name);
}

/* Requests a second. */
static double rate_of(const row *r, const row *before, double span)
{
    return before && span > 0 && r->requests > before->requests ? (double)(r->requests - before->requests) / span : 0;
}

/* Milliseconds. */
static double mean_of(const row *r, const row *before, double rate)
{
    return rate > 0 ? (r->busy + before->busy) / 2.0 / rate * 1000 : 0;
}

static void print_row(const row *r, const row *before, double span)
{
    double rate = rate_of(r, before, span);
    char mean[16] = "-", pictures[16];

    if (rate > 0) {
        snprintf(mean, sizeof(mean), "%.0f", mean_of(r, before, rate));
    }
    snprintf(pictures, sizeof(pictures), "%d+%d/%d", r->processes, r->starting, r->max);
    printf("%-20.20s %-8s %9s %5d %5d %8.1f %8s %7.1f %6lld  %.40s\n", r->name, r->state, pictures, r->busy, r->waiting,
           rate, mean, (double)r->rss / 1024, r->ended, r->why);
}

static void print(picture *p, const picture *before, int lines)
{
    qsort(p->rows, (size_t)p->n, sizeof(row), busiest_first);
    printf("%s\n\n%-20s %-8s %9s %5s %5s %8s %8s %7s %6s  %s\n", p->manager, "GROUP", "STATE", "PROCS", "BUSY", "WAIT",
           "REQ/S", "MEAN MS", "RSS MB", "ENDED", "LAST TROUBLE");
    for (int i = 0; i < p->n && i < lines; i++) {
        print_row(&p->rows[i], before->n ? find(before, p->rows[i].name) : NULL, p->at - before->at);
    }
    fflush(stdout);
}

static void print_member(const char *key, const char *text)
{
    printf("\"%s\":", key);
    ctl_json_string(text, strlen(text));
}

static void print_json(picture *p, const picture *before)
{
    qsort(p->rows, (size_t)p->n, sizeof(row), busiest_first);
    fputs("{\"groups\":[", stdout);
    for (int i = 0; i < p->n; i++) {
        const row *r = &p->rows[i], *was = before->n ? find(before, r->name) : NULL;
        double rate = rate_of(r, was, p->at - before->at);

        fputs(i ? ",{" : "{", stdout);
        print_member("name", r->name);
        putchar(',');
        print_member("state", r->state);
        printf(",\"processes\":%d,\"starting\":%d,\"max\":%d,\"busy\":%d,\"waiting\":%d", r->processes, r->starting,
               r->max, r->busy, r->waiting);
        printf(",\"requests\":%lld,\"requests_per_second\":%.1f,\"mean_ms\":%.1f,\"rss\":%ld,\"ended\":%lld,",
               r->requests, rate, mean_of(r, was, rate), r->rss, r->ended);
        print_member("why", r->why);
        putchar('}');
    }
    puts("]}");
    fflush(stdout);
}

/* @return 1: the user wants to leave, or has left */
static int pause_or_key(double seconds, int terminal)
{
    struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
    char key = 0;

    if (poll(&in, terminal ? 1 : 0, (int)(seconds * 1000)) > 0) {
        return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
    }
    return 0;
}

int ctl_top(ctl_channel *c, double seconds, int count)
{
    picture *now_is = calloc(1, sizeof(*now_is)), *before = calloc(1, sizeof(*before));
    int terminal = !c->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), rc = CTL_OK;
    struct termios was, raw;
    struct winsize size = { .ws_row = 0 };

    if (!now_is || !before) {
        free(now_is);
        free(before);
        return CTL_REFUSED;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    terminal = terminal && tcgetattr(STDIN_FILENO, &was) == 0;
    if (terminal) {
        raw = was;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    for (int i = 0; !stop && (count == 0 || i < count); i++) {
        if ((i && pause_or_key(seconds, terminal)) || stop || (rc = take(c, now_is)) != CTL_OK) {
            break;
        }
        if (terminal) {
            fputs("\033[H\033[J", stdout);
            ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        }
        if (c->json) {
            print_json(now_is, before);
        }
        else {
            print(now_is, before, size.ws_row > 5 ? size.ws_row - 4 : NAMES);
        }
        *before = *now_is;
    }
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &was);
    }
    free(now_is);
    free(before);
    return rc;
}
