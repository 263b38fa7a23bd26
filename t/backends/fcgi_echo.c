/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * A FastCGI application on libfcgi for the tests. It listens on descriptor 0 (as a spawner hands it over), or on -l
 * ADDRESS (":port", "host:port" or a path). -t N threads, -i ID.
 *
 * It answers with a text of NAME=value lines: its own facts as "app.*" (pid, id, uid, gid, body, crc, ...), then every
 * variable. The query string chooses another behaviour, words joined by '&':
 *   status=N          Status: N            type=T         Content-Type: T
 *   header=N:V        another field (V is percent-decoded)
 *   bytes=N           a body of N bytes of a known pattern instead       cl=N  Content-Length: N
 *   sleep=MS          before the head      pause=MS       between head and body (flushed)
 *   stderr=TEXT       to FCGI_STDERR       print=TEXT     to the process's standard error
 *   exit=N            exit before the answer               die=N         exit in the middle of the body
 *   kill=N            raise signal N       app=N           appStatus
 *   noread            do not read the body
 *   grow=MB           keep so much more memory           spin=MS         use so much processor time
 */
#include <errno.h>
#include <fcgiapp.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"

static const char *opt_id = "-";
static int opt_sock = 0;
static volatile sig_atomic_t got_signal;
static long served;

/* A leak, and work. */
static void wear(long megabytes, long ms)
{
    clock_t until = clock() + ms * (CLOCKS_PER_SEC / 1000);
    char *leak = megabytes > 0 ? malloc((size_t)megabytes << 20) : NULL;

    if (leak) {
        memset(leak, 1, (size_t)megabytes << 20);
        __asm__ volatile("" : : "r"(leak) : "memory"); /* it is used, as far as the compiler knows */
    }
    while (clock() < until) {
    }
}

/* The pattern of a generated body: byte i is 'a' + i % 23. */
static void put_pattern(FCGX_Stream *out, long bytes, long die_at)
{
    char block[23 * 1024];
    long at = 0;

    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (char)('a' + i % 23);
    }
    while (at < bytes) {
        long n = bytes - at < (long)sizeof(block) ? bytes - at : (long)sizeof(block);

        if (die_at >= 0 && at + n > die_at) {
            FCGX_FFlush(out);
            _exit(3);
        }
        if (FCGX_PutStr(block, (int)n, out) < 0) {
            return;
        }
        at += n;
    }
}

static void put_head(FCGX_Request *r, const char *query)
{
    char buf[4096];
    const char *v;

    if ((v = arg(query, "status", buf, sizeof(buf)))) {
        FCGX_FPrintF(r->out, "Status: %s\r\n", v);
    }
    if ((v = arg(query, "location", buf, sizeof(buf)))) {
        FCGX_FPrintF(r->out, "Location: %s\r\n", v);
    }
    for (const char *p = query; p && (p = strstr(p, "header=")) != NULL; p++) {
        if ((p == query || p[-1] == '&') && (v = arg(p, "header", buf, sizeof(buf)))) {
            FCGX_FPrintF(r->out, "%s\r\n", v);
        }
    }
    if ((v = arg(query, "cl", buf, sizeof(buf)))) {
        FCGX_FPrintF(r->out, "Content-Length: %s\r\n", v);
    }
    v = arg(query, "type", buf, sizeof(buf));
    FCGX_FPrintF(r->out, "Content-Type: %s\r\n\r\n", v ? v : "text/plain");
}

static void put_facts(FCGX_Request *r, long long body, uint32_t crc)
{
    gid_t groups[64];
    int n = getgroups(64, groups);
    mode_t mask = umask(022);
    char dir[1024];

    umask(mask);
    FCGX_FPrintF(r->out, "app.pid=%d\napp.id=%s\napp.uid=%d\napp.gid=%d\napp.groups=", (int)getpid(), opt_id,
                 (int)getuid(), (int)getgid());
    for (int i = 0; i < n; i++) {
        FCGX_FPrintF(r->out, i ? ",%d" : "%d", (int)groups[i]);
    }
    FCGX_FPrintF(r->out, "\napp.umask=%03o\napp.cwd=%s\napp.served=%ld\napp.body=%lld\napp.crc=%08x\n", (int)mask,
                 getcwd(dir, sizeof(dir)) ? dir : "?", served, body, (unsigned)(crc ^ 0xFFFFFFFFu));
    for (char **e = environ; *e; e++) {
        FCGX_FPrintF(r->out, "env.%s\n", *e);
    }
    for (char **e = r->envp; *e; e++) {
        FCGX_FPrintF(r->out, "%s\n", *e);
    }
}

static void answer(FCGX_Request *r)
{
    const char *query = FCGX_GetParam("QUERY_STRING", r->envp);
    char buf[8192], block[65536];
    uint32_t crc = 0xFFFFFFFFu;
    long long body = 0;
    const char *v;
    int n;

    __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED);
    wear(number(query, "grow", 0), number(query, "spin", 0));
    if (number(query, "exit", -1) >= 0) {
        _exit((int)number(query, "exit", 0));
    }
    if (number(query, "kill", 0)) {
        raise((int)number(query, "kill", 0));
    }
    if (!arg(query, "noread", buf, sizeof(buf))) {
        while ((n = FCGX_GetStr(block, sizeof(block), r->in)) > 0) {
            crc = crc_add(crc, block, (size_t)n);
            body += n;
        }
    }
    if ((v = arg(query, "print", buf, sizeof(buf)))) {
        fprintf(stderr, "%s\n", v);
        fflush(stderr);
    }
    if ((v = arg(query, "stderr", buf, sizeof(buf)))) {
        FCGX_FPrintF(r->err, "%s\n", v);
    }
    pause_ms(number(query, "sleep", 0));
    put_head(r, query);
    if (number(query, "pause", 0)) {
        FCGX_FFlush(r->out);
        pause_ms(number(query, "pause", 0));
    }
    if (number(query, "bytes", -1) >= 0) {
        put_pattern(r->out, number(query, "bytes", 0), number(query, "die", -1));
    }
    else {
        put_facts(r, body, crc);
    }
    FCGX_SetExitStatus((int)number(query, "app", 0), r->out);
}

static void *serve(void *unused)
{
    FCGX_Request r;

    (void)unused;
    FCGX_InitRequest(&r, opt_sock, FCGI_FAIL_ACCEPT_ON_INTR);
    while (!got_signal && FCGX_Accept_r(&r) >= 0) {
        answer(&r);
        FCGX_Finish_r(&r);
    }
    return NULL;
}

static void on_signal(int sig)
{
    char text[] = "fcgi_echo: got signal 00\n";

    got_signal = sig;
    text[sizeof(text) - 4] = (char)('0' + sig / 10 % 10);
    text[sizeof(text) - 3] = (char)('0' + sig % 10);
    if (write(2, text, sizeof(text) - 1) < 0) {
        _exit(1);
    }
    FCGX_ShutdownPending();
}

int main(int argc, char **argv)
{
    struct sigaction sa = { .sa_handler = on_signal };
    int c, threads = 1, ignored = 0;

    while ((c = getopt(argc, argv, "l:t:i:s:w:h:")) != -1) {
        switch (c) {
        case 'l':
            umask(0);
            opt_sock = FCGX_OpenSocket(optarg, 128);
            break;
        case 't': threads = atoi(optarg); break;
        case 'i': opt_id = optarg; break;
        case 's': /* say something before the first accept */ fprintf(stderr, "%s\n", optarg); break;
        case 'w': /* take so many milliseconds to start */ pause_ms(atol(optarg)); break;
        case 'h': /* ignore this signal */ ignored = atoi(optarg); break;
        default: return 2;
        }
    }
    for (const int *s = (const int[]){ SIGTERM, SIGUSR1, SIGINT, 0 }; *s; s++) {
        struct sigaction old;

        if (sigaction(*s, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(*s, &sa, NULL);
        }
    }
    if (opt_sock < 0) {
        perror("listen");
        return 1;
    }
    crc_init();
    FCGX_Init();
    if (ignored) {
        signal(ignored, SIG_IGN); /* only now: the library has just put a handler of its own on SIGTERM */
    }
    for (int i = 1; i < threads; i++) {
        pthread_t t;

        pthread_create(&t, NULL, serve, NULL);
    }
    serve(NULL);
    return 0;
}
