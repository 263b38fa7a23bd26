/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "script_words.h"

#include "apr_lib.h"

#include <string.h>

/** More words than anybody searches for. */
#define WORDS_MAX 64

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* One word without its escapes. @return 0: it cannot be an argument */
static int add_word(const char *p, apr_size_t n, pc_buf *out)
{
    apr_size_t begin = out->len;
    char c;

    for (apr_size_t i = 0; i < n; i++) {
        c = p[i];
        if (c == '%') {
            if (n - i < 3 || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0) {
                return 0;
            }
            c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
            i += 2;
        }
        if (apr_iscntrl(c)) {
            return 0;
        }
        pc_buf_add(out, &c, 1);
    }
    pc_buf_add(out, "", 1);
    return out->p[begin] != '-';
}

unsigned int pc_script_words(const char *query, pc_buf *out)
{
    apr_size_t before = out->len;
    unsigned int n = 0;

    if (!query || !*query || strchr(query, '=')) {
        return 0;
    }
    for (;;) {
        apr_size_t len = strcspn(query, "+");

        if (n == WORDS_MAX || !add_word(query, len, out)) {
            out->len = before;
            return 0;
        }
        n++;
        if (!query[len]) {
            return n;
        }
        query += len + 1;
    }
}
