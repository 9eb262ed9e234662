/*
 * fastcgi_connection: the life of one connection, from accept to close.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "transport/exchange_setup.h"
#include "transport/fastcgi.h"

#define SECOND UINT64_C(1000000000)

/* Connections in the free list beyond this many give their buffers back: a burst must not pin its
 * memory for ever. */
#define FREE_WITH_MEMORY 256

/* How long a closed answer waits for the peer to close too: without a byte, and in all. */
#define LINGER_SECONDS         2
#define LINGER_SECONDS_MAXIMUM 30

/* While the program stops: for connections that have not begun a request. */
#define LAST_CALL_SECONDS 1

/* A stream that is idle does not hold a buffer larger than this. */
#define STREAM_OUTPUT_KEPT (8u << 10)

static const struct exchange_operations operations;

static struct fastcgi_connection *connection_of(struct exchange *exchange)
{
    return (struct fastcgi_connection *)exchange;
}

/* --- States -------------------------------------------------------------------------------------- */

void fastcgi_set_state(struct fastcgi_connection *connection, enum fastcgi_state state)
{
    pthread_mutex_lock(&connection->lock);
    connection->state = state;
    pthread_mutex_unlock(&connection->lock);
}

static void give_back(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    connection->next = atomic_load(&server->returned);
    while (!atomic_compare_exchange_weak(&server->returned, &connection->next, connection)) {
    }
}

void fastcgi_return(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    fastcgi_set_state(connection, FASTCGI_RETURNED);
    give_back(connection);
    fastcgi_server_wake(server);
}

void fastcgi_end_request(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    const struct exchange_handlers *handlers = &server->options->handlers;
    if (connection->awaits_body) {
        connection->awaits_body = false;
        exchange_drop(&connection->exchange, handlers);
    }
    exchange_reset(&connection->exchange);
    fastcgi_request_next(&connection->request);
    body_room_leave(&server->room, &connection->claim);
    connection->is_whole = false;
    connection->is_admitted = false;
    connection->linger_end = 0;
    connection->body_begun = 0;
    if (connection->body_counted > 0) {
        atomic_fetch_sub(&server->small_bytes, connection->body_counted);
        connection->body_counted = 0;
    }
}

/* Any thread that holds it. */
void fastcgi_close(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    int descriptor = connection->descriptor;
    connection->descriptor = -1;
    connection->is_in_epoll = false;
    fastcgi_end_request(connection);
    fastcgi_request_reset(&connection->request);
    buffer_release(&connection->leftover);
    fastcgi_set_state(connection, FASTCGI_CLOSED);
    close(descriptor);
    atomic_fetch_sub(&server->open_count, 1);
    give_back(connection);
    if (atomic_load(&server->wants_to_know)) {
        fastcgi_server_wake(server);
    }
}

/* Any thread that holds it; afterwards the event thread does. */
void fastcgi_arm(struct fastcgi_connection *connection, enum fastcgi_state state, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.ptr = connection};
    pthread_mutex_lock(&connection->lock);
    int operation = connection->is_in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    connection->is_in_epoll = true;
    connection->state = state;
    int error = epoll_ctl(connection->server->epoll, operation, connection->descriptor, &event);
    if (error != 0) {
        connection->state = FASTCGI_HELD;
    }
    pthread_mutex_unlock(&connection->lock);
    if (error != 0) {
        fastcgi_close(connection);
    }
}

static uint64_t in_seconds(unsigned seconds)
{
    return clock_monotonic_nanoseconds() + seconds * SECOND;
}

static void linger(struct fastcgi_connection *connection)
{
    shutdown(connection->descriptor, SHUT_WR);
    connection->deadline = in_seconds(LINGER_SECONDS);
    connection->linger_end = in_seconds(LINGER_SECONDS_MAXIMUM);
    fastcgi_arm(connection, FASTCGI_LINGERING, EPOLLIN);
}

/* --- Writing --------------------------------------------------------------------------------- */

/* STATUS_OK: all of it; STATUS_BUSY: part of it or nothing; STATUS_CLOSED. */
static enum status send_pieces(int descriptor, struct iovec *pieces, int count, size_t *sent)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += pieces[i].iov_len;
    }
    ssize_t result;
    do {
        result = sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    *sent = result > 0 ? (size_t)result : 0;
    if (result < 0 && errno != EAGAIN && errno != ENOBUFS) {
        return STATUS_CLOSED;
    }
    return *sent == total ? STATUS_OK : STATUS_BUSY;
}

enum status fastcgi_send_replies(struct fastcgi_connection *connection)
{
    struct buffer *replies = &connection->request.replies;
    if (replies->length == 0) {
        return STATUS_OK;
    }
    struct iovec piece = {.iov_base = replies->data, .iov_len = replies->length};
    size_t sent;
    enum status status = send_pieces(connection->descriptor, &piece, 1, &sent);
    buffer_consume(replies, sent);
    return status;
}

/* Sends what there is of the answer. */
static enum status write_output(struct fastcgi_connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    struct fastcgi_frames frames;
    enum status status = STATUS_OK;
    do {
        if (fastcgi_is_between_records(&connection->framer)) {
            status = fastcgi_send_replies(connection);
            if (status != STATUS_OK) {
                return status;
            }
        }
        struct slice text = {.data = exchange->output.data + exchange->output_sent,
                             .length = exchange_waiting(exchange)};
        fastcgi_frame(&connection->framer, text, connection->is_whole, &frames);
        if (frames.count == 0) {
            return STATUS_OK;
        }
        size_t sent;
        status = send_pieces(connection->descriptor, frames.pieces, frames.count, &sent);
        exchange_mark_sent(exchange, fastcgi_framed(&connection->framer, text.length, sent));
    } while (status == STATUS_OK && exchange_waiting(exchange) > 0);
    return status;
}

/* All of the answer is sent. */
static void answered(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    bool input_ended = connection->request.input_ended || connection->request.was_aborted;
    bool keep = connection->request.keep_connection && !atomic_load(&server->is_stopping);
    fastcgi_end_request(connection);
    connection->was_used = true;
    if (!input_ended) {
        linger(connection);
    } else if (!keep) {
        fastcgi_close(connection);
    } else if (connection->leftover.length > 0) {
        fastcgi_return(connection);
    } else {
        connection->deadline = in_seconds(server->options->idle_timeout_seconds);
        fastcgi_arm(connection, FASTCGI_KEPT, EPOLLIN);
    }
}

static void go_on_writing(struct fastcgi_connection *connection)
{
    enum status status = write_output(connection);
    if (status == STATUS_OK) {
        answered(connection);
    } else if (status == STATUS_BUSY) {
        connection->deadline = in_seconds(connection->server->options->write_timeout_seconds);
        fastcgi_arm(connection, FASTCGI_WRITING, EPOLLOUT);
    } else {
        fastcgi_close(connection);
    }
}

/* --- What the exchange's owner calls --------------------------------------------------------- */

static enum status flush(struct exchange *exchange)
{
    enum status status = write_output(connection_of(exchange));
    if (status == STATUS_OK && exchange->output.capacity > STREAM_OUTPUT_KEPT) {
        buffer_release(&exchange->output);
    }
    return status;
}

static void complete(struct exchange *exchange)
{
    struct fastcgi_connection *connection = connection_of(exchange);
    connection->is_whole = true;
    go_on_writing(connection);
}

/* A request that was aborted is still to be ended (specification, section 5.4), and its connection
 * serves on. In the midst of a record there is no way to end it. */
static void abandon(struct exchange *exchange)
{
    struct fastcgi_connection *connection = connection_of(exchange);
    if (connection->request.was_aborted && fastcgi_is_between_records(&connection->framer)) {
        exchange_mark_sent(exchange, exchange_waiting(exchange));
        complete(exchange);
    } else {
        fastcgi_close(connection);
    }
}

static int descriptor_of(const struct exchange *exchange)
{
    return ((const struct fastcgi_connection *)exchange)->descriptor;
}

/* True when the bytes say that the client has gone; what stands behind them is kept. */
static bool tells_leave(struct fastcgi_connection *connection, struct slice input)
{
    enum fastcgi_progress progress;
    do {
        progress = fastcgi_request_feed(&connection->request, &input);
    } while (progress == FASTCGI_NEEDS_MORE && input.length > 0);
    if (connection->request.was_aborted &&
        buffer_append(&connection->leftover, input.data, input.length) != STATUS_OK) {
        connection->request.keep_connection = false;
    }
    return progress != FASTCGI_NEEDS_MORE;
}

static bool peer_has_gone(struct exchange *exchange)
{
    struct fastcgi_connection *connection = connection_of(exchange);
    if (connection->request.was_aborted) {
        return true;
    }
    struct buffer leftover = connection->leftover;
    buffer_init(&connection->leftover, leftover.maximum);
    struct slice first = {.data = leftover.data, .length = leftover.length};
    bool has_gone = tells_leave(connection, first);
    buffer_release(&leftover);
    char input[2048];
    while (!has_gone) {
        ssize_t length = recv(connection->descriptor, input, sizeof(input), MSG_DONTWAIT);
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length < 0 && errno == EAGAIN) {
            break;
        }
        struct slice bytes = {.data = input, .length = length > 0 ? (size_t)length : 0};
        has_gone = length <= 0 || tells_leave(connection, bytes);
    }
    return has_gone;
}

static const struct exchange_operations operations = {
    .flush = flush,
    .complete = complete,
    .abandon = abandon,
    .descriptor = descriptor_of,
    .input_tells_leave = true,
    .peer_has_gone = peer_has_gone,
};

/* --- Lingering ------------------------------------------------------------------------------- */

static void read_to_nowhere(struct fastcgi_connection *connection)
{
    struct fastcgi_server *server = connection->server;
    ssize_t length = recv(connection->descriptor, server->input, sizeof(server->input), 0);
    if (length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR))) {
        uint64_t end = in_seconds(LINGER_SECONDS);
        connection->deadline = end < connection->linger_end ? end : connection->linger_end;
        fastcgi_arm(connection, FASTCGI_LINGERING, EPOLLIN);
    } else {
        fastcgi_close(connection);
    }
}

/* --- The event thread ---------------------------------------------------------------------------- */

static struct fastcgi_connection *take_free(struct fastcgi_server *server)
{
    struct fastcgi_connection *connection = server->free;
    if (connection != NULL) {
        server->free = connection->next;
        server->free_count--;
        return connection;
    }
    connection = memory_allocate(sizeof(*connection));
    if (connection == NULL) {
        return NULL;
    }
    exchange_init(&connection->exchange, &operations);
    fastcgi_request_init(&connection->request, (unsigned)server->options->connection_maximum);
    buffer_init(&connection->leftover, sizeof(server->input));
    pthread_mutex_init(&connection->lock, NULL);
    connection->server = server;
    connection->next_all = server->all;
    server->all = connection;
    return connection;
}

void fastcgi_connection_open(struct fastcgi_server *server, int descriptor)
{
    struct fastcgi_connection *connection = take_free(server);
    if (connection == NULL) {
        close(descriptor);
        return;
    }
    if (server->is_tcp) {
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    }
    atomic_fetch_add(&server->open_count, 1);
    connection->descriptor = descriptor;
    connection->was_used = false;
    connection->deadline = in_seconds(server->options->request_timeout_seconds);
    fastcgi_set_state(connection, FASTCGI_HELD);
    fastcgi_read(connection);
}

/* Takes an armed connection into the event thread's hand and returns what it was armed for. */
static enum fastcgi_state claim(struct fastcgi_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    enum fastcgi_state state = connection->state;
    if (state >= FASTCGI_READING) {
        connection->state = FASTCGI_HELD;
    }
    pthread_mutex_unlock(&connection->lock);
    return state;
}

void fastcgi_connection_ready(struct fastcgi_connection *connection)
{
    switch (claim(connection)) {
    case FASTCGI_READING:
    case FASTCGI_KEPT:
        fastcgi_read(connection);
        break;
    case FASTCGI_WRITING:
        go_on_writing(connection);
        break;
    case FASTCGI_LINGERING:
        read_to_nowhere(connection);
        break;
    default:
        break;
    }
}

void fastcgi_connection_check(struct fastcgi_connection *connection, uint64_t now)
{
    struct fastcgi_server *server = connection->server;
    bool is_stopping = atomic_load(&server->is_stopping);
    pthread_mutex_lock(&connection->lock);
    enum fastcgi_state state = connection->state;
    bool is_due = false;
    bool is_idle = false;
    if (state >= FASTCGI_READING) {
        is_idle = is_stopping &&
                  (state == FASTCGI_KEPT ||
                   (state == FASTCGI_READING && fastcgi_request_is_idle(&connection->request) &&
                    now > server->stopping_since + LAST_CALL_SECONDS * SECOND));
        is_due = is_idle || now > connection->deadline;
    }
    if (is_due) {
        connection->state = FASTCGI_HELD;
    }
    pthread_mutex_unlock(&connection->lock);
    if (!is_due) {
        return;
    }
    if (!is_idle && state == FASTCGI_READING) {
        fastcgi_give_up_reading(connection);
    } else {
        fastcgi_close(connection);
    }
}

void fastcgi_connections_collect(struct fastcgi_server *server)
{
    struct fastcgi_connection *connection = atomic_exchange(&server->returned, NULL);
    while (connection != NULL) {
        struct fastcgi_connection *next = connection->next;
        if (connection->state == FASTCGI_CLOSED) {
            if (server->free_count >= FREE_WITH_MEMORY) {
                exchange_release(&connection->exchange);
                fastcgi_request_release(&connection->request);
            }
            connection->next = server->free;
            server->free = connection;
            server->free_count++;
        } else {
            fastcgi_set_state(connection, FASTCGI_HELD);
            fastcgi_read_on(connection);
        }
        connection = next;
    }
}

void fastcgi_connections_release(struct fastcgi_server *server)
{
    struct fastcgi_connection *connection = server->all;
    while (connection != NULL) {
        struct fastcgi_connection *next = connection->next_all;
        exchange_release(&connection->exchange);
        fastcgi_request_release(&connection->request);
        buffer_release(&connection->leftover);
        pthread_mutex_destroy(&connection->lock);
        memory_release(connection);
        connection = next;
    }
    server->all = NULL;
    server->free = NULL;
}
