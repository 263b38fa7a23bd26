/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* <Spawn NAME>: httpd has already read the block into a tree when this is called, Include and <IfDefine> inside of it
 * resolved. The lines become the group's text; the parser that the manager uses checks it. */
#include "procd_mod.h"

#include "apr_file_info.h"
#include "apr_strings.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

static apr_status_t free_def(void *def)
{
    procd_groupdef_free(def);
    return APR_SUCCESS;
}

const char *procd_cmd_inside(cmd_parms *cmd, void *dummy, const char *arg)
{
    (void)dummy;
    (void)arg;
    return apr_psprintf(cmd->pool, "%s must stand inside <Spawn NAME> ... </Spawn>", cmd->cmd->name);
}

/* What needs the system: users and groups. @return NULL, or what is wrong */
static const char *check_identity(apr_pool_t *p, const procd_groupdef *def)
{
    const struct passwd *pw = NULL;
    procd_deferror error;
    int number = -1;

    if (procd_groupdef_check_users(def, &error) != 0) {
        return apr_pstrdup(p, error.text);
    }
    if (geteuid() == 0) {
        return NULL;
    }
    if (def->user && def->user[0] == '#') {
        (void)procd_parse_int(def->user + 1, 1, INT32_MAX, &number);
    }
    else if (def->user && (pw = getpwnam(def->user))) {
        number = (int)pw->pw_uid;
    }
    if (def->user && (uid_t)number != geteuid()) {
        return apr_psprintf(p, "SpawnUser \"%s\" needs httpd to be started as root", def->user);
    }
    if (def->group || def->chroot_dir) {
        return apr_psprintf(p, "%s needs httpd to be started as root", def->group ? "SpawnGroup" : "SpawnChroot");
    }
    return NULL;
}

static const char *group_key(apr_pool_t *p, server_rec *s, const char *name)
{
    const char *key = name;

    if (s->is_virtual) {
        key = apr_psprintf(p, "%s@%s:%d", name, s->server_hostname ? s->server_hostname : s->defn_name, (int)s->port);
    }
    return apr_pstrndup(p, key, PROCD_KEY_MAX - 1);
}

const char *procd_add_group(apr_pool_t *p, server_rec *s, const char *name, const char *text, int *line,
                            procd_group **out)
{
    procd_server_conf *conf = procd_conf(s);
    procd_group *g;
    procd_groupdef *def;
    procd_deferror error;
    const char *err;

    *line = 0;
    for (int i = 0; i < conf->groups->nelts; i++) {
        g = APR_ARRAY_IDX(conf->groups, i, procd_group *);
        if (strcmp(g->name, name) == 0) {
            return apr_psprintf(p, "<Spawn %s> is already defined on line %d of %s", name, g->line,
                                g->filename ? g->filename : "another module's configuration");
        }
    }
    if (procd_groupdef_parse(&def, name, text, strlen(text), &error) != 0) {
        *line = error.line;
        return error.text[0] ? apr_psprintf(p, "<Spawn %s>: %s", name, error.text) : "out of memory";
    }
    apr_pool_cleanup_register(p, def, free_def, apr_pool_cleanup_null);
    err = check_identity(p, def);
    if (err) {
        return apr_psprintf(p, "<Spawn %s>: %s", name, err);
    }
    g = apr_pcalloc(p, sizeof(*g));
    g->name = apr_pstrdup(p, name);
    g->key = group_key(p, s, name);
    g->text = text;
    g->text_len = strlen(text);
    g->def = def;
    g->server = s;
    g->index = -1;
    APR_ARRAY_PUSH(conf->groups, procd_group *) = g;
    *out = g;
    return NULL;
}

const char *procd_bad_name(apr_pool_t *p, const char *what, const char *name)
{
    return apr_psprintf(
        p, "%s \"%s\" is not a group's name: 1 to %d letters, digits, _, - and ., the first a letter or digit", what,
        name, PROCD_NAME_MAX);
}

/* The lines as they were written, variables replaced; line N of the text is the Nth directive. */
static const char *collect(cmd_parms *cmd, apr_array_header_t *lines, apr_array_header_t *nodes)
{
    for (ap_directive_t *d = cmd->directive->first_child; d; d = d->next) {
        const char *args = d->args ? ap_resolve_env(cmd->pool, d->args) : "";

        if (d->directive[0] == '<') {
            cmd->err_directive = d;
            return apr_psprintf(cmd->pool, "%s> must not stand inside <Spawn>", d->directive);
        }
        APR_ARRAY_PUSH(lines, const char *) = apr_pstrcat(cmd->pool, d->directive, " ", args, "\n", NULL);
        APR_ARRAY_PUSH(nodes, ap_directive_t *) = d;
    }
    return NULL;
}

const char *procd_cmd_spawn(cmd_parms *cmd, void *dummy, const char *arg)
{
    apr_array_header_t *lines = apr_array_make(cmd->pool, 16, sizeof(char *));
    apr_array_header_t *nodes = apr_array_make(cmd->temp_pool, 16, sizeof(ap_directive_t *));
    const char *end = ap_strrchr_c(arg, '>'), *err, *name;
    procd_group *g;
    int line;

    (void)dummy;
    err = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);
    if (err) {
        return err;
    }
    if (!end || end[1]) {
        return "<Spawn> lacks its closing \">\"";
    }
    arg = apr_pstrmemdup(cmd->pool, arg, (apr_size_t)(end - arg));
    name = ap_getword_conf(cmd->pool, &arg);
    if (!*name || *arg || !procd_name_ok(name)) {
        return *arg ? "<Spawn> takes one name" : procd_bad_name(cmd->pool, "<Spawn>:", name);
    }
    err = collect(cmd, lines, nodes);
    if (err) {
        return err;
    }
    err = procd_add_group(cmd->pool, cmd->server, name, apr_array_pstrcat(cmd->pool, lines, 0), &line, &g);
    if (err) {
        if (line > 0 && line <= nodes->nelts) {
            cmd->err_directive = APR_ARRAY_IDX(nodes, line - 1, ap_directive_t *);
        }
        return err;
    }
    g->filename = cmd->directive->filename;
    g->line = cmd->directive->line_num;
    return NULL;
}

/* ------------------------------------------------------------------ ProcdGroupDir */

/* @return what is wrong, or NULL */
static const char *check_file(apr_pool_t *p, const char *path, const char *name)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_SIZE | APR_FINFO_TYPE, p);
    procd_deferror error;
    procd_groupdef *def;
    const char *err = NULL;
    char *text;

    /* before it is opened: a pipe would hold httpd up */
    if (rv == APR_SUCCESS && (info.filetype != APR_REG || info.size > PROCD_TEXT_MAX)) {
        return apr_psprintf(p, "%s must be a file of at most %d bytes", path, PROCD_TEXT_MAX);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_open(&file, path, APR_READ | APR_BUFFERED, 0, p);
    }
    if (rv == APR_SUCCESS) {
        text = apr_pcalloc(p, (apr_size_t)info.size + 1);
        rv = apr_file_read_full(file, text, (apr_size_t)info.size, NULL);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "cannot read %s: %pm", path, &rv);
    }
    if (procd_groupdef_parse(&def, name, text, (apr_size_t)info.size, &error) != 0) {
        return apr_psprintf(p, "%s:%d: %s", path, error.line, error.text);
    }
    err = procd_groupdef_not_in_dir(def);
    err = err ? err : check_identity(p, def);
    procd_groupdef_free(def);
    return err ? apr_psprintf(p, "%s: %s", path, err) : NULL;
}

void procd_check_group_dir(apr_pool_t *ptemp, server_rec *s, const char *path)
{
    apr_finfo_t entry;
    apr_dir_t *dir;
    apr_status_t rv = apr_dir_open(&dir, path, ptemp);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s, "PRD0260: ProcdGroupDir %s cannot be read", path);
        return;
    }
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        apr_size_t len = entry.name ? strlen(entry.name) : 0;
        const char *name, *err;

        if (len <= 5 || entry.name[0] == '.' || strcmp(entry.name + len - 5, ".conf") != 0) {
            continue;
        }
        name = apr_pstrmemdup(ptemp, entry.name, len - 5);
        err = procd_name_ok(name) ? check_file(ptemp, apr_pstrcat(ptemp, path, "/", entry.name, NULL), name)
                                  : procd_bad_name(ptemp, "ProcdGroupDir: file", name);
        if (err) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "PRD0261: %s", err);
        }
    }
    apr_dir_close(dir);
}
