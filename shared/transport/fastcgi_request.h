/*
 * transport/fastcgi_request: what a FastCGI peer sends, put together to one request at a time.
 *
 * Pure: bytes in (any split), state out; what has to be said to the peer is appended to `replies`.
 * Everything a peer can make grow is bounded, and no input is an error of the program:
 *
 * - Parameters beyond EXCHANGE_PARAMETERS_MAXIMUM, malformed ones and spent memory set `refusal`;
 *   the rest of the request is then read and thrown away, so that the answer reaches a peer that
 *   is still sending. A body beyond its limit sets `body_too_large`, one beyond its declared length
 *   `body_differs`, in the same way. After FASTCGI_DISCARD_MAXIMUM thrown away the request counts
 *   as complete without its end.
 * - No more of a body is taken in than there is room for: then its owner is asked for more.
 * - One request at a time: a second BEGIN_REQUEST while one is read or answered is refused with
 *   FCGI_CANT_MPX_CONN, roles other than responder with FCGI_UNKNOWN_ROLE.
 * - Records of requests that are over are skipped. What cannot come from a FastCGI peer is
 *   FASTCGI_BROKEN.
 */
#ifndef TRANSPORT_FASTCGI_REQUEST_H
#define TRANSPORT_FASTCGI_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/text.h"
#include "transport/body.h"
#include "transport/exchange.h"
#include "transport/fastcgi_record.h"

#define FASTCGI_DISCARD_MAXIMUM    (64u << 20)
#define FASTCGI_REPLIES_MAXIMUM    4096
#define FASTCGI_MANAGEMENT_MAXIMUM 1024 /* content of a FCGI_GET_VALUES record */

enum fastcgi_progress {
    FASTCGI_NEEDS_MORE,     /* all input is used up */
    FASTCGI_BEGUN,          /* a request: its clock starts; feed on */
    FASTCGI_HAS_PARAMETERS, /* call fastcgi_request_parse, set body_limit, body_room and
                               body_declared, then feed on */
    FASTCGI_NEEDS_ROOM,     /* body_room is used up: set more, then feed on what is left */
    FASTCGI_COMPLETE,       /* answer it; call fastcgi_request_next before feeding on */
    FASTCGI_ENDED,          /* aborted or refused: it wants no answer but `replies`, and the
                               connection is closed unless keep_connection. While a request is
                               being answered: its client has gone. */
    FASTCGI_BROKEN          /* close the connection */
};

enum fastcgi_phase {
    FASTCGI_IDLE,
    FASTCGI_READING_PARAMETERS,
    FASTCGI_READING_BODY,
    FASTCGI_ANSWERING
};

struct fastcgi_request {
    uint16_t id;
    bool keep_connection;
    bool input_ended; /* the end of STDIN was seen */
    bool was_aborted; /* while it was answered */
    bool body_too_large;
    bool body_differs;
    int refusal; /* 0, or the HTTP status to answer without a handler */
    enum fastcgi_phase phase;
    struct buffer parameters; /* as received */
    struct body body;
    struct buffer replies; /* whole records; the owner sends and consumes them */
    size_t body_limit;     /* 0 until it is set */
    size_t body_room;      /* may be taken in */
    int64_t body_declared; /* < 0: unknown */
    unsigned connections;  /* what FCGI_GET_VALUES is told, for connections and for requests */

    /* The record being read. */
    unsigned char header_bytes[FASTCGI_HEADER_SIZE];
    size_t header_length;
    struct fastcgi_header header;
    size_t content_left;
    size_t padding_left;
    int sink;
    unsigned char begin[8];
    struct buffer management;
    size_t discarded;
};

/* Takes no memory. */
void fastcgi_request_init(struct fastcgi_request *request, unsigned connections);

/* Reads from the front of `*input` until something happens. After FASTCGI_COMPLETE it may be fed
 * on while the request is answered: then only FASTCGI_ENDED, _NEEDS_MORE and _BROKEN come. */
enum fastcgi_progress fastcgi_request_feed(struct fastcgi_request *request, struct slice *input);

/* After FASTCGI_HAS_PARAMETERS: makes the array, in the arena, of slices that point into
 * `parameters` (each value followed by a NUL). Call once. On failure, or after an earlier refusal,
 * `refusal` is set and the array holds what was whole before the fault, so that the refusal can say
 * what it refuses. */
void fastcgi_request_parse(struct fastcgi_request *request, struct arena *arena,
                           const struct exchange_parameter **parameters, size_t *count);

/* The request is over, the connection stays: forgets all but the place in the record stream. */
void fastcgi_request_next(struct fastcgi_request *request);

/* For another connection: forgets everything, keeps memory of ordinary size. */
void fastcgi_request_reset(struct fastcgi_request *request);

/* Frees. Idempotent. */
void fastcgi_request_release(struct fastcgi_request *request);

/* True when not a byte of a next request has come. */
bool fastcgi_request_is_idle(const struct fastcgi_request *request);

#endif
