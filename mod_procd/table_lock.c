/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A lock between processes that do not trust each other's memory: one word, and nothing that anybody follows as a pointer
 * (a mutex of the C library has some). It is held for microseconds. Whoever waits looks whether its owner is alive, and takes
 * it away from one who is not, or who has had it for a second without a change: then it was stopped, or somebody who was
 * taken over has written over the word.
 *
 * The word is the owner's pid, a number that is another one with each owner, so that one from whom it was taken
 * does not give away what is not his any more, and a bit when somebody sleeps. */
#include "table_priv.h"
#include "proc_stat.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OWNER 0x003fffffu /* the largest pid that Linux has */
#define TURN 0x00400000u  /* one of the number */
#define SLEEPERS 0x80000000u

#define SPINS 100
#define SLEEP_MS 10
#define STOLEN_MS 1000
#define PATIENCE_MS 2000

static uint32_t next_turn(uint32_t seen, uint32_t self)
{
    return (((seen & ~(OWNER | SLEEPERS)) + TURN) & ~SLEEPERS) | (self & OWNER);
}

static int try(_Atomic uint32_t *lock, uint32_t seen, uint32_t want, uint32_t *mine)
{
    *mine = want;
    return atomic_compare_exchange_strong_explicit(lock, &seen, want, memory_order_acquire, memory_order_relaxed);
}

/* Another user's process is no child of httpd. One that has died counts until httpd has reaped it. */
static int is_dead(uint32_t owner, int look_closer)
{
    proc_stat s;

    return kill((pid_t)owner, 0) != 0 || (look_closer && proc_stat_read(&s, (pid_t)owner) == 0 && s.state == 'Z');
}

static void doze(_Atomic uint32_t *lock, uint32_t seen)
{
    const struct timespec ms = { 0, SLEEP_MS * 1000000 };
    uint32_t with = seen | SLEEPERS;

    if (seen == with || atomic_compare_exchange_strong(lock, &seen, with)) {
        syscall(SYS_futex, lock, FUTEX_WAIT, with, &ms, NULL, 0);
    }
}

static int wait_for(_Atomic uint32_t *lock, uint32_t self, uint32_t *mine)
{
    int64_t begin = procd_now_ms(), since = begin, now = begin;
    uint32_t last = 0;

    for (;;) {
        uint32_t seen = get(*lock), owner = seen & OWNER, want = next_turn(seen, self) | SLEEPERS;

        if (!owner) {
            if (try(lock, seen, want, mine)) {
                return 0;
            }
            continue;
        }
        now = procd_now_ms();
        if ((seen | SLEEPERS) != last) {
            last = seen | SLEEPERS;
            since = now;
        }
        if ((now - since >= STOLEN_MS || (owner != (self & OWNER) && is_dead(owner, now - since >= 2 * SLEEP_MS)))
            && try(lock, seen, want, mine)) {
            return 1;
        }
        if (now - begin >= PATIENCE_MS) {
            return -1;
        }
        doze(lock, seen);
    }
}

int procd_table_lock(_Atomic uint32_t *lock, uint32_t self, uint32_t *mine)
{
    for (int i = 0; i < SPINS; i++) {
        uint32_t seen = get(*lock);

        if (!(seen & OWNER) && try(lock, seen, next_turn(seen, self) | (seen & SLEEPERS), mine)) {
            return 0;
        }
    }
    return wait_for(lock, self, mine);
}

void procd_table_unlock(_Atomic uint32_t *lock, uint32_t mine)
{
    uint32_t seen = get(*lock);

    while ((seen & ~SLEEPERS) == (mine & ~SLEEPERS)) {
        if (atomic_compare_exchange_weak_explicit(lock, &seen, seen & ~(OWNER | SLEEPERS), memory_order_release,
                                                  memory_order_relaxed)) {
            if (seen & SLEEPERS) {
                syscall(SYS_futex, lock, FUTEX_WAKE, 1, NULL, NULL, 0);
            }
            return;
        }
    }
}
