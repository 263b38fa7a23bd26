/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  table.h
 * @brief The process table: what the manager says, and what httpd's children count. Two memfds, made once by the parent.
 *
 * The manager's half has one writer. The parent keeps the only writable descriptor (mode 0600) and hands it to each
 * manager; parent and children map it through a read-only one, which the kernel does not let them turn writable. (A seal
 * against further writers would do as well and would shut out the manager that follows a dead one.) Readers copy rows
 * under a sequence number.
 *
 * The children's half is written by the children, under a lock per group, and read by the manager, which trusts
 * nothing in it: it clamps what it reads and decides from its own records. Manager and parent, which are root, never take a
 * lock in memory that children can write; of a child that has ended the parent only marks the row, and the next child to
 * take the lock counts anew. What is wrong for sure the manager puts right (heal.c), and children then write
 * anew what they know of themselves.
 *
 * A group's row keeps its index as long as some generation's child may know it. Memory is sparse: rows that nobody
 * touches cost nothing.
 */
#ifndef PROCD_TABLE_H
#define PROCD_TABLE_H

#ifndef __linux__
#error "mod_procd and its manager need Linux: memfd_create, epoll, pidfd_open and sock_diag are what they stand on"
#endif

#include "groupdef.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define PROCD_TABLE_MAGIC 0x70726f6364746231ull
#define PROCD_TABLE_VERSION 7u
#define PROCD_MAX_GROUPS 1024
/** Rows below this are those of <Spawn> blocks, given out by the parent; the others those of ProcdGroupDir, by the manager. */
#define PROCD_GROUPS_CONFIGURED 512
#define PROCD_NAME_WORDS 8 /* 64 bytes */
#define PROCD_MAX_SLOTS 256
#define PROCD_MAX_CHILDREN 1024
#define PROCD_WHY_WORDS 16  /* 128 bytes */
#define PROCD_ADDR_WORDS 14 /* 112 bytes: a sockaddr_un fits */

/* ------------------------------------------------------------------ the manager's half */

typedef enum procd_state {
    PROCD_EMPTY,
    PROCD_STARTING, /* forked; exec has not been confirmed */
    PROCD_STARTED,  /* exec has succeeded: connections wait for it; leasable while its group has nothing better */
    PROCD_READY,    /* accepts connections: leasable */
    PROCD_RETIRING, /* leasable until its replacement is ready */
    PROCD_DRAINING, /* no new leases; ends when the last is back */
    PROCD_STOPPING, /* was told to end */
    PROCD_OPEN,     /* no process: leases of it are permissions to run a script each (SpawnSocketType pipe) */
    PROCD_SCRIPT    /* runs one; not leasable */
} procd_state;

typedef struct procd_process_row {
    _Atomic uint32_t seq; /* odd while it is being written */
    _Atomic uint32_t state;
    _Atomic uint64_t instance; /* unique for each process ever started with this table; 0: none */
    _Atomic int32_t pid;
    _Atomic int32_t concurrency;
    _Atomic uint64_t start_ticks;      /* field 22 of /proc/PID/stat: tells a pid from its next user */
    _Atomic int64_t started_ms;        /* CLOCK_MONOTONIC */
    _Atomic uint64_t definition;       /* hash of what it was started from */
    _Atomic uint64_t retire_at;        /* requests; 0: never */
    _Atomic uint64_t log_dev, log_ino; /* of its standard error's pipe */
    _Atomic uint64_t listen_ino;       /* of its listening socket; 0: nobody can tell when it accepts */
    _Atomic uint32_t addr_len;
    _Atomic int32_t name_index; /* of SpawnSocketName, or -1 */
    _Atomic uint64_t addr[PROCD_ADDR_WORDS];
} procd_process_row;

typedef enum procd_group_state {
    PROCD_GROUP_FREE,
    PROCD_GROUP_ACTIVE,
    PROCD_GROUP_REMOVED /* no longer configured; ends when the old generations' requests are done */
} procd_group_state;

typedef struct procd_group_row {
    _Atomic uint32_t seq; /* guards why */
    _Atomic uint32_t state;
    _Atomic uint64_t definition;
    _Atomic int32_t min, max, concurrency;
    _Atomic int32_t slots;    /* rows that were ever used */
    _Atomic int32_t live;     /* processes that count against max */
    _Atomic int32_t starting; /* STARTING and STARTED */
    _Atomic int32_t ready;    /* READY and RETIRING */
    _Atomic int32_t crash_loop;
    _Atomic int64_t retry_ms; /* CLOCK_MONOTONIC of the next start while crash_loop */
    _Atomic uint32_t demand_seen;
    _Atomic uint64_t name[PROCD_NAME_WORDS]; /* written while the row is free */
    _Atomic uint64_t started, ended;         /* totals */
    _Atomic int32_t halted;                  /* by procctl, until it is told to start */
    _Atomic int32_t scale_min, scale_max;    /* by procctl; scale_max 0: as configured */
    _Atomic int32_t spare;                   /* SpawnSpare: the manager wants to know of every lease */
    _Atomic int64_t request_ms;              /* SpawnRequestTimeout; 0: none */
    _Atomic uint32_t changes;                /* one more with each change; a futex */
    _Atomic int32_t log_by_host;             /* SpawnErrorLog has %{SERVER_NAME}: children pass lines on */
    _Atomic uint64_t why[PROCD_WHY_WORDS];
    procd_process_row processes[PROCD_MAX_SLOTS];
} procd_group_row;

typedef struct procd_manager_half {
    uint64_t magic;
    uint32_t version;
    uint32_t size;
    _Atomic int32_t manager_pid;
    _Atomic uint32_t generation; /* of the configuration in force */
    _Atomic uint64_t last_instance;
    _Atomic uint32_t healed;      /* one more whenever children have to write anew what they know */
    _Atomic int32_t top, dir_top; /* rows in use are below: those of <Spawn> blocks, and those of ProcdGroupDir */
    procd_group_row groups[PROCD_MAX_GROUPS];
} procd_manager_half;

/* ------------------------------------------------------------------ the children's half */

/** What was leased of one slot. Fields belong to `instance`; a new one starts from zero. Guarded by the group's lock. */
typedef struct procd_slot_count {
    _Atomic uint64_t instance;
    _Atomic int32_t busy; /* sum of the children's rows */
    _Atomic uint32_t broke, timed_out;
    _Atomic uint32_t refused; /* connect failed */
    _Atomic uint32_t stuck;   /* a request took longer than SpawnRequestTimeout */
    _Atomic uint64_t requests, done;
    _Atomic uint64_t timed, first_us, total_us; /* requests whose times are known, and the sums of these */
    _Atomic int64_t last_ms;
} procd_slot_count;

typedef struct procd_group_count {
    _Atomic uint32_t lock;   /* table_lock.c */
    uint32_t seen_gone;      /* children_half.gone at the last count; under the lock */
    _Atomic uint32_t demand; /* requests that found no process */
    procd_slot_count slots[PROCD_MAX_SLOTS];
} procd_group_count;

typedef enum procd_child_state {
    PROCD_CHILD_FREE,
    PROCD_CHILD_CLAIMED, /* being cleared by its new owner: counts not yet */
    PROCD_CHILD_LIVE,
    PROCD_CHILD_GONE /* set by the parent: counts no longer */
} procd_child_state;

typedef struct procd_child_row {
    _Atomic int32_t pid;
    _Atomic uint32_t state;
    _Atomic uint64_t used[PROCD_MAX_GROUPS / 64]; /* groups that it ever leased from */
    _Atomic int32_t waiting[PROCD_MAX_GROUPS];
    _Atomic uint16_t busy[PROCD_MAX_GROUPS][PROCD_MAX_SLOTS];
} procd_child_row;

typedef struct procd_children_half {
    _Atomic uint32_t gone; /* children that the parent marked */
    _Atomic int32_t rows;  /* rows that were ever used */
    procd_group_count groups[PROCD_MAX_GROUPS];
    procd_child_row children[PROCD_MAX_CHILDREN];
} procd_children_half;

/** Both halves as one process sees them. */
typedef struct procd_tables {
    procd_manager_half *manager; /* const but for the manager */
    procd_children_half *children;
} procd_tables;

/* ------------------------------------------------------------------ making and mapping */

/** In the parent: two new memfds, sized, sealed against a change of size, mode 0600. @return 0, or -1 and errno */
int procd_table_create(int *manager_fd, int *children_fd);
/** Map both. `is_manager`: 1 in the manager, which writes its half; 0 elsewhere. @return 0, or -1 and errno (EPROTO: of another version) */
int procd_table_map(procd_tables *t, int manager_fd, int children_fd, int is_manager);
void procd_table_unmap(procd_tables *t);
/** The parent, for an index given to a group that is new: forget what was asked of the one before. */
void procd_table_reset_demand(procd_tables *t, int group);

/* ------------------------------------------------------------------ in a child */

/** A child of httpd, as it sees itself. */
typedef struct procd_child procd_child;

/** Take a row for this process. @return NULL and errno: no row is free, or no memory */
procd_child *procd_child_register(procd_tables *t, pid_t pid);
void procd_child_free(procd_child *child);
/** In the parent: the child `pid` has ended. @return 1 if it had a row */
int procd_child_gone(procd_tables *t, pid_t pid);

typedef struct procd_hold {
    int slot;
    uint64_t instance;
    pid_t pid;
    int concurrency;
    int64_t request_ms;
    uint32_t addr_len;
    union {
        uint64_t words[PROCD_ADDR_WORDS];
        struct sockaddr sa;
    } addr;
} procd_hold;

typedef enum procd_taken {
    PROCD_TAKEN,
    PROCD_TAKE_LATER, /* all are busy or still starting */
    PROCD_TAKE_NEVER  /* starts keep failing and the next is delayed */
} procd_taken;

/** The least busy process with room, the lowest slot among equals, but not `avoid`: one that accepts, and one that only
 *  has been started where the group has none that accepts. *ring is set when the manager has to look. No system call.
 *  Takes the group's lock. Any thread. */
procd_taken procd_table_take(procd_tables *t, procd_child *child, int group, uint64_t avoid, procd_hold *hold,
                             int *ring);

typedef enum procd_given {
    PROCD_GIVEN_OK,
    PROCD_GIVEN_REFUSED,
    PROCD_GIVEN_BROKE,
    PROCD_GIVEN_TIMED_OUT,
    PROCD_GIVEN_STUCK
} procd_given;

/** Microseconds; 0: not known. */
typedef struct procd_times {
    int64_t first, total;
} procd_times;

/** Give back. Takes the group's lock. @return 1: the manager has to look */
int procd_table_give(procd_tables *t, procd_child *child, int group, const procd_hold *hold, procd_given how,
                     procd_times times);
/** @return 1: the manager has to look */
int procd_table_waiting(procd_tables *t, procd_child *child, int group, int delta);

/* ------------------------------------------------------------------ reading, by anybody */

int64_t procd_now_ms(void);
/** Requests leased of this process, summed over the children alive and clamped to what it can have. */
int procd_table_busy(const procd_tables *t, int group, int slot, uint64_t instance);
int procd_table_waiting_sum(const procd_tables *t, int group);
/** Is this the row of the group of that name, in whatever state but free? */
int procd_row_is(const procd_group_row *row, const char *name);
/** Past the last row that was ever used. */
int procd_table_top(const procd_tables *t);
int procd_table_dir_top(const procd_tables *t);
/** How many rows of children have to be looked at. */
int procd_child_rows(const procd_tables *t);
/** What a child says to have leased, or to have waiting; 0 when nobody can have that. */
int procd_child_busy(const procd_tables *t, const procd_child_row *row, int group, int slot);
int procd_child_waiting(const procd_child_row *row, int group);
/** The row of ProcdGroupDir's group of that name. @return -1: there is none */
int procd_table_find(const procd_tables *t, const char *name);
void procd_row_name(const procd_group_row *row, char name[PROCD_NAME_WORDS * 8]);
/** A consistent copy of a row. @return 0, or -1 while it is being written again and again */
int procd_row_read(const procd_process_row *row, procd_hold *hold, uint32_t *state);
void procd_why_read(const procd_group_row *row, char why[PROCD_WHY_WORDS * 8]);

/** What children counted of one process, or of all of a group added up. */
typedef struct procd_sums {
    uint64_t requests, timed, first_us, total_us;
} procd_sums;

/** Add the numbers of the process `instance`; nothing if they are not known (another has the slot). */
void procd_table_sum(const procd_tables *t, int group, int slot, uint64_t instance, procd_sums *sums);
/** Wait until the row's number of changes is not `seen`. @return 0, or -1: the time is over */
int procd_table_wait(const procd_group_row *row, uint32_t seen, int64_t timeout_us);

/* ------------------------------------------------------------------ in the manager */

void procd_row_begin(procd_process_row *row);
void procd_row_end(procd_process_row *row);
void procd_row_set_addr(procd_process_row *row, const void *addr, socklen_t len);
void procd_why_write(procd_group_row *row, const char *why);
void procd_row_set_name(procd_group_row *row, const char *name);
/** Something about the group is not as it was: who waits for that is woken. */
void procd_table_changed(procd_group_row *row);

#endif /* PROCD_TABLE_H */
