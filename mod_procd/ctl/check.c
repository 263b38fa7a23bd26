/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A file of ProcdGroupDir, looked at before it is put there. The file's name without .conf is the group's. */
#include "ctl.h"

#include "groupdef.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int ctl_check(const char *file)
{
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t len, n = strlen(base);
    char name[PROCD_NAME_MAX + 1] = "", *text = read_file(file, &len);
    procd_groupdef *def = NULL;
    procd_deferror error;
    int rc = CTL_OK;

    if (!text) {
        fprintf(stderr, "procctl: %s: %s\n", file, strerror(errno));
        return CTL_REFUSED;
    }
    n -= n > 5 && strcmp(base + n - 5, ".conf") == 0 ? 5 : 0;
    if (n <= PROCD_NAME_MAX) {
        memcpy(name, base, n);
        name[n] = '\0';
    }
    if (!procd_name_ok(name)) {
        fprintf(stderr,
                "procctl: %s: the file's name, without .conf, must be a group's: 1 to %d letters, digits, _ - and .\n",
                file, PROCD_NAME_MAX);
        rc = CTL_REFUSED;
    }
    else if (procd_groupdef_parse(&def, name, text, len, &error) != 0) {
        fprintf(stderr, "%s:%d: %s\n", file, error.line, error.text[0] ? error.text : "no memory");
        rc = CTL_REFUSED;
    }
    else {
        printf("%s: group %s is valid: %d to %d processes of %s\n", file, name, def->min, def->max,
               def->argv ? def->argv[0] : "the script itself");
    }
    procd_groupdef_free(def);
    free(text);
    return rc;
}
