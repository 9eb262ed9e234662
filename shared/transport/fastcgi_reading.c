/*
 * fastcgi_reading: from the bytes of a connection to a request in a worker's hands.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "transport/exchange_setup.h"
#include "transport/fastcgi.h"

#define SECOND UINT64_C(1000000000)

/* Reads in a row from one connection before others have their turn. */
#define READS_IN_A_ROW 16

/* Requests that are read before a worker is woken for the first of them. */
#define QUEUED_IN_A_ROW 8

/* A request that has waited for a worker as long as this is told so instead of being served. */
#define QUEUE_SECONDS 10

/* After such a wait it is worth a system call to see whether its client is still there. */
#define WAIT_THAT_MAKES_LEAVE (SECOND / 4)

/* Of a worker that reads a body; its stack has 256 KB. */
#define WORKER_INPUT_SIZE (64u << 10)

static const struct exchange_handlers *handlers_of(const struct fastcgi_connection *connection)
{
    return &connection->server->options->handlers;
}

static bool is_on_disk(const struct fastcgi_connection *connection)
{
    return connection->request.body.file >= 0;
}

static void refuse(struct fastcgi_connection *connection, int status)
{
    const struct exchange_handlers *handlers = handlers_of(connection);
    connection->awaits_body = false;
    fastcgi_framer_start(&connection->framer, connection->request.id);
    exchange_refuse(&connection->exchange, handlers, status);
}

/* --- On a worker ----------------------------------------------------------------------------- */

/* True when nobody waits for the answer any more: then the connection is closed. */
static bool close_if_gone(struct fastcgi_connection *connection, uint64_t waited)
{
    char byte;
    if (waited < WAIT_THAT_MAKES_LEAVE ||
        recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
        return false;
    }
    connection->awaits_body = true; /* so that it is logged as dropped */
    fastcgi_close(connection);
    return true;
}

/* False when it has waited too long, and is answered or closed. */
static bool is_worth_running(struct fastcgi_connection *connection)
{
    uint64_t waited = clock_monotonic_nanoseconds() - connection->queued_at;
    if (close_if_gone(connection, waited)) {
        return false;
    }
    if (waited > QUEUE_SECONDS * SECOND && !connection->is_admitted) {
        refuse(connection, 503);
        return false;
    }
    return true;
}

static void run_request(void *context)
{
    struct fastcgi_connection *connection = context;
    struct exchange *exchange = &connection->exchange;
    const struct exchange_handlers *handlers = handlers_of(connection);
    struct slice body;
    if (!is_worth_running(connection) ||
        (!connection->is_admitted && !exchange_admit(exchange, handlers))) {
        return;
    }
    if (body_finish(&connection->request.body, &body) != STATUS_OK) {
        refuse(connection, 503);
        return;
    }
    exchange_set_body(exchange, body, connection->request.body_too_large);
    exchange->body_differs = exchange->body_differs || connection->request.body_differs;
    exchange_handle(exchange, handlers);
}

/* The body is large or may become so: decides whether it is wanted, and claims room for it. */
static void run_admission(void *context)
{
    struct fastcgi_connection *connection = context;
    struct fastcgi_request *request = &connection->request;
    struct exchange *exchange = &connection->exchange;
    const struct exchange_handlers *handlers = handlers_of(connection);
    if (!is_worth_running(connection) || !exchange_admit(exchange, handlers)) {
        return;
    }
    connection->is_admitted = true;
    size_t size =
        exchange->body_declared >= 0 ? (size_t)exchange->body_declared : exchange->body_maximum;
    if (body_room_claim(&connection->server->room, &connection->claim, exchange->owner, size,
                        &request->body) != STATUS_OK) {
        refuse(connection, 503);
        return;
    }
    request->body_room = request->body_limit;
    connection->body_begun = clock_monotonic_nanoseconds();
    connection->awaits_body = true;
    fastcgi_return(connection);
}

/* --- Into the queues ------------------------------------------------------------------------- */

static void queue(struct fastcgi_connection *connection, enum worker_kind kind,
                  void (*run)(void *context), bool on_event_thread)
{
    struct fastcgi_server *server = connection->server;
    connection->queued_at = clock_monotonic_nanoseconds();
    connection->work = (struct worker_task){.run = run, .context = connection};
    fastcgi_set_state(connection, FASTCGI_HELD);
    if (workers_request(server->workers, kind, &connection->work) != STATUS_OK) {
        if (!close_if_gone(connection, UINT64_MAX)) {
            refuse(connection, 503);
        }
    } else if (!on_event_thread) {
        workers_wake(server->workers);
    } else if (++server->queued >= QUEUED_IN_A_ROW) {
        fastcgi_wake_workers(server);
    }
}

/* The request is as complete as it will be. */
static void dispatch(struct fastcgi_connection *connection, bool on_event_thread)
{
    struct fastcgi_request *request = &connection->request;
    fastcgi_framer_start(&connection->framer, request->id);
    if (request->refusal != 0) {
        refuse(connection, request->refusal);
        return;
    }
    connection->awaits_body = false;
    enum worker_kind kind =
        connection->exchange.work == EXCHANGE_WAITING ? WORKER_WAITING : WORKER_QUICK;
    queue(connection, is_on_disk(connection) ? WORKER_HEAVY : kind, run_request, on_event_thread);
}

/* --- Input ----------------------------------------------------------------------------------- */

/* The parameters are complete, or as complete as they will be. */
static void prepare(struct fastcgi_connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    struct fastcgi_request *request = &connection->request;
    fastcgi_request_parse(request, &exchange->arena, &exchange->parameters,
                          &exchange->parameter_count);
    exchange_plan(exchange, handlers_of(connection));
    connection->awaits_body = true;
    request->body_limit = exchange->body_maximum;
    request->body_room = atomic_load(&connection->server->small_bytes) < FASTCGI_SMALL_BODIES
                             ? FASTCGI_SMALL_BODY
                             : 0;
    request->body_declared = exchange->body_declared;
}

/* True when the body must not be read before its request is admitted. */
static bool needs_admission(const struct fastcgi_connection *connection)
{
    const struct fastcgi_request *request = &connection->request;
    return request->refusal == 0 && request->body_declared > 0 &&
           (uint64_t)request->body_declared > request->body_room;
}

/* `rest` is read again when it is admitted. */
static void ask_for_admission(struct fastcgi_connection *connection, struct slice rest,
                              bool on_event_thread)
{
    fastcgi_framer_start(&connection->framer, connection->request.id);
    if (buffer_append(&connection->leftover, rest.data, rest.length) != STATUS_OK) {
        refuse(connection, 503);
        return;
    }
    connection->awaits_body = false;
    queue(connection, WORKER_QUICK, run_admission, on_event_thread);
}

static void count_body(struct fastcgi_connection *connection)
{
    size_t size = connection->is_admitted ? 0 : connection->request.body.memory.capacity;
    if (size != connection->body_counted) {
        atomic_fetch_add(&connection->server->small_bytes, size - connection->body_counted);
        connection->body_counted = size;
    }
}

/* Time for the whole of it, and more the more of its body has come. */
static void set_deadline(struct fastcgi_connection *connection)
{
    uint64_t seconds = connection->server->options->request_timeout_seconds +
                       connection->request.body.length / FASTCGI_BODY_BYTES_PER_SECOND;
    connection->deadline = connection->body_begun + seconds * SECOND;
}

/* Takes input in. True when the connection should be read further, false when it is in other
 * hands. */
static bool feed(struct fastcgi_connection *connection, struct slice input, bool on_event_thread)
{
    struct fastcgi_request *request = &connection->request;
    uint64_t now = clock_monotonic_nanoseconds();
    if (fastcgi_request_is_idle(request)) {
        connection->body_begun = now;
    }
    for (;;) {
        enum fastcgi_progress progress = fastcgi_request_feed(request, &input);
        count_body(connection);
        set_deadline(connection);
        /* A peer that asks questions and does not take the answers is not worth waiting for. */
        if (progress == FASTCGI_BROKEN || fastcgi_send_replies(connection) != STATUS_OK) {
            fastcgi_close(connection);
            return false;
        }
        switch (progress) {
        case FASTCGI_BEGUN:
            connection->exchange.started_nanoseconds = now;
            connection->body_begun = now;
            break;
        case FASTCGI_HAS_PARAMETERS:
            prepare(connection);
            if (!needs_admission(connection)) {
                break;
            }
            ask_for_admission(connection, input, on_event_thread);
            return false;
        case FASTCGI_NEEDS_ROOM:
            ask_for_admission(connection, input, on_event_thread);
            return false;
        case FASTCGI_COMPLETE:
            if (request->keep_connection &&
                buffer_append(&connection->leftover, input.data, input.length) != STATUS_OK) {
                request->keep_connection = false;
            }
            dispatch(connection, on_event_thread);
            return false;
        case FASTCGI_ENDED:
            if (!request->keep_connection) {
                fastcgi_close(connection);
                return false;
            }
            fastcgi_end_request(connection);
            connection->body_begun = now;
            break;
        default:
            return true;
        }
    }
}

static void wait_for_input(struct fastcgi_connection *connection)
{
    bool is_kept = connection->was_used && fastcgi_request_is_idle(&connection->request);
    fastcgi_arm(connection, is_kept ? FASTCGI_KEPT : FASTCGI_READING, EPOLLIN);
}

static void read_some(struct fastcgi_connection *connection, char *input, size_t size,
                      bool on_event_thread)
{
    for (int i = 0; i < READS_IN_A_ROW; i++) {
        ssize_t length = recv(connection->descriptor, input, size, MSG_DONTWAIT);
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length < 0 && errno == EAGAIN) {
            break;
        }
        if (length <= 0) {
            fastcgi_close(connection);
            return;
        }
        struct slice bytes = {.data = input, .length = (size_t)length};
        if (!feed(connection, bytes, on_event_thread)) {
            return;
        }
        if ((size_t)length < size) {
            break;
        }
    }
    wait_for_input(connection);
}

/* What was left over by an earlier owner, then what is there. */
static void read_on(struct fastcgi_connection *connection, char *input, size_t size,
                    bool on_event_thread)
{
    struct buffer leftover = connection->leftover;
    buffer_init(&connection->leftover, leftover.maximum);
    struct slice bytes = {.data = leftover.data, .length = leftover.length};
    if (bytes.length == 0 || feed(connection, bytes, on_event_thread)) {
        read_some(connection, input, size, on_event_thread);
    }
    buffer_release(&leftover);
}

static void run_spool(void *context)
{
    char input[WORKER_INPUT_SIZE];
    read_on(context, input, sizeof(input), false);
}

/* A disk may block, and the event thread must not. */
static void spool(struct fastcgi_connection *connection)
{
    queue(connection, WORKER_SPOOL, run_spool, true);
}

void fastcgi_read(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    if (is_on_disk(connection)) {
        spool(connection);
    } else {
        read_some(connection, server->input, sizeof(server->input), true);
    }
}

void fastcgi_read_on(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    if (is_on_disk(connection)) {
        spool(connection);
    } else {
        read_on(connection, server->input, sizeof(server->input), true);
    }
}

void fastcgi_give_up_reading(struct fastcgi_connection *connection)
{
    struct fastcgi_request *request = &connection->request;
    if (request->phase != FASTCGI_READING_BODY && request->phase != FASTCGI_READING_PARAMETERS) {
        fastcgi_close(connection);
        return;
    }
    if (request->refusal == 0 && !request->body_too_large && !request->body_differs) {
        request->refusal = 408;
    }
    if (request->phase == FASTCGI_READING_PARAMETERS) {
        prepare(connection);
    }
    request->phase = FASTCGI_ANSWERING;
    dispatch(connection, true);
}
