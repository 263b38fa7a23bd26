/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  replay.h
 * @brief A body that was read from the client and kept, for a request that is made once more.
 */
#ifndef PC_REPLAY_H
#define PC_REPLAY_H

#include "spool.h"

#include "httpd.h"

/** Whoever reads the body of r, or of a request that r is redirected to, gets what body holds, from its beginning and by its
 *  length. The client's connection is not read for it. body lives as long as r. */
void pc_replay(request_rec *r, pc_spool *body);
void pc_replay_register(void);

#endif /* PC_REPLAY_H */
