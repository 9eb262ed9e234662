/*
 * transport/fastcgi: the FastCGI side of the transport. Private to transport/.
 *
 * One thread (the one that calls fastcgi_serve) accepts, reads, finishes what could not be written
 * at once, closes what is too slow and owns the signals. No socket call in it or in a worker
 * blocks. A connection is in one hand at a time:
 *
 *   event thread ── request complete ──► queue ──► worker ── pump_adopt ──► pump
 *        ▲                                            │                       │
 *        └── armed in epoll (idle, reading, writing, lingering) ◄─────────────┘
 *
 * Whoever completes the answer writes it, and then closes the connection or arms it in epoll
 * (EPOLLONESHOT) for its next request. Connections are recycled with their memory: a small request
 * allocates nothing.
 */
#ifndef TRANSPORT_FASTCGI_H
#define TRANSPORT_FASTCGI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/exchange.h"
#include "transport/fastcgi_request.h"
#include "transport/loop_lag.h"
#include "transport/transport.h"
#include "transport/workers.h"

/* Bytes of request bodies in memory beyond which no more are read until some are answered. */
#define FASTCGI_BODIES_MAXIMUM ((size_t)512 << 20)

enum fastcgi_state {
    FASTCGI_CLOSED,    /* no descriptor; in the free list or on its way there */
    FASTCGI_HELD,      /* the event thread, a worker or the pump has it */
    FASTCGI_RETURNED,  /* on its way to the event thread, with input left to parse */
    FASTCGI_READING,   /* armed: a request that is not complete */
    FASTCGI_KEPT,      /* armed: between requests */
    FASTCGI_WRITING,   /* armed: the rest of an answer */
    FASTCGI_LINGERING, /* armed: answered; reads until the peer closes, so that closing does not
                         destroy what the peer has not read yet */
    FASTCGI_PAUSED     /* not armed: waits until there is room for its body */
};

struct fastcgi_connection {
    struct exchange exchange; /* first: an exchange of ours is its connection */
    struct fastcgi_server *server;
    int descriptor;
    bool is_in_epoll;
    bool was_used; /* an earlier request was answered */
    /* The lock keeps the event thread from closing a connection between the moment its owner
     * declares it armed and the moment it is. */
    pthread_mutex_t lock;
    enum fastcgi_state state;
    uint64_t deadline; /* monotonic nanoseconds; of armed and paused states */
    struct fastcgi_request request;
    struct fastcgi_framer framer;
    struct buffer leftover; /* input behind a complete request */
    bool is_whole;          /* the answer is complete */
    size_t body_counted;    /* part of server->body_bytes */
    struct fastcgi_connection *next_all;
    struct fastcgi_connection *next; /* free or returned */
};

struct fastcgi_server {
    const struct transport_options *options; /* defaults filled in */
    struct workers *workers;
    int listener; /* not ours to close */
    int epoll;
    int wake;    /* eventfd */
    int signals; /* signalfd */
    bool is_tcp;
    bool is_listening;
    uint64_t accept_again; /* monotonic nanoseconds; 0 = no pause */
    struct fastcgi_connection *all;
    struct fastcgi_connection *free;
    int free_count;
    struct fastcgi_connection *_Atomic returned;
    atomic_int open_count;
    atomic_size_t body_bytes;
    atomic_bool is_stopping;
    atomic_bool wants_to_know; /* wake the event thread when a connection closes */
    uint64_t stopping_since;
    uint64_t next_tick;
    struct loop_lag lag;
    int queued; /* requests that no worker has been woken for */
    struct worker_task background;
    atomic_bool background_runs;
    struct worker_task reload;
    atomic_uint reloads_wanted; /* 0: the task is free */
    void (*stopping)(void *context);
    void *context;
    char input[64 << 10];
};

/* Serves until SIGTERM or SIGINT, then until every request and stream has ended. `stopping` is
 * called once, on this thread, to make streams end; `ended` is called in any case, last, to stop the
 * workers and the pump: what has closed the last connection may still be on its way out of here, and
 * only then nothing is in use any more. All signals must be blocked already. Returns the exit
 * status; after 30 s of stopping it leaves the process. */
int fastcgi_serve(const struct transport_options *options, struct workers *workers, int listener,
                  void (*stopping)(void *context), void (*ended)(void *context), void *context);

/* --- Connections (transport/fastcgi_connection.c), on the event thread ------------------------- */

/* Takes the descriptor over and reads what is there. */
void fastcgi_connection_open(struct fastcgi_server *server, int descriptor);

/* epoll has fired. */
void fastcgi_connection_ready(struct fastcgi_connection *connection);

/* Looks at the deadline. */
void fastcgi_connection_check(struct fastcgi_connection *connection, uint64_t now);

/* Moves what other threads have closed to the free list and goes on with what they have returned.
 */
void fastcgi_connections_collect(struct fastcgi_server *server);

/* Frees all; no connection may be open. */
void fastcgi_connections_release(struct fastcgi_server *server);

/* Wakes a worker for the requests that were queued. */
void fastcgi_wake_workers(struct fastcgi_server *server);

/* From any thread. */
void fastcgi_server_wake(struct fastcgi_server *server);

#endif
