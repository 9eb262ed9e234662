/*
 * sse: lines, then fields, then events.
 *
 * Own code because no library at hand parses text/event-stream; every client library brings its
 * own reader of sockets with it.
 *
 * A line that lies whole in the input is parsed where it is; only the part of a line that a call
 * ends with is copied.
 */
#include "upstream/sse.h"

#include <string.h>

void sse_init(struct sse_parser *parser)
{
    *parser = (struct sse_parser){.started = false};
    buffer_init(&parser->line, SSE_EVENT_MAXIMUM);
    buffer_init(&parser->type, SSE_EVENT_MAXIMUM);
    buffer_init(&parser->data, SSE_EVENT_MAXIMUM);
    buffer_init(&parser->id, SSE_EVENT_MAXIMUM);
}

void sse_release(struct sse_parser *parser)
{
    buffer_release(&parser->line);
    buffer_release(&parser->type);
    buffer_release(&parser->data);
    buffer_release(&parser->id);
}

static enum status parser_status(const struct sse_parser *parser)
{
    const struct buffer *const buffers[] = {&parser->line, &parser->type, &parser->data,
                                            &parser->id};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffer_status(buffers[i]) != STATUS_OK) {
            return buffer_status(buffers[i]);
        }
    }
    return STATUS_OK;
}

static struct slice content(const struct buffer *buffer)
{
    return (struct slice){.data = buffer_text(buffer), .length = buffer->length};
}

/* One large event must not stay in the memory of a stream that lives for hours. */
#define CAPACITY_KEPT 8192

static void empty(struct buffer *buffer)
{
    if (buffer->capacity > CAPACITY_KEPT && buffer_status(buffer) == STATUS_OK) {
        buffer_release(buffer);
    } else {
        buffer_truncate(buffer, 0);
    }
}

static void replace(struct buffer *buffer, struct slice text)
{
    buffer_truncate(buffer, 0);
    buffer_append(buffer, text.data, text.length);
}

static void dispatch_event(struct sse_parser *parser, sse_dispatch *dispatch, void *context)
{
    if (parser->has_data) {
        struct sse_event event = {
            .type = parser->type.length > 0 ? content(&parser->type) : slice_of("message"),
            .data = content(&parser->data),
            .id = content(&parser->id),
        };
        dispatch(&event, context);
    }
    parser->has_data = false;
    empty(&parser->type);
    empty(&parser->data);
}

static void take_field(struct sse_parser *parser, struct slice name, struct slice value)
{
    if (slice_equals(name, "data")) {
        /* Between lines, so that the last one's LF needs no taking away. */
        if (parser->has_data) {
            buffer_append_char(&parser->data, '\n');
        }
        parser->has_data = true;
        buffer_append(&parser->data, value.data, value.length);
    } else if (slice_equals(name, "event")) {
        replace(&parser->type, value);
    } else if (slice_equals(name, "id")) {
        if (value.length == 0 || memchr(value.data, '\0', value.length) == NULL) {
            replace(&parser->id, value);
        }
    }
    /* "retry" is for clients that reconnect by themselves; all else is to be ignored. */
}

static void take_line(struct sse_parser *parser, struct slice line, sse_dispatch *dispatch,
                      void *context)
{
    if (!parser->started) {
        parser->started = true;
        if (slice_starts_with(line, "\xef\xbb\xbf")) {
            line.data += 3;
            line.length -= 3;
        }
    }
    if (line.length == 0) {
        dispatch_event(parser, dispatch, context);
        return;
    }
    const char *colon = memchr(line.data, ':', line.length);
    struct slice name = line;
    struct slice value = {.data = "", .length = 0};
    if (colon != NULL) {
        name.length = (size_t)(colon - line.data);
        value.data = colon + 1;
        value.length = line.length - name.length - 1;
        if (value.length > 0 && value.data[0] == ' ') {
            value.data++;
            value.length--;
        }
    }
    take_field(parser, name, value);
}

/* The position of the first CR or LF, or text.length. */
static size_t find_line_end(struct slice text)
{
    const char *feed = memchr(text.data, '\n', text.length);
    size_t length = feed == NULL ? text.length : (size_t)(feed - text.data);
    const char *carriage_return = memchr(text.data, '\r', length);
    return carriage_return == NULL ? length : (size_t)(carriage_return - text.data);
}

enum status sse_feed(struct sse_parser *parser, struct slice bytes, sse_dispatch *dispatch,
                     void *context)
{
    enum status status = parser_status(parser);
    while (bytes.length > 0 && status == STATUS_OK) {
        if (parser->after_carriage_return && bytes.data[0] == '\n') {
            bytes.data++;
            bytes.length--;
            parser->after_carriage_return = false;
            continue;
        }
        parser->after_carriage_return = false;
        size_t end = find_line_end(bytes);
        if (end == bytes.length || parser->line.length > 0) {
            buffer_append(&parser->line, bytes.data, end);
        } else if (end > SSE_EVENT_MAXIMUM) {
            /* As if it had come in pieces. */
            parser->line.status = STATUS_TOO_LARGE;
        }
        if (end == bytes.length) {
            return parser_status(parser);
        }
        struct slice line = {.data = bytes.data, .length = end};
        if (parser->line.length > 0) {
            line = content(&parser->line);
        }
        status = parser_status(parser);
        if (status == STATUS_OK) {
            take_line(parser, line, dispatch, context);
            status = parser_status(parser);
        }
        empty(&parser->line);
        parser->after_carriage_return = bytes.data[end] == '\r';
        bytes.data += end + 1;
        bytes.length -= end + 1;
    }
    return status;
}

enum status sse_end(struct sse_parser *parser, sse_dispatch *dispatch, void *context)
{
    enum status status = sse_feed(parser, slice_of("\n"), dispatch, context);
    return status == STATUS_OK ? sse_feed(parser, slice_of("\n"), dispatch, context) : status;
}
