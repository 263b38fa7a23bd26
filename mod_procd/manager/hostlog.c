/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The files of SpawnErrorLog with %{SERVER_NAME}. As many as are in use stay open, up to OPEN_MOST of all groups together;
 * then the one that was not written to for longest is closed.
 *
 * The name may be a client's, and directories on the way may be a site's: no symbolic link is followed behind the part
 * of the path that the configuration alone decides, no directory is made, and new files are made at a bounded rate. */
#include "hostlog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_MOST 64
#define AGAIN_MS 1000     /* a file that could not be opened is not tried again before */
#define NEW_MOST 4096     /* files made at once */
#define NEW_EACH_MS 100   /* and then one in this time */
#define COMPLAIN_MS 60000 /* a group complains about its files once in this time */
#define PATH_ROOM (4096 + 256)

typedef struct host_file {
    const group *group; /* NULL: free */
    int fd;             /* -1: could not be opened */
    int64_t again_ms;
    uint64_t used;
    char name[HOST_NAME_ROOM];
} host_file;

static host_file files[OPEN_MOST];
static uint64_t uses;

/* ------------------------------------------------------------------ making files */

static int64_t new_spent_until_ms; /* as if each file made took NEW_EACH_MS, up to NEW_MOST of them ahead */

static int may_make(void)
{
    return new_spent_until_ms - procd_now_ms() < (int64_t)(NEW_MOST - 1) * NEW_EACH_MS;
}

static void count_made(void)
{
    int64_t now = procd_now_ms();

    new_spent_until_ms = (new_spent_until_ms > now ? new_spent_until_ms : now) + NEW_EACH_MS;
}

static int open_beneath(int dir, const char *path, int make)
{
    struct open_how how = { .flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

    if (make) {
        how.flags |= O_CREAT;
        how.mode = 0640;
    }
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* @return -1 and errno (EDQUOT: too many are new) */
static int open_or_make(int dir, const char *path, int always)
{
    int fd = open_beneath(dir, path, 0);

    if (fd != -1 || errno != ENOENT) {
        return fd;
    }
    if (!always && !may_make()) {
        errno = EDQUOT;
        return -1;
    }
    fd = open_beneath(dir, path, 1);
    if (fd != -1) {
        count_made();
    }
    return fd;
}

/* A site that owns the directory may have put a pipe or a device there. */
static int only_regular(int fd)
{
    struct stat st;

    if (fd != -1 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

static int open_file(const group *g, const char *name, char path[PATH_ROOM])
{
    char pattern[PATH_ROOM], *slash, *first;
    int relative = g->def->log_path[0] != '/', dir, fd, error;

    path[0] = '\0';
    if (snprintf(pattern, sizeof(pattern), "%s%s%s", relative ? the_manager.server_root : "", relative ? "/" : "",
                 g->def->log_path)
            >= (int)sizeof(pattern)
        || !(first = strstr(pattern, PROCD_LOG_HOST)) || host_name_put(pattern, name, path, PATH_ROOM) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    slash = memrchr(pattern, '/', (size_t)(first - pattern));
    slash[1] = '\0';
    dir = open(pattern, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fd = dir == -1 ? -1 : only_regular(open_or_make(dir, path + strlen(pattern), strcmp(name, HOST_NAME_OTHER) == 0));
    error = errno;
    if (dir != -1) {
        close(dir);
    }
    errno = error;
    return fd;
}

/* ------------------------------------------------------------------ those that are open */

static void complain(group *g, const char *path, int error)
{
    int64_t now = procd_now_ms();

    if (g->host_complained_ms && now < g->host_complained_ms + COMPLAIN_MS) {
        return;
    }
    g->host_complained_ms = now;
    if (error == EDQUOT) {
        manager_log(LEVEL_WARNING, g,
                    "PRD0321: group %s: SpawnErrorLog: more than %d new hosts and then %d a second: lines of further "
                    "ones go to that of %s",
                    g->name, NEW_MOST, 1000 / NEW_EACH_MS, HOST_NAME_OTHER);
        return;
    }
    manager_log(LEVEL_WARNING, g, "PRD0320: group %s: cannot open SpawnErrorLog %.400s: %s; its lines go to that of %s",
                g->name, path, strerror(error), HOST_NAME_OTHER);
}

static host_file *find(const group *g, const char *name)
{
    host_file *oldest = &files[0];

    for (int i = 0; i < OPEN_MOST; i++) {
        host_file *f = &files[i];

        if (f->group == g && strcmp(f->name, name) == 0) {
            return f;
        }
        if (oldest->group && (!f->group || f->used < oldest->used)) {
            oldest = f;
        }
    }
    return oldest;
}

static void forget(host_file *f)
{
    if (f->group && f->fd != -1) {
        close(f->fd);
    }
    f->group = NULL;
}

static int file_of(group *g, const char *name)
{
    host_file *f = find(g, name);
    char path[PATH_ROOM];
    int mine = f->group == g && strcmp(f->name, name) == 0;

    if (!mine || (f->fd == -1 && procd_now_ms() >= f->again_ms)) {
        forget(f);
        f->fd = open_file(g, name, path);
        if (f->fd == -1) {
            complain(g, path, errno);
        }
        f->again_ms = procd_now_ms() + AGAIN_MS;
        f->group = g;
        strcpy(f->name, name);
    }
    f->used = ++uses;
    return f->fd;
}

int hostlog_file(group *g, const char *host, size_t len)
{
    char name[HOST_NAME_ROOM];
    int fd;

    if (host) {
        host_name_clean(host, len, name);
    }
    else {
        host = g->server_name ? g->server_name : the_manager.server_name;
        host_name_clean(host ? host : "", host ? strlen(host) : 0, name);
    }
    fd = file_of(g, name);
    return fd == -1 && strcmp(name, HOST_NAME_OTHER) != 0 ? file_of(g, HOST_NAME_OTHER) : fd;
}

void hostlog_close(const group *g)
{
    for (int i = 0; i < OPEN_MOST; i++) {
        if (files[i].group == g) {
            forget(&files[i]);
        }
    }
}
