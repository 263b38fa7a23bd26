/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * From the order to a script that runs, and its two pipes as a link. The control socket of mod_procd stays until the link is
 * closed: its end tells the manager whether the answer was had whole.
 *
 * Without a body nothing is waited for but the script's output: to be told that it runs would be one more waking for each
 * request. Output that ends without a byte is the moment to ask the control socket whether it did run. With a body the
 * link's descriptor is the control socket until the manager has answered: no byte of it is read before there is a script.
 */
#include "script_link.h"
#include "protocols/cgi.h"
#include "script_order.h"

#include "http_core.h"
#include "http_log.h"
#include "http_request.h"

#include "apr_strings.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

APLOG_USE_MODULE(proxy_core);

/** What belongs to the link. In the request's pool, which outlives it. */
typedef struct script_data {
    pc_exchange *x;
    int control;
    unsigned closed : 1;   /* the script has closed its output */
    unsigned spoken : 1;   /* it has written something */
    unsigned answered : 1; /* the manager has: pipes.result */
    procd_script_order order;
    procd_script_pipes pipes;
} script_data;

static APR_OPTIONAL_FN_TYPE(procd_script_ask) * ask;
static APR_OPTIONAL_FN_TYPE(procd_script_answer) * answer;
static APR_OPTIONAL_FN_TYPE(procd_script_end) * end;

void pc_script_init(void)
{
    ask = APR_RETRIEVE_OPTIONAL_FN(procd_script_ask);
    answer = APR_RETRIEVE_OPTIONAL_FN(procd_script_answer);
    end = APR_RETRIEVE_OPTIONAL_FN(procd_script_end);
}

int pc_script_permitted(request_rec *r)
{
    const char *forced = apr_table_get(r->notes, "alias-forced-type");

    if ((ap_allow_options(r) & OPT_EXECCGI) || (forced && !strcasecmp(forced, "cgi-script"))) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0620: Options ExecCGI is off here: %s", r->filename);
    return HTTP_FORBIDDEN;
}

int pc_script_leased(const pc_lease *lease)
{
    return lease->backend->kind == PC_BACKEND_SPAWN && lease->proc.addr_len == 0;
}

/* ------------------------------------------------------------------ the link */

/* Has the manager answered? @return as procd_script_answer() */
static apr_status_t take_answer(script_data *d)
{
    apr_status_t rv = d->answered ? APR_SUCCESS : answer(d->control, &d->pipes);

    if (rv == APR_SUCCESS) {
        d->answered = 1;
        d->x->lease.proc.pid = d->pipes.pid;
    }
    return rv;
}

/* The output has ended, and there was none: was it run? What the manager says of that is on its way at least.
 * @return as recv_output() */
static ssize_t nothing_said(pc_link *link, script_data *d)
{
    apr_status_t rv = take_answer(d);

    if (rv == APR_EAGAIN && link->fd != d->control) {
        pc_perch_forget_link(d->x);
        close(link->fd);
        link->fd = d->control;
    }
    if (rv == APR_SUCCESS && d->pipes.result == PROCD_SCRIPT_RUNS) {
        d->closed = 1;
        return 0;
    }
    errno = rv == APR_EAGAIN ? EAGAIN : ECONNREFUSED;
    return -1;
}

/* It never waits: how long a thread should is said in mod_proxy_core.c. */
static ssize_t recv_output(pc_link *link, void *buf, apr_size_t size, int wait)
{
    script_data *d = link->data;
    ssize_t n;

    (void)wait;
    if (link->fd == d->control) {
        return nothing_said(link, d);
    }
    do {
        n = read(link->fd, buf, size);
    } while (n == -1 && errno == EINTR);
    if (n == 0 && !d->spoken) {
        return nothing_said(link, d);
    }
    d->spoken |= n > 0;
    d->closed |= n == 0;
    return n;
}

static ssize_t send_input(pc_link *link, const struct iovec *iov, int n)
{
    ssize_t sent;

    do { /* httpd ignores SIGPIPE */
        sent = writev(link->out_fd, iov, n);
    } while (sent == -1 && errno == EINTR);
    return sent;
}

static int shut_input(pc_link *link)
{
    if (link->out_fd != -1) {
        close(link->out_fd);
        link->out_fd = -1;
    }
    return 1;
}

static void close_if_open(int fd)
{
    if (fd != -1) {
        close(fd);
    }
}

static void close_script(pc_link *link)
{
    script_data *d = link->data;

    if (link->fd == d->control) {
        link->fd = -1; /* not its own */
    }
    close_if_open(d->pipes.in); /* of one that was not answered */
    close_if_open(d->pipes.out);
    if (d->control != -1) {
        end(d->control, d->closed || link->whole);
    }
}

static const pc_link_ops script_ops = { recv_output, send_input, shut_input, close_script, NULL };

static pc_link *make_link(const pc_exchange *x)
{
    pc_link *link = calloc(1, sizeof(*link));

    if (link) {
        link->fd = link->out_fd = -1;
        link->ops = &script_ops;
        link->backend = x->lease.index;
        link->born = x->now;
    }
    return link;
}

/* ------------------------------------------------------------------ connecting */

static apr_status_t begin(pc_exchange *x)
{
    script_data *d;
    int rc = pc_send_fields(x);

    if (rc != OK) {
        x->rc = rc;
        return APR_EGENERAL;
    }
    d = apr_pcalloc(x->r->pool, sizeof(*d));
    d->x = x;
    d->control = d->pipes.in = d->pipes.out = -1;
    d->pipes.size = sizeof(d->pipes);
    d->pipes.result = PROCD_SCRIPT_RUNS;
    pc_script_order(x, &d->order);
    x->link = make_link(x);
    if (!x->link) {
        return APR_ENOMEM;
    }
    x->link->data = d;
    return APR_SUCCESS;
}

static apr_status_t take_pipes(pc_exchange *x, script_data *d)
{
    pc_perch_forget_link(x);
    x->link->fd = d->pipes.out;
    x->link->out_fd = d->pipes.in;
    x->link->connected = x->link->begun = 1;
    d->pipes.in = d->pipes.out = -1;
    return APR_SUCCESS;
}

apr_status_t pc_script_connect(pc_exchange *x)
{
    apr_status_t rv = x->link ? APR_SUCCESS : begin(x);
    script_data *d;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    d = x->link->data;
    if (d->control == -1) {
        rv = ask ? ask(x->lease.backend->group, &d->order, &d->pipes, &d->control) : APR_EGENERAL;
        if (rv != APR_SUCCESS) {
            return rv;
        }
        x->any_sent = 1; /* it may have begun before we hear of it */
        if (!d->order.body) {
            return take_pipes(x, d);
        }
        x->link->fd = d->control;
        return APR_EINPROGRESS;
    }
    rv = take_answer(d);
    if (rv != APR_SUCCESS) {
        return rv == APR_EAGAIN ? APR_EINPROGRESS : rv;
    }
    return d->pipes.result == PROCD_SCRIPT_RUNS ? take_pipes(x, d) : APR_EGENERAL;
}

int pc_script_was_refused(const pc_link *link)
{
    const script_data *d = link->ops == &script_ops ? link->data : NULL;

    return d && d->answered && d->pipes.result != PROCD_SCRIPT_RUNS;
}

/* A script that was not run: the manager has looked at it, and the answer is for this request only. */
static pc_step refused(pc_exchange *x, int status, const char *why)
{
    ap_log_rerror(APLOG_MARK, status == HTTP_NOT_FOUND ? APLOG_INFO : APLOG_ERR, 0, x->r,
                  "PXC0621: pool %s: the script %s was not run: %s", x->pool->name, pc_cgi_script(x->r, x->route), why);
    pc_exchange_release(x, PC_OUTCOME_UNUSED, 0);
    return pc_exchange_end(x, status, "script");
}

pc_step pc_script_failed(pc_exchange *x, apr_status_t rv)
{
    const script_data *d = x->link ? x->link->data : NULL;
    char buf[120];

    if (!d) {
        return rv == APR_ENOMEM ? pc_fail(x, PC_STAGE_CONNECT, PC_CAUSE_LOCAL, "no memory")
                                : pc_exchange_end(x, x->rc, "request");
    }
    if (rv == APR_ENOSPC) {
        return refused(x, HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, "its variables are more than can be handed on");
    }
    if (d->control == -1) {
        return pc_fail(x, PC_STAGE_CONNECT, rv == APR_EGENERAL ? PC_CAUSE_REFUSED : PC_CAUSE_LOCAL,
                       rv == APR_EGENERAL ? "there is no manager" : apr_strerror(rv, buf, sizeof(buf)));
    }
    switch (d->pipes.result) {
    case PROCD_SCRIPT_NOT_FOUND: return refused(x, HTTP_NOT_FOUND, d->pipes.why);
    case PROCD_SCRIPT_REFUSED: return refused(x, HTTP_FORBIDDEN, d->pipes.why);
    case PROCD_SCRIPT_TOO_BIG: return refused(x, HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, d->pipes.why);
    case PROCD_SCRIPT_NO_ROOM: return pc_fail(x, PC_STAGE_CONNECT, PC_CAUSE_LOCAL, d->pipes.why);
    default: return pc_fail(x, PC_STAGE_CONNECT, PC_CAUSE_UNTAKEN, d->pipes.why);
    }
}

/* ------------------------------------------------------------------ configuration */

const char *pc_script_check_pool(apr_pool_t *p, server_rec *s, const pc_pool_conf *pool)
{
    APR_OPTIONAL_FN_TYPE(procd_group_find) *find = APR_RETRIEVE_OPTIONAL_FN(procd_group_find);
    APR_OPTIONAL_FN_TYPE(procd_group_is_pipe) *is_pipe = APR_RETRIEVE_OPTIONAL_FN(procd_group_is_pipe);
    int is_cgi = pool->codec == &pc_cgi_codec;

    for (int i = 0; i < pool->backends->nelts; i++) {
        const pc_backend_conf *b = &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);
        const procd_group *g = b->kind == PC_BACKEND_SPAWN && find ? find(s, b->spawn) : NULL;
        int pipe = g && is_pipe && is_pipe(g);

        if (is_cgi && b->kind != PC_BACKEND_SPAWN) {
            return apr_psprintf(p,
                                "ProxyCoreBackend %s: ProxyCoreProtocol cgi takes spawn:GROUP, a <Spawn> group with "
                                "SpawnSocketType pipe",
                                b->text);
        }
        if (is_cgi && b->proxy_protocol) {
            return apr_psprintf(p,
                                "ProxyCoreBackend %s proxy-protocol=v%u: a script has no connection that could begin "
                                "with it",
                                b->text, b->proxy_protocol);
        }
        if (g && is_cgi && !pipe) {
            return apr_psprintf(p,
                                "ProxyCoreBackend %s: ProxyCoreProtocol cgi needs SpawnSocketType pipe in <Spawn %s>",
                                b->text, b->spawn);
        }
        if (g && !is_cgi && pipe) {
            return apr_psprintf(p,
                                "ProxyCoreBackend %s: <Spawn %s> has SpawnSocketType pipe, which needs "
                                "ProxyCoreProtocol cgi and not %s",
                                b->text, b->spawn, pool->codec->name);
        }
    }
    return NULL;
}
