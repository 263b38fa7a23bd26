/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * FastCGI 1.0, one request at a time on a connection (request id 1).
 *
 * Sent: BEGIN_REQUEST, PARAMS over as many records as they need, the body as STDIN, and for a filter the file as DATA behind
 * the end of STDIN. A body that was not completed is never ended with the empty STDIN record, which would make an
 * application act on half an upload; ABORT_REQUEST is sent instead.
 *
 * Received: a record's head is collected when it comes in pieces, its content is handed on as it lies. The answer is
 * over with END_REQUEST and its padding, not before: a connection that closes earlier cut the answer short, and one
 * that is kept must stand at a record's boundary. Both of END_REQUEST's statuses are looked at.
 *
 * The specification's layout is written out in bytes; no structure is laid over a buffer.
 */
#include "fastcgi.h"

#include "cgi_answer.h"

#include "apr_strings.h"

#include <string.h>

#define FCGI_VERSION 1
#define FCGI_HEADER_LEN 8
#define FCGI_KEEP_CONN 1
#define FCGI_ID 1

enum {
    FCGI_BEGIN_REQUEST = 1,
    FCGI_ABORT_REQUEST = 2,
    FCGI_END_REQUEST = 3,
    FCGI_PARAMS = 4,
    FCGI_STDIN = 5,
    FCGI_STDOUT = 6,
    FCGI_STDERR = 7,
    FCGI_DATA = 8
};

enum { FCGI_RESPONDER = 1, FCGI_AUTHORIZER = 2, FCGI_FILTER = 3 };

enum { FCGI_REQUEST_COMPLETE = 0, FCGI_CANT_MPX_CONN = 1, FCGI_OVERLOADED = 2, FCGI_UNKNOWN_ROLE = 3 };

/* Content of a full record: the longest that is a multiple of 8, so that it needs no padding. */
#define RECORD_MAX 65528
/* All parameters together; httpd's own limits on a request stay far below. */
#define PARAMS_MAX (16 * 1024 * 1024)

enum { STAGE_HEADER, STAGE_CONTENT, STAGE_PADDING, STAGE_OVER };

typedef struct fcgi_state {
    const pc_message *m;
    apr_pool_t *pool;
    pc_cgi_answer answer;
    unsigned char part[FCGI_HEADER_LEN]; /* what came of a record's head, or of END_REQUEST's content */
    unsigned char part_len;
    unsigned char stage;
    unsigned char type;    /* of the record that is being read */
    unsigned char padding; /* bytes of it that are to come */
    apr_uint16_t content;  /* bytes of its content that are to come */
    apr_off_t in_left;     /* a filter: bytes of STDIN and of DATA that are to come */
    apr_off_t data_left;
    unsigned in_ended : 1;    /* a filter: the end of STDIN was framed */
    unsigned sent : 1;        /* the request is complete */
    unsigned stdout_over : 1; /* the empty STDOUT record came */
    unsigned ended : 1;       /* END_REQUEST came; app_status and why are set */
    int app_status;
    const char *why; /* END_REQUEST said, or shows, that it went wrong */
    unsigned overloaded : 1;
    unsigned early : 1;
} fcgi_state;

static const char BAD_VERSION[] = "FastCGI record of a version other than 1";
static const char FOREIGN_ID[] = "FastCGI record of a request that is not on this connection";
static const char CLIENT_RECORD[] = "FastCGI record of a type that only a server sends";
static const char SHORT_END[] = "FCGI_END_REQUEST is shorter than 8 bytes";
static const char STDOUT_AGAIN[] = "FCGI_STDOUT behind the end of that stream";
static const char CUT_NOTHING[] = "closed before the answer";
static const char CUT[] = "closed before FCGI_END_REQUEST";

/* ------------------------------------------------------------------ request */

static void fcgi_start(void *state, apr_pool_t *pool, const pc_message *m)
{
    fcgi_state *s = state;

    s->m = m;
    s->pool = pool;
    s->in_left = m->body ? m->content_length : 0;
    s->data_left = m->data_length;
    pc_cgi_answer_start(&s->answer, pool, m);
}

static char *put_header(char *p, int type, apr_size_t content, apr_size_t padding)
{
    p[0] = FCGI_VERSION;
    p[1] = (char)type;
    p[2] = 0;
    p[3] = FCGI_ID;
    p[4] = (char)(content >> 8);
    p[5] = (char)content;
    p[6] = (char)padding;
    p[7] = 0;
    return p + FCGI_HEADER_LEN;
}

static char *put_length(char *p, apr_size_t n)
{
    if (n < 128) {
        *p = (char)n;
        return p + 1;
    }
    p[0] = (char)(n >> 24 | 0x80);
    p[1] = (char)(n >> 16);
    p[2] = (char)(n >> 8);
    p[3] = (char)n;
    return p + 4;
}

static apr_size_t length_of_length(apr_size_t n)
{
    return n < 128 ? 1 : 4;
}

/* Writes PARAMS records. A record ends where a pair ends, as long as pairs fit into records at all: the specification
 * lets a pair straddle them, but PHP reads each record by itself and drops the request when a pair is cut. */
typedef struct record_writer {
    char *p;
    char *record; /* head of the record that is open, NULL: none */
} record_writer;

static apr_size_t record_len(const record_writer *w)
{
    return w->record ? (apr_size_t)(w->p - w->record) - FCGI_HEADER_LEN : 0;
}

static void open_record(record_writer *w)
{
    w->record = w->p;
    w->p += FCGI_HEADER_LEN;
}

static void close_record(record_writer *w)
{
    apr_size_t len = record_len(w), padding = (8 - len % 8) % 8;

    if (w->record) {
        put_header(w->record, FCGI_PARAMS, len, padding);
        memset(w->p, 0, padding);
        w->p += padding;
        w->record = NULL;
    }
}

static void put_params(record_writer *w, const char *bytes, apr_size_t n)
{
    while (n) {
        apr_size_t room;

        if (record_len(w) == RECORD_MAX) {
            close_record(w);
        }
        if (!w->record) {
            open_record(w);
        }
        room = RECORD_MAX - record_len(w);
        room = n < room ? n : room;
        memcpy(w->p, bytes, room);
        w->p += room;
        bytes += room;
        n -= room;
    }
}

static void put_pair(record_writer *w, const pc_field *f)
{
    char lengths[8];
    apr_size_t n = length_of_length(f->name_len) + length_of_length(f->value_len);

    if (n + f->name_len + f->value_len > RECORD_MAX - record_len(w)) {
        close_record(w);
    }
    if (n + f->name_len + f->value_len <= RECORD_MAX) {
        if (!w->record) {
            open_record(w);
        }
        w->p = put_length(put_length(w->p, f->name_len), f->value_len);
        w->p = (char *)memcpy(w->p, f->name, f->name_len) + f->name_len;
        w->p = (char *)memcpy(w->p, f->value, f->value_len) + f->value_len;
        return;
    }
    put_length(put_length(lengths, f->name_len), f->value_len);
    put_params(w, lengths, n);
    put_params(w, f->name, f->name_len);
    put_params(w, f->value, f->value_len);
}

/* @return bytes of all pairs, or 0 with *why set */
static apr_size_t params_size(const pc_message *m, const char **why)
{
    apr_size_t i, size = 0;

    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (f->name_len > PARAMS_MAX || f->value_len > PARAMS_MAX) {
            size = PARAMS_MAX;
        }
        size += length_of_length(f->name_len) + length_of_length(f->value_len) + f->name_len + f->value_len;
        if (size > PARAMS_MAX) {
            *why = "the request's CGI variables are larger than 16 MB";
            return 0;
        }
    }
    return size;
}

static char role_of(const pc_message *m)
{
    switch (m->role) {
    case PC_ROLE_AUTHORIZER: return FCGI_AUTHORIZER;
    case PC_ROLE_FILTER: return FCGI_FILTER;
    default: return FCGI_RESPONDER;
    }
}

static const char *fcgi_head(void *state, pc_buf *out)
{
    fcgi_state *s = state;
    const pc_message *m = s->m;
    const char *why = NULL;
    apr_size_t i, size = params_size(m, &why);
    record_writer w = { NULL, NULL };
    char *begin;

    if (why) {
        return why;
    }
    /* two records that follow each other have more than RECORD_MAX bytes; each costs a head and padding */
    begin = pc_buf_reserve(out, size + (2 * (size / RECORD_MAX) + 5) * 2 * FCGI_HEADER_LEN);
    w.p = put_header(begin, FCGI_BEGIN_REQUEST, 8, 0);
    memset(w.p, 0, 8);
    w.p[1] = role_of(m);
    w.p[2] = m->keep_alive ? FCGI_KEEP_CONN : 0;
    w.p += 8;
    for (i = 0; i < m->nfields; i++) {
        put_pair(&w, &m->fields[i]);
    }
    close_record(&w);
    w.p = put_header(w.p, FCGI_PARAMS, 0, 0);
    out->len += (apr_size_t)(w.p - begin);
    return NULL;
}

/* A filter's two streams: DATA begins behind the end of STDIN, which libfcgi insists on. */
static apr_size_t frame_filter(fcgi_state *s, apr_size_t avail, pc_frame *f)
{
    apr_off_t *left = s->in_left > 0 ? &s->in_left : &s->data_left;
    char *p = f->prefix;

    if ((apr_uint64_t)avail > (apr_uint64_t)*left) {
        avail = (apr_size_t)*left;
    }
    *left -= (apr_off_t)avail;
    if (left == &s->data_left && !s->in_ended) {
        s->in_ended = 1;
        p = put_header(p, FCGI_STDIN, 0, 0);
    }
    p = put_header(p, left == &s->data_left ? FCGI_DATA : FCGI_STDIN, avail, 0);
    f->prefix_len = (apr_size_t)(p - f->prefix);
    return avail;
}

static apr_size_t fcgi_frame(void *state, apr_size_t avail, pc_frame *f)
{
    fcgi_state *s = state;

    if (avail > RECORD_MAX) {
        avail = RECORD_MAX;
    }
    f->suffix_len = 0;
    if (s->m->role == PC_ROLE_FILTER) {
        return frame_filter(s, avail, f);
    }
    put_header(f->prefix, FCGI_STDIN, avail, 0);
    f->prefix_len = FCGI_HEADER_LEN;
    return avail;
}

static apr_size_t fcgi_finish(void *state, char *buf)
{
    fcgi_state *s = state;
    char *p = buf;

    s->sent = 1;
    if (!s->in_ended) {
        p = put_header(p, FCGI_STDIN, 0, 0);
    }
    if (s->m->role == PC_ROLE_FILTER) {
        p = put_header(p, FCGI_DATA, 0, 0);
    }
    return (apr_size_t)(p - buf);
}

static apr_size_t fcgi_abort(void *state, char *buf)
{
    (void)state;
    put_header(buf, FCGI_ABORT_REQUEST, 0, 0);
    return FCGI_HEADER_LEN;
}

/* ------------------------------------------------------------------ answer */

static void set_error(fcgi_state *s, pc_event *ev, const char *why)
{
    s->stage = STAGE_OVER;
    s->why = why;
    ev->type = PC_EV_ERROR;
    ev->why = why;
}

/* Collect up to eight bytes that may come in pieces. @return bytes used; s->part_len is 8 when they are all there */
static apr_size_t collect(fcgi_state *s, const char *buf, apr_size_t len)
{
    apr_size_t n = sizeof(s->part) - s->part_len;

    n = len < n ? len : n;
    memcpy(s->part + s->part_len, buf, n);
    s->part_len = (unsigned char)(s->part_len + n);
    return n;
}

/* A record's head is complete. @return NULL, or what is wrong with it */
static const char *take_header(fcgi_state *s)
{
    unsigned id = (unsigned)s->part[2] << 8 | s->part[3];

    s->part_len = 0;
    s->stage = STAGE_CONTENT;
    s->type = s->part[1];
    s->content = (apr_uint16_t)(s->part[4] << 8 | s->part[5]);
    s->padding = s->part[6];
    if (s->part[0] != FCGI_VERSION) {
        return BAD_VERSION;
    }
    switch (s->type) {
    case FCGI_STDOUT:
        if (s->stdout_over && s->content) {
            return STDOUT_AGAIN;
        }
        s->stdout_over |= s->content == 0;
        break;
    case FCGI_END_REQUEST:
        if (s->content < 8) {
            return SHORT_END;
        }
        break;
    case FCGI_BEGIN_REQUEST:
    case FCGI_ABORT_REQUEST:
    case FCGI_PARAMS:
    case FCGI_STDIN:
    case FCGI_DATA: return CLIENT_RECORD;
    case FCGI_STDERR: break;
    default: /* management records, and types that are not known: skipped whatever their id */ return NULL;
    }
    return id == FCGI_ID ? NULL : FOREIGN_ID;
}

static const char *protocol_status(unsigned status)
{
    switch (status) {
    case FCGI_REQUEST_COMPLETE: return NULL;
    case FCGI_CANT_MPX_CONN: return "the application refused the request: FCGI_CANT_MPX_CONN";
    case FCGI_OVERLOADED: return "the application refused the request: FCGI_OVERLOADED";
    case FCGI_UNKNOWN_ROLE: return "the application refused the request: FCGI_UNKNOWN_ROLE";
    default: return "FCGI_END_REQUEST has an unknown protocol status";
    }
}

/* END_REQUEST's eight bytes are complete. What they mean is said when the record's padding has come, too. */
static void take_end(fcgi_state *s)
{
    unsigned status = s->part[4];

    s->ended = 1;
    s->app_status = (int)((apr_uint32_t)s->part[0] << 24 | (apr_uint32_t)s->part[1] << 16
                          | (apr_uint32_t)s->part[2] << 8 | s->part[3]);
    s->why = protocol_status(status);
    if (s->why) {
        s->overloaded = (status == FCGI_OVERLOADED || status == FCGI_CANT_MPX_CONN) && !s->answer.begun;
        return;
    }
    s->why = pc_cgi_answer_end(&s->answer);
    if (s->app_status && !pc_cgi_answer_has_head(&s->answer)) {
        s->why = apr_psprintf(s->pool, "application exited with status %d before it answered", s->app_status);
    }
    s->early = s->why != NULL;
}

static void set_end(fcgi_state *s, pc_event *ev, int whole)
{
    if (s->why) {
        ev->overloaded = s->overloaded;
        ev->early = s->early;
        set_error(s, ev, s->why);
        return;
    }
    s->stage = STAGE_OVER;
    ev->type = PC_EV_END;
    ev->app_status = s->app_status;
    ev->reusable = whole && s->sent && s->m->keep_alive;
}

/* n > 0 bytes of the record's content. @return bytes used */
static apr_size_t decode_content(fcgi_state *s, const char *buf, apr_size_t n, pc_event *ev)
{
    switch (s->type) {
    case FCGI_STDOUT:
        n = pc_cgi_answer_decode(&s->answer, buf, n, ev);
        if (ev->type == PC_EV_ERROR) {
            set_error(s, ev, ev->why);
        }
        break;
    case FCGI_STDERR:
        ev->type = PC_EV_LOG;
        ev->data = buf;
        ev->len = n;
        break;
    case FCGI_END_REQUEST:
        if (!s->ended) {
            n = collect(s, buf, n);
            if (s->part_len == sizeof(s->part)) {
                take_end(s);
                s->part_len = 0;
            }
        }
        break;
    default: break;
    }
    s->content = (apr_uint16_t)(s->content - n);
    return n;
}

static apr_size_t decode_header(fcgi_state *s, const char *buf, apr_size_t len, pc_event *ev)
{
    apr_size_t n = collect(s, buf, len);

    if (s->part_len == sizeof(s->part)) {
        const char *why = take_header(s);

        if (why) {
            set_error(s, ev, why);
        }
    }
    return n;
}

static apr_size_t decode_padding(fcgi_state *s, apr_size_t len)
{
    apr_size_t n = s->padding < len ? s->padding : len;

    s->padding = (unsigned char)(s->padding - n);
    return n;
}

static apr_size_t fcgi_decode(void *state, const char *buf, apr_size_t len, pc_event *ev)
{
    fcgi_state *s = state;
    apr_size_t used = 0;

    memset(ev, 0, sizeof(*ev));
    for (;;) {
        if (s->stage == STAGE_CONTENT && s->content == 0) {
            s->stage = STAGE_PADDING;
        }
        if (s->stage == STAGE_PADDING && s->padding == 0) {
            s->stage = STAGE_HEADER;
            if (s->ended) {
                set_end(s, ev, 1);
            }
        }
        if (ev->type != PC_EV_MORE || used == len) {
            return used;
        }
        if (s->stage == STAGE_HEADER) {
            used += decode_header(s, buf + used, len - used, ev);
        }
        else if (s->stage == STAGE_CONTENT) {
            apr_size_t n = len - used < s->content ? len - used : s->content;

            used += decode_content(s, buf + used, n, ev);
        }
        else {
            used += decode_padding(s, len - used);
        }
    }
}

static const char *where_cut(const fcgi_state *s)
{
    if (!s->answer.begun) {
        return CUT_NOTHING;
    }
    return pc_cgi_answer_has_head(&s->answer) ? CUT : pc_cgi_answer_end(&s->answer);
}

static void fcgi_eof(void *state, pc_event *ev)
{
    fcgi_state *s = state;

    memset(ev, 0, sizeof(*ev));
    if (s->ended) {
        set_end(s, ev, 0); /* only the padding was cut */
    }
    else {
        set_error(s, ev, where_cut(s));
    }
}

const pc_codec pc_fastcgi_codec = {
    .size = sizeof(pc_codec),
    .name = "fastcgi",
    .flags = PC_CODEC_CGI | PC_CODEC_KEEP | PC_CODEC_EXCLUSIVE | PC_CODEC_ROLES,
    .default_port = 0,
    .state_size = sizeof(fcgi_state),
    .start = fcgi_start,
    .head = fcgi_head,
    .frame = fcgi_frame,
    .finish = fcgi_finish,
    .abort = fcgi_abort,
    .decode = fcgi_decode,
    .eof = fcgi_eof,
};
