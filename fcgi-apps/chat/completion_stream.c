/*
 * chat/completion_stream: a streamed completion for OpenAI's clients.
 *
 * The head is sent with the first chunk (or see chat_head_after). Until then a failure has a status
 * of its own; afterwards it is one frame with an `error` object and the end, never [DONE].
 */
#include "accounting.h"
#include "chat.h"
#include "completions.h"
#include "failures.h"

#define CONTENT_TYPE "text/event-stream"

static void send_head(struct completion *completion)
{
    if (!completion->is_head_sent) {
        completion->is_head_sent = true;
        stream_set_timer(completion->stream, 0);
        response_stream_head(completion->request, completion->stream, CONTENT_TYPE);
        stream_set_heartbeat(completion->stream,
                             (unsigned)completion->chat->app->config->stream_heartbeat_seconds);
    }
}

static void write_text(struct completion *completion, const char *text)
{
    stream_write(completion->stream, slice_of(text));
}

/* The ledger has been written, or had nothing to be told. */
static void end(struct completion *completion)
{
    struct buffer *frame = &completion->chat->frame;
    bool has_failed = completion->outcome.failure != MODEL_OK;
    budget_release(&completion->reservation);
    if (stream_client_has_gone(completion->stream)) {
        stream_end(completion->stream);
        return;
    }
    if (has_failed && !completion->is_head_sent) {
        failure_answer_openai(completion->request, &completion->outcome);
        response_stream_whole(completion->request, completion->stream);
        return;
    }
    send_head(completion);
    if (has_failed) {
        buffer_reset(frame);
        failure_write_openai_frame(completion->request, &completion->outcome, frame);
        if (buffer_status(frame) == STATUS_OK) {
            write_text(completion, buffer_text(frame));
        }
    } else {
        write_text(completion, "data: [DONE]\n\n");
    }
    stream_end(completion->stream);
}

static void settle(struct completion *completion, const char *outcome_word)
{
    if (!completion_settle(completion, outcome_word)) {
        end(completion);
    }
}

/* --- The provider ---------------------------------------------------------------------------- */

static void on_chunk(struct model_call *call, struct slice mended,
                     const struct completion_chunk *chunk)
{
    struct completion *completion = call->context;
    budget_follow(&completion->reservation, call);
    if (chunk->is_usage_only && call->hides_usage) {
        return;
    }
    send_head(completion);
    write_text(completion, "data: ");
    stream_write(completion->stream, mended);
    write_text(completion, "\n\n");
    model_call_follow(call, completion->stream);
}

static void on_done(struct model_call *call, const struct model_outcome *outcome)
{
    struct completion *completion = call->context;
    completion->outcome = *outcome;
    settle(completion, outcome->failure == MODEL_OK ? OUTCOME_OK : OUTCOME_FAILED);
}

const struct model_call_handlers completion_stream_call_handlers = {
    .chunk = on_chunk, .done = on_done, .drop_usage = completion_drop_usage};

/* --- The client ------------------------------------------------------------------------------ */

static void on_start(struct stream *stream, void *context)
{
    struct completion *completion = context;
    completion->stream = stream;
    metrics_present(completion->chat->app->metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS,
                    1);
    stream_set_timer(stream, chat_head_after(completion->chat));
    model_call_start(&completion->call, stream_pump(stream));
}

static void on_timer(struct stream *stream, void *context)
{
    struct completion *completion = context;
    (void)stream;
    send_head(completion);
    write_text(completion, ": ping\n\n");
}

static void on_lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct completion *completion = context;
    (void)stream;
    model_call_pause(&completion->call, is_lagging);
}

static void stop(struct completion *completion, enum model_failure failure)
{
    if (!completion->is_settling) {
        model_call_cancel(&completion->call);
        completion->outcome = (struct model_outcome){.failure = failure};
        settle(completion, OUTCOME_CUT_OFF);
    }
}

static void on_client_gone(struct stream *stream, void *context)
{
    (void)stream;
    stop(context, MODEL_BAD_ANSWER);
}

static void on_shutdown(struct stream *stream, void *context)
{
    (void)stream;
    stop(context, MODEL_STOPPED);
}

static void on_settled(struct stream *stream, void *context)
{
    (void)stream;
    end(context);
}

static void on_ended(struct stream *stream, void *context)
{
    struct completion *completion = context;
    (void)stream;
    metrics_present(completion->chat->app->metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS,
                    -1);
    completion_release(completion);
}

const struct stream_handlers completion_stream_handlers = {
    .start = on_start,
    .lagging = on_lagging,
    .client_gone = on_client_gone,
    .timer = on_timer,
    .offloaded = on_settled,
    .shutdown = on_shutdown,
    .ended = on_ended,
};
