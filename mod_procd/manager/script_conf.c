/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What the definition of a group of pipe type says about its scripts: where they are, whose, and their environment. */
#include "script.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void free_strings(char **list, int n)
{
    for (int i = 0; list && i < n; i++) {
        free(list[i]);
    }
    free(list);
}

/* ------------------------------------------------------------------ directories */

/* One that is not there, or is the root of all, is left out. */
static void add_root(char ***list, int *n, const char *path)
{
    char *real = realpath(path, NULL), **grown;

    if (!real || strcmp(real, "/") == 0) {
        free(real);
        return;
    }
    grown = realloc(*list, (size_t)(*n + 1) * sizeof(char *));
    if (!grown) {
        free(real);
        return;
    }
    grown[(*n)++] = real;
    *list = grown;
}

void script_add_default_root(const char *path, size_t len)
{
    char *text = strndup(path, len);

    if (text) {
        add_root(&the_manager.script_roots, &the_manager.n_script_roots, text);
        free(text);
    }
}

void script_clear_default_roots(void)
{
    free_strings(the_manager.script_roots, the_manager.n_script_roots);
    the_manager.script_roots = NULL;
    the_manager.n_script_roots = 0;
}

static void set_roots(group *g)
{
    for (int i = 0; i < g->def->n_script_roots; i++) {
        int before = g->cgi->n_roots;

        add_root(&g->cgi->roots, &g->cgi->n_roots, g->def->script_roots[i]);
        if (g->cgi->n_roots == before) {
            manager_log(LEVEL_WARNING, g, "PRD0600: group %s: SpawnScriptRoot %s is not there: %s", g->name,
                        g->def->script_roots[i], strerror(errno));
        }
    }
}

static const char *set_chroot(group *g)
{
    char *real = g->def->chroot_dir ? realpath(g->def->chroot_dir, NULL) : NULL;

    if (g->def->chroot_dir && !real) {
        return "SpawnChroot is not there";
    }
    if (real && strcmp(real, "/") == 0) {
        free(real);
        real = NULL;
    }
    g->cgi->chroot_dir = real;
    return NULL;
}

void script_rules_of(const group *g, script_rules *rules)
{
    int own = g->def->n_script_roots > 0;

    rules->roots = own ? g->cgi->roots : the_manager.script_roots;
    rules->n_roots = own ? g->cgi->n_roots : the_manager.n_script_roots;
    rules->chroot_dir = g->cgi->chroot_dir;
    rules->by_itself = g->def->argc == 0;
    rules->other_user = g->cgi->other_user;
    rules->owners = g->cgi->owners;
    rules->n_owners = g->cgi->n_owners;
}

/* ------------------------------------------------------------------ users */

static int find_user(const char *name, uid_t *uid)
{
    const struct passwd *pw;
    int number;

    if (name[0] == '#' && procd_parse_int(name + 1, 0, INT32_MAX, &number) == 0) {
        *uid = (uid_t)number;
        return 1;
    }
    pw = getpwnam(name);
    if (pw) {
        *uid = pw->pw_uid;
    }
    return pw != NULL;
}

static const char *set_owners(group *g)
{
    script_side *cgi = g->cgi;

    cgi->owners = calloc((size_t)g->def->n_script_owners + 1, sizeof(uid_t));
    if (!cgi->owners) {
        return "no memory";
    }
    cgi->owners[cgi->n_owners++] = g->id.uid;
    for (int i = 0; i < g->def->n_script_owners; i++) {
        if (!find_user(g->def->script_owners[i], &cgi->owners[cgi->n_owners++])) {
            return "SpawnScriptOwner: there is no such user";
        }
    }
    return NULL;
}

static const char *check_user(group *g)
{
    const procd_wire_global *httpd = &the_manager.global;

    g->cgi->as_root = geteuid() == 0;
    g->cgi->other_user = g->cgi->as_root && (g->id.uid != httpd->uid || g->id.gid != httpd->gid);
    if (g->cgi->as_root && g->id.uid == 0) {
        return "scripts must not run as root";
    }
    if (g->cgi->other_user && g->id.uid != httpd->uid && g->id.uid < PROCD_SCRIPT_LEAST_ID) {
        return "SpawnUser: scripts run as a user of the system (below 100) only if it is httpd's own";
    }
    if (g->cgi->other_user && g->id.gid != httpd->gid && g->id.gid < PROCD_SCRIPT_LEAST_ID) {
        return "SpawnGroup: scripts run with a group of the system (below 100) only if it is httpd's own";
    }
    return NULL;
}

/* ------------------------------------------------------------------ all of it */

void script_forget_conf(group *g)
{
    script_side *cgi = g->cgi;

    if (cgi) {
        free_strings(cgi->roots, cgi->n_roots);
        free(cgi->owners);
        free(cgi->chroot_dir);
        spawn_environment_free(cgi->env);
        cgi->roots = NULL;
        cgi->owners = NULL;
        cgi->chroot_dir = NULL;
        cgi->env = NULL;
        cgi->n_roots = cgi->n_owners = 0;
    }
}

int script_is_refused(const group *g)
{
    return g->def && g->def->socket_type == PROCD_SOCKET_PIPE && (!g->cgi || !g->cgi->env);
}

int script_side_make(group *g)
{
    if (!g->cgi && (g->cgi = calloc(1, sizeof(*g->cgi)))) {
        g->cgi->open_slot = -1;
    }
    return g->cgi != NULL;
}

const char *script_configure(group *g)
{
    const char *why;

    if (!g->cgi && g->def->socket_type != PROCD_SOCKET_PIPE) {
        return NULL;
    }
    if (!script_side_make(g)) {
        return "no memory";
    }
    script_forget_conf(g);
    if (g->def->socket_type != PROCD_SOCKET_PIPE) {
        return NULL;
    }
    set_roots(g);
    why = set_chroot(g);
    why = why ? why : check_user(g);
    why = why ? why : set_owners(g);
    if (!why) { /* without an environment nothing is started, whoever asks for it */
        g->cgi->env = spawn_environment(g->def);
        why = g->cgi->env ? NULL : "no memory";
    }
    return why;
}
