/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/chunked.c mod_proxy_core/head.c */
/* F11: the decoder of chunked transfer coding. */
#include "fuzz.h"

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    (void)how;
    tr_chunked(t, bytes, len, cut);
}
