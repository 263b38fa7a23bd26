/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/http.c mod_proxy_core/chunked.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/upgrade.c mod_proxy_core/buf.c */
/* F1 F11 F23: what a backend may answer over HTTP. */
#include "fuzz.h"

#include "protocols/http.h"

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    pc_message m;

    memset(&m, 0, sizeof(m));
    m.method = "GET";
    m.target = "/";
    m.keep_alive = !(how & 1);
    m.head_only = !!(how & 2);
    m.upgrade = how & 8 ? "websocket, foo/1" : NULL;
    tr_codec(t, &pc_http_codec, &m, how & 4 ? TR_UNSENT : 0, bytes, len, cut);
}
