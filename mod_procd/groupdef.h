/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  groupdef.h
 * @brief The definition of a process group: what stands inside <Spawn NAME>, a directive on each line.
 *
 * The module checks the text when the configuration is read, the manager acts on the same text: this is the parser of
 * both. It knows neither httpd nor APR, looks at nothing outside of the text (whether a user or a program exists is for
 * the callers to say) and takes any bytes.
 */
#ifndef PROCD_GROUPDEF_H
#define PROCD_GROUPDEF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCD_NAME_MAX 63           /* bytes of a group's name */
#define PROCD_TEXT_MAX (256 * 1024) /* bytes of a definition */
#define PROCD_WORDS_MAX 512         /* words of one directive; lines of one repeatable directive */
#define PROCD_SCRIPT_LEAST_ID 100   /* as suEXEC: scripts run as no user or group of the system, but as httpd's own */
#define PROCD_PROCESSES_MAX 240     /* of one group; the table has some rows more, for replacements */

typedef enum procd_socket_type {
    PROCD_SOCKET_UNIX,
    PROCD_SOCKET_TCP,
    PROCD_SOCKET_PIPE /* CGI: a process for each request, with pipes */
} procd_socket_type;

typedef struct procd_rlimit {
    int resource;        /* RLIMIT_* */
    uint64_t soft, hard; /* UINT64_MAX: unlimited */
} procd_rlimit;

typedef enum procd_log_kind {
    PROCD_LOG_INHERIT, /* the server's error log */
    PROCD_LOG_FILE,
    PROCD_LOG_PROGRAM,
    PROCD_LOG_SYSLOG
} procd_log_kind;

#define PROCD_LIMITS_MAX 16
#define PROCD_CGROUP_FILES 10 /* that SpawnCgroup can set */
#define PROCD_CGROUP_VALUE_ROOM 32
#define PROCD_WATCH_MAX 64
#define PROCD_LOG_WORDS 32 /* of a log program */
#define PROCD_LOG_HOST "%{SERVER_NAME}"
#define PROCD_LOG_HOSTS 4 /* times in one path */

/** A parsed definition. All strings belong to it. */
typedef struct procd_groupdef {
    char *name;
    char **argv; /* SpawnCommand, ends in NULL; PROCD_SOCKET_PIPE: NULL when scripts run by themselves */
    int argc;
    procd_socket_type socket_type;
    char **socket_names; /* SpawnSocketName: one process for each */
    int n_socket_names;
    int min, max;
    int concurrency;
    int start_always; /* MIN processes before the first request */
    int spare;        /* idle ones kept ready above the load */
    int64_t idle_ms;
    uint32_t max_requests, jitter_percent; /* 0: never retired */
    uint64_t max_memory;                   /* bytes; 0: no bound */
    int memory_pss;                        /* by proportional, not resident, set size */
    int64_t max_cpu_ms, max_age_ms;
    int64_t request_timeout_ms;
    int64_t start_timeout_ms, stop_timeout_ms;
    int64_t backoff_min_ms, backoff_max_ms;
    char *user, *group; /* NULL: the server's */
    char *chroot_dir, *directory;
    mode_t umask_bits;
    int nice, has_nice;
    procd_rlimit limits[PROCD_LIMITS_MAX];
    int n_limits;
    int has_cgroup;
    char *cgroup_parent;                     /* NULL: the manager's own */
    char *cgroup_values[PROCD_CGROUP_FILES]; /* as the kernel wants them; NULL: not set */
    char **environment;                      /* NAME=VALUE */
    int n_environment;
    char **copy_environment; /* NAME */
    int n_copy_environment;
    char **script_roots; /* SpawnScriptRoot: where scripts may be; none: what httpd knows of */
    int n_script_roots;
    char **script_owners; /* SpawnScriptOwner: users beside its own whose scripts it runs */
    int n_script_owners;
    int kill_signal;
    char **watch; /* files that roll the group over */
    int n_watch;
    procd_log_kind log_kind;
    char *log_path;   /* PROCD_LOG_FILE: the path, PROCD_LOG_SYSLOG: the tag; %{name} is already replaced */
    int log_by_host;  /* PROCD_LOG_FILE: the path has PROCD_LOG_HOST */
    char **log_argv;  /* PROCD_LOG_PROGRAM */
    int log_facility; /* PROCD_LOG_SYSLOG */
    void *memory;     /* what procd_groupdef_free() frees */
} procd_groupdef;

/** What is wrong with a definition. */
typedef struct procd_deferror {
    int line;       /* first line is 1; 0: the definition as a whole */
    char text[320]; /* names directive, value and what would be accepted */
} procd_deferror;

/** Parse `len` bytes of text. @return 0 and *def (free it), or -1 and *error. -1 with an empty text: no memory. */
int procd_groupdef_parse(procd_groupdef **def, const char *name, const char *text, size_t len, procd_deferror *error);
void procd_groupdef_free(procd_groupdef *def);
/** Are its users and groups there? (groupdef_users.c) @return 0, or -1 and *error */
int procd_groupdef_check_users(const procd_groupdef *def, procd_deferror *error);
/** @return NULL when it can stand in ProcdGroupDir, else why not */
const char *procd_groupdef_not_in_dir(const procd_groupdef *def);

/** @return 1 when `name` can be a group's: letters, digits, `_`, `-`, `.`, beginning with a letter or digit. */
int procd_name_ok(const char *name);

/** The directives that may stand inside <Spawn>, for messages and tests. @return NULL past the last. */
const char *procd_groupdef_directive(int i);

/* ------------------------------------------------------------------ SpawnCgroup (groupdef_cgroup.c) */

/** The files that can be set, and what the kernel has in each at the beginning. @return NULL past the last */
const char *procd_cgroup_file(int i);
const char *procd_cgroup_unset(int i);
/** FILE=VALUE. @return NULL: *file is its number and value what to write; else what would be accepted */
const char *procd_cgroup_read(const char *word, int *file, char value[PROCD_CGROUP_VALUE_ROOM]);

/* ------------------------------------------------------------------ the text (groupdef_text.c) */

/** One block of memory that grows by pieces and is freed at once. */
typedef struct procd_arena procd_arena;
procd_arena *procd_arena_create(void);
void *procd_arena_alloc(procd_arena *arena, size_t size); /* zeroed; NULL: no memory */
char *procd_arena_copy(procd_arena *arena, const char *from, size_t len);
void procd_arena_destroy(procd_arena *arena);

/** The next word of a line, with httpd's quoting: `"a b"` and `'a b'` are one word, a backslash escapes the quote or a
 *  backslash inside of quotes. Advances *at. @return NULL: no more words (*bad is 0), no memory or an open quote (1). */
char *procd_next_word(procd_arena *arena, const char **at, const char *end, int *bad);

/** `10`, `100ms`, `5s`, `2min`, `1h` as milliseconds; a bare number counts seconds. @return 0, or -1 */
int procd_parse_duration(const char *word, int64_t *ms);
/** `10`, `64K`, `5M`, `1G` as bytes. @return 0, or -1 */
int procd_parse_size(const char *word, uint64_t *bytes);
/** A whole number within [low, high]. @return 0, or -1 */
int procd_parse_int(const char *word, int low, int high, int *value);
/** `TERM`, `SIGTERM` or `15`. @return the signal, or -1 */
int procd_parse_signal(const char *word);
/** `TERM` for 15, a number for an unknown one. */
const char *procd_signal_name(int signal, char buf[16]);

/** An address of SpawnSocketName. @return NULL when it is well formed for the type, else what it should be. */
const char *procd_check_address(const char *word, procd_socket_type type);

#endif /* PROCD_GROUPDEF_H */
