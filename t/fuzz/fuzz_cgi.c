/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/cgi.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F23: what a CGI script prints, cut in different ways. */
#include "fuzz.h"
#include "protocols/cgi.h"

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    pc_message m;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.head_only = how & 1;
    tr_codec(t, &pc_cgi_codec, &m, 0, bytes, len, cut);
}
