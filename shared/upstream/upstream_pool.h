/*
 * upstream/upstream_pool: the connections to one origin. Private to upstream/.
 *
 * A pool is a multi handle of libcurl's, and so a set of connections that only calls in it use. It
 * takes no more calls, and ends with its last one,
 *   - when one of its connections may be dead: a call waited for its whole deadline in vain. libcurl
 *     would put the next call on the same HTTP/2 connection, for ever;
 *   - when it is old, for names move to other addresses;
 *   - when nobody has used it for a while.
 * The next call to the origin makes a new one. Calls that are still in the old one go on there.
 *
 * When all HTTP/2 connections to a host are full, libcurl opens another one for each call that
 * starts before the first of these is established: a burst of a thousand calls would make hundreds
 * of connections for ten that are needed. So only some calls of a pool may be connecting at a time,
 * and the others wait until one of these has sent its request. HTTP/1 needs a connection for each:
 * there the number grows as long as connecting succeeds.
 */
#ifndef UPSTREAM_UPSTREAM_POOL_H
#define UPSTREAM_UPSTREAM_POOL_H

#include "base/context.h"
#include "upstream/upstream_easy.h"

/* Handles that are kept for the next calls: they are cheaper to reset than to make. */
#define HANDLES_KEPT 32

#define POOL_IDLE_MILLISECONDS     60000
#define POOL_LIFETIME_MILLISECONDS 600000

/* Calls that may be connecting at the same time: where connections are shared, and at most. */
#define CONNECTING_SHARED  4
#define CONNECTING_MAXIMUM 64

/* Lookups that go on although nobody waits for them, at most. */
#define LOOKUPS_LEFT_MAXIMUM 32

struct upstream_pool {
    struct upstream *upstream;
    char *origin; /* scheme, host and port; and the socket if there is one */
    CURLM *multi;
    struct upstream_call *first_waiting;
    struct upstream_call *last_waiting;
    struct upstream_pool *next;
    uint64_t made;
    uint64_t last_heard; /* the last byte of any answer */
    unsigned calls;      /* here, waiting or not */
    unsigned connecting;
    unsigned connecting_maximum;
    bool has_address;   /* its host is an address: there is nothing to look up */
    bool is_shared;     /* HTTP/2 */
    bool is_retired;    /* takes no more calls */
    bool has_room;      /* a call has ceased to connect */
    bool timer_is_lost; /* the loop could not take libcurl's timer */
};

struct upstream {
    struct upstream_loop loop;
    CURLSH *share; /* TLS sessions, so that a new connection can resume */
    char *ca_path;
    struct upstream_call *calls;
    struct upstream_pool *pools;
    CURL *spare[HANDLES_KEPT];
    int spare_count;
    int depth;       /* inside libcurl */
    bool has_marked; /* calls, cancelled or broken, that wait for libcurl to return */
    /* When calls left while their name was being looked up; those threads end by themselves. */
    uint64_t lookups_left[LOOKUPS_LEFT_MAXIMUM];
    int64_t pool_idle_milliseconds;
    int64_t pool_lifetime_milliseconds;
};

struct upstream_call {
    struct upstream *upstream;
    struct upstream_pool *pool;
    CURL *easy;
    const char *unix_socket; /* the owner's */
    struct curl_slist *headers;
    const struct upstream_handlers *handlers;
    void *context;
    struct context origin; /* of the caller of upstream_start; the handlers run in it */
    struct upstream_head head;
    uint64_t started;
    uint64_t last_activity;
    uint64_t connect_timeout; /* nanoseconds, as the next three */
    uint64_t first_byte_timeout;
    uint64_t idle_timeout;
    uint64_t total_timeout;
    size_t received;
    size_t maximum;  /* 0: none */
    bool is_paused;  /* its owner wants it */
    bool is_stopped; /* libcurl holds data back */
    bool is_resumed; /* whatever time it is, one piece of data is its due */
    bool is_too_large;
    bool is_cancelled;
    bool is_broken; /* it cannot go on: its socket cannot be watched */
    bool is_waiting;
    bool is_connecting;
    bool is_looking_up; /* the name */
    bool has_opened;    /* a connection of its own */
    bool has_sent;
    bool is_repeated; /* libcurl has tried to send it once more */
    struct upstream_call *next_waiting;
    struct upstream_call *next;
    struct upstream_call *previous;
};

/* The pool that takes calls to where `request` goes; made when there is none. NULL: no memory. */
struct upstream_pool *upstream_pool_find(struct upstream *upstream,
                                         const struct upstream_request *request);

/* A call belongs to `pool` from now on, or to none (NULL). */
void upstream_pool_assign(struct upstream_call *call, struct upstream_pool *pool);

/* New calls get a new pool. Those that wait in this one go there too. */
void upstream_pool_retire(struct upstream_pool *pool);

/* At once; there must be no calls in it. */
void upstream_pool_release(struct upstream_pool *pool);

/* Makes good as soon as possible that the loop could not take libcurl's timer. libcurl must never be
 * told: 7.88 then leaves a handle half added, and removing it crashes. */
enum status upstream_pool_restore_timer(struct upstream_pool *pool);

/* Between the calls' own file and this one: libcurl has returned to `pool`. */
void upstream_enter(struct upstream *upstream);
void upstream_leave(struct upstream_pool *pool);
void upstream_mark_calls_without_socket(struct upstream_pool *pool);
struct upstream_call *upstream_call_of(CURL *easy);

#endif
