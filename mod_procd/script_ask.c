/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* How a child of httpd has the manager run a script: the optional functions of mod_procd.h for groups of pipe type. */
#include "procd_mod.h"

#include "apr_strings.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

APLOG_USE_MODULE(procd);

static int door = -1;

void procd_script_child_init(int script_door)
{
    door = script_door;
}

static int procd_group_is_pipe(const procd_group *g)
{
    return g && g->def && g->def->socket_type == PROCD_SOCKET_PIPE;
}

static int make_pipe(int *ours, int *theirs, int ours_reads)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    *ours = ends[!ours_reads];
    *theirs = ends[ours_reads];
    return fcntl(*ours, F_SETFL, O_NONBLOCK);
}

/* @return 0, or -1 and errno; what is open then is the caller's to close either way */
static int make_pipes(procd_script_pipes *ours, procd_script_fds *theirs, int body)
{
    return make_pipe(&ours->out, &theirs->out, 1) != 0 || (body && make_pipe(&ours->in, &theirs->in, 0) != 0) ? -1 : 0;
}

static int send_order(const procd_script_order *order, procd_script_head *head, procd_script_pipes *pipes)
{
    procd_script_fds theirs = { -1, -1 };
    int fd = procd_door_knock(door), error = errno;

    if (fd != -1
        && (make_pipes(pipes, &theirs, order->body) != 0
            || procd_script_send(fd, head, order->strings, order->len, &theirs) != 0)) {
        procd_script_fds ours = { pipes->out, pipes->in };

        error = errno;
        procd_script_close(&ours);
        pipes->out = pipes->in = -1;
        close(fd);
        fd = -1;
    }
    procd_script_close(&theirs);
    errno = error;
    return fd;
}

static apr_status_t procd_script_ask(procd_group *g, const procd_script_order *order, procd_script_pipes *pipes,
                                     int *control)
{
    procd_script_head head = { .group = (apr_uint32_t)g->index, .n_args = order->n_args, .n_env = order->n_env };
    procd_script strings;

    *control = -1;
    if (order->size < sizeof(*order) || pipes->size < sizeof(*pipes)) {
        return APR_EINVAL;
    }
    pipes->out = pipes->in = -1;
    if (door == -1 || g->index < 0) {
        return APR_EGENERAL;
    }
    head.magic = PROCD_WIRE_MAGIC;
    head.version = PROCD_WIRE_VERSION;
    head.len = order->len <= PROCD_SCRIPT_MAX ? (apr_uint32_t)order->len : PROCD_SCRIPT_MAX + 1;
    if (procd_script_parse(&strings, &head, order->strings, order->len)) { /* the manager would say the same */
        return APR_ENOSPC;
    }
    *control = send_order(order, &head, pipes);
    return *control == -1 ? errno : APR_SUCCESS;
}

static procd_script_result result_of(unsigned int verdict)
{
    switch (verdict) {
    case PROCD_SCRIPT_STARTED: return PROCD_SCRIPT_RUNS;
    case PROCD_SCRIPT_MISSING: return PROCD_SCRIPT_NOT_FOUND;
    case PROCD_SCRIPT_TOO_LARGE: return PROCD_SCRIPT_TOO_BIG;
    case PROCD_SCRIPT_BUSY: return PROCD_SCRIPT_NO_ROOM;
    default: return PROCD_SCRIPT_REFUSED;
    }
}

static apr_status_t procd_script_answer(int control, procd_script_pipes *pipes)
{
    procd_script_answer_message answer;
    int rc;

    if (pipes->size < sizeof(*pipes)) {
        return APR_EINVAL;
    }
    rc = procd_script_answer_receive(control, &answer);
    if (rc == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return APR_EAGAIN;
    }
    pipes->pid = rc == 1 ? answer.pid : 0;
    pipes->result = rc == 1 ? result_of(answer.verdict) : PROCD_SCRIPT_LOST;
    apr_cpystrn(pipes->why, rc == 1 ? answer.why : "the manager is gone", sizeof(pipes->why));
    return APR_SUCCESS;
}

static void procd_script_end(int control, int whole)
{
    static const char done = PROCD_SCRIPT_DONE;
    ssize_t n;

    if (whole) {
        n = send(control, &done, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n; /* who is not there any more need not know */
    }
    close(control);
}

void procd_script_register_functions(void)
{
    APR_REGISTER_OPTIONAL_FN(procd_group_is_pipe);
    APR_REGISTER_OPTIONAL_FN(procd_script_ask);
    APR_REGISTER_OPTIONAL_FN(procd_script_answer);
    APR_REGISTER_OPTIONAL_FN(procd_script_end);
}
