/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A library for LD_PRELOAD: the wall clock is off by as many microseconds as the file that CLOCK_JUMP names holds (eight
 * bytes), from the moment that it holds them. The monotonic clock is left alone, as it is when somebody sets the time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *jump;

__attribute__((constructor)) static void open_jump(void)
{
    const char *name = getenv("CLOCK_JUMP");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd == -1 ? MAP_FAILED : mmap(NULL, sizeof(*jump), PROT_READ, MAP_SHARED, fd, 0);

    jump = p == MAP_FAILED ? NULL : p;
    if (fd != -1) {
        close(fd);
    }
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);

    if (rc == 0 && id == CLOCK_REALTIME && jump) {
        int64_t usec = (int64_t)t->tv_sec * 1000000 + t->tv_nsec / 1000 + *jump;

        t->tv_sec = (time_t)(usec / 1000000);
        t->tv_nsec = (long)(usec % 1000000) * 1000;
    }
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec t;
    int rc = clock_gettime(CLOCK_REALTIME, &t);

    (void)tz;
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *t)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (t) {
        *t = now.tv_sec;
    }
    return now.tv_sec;
}
