/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/scgi.c mod_proxy_core/protocols/uwsgi.c mod_proxy_core/protocols/cgi_stream.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F1 F23: what a backend may answer over SCGI and uwsgi. */
#include "fuzz.h"

#include "protocols/scgi.h"
#include "protocols/uwsgi.h"

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    pc_message m;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.head_only = !!(how & 2);
    tr_codec(t, how & 1 ? &pc_scgi_codec : &pc_uwsgi_codec, &m, how & 4 ? TR_UNSENT : 0, bytes, len, cut);
}
