/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The directives of rewriting. What decides how a message is framed, or whom a connection belongs to, is no rule's business:
 * such fields are refused here. In .htaccess neither may the names of files be changed nor the fields by which a backend
 * commands this server or learns who its client is.
 */
#include "rewrite.h"
#include "config_pool.h"
#include "config_values.h"
#include "cookie.h"
#include "field_rules.h"
#include "head.h"
#include "reverse.h"

#include "apr_cstr.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>

/** This section's own structure, made with the first directive. */
static pc_rewrite *ours(cmd_parms *cmd, void *mconfig)
{
    pc_dir_conf *conf = mconfig;

    if (!conf->rewrite) {
        conf->rewrite = apr_pcalloc(cmd->pool, sizeof(pc_rewrite));
    }
    return (pc_rewrite *)conf->rewrite; /* const for everybody else */
}

static const char *wrong(cmd_parms *cmd, const char *value, const char *accepted)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", value, ": ", accepted, NULL);
}

/* ------------------------------------------------------------------ rules */

static int is_one_of(const char *name, const char *const *list)
{
    for (; *list; ++list) {
        if (!apr_cstr_casecmp(name, *list)) {
            return 1;
        }
    }
    return 0;
}

/** Letters, digits and '-'? X_Forwarded_For and X.Forwarded.For become the variable of X-Forwarded-For, here or there. */
static int is_plain(const char *name)
{
    while (apr_isalnum(*name) || *name == '-') {
        ++name;
    }
    return !*name;
}

/** What the rule works on. @return NULL, or what is wrong */
static const char *set_name(cmd_parms *cmd, const char *name, int response, pc_rule *rule)
{
    static const char *const pseudo[] = { "_uri", "_docroot", "_scriptname", "_pathinfo" };
    static const char *const commands[] = { "X-Sendfile",        "X-LIGHTTPD-send-file",
                                            "X-Sendfile2",       "X-Accel-Redirect",
                                            "X-Rewrite-URI",     "X-Rewrite-Host",
                                            "X-Rewrite-Backend", NULL };
    static const char *const framing[] = { "Content-Length", "Status", NULL };
    apr_size_t n = strlen(name);

    rule->name = apr_pstrdup(cmd->pool, name);
    rule->name_len = n;
    for (int i = 0; !response && i < 4; ++i) {
        if (!apr_cstr_casecmp(name, pseudo[i])) {
            rule->on = (pc_rule_on)(PC_RULE_URI + i);
            return rule->on != PC_RULE_URI && rule->on != PC_RULE_PATHINFO && pc_conf_in_htaccess(cmd)
                       ? wrong(cmd, name, "the names of files cannot be rewritten in .htaccess")
                       : NULL;
        }
    }
    if (!n || pc_token_span(name, n) != n || *name == '_') {
        return wrong(cmd, name,
                     response ? "accepted is the name of a field"
                              : "accepted is _uri, _docroot, _scriptname, _pathinfo or the name of a field");
    }
    if (is_one_of(name, framing) || pc_field_is_hop(name, n)) {
        return wrong(cmd, name, "this field belongs to the connection or frames the message, and cannot be rewritten");
    }
    if (pc_conf_in_htaccess(cmd)
        && (response ? is_one_of(name, commands) : pc_field_is_forwarding(name, n) || !is_plain(name))) {
        return wrong(cmd, name, "this field cannot be rewritten in .htaccess");
    }
    return NULL;
}

/** HTTP_ and the name in capitals; Content-Type goes without. */
static const char *cgi_name(apr_pool_t *p, const char *name)
{
    char *out = apr_pstrcat(p, apr_cstr_casecmp(name, "Content-Type") ? "HTTP_" : "", name, NULL);

    for (char *c = out; *c; ++c) {
        *c = apr_isalnum(*c) ? (char)apr_toupper(*c) : '_';
    }
    return out;
}

/** The highest $n of a replacement, -1: there is none. */
static int highest_group(const char *text)
{
    int most = -1;

    for (; *text; ++text) {
        if (*text == '\\' && text[1]) {
            ++text;
        }
        else if (*text == '$' && apr_isdigit(text[1]) && text[1] - '0' > most) {
            most = text[1] - '0';
        }
    }
    return most;
}

static const char *compile(cmd_parms *cmd, const char *regex, const char *with, pc_rule *rule)
{
    const char *bad = pc_conf_expr(cmd, with, &rule->with);
    int groups = highest_group(with);

    if (bad) {
        return bad;
    }
    rule->sets = !strcmp(regex, "^$");
    rule->regex = ap_pregcomp(cmd->pool, regex, 0);
    if (!rule->regex) {
        return wrong(cmd, rule->name, apr_pstrcat(cmd->pool, "the regex '", regex, "' cannot be compiled", NULL));
    }
    if (groups > (int)rule->regex->re_nsub) {
        return wrong(cmd, rule->name,
                     apr_psprintf(cmd->pool, "the replacement '%s' has $%d and the regex '%s' %d groups", with, groups,
                                  regex, (int)rule->regex->re_nsub));
    }
    return NULL;
}

/** Raw, because httpd's own splitting takes "" for a missing argument. @return NULL, or what is wrong; *off: "off" stood there */
static const char *read_rule(cmd_parms *cmd, const char *args, int response, pc_rule *rule, int *off)
{
    const char *name = ap_getword_conf(cmd->pool, &args), *regex, *with, *bad;

    memset(rule, 0, sizeof(*rule));
    *off = !*args && !apr_cstr_casecmp(name, "off");
    if (*off) {
        return NULL;
    }
    regex = *args ? ap_getword_conf(cmd->pool, &args) : NULL;
    with = regex && *args ? ap_getword_conf(cmd->pool, &args) : NULL;
    if (!with || *args) {
        return apr_pstrcat(
            cmd->pool, cmd->cmd->name,
            " takes what is rewritten, a regex and a replacement, in quotes where they have spaces or are "
            "empty; or off",
            NULL);
    }
    if ((bad = set_name(cmd, name, response, rule)) || (bad = compile(cmd, regex, with, rule))) {
        return bad;
    }
    rule->cgi_name = cgi_name(cmd->pool, name);
    return NULL;
}

static void push(cmd_parms *cmd, apr_array_header_t **rules, const pc_rule *rule)
{
    if (!*rules) {
        *rules = apr_array_make(cmd->pool, 4, sizeof(pc_rule));
    }
    APR_ARRAY_PUSH(*rules, pc_rule) = *rule;
}

const char *pc_set_rewrite_request(cmd_parms *cmd, void *mconfig, const char *args)
{
    pc_rewrite *conf = ours(cmd, mconfig);
    pc_rule rule;
    int off;
    const char *bad = read_rule(cmd, args, 0, &rule, &off);

    if (bad || off) {
        conf->no_request |= off;
        return bad;
    }
    conf->uri |= rule.on == PC_RULE_URI;
    conf->docroot |= rule.on == PC_RULE_DOCROOT;
    conf->script |= rule.on == PC_RULE_SCRIPTNAME || rule.on == PC_RULE_PATHINFO;
    conf->field |= rule.on == PC_RULE_FIELD;
    push(cmd, &conf->request, &rule);
    return NULL;
}

const char *pc_set_rewrite_response(cmd_parms *cmd, void *mconfig, const char *args)
{
    pc_rewrite *conf = ours(cmd, mconfig);
    pc_rule rule;
    int off;
    const char *bad = read_rule(cmd, args, 1, &rule, &off);

    if (bad || off) {
        conf->no_response |= off;
        return bad;
    }
    push(cmd, &conf->response, &rule);
    return NULL;
}

/* ------------------------------------------------------------------ ready-made forms */

/** The path of the <Location> that the directive stands in, perhaps inside of an <If>. @return NULL: in none, or in one by
 *  regex */
static const char *path_of_section(cmd_parms *cmd)
{
    const ap_directive_t *d = pc_conf_in_htaccess(cmd) ? NULL : cmd->directive->parent;
    const char *args, *path;

    while (d && apr_cstr_casecmp(d->directive, "<Location") != 0) {
        if (!apr_cstr_casecmpn(d->directive, "<Directory", 10) || !apr_cstr_casecmp(d->directive, "<LocationMatch")) {
            return NULL;
        }
        d = d->parent;
    }
    if (!d) {
        return NULL;
    }
    args = apr_pstrmemdup(cmd->pool, d->args, strcspn(d->args, ">"));
    path = ap_getword_conf(cmd->pool, &args);
    return *path == '/' ? path : NULL;
}

const char *pc_set_pass_reverse(cmd_parms *cmd, void *mconfig, int argc, char *const argv[])
{
    pc_rewrite *conf = ours(cmd, mconfig);
    pc_reverse_map map = { NULL, NULL, "", NULL };
    const char *here = argc > 1 ? argv[1] : path_of_section(cmd), *bad;

    if (argc > 2) {
        return wrong(cmd, argv[0], "takes at most a URL or path of the backend, and a path here");
    }
    if (argc == 1 && !apr_cstr_casecmp(argv[0], "off")) {
        conf->no_reverse = 1;
        return NULL;
    }
    if (argc > 0) {
        if (!here) {
            return wrong(cmd, argv[0], "the path here must be given as well, but in a <Location>");
        }
        if ((bad = pc_reverse_parse(cmd->pool, argv[0], here, &map))) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", argv[0], " ", here, ": ", bad, NULL);
        }
    }
    if (!conf->reverse) {
        conf->reverse = apr_array_make(cmd->pool, 2, sizeof(map));
    }
    APR_ARRAY_PUSH(conf->reverse, pc_reverse_map) = map;
    return NULL;
}

typedef const char *parse_fn(apr_pool_t *p, const char *from, const char *to, pc_cookie_map *map);

static const char *add_cookie_map(cmd_parms *cmd, apr_array_header_t **maps, parse_fn *parse, const char *from,
                                  const char *to)
{
    pc_cookie_map map;
    const char *bad =
        to ? parse(cmd->pool, from, to, &map) : "accepted is off, or what the backend says and what the client hears";

    if (bad) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", from, to ? " " : "", to ? to : "", ": ", bad, NULL);
    }
    if (!*maps) {
        *maps = apr_array_make(cmd->pool, 2, sizeof(map));
    }
    APR_ARRAY_PUSH(*maps, pc_cookie_map) = map;
    return NULL;
}

const char *pc_set_cookie_path(cmd_parms *cmd, void *mconfig, const char *from, const char *to)
{
    pc_rewrite *conf = ours(cmd, mconfig);

    if (!to && !apr_cstr_casecmp(from, "off")) {
        conf->no_path = 1;
        return NULL;
    }
    return add_cookie_map(cmd, &conf->cookie_path, pc_cookie_parse_path, from, to);
}

const char *pc_set_cookie_domain(cmd_parms *cmd, void *mconfig, const char *from, const char *to)
{
    pc_rewrite *conf = ours(cmd, mconfig);

    if (!to && !apr_cstr_casecmp(from, "off")) {
        conf->no_domain = 1;
        return NULL;
    }
    return add_cookie_map(cmd, &conf->cookie_domain, pc_cookie_parse_domain, from, to);
}
