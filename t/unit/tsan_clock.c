/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/clock.c */
/* libs: -lpthread */
/*
 * D18: threads that set, move and cancel alarms of their own, free them as soon as cancel() returns, and end the child
 * while alarms are set; under the thread sanitizer, which also sees a ring() on memory that was given back.
 */
#include "clock_fixture.h"

#include <stdio.h>

#define THREADS 6
#define TURNS 1500

static atomic_int failures;

static void expect(int ok, const char *what)
{
    if (!ok) {
        printf("not ok - %s\n", what);
        failures++;
    }
}

/* An alarm on the heap, as the one of an exchange: its memory is gone when cancel() has returned. */
static void one_life(unsigned *seed)
{
    bell *b = malloc(sizeof(*b));
    int set, before;

    bell_init(b, 0);
    b->again = rand_r(seed) % 3;
    set = pc_alarm_set(&b->alarm, pc_now() + rand_r(seed) % 3000 - 500);
    if (rand_r(seed) % 2) {
        set &= pc_alarm_set(&b->alarm, pc_now() + rand_r(seed) % 2000);
    }
    expect(set, "an alarm can be set");
    if (rand_r(seed) % 4 == 0) {
        nap(rand_r(seed) % 2000);
    }
    if (rand_r(seed) % 16 == 0) {
        expect(reaches(&b->rang, 1), "an alarm that nobody cancels rings");
    }
    pc_alarm_cancel(&b->alarm);
    before = b->rang;
    if (rand_r(seed) % 16 == 0) {
        nap(500);
    }
    expect(b->rang == before, "a cancelled alarm does not ring");
    memset(b, 0xA5, sizeof(*b));
    free(b);
}

static void *hammer(void *data)
{
    unsigned seed = *(unsigned *)data;
    int i;

    for (i = 0; i < TURNS; i++) {
        one_life(&seed);
    }
    return NULL;
}

/* The child ends with alarms set, some of them ringing again and again. */
static void end_under_load(void)
{
    enum { N = 200 };
    static bell b[N];
    int i;

    expect(!clock_begin(), "a clock for the child");
    for (i = 0; i < N; i++) {
        bell_init(&b[i], i);
        b[i].again = 1000000;
        expect(pc_alarm_set(&b[i].alarm, pc_now() + i * 10), "an alarm can be set");
    }
    expect(reaches(&rung.n, N * 2), "they ring");
    clock_end();
    i = rung.n;
    nap(5 * MSEC);
    expect(rung.n == i, "none rings when the child has ended");
}

int main(void)
{
    pthread_t t[THREADS];
    unsigned seeds[THREADS];
    int i;

    apr_initialize();
    expect(!clock_begin(), "a clock");
    for (i = 0; i < THREADS; i++) {
        seeds[i] = 4711u + (unsigned)i;
        pthread_create(&t[i], NULL, hammer, &seeds[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    expect(rung.n > 0, "alarms have rung");
    clock_end();
    end_under_load();
    printf("%s - %d alarms rang\n", failures ? "not ok" : "ok", rung.n);
    apr_terminate();
    return failures != 0;
}
