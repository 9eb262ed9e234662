/*
 * chat/answer_body: the body of a provider's answer, bytes in, events out, whatever its form.
 *
 * Providers answer with a stream where one text was asked for, and with one text where a stream was;
 * they send JSON values one after the other without anything between, blank lines to keep the
 * connection open, and any Content-Type or none. So the bytes decide, not the header: an answer that
 * begins as JSON is read as JSON, any other as an event stream, whose unknown lines are ignored.
 * JSON is one text until a second value begins; from then on each value is taken as the data of an
 * event. An event with a chunk in each of its lines is as many events.
 */
#ifndef CHAT_ANSWER_BODY_H
#define CHAT_ANSWER_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "upstream/sse.h"

enum answer_form {
    ANSWER_UNKNOWN, /* nothing but blanks has come yet */
    ANSWER_TEXT,
    ANSWER_VALUES,
    ANSWER_EVENTS
};

struct answer_body {
    enum answer_form form;
    /* ANSWER_TEXT: all that has come, without trailing blanks; ANSWER_VALUES: the unfinished value. */
    struct buffer text;
    /* Private: */
    struct sse_parser events;
    size_t scanned; /* of `text` */
    int depth;
    bool is_in_string;
    bool is_escaped;
    bool is_value_complete;
};

/* A text, or each value, may have `maximum` bytes. */
void answer_body_init(struct answer_body *body, size_t maximum);
void answer_body_release(struct answer_body *body);

/* Calls `dispatch` for each event that these bytes complete. STATUS_INVALID: something other than
 * JSON follows a JSON value. STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status answer_body_feed(struct answer_body *body, struct slice bytes, sse_dispatch *dispatch,
                             void *context) MUST_CHECK;

/* The body has ended as its framing says: calls `dispatch` for a last event that lacks its blank
 * line, as some providers send it. One that is no whole JSON was cut off and is dropped. */
enum status answer_body_end(struct answer_body *body, sse_dispatch *dispatch,
                            void *context) MUST_CHECK;

#endif
