/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/groupdef.c mod_procd/groupdef_set.c mod_procd/groupdef_log.c mod_procd/groupdef_text.c mod_procd/groupdef_cgroup.c */
/* Any text is a definition or an error that says something; what was parsed keeps to its own bounds. */
#include "groupdef.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

static void check_def(const procd_groupdef *d)
{
    CHECK(d->argc ? d->argv[0][0] == '/' && d->argv[d->argc] == NULL : d->socket_type == PROCD_SOCKET_PIPE);
    CHECK(d->socket_type == PROCD_SOCKET_PIPE || d->n_script_roots + d->n_script_owners == 0);
    CHECK(d->min >= 0 && d->min <= d->max && d->max >= 1 && d->max <= PROCD_PROCESSES_MAX);
    CHECK(d->n_socket_names == 0 || d->n_socket_names == d->max);
    CHECK(d->concurrency >= 1 && d->n_limits <= PROCD_LIMITS_MAX && d->jitter_percent <= 100);
    CHECK(d->backoff_min_ms >= 10 && d->backoff_min_ms <= d->backoff_max_ms);
    CHECK(d->start_timeout_ms > 0 && d->stop_timeout_ms > 0 && d->idle_ms >= 0);
    CHECK(d->kill_signal >= 1 && d->kill_signal <= 64 && d->umask_bits <= 0777);
    CHECK(d->log_kind != PROCD_LOG_FILE || d->log_path[0]);
    CHECK(d->log_kind != PROCD_LOG_PROGRAM || d->log_argv[0][0] == '/');
    CHECK(d->log_kind != PROCD_LOG_SYSLOG || (d->log_path[0] && d->log_facility >= 0));
    for (int i = 0; i < d->n_environment; i++) {
        CHECK(strchr(d->environment[i], '=') != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    procd_deferror error;
    procd_groupdef *def;
    char *text = malloc(size ? size : 1); /* of its own, so that reading past it is seen */

    memcpy(text, data, size);
    if (procd_groupdef_parse(&def, "fuzz", text, size, &error) == 0) {
        check_def(def);
    }
    else {
        CHECK(def == NULL && error.text[0] && error.line >= 0 && memchr(error.text, '\0', sizeof(error.text)));
        for (const char *c = error.text; *c; c++) {
            CHECK((unsigned char)*c >= 0x20);
        }
    }
    procd_groupdef_free(def);
    free(text);
    return 0;
}
