/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/trailer_rules.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F11 CVE-2013-5704: which fields may stand behind a body. */
#include "trailer_rules.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void allowed(void **state)
{
    static const char *const good[] = { "X-Checksum",  "Content-Digest", "content-md5",   "Repr-Digest", "ETag",
                                        "grpc-status", "Grpc-Message",   "Server-Timing", "Digest",      "X",
                                        "Dates",       "Hosts",          "Secret",        "Ifs" };
    static const char *const bad[] = { "Content-Length",
                                       "CONTENT-TYPE",
                                       "content-encoding",
                                       "Transfer-Encoding",
                                       "Host",
                                       "Set-Cookie",
                                       "Cookie",
                                       "Authorization",
                                       "If-Match",
                                       "TE",
                                       "trailer",
                                       "Connection",
                                       "X-Forwarded-For",
                                       "X-Forwarded-Foo",
                                       "Forwarded",
                                       "X-Real-IP",
                                       "X-Accel-Redirect",
                                       "X-Sendfile",
                                       "X-Sendfile2",
                                       "Proxy",
                                       "Proxy-Authorization",
                                       "Sec-WebSocket-Key",
                                       "Cache-Control",
                                       "Range",
                                       "Expect",
                                       "Max-Forwards",
                                       "Date",
                                       "Age",
                                       "Location",
                                       "Vary",
                                       "WWW-Authenticate",
                                       "Status",
                                       "Upgrade",
                                       "Keep-Alive",
                                       "X-LIGHTTPD-send-file",
                                       "X-Rewrite-URI" };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!pc_trailer_allowed(good[i], strlen(good[i]))) {
            fail_msg("%s is forbidden", good[i]);
        }
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (pc_trailer_allowed(bad[i], strlen(bad[i]))) {
            fail_msg("%s is allowed", bad[i]);
        }
    }
}

static void announced(void **state)
{
    static const struct {
        const char *value, *want;
    } rows[] = {
        { "A", "A" },
        { " ,A ,\tb,, ", "A,b" },
        { "A, Host, Set-Cookie, B", "A,B" },
        { "Host", NULL },
        { "", NULL },
        { ",", NULL },
        { "A B", "A,B" }, /* as lenient as with Connection */
        { "A;b", NULL },
        { "A\r\nX: y", NULL },
        { "A, \"b\"", NULL },
    };
    apr_pool_t *pool;
    size_t i;
    char many[200];

    (void)state;
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = pc_trailer_announce(pool, rows[i].value);

        if (!got != !rows[i].want || (got && strcmp(got, rows[i].want))) {
            fail_msg("%s: %s, not %s", rows[i].value, got ? got : "nothing", rows[i].want ? rows[i].want : "nothing");
        }
    }
    for (i = 0; i < 65; i++) {
        memcpy(many + 2 * i, "A,", 3);
    }
    assert_null(pc_trailer_announce(pool, many));
    many[2 * 64] = '\0';
    assert_non_null(pc_trailer_announce(pool, many));
    apr_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(allowed), cmocka_unit_test(announced) };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
