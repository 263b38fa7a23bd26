/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  tunnel.h
 * @brief A tunnel's own state, between tunnel.c, which moves its bytes, and tunnel_stop.c, which knows all of a child's.
 */
#ifndef PC_TUNNEL_H
#define PC_TUNNEL_H

#include "exchange.h"

struct pc_tunnel {
    pc_exchange *x;
    pc_tunnel *next, **at; /* at: NULL while it is not in the list */
    apr_bucket_brigade *up;
    const char *over;                             /* why it ends now */
    const char *first;                            /* which side has ended first */
    apr_time_t moved;                             /* the last byte, of either side */
    apr_time_t stop_seen;                         /* 0: the child goes on */
    apr_interval_time_t turn;                     /* how long after that it is ended at the earliest */
    unsigned client_ended : 1, backend_ended : 1; /* nothing more comes from there */
    unsigned client_told : 1, backend_told : 1;   /* nothing more goes there */
    unsigned pausing : 1;                         /* there is more to do */
};

/** It can be parked: it is woken when the child stops. */
void pc_tunnel_enlist(pc_tunnel *t);
/** The opposite; a pool's cleanup. Idempotent. */
apr_status_t pc_tunnel_delist(void *tunnel);

#endif /* PC_TUNNEL_H */
