/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  override.h
 * @brief ProxyCoreErrorOverride: this server's ErrorDocument in place of what a backend says to an error.
 */
#ifndef PC_OVERRIDE_H
#define PC_OVERRIDE_H

#include "exchange.h"

/** The statuses, 400 to 599, a bit each. All zero: off. */
typedef struct pc_override {
    unsigned char bits[25];
} pc_override;

/** Is this an answer that gives way? Then x is told what to do once the backend is done, and 1 is returned. */
int pc_override_takes(pc_exchange *x, const pc_head *head);

const char *pc_set_error_override(cmd_parms *cmd, void *mconfig, int argc, char *const argv[]);

#endif /* PC_OVERRIDE_H */
