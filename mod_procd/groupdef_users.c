/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Users and groups that a definition names: what the parser cannot tell, because it takes a look at the system. */
#include "groupdef.h"

#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static int fail(procd_deferror *error, const char *format, ...)
{
    va_list args;

    error->line = 0;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -1;
}

static int check_user(const char *user, procd_deferror *error)
{
    const struct passwd *pw;
    int number;

    if (user[0] == '#') {
        return procd_parse_int(user + 1, 1, INT32_MAX, &number) == 0
                   ? 0
                   : fail(error, "SpawnUser \"%s\" is not valid: it takes a user's name or #UID, not root", user);
    }
    pw = getpwnam(user);
    if (!pw) {
        return fail(error, "SpawnUser \"%s\": there is no such user", user);
    }
    return pw->pw_uid ? 0 : fail(error, "SpawnUser \"%s\": processes must not run as root", user);
}

int procd_groupdef_check_users(const procd_groupdef *def, procd_deferror *error)
{
    int number;

    if (def->user && check_user(def->user, error) != 0) {
        return -1;
    }
    if (def->group && def->group[0] != '#' && !getgrnam(def->group)) {
        return fail(error, "SpawnGroup \"%s\": there is no such group", def->group);
    }
    for (int i = 0; i < def->n_script_owners; i++) {
        const char *name = def->script_owners[i];

        if (name[0] == '#' ? procd_parse_int(name + 1, 0, INT32_MAX, &number) != 0 : !getpwnam(name)) {
            return fail(error, "SpawnScriptOwner \"%s\": there is no such user", name);
        }
    }
    return 0;
}
