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

/** Decode the application's output. ev is zeroed by the caller and becomes PC_EV_MORE, INTERIM, HEAD, BODY or ERROR.
 *  A body longer than its Content-Length is an error at the first byte too many; the body of an answer that must have
 *  none (HEAD, 204, 304) is dropped.
 *  @return bytes used */
apr_size_t pc_cgi_answer_decode(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev);

/** The output is over. @return NULL: it was complete; or a static text */
const char *pc_cgi_answer_end(const pc_cgi_answer *a);

/** Was the final head handed out? */
int pc_cgi_answer_has_head(const pc_cgi_answer *a);

#endif /* PC_PROTOCOLS_CGI_ANSWER_H */
