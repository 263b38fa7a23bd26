/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* The control socket: `control` in ProcdRuntimeDir, for procctl.
 *
 * Only root and the user that the manager runs as may speak: the socket's mode says so, and so does SO_PEERCRED. A client
 * says one thing and gets one answer; the long ones travel as a memfd and a follower's lines are dropped when it does not
 * read them, so that nobody can make the manager wait. The file is replaced by rename: there is always one, and a manager
 * that ends removes it only while it is its own. */
#include "ctl_text.h"
#include "manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_MOST 64
#define AGAIN_MS 500

typedef struct client {
    watch channel;
    char follows[PROCD_KEY_MAX]; /* a group whose lines it gets, or empty */
    struct client *next;
} client;

static watch listener = { .fd = -1 };
static int listener_fd = -1; /* also while it is not in the loop */
static timer again;
static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static struct stat socket_is;
static client *clients;
static int n_clients;

/* ------------------------------------------------------------------ answers */

static void drop(client *c)
{
    client **at = &clients;

    while (*at && *at != c) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = c->next;
        n_clients--;
    }
    loop_unwatch(&c->channel, 1);
    free(c);
}

/* `fd` (or -1) is closed. */
static void answer(const client *c, const char *word, const char *text, int fd)
{
    char line[512];
    struct iovec iov = { line, (size_t)snprintf(line, sizeof(line), "%s%s%s", word, *text ? " " : "", text) };

    if (iov.iov_len >= sizeof(line)) {
        iov.iov_len = sizeof(line) - 1;
    }
    (void)!procd_wire_send(c->channel.fd, &iov, 1, &fd, fd != -1);
    if (fd != -1) {
        close(fd);
    }
}

static void answer_blob(const client *c, procd_blob *b)
{
    int fd = b->failed ? -1 : procd_blob_to_fd(b);

    if (fd == -1) {
        answer(c, "error", "no memory for the answer", -1);
    }
    else {
        answer(c, "ok", "", fd);
    }
    procd_blob_free(b);
}

/* ------------------------------------------------------------------ requests */

static group *find_group(const char *name)
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        if (g && !g->removed && strcmp(g->key, name) == 0) {
            return g;
        }
    }
    return NULL;
}

static const char *order_all(const char *(*order)(group *g))
{
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        if (g && !g->removed && g->def && !group_is_halted(g)) {
            order(g);
        }
    }
    return NULL;
}

static void give_logs(client *c, const procd_ctl_request *request, const group *g)
{
    procd_blob b = { 0 };
    char *text = malloc(TAIL_COPY_ROOM);

    if (text) {
        report_add(&b, text, tail_copy(g, text, TAIL_COPY_ROOM));
    }
    free(text);
    if (request->follow) {
        memcpy(c->follows, g->key, sizeof(c->follows));
    }
    answer_blob(c, &b);
}

static void do_request(client *c, const procd_ctl_request *request)
{
    group *g = request->group ? find_group(request->group) : NULL;
    const char *wrong = NULL;
    procd_blob b = { 0 };

    if (request->group && !g && request->command != PROCD_CTL_RELOAD) { /* whose file may have come just now */
        char text[PROCD_KEY_MAX + 32];

        snprintf(text, sizeof(text), "there is no group %s", request->group);
        answer(c, "error", text, -1);
        return;
    }
    if (the_manager.mode != MODE_RUNNING && request->command != PROCD_CTL_STATUS
        && request->command != PROCD_CTL_LOGS) {
        answer(c, "error", "the manager is ending", -1);
        return;
    }
    switch (request->command) {
    case PROCD_CTL_STATUS:
        report_status(&b, request->group);
        answer_blob(c, &b);
        return;
    case PROCD_CTL_LOGS: give_logs(c, request, g); return;
    case PROCD_CTL_START: wrong = group_order_start(g); break;
    case PROCD_CTL_STOP: wrong = group_order_stop(g); break;
    case PROCD_CTL_RESTART: wrong = g ? group_order_restart(g) : order_all(group_order_restart); break;
    case PROCD_CTL_RELOAD: wrong = groupdir_reload(request->group); break;
    case PROCD_CTL_SCALE: wrong = group_order_scale(g, request->min, request->max); break;
    }
    answer(c, wrong ? "error" : "ok", wrong ? wrong : "", -1);
}

static void on_client(watch *w)
{
    client *c = w->of;
    char packet[PROCD_CTL_REQUEST_MAX + 1];
    procd_ctl_request request;
    const char *wrong;
    ssize_t n = recv(w->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || c->follows[0]) {
        drop(c);
        return;
    }
    wrong = procd_ctl_parse(packet, (size_t)n, &request);
    if (wrong) {
        answer(c, "error", wrong, -1);
    }
    else {
        do_request(c, &request);
    }
    if (!c->follows[0]) {
        drop(c);
    }
}

static void on_listener(watch *w);

static void on_again(timer *t)
{
    (void)t;
    if (listener_fd != -1 && loop_watch(&listener, listener_fd, on_listener, NULL) != 0) {
        loop_timer(&again, procd_now_ms() + AGAIN_MS, on_again, NULL);
    }
}

/* No descriptor is free: whoever knocks would be heard again and again. */
static void cannot_accept(int error)
{
    static int64_t said_ms;
    int64_t now = procd_now_ms();

    if (!said_ms || now - said_ms >= 60000) {
        said_ms = now;
        manager_log(LEVEL_ERROR, NULL, "PRD0742: cannot hear procctl: %s", strerror(error));
    }
    loop_unwatch(&listener, 0);
    loop_timer(&again, now + AGAIN_MS, on_again, NULL);
}

static void on_listener(watch *w)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer = { 0, (uid_t)-1, (gid_t)-1 };
    socklen_t len = sizeof(peer);
    client *c;

    if (fd == -1) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            cannot_accept(errno);
        }
        return;
    }
    if (n_clients == CLIENTS_MOST || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0
        || (peer.uid != 0 && peer.uid != geteuid()) || !(c = calloc(1, sizeof(*c)))) {
        close(fd);
        return;
    }
    if (loop_watch(&c->channel, fd, on_client, c) != 0) {
        close(fd);
        free(c);
        return;
    }
    c->next = clients;
    clients = c;
    n_clients++;
}

void control_line(const group *g, const char *line, size_t len)
{
    for (client *c = clients; c; c = c->next) {
        if (c->follows[0] && strcmp(c->follows, g->key) == 0) {
            (void)!send(c->channel.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
}

/* ------------------------------------------------------------------ the socket */

static int make_socket(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before;
    int rv;

    if (fd == -1) {
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path));
    unlink(path);
    before = umask(0177);
    rv = bind(fd, (struct sockaddr *)&un, (socklen_t)sizeof(un));
    umask(before);
    if (rv != 0 || listen(fd, 16) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Is the file still there, and the one that was made here? */
static int is_in_place(void)
{
    struct stat st;

    return stat(socket_path, &st) == 0 && st.st_dev == socket_is.st_dev && st.st_ino == socket_is.st_ino;
}

void control_open(void)
{
    char path[sizeof(socket_path)], made[sizeof(socket_path)];
    int n = snprintf(path, sizeof(path), "%s/control", the_manager.runtime_dir), fd;
    int m = snprintf(made, sizeof(made), "%s/control.%ld", the_manager.runtime_dir, (long)getpid());

    if (listener_fd != -1 && strcmp(path, socket_path) == 0 && is_in_place()) {
        return;
    }
    control_close();
    if (n <= 0 || m <= 0 || (size_t)m >= sizeof(made)) {
        manager_log(LEVEL_ERROR, NULL, "PRD0210: no control socket: the path of ProcdRuntimeDir %s is too long",
                    the_manager.runtime_dir);
        return;
    }
    fd = make_socket(made);
    if (fd == -1 || stat(made, &socket_is) != 0 || loop_watch(&listener, fd, on_listener, NULL) != 0
        || rename(made, path) != 0) {
        manager_log(LEVEL_ERROR, NULL, "PRD0211: no control socket %s: %s", path, strerror(errno));
        loop_unwatch(&listener, 0);
        unlink(made);
        if (fd != -1) {
            close(fd);
        }
        return;
    }
    listener_fd = fd;
    memcpy(socket_path, path, sizeof(socket_path));
}

void control_close(void)
{
    if (listener_fd != -1) {
        loop_cancel(&again);
        loop_unwatch(&listener, 0);
        close(listener_fd);
        listener_fd = -1;
        if (is_in_place()) {
            unlink(socket_path);
        }
    }
}
