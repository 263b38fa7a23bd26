/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* ProcdGroupDir: a file NAME.conf is the definition of a group. The directory is looked at twice a second, so that files
 * that come, change and go take effect without httpd. What is wrong with a file is said once, with its line, and leaves the
 * group as it is.
 *
 * Whoever can write such a file decides what runs as which user: directory and files must belong to root or to the user that
 * the manager runs as, and nobody else may write them. */
#include "manager.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 500

/** What is known of a file. */
typedef struct entry {
    char name[PROCD_NAME_MAX + 1];
    struct stat is; /* when it was last read */
    int seen;       /* in the look under way */
    int row;        /* of its group, -1: it has none */
    int taken;      /* a <Spawn> block has its name */
    struct entry *next;
} entry;

static char dir_path[4096];
static entry *entries;
static timer look;
static int complained; /* of the directory itself */
static int names_due;  /* <Spawn> blocks may have come and gone */

static int is_trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mode == b->st_mode
           && a->st_uid == b->st_uid && a->st_mtim.tv_sec == b->st_mtim.tv_sec
           && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* ------------------------------------------------------------------ one file */

/* @return the text, malloc'ed, or NULL with *why */
static char *read_file(int at, const char *file, struct stat *st, const char **why)
{
    int fd = openat(at, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char *text = NULL;
    ssize_t n;

    if (fd == -1 || fstat(fd, st) != 0) {
        *why = strerror(errno);
    }
    else if (!S_ISREG(st->st_mode) || st->st_size > PROCD_TEXT_MAX) {
        *why = "it is not a file, or too long";
    }
    else if (!is_trusted(st)) {
        *why = "it must belong to root or to the user that httpd was started as, and nobody else may write it";
    }
    else if (!(text = malloc((size_t)st->st_size + 1))) {
        *why = "no memory";
    }
    else if ((n = read(fd, text, (size_t)st->st_size)) != (ssize_t)st->st_size) {
        *why = n == -1 ? strerror(errno) : "it is being written";
        free(text);
        text = NULL;
    }
    if (fd != -1) {
        close(fd);
    }
    return text;
}

static int free_row(void)
{
    for (int i = PROCD_GROUPS_CONFIGURED; i < PROCD_MAX_GROUPS; i++) {
        if (!the_manager.groups[i] && atomic_load(&the_manager.tables.manager->groups[i].state) == PROCD_GROUP_FREE) {
            return i;
        }
    }
    return -1;
}

/* The group's row: its own, that of a group of this name that is ending or that another manager left, or a free one. */
static group *group_for(entry *e, int first)
{
    int row = e->row;
    group *g;

    if (row < 0) {
        row = procd_table_find(&the_manager.tables, e->name);
    }
    if (row < 0) {
        row = free_row();
    }
    if (row < 0) {
        manager_log(LEVEL_ERROR, NULL, "PRD0250: ProcdGroupDir: no room for group %s: there are %d already", e->name,
                    PROCD_MAX_GROUPS - PROCD_GROUPS_CONFIGURED);
        return NULL;
    }
    g = the_manager.groups[row];
    if (!g) {
        g = group_create(row, e->name);
        if (g && first) {
            adopt_group(g);
        }
    }
    if (g) {
        g->from_dir = 1;
        g->removed = 0;
        e->row = row;
    }
    return g;
}

/* The main server's groups are known by their names alone, as these are. */
static int is_taken(const char *name)
{
    for (int i = 0; i < PROCD_GROUPS_CONFIGURED; i++) {
        const group *g = the_manager.groups[i];

        if (g && g->def && !g->removed && strcmp(g->key, name) == 0) {
            return 1;
        }
    }
    return 0;
}

static void leave_group(entry *e)
{
    group *g = e->row >= 0 ? the_manager.groups[e->row] : NULL;

    e->row = -1;
    if (g) {
        group_remove(g, procd_now_ms());
        group_balance(g);
        manager_wake_children(); /* those who wait for it need not any more */
    }
}

static void define(entry *e, const char *text, size_t len, int first)
{
    procd_deferror error = { 0, "" };
    group_definition d;
    const char *why = NULL;
    group *g;

    if (definition_read(&d, e->name, text, len, &error) != 0) {
        why = error.text[0] ? error.text : "no memory";
    }
    else if ((why = procd_groupdef_not_in_dir(d.def))) {
        definition_free(&d);
    }
    if (why) {
        manager_log(LEVEL_ERROR, NULL, "PRD0251: %s/%s.conf:%d: %s%s", dir_path, e->name, error.line, why,
                    e->row >= 0 ? "; the group goes on as it was" : "");
        return;
    }
    g = group_for(e, first);
    if (!g) {
        definition_free(&d);
        return;
    }
    if (!g->def) {
        manager_log(LEVEL_NOTICE, g, "PRD0252: group %s: from %s/%s.conf", g->name, dir_path, e->name);
    }
    group_define(g, &d);
    atomic_store(&g->row->state, PROCD_GROUP_ACTIVE);
    group_open_log(g);
    group_balance(g);
    manager_wake_children();
}

static void read_entry(int at, entry *e, int first)
{
    char file[PROCD_NAME_MAX + 6];
    const char *why = NULL;
    struct stat st = { 0 };
    char *text;

    snprintf(file, sizeof(file), "%s.conf", e->name);
    text = read_file(at, file, &st, &why);
    e->is = st;
    e->taken = is_taken(e->name);
    if (e->taken) {
        manager_log(LEVEL_ERROR, NULL, "PRD0743: %s/%s: there is a <Spawn %s> already: the file is not used", dir_path,
                    file, e->name);
        leave_group(e);
        free(text);
        return;
    }
    if (!text) {
        manager_log(LEVEL_ERROR, NULL, "PRD0253: %s/%s: %s%s", dir_path, file, why,
                    e->row >= 0 ? "; the group goes on as it was" : "");
        return;
    }
    define(e, text, (size_t)st.st_size, first);
    free(text);
}

/* ------------------------------------------------------------------ the directory */

static entry *find_entry(const char *name)
{
    for (entry *e = entries; e; e = e->next) {
        if (strcmp(e->name, name) == 0) {
            return e;
        }
    }
    return NULL;
}

static entry *add_entry(const char *name)
{
    entry *e = calloc(1, sizeof(*e));

    if (e) {
        snprintf(e->name, sizeof(e->name), "%s", name);
        e->row = -1;
        e->next = entries;
        entries = e;
    }
    return e;
}

/* A file that is renamed while the directory is read may be seen under no name, and one that cannot be looked at is not
 * gone: only what is missing ends a group. */
static void see_missed(int at)
{
    char file[PROCD_NAME_MAX + 6];
    struct stat st;

    for (entry *e = entries; e; e = e->next) {
        snprintf(file, sizeof(file), "%s.conf", e->name);
        e->seen = e->seen || fstatat(at, file, &st, 0) == 0 || (errno != ENOENT && errno != ENOTDIR);
    }
}

static void drop_unseen(void)
{
    for (entry **at = &entries; *at;) {
        entry *e = *at;

        if (e->seen) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        if (e->row >= 0 && the_manager.groups[e->row]) {
            manager_log(LEVEL_NOTICE, the_manager.groups[e->row], "PRD0254: group %s: its file is gone", e->name);
        }
        leave_group(e);
        free(e);
    }
}

static void complain(const char *why)
{
    if (!complained) {
        manager_log(LEVEL_ERROR, NULL, "PRD0255: ProcdGroupDir %s: %s; its groups stay as they are", dir_path, why);
    }
    complained = 1;
}

static void look_at_file(int at, const char *file, int first)
{
    char name[PROCD_NAME_MAX + 1];
    size_t len = strlen(file);
    struct stat st;
    entry *e;

    if (len <= 5 || file[0] == '.' || strcmp(file + len - 5, ".conf") != 0 || len - 5 > PROCD_NAME_MAX
        || fstatat(at, file, &st, 0) != 0) {
        return;
    }
    memcpy(name, file, len - 5);
    name[len - 5] = '\0';
    e = find_entry(name);
    if (e && is_same(&e->is, &st)) {
        e->seen = 1;
        return;
    }
    e = e ? e : add_entry(name);
    if (e && procd_name_ok(name)) {
        e->seen = 1;
        read_entry(at, e, first);
    }
    else if (e) {
        e->seen = 1;
        e->is = st;
        manager_log(LEVEL_ERROR, NULL, "PRD0744: %s/%s: not the name of a group: 1 to %d letters, digits, _, - and .",
                    dir_path, file, PROCD_NAME_MAX);
    }
}

static void look_around(int first)
{
    int fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir;
    struct dirent *d;
    struct stat st;

    if (fd == -1 || fstat(fd, &st) != 0) {
        complain(strerror(errno));
    }
    else if (!is_trusted(&st)) {
        complain("it must belong to root or to the user that httpd was started as, and nobody else may write it");
    }
    else if ((dir = fdopendir(fd))) {
        complained = 0;
        for (entry *e = entries; e; e = e->next) {
            e->seen = 0;
        }
        while ((d = readdir(dir))) {
            look_at_file(fd, d->d_name, first);
        }
        see_missed(fd);
        drop_unseen();
        closedir(dir);
        return;
    }
    if (fd != -1) {
        close(fd);
    }
}

/* A file whose name has become that of a <Spawn> block, or is so no longer, is read again. */
static void compare_names(void)
{
    for (entry *e = entries; e && names_due; e = e->next) {
        if (is_taken(e->name) != e->taken) {
            memset(&e->is, 0, sizeof(e->is));
        }
    }
    names_due = 0;
}

static void on_look(timer *t)
{
    loop_timer(t, procd_now_ms() + LOOK_EVERY_MS, on_look, NULL);
    if (the_manager.mode == MODE_RUNNING) {
        compare_names();
        look_around(0);
    }
}

/* httpd's restart is also when logs are opened anew. */
static void open_logs(void)
{
    for (const entry *e = entries; e; e = e->next) {
        group *g = e->row >= 0 ? the_manager.groups[e->row] : NULL;

        if (g && g->def && !g->removed) {
            group_open_log(g);
        }
    }
}

void groupdir_configure(const char *path, int first)
{
    if (strcmp(path, dir_path) != 0) {
        for (entry *e = entries; e; e = e->next) {
            e->seen = 0;
        }
        drop_unseen();
        snprintf(dir_path, sizeof(dir_path), "%s", path);
        complained = 0;
    }
    loop_cancel(&look);
    if (dir_path[0]) {
        open_logs();
        names_due = 1;
        look_around(first);
        loop_timer(&look, procd_now_ms() + LOOK_EVERY_MS, on_look, NULL);
    }
}

const char *groupdir_reload(const char *name)
{
    entry *e = name ? find_entry(name) : NULL;

    if (!dir_path[0]) {
        return "there is no ProcdGroupDir";
    }
    if (name && !e) {
        look_around(0);
        return find_entry(name) ? NULL : "there is no such file in ProcdGroupDir";
    }
    for (entry *all = entries; all; all = all->next) {
        if (!name || all == e) {
            memset(&all->is, 0, sizeof(all->is)); /* read it, whatever it was */
        }
    }
    look_around(0);
    return NULL;
}
