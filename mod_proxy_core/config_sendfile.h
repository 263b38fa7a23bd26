/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  config_sendfile.h
 * @brief ProxyCoreXSendfile and ProxyCoreXRewrite of a section.
 */
#ifndef PC_CONFIG_SENDFILE_H
#define PC_CONFIG_SENDFILE_H

#include "conf.h"

typedef struct pc_sendfile_conf {
    int on;                    /* 0, 1 */
    int unescape;              /* X-Sendfile's path is percent-encoded; -1: not said */
    unsigned by_user : 1;      /* a .htaccess file switched it on, and nobody else */
    apr_array_header_t *roots; /* of const char *, absolute; NULL: none were named */
} pc_sendfile_conf;

const pc_sendfile_conf *pc_sendfile_merge(apr_pool_t *p, const pc_sendfile_conf *base, const pc_sendfile_conf *add);
const char *pc_set_xsendfile(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);
const char *pc_set_xrewrite(cmd_parms *cmd, void *mconfig, const char *arg);

/** Are the fields of an application obeyed that name files? */
static APR_INLINE int pc_sendfile_is_on(const pc_dir_conf *dir)
{
    /* who may write .htaccess may use the roots of the administrator, and has none of his own */
    return dir->sendfile && dir->sendfile->on && (!dir->sendfile->by_user || dir->sendfile->roots);
}

#endif /* PC_CONFIG_SENDFILE_H */
