/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* SpawnErrorLog: a file, a program, syslog, or what the server has. */
#include "groupdef_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

/* With the group's name, which has no slash, in place of every %{name}. @return NULL: no memory */
static char *with_name(procd_parse *p, const char *from)
{
    size_t name = strlen(p->def->name);
    char *text = procd_arena_alloc(p->arena, strlen(from) / 7 * name + strlen(from) + 1), *out = text;
    const char *hit;

    for (; text && (hit = strstr(from, "%{name}")); from = hit + 7) {
        memcpy(out, from, (size_t)(hit - from));
        out = stpcpy(out + (hit - from), p->def->name);
    }
    if (text) {
        strcpy(out, from);
    }
    return text;
}

static int set_log_program(procd_parse *p, const char *text)
{
    const char *at = text, *end = text + strlen(text);
    char **argv = procd_arena_alloc(p->arena, (PROCD_LOG_WORDS + 1) * sizeof(char *)), *word;
    int n = 0, bad = 0;

    while (argv && (word = procd_next_word(p->arena, &at, end, &bad)) && n < PROCD_LOG_WORDS) {
        argv[n++] = word;
    }
    if (!argv || bad || n == 0 || n == PROCD_LOG_WORDS || argv[0][0] != '/') {
        return procd_def_bad(p, p->words[0],
                             "|PROGRAM with the program's absolute path, perhaps with arguments, in quotes");
    }
    p->def->log_kind = PROCD_LOG_PROGRAM;
    p->def->log_argv = argv;
    return 0;
}

/* syslog[:facility[:tag]], as ErrorLog has it. */
static int set_log_syslog(procd_parse *p, const char *text)
{
    static const struct {
        const char *name;
        int facility;
    } names[] = { { "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON },
                  { "daemon", LOG_DAEMON }, { "ftp", LOG_FTP },           { "kern", LOG_KERN },
                  { "lpr", LOG_LPR },       { "mail", LOG_MAIL },         { "news", LOG_NEWS },
                  { "syslog", LOG_SYSLOG }, { "user", LOG_USER },         { "uucp", LOG_UUCP },
                  { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },     { "local2", LOG_LOCAL2 },
                  { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },     { "local5", LOG_LOCAL5 },
                  { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 } };
    const char *facility = text[6] == ':' ? text + 7 : "", *tag = strchr(facility, ':');
    size_t len = tag ? (size_t)(tag - facility) : strlen(facility);

    p->def->log_facility = len ? -1 : LOG_DAEMON;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i].name) == len && strncasecmp(facility, names[i].name, len) == 0) {
            p->def->log_facility = names[i].facility;
        }
    }
    if ((text[6] && text[6] != ':') || p->def->log_facility == -1) {
        return procd_def_bad(p, p->words[0],
                             "syslog, syslog:FACILITY or syslog:FACILITY:TAG with a facility such as daemon or local1");
    }
    p->def->log_kind = PROCD_LOG_SYSLOG;
    p->def->log_path = with_name(p, tag && tag[1] ? tag + 1 : p->def->name);
    return p->def->log_path ? 0 : -1;
}

/* In the path %{SERVER_NAME} stands, and nothing else that has a %. */
static int set_log_file(procd_parse *p, const char *from)
{
    const size_t len = strlen(PROCD_LOG_HOST);
    int hosts = 0;

    for (const char *at = strchr(p->def->log_path, '%'); at; at = strchr(at + len, '%')) {
        if (strncmp(at, PROCD_LOG_HOST, len) != 0) {
            hosts = -1;
            break;
        }
        hosts++;
    }
    if (!from[0] || hosts < 0 || hosts > PROCD_LOG_HOSTS) {
        return procd_def_bad(
            p, from,
            "a path, perhaps with %{name} and %{SERVER_NAME} (at most 4 times) and no other %, |PROGRAM, "
            "syslog:FACILITY or inherit");
    }
    p->def->log_kind = PROCD_LOG_FILE;
    p->def->log_by_host = hosts > 0;
    return 0;
}

int procd_set_error_log(procd_parse *p)
{
    const char *from = p->words[0];

    if (strcasecmp(from, "inherit") == 0) {
        p->def->log_kind = PROCD_LOG_INHERIT;
        return 0;
    }
    if (strlen(from) > 2048) {
        return procd_def_fail(p, "is longer than 2048 bytes");
    }
    if (strstr(from, PROCD_LOG_HOST) && (from[0] == '|' || strncasecmp(from, "syslog", 6) == 0)) {
        return procd_def_bad(p, from, "%{SERVER_NAME} only in the path of a file");
    }
    if (strncasecmp(from, "syslog", 6) == 0 && (from[6] == '\0' || from[6] == ':')) {
        return set_log_syslog(p, from);
    }
    p->def->log_path = with_name(p, from);
    if (!p->def->log_path) {
        return -1;
    }
    if (from[0] == '|') {
        return set_log_program(p, p->def->log_path + 1);
    }
    return set_log_file(p, from);
}
