/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  ctl.h
 * @brief procctl's rooms: ask.c talks to the manager, show.c prints, top.c prints again and again, lines.c prints what
 *        processes wrote, check.c needs no manager at all, json.c quotes.
 */
#ifndef PROCCTL_H
#define PROCCTL_H

#include "ctl_text.h"

#include <sys/types.h>

/** Exit codes. */
enum { CTL_OK = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_NO_MANAGER = 3, CTL_NOT_SERVING = 4 };

/** Values that one record may have. */
#define CTL_PAIRS 24

/** Where the socket is, and how a request is put. */
typedef struct ctl_channel {
    const char *path;
    int fd;
    int json; /* answer, also what goes wrong, as JSON */
} ctl_channel;

/** Say what is wrong: on standard error, or as {"error":"..."}. */
void ctl_wrong(const ctl_channel *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Connect. What fails is said. @return CTL_OK, or CTL_NO_MANAGER */
int ctl_connect(ctl_channel *c);
/** Send words, read the answer. @param text gets the long answer, malloc'ed and ended with NUL, or NULL without one; may
 *  be NULL. What fails is said. @return CTL_OK, CTL_REFUSED or CTL_NO_MANAGER */
int ctl_ask(ctl_channel *c, int n, const char *const *words, char **text);
/** @return bytes, 0 or -1 as recvmsg(), ended with NUL; *fd is a descriptor that came, or -1 */
ssize_t ctl_receive(int from, char *text, size_t room, int *fd);
/** Would the manager understand these words? @return NULL, or what is wrong */
const char *ctl_check_words(int n, const char *const *words);

/** Print the lines of a text; as JSON an object each. */
void ctl_show_lines(const ctl_channel *c, char *text);
/** Print the lines that come until the manager closes. */
int ctl_follow(ctl_channel *c);

/** To standard output, in quotes. */
void ctl_json_string(const char *text, size_t len);

/** Print the records (which are changed). @return CTL_OK, or CTL_NOT_SERVING when a group serves nobody */
int ctl_show_text(char *records);
int ctl_show_json(char *records);

/** @param seconds  between two pictures; @param count  how many, 0: until told to stop */
int ctl_top(ctl_channel *c, double seconds, int count);

/** Are the files valid definitions of groups, as ProcdGroupDir takes them? */
int ctl_check(int n, char **files, int json);

#endif /* PROCCTL_H */
