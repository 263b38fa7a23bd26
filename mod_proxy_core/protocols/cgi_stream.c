/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that gets less than CONTENT_LENGTH bytes before the connection ends knows that the upload was cut: there is
 * nothing to say at the end of a body, nor when the client leaves.
 */
#include "cgi_stream.h"

#include <string.h>

void pc_cgi_stream_start(void *state, apr_pool_t *pool, const pc_message *m)
{
    pc_cgi_stream *s = state;

    s->m = m;
    s->left = m->body && m->content_length > 0 ? m->content_length : 0;
    pc_cgi_answer_start_either(&s->answer, pool, m);
}

apr_size_t pc_cgi_stream_frame(void *state, apr_size_t avail, pc_frame *f)
{
    pc_cgi_stream *s = state;

    f->prefix_len = f->suffix_len = 0;
    if ((apr_uint64_t)avail > (apr_uint64_t)s->left) {
        return 0; /* the application would take the rest for a request of its own, or for nothing */
    }
    s->left -= (apr_off_t)avail;
    return avail;
}

apr_size_t pc_cgi_stream_finish(void *state, char *buf)
{
    (void)state;
    (void)buf;
    return 0;
}

apr_size_t pc_cgi_stream_abort(void *state, char *buf)
{
    (void)state;
    (void)buf;
    return 0;
}

apr_size_t pc_cgi_stream_decode(void *state, const char *buf, apr_size_t len, pc_event *ev)
{
    pc_cgi_stream *s = state;

    memset(ev, 0, sizeof(*ev));
    return pc_cgi_answer_until_close(&s->answer, buf, len, ev);
}

void pc_cgi_stream_eof(void *state, pc_event *ev)
{
    pc_cgi_stream *s = state;

    memset(ev, 0, sizeof(*ev));
    pc_cgi_answer_closed(&s->answer, ev);
}
