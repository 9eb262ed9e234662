/*
 * chat/model_call: one question to a provider and its answer, whichever provider it is.
 *
 * The owner embeds a model_call, sets what is asked, prepares it on a worker and starts it on the
 * pump thread; everything after that happens there. A stream arrives as chunks of OpenAI's format,
 * one at a time and checked; any other answer as one text. The provider may send either; it is turned
 * into the one that was asked for (answer_body.h, completion_fold.h). In the end `done` tells how it
 * went (model_outcome.h).
 *
 * A call is tried again while nothing of an answer has come, when the provider could not be reached,
 * or has refused with 429, 500, 502, 503 or 529. It waits as long as the provider asks, else a
 * quarter of a second, then twice as long each time, a quarter more or less by chance; never beyond
 * UPSTREAM_FIRST_BYTE_TIMEOUT from the start. A call that failed in another way may have cost money
 * and is not repeated. A provider that refuses `stream_options` is asked without, from then on.
 */
#ifndef CHAT_MODEL_CALL_H
#define CHAT_MODEL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "answer_body.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "completion_fold.h"
#include "completion_reader.h"
#include "demo.h"
#include "model_outcome.h"
#include "models/catalogue.h"
#include "transport/pump.h"
#include "upstream/upstream.h"
#include "usage.h"

struct chat;
struct model_call;

#define MODEL_ANSWER_MAXIMUM ((size_t)8 << 20) /* bytes of a whole answer, or of a JSON value */

struct model_call_handlers {
    /* A chunk of a stream; `mended` is the text for OpenAI's clients, one line. Both live until
     * this returns. */
    void (*chunk)(struct model_call *call, struct slice mended,
                  const struct completion_chunk *chunk);
    /* The last one. Not called after model_call_cancel. May come from within model_call_start. */
    void (*done)(struct model_call *call, const struct model_outcome *outcome);
    /* The provider refuses `stream_options`: makes call->body anew without those that we added. */
    enum status (*drop_usage)(struct model_call *call);
};

struct model_call {
    /* Given: */
    struct chat *chat;
    struct model_choice choice;
    bool is_streamed;
    bool is_paced;    /* the demo takes its time */
    bool hides_usage; /* `mended` without the usage, which the client has not asked for */
    bool asks_usage;  /* `body` has stream_options that we added */
    struct slice body;
    const char *tracestate; /* NULL = none */
    int64_t input_weight;   /* of the request (usage.h), for an estimate */
    const struct model_call_handlers *handlers;
    void *context;
    /* To be read by the owner: */
    struct completion_progress progress;
    struct buffer answer;    /* the whole text, if the call is not streamed */
    bool has_answered;       /* with success: tokens have been used */
    bool was_sent;           /* the provider may know of it; told when the call is over */
    bool was_refused;        /* by an HTTP status, at the last try: it cost nothing */
    bool was_abandoned;      /* by us, who left or would not wait longer: it may have cost */
    uint64_t started;        /* monotonic nanoseconds; 0 = not started */
    uint64_t first_chunk_at; /* likewise */
    /* Private: */
    struct pump *pump;
    struct stream *client; /* of model_call_follow */
    const char *const *headers;
    struct upstream_call *upstream; /* NULL when there is none (any more) */
    struct demo_answer *demo;
    struct answer_body received; /* of a refusal only its text is used */
    struct completion_fold fold; /* the chunks of a stream that was not asked for */
    struct arena scratch;
    int status_code;
    int64_t retry_after; /* milliseconds */
    unsigned retries;
    bool is_resting; /* until the next try */
    bool is_paused;
    bool is_over;
};

/* Any thread but once, before the start; what it makes lives in the arena. STATUS_INVALID: the
 * built-in provider cannot read the request. */
enum status model_call_prepare(struct model_call *call, struct arena *arena) MUST_CHECK;

/* --- Pump thread ------------------------------------------------------------------------------- */

void model_call_start(struct model_call *call, struct pump *pump);
void model_call_pause(struct model_call *call, bool paused);

/* To be called from `chunk` after writing to the client: holds the provider back at once when the
 * client lags. A provider that floods us would fill the client's whole backlog before the pump
 * comes to tell `lagging` at the end of its turn. */
void model_call_follow(struct model_call *call, struct stream *client);

/* No handler is called any more. The part that has come of a whole answer is counted first. */
void model_call_cancel(struct model_call *call);

/* Cancels if need be and frees what is not in the arena. Idempotent; also for one not started. */
void model_call_release(struct model_call *call);

/* The tokens used so far: as the provider told them, else an estimate. A call that was never sent, or
 * was refused, has used none. */
struct token_usage model_call_usage(const struct model_call *call);

#endif
