/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  ctl.h
 * @brief procctl's rooms: ask.c talks to the manager, show.c prints, top.c prints again and again, check.c needs no
 *        manager at all.
 */
#ifndef PROCCTL_H
#define PROCCTL_H

#include "ctl_text.h"

/** Exit codes. */
enum { CTL_OK = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_NO_MANAGER = 3, CTL_NOT_SERVING = 4 };

/** Values that one record may have. */
#define CTL_PAIRS 24

/** Where the socket is, and how a request is put. */
typedef struct ctl_channel {
    const char *path;
    int fd;
} ctl_channel;

/** Connect. What fails is said on standard error. @return CTL_OK, or CTL_NO_MANAGER */
int ctl_connect(ctl_channel *c);
/** Send words, read the answer. @param text gets the long answer, malloc'ed and ended with NUL, or NULL without one; may
 *  be NULL. What fails is said on standard error. @return CTL_OK, CTL_REFUSED or CTL_NO_MANAGER */
int ctl_ask(ctl_channel *c, int n, const char *const *words, char **text);
/** Print the lines that come until the manager closes. */
int ctl_follow(ctl_channel *c);

/** Print the records (which are changed). @return CTL_OK, or CTL_NOT_SERVING when a group serves nobody */
int ctl_show_text(char *records);
int ctl_show_json(char *records);

/** @param seconds  between two pictures; @param count  how many, 0: until told to stop */
int ctl_top(ctl_channel *c, double seconds, int count);

/** Is the file a valid definition of a group? */
int ctl_check(const char *file);

#endif /* PROCCTL_H */
