/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path that an application named to an open file.
 *
 * Two things are asked of it, by two means. Where the file is: its real path, after all links, must be below one of the
 * roots' real paths, and is then opened without following any link, so that nobody can put one in between. Whether the
 * links on the way are allowed: httpd itself says so, by walking the directories of the path as it was named; that walk
 * also finds the directory's configuration (EnableSendfile, FileETag). Who may ask for the directory does not matter: the
 * application has decided that, and "Require all denied" is how such a directory is kept from everybody else.
 */
#include "instead.h"
#include "script.h"

#include "http_core.h"
#include "http_log.h"
#include "http_request.h"

#include "apr_portable.h"
#include "apr_strings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

APLOG_USE_MODULE(proxy_core);

/* ------------------------------------------------------------------ roots */

static int is_below(const char *root, const char *path)
{
    return pc_path_prefix(path, root) != 0;
}

static const char *root_at(request_rec *r, const pc_sendfile_conf *conf, int i)
{
    if (!conf->roots) {
        return i == 0 ? ap_document_root(r) : NULL;
    }
    return i < conf->roots->nelts ? APR_ARRAY_IDX(conf->roots, i, const char *) : NULL;
}

/** Is the real path below the real path of a root? */
static int is_inside(request_rec *r, const pc_sendfile_conf *conf, const char *real)
{
    char root[PATH_MAX];
    const char *named;

    for (int i = 0; (named = root_at(r, conf, i)); ++i) {
        if (realpath(named, root) && is_below(root, real)) {
            return 1;
        }
    }
    return 0;
}

/** The same for a path of which nothing is there: else the status would tell which files exist elsewhere. */
static int would_be_inside(request_rec *r, const pc_sendfile_conf *conf, const char *path)
{
    const char *named;

    for (int i = 0; (named = root_at(r, conf, i)); ++i) {
        if (is_below(named, path)) {
            return 1;
        }
    }
    return is_inside(r, conf, path);
}

/* ------------------------------------------------------------------ refusals */

static int refuse(request_rec *r, int status, const char *path, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0683: the application named a file that is not sent (%d): %s: %s",
                  status, ap_escape_logitem(r->pool, path), why);
    return status;
}

static int refuse_errno(request_rec *r, int error, const char *path)
{
    char why[120];
    int status = HTTP_FORBIDDEN;

    apr_strerror(error, why, sizeof(why));
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG: status = HTTP_NOT_FOUND; break;
    case EMFILE:
    case ENFILE:
    case ENOMEM: status = HTTP_SERVICE_UNAVAILABLE; break;
    default: break;
    }
    return refuse(r, status, path, why);
}

/* ------------------------------------------------------------------ the walk */

/** A request that asks for the file, as far as it takes to walk its directories: nobody sees it, it is not run. */
static request_rec *make_seen(request_rec *r, const char *path)
{
    request_rec *seen = apr_pmemdup(r->pool, r, sizeof(*r));

    seen->request_config = ap_create_request_config(r->pool);
    seen->main = r;
    seen->prev = seen->next = NULL;
    seen->per_dir_config = r->server->lookup_defaults;
    seen->notes = apr_table_make(r->pool, 2);
    seen->headers_out = apr_table_make(r->pool, 4);
    seen->filename = seen->canonical_filename = apr_pstrdup(r->pool, path);
    seen->path_info = "";
    seen->handler = seen->content_type = seen->content_encoding = NULL;
    seen->mtime = 0;
    memset(&seen->finfo, 0, sizeof(seen->finfo));
    ap_run_create_request(seen);
    return seen;
}

static int walk(request_rec *r, const char *path, request_rec **out)
{
    request_rec *seen = make_seen(r, path);
    int rc = ap_directory_walk(seen);

    if (rc == OK) {
        rc = ap_file_walk(seen);
    }
    if (rc != OK) {
        return refuse(r, rc, path, "httpd does not allow a link on the way, or cannot read a .htaccess file");
    }
    if (seen->finfo.filetype == APR_NOFILE) {
        return refuse(r, HTTP_NOT_FOUND, path, "it is gone");
    }
    if (seen->finfo.filetype != APR_REG) { /* before it is opened: that may wait, or do something */
        return refuse(r, HTTP_FORBIDDEN, path, "it is no regular file");
    }
    *out = seen;
    return OK;
}

/* ------------------------------------------------------------------ opening */

static int open_real(const char *real)
{
    struct open_how how;
    int fd, flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

    memset(&how, 0, sizeof(how));
    how.flags = (unsigned)flags;
    how.resolve = RESOLVE_NO_SYMLINKS;
    fd = (int)syscall(SYS_openat2, AT_FDCWD, real, &how, sizeof(how));
    if (fd == -1
        && (errno == ENOSYS || errno == EPERM)) { /* an old kernel, or a container that does not know the call */
        fd = open(real, flags | O_NOFOLLOW);
    }
    return fd;
}

/** A file of APR's own in r->pool, which buckets may set aside for longer. */
static apr_status_t adopt(request_rec *r, int fd, apr_int32_t flags, apr_file_t **out)
{
    apr_file_t *borrowed = NULL;
    apr_status_t rv = apr_os_file_put(&borrowed, &fd, flags, r->pool);

    if (rv == APR_SUCCESS) {
        rv = apr_file_dup(out, borrowed, r->pool);
    }
    close(fd);
    if (rv == APR_SUCCESS && apr_os_file_get(&fd, *out) == APR_SUCCESS) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* which APR's own copy has not */
    }
    return rv;
}

static int open_seen(request_rec *r, const char *real, pc_file *out)
{
    const core_dir_config *core = ap_get_core_module_config(out->seen->per_dir_config);
    apr_int32_t flags = APR_FOPEN_READ | APR_FOPEN_BINARY | AP_SENDFILE_ENABLED(core->enable_sendfile);
    int fd = open_real(real);
    apr_status_t rv;

    if (fd == -1) {
        return refuse_errno(r, errno, real);
    }
    rv = adopt(r, fd, flags, &out->file);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&out->finfo, APR_FINFO_NORM, out->file);
    }
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        return refuse_errno(r, rv, real);
    }
    if (out->finfo.filetype != APR_REG) {
        return refuse(r, HTTP_FORBIDDEN, real, "it is no regular file");
    }
    out->seen->finfo = out->finfo;
    return OK;
}

int pc_file_open(request_rec *r, const pc_sendfile_conf *conf, const char *path, pc_file *out)
{
    char real[PATH_MAX], *clean;
    apr_status_t rv = apr_filepath_merge(&clean, NULL, path, APR_FILEPATH_NOTRELATIVE, r->pool);
    int rc;

    if (rv != APR_SUCCESS) {
        return refuse_errno(r, rv, path);
    }
    if (!realpath(clean, real)) {
        rc = errno;
        return would_be_inside(r, conf, clean) ? refuse_errno(r, rc, clean)
                                               : refuse(r, HTTP_FORBIDDEN, clean, "it is outside of every root");
    }
    if (!is_inside(r, conf, real)) {
        return refuse(r, HTTP_FORBIDDEN, clean, "it is outside of every root");
    }
    if ((rc = walk(r, clean, &out->seen)) != OK) {
        return rc;
    }
    return open_seen(r, real, out);
}
