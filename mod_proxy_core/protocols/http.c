/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 as a client.
 *
 * The framing of an answer follows RFC 9112, 6.3. Where a backend says two things about it (Transfer-Encoding beside
 * Content-Length, a body behind 204) the safer one is taken and the connection is not used again, so that no byte of
 * this answer can be taken for the next one's. A connection is also given up when the answer was complete before the
 * request was: what remains of the request would be read as another one.
 */
#include "http.h"

#include "../chunked.h"
#include "../connection.h"
#include "../head.h"
#include "../upgrade.h"

#include "apr_strings.h"

#include <string.h>

#define INTERIM_MAX 10

enum { STAGE_HEAD, STAGE_LENGTH, STAGE_CHUNKED, STAGE_CLOSE, STAGE_OVER };

typedef struct http_state {
    const pc_message *m;
    pc_head_parser head;
    pc_chunked chunked;
    apr_off_t left;   /* of a body with Content-Length */
    apr_off_t unsent; /* of the request's body, when its length is known */
    unsigned char stage;
    unsigned char interims;
    unsigned close : 1; /* the connection ends with this answer */
    unsigned sent : 1;  /* the request is complete */
    unsigned again : 1; /* an interim head was handed out: the next byte begins another one */
} http_state;

static const char TOO_MANY_INTERIM[] = "more than 10 interim responses";
static const char UNASKED_101[] = "101 (Switching Protocols) without an upgrade asked for";
static const char OTHER_101[] = "101 (Switching Protocols) to a protocol that was not offered";
static const char BAD_CODING[] = "Transfer-Encoding is not exactly \"chunked\"";
static const char CUT_INTERIM[] = "closed behind an interim response, before the final one";
static const char CUT_LENGTH[] = "closed before the end of the body that Content-Length announced";
static const char CUT_CHUNKED[] = "closed before the last chunk";

static void http_start(void *state, apr_pool_t *pool, const pc_message *m)
{
    http_state *s = state;

    s->m = m;
    s->unsent = m->body ? m->content_length : 0;
    s->close = !m->keep_alive;
    pc_head_init(&s->head, pool, PC_HEAD_HTTP, NULL);
}

/* ------------------------------------------------------------------ request */

/* What the codec says itself. A second one would make two requests of one for somebody. */
static int is_codecs_own(const pc_field *f)
{
    switch (f->name_len) {
    case 4: return PC_FIELD_IS(f, "Host");
    case 2: return PC_FIELD_IS(f, "TE");
    case 6: return PC_FIELD_IS(f, "Expect");
    case 7: return PC_FIELD_IS(f, "Upgrade");
    case 10: return PC_FIELD_IS(f, "Connection");
    case 14: return PC_FIELD_IS(f, "Content-Length");
    case 17: return PC_FIELD_IS(f, "Transfer-Encoding");
    default: return 0;
    }
}

/* Free of white space and controls? What comes here was checked before; a rewrite that was not is caught (CVE-2023-25690) */
static int is_word(const char *p, apr_size_t n)
{
    return n && pc_value_clean(p, n) && !memchr(p, ' ', n) && !memchr(p, '\t', n);
}

static const char *check_request(const pc_message *m, apr_size_t method, apr_size_t target, apr_size_t host)
{
    apr_size_t i;

    if (!method || pc_token_span(m->method, method) != method) {
        return "the method is not a token";
    }
    if (!is_word(m->target, target)) {
        return "the request target is empty or has white space or control characters";
    }
    if (host && !is_word(m->host, host)) {
        return "the value of Host has white space or control characters";
    }
    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (!f->name_len || pc_token_span(f->name, f->name_len) != f->name_len) {
            return "a request field's name is not a token";
        }
        if (!pc_value_clean(f->value, f->value_len)) {
            return "control character in a request field's value";
        }
    }
    return NULL;
}

static char *put(char *p, const char *s, apr_size_t n)
{
    memcpy(p, s, n);
    return p + n;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_fields(char *p, const pc_message *m)
{
    apr_size_t i;

    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (!is_codecs_own(f)) {
            p = put(p, f->name, f->name_len);
            p = PUT(p, ": ");
            p = put(p, f->value, f->value_len);
            p = PUT(p, "\r\n");
        }
    }
    return p;
}

static char *put_framing(char *p, const pc_message *m)
{
    if (m->body && m->content_length >= 0) {
        p = PUT(p, "Content-Length: ");
        p += apr_snprintf(p, 24, "%" APR_OFF_T_FMT "\r\n", m->content_length);
    }
    else if (m->body) {
        p = PUT(p, "Transfer-Encoding: chunked\r\n");
    }
    if (m->body && m->expect_100) {
        p = PUT(p, "Expect: 100-continue\r\n");
    }
    return p;
}

/* What is said to the next hop only; Connection lists it. */
static char *put_connection(char *p, const pc_message *m)
{
    if (m->upgrade) {
        p = PUT(p, "Connection: Upgrade\r\nUpgrade: ");
        p = put(p, m->upgrade, strlen(m->upgrade));
        return PUT(p, "\r\n");
    }
    if (m->te_trailers) {
        p = PUT(p, "TE: trailers\r\n");
        return m->keep_alive ? PUT(p, "Connection: TE\r\n") : PUT(p, "Connection: TE, close\r\n");
    }
    return m->keep_alive ? p : PUT(p, "Connection: close\r\n");
}

static const char *http_head(void *state, pc_buf *out)
{
    const pc_message *m = ((http_state *)state)->m;
    apr_size_t method = strlen(m->method), target = strlen(m->target), host = m->host ? strlen(m->host) : 0;
    apr_size_t i, size = method + target + host + 192; /* all that the codec itself says is shorter */
    const char *why = check_request(m, method, target, host);
    char *begin, *p;

    if (why) {
        return why;
    }
    for (i = 0; i < m->nfields; i++) {
        size += m->fields[i].name_len + m->fields[i].value_len + 4;
    }
    size += m->upgrade ? strlen(m->upgrade) : 0;
    begin = pc_buf_reserve(out, size);
    p = put(begin, m->method, method);
    *p++ = ' ';
    p = put(p, m->target, target);
    p = PUT(p, " HTTP/1.1\r\nHost: ");
    p = put(p, m->host ? m->host : "", host);
    p = PUT(p, "\r\n");
    p = put_fields(p, m);
    p = put_framing(p, m);
    p = put_connection(p, m);
    p = PUT(p, "\r\n");
    out->len += (apr_size_t)(p - begin);
    return NULL;
}

static apr_size_t http_frame(void *state, apr_size_t avail, pc_frame *f)
{
    http_state *s = state;

    f->prefix_len = f->suffix_len = 0;
    if (s->unsent < 0) {
        f->prefix_len = pc_chunked_prefix(f->prefix, avail);
        f->suffix_len = put(f->suffix, "\r\n", 2) - f->suffix;
        return avail;
    }
    if ((apr_off_t)avail > s->unsent || (apr_off_t)avail < 0) {
        avail = (apr_size_t)s->unsent; /* 0 for bytes beyond the length: they must never reach the backend */
    }
    s->unsent -= (apr_off_t)avail;
    return avail;
}

static apr_size_t http_finish(void *state, char *buf)
{
    http_state *s = state;

    s->sent = s->unsent <= 0;
    return s->unsent < 0 ? (apr_size_t)(PUT(buf, PC_CHUNKED_LAST) - buf) : 0;
}

static void http_trailers(void *state, const pc_field *fields, apr_size_t n, pc_buf *out)
{
    http_state *s = state;

    s->sent = 1;
    pc_buf_adds(out, "0\r\n");
    for (; n; fields++, n--) {
        pc_buf_add(out, fields->name, fields->name_len);
        pc_buf_adds(out, ": ");
        pc_buf_add(out, fields->value, fields->value_len);
        pc_buf_adds(out, "\r\n");
    }
    pc_buf_adds(out, "\r\n");
}

static apr_size_t http_abort(void *state, char *buf)
{
    (void)state;
    (void)buf;
    return 0;
}

/* ------------------------------------------------------------------ answer */

static void set_error(http_state *s, pc_event *ev, const char *why)
{
    s->stage = STAGE_OVER;
    s->close = 1;
    ev->type = PC_EV_ERROR;
    ev->why = why;
}

static void set_end(http_state *s, pc_event *ev)
{
    ev->type = PC_EV_END;
    ev->reusable = s->sent && !s->close;
}

static void drop_length(pc_head *head)
{
    apr_size_t i;

    head->content_length = -1;
    for (i = head->nfields; i--;) {
        if (PC_FIELD_IS(&head->fields[i], "Content-Length")) {
            pc_head_remove(head, i);
        }
    }
}

/* Trailer fields come behind chunks only. */
static void drop_announcement(pc_head *head)
{
    apr_size_t i;

    for (i = head->nfields; i--;) {
        if (PC_FIELD_IS(&head->fields[i], "Trailer")) {
            pc_head_remove(head, i);
        }
    }
}

/* RFC 9112, 6.3 */
static void frame_body(http_state *s, pc_head *head, pc_coding coding)
{
    int chunked = coding == PC_CODING_CHUNKED;

    if (chunked && (head->content_length >= 0 || s->head.minor == 0)) {
        s->close = 1;
    }
    if (chunked && head->content_length >= 0) {
        drop_length(head);
    }
    if (head->status == 204 && (chunked || head->content_length >= 0)) {
        s->close |= chunked || head->content_length > 0;
        drop_length(head);
    }
    if (s->m->head_only || head->status == 204 || head->status == 304) {
        s->stage = STAGE_OVER;
    }
    else if (chunked) {
        s->stage = STAGE_CHUNKED;
        pc_chunked_init(&s->chunked, s->head.pool);
    }
    else if (head->content_length >= 0) {
        s->left = head->content_length;
        s->stage = s->left ? STAGE_LENGTH : STAGE_OVER;
    }
    else {
        s->stage = STAGE_CLOSE;
        s->close = 1;
    }
}

static void take_interim(http_state *s, pc_head *head, pc_event *ev)
{
    if (++s->interims > INTERIM_MAX) {
        set_error(s, ev, TOO_MANY_INTERIM); /* CVE-2008-2364 */
    }
    else {
        drop_length(head);
        drop_announcement(head);
        s->again = 1;
        ev->type = PC_EV_INTERIM;
        ev->head = head;
    }
}

/* The protocol that a 101 names, NULL: none, or two fields of them. */
static const char *chosen_protocol(const pc_head *head)
{
    const char *chosen = NULL;
    apr_size_t i;

    for (i = 0; i < head->nfields; i++) {
        if (PC_FIELD_IS(&head->fields[i], "Upgrade")) {
            if (chosen) {
                return NULL;
            }
            chosen = head->fields[i].value;
        }
    }
    return chosen;
}

/* CVE-2019-17567: bytes are only passed unread where both sides have agreed on it. */
static void take_switch(http_state *s, pc_head *head, pc_event *ev)
{
    const char *chosen = chosen_protocol(head);

    if (!s->m->upgrade || !s->sent || s->head.minor == 0) {
        set_error(s, ev, UNASKED_101);
        return;
    }
    if (!chosen || !pc_upgrade_is_offered(s->m->upgrade, chosen)) {
        set_error(s, ev, OTHER_101);
        return;
    }
    drop_length(head);
    drop_announcement(head);
    s->stage = STAGE_CLOSE;
    s->close = 1;
    ev->type = PC_EV_HEAD;
    ev->head = head;
}

static void take_head(http_state *s, pc_event *ev)
{
    pc_head *head = &s->head.head;
    pc_connection c;

    pc_connection_take(head, PC_KEEP_TRAILER | (head->status == 101 ? PC_KEEP_UPGRADE : 0), &c);
    if (c.close || c.malformed || (s->head.minor == 0 && !c.keep_alive)) {
        s->close = 1;
    }
    if (head->status == 101) {
        take_switch(s, head, ev);
        return;
    }
    if (head->status < 200) {
        take_interim(s, head, ev);
        return;
    }
    if (c.coding == PC_CODING_OTHER) {
        set_error(s, ev, BAD_CODING);
        return;
    }
    frame_body(s, head, c.coding);
    if (s->stage != STAGE_CHUNKED) {
        drop_announcement(head);
    }
    ev->type = PC_EV_HEAD;
    ev->head = head;
}

static apr_size_t decode_head(http_state *s, const char *buf, apr_size_t len, pc_event *ev)
{
    pc_head_result r;
    apr_size_t used;

    if (s->again && len) {
        pc_head_again(&s->head);
        s->again = 0;
    }
    used = pc_head_feed(&s->head, buf, len, &r);
    if (r == PC_HEAD_BAD) {
        set_error(s, ev, s->head.why);
    }
    else if (r == PC_HEAD_DONE) {
        take_head(s, ev);
    }
    return used;
}

static apr_size_t decode_length(http_state *s, const char *buf, apr_size_t len, pc_event *ev)
{
    apr_size_t n = (apr_uint64_t)len < (apr_uint64_t)s->left ? len : (apr_size_t)s->left;

    if (n) {
        ev->type = PC_EV_BODY;
        ev->data = buf;
        ev->len = n;
        s->left -= (apr_off_t)n;
        if (s->left == 0) {
            s->stage = STAGE_OVER;
        }
    }
    return n;
}

static apr_size_t decode_chunked(http_state *s, const char *buf, apr_size_t len, pc_event *ev)
{
    pc_chunked_result r;
    apr_size_t used = pc_chunked_decode(&s->chunked, buf, len, &r, &ev->data, &ev->len);

    switch (r) {
    case PC_CHUNKED_DATA: ev->type = PC_EV_BODY; break;
    case PC_CHUNKED_TRAILER:
        ev->type = PC_EV_TRAILER;
        ev->head = &s->chunked.trailer->head;
        pc_connection_trailer(&s->chunked.trailer->head);
        break;
    case PC_CHUNKED_END:
        s->stage = STAGE_OVER;
        set_end(s, ev);
        break;
    case PC_CHUNKED_BAD: set_error(s, ev, s->chunked.why); break;
    default: break;
    }
    return used;
}

static apr_size_t http_decode(void *state, const char *buf, apr_size_t len, pc_event *ev)
{
    http_state *s = state;

    memset(ev, 0, sizeof(*ev));
    switch (s->stage) {
    case STAGE_HEAD: return decode_head(s, buf, len, ev);
    case STAGE_LENGTH: return decode_length(s, buf, len, ev);
    case STAGE_CHUNKED: return decode_chunked(s, buf, len, ev);
    case STAGE_CLOSE:
        ev->type = len ? PC_EV_BODY : PC_EV_MORE;
        ev->data = buf;
        ev->len = len;
        return len;
    default: set_end(s, ev); return 0;
    }
}

static void http_eof(void *state, pc_event *ev)
{
    http_state *s = state;

    memset(ev, 0, sizeof(*ev));
    s->close = 1;
    switch (s->stage) {
    case STAGE_HEAD: set_error(s, ev, s->again ? CUT_INTERIM : pc_head_eof(&s->head)); break;
    case STAGE_LENGTH: set_error(s, ev, CUT_LENGTH); break;
    case STAGE_CHUNKED: set_error(s, ev, CUT_CHUNKED); break;
    default: set_end(s, ev); break;
    }
}

#define BOTH_FLAGS (PC_CODEC_CHUNKS | PC_CODEC_KEEP | PC_CODEC_EXPECT | PC_CODEC_UPGRADE)
#define BOTH_FUNCTIONS \
    .size = sizeof(pc_codec), .state_size = sizeof(http_state), .start = http_start, .head = http_head, \
    .frame = http_frame, .finish = http_finish, .abort = http_abort, .decode = http_decode, .eof = http_eof, \
    .trailers = http_trailers

const pc_codec pc_http_codec = { .name = "http", .flags = BOTH_FLAGS, .default_port = 80, BOTH_FUNCTIONS };
const pc_codec pc_https_codec = {
    .name = "https", .flags = BOTH_FLAGS | PC_CODEC_TLS, .default_port = 443, BOTH_FUNCTIONS
};
