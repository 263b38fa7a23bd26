/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  rewrite.h
 * @brief Rewriting what the backend gets and what it says: rules, and the ready-made forms of the usual ones.
 *
 * A request is rewritten once, when the first backend is about to get it. The ready-made forms come first (Destination, If),
 * then the rules in their order. `_uri` comes before the path is cut up for CGI-like protocols, `_docroot`, `_scriptname`
 * and `_pathinfo` while it is, fields when all are made.
 * An answer is rewritten before anything is made of it: ready-made forms, rules, then X-Sendfile, redirects and the rest.
 *
 *   rewrite.c           a rule at work on a value, on an array of fields
 *   rewrite_request.c   what a request's rules work on        config_rewrite.c   the directives
 *   rewrite_answer.c    the same of an answer
 *   reverse.c           PassReverse's maps                    reference.c        where URLs stand in fields
 *   cookie.c            Set-Cookie                            target.c           a target after the rules
 */
#ifndef PC_REWRITE_H
#define PC_REWRITE_H

#include "reverse.h"
#include "route.h"

#include "apr_tables.h"

typedef enum { PC_RULE_FIELD, PC_RULE_URI, PC_RULE_DOCROOT, PC_RULE_SCRIPTNAME, PC_RULE_PATHINFO } pc_rule_on;

/** One ProxyCoreRewriteRequest or ProxyCoreRewriteResponse. */
typedef struct pc_rule {
    pc_rule_on on;
    const char *name; /* PC_RULE_FIELD: the field */
    apr_size_t name_len;
    const char *cgi_name; /* its CGI variable: HTTP_ and so on */
    ap_regex_t *regex;
    ap_expr_info_t *with; /* a string, with $0 to $9 */
    unsigned sets : 1;    /* the regex is "^$": a field that is not there is set */
} pc_rule;

/** All of it that holds for a directory. Arrays are NULL when empty. */
typedef struct pc_rewrite {
    apr_array_header_t *request, *response;          /* of pc_rule */
    apr_array_header_t *reverse;                     /* of pc_reverse_map */
    apr_array_header_t *cookie_path, *cookie_domain; /* of pc_cookie_map */
    unsigned uri : 1;                                /* rules on _uri are among request, */
    unsigned docroot : 1;                            /* and so on */
    unsigned script : 1;                             /* _scriptname or _pathinfo */
    unsigned field : 1;
    unsigned no_request : 1, no_response : 1, no_reverse : 1, no_path : 1,
        no_domain : 1; /* "off": nothing is inherited */
} pc_rewrite;

/** Of two sections, the inner one's second. Rules of the outer one come first, of maps the inner one's are asked first. */
const pc_rewrite *pc_rewrite_merge(apr_pool_t *p, const pc_rewrite *base, const pc_rewrite *add);

/* rewrite.c */
/** Is it about Host, which is no field among others in a request of HTTP? */
int pc_rule_is_host(const pc_rule *rule);
/** Let a rule work on a value. @return 1: *value is new; 0: the rule does not fit; -1: it went wrong, and that was logged */
int pc_rule_apply(request_rec *r, const pc_rule *rule, const char **value);
/** Let all rules on one thing but fields work on a value. @return as above */
int pc_rules_apply(request_rec *r, const apr_array_header_t *rules, pc_rule_on on, const char **value);
/** Let all rules on fields work on these.
 *  @param cgi  the fields are CGI variables
 *  @param add  a field that is not there may be set by rules that do so
 *  @param strict  a result that cannot be a field's value makes the whole thing fail; else that field is left out
 *  @return 0, or -1: failed, and that was logged */
int pc_rules_fields(request_rec *r, const apr_array_header_t *rules, apr_array_header_t *fields, int cgi, int add,
                    int strict);

/* rewrite_request.c */
/** What rules on _uri and _docroot make of the route; *route may become another. @return OK or an HTTP status */
int pc_rewrite_route(request_rec *r, const pc_route **route);
/** Rules on _scriptname and _pathinfo. *path_info may be and become NULL. @return 1: *name is another, 0: it is not, -1: failed */
int pc_rewrite_script(request_rec *r, const pc_route *route, const char **name, const char **path_info);
/** Fields. @param host  of HTTP; NULL for CGI variables. @return OK or an HTTP status */
int pc_rewrite_fields(request_rec *r, const pc_route *route, apr_array_header_t *fields, const char **host);

/* rewrite_answer.c */
/** The head as it would be had the backend known better, in r->pool.
 *  @param host     Host as the backend got it; NULL for CGI-likes
 *  @param interim  of an interim answer: nothing is added
 *  @param internal Location is a local redirect, nobody's but ours */
const pc_head *pc_rewrite_head(request_rec *r, const pc_route *route, const char *host, const pc_head *head,
                               int interim, int internal);
/** Who is who, for PassReverse. host as above. */
void pc_rewrite_sides(request_rec *r, const pc_route *route, const char *host, pc_reverse_sides *sides);

/* config_rewrite.c */
const char *pc_set_rewrite_request(cmd_parms *cmd, void *mconfig, const char *args);
const char *pc_set_rewrite_response(cmd_parms *cmd, void *mconfig, const char *args);
const char *pc_set_pass_reverse(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_cookie_path(cmd_parms *cmd, void *mconfig, const char *from, const char *to);
const char *pc_set_cookie_domain(cmd_parms *cmd, void *mconfig, const char *from, const char *to);

#endif /* PC_REWRITE_H */
