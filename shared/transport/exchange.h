/*
 * transport/exchange: one request and its answer, whatever carries it.
 *
 * FastCGI, CGI and the in-memory test transport all make exchanges; everything above sees only
 * this. A request comes in two phases: `admit` decides from its parameters (CGI/1.1 variables of
 * RFC 3875) whether its body is wanted at all, `handle` has the whole body. A small body that comes
 * together with the parameters costs no second turn: both run in one. A larger one is read only
 * after it was admitted and room for all of it was set aside, so that what was admitted can finish.
 * The answer is CGI text: header lines, an empty line, the body.
 *
 * An exchange has one owner at a time: the transport, then the worker that runs the handler, then
 * the transport again (exchange_complete) or a stream of the pump (pump_adopt).
 */
#ifndef TRANSPORT_EXCHANGE_H
#define TRANSPORT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/context.h"
#include "base/status.h"
#include "base/text.h"

struct exchange_parameter {
    struct slice name;
    struct slice value; /* followed by a NUL in memory */
};

struct exchange_operations;

/* What a request may wait for. */
enum exchange_work {
    EXCHANGE_QUICK,  /* for little */
    EXCHANGE_WAITING /* for the database's write lock, a password's hash: its share of the workers
                        is bounded */
};

/* Values of body_declared that are no length. */
#define EXCHANGE_LENGTH_UNKNOWN (-1) /* no CONTENT_LENGTH */
#define EXCHANGE_LENGTH_INVALID (-2) /* one that is no number */

struct exchange {
    struct arena arena; /* memory of this request; everything in it dies with the exchange */
    const struct exchange_parameter *parameters;
    size_t parameter_count;
    int64_t body_declared;        /* CONTENT_LENGTH */
    size_t body_maximum;          /* set by `plan` */
    enum exchange_work work;      /* set by `plan` */
    uint64_t owner;               /* set by `admit`: who pays; 0: nobody that is known */
    struct slice body;            /* followed by a NUL in memory */
    bool body_differs;            /* fewer or more bytes came than CONTENT_LENGTH says */
    bool body_too_large;          /* more came than body_maximum; body is empty then */
    uint64_t started_nanoseconds; /* monotonic; when this request began */
    struct buffer output;         /* the answer; write with exchange_write */
    size_t output_sent;           /* bytes at the front of output that are sent already */
    void *state;                  /* of the layer above, in the arena */
    struct context origin;        /* made by `admit`; the handlers after it run in it */
    const struct exchange_operations *operations;
};

/* What a transport provides. Only transports and the pump use this. */
struct exchange_operations {
    /* Sends what output holds without blocking. STATUS_OK: all sent; STATUS_BUSY: wait until
     * exchange_descriptor is writable; STATUS_CLOSED: the peer has gone. */
    enum status (*flush)(struct exchange *exchange);
    /* The answer is complete: send the rest, end the request, free the exchange. Never blocks the
     * caller; may be called from any thread that owns the exchange. */
    void (*complete)(struct exchange *exchange);
    /* The answer cannot be completed (the client has gone or is too slow): end the request
     * without sending the rest and free the exchange. Otherwise like complete. */
    void (*abandon)(struct exchange *exchange);
    /* For epoll; -1 when there is nothing to wait for (test transport, regular file). */
    int (*descriptor)(const struct exchange *exchange);
    /* False where readable input and a half-closed descriptor say nothing about the client (CGI):
     * then only errors and hang-ups are watched. */
    bool input_tells_leave;
    /* Called when the descriptor is readable while a stream is running: true when the client has
     * gone or aborted the request. */
    bool (*peer_has_gone)(struct exchange *exchange);
};

/* The value, or the empty slice; absent and empty are the same (RFC 3875 section 4.1). */
struct slice exchange_parameter(const struct exchange *exchange, const char *name);

/* Appends to the answer. STATUS_TOO_LARGE when more than EXCHANGE_OUTPUT_MAXIMUM is waiting. */
enum status exchange_write(struct exchange *exchange, struct slice bytes);

/* See exchange_operations.complete. The exchange must not be touched afterwards. */
void exchange_complete(struct exchange *exchange);

#define EXCHANGE_OUTPUT_MAXIMUM     (256u << 20)
#define EXCHANGE_ARENA_MAXIMUM      (256u << 20)
#define EXCHANGE_PARAMETERS_MAXIMUM (64u << 10) /* bytes of all names, values and their lengths */

/* Bytes of the answer that wait to be sent. */
static inline size_t exchange_waiting(const struct exchange *exchange)
{
    return exchange->output.length - exchange->output_sent;
}

/* What the layer above provides to any transport. None may be NULL. */
struct exchange_handlers {
    /* The parameters are there: sets body_maximum and work. On the event thread; must not block. */
    void (*plan)(struct exchange *exchange, void *context);
    /* Every check that needs no body, on a worker. False: it has answered (exchange_complete). */
    bool (*admit)(struct exchange *exchange, void *context);
    /* Answers the request, on a worker; ends with exchange_complete or pump_adopt. */
    void (*handle)(struct exchange *exchange, void *context);
    /* The transport itself cannot go on, before or after `admit`: answers with that status, 400
     * (malformed), 408 (did not come in time), 431 (parameters too large) or 503 (no room, no
     * memory, the queue is full). On any thread; must not block. The parameters may be incomplete. */
    void (*refuse)(struct exchange *exchange, int status, void *context);
    /* The client left before its request was there, after `plan`: nothing can be answered, and the
     * exchange ends when this returns. Must not block. */
    void (*dropped)(struct exchange *exchange, void *context);
    void *context;
};

#endif
