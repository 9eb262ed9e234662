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
 * A request whose body is small is complete when it is queued, and its worker decides and answers
 * in one turn. One with a larger body is queued when its parameters are there; if the worker admits
 * it, room for all of its body is claimed (transport/body_room) and it comes back to be read on.
 * What goes to a file is read and written by workers, for a disk may block.
 *
 * What belongs to a request (its clock, its deadline, what it has claimed) is set when the request
 * begins and undone when it ends, never when the connection does: see end_request.
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

#include "transport/body_room.h"
#include "transport/exchange.h"
#include "transport/fastcgi_request.h"
#include "transport/loop_lag.h"
#include "transport/transport.h"
#include "transport/workers.h"

/* Bodies of up to so many bytes are taken in before anything is decided, as long as all of them
 * together are below the second number. */
#define FASTCGI_SMALL_BODY   ((size_t)64 << 10)
#define FASTCGI_SMALL_BODIES ((size_t)16 << 20)

/* A body that comes more slowly than this, after the time any request has, is given up. */
#define FASTCGI_BODY_BYTES_PER_SECOND 8192

enum fastcgi_state {
    FASTCGI_CLOSED,   /* no descriptor; in the free list or on its way there */
    FASTCGI_HELD,     /* the event thread, a worker or the pump has it */
    FASTCGI_RETURNED, /* on its way to the event thread, with input left to parse */
    FASTCGI_READING,  /* armed: a request that is not complete */
    FASTCGI_KEPT,     /* armed: between requests */
    FASTCGI_WRITING,  /* armed: the rest of an answer */
    FASTCGI_LINGERING /* armed: answered; reads until the peer closes, so that closing does not
                         destroy what the peer has not read yet */
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
    uint64_t deadline; /* monotonic nanoseconds; of armed states */
    uint64_t linger_end;
    uint64_t body_begun; /* when the present part of the request began to be waited for */
    uint64_t queued_at;
    struct worker_task work; /* its place in a queue of the workers */
    struct fastcgi_request request;
    struct fastcgi_framer framer;
    struct buffer leftover; /* input that was read and not parsed yet */
    bool is_whole;          /* the answer is complete */
    bool awaits_body;       /* planned, and in nobody's hands above the transport */
    bool is_admitted;
    size_t body_counted; /* part of server->small_bytes */
    struct body_claim claim;
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
    atomic_size_t small_bytes; /* of bodies that were not admitted */
    struct body_room room;
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

/* --- Reading (transport/fastcgi_reading.c), by whoever holds the connection --------------------- */

/* Reads what is there, or has a worker do it. */
void fastcgi_read(struct fastcgi_connection *connection);

/* Goes on with leftover input, on the event thread. */
void fastcgi_read_on(struct fastcgi_connection *connection);

/* The request did not arrive in time, on the event thread. */
void fastcgi_give_up_reading(struct fastcgi_connection *connection);

/* --- Parts of a connection that reading needs (transport/fastcgi_connection.c) ------------------ */

void fastcgi_set_state(struct fastcgi_connection *connection, enum fastcgi_state state);
void fastcgi_arm(struct fastcgi_connection *connection, enum fastcgi_state state, uint32_t events);

/* Gives it to the event thread, to read on. */
void fastcgi_return(struct fastcgi_connection *connection);
void fastcgi_close(struct fastcgi_connection *connection);
enum status fastcgi_send_replies(struct fastcgi_connection *connection) MUST_CHECK;

/* Forgets the request; the exchange is free for the next one. */
void fastcgi_end_request(struct fastcgi_connection *connection);

/* Wakes a worker for the requests that were queued. */
void fastcgi_wake_workers(struct fastcgi_server *server);

/* From any thread. */
void fastcgi_server_wake(struct fastcgi_server *server);

#endif
