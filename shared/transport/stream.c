/*
 * stream: one long answer on the pump.
 *
 * Handlers of the owner are called from the pump's turn only, never from within a call the owner
 * makes: calls set flags and mark the stream dirty, and stream_settle acts on them at the end of
 * the turn.
 */
#include <assert.h>
#include <stddef.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "transport/exchange_setup.h"
#include "transport/pump.h"
#include "transport/pump_private.h"

#define SECOND UINT64_C(1000000000)

static const char heartbeat_text[] = ": ping\n\n";

/* False when the owner has no such handler. */
static bool tell(struct stream *stream, void (*handler)(struct stream *stream, void *context))
{
    if (handler == NULL) {
        return false;
    }
    const struct context before = context_enter(&stream->origin);
    handler(stream, stream->context);
    context_leave(&before);
    return true;
}

static void mark(struct stream *stream)
{
    if (!stream->is_dirty) {
        stream->is_dirty = true;
        stream->next_dirty = stream->pump->dirty;
        stream->pump->dirty = stream;
    }
}

/* --- The client's descriptor --------------------------------------------------------------------- */

static void unwatch(struct stream *stream)
{
    if (stream->is_watched) {
        epoll_ctl(stream->pump->epoll, EPOLL_CTL_DEL, stream->source.descriptor, NULL);
        stream->is_watched = false;
    }
}

/* False when the kernel refuses. */
static bool watch(struct stream *stream)
{
    bool reads = stream->exchange->operations->input_tells_leave;
    uint32_t events = (reads ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
                      (exchange_waiting(stream->exchange) > 0 ? (uint32_t)EPOLLOUT : 0);
    if (stream->source.descriptor < 0 || (stream->is_watched && stream->watched == events)) {
        return true;
    }
    struct epoll_event event = {.events = events, .data.ptr = &stream->source};
    int operation = stream->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(stream->pump->epoll, operation, stream->source.descriptor, &event) != 0) {
        return false;
    }
    stream->is_watched = true;
    stream->watched = events;
    return true;
}

/* Nothing more is sent. */
static void lose_client(struct stream *stream)
{
    if (!stream->has_gone) {
        stream->has_gone = true;
        stream->stall_deadline = 0;
        stream->shutdown_deadline = 0;
        stream->heartbeat_deadline = 0;
        buffer_release(&stream->exchange->output);
        stream->exchange->output_sent = 0;
        unwatch(stream);
        mark(stream);
    }
}

static void flush(struct stream *stream)
{
    struct exchange *exchange = stream->exchange;
    size_t before = exchange_waiting(exchange);
    if (stream->has_gone) {
        return;
    }
    enum status status = before > 0 ? exchange->operations->flush(exchange) : STATUS_OK;
    size_t waiting = exchange_waiting(exchange);
    /* What came in one write is not the client's slowness: its source could not be told earlier.
     * An answer that is complete only drains: however long it is, the stall rule bounds it. */
    bool is_behind = waiting > STREAM_BACKLOG_MAXIMUM + stream->largest_write && !stream->is_ending;
    if ((status != STATUS_OK && status != STATUS_BUSY) || is_behind || !watch(stream)) {
        lose_client(stream);
        return;
    }
    if (waiting == 0) {
        stream->stall_deadline = 0;
        stream->largest_write = 0;
    } else if (waiting < before || stream->stall_deadline == 0) {
        stream->stall_deadline = stream->pump->now + STREAM_STALL_SECONDS * SECOND;
    }
    stream->is_lagging = stream->is_lagging || waiting > STREAM_LAG_BYTES;
}

/* An owner that has seen the stream lag waits for the call that ends it, so each lag is told from
 * beginning to end, even if the client has caught up meanwhile. */
static void tell_lag(struct stream *stream)
{
    /* Half of it must have gone before the source is asked for more: no flutter. */
    bool has_caught_up = exchange_waiting(stream->exchange) <= STREAM_LAG_BYTES / 2;
    if (!stream->is_lagging || (stream->is_lagging_told && !has_caught_up)) {
        return;
    }
    stream->is_lagging = !stream->is_lagging_told;
    stream->is_lagging_told = stream->is_lagging;
    if (stream->is_lagging && has_caught_up) {
        mark(stream);
    }
    if (stream->handlers->lagging != NULL) {
        const struct context before = context_enter(&stream->origin);
        stream->handlers->lagging(stream, stream->is_lagging, stream->context);
        context_leave(&before);
    }
}

void stream_ready(struct stream *stream, uint32_t events)
{
    const struct exchange_operations *operations = stream->exchange->operations;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        lose_client(stream);
    } else if ((events & (EPOLLIN | EPOLLRDHUP)) != 0 &&
               operations->peer_has_gone(stream->exchange)) {
        lose_client(stream);
    }
    mark(stream);
}

/* --- Time ---------------------------------------------------------------------------------------- */

static void schedule(struct stream *stream)
{
    const uint64_t deadlines[] = {stream->user_deadline, stream->heartbeat_deadline,
                                  stream->stall_deadline, stream->shutdown_deadline};
    uint64_t earliest = 0;
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        if (deadlines[i] != 0 && (earliest == 0 || deadlines[i] < earliest)) {
            earliest = deadlines[i];
        }
    }
    if (earliest == 0) {
        pump_timers_cancel(&stream->pump->stream_timers, &stream->timer);
    } else if (!stream->timer.is_set || earliest < stream->timer.deadline) {
        /* One that is set too early costs a look when it runs out; moving it with each write would
         * cost more. */
        pump_timers_set(&stream->pump->stream_timers, &stream->timer, earliest);
    }
}

static bool is_due(const struct stream *stream, uint64_t deadline)
{
    return deadline != 0 && deadline <= stream->pump->now;
}

void stream_expired(struct stream *stream)
{
    if (is_due(stream, stream->stall_deadline) || is_due(stream, stream->shutdown_deadline)) {
        lose_client(stream);
    }
    if (is_due(stream, stream->heartbeat_deadline)) {
        stream->heartbeat_deadline = stream->pump->now + stream->heartbeat;
        if (exchange_waiting(stream->exchange) == 0 && !stream->is_ending) {
            stream_write(stream, slice_of(heartbeat_text));
        }
    }
    if (is_due(stream, stream->user_deadline)) {
        stream->user_deadline = 0;
        if (!stream->is_ending) {
            tell(stream, stream->handlers->timer);
        }
    }
    mark(stream);
}

void stream_set_heartbeat(struct stream *stream, unsigned seconds)
{
    stream->heartbeat = seconds * SECOND;
    stream->heartbeat_deadline =
        seconds == 0 || stream->has_gone ? 0 : clock_monotonic_nanoseconds() + stream->heartbeat;
    schedule(stream);
}

void stream_set_timer(struct stream *stream, uint64_t milliseconds)
{
    stream->user_deadline =
        milliseconds == 0 ? 0 : clock_monotonic_nanoseconds() + milliseconds * 1000000;
    schedule(stream);
}

/* --- Life ---------------------------------------------------------------------------------------- */

static void finish(struct stream *stream)
{
    struct pump *pump = stream->pump;
    struct exchange *exchange = stream->exchange;
    pump_timers_cancel(&pump->stream_timers, &stream->timer);
    unwatch(stream);
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        pump->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    tell(stream, stream->handlers->ended);
    pthread_mutex_lock(&pump->lock);
    pump->stream_count--;
    pthread_mutex_unlock(&pump->lock);
    if (stream->has_gone) {
        exchange->operations->abandon(exchange);
    } else {
        exchange->operations->complete(exchange);
    }
}

void stream_settle(struct stream *stream)
{
    flush(stream);
    if (!stream->is_ending && stream_client_has_gone(stream) && !stream->has_gone_told) {
        stream->has_gone_told = true;
        if (!tell(stream, stream->handlers->client_gone)) {
            stream_end(stream);
        }
    }
    if (!stream->is_ending && !stream_client_has_gone(stream)) {
        tell_lag(stream);
    }
    if (stream->is_dirty) {
        return; /* the owner has just done something: another time */
    }
    if (stream->is_ending && !stream->is_offloading &&
        (stream->has_gone || exchange_waiting(stream->exchange) == 0)) {
        finish(stream);
    } else {
        schedule(stream);
    }
}

void stream_tell_shutdown(struct stream *stream)
{
    if (stream->is_shut_down_told) {
        return;
    }
    stream->is_shut_down_told = true;
    if (!stream->has_gone) {
        /* A client that always takes a little would keep the program from its end. */
        stream->shutdown_deadline =
            clock_monotonic_nanoseconds() + STREAM_SHUTDOWN_SECONDS * SECOND;
    }
    if (!stream->is_ending && !tell(stream, stream->handlers->shutdown)) {
        stream_end(stream);
    }
    mark(stream);
}

static struct stream *stream_of_message(struct pump_message *message)
{
    return (struct stream *)(void *)((char *)message - offsetof(struct stream, message));
}

static void receive_start(struct pump *pump, struct pump_message *message)
{
    struct stream *stream = stream_of_message(message);
    stream->next = pump->streams;
    if (stream->next != NULL) {
        stream->next->previous = stream;
    }
    pump->streams = stream;
    /* Whoever left while the request waited for its worker. */
    if (!watch(stream) || stream->exchange->operations->peer_has_gone(stream->exchange)) {
        lose_client(stream);
    }
    tell(stream, stream->handlers->start);
    if (pump->is_shutting_down) {
        stream_tell_shutdown(stream);
    }
    mark(stream);
}

enum status pump_adopt(struct pump *pump, struct exchange *exchange,
                       const struct stream_handlers *handlers, void *context)
{
    struct stream *stream = arena_allocate(&exchange->arena, sizeof(*stream));
    if (stream == NULL) {
        return STATUS_NO_MEMORY;
    }
    pthread_mutex_lock(&pump->lock);
    enum status status = STATUS_OK;
    if (pump->is_refusing) {
        status = STATUS_CLOSED;
    } else if (pump->stream_count >= pump->stream_maximum) {
        status = STATUS_BUSY;
    } else {
        pump->stream_count++;
    }
    pthread_mutex_unlock(&pump->lock);
    if (status != STATUS_OK) {
        return status;
    }
    stream->pump = pump;
    stream->exchange = exchange;
    stream->handlers = handlers;
    stream->context = context;
    stream->origin = *context_current();
    stream->source.descriptor = exchange->operations->descriptor(exchange);
    stream->source.stream = stream;
    stream->message.receive = receive_start;
    pump_send(pump, &stream->message);
    return STATUS_OK;
}

/* --- What the owner calls -------------------------------------------------------------------- */

void stream_write(struct stream *stream, struct slice bytes)
{
    if (stream_client_has_gone(stream) || stream->is_ending || bytes.length == 0) {
        return;
    }
    if (exchange_write(stream->exchange, bytes) != STATUS_OK) {
        lose_client(stream);
        return;
    }
    if (bytes.length > stream->largest_write) {
        stream->largest_write = bytes.length;
    }
    if (stream->heartbeat != 0) {
        stream->heartbeat_deadline = stream->pump->now + stream->heartbeat;
    }
    mark(stream);
    /* A long turn of the owner must not count as backlog of the client. */
    if (exchange_waiting(stream->exchange) > STREAM_LAG_BYTES) {
        flush(stream);
    }
}

void stream_refuse(struct stream *stream, struct slice text)
{
    stream_write(stream, text);
    stream->is_refused = true;
    stream->heartbeat_deadline = 0;
    mark(stream);
}

void stream_end(struct stream *stream)
{
    stream->is_ending = true;
    stream->user_deadline = 0;
    stream->heartbeat_deadline = 0;
    mark(stream);
}

static void receive_offloaded(struct pump *pump, struct pump_message *message)
{
    (void)pump;
    struct stream *stream = stream_of_message(message);
    stream->is_offloading = false;
    if (!stream->is_ending) {
        tell(stream, stream->handlers->offloaded);
    }
    mark(stream);
}

/* For the stream's owner, whoever has asked for it: one stream may put another to work. */
static void do_work(struct stream *stream)
{
    const struct context before = context_enter(&stream->origin);
    stream->work(stream->work_context);
    context_leave(&before);
}

static void run_offload(void *context)
{
    struct stream *stream = context;
    do_work(stream);
    stream->message.receive = receive_offloaded;
    pump_send(stream->pump, &stream->message);
}

/* Without workers: in this thread, but not within the call that asked for it. */
static void receive_offload(struct pump *pump, struct pump_message *message)
{
    struct stream *stream = stream_of_message(message);
    do_work(stream);
    receive_offloaded(pump, message);
}

void stream_offload(struct stream *stream, void (*work)(void *context))
{
    assert(!stream->is_offloading);
    stream->is_offloading = true;
    stream->work = work;
    stream->work_context = stream->context;
    if (stream->pump->workers == NULL) {
        stream->message.receive = receive_offload;
        pump_send(stream->pump, &stream->message);
        return;
    }
    stream->task = (struct worker_task){.run = run_offload, .context = stream};
    workers_add(stream->pump->workers, &stream->task);
}

struct exchange *stream_exchange(struct stream *stream)
{
    return stream->exchange;
}

struct pump *stream_pump(struct stream *stream)
{
    return stream->pump;
}

bool stream_client_has_gone(const struct stream *stream)
{
    return stream->has_gone || stream->is_refused;
}

bool stream_is_lagging(const struct stream *stream)
{
    return stream->is_lagging;
}
