/*
 * cgi: RFC 3875 without a process for each word of it.
 *
 * Standard output may be a pipe, a socket or a file, and its flags may be shared with whoever
 * started us, so it is not made non-blocking. What must not block asks poll first: a pipe that
 * polls writable takes PIPE_BUF bytes, a socket is written with MSG_DONTWAIT, a file never blocks.
 */
#include "transport/cgi.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/body.h"
#include "transport/exchange_setup.h"
#include "transport/fastcgi.h"
#include "transport/pump_private.h"

#define MILLISECOND UINT64_C(1000000)

/* Without a byte of a body that is not wanted. */
#define DRAIN_MILLISECONDS 1000

struct cgi {
    struct exchange exchange; /* first */
    const struct transport_options *options;
    int output;
    bool is_file;
    bool is_socket;
};

/* --- Writing --------------------------------------------------------------------------------- */

static bool is_ready(int descriptor, short events, int milliseconds)
{
    struct pollfd question = {.fd = descriptor, .events = events};
    int count;
    do {
        count = poll(&question, 1, milliseconds);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

/* Like write(2), but EAGAIN instead of waiting. */
static ssize_t write_some(const struct cgi *cgi, const char *bytes, size_t length)
{
    if (cgi->is_file) {
        return write(cgi->output, bytes, length);
    }
    if (cgi->is_socket) {
        return send(cgi->output, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (!is_ready(cgi->output, POLLOUT, 0)) {
        errno = EAGAIN;
        return -1;
    }
    return write(cgi->output, bytes, length < PIPE_BUF ? length : PIPE_BUF);
}

static enum status flush(struct exchange *exchange)
{
    struct cgi *cgi = (struct cgi *)exchange;
    while (exchange_waiting(exchange) > 0) {
        ssize_t written = write_some(cgi, exchange->output.data + exchange->output_sent,
                                     exchange_waiting(exchange));
        if (written > 0) {
            exchange_mark_sent(exchange, (size_t)written);
        } else if (written < 0 && errno == EAGAIN) {
            return STATUS_BUSY;
        } else if (written < 0 && errno != EINTR) {
            return STATUS_CLOSED;
        }
    }
    return STATUS_OK;
}

static void complete(struct exchange *exchange)
{
    struct cgi *cgi = (struct cgi *)exchange;
    int timeout = (int)(cgi->options->write_timeout_seconds * 1000);
    while (flush(exchange) == STATUS_BUSY && is_ready(cgi->output, POLLOUT, timeout)) {
    }
}

static void abandon(struct exchange *exchange)
{
    (void)exchange;
}

static int descriptor_of(const struct exchange *exchange)
{
    const struct cgi *cgi = (const struct cgi *)exchange;
    return cgi->is_file ? -1 : cgi->output;
}

static bool peer_has_gone(struct exchange *exchange)
{
    const struct cgi *cgi = (const struct cgi *)exchange;
    struct pollfd question = {.fd = cgi->output};
    return !cgi->is_file && poll(&question, 1, 0) > 0;
}

static const struct exchange_operations operations = {
    .flush = flush,
    .complete = complete,
    .abandon = abandon,
    .descriptor = descriptor_of,
    .input_tells_leave = false, /* servers half-close the socket they share with us */
    .peer_has_gone = peer_has_gone,
};

/* --- Reading --------------------------------------------------------------------------------- */

static bool may_have_undeclared_body(const struct exchange *exchange)
{
    struct slice method = exchange_parameter(exchange, "REQUEST_METHOD");
    return !slice_equals(method, "GET") && !slice_equals(method, "HEAD") &&
           !slice_equals(method, "OPTIONS") && method.length > 0;
}

/* A body that is not known to be small goes where large ones go. Returns 0 or the status to refuse
 * with. */
static int prepare_body(const struct cgi *cgi, struct body *body)
{
    const struct exchange *exchange = &cgi->exchange;
    size_t size =
        exchange->body_declared >= 0 ? (size_t)exchange->body_declared : exchange->body_maximum;
    if (size <= BODY_MEMORY_MAXIMUM) {
        return 0;
    }
    return cgi->options->body_directory != NULL &&
                   body_use_file(body, cgi->options->body_directory, size) == STATUS_OK
               ? 0
               : 503;
}

/* Reads the body into `body`; what exceeds its maximum is read too, up to a point, so that a server
 * that is still writing gets to the answer. Returns 0 or the status to refuse with. */
static int read_body(struct cgi *cgi, int input, struct body *body, bool *is_too_large)
{
    const struct exchange *exchange = &cgi->exchange;
    size_t limit = exchange->body_maximum;
    uint64_t left = exchange->body_declared >= 0
                        ? (uint64_t)exchange->body_declared
                        : (may_have_undeclared_body(exchange) ? UINT64_MAX : 0);
    uint64_t begun = clock_monotonic_nanoseconds();
    uint64_t discarded = 0;
    char bytes[16384];
    while (left > 0 && discarded <= FASTCGI_DISCARD_MAXIMUM) {
        uint64_t now = clock_monotonic_nanoseconds();
        uint64_t deadline = begun + (cgi->options->request_timeout_seconds +
                                     body->length / FASTCGI_BODY_BYTES_PER_SECOND) *
                                        UINT64_C(1000) * MILLISECOND;
        if (now >= deadline ||
            !is_ready(input, POLLIN, (int)((deadline - now) / MILLISECOND) + 1)) {
            return *is_too_large ? 0 : 408;
        }
        ssize_t length = read(input, bytes, left < sizeof(bytes) ? (size_t)left : sizeof(bytes));
        if (length < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (length <= 0) {
            return 0;
        }
        left -= (uint64_t)length;
        if (!*is_too_large && (size_t)length > limit - body->length) {
            *is_too_large = true;
        }
        if (*is_too_large) {
            discarded += (uint64_t)length;
        } else if (body_append(body, (struct slice){bytes, (size_t)length}) != STATUS_OK) {
            return 503;
        }
    }
    return 0;
}

/* The answer is written. What the server still sends is read, so that it does not meet a broken pipe
 * and think that we have died. */
static void drain(int input)
{
    char bytes[16384];
    for (size_t discarded = 0; discarded <= FASTCGI_DISCARD_MAXIMUM;) {
        if (!is_ready(input, POLLIN, DRAIN_MILLISECONDS)) {
            return;
        }
        ssize_t length = read(input, bytes, sizeof(bytes));
        if (length <= 0 && !(length < 0 && errno == EINTR)) {
            return;
        }
        discarded += length > 0 ? (size_t)length : 0;
    }
}

static void serve(struct cgi *cgi, int input, struct body *body, struct pump *const *pump)
{
    struct exchange *exchange = &cgi->exchange;
    const struct exchange_handlers *handlers = &cgi->options->handlers;
    bool is_too_large = false;
    if (!exchange_admit(exchange, handlers)) {
        if (exchange->body_declared > 0 || may_have_undeclared_body(exchange)) {
            drain(input);
        }
        return;
    }
    struct slice content = {.data = "", .length = 0};
    int refusal = prepare_body(cgi, body);
    if (refusal == 0) {
        refusal = read_body(cgi, input, body, &is_too_large);
    }
    if (refusal == 0 && body_finish(body, &content) != STATUS_OK) {
        refusal = 503;
    }
    if (refusal != 0) {
        exchange_refuse(exchange, handlers, refusal);
        drain(input);
        return;
    }
    exchange_set_body(exchange, content, is_too_large);
    exchange_handle(exchange, handlers);
    if (*pump != NULL) {
        pump_run(*pump);
    }
}

int cgi_serve(const struct transport_options *options, const char *const *environment, int input,
              int output, struct pump *const *pump)
{
    struct cgi cgi = {.options = options, .output = output};
    struct exchange *exchange = &cgi.exchange;
    const struct exchange_handlers *handlers = &options->handlers;
    struct stat status;
    if (fstat(output, &status) != 0) {
        return 1;
    }
    cgi.is_file = !S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode);
    cgi.is_socket = S_ISSOCK(status.st_mode);
    struct body body;
    body_init(&body);
    exchange_init(exchange, &operations);
    exchange_reset(exchange);
    exchange->started_nanoseconds = clock_monotonic_nanoseconds();
    if (exchange_set_environment(exchange, environment) == STATUS_OK) {
        exchange_plan(exchange, handlers);
        serve(&cgi, input, &body, pump);
    } else {
        exchange_refuse(exchange, handlers, 503);
    }
    exchange_release(exchange);
    body_reset(&body, 0);
    return 0;
}
