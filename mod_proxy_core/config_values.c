/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "config_values.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

#define DURATION_HELP "a time such as 500ms, 5s, 2min or 1h (at most 365 days)"
#define SIZE_HELP "a size such as 65536, 64K, 2M or 1G"

/** Decimal digits only. @return what stands behind them, or NULL: no digit, or more than limit */
static const char *digits(const char *text, apr_int64_t limit, apr_int64_t *out)
{
    apr_int64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; ++p) {
        if (n > (limit - (*p - '0')) / 10) {
            return NULL;
        }
        n = n * 10 + (*p - '0');
    }
    if (p == text) {
        return NULL;
    }
    *out = n;
    return p;
}

const char *pc_value_duration(const char *text, apr_interval_time_t *out)
{
    static const struct {
        const char *suffix;
        apr_interval_time_t usec;
    } units[] = { { "", APR_USEC_PER_SEC },
                  { "ms", 1000 },
                  { "s", APR_USEC_PER_SEC },
                  { "min", 60 * (apr_interval_time_t)APR_USEC_PER_SEC },
                  { "h", 3600 * (apr_interval_time_t)APR_USEC_PER_SEC } };
    const apr_interval_time_t most = 365 * 24 * 3600 * (apr_interval_time_t)APR_USEC_PER_SEC;
    apr_int64_t n;
    const char *suffix = digits(text, most, &n);

    for (apr_size_t i = 0; suffix && i < sizeof(units) / sizeof(units[0]); ++i) {
        if (!apr_cstr_casecmp(suffix, units[i].suffix)) {
            if (n > most / units[i].usec) {
                break;
            }
            *out = n * units[i].usec;
            return NULL;
        }
    }
    return DURATION_HELP;
}

const char *pc_value_size(const char *text, apr_off_t *out)
{
    apr_int64_t n;
    const char *suffix = digits(text, APR_INT64_MAX >> 30, &n);
    int shift;

    if (!suffix || (*suffix && suffix[1])) {
        return SIZE_HELP;
    }
    switch (*suffix) {
    case '\0': shift = 0; break;
    case 'k':
    case 'K': shift = 10; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    default: return SIZE_HELP;
    }
    *out = (apr_off_t)n << shift;
    return NULL;
}

const char *pc_value_int(const char *text, int min, int max, int *out)
{
    apr_int64_t n;
    const char *end = digits(text, max, &n);

    if (!end || *end || n < min) {
        return "a number";
    }
    *out = (int)n;
    return NULL;
}

const char *pc_value_range(const char *text, int min, int max, int *from, int *to)
{
    apr_int64_t a = 0, b;
    const char *end = digits(text, max, &a);

    b = a;
    if (end && *end == '-') {
        end = digits(end + 1, max, &b);
    }
    if (!end || *end || a < min || b < a) {
        return "a number or a range";
    }
    *from = (int)a;
    *to = (int)b;
    return NULL;
}

const char *pc_value_flag(const char *text, int *out)
{
    if (!apr_cstr_casecmp(text, "on")) {
        *out = 1;
    }
    else if (!apr_cstr_casecmp(text, "off")) {
        *out = 0;
    }
    else {
        return "on or off";
    }
    return NULL;
}

const char *pc_value_of(const char *arg, const char *key)
{
    apr_size_t n = strlen(key);

    return !apr_cstr_casecmpn(arg, key, n) && arg[n] == '=' ? arg + n + 1 : NULL;
}

static int all_of(const char *text, apr_size_t most, const char *others)
{
    apr_size_t n = 0;

    for (; text[n]; ++n) {
        if (n >= most || (!apr_isalnum(text[n]) && !strchr(others, text[n]))) {
            return 0;
        }
    }
    return n > 0;
}

int pc_value_is_name(const char *text)
{
    return all_of(text, 64, "._-");
}

int pc_value_is_env_name(const char *text)
{
    return all_of(text, 256, "_") && !apr_isdigit(*text);
}

int pc_value_is_reserved_env(const char *name)
{
    static const char *const names[] = { "AUTH_TYPE",      "DOCUMENT_ROOT",   "GATEWAY_INTERFACE", "HTTPS",
                                         "PATH_INFO",      "PATH_TRANSLATED", "QUERY_STRING",      "REDIRECT_STATUS",
                                         "REQUEST_METHOD", "REQUEST_URI",     "SCRIPT_FILENAME",   "SCRIPT_NAME" };

    if (!strncmp(name, "REMOTE_", 7) || !strncmp(name, "SERVER_", 7) || !strncmp(name, "UWSGI_", 6)) {
        return 1;
    }
    for (apr_size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (!strcmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

int pc_value_is_expression(const char *text)
{
    return strstr(text, "%{") != NULL;
}
