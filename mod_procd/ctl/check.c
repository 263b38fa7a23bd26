/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A file of ProcdGroupDir, looked at before it is put there. The file's name without .conf is the group's. */
#include "ctl.h"

#include "groupdef.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** What came of one file. */
typedef struct finding {
    const char *file;
    char name[PROCD_NAME_MAX + 1];
    procd_groupdef *def; /* NULL: it is not valid */
    procd_deferror error;
} finding;

/* @return the text, malloc'ed; NULL and errno */
static char *read_file(const char *file, size_t *len)
{
    FILE *f = fopen(file, "r");
    char *text = f ? malloc(PROCD_TEXT_MAX + 1) : NULL;

    if (text) {
        *len = fread(text, 1, PROCD_TEXT_MAX + 1, f);
        if (ferror(f)) {
            free(text);
            text = NULL;
        }
    }
    if (f) {
        int error = errno;

        fclose(f);
        errno = error;
    }
    return text;
}

/* @return 0, or -1: a file of this name is no group's */
static int name_of(finding *f)
{
    const char *base = strrchr(f->file, '/') ? strrchr(f->file, '/') + 1 : f->file;
    size_t n = strlen(base);

    n -= n > 5 && strcmp(base + n - 5, ".conf") == 0 ? 5 : 0;
    if (n <= PROCD_NAME_MAX) {
        memcpy(f->name, base, n);
        f->name[n] = '\0';
    }
    return procd_name_ok(f->name) ? 0 : -1;
}

/* @return 0, or -1: there is something wrong with what was parsed */
static int check_def(finding *f)
{
    const char *why = procd_groupdef_not_in_dir(f->def);

    if (why) {
        f->error.line = 0;
        snprintf(f->error.text, sizeof(f->error.text), "%s", why);
    }
    return why ? -1 : procd_groupdef_check_users(f->def, &f->error);
}

static void check(finding *f)
{
    size_t len;
    char *text = read_file(f->file, &len);

    if (!text) {
        snprintf(f->error.text, sizeof(f->error.text), "%s", strerror(errno));
    }
    else if (name_of(f) != 0) {
        snprintf(f->error.text, sizeof(f->error.text),
                 "the file's name, without .conf, must be a group's: 1 to %d letters, digits, _ - and .",
                 PROCD_NAME_MAX);
    }
    else if (procd_groupdef_parse(&f->def, f->name, text, len, &f->error) != 0) {
        f->def = NULL;
    }
    else if (check_def(f) != 0) {
        procd_groupdef_free(f->def);
        f->def = NULL;
    }
    free(text);
}

static const char *program_of(const procd_groupdef *def)
{
    return def->argv ? def->argv[0] : "the script itself";
}

static void show_text(const finding *f)
{
    if (f->def) {
        printf("%s: group %s is valid: %d to %d processes of %s\n", f->file, f->name, f->def->min, f->def->max,
               program_of(f->def));
    }
    else {
        fprintf(stderr, "%s:%d: %s\n", f->file, f->error.line, f->error.text[0] ? f->error.text : "no memory");
    }
}

static void member(const char *key, const char *text)
{
    printf(",\"%s\":", key);
    ctl_json_string(text, strlen(text));
}

static void show_json(const finding *f)
{
    printf("{\"valid\":%s", f->def ? "true" : "false");
    member("file", f->file);
    if (f->def) {
        member("group", f->name);
        printf(",\"min\":%d,\"max\":%d", f->def->min, f->def->max);
        member("command", program_of(f->def));
    }
    else {
        printf(",\"line\":%d", f->error.line);
        member("error", f->error.text[0] ? f->error.text : "no memory");
    }
    putchar('}');
}

int ctl_check(int n, char **files, int json)
{
    int rc = CTL_OK;

    fputs(json ? "{\"files\":[" : "", stdout);
    for (int i = 0; i < n; i++) {
        finding f = { .file = files[i] };

        check(&f);
        rc = f.def ? rc : CTL_REFUSED;
        fputs(json && i ? "," : "", stdout);
        if (json) {
            show_json(&f);
        }
        else {
            show_text(&f);
        }
        procd_groupdef_free(f.def);
    }
    fputs(json ? "]}\n" : "", stdout);
    return rc;
}
