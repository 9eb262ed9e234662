/*
 * upstream/sse: parser for text/event-stream (WHATWG HTML, section 9.2.6), bytes in, events out.
 *
 * Pure: no sockets. Handles CR, LF and CRLF split anywhere between calls, a leading BOM, comments,
 * several data lines, fields without a colon. An event is dispatched at its blank line; what is
 * left at the end without one is dropped, as the standard says, unless sse_end is called.
 */
#ifndef UPSTREAM_SSE_H
#define UPSTREAM_SSE_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

#define SSE_EVENT_MAXIMUM (8u << 20) /* bytes of one line, and of the data of one event */

struct sse_event {
    struct slice type; /* "message" when none was given */
    struct slice data; /* lines joined by LF */
    struct slice id;   /* last id seen */
};

typedef void sse_dispatch(const struct sse_event *event, void *context);

struct sse_parser {
    struct buffer line;
    struct buffer type;
    struct buffer data;
    struct buffer id;
    bool after_carriage_return;
    bool has_data;
    bool started;
};

void sse_init(struct sse_parser *parser);
void sse_release(struct sse_parser *parser);

/* Calls `dispatch` for each event completed by these bytes. STATUS_TOO_LARGE or STATUS_NO_MEMORY
 * stick. */
enum status sse_feed(struct sse_parser *parser, struct slice bytes, sse_dispatch *dispatch,
                     void *context) MUST_CHECK;

/* The text has ended, and not because it was cut off: dispatches an event that lacks its last line
 * end or its blank line. */
enum status sse_end(struct sse_parser *parser, sse_dispatch *dispatch, void *context) MUST_CHECK;

#endif
