/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Closing what a child of httpd has sent and should not have. close(2) may wait for as long as the sender likes: for the other
 * end of a connection (SO_LINGER), or for the program behind a file system of the sender's own (FUSE). A thread waits for
 * it. There are a few of these at most, and while they are all at it no descriptor is taken from anybody. */
#include "procd_wire.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#define THREADS_MOST 32
#define STACK_SIZE ((size_t)64 * 1024)

static atomic_int threads;

static void *close_it(void *fd)
{
    close((int)(intptr_t)fd);
    atomic_fetch_sub(&threads, 1);
    return NULL;
}

static int start_thread(int fd)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t t;
    int rc;

    if (pthread_attr_init(&attr) != 0) {
        return -1;
    }
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&t, &attr, close_it, (void *)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc ? -1 : 0;
}

int procd_close_is_busy(void)
{
    return atomic_load(&threads) >= THREADS_MOST;
}

/* A pipe or memory: what is expected. Nobody is asked for that, as fstat(2) might do. */
static int closes_at_once(int fd)
{
    return fcntl(fd, F_GETPIPE_SZ) != -1 || fcntl(fd, F_GET_SEALS) != -1;
}

void procd_close_aside(int fd)
{
    if (closes_at_once(fd)) {
        close(fd);
        return;
    }
    atomic_fetch_add(&threads, 1);
    if (start_thread(fd) != 0) {
        atomic_fetch_sub(&threads, 1);
        close(fd);
    }
}
