/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  procd_wire.h
 * @brief The private protocol between httpd's parent and the manager. Both ends come from the same build; it may change
 *        with every version, and a peer of another version is refused.
 *
 * The control channel is a SOCK_SEQPACKET pair. Every message is one fixed structure and perhaps descriptors; whatever is
 * long (the configuration) travels as a memfd, so that sending never blocks: the parent must not wait while it restarts.
 */
#ifndef PROCD_WIRE_H
#define PROCD_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define PROCD_WIRE_MAGIC 0x50524344u /* "PRCD" */
#define PROCD_WIRE_VERSION 6
#define PROCD_WIRE_FDS 200 /* descriptors in one message */
#define PROCD_INIT_FDS 6   /* of PROCD_MSG_INIT */
#define PROCD_CONTROL_FD 3 /* where the manager finds its end */

typedef enum procd_message_type {
    /* parent to manager */
    PROCD_MSG_INIT =
        1, /* fds: manager's half, children's half, ring to read, event to write, and the listening sockets of two doors:
                           that for scripts and that for lines */
    PROCD_MSG_LISTEN,  /* fds: listening sockets, numbered on from the last message since the last CONFIG */
    PROCD_MSG_CONFIG,  /* value: generation; fds: configuration, then error logs */
    PROCD_MSG_PREPARE, /* a new CONFIG should follow within the lease, or httpd is gone */
    PROCD_MSG_DRAIN,   /* httpd's children are gone and another manager takes over: end all processes, then yourself */
    PROCD_MSG_STOP,    /* the same, and value: milliseconds until whatever is left is killed */
    PROCD_MSG_LOOK,    /* a child of httpd has died: what it had leased is free */
    /* manager to parent */
    PROCD_MSG_CONFIGURED = 32 /* value: generation */
} procd_message_type;

typedef struct procd_message {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t value;
    uint32_t n_fds;
} procd_message;

/** Send without blocking. @return 0, or -1 and errno (EAGAIN: the peer does not read) */
int procd_send(int fd, procd_message_type type, uint32_t value, const int *fds, int n_fds);
/** Put a token of eight bytes into a pipe, unless one waits there. Whoever holds the other end can neither make this wait
 *  (O_NONBLOCK is kept in what a descriptor refers to, and both ends are two such things) nor learn how many there were. */
void procd_wire_token(int fd);
/** Receive without blocking. Descriptors are close-on-exec and the caller's; *n_fds: room in, number out.
 *  @return 1; 0 at the end; -1 and errno (EPROTO: not a message of this version) */
int procd_receive(int fd, procd_message *message, int *fds, int *n_fds);

/** One message of a SOCK_SEQPACKET socket with descriptors, without blocking. @return bytes sent, or -1 and errno */
ssize_t procd_wire_send(int fd, const struct iovec *iov, int n_iov, const int *fds, int n_fds);
/** The same the other way; *n_fds: room in, number out. What does not fit is an error (EPROTO), and no descriptor of it is
 *  left open; the kernel hands out no more than there is room for. @return bytes; 0 at the end; -1 and errno */
ssize_t procd_wire_receive(int fd, struct iovec *iov, int n_iov, int *fds, int *n_fds);

/** Close what has come and is not what should have: whoever sent it cannot make this wait. */
void procd_close_aside(int fd);
/** @return 1: so many are being closed that no more should be taken */
int procd_close_is_busy(void);

/* ------------------------------------------------------------------ the configuration: tagged pieces, one after another */

typedef enum procd_tag {
    PROCD_TAG_GLOBAL = 1, /* procd_wire_global */
    PROCD_TAG_RUNTIME_DIR,
    PROCD_TAG_SERVER_ROOT,
    PROCD_TAG_GROUP, /* procd_wire_group; begins a group */
    PROCD_TAG_NAME,
    PROCD_TAG_KEY, /* the name, and the virtual host if it is one's */
    PROCD_TAG_TEXT,
    PROCD_TAG_SERVER_NAME, /* the main server's */
    PROCD_TAG_HOST,        /* the name of a group's server */
    PROCD_TAG_SCRIPT_ROOT, /* a directory where scripts may be when their group names none */
    PROCD_TAG_GROUP_DIR,   /* ProcdGroupDir */
    PROCD_TAG_END
} procd_tag;

typedef struct procd_wire_global {
    uint32_t uid, gid;      /* httpd's User and Group: default for processes, and who may connect to them */
    uint32_t max_processes; /* ProcdMaxProcesses */
    uint32_t lease_ms;
    uint32_t n_logs;    /* error logs that came with the message; the first is the main server's; 0: syslog */
    uint32_t log_level; /* httpd's LogLevel number for this module */
} procd_wire_global;

typedef struct procd_wire_group {
    uint32_t index; /* row in the table */
    uint32_t log;   /* which error log */
    uint32_t first_listen, n_listen;
} procd_wire_group;

#define PROCD_CONFIG_MAX (32u << 20)
#define PROCD_KEY_MAX 192 /* bytes of a key, with its NUL */

typedef struct procd_blob {
    char *bytes;
    size_t len, room;
    int failed; /* no memory */
} procd_blob;

void procd_blob_put(procd_blob *blob, procd_tag tag, const void *bytes, size_t len);
/** A memfd with the blob's bytes, sealed. @return -1 and errno */
int procd_blob_to_fd(const procd_blob *blob);
/** Read a sealed memfd whole. @return 0, or -1 and errno */
int procd_blob_from_fd(procd_blob *blob, int fd);
/** The piece at *at. @return 1; 0 at the end; -1: malformed */
int procd_blob_next(const procd_blob *blob, size_t *at, uint32_t *tag, const char **bytes, size_t *len);
void procd_blob_free(procd_blob *blob);

/* ------------------------------------------------------------------ doors: how httpd's children reach the manager */

/*
 * A listening SOCK_SEQPACKET socket, which the parent keeps as long as the tables: who connects while a manager has died
 * is let in by the next. Children hold a descriptor through which one can connect, and nothing else can be done with it.
 */

/** In the parent; `in`: a directory for files that last no longer than this call. @return 0, or -1 and errno */
int procd_door_make(const char *in, int *door, int *listener);
/** In a child: a connection, which does not block. @return -1 and errno (EAGAIN: too many wait) */
int procd_door_knock(int door);

/* ------------------------------------------------------------------ scripts (CGI), between httpd's children and the manager */

/*
 * Each request has a connection of its own. It is one message: its head, then strings that end in NUL, the script's path
 * first, then arguments, then the environment. What is longer than PROCD_SCRIPT_INLINE comes in a sealed memfd.
 *
 * With it come the script's ends of one or two pipes that the child has made. The answer comes on the connection; a child need
 * not wait for it, since what is not run closes its output. The child says there that it needs the script no more
 * (PROCD_SCRIPT_DONE). Its end without that word ends the script.
 */
#define PROCD_SCRIPT_INLINE 60000
#define PROCD_SCRIPT_MAX (1u << 20)          /* bytes of all strings */
#define PROCD_SCRIPT_STRING_MAX (128 * 1024) /* of one, its NUL included: the kernel takes no longer one */
#define PROCD_SCRIPT_ARGS_MAX 256
#define PROCD_SCRIPT_ENV_MAX 8192
#define PROCD_SCRIPT_DONE 'd'

#define PROCD_SCRIPT_BODY 0x01u /* the script's standard input is a pipe; else it is at its end from the start */

/** What comes with a request, in this order. */
typedef struct procd_script_fds {
    int out; /* the writing end of the script's output */
    int in;  /* the reading end of its input; -1 without PROCD_SCRIPT_BODY */
} procd_script_fds;

typedef struct procd_script_head {
    uint32_t magic;
    uint16_t version;
    uint16_t flags; /* PROCD_SCRIPT_BODY */
    uint32_t group; /* row in the table */
    uint32_t n_args, n_env;
    uint32_t len; /* of the strings */
} procd_script_head;

/** A request's strings, checked. They stand one behind another. */
typedef struct procd_script {
    const char *path;
    const char *args, *env; /* the first of n_args and of n_env */
    uint32_t n_args, n_env;
} procd_script;

typedef enum procd_script_verdict {
    PROCD_SCRIPT_STARTED,
    PROCD_SCRIPT_MISSING,
    PROCD_SCRIPT_FORBIDDEN,
    PROCD_SCRIPT_TOO_LARGE,
    PROCD_SCRIPT_BUSY
} procd_script_verdict;

typedef struct procd_script_answer_message {
    uint32_t magic;
    uint16_t version;
    uint16_t verdict;
    int32_t pid;
    char why[200]; /* ends in NUL; empty when it was started */
} procd_script_answer_message;

/** Pure. @return NULL: *s is filled in and points into bytes; else what is wrong */
const char *procd_script_parse(procd_script *s, const procd_script_head *head, const char *bytes, size_t len);
/** Send without blocking. What goes along remains the caller's; whether there is a body is told by fds->in.
 *  @return 0, or -1 and errno */
int procd_script_send(int fd, procd_script_head *head, const char *strings, size_t len, const procd_script_fds *fds);
/** Receive without blocking. The strings are in *bytes, which is `buf` (PROCD_SCRIPT_INLINE long) or, from a memfd,
 *  malloc'ed memory that the caller frees. @return 1, and *fds are the caller's; 0 at the end; -1 and errno (EPROTO: not a
 *  request), and both of *fds are -1 */
int procd_script_receive(int fd, procd_script_head *head, char *buf, char **bytes, procd_script_fds *fds);
/** Close what is open of them. */
void procd_script_close(procd_script_fds *fds);
/** @return 0, or -1 and errno */
int procd_script_answer_send(int control, const procd_script_answer_message *answer);
/** @return 1; 0 the manager is gone; -1 and errno (EAGAIN: not yet) */
int procd_script_answer_receive(int control, procd_script_answer_message *answer);

/* ------------------------------------------------------------------ lines, from httpd's children to the manager */

/*
 * What an application writes to its standard error by way of its protocol is seen by a child of httpd. Where it belongs
 * into a file for each host (SpawnErrorLog with %{SERVER_NAME}) it is passed on, a line in a message, over a connection that
 * the child keeps, through a door of its own: a flood of lines must not keep anybody from starting a script.
 */
#define PROCD_LINE_MAX 4096
#define PROCD_LINE_HOST_MAX 255
#define PROCD_LINE_ROOM (PROCD_LINE_HOST_MAX + PROCD_LINE_MAX)

#define PROCD_LINE_CUT 0x01u /* it was longer */

typedef struct procd_line_head {
    uint32_t magic;
    uint16_t version;
    uint16_t flags; /* PROCD_LINE_CUT */
    uint32_t group; /* row in the table */
    int32_t pid;    /* of the process, as the child says */
    uint16_t host_len, text_len;
} procd_line_head;

/** Neither string ends in NUL. */
typedef struct procd_line {
    const char *host, *text;
    size_t host_len, text_len;
    int cut;
} procd_line;

/** Pure. @return NULL: *line is filled in and points into bytes; else what is wrong */
const char *procd_line_parse(procd_line *line, const procd_line_head *head, const char *bytes, size_t len);
/** Send without blocking; a text that is too long is cut, a host that is too long is none. @return 0, or -1 and errno */
int procd_line_send(int fd, uint32_t group, pid_t pid, const procd_line *line);
/** Receive without blocking. @return 1; 0 at the end; -1 and errno (EPROTO: not a line) */
int procd_line_receive(int fd, procd_line_head *head, char bytes[PROCD_LINE_ROOM], procd_line *line);

#endif /* PROCD_WIRE_H */
