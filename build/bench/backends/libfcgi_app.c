/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

/* An ordinary program on libfcgi: N threads that each accept and answer (n= bytes after d= milliseconds). It reads its
 * environment and writes, as the examples of the library do, and does not touch an empty stdin.
 *
 *     libfcgi_app [THREADS [SOCKET]]          (one thread and descriptor 0 by default)
 */

#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_THREADS 256

static int listen_socket;

static unsigned long query_number(const char *query, const char *key, unsigned long otherwise)
{
    const char *p = query ? strstr(query, key) : NULL;

    return p ? strtoul(p + strlen(key), NULL, 10) : otherwise;
}

static void answer(FCGX_Request *request)
{
    static const char line[] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    const char *query = FCGX_GetParam("QUERY_STRING", request->envp);
    unsigned long bytes = query_number(query, "n=", 100), delay = query_number(query, "d=", 0);

    if (delay) {
        usleep((useconds_t)delay * 1000);
    }
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\nX-Process: %d\r\n\r\n", (int)getpid());
    while (bytes) {
        int n = bytes < sizeof(line) - 1 ? (int)bytes : (int)sizeof(line) - 1;

        FCGX_PutStr(line, n, request->out);
        bytes -= (unsigned long)n;
    }
}

static void *serve(void *unused)
{
    FCGX_Request request;

    (void)unused;
    FCGX_InitRequest(&request, listen_socket, 0);
    while (FCGX_Accept_r(&request) == 0) {
        answer(&request);
        FCGX_Finish_r(&request);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t thread;

    if (threads < 1 || threads > MAX_THREADS || FCGX_Init() != 0) {
        fprintf(stderr, "libfcgi_app: between 1 and %d threads\n", MAX_THREADS);
        return 1;
    }
    if (argc > 2) {
        listen_socket = FCGX_OpenSocket(argv[2], 4096);
        if (listen_socket < 0 || chmod(argv[2], 0666) != 0) {
            perror(argv[2]);
            return 1;
        }
    }
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&thread, NULL, serve, NULL) != 0) {
            perror("thread");
            return 1;
        }
    }
    serve(NULL);
    return 0;
}
