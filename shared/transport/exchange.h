/*
 * transport/exchange: one request and its answer, whatever carries it.
 *
 * FastCGI, CGI and the in-memory test transport all make exchanges; everything above sees only
 * this. The request (CGI/1.1 variables of RFC 3875 and the whole body) is complete before the
 * handler runs. The answer is CGI text: header lines, an empty line, the body.
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
#include "base/status.h"
#include "base/text.h"

struct exchange_parameter {
    struct slice name;
    struct slice value; /* followed by a NUL in memory */
};

struct exchange_operations;

struct exchange {
    struct arena arena; /* memory of this request; everything in it dies with the exchange */
    const struct exchange_parameter *parameters;
    size_t parameter_count;
    struct slice body;
    bool body_truncated;          /* STDIN ended before CONTENT_LENGTH bytes came */
    bool body_too_large;          /* more came than the limit; body is empty then */
    uint64_t started_nanoseconds; /* monotonic; when the first byte of it arrived */
    struct buffer output;         /* the answer; write with exchange_write */
    size_t output_sent;           /* bytes at the front of output that are sent already */
    void *state;                  /* of the layer above, in the arena */
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
    /* Parameters are there, the body is not: the most bytes of body to accept. Runs on the event
     * thread; must not block. */
    size_t (*body_limit)(struct exchange *exchange, void *context);
    /* Answers the request, on a worker thread; ends with exchange_complete or pump_adopt. */
    void (*handle)(struct exchange *exchange, void *context);
    /* The queue is full or the program stops: answer 503 at once, on the event thread. */
    void (*overloaded)(struct exchange *exchange, void *context);
    void *context;
};

#endif
