/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  manager.h
 * @brief What the files of the manager share. One process, one thread, one event loop: nothing here needs a lock.
 *
 * main.c talks to the parent, visit.c lets httpd's children in, config.c takes a configuration over, groupdir.c the files of ProcdGroupDir, group.c decides how many processes there should be,
 * process.c leads one process through its life, spawn.c forks, address.c makes sockets, accept.c finds out when a process
 * accepts, cgroup.c makes cgroups, wear.c tells when it is worn out, logs.c reads what processes write (logger.c: a program that
 * is given it; hostlog.h: files for each host) and tail.c keeps the last of it, adopt.c finds those that a manager before
 * this one has left, heal.c puts right what children have written over, control.c listens to procctl, orders.c does what it orders and report.c tells how things are.
 * CGI scripts, started for one request each, are another kind of process: script.h.
 */
#ifndef PROCD_MANAGER_H
#define PROCD_MANAGER_H

#include "groupdef.h"
#include "procd_wire.h"
#include "table.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

/* ------------------------------------------------------------------ loop.c */

/** A descriptor in the loop. Lives inside of what it belongs to. */
typedef struct watch {
    int fd; /* -1: not in the loop */
    void (*ready)(struct watch *w);
    void *of;
} watch;

/** A point in time. Lives inside of what it belongs to; `next` is NULL when it is not set. */
typedef struct timer {
    int64_t at_ms;
    void (*fire)(struct timer *t);
    void *of;
    struct timer *next, **link;
} timer;

int loop_init(void);
int loop_watch(watch *w, int fd, void (*ready)(watch *w), void *of); /* for reading; @return 0, or -1 and errno */
void loop_unwatch(watch *w, int close_fd);
void loop_timer(timer *t, int64_t at_ms, void (*fire)(timer *t), void *of); /* sets or moves it */
void loop_cancel(timer *t);
void loop_run(const int *until); /* until *until is not 0 */

/* ------------------------------------------------------------------ visit.c */

typedef struct visitors visitors;

typedef enum visit {
    VISIT_GOES_ON,
    VISIT_TAKEN, /* the descriptor has been taken out of the loop and is somebody else's */
    VISIT_ENDS
} visit;

/** Let in who comes through a door (procd_wire.h), `most` at a time: more than that, and who is there longest has to go.
 *  @param hear  whenever there may be something to read on the descriptor, which does not block; `w` has it in the loop
 *  @return 0, or -1 and errno */
int visitors_let_in(int listener, int most, visit (*hear)(int fd, watch *w));

/* ------------------------------------------------------------------ the state */

#define LOG_LINE_MAX 8192

#define ENDS_KEPT 8
#define TAIL_COPY_ROOM 8192

typedef struct spawn_group group;
typedef struct log_tail log_tail;

/** What became of a process. */
typedef struct end_record {
    int64_t at_ms, age_ms;
    pid_t pid; /* 0: it could not even be started */
    char text[256];
} end_record;

/** Who a process runs as. */
typedef struct identity {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    int n_groups;
} identity;

/** What one process writes: its pipe, and the line that is not complete yet. */
typedef struct output {
    watch pipe;
    group *group;
    pid_t pid;
    char *host; /* whose request it serves, if only one: malloc'ed; or NULL */
    size_t line_len;
    int line_cut;
    char *line; /* LOG_LINE_MAX bytes; made with the first part of a line, NULL before */
} output;

typedef struct process {
    group *group;
    int slot;
    procd_process_row *row;
    pid_t pid; /* 0: this structure is free */
    uint64_t instance, definition;
    procd_state state;
    int64_t started_ms, stop_at_ms;
    int64_t draining_ms; /* since when it gets no more requests */
    int64_t ready_ms;    /* when it accepted; 0: it has not yet */
    int adopted;         /* not our child: its exit status is unknown */
    int main_gone;       /* the process has ended; others of its process group may not have */
    int exec_failed;
    char fault[256]; /* what its start came to nothing for, when exec_failed */
    int killed;      /* SIGKILL was sent because it did not end in time */
    int replaces;    /* slot of the one that retires when this is ready, or -1 */
    int replaced_by; /* slot of the one started for this, or -1 */
    int name_index;  /* of SpawnSocketName, or -1 */
    int kill_signal;
    int64_t start_timeout_ms, stop_timeout_ms;
    uint32_t refused_seen, stuck_seen;
    uint32_t listen_ino; /* of its listening socket; 0: nobody can tell when it accepts */
    int probe_fd;        /* of accept.c: our connection while it is being made, or -1 */
    int probed;          /* it has been made */
    int queue_most;      /* the longest that the queue was */
    int64_t look_step_ms;
    timer look;
    const char *ending;                                     /* why it was told to end */
    const char *worn;                                       /* why it has to be replaced, by procctl; or NULL */
    char why[96];                                           /* room for `ending` where it has a number in it */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of its private socket, or empty */
    watch exec_pipe, pidfd;
    timer deadline; /* start, stop or linger */
    output log;
} process;

struct spawn_group {
    int index;
    char name[PROCD_NAME_MAX + 1];
    char key[PROCD_KEY_MAX]; /* the name, and the virtual host if it is one's: what procctl calls it */
    procd_group_row *row;
    procd_groupdef *def; /* NULL: only waits for its processes to end */
    uint64_t definition;
    identity id;
    int removed;
    int from_dir; /* of ProcdGroupDir */
    int64_t removed_ms;
    int demanded;    /* SpawnStart ondemand: a first request has come */
    int wanted_once; /* procctl start: one process, whatever MIN is */
    int failures;    /* starts in a row that came to nothing */
    int64_t not_before_ms;
    uint32_t demand_seen;
    int log_index;    /* of the server's error logs */
    int log_file;     /* SpawnErrorLog's file, or the pipe to its program; or -1 */
    pid_t logger_pid; /* the program, or 0 */
    int64_t logger_next_ms;
    uint64_t logger_definition;
    char *cgroup_dir;                              /* SpawnCgroup's, once it was made */
    uint64_t cgroup_made;                          /* the definition that its limits are of */
    char *server_name;                             /* of its server; NULL: the main server's */
    int64_t host_complained_ms, log_complained_ms; /* of hostlog.c, of logs.c */
    int *listen_fds;
    int n_listen;
    timer look;                       /* when to balance again though nothing happens */
    timer wear;                       /* when to look at memory, processor time, age and watched files */
    uint64_t watched, watched_before; /* the files of SpawnWatch: those that count, and as they were at the last look */
    uint64_t requests_before;         /* of processes that are gone */
    end_record ends[ENDS_KEPT];
    unsigned n_ends;
    log_tail *tail;
    process *processes[PROCD_MAX_SLOTS];
    struct script_side *cgi; /* script.h; NULL until it is of pipe type */
};

typedef enum manager_mode {
    MODE_WAITING, /* no configuration yet */
    MODE_RUNNING,
    MODE_ENDING /* all processes are being ended; then this one */
} manager_mode;

typedef struct manager {
    procd_tables tables;
    int ring_fd, event_fd, script_listener, line_listener;
    char **script_roots; /* of groups that name none: directories without symbolic links */
    int n_script_roots;
    pid_t parent;
    manager_mode mode;
    int64_t end_at_ms; /* MODE_ENDING: whatever is left then is killed; 0: each group's own time */
    int done;
    char *runtime_dir, *server_root, *server_name;
    procd_wire_global global;
    int *logs; /* the server's error logs */
    int n_logs;
    int n_processes;
    procd_rlimit nofile; /* as httpd has it, for processes; the manager itself takes all that it may have */
    group *groups[PROCD_MAX_GROUPS];
} manager;

extern manager the_manager;

/* ------------------------------------------------------------------ main.c */

void manager_end(const char *why, int64_t within_ms); /* 0: each group's own stop time */
void manager_check_done(void);
void manager_wake_children(void); /* a group may have room, or gave up */

/* ------------------------------------------------------------------ config.c */

/** Take over the configuration in `config_fd`. Descriptors become the manager's. @return 0, or -1 (the old one stays) */
int config_apply(uint32_t generation, int config_fd, const int *logs, int n_logs, const int *listens, int n_listens);
void group_destroy(group *g);
/** A text that was read: what group_define() takes. */
typedef struct group_definition {
    procd_groupdef *def;
    identity id;
    uint64_t hash;
} group_definition;

/** @return 0, or -1 and *error */
int definition_read(group_definition *d, const char *name, const char *text, size_t len, procd_deferror *error);
void definition_free(group_definition *d);
group *group_create(int index, const char *name); /* NULL: no memory */
/** It has this definition now; a new one replaces its processes. Takes what is in d. */
void group_define(group *g, group_definition *d);
/** It is no longer configured: it ends when its requests are done. */
void group_remove(group *g, int64_t now);

/* ------------------------------------------------------------------ groupdir.c */

/** In each configuration: `path` is ProcdGroupDir's, empty without one. @param first  take over what is in the table */
void groupdir_configure(const char *path, int first);
/** Read the files again, all or this group's. @return NULL, or what is wrong */
const char *groupdir_reload(const char *name);

/* ------------------------------------------------------------------ group.c */

/** The one place of decision: start, retire and end processes as state, demand and definition want it. */
void group_balance(group *g);
/** exec has succeeded. */
void group_process_started(group *g, process *p);
/** It accepts connections. */
void group_process_ready(group *g, process *p);
/** A process has ended or could not start. `status` is waitpid's, or -1 when it is not known. */
void group_process_ended(group *g, process *p, const char *what, int failed);

/* ------------------------------------------------------------------ process.c */

/** @return 1 when a process was forked; 0 when that failed, and the group knows */
int process_start(group *g, int replaces);
void process_set_state(process *p, procd_state state);
/** exec has succeeded: watch it until it accepts. */
void process_watch_start(process *p);
/** It accepts connections. */
void process_accepts(process *p);
/** Give no new leases; end it when the last is back. */
void process_drain(process *p, const char *why);
/** Tell it to end now; SIGKILL when it has not after its stop time. */
void process_stop(process *p, const char *why);
int process_busy(const process *p);
/** What children have counted of it. @return NULL: nobody has leased it yet */
const procd_slot_count *process_counts(const process *p);
void process_reap(void); /* after SIGCHLD */
/** @return a row that no process and no script has, or -1 */
int group_free_slot(const group *g);
process *process_create(group *g, int slot);
void process_watch_life(process *p); /* pidfd and log pipe of one that runs */
void process_kill_rest(process *p, int signal);
/** Is nobody left in the process group? Whoever adopted our predecessor's children reaps them some time: meanwhile they are
 *  zombies that still count as members. Looks through /proc. */
int process_only_zombies(pid_t pgid);

/* ------------------------------------------------------------------ spawn.c */

typedef struct spawn_order {
    char *const *argv, *const *envp;
    const identity *id; /* NULL: as this process */
    const procd_groupdef *def;
    int listen_fd, log_fd;
    int cgroup_fd; /* cgroup.procs of its cgroup; 0 (which is /dev/null here): it has none of its own */
} spawn_order;

/** What can fail between fork and exec, in its order. */
enum {
    STAGE_CGROUP = 1,
    STAGE_DESCRIPTORS,
    STAGE_LIMIT,
    STAGE_NICE,
    STAGE_CHROOT,
    STAGE_GROUPS,
    STAGE_GID,
    STAGE_UID,
    STAGE_DIRECTORY,
    STAGE_PRIVILEGES,
    STAGE_EXEC
};

/** What the child says on the exec pipe when it fails before exec. */
typedef struct spawn_failure {
    int stage, error;
} spawn_failure;

/** Fork and exec. *exec_fd: end of file when exec succeeded, else a spawn_failure. @return pid, or -1 and errno */
pid_t spawn(const spawn_order *order, int *exec_fd);
/** What failed, in words that lead to what has to be mended. @param program  that was to be run */
void spawn_describe(const procd_groupdef *def, const char *program, const spawn_failure *f, char *out, size_t room);
char **spawn_environment(const procd_groupdef *def);
void spawn_environment_free(char **envp);

/* ------------------------------------------------------------------ address.c */

/** A bound and listening socket for one process. @return it, or -1 and errno */
int address_listen(group *g, process *p, struct sockaddr_storage *addr, socklen_t *len);
void address_remove(process *p);
/** Make ProcdRuntimeDir, and remove sockets in it that nobody listens on. @return 0, or -1 and errno */
int address_prepare_dir(void);
/** @return 1 when nobody listens at the process's address */
int address_is_dead(const process *p);

/* ------------------------------------------------------------------ accept.c */

/** @return the inode by which the queue of this listening socket can be watched; 0: it cannot, which the log knows */
uint32_t accept_identify(const group *g, int listen_fd, const struct sockaddr *addr);
/** Call process_accepts() once the process has accepted a connection. */
void accept_watch(process *p);
void accept_forget(process *p);

/* ------------------------------------------------------------------ logs.c */

enum { LEVEL_ERROR = 3, LEVEL_WARNING = 4, LEVEL_NOTICE = 5, LEVEL_INFO = 6, LEVEL_DEBUG = 7 };

/** A line of the manager's own, to the group's server's error log (g may be NULL). */
void manager_log(int level, const group *g, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** What a child that was taken over can cause as often as it likes is said once a minute. *said_ms: 0, then kept here.
 *  @return 1: say it */
int manager_may_say(int64_t *said_ms);
/** Both ends of a pipe for standard output and error. The writing end can be read as well: a process must not be killed
 *  by SIGPIPE when the manager dies, and the next manager can pick the pipe up. @return 0, or -1 and errno */
int log_pipe(int *reader, int *writer, uid_t owner);
/** Read from the pipe from now on. The descriptor becomes the output's, also when it cannot be. */
void log_watch(output *o, int reader);
void log_finish(output *o); /* read what is left, and close */
void group_open_log(group *g);
/** A line that belongs to a request for that host. */
void log_line_of_host(group *g, pid_t pid, const procd_line *line);

/* ------------------------------------------------------------------ cgroup.c */

/** The group's definition is in force: make its cgroup. What is wrong is logged, and tried again with each start. */
void cgroup_configure(group *g);
/** @return cgroup.procs of it, for who starts a process; 0: the group has none; -1: why not is in `why` */
int cgroup_open(group *g, char *why, size_t room);
/** When its processes are gone. */
void cgroup_remove(group *g);
void cgroup_remove_all(void);

/* ------------------------------------------------------------------ wear.c */

void wear_start(group *g); /* or again, for a new definition */
void wear_stop(group *g);

/* ------------------------------------------------------------------ tail.c */

void tail_add(group *g, const char *line, size_t len); /* without its line feed */
/** The last whole lines that fit. @return bytes, without the NUL that is written too */
size_t tail_copy(const group *g, char *out, size_t room);
void tail_free(group *g);

/* ------------------------------------------------------------------ control.c */

void control_open(void); /* or move it, when ProcdRuntimeDir has changed */
void control_close(void);
void control_line(const group *g, const char *line, size_t len); /* to those who follow */

/* ------------------------------------------------------------------ orders.c */

int group_is_halted(const group *g);
int group_min(const group *g); /* SpawnProcesses, or what procctl has ordered; g->def is not NULL */
int group_max(const group *g);
void group_show_halted(group *g);
/* @return NULL, or what is wrong */
const char *group_order_start(group *g);
const char *group_order_stop(group *g);
const char *group_order_restart(group *g);
const char *group_order_scale(group *g, int min, int max); /* max <= 0: as configured */
/** p may be NULL: it could not be started. */
void group_remember_end(group *g, const process *p, const char *what);

/* ------------------------------------------------------------------ heal.c */

/** Look at what children have written from time to time, while the manager works. */
void heal_start(void);

/* ------------------------------------------------------------------ report.c */

/** The manager's, the groups' and the processes' records; one group's when `key` is not NULL. */
void report_status(procd_blob *b, const char *key);
void report_add(procd_blob *b, const char *bytes, size_t len);
uint64_t process_requests(const process *p);

/* ------------------------------------------------------------------ logger.c */

void logger_open(group *g);  /* the program of SpawnErrorLog, unless it runs */
void logger_close(group *g); /* whose pipe was closed */
void logger_again(group *g); /* it does not read any more */
int logger_ended(pid_t pid); /* @return 1: it was one of them */
void logger_wait_all(void);  /* the manager's end: close all pipes, wait a moment */

/* ------------------------------------------------------------------ adopt.c */

/** Take over the processes that the table shows in this group's row. */
void adopt_group(group *g);
/** Its standard error for reading, if that is a pipe, and this one unless ino is 0. @return -1: it is not */
int adopt_stderr(pid_t pid, uint64_t dev, uint64_t ino);
/** @return field 22 of /proc/PID/stat, 0 when there is no such process */
uint64_t process_start_ticks(pid_t pid);

#endif /* PROCD_MANAGER_H */
