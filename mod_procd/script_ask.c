/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* How a child of httpd has the manager run a script: the optional functions of mod_procd.h for groups of pipe type. */
#include "procd_mod.h"

#include "apr_strings.h"

#include <errno.h>
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

static apr_status_t procd_script_ask(procd_group *g, const procd_script_order *order, int *control)
{
    procd_script_head head = { .group = (apr_uint32_t)g->index, .n_args = order->n_args, .n_env = order->n_env };
    procd_script strings;
    apr_status_t rv;
    int fd;

    *control = -1;
    if (order->size < sizeof(*order)) {
        return APR_EINVAL;
    }
    if (door == -1 || g->index < 0) {
        return APR_EGENERAL;
    }
    head.magic = PROCD_WIRE_MAGIC;
    head.version = PROCD_WIRE_VERSION;
    head.flags = order->body ? PROCD_SCRIPT_BODY : 0;
    head.len = order->len <= PROCD_SCRIPT_MAX ? (apr_uint32_t)order->len : PROCD_SCRIPT_MAX + 1;
    if (procd_script_parse(&strings, &head, order->strings, order->len)) { /* the manager would say the same */
        return APR_ENOSPC;
    }
    fd = procd_door_knock(door);
    if (fd == -1) {
        return errno;
    }
    if (procd_script_send(fd, &head, order->strings, order->len) != 0) {
        rv = errno;
        close(fd);
        return rv;
    }
    *control = fd;
    return APR_SUCCESS;
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
    int fds[2] = { -1, -1 }, rc;

    if (pipes->size < sizeof(*pipes)) {
        return APR_EINVAL;
    }
    rc = procd_script_answer_receive(control, &answer, fds);
    if (rc == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return APR_EAGAIN;
    }
    pipes->pid = rc == 1 ? answer.pid : 0;
    pipes->out = fds[0];
    pipes->in = fds[1];
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
