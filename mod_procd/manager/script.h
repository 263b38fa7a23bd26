/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script.h
 * @brief CGI: a process for each request, asked for by httpd's children (procd_wire.h has the messages).
 *
 * A child that was taken over can ask for anything, so nothing of a request is believed: which scripts there are, whose,
 * and what of the environment a process of another user gets is for the group's configuration to say.
 *
 * script.c leads one script through its life, script_queue.c hears requests and keeps those that must wait, script_start.c
 * makes arguments and environment, script_launch.c forks, script_check.c looks at the file, script_env.c at the
 * variables, script_conf.c takes over what the group's definition says.
 */
#ifndef PROCD_SCRIPT_H
#define PROCD_SCRIPT_H

#include "manager.h"

#include <limits.h>

/* ------------------------------------------------------------------ script_check.c: pure but for the file system */

/** Which files may be run. */
typedef struct script_rules {
    char *const *roots; /* without symbolic links and trailing slash */
    int n_roots;
    const char *chroot_dir; /* NULL: none */
    int by_itself;          /* no interpreter: must be executable */
    int other_user;         /* not httpd's: rules of suEXEC */
    const uid_t *owners;    /* whose scripts, then */
    int n_owners;
} script_rules;

typedef struct script_file {
    char path[PATH_MAX]; /* without symbolic links; as the process sees it, so without the chroot */
    size_t dir_len;      /* of its directory's part */
} script_file;

/** @return PROCD_SCRIPT_STARTED: it may be run; else why is filled in */
procd_script_verdict script_check(const script_rules *rules, const char *path, script_file *file, char *why,
                                  size_t room);

/* ------------------------------------------------------------------ script_env.c: pure */

/** May a process of another user have this NAME=VALUE of a request? suEXEC's list. */
int script_env_is_safe(const char *pair);
/** May any? Not what makes a client's field a setting of libraries (HTTP_PROXY), nor what is no name. */
int script_env_is_sane(const char *pair);
/** Is there a NAME=… of the same name in the list (which ends in NULL, or is NULL)? */
int script_env_has(char *const *list, const char *pair);

/* ------------------------------------------------------------------ script_launch.c */

/** All that a new process needs until exec, in one block. It may share it with the manager, which goes on meanwhile. */
typedef struct launch {
    _Atomic int busy;         /* not 0: the new process still uses the block */
    _Atomic int stage, error; /* what failed, as in spawn_failure */
    size_t size;              /* of the block */
    int in, out, log;         /* in -1: what the manager has, /dev/null */
    int cgroup;               /* as in spawn_order */
    const procd_rlimit *limits;
    int n_limits, has_nice, nice;
    int change_user;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    int n_groups;
    mode_t umask_bits;
    const char *chroot_dir, *directory, *program;
    char **argv, **envp;
    struct launch *next; /* of those not in use */
    char *at;            /* where the next piece goes, up to size */
} launch;

/** A block with room for `size` bytes of pieces. @return NULL: no memory */
launch *launch_take(size_t size);
/** A piece of the block: aligned, not cleared. The caller has counted. */
void *launch_piece(launch *l, size_t size);
#define LAUNCH_PIECE(size) (((size) + 15) & ~(size_t)15)
/** Fork and exec. @return pid, or -1 and errno */
pid_t launch_run(launch *l);
/** It has ended, or was never run: the block may be used again. */
void launch_give(launch *l);

/* ------------------------------------------------------------------ script.c */

typedef struct script {
    group *group;
    int slot;
    procd_process_row *row;
    pid_t pid;
    uint64_t instance;
    int adopted;   /* not our child */
    int main_gone; /* others of its process group may not have ended */
    int whole;     /* its request was answered: what it still does is its own affair */
    int killed;
    int64_t stop_timeout_ms;
    int kill_signal;
    const char *ending; /* why it was told to end */
    launch *launch;     /* NULL: adopted */
    watch control, pidfd;
    timer deadline;
    struct script *next; /* of the same hash */
    output log;          /* last: its line is not cleared */
} script;

/** What a group of pipe type has beside other groups. */
typedef struct script_side {
    script *scripts[PROCD_MAX_SLOTS];
    int open_slot; /* row whose leases are permissions, or -1 */
    int running;   /* main processes */
    struct script_wait *first, *last;
    int n_waiting;
    /* script_conf.c */
    char **roots; /* of SpawnScriptRoot */
    int n_roots;
    char *chroot_dir; /* without symbolic links, NULL: none */
    uid_t *owners;
    int n_owners;
    int as_root; /* the manager is: it gives descriptors to the group's user, and changes to it */
    int other_user;
    char **env; /* of the definition; ends in NULL */
} script_side;

int script_has_slot(const group *g, int slot);
/** A structure and a row for a new one. @return NULL: no row or no memory */
script *script_create(group *g);
void script_free(script *s);
/** It runs: watch it. `control`, `log_fd` become its own. */
void script_begin(script *s, pid_t pid, launch *l, int control, int log_fd);
/** Its process group gets the kill signal, then SIGKILL. */
void script_stop(script *s, const char *why);
/** @return 1: the child that was reaped was a script (or what one has left behind) */
int script_reaped(pid_t pid, int status);
/** All of all groups. `now` 0: only what no request waits for any more */
void script_end_all(int now, const char *why);
/** The row that children lease, and what waits. As group_balance(). */
void script_balance(group *g);
/** @return how many there are, also what they have left behind */
int script_count(const group *g);
/** @return permissions that children hold */
int script_busy(const group *g);
/** The group is no longer configured: end what no request waits for any more. */
void script_wind_up(group *g);
/** The group is destroyed; it has no scripts. */
void script_leave(group *g);
/** From the row in that slot. */
void script_adopt(group *g, int slot);

/* ------------------------------------------------------------------ script_start.c */

typedef struct script_order {
    const procd_script *strings;
    int control; /* this and the pipes become the script's, or are closed */
    procd_script_fds fds;
} script_order;

/** Check and start. The answer is sent. */
void script_start(group *g, script_order *order);
/** Answer that it is not run, and close what came with the request: the answer is there when its output ends. */
void script_refuse(const group *g, int control, procd_script_fds *fds, procd_script_verdict verdict, const char *path,
                   const char *why);

/* ------------------------------------------------------------------ script_queue.c */

/** Hear requests of those who connect to this socket. */
int script_listen(int listener);
/** Start what waits as far as there is room. */
void script_queue_run(group *g);
/** The group goes: refuse what waits. */
void script_queue_clear(group *g);

/* ------------------------------------------------------------------ script_conf.c */

/** @return 1: the group has a script_side */
int script_side_make(group *g);
/** The group's definition is in force. @return NULL, or why nothing can be started from it */
const char *script_configure(group *g);
/** @return 1: script_configure() has found something wrong: nothing is started */
int script_is_refused(const group *g);
void script_forget_conf(group *g);
void script_rules_of(const group *g, script_rules *rules);
/** A directory from the configuration, without symbolic links, added to the_manager.script_roots. */
void script_add_default_root(const char *path, size_t len);
void script_clear_default_roots(void);

#endif /* PROCD_SCRIPT_H */
