/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Reading the text inside <Spawn>: lines, words, and what no single line can tell. */
#include "groupdef_priv.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *procd_def_shown(const char *word, char buf[64])
{
    snprintf(buf, 64, "%.59s%s", word, strlen(word) > 59 ? "..." : "");
    return buf;
}

int procd_def_fail(procd_parse *p, const char *format, ...)
{
    va_list args;
    int n = 0;

    p->error->line = p->line;
    if (p->directive) {
        n = snprintf(p->error->text, sizeof(p->error->text), "%s ", p->directive);
    }
    va_start(args, format);
    vsnprintf(p->error->text + n, sizeof(p->error->text) - (size_t)n, format, args);
    va_end(args);
    for (char *c = p->error->text; *c; c++) {
        if (!isprint((unsigned char)*c)) {
            *c = '?'; /* of the text's making */
        }
    }
    return -1;
}

int procd_def_bad(procd_parse *p, const char *word, const char *accepted)
{
    char buf[64];

    return procd_def_fail(p, "\"%s\" is not valid: it takes %s", procd_def_shown(word, buf), accepted);
}

const char *procd_groupdef_directive(int i)
{
    const procd_directive *table;
    int n = procd_directives(&table);

    return i >= 0 && i < n ? table[i].name : NULL;
}

static const procd_directive *find_directive(const char *name, int *index)
{
    const procd_directive *table;
    int n = procd_directives(&table);

    for (int i = 0; i < n; i++) {
        if (strcasecmp(name, table[i].name) == 0) {
            *index = i;
            return &table[i];
        }
    }
    return NULL;
}

/* The line where the directive stands; 0: nowhere. */
static int line_of(const int seen[PROCD_DIRECTIVES_MAX], const char *name)
{
    int i = 0;

    return find_directive(name, &i) ? seen[i] : 0;
}

/* ------------------------------------------------------------------ lines */

static int split_words(procd_parse *p, const char *at, const char *end)
{
    char *word;
    int bad;

    p->n = 0;
    while ((word = procd_next_word(p->arena, &at, end, &bad))) {
        if (p->n == PROCD_WORDS_MAX) {
            return procd_def_fail(p, "has more than %d values", PROCD_WORDS_MAX);
        }
        p->words[p->n++] = word;
    }
    p->words[p->n] = NULL;
    return bad ? procd_def_fail(p, "has a quote that is not closed") : 0;
}

static int parse_line(procd_parse *p, const char *at, const char *end, int seen[PROCD_DIRECTIVES_MAX])
{
    const procd_directive *d;
    char *name, buf[64];
    int bad, index, *before;

    name = procd_next_word(p->arena, &at, end, &bad);
    if (!name || name[0] == '#') {
        return bad ? procd_def_fail(p, "a quote is not closed") : 0;
    }
    d = find_directive(name, &index);
    if (!d) {
        return procd_def_fail(
            p, "\"%s\" is not a directive of <Spawn>: see SpawnCommand, SpawnProcesses and the others of its list",
            procd_def_shown(name, buf));
    }
    p->directive = d->name;
    if (!d->set) {
        return procd_def_fail(p, "is not available in this version");
    }
    before = &seen[index];
    if (*before && !d->repeats) {
        return procd_def_fail(p, "appears twice (first on line %d of this group)", *before);
    }
    *before = p->line;
    if (split_words(p, at, end) != 0) {
        return -1;
    }
    if (p->n < d->least || (d->most >= 0 && p->n > d->most)) {
        return procd_def_fail(p, "takes: %s %s", d->name, d->usage);
    }
    return d->set(p);
}

/* @return 0, or -1: one of these stands in the definition and must not, for that reason */
static int none_of(procd_parse *p, const int seen[PROCD_DIRECTIVES_MAX], const char *const *names, const char *why)
{
    for (; *names; names++) {
        if (line_of(seen, *names)) {
            p->line = line_of(seen, *names);
            p->directive = *names;
            return procd_def_fail(p, "%s", why);
        }
    }
    return 0;
}

/* What makes sense for CGI, and what for CGI only. */
static int check_pipe(procd_parse *p, const int seen[PROCD_DIRECTIVES_MAX])
{
    static const char *const of_servers[] = { "SpawnSocketName",  "SpawnConcurrency",
                                              "SpawnMaxRequests", "SpawnIdleTimeout",
                                              "SpawnStart",       "SpawnStartTimeout",
                                              "SpawnRestart",     NULL };
    static const char *const of_scripts[] = { "SpawnScriptRoot", "SpawnScriptOwner", NULL };

    if (p->def->socket_type == PROCD_SOCKET_PIPE) {
        return none_of(p, seen, of_servers,
                       "has no meaning with SpawnSocketType pipe: a process is started for each request");
    }
    return none_of(p, seen, of_scripts, "needs SpawnSocketType pipe: only CGI scripts are looked up by their path");
}

/* What no single line can tell. */
static int check_whole(procd_parse *p, const int seen[PROCD_DIRECTIVES_MAX])
{
    procd_groupdef *def = p->def;

    p->line = 0;
    p->directive = NULL;
    if (check_pipe(p, seen) != 0) {
        return -1;
    }
    if (!def->argv && def->socket_type != PROCD_SOCKET_PIPE) {
        return procd_def_fail(p, "SpawnCommand is missing: a group needs the program that it starts");
    }
    if (def->spare >= def->max && def->spare > 0) {
        return procd_def_fail(p, "SpawnSpare %d with a maximum of %d: it must be less than MAX of SpawnProcesses",
                              def->spare, def->max);
    }
    if (line_of(seen, "SpawnStart") && def->start_always && def->min == 0) {
        return procd_def_fail(p, "SpawnStart always needs a minimum: SpawnProcesses with MIN 1 or more");
    }
    if (def->n_socket_names == 0) {
        return 0;
    }
    p->directive = "SpawnSocketName";
    p->line = line_of(seen, "SpawnSocketName");
    for (int i = 0; i < def->n_socket_names; i++) {
        const char *accepted = procd_check_address(def->socket_names[i], def->socket_type);

        if (accepted) {
            return procd_def_bad(p, def->socket_names[i], accepted);
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(def->socket_names[i], def->socket_names[j]) == 0) {
                return procd_def_fail(p, "names %s twice", def->socket_names[i]);
            }
        }
    }
    if (def->n_socket_names > PROCD_PROCESSES_MAX) {
        return procd_def_fail(p, "has more than %d addresses", PROCD_PROCESSES_MAX);
    }
    if (!p->has_processes) {
        def->min = def->max = def->n_socket_names;
    }
    if (def->max != def->n_socket_names) {
        return procd_def_fail(
            p, "has %d addresses and SpawnProcesses a maximum of %d: there is one process for each address",
            def->n_socket_names, def->max);
    }
    return 0;
}

static procd_groupdef *create_def(procd_arena *arena, const char *name)
{
    procd_groupdef *def = procd_arena_alloc(arena, sizeof(*def));

    if (!def || !(def->name = procd_arena_copy(arena, name, strlen(name)))) {
        return NULL;
    }
    def->memory = arena;
    def->min = 1;
    def->max = 4;
    def->concurrency = 1;
    def->start_always = 1;
    def->idle_ms = 60000;
    def->start_timeout_ms = 30000;
    def->stop_timeout_ms = 10000;
    def->backoff_min_ms = 100;
    def->backoff_max_ms = 30000;
    def->umask_bits = 022;
    def->kill_signal = SIGTERM;
    return def;
}

static int parse_lines(procd_parse *p, const char *text, size_t len)
{
    const char *at = text, *end = text + len, *eol;
    int seen[PROCD_DIRECTIVES_MAX] = { 0 };

    if (len > PROCD_TEXT_MAX) {
        return procd_def_fail(p, "the definition is longer than %d bytes", PROCD_TEXT_MAX);
    }
    if (memchr(text, '\0', len)) {
        return procd_def_fail(p, "the definition contains a NUL byte");
    }
    for (; at < end; at = eol + 1) {
        eol = memchr(at, '\n', (size_t)(end - at));
        if (!eol) {
            eol = end;
        }
        p->line++;
        p->directive = NULL;
        if (parse_line(p, at, eol, seen) != 0) {
            return -1;
        }
    }
    return check_whole(p, seen);
}

int procd_groupdef_parse(procd_groupdef **def, const char *name, const char *text, size_t len, procd_deferror *error)
{
    procd_arena *arena = procd_arena_create();
    procd_parse *p;

    *def = NULL;
    error->line = 0;
    error->text[0] = '\0';
    p = arena ? procd_arena_alloc(arena, sizeof(*p)) : NULL;
    if (!p || !(p->def = create_def(arena, name))) {
        procd_arena_destroy(arena);
        return -1;
    }
    p->arena = arena;
    p->error = error;
    if (parse_lines(p, text, len) != 0) {
        procd_arena_destroy(arena);
        return -1;
    }
    *def = p->def;
    return 0;
}

void procd_groupdef_free(procd_groupdef *def)
{
    if (def) {
        procd_arena_destroy(def->memory);
    }
}

const char *procd_groupdef_not_in_dir(const procd_groupdef *def)
{
    if (def->n_socket_names) {
        return "SpawnSocketName needs a <Spawn> block: such sockets are httpd's";
    }
    return def->socket_type == PROCD_SOCKET_PIPE ? "SpawnSocketType pipe needs a <Spawn> block" : NULL;
}
