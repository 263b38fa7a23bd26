/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Words, numbers, durations, sizes, signals and addresses of a group's definition. Everything is bounded by the
 * text's own length and nothing here is trusted to end in NUL but the words that procd_next_word() made. */
#include "groupdef.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

/* ------------------------------------------------------------------ memory */

struct procd_arena {
    void *last; /* each piece begins with a pointer to the one before */
};

typedef union piece {
    void *before;
    max_align_t align;
} piece;

procd_arena *procd_arena_create(void)
{
    return calloc(1, sizeof(procd_arena));
}

void *procd_arena_alloc(procd_arena *arena, size_t size)
{
    piece *p;

    if (size > (size_t)16 << 20) {
        return NULL;
    }
    p = calloc(1, sizeof(*p) + size);
    if (!p) {
        return NULL;
    }
    p->before = arena->last;
    arena->last = p;
    return p + 1;
}

char *procd_arena_copy(procd_arena *arena, const char *from, size_t len)
{
    char *copy = procd_arena_alloc(arena, len + 1);

    if (copy && len) {
        memcpy(copy, from, len);
    }
    return copy;
}

void procd_arena_destroy(procd_arena *arena)
{
    void *p, *before;

    if (!arena) {
        return;
    }
    for (p = arena->last; p; p = before) {
        before = ((piece *)p)->before;
        free(p);
    }
    free(arena);
}

/* ------------------------------------------------------------------ words */

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char *quoted_word(procd_arena *arena, const char **at, const char *end, int *bad)
{
    const char *p = *at;
    char quote = *p++;
    char *word = procd_arena_alloc(arena, (size_t)(end - p) + 1), *out = word;

    if (!word) {
        *bad = 1;
        return NULL;
    }
    for (; p < end && *p != quote; p++) {
        if (*p == '\\' && p + 1 < end && (p[1] == quote || p[1] == '\\')) {
            p++;
        }
        *out++ = *p;
    }
    if (p == end) {
        *bad = 1;
        return NULL;
    }
    *out = '\0';
    *at = p + 1;
    return word;
}

char *procd_next_word(procd_arena *arena, const char **at, const char *end, int *bad)
{
    const char *p = *at;
    char *word;

    *bad = 0;
    while (p < end && is_blank(*p)) {
        p++;
    }
    *at = p;
    if (p == end) {
        return NULL;
    }
    if (*p == '"' || *p == '\'') {
        return quoted_word(arena, at, end, bad);
    }
    while (p < end && !is_blank(*p)) {
        p++;
    }
    word = procd_arena_copy(arena, *at, (size_t)(p - *at));
    *at = p;
    *bad = word == NULL;
    return word;
}

/* ------------------------------------------------------------------ numbers */

/* Digits only: no sign, no blank, no base. */
static int leading_number(const char *word, uint64_t *value, const char **rest)
{
    const char *p = word;
    uint64_t n = 0;

    if (!isdigit((unsigned char)*p)) {
        return -1;
    }
    for (; isdigit((unsigned char)*p); p++) {
        if (n > (UINT64_MAX - 9) / 10) {
            return -1;
        }
        n = n * 10 + (uint64_t)(*p - '0');
    }
    *value = n;
    *rest = p;
    return 0;
}

int procd_parse_duration(const char *word, int64_t *ms)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 } };
    const uint64_t most = (uint64_t)365 * 86400 * 1000;
    const char *rest;
    uint64_t n;

    if (leading_number(word, &n, &rest) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcasecmp(rest, units[i].suffix) == 0) {
            if (n > most / units[i].factor) {
                return -1;
            }
            *ms = (int64_t)(n * units[i].factor);
            return 0;
        }
    }
    return -1;
}

int procd_parse_size(const char *word, uint64_t *bytes)
{
    static const char letters[] = "kmgt";
    const char *rest, *letter;
    unsigned int shift;
    uint64_t n;

    if (leading_number(word, &n, &rest) != 0) {
        return -1;
    }
    if (*rest == '\0') {
        *bytes = n;
        return 0;
    }
    letter = strchr(letters, tolower((unsigned char)*rest));
    if (!letter || rest[1] != '\0') {
        return -1;
    }
    shift = 10 * (unsigned int)(letter - letters + 1);
    if (n > (UINT64_MAX >> 1) >> shift) {
        return -1;
    }
    *bytes = n << shift;
    return 0;
}

int procd_parse_int(const char *word, int low, int high, int *value)
{
    int negative = low < 0 && *word == '-';
    const char *rest;
    uint64_t n;
    int64_t v;

    if (leading_number(word + negative, &n, &rest) != 0 || *rest != '\0' || n > INT32_MAX) {
        return -1;
    }
    v = negative ? -(int64_t)n : (int64_t)n;
    if (v < low || v > high) {
        return -1;
    }
    *value = (int)v;
    return 0;
}

static const struct {
    const char *name;
    int number;
} signals[] = { { "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT }, { "KILL", SIGKILL },
                { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "TERM", SIGTERM }, { "WINCH", SIGWINCH },
                { "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "CONT", SIGCONT }, { "SEGV", SIGSEGV },
                { "BUS", SIGBUS },   { "FPE", SIGFPE },   { "ILL", SIGILL },   { "PIPE", SIGPIPE },
                { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ }, { "SYS", SIGSYS },   { "TRAP", SIGTRAP } };

int procd_parse_signal(const char *word)
{
    int number;

    if (procd_parse_int(word, 1, 64, &number) == 0) {
        return number;
    }
    if (strncasecmp(word, "SIG", 3) == 0) {
        word += 3;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcasecmp(word, signals[i].name) == 0) {
            return signals[i].number;
        }
    }
    return -1;
}

const char *procd_signal_name(int signal, char buf[16])
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (signals[i].number == signal) {
            snprintf(buf, 16, "SIG%s", signals[i].name);
            return buf;
        }
    }
    snprintf(buf, 16, "signal %d", signal & 0x7f);
    return buf;
}

/* ------------------------------------------------------------------ names and addresses */

int procd_name_ok(const char *name)
{
    size_t i;

    if (!isalnum((unsigned char)name[0])) {
        return 0;
    }
    for (i = 1; name[i]; i++) {
        if (i == PROCD_NAME_MAX || !(isalnum((unsigned char)name[i]) || strchr("_-.", name[i]))) {
            return 0;
        }
    }
    return 1;
}

const char *procd_check_address(const char *word, procd_socket_type type)
{
    const char *colon = strrchr(word, ':');
    char host[64];
    struct in_addr v4;
    struct in6_addr v6;
    size_t len;
    int port;

    if (type == PROCD_SOCKET_UNIX) {
        if (strncmp(word, "unix:", 5) == 0) {
            word += 5;
        }
        return word[0] == '/' && strlen(word) < sizeof(((struct sockaddr_un *)0)->sun_path)
                   ? NULL
                   : "an absolute path of less than 108 bytes (or SpawnSocketType tcp for host:port)";
    }
    if (!colon || procd_parse_int(colon + 1, 1, 65535, &port) != 0) {
        return "ADDRESS:PORT with a port of 1 to 65535";
    }
    len = (size_t)(colon - word);
    if (word[0] == '[' && len >= 2 && word[len - 1] == ']') {
        word++;
        len -= 2;
    }
    if (len >= sizeof(host)) {
        return "an IPv4 address or an IPv6 address in brackets";
    }
    memcpy(host, word, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, &v4) == 1 || inet_pton(AF_INET6, host, &v6) == 1
        || strcasecmp(host, "localhost") == 0) {
        return NULL;
    }
    return "an IPv4 address, an IPv6 address in brackets or localhost";
}
