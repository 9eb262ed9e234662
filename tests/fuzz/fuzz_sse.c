/*
 * The parser of text/event-stream: the same events however the bytes are split. The first byte
 * chooses how.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/sse.h"

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void write_down(const struct sse_event *event, void *context)
{
    struct buffer *out = context;
    check(event->type.length > 0);
    check(event->id.length == 0 || memchr(event->id.data, '\0', event->id.length) == NULL);
    buffer_append(out, event->type.data, event->type.length);
    buffer_append_char(out, '\n');
    buffer_append(out, event->data.data, event->data.length);
    buffer_append_char(out, '\n');
    buffer_append(out, event->id.data, event->id.length);
    buffer_append_char(out, '\n');
}

static void run(struct slice input, size_t piece, struct buffer *out)
{
    struct sse_parser parser;
    sse_init(&parser);
    for (size_t at = 0; at < input.length; at += piece) {
        size_t length = input.length - at < piece ? input.length - at : piece;
        struct slice part = {.data = input.data + at, .length = length};
        check(sse_feed(&parser, part, write_down, out) == STATUS_OK);
    }
    sse_release(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > SSE_EVENT_MAXIMUM) {
        return 0;
    }
    struct slice input = {.data = (const char *)data + 1, .length = size - 1};
    struct buffer whole;
    struct buffer pieces;
    buffer_init(&whole, 64 << 20);
    buffer_init(&pieces, 64 << 20);
    run(input, input.length, &whole);
    run(input, (size_t)data[0] + 1, &pieces);
    check(whole.length == pieces.length);
    check(whole.length == 0 || memcmp(whole.data, pieces.data, whole.length) == 0);
    buffer_release(&whole);
    buffer_release(&pieces);
    return 0;
}
