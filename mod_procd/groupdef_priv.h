/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  groupdef_priv.h
 * @brief What the files of the parser of <Spawn> share: groupdef.c reads lines, groupdef_set.c has a function for each
 *        directive and the table of them, groupdef_log.c those of SpawnErrorLog.
 */
#ifndef PROCD_GROUPDEF_PRIV_H
#define PROCD_GROUPDEF_PRIV_H

#include "groupdef.h"

/** A text while it is read. */
typedef struct procd_parse {
    procd_groupdef *def;
    procd_arena *arena;
    procd_deferror *error;
    const char *directive; /* as the table spells it */
    int line;
    int n;                            /* words behind the directive's name */
    char *words[PROCD_WORDS_MAX + 1]; /* ends in NULL */
    int has_processes, has_concurrency;
} procd_parse;

/** A directive of <Spawn>. */
typedef struct procd_directive {
    const char *name;
    int (*set)(procd_parse *p); /* NULL: not in this version */
    int least, most;            /* words; most -1: any number */
    int repeats;
    const char *usage;
} procd_directive;

#define PROCD_DIRECTIVES_MAX 64
/** The table. @return how many; at most PROCD_DIRECTIVES_MAX */
int procd_directives(const procd_directive **table);

/** Say what is wrong with the line. @return -1 */
int procd_def_fail(procd_parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
int procd_def_bad(procd_parse *p, const char *word, const char *accepted);
/** A word of the text inside a message: not too long. */
const char *procd_def_shown(const char *word, char buf[64]);

/* groupdef_log.c */
int procd_set_error_log(procd_parse *p);

#endif /* PROCD_GROUPDEF_PRIV_H */
