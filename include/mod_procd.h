/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  mod_procd.h
 * @brief Process groups for other modules: define or find a group, lease one of its processes, give it back.
 *
 * docs/api.md is the guide, t/procd/mod_procd_example.c a whole module.
 *
 * All functions are APR optional functions: fetch them with APR_RETRIEVE_OPTIONAL_FN in a directive's handler, a
 * post_config hook or later, in each generation anew, and do without when NULL. Unless said otherwise a function may be
 * called by any thread of any httpd child and does not block.
 *
 * Structures that cross the border begin with their size. The caller zeroes them and sets it to sizeof; fields are only
 * ever added at the end, and what lies beyond the size that was set is neither read nor written. So a module built with
 * an older header works with a newer mod_procd, and with an older one the fields that it does not know stay zero.
 */
#ifndef MOD_PROCD_H
#define MOD_PROCD_H

#include "httpd.h"
#include "apr_optional.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A group in this generation's configuration. Lives as long as pconf; the same in parent and children. */
typedef struct procd_group procd_group;

/** One request's hold on one process. Kept by the caller; given back exactly once. A child that dies has its leases
 *  given back by the parent. */
typedef struct procd_lease {
    apr_size_t size; /**< sizeof(procd_lease), set by the caller before the call */
    procd_group *group;
    int slot;              /**< row in the process table */
    apr_uint64_t instance; /**< unique for each process ever started by this manager's table */
    pid_t pid;
    int concurrency; /**< requests that the process takes at once */
    socklen_t addr_len;
    union {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr;                              /**< where it listens */
    apr_interval_time_t request_timeout; /**< SpawnRequestTimeout in microseconds; 0: none. A request that takes longer
                                               is given up, and the lease given back with PROCD_STUCK */
    /* set by the caller before it gives the lease back, for the status pages; 0: not known */
    apr_interval_time_t first_byte; /**< from the request's last byte to the answer's first */
    apr_interval_time_t total;      /**< from the lease to the answer's end */
} procd_lease;

/** How a lease ended; the manager acts on it (a process that refuses connections is replaced). */
typedef enum procd_outcome {
    PROCD_OK,             /**< a complete answer, or none of the process's fault */
    PROCD_CONNECT_FAILED, /**< nothing accepted at its address */
    PROCD_BROKE,          /**< it closed or spoke nonsense before the answer was complete */
    PROCD_TIMED_OUT,      /**< it did not answer in time */
    PROCD_STUCK           /**< its SpawnRequestTimeout is over: the process is replaced */
} procd_outcome;

typedef enum procd_condition {
    PROCD_IS_UNKNOWN, /**< there is no manager, or it has not heard of the group yet */
    PROCD_IS_ACTIVE,  /**< it has processes, or starts some when they are asked for */
    PROCD_IS_FAILING, /**< starts keep failing: leases are refused until retry_after is over */
    PROCD_IS_STOPPED, /**< by procctl: leases are refused until it is started */
    PROCD_IS_INVALID  /**< nothing can be started from its definition, `why` says why */
} procd_condition;

/** A group's numbers, for balancing decisions and status pages. */
typedef struct procd_group_info {
    apr_size_t size; /**< sizeof(procd_group_info), set by the caller before the call */
    const char *name;
    int processes;   /**< alive and accepting */
    int starting;    /**< not accepting yet */
    int min, max;    /**< SpawnProcesses */
    int concurrency; /**< SpawnConcurrency */
    int busy;        /**< leases out */
    int waiting;     /**< requests that wait for a process */
    int crash_loop;  /**< 1: starts keep failing, the next is delayed */
    int retry_after; /**< seconds until the next start when crash_loop, else 0 */
    char why[128];   /**< why the last process ended or could not start, or empty */
    procd_condition condition;
    apr_uint64_t requests; /**< leases ever taken of the processes that live now */
    apr_uint64_t timed;    /**< of these, given back with both times: the means are over them */
    apr_interval_time_t mean_first_byte, mean_total;
} procd_group_info;

/** A group that a module defines from its own configuration. */
typedef struct procd_definition {
    apr_size_t size;  /**< sizeof(procd_definition), set by the caller before the call */
    const char *name; /**< as in <Spawn NAME>: one name space with these, for each server */
    const char *text; /**< the lines that would stand inside of it, each with its line feed; ${} is not replaced */
    const char *file; /**< where the caller's own configuration has it, for messages; or NULL */
    int line;
} procd_definition;

/** Define a group for this server and, if it is the main one, for those that have none of that name. To be called while
 *  the configuration is read: in a directive's handler, or in a check_config hook that is ordered before mod_procd.c.
 *  The parent's only thread. What it defines is as good as a <Spawn> block: it lives as long as pconf, the next
 *  generation must define it again, and if it does so with the same text its processes live on.
 *  @param pconf  the configuration's pool
 *  @param group  gets the group, to be leased from in the children
 *  @return NULL, or what is wrong, with the line of the text; to be returned by the directive's handler */
APR_DECLARE_OPTIONAL_FN(const char *, procd_group_register,
                        (apr_pool_t * pconf, server_rec *s, const procd_definition *definition, procd_group **group));

/** The group NAME as this server sees it (its own or the main server's; else, where there is a ProcdGroupDir, one that may
 *  have a file there, now or later). From post_config (APR_HOOK_MIDDLE of a module
 *  that is ordered after mod_procd.c) on. @return NULL when there is none. */
APR_DECLARE_OPTIONAL_FN(procd_group *, procd_group_find, (server_rec * s, const char *name));

/** The groups of ProcdGroupDir come and go while httpd runs. They have places, numbered from 0; this is whatever group has
 *  that place at the moment. In post_config. @return NULL past the last place */
APR_DECLARE_OPTIONAL_FN(procd_group *, procd_dir_group, (server_rec * s, int place));
/** The place of the group NAME of ProcdGroupDir. A group keeps its place while a lease is out: who asks again after
 *  taking one and finds the same place has a process of that group. @return -1: there is no such group now */
APR_DECLARE_OPTIONAL_FN(int, procd_dir_find, (const char *name));

/** Take a process: the least busy one that has room, the lowest slot among equals. While the group has no process that
 *  accepts connections, also one that has only been started: a connection to it waits until it accepts.
 *  @param avoid instance that must not be taken (it has just failed), or 0
 *  @return APR_SUCCESS: lease is filled. APR_EAGAIN: all are busy or still starting; if the group may grow, the manager
 *  has been told. APR_EGENERAL: the group cannot start processes now (see procd_group_info). */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_lease_take, (procd_group * g, apr_uint64_t avoid, procd_lease *lease));

/** Give it back. With lease->first_byte and lease->total set the status pages can tell how quick the group is. */
APR_DECLARE_OPTIONAL_FN(void, procd_lease_give, (procd_lease * lease, procd_outcome outcome));

/** Requests waiting for this group changed by delta in this child; the manager decides on growth from the sum. */
APR_DECLARE_OPTIONAL_FN(void, procd_waiting, (procd_group * g, int delta));

/** A descriptor, inherited by all children, that becomes readable whenever a group may have room that it had not (a
 *  process is ready) or gave up (a start failed). Read eight bytes of it (non-blocking) before looking again. It is one
 *  for all groups, children and modules: who reads takes the news from the others, so it only shortens a wait that has
 *  an end of its own. procd_group_wait() has no such limit.
 *  @return -1 without a manager */
APR_DECLARE_OPTIONAL_FN(int, procd_event_fd, (void));

/** A number that is another one after each change of the group that the manager made: a process started, was ready or
 *  ended, the group was stopped, changed or failed. One load. What children do (leases) does not change it. 0 without a
 *  manager. */
APR_DECLARE_OPTIONAL_FN(apr_uint32_t, procd_group_changes, (procd_group * g));

/** Wait until procd_group_changes() is no longer `seen`: the one function that blocks. All who wait are woken. A lease that
 *  another request gives back is no change, so who waits for a busy process should look again now and then.
 *  @param timeout  at most this long, microseconds; a minute if it is more
 *  @return APR_SUCCESS: it has changed; APR_TIMEUP; APR_EGENERAL without a manager */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_group_wait,
                        (procd_group * g, apr_uint32_t seen, apr_interval_time_t timeout));

/** @return APR_SUCCESS, APR_EINVAL when info->size is less than it ever was. */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_group_query, (procd_group * g, procd_group_info *info));

/* ------------------------------------------------------------------ CGI: groups of SpawnSocketType pipe */

/** Is a process started for each request, with pipes? Leases of such a group (procd_lease_take()) are permissions to run
 *  one script: pid is 0 and there is no address. */
APR_DECLARE_OPTIONAL_FN(int, procd_group_is_pipe, (const procd_group *g));

/** What is to be run. The strings are copied. */
typedef struct procd_script_order {
    apr_size_t size;     /**< sizeof(procd_script_order), set by the caller */
    const char *strings; /**< the script's path, then arguments, then NAME=VALUE pairs: each with its NUL, one behind
                              another */
    apr_size_t len;      /**< of all of it */
    apr_uint32_t n_args, n_env;
    unsigned int body : 1; /**< the script has something to read; else its standard input is at its end */
} procd_script_order;

typedef enum procd_script_result {
    PROCD_SCRIPT_RUNS,
    PROCD_SCRIPT_NOT_FOUND, /**< there is no such file */
    PROCD_SCRIPT_REFUSED,   /**< the manager must not run it: outside of the group's roots, not executable, … */
    PROCD_SCRIPT_TOO_BIG,   /**< environment or arguments are more than the kernel takes */
    PROCD_SCRIPT_NO_ROOM,   /**< no process, descriptor or memory */
    PROCD_SCRIPT_LOST       /**< the manager has died: the script may run or not */
} procd_script_result;

/** A script's pipes, and what became of the order to run it. */
typedef struct procd_script_pipes {
    apr_size_t size; /**< sizeof(procd_script_pipes), set by the caller */
    procd_script_result result;
    pid_t pid;
    int in;  /**< its standard input's writing end; -1: it has none. The caller's, as is out; neither blocks */
    int out; /**< its standard output's reading end, which is at its end at once if the script is not run */
    char why[200];
} procd_script_pipes;

/** Ask the manager to run a script of the group, of which the caller holds a lease. Does not wait.
 *  @param pipes    gets in and out
 *  @param control  gets a descriptor that becomes readable with the answer; to be given to procd_script_end()
 *  @return APR_SUCCESS; APR_EAGAIN: the manager is behind, ask again a little later; APR_ENOSPC: more than the manager takes
 *  (1 MB of strings, 128 KB for one); APR_EGENERAL: there is no manager; or why no descriptor could be had */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_script_ask,
                        (procd_group * g, const procd_script_order *order, procd_script_pipes *pipes, int *control));

/** The answer, for which nobody has to wait. @return APR_SUCCESS: result, pid and why are filled in; APR_EAGAIN: not yet */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_script_answer, (int control, procd_script_pipes *pipes));

/** The request is over; closes control.
 *  @param whole  1: its output was all that was wanted, and what it does still is its own affair. 0: nobody wants it any
 *                more; its process group gets SpawnKillSignal, and SIGKILL after SpawnStopTimeout. The same happens
 *                when the calling process dies. */
APR_DECLARE_OPTIONAL_FN(void, procd_script_end, (int control, int whole));

/* ------------------------------------------------------------------ standard error that comes through a protocol */

/** A line that a process of the group has written while it served a request for this host (as SERVER_NAME has it). Never
 *  waits: what the manager cannot take at once is dropped, which the log counts.
 *  @return APR_SUCCESS: it is none of the caller's affair any more; APR_ENOTIMPL: the group's SpawnErrorLog has no
 *  %{SERVER_NAME}, so the caller logs it */
APR_DECLARE_OPTIONAL_FN(apr_status_t, procd_line_write,
                        (procd_group * g, pid_t pid, const char *host, const char *line, apr_size_t len));

#ifdef __cplusplus
}
#endif

#endif /* MOD_PROCD_H */
