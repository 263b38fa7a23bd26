/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "ctl_text.h"

#include "groupdef.h"

#include <string.h>

/* ------------------------------------------------------------------ requests */

static const struct {
    const char *name;
    procd_ctl_command command;
    int least, most; /* words behind it */
} commands[] = {
    { "status", PROCD_CTL_STATUS, 0, 1 },   { "start", PROCD_CTL_START, 1, 1 },   { "stop", PROCD_CTL_STOP, 1, 1 },
    { "restart", PROCD_CTL_RESTART, 0, 1 }, { "reload", PROCD_CTL_RELOAD, 0, 1 }, { "scale", PROCD_CTL_SCALE, 2, 3 },
    { "logs", PROCD_CTL_LOGS, 1, 2 },
};

/* The packet's words. @return how many, -1: it is not made of words */
static int split(const char *bytes, size_t len, const char *words[PROCD_CTL_WORDS])
{
    int n = 0;

    if (len == 0 || len > PROCD_CTL_REQUEST_MAX || bytes[len - 1] != '\0') {
        return -1;
    }
    for (const char *at = bytes; at < bytes + len; at += strlen(at) + 1) {
        if (n == PROCD_CTL_WORDS) {
            return -1;
        }
        words[n++] = at;
    }
    return n;
}

static const char *parse_scale(procd_ctl_request *request, int n, const char *const *words)
{
    static const char wrong[] = "scale takes a number of processes, MIN MAX, or default";

    request->min = request->max = -1;
    if (n == 1 && strcmp(words[0], "default") == 0) {
        return NULL;
    }
    if (procd_parse_int(words[0], 0, PROCD_PROCESSES_MAX, &request->min) != 0) {
        return wrong;
    }
    request->max = request->min;
    if (n == 2 && procd_parse_int(words[1], 1, PROCD_PROCESSES_MAX, &request->max) != 0) {
        return wrong;
    }
    if (request->max == 0) {
        return "scale to 0 would refuse every request: that is what stop does";
    }
    return request->min > request->max ? "MIN must not be more than MAX" : NULL;
}

/* A group's name, or NAME@host:port of a virtual host's. */
static int is_key(const char *word)
{
    size_t n = strlen(word);

    for (const char *c = word; *c; c++) {
        if (*c <= ' ' || *c > '~') {
            return 0;
        }
    }
    return n > 0 && n < 192;
}

const char *procd_ctl_parse(const char *bytes, size_t len, procd_ctl_request *request)
{
    const char *words[PROCD_CTL_WORDS];
    int n = split(bytes, len, words), rest;
    size_t i = 0;

    memset(request, 0, sizeof(*request));
    if (n < 2) {
        return "not a request";
    }
    if (strcmp(words[0], PROCD_CTL_VERSION) != 0) {
        return "procctl and the manager are of different versions";
    }
    while (i < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[i].name, words[1]) != 0) {
        i++;
    }
    if (i == sizeof(commands) / sizeof(commands[0])) {
        return "unknown command";
    }
    rest = n - 2;
    if (rest < commands[i].least || rest > commands[i].most) {
        return "wrong number of arguments";
    }
    request->command = commands[i].command;
    if (rest > 0) {
        if (!is_key(words[2])) {
            return "not the name of a group";
        }
        request->group = words[2];
    }
    if (request->command == PROCD_CTL_SCALE) {
        return parse_scale(request, rest - 1, words + 3);
    }
    if (rest == 2 && strcmp(words[3], "follow") != 0) {
        return "logs takes a group and perhaps follow";
    }
    request->follow = rest == 2;
    return NULL;
}

size_t procd_ctl_pack(char *out, size_t room, int n, const char *const *words)
{
    size_t len = 0;

    for (int i = 0; i < n; i++) {
        size_t word = strlen(words[i]) + 1;

        if (word > room - len) {
            return 0;
        }
        memcpy(out + len, words[i], word);
        len += word;
    }
    return len;
}

/* ------------------------------------------------------------------ records */

size_t procd_ctl_escape(char *out, size_t room, const char *value)
{
    static const char plain[] = "\t\n\r\\", letters[] = "tnr\\";
    size_t n = 0;

    for (; *value && n + 3 <= room; value++) {
        const char *hit = strchr(plain, *value);

        if (hit) {
            out[n++] = '\\';
            out[n++] = letters[hit - plain];
        }
        else {
            out[n++] = *value;
        }
    }
    if (room) {
        out[n] = '\0';
    }
    return n;
}

static void unescape(char *text)
{
    char *out = text;

    for (; *text; text++) {
        if (*text == '\\' && text[1]) {
            text++;
            *out++ = (char)(*text == 't' ? '\t' : *text == 'n' ? '\n' : *text == 'r' ? '\r' : *text);
        }
        else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

int procd_ctl_next(char **text, procd_ctl_pair *pairs, int most)
{
    char *line = *text, *eol, *at;
    int n = 0;

    while (*line == '\n') {
        line++;
    }
    if (!*line || most < 1) {
        return 0;
    }
    eol = line + strcspn(line, "\n");
    *text = *eol ? eol + 1 : eol;
    *eol = '\0';
    while (line && n < most) {
        at = strchr(line, '\t');
        if (at) {
            *at++ = '\0';
        }
        pairs[n].key = line;
        line = strchr(line, '=');
        pairs[n].value = "";
        if (n > 0 && line) {
            *line++ = '\0';
            unescape(line);
            pairs[n].value = line;
        }
        n++;
        line = at;
    }
    return n;
}

const char *procd_ctl_value(const procd_ctl_pair *pairs, int n, const char *key)
{
    for (int i = 1; i < n; i++) {
        if (strcmp(pairs[i].key, key) == 0) {
            return pairs[i].value;
        }
    }
    return "";
}
