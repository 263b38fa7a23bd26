/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * CGI. The variables are the script's environment and travel with the order to start it (script_link.c), so that nothing
 * is left of a head here. The answer ends with the output, or with the last byte that its Content-Length promised: what a
 * script does or says after that is its own business, and must not make the client wait.
 */
#include "cgi.h"

#include "cgi_answer.h"

#include <string.h>

typedef struct state {
    pc_cgi_answer answer;
    apr_off_t left; /* of the request's body */
} state;

static void start(void *data, apr_pool_t *pool, const pc_message *m)
{
    state *s = data;

    pc_cgi_answer_start(&s->answer, pool, m);
    s->left = m->content_length > 0 ? m->content_length : 0;
}

static const char *head(void *data, pc_buf *out)
{
    (void)data;
    (void)out;
    return NULL;
}

static apr_size_t frame(void *data, apr_size_t avail, pc_frame *f)
{
    state *s = data;

    f->prefix_len = f->suffix_len = 0;
    if ((apr_uint64_t)avail > (apr_uint64_t)s->left) {
        return 0;
    }
    s->left -= (apr_off_t)avail;
    return avail;
}

static apr_size_t finish(void *data, char *buf)
{
    (void)data;
    (void)buf;
    return 0;
}

static apr_size_t decode(void *data, const char *buf, apr_size_t len, pc_event *ev)
{
    state *s = data;

    memset(ev, 0, sizeof(*ev));
    if (s->answer.left == 0 && pc_cgi_answer_has_head(&s->answer)) {
        ev->type = PC_EV_END;
        return 0;
    }
    return pc_cgi_answer_decode(&s->answer, buf, len, ev);
}

static void eof(void *data, pc_event *ev)
{
    state *s = data;
    const char *why = pc_cgi_answer_end(&s->answer);

    memset(ev, 0, sizeof(*ev));
    ev->type = why ? PC_EV_ERROR : PC_EV_END;
    ev->why = why;
}

const pc_codec pc_cgi_codec = {
    .size = sizeof(pc_codec),
    .name = "cgi",
    .flags = PC_CODEC_CGI,
    .default_port = 0,
    .state_size = sizeof(state),
    .start = start,
    .head = head,
    .frame = frame,
    .finish = finish,
    .abort = finish,
    .decode = decode,
    .eof = eof,
};
