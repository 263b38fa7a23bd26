/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_proxy_core/upgrade.c mod_proxy_core/head.c mod_proxy_core/buf.c */
/* F20: the Upgrade field. */
#include "upgrade.h"

#include "apr_general.h"
#include "apr_strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FORTY "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void offers(void **state)
{
    static const struct {
        pc_upgrade which;
        const char *list, *want;
    } rows[] = {
        { PC_UPGRADE_OFF, "websocket", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket", "websocket" },
        { PC_UPGRADE_WEBSOCKET, "WebSocket", "WebSocket" },
        { PC_UPGRADE_WEBSOCKET, " , websocket\t, ,", "websocket" },
        { PC_UPGRADE_WEBSOCKET, "h2c, websocket, foo/1", "websocket" },
        { PC_UPGRADE_WEBSOCKET, "websocket/13", NULL },
        { PC_UPGRADE_WEBSOCKET, "websockets", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocke", NULL },
        { PC_UPGRADE_WEBSOCKET, "", NULL },
        { PC_UPGRADE_WEBSOCKET, ",", NULL },
        { PC_UPGRADE_WEBSOCKET, "web socket", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket; x", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket, \"", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket, foo/", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket, /1", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket, a/b/c", NULL },
        { PC_UPGRADE_WEBSOCKET, "websocket\r\nX: y", NULL },
        { PC_UPGRADE_ANY, "foo/2.0 ,bar", "foo/2.0,bar" },
        { PC_UPGRADE_ANY, "a,b,c,d,e,f,g,h", "a,b,c,d,e,f,g,h" },
        { PC_UPGRADE_ANY, "a,b,c,d,e,f,g,h,i", NULL },
        { PC_UPGRADE_ANY, "h2c", NULL },
        { PC_UPGRADE_ANY, "H2C, HTTP/2.0, TLS/1.0, h2, http, x", "x" },
        { PC_UPGRADE_ANY, FORTY "," FORTY "," FORTY "," FORTY "," FORTY "," FORTY, "" },
        { PC_UPGRADE_ANY, FORTY "," FORTY "," FORTY "," FORTY "," FORTY "," FORTY "," FORTY, NULL },
    };
    apr_pool_t *pool;
    size_t i;

    (void)state;
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = pc_upgrade_offer(pool, rows[i].list, rows[i].which);

        if (rows[i].want && !*rows[i].want) { /* any, but some */
            assert_non_null(got);
        }
        else if (!got != !rows[i].want || (got && strcmp(got, rows[i].want))) {
            fail_msg("%s: %s, not %s", rows[i].list, got ? got : "nothing", rows[i].want ? rows[i].want : "nothing");
        }
    }
    apr_pool_destroy(pool);
}

static void answers(void **state)
{
    (void)state;
    assert_true(pc_upgrade_is_offered("websocket", "websocket"));
    assert_true(pc_upgrade_is_offered("websocket", "WebSocket"));
    assert_true(pc_upgrade_is_offered("a, foo/2", " Foo/2 ,"));
    assert_false(pc_upgrade_is_offered("a, foo/2", "foo"));
    assert_false(pc_upgrade_is_offered("foo", "foo/2"));
    assert_false(pc_upgrade_is_offered("a, b", "a, b"));
    assert_false(pc_upgrade_is_offered("a, b", "c"));
    assert_false(pc_upgrade_is_offered("a, b", ""));
    assert_false(pc_upgrade_is_offered("a, b", "a;b"));
    assert_false(pc_upgrade_is_offered("ab", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(offers), cmocka_unit_test(answers) };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
