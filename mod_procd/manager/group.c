/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* How many processes a group should have. group_balance() looks at everything and does what has to be done; it is called
 * after every event and may be called at any time. What children say about load is clamped: a wrong number can make a
 * group grow to its maximum or keep idle processes, and nothing else.
 *
 * Replacing. A process that is worn out or of an old definition is RETIRING until the one started for it is ready. All
 * together are never more than max and one: with all of max there they are replaced one after the other, with fewer as
 * many at once as still fit. One that drains holds the next back until its requests are done, but no longer than its stop
 * timeout: a request of hours must not keep a new definition out. With such, max may be exceeded by max. Processes with a given
 * address (SpawnSocketName) cannot overlap: the old one would accept what was meant for the new one. They drain first,
 * and requests wait meanwhile.
 *
 * Failing. A process that ends soon after its start, or that cannot start, delays the next start by the first backoff
 * time, doubled with each failure in a row. After three in a row, or when the command cannot be run at all, the group is
 * in a crash loop: requests are refused instead of queued until the next attempt.
 *
 * Starting. At most 16 processes of a group at once are on their way from fork to accepting: more would only make each
 * other late. Groups do not count against each other: one whose processes never accept holds up nobody else. */
#include "manager.h"
#include "script.h"

#include <stdio.h>
#include <string.h>

#define SHORT_LIFE_MS 5000
#define CRASH_LOOP 3
#define STARTING_MOST 16
#define REMOVED_GRACE_MS 2000
#define DRAIN_LOOK_MS 1000
#define RETIRE_TEXT sizeof(((process *)0)->why)

typedef struct tally {
    int live;     /* STARTING to RETIRING, of the current definition or not: counts against max */
    int ready;    /* READY and RETIRING */
    int starting; /* STARTING and STARTED */
    int retiring, draining;
    int replacing;  /* starting in order to replace */
    int leaving;    /* DRAINING not for long yet, and STOPPING */
    int busy, room; /* leases out, and those that would still fit, starting ones included */
} tally;

static void on_look(timer *t)
{
    group_balance(t->of);
}

static void look_at(group *g, int64_t at_ms)
{
    if (!g->look.link || at_ms < g->look.at_ms) {
        loop_timer(&g->look, at_ms, on_look, g);
    }
}

static int concurrency_of(const process *p)
{
    int n = atomic_load(&p->row->concurrency);

    return n > 0 ? n : 1;
}

static void count_load(const process *p, int is_live, tally *t)
{
    int busy = process_busy(p), most = concurrency_of(p);

    t->busy += busy;
    t->live += is_live;
    t->room += is_live && busy < most ? most - busy : 0;
}

static void count(const group *g, tally *t)
{
    memset(t, 0, sizeof(*t));
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        const process *p = g->processes[i];

        if (!p) {
            continue;
        }
        switch (p->state) {
        case PROCD_STARTING:
        case PROCD_STARTED:
            t->starting++;
            t->replacing += p->replaces >= 0;
            count_load(p, p->replaces < 0, t);
            break;
        case PROCD_READY:
        case PROCD_RETIRING:
            t->ready++;
            t->retiring += p->state == PROCD_RETIRING;
            count_load(p, 1, t);
            break;
        case PROCD_DRAINING:
            t->draining++;
            t->leaving += procd_now_ms() - p->draining_ms < p->stop_timeout_ms;
            break;
        case PROCD_STOPPING: t->leaving++; break;
        default: break;
        }
    }
}

static void publish(group *g, const tally *t)
{
    atomic_store(&g->row->live, t->live);
    atomic_store(&g->row->starting, t->starting);
    atomic_store(&g->row->ready, t->ready);
}

/* ------------------------------------------------------------------ retiring */

/* @param text  room for RETIRE_TEXT bytes */
static const char *why_retire(const group *g, const process *p, char *text)
{
    const procd_slot_count *c = process_counts(p);
    uint64_t retire_at = atomic_load(&p->row->retire_at);

    if (!g->removed && p->definition != g->definition) {
        return "replaced by a new definition";
    }
    if (p->worn) {
        return p->worn;
    }
    if (retire_at && c && atomic_load(&c->requests) >= retire_at) {
        snprintf(text, RETIRE_TEXT, "retired after %llu requests", (unsigned long long)atomic_load(&c->requests));
        return text;
    }
    return NULL;
}

/* Children could not connect: what they say is checked before anything is done about it. */
static void check_refused(group *g, process *p)
{
    const procd_slot_count *c = process_counts(p);
    uint32_t refused = c ? atomic_load(&c->refused) : 0;

    if (refused == p->refused_seen) {
        return;
    }
    p->refused_seen = refused;
    if (address_is_dead(p)) {
        manager_log(LEVEL_WARNING, g, "PRD0120: group %s: process %ld no longer listens: replacing it", g->name,
                    (long)p->pid);
        procd_why_write(g->row, "stopped listening");
        process_drain(p, "it no longer listens");
    }
}

/* A request that it had was given up. Its others have until they are done. */
static void check_stuck(group *g, process *p)
{
    const procd_slot_count *c = process_counts(p);
    uint32_t stuck = c ? atomic_load(&c->stuck) : 0;

    if (stuck == p->stuck_seen) {
        return;
    }
    p->stuck_seen = stuck;
    manager_log(LEVEL_WARNING, g,
                "PRD0126: group %s: a request took process %ld longer than SpawnRequestTimeout: "
                "replacing it",
                g->name, (long)p->pid);
    procd_why_write(g->row, "a request took longer than SpawnRequestTimeout");
    process_drain(p, "stuck: a request took longer than SpawnRequestTimeout");
}

/* Whom it was started for is not known any more of a process that the last manager has left while it started. */
static int pair_adopted(group *g, process *old)
{
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        process *p = g->processes[i];

        if (p && p->adopted && p->state == PROCD_STARTED && p->replaces < 0 && p->definition == g->definition) {
            p->replaces = old->slot;
            old->replaced_by = p->slot;
            return 1;
        }
    }
    return 0;
}

/* How many replacements may be started, beside those on their way. */
static int room_to_replace(const group *g, const tally *t)
{
    return group_max(g) + 1 - t->live - t->replacing - t->leaving;
}

/* How many more may be started while others still end: those that drain do so as long as children say that they are busy,
 * which may be wrong. */
static int room_to_start(const group *g, const tally *t)
{
    return 2 * group_max(g) - t->live - t->replacing - t->draining;
}

/* @return 1 when something has changed */
static int retire(group *g, const tally *t)
{
    int room = room_to_replace(g, t), more = 0, changed = 0;
    int surplus = t->live - group_max(g); /* max is less than it was: these need no replacement */

    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        process *p = g->processes[i];
        const char *why;

        if (!p || (p->state != PROCD_READY && p->state != PROCD_RETIRING)) {
            continue;
        }
        check_refused(g, p);
        check_stuck(g, p);
        if (p->state == PROCD_READY && (why = why_retire(g, p, p->why))) {
            if (why != p->why) {
                snprintf(p->why, sizeof(p->why), "%s", why);
            }
            p->ending = p->why;
            if (p->name_index >= 0) {
                process_drain(p, p->ending);
                changed = 1;
                continue;
            }
            process_set_state(p, PROCD_RETIRING);
        }
        if (p->state == PROCD_RETIRING && p->replaced_by < 0 && pair_adopted(g, p)) {
            surplus--; /* it counted, as one more */
            changed = 1;
        }
        if (p->state == PROCD_RETIRING && p->replaced_by < 0 && surplus > 0) {
            process_drain(p, p->ending);
            surplus--;
            changed = 1;
            continue;
        }
        if (p->state == PROCD_RETIRING && p->replaced_by < 0 && more < room && more < room_to_start(g, t)
            && t->starting + more < STARTING_MOST && procd_now_ms() >= g->not_before_ms) {
            if (!process_start(g, i)) {
                return 0; /* what to do next was decided where it failed */
            }
            more++;
            changed = 1;
        }
    }
    return changed;
}

/* Also a wrong count of theirs does not keep a process for ever: children that end are counted out. */
static void drain(group *g)
{
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        process *p = g->processes[i];

        if (p && p->state == PROCD_DRAINING) {
            process_drain(p, p->ending);
        }
    }
}

/* It was a group of servers, and is one of scripts. */
static void drain_all(group *g, const char *why)
{
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (g->processes[i]) {
            process_drain(g->processes[i], why);
        }
    }
}

/* ------------------------------------------------------------------ growing and shrinking */

/* Requests that found no room since the last look, and those that wait. */
static int wanted(group *g)
{
    uint32_t demand = atomic_load(&the_manager.tables.children->groups[g->index].demand);
    int waiting = procd_table_waiting_sum(&the_manager.tables, g->index), asked = demand != g->demand_seen;

    g->demand_seen = demand;
    atomic_store(&g->row->demand_seen, demand);
    if (asked || waiting) {
        g->demanded = 1;
    }
    return waiting > asked ? waiting : asked;
}

/* SpawnSpare, while there is any load or a minimum: one that may rest altogether does. */
static int spare_of(const group *g, const tally *t, int need)
{
    return t->busy || need || group_min(g) > 0 ? g->def->spare * g->def->concurrency : 0;
}

static int how_many_to_start(group *g, const tally *t)
{
    int need = wanted(g), live = t->live, least, n = 0;

    need += spare_of(g, t, need);

    least = g->removed || (!g->def->start_always && !g->demanded) ? 0 : group_min(g);
    least = least < g->wanted_once ? g->wanted_once : least;
    if (live < least) {
        n = least - live;
    }
    if (need > t->room) {
        int grow = (need - t->room + g->def->concurrency - 1) / g->def->concurrency;

        n = grow > n ? grow : n;
    }
    if (n > group_max(g) - live) {
        n = group_max(g) - live;
    }
    return n < room_to_start(g, t) ? n : room_to_start(g, t);
}

static void grow(group *g, const tally *t)
{
    int64_t now = procd_now_ms();
    int n = how_many_to_start(g, t), started = 0;

    if (n <= 0) {
        return;
    }
    if (now < g->not_before_ms) {
        look_at(g, g->not_before_ms);
        return;
    }
    for (; started < n && t->starting + started < STARTING_MOST; started++) {
        if (the_manager.n_processes >= (int)the_manager.global.max_processes) {
            manager_log(LEVEL_WARNING, g, "PRD0121: group %s: no more processes: ProcdMaxProcesses %u is reached",
                        g->name, the_manager.global.max_processes);
            look_at(g, now + 1000);
            return;
        }
        if (!process_start(g, -1)) {
            return;
        }
        g->wanted_once = 0;
    } /* and on when one of them is ready, or is not going to be */
}

static int64_t idle_since(const process *p)
{
    const procd_slot_count *c = process_counts(p);
    int64_t last = c ? atomic_load(&c->last_ms) : 0, now = procd_now_ms();

    return last > p->ready_ms && last <= now ? last : p->ready_ms;
}

/* How many processes the group wants to have now. */
static int target_of(const group *g, const tally *t)
{
    int most = g->def->concurrency, wants = (t->busy + spare_of(g, t, 0) + most - 1) / most;

    return wants > group_min(g) ? wants : group_min(g);
}

/* The highest slots first: the lowest are leased first. */
static void shrink(group *g, const tally *t)
{
    int surplus = t->live - t->retiring - target_of(g, t);
    int64_t now = procd_now_ms();

    if (surplus <= 0 && t->live > group_min(g) && g->def->idle_ms > 0) {
        look_at(g, now + g->def->idle_ms); /* nobody tells when the load is less */
    }
    for (int i = PROCD_MAX_SLOTS - 1; i >= 0 && surplus > 0 && g->def->idle_ms > 0; i--) {
        process *p = g->processes[i];
        int64_t due;

        if (!p || p->state != PROCD_READY) {
            continue;
        }
        due = process_busy(p) ? now + g->def->idle_ms : idle_since(p) + g->def->idle_ms;
        if (due <= now) {
            process_set_state(p, PROCD_DRAINING);
            p->ending = "idle";
            if (process_busy(p)) {
                process_set_state(p, PROCD_READY); /* taken this very moment */
            }
            else {
                process_stop(p, "idle");
                surplus--;
            }
        }
        else {
            look_at(g, due);
        }
    }
}

/* ------------------------------------------------------------------ the decision */

/* A group that is no longer configured serves what the old generations' children still send it, then goes. */
static int wind_up(group *g, tally *t)
{
    int64_t now = procd_now_ms();
    int left = 0;

    if (t->busy || script_busy(g) || procd_table_waiting_sum(&the_manager.tables, g->index)) {
        g->removed_ms = now;
    }
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (g->processes[i]) {
            left++;
            if (now - g->removed_ms >= REMOVED_GRACE_MS || !g->def) {
                process_drain(g->processes[i], "its group was removed");
            }
        }
    }
    if (now - g->removed_ms >= REMOVED_GRACE_MS) {
        script_wind_up(g);
    }
    left += script_count(g);
    if (left == 0 && now - g->removed_ms >= REMOVED_GRACE_MS) {
        group_destroy(g);
        return 0;
    }
    look_at(g, now + REMOVED_GRACE_MS / 4);
    return g->def != NULL;
}

/* By procctl: no processes until it is told to start. */
static void halt(group *g)
{
    for (int i = 0; i < PROCD_MAX_SLOTS; i++) {
        if (g->processes[i]) {
            process_drain(g->processes[i], "stopped by procctl");
        }
    }
    group_show_halted(g);
}

/* One that has lasted, or has answered, ends a row of failures. */
static void settle(group *g)
{
    int64_t now = procd_now_ms(), due = 0;

    for (int i = 0; i < PROCD_MAX_SLOTS && g->failures; i++) {
        const process *p = g->processes[i];
        const procd_slot_count *c = p && p->state == PROCD_READY ? process_counts(p) : NULL;

        if (!p || p->state != PROCD_READY || p->definition != g->definition) {
            continue;
        }
        if (now - p->ready_ms >= SHORT_LIFE_MS || (c && atomic_load(&c->done) > 0)) {
            g->failures = 0;
            g->not_before_ms = 0;
            atomic_store(&g->row->crash_loop, 0);
            procd_table_changed(g->row);
        }
        else {
            due = p->ready_ms + SHORT_LIFE_MS;
        }
    }
    if (g->failures && due) {
        look_at(g, due);
    }
}

void group_balance(group *g)
{
    tally t;

    if (the_manager.mode != MODE_RUNNING) {
        drain(g);
        if (g->cgi) {
            script_balance(g);
        }
        return;
    }
    drain(g);
    count(g, &t);
    if (g->removed && !wind_up(g, &t)) {
        return;
    }
    if (g->cgi) {
        script_balance(g);
    }
    if (!g->def) {
        return;
    }
    if (g->def->socket_type == PROCD_SOCKET_PIPE) {
        drain_all(g, "its group's definition has changed");
        if (group_is_halted(g)) {
            group_show_halted(g);
        }
        return;
    }
    if (group_is_halted(g)) {
        halt(g);
        count(g, &t);
        publish(g, &t);
        look_at(g, procd_now_ms() + DRAIN_LOOK_MS);
        return;
    }
    settle(g);
    if (retire(g, &t)) {
        count(g, &t);
    }
    grow(g, &t);
    count(g, &t);
    shrink(g, &t);
    count(g, &t);
    publish(g, &t);
    if (t.draining || (t.retiring && t.retiring > t.replacing)) {
        look_at(g, procd_now_ms() + DRAIN_LOOK_MS);
    }
}

/* Requests are sent to it while the group has nothing better, and waited for otherwise. */
void group_process_started(group *g, process *p)
{
    manager_log(LEVEL_DEBUG, g, "PRD0124: group %s: process %ld has started", g->name, (long)p->pid);
    group_balance(g);
    if (atomic_load(&g->row->ready) == 0) {
        manager_wake_children();
    }
}

void group_process_ready(group *g, process *p)
{
    if (p->replaces >= 0 && g->processes[p->replaces]) {
        process *old = g->processes[p->replaces];

        p->replaces = -1;
        old->replaced_by = -1;
        process_drain(old, old->ending ? old->ending : "replaced");
    }
    manager_log(LEVEL_INFO, g, "PRD0122: group %s: process %ld is ready, %lld ms after its start", g->name,
                (long)p->pid, (long long)(p->ready_ms - p->started_ms));
    group_balance(g);
    manager_wake_children();
}

/* The lines on one line, and only what the processes wrote of them. */
static size_t without_stamps(const group *g, char *text, size_t len)
{
    char mark[PROCD_NAME_MAX + 4], *out = text, *line = text;
    size_t n = (size_t)snprintf(mark, sizeof(mark), "[%s] ", g->name);

    while (line < text + len) {
        char *eol = memchr(line, '\n', (size_t)(text + len - line)), *from;

        if (!eol) {
            break;
        }
        *eol = '\0';
        from = strstr(line, mark);
        from = from ? from + n : line;
        if (out != text) {
            *out++ = '|';
        }
        memmove(out, from, (size_t)(eol - from));
        out += eol - from;
        line = eol + 1;
    }
    *out = '\0';
    return (size_t)(out - text);
}

/* Why it fails is mostly what its processes wrote last. */
static void say_last_words(const group *g)
{
    char text[700], why[PROCD_WHY_WORDS * 8];
    size_t n = tail_copy(g, text, sizeof(text));

    n = without_stamps(g, text, n);
    procd_why_read(g->row, why);
    manager_log(LEVEL_ERROR, g,
                "PRD0125: group %s: starts keep failing (%s): requests are refused until one succeeds%s%s", g->name,
                why, n ? "; its last output: " : "", n ? text : "");
}

static void delay_next_start(group *g, int at_once, int64_t now)
{
    int64_t delay = g->def->backoff_min_ms;

    for (int i = 1; i < g->failures && delay < g->def->backoff_max_ms; i++) {
        delay *= 2;
    }
    if (delay > g->def->backoff_max_ms) {
        delay = g->def->backoff_max_ms;
    }
    g->not_before_ms = now + delay;
    atomic_store(&g->row->retry_ms, g->not_before_ms);
    if (at_once || g->failures >= CRASH_LOOP) {
        if (!atomic_load(&g->row->crash_loop)) {
            say_last_words(g);
        }
        atomic_store(&g->row->crash_loop, 1);
    }
    look_at(g, g->not_before_ms);
}

/* p is NULL when it could not even be forked. Its row is cleared by the caller, who also balances. */
void group_process_ended(group *g, process *p, const char *what, int failed)
{
    const procd_slot_count *c = p ? process_counts(p) : NULL;
    int64_t now = procd_now_ms(), age = p && p->ready_ms ? now - p->ready_ms : 0;
    int no_start = !p || p->exec_failed;

    what = failed && p && p->fault[0] ? p->fault : what;
    if (p) {
        atomic_fetch_add(&g->row->ended, 1);
        g->requests_before += c ? atomic_load(&c->requests) : 0;
    }
    if (what && (failed || !p || !p->ending)) {
        group_remember_end(g, p, what);
    }
    else if (p && p->ending) {
        char text[128];

        snprintf(text, sizeof(text), "%s%s", p->ending, p->killed ? " (killed: it did not stop in time)" : "");
        group_remember_end(g, p, text);
    }
    if (failed && !p && what) {
        manager_log(LEVEL_ERROR, g, "PRD0740: group %s: a process cannot be started: %s", g->name, what);
        procd_why_write(g->row, what);
    }
    else if (failed && p && !p->exec_failed) {
        manager_log(LEVEL_ERROR, g, "PRD0123: group %s: process %ld %s", g->name, (long)p->pid, what);
        procd_why_write(g->row, what);
    }
    if (failed && g->def && the_manager.mode == MODE_RUNNING) {
        if (!no_start && c && atomic_load(&c->done) > 0) {
            g->failures = 0; /* it has worked: no sign of a start that fails */
        }
        if (no_start || age < SHORT_LIFE_MS) {
            g->failures++;
            delay_next_start(g, no_start, now);
        }
        else {
            g->failures = 0;
            g->not_before_ms = 0;
            atomic_store(&g->row->crash_loop, 0);
        }
    }
    procd_table_changed(g->row);
    manager_wake_children();
}
