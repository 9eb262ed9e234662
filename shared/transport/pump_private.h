/*
 * transport/pump_private: how transports make and end a pump, and what pump.c and stream.c share.
 * Private to transport/.
 */
#ifndef TRANSPORT_PUMP_PRIVATE_H
#define TRANSPORT_PUMP_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"
#include "transport/loop_lag.h"
#include "transport/pump.h"
#include "transport/pump_timers.h"
#include "transport/workers.h"

#define PUMP_STREAMS_MAXIMUM 16384

/* --- For transports ---------------------------------------------------------------------------- */

struct pump_options {
    /* With workers pump_create starts the thread, and offloads run on the workers. Without (NULL):
     * no thread, call pump_run; offloads run there too. */
    struct workers *workers;
    const char *program;      /* names the thread */
    int stream_maximum;       /* 0 = PUMP_STREAMS_MAXIMUM */
    transport_turned *turned; /* NULL or as in transport_options, with `context` */
    void *context;
};

enum status pump_create(struct pump **out, const struct pump_options *options) MUST_CHECK;

/* Foreground: returns when no stream is left. */
void pump_run(struct pump *pump);

/* From any thread: no more streams; those there are told to end. */
void pump_shut_down(struct pump *pump);

/* Waits for the thread, which ends once it has been told to shut down and no stream is left; then
 * frees. In the foreground it just frees. NULL is allowed. */
void pump_release(struct pump *pump);

/* The foreground pump of the exchange that runs in this thread without a transport: set by the
 * loopback transport and by nobody else. */
extern _Thread_local struct pump *pump_of_loopback;

/* --- Between pump.c and stream.c --------------------------------------------------------------- */

/* What epoll points at. */
struct pump_source {
    int descriptor;
    struct stream *stream; /* of a client's descriptor; NULL: the rest is of pump_watch */
    pump_ready *ready;     /* NULL once it is not watched any more */
    void *context;
    struct context origin; /* of who has asked for it last */
    struct pump_source *next_retired;
};

/* What other threads put into the pump's inbox. */
struct pump_message {
    void (*receive)(struct pump *pump, struct pump_message *message);
    struct pump_message *next;
};

struct stream {
    struct pump *pump;
    struct exchange *exchange;
    const struct stream_handlers *handlers;
    void *context;
    struct context origin; /* of the caller of pump_adopt; the handlers run in it */
    struct pump_source source;
    struct pump_message message; /* start, or the end of an offload */
    struct pump_timer timer;     /* the earliest of the four below, or earlier */
    uint64_t user_deadline;      /* 0: none; likewise below */
    uint64_t heartbeat_deadline;
    uint64_t stall_deadline;    /* while output waits */
    uint64_t shutdown_deadline; /* for the rest of its output */
    size_t largest_write;       /* bytes, since no output waited */
    uint64_t heartbeat;         /* nanoseconds */
    struct worker_task task;    /* offload */
    void (*work)(void *context);
    void *work_context;
    bool is_watched;  /* in epoll */
    uint32_t watched; /* for these events */
    bool is_dirty;    /* in pump->dirty */
    bool is_lagging;
    bool is_lagging_told;
    bool has_gone;
    bool is_refused; /* the client has been given its last byte */
    bool has_gone_told;
    bool is_ending;
    bool is_offloading;
    bool is_shut_down_told;
    struct stream *next_dirty;
    struct stream *next;
    struct stream *previous;
};

#define PUMP_TIMER_BUCKETS 256

/* A timer of pump_set_timer. */
struct pump_named_timer {
    struct pump_timer timer; /* first */
    pump_expired *expired;
    void *context;
    struct context origin;         /* of who has set it last */
    struct pump_named_timer *next; /* in its bucket, or retired */
};

struct pump {
    int epoll;
    int wake; /* eventfd */
    bool has_thread;
    pthread_t thread;
    const char *program;
    struct workers *workers;
    uint64_t now;          /* of this turn */
    bool is_short_of_time; /* the descriptors have taken all of theirs */
    struct loop_lag lag;

    pthread_mutex_t lock; /* of the inbox, stream_count and is_refusing */
    struct pump_message *first_message;
    struct pump_message *last_message;
    int stream_count; /* adopted and not ended */
    int stream_maximum;
    bool is_refusing;

    bool is_shutting_down; /* the thread knows it */
    struct stream *streams;
    struct stream *dirty; /* something is to be done at the end of the turn */
    struct pump_timers stream_timers;
    struct pump_timers named_timers;
    struct pump_named_timer *buckets[PUMP_TIMER_BUCKETS];
    struct pump_source **sources; /* of pump_watch, by descriptor */
    size_t source_room;
    struct pump_source *retired; /* events of this turn may still point at them */
    void *attachment;
    void (*release_attachment)(void *object);
    struct pump_message shut_down;
};

/* From any thread. */
void pump_send(struct pump *pump, struct pump_message *message);

/* On the pump thread. */
void stream_ready(struct stream *stream, uint32_t events);
void stream_expired(struct stream *stream);
/* Flushes, tells the owner what has changed, and ends the stream when it is time. */
void stream_settle(struct stream *stream);
void stream_tell_shutdown(struct stream *stream);

#endif
