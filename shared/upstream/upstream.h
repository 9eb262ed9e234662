/*
 * upstream: HTTP(S) requests to others. The only place that includes curl.h.
 *
 * Two ways in: upstream_start on an event loop (curl_multi, HTTP/2, connections kept and shared;
 * for streams) and upstream_fetch that blocks the calling thread for a bounded time (probes, small
 * control calls). Proxies come only from the given options, never from the environment (HTTP_PROXY
 * is client-controlled under CGI). TLS verifies against a directory or a file of authorities.
 * Redirects are not followed. An answer with a Content-Encoding, which is never asked for, is told
 * decoded.
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

struct upstream_request {
    const char *method;         /* "GET", "POST", … */
    const char *url;            /* http, https; for probes also an http URL over `unix_socket` */
    const char *unix_socket;    /* NULL = TCP */
    const char *const *headers; /* "Name: value" lines, NULL-terminated; NULL = none */
    struct slice body;          /* like unix_socket, must live until the call is done */
    unsigned connect_timeout_milliseconds;    /* 0 = 5000 */
    unsigned first_byte_timeout_milliseconds; /* until the status line; 0 = 60000 */
    unsigned idle_timeout_milliseconds;       /* between bytes; 0 = 60000 */
    unsigned total_timeout_milliseconds;      /* 0 = 600000 */
    size_t response_maximum;                  /* bytes of body; 0 = unlimited for upstream_start */
};

/* How a call ended, apart from its status code. */
enum upstream_result {
    UPSTREAM_COMPLETE,    /* whole answer as framed by HTTP */
    UPSTREAM_UNREACHABLE, /* resolve, connect or TLS failed: nothing was sent */
    UPSTREAM_TIMEOUT,     /* one of the four deadlines */
    UPSTREAM_BROKEN,      /* connection lost, protocol error, truncated body */
    UPSTREAM_TOO_LARGE,
    UPSTREAM_CANCELLED,
    UPSTREAM_OVERLOADED /* no memory or descriptor of ours to go on with */
};
const char *upstream_result_text(enum upstream_result result);

/* What a `ca_path`, as below, is. A directory holds certificates under their hashes
 * (openssl-rehash(1)), a file holds them one after the other. */
enum upstream_authorities {
    UPSTREAM_AUTHORITIES_UNUSABLE, /* absent, unreadable or empty */
    UPSTREAM_AUTHORITIES_DIRECTORY,
    UPSTREAM_AUTHORITIES_FILE
};
enum upstream_authorities upstream_authorities(const char *ca_path);

/* --- On an event loop ---------------------------------------------------------------------------- */

/* What the loop provides (transport/pump does); all called on its thread. */
struct upstream_loop {
    enum status (*watch)(void *loop, int descriptor, bool read, bool write,
                         void (*ready)(int descriptor, bool readable, bool writable, void *context),
                         void *context);
    void (*unwatch)(void *loop, int descriptor);
    enum status (*set_timer)(void *loop, int64_t milliseconds, void (*expired)(void *context),
                             void *context); /* < 0 cancels */
    bool (*turn_is_long)(void *loop);        /* others wait: it should not take on more */
    void *loop;
};

struct upstream;
struct upstream_call;

/* STATUS_UNAVAILABLE: libcurl is missing. */
enum status upstream_create(struct upstream **out, const struct upstream_loop *loop,
                            const char *ca_path) MUST_CHECK;
/* Cancels all calls. */
void upstream_release(struct upstream *upstream);

struct upstream_handlers {
    /* Status line and headers are there. */
    void (*answered)(struct upstream_call *call, int status_code, void *context);
    void (*data)(struct upstream_call *call, struct slice bytes, void *context);
    /* The last call; `call` dies when it returns. Not called after upstream_cancel. */
    void (*done)(struct upstream_call *call, enum upstream_result result, void *context);
};

/* Loop thread only, as all below. Handlers are never called from within upstream_start, _pause or
 * _cancel. All may be called from handlers, of this call or of others. Deadlines count from here,
 * also while the call waits for its turn to connect. STATUS_INVALID for a request with line breaks
 * where none may be; a URL that cannot be used is told by `done`. */
enum status upstream_start(struct upstream *upstream, const struct upstream_request *request,
                           const struct upstream_handlers *handlers, void *context,
                           struct upstream_call **out) MUST_CHECK;
/* No `data` until it goes on; idle time does not count meanwhile. HTTP/1 then stops the sender. With
 * HTTP/2, whose windows libcurl 7.88 makes 32 MB wide, what is sent before it notices is held in
 * memory. */
void upstream_pause(struct upstream_call *call, bool paused);
/* Ends it at once; the connection of an HTTP/1 call is closed. May be called from a handler. */
void upstream_cancel(struct upstream_call *call);
/* Whether the other side may have seen the request, and so whether it may cost money: there was a
 * connection when the request's turn came. To be asked in `done` or before upstream_cancel. */
bool upstream_has_sent(const struct upstream_call *call);

#define UPSTREAM_RETRY_AFTER_MAXIMUM 86400000 /* milliseconds: a day */

/* Milliseconds that the answer asks to wait: `retry-after-ms`, else `Retry-After` in seconds or as
 * a date (RFC 9110 section 10.2.3), at most the maximum. 0: it did not say, or nonsense, or the
 * time has come. */
int64_t upstream_retry_after(const struct upstream_call *call);

/* --- Blocking -------------------------------------------------------------------------------------- */

struct upstream_answer {
    enum upstream_result result;
    int status_code; /* 0 when there was none */
    struct slice body;
    uint64_t nanoseconds;
};

/* Blocks at most total_timeout_milliseconds; body and texts in the arena; response_maximum 0 =
 * 1 MiB. STATUS_OK when there is an answer to look at (also result != UPSTREAM_COMPLETE): the body
 * is then what had come, of one that is too large its first response_maximum bytes.
 * STATUS_UNAVAILABLE: libcurl is missing. */
enum status upstream_fetch(const struct upstream_request *request, const char *ca_path,
                           struct arena *arena, struct upstream_answer *answer) MUST_CHECK;

#endif
