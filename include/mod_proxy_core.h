/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  mod_proxy_core.h
 * @brief What another module needs to add a protocol (a codec) or a balancer to mod_proxy_core.
 *
 * A codec turns a request into bytes and bytes into events. It makes no system call, takes no lock, knows no
 * request_rec and blocks on nothing: the exchange (mod_proxy_core/exchange.c) owns the sockets. One codec state
 * belongs to one exchange and is used by one thread at a time; the codec itself is const and shared by all threads.
 *
 * Register with
 *   ap_register_provider(p, PC_CODEC_GROUP, "name", PC_CODEC_VERSION, &codec);
 *   ap_register_provider(p, PC_BALANCER_GROUP, "name", PC_BALANCER_VERSION, &balancer);
 */
#ifndef MOD_PROXY_CORE_H
#define MOD_PROXY_CORE_H

#include "apr.h"
#include "apr_network_io.h"
#include "apr_pools.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_CODEC_GROUP "proxy_core_codec"
#define PC_CODEC_VERSION "1"
#define PC_BALANCER_GROUP "proxy_core_balancer"
#define PC_BALANCER_VERSION "1"

/* ------------------------------------------------------------------ bytes and fields */

/** A field (RFC 9110, 5) or a CGI meta-variable (RFC 3875, 4.1). Both strings end in NUL, which no length counts. */
typedef struct pc_field {
    const char *name;
    const char *value;
    apr_size_t name_len;
    apr_size_t value_len;
} pc_field;

/** Bytes that a codec appends to. Grows in `pool`; p may be NULL while cap is 0. */
typedef struct pc_buf {
    char *p;
    apr_size_t len;
    apr_size_t cap;
    apr_pool_t *pool;
} pc_buf;

/** Make room for n more bytes (amortised doubling). @return where they go; len is not changed. */
char *pc_buf_reserve(pc_buf *b, apr_size_t n);
/** Append n bytes. */
void pc_buf_add(pc_buf *b, const void *p, apr_size_t n);
/** Append a string. */
void pc_buf_adds(pc_buf *b, const char *s);

/* ------------------------------------------------------------------ what is sent */

/** What the application is to do (FastCGI 1.0, 6). */
typedef enum pc_role {
    PC_ROLE_RESPONDER,
    PC_ROLE_AUTHORIZER, /**< may the request be served? No body */
    PC_ROLE_FILTER      /**< the body is followed by data_length bytes of a file */
} pc_role;

/** A request as the codec sees it. Everything in it lives at least as long as the exchange. */
typedef struct pc_message {
    const char *method;     /**< as received, a token */
    const char *target;     /**< request-target (RFC 9112, 3.2), escaped, without CTL or space; HTTP codecs only */
    const char *host;       /**< value of Host; HTTP codecs only */
    const pc_field *fields; /**< fields, or CGI variables when the codec has PC_CODEC_CGI; in order */
    apr_size_t nfields;
    apr_off_t content_length; /**< bytes of the body, 0: no body, -1: not known (only with PC_CODEC_CHUNKS) */
    unsigned body : 1;        /**< a body follows, also when content_length is 0 but was given */
    unsigned head_only : 1;   /**< the method is HEAD: the answer has no body whatever its head says */
    unsigned keep_alive : 1;  /**< the connection is wanted again: ask the backend to keep it */
    unsigned expect_100 : 1;  /**< send Expect: 100-continue (HTTP codecs only) */
    unsigned te_trailers : 1; /**< the client takes trailer fields: ask for them (HTTP codecs only) */
    const char *upgrade;      /**< protocols to offer, NULL: none; codecs with PC_CODEC_UPGRADE only */
    pc_role role;             /**< other than PC_ROLE_RESPONDER only with PC_CODEC_ROLES */
    apr_off_t data_length;    /**< PC_ROLE_FILTER: bytes that frame() gets behind content_length bytes of body */
} pc_message;

/** Most bytes that a codec puts before or behind a span of body, or says at the end of a body. */
#define PC_FRAME_MAX 32

/** The frame of one span of body: prefix, that many body bytes, suffix. */
typedef struct pc_frame {
    char prefix[PC_FRAME_MAX];
    char suffix[PC_FRAME_MAX];
    apr_size_t prefix_len;
    apr_size_t suffix_len;
} pc_frame;

/* ------------------------------------------------------------------ what comes back */

/** A response head. Lives in the codec's state (its pool) until the next head or the end of the exchange. */
typedef struct pc_head {
    int status;         /**< 100..599; 200 when a CGI-like head has no Status */
    const char *reason; /**< clean reason phrase or NULL */
    pc_field *fields;   /**< without framing fields that the codec has consumed (Transfer-Encoding,
                                    Connection and what it lists, Keep-Alive, Status) */
    apr_size_t nfields;
    apr_off_t content_length;  /**< as the backend said, validated; -1: it said none */
    unsigned status_given : 1; /**< CGI-likes: a Status field was there */
} pc_head;

typedef enum pc_event_type {
    PC_EV_MORE,    /**< all bytes are used up, nothing more to say: read on */
    PC_EV_INTERIM, /**< head: a 1xx head. 101 is PC_EV_HEAD */
    PC_EV_HEAD,    /**< head: the final head */
    PC_EV_BODY,    /**< data/len: a span of body, pointing into the bytes given to decode() */
    PC_EV_LOG,     /**< data/len: the application's standard error, pointing into the same; not clean */
    PC_EV_TRAILER, /**< head: trailer fields, status 0 */
    PC_EV_END,     /**< the answer is complete; reusable says if the connection may carry another request */
    PC_EV_ERROR    /**< why: what was wrong. Nothing more can be decoded; the connection must be closed */
} pc_event_type;

typedef struct pc_event {
    pc_event_type type;
    const pc_head *head;
    const char *data;
    apr_size_t len;
    const char *why;         /**< static or in the state's pool; for the log */
    unsigned reusable : 1;   /**< PC_EV_END: at a message boundary and the backend keeps the connection */
    unsigned overloaded : 1; /**< PC_EV_ERROR before the head: the backend refused it untouched (FCGI_OVERLOADED):
                                  another may be asked */
    unsigned early : 1; /**< PC_EV_ERROR of decode(): the backend itself has ended the answer before it was whole */
    int app_status;     /**< PC_EV_END: exit status that the application reported, 0 otherwise */
} pc_event;

/* ------------------------------------------------------------------ codecs */

#define PC_CODEC_CGI 0x01    /**< fields are CGI variables, the answer's head is a CGI head */
#define PC_CODEC_CHUNKS 0x02 /**< a body of unknown length can be sent; without it the core spools it first */
#define PC_CODEC_KEEP 0x04   /**< connections can be kept */
#define PC_CODEC_EXPECT 0x08 /**< knows 100-continue end to end */
#define PC_CODEC_TLS 0x10    /**< the connection is TLS */
#define PC_CODEC_EXCLUSIVE \
    0x20 /**< a kept connection may pin a single-threaded process (FastCGI): kept only where
                                     the configuration says that it cannot */
#define PC_CODEC_NO_SCRIPTS \
    0x40 /**< with PC_CODEC_CGI: backends are applications and not folders of scripts. A section is passed by its URL, and
                                     unless ProxyCoreScript says otherwise SCRIPT_NAME is empty and PATH_INFO the path */
#define PC_CODEC_ROLES 0x80 /**< knows pc_role */

/** Sends what message->upgrade offers. 101 is PC_EV_HEAD, only when it takes up one of the offers, and PC_EV_BODY are then
 *  bytes of the other protocol. */
#define PC_CODEC_UPGRADE 0x100

typedef struct pc_codec {
    apr_size_t size;         /**< sizeof(pc_codec) of the header that the codec was built with */
    const char *name;        /**< value of ProxyCoreProtocol */
    unsigned flags;          /**< PC_CODEC_* */
    apr_port_t default_port; /**< 0: the address must name one */
    apr_size_t state_size;   /**< bytes of state for an exchange; handed in zeroed */

    /** Begin an exchange on this state. m and pool live as long as the state. */
    void (*start)(void *state, apr_pool_t *pool, const pc_message *m);

    /** Append the request head to out.
     *  @return NULL, or a static text: the request does not fit into this protocol (answered 431). */
    const char *(*head)(void *state, pc_buf *out);

    /** Frame the next span of the body.
     *  @param avail bytes at hand, > 0
     *  @return how many of them this frame takes, 1..avail; 0: the body is longer than content_length said, none of
     *          this may be sent */
    apr_size_t (*frame)(void *state, apr_size_t avail, pc_frame *f);

    /** The body is complete (also called once for a request without body).
     *  @return bytes written to buf, 0..PC_FRAME_MAX */
    apr_size_t (*finish)(void *state, char *buf);

    /** The client has left. @return bytes to send before the connection is closed, 0: just close */
    apr_size_t (*abort)(void *state, char *buf);

    /** Decode. Uses bytes from buf until it has an event; what is half a record or half a head is kept in the
     *  state, so that with PC_EV_MORE all len bytes are used. After PC_EV_END or PC_EV_ERROR it is not called again;
     *  bytes left over after PC_EV_END mean that the connection must not be reused.
     *  After any other event it is called again, also when no byte is left (len 0): PC_EV_END may follow the head or
     *  the last span of the body without another byte. Only PC_EV_MORE means: read on.
     *  @return bytes used, 0..len */
    apr_size_t (*decode)(void *state, const char *buf, apr_size_t len, pc_event *ev);

    /** The backend closed. ev becomes PC_EV_END (a body that ends with the connection) or PC_EV_ERROR. */
    void (*eof)(void *state, pc_event *ev);

    /** In place of finish(), for a body of unknown length: it is complete, and these fields follow. Appends to out.
     *  NULL: the protocol has no trailer fields. */
    void (*trailers)(void *state, const pc_field *fields, apr_size_t n, pc_buf *out);
} pc_codec;

/* ------------------------------------------------------------------ balancers */

/** What a balancer may know of one backend; a copy made under the pool's lock. */
typedef struct pc_candidate {
    int backend;            /**< index in the pool's definition */
    int weight;             /**< 1..1000 */
    int max;                /**< most requests at once, 0: no bound */
    apr_uint32_t in_flight; /**< requests now, all children */
    apr_int32_t *current;   /**< smooth weighted round-robin's own number; shared, under the pool's lock */
    apr_uint32_t ewma_usec; /**< moving average of the time to the response head, microseconds; 0: unknown */
    apr_uint32_t name_hash; /**< of the backend's name: stable across children and restarts */
} pc_candidate;

typedef struct pc_balancer {
    apr_size_t size;  /**< sizeof(pc_balancer) of the header that it was built with */
    const char *name; /**< first word of ProxyCoreBalancer */
    /** Choose among n (> 0) candidates that are alive, untried and below their max. Called under the pool's lock: no
     *  system call, no allocation.
     *  @param hash  of the request's key (balancers that take key=), else 0
     *  @param seq   a number that grows by one with each choice of the pool
     *  @return index into c, 0..n-1 */
    int (*pick)(const pc_candidate *c, int n, apr_uint32_t hash, apr_uint32_t seq);
} pc_balancer;

#ifdef __cplusplus
}
#endif

#endif /* MOD_PROXY_CORE_H */
