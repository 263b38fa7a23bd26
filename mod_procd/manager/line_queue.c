/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Lines of an application's standard error that came to a child of httpd through the application's protocol. A child that
 * was taken over can send any: it gets no further than the files of a group that has one for each host. */
#include "hostlog.h"

#include <errno.h>

#define CHILDREN_MOST 1024

static visit hear(int fd, watch *w)
{
    char bytes[PROCD_LINE_ROOM];
    procd_line_head head;
    procd_line line;
    int rv = procd_line_receive(fd, &head, bytes, &line);
    group *g = rv == 1 && head.group < PROCD_MAX_GROUPS ? the_manager.groups[head.group] : NULL;

    (void)w;
    if (g && g->def && g->def->log_by_host) {
        log_line_of_host(g, head.pid, &line);
    }
    return rv == 1 || (rv == -1 && (errno == EAGAIN || errno == EINTR)) ? VISIT_GOES_ON : VISIT_ENDS;
}

int line_listen(int listener)
{
    return visitors_let_in(listener, CHILDREN_MOST, hear);
}
