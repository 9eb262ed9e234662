/*
 * chat/answer_body: the body of a provider's answer, bytes in, events out, whatever its form.
 *
 * Providers answer with a stream where one text was asked for, and with one text where a stream was;
 * they send JSON values one after the other without anything between, blank lines to keep the
 * connection open, and any Content-Type or none. So what has come decides: what begins as JSON is
 * JSON, all else is an event stream, of which a reader passes over what it does not know. JSON is
 * one text until a second value begins; then each value is as the data of an event.
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
    ANSWER_UNKNOWN, /* nothing has come yet that tells */
    ANSWER_TEXT,
    ANSWER_VALUES,
    ANSWER_EVENTS
};

struct answer_body {
    enum answer_form form;
    struct buffer text; /* what has come of ANSWER_TEXT; of ANSWER_VALUES the value that goes on */
    /* Private: */
    struct sse_parser events;
    size_t scanned; /* of `text` */
    int depth;
    bool is_in_string;
    bool is_escaped;
    bool is_value_complete;
};

/* `maximum` bytes of a text or of a value. */
void answer_body_init(struct answer_body *body, size_t maximum);
void answer_body_release(struct answer_body *body);

/* Calls `dispatch` for each event that these bytes complete. What is left at the end without having
 * been completed was cut off. STATUS_INVALID: no JSON behind a JSON value. STATUS_TOO_LARGE,
 * STATUS_NO_MEMORY. */
enum status answer_body_feed(struct answer_body *body, struct slice bytes, sse_dispatch *dispatch,
                             void *context) MUST_CHECK;

#endif
