/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What processes write, a line at a time, and what the manager says itself.
 *
 * A line is stamped with time, group and pid, control characters are escaped so that nobody forges a line of somebody
 * else's, and what is longer than the buffer is cut. A log that is a pipe with nobody reading must not stop the manager:
 * what does not fit is dropped. */
#include "hostlog.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define SAY_AGAIN_MS 60000
#define STAMP_MAX 64

/* As httpd's own error log has it. */
static const char *stamp(char buf[STAMP_MAX])
{
    struct timeval tv;
    struct tm tm;
    char head[32], tail[16];

    gettimeofday(&tv, NULL);
    localtime_r(&tv.tv_sec, &tm);
    strftime(head, sizeof(head), "%a %b %d %H:%M:%S", &tm);
    strftime(tail, sizeof(tail), "%Y", &tm);
    snprintf(buf, STAMP_MAX, "%s.%06ld %s", head, (long)tv.tv_usec, tail);
    return buf;
}

/* @return 0, or errno */
static int write_log(int fd, const char *bytes, size_t len)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    ssize_t n;

    if (poll(&pfd, 1, 0) == 1) {
        n = write(fd, bytes, len);
        return n == -1 ? errno : 0;
    }
    return EAGAIN;
}

static int server_log(const group *g)
{
    int index = g ? g->log_index : 0;

    if (the_manager.n_logs == 0) {
        return -1;
    }
    return the_manager.logs[index >= 0 && index < the_manager.n_logs ? index : 0];
}

void manager_log(int level, const group *g, const char *format, ...)
{
    static const char *const names[] = { "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug" };
    char text[1024], line[1200], time_buf[STAMP_MAX];
    int fd = server_log(g), n;
    va_list args;

    if ((uint32_t)level > the_manager.global.log_level && level > LEVEL_NOTICE) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (fd == -1) {
        if (the_manager.mode == MODE_WAITING) {
            dprintf(2, "procd: %s\n", text);
        }
        else {
            syslog(LOG_DAEMON | level, "%s", text);
        }
        return;
    }
    n = snprintf(line, sizeof(line), "[%s] [procd:%s] [pid %ld] %s\n", stamp(time_buf), names[level & 7],
                 (long)getpid(), text);
    (void)write_log(fd, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

int manager_may_say(int64_t *said_ms)
{
    int64_t now = procd_now_ms();

    if (*said_ms && now < *said_ms + SAY_AGAIN_MS) {
        return 0;
    }
    *said_ms = now;
    return 1;
}

/* ------------------------------------------------------------------ the pipe */

int log_pipe(int *reader, int *writer, uid_t owner)
{
    char path[40];
    int fds[2], both;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
    both = open(path, O_RDWR | O_CLOEXEC);
    if (both != -1) {
        close(fds[1]);
        fds[1] = both;
    }
    /* So that a program of another user can open /dev/stderr. */
    if (owner != (uid_t)-1 && fchown(fds[1], owner, (gid_t)-1) != 0) {
        manager_log(LEVEL_DEBUG, NULL, "PRD0150: cannot give a log pipe to uid %ld: %s", (long)owner, strerror(errno));
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *reader = fds[0];
    *writer = fds[1];
    return 0;
}

static size_t escape(char *out, size_t room, const char *bytes, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 5 < room; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        }
        else {
            out[n++] = (char)c;
        }
    }
    return n;
}

/* What the group's lines go to; of a host, if they are of one. @return -1: nothing is open */
static int file_for(group *g, const char *host, size_t host_len)
{
    int fd = -1;

    if (g->def && g->def->log_kind == PROCD_LOG_PROGRAM) {
        logger_open(g);
    }
    if (g->def && g->def->log_by_host) {
        fd = hostlog_file(g, host, host_len);
    }
    fd = fd == -1 ? g->log_file : fd;
    return fd == -1 ? server_log(g) : fd;
}

/* A full disk, say. */
static void cannot_write(group *g, int error, const char *line, size_t n)
{
    int64_t now = procd_now_ms();

    if (!g->log_complained_ms || now >= g->log_complained_ms + SAY_AGAIN_MS) {
        g->log_complained_ms = now;
        manager_log(LEVEL_ERROR, g, "PRD0741: group %s: cannot write to its SpawnErrorLog: %s; using the server's log",
                    g->name, strerror(error));
    }
    (void)write_log(server_log(g), line, n);
}

static void keep(group *g, int fd, const char *line, size_t n)
{
    int error = write_log(fd, line, n);

    if (error == EPIPE && g->logger_pid) {
        logger_again(g);
        if (g->log_file != -1) {
            (void)write_log(g->log_file, line, n);
        }
    }
    else if (error && error != EAGAIN && fd != server_log(g)) {
        cannot_write(g, error, line, n);
    }
}

static void emit(group *g, pid_t pid, const char *host, size_t host_len, const char *bytes, size_t len, int cut)
{
    static char line[4 * LOG_LINE_MAX + 512];
    char time_buf[STAMP_MAX];
    int fd = file_for(g, host, host_len);
    size_t n, said, room = sizeof(line) - 16;

    if (len > 0 && bytes[len - 1] == '\r') {
        len--;
    }
    n = (size_t)snprintf(line, sizeof(line), "[%s] [procd:info] [pid %ld] [%s] ", stamp(time_buf), (long)pid, g->name);
    said = n;
    n += escape(line + n, room - n, bytes, len);
    if (cut) {
        memcpy(line + n, " [cut]", 6);
        n += 6;
    }
    tail_add(g, line, n);
    control_line(g, line, n);
    line[n++] = '\n';
    if (g->def && g->def->log_kind == PROCD_LOG_SYSLOG) {
        openlog(g->def->log_path, 0, g->def->log_facility);
        syslog(LOG_INFO | g->def->log_facility, "[pid %ld] %.*s", (long)pid, (int)(n - 1 - said), line + said);
        openlog("procd", LOG_PID, LOG_DAEMON);
        return;
    }
    if (fd == -1) {
        syslog(LOG_DAEMON | LOG_INFO, "[%s] [pid %ld] %.*s", g->name, (long)pid, (int)(n - 1 - said), line + said);
        return;
    }
    keep(g, fd, line, n);
}

static void emit_line(const output *o, const char *bytes, size_t len, int cut)
{
    emit(o->group, o->pid, o->host, o->host ? strlen(o->host) : 0, bytes, len, cut);
}

void log_line_of_host(group *g, pid_t pid, const procd_line *line)
{
    emit(g, pid, line->host, line->host_len, line->text, line->text_len, line->cut);
}

/* Of a line that is not complete; most are, so that memory for it is taken when it is needed. */
static void keep_part(output *o, const char *bytes, size_t n)
{
    size_t room = LOG_LINE_MAX - o->line_len, copied = n < room ? n : room;

    if (!o->line && !(o->line = malloc(LOG_LINE_MAX))) {
        return;
    }
    memcpy(o->line + o->line_len, bytes, copied);
    o->line_len += copied;
    o->line_cut |= copied < n;
}

static void end_line(output *o)
{
    if (o->line_len > 0) {
        emit_line(o, o->line, o->line_len, o->line_cut);
    }
    free(o->line);
    o->line = NULL;
    o->line_len = 0;
    o->line_cut = 0;
}

static void take_bytes(output *o, const char *bytes, size_t len)
{
    while (len > 0) {
        const char *eol = memchr(bytes, '\n', len);
        size_t n = eol ? (size_t)(eol - bytes) : len;

        if (eol && o->line_len == 0) {
            emit_line(o, bytes, n < LOG_LINE_MAX ? n : LOG_LINE_MAX, n > LOG_LINE_MAX);
        }
        else {
            keep_part(o, bytes, n);
            if (eol) {
                end_line(o);
            }
        }
        n += eol != NULL;
        bytes += n;
        len -= n;
    }
}

/* At most this much at a time: one that never stops writing must not keep the others waiting. */
static ssize_t read_some(output *o)
{
    char bytes[16384];
    ssize_t n = read(o->pipe.fd, bytes, sizeof(bytes));

    if (n > 0) {
        take_bytes(o, bytes, (size_t)n);
    }
    return n;
}

static void on_pipe(watch *w)
{
    ssize_t n = read_some(w->of);

    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        loop_unwatch(w, 1);
    }
}

void log_watch(output *o, int reader)
{
    o->pipe.fd = -1;
    if (reader != -1 && loop_watch(&o->pipe, reader, on_pipe, o) != 0) {
        close(reader);
    }
}

void log_finish(output *o)
{
    if (o->pipe.fd != -1) {
        for (int i = 0; i < 16 && read_some(o) > 0; i++) {
        }
        loop_unwatch(&o->pipe, 1);
    }
    end_line(o);
}

/* ------------------------------------------------------------------ SpawnErrorLog */

/* A path of <Spawn> is opened as httpd opens its ErrorLog: where it leads is the administrator's affair, who also may mean
 * /dev/stderr. In ProcdGroupDir one line serves the groups of many, in directories of theirs: there a link leads nowhere. */
static int open_log(const char *path, int from_dir)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (from_dir ? O_NOFOLLOW : 0),
                  0640);
    struct stat st;

    if (fd != -1 && from_dir && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        fd = -1;
    }
    return fd;
}

void group_open_log(group *g)
{
    char path[4096];

    if (g->logger_pid && g->def && g->def->log_kind == PROCD_LOG_PROGRAM && g->logger_definition == g->definition) {
        return; /* the same program goes on */
    }
    if (g->log_file != -1) {
        close(g->log_file);
        g->log_file = -1;
    }
    logger_close(g);
    hostlog_close(g);
    if (g->def && g->def->log_kind == PROCD_LOG_PROGRAM) {
        g->logger_definition = g->definition;
        logger_open(g);
        return;
    }
    if (!g->def || g->def->log_kind != PROCD_LOG_FILE || g->def->log_by_host) {
        return;
    }
    snprintf(path, sizeof(path), "%s%s%s", g->def->log_path[0] == '/' ? "" : the_manager.server_root,
             g->def->log_path[0] == '/' ? "" : "/", g->def->log_path);
    g->log_file = open_log(path, g->from_dir);
    if (g->log_file == -1) {
        manager_log(LEVEL_ERROR, g, "PRD0151: group %s: cannot open SpawnErrorLog %s: %s; using the server's log",
                    g->name, path, strerror(errno));
    }
}
