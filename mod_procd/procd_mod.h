/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  procd_mod.h
 * @brief What the files of the module share: the configuration of a generation, and what the parent keeps across them.
 *
 * mod_procd.c has directives and hooks, definition.c reads <Spawn>, register.c has other modules define groups, parent.c starts, feeds and ends the manager,
 * publish.c tells it the configuration, script_roots.c what of it concerns scripts, client.c leases processes in httpd's
 * children, script_ask.c has scripts run, line_write.c passes on lines of applications, status.c shows it all, and server_status.c does so on mod_status's page.
 */
#ifndef PROCD_MOD_H
#define PROCD_MOD_H

#include "mod_procd.h"
#include "groupdef.h"
#include "procd_wire.h"
#include "table.h"

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"

extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) procd_module;

/* ------------------------------------------------------------------ configuration, on pconf */

struct procd_group {
    const char *name;
    const char *key; /* the same in every generation: name, and the virtual host if it is one's */
    const char *text;
    apr_size_t text_len;
    const procd_groupdef *def;
    server_rec *server;
    const char *filename; /* where it was defined */
    int line;
    int index;           /* row in the process table; -1 until post_config */
    int dynamic;         /* of ProcdGroupDir: which row it has, if any, is found by its name */
    apr_uint32_t cached; /* that row + 1 when it was last looked for; atomic */
};

/** Of one server. */
typedef struct procd_server_conf {
    apr_array_header_t *groups; /* of procd_group * */
    /* the main server's only */
    const char *runtime_dir, *group_dir, *manager;
    int max_processes;
    apr_interval_time_t lease; /* how long the manager waits for a configuration after PREPARE */
} procd_server_conf;

/** definition.c */
const char *procd_cmd_spawn(cmd_parms *cmd, void *dummy, const char *arg);
const char *procd_cmd_inside(cmd_parms *cmd, void *dummy, const char *arg);
/** Look at the files of ProcdGroupDir as the manager will, for who reads the log: what is wrong keeps nobody from starting. */
void procd_check_group_dir(apr_pool_t *ptemp, server_rec *s, const char *dir);

/** text must live as long as p. @return NULL, or an error; *line is where in the text it is, 0 if it is the whole */
const char *procd_add_group(apr_pool_t *p, server_rec *s, const char *name, const char *text, int *line,
                            procd_group **out);
/** "NAME is not a group's name", and what one is */
const char *procd_bad_name(apr_pool_t *p, const char *what, const char *name);

/** register.c */
void procd_register_functions(void);
/** All groups are known: what is defined now would not be published. */
void procd_register_end(void);

/** mod_procd.c */
void *procd_create_server_conf(apr_pool_t *p, server_rec *s);
procd_server_conf *procd_conf(server_rec *s);
/** Call for each group of each server. */
void procd_each_group(server_rec *s, void (*act)(procd_group *g, void *baton), void *baton);

/* ------------------------------------------------------------------ what the parent keeps (retained data) */

#define PROCD_RETAINED_MAGIC 0x70726f6364726574ull
#define PROCD_RETAINED_VERSION 7
#define PROCD_LISTENERS_MAX 512
#define PROCD_ENDING_MAX 32

typedef struct procd_listener {
    char address[128]; /* empty: free */
    int tcp;
    int fd;
    unsigned int generation; /* the last that named it */
} procd_listener;

/** No pointers: what they point to may be gone when the next generation of this module looks. The first five fields are
 *  the same in every version, so that a newer module can send an older one's manager away. */
typedef struct procd_retained {
    apr_uint64_t magic;
    apr_uint32_t version, size;
    pid_t manager; /* 0: none */
    int control_fd;
    pid_t owner;                             /* httpd's parent */
    int manager_table_fd, children_table_fd; /* -1: not made yet */
    int ring_fd, ring_manager_fd;            /* a pipe: children write, the manager reads */
    int event_fd, event_manager_fd;          /* a pipe: the manager writes, children read */
    int script_door, script_listener;        /* children's and manager's side; -1: not made yet */
    int line_door, line_listener;            /* the same for lines of applications */
    int config_fd;                           /* the last configuration sent */
    unsigned int generation;
    apr_int64_t started_ms, respawn_delay_ms;
    apr_int64_t longest_stop_ms;                       /* SpawnStopTimeout */
    pid_t ending[PROCD_ENDING_MAX];                    /* managers that were sent away and have not ended yet */
    char keys[PROCD_GROUPS_CONFIGURED][PROCD_KEY_MAX]; /* whose row each is */
    procd_listener listeners[PROCD_LISTENERS_MAX];
} procd_retained;

/* ------------------------------------------------------------------ parent.c */

/** In post_config when the server is about to run. */
int procd_parent_start(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
/** As pconf is cleared or destroyed: tell the manager what comes. */
apr_status_t procd_parent_leave(void *dummy);
/** A child of httpd has ended. */
void procd_parent_child_gone(pid_t pid);
/** @return the manager program that would be run */
const char *procd_manager_path(apr_pool_t *p, server_rec *s);
procd_retained *procd_retained_get(void);

/* ------------------------------------------------------------------ publish.c */

/** Rows, named sockets, and the configuration as a descriptor. @return APR_SUCCESS, or an error that is already logged */
apr_status_t procd_publish_prepare(procd_retained *r, procd_tables *t, apr_pool_t *ptemp, server_rec *s);
/** Send it all. Does not block. @return 0, or -1 and errno: the manager does not listen */
int procd_publish_send(procd_retained *r, server_rec *s);
void procd_publish_close_unused(procd_retained *r);
/** At the very end: named unix sockets are removed. */
void procd_publish_remove_sockets(procd_retained *r);
int procd_error_log_fd(server_rec *s); /* -1: none that can be handed on */

/* ------------------------------------------------------------------ client.c */

/** The mapped table, in the parent as in its children. */
extern procd_tables procd_client_tables;
void procd_client_register_functions(void);
/** Of the group in the table; -1: it has none, or g is NULL. */
int procd_client_row(procd_group *g);
apr_status_t procd_client_query(procd_group *g, procd_group_info *info); /* procd_group_query() */
/** In a child: take a row; the descriptors to ring the manager and to hear from it. */
void procd_client_child_init(server_rec *s, int ring_fd, int event_fd);

/* ------------------------------------------------------------------ script_ask.c */

void procd_script_register_functions(void);
/** In a child: where to ask the manager for scripts. */
void procd_script_child_init(int script_door);

/* ------------------------------------------------------------------ line_write.c */

void procd_line_register_functions(void);
/** In a child: where lines are passed on to the manager. */
void procd_line_child_init(int line_door);

/* ------------------------------------------------------------------ script_roots.c */

/** Where scripts of groups without SpawnScriptRoot may be: as pieces of the configuration. */
void procd_script_put_roots(procd_blob *blob, apr_pool_t *p, server_rec *s);

/* ------------------------------------------------------------------ status.c */

int procd_status_handler(request_rec *r);
const char *procd_condition_name(procd_condition condition);
/** Call for each group that ProcdGroupDir has now. `g` lives until act() returns. */
void procd_each_dir_group(apr_pool_t *p, void (*act)(procd_group *g, void *baton), void *baton);

/* ------------------------------------------------------------------ server_status.c */

/** In pre_config: what mod_status calls. */
void procd_server_status_register(void);

#endif /* PROCD_MOD_H */
