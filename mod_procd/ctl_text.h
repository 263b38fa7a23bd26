/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  ctl_text.h
 * @brief What procctl and the manager say to each other over the control socket (SOCK_SEQPACKET).
 *
 * A request is one packet: words with a NUL behind each. The answer is one packet, `ok` or `error` and a text; what is
 * long (the state of all groups) comes with it as a sealed memfd, so that the manager never waits for a reader. After
 * `logs NAME follow` lines come, a packet each.
 *
 * The long answer is a text of records, a line each: a word, then tab and KEY=VALUE for each value. In values tab, line
 * feed, carriage return and backslash are written \t, \n, \r and \\. Keys may be added; who reads ignores unknown ones.
 */
#ifndef PROCD_CTL_TEXT_H
#define PROCD_CTL_TEXT_H

#include <stddef.h>

#define PROCD_CTL_VERSION "1"
#define PROCD_CTL_REQUEST_MAX 1024
#define PROCD_CTL_WORDS 6
#define PROCD_CTL_LINE_MAX 40000

typedef enum procd_ctl_command {
    PROCD_CTL_STATUS,
    PROCD_CTL_START,
    PROCD_CTL_STOP,
    PROCD_CTL_RESTART,
    PROCD_CTL_RELOAD,
    PROCD_CTL_SCALE,
    PROCD_CTL_LOGS
} procd_ctl_command;

typedef struct procd_ctl_request {
    procd_ctl_command command;
    const char *group; /* NULL: all of them (status, restart, reload) */
    int min, max;      /* scale; -1, -1: as configured */
    int follow;        /* logs */
} procd_ctl_request;

/** Parse a request packet; strings point into it. Pure. @return NULL, or a static text that says what is wrong */
const char *procd_ctl_parse(const char *bytes, size_t len, procd_ctl_request *request);

/** Put words into a packet. @return its length, 0: too long */
size_t procd_ctl_pack(char *out, size_t room, int n, const char *const *words);

/** Write value as records have it. @return bytes written without the NUL; never more than room - 1; cut where it ends */
size_t procd_ctl_escape(char *out, size_t room, const char *value);

typedef struct procd_ctl_pair {
    const char *key, *value;
} procd_ctl_pair;

/** Take the next record of a text, which is changed: strings are ended and unescaped in place. Pure.
 *  @param text  NUL-terminated; advanced
 *  @return pairs found, the record's word as pairs[0].key with an empty value; 0: no more. Pairs past `most` are dropped */
int procd_ctl_next(char **text, procd_ctl_pair *pairs, int most);

/** The value of a key. @return "" when there is none */
const char *procd_ctl_value(const procd_ctl_pair *pairs, int n, const char *key);

#endif /* PROCD_CTL_TEXT_H */
