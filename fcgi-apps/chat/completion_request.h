/*
 * chat/completion_request: the body of a chat completion, read without changing it and written
 * anew with only what must change.
 *
 * Requests are passed on as the client wrote them: unknown members, the spelling of numbers and
 * the order stay. What changes is the value of `model` (the provider's own name for it) and, for
 * accounting, `stream_options.include_usage` of streamed requests.
 */
#ifndef CHAT_COMPLETION_REQUEST_H
#define CHAT_COMPLETION_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

#define COMPLETION_MODEL_MAXIMUM 256 /* bytes */

struct completion_request {
    struct slice text; /* the whole body */
    struct slice model;
    bool is_streamed;
    bool wants_usage;       /* the client asked for the usage of a stream */
    int64_t input_weight;   /* of all that the model reads (usage.h) */
    int64_t output_maximum; /* tokens of a choice; 0: the client has set none */
    int64_t choices;        /* at least 1 */
    /* Where things stand in `text`: */
    struct slice model_text;       /* with quotes */
    struct slice stream_options;   /* empty when absent */
    struct slice include_usage;    /* within stream_options; empty when absent */
    bool stream_options_is_object; /* else null */
    bool stream_options_has_members;
};

/* Why a body is refused, in OpenAI's terms. Texts are fixed or in the arena. */
struct completion_fault {
    const char *message;
    const char *param; /* NULL: none in particular */
    const char *code;  /* NULL: none */
};

/* STATUS_INVALID with `fault`, or STATUS_NO_MEMORY. Slices point into `text` or the arena. */
enum status completion_request_read(struct arena *arena, struct slice text,
                                    struct completion_request *out,
                                    struct completion_fault *fault) MUST_CHECK;

/* The body for a provider, in the arena. `asks_usage`: a streamed answer shall tell its usage. */
enum status completion_request_write(const struct completion_request *request, struct arena *arena,
                                     const char *model, bool asks_usage,
                                     struct slice *out) MUST_CHECK;

#endif
