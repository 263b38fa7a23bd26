/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Lines of an application's standard error that came to a child of httpd through the application's protocol. A child that
 * was taken over can send any: it gets no further than the files of a group that has one for each host. */
#include "hostlog.h"

static watch lines;

static void on_line(watch *w)
{
    char bytes[PROCD_LINE_ROOM];
    procd_line_head head;
    procd_line line;
    int rv = procd_line_receive(w->fd, &head, bytes, &line);
    group *g = rv == 1 && head.group < PROCD_MAX_GROUPS ? the_manager.groups[head.group] : NULL;

    if (g && g->def && g->def->log_by_host) {
        log_line_of_host(g, head.pid, &line);
    }
    else if (rv == 0 && loop_is_closed(w->fd)) {
        loop_unwatch(w, 1);
    }
}

int line_listen(int fd)
{
    return loop_watch(&lines, fd, on_line, NULL);
}
