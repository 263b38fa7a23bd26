/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* SpawnCgroup: a cgroup (v2) for each group, made below the manager's own or where path= says, its limits written, its
 * processes put into it before exec.
 *
 * A cgroup that has processes of its own cannot hand controllers on to those below (but the root). The manager's own has: itself and
 * mostly httpd. So where its parent is marked as delegated, as systemd does for a service with Delegate= and
 * DelegateSubgroup=, ours are made beside it. */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PATH_ROOM 4096
#define SWEEP_MS 1000

typedef struct trouble {
    char *why;
    size_t room;
} trouble;

__attribute__((format(printf, 2, 3))) static int fail(const trouble *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(t->why, t->room, format, args);
    va_end(args);
    return -1;
}

/* ------------------------------------------------------------------ files of a cgroup */

/* @return 0, or -1 and errno; the text ends in NUL, and without a line feed */
static int read_file(const char *dir, const char *name, char *text, size_t room)
{
    char path[PATH_ROOM + 64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }
    n = read(fd, text, room - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return n < 0 ? -1 : 0;
}

static int write_file(const char *dir, const char *name, const char *text)
{
    char path[PATH_ROOM + 64];
    size_t len = strlen(text);
    int fd, error;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }
    n = write(fd, text, len);
    error = errno;
    close(fd);
    errno = error;
    return n == (ssize_t)len ? 0 : -1;
}

static int has_word(const char *list, const char *word, size_t len)
{
    for (const char *at = list; (at = strstr(at, word)); at += len) {
        if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' ')) {
            return 1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ where */

static int is_cgroup(const char *dir)
{
    struct statfs fs;

    return statfs(dir, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* @return 1: it is mounted there */
static int find_mount(char dir[PATH_ROOM])
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char room[PATH_ROOM];
    struct mntent entry, *e;
    int found = 0;

    while (mounts && !found && (e = getmntent_r(mounts, &entry, room, sizeof(room)))) {
        found = strcmp(e->mnt_type, "cgroup2") == 0;
        if (found) {
            snprintf(dir, PATH_ROOM, "%s", e->mnt_dir);
        }
    }
    if (mounts) {
        endmntent(mounts);
    }
    return found;
}

/* The manager's own cgroup of v2, below the mount. @return 0, or -1 */
static int own_path(char path[PATH_ROOM])
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[PATH_ROOM];
    int rv = -1;

    while (f && rv != 0 && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(path, PATH_ROOM, "%s", line[4] ? line + 3 : "");
            rv = 0;
        }
    }
    if (f) {
        fclose(f);
    }
    return rv;
}

static int is_delegated(const char *dir)
{
    char value[4];

    return getxattr(dir, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1';
}

static int find_parent(const procd_groupdef *def, char dir[PATH_ROOM], const trouble *t)
{
    char own[PATH_ROOM], *slash;
    size_t mount_len;

    if (def->cgroup_parent) {
        snprintf(dir, PATH_ROOM, "%s", def->cgroup_parent);
        return is_cgroup(dir) ? 0 : fail(t, "SpawnCgroup: %.200s is not a cgroup of version 2", dir);
    }
    if (!find_mount(dir) || own_path(own) != 0) {
        return fail(t, "SpawnCgroup: this system has no cgroup version 2 (no cgroup2 is mounted)");
    }
    mount_len = strlen(dir);
    if (mount_len + strlen(own) >= PATH_ROOM) {
        return fail(t, "SpawnCgroup: the manager's own cgroup has too long a path");
    }
    strcpy(dir + mount_len, own);
    slash = strrchr(dir, '/');
    if (slash && (size_t)(slash - dir) >= mount_len && own[0]) {
        *slash = '\0';
        if (!is_delegated(dir)) {
            *slash = '/';
        }
    }
    return is_cgroup(dir) ? 0 : fail(t, "SpawnCgroup: the manager's own cgroup %.200s is not to be seen", dir);
}

/* Other processes of the machine see this name. */
static int name_dir(const group *g, const char *parent, char dir[PATH_ROOM])
{
    int n = snprintf(dir, PATH_ROOM, "%s/procd-%s", parent, g->key);

    if (n >= PATH_ROOM) {
        return -1;
    }
    for (char *c = dir + strlen(parent) + 1; *c; c++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@", *c)) {
            *c = '_';
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ making it */

static int enable(const char *parent, const char *file, const trouble *t)
{
    char have[1024], on[1024], word[32];
    size_t len = strcspn(file, ".");

    snprintf(word, sizeof(word), "+%.*s", (int)len, file);
    if (read_file(parent, "cgroup.controllers", have, sizeof(have)) != 0
        || read_file(parent, "cgroup.subtree_control", on, sizeof(on)) != 0) {
        return fail(t, "SpawnCgroup: cannot read %.200s: %s", parent, strerror(errno));
    }
    if (has_word(on, word + 1, len)) {
        return 0;
    }
    if (!has_word(have, word + 1, len)) {
        return fail(t, "SpawnCgroup %s: %.200s has no controller %s (it has: %.100s)", file, parent, word + 1,
                    have[0] ? have : "none");
    }
    if (write_file(parent, "cgroup.subtree_control", word) == 0) {
        return 0;
    }
    return fail(t, "SpawnCgroup %s: cannot hand on controller %s in %.200s: %s", file, word + 1, parent,
                errno == EBUSY ? "it has processes of its own (see Delegate in the documentation)" : strerror(errno));
}

static int write_limits(const procd_groupdef *def, const char *dir, const trouble *t)
{
    for (int i = 0; procd_cgroup_file(i); i++) {
        const char *file = procd_cgroup_file(i), *value = def->cgroup_values[i];

        if (value && write_file(dir, file, value) != 0) {
            return fail(t, "SpawnCgroup %s: cannot write \"%s\" in %.200s: %s", file, value, dir, strerror(errno));
        }
        if (!value) {
            (void)write_file(dir, file, procd_cgroup_unset(i)); /* an earlier definition may have set it */
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ removing it */

/** Those that still have processes, of a group that has none any more: of sessions of their own. */
#define LEAVING_MOST 64
static char *leaving[LEAVING_MOST];
static timer sweep;

static int is_gone(const char *dir)
{
    return rmdir(dir) == 0 || errno == ENOENT;
}

static void on_sweep(timer *t)
{
    int left = 0;

    for (int i = 0; i < LEAVING_MOST; i++) {
        if (leaving[i] && is_gone(leaving[i])) {
            free(leaving[i]);
            leaving[i] = NULL;
        }
        left += leaving[i] != NULL;
    }
    if (left) {
        loop_timer(t, procd_now_ms() + SWEEP_MS, on_sweep, NULL);
    }
}

void cgroup_remove(group *g)
{
    char *dir = g->cgroup_dir;

    g->cgroup_dir = NULL;
    if (!dir || is_gone(dir)) {
        free(dir);
        return;
    }
    for (int i = 0; i < LEAVING_MOST; i++) {
        if (!leaving[i]) {
            leaving[i] = dir;
            loop_timer(&sweep, procd_now_ms() + SWEEP_MS, on_sweep, NULL);
            return;
        }
    }
    free(dir);
}

void cgroup_remove_all(void)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i]) {
            cgroup_remove(the_manager.groups[i]);
        }
    }
    on_sweep(&sweep);
}

/* ------------------------------------------------------------------ all of it */

static int make(group *g, const trouble *t)
{
    char parent[PATH_ROOM], dir[PATH_ROOM];

    if (find_parent(g->def, parent, t) != 0) {
        return -1;
    }
    if (name_dir(g, parent, dir) != 0) {
        return fail(t, "SpawnCgroup: the path is too long");
    }
    for (int i = 0; procd_cgroup_file(i); i++) {
        if (g->def->cgroup_values[i] && enable(parent, procd_cgroup_file(i), t) != 0) {
            return -1;
        }
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return fail(t, "SpawnCgroup: cannot make %.200s: %s", dir, strerror(errno));
    }
    if (g->cgroup_dir && strcmp(g->cgroup_dir, dir) != 0) {
        cgroup_remove(g);
    }
    if (!g->cgroup_dir && !(g->cgroup_dir = strdup(dir))) {
        return fail(t, "no memory");
    }
    return write_limits(g->def, dir, t);
}

static int open_procs(const group *g)
{
    char path[PATH_ROOM + 64];

    snprintf(path, sizeof(path), "%s/cgroup.procs", g->cgroup_dir);
    return open(path, O_WRONLY | O_CLOEXEC);
}

int cgroup_open(group *g, char *why, size_t room)
{
    trouble t = { why, room };
    int fd = -1;

    if (!g->def->has_cgroup) {
        return 0;
    }
    if (g->cgroup_dir && g->cgroup_made == g->definition) {
        fd = open_procs(g);
    }
    if (fd != -1) {
        return fd;
    }
    g->cgroup_made = 0;
    if (make(g, &t) != 0) {
        return -1;
    }
    fd = open_procs(g);
    if (fd == -1) {
        return fail(&t, "SpawnCgroup: cannot open cgroup.procs in %.200s: %s", g->cgroup_dir, strerror(errno));
    }
    g->cgroup_made = g->definition;
    return fd;
}

void cgroup_configure(group *g)
{
    char why[400];
    int fd;

    if (!g->def->has_cgroup) {
        cgroup_remove(g);
        return;
    }
    fd = cgroup_open(g, why, sizeof(why));
    if (fd != -1) {
        close(fd);
        return;
    }
    procd_why_write(g->row, why);
    manager_log(LEVEL_ERROR, g, "PRD0325: group %s: %s", g->name, why);
}
