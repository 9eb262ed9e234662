/*
 * hello_transport: the transport with next to nothing above it, for benchmarks (beside
 * hello_libfcgi) and for the tests that abuse it.
 *
 * Environment: HELLO_WORKERS (8), HELLO_QUEUE (1024), HELLO_BODY_LIMIT (1 MiB), HELLO_FILE (what
 * /file answers), HELLO_CONNECTIONS, HELLO_REQUEST_TIMEOUT, HELLO_WRITE_TIMEOUT,
 * HELLO_IDLE_TIMEOUT (0 = the transport's defaults), HELLO_BODY_DIRECTORY, HELLO_BODY_ROOM. A
 * request with the parameter REFUSE is answered 403 before its body is read. POST counts as work
 * that may wait long. What is answered depends on REQUEST_URI:
 *
 *   /file               the bytes of HELLO_FILE, read at the start
 *   /bytes/N            N bytes
 *   /sleep/MS           after so many milliseconds
 *   /body               what came as body: its length and the two flags
 *   /sum                the length of the body and the sum of its bytes
 *   /clock              milliseconds since the request began
 *   /parameter/NAME     the value of a parameter
 *   /stream/N/MS        server-sent events: N (0 = without end), one every MS milliseconds
 *   /idle               a stream that says one thing and then nothing
 *   /flood/N            N events of 1,000 bytes as fast as the client takes them
 *   /counters           how often reload, background, admit and dropped have run
 *   anything else       "Hello"
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "transport/transport.h"

struct hello {
    struct transport *transport;
    struct buffer file;
    size_t body_limit;
    atomic_int reloads;
    atomic_int backgrounds;
    atomic_int admissions;
    atomic_int drops;
};

struct events {
    int64_t left; /* < 0: without end */
    uint64_t pause_milliseconds;
    int64_t number;
    bool is_flood;
};

static int64_t setting(const char *name, int64_t otherwise)
{
    int64_t value = otherwise;
    const char *text = getenv(name);
    return text != NULL && text_parse_integer(slice_of(text), &value) == STATUS_OK ? value
                                                                                   : otherwise;
}

static void answer(struct exchange *exchange, struct slice body)
{
    struct buffer *output = &exchange->output;
    buffer_append_text(output, "Content-Type: text/plain\r\nContent-Length: ");
    buffer_append_integer(output, (long long)body.length);
    buffer_append_text(output, "\r\n\r\n");
    (void)exchange_write(exchange, body);
    exchange_complete(exchange);
}

/* --- Streams ----------------------------------------------------------------------------------- */

static void write_event(struct stream *stream, struct events *events)
{
    char text[1100];
    int length = snprintf(text, sizeof(text), "data: %lld%*s\n\n", (long long)events->number++,
                          events->is_flood ? 980 : 0, "");
    stream_write(stream, (struct slice){.data = text, .length = (size_t)length});
    events->left -= events->left > 0 ? 1 : 0;
}

static void next_event(struct stream *stream, void *context)
{
    struct events *events = context;
    if (stream_client_has_gone(stream)) {
        return;
    }
    do {
        if (events->left == 0) {
            stream_end(stream);
            return;
        }
        write_event(stream, events);
    } while (events->is_flood && !stream_is_lagging(stream));
    if (!events->is_flood) {
        stream_set_timer(stream, events->pause_milliseconds);
    }
}

static void start_events(struct stream *stream, void *context)
{
    stream_write(stream, slice_of("Content-Type: text/event-stream\r\n"
                                  "X-Accel-Buffering: no\r\nCache-Control: no-cache\r\n\r\n"));
    stream_set_heartbeat(stream, 15);
    next_event(stream, context);
}

static void start_idle(struct stream *stream, void *context)
{
    (void)context;
    stream_write(stream, slice_of("Content-Type: text/event-stream\r\n\r\ndata: here\n\n"));
    stream_set_heartbeat(stream, 15);
}

static void lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct events *events = context;
    if (!is_lagging && events->is_flood) {
        next_event(stream, context);
    }
}

static void shut_down(struct stream *stream, void *context)
{
    (void)context;
    stream_write(stream, slice_of("event: shutdown\ndata: {}\n\n"));
    stream_end(stream);
}

static void ended(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
}

static const struct stream_handlers event_handlers = {.start = start_events,
                                                      .timer = next_event,
                                                      .lagging = lagging,
                                                      .shutdown = shut_down,
                                                      .ended = ended};
static const struct stream_handlers idle_handlers = {
    .start = start_idle, .shutdown = shut_down, .ended = ended};

static void adopt(struct hello *hello, struct exchange *exchange,
                  const struct stream_handlers *handlers, struct events wanted)
{
    struct pump *pump = transport_pump(hello->transport);
    struct events *events = arena_allocate(&exchange->arena, sizeof(*events));
    if (events != NULL) {
        *events = wanted;
    }
    if (events == NULL || pump == NULL ||
        pump_adopt(pump, exchange, handlers, events) != STATUS_OK) {
        (void)exchange_write(exchange, slice_of("Status: 503 Service Unavailable\r\n\r\n"));
        exchange_complete(exchange);
    }
}

/* --- Requests ------------------------------------------------------------------------------------ */

static int64_t take_number(struct slice *path)
{
    struct slice part = {.data = NULL};
    int64_t number = 0;
    return slice_split(path, '/', &part) && text_parse_integer(part, &number) == STATUS_OK ? number
                                                                                           : 0;
}

static bool take_prefix(struct slice *path, const char *prefix)
{
    if (!slice_starts_with(*path, prefix)) {
        return false;
    }
    path->data += strlen(prefix);
    path->length -= strlen(prefix);
    return true;
}

static void answer_text(struct exchange *exchange, const char *text)
{
    answer(exchange, slice_of(text));
}

static void handle(struct exchange *exchange, void *context)
{
    struct hello *hello = context;
    struct slice path = exchange_parameter(exchange, "REQUEST_URI");
    if (slice_equals(path, "/file")) {
        answer(exchange,
               (struct slice){.data = buffer_text(&hello->file), .length = hello->file.length});
    } else if (take_prefix(&path, "/bytes/")) {
        size_t length = (size_t)take_number(&path);
        char *bytes = arena_allocate(&exchange->arena, length);
        if (bytes != NULL) {
            memset(bytes, 'x', length);
        }
        answer(exchange, (struct slice){.data = bytes, .length = bytes == NULL ? 0 : length});
    } else if (take_prefix(&path, "/sleep/")) {
        int64_t milliseconds = take_number(&path);
        struct timespec pause = {.tv_sec = milliseconds / 1000,
                                 .tv_nsec = milliseconds % 1000 * 1000000};
        nanosleep(&pause, NULL);
        answer(exchange, slice_of("slept\n"));
    } else if (take_prefix(&path, "/body")) {
        answer_text(exchange, arena_format(&exchange->arena, "length %zu differs %d too_large %d\n",
                                           exchange->body.length, exchange->body_differs,
                                           exchange->body_too_large));
    } else if (take_prefix(&path, "/sum")) {
        unsigned long sum = 0;
        for (size_t i = 0; i < exchange->body.length; i++) {
            sum += (unsigned char)exchange->body.data[i];
        }
        answer_text(exchange, arena_format(&exchange->arena, "length %zu sum %lu\n",
                                           exchange->body.length, sum));
    } else if (take_prefix(&path, "/clock")) {
        uint64_t past = clock_monotonic_nanoseconds() - exchange->started_nanoseconds;
        answer_text(exchange,
                    arena_format(&exchange->arena, "%lu\n", (unsigned long)(past / 1000000)));
    } else if (take_prefix(&path, "/parameter/")) {
        char *name = arena_copy(&exchange->arena, path.data, path.length);
        answer(exchange, exchange_parameter(exchange, name == NULL ? "" : name));
    } else if (take_prefix(&path, "/stream/")) {
        struct events events = {.left = take_number(&path)};
        events.left = events.left == 0 ? -1 : events.left;
        events.pause_milliseconds = (uint64_t)take_number(&path);
        adopt(hello, exchange, &event_handlers, events);
    } else if (take_prefix(&path, "/flood/")) {
        adopt(hello, exchange, &event_handlers,
              (struct events){.left = take_number(&path), .is_flood = true});
    } else if (take_prefix(&path, "/idle")) {
        adopt(hello, exchange, &idle_handlers, (struct events){.left = -1});
    } else if (take_prefix(&path, "/counters")) {
        answer_text(exchange, arena_format(&exchange->arena,
                                           "reloads %d backgrounds %d admissions %d drops %d\n",
                                           hello->reloads, hello->backgrounds, hello->admissions,
                                           hello->drops));
    } else {
        answer(exchange, slice_of("Hello\n"));
    }
}

static void plan(struct exchange *exchange, void *context)
{
    exchange->body_maximum = ((struct hello *)context)->body_limit;
    exchange->work = slice_equals(exchange_parameter(exchange, "REQUEST_METHOD"), "POST")
                         ? EXCHANGE_WAITING
                         : EXCHANGE_QUICK;
}

static void refuse(struct exchange *exchange, int status, void *context)
{
    (void)context;
    buffer_append_format(&exchange->output, "Status: %d Refused\r\nRetry-After: 1\r\n\r\n%.*s",
                         status, (int)exchange_parameter(exchange, "REQUEST_URI").length,
                         exchange_parameter(exchange, "REQUEST_URI").data);
    exchange_complete(exchange);
}

static bool admit(struct exchange *exchange, void *context)
{
    int64_t owner = 0;
    atomic_fetch_add(&((struct hello *)context)->admissions, 1);
    if (exchange_parameter(exchange, "REFUSE").length > 0) {
        refuse(exchange, 403, context);
        return false;
    }
    if (exchange->body_declared > 0 && (uint64_t)exchange->body_declared > exchange->body_maximum) {
        refuse(exchange, 413, context);
        return false;
    }
    if (text_parse_integer(exchange_parameter(exchange, "OWNER"), &owner) == STATUS_OK) {
        exchange->owner = (uint64_t)owner;
    }
    return true;
}

static void dropped(struct exchange *exchange, void *context)
{
    (void)exchange;
    atomic_fetch_add(&((struct hello *)context)->drops, 1);
}

static enum status started(struct transport *transport, void *context)
{
    ((struct hello *)context)->transport = transport;
    return STATUS_OK;
}

static void reload(void *context)
{
    atomic_fetch_add(&((struct hello *)context)->reloads, 1);
}

static void background(void *context)
{
    atomic_fetch_add(&((struct hello *)context)->backgrounds, 1);
}

int main(int argc, char **argv)
{
    struct hello hello = {.body_limit = (size_t)setting("HELLO_BODY_LIMIT", 1 << 20)};
    const char *file = getenv("HELLO_FILE");
    buffer_init(&hello.file, 256u << 20);
    if (file != NULL && file_read(file, &hello.file) != STATUS_OK) {
        fprintf(stderr, "hello_transport: cannot read %s\n", file);
        return 1;
    }
    struct transport_options options = {
        .program = "hello",
        .worker_count = (int)setting("HELLO_WORKERS", 8),
        .queue_maximum = (int)setting("HELLO_QUEUE", 1024),
        .connection_maximum = (int)setting("HELLO_CONNECTIONS", 0),
        .request_timeout_seconds = (unsigned)setting("HELLO_REQUEST_TIMEOUT", 0),
        .write_timeout_seconds = (unsigned)setting("HELLO_WRITE_TIMEOUT", 0),
        .idle_timeout_seconds = (unsigned)setting("HELLO_IDLE_TIMEOUT", 0),
        .body_directory = getenv("HELLO_BODY_DIRECTORY"),
        .body_room = (uint64_t)setting("HELLO_BODY_ROOM", 0),
        .handlers = {.plan = plan,
                     .admit = admit,
                     .handle = handle,
                     .refuse = refuse,
                     .dropped = dropped,
                     .context = &hello},
        .started = started,
        .reload = reload,
        .background = background,
    };
    int result = transport_run(&options, argc, argv);
    buffer_release(&hello.file);
    return result;
}
