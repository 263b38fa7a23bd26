/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What the parent tells the manager: which row each group has, the sockets with given addresses (the parent's, so that
 * they outlive any manager and may have privileged ports), the error logs, and the groups' texts. */
#include "procd_mod.h"

#include "http_core.h"
#include "http_main.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "unixd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

#define LOGS_MAX (PROCD_WIRE_FDS - 8)

typedef struct publication {
    procd_retained *retained;
    procd_tables *tables;
    apr_pool_t *pool;
    server_rec *server;
    procd_blob blob;
    int n_listens;
    apr_status_t status;
    unsigned char row_used[PROCD_GROUPS_CONFIGURED];
} publication;

/* ------------------------------------------------------------------ rows */

static void keep_row(procd_group *g, void *baton)
{
    publication *p = baton;

    g->index = -1;
    for (int i = 0; i < PROCD_GROUPS_CONFIGURED; i++) {
        if (strcmp(p->retained->keys[i], g->key) == 0 && !p->row_used[i]) {
            g->index = i;
            p->row_used[i] = 1;
            return;
        }
    }
}

/* A row whose group is gone is free once the manager says so: children of old generations may still know it. */
static void find_row(procd_group *g, void *baton)
{
    publication *p = baton;

    for (int i = 0; g->index < 0 && i < PROCD_GROUPS_CONFIGURED; i++) {
        if (!p->row_used[i] && p->tables->manager->groups[i].state == PROCD_GROUP_FREE) {
            g->index = i;
            p->row_used[i] = 1;
            apr_cpystrn(p->retained->keys[i], g->key, PROCD_KEY_MAX);
            procd_table_reset_demand(p->tables, i);
        }
    }
    if (g->index < 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, p->server,
                     "PRD0020: group %s cannot run yet: no row in the process table is free (removed groups are still "
                     "ending); restart again",
                     g->name);
    }
}

/* ------------------------------------------------------------------ sockets with given addresses */

static int parse_tcp(const char *text, struct sockaddr_storage *addr, socklen_t *len)
{
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
    const char *colon = strrchr(text, ':');
    char host[64];

    memset(addr, 0, sizeof(*addr));
    if (!colon || (size_t)(colon - text) >= sizeof(host)) {
        return -1;
    }
    apr_cpystrn(host, text[0] == '[' ? text + 1 : text, (apr_size_t)(colon - text) + (text[0] == '[' ? 0 : 1));
    if (host[0] && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
    }
    if (strcasecmp(host, "localhost") == 0) {
        strcpy(host, "127.0.0.1");
    }
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((unsigned short)atoi(colon + 1));
        *len = sizeof(*in);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((unsigned short)atoi(colon + 1));
        *len = sizeof(*in6);
        return 0;
    }
    return -1;
}

static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : address;
}

/* A socket file that nobody answers is a dead server's. */
static void remove_if_dead(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd != -1) {
        if (connect(fd, (const struct sockaddr *)un, (socklen_t)sizeof(*un)) != 0 && errno == ECONNREFUSED
            && lstat(un->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
            unlink(un->sun_path);
        }
        close(fd);
    }
}

static int bind_and_listen(int fd, const struct sockaddr_storage *addr, socklen_t len)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
    int one = 1;

    if (addr->ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        return bind(fd, (const struct sockaddr *)addr, len) != 0 || listen(fd, 511) != 0 ? -1 : 0;
    }
    remove_if_dead(un);
    if (bind(fd, (const struct sockaddr *)addr, len) != 0) {
        return -1;
    }
    if (chmod(un->sun_path, 0600) != 0
        || (geteuid() == 0 && lchown(un->sun_path, ap_unixd_config.user_id, ap_unixd_config.group_id) != 0)
        || listen(fd, 511) != 0) {
        int error = errno;

        unlink(un->sun_path);
        errno = error;
        return -1;
    }
    return 0;
}

static int open_listener(const char *address, int tcp)
{
    struct sockaddr_storage addr;
    struct sockaddr_un *un = (struct sockaddr_un *)&addr;
    socklen_t len = sizeof(*un);
    int fd;

    if (tcp && parse_tcp(address, &addr, &len) != 0) {
        errno = EINVAL;
        return -1;
    }
    if (!tcp) {
        memset(&addr, 0, sizeof(addr));
        un->sun_family = AF_UNIX;
        apr_cpystrn(un->sun_path, unix_path(address), sizeof(un->sun_path));
    }
    fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd != -1 && bind_and_listen(fd, &addr, len) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

static procd_listener *find_listener(procd_retained *r, const char *address, int tcp)
{
    procd_listener *empty = NULL;

    for (int i = 0; i < PROCD_LISTENERS_MAX; i++) {
        procd_listener *l = &r->listeners[i];

        if (!l->address[0]) {
            empty = empty ? empty : l;
        }
        else if (l->tcp == tcp && strcmp(l->address, address) == 0) {
            return l;
        }
    }
    return empty;
}

static void close_listener(procd_listener *l)
{
    close(l->fd);
    if (!l->tcp) {
        unlink(unix_path(l->address));
    }
    l->address[0] = '\0';
    l->fd = -1;
}

static void open_listeners(procd_group *g, void *baton)
{
    publication *p = baton;
    int tcp = g->def->socket_type == PROCD_SOCKET_TCP;

    for (int i = 0; i < g->def->n_socket_names && p->status == APR_SUCCESS; i++) {
        const char *address = g->def->socket_names[i];
        procd_listener *l = find_listener(p->retained, address, tcp);

        if (l && l->address[0] && l->generation == p->retained->generation) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, p->server,
                         "PRD0021: group %s: SpawnSocketName %s is another group's", g->name, address);
            p->status = APR_EGENERAL;
        }
        else if (l && !l->address[0]) {
            l->fd = open_listener(address, tcp);
            if (l->fd == -1) {
                p->status = errno;
                ap_log_error(APLOG_MARK, APLOG_ERR, errno, p->server,
                             "PRD0022: group %s: SpawnSocketName %s: cannot listen there", g->name, address);
                return;
            }
            apr_cpystrn(l->address, address, sizeof(l->address));
            l->tcp = tcp;
        }
        if (!l) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, p->server, "PRD0023: more than %d addresses in SpawnSocketName",
                         PROCD_LISTENERS_MAX);
            p->status = APR_ENOSPC;
        }
        else {
            l->generation = p->retained->generation;
        }
    }
}

void procd_publish_close_unused(procd_retained *r)
{
    for (int i = 0; i < PROCD_LISTENERS_MAX; i++) {
        if (r->listeners[i].address[0] && r->listeners[i].generation != r->generation) {
            close_listener(&r->listeners[i]);
        }
    }
}

void procd_publish_remove_sockets(procd_retained *r)
{
    for (int i = 0; i < PROCD_LISTENERS_MAX; i++) {
        if (r->listeners[i].address[0]) {
            close_listener(&r->listeners[i]);
        }
    }
}

/* ------------------------------------------------------------------ error logs */

int procd_error_log_fd(server_rec *s)
{
    apr_os_file_t fd;

    return s->error_log && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS ? fd : -1;
}

/* Distinct ones in the order of servers; the main server's first. */
static int collect_logs(server_rec *main_server, int *fds)
{
    int n = 0;

    for (server_rec *s = main_server; s && n < LOGS_MAX; s = s->next) {
        int fd = procd_error_log_fd(s), known = 0;

        for (int i = 0; i < n; i++) {
            known |= fds[i] == fd;
        }
        if (s == main_server && fd == -1) {
            return 0; /* syslog */
        }
        if (fd != -1 && !known) {
            fds[n++] = fd;
        }
    }
    return n;
}

static int log_of(server_rec *main_server, server_rec *s)
{
    int fds[LOGS_MAX], n = collect_logs(main_server, fds), fd = procd_error_log_fd(s);

    for (int i = 0; i < n; i++) {
        if (fds[i] == fd) {
            return i;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ the configuration */

static void put_string(procd_blob *blob, procd_tag tag, const char *text)
{
    procd_blob_put(blob, tag, text, strlen(text));
}

static void put_group(procd_group *g, void *baton)
{
    publication *p = baton;
    procd_wire_group head = { (apr_uint32_t)g->index, 0, (apr_uint32_t)p->n_listens,
                              (apr_uint32_t)g->def->n_socket_names };

    if (g->index < 0) {
        return;
    }
    head.log = (apr_uint32_t)log_of(p->server, g->server);
    procd_blob_put(&p->blob, PROCD_TAG_GROUP, &head, sizeof(head));
    put_string(&p->blob, PROCD_TAG_NAME, g->name);
    put_string(&p->blob, PROCD_TAG_KEY, g->key);
    put_string(&p->blob, PROCD_TAG_HOST, g->server->server_hostname ? g->server->server_hostname : "");
    procd_blob_put(&p->blob, PROCD_TAG_TEXT, g->text, g->text_len);
    p->n_listens += g->def->n_socket_names;
}

static void put_all(publication *p)
{
    procd_server_conf *conf = procd_conf(p->server);
    int fds[LOGS_MAX];
    procd_wire_global global = { .uid = geteuid() == 0 ? ap_unixd_config.user_id : geteuid(),
                                 .gid = geteuid() == 0 ? ap_unixd_config.group_id : getegid(),
                                 .max_processes = (apr_uint32_t)conf->max_processes,
                                 .lease_ms = (apr_uint32_t)(conf->lease / 1000),
                                 .n_logs = (apr_uint32_t)collect_logs(p->server, fds),
                                 .log_level =
                                     (apr_uint32_t)ap_get_server_module_loglevel(p->server, APLOG_MODULE_INDEX) };
    const char *dir = conf->runtime_dir ? conf->runtime_dir : "procd";

    procd_blob_put(&p->blob, PROCD_TAG_GLOBAL, &global, sizeof(global));
    put_string(&p->blob, PROCD_TAG_RUNTIME_DIR, ap_runtime_dir_relative(p->pool, dir));
    put_string(&p->blob, PROCD_TAG_SERVER_ROOT, ap_server_root);
    put_string(&p->blob, PROCD_TAG_SERVER_NAME, p->server->server_hostname ? p->server->server_hostname : "");
    procd_script_put_roots(&p->blob, p->pool, p->server);
    if (conf->group_dir) {
        put_string(&p->blob, PROCD_TAG_GROUP_DIR, conf->group_dir);
    }
    procd_each_group(p->server, put_group, p);
}

apr_status_t procd_publish_prepare(procd_retained *r, procd_tables *t, apr_pool_t *ptemp, server_rec *s)
{
    publication *p = apr_pcalloc(ptemp, sizeof(*p));
    int fd;

    p->retained = r;
    p->tables = t;
    p->pool = ptemp;
    p->server = s;
    procd_each_group(s, keep_row, p);
    procd_each_group(s, find_row, p);
    procd_each_group(s, open_listeners, p);
    if (p->status != APR_SUCCESS) {
        return p->status;
    }
    put_all(p);
    fd = procd_blob_to_fd(&p->blob);
    procd_blob_free(&p->blob);
    if (fd == -1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, "PRD0024: cannot write down the configuration for the manager");
        return APR_ENOMEM;
    }
    if (r->config_fd != -1) {
        close(r->config_fd);
    }
    r->config_fd = fd;
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ sending */

typedef struct sending {
    procd_retained *retained;
    int fds[PROCD_WIRE_FDS];
    int n, failed;
} sending;

static void flush_listens(sending *out)
{
    if (out->n && !out->failed) {
        out->failed = procd_send(out->retained->control_fd, PROCD_MSG_LISTEN, 0, out->fds, out->n) != 0;
    }
    out->n = 0;
}

/* In the same order as put_group() numbered them. */
static void send_listens(procd_group *g, void *baton)
{
    sending *out = baton;

    for (int i = 0; g->index >= 0 && i < g->def->n_socket_names; i++) {
        procd_listener *l =
            find_listener(out->retained, g->def->socket_names[i], g->def->socket_type == PROCD_SOCKET_TCP);

        if (!l || !l->address[0]) {
            out->failed = 1;
            return;
        }
        if (out->n == PROCD_WIRE_FDS) {
            flush_listens(out);
        }
        out->fds[out->n++] = l->fd;
    }
}

int procd_publish_send(procd_retained *r, server_rec *s)
{
    sending out = { .retained = r };

    procd_each_group(s, send_listens, &out);
    flush_listens(&out);
    if (out.failed) {
        return -1;
    }
    out.fds[0] = r->config_fd;
    out.n = 1 + collect_logs(s, out.fds + 1);
    return procd_send(r->control_fd, PROCD_MSG_CONFIG, r->generation, out.fds, out.n);
}
