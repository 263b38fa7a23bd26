/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  hostlog.h
 * @brief SpawnErrorLog with %{SERVER_NAME}: a file for each virtual host, whose name a client may have chosen.
 *
 * host_name.c makes a name fit for a path, hostlog.c keeps the files that are in use open, line_queue.c hears what
 * httpd's children pass on of an application's standard error.
 */
#ifndef PROCD_HOSTLOG_H
#define PROCD_HOSTLOG_H

#include "manager.h"

#include <stddef.h>

/* ------------------------------------------------------------------ host_name.c: pure */

#define HOST_NAME_ROOM 201
#define HOST_NAME_OTHER "_other" /* in place of what cannot be a host's name; no host has an underscore */

/** The host as it stands in a path: lower case; HOST_NAME_OTHER unless it is of letters, digits, `-` and `.`, begins with a
 *  letter or digit, has no empty label and is short enough. */
void host_name_clean(const char *host, size_t len, char name[HOST_NAME_ROOM]);
/** The pattern with the name in place of each %{SERVER_NAME}. @return 0, or -1: longer than room */
int host_name_put(const char *pattern, const char *name, char *out, size_t room);

/* ------------------------------------------------------------------ hostlog.c */

/** The file for lines of this host, or, when that cannot be opened, the one for HOST_NAME_OTHER. It stays ours.
 *  @param host NULL: the group's server @return -1: neither can be opened */
int hostlog_file(group *g, const char *host, size_t len);
/** Close this group's files; they are opened again when there is a line for them. */
void hostlog_close(const group *g);

/* ------------------------------------------------------------------ line_queue.c */

/** Hear lines of those who connect to this socket. */
int line_listen(int listener);

#endif /* PROCD_HOSTLOG_H */
