/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  transcript.h
 * @brief What a parser said to an input that was cut in a given way, as text: for unit tests to compare with what is
 *        wanted, and for fuzzers to compare with what it said to the same input cut in another way.
 *
 * A codec's transcript has a line for each event:
 *
 *     HEAD 200 OK length=5 {Content-Type: text/plain|Content-Length: 5}
 *     BODY hello
 *     END reusable
 *
 * Spans of BODY that follow each other are one line, and so are those of LOG. Everything that must hold for any input
 * is checked on the way; what does not hold ends the program.
 */
#ifndef PC_TEST_TRANSCRIPT_H
#define PC_TEST_TRANSCRIPT_H

#include "mod_proxy_core.h"
#include "chunked.h"
#include "head.h"

#include "apr_general.h"
#include "apr_strings.h"

#include "exact_pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TR_CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what); \
            abort(); \
        } \
    } while (0)

typedef struct transcript {
    char *p;
    size_t len, cap;
    int last; /* type of the last line, to join spans */
} transcript;

/* How the input is cut: two pieces with the cut at `at` when step is 0, else pieces of `step` bytes. */
typedef struct cutting {
    size_t at, step;
} cutting;

static const cutting CUT_WHOLE = { (size_t)-1, 0 };
static const cutting CUT_BYTES = { 0, 1 };

static size_t cut_piece(const cutting *c, size_t done, size_t len)
{
    size_t n = len - done;

    if (c->step) {
        return n < c->step ? n : c->step;
    }
    return done < c->at && c->at < len ? c->at - done : n;
}

/* Whole, byte by byte, and in two pieces at every place: EACH_CUT(cut, length) statement */
#define EACH_CUT(cut, len) for (cutting cut = CUT_WHOLE; cut.step <= 1; cut_next(&cut, len))

static void cut_next(cutting *c, size_t len)
{
    if (c->step == 0 && c->at == CUT_WHOLE.at) {
        *c = CUT_BYTES;
        return;
    }
    c->step = ++c->at < len ? 0 : 2;
}

static void tr_add(transcript *t, const void *p, size_t n)
{
    if (t->len + n + 1 > t->cap) {
        t->cap = (t->len + n + 1) * 2;
        t->p = realloc(t->p, t->cap);
    }
    if (n) {
        memcpy(t->p + t->len, p, n);
    }
    t->len += n;
    t->p[t->len] = '\0';
}

static void tr_addf(transcript *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tr_addf(transcript *t, const char *format, ...)
{
    char text[512];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    tr_add(t, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void tr_line(transcript *t, int type)
{
    if (t->len) {
        tr_add(t, "\n", 1);
    }
    t->last = type;
}

static void tr_span(transcript *t, int type, const char *name, const char *p, size_t n)
{
    if (t->last != type) {
        tr_line(t, type);
        tr_add(t, name, strlen(name));
    }
    tr_add(t, p, n);
}

static void tr_free(transcript *t)
{
    free(t->p);
    memset(t, 0, sizeof(*t));
}

static int tr_same(const transcript *a, const transcript *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

static void tr_head(transcript *t, const pc_head *head)
{
    size_t i;

    TR_CHECK(head->content_length >= -1);
    if (head->status) {
        TR_CHECK(head->status >= 100 && head->status <= 599);
        tr_addf(t, " %d", head->status);
    }
    if (head->reason) {
        TR_CHECK(*head->reason && pc_value_clean(head->reason, strlen(head->reason)));
        tr_add(t, " ", 1);
        tr_add(t, head->reason, strlen(head->reason));
    }
    if (head->content_length >= 0) {
        tr_addf(t, " length=%" APR_OFF_T_FMT, head->content_length);
    }
    tr_add(t, " {", 2);
    for (i = 0; i < head->nfields; i++) {
        const pc_field *f = &head->fields[i];

        TR_CHECK(f->name_len && pc_token_span(f->name, f->name_len) == f->name_len && f->name[f->name_len] == '\0');
        TR_CHECK(pc_value_clean(f->value, f->value_len) && f->value[f->value_len] == '\0');
        TR_CHECK(!f->value_len || !strchr(" \t", f->value[0]));
        TR_CHECK(!f->value_len || !strchr(" \t", f->value[f->value_len - 1]));
        tr_add(t, i ? "|" : "", i ? 1 : 0);
        tr_add(t, f->name, f->name_len);
        tr_add(t, ": ", 2);
        tr_add(t, f->value, f->value_len);
    }
    tr_add(t, "}", 1);
}

/* @return 1, or 0 and what was wanted is said: for fail() */
static int tr_is(const transcript *t, const char *want, const char *input, cutting cut)
{
    if (strcmp(t->len ? t->p : "", want) == 0) {
        return 1;
    }
    fprintf(stderr, "input: %s\ncut at %ld, step %ld\ngot:    %s\nwanted: %s\n", input, (long)cut.at, (long)cut.step,
            t->len ? t->p : "", want);
    return 0;
}

/* ------------------------------------------------------------------ codecs */

static void tr_event(transcript *t, const pc_event *ev)
{
    switch (ev->type) {
    case PC_EV_MORE: return;
    case PC_EV_BODY:
        TR_CHECK(ev->len > 0);
        tr_span(t, PC_EV_BODY, "BODY ", ev->data, ev->len);
        return;
    case PC_EV_LOG:
        TR_CHECK(ev->len > 0);
        tr_span(t, PC_EV_LOG, "LOG ", ev->data, ev->len);
        return;
    case PC_EV_INTERIM:
    case PC_EV_HEAD:
    case PC_EV_TRAILER:
        tr_line(t, (int)ev->type);
        tr_addf(t, ev->type == PC_EV_HEAD ? "HEAD" : ev->type == PC_EV_INTERIM ? "INTERIM" : "TRAILER");
        tr_head(t, ev->head);
        return;
    case PC_EV_END:
        tr_line(t, (int)ev->type);
        tr_addf(t, ev->reusable ? "END reusable" : "END");
        if (ev->app_status) {
            tr_addf(t, " status=%d", ev->app_status);
        }
        return;
    case PC_EV_ERROR:
        TR_CHECK(ev->why != NULL);
        tr_line(t, (int)ev->type);
        tr_addf(t, ev->overloaded ? "ERROR overloaded: %s" : ev->early ? "ERROR early: %s" : "ERROR %s", ev->why);
        return;
    }
    TR_CHECK(!"an event of this type");
}

/* Decode one piece. @return 1: the answer is over, *used bytes of the piece belong to it */
static int tr_piece(transcript *t, const pc_codec *codec, void *state, const char *bytes, size_t len, size_t *used)
{
    char *piece = malloc(len ? len : 1); /* of its own, so that a byte too many is seen */
    int idle = 0, over = 0;
    pc_event ev;

    memcpy(piece, bytes, len);
    *used = 0;
    do {
        size_t n = codec->decode(state, piece + *used, len - *used, &ev);

        TR_CHECK(n <= len - *used);
        TR_CHECK(n > 0 || ++idle <= 3);
        if (ev.type == PC_EV_BODY || ev.type == PC_EV_LOG) {
            TR_CHECK(ev.data >= piece + *used && ev.len <= n && ev.data + ev.len <= piece + *used + n);
        }
        tr_event(t, &ev);
        *used += n;
        over = ev.type == PC_EV_END || ev.type == PC_EV_ERROR;
    } while (ev.type != PC_EV_MORE && !over);
    TR_CHECK(over || *used == len);
    if (ev.type == PC_EV_ERROR) {
        *used = len; /* how far an error reaches means nothing */
    }
    free(piece);
    return over;
}

#define TR_UNSENT 0x01 /* the request is not complete when the answer comes */
#define TR_OPEN 0x02   /* the connection stays open behind the input */

/* Run an exchange whose backend answers with these bytes and then closes. */
static void tr_codec(transcript *t, const pc_codec *codec, const pc_message *m, int flags, const char *bytes,
                     size_t len, cutting cut)
{
    static apr_pool_t *pool;
    void *state = calloc(1, codec->state_size);
    char last[PC_FRAME_MAX];
    size_t done = 0, used;
    pc_event ev;
    int over = 0;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    memset(t, 0, sizeof(*t));
    t->last = -1;
    exact_begin();
    codec->start(state, pool, m);
    if (!(flags & TR_UNSENT)) {
        TR_CHECK(codec->finish(state, last) <= PC_FRAME_MAX);
    }
    while (!over && done < len) {
        size_t n = cut_piece(&cut, done, len);

        over = tr_piece(t, codec, state, bytes + done, n, &used);
        done += used;
    }
    if (over && t->last == PC_EV_END && done < len) {
        tr_addf(t, " left=%lu", (unsigned long)(len - done));
    }
    if (!over && !(flags & TR_OPEN)) {
        codec->eof(state, &ev);
        TR_CHECK(ev.type == PC_EV_END || ev.type == PC_EV_ERROR);
        tr_event(t, &ev);
    }
    exact_end();
    apr_pool_clear(pool);
    free(state);
}

/* ------------------------------------------------------------------ parsers */

static apr_pool_t *tr_pool(void)
{
    static apr_pool_t *pool;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    return pool;
}

/* "DONE 200 OK {..} left=0", "BAD why" or "EOF why" */
static void tr_parse_head(transcript *t, pc_head_dialect dialect, const pc_head_limits *limits, const char *bytes,
                          size_t len, cutting cut)
{
    pc_head_parser h;
    pc_head_result r = PC_HEAD_MORE;
    size_t done = 0, used = 0;

    memset(t, 0, sizeof(*t));
    exact_begin();
    pc_head_init(&h, tr_pool(), dialect, limits);
    while (r == PC_HEAD_MORE && done < len) {
        size_t n = cut_piece(&cut, done, len);
        char *piece = malloc(n);

        memcpy(piece, bytes + done, n);
        used = pc_head_feed(&h, piece, n, &r);
        TR_CHECK(used <= n);
        TR_CHECK(r != PC_HEAD_MORE || used == n);
        done += used;
        free(piece);
    }
    if (r == PC_HEAD_DONE) {
        tr_addf(t, "DONE");
        tr_head(t, &h.head);
        if (done < len) {
            tr_addf(t, " left=%lu", (unsigned long)(len - done));
        }
    }
    else if (r == PC_HEAD_BAD) {
        tr_addf(t, "BAD %s", h.why);
    }
    else {
        tr_addf(t, "EOF %s", pc_head_eof(&h));
    }
    exact_end();
}

/* "DATA hello", "TRAILER {..}", then "END left=1", "BAD why" or "MORE" */
static void tr_chunked(transcript *t, const char *bytes, size_t len, cutting cut)
{
    pc_chunked c;
    pc_chunked_result r = PC_CHUNKED_MORE;
    size_t done = 0;

    memset(t, 0, sizeof(*t));
    t->last = -1;
    exact_begin();
    pc_chunked_init(&c, tr_pool());
    while (done < len && r != PC_CHUNKED_END && r != PC_CHUNKED_BAD) {
        size_t n = cut_piece(&cut, done, len), used = 0;
        char *piece = malloc(n);

        memcpy(piece, bytes + done, n);
        do {
            const char *data = NULL;
            apr_size_t span = 0;
            apr_size_t step = pc_chunked_decode(&c, piece + used, n - used, &r, &data, &span);

            TR_CHECK(step <= n - used);
            if (r == PC_CHUNKED_DATA) {
                TR_CHECK(span && data >= piece + used && data + span == piece + used + step);
                tr_span(t, (int)r, "DATA ", data, span);
            }
            else if (r == PC_CHUNKED_TRAILER) {
                tr_line(t, (int)r);
                tr_addf(t, "TRAILER");
                tr_head(t, &c.trailer->head);
            }
            used += step;
        } while (r == PC_CHUNKED_DATA || r == PC_CHUNKED_TRAILER);
        TR_CHECK(r != PC_CHUNKED_MORE || used == n);
        done += used;
        free(piece);
    }
    tr_line(t, (int)r);
    if (r == PC_CHUNKED_END) {
        tr_addf(t, "END");
        if (done < len) {
            tr_addf(t, " left=%lu", (unsigned long)(len - done));
        }
    }
    else if (r == PC_CHUNKED_BAD) {
        tr_addf(t, "BAD %s", c.why);
    }
    else {
        tr_addf(t, "MORE");
    }
    exact_end();
}

#endif /* PC_TEST_TRANSCRIPT_H */
