/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/scgi.c mod_proxy_core/protocols/uwsgi.c mod_proxy_core/protocols/cgi_stream.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F1: requests of SCGI and uwsgi: whatever the variables, what is built reads back as what was asked for, or is refused. */
#include "../unit/packets.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define MOST 64

/* The input is a list of variables: for each two bytes of length (the second counts 512s), then the text of both. */
static size_t take(const uint8_t **p, size_t *left, pc_field *f, char *text)
{
    size_t name, value;

    if (*left < 4) {
        return 0;
    }
    name = (*p)[0] + 512u * ((*p)[1] & 0x3f);
    value = (*p)[2] + 512u * (*p)[3];
    *p += 4;
    *left -= 4;
    for (size_t i = 0; i < name + value; i++) { /* no NUL: a pc_field's strings end there */
        text[i + (i >= name)] = *left && (*p)[i % *left] ? (char)(*p)[i % *left] : 'x';
    }
    text[name] = text[name + 1 + value] = '\0';
    f->name = text;
    f->name_len = name;
    f->value = text + name + 1;
    f->value_len = value;
    return name + value + 2;
}

static int is_passed(const pc_codec *codec, const pc_field *f)
{
    return codec == &pc_uwsgi_codec
           || (f->name_len && strcmp(f->name, "CONTENT_LENGTH") != 0 && strcmp(f->name, "SCGI") != 0);
}

static void check(const pc_codec *codec, const pc_message *m)
{
    pc_buf b = { NULL, 0, 0, tr_pool() };
    packet k;
    size_t i, at = codec == &pc_uwsgi_codec ? 0 : 2, size = 0;

    for (i = 0; i < m->nfields; i++) {
        size += 4 + m->fields[i].name_len + m->fields[i].value_len;
    }
    if (packet_build(codec, m, &b)) {
        TR_CHECK(b.len == 0 && size > 65535);
        packet_done(&b);
        return;
    }
    TR_CHECK(codec != &pc_uwsgi_codec || size <= 65535);
    packet_read(&k, codec, &b);
    for (i = 0; i < m->nfields; i++) {
        const pc_field *f = &m->fields[i];

        if (is_passed(codec, f)) {
            TR_CHECK(at < k.n && k.name_len[at] == f->name_len && k.value_len[at] == f->value_len);
            TR_CHECK(!memcmp(k.name[at], f->name, f->name_len) && !memcmp(k.value[at], f->value, f->value_len));
            at++;
        }
    }
    TR_CHECK(at == k.n);
    packet_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static char text[MOST * (512 * 320)];
    pc_field fields[MOST];
    pc_message m;
    size_t at = 0, n, i;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.fields = fields;
    while (m.nfields < MOST && (n = take(&input, &size, &fields[m.nfields], text + at)) > 0) {
        at += n;
        for (i = 0; i < m.nfields; i++) { /* the core gives no name twice */
            if (fields[i].name_len == fields[m.nfields].name_len && !strcmp(fields[i].name, fields[m.nfields].name)) {
                break;
            }
        }
        m.nfields += i == m.nfields;
    }
    m.body = size & 1;
    m.content_length = m.body ? (apr_off_t)size * 1000003 : 0;
    check(&pc_scgi_codec, &m);
    check(&pc_uwsgi_codec, &m);
    apr_pool_clear(tr_pool());
    return 0;
}
