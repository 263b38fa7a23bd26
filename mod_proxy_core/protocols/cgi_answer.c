/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CGI-like application says. Its Content-Length is kept and enforced: one that is not checked is a way to split
 * responses (CVE-2024-24795), one that is thrown away costs clients their progress bars and hides a body that was cut.
 * Its Transfer-Encoding means nothing here: the framing of its output is the protocol's (CVE-2026-63718).
 */
#include "cgi_answer.h"

#include "../connection.h"

#include <string.h>

#define INTERIM_MAX 10

enum { STAGE_HEAD, STAGE_AGAIN, STAGE_BODY, STAGE_NO_BODY, STAGE_BAD };

static const char BAD_INTERIM[] = "1xx status other than 102 and 103 from a CGI-like application";
static const char TOO_MANY_INTERIM[] = "more than 10 interim responses";
static const char LONG_BODY[] = "the body is longer than its Content-Length";
static const char SHORT_BODY[] = "the body is shorter than its Content-Length";
static const char NO_FINAL[] = "the output ends behind an interim response";
static const char NO_HEAD[] = "the output ends before the response head";
static const char HALF_HEAD[] = "the output ends inside the response head";

static void start(pc_cgi_answer *a, apr_pool_t *pool, const pc_message *m, pc_head_dialect dialect)
{
    memset(a, 0, sizeof(*a));
    pc_head_init(&a->head, pool, dialect, NULL);
    a->left = -1;
    a->head_only = m->head_only;
}

void pc_cgi_answer_start(pc_cgi_answer *a, apr_pool_t *pool, const pc_message *m)
{
    start(a, pool, m, PC_HEAD_CGI);
}

void pc_cgi_answer_start_either(pc_cgi_answer *a, apr_pool_t *pool, const pc_message *m)
{
    start(a, pool, m, PC_HEAD_EITHER);
}

static void set_error(pc_cgi_answer *a, pc_event *ev, const char *why)
{
    a->stage = STAGE_BAD;
    ev->type = PC_EV_ERROR;
    ev->why = why;
}

static void drop_length(pc_head *head)
{
    apr_size_t i;

    head->content_length = -1;
    for (i = head->nfields; i--;) {
        if (pc_field_is(&head->fields[i], "Content-Length", 14)) {
            pc_head_remove(head, i);
        }
    }
}

static void take_head(pc_cgi_answer *a, pc_event *ev)
{
    pc_head *head = &a->head.head;
    pc_connection ignored;

    pc_connection_take(head, 0, &ignored);
    if (head->status < 200 && head->status != 102 && head->status != 103) {
        set_error(a, ev, BAD_INTERIM);
        return;
    }
    if (head->status < 200 && ++a->interims > INTERIM_MAX) {
        set_error(a, ev, TOO_MANY_INTERIM);
        return;
    }
    if (head->status < 200 || head->status == 204) {
        drop_length(head);
    }
    if (head->status < 200) {
        a->stage = STAGE_AGAIN;
    }
    else if (a->head_only || head->status == 204 || head->status == 304) {
        a->stage = STAGE_NO_BODY;
    }
    else {
        a->stage = STAGE_BODY;
        a->left = head->content_length;
    }
    ev->type = head->status < 200 ? PC_EV_INTERIM : PC_EV_HEAD;
    ev->head = head;
}

static apr_size_t decode_head(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev)
{
    pc_head_result r;
    apr_size_t used;

    if (a->stage == STAGE_AGAIN) {
        pc_head_again(&a->head);
        a->stage = STAGE_HEAD;
    }
    used = pc_head_feed(&a->head, buf, len, &r);
    if (r == PC_HEAD_BAD) {
        set_error(a, ev, a->head.why);
    }
    else if (r == PC_HEAD_DONE) {
        take_head(a, ev);
    }
    return used;
}

static apr_size_t decode_body(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev)
{
    if (a->left >= 0) {
        if (a->left == 0) {
            set_error(a, ev, LONG_BODY);
            return 0;
        }
        if ((apr_uint64_t)len > (apr_uint64_t)a->left) {
            len = (apr_size_t)a->left;
        }
        a->left -= (apr_off_t)len;
    }
    ev->type = PC_EV_BODY;
    ev->data = buf;
    ev->len = len;
    return len;
}

apr_size_t pc_cgi_answer_decode(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev)
{
    if (len == 0) {
        return 0;
    }
    a->begun = 1;
    switch (a->stage) {
    case STAGE_HEAD:
    case STAGE_AGAIN: return decode_head(a, buf, len, ev);
    case STAGE_BODY: return decode_body(a, buf, len, ev);
    default: return len;
    }
}

const char *pc_cgi_answer_end(const pc_cgi_answer *a)
{
    switch (a->stage) {
    case STAGE_HEAD: return a->head.begun ? HALF_HEAD : NO_HEAD;
    case STAGE_AGAIN: return NO_FINAL;
    case STAGE_BODY: return a->left > 0 ? SHORT_BODY : NULL;
    default: return NULL;
    }
}

apr_size_t pc_cgi_answer_until_close(pc_cgi_answer *a, const char *buf, apr_size_t len, pc_event *ev)
{
    if (a->stage == STAGE_BODY && a->left == 0) {
        ev->type = PC_EV_END;
        return 0;
    }
    return pc_cgi_answer_decode(a, buf, len, ev);
}

void pc_cgi_answer_closed(pc_cgi_answer *a, pc_event *ev)
{
    ev->why = pc_cgi_answer_end(a);
    ev->type = ev->why ? PC_EV_ERROR : PC_EV_END;
}

int pc_cgi_answer_has_head(const pc_cgi_answer *a)
{
    return a->stage == STAGE_BODY || a->stage == STAGE_NO_BODY;
}
