/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * An application's standard error, where the protocol carries it: into the error log, a line at a time, bounded and without
 * control characters; or to mod_procd, if the lines of its group have a file for each host.
 */
#include "exchange.h"

#include "http_core.h"
#include "http_log.h"

#include "apr_lib.h"
#include "apr_strings.h"

APLOG_USE_MODULE(proxy_core);

/** Most bytes of an application's standard error that one request writes into the log. */
#define LOG_MAX 65536

static APR_OPTIONAL_FN_TYPE(procd_line_write) * pass_on;

void pc_stderr_init(void)
{
    pass_on = APR_RETRIEVE_OPTIONAL_FN(procd_line_write);
}

/* @return 1: it is mod_procd's affair now */
static int is_passed_on(pc_exchange *x, const char *p, apr_size_t n)
{
    const procd_lease *proc = &x->lease.proc;

    return pass_on && x->lease.held && x->lease.backend->kind == PC_BACKEND_SPAWN
           && pass_on(proc->group, proc->pid, ap_get_server_name(x->r), p, n) == APR_SUCCESS;
}

/* One line without control characters. */
static void log_line(pc_exchange *x, const char *p, apr_size_t n)
{
    char *line;
    apr_size_t i, o = 0;

    if (n > 4096) {
        n = 4096;
    }
    line = apr_palloc(x->r->pool, n * 4 + 1);
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (apr_iscntrl(c) && c != '\t') {
            o += (apr_size_t)apr_snprintf(line + o, 5, "\\x%02x", c);
        }
        else {
            line[o++] = (char)c;
        }
    }
    line[o] = '\0';
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "PXC0440: %s: the application says: %s", x->pool->name, line);
}

void pc_stderr_log(pc_exchange *x, const char *p, apr_size_t n)
{
    const char *end = p + n;

    while (p < end) {
        const char *nl = memchr(p, '\n', (apr_size_t)(end - p));
        apr_size_t len = (apr_size_t)((nl ? nl : end) - p);

        if (x->log_bytes > LOG_MAX) {
            if (!x->logged_cut) {
                x->logged_cut = 1;
                ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                              "PXC0441: %s: the application wrote more than %d bytes to its standard error: the rest "
                              "is not logged",
                              x->pool->name, LOG_MAX);
            }
            return;
        }
        x->log_bytes += len + 1;
        while (len && (p[len - 1] == '\r')) {
            len--;
        }
        if (len && !is_passed_on(x, p, len)) {
            log_line(x, p, len);
        }
        p = nl ? nl + 1 : end;
    }
}
