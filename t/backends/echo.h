/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What the echo programs share: CRC-32 of what they got, words of the query string, waiting. */
#ifndef ECHO_H
#define ECHO_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint32_t crc_table[256];

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++) {
            c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        }
        crc_table[i] = c;
    }
}

static uint32_t crc_add(uint32_t crc, const char *p, size_t n)
{
    while (n--) {
        crc = crc_table[(crc ^ (unsigned char)*p++) & 0xFF] ^ (crc >> 8);
    }
    return crc;
}

/* The value of a word of the query string, percent-decoded into buf; NULL: absent. */
static const char *arg(const char *query, const char *name, char *buf, size_t size)
{
    size_t n = strlen(name), used = 0;
    const char *p = query;

    while (p && *p) {
        if (!strncmp(p, name, n) && (p[n] == '=' || p[n] == '&' || p[n] == '\0')) {
            for (p += n + (p[n] == '='); *p && *p != '&' && used + 1 < size; p++) {
                unsigned int byte;

                if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1) {
                    buf[used++] = (char)byte;
                    p += 2;
                }
                else {
                    buf[used++] = *p;
                }
            }
            buf[used] = '\0';
            return buf;
        }
        p = strchr(p, '&');
        p = p ? p + 1 : NULL;
    }
    return NULL;
}

static long number(const char *query, const char *name, long otherwise)
{
    char buf[32];
    const char *v = arg(query, name, buf, sizeof(buf));

    return v ? atol(v) : otherwise;
}

static void pause_ms(long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    while (ms > 0 && nanosleep(&ts, &ts) == -1 && errno == EINTR) {
    }
}

#endif /* ECHO_H */
