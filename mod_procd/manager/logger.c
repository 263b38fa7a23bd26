/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* SpawnErrorLog "|program": one program for each group reads its lines on descriptor 0. It runs as the manager does, as
 * httpd's own piped logs do, so that it can open and rotate files that the group's user may not touch.
 *
 * It is not a process of the group: its end is noticed when a line finds nobody reading, or by SIGCHLD, and it is started
 * again, not more than once a second. The end of the pipe tells it to end. */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_MS 1000
#define LEAVE_MS 1000
#define EXEC_MS 200

/** Those whose pipe was closed and who have not ended yet. */
#define LEAVING_MOST PROCD_MAX_GROUPS
static pid_t leaving[LEAVING_MOST];

/* Lines must not go into a pipe that nobody is going to read. exec is a matter of a millisecond; one that takes longer is
 * taken for good. @return 0 and errno: it failed */
static int is_executed(int report)
{
    struct pollfd p = { report, POLLIN, 0 };
    spawn_failure failure = { 0, 0 };
    ssize_t n = poll(&p, 1, EXEC_MS) == 1 ? read(report, &failure, sizeof(failure)) : 0;

    close(report);
    errno = failure.error;
    return n != (ssize_t)sizeof(failure);
}

static void start(group *g)
{
    static char *const environment[] = { (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                         NULL };
    int ends[2], report, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    procd_groupdef plain = { .umask_bits = 022 };
    spawn_order order = { .argv = g->def->log_argv, .envp = environment, .def = &plain };

    g->logger_next_ms = procd_now_ms() + AGAIN_MS;
    if (null == -1 || pipe2(ends, O_CLOEXEC) != 0) {
        manager_log(LEVEL_ERROR, g, "PRD0207: group %s: no pipe for its log program: %s", g->name, strerror(errno));
        if (null != -1) {
            close(null);
        }
        return;
    }
    order.listen_fd = ends[0];
    order.log_fd = null;
    g->logger_pid = spawn(&order, &report);
    close(ends[0]);
    close(null);
    if (g->logger_pid == -1 || !is_executed(report)) {
        manager_log(LEVEL_ERROR, g, "PRD0208: group %s: cannot start its log program %s: %s", g->name,
                    g->def->log_argv[0], strerror(errno));
        close(ends[1]);
        g->logger_pid = 0;
        return;
    }
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    g->log_file = ends[1];
}

static void remember_leaving(pid_t pid)
{
    for (int i = 0; i < LEAVING_MOST; i++) {
        if (!leaving[i]) {
            leaving[i] = pid;
            return;
        }
    }
    kill(pid, SIGTERM);
}

void logger_open(group *g)
{
    if (g->log_file == -1 && procd_now_ms() >= g->logger_next_ms) {
        start(g);
    }
}

void logger_close(group *g)
{
    if (g->logger_pid > 0) {
        remember_leaving(g->logger_pid);
    }
    g->logger_pid = 0;
}

void logger_again(group *g)
{
    if (g->log_file != -1) {
        close(g->log_file);
        g->log_file = -1;
    }
    logger_close(g);
    if (procd_now_ms() >= g->logger_next_ms) {
        start(g);
    }
}

int logger_ended(pid_t pid)
{
    for (int i = 0; i < LEAVING_MOST; i++) {
        if (leaving[i] == pid) {
            leaving[i] = 0;
            return 1;
        }
    }
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        if (g && g->logger_pid == pid) {
            manager_log(LEVEL_ERROR, g, "PRD0209: group %s: its log program %s has ended: starting it again", g->name,
                        g->def && g->def->log_argv ? g->def->log_argv[0] : "");
            g->logger_pid = 0;
            logger_again(g);
            return 1;
        }
    }
    return 0;
}

/* They have read the end of their pipes; whoever does not go is told to. */
void logger_wait_all(void)
{
    int64_t until = procd_now_ms() + LEAVE_MS;

    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        if (g && g->logger_pid > 0) {
            close(g->log_file);
            g->log_file = -1;
            logger_close(g);
        }
    }
    for (int i = 0; i < LEAVING_MOST; i++) {
        while (leaving[i] && kill(leaving[i], 0) == 0 && procd_now_ms() < until) {
            process_reap();
            usleep(5000);
        }
        if (leaving[i]) {
            kill(leaving[i], SIGTERM);
        }
    }
}
