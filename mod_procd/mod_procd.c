/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Directives and hooks. What they do is elsewhere: see procd_mod.h. */
#include "procd_mod.h"

#include "http_core.h"
#include "ap_mpm.h"
#include "apr_strings.h"
#include "mpm_common.h"
#include "unixd.h"

#include <pwd.h>
#include <unistd.h>

/* ------------------------------------------------------------------ configuration */

void *procd_create_server_conf(apr_pool_t *p, server_rec *s)
{
    procd_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    conf->groups = apr_array_make(p, 4, sizeof(procd_group *));
    conf->max_processes = 1024;
    conf->lease = apr_time_from_sec(30);
    return conf;
}

procd_server_conf *procd_conf(server_rec *s)
{
    return ap_get_module_config(s->module_config, &procd_module);
}

/* A virtual host without groups of its own may share the main server's structure. */
void procd_each_group(server_rec *s, void (*act)(procd_group *g, void *baton), void *baton)
{
    for (; s; s = s->next) {
        procd_server_conf *conf = procd_conf(s);

        for (int i = 0; conf && i < conf->groups->nelts; i++) {
            procd_group *g = APR_ARRAY_IDX(conf->groups, i, procd_group *);

            if (g->server == s) {
                act(g, baton);
            }
        }
    }
}

static const char *main_server_only(cmd_parms *cmd)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return err;
}

static const char *cmd_runtime_dir(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = main_server_only(cmd);

    (void)dummy;
    if (!err && !*arg) {
        err = "ProcdRuntimeDir takes a directory";
    }
    procd_conf(cmd->server)->runtime_dir = arg;
    return err;
}

static const char *cmd_manager(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = main_server_only(cmd);

    (void)dummy;
    procd_conf(cmd->server)->manager = ap_server_root_relative(cmd->pool, arg);
    return err ? err : procd_conf(cmd->server)->manager ? NULL : "ProcdManager takes the path of the program procd";
}

static const char *cmd_max_processes(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = main_server_only(cmd);

    (void)dummy;
    if (!err && procd_parse_int(arg, 1, 100000, &procd_conf(cmd->server)->max_processes) != 0) {
        err = apr_psprintf(cmd->pool, "ProcdMaxProcesses \"%s\" is not valid: it takes 1 to 100000", arg);
    }
    return err;
}

static const char *cmd_group_dir(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = main_server_only(cmd);

    (void)dummy;
    procd_conf(cmd->server)->group_dir = ap_server_root_relative(cmd->pool, arg);
    if (!err && !procd_conf(cmd->server)->group_dir) {
        err = "ProcdGroupDir takes a directory";
    }
    return err;
}

static const char *cmd_lease(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err = main_server_only(cmd);
    int64_t ms;

    (void)dummy;
    if (!err && (procd_parse_duration(arg, &ms) != 0 || ms < 100 || ms > 600000)) {
        return apr_psprintf(cmd->pool, "ProcdLease \"%s\" is not valid: it takes a time of 100ms to 10min", arg);
    }
    procd_conf(cmd->server)->lease = err ? 0 : ms * 1000;
    return err;
}

#define INSIDE(name, help) AP_INIT_RAW_ARGS(name, procd_cmd_inside, NULL, RSRC_CONF, help)

static const command_rec commands[] = {
    AP_INIT_RAW_ARGS("<Spawn", procd_cmd_spawn, NULL, RSRC_CONF,
                     "a group of processes: its name; what stands inside defines it"),
    AP_INIT_TAKE1("ProcdGroupDir", cmd_group_dir, NULL, RSRC_CONF,
                  "directory whose NAME.conf files hold the inside of a <Spawn NAME> block each"),
    AP_INIT_TAKE1("ProcdRuntimeDir", cmd_runtime_dir, NULL, RSRC_CONF,
                  "directory for sockets, in DefaultRuntimeDir if relative; default procd"),
    AP_INIT_TAKE1("ProcdMaxProcesses", cmd_max_processes, NULL, RSRC_CONF,
                  "the most processes of all groups together; default 1024"),
    AP_INIT_TAKE1(
        "ProcdManager", cmd_manager, NULL, RSRC_CONF,
        "path of the manager program; default procd beside mod_procd.so, in ../bin, or where it was installed"),
    AP_INIT_TAKE1("ProcdLease", cmd_lease, NULL, RSRC_CONF,
                  "how long the manager waits for httpd to come back from a graceful restart; default 30s"),
    INSIDE("SpawnCommand", "program (absolute path) and arguments; it gets its listening socket as descriptor 0"),
    INSIDE("SpawnSocketType", "unix (default), tcp, or pipe: CGI, a process with pipes for each request"),
    INSIDE("SpawnScriptRoot",
           "pipe: directories where scripts may be; default the DocumentRoots and ScriptAlias targets"),
    INSIDE("SpawnScriptOwner", "pipe: users whose scripts SpawnUser runs beside its own; may repeat"),
    INSIDE("SpawnSocketName", "fixed addresses, a process for each; default a private socket for each process"),
    INSIDE("SpawnProcesses", "N, or MIN MAX; default 1 4; MIN 0 starts on the first request"),
    INSIDE("SpawnConcurrency", "requests that one process takes at once; default 1"),
    INSIDE("SpawnIdleTimeout", "processes above MIN end when idle this long; default 60s, 0 never"),
    INSIDE("SpawnSpare", "idle processes kept ready above the load; default 0"),
    INSIDE("SpawnMaxMemory", "SIZE [rss|pss]: a process with more memory is replaced; default 0, no bound"),
    INSIDE("SpawnMaxCPU", "a process that has used more processor time is replaced; default 0, no bound"),
    INSIDE("SpawnMaxAge", "a process that is older is replaced; default 0, no bound"),
    INSIDE("SpawnRequestTimeout", "a request that takes longer is answered 504, its process replaced; default 0, none"),
    INSIDE("SpawnWatch", "files that replace the processes when they are touched; may repeat"),
    INSIDE("SpawnMaxRequests", "N [JITTER%]: a process is replaced after N requests; default 0, never"),
    INSIDE("SpawnStartTimeout", "how long a process may take to start; default 30s"),
    INSIDE("SpawnStopTimeout", "from SpawnKillSignal to SIGKILL; default 10s"),
    INSIDE("SpawnRestart", "backoff=FIRST..MOST: delay of the next start after failures; default 100ms..30s"),
    INSIDE("SpawnStart", "always (default): MIN processes before the first request; or ondemand"),
    INSIDE("SpawnUser", "user that processes run as; default httpd's User; needs httpd to be started as root"),
    INSIDE("SpawnGroup", "group that processes run as; default the user's own"),
    INSIDE("SpawnChroot", "directory that becomes the root of the processes"),
    INSIDE("SpawnDirectory", "working directory, inside of SpawnChroot; default /"),
    INSIDE("SpawnUmask", "octal file mode mask; default 022"),
    INSIDE("SpawnNice", "priority, -20 to 19"),
    INSIDE("SpawnLimit", "NAME SOFT [HARD]: a resource limit such as nofile or as; may repeat"),
    INSIDE(
        "SpawnCgroup",
        "[path=DIRECTORY] [FILE=VALUE ...]: a cgroup (v2) for the group, such as memory.max=256M cpu.max=50% pids.max=100"),
    INSIDE("SpawnEnvironment", "NAME=VALUE ...: the environment is clean but for this; may repeat"),
    INSIDE("SpawnCopyEnvironment", "names of variables of httpd's own environment to hand on; may repeat"),
    INSIDE("SpawnKillSignal", "the signal that asks a process to end; default TERM"),
    INSIDE(
        "SpawnErrorLog",
        "where standard output and error go: a path, \"|PROGRAM\", syslog:FACILITY or inherit; %{name} is the group, "
        "%{SERVER_NAME} in a path the request's host"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL }
};

/* ------------------------------------------------------------------ hooks */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    procd_client_register_functions();
    procd_server_status_register();
    procd_script_register_functions();
    procd_register_functions();
    procd_line_register_functions();
    return OK;
}

static void count_group(procd_group *g, void *n)
{
    (void)g;
    ++*(int *)n;
}

typedef struct user_check {
    server_rec *server;
    int failed;
} user_check;

/* As suEXEC: scripts run as httpd's user or as one of people, not as one that the system keeps for something else. */
static void check_script_user(procd_group *g, void *baton)
{
    user_check *check = baton;
    const struct passwd *pw;
    const char *user = g->def->user;
    int uid = -1;

    if (!user || g->def->socket_type != PROCD_SOCKET_PIPE) {
        return;
    }
    if (user[0] == '#') {
        (void)procd_parse_int(user + 1, 1, INT32_MAX, &uid);
    }
    else if ((pw = getpwnam(user))) {
        uid = (int)pw->pw_uid;
    }
    if (uid < PROCD_SCRIPT_LEAST_ID && (uid_t)uid != (geteuid() ? geteuid() : ap_unixd_config.user_id)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, check->server,
            "PRD0620: <Spawn %s>: SpawnUser \"%s\" is a user of the system (below %d): with SpawnSocketType pipe "
            "it takes httpd's own user or one of %d and more",
            g->name, user, PROCD_SCRIPT_LEAST_ID, PROCD_SCRIPT_LEAST_ID);
        check->failed = 1;
    }
}

/* What can only be known when all was read. */
static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    user_check users = { s, 0 };
    int n = 0;
    const char *manager;

    (void)pconf;
    (void)plog;
    procd_register_end();
    procd_each_group(s, count_group, &n);
    if (n > PROCD_GROUPS_CONFIGURED) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "PRD0001: there are %d <Spawn> groups, and %d are possible", n,
                     PROCD_GROUPS_CONFIGURED);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    procd_each_group(s, check_script_user, &users);
    if (users.failed) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    manager = procd_manager_path(ptemp, s);
    if (procd_conf(s)->group_dir) {
        procd_check_group_dir(ptemp, s, procd_conf(s)->group_dir);
        n++;
    }
    if (n > 0 && access(manager, X_OK) != 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s,
                     "PRD0002: the manager program %s cannot be run: ProcdManager must name the program procd",
                     manager);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        || ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return OK;
    }
    return procd_parent_start(pconf, ptemp, s);
}

static void close_fd(int fd)
{
    if (fd != -1) {
        close(fd);
    }
}

/* A child keeps what it needs to ring and to listen, and nothing that could change the table or speak to the manager. */
static void child_init(apr_pool_t *pchild, server_rec *s)
{
    procd_retained *r = procd_retained_get();

    (void)pchild;
    if (!r) {
        return;
    }
    procd_client_child_init(s, r->ring_fd, r->event_fd);
    procd_script_child_init(r->script_door);
    procd_line_child_init(r->line_door);
    if (getpid() == r->owner) {
        return; /* -X: child and parent are one */
    }
    close_fd(r->control_fd);
    close_fd(r->manager_table_fd);
    close_fd(r->children_table_fd);
    close_fd(r->config_fd);
    close_fd(r->script_listener);
    close_fd(r->line_listener);
    close_fd(r->ring_manager_fd);
    close_fd(r->event_manager_fd);
    for (int i = 0; i < PROCD_LISTENERS_MAX; i++) {
        if (r->listeners[i].address[0]) {
            close_fd(r->listeners[i].fd);
        }
    }
}

static void child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot, mpm_child_status state)
{
    (void)s;
    (void)gen;
    (void)slot;
    if (state == MPM_CHILD_EXITED) {
        procd_parent_child_gone(pid);
    }
}

/* A cleanup registered here would run after the one that unloads this module: mod_so registers its own later. What is
 * registered to run before all cleanups comes in time, also when the configuration fails behind our LoadModule. */
static void register_hooks(apr_pool_t *p)
{
    apr_pool_pre_cleanup_register(p, &procd_module, procd_parent_leave);
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(procd_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(procd)
= {
    STANDARD20_MODULE_STUFF, NULL, NULL, procd_create_server_conf, NULL, commands, register_hooks,
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 74)
    AP_MODULE_FLAG_NONE,
#endif
};
