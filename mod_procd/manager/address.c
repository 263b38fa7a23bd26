/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Sockets of processes, and the directory they are in.
 *
 * Who may connect: httpd's User. With a manager that is root, ProcdRuntimeDir is root's with httpd's Group and mode 0710
 * (nobody lists it, the Group may pass), each socket belongs to httpd's User with mode 0600. Without root everything is
 * the one user's, modes 0700 and 0600. Processes need no right on their own socket: they inherit it listening.
 *
 * A socket file is removed with its process. One that was left behind by a manager that was killed together with httpd
 * is recognised by that nobody answers there. */
#include "manager.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 511
#define SUFFIX ".sock"

static int fail_with(int fd, const char *path)
{
    int error = errno;

    close(fd);
    if (path) {
        unlink(path);
    }
    errno = error;
    return -1;
}

static int listen_unix(const group *g, process *p, struct sockaddr_storage *addr, socklen_t *len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)addr;
    int fd, n;

    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    n = snprintf(un->sun_path, sizeof(un->sun_path), "%s/%.24s.%llx" SUFFIX, the_manager.runtime_dir, g->name,
                 (unsigned long long)p->instance);
    if (n < 0 || (size_t)n >= sizeof(un->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    *len = (socklen_t)sizeof(*un);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }
    unlink(un->sun_path);
    if (bind(fd, (struct sockaddr *)un, *len) != 0) {
        return fail_with(fd, NULL);
    }
    if (chmod(un->sun_path, 0600) != 0
        || (geteuid() == 0 && lchown(un->sun_path, the_manager.global.uid, the_manager.global.gid) != 0)
        || listen(fd, BACKLOG) != 0) {
        return fail_with(fd, un->sun_path);
    }
    memcpy(p->path, un->sun_path, sizeof(p->path));
    return fd;
}

static int listen_tcp(struct sockaddr_storage *addr, socklen_t *len)
{
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return -1;
    }
    memset(in, 0, sizeof(*in));
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *len = sizeof(*in);
    if (bind(fd, (struct sockaddr *)in, *len) != 0 || listen(fd, BACKLOG) != 0
        || getsockname(fd, (struct sockaddr *)in, len) != 0) {
        return fail_with(fd, NULL);
    }
    return fd;
}

/* The parent has bound it: another process may hold it at the same time, and the next will. */
static int listen_named(const group *g, const process *p, struct sockaddr_storage *addr, socklen_t *len)
{
    int fd = p->name_index < g->n_listen ? g->listen_fds[p->name_index] : -1;

    *len = sizeof(*addr);
    if (fd == -1) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    if (getsockname(fd, (struct sockaddr *)addr, len) != 0) {
        return -1;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int address_listen(group *g, process *p, struct sockaddr_storage *addr, socklen_t *len)
{
    if (p->name_index >= 0) {
        return listen_named(g, p, addr, len);
    }
    return g->def->socket_type == PROCD_SOCKET_TCP ? listen_tcp(addr, len) : listen_unix(g, p, addr, len);
}

void address_remove(process *p)
{
    if (p->path[0]) {
        unlink(p->path);
        p->path[0] = '\0';
    }
}

static int nobody_listens(const struct sockaddr *addr, socklen_t len)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), dead = 0;

    if (fd != -1) {
        dead = connect(fd, addr, len) != 0 && (errno == ECONNREFUSED || errno == ENOENT);
        close(fd);
    }
    return dead;
}

int address_is_dead(const process *p)
{
    procd_hold hold;
    uint32_t state;

    return procd_row_read(p->row, &hold, &state) == 0 && nobody_listens(&hold.addr.sa, hold.addr_len);
}

/* ------------------------------------------------------------------ the directory */

static void remove_stale(void)
{
    DIR *dir = opendir(the_manager.runtime_dir);
    struct dirent *e;

    if (!dir) {
        return;
    }
    while ((e = readdir(dir))) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        size_t len = strlen(e->d_name);
        int n;

        if (len <= strlen(SUFFIX) || strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) != 0) {
            continue;
        }
        n = snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", the_manager.runtime_dir, e->d_name);
        if (n > 0 && (size_t)n < sizeof(un.sun_path) && nobody_listens((struct sockaddr *)&un, (socklen_t)sizeof(un))) {
            manager_log(LEVEL_DEBUG, NULL, "PRD0160: removing stale socket %s", un.sun_path);
            unlink(un.sun_path);
        }
    }
    closedir(dir);
}

/* The directory must be ours and nobody else's to write: sockets of root's making are put there. */
int address_prepare_dir(void)
{
    const char *dir = the_manager.runtime_dir;
    int root = geteuid() == 0;
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return -1;
    }
    if (lstat(dir, &st) != 0) {
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    if (st.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    if ((root && chown(dir, 0, the_manager.global.gid) != 0) || chmod(dir, root ? 0710 : 0700) != 0) {
        return -1;
    }
    remove_stale();
    return 0;
}
