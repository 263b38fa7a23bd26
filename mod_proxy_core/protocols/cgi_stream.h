/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  cgi_stream.h
 * @brief What SCGI and uwsgi have in common behind the head of the request: the body goes out as it is, CONTENT_LENGTH
 *        bytes of it, and what comes back until the connection ends is the answer of a CGI-like application. One request
 *        a connection.
 *
 * The functions are those of pc_codec; a codec whose state is a pc_cgi_stream takes them as they are and adds its head().
 */
#ifndef PC_PROTOCOLS_CGI_STREAM_H
#define PC_PROTOCOLS_CGI_STREAM_H

#include "cgi_answer.h"

typedef struct pc_cgi_stream {
    const pc_message *m;
    pc_cgi_answer answer;
    apr_off_t left; /* of the body, to be sent */
} pc_cgi_stream;

void pc_cgi_stream_start(void *state, apr_pool_t *pool, const pc_message *m);
apr_size_t pc_cgi_stream_frame(void *state, apr_size_t avail, pc_frame *f);
apr_size_t pc_cgi_stream_finish(void *state, char *buf);
apr_size_t pc_cgi_stream_abort(void *state, char *buf);
apr_size_t pc_cgi_stream_decode(void *state, const char *buf, apr_size_t len, pc_event *ev);
void pc_cgi_stream_eof(void *state, pc_event *ev);

#endif /* PC_PROTOCOLS_CGI_STREAM_H */
