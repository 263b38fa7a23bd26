/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  cgi_answer.h
 * @brief The answer of a CGI-like application (RFC 3875, 6): what FastCGI, SCGI, uwsgi and CGI have in common once
 *        their own framing is taken off.
 */
#ifndef PC_PROTOCOLS_CGI_ANSWER_H
#define PC_PROTOCOLS_CGI_ANSWER_H

#include "../head.h"

/** Part of a codec's state. */
typedef struct pc_cgi_answer {
    pc_head_parser head;
    apr_off_t left; /* of the body by its Content-Length, -1: it had none */
    unsigned char stage;
    unsigned char interims;
    unsigned head_only : 1;
    unsigned begun : 1; /**< at least one byte came */
} pc_cgi_answer;

void pc_cgi_answer_start(pc_cgi_answer *a, apr_pool_t *pool, const pc_message *m);

/** The same for servers that begin with a status line of HTTP/1 as often as not (SCGI, uwsgi). */
void pc_cgi_answer_start_either(pc_cgi_answer *a, apr_pool_t *pool, const pc_message *m);

/** Decode the application's output. ev is zeroed by the caller and becomes PC_EV_MORE, INTERIM, HEAD, BODY or ERROR.
 *  A body longer than its Content-Length is an error at the first byte too many; the body of an answer that must have
 *  none (HEAD, 204, 304) is dropped.
 *  @return bytes used */
apr_size_t pc_cgi_answer_decode(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev);

/** The output is over. @return NULL: it was complete; or a static text */
const char *pc_cgi_answer_end(const pc_cgi_answer *a);

/** Decode as pc_cgi_answer_decode(), for protocols whose answer ends with the connection: ev becomes PC_EV_END too, as soon
 *  as the body is as long as its Content-Length says. An application that works on behind its answer, or leaves the
 *  connection to a child of its own, does not hold the client up. */
apr_size_t pc_cgi_answer_until_close(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev);

/** The connection ended: ev becomes PC_EV_END or PC_EV_ERROR. */
void pc_cgi_answer_closed(pc_cgi_answer *a, pc_event *ev);

/** Was the final head handed out? */
int pc_cgi_answer_has_head(const pc_cgi_answer *a);

#endif /* PC_PROTOCOLS_CGI_ANSWER_H */
