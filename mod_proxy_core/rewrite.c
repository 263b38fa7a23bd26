/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule at work: the first match of its regex gives way to the replacement, the rest of the value stays. Everything that
 * a rule makes is checked, since it may hold what a client sent.
 */
#include "rewrite.h"
#include "cookie.h"
#include "head.h"
#include "reverse.h"
#include "target.h"

#include "apr_cstr.h"
#include "apr_strings.h"
#include "http_log.h"

#include <string.h>

APLOG_USE_MODULE(proxy_core);

#define GROUPS 10

static const char *name_of(const pc_rule *rule)
{
    static const char *const names[] = { NULL, "_uri", "_docroot", "_scriptname", "_pathinfo" };

    return rule->on == PC_RULE_FIELD ? rule->name : names[rule->on];
}

int pc_rule_is_host(const pc_rule *rule)
{
    return rule->on == PC_RULE_FIELD && rule->name_len == 4 && !ap_cstr_casecmp(rule->name, "Host");
}

int pc_rule_apply(request_rec *r, const pc_rule *rule, const char **value)
{
    ap_regmatch_t match[GROUPS];
    const char *wrong = NULL, *source = *value, *with;
    apr_size_t n = strlen(*value);
    int rc = ap_regexec_len(rule->regex, *value, n, GROUPS, match, 0);

    if (rc == AP_REG_NOMATCH) {
        return 0;
    }
    if (rc != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "PXC0700: rewriting %s: the regex gave up on a value of %" APR_SIZE_T_FMT " bytes", name_of(rule),
                      n);
        return -1;
    }
    {
        ap_regmatch_t whole = match[0];

        with = ap_expr_str_exec_re(r, rule->with, GROUPS, match, &source, &wrong);
        if (wrong || !with) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0701: rewriting %s: %s", name_of(rule),
                          wrong ? wrong : "no value");
            return -1;
        }
        if (n - (apr_size_t)(whole.rm_eo - whole.rm_so) + strlen(with) > PC_REWRITE_MAX) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "PXC0702: rewriting %s: the result has more than %d bytes",
                          name_of(rule), PC_REWRITE_MAX);
            return -1;
        }
        *value = apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, *value, (apr_size_t)whole.rm_so), with,
                             *value + whole.rm_eo, NULL);
    }
    return 1;
}

int pc_rules_apply(request_rec *r, const apr_array_header_t *rules, pc_rule_on on, const char **value)
{
    int changed = 0;

    for (int i = 0; rules && i < rules->nelts; ++i) {
        const pc_rule *rule = &APR_ARRAY_IDX(rules, i, pc_rule);
        int rc = rule->on == on ? pc_rule_apply(r, rule, value) : 0;

        if (rc < 0) {
            return -1;
        }
        changed |= rc;
    }
    return changed;
}

/* ------------------------------------------------------------------ fields */

typedef struct work {
    request_rec *r;
    apr_array_header_t *fields;
    int cgi, strict;
} work;

static int is_field(const work *w, const pc_rule *rule, const pc_field *f)
{
    if (w->cgi) { /* its names are in capitals already */
        return !strcmp(f->name, rule->cgi_name);
    }
    return pc_field_is(f, rule->name, rule->name_len);
}

static const char *trimmed(request_rec *r, const char *value)
{
    apr_size_t n;

    value += strspn(value, " \t");
    n = strlen(value);
    while (n && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        --n;
    }
    return value[n] ? apr_pstrmemdup(r->pool, value, n) : value;
}

/** @return 1: *value is new and may be a field's, or is empty; 0: the rule does not fit; -1: failed */
static int field_value(const work *w, const pc_rule *rule, const char **value)
{
    int rc = pc_rule_apply(w->r, rule, value);

    if (rc != 1) {
        return rc;
    }
    *value = trimmed(w->r, *value);
    if (!pc_value_clean(*value, strlen(*value))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, w->r, "PXC0703: rewriting %s gives control characters: %s",
                      name_of(rule), ap_escape_logitem(w->r->pool, *value));
        return -1;
    }
    return 1;
}

static void drop(apr_array_header_t *fields, int i)
{
    pc_field *f = (pc_field *)fields->elts;

    memmove(f + i, f + i + 1, (size_t)(fields->nelts - i - 1) * sizeof(*f));
    fields->nelts--;
}

static void set_value(pc_field *f, const char *value)
{
    f->value = value;
    f->value_len = strlen(value);
}

static void push(const work *w, const pc_rule *rule, const char *value)
{
    pc_field *f = apr_array_push(w->fields);

    f->name = w->cgi ? rule->cgi_name : rule->name;
    f->name_len = strlen(f->name);
    set_value(f, value);
}

static int one_rule(const work *w, const pc_rule *rule, int add)
{
    int there = 0;

    for (int i = 0; i < w->fields->nelts;) {
        pc_field *f = &APR_ARRAY_IDX(w->fields, i, pc_field);
        const char *value = f->value;
        int rc = 0;

        if (is_field(w, rule, f)) {
            there = 1;
            rc = field_value(w, rule, &value);
        }
        if (rc < 0 && w->strict) {
            return -1;
        }
        if (rc < 0 || (rc > 0 && !*value)) {
            drop(w->fields, i);
            continue;
        }
        if (rc > 0) {
            set_value(f, value);
        }
        ++i;
    }
    if (!there && add && rule->sets) {
        const char *value = "";
        int rc = field_value(w, rule, &value);

        if (rc > 0 && *value) {
            push(w, rule, value);
        }
        return rc < 0 && w->strict ? -1 : 0;
    }
    return 0;
}

int pc_rules_fields(request_rec *r, const apr_array_header_t *rules, apr_array_header_t *fields, int cgi, int add,
                    int strict)
{
    const work w = { r, fields, cgi, strict };

    for (int i = 0; rules && i < rules->nelts; ++i) {
        const pc_rule *rule = &APR_ARRAY_IDX(rules, i, pc_rule);

        if (rule->on == PC_RULE_FIELD && !(strict && !cgi && pc_rule_is_host(rule)) && one_rule(&w, rule, add)) {
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ merging */

static apr_array_header_t *both(apr_pool_t *p, apr_array_header_t *first, apr_array_header_t *second)
{
    return first && second ? apr_array_append(p, first, second) : first ? first : second;
}

const pc_rewrite *pc_rewrite_merge(apr_pool_t *p, const pc_rewrite *base, const pc_rewrite *add)
{
    pc_rewrite *m;

    if (!base || !add) {
        return base ? base : add;
    }
    m = apr_pmemdup(p, base, sizeof(*m));
    m->request = both(p, add->no_request ? NULL : base->request, add->request);
    m->response = both(p, add->no_response ? NULL : base->response, add->response);
    m->reverse = both(p, add->reverse, add->no_reverse ? NULL : base->reverse);
    m->cookie_path = both(p, add->cookie_path, add->no_path ? NULL : base->cookie_path);
    m->cookie_domain = both(p, add->cookie_domain, add->no_domain ? NULL : base->cookie_domain);
    m->uri |= add->uri;
    m->docroot |= add->docroot;
    m->script |= add->script;
    m->field |= add->field;
    m->no_request |= add->no_request;
    m->no_response |= add->no_response;
    m->no_reverse |= add->no_reverse;
    m->no_path |= add->no_path;
    m->no_domain |= add->no_domain;
    return m;
}
