/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  clock.h
 * @brief The time that waiting is measured in, and a child's alarms: one thread and a heap, instead of a timer descriptor
 *        for each request that waits.
 */
#ifndef PC_CLOCK_H
#define PC_CLOCK_H

#include "apr_pools.h"
#include "apr_time.h"

#include <time.h>

/** Microseconds of a clock that nobody sets: for deadlines and durations, never to be shown as a date. */
static inline apr_time_t pc_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (apr_time_t)t.tv_sec * APR_USEC_PER_SEC + t.tv_nsec / 1000;
}

/** An alarm. Zeroed but for ring and baton before its first use; its owner keeps it until it is cancelled. */
typedef struct pc_alarm {
    apr_time_t (*ring)(
        void *baton); /**< called by the clock's thread, under its lock: must not block, nor call in here.
                                          @return when to ring again, 0: not */
    void *baton;
    apr_time_t when; /**< as pc_now() counts */
    unsigned place;  /**< in the heap, from 1; 0: not set */
} pc_alarm;

/** In child_init. The thread starts with the first alarm and ends with pchild. */
apr_status_t pc_clock_child_init(apr_pool_t *pchild);
/** Set or move to a time of pc_now(). Any thread. @return 0: no memory or no thread, the alarm will not ring */
int pc_alarm_set(pc_alarm *alarm, apr_time_t when);
/** @return when ring() is not running and will not run. Any thread but the clock's. */
void pc_alarm_cancel(pc_alarm *alarm);

#endif /* PC_CLOCK_H */
