/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A configuration is taken over by comparing: a group whose text and user are the same keeps its processes, one that has
 * changed gets a new definition (group.c sees that its processes are of another one), one that is not named any more
 * winds up. */
#include "hostlog.h"
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* ------------------------------------------------------------------ identities */

static int supplementary(const char *user, identity *id)
{
    int n = 64, *grown;

    for (int tries = 0; tries < 8; tries++, n *= 2) {
        int got = n;

        grown = realloc(id->groups, (size_t)n * sizeof(gid_t));
        if (!grown) {
            return -1;
        }
        id->groups = (gid_t *)grown;
        if (getgrouplist(user, id->gid, id->groups, &got) >= 0) {
            id->n_groups = got;
            return 0;
        }
    }
    errno = E2BIG;
    return -1;
}

/* @return NULL, or what is wrong */
static const char *resolve(const procd_groupdef *def, identity *id)
{
    const struct passwd *pw;
    const struct group *gr; /* the system's, not ours */
    int number;

    id->uid = the_manager.global.uid;
    id->gid = the_manager.global.gid;
    if (def->user && def->user[0] == '#' && procd_parse_int(def->user + 1, 1, INT32_MAX, &number) == 0) {
        pw = getpwuid((uid_t)number);
        id->uid = (uid_t)number;
        id->gid = pw ? pw->pw_gid : id->gid;
    }
    else if (def->user) {
        pw = getpwnam(def->user);
        if (!pw) {
            return "SpawnUser: there is no such user";
        }
        id->uid = pw->pw_uid;
        id->gid = pw->pw_gid;
    }
    else {
        pw = getpwuid(id->uid);
    }
    if (def->group && def->group[0] == '#' && procd_parse_int(def->group + 1, 1, INT32_MAX, &number) == 0) {
        id->gid = (gid_t)number;
    }
    else if (def->group) {
        gr = getgrnam(def->group);
        if (!gr) {
            return "SpawnGroup: there is no such group";
        }
        id->gid = gr->gr_gid;
    }
    if (geteuid() != 0) {
        return def->user && id->uid != geteuid() ? "SpawnUser needs httpd to be started as root" : NULL;
    }
    if (id->uid == 0 && def->user) {
        return "SpawnUser must not be root";
    }
    if (pw) {
        return supplementary(pw->pw_name, id) == 0 ? NULL : "cannot find the user's groups";
    }
    id->groups = malloc(sizeof(gid_t));
    if (id->groups) {
        id->groups[0] = id->gid;
        id->n_groups = 1;
    }
    return id->groups ? NULL : "no memory";
}

/* ------------------------------------------------------------------ groups */

static uint64_t fnv(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ p[i]) * 1099511628211ull;
    }
    return hash;
}

static uint64_t hash_definition(const char *text, size_t len, const identity *id)
{
    uint64_t hash = fnv(14695981039346656037ull, text, len);

    hash = fnv(hash, &id->uid, sizeof(id->uid));
    hash = fnv(hash, &id->gid, sizeof(id->gid));
    hash = fnv(hash, id->groups, (size_t)id->n_groups * sizeof(gid_t));
    return hash ? hash : 1;
}

static void raise_top(_Atomic int32_t *top, int n)
{
    if (atomic_load(top) < n) {
        atomic_store(top, n);
    }
}

group *group_create(int index, const char *name)
{
    group *g = calloc(1, sizeof(*g));

    if (g) {
        g->index = index;
        snprintf(g->name, sizeof(g->name), "%s", name);
        snprintf(g->key, sizeof(g->key), "%s", name);
        g->row = &the_manager.tables.manager->groups[index];
        g->log_file = -1;
        procd_row_set_name(g->row, name);
        raise_top(index < PROCD_GROUPS_CONFIGURED ? &the_manager.tables.manager->top
                                                  : &the_manager.tables.manager->dir_top,
                  index + 1);
        the_manager.groups[index] = g;
    }
    return g;
}

static void close_listens(group *g)
{
    for (int i = 0; i < g->n_listen; i++) {
        close(g->listen_fds[i]);
    }
    free(g->listen_fds);
    g->listen_fds = NULL;
    g->n_listen = 0;
}

void group_destroy(group *g)
{
    manager_log(LEVEL_INFO, g, "PRD0140: group %s: removed", g->name);
    loop_cancel(&g->look);
    wear_stop(g);
    script_leave(g);
    close_listens(g);
    if (g->log_file != -1) {
        close(g->log_file);
    }
    logger_close(g);
    hostlog_close(g);
    cgroup_remove(g);
    free(g->server_name);
    procd_groupdef_free(g->def);
    free(g->id.groups);
    tail_free(g);
    the_manager.groups[g->index] = NULL;
    atomic_store(&g->row->definition, 0);
    atomic_store(&g->row->live, 0);
    atomic_store(&g->row->ready, 0);
    atomic_store(&g->row->crash_loop, 0);
    atomic_store(&g->row->demand_seen, 0);
    atomic_store(&g->row->started, 0);
    atomic_store(&g->row->ended, 0);
    atomic_store(&g->row->halted, 0);
    atomic_store(&g->row->scale_max, 0);
    procd_why_write(g->row, "");
    atomic_store(&g->row->state, PROCD_GROUP_FREE);
    free(g);
}

static void show_definition(group *g)
{
    atomic_store(&g->row->definition, g->definition);
    atomic_store(&g->row->min, g->def ? group_min(g) : 0);
    atomic_store(&g->row->max, g->def ? group_max(g) : 0);
    atomic_store(&g->row->concurrency, g->def ? g->def->concurrency : 1);
    atomic_store(&g->row->spare, g->def ? g->def->spare : 0);
    atomic_store(&g->row->request_ms, g->def ? g->def->request_timeout_ms : 0);
    atomic_store(&g->row->log_by_host, g->def && g->def->log_by_host);
    atomic_store(&g->row->state, PROCD_GROUP_ACTIVE);
}

/* Nothing can be started from it: say so to those who ask, for as long as this configuration is in force. */
static void refuse_group(group *g, const char *why)
{
    manager_log(LEVEL_ERROR, g, "PRD0141: group %s: %s", g->name, why);
    procd_why_write(g->row, why);
    atomic_store(&g->row->retry_ms, INT64_MAX / 2);
    atomic_store(&g->row->crash_loop, 1);
}

int definition_read(group_definition *d, const char *name, const char *text, size_t len, procd_deferror *error)
{
    const char *why;

    memset(d, 0, sizeof(*d));
    if (procd_groupdef_parse(&d->def, name, text, len, error) != 0) {
        return -1;
    }
    why = resolve(d->def, &d->id);
    if (why) {
        error->line = 0;
        snprintf(error->text, sizeof(error->text), "%s", why);
        definition_free(d);
        return -1;
    }
    d->hash = hash_definition(text, len, &d->id);
    return 0;
}

void definition_free(group_definition *d)
{
    procd_groupdef_free(d->def);
    free(d->id.groups);
    memset(d, 0, sizeof(*d));
}

static void define_group(group *g, const char *text, size_t len)
{
    procd_deferror error;
    group_definition d;

    if (definition_read(&d, g->name, text, len, &error) != 0) {
        refuse_group(g, error.text);
        return;
    }
    group_define(g, &d);
}

void group_define(group *g, group_definition *d)
{
    procd_groupdef *def = d->def;
    identity id = d->id;
    uint64_t definition = d->hash;

    if (g->def && g->definition == definition) {
        procd_groupdef_free(def);
        free(id.groups);
        return;
    }
    if (g->def) {
        atomic_store(&g->row->scale_max, 0);
        manager_log(LEVEL_NOTICE, g, "PRD0142: group %s: its definition has changed: replacing its processes", g->name);
    }
    procd_groupdef_free(g->def);
    free(g->id.groups);
    g->def = def;
    g->id = id;
    g->definition = definition;
    g->failures = 0;
    g->not_before_ms = 0;
    atomic_store(&g->row->crash_loop, 0);
    show_definition(g);
    cgroup_configure(g);
    wear_start(g);
}

/* ------------------------------------------------------------------ the pieces */

typedef struct reading {
    const int *listens;
    int n_listens;
    procd_wire_group head;
    char name[PROCD_NAME_MAX + 1];
    char key[PROCD_KEY_MAX];
    char group_dir[4096];
    char host[256];
    unsigned char named[PROCD_MAX_GROUPS];
} reading;

static void take_listens(group *g, const reading *r)
{
    int n = (int)r->head.n_listen;

    close_listens(g);
    if (n == 0 || r->head.first_listen > (uint32_t)r->n_listens || n > r->n_listens - (int)r->head.first_listen) {
        return;
    }
    g->listen_fds = calloc((size_t)n, sizeof(int));
    for (int i = 0; g->listen_fds && i < n; i++) {
        g->listen_fds[g->n_listen++] = dup(r->listens[(int)r->head.first_listen + i]);
    }
}

static void take_group(reading *r, const char *text, size_t len)
{
    group *g = the_manager.groups[r->head.index];
    const char *why;

    if (g && strcmp(g->name, r->name) != 0) {
        manager_log(LEVEL_ERROR, g, "PRD0143: row %u is still that of group %s", r->head.index, g->name);
        return;
    }
    if (!g) {
        g = group_create((int)r->head.index, r->name);
    }
    if (!g) {
        return;
    }
    r->named[r->head.index] = 1;
    g->removed = 0;
    g->log_index = (int)r->head.log;
    if (r->key[0]) {
        memcpy(g->key, r->key, sizeof(g->key));
    }
    free(g->server_name);
    g->server_name = r->host[0] ? strdup(r->host) : NULL;
    take_listens(g, r);
    define_group(g, text, len);
    atomic_store(&g->row->state, PROCD_GROUP_ACTIVE);
    group_open_log(g);
    why = g->def ? script_configure(g) : NULL;
    if (why) {
        refuse_group(g, why);
    }
}

static int take_piece(reading *r, uint32_t tag, const char *bytes, size_t len)
{
    char **string = tag == PROCD_TAG_RUNTIME_DIR   ? &the_manager.runtime_dir
                    : tag == PROCD_TAG_SERVER_NAME ? &the_manager.server_name
                                                   : &the_manager.server_root;

    switch (tag) {
    case PROCD_TAG_GLOBAL:
        if (len != sizeof(the_manager.global)) {
            return -1;
        }
        memcpy(&the_manager.global, bytes, len);
        return 0;
    case PROCD_TAG_RUNTIME_DIR:
    case PROCD_TAG_SERVER_NAME:
    case PROCD_TAG_SERVER_ROOT:
        free(*string);
        *string = strndup(bytes, len);
        return *string ? 0 : -1;
    case PROCD_TAG_GROUP_DIR: snprintf(r->group_dir, sizeof(r->group_dir), "%.*s", (int)len, bytes); return 0;
    case PROCD_TAG_SCRIPT_ROOT: script_add_default_root(bytes, len); return 0;
    case PROCD_TAG_GROUP:
        if (len != sizeof(r->head)) {
            return -1;
        }
        memcpy(&r->head, bytes, len);
        r->name[0] = r->key[0] = r->host[0] = '\0';
        return r->head.index < PROCD_MAX_GROUPS ? 0 : -1;
    case PROCD_TAG_NAME:
        if (len > PROCD_NAME_MAX) {
            return -1;
        }
        memcpy(r->name, bytes, len);
        r->name[len] = '\0';
        return procd_name_ok(r->name) ? 0 : -1;
    case PROCD_TAG_KEY:
        if (len >= sizeof(r->key) || memchr(bytes, '\0', len)) {
            return -1;
        }
        memcpy(r->key, bytes, len);
        r->key[len] = '\0';
        return 0;
    case PROCD_TAG_HOST: snprintf(r->host, sizeof(r->host), "%.*s", (int)len, bytes); return 0;
    case PROCD_TAG_TEXT:
        if (!r->name[0]) {
            return -1;
        }
        take_group(r, bytes, len);
        return 0;
    default: return 0;
    }
}

/* A piped log whose program does not read must not stop the manager. The pipe is httpd's, which wants to wait: opened
 * again, it does not block here and still does there. */
static int log_of_ours(int fd)
{
    char path[40];
    struct stat st;
    int own = -1;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
        own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    if (own == -1) {
        return fd;
    }
    close(fd);
    return own;
}

static void take_logs(const int *logs, int n_logs)
{
    for (int i = 0; i < the_manager.n_logs; i++) {
        close(the_manager.logs[i]);
    }
    free(the_manager.logs);
    the_manager.logs = n_logs ? calloc((size_t)n_logs, sizeof(int)) : NULL;
    the_manager.n_logs = the_manager.logs ? n_logs : 0;
    for (int i = 0; i < the_manager.n_logs; i++) {
        the_manager.logs[i] = log_of_ours(logs[i]);
    }
    if (the_manager.n_logs) {
        dup2(the_manager.logs[0], 2); /* for what a library or the runtime has to say */
    }
    else {
        openlog("procd", LOG_PID, LOG_DAEMON);
    }
}

/* Rows of a manager before this one whose group is not configured any more. */
static void adopt_ghosts(const reading *r)
{
    int top = procd_table_top(&the_manager.tables), dir_top = procd_table_dir_top(&the_manager.tables);

    for (int i = 0; i < dir_top; i++) {
        if (i >= top && i < PROCD_GROUPS_CONFIGURED) {
            continue; /* not even looked at: each would cost a page */
        }
        if (!r->named[i] && !the_manager.groups[i]
            && atomic_load(&the_manager.tables.manager->groups[i].state) != PROCD_GROUP_FREE) {
            group *g = group_create(i, "removed");

            if (g) {
                adopt_group(g);
            }
        }
    }
}

void group_remove(group *g, int64_t now)
{
    if (!g->removed) {
        g->removed = 1;
        g->removed_ms = now;
        atomic_store(&g->row->state, PROCD_GROUP_REMOVED);
    }
}

static void settle_groups(const reading *r, int first)
{
    int64_t now = procd_now_ms();

    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        group *g = the_manager.groups[i];

        if (!g) {
            continue;
        }
        if (first && r->named[i]) {
            adopt_group(g);
        }
        if (!r->named[i] && !g->from_dir) {
            group_remove(g, now);
        }
    }
    for (int i = 0; i < PROCD_MAX_GROUPS; i++) {
        if (the_manager.groups[i]) {
            group_balance(the_manager.groups[i]);
            procd_table_changed(&the_manager.tables.manager->groups[i]);
        }
    }
}

int config_apply(uint32_t generation, int config_fd, const int *logs, int n_logs, const int *listens, int n_listens)
{
    static int first = 1;
    reading *r = calloc(1, sizeof(*r));
    procd_blob blob;
    uint32_t tag;
    const char *bytes;
    size_t at = 0, len;
    int more = -1;

    if (!r || procd_blob_from_fd(&blob, config_fd) != 0) {
        free(r);
        return -1;
    }
    take_logs(logs, n_logs);
    script_clear_default_roots();
    r->listens = listens;
    r->n_listens = n_listens;
    while ((more = procd_blob_next(&blob, &at, &tag, &bytes, &len)) == 1 && take_piece(r, tag, bytes, len) == 0) {
    }
    procd_blob_free(&blob);
    if (more != 0 || !the_manager.runtime_dir || !the_manager.server_root) {
        manager_log(LEVEL_ERROR, NULL, "PRD0144: the configuration that httpd sent is malformed");
        free(r);
        return -1;
    }
    the_manager.mode = MODE_RUNNING;
    the_manager.end_at_ms = 0;
    if (address_prepare_dir() != 0) {
        manager_log(LEVEL_ERROR, NULL, "PRD0145: ProcdRuntimeDir %s: %s", the_manager.runtime_dir, strerror(errno));
    }
    else {
        control_open();
    }
    groupdir_configure(r->group_dir, first);
    if (first) {
        adopt_ghosts(r);
    }
    settle_groups(r, first);
    first = 0;
    atomic_store(&the_manager.tables.manager->generation, generation);
    manager_log(LEVEL_INFO, NULL, "PRD0146: configuration %u is in force", generation);
    free(r);
    return 0;
}
