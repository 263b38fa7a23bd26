/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */

#include "config_pool.h"
#include "config_backend.h"
#include "config_values.h"
#include "tls.h"

#include "ap_provider.h"
#include "apr_hash.h"
#include "apr_cstr.h"
#include "apr_strings.h"
#include "http_log.h"
#include "util_cfgtree.h"

#include <stdlib.h>

APLOG_USE_MODULE(proxy_core);

#define SECONDS(n) ((n) * (apr_interval_time_t)APR_USEC_PER_SEC)

pc_pool_conf *pc_pool_conf_make(apr_pool_t *p, const char *name, const char *source)
{
    pc_pool_conf *pool = apr_pcalloc(p, sizeof(*pool));

    pool->name = apr_pstrdup(p, name);
    pool->source = source;
    pool->backends = apr_array_make(p, 4, sizeof(pc_backend_conf));
    pool->keep.on = -1;
    pool->keep.max = 64;
    pool->keep.idle = SECONDS(30);
    pool->timeout.connect = SECONDS(5);
    pool->timeout.send = pool->timeout.first = pool->timeout.idle = SECONDS(60);
    pool->queue = 512;
    pool->queue_timeout = SECONDS(10);
    pool->retries = 1;
    pool->retry_on = PC_RETRY_CONNECT | PC_RETRY_STALE;
    pool->disable_time = SECONDS(1);
    pool->forwarded = PC_FORWARDED_X;
    pool->trailers = PC_TRAILERS_RESPONSE;
    pool->upgrade_drain = SECONDS(30);
    pool->async = 1;
    pool->request.memory = pool->response.memory = PC_SPOOL_MEMORY;
    pool->request.file = -1; /* LimitRequestBody bounds it */
    pool->response.file = PC_SPOOL_FILE;
    return pool;
}

/* ------------------------------------------------------------------ providers */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ap_list_provider_names_t *)a)->provider_name,
                  ((const ap_list_provider_names_t *)b)->provider_name);
}

/** "a, b, c": what is registered in the group. */
static const char *provider_names(apr_pool_t *p, const char *group, const char *version)
{
    apr_array_header_t *names = ap_list_provider_names(p, group, version);
    apr_array_header_t *words = apr_array_make(p, names->nelts + 1, sizeof(const char *));

    qsort(names->elts, (size_t)names->nelts, sizeof(ap_list_provider_names_t), by_name);
    for (int i = 0; i < names->nelts; ++i) {
        if (i) {
            APR_ARRAY_PUSH(words, const char *) = ", ";
        }
        APR_ARRAY_PUSH(words, const char *) = APR_ARRAY_IDX(names, i, ap_list_provider_names_t).provider_name;
    }
    return names->nelts ? apr_array_pstrcat(p, words, 0) : "none";
}

/** Why name is no provider: documented but not built yet, or not known at all. */
static const char *no_provider(apr_pool_t *p, const char *name, const char *const *documented, const char *available)
{
    for (; *documented; ++documented) {
        if (!apr_cstr_casecmp(name, *documented)) {
            return apr_pstrcat(p, name, " is not available in this version; accepted: ", available, NULL);
        }
    }
    return apr_pstrcat(p, "'", name, "' is not known; accepted: ", available, NULL);
}

const char *pc_pool_set_codec(apr_pool_t *p, pc_pool_conf *pool, const char *name)
{
    static const char *const documented[] = { "http", "https", "fastcgi", "scgi", "uwsgi", "cgi", "app", NULL };

    pool->codec = ap_lookup_provider(PC_CODEC_GROUP, name, PC_CODEC_VERSION);
    return pool->codec ? NULL : no_provider(p, name, documented, provider_names(p, PC_CODEC_GROUP, PC_CODEC_VERSION));
}

const char *pc_pool_set_balancer(apr_pool_t *p, pc_pool_conf *pool, const char *name)
{
    static const char *const documented[] = { "round-robin", "least-requests", "least-time", "random",
                                              "hash",        "first",          NULL };

    pool->balancer = ap_lookup_provider(PC_BALANCER_GROUP, name, PC_BALANCER_VERSION);
    return pool->balancer ? NULL
                          : no_provider(p, name, documented, provider_names(p, PC_BALANCER_GROUP, PC_BALANCER_VERSION));
}

const char *pc_pool_conf_complete(apr_pool_t *p, pc_pool_conf *pool)
{
    int usable = 0;

    if (!pool->codec) {
        return apr_pstrcat(
            p, "ProxyCoreProtocol is missing; accepted: ", provider_names(p, PC_CODEC_GROUP, PC_CODEC_VERSION), NULL);
    }
    if (!pool->backends->nelts) {
        return "ProxyCoreBackend is missing: a pool has at least one";
    }
    if (pool->upgrade && !(pool->codec->flags & PC_CODEC_UPGRADE)) {
        return apr_pstrcat(p, "ProxyCoreUpgrade: protocol ", pool->codec->name, " has no upgrades; accepted is off",
                           NULL);
    }
    for (int i = 0; i < pool->backends->nelts; ++i) {
        usable += !APR_ARRAY_IDX(pool->backends, i, pc_backend_conf).backup;
    }
    if (pool->spawn_name && pool->backends->nelts > 1) {
        return "ProxyCoreBackend spawn: with an expression must be the only backend of its pool";
    }
    if (!usable) {
        return "every ProxyCoreBackend is a backup: at least one must stand without the key 'backup'";
    }
    if (!pool->balancer) {
        const char *wrong = pc_pool_set_balancer(p, pool, "least-requests");

        if (wrong) {
            return apr_pstrcat(p, "ProxyCoreBalancer: ", wrong, NULL);
        }
    }
    return pc_tls_complete(p, pool);
}

/* ------------------------------------------------------------------ helpers of the directives */

int pc_conf_in_htaccess(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_HTACCESS) != NULL;
}

const char *pc_conf_expr(cmd_parms *cmd, const char *text, ap_expr_info_t **out)
{
    unsigned flags = AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY;
    const char *wrong = NULL;

    if (pc_conf_in_htaccess(cmd)) {
        flags |= AP_EXPR_FLAG_RESTRICTED;
#ifdef AP_EXPR_FLAG_RESTRICTED_FILE_FUNC
        flags |= AP_EXPR_FLAG_RESTRICTED_FILE_FUNC;
#endif
    }
    *out = ap_expr_parse_cmd(cmd, text, flags, &wrong, NULL);
    return wrong ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": the expression '", text, "' is wrong: ", wrong, NULL)
                 : NULL;
}

const char *pc_conf_wrong(cmd_parms *cmd, const char *value, const char *accepted)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", value, ": accepted is ", accepted, NULL);
}

pc_pool_conf *pc_conf_pool_of(cmd_parms *cmd, void *mconfig, int once, const char **wrong)
{
    pc_block *block = ((pc_dir_conf *)mconfig)->block;

    *wrong = NULL;
    if (!block) {
        *wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, " must stand inside <ProxyCore NAME>", NULL);
        return NULL;
    }
    if (once) {
        if (apr_hash_get(block->seen, cmd->cmd->name, APR_HASH_KEY_STRING)) {
            *wrong =
                apr_pstrcat(cmd->pool, cmd->cmd->name, " is given twice in <ProxyCore ", block->pool->name, ">", NULL);
            return NULL;
        }
        apr_hash_set(block->seen, cmd->cmd->name, APR_HASH_KEY_STRING, block);
    }
    return block->pool;
}

/* ------------------------------------------------------------------ directives */

const char *pc_set_protocol(cmd_parms *cmd, void *mconfig, const char *name)
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (pool && (wrong = pc_pool_set_codec(cmd->pool, pool, name))) {
        wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", wrong, NULL);
    }
    return wrong;
}

const char *pc_set_backend(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 0, &wrong);
    pc_backend_conf b;

    if (!pool) {
        return wrong;
    }
    if ((wrong = pc_backend_parse(cmd->pool, argc, argv, &b))) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, argc ? " " : "", argc ? argv[0] : "", ": ", wrong, NULL);
    }
    for (int i = 0; i < pool->backends->nelts; ++i) {
        const pc_backend_conf *other = &APR_ARRAY_IDX(pool->backends, i, pc_backend_conf);
        const char *name = b.name ? b.name : b.text, *others = other->name ? other->name : other->text;

        if (!strcmp(name, others)) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", b.text, ": this pool has a backend '", name,
                               "' already; tell them apart with name=LABEL", NULL);
        }
    }
    if (b.spawn && pc_value_is_expression(b.spawn) && (wrong = pc_conf_expr(cmd, b.spawn, &pool->spawn_name))) {
        return wrong;
    }
    APR_ARRAY_PUSH(pool->backends, pc_backend_conf) = b;
    return NULL;
}

const char *pc_set_balancer(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    const char *wrong, *key;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (!pool) {
        return wrong;
    }
    if (argc < 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name,
                           " takes a method: ", provider_names(cmd->pool, PC_BALANCER_GROUP, PC_BALANCER_VERSION),
                           NULL);
    }
    if ((wrong = pc_pool_set_balancer(cmd->pool, pool, argv[0]))) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", wrong, NULL);
    }
    for (int i = 1; i < argc; ++i) {
        if (strcmp(argv[0], "hash") != 0 || !(key = pc_value_of(argv[i], "key"))) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", argv[0], ": unknown key '", argv[i],
                               "'; only hash takes one: key=EXPRESSION", NULL);
        }
        if ((wrong = pc_conf_expr(cmd, key, &pool->key))) {
            return wrong;
        }
    }
    return NULL;
}

const char *pc_set_keepalive(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (!pool) {
        return wrong;
    }
    if (argc < 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes on or off, then max=N idle=DUR requests=N", NULL);
    }
    for (int i = 0; i < argc; ++i) {
        if (i == 0 && !pc_value_flag(argv[i], &pool->keep.on)) {
            continue;
        }
        if ((v = pc_value_of(argv[i], "max"))) {
            wrong = pc_value_int(v, 1, 10000, &pool->keep.max) ? "a number from 1 to 10000" : NULL;
        }
        else if ((v = pc_value_of(argv[i], "requests"))) {
            wrong = pc_value_int(v, 0, 100000000, &pool->keep.requests) ? "a number, 0: no bound" : NULL;
        }
        else if ((v = pc_value_of(argv[i], "idle"))) {
            wrong = pc_value_duration(v, &pool->keep.idle);
        }
        else {
            wrong = "on or off first, then max=N idle=DUR requests=N";
        }
        if (wrong) {
            return pc_conf_wrong(cmd, argv[i], wrong);
        }
    }
    if (pool->keep.on == 0 && argc > 1) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " off ", argv[1], ": off takes no keys", NULL);
    }
    return NULL;
}

const char *pc_set_queue(cmd_parms *cmd, void *mconfig, const char *n, const char *timeout)
{
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (!pool) {
        return wrong;
    }
    if (pc_value_int(n, 0, 1000000, &pool->queue)) {
        return pc_conf_wrong(cmd, n, "a number from 0 to 1000000, then timeout=DUR");
    }
    if (timeout) {
        if (!(v = pc_value_of(timeout, "timeout"))) {
            return pc_conf_wrong(cmd, timeout, "N timeout=DUR");
        }
        if ((wrong = pc_value_duration(v, &pool->queue_timeout))) {
            return pc_conf_wrong(cmd, timeout, wrong);
        }
        if (pool->queue_timeout == 0) {
            return pc_conf_wrong(cmd, timeout, "a time above 0");
        }
    }
    return NULL;
}

const char *pc_set_timeout(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    static const char *const keys[] = { "connect", "send", "first", "idle", "total" };
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    apr_interval_time_t *values[5];

    if (!pool) {
        return wrong;
    }
    values[0] = &pool->timeout.connect;
    values[1] = &pool->timeout.send;
    values[2] = &pool->timeout.first;
    values[3] = &pool->timeout.idle;
    values[4] = &pool->timeout.total;
    for (int i = 0; i < argc || argc == 0; ++i) {
        int k = 0;

        while (k < 5 && !(v = argc ? pc_value_of(argv[i], keys[k]) : NULL)) {
            ++k;
        }
        if (k == 5) {
            return pc_conf_wrong(cmd, argc ? argv[i] : "", "connect=DUR send=DUR first=DUR idle=DUR total=DUR");
        }
        if ((wrong = pc_value_duration(v, values[k]))) {
            return pc_conf_wrong(cmd, argv[i], wrong);
        }
        if (k < 4 && *values[k] == 0) {
            return pc_conf_wrong(cmd, argv[i], "a time above 0 (only total=0 means none)");
        }
    }
    return NULL;
}

/** connect,stale,... */
static const char *parse_retry_on(apr_pool_t *p, const char *list, unsigned *on)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = { { "connect", PC_RETRY_CONNECT },
                  { "stale", PC_RETRY_STALE },
                  { "reset", PC_RETRY_RESET },
                  { "timeout", PC_RETRY_TIMEOUT },
                  { "5xx", PC_RETRY_5XX } };
    const apr_size_t n = sizeof(words) / sizeof(words[0]);
    char *last, *copy = apr_pstrdup(p, list), *word;

    *on = 0;
    for (word = apr_strtok(copy, ",", &last); word; word = apr_strtok(NULL, ",", &last)) {
        apr_size_t i = 0;

        while (i < n && apr_cstr_casecmp(word, words[i].word)) {
            ++i;
        }
        if (i == n) {
            return "on= with a list of connect,stale,reset,timeout,5xx";
        }
        *on |= words[i].bit;
    }
    return *on ? NULL : "on= with a list of connect,stale,reset,timeout,5xx";
}

const char *pc_set_retry(cmd_parms *cmd, void *mconfig, const char *n, const char *on)
{
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (!pool) {
        return wrong;
    }
    if (pc_value_int(n, 0, 10, &pool->retries)) {
        return pc_conf_wrong(cmd, n, "a number from 0 to 10, then on=connect,stale,reset,timeout,5xx");
    }
    if (on) {
        v = pc_value_of(on, "on");
        wrong = v ? parse_retry_on(cmd->temp_pool, v, &pool->retry_on) : "N on=connect,stale,reset,timeout,5xx";
        return wrong ? pc_conf_wrong(cmd, on, wrong) : NULL;
    }
    return NULL;
}

const char *pc_set_disable_time(cmd_parms *cmd, void *mconfig, const char *arg)
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);

    if (pool && (wrong = pc_value_duration(arg, &pool->disable_time))) {
        return pc_conf_wrong(cmd, arg, wrong);
    }
    if (pool && (pool->disable_time < 1000 || pool->disable_time > SECONDS(3600))) {
        return pc_conf_wrong(cmd, arg, "a time from 1ms to 1h");
    }
    return wrong;
}

/** trust=ADDRESS[,ADDRESS...] */
static const char *add_trusted(cmd_parms *cmd, pc_pool_conf *pool, const char *arg, const char *list)
{
    char *last, *copy = apr_pstrdup(cmd->pool, list), *word;

    if (!pool->trust) {
        pool->trust = apr_array_make(cmd->pool, 4, sizeof(apr_ipsubnet_t *));
    }
    for (word = apr_strtok(copy, ",", &last); word; word = apr_strtok(NULL, ",", &last)) {
        char *slash = strchr(word, '/');

        if (slash) {
            *slash = '\0';
        }
        if (!strpbrk(word, ".:")
            || apr_ipsubnet_create(apr_array_push(pool->trust), word, slash ? slash + 1 : NULL, cmd->pool)
                   != APR_SUCCESS) {
            return pc_conf_wrong(cmd, arg,
                                 "a list of addresses and networks such as 10.0.0.0/8,2001:db8::/32,192.0.2.1");
        }
    }
    return pool->trust->nelts ? NULL : pc_conf_wrong(cmd, arg, "a list of addresses and networks");
}

const char *pc_set_forwarded(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    static const char *const words[] = { "x-forwarded", "forwarded", "both", "off" };
    static const pc_forwarded values[] = { PC_FORWARDED_X, PC_FORWARDED_RFC, PC_FORWARDED_BOTH, PC_FORWARDED_OFF };
    const char *wrong, *v;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int word = 0;

    if (!pool) {
        return wrong;
    }
    while (word < 4 && (!argc || apr_cstr_casecmp(argv[0], words[word]))) {
        ++word;
    }
    if (word == 4) {
        return pc_conf_wrong(cmd, argc ? argv[0] : "", "x-forwarded, forwarded, both or off, then trust=ADDRESS,...");
    }
    pool->forwarded = values[word];
    for (int i = 1; i < argc && !wrong; ++i) {
        v = pc_value_of(argv[i], "trust");
        wrong = v ? add_trusted(cmd, pool, argv[i], v) : pc_conf_wrong(cmd, argv[i], "trust=ADDRESS,...");
    }
    if (!wrong && pool->trust && pool->forwarded == PC_FORWARDED_OFF) {
        wrong = apr_pstrcat(cmd->pool, cmd->cmd->name, " off ", argv[1], ": off passes on what anybody sent", NULL);
    }
    return wrong;
}

/** One of two words. @return 0, 1, or -1 */
static int either(const char *arg, const char *zero, const char *one)
{
    return !apr_cstr_casecmp(arg, zero) ? 0 : !apr_cstr_casecmp(arg, one) ? 1 : -1;
}

const char *pc_set_expect(cmd_parms *cmd, void *mconfig, const char *arg)
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int local = either(arg, "forward", "local");

    if (!pool) {
        return wrong;
    }
    pool->expect_local = local == 1;
    return local < 0 ? pc_conf_wrong(cmd, arg, "forward or local") : NULL;
}

const char *pc_set_async(cmd_parms *cmd, void *mconfig, const char *arg)
{
    const char *wrong;
    pc_pool_conf *pool = pc_conf_pool_of(cmd, mconfig, 1, &wrong);
    int automatic = either(arg, "off", "auto");

    if (!pool) {
        return wrong;
    }
    pool->async = automatic == 1;
    return automatic < 0 ? pc_conf_wrong(cmd, arg, "auto or off") : NULL;
}
