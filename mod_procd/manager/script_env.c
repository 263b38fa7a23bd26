/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Which variables of a request a script gets. A process of another user gets those that suEXEC hands on: a child of httpd
 * that was taken over must not choose LD_PRELOAD, PERL5OPT or PATH for it. */
#include "script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static size_t name_length(const char *pair)
{
    return strcspn(pair, "=");
}

static int is_one_of(const char *const *names, size_t n, const char *pair)
{
    size_t len = name_length(pair);

    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], pair, len) == 0 && names[i][len] == '\0') {
            return 1;
        }
    }
    return 0;
}

int script_env_is_safe(const char *pair)
{
    static const char *const names[] = {
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "CONTEXT_DOCUMENT_ROOT",
        "CONTEXT_PREFIX",
        "DATE_GMT",
        "DATE_LOCAL",
        "DOCUMENT_NAME",
        "DOCUMENT_PATH_INFO",
        "DOCUMENT_ROOT",
        "DOCUMENT_URI",
        "GATEWAY_INTERFACE",
        "HTTPS",
        "LAST_MODIFIED",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "QUERY_STRING",
        "QUERY_STRING_UNESCAPED",
        "REDIRECT_ERROR_NOTES",
        "REDIRECT_HANDLER",
        "REDIRECT_QUERY_STRING",
        "REDIRECT_REMOTE_USER",
        "REDIRECT_SCRIPT_FILENAME",
        "REDIRECT_STATUS",
        "REDIRECT_URL",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_METHOD",
        "REQUEST_SCHEME",
        "REQUEST_URI",
        "SCRIPT_FILENAME",
        "SCRIPT_NAME",
        "SCRIPT_URI",
        "SCRIPT_URL",
        "SERVER_ADDR",
        "SERVER_ADMIN",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "SERVER_SIGNATURE",
        "SERVER_SOFTWARE",
        "TZ",
        "UNIQUE_ID",
        "USER_NAME",
    };

    if (strncmp(pair, "HTTP_", 5) == 0 || strncmp(pair, "SSL_", 4) == 0) {
        return 1;
    }
    return is_one_of(names, sizeof(names) / sizeof(names[0]), pair);
}

int script_env_is_sane(const char *pair)
{
    size_t len = name_length(pair);

    if (len == 0 || pair[len] != '=' || isdigit((unsigned char)pair[0])) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)pair[i]) && pair[i] != '_') {
            return 0;
        }
    }
    return strncmp(pair, "HTTP_PROXY=", 11) != 0;
}

int script_env_has(char *const *list, const char *pair)
{
    size_t len = name_length(pair);

    for (; list && *list; list++) {
        if (strncmp(*list, pair, len) == 0 && (*list)[len] == '=') {
            return 1;
        }
    }
    return 0;
}
