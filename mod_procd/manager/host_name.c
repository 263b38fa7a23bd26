/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A host's name that becomes part of a path. It may be any bytes: with UseCanonicalName Off a client has chosen it, and a
 * child of httpd that was taken over says what it likes. */
#include "hostlog.h"

#include <string.h>

static int is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

void host_name_clean(const char *host, size_t len, char name[HOST_NAME_ROOM])
{
    char before = '.'; /* as if a label had ended: the first byte begins one */
    size_t i;

    if (len > 0 && host[len - 1] == '.') {
        len--; /* the root's, which is the same host */
    }
    for (i = 0; i < len && i < HOST_NAME_ROOM - 1; i++) {
        char c = lower(host[i]);

        if (!is_alnum(c) && (before == '.' || (c != '-' && c != '.'))) {
            break;
        }
        name[i] = before = c;
    }
    name[i] = '\0';
    if (i == 0 || i < len || before == '.') {
        strcpy(name, HOST_NAME_OTHER);
    }
}

int host_name_put(const char *pattern, const char *name, char *out, size_t room)
{
    size_t n = 0, name_len = strlen(name), word_len = strlen(PROCD_LOG_HOST);

    for (;;) {
        const char *hit = strstr(pattern, PROCD_LOG_HOST);
        size_t len = hit ? (size_t)(hit - pattern) : strlen(pattern);

        if (n + len + (hit ? name_len : 0) >= room) {
            return -1;
        }
        memcpy(out + n, pattern, len);
        n += len;
        if (!hit) {
            break;
        }
        memcpy(out + n, name, name_len);
        n += name_len;
        pattern = hit + word_len;
    }
    out[n] = '\0';
    return 0;
}
