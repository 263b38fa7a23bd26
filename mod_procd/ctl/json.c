/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Strings as JSON has them. What processes wrote may be any bytes: those that are no UTF-8 become U+FFFD. */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

/* @return bytes of the character of UTF-8 that begins here (more than one), 0: it is none */
static size_t utf8_length(const unsigned char *at)
{
    size_t n = at[0] >= 0xc2 && at[0] <= 0xdf ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 : 0;

    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* longer than need be, halves of pairs, past the last character */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90)
        || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return n;
}

void ctl_json_string(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;

    putchar('"');
    while (at < end) {
        unsigned char next[4] = ""; /* there may be fewer */
        size_t n;

        memcpy(next, at, (size_t)(end - at) < sizeof(next) ? (size_t)(end - at) : sizeof(next));
        n = utf8_length(next);
        if (n > 0) {
            fwrite(at, 1, n, stdout);
            at += n;
            continue;
        }
        if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        }
        else if (*at < 0x20 || *at == 0x7f) {
            printf("\\u%04x", *at);
        }
        else if (*at >= 0x80) {
            fputs("\\ufffd", stdout);
        }
        else {
            putchar(*at);
        }
        at++;
    }
    putchar('"');
}
