/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  exchange.h
 * @brief One request on its way to a backend and back: a state machine that never waits by itself.
 *
 * pc_exchange_step() does all that can be done and says what it waits for; a driver (drive.c in a thread, park.c
 * without one) waits and steps again. An exchange is used by one thread at a time, by different ones in turn when it
 * is parked; only pc_exchange_wake() may be called by others.
 *
 *   exchange.c  the states and the end (due.c: deadlines)  send.c   to the backend: head, body, frames
 *   failure.c   what a failure means: another try, 502…    reply.c  from the backend: events to brigades
 *   answer.c    what a response head makes of the request  body.c   the client's body: read, 100, spool
 *   stderr.c    the application's standard error           notes.c  what the access log is told
 *   greet.c     what a new connection begins with
 *   hold.c      answers that wait for their client
 *   tunnel.c    behind 101: another protocol               trailers.c  fields behind a body
 *   authorizer.c, filter.c  FastCGI's other roles
 *   script_link.c  CGI: a script's pipes for a connection
 */
#ifndef PC_EXCHANGE_H
#define PC_EXCHANGE_H

#include "pool.h"
#include "route.h"
#include "upstream.h"

#include "apr_buckets.h"

#include <sys/uio.h>

typedef enum pc_state {
    PC_STATE_ROUTED,   /* nothing asked for yet */
    PC_STATE_QUEUED,   /* every backend is at its max */
    PC_STATE_SPOOLING, /* a body is read before a backend sees any of it */
    PC_STATE_CONNECTING,
    PC_STATE_SENDING,   /* head or body on their way out; the answer may have begun already */
    PC_STATE_AWAITING,  /* all is sent, no head yet */
    PC_STATE_STREAMING, /* the head is there */
    PC_STATE_DRAINING,  /* the backend is through, the client is not */
    PC_STATE_TUNNEL,    /* the head was 101 */
    PC_STATE_DONE
} pc_state;

typedef enum pc_step { PC_STEP_WAIT, PC_STEP_AGAIN, PC_STEP_DONE } pc_step;

/* What an exchange waits for. A time is always one of the things. */
#define PC_WANT_BACKEND_READ 0x01
#define PC_WANT_BACKEND_WRITE 0x02
#define PC_WANT_CLIENT_READ 0x04
#define PC_WANT_CLIENT_WRITE 0x08
#define PC_WANT_WAKE 0x10 /* pc_exchange_wake() by the queue */

/** What happens when the time comes. */
typedef enum pc_due {
    PC_DUE_NOTHING,
    PC_DUE_RETRY_CONNECT, /* a unix socket's backlog was full */
    PC_DUE_CONTINUE,      /* the backend kept silent on Expect: 100-continue */
    PC_DUE_QUEUE,
    PC_DUE_CONNECT,
    PC_DUE_SEND,
    PC_DUE_FIRST,
    PC_DUE_IDLE,
    PC_DUE_TOTAL,
    PC_DUE_PROCESS, /* timeouts of ours; the last is SpawnRequestTimeout */
    PC_DUE_STOP,    /* the child is stopping, and its tunnels with it */
    PC_DUE_REST,    /* of an answer that is not sent */
    PC_DUE_CLIENT,  /* the client neither sends nor takes */
    PC_DUE_LEFT,    /* the client, which had closed its sending side */
    PC_DUE_LOOK,    /* a filter may have found that the client takes too long */
    PC_DUE_FEED     /* a client whose pace cannot be seen gets some of what is held back */
} pc_due;

/** The client's body. */
typedef enum pc_body_state {
    PC_BODY_NONE,     /* there is none */
    PC_BODY_EXPECTED, /* the client waits for 100 and the backend is asked */
    PC_BODY_OPEN,     /* bytes may come */
    PC_BODY_READ,     /* its end was read, not all is sent */
    PC_BODY_SENT,     /* its end is in the send queue or sent */
    PC_BODY_STOPPED   /* the backend takes no more */
} pc_body_state;

#define PC_FRAMES 8
/** Room for a request's head in the step that makes it; a larger one is made in the request's pool. */
#define PC_HEAD_ROOM 4096
/** Most body bytes on their way to the backend. */
#define PC_SEND_LOT 61440
/** Most body bytes on their way to the client: below the core output filter's threshold for blocking writes. */
#define PC_REPLY_LOT 61440
/** A first read: head and a small body; one allocation of the bucket allocator. */
#define PC_REPLY_FIRST 8000

typedef struct pc_exchange pc_exchange;
typedef struct pc_tunnel pc_tunnel;

/** What sending a body takes beside its bytes; made with the first of them. */
typedef struct pc_body_queue {
    pc_frame frames[PC_FRAMES];
    struct iovec iov[1 + 3 * PC_FRAMES + 1];
} pc_body_queue;

struct pc_exchange {
    request_rec *r;
    conn_rec *c;
    const pc_route *route;
    const pc_pool_conf *pool;
    const pc_codec *codec;
    void *codec_state;
    pc_message msg;

    pc_state state;
    int rc;        /* what the handler returns when the state is DONE */
    unsigned want; /* PC_WANT_* of the last PC_STEP_WAIT */
    pc_due due;
    apr_time_t deadline; /* of the last PC_STEP_WAIT; 0: none */
    apr_time_t now;

    /* set by the driver */
    unsigned can_park : 1;
    unsigned may_linger : 1; /* the next recv may wait for PC_PATIENCE */
    unsigned client_left : 1;
    unsigned nap_ended : 1; /* by a post: pc_exchange_wake() has done its last */
    unsigned h2 : 1;        /* no socket of its own: output blocks by itself */

    /* the client's side */
    unsigned head_passed : 1;
    unsigned unflushed : 1;          /* something was passed since the last flush */
    unsigned blocked : 1;            /* the client does not take what was passed */
    unsigned unwanted_by_filter : 1; /* one of the request's output filters has refused the answer */
    unsigned half_passed : 1;        /* and some of it is on its way already */
    unsigned answered : 1;           /* END was seen */
    unsigned whole : 1;              /* and the codec itself has said so, without an error */
    unsigned discard : 1;            /* the body of this answer is not wanted (local redirect, 304) */
    unsigned eof : 1;                /* the backend has closed */
    unsigned logged_cut : 1;
    unsigned last_event : 1;    /* a byte of this try was read */
    unsigned refused : 1;       /* an authorizer's answer that is the client's */
    unsigned pass_waits : 1;    /* what is passed to the client waits in the thread until it is taken */
    unsigned held : 1;          /* what filters hold back waits for the client's socket to take more */
    unsigned rest_unneeded : 1; /* something is served instead: this answer's end is not waited for much longer, and it
                                   does not matter how it ends */

    pc_choice choice;
    pc_lease lease;
    pc_waiter *waiter;
    pc_link *link;
    int tries;
    int free_retry;  /* stale connections tried again, not counted in tries */
    int retry_after; /* seconds, said by who had no backend for it */

    /* to the backend */
    char *room;                  /* PC_HEAD_ROOM bytes, for the step that is being made; else NULL */
    pc_buf head;                 /* in the room until the end of that step: what is left of it moves to the pool then */
    struct iovec alone[2], *iov; /* a head and its end; with a body, body_queue's */
    int iov_first, iov_n;
    pc_body_queue *body_queue;
    apr_bucket_brigade *in; /* body bytes that the send queue points into, then those behind */
    apr_bucket *in_next;    /* first bucket that is not queued */
    pc_body_state body;
    unsigned body_taken : 1; /* body bytes left the client's connection: not to be had again */
    unsigned client_dry : 1; /* the last read of the client's body found nothing */
    unsigned head_queued : 1;
    unsigned any_sent : 1; /* a byte of this try reached the socket */
    pc_spool *spool;       /* a body read beforehand; kept for another try */
    apr_off_t spooled;
    unsigned spool_first : 1; /* the backend is told of it when it is there */

    /* from the backend */
    apr_bucket_brigade *out;
    apr_size_t lot; /* size of the next read */
    apr_size_t log_bytes;
    apr_off_t unwanted;   /* bytes behind a head that is to have no body */
    pc_spool *held_back;  /* ProxyCoreResponseBuffering: what the client has not taken */
    apr_time_t fed_at;    /* when it got some of that */
    const char *cut_then; /* DRAINING: the answer broke off there; for the notes */
    /* What serves the request in place of this answer (a local redirect, a file): set by the head, called in handler
     * context once the answer was read to its end and the connection has gone back. @return as the handler */
    int (*instead)(pc_exchange *x);
    const void *instead_data;
    const char *instead_state; /* for the notes: "redirect", "sendfile", … */
    pc_tunnel *tunnel;         /* PC_STATE_TUNNEL */
    int app_status;            /* the application's own, at the end of its answer */
    int final_status;          /* to be returned instead of the answer (304, 412) */
    int backend_status;
    apr_off_t announced;       /* bytes of body by its head; -1: it says nothing */
    int prior_status;          /* what an earlier try would have answered, */
    const char *prior_text;    /* said in the log */
    const char *prior_outcome; /* and in the notes */
    struct {                   /* the request as it was before a head was made of it */
        apr_table_t *headers;  /* NULL: there were none */
        const char *type, *line;
        int status, proxyreq;
        apr_off_t length;
        unsigned kept : 1;
    } before;

    /* times */
    apr_time_t started, lease_at, queued_at, connect_at, sent_at, head_at, last_read, last_write, client_at,
        finished_at;
    apr_off_t bytes_in, bytes_out; /* body to the backend, body from the backend */
    const char *outcome;           /* for notes: "ok", "connect", … */

    /* the drivers' */
    struct pc_perch *perch;
    apr_time_t hung_up_at; /* when the client closed its sending side; 0: it has not */
    apr_uint32_t woken;
    void *nap; /* semaphore of a thread that waits to be woken, else NULL; atomic */
};

/* exchange.c */
/** Make the exchange of r; everything is allocated in r->pool and given back when that is destroyed. */
pc_exchange *pc_exchange_create(request_rec *r, const pc_route *route);
pc_step pc_exchange_step(pc_exchange *x);
/** The client has left: tell the backend, end. */
void pc_exchange_client_left(pc_exchange *x);
/** The queue has news; any thread of this child. */
void pc_exchange_wake(void *exchange);
/** Give back lease, link, waiter. Idempotent. */
void pc_exchange_release(pc_exchange *x, pc_outcome outcome, int keep);
/** The end: state DONE with this return code. */
pc_step pc_exchange_end(pc_exchange *x, int rc, const char *outcome);
/** A link may have to be written to before more can be read, and read before more can be written. @return what to want */
unsigned pc_exchange_cross_wants(const pc_link *link, unsigned want);
/** What must happen after the handler's answer is known (local redirects), in handler context. @return new rc */
int pc_exchange_finish(pc_exchange *x);

/* greet.c */
/** Say what a new connection begins with. @return APR_SUCCESS: the request may follow; APR_EAGAIN, APR_EINPROGRESS: call
 *  again when the link is readable, writable; else link->why */
apr_status_t pc_greet(pc_exchange *x);

/* due.c */
/** Set x->deadline and x->due for what it waits for. */
void pc_due_of(pc_exchange *x);
/** The time of x->due has come. */
pc_step pc_due_come(pc_exchange *x);
/** SpawnRequestTimeout of the process that has the request; 0: none. Whoever keeps a tunnel open is not stuck. */
apr_interval_time_t pc_due_process_timeout(const pc_exchange *x);

/* send.c */
/** The fields or variables of the request, in its pool, made once. @return OK or an HTTP status */
int pc_send_fields(pc_exchange *x);
/** Make the head of this try. @return OK or an HTTP status */
int pc_send_prepare(pc_exchange *x);
/** Send what can be sent, but not so much that the answer would have to wait. @return 1: something moved, 2: and there is
 *  more */
int pc_send_some(pc_exchange *x, pc_step *step);
/** Forget the send queue of this try. */
void pc_send_reset(pc_exchange *x);
/** The step ends: what is not sent must not be in its room. */
void pc_send_leave_room(pc_exchange *x);
/** Say to the backend that the client is gone. */
void pc_send_abort(pc_exchange *x);

/* body.c */
/** How large the body is and how it comes. @return OK, or an HTTP status */
int pc_body_setup(pc_exchange *x);
/** Read what the client has sent into x->in. @return APR_SUCCESS, APR_EAGAIN, APR_EOF (the end was read), or an error
 *  with x->rc set to what must be returned */
apr_status_t pc_body_read(pc_exchange *x);
/** Tell the client to go on. */
void pc_body_continue(pc_exchange *x);
/** Read on into the spool. @return as pc_body_read(); APR_EOF: the length is known, x->in is ready */
apr_status_t pc_body_spool(pc_exchange *x);
/** Make x->in from the spool for one more try. */
void pc_body_rewind(pc_exchange *x);
/** May the request be sent once more, as far as its body goes? */
int pc_body_replayable(const pc_exchange *x);

/* reply.c */
/** Read, decode, pass. @return 1: something moved */
int pc_reply_some(pc_exchange *x, pc_step *step);
/** Let go what the client takes now. @return 1 when it is no longer blocked */
int pc_reply_drain(pc_exchange *x);
/** Pass x->out on, or hold it back. @return 0 when the client has left */
int pc_reply_pass(pc_exchange *x);
/** Pass x->out on. @return as above */
int pc_reply_pass_on(pc_exchange *x);
/** Does the client's socket take more? */
int pc_reply_client_takes(const pc_exchange *x);
/** Before waiting for the backend: what was passed must be seen by the client. Never waits for it: while it takes nothing,
 *  x is blocked. */
void pc_reply_flush(pc_exchange *x);
/** What is left of an answer that something is served instead of is given up. */
pc_step pc_reply_give_up(pc_exchange *x);
/** All was passed on, or could not be: the end. */
pc_step pc_reply_end(pc_exchange *x);
/** An output filter has refused the answer: it may have sent one of its own, and else httpd does. */
pc_step pc_reply_refused(pc_exchange *x);
/** The answer was cut short: make sure that nobody takes it for whole. */
void pc_reply_cut(pc_exchange *x);

/* hold.c; only with ProxyCoreResponseBuffering on */
/** An answer begins. */
void pc_hold_begin(pc_exchange *x);
/** Must x->out wait? */
int pc_hold_needed(const pc_exchange *x);
/** Should the backend be read on, though the client takes nothing? */
int pc_hold_has_room(const pc_exchange *x);
/** Hold x->out back. */
void pc_hold_out(pc_exchange *x);
/** Pass what is held back, as far as the client takes it. @param lots  at most so many, 0: all */
void pc_hold_feed(pc_exchange *x, int lots);
/** @return when a client whose pace cannot be seen should get some of what is held back; 0: nothing is */
apr_time_t pc_hold_feed_due(const pc_exchange *x);
/** The backend has nothing more to say: DRAINING, x->out included.
 *  @param cut  NULL, or it failed: what the notes say @return 0: nothing is held back, cut it now */
int pc_hold_until_drained(pc_exchange *x, const char *cut);
/** A step of DRAINING. */
pc_step pc_hold_drain(pc_exchange *x);

/* answer.c */
/** An interim head (1xx): relayed where it may be. */
void pc_answer_interim(pc_exchange *x, const pc_head *head);
/** The final head: becomes the request's status and fields, or says what is served instead. */
void pc_answer_head(pc_exchange *x, const pc_head *head);
/** Does the answer to this request have no body, whatever the backend sends? */
int pc_answer_has_no_body(const pc_exchange *x);
/** No byte of the answer has left: forget what was made of it, the request looks as it did before. */
void pc_answer_forget(pc_exchange *x);

/* trailers.c */
void pc_trailers_register(void);
/** Does the client of this request take trailer fields? */
int pc_trailers_wanted(const pc_exchange *x);
/** Announce to the backend what the client has announced. */
void pc_trailers_announce(pc_exchange *x, apr_array_header_t *fields);
/** The end of a body with the request's trailer fields, which were read with it. @return NULL: none are to be sent */
const pc_buf *pc_trailers_finish(pc_exchange *x);
/** Trailer fields of the answer, before its end. */
void pc_trailers_take(pc_exchange *x, const pc_head *trailer);

/* tunnel.c */
void pc_tunnel_register_hooks(apr_pool_t *p);
void pc_tunnel_child_init(apr_pool_t *pchild);
/** Offer the backend what of the request's Upgrade the pool allows: x->msg.upgrade. */
void pc_tunnel_offer(pc_exchange *x);
/** 101 came: pass it on, state TUNNEL. Bytes behind it are passed as a body is. */
void pc_tunnel_begin(pc_exchange *x, const pc_head *head);
pc_step pc_tunnel_step(pc_exchange *x);
/** The end; why: for the notes. */
pc_step pc_tunnel_end(pc_exchange *x, const char *why);
/** The time of x->due has come. */
pc_step pc_tunnel_overdue(pc_exchange *x);
/** When the last byte passed. */
apr_time_t pc_tunnel_idle_since(const pc_exchange *x);
/** How long it leaves its thread to others though there is more to do; 0: there is not. */
apr_interval_time_t pc_tunnel_pause(const pc_exchange *x);
/** When it must end because the child is stopping; 0: it is not. */
apr_time_t pc_tunnel_drain_at(pc_exchange *x);
/** Is there anything to be learnt from the client's descriptor? The end of what a client sends is not that of a tunnel. */
int pc_tunnel_watches_client(const pc_exchange *x);

/* authorizer.c */
void pc_authorizer_register_hooks(apr_pool_t *p);
/** The head of an authorizer's answer. @return 1: nothing of it is for the client */
int pc_authorizer_head(pc_exchange *x, const pc_head *head, const char *location);

/* filter.c */
/** The file that the filter gets. @return OK or an HTTP status */
int pc_filter_open(request_rec *r, pc_route *route);
/** Put it behind what was spooled of the body, for each try. */
void pc_filter_queue(pc_exchange *x);

/* stderr.c */
/** Bytes of the application's standard error. */
void pc_stderr_log(pc_exchange *x, const char *p, apr_size_t n);
/** In post_config. */
void pc_stderr_init(void);

/* failure.c */
typedef enum pc_stage {
    PC_STAGE_CHOOSE,
    PC_STAGE_QUEUE,
    PC_STAGE_CONNECT,
    PC_STAGE_SEND,
    PC_STAGE_HEAD,
    PC_STAGE_BODY
} pc_stage;
typedef enum pc_cause {
    PC_CAUSE_REFUSED, /* no connection */
    PC_CAUSE_TIMEOUT,
    PC_CAUSE_STALE, /* a kept connection was found closed */
    PC_CAUSE_RESET, /* closed or reset before the answer was whole */
    PC_CAUSE_MALFORMED,
    PC_CAUSE_ENDED,      /* the backend says that the answer is over, and it is not whole */
    PC_CAUSE_OVERLOADED, /* it said that it took nothing on */
    PC_CAUSE_NONE_ALIVE,
    PC_CAUSE_QUEUE_FULL,
    PC_CAUSE_LOCAL,    /* no descriptor or memory of our own: says nothing of the backend */
    PC_CAUSE_GREETING, /* connected, but TLS (or the PROXY protocol) came to nothing */
    PC_CAUSE_UNTAKEN /* the process ended with the connection in its backlog, or before it had read all of the request */
} pc_cause;
/** The one place that decides what a failure leads to: another try, an answer, a cut; and logs it. */
pc_step pc_fail(pc_exchange *x, pc_stage stage, pc_cause cause, const char *why);
/** A head came with this status. @return 1: it is a failure, too (ProxyCoreRetry on=5xx), and another backend is asked */
int pc_fail_status(pc_exchange *x, int status);

/* notes.c */
void pc_notes_set(pc_exchange *x);

/* drive.c */
/** Run to the end in this thread. @return what the handler returns */
int pc_drive(pc_exchange *x);
/** Wait in this thread for what x wants, at most max. @return 1: something may have happened; 0: max is over */
int pc_drive_wait(pc_exchange *x, apr_interval_time_t max);
/** Wait in this thread for pc_exchange_wake() and nothing else. @return 1: woken; 0: max is over */
int pc_nap(pc_exchange *x, apr_interval_time_t max);
/** Wake a thread that naps. @return 0: none does */
int pc_nap_end(pc_exchange *x);
/** The client has closed its sending side: it has left, or only has no more to say. */
void pc_client_hung_up(pc_exchange *x);
/** The client's descriptor, -1: none (HTTP/2 without input). */
int pc_client_fd(const pc_exchange *x);

/* park.c */
void pc_park_register_hooks(apr_pool_t *p);
void pc_park_child_init(apr_pool_t *pchild);
/** Could this request's connection be parked? */
int pc_park_possible(request_rec *r);
/** Leave the exchange, which wants something, to the MPM; the handler returns SUSPENDED. @return 0: cannot */
int pc_park(pc_exchange *x);
/** A descriptor that becomes readable with pc_perch_fire(); -1: none to be had. */
int pc_perch_fd(pc_exchange *x);
/** Wake the exchange; any thread of this child. */
void pc_perch_fire(pc_exchange *x);
/** It is awake. */
void pc_perch_quiet(pc_exchange *x);
/** The link is about to be closed or kept: wait for it no more. */
void pc_perch_forget_link(pc_exchange *x);
void pc_perch_release(pc_exchange *x);

#endif /* PC_EXCHANGE_H */
