/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/head.c */
/* F23: the head parser in its dialects, with the common bounds or very small ones. */
#include "fuzz.h"

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    static const pc_head_dialect dialects[] = { PC_HEAD_HTTP, PC_HEAD_CGI, PC_HEAD_TRAILER, PC_HEAD_EITHER };
    static const pc_head_limits small = { 64, 3 };

    tr_parse_head(t, dialects[how & 3], how & 4 ? &small : NULL, bytes, len, cut);
}
