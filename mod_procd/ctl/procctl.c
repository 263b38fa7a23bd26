/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* procctl: what an administrator says to the process manager. */
#include "ctl.h"

#include "groupdef.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PROCD_CONTROL_SOCKET
#define PROCD_CONTROL_SOCKET "/var/run/apache2/procd/control"
#endif

static const char help[] =
    "usage: procctl [-s SOCKET] [--json] COMMAND\n"
    "\n"
    "  status [GROUP]                groups and their processes\n"
    "  top [-d SECONDS] [-n COUNT]   the same, live; q ends it\n"
    "  start GROUP                   let a stopped group work again; ends the delay after failed starts\n"
    "  stop GROUP                    end its processes when their requests are done; requests are refused until start\n"
    "  restart [GROUP]               replace its processes, the new ones ready first\n"
    "  reload [GROUP]                read the files of ProcdGroupDir again\n"
    "  scale GROUP N | MIN MAX | default\n"
    "                                how many processes, until the definition changes\n"
    "  logs GROUP [-f]               the last lines that its processes wrote; -f: and those to come\n"
    "  check FILE ...                is it a valid file for ProcdGroupDir? (needs no manager)\n"
    "\n"
    "With --json (-j) all of them answer as JSON, also what goes wrong.\n"
    "The socket is `control` in ProcdRuntimeDir: -s, else $PROCD_SOCKET, else\n" PROCD_CONTROL_SOCKET "\n"
    "Exit status: 0 done, 1 refused, 2 wrong usage, 3 no manager, 4 (status) a group serves nobody\n";

typedef struct options {
    ctl_channel channel;
    int follow, count;
    double seconds;
} options;

static int usage(const options *o, const char *what)
{
    ctl_wrong(&o->channel, "%s", what);
    if (!o->channel.json) {
        fputs("procctl --help tells how it is used\n", stderr);
    }
    return CTL_USAGE;
}

/* Options may stand anywhere. @return index of the first word, -1: wrong, -2: --help */
static int read_options(int argc, char **argv, options *o)
{
    static const struct option longs[] = { { "socket", required_argument, NULL, 's' },
                                           { "json", no_argument, NULL, 'j' },
                                           { "follow", no_argument, NULL, 'f' },
                                           { "help", no_argument, NULL, 'h' },
                                           { NULL, 0, NULL, 0 } };
    const char *path = getenv("PROCD_SOCKET");
    char *end = NULL;
    int c, bad = 0;

    o->channel.path = path && *path ? path : PROCD_CONTROL_SOCKET;
    o->channel.fd = -1;
    o->seconds = 1;
    while ((c = getopt_long(argc, argv, "s:jfhd:n:", longs, NULL)) != -1) {
        switch (c) {
        case 's': o->channel.path = optarg; break;
        case 'j': o->channel.json = 1; break;
        case 'f': o->follow = 1; break;
        case 'd':
            o->seconds = strtod(optarg, &end);
            bad |= *end || !(o->seconds >= 0.1 && o->seconds < 3600);
            break;
        case 'n': bad |= procd_parse_int(optarg, 1, INT32_MAX, &o->count) != 0; break;
        case 'h': return -2;
        default: bad = 1;
        }
    }
    return bad ? -1 : optind;
}

static int simple(options *o, int n, const char *const *words)
{
    char *text = NULL;
    int rc = ctl_connect(&o->channel);

    rc = rc ? rc : ctl_ask(&o->channel, n, words, &text);
    if (rc == CTL_OK && text && strcmp(words[0], "status") == 0) {
        rc = o->channel.json ? ctl_show_json(text) : ctl_show_text(text);
    }
    else if (rc == CTL_OK && text) {
        ctl_show_lines(&o->channel, text);
    }
    else if (rc == CTL_OK && o->channel.json) {
        puts("{\"ok\":true}");
    }
    free(text);
    return rc;
}

static int logs(options *o, int n, const char **words)
{
    int rc;

    if (o->follow) {
        words[n++] = "follow";
    }
    rc = simple(o, n, words);
    return rc == CTL_OK && o->follow ? ctl_follow(&o->channel) : rc;
}

int main(int argc, char **argv)
{
    options o = { 0 };
    int first = read_options(argc, argv, &o), n = argc - first;
    const char *words[PROCD_CTL_WORDS + 2], *wrong;

    if (first == -2) {
        fputs(help, stdout);
        return CTL_OK;
    }
    if (first < 0 || n < 1) {
        return usage(&o, first < 0 ? "unknown option or bad value" : "no command");
    }
    if (strcmp(argv[first], "check") == 0) {
        return n > 1 ? ctl_check(n - 1, argv + first + 1, o.channel.json) : usage(&o, "check takes files");
    }
    for (int i = 0; i < n && i < PROCD_CTL_WORDS; i++) {
        words[i] = argv[first + i];
    }
    if (strcmp(words[0], "top") == 0) {
        return n == 1 ? ctl_top(&o.channel, o.seconds, o.count) : usage(&o, "top takes no group");
    }
    wrong = ctl_check_words(n, words);
    if (wrong) {
        return usage(&o, wrong);
    }
    if (strcmp(words[0], "logs") == 0) {
        return n == 2 ? logs(&o, n, words) : usage(&o, "logs takes one group");
    }
    return simple(&o, n, words);
}
