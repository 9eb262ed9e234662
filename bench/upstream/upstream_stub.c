/*
 * upstream_stub: an OpenAI-compatible provider that costs next to nothing, to measure gateways with.
 *
 *   upstream_stub --port N [--events 5] [--interval MILLISECONDS]
 *
 * One epoll thread. POST anything answers a fixed completion; with "stream":true it sends `events`
 * chunks, one every `interval` milliseconds (0: all at once), the finish chunk and [DONE]. It reads
 * Content-Length bodies only and trusts its callers; it is not a server for anything else.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"

#define REQUEST_MAXIMUM (4u << 20)
#define EVENTS_A_TURN   256

static const char completion[] =
    "{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion\",\"created\":1700000000,"
    "\"model\":\"stub-model\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"Hello from the stub.\",\"refusal\":null},\"finish_reason\":\"stop\","
    "\"logprobs\":null}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,"
    "\"total_tokens\":14}}";

#define CHUNK(delta, finish)                                                                       \
    "data: {\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
    "\"model\":\"stub-model\",\"choices\":[{\"index\":0,\"delta\":" delta                          \
    ",\"finish_reason\":" finish "}]}\n\n"

static const char chunk[] = CHUNK("{\"role\":\"assistant\",\"content\":\"word \"}", "null");
static const char finish[] = CHUNK("{}", "\"stop\"") "data: [DONE]\n\n";

struct connection {
    int descriptor;
    struct buffer input;
    bool is_streaming;
    long events_sent;
    uint64_t next_event;
    struct connection *next_streaming;
};

static int loop;
static long event_count = 5;
static uint64_t interval; /* nanoseconds */
static struct connection *streaming;

static void send_all(struct connection *connection, const char *bytes, size_t length)
{
    /* Answers are small; a peer that does not take them is no part of a measurement. */
    ssize_t sent = send(connection->descriptor, bytes, length, MSG_NOSIGNAL);
    (void)sent;
}

static void send_chunk(struct connection *connection, const char *text)
{
    char frame[1024];
    int length = snprintf(frame, sizeof frame, "%zx\r\n%s\r\n", strlen(text), text);
    send_all(connection, frame, (size_t)length);
}

static void end_stream(struct connection *connection)
{
    for (struct connection **at = &streaming; *at != NULL; at = &(*at)->next_streaming) {
        if (*at == connection) {
            *at = connection->next_streaming;
            break;
        }
    }
    connection->is_streaming = false;
}

static void close_connection(struct connection *connection)
{
    if (connection->is_streaming) {
        end_stream(connection);
    }
    close(connection->descriptor);
    buffer_release(&connection->input);
    memory_release(connection);
}

static void advance(struct connection *connection, uint64_t now)
{
    while (connection->events_sent < event_count && connection->next_event <= now) {
        send_chunk(connection, chunk);
        connection->events_sent++;
        connection->next_event += interval;
    }
    if (connection->events_sent == event_count) {
        send_chunk(connection, finish);
        send_all(connection, "0\r\n\r\n", 5);
        end_stream(connection);
    }
}

static void answer(struct connection *connection, struct slice body)
{
    bool wants_stream = memmem(body.data, body.length, "\"stream\":true", 13) != NULL ||
                        memmem(body.data, body.length, "\"stream\": true", 14) != NULL;
    if (!wants_stream) {
        char text[1024];
        int length = snprintf(text, sizeof text,
                              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                              "Content-Length: %zu\r\n\r\n%s",
                              sizeof completion - 1, completion);
        send_all(connection, text, (size_t)length);
        return;
    }
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    send_all(connection, head, sizeof head - 1);
    connection->is_streaming = true;
    connection->events_sent = 0;
    connection->next_event = clock_monotonic_nanoseconds();
    connection->next_streaming = streaming;
    streaming = connection;
    advance(connection, connection->next_event);
}

/* True when a whole request was taken from the input. */
static bool take_request(struct connection *connection)
{
    struct buffer *input = &connection->input;
    const char *end = input->length ? memmem(input->data, input->length, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        return false;
    }
    size_t head = (size_t)(end - input->data) + 4;
    int64_t length = 0;
    const char *field = strcasestr(input->data, "\r\ncontent-length:");
    if (field != NULL && field < end) {
        const char *value = field + strlen("\r\ncontent-length:");
        struct slice text = {value, strcspn(value, "\r")};
        if (text_parse_integer(slice_trim(text), &length) != STATUS_OK || length < 0) {
            length = 0;
        }
    }
    if (input->length < head + (size_t)length) {
        return false;
    }
    answer(connection, (struct slice){input->data + head, (size_t)length});
    buffer_consume(input, head + (size_t)length);
    return true;
}

static void serve(struct connection *connection)
{
    char bytes[65536];
    ssize_t length = recv(connection->descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (length <= 0 || buffer_append(&connection->input, bytes, (size_t)length) != STATUS_OK) {
        close_connection(connection);
        return;
    }
    while (take_request(connection)) {
    }
}

static void accept_all(int listener)
{
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = memory_allocate(sizeof *connection);
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (connection == NULL) {
            close(descriptor);
            return;
        }
        connection->descriptor = descriptor;
        buffer_init(&connection->input, REQUEST_MAXIMUM);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &event);
    }
}

static int listen_on(int64_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4096) != 0) {
        perror("upstream_stub");
        return -1;
    }
    return listener;
}

/* Returns milliseconds until something is due, -1 for never. */
static int advance_all(void)
{
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t earliest = UINT64_MAX;
    for (struct connection *at = streaming; at != NULL;) {
        struct connection *next = at->next_streaming;
        advance(at, now);
        if (at->is_streaming && at->next_event < earliest) {
            earliest = at->next_event;
        }
        at = next;
    }
    return earliest == UINT64_MAX ? -1
           : earliest <= now      ? 0
                                  : (int)((earliest - now) / 1000000) + 1;
}

int main(int argc, char **argv)
{
    int64_t port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number = 0;
        if (text_parse_integer(slice_of(argv[i + 1]), &number) != STATUS_OK) {
            return 64;
        }
        if (strcmp(argv[i], "--port") == 0) {
            port = number;
        } else if (strcmp(argv[i], "--events") == 0) {
            event_count = (long)number;
        } else if (strcmp(argv[i], "--interval") == 0) {
            interval = (uint64_t)number * 1000000;
        }
    }
    int listener = listen_on(port);
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (listener < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) != 0) {
        return 1;
    }
    for (;;) {
        struct epoll_event events[EVENTS_A_TURN];
        int count = epoll_wait(loop, events, EVENTS_A_TURN, advance_all());
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(listener);
            } else {
                serve(events[i].data.ptr);
            }
        }
    }
}
