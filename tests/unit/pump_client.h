/*
 * A client of the pump for tests: an exchange over a socket pair, and handlers that count what they
 * are told. The handlers look at each call: none comes from within a call of their own.
 */
#ifndef TESTS_UNIT_PUMP_CLIENT_H
#define TESTS_UNIT_PUMP_CLIENT_H

#include "pump_help.h"

/* --- An exchange whose client is the other end of a socket pair ------------------------------ */

struct client {
    struct exchange exchange; /* first */
    int ours;
    int theirs;
    atomic_int completed;
    atomic_int abandoned;
    sem_t over;
    /* What handlers have seen. */
    struct stream *stream;
    pthread_t thread;
    int calls_inside; /* > 0 while a call of ours to the stream runs */
    atomic_int starts;
    atomic_int lags;
    atomic_int recoveries;
    atomic_int leaves;
    atomic_int timers;
    atomic_int works;
    atomic_int offloads;
    atomic_int shutdowns;
    atomic_int ends;
    uint64_t times[16];
};

static inline enum status flush(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    while (exchange_waiting(exchange) > 0) {
        ssize_t sent = send(client->ours, exchange->output.data + exchange->output_sent,
                            exchange_waiting(exchange), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN ? STATUS_BUSY : STATUS_CLOSED;
        }
        exchange_mark_sent(exchange, (size_t)sent);
    }
    return STATUS_OK;
}

static inline void leave_it(struct client *client)
{
    exchange_release(&client->exchange);
    close(client->ours);
    sem_post(&client->over);
}

static inline void complete(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    CHECK(exchange_waiting(exchange) == 0);
    atomic_fetch_add(&client->completed, 1);
    leave_it(client);
}

static inline void abandon(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    atomic_fetch_add(&client->abandoned, 1);
    leave_it(client);
}

static inline int descriptor_of(const struct exchange *exchange)
{
    return ((const struct client *)exchange)->ours;
}

static inline bool peer_has_gone(struct exchange *exchange)
{
    char byte;
    ssize_t length = recv(((struct client *)exchange)->ours, &byte, 1, MSG_DONTWAIT);
    return length == 0 || (length < 0 && errno != EAGAIN);
}

static const struct exchange_operations operations = {.flush = flush,
                                                      .complete = complete,
                                                      .abandon = abandon,
                                                      .descriptor = descriptor_of,
                                                      .input_tells_leave = true,
                                                      .peer_has_gone = peer_has_gone};

/* --- Handlers that count ------------------------------------------------------------------------- */

static inline void count_call(struct client *client, struct stream *stream, atomic_int *counter)
{
    CHECK(client->calls_inside == 0);
    CHECK(stream_exchange(stream) == &client->exchange);
    atomic_fetch_add(counter, 1);
}

static inline void on_start(struct stream *stream, void *context)
{
    struct client *client = context;
    client->stream = stream;
    client->thread = pthread_self();
    count_call(client, stream, &client->starts);
}

static inline void on_lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct client *client = context;
    count_call(client, stream, is_lagging ? &client->lags : &client->recoveries);
    CHECK(stream_is_lagging(stream) == is_lagging);
}

static inline void on_client_gone(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->leaves);
    CHECK(stream_client_has_gone(stream));
    stream_end(stream);
}

static inline void on_timer(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->timers);
}

static inline void on_offloaded(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->offloads);
}

static inline void on_shutdown(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->shutdowns);
    stream_write(stream, slice_of("bye"));
    stream_end(stream);
}

static inline void on_ended(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->ends);
}

static inline void write_text(struct client *client, const char *text)
{
    client->calls_inside++;
    stream_write(client->stream, slice_of(text));
    client->calls_inside--;
}

static inline void end(struct client *client)
{
    client->calls_inside++;
    stream_end(client->stream);
    client->calls_inside--;
}

/* All of them; a test replaces what it is about. */
static const struct stream_handlers counting = {.start = on_start,
                                                .lagging = on_lagging,
                                                .client_gone = on_client_gone,
                                                .timer = on_timer,
                                                .offloaded = on_offloaded,
                                                .shutdown = on_shutdown,
                                                .ended = on_ended};

static inline void open_client(struct client *client)
{
    int pair[2];
    memset(client, 0, sizeof(*client));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    atomic_fetch_add(&open_clients, 1);
    client->ours = pair[0];
    client->theirs = pair[1];
    sem_init(&client->over, 0, 0);
    exchange_init(&client->exchange, &operations);
    exchange_reset(&client->exchange);
}

/* Gives the client to the pump with these handlers; NULL: those that count. */
static inline void adopt(struct pump *pump, struct client *client,
                         const struct stream_handlers *handlers)
{
    const struct stream_handlers *used = handlers != NULL ? handlers : &counting;
    assert_int_equal(pump_adopt(pump, &client->exchange, used, client), STATUS_OK);
}

static inline void start_client(struct pump *pump, struct client *client,
                                const struct stream_handlers *handlers)
{
    open_client(client);
    adopt(pump, client, handlers);
}

/* What the client reads until the end. */
static inline size_t read_all(struct client *client, char *out, size_t size)
{
    size_t length = 0;
    char discarded[65536];
    for (;;) {
        ssize_t got = recv(client->theirs, discarded, sizeof(discarded), 0);
        if (got <= 0) {
            break;
        }
        for (ssize_t i = 0; i < got; i++, length++) {
            if (length < size - 1) {
                out[length] = discarded[i];
            }
        }
    }
    out[length < size - 1 ? length : size - 1] = '\0';
    return length;
}

static inline void close_client(struct client *client)
{
    atomic_fetch_sub(&open_clients, 1);
    close(client->theirs);
    sem_destroy(&client->over);
}

#endif
