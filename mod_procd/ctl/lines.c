/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* `procctl logs`: lines that processes wrote, as they are, or as JSON an object each:
 * {"group":"php","pid":1234,"time":"Sat Nov 21 14:50:04.276097 2026","text":"..."}. */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define MARK "] [procd:info] [pid "

/* [TIME] [procd:info] [pid N] [GROUP] TEXT; what does not look so is text altogether. */
static void as_json(const char *line)
{
    const char *mark = line[0] == '[' ? strstr(line, MARK) : NULL, *group = NULL, *text = NULL;
    char *behind;
    long pid = 0;

    if (mark) {
        pid = strtol(mark + sizeof(MARK) - 1, &behind, 10);
        group = strncmp(behind, "] [", 3) == 0 ? behind + 3 : NULL;
        text = group ? strstr(group, "] ") : NULL;
    }
    putchar('{');
    if (text) {
        fputs("\"group\":", stdout);
        ctl_json_string(group, (size_t)(text - group));
        printf(",\"pid\":%ld,\"time\":", pid);
        ctl_json_string(line + 1, (size_t)(mark - line - 1));
        putchar(',');
    }
    fputs("\"text\":", stdout);
    line = text ? text + 2 : line;
    ctl_json_string(line, strlen(line));
    puts("}");
}

static void show(const ctl_channel *c, const char *line)
{
    if (c->json) {
        as_json(line);
    }
    else {
        puts(line);
    }
}

void ctl_show_lines(const ctl_channel *c, char *text)
{
    for (char *line = text, *eol; *line; line = eol) {
        eol = line + strcspn(line, "\n");
        if (*eol) {
            *eol++ = '\0';
        }
        show(c, line);
    }
    fflush(stdout);
}

int ctl_follow(ctl_channel *c)
{
    struct timeval for_ever = { 0, 0 };
    static char line[PROCD_CTL_LINE_MAX];
    int fd;

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
    while (ctl_receive(c->fd, line, sizeof(line), &fd) > 0) {
        show(c, line);
        if (fflush(stdout) != 0) {
            return CTL_OK;
        }
    }
    ctl_wrong(c, "the manager has ended");
    return CTL_NO_MANAGER;
}
