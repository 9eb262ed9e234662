/*
 * chat/answer_body: see the header.
 */
#include "answer_body.h"

#include <string.h>

#include "json/scan.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void answer_body_init(struct answer_body *body, size_t maximum)
{
    *body = (struct answer_body){.form = ANSWER_UNKNOWN};
    buffer_init(&body->text, maximum);
    sse_init(&body->events);
}

void answer_body_release(struct answer_body *body)
{
    buffer_release(&body->text);
    sse_release(&body->events);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static size_t skip_blanks(const struct buffer *text, size_t at)
{
    while (at < text->length && is_blank(text->data[at])) {
        at++;
    }
    return at;
}

static bool begins_as_json(const struct buffer *text, size_t at)
{
    return text->data[at] == '{' || text->data[at] == '[';
}

/* --- Values ---------------------------------------------------------------------------------- */

/* Reads on until the brackets balance. Whether that is JSON is left to completion_reader, which mends
 * some texts that are not. */
static void scan_value(struct answer_body *body)
{
    const struct buffer *text = &body->text;
    while (!body->is_value_complete && body->scanned < text->length) {
        char byte = text->data[body->scanned++];
        if (body->is_escaped) {
            body->is_escaped = false;
        } else if (body->is_in_string) {
            body->is_escaped = byte == '\\';
            body->is_in_string = byte != '"';
        } else if (byte == '"') {
            body->is_in_string = true;
        } else if (byte == '{' || byte == '[') {
            body->depth++;
        } else if (byte == '}' || byte == ']') {
            body->is_value_complete = --body->depth == 0;
        }
    }
}

static enum status take_values(struct answer_body *body, sse_dispatch *dispatch, void *context)
{
    struct buffer *text = &body->text;
    size_t start = 0; /* of the value */
    for (;;) {
        if (body->scanned == start) {
            start = body->scanned = skip_blanks(text, start);
            if (start < text->length && !begins_as_json(text, start)) {
                return STATUS_INVALID;
            }
        }
        scan_value(body);
        size_t next = skip_blanks(text, body->scanned);
        if (body->is_value_complete && next == text->length) {
            /* Blanks that keep the connection open are looked at once. */
            buffer_truncate(text, body->scanned);
            next = body->scanned;
        }
        bool is_alone = body->form == ANSWER_TEXT && next == text->length;
        if (!body->is_value_complete || is_alone) {
            break;
        }
        struct sse_event event = {.type = slice_of("message"),
                                  .data = {text->data + start, body->scanned - start},
                                  .id = slice_of("")};
        body->form = ANSWER_VALUES;
        dispatch(&event, context);
        start = body->scanned = next;
        body->is_value_complete = false;
    }
    buffer_consume(text, start);
    body->scanned -= start;
    return STATUS_OK;
}

/* --- Events ---------------------------------------------------------------------------------- */

struct listener {
    sse_dispatch *dispatch;
    void *context;
    bool hears_the_last; /* which may have been cut off */
};

/* Some providers leave out the blank line between chunks, and one event has several of them. */
static bool has_a_chunk_in_each_line(struct slice data)
{
    struct slice line;
    if (memchr(data.data, '\n', data.length) == NULL) {
        return false;
    }
    while (slice_split(&data, '\n', &line)) {
        line = slice_trim(line);
        bool is_object =
            line.length > 1 && line.data[0] == '{' && line.data[line.length - 1] == '}';
        if (!is_object && !slice_equals_ignoring_case(line, "[DONE]")) {
            return false;
        }
    }
    return true;
}

static bool is_whole(struct slice data)
{
    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, data);
    return slice_equals_ignoring_case(data, "[DONE]") ||
           (json_scan_value(&scanner, &value) == STATUS_OK && json_scan_at_end(&scanner));
}

static void pass_on(const struct sse_event *event, void *context)
{
    const struct listener *listener = context;
    struct slice data = slice_trim(event->data);
    struct slice line;
    bool has_lines = has_a_chunk_in_each_line(data);
    if (listener->hears_the_last && !has_lines && !is_whole(data)) {
        return;
    }
    if (!has_lines) {
        listener->dispatch(event, listener->context);
        return;
    }
    while (slice_split(&data, '\n', &line)) {
        const struct sse_event one = {
            .type = event->type, .data = slice_trim(line), .id = event->id};
        listener->dispatch(&one, listener->context);
    }
}

static enum status feed_events(struct answer_body *body, struct slice bytes, sse_dispatch *dispatch,
                               void *context)
{
    struct listener listener = {.dispatch = dispatch, .context = context};
    return sse_feed(&body->events, bytes, pass_on, &listener);
}

/* --- Telling the forms apart ----------------------------------------------------------------- */

/* Removes blanks and byte order marks, which may precede any form; false while nothing else has
 * come. */
static bool skip_beginning(struct buffer *text)
{
    for (;;) {
        buffer_consume(text, skip_blanks(text, 0));
        size_t length =
            text->length < strlen(BYTE_ORDER_MARK) ? text->length : strlen(BYTE_ORDER_MARK);
        if (length == 0 || memcmp(text->data, BYTE_ORDER_MARK, length) != 0) {
            return length > 0;
        }
        if (length < strlen(BYTE_ORDER_MARK)) {
            return false;
        }
        buffer_consume(text, length);
    }
}

enum status answer_body_feed(struct answer_body *body, struct slice bytes, sse_dispatch *dispatch,
                             void *context)
{
    struct buffer *text = &body->text;
    if (body->form == ANSWER_EVENTS) {
        return feed_events(body, bytes, dispatch, context);
    }
    buffer_append(text, bytes.data, bytes.length);
    enum status status = buffer_status(text);
    if (status != STATUS_OK) {
        return status;
    }
    if (body->form == ANSWER_UNKNOWN) {
        if (!skip_beginning(text)) {
            return STATUS_OK;
        }
        body->form = begins_as_json(text, 0) ? ANSWER_TEXT : ANSWER_EVENTS;
    }
    if (body->form != ANSWER_EVENTS) {
        return take_values(body, dispatch, context);
    }
    status = feed_events(body, (struct slice){text->data, text->length}, dispatch, context);
    buffer_release(text);
    return status;
}

enum status answer_body_end(struct answer_body *body, sse_dispatch *dispatch, void *context)
{
    struct listener listener = {.dispatch = dispatch, .context = context, .hears_the_last = true};
    return body->form == ANSWER_EVENTS ? sse_end(&body->events, pass_on, &listener) : STATUS_OK;
}
