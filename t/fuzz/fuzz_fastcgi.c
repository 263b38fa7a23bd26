/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/protocols/fastcgi.c mod_proxy_core/protocols/cgi_answer.c mod_proxy_core/connection.c mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F1 F23 G37: what a backend may answer over FastCGI. */
#include "fuzz.h"

#include "protocols/fastcgi.h"

/* Half of the inputs are the content of records only: the fuzzer need not find out about lengths. A byte below 0x80
 * begins a record of that many bytes, of a type that the byte behind it chooses. */
static void to_records(transcript *records, const char *bytes, size_t len)
{
    static const char types[] = { 6, 6, 6, 7, 3, 10, 6, 99 };

    memset(records, 0, sizeof(*records));
    while (len > 2) {
        size_t n = (unsigned char)bytes[0] < len - 2 ? (unsigned char)bytes[0] : len - 2;
        int choice = (unsigned char)bytes[1];
        char head[8] = { 1, types[choice & 7], 0, 1, 0, (char)n, (char)(choice >> 3 & 7), 0 };

        if (head[1] == 3) {
            n = n < 8 ? 0 : 8;
            head[5] = (char)n;
        }
        tr_add(records, head, 8);
        tr_add(records, bytes + 2, n);
        tr_add(records, "\0\0\0\0\0\0\0", (size_t)head[6]);
        bytes += 2 + n;
        len -= 2 + n;
    }
}

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut)
{
    transcript records;
    pc_message m;

    memset(&m, 0, sizeof(m));
    memset(&records, 0, sizeof(records));
    m.method = "GET";
    m.keep_alive = !(how & 1);
    m.head_only = !!(how & 2);
    if (how & 8) {
        to_records(&records, bytes, len);
    }
    else {
        tr_add(&records, bytes, len);
    }
    tr_codec(t, &pc_fastcgi_codec, &m, how & 4 ? TR_UNSENT : 0, records.p, records.len, cut);
    tr_free(&records);
}
