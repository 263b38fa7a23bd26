/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct record {
    procd_ctl_pair pairs[CTL_PAIRS];
    int n;
} record;

static int next(char **records, record *r)
{
    r->n = procd_ctl_next(records, r->pairs, CTL_PAIRS);
    return r->n > 0;
}

static const char *is(const record *r)
{
    return r->pairs[0].key;
}

static const char *get(const record *r, const char *key)
{
    return procd_ctl_value(r->pairs, r->n, key);
}

static int serves_nobody(const record *group)
{
    const char *state = get(group, "state");

    return strcmp(state, "active") != 0 && strcmp(state, "removed") != 0;
}

/* ------------------------------------------------------------------ text */

static void show_manager(const record *r)
{
    printf("manager %s, generation %s, %s, processes %s of at most %s, RSS %ldK\n", get(r, "pid"), get(r, "generation"),
           get(r, "state"), get(r, "processes"), get(r, "max_processes"), atol(get(r, "rss")));
}

static void show_group(const record *r)
{
    printf(
        "group %s: %s, processes %s (%s to %s%s), starting %s, busy %s, waiting %s, requests %s, started %s, ended %s\n",
        get(r, "name"), get(r, "state"), get(r, "processes"), get(r, "min"), get(r, "max"),
        strcmp(get(r, "scaled"), "1") == 0 ? ", by procctl scale" : "", get(r, "starting"), get(r, "busy"),
        get(r, "waiting"), get(r, "requests"), get(r, "started"), get(r, "ended"));
    if (strcmp(get(r, "retry_after"), "0") != 0) {
        printf("  starts keep failing: the next in %s s\n", get(r, "retry_after"));
    }
    if (*get(r, "why")) {
        printf("  last trouble: %s\n", get(r, "why"));
    }
}

static void show_process(const record *r)
{
    printf("  pid %s %s busy %s/%s requests %s age %ss rss %sK cpu %sms %s%s%s%s\n", get(r, "pid"), get(r, "state"),
           get(r, "busy"), get(r, "concurrency"), get(r, "requests"), get(r, "age"), get(r, "rss"), get(r, "cpu_ms"),
           get(r, "address"), *get(r, "ending") ? " (" : "", get(r, "ending"), *get(r, "ending") ? ")" : "");
}

int ctl_show_text(char *records)
{
    int rc = CTL_OK;
    record r;

    while (next(&records, &r)) {
        if (strcmp(is(&r), "manager") == 0) {
            show_manager(&r);
        }
        else if (strcmp(is(&r), "group") == 0) {
            show_group(&r);
            rc = serves_nobody(&r) ? CTL_NOT_SERVING : rc;
        }
        else if (strcmp(is(&r), "process") == 0) {
            show_process(&r);
        }
        else if (strcmp(is(&r), "end") == 0) {
            printf("  %s s ago: pid %s, %s s old: %s\n", get(&r, "ago"), get(&r, "pid"), get(&r, "age"),
                   get(&r, "why"));
        }
    }
    return rc;
}

/* ------------------------------------------------------------------ JSON */

static void quoted(const char *text)
{
    ctl_json_string(text, strlen(text));
}

static int is_string(const char *key)
{
    static const char *const strings[] = { "name", "state", "why", "address", "ending" };

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        if (strcmp(key, strings[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static void members(const record *r)
{
    for (int i = 1; i < r->n; i++) {
        fputs(i > 1 ? "," : "", stdout);
        quoted(r->pairs[i].key);
        putchar(':');
        if (is_string(r->pairs[i].key)) {
            quoted(r->pairs[i].value);
        }
        else {
            printf("%lld", strtoll(r->pairs[i].value, NULL, 10));
        }
    }
}

/* {"manager":{...},"groups":[{...,"list":[{...}],"ends":[{...}]}]} */
int ctl_show_json(char *records)
{
    enum { NOWHERE, IN_GROUP, IN_LIST, IN_ENDS } at = NOWHERE;
    int rc = CTL_OK, groups = 0, items = 0;
    record r;

    fputs("{", stdout);
    while (next(&records, &r)) {
        if (strcmp(is(&r), "manager") == 0) {
            fputs("\"manager\":{", stdout);
            members(&r);
            fputs("},\"groups\":[", stdout);
        }
        else if (strcmp(is(&r), "group") == 0) {
            fputs(at == NOWHERE ? "" : at == IN_ENDS ? "]}" : "],\"ends\":[]}", stdout);
            fputs(groups++ ? ",{" : "{", stdout);
            members(&r);
            fputs(",\"list\":[", stdout);
            at = IN_LIST;
            items = 0;
            rc = serves_nobody(&r) ? CTL_NOT_SERVING : rc;
        }
        else if (strcmp(is(&r), "process") == 0 || strcmp(is(&r), "end") == 0) {
            if (strcmp(is(&r), "end") == 0 && at == IN_LIST) {
                fputs("],\"ends\":[", stdout);
                at = IN_ENDS;
                items = 0;
            }
            fputs(items++ ? ",{" : "{", stdout);
            members(&r);
            putchar('}');
        }
    }
    fputs(at == NOWHERE ? "" : at == IN_ENDS ? "]}" : "],\"ends\":[]}", stdout);
    puts("]}");
    return rc;
}
