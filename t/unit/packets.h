/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  packets.h
 * @brief Requests of SCGI and uwsgi taken apart again as strictly as their specifications allow, for unit tests and
 *        fuzzers: what was built must be what was asked for.
 */
#ifndef PC_TEST_PACKETS_H
#define PC_TEST_PACKETS_H

#include "transcript.h"
#include "protocols/scgi.h"
#include "protocols/uwsgi.h"

typedef struct packet {
    const char *name[256], *value[256];
    size_t name_len[256], value_len[256], n;
} packet;

/* The head of a request, in memory of its exact size until packet_done(). @return NULL, or why it was refused */
static const char *packet_build(const pc_codec *codec, const pc_message *m, pc_buf *b)
{
    void *state = calloc(1, codec->state_size);
    const char *why;

    exact_begin();
    codec->start(state, tr_pool(), m);
    why = codec->head(state, b);
    free(state);
    return why;
}

static void packet_done(pc_buf *b)
{
    exact_end();
    memset(b, 0, sizeof(*b));
    b->pool = tr_pool();
}

/* A netstring of names and values that each end in NUL, CONTENT_LENGTH first, SCGI=1, no empty name, none twice. */
static void packet_read_scgi(packet *k, const char *p, size_t len)
{
    char *end;
    size_t size = strtoul(p, &end, 10), i;
    const char *at = end + 1, *over = at + size;
    int marks = 0;

    TR_CHECK(*end == ':' && p[0] != '0' && (size_t)(over - p) + 1 == len && *over == ',');
    for (k->n = 0; at < over; k->n++) {
        TR_CHECK(k->n < 256);
        k->name[k->n] = at;
        k->name_len[k->n] = strnlen(at, (size_t)(over - at));
        at += k->name_len[k->n] + 1;
        TR_CHECK(at <= over && k->name_len[k->n] > 0);
        k->value[k->n] = at;
        k->value_len[k->n] = strnlen(at, (size_t)(over - at));
        at += k->value_len[k->n] + 1;
        TR_CHECK(at <= over);
        marks += !strcmp(k->name[k->n], "SCGI") && !strcmp(k->value[k->n], "1");
        for (i = 0; i < k->n; i++) {
            TR_CHECK(k->name_len[i] != k->name_len[k->n] || memcmp(k->name[i], k->name[k->n], k->name_len[i]) != 0);
        }
    }
    TR_CHECK(k->n >= 2 && !strcmp(k->name[0], "CONTENT_LENGTH") && marks == 1);
    TR_CHECK(strspn(k->value[0], "0123456789") == k->value_len[0] && k->value_len[0] > 0);
}

static size_t packet_size(const char *p)
{
    return (size_t)(unsigned char)p[0] | (size_t)(unsigned char)p[1] << 8;
}

static const char *packet_string(const char *at, const char *over, size_t *n)
{
    TR_CHECK(over - at >= 2);
    *n = packet_size(at);
    TR_CHECK((size_t)(over - at) - 2 >= *n);
    return at + 2;
}

static void packet_read_uwsgi(packet *k, const char *p, size_t len)
{
    const char *at = p + 4, *over = p + len;

    TR_CHECK(len >= 4 && p[0] == 0 && p[3] == 0 && packet_size(p + 1) == len - 4);
    for (k->n = 0; at < over; k->n++) {
        TR_CHECK(k->n < 256);
        k->name[k->n] = packet_string(at, over, &k->name_len[k->n]);
        at = k->name[k->n] + k->name_len[k->n];
        k->value[k->n] = packet_string(at, over, &k->value_len[k->n]);
        at = k->value[k->n] + k->value_len[k->n];
    }
}

static void packet_read(packet *k, const pc_codec *codec, const pc_buf *b)
{
    (codec == &pc_scgi_codec ? packet_read_scgi : packet_read_uwsgi)(k, b->p, b->len);
}

#endif /* PC_TEST_PACKETS_H */
