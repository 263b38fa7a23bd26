/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Lines of applications that a child of httpd has seen, on their way to the manager. */
#include "procd_mod.h"

#include "http_main.h"
#include "apr_atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

#define COMPLAIN_SECONDS 10

static int door = -1;
static int channel = -1; /* this child's connection; its number never changes */
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;
static apr_uint32_t dropped, complained; /* since the last complaint; when that was, in seconds */

void procd_line_child_init(int line_door)
{
    door = line_door;
    channel = door == -1 ? -1 : procd_door_knock(door);
}

static int is_connected(void)
{
    struct pollfd p = { .fd = channel };

    return poll(&p, 1, 0) == 0;
}

/* The manager it led to is gone. Threads that use the number meanwhile have the old one or the new one. */
static int connect_again(void)
{
    int fd, rv = 0;

    pthread_mutex_lock(&connecting);
    if (!is_connected()) {
        fd = procd_door_knock(door);
        rv = fd == -1 ? -1 : dup3(fd, channel, O_CLOEXEC);
        if (fd != -1) {
            close(fd);
        }
    }
    pthread_mutex_unlock(&connecting);
    return rv == -1 ? -1 : 0;
}

static int pass_on(int row, pid_t pid, const procd_line *line)
{
    if (channel == -1) {
        return -1;
    }
    if (procd_line_send(channel, (apr_uint32_t)row, pid, line) == 0) {
        return 0;
    }
    return errno != EAGAIN && connect_again() == 0 ? procd_line_send(channel, (apr_uint32_t)row, pid, line) : -1;
}

/* One of the threads does it for all. */
static void complain(void)
{
    apr_uint32_t now = (apr_uint32_t)(procd_now_ms() / 1000), last = apr_atomic_read32(&complained), n;

    if ((last && now - last < COMPLAIN_SECONDS) || apr_atomic_cas32(&complained, now, last) != last) {
        return;
    }
    n = apr_atomic_xchg32(&dropped, 0);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                 "PRD0330: %u lines of applications' standard error were dropped: the manager is behind", n);
}

static apr_status_t procd_line_write(procd_group *g, pid_t pid, const char *host, const char *text, apr_size_t len)
{
    procd_line line = { .host = host, .text = text, .host_len = strlen(host), .text_len = len };
    int row = procd_client_row(g);

    if (row < 0 || !procd_client_tables.manager || !procd_client_tables.manager->groups[row].log_by_host) {
        return APR_ENOTIMPL;
    }
    if (pass_on(row, pid, &line) != 0) {
        apr_atomic_inc32(&dropped);
    }
    if (apr_atomic_read32(&dropped)) {
        complain();
    }
    return APR_SUCCESS;
}

void procd_line_register_functions(void)
{
    APR_REGISTER_OPTIONAL_FN(procd_line_write);
}
