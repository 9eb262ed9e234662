/*
 * chat/model_call: the provider's side of a request.
 *
 * Two sources feed the same reading of chunks: an upstream call, through the parser of event
 * streams, and the demo, through a timer.
 */
#include "model_call.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "chat.h"
#include "log/log.h"
#include "transport/pump_upstream.h"

#define ERROR_BODY_MAXIMUM   ((size_t)64 << 10) /* read of an error */
#define ERROR_SHOWN_MAXIMUM  ((size_t)2 << 10)  /* passed on of it */
#define SCRATCH_MAXIMUM      ((size_t)64 << 20)
#define HEADER_LINES_MAXIMUM 7
#define USER_AGENT           "User-Agent: quintet/" PACKAGE_VERSION

const char *model_failure_text(enum model_failure failure)
{
    static const char *const words[] = {
        [MODEL_OK] = "ok",
        [MODEL_RATE_LIMITED] = "rate_limited",
        [MODEL_UNKNOWN] = "model_not_found",
        [MODEL_REFUSED] = "refused",
        [MODEL_TOO_LARGE] = "too_large",
        [MODEL_UNAVAILABLE] = "unavailable",
        [MODEL_TIMEOUT] = "timeout",
        [MODEL_BAD_ANSWER] = "bad_answer",
        [MODEL_STOPPED] = "stopped",
    };
    return words[failure];
}

/* --- The end --------------------------------------------------------------------------------- */

static void demo_tick(void *context);
static void look_at_client(void *context);

static void stop_timer(struct model_call *call, pump_expired *expired)
{
    enum status ignored = pump_set_timer(call->pump, -1, expired, call);
    (void)ignored; /* taking a timer back cannot fail */
}

static void stop_sources(struct model_call *call)
{
    if (call->upstream != NULL) {
        upstream_cancel(call->upstream);
        call->upstream = NULL;
    }
    if (call->demo != NULL && call->pump != NULL) {
        stop_timer(call, demo_tick);
    }
    if (call->client != NULL) {
        stop_timer(call, look_at_client);
        call->client = NULL;
    }
}

static void report(struct model_call *call, const struct model_outcome *outcome)
{
    struct metrics *metrics = call->chat->app->metrics;
    const char *provider = call->choice.provider->name;
    metrics_observe(metrics, METRIC_PROVIDER_LATENCY,
                    METRIC_LABELS(provider, call->is_streamed ? "chat_stream" : "chat"),
                    clock_monotonic_nanoseconds() - call->started);
    if (outcome->failure == MODEL_OK) {
        return;
    }
    const char *word = model_failure_text(outcome->failure);
    metrics_add(metrics, METRIC_CHAT_COMPLETION_ERRORS, METRIC_LABELS(provider, word), 1);
    log_write(LOG_WARNING, "provider_failed", LOG_TEXT("provider", provider),
              LOG_TEXT("model", call->choice.full_id), LOG_TEXT("error_type", word),
              LOG_INTEGER("provider_status", outcome->status_code));
}

static void finish(struct model_call *call, struct model_outcome *outcome)
{
    if (call->is_over) {
        return;
    }
    call->is_over = true;
    outcome->status_code = call->status_code;
    report(call, outcome);
    call->handlers->done(call, outcome);
}

static void fail(struct model_call *call, enum model_failure failure)
{
    struct model_outcome outcome = {.failure = failure, .retry_after = call->retry_after};
    stop_sources(call);
    finish(call, &outcome);
}

static void succeed(struct model_call *call)
{
    struct model_outcome outcome = {.failure = MODEL_OK};
    finish(call, &outcome);
}

/* The end of a stream, announced or not: without a finish reason it was cut off. */
static void end_stream(struct model_call *call)
{
    if (completion_is_complete(&call->progress)) {
        succeed(call);
    } else {
        fail(call, MODEL_BAD_ANSWER);
    }
}

/* --- Chunks ---------------------------------------------------------------------------------- */

static void take_chunk(struct model_call *call, struct slice text)
{
    struct buffer *frame = &call->chat->frame;
    struct completion_chunk chunk;
    buffer_reset(frame);
    enum status status =
        completion_read_chunk(text, call->hides_usage, &call->progress, &chunk, frame);
    if (status != STATUS_OK) {
        fail(call, status == STATUS_NO_MEMORY ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER);
        return;
    }
    if (chunk.has_error) {
        fail(call, MODEL_UNAVAILABLE);
        return;
    }
    call->has_answered = true;
    if (call->first_chunk_at == 0) {
        call->first_chunk_at = clock_monotonic_nanoseconds();
        metrics_observe(call->chat->app->metrics, METRIC_CHAT_TIME_TO_FIRST_TOKEN,
                        METRIC_LABELS(call->choice.provider->name),
                        call->first_chunk_at - call->started);
    }
    call->handlers->chunk(call, (struct slice){buffer_text(frame), frame->length}, &chunk);
    chat_trim(frame);
}

static void on_event(const struct sse_event *event, void *context)
{
    struct model_call *call = context;
    if (call->is_over) {
        return;
    }
    struct slice data = slice_trim(event->data);
    if (slice_equals(event->type, "error")) {
        fail(call, MODEL_UNAVAILABLE);
    } else if (data.length == 0 || slice_equals(event->type, "ping")) {
        return; /* keeps the connection open, as comments do */
    } else if (slice_equals(data, "[DONE]")) {
        end_stream(call);
    } else {
        take_chunk(call, data);
    }
}

/* --- Whole answers --------------------------------------------------------------------------- */

static void take_as_chunk(struct model_call *call, struct slice whole, bool of_usage)
{
    struct buffer *made = &call->chat->chunk;
    buffer_reset(made);
    if (completion_write_as_chunk(whole, of_usage, made) != STATUS_OK) {
        fail(call, MODEL_UNAVAILABLE);
        return;
    }
    take_chunk(call, (struct slice){buffer_text(made), made->length});
    chat_trim(made);
}

static void take_whole(struct model_call *call)
{
    struct slice text = {buffer_text(&call->answer), call->answer.length};
    struct completion_chunk chunk;
    enum status status = completion_read_whole(text, &call->scratch, &call->progress, &chunk);
    arena_destroy(&call->scratch);
    if (status != STATUS_OK) {
        bool is_ours = status == STATUS_NO_MEMORY || status == STATUS_UNAVAILABLE;
        fail(call, is_ours ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER);
        return;
    }
    call->has_answered = true;
    if (!call->is_streamed) {
        succeed(call);
        return;
    }
    /* A provider that does not stream: what it said is one chunk, its usage another. */
    bool has_usage = call->progress.has_usage;
    call->progress = (struct completion_progress){0};
    take_as_chunk(call, text, false);
    if (!call->is_over && has_usage) {
        take_as_chunk(call, text, true);
    }
    if (!call->is_over) {
        end_stream(call);
    }
}

/* --- What a refusal means -------------------------------------------------------------------- */

static enum model_failure failure_of(int status_code)
{
    switch (status_code) {
    case 400:
    case 409:
    case 422:
        return MODEL_REFUSED;
    case 401:
    case 402:
    case 403:
        return MODEL_UNAVAILABLE;
    case 404:
        return MODEL_UNKNOWN;
    case 408:
    case 504:
        return MODEL_TIMEOUT;
    case 413:
        return MODEL_TOO_LARGE;
    case 429:
        return MODEL_RATE_LIMITED;
    default:
        return status_code >= 500 ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER;
    }
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void read_refusal(struct model_call *call, struct model_outcome *outcome)
{
    struct slice body = {buffer_text(&call->answer), call->answer.length};
    struct completion_error error;
    if (!completion_read_error(body, &call->scratch, &error)) {
        return;
    }
    outcome->is_too_long = contains(error.code, "context_length");
    outcome->is_filtered = contains(error.code, "content_filter") ||
                           contains(error.code, "content_policy") ||
                           contains(error.type, "content_filter");
    if (body.length <= ERROR_SHOWN_MAXIMUM) {
        outcome->body = body;
    }
}

static void refuse(struct model_call *call)
{
    struct model_outcome outcome = {.failure = failure_of(call->status_code),
                                    .retry_after = call->retry_after};
    if (outcome.failure == MODEL_REFUSED || outcome.failure == MODEL_TOO_LARGE) {
        read_refusal(call, &outcome);
    }
    if (call->status_code == 401 || call->status_code == 402 || call->status_code == 403) {
        log_write(LOG_ERROR, "provider_refused_our_key",
                  LOG_TEXT("provider", call->choice.provider->name),
                  LOG_INTEGER("provider_status", call->status_code));
    }
    finish(call, &outcome);
    arena_destroy(&call->scratch);
}

/* --- Upstream -------------------------------------------------------------------------------- */

static bool is_success(const struct model_call *call)
{
    return call->status_code == 200;
}

static void on_answered(struct upstream_call *upstream, int status_code, void *context)
{
    struct model_call *call = context;
    call->status_code = status_code;
    call->retry_after = (upstream_retry_after(upstream) + 999) / 1000;
    if (!is_success(call)) {
        call->answer.maximum = ERROR_BODY_MAXIMUM;
        return;
    }
    if (!call->is_streamed) {
        return;
    }
    const char *type = upstream_header(upstream, "content-type");
    call->is_event_stream = type[0] == '\0' || strcasestr(type, "text/event-stream") != NULL;
    if (!call->is_event_stream && strcasestr(type, "json") == NULL) {
        fail(call, MODEL_BAD_ANSWER);
    }
}

static void on_data(struct upstream_call *upstream, struct slice bytes, void *context)
{
    struct model_call *call = context;
    (void)upstream;
    if (call->is_over) {
        return;
    }
    if (call->is_event_stream) {
        enum status status = sse_feed(&call->events, bytes, on_event, call);
        if (status != STATUS_OK && !call->is_over) {
            fail(call, status == STATUS_NO_MEMORY ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER);
        }
        return;
    }
    if (buffer_append(&call->answer, bytes.data, bytes.length) == STATUS_OK) {
        return;
    }
    if (is_success(call)) {
        fail(call, call->answer.status == STATUS_TOO_LARGE ? MODEL_BAD_ANSWER : MODEL_UNAVAILABLE);
    } else {
        /* The status has said what matters. */
        buffer_release(&call->answer);
        stop_sources(call);
        refuse(call);
    }
}

static void on_done(struct upstream_call *upstream, enum upstream_result result, void *context)
{
    struct model_call *call = context;
    (void)upstream;
    call->upstream = NULL;
    if (call->is_over) {
        return;
    }
    bool is_cut_off = result != UPSTREAM_COMPLETE;
    if (call->status_code != 0 && !is_success(call)) {
        refuse(call);
    } else if (call->is_event_stream && completion_is_complete(&call->progress)) {
        succeed(call);
    } else if (result == UPSTREAM_TIMEOUT) {
        fail(call, MODEL_TIMEOUT);
    } else if (result == UPSTREAM_UNREACHABLE || result == UPSTREAM_OVERLOADED) {
        fail(call, MODEL_UNAVAILABLE);
    } else if (is_cut_off || call->is_event_stream) {
        fail(call, MODEL_BAD_ANSWER);
    } else {
        take_whole(call);
    }
}

static void start_upstream(struct model_call *call)
{
    static const struct upstream_handlers handlers = {
        .answered = on_answered, .data = on_data, .done = on_done};
    const struct config *config = call->chat->app->config;
    struct upstream *upstream = upstream_of_pump(call->pump, config->upstream_ca_path);
    struct upstream_request request = {
        .method = "POST",
        .url = call->choice.provider->url,
        .headers = call->headers,
        .body = call->body,
        .connect_timeout_milliseconds = (unsigned)config->upstream_connect_timeout * 1000,
        .first_byte_timeout_milliseconds = (unsigned)config->upstream_first_byte_timeout * 1000,
        .idle_timeout_milliseconds = (unsigned)config->upstream_idle_timeout * 1000,
        .total_timeout_milliseconds = (unsigned)config->upstream_total_timeout * 1000,
    };
    if (upstream == NULL ||
        upstream_start(upstream, &request, &handlers, call, &call->upstream) != STATUS_OK) {
        call->upstream = NULL;
        fail(call, MODEL_UNAVAILABLE);
    }
}

/* --- The demo -------------------------------------------------------------------------------- */

static void demo_tick(void *context)
{
    struct model_call *call = context;
    struct buffer *made = &call->chat->chunk;
    while (!call->is_over && !call->is_paused) {
        buffer_reset(made);
        if (!demo_write_chunk(call->demo, made)) {
            end_stream(call);
            return;
        }
        if (buffer_status(made) != STATUS_OK) {
            fail(call, MODEL_UNAVAILABLE);
            return;
        }
        take_chunk(call, (struct slice){buffer_text(made), made->length});
        chat_trim(made);
        if (call->is_paced && !call->is_over) {
            if (pump_set_timer(call->pump, call->demo->word_milliseconds, demo_tick, call) !=
                STATUS_OK) {
                fail(call, MODEL_UNAVAILABLE);
            }
            return;
        }
    }
}

static void start_demo(struct model_call *call)
{
    call->status_code = 200;
    if (call->is_streamed) {
        demo_tick(call);
        return;
    }
    demo_write_whole(call->demo, &call->answer);
    if (buffer_status(&call->answer) != STATUS_OK) {
        fail(call, MODEL_UNAVAILABLE);
        return;
    }
    take_whole(call);
}

/* --- For the owner --------------------------------------------------------------------------- */

static enum status prepare_headers(struct model_call *call, struct arena *arena)
{
    const char **lines = arena_allocate(arena, HEADER_LINES_MAXIMUM * sizeof *lines);
    if (lines == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t count = 0;
    lines[count++] = "Content-Type: application/json";
    lines[count++] = USER_AGENT;
    lines[count++] = call->is_streamed ? "Accept: text/event-stream" : "Accept: application/json";
    if (call->choice.provider->authorization != NULL) {
        lines[count++] = call->choice.provider->authorization;
    }
    if (call->traceparent != NULL) {
        lines[count] = arena_format(arena, "traceparent: %s", call->traceparent);
        if (lines[count++] == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    if (call->tracestate != NULL) {
        lines[count] = arena_format(arena, "tracestate: %s", call->tracestate);
        if (lines[count++] == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    lines[count] = NULL;
    call->headers = lines;
    return STATUS_OK;
}

enum status model_call_prepare(struct model_call *call, struct arena *arena)
{
    buffer_init(&call->answer, MODEL_ANSWER_MAXIMUM);
    sse_init(&call->events);
    arena_init(&call->scratch, SCRATCH_MAXIMUM);
    if (call->choice.provider->url != NULL) {
        return prepare_headers(call, arena);
    }
    call->demo = arena_allocate(arena, sizeof *call->demo);
    return call->demo == NULL ? STATUS_NO_MEMORY
                              : demo_prepare(arena, call->body, call->choice.model, call->demo);
}

void model_call_start(struct model_call *call, struct pump *pump)
{
    call->pump = pump;
    call->started = clock_monotonic_nanoseconds();
    if (call->demo != NULL) {
        start_demo(call);
    } else {
        start_upstream(call);
    }
}

void model_call_pause(struct model_call *call, bool paused)
{
    if (call->is_over || call->pump == NULL || call->is_paused == paused) {
        return;
    }
    call->is_paused = paused;
    if (call->upstream != NULL) {
        upstream_pause(call->upstream, paused);
    } else if (call->demo != NULL &&
               pump_set_timer(call->pump, paused ? -1 : 0, demo_tick, call) != STATUS_OK) {
        fail(call, MODEL_UNAVAILABLE);
    }
}

/* A moment later the pump has sent what it could. A client that lags still will be told of by
 * `lagging` when it has caught up; one that has caught up meanwhile never counted as lagging. */
static void look_at_client(void *context)
{
    struct model_call *call = context;
    struct stream *client = call->client;
    call->client = NULL;
    if (!stream_is_lagging(client)) {
        model_call_pause(call, false);
    }
}

void model_call_follow(struct model_call *call, struct stream *client)
{
    if (call->is_paused || call->is_over || !stream_is_lagging(client)) {
        return;
    }
    call->client = client;
    if (pump_set_timer(call->pump, 1, look_at_client, call) == STATUS_OK) {
        model_call_pause(call, true);
    }
}

void model_call_cancel(struct model_call *call)
{
    call->is_over = true;
    stop_sources(call);
}

void model_call_release(struct model_call *call)
{
    if (call->handlers == NULL) {
        return;
    }
    model_call_cancel(call);
    buffer_release(&call->answer);
    sse_release(&call->events);
    arena_destroy(&call->scratch);
}

struct token_usage model_call_usage(const struct model_call *call)
{
    const struct completion_progress *progress = &call->progress;
    if (progress->has_usage) {
        return (struct token_usage){.input_tokens = progress->input_tokens,
                                    .output_tokens = progress->output_tokens};
    }
    if (call->started == 0) {
        return (struct token_usage){0};
    }
    return (struct token_usage){
        .input_tokens = usage_estimate_tokens(call->input_characters),
        .output_tokens = usage_estimate_tokens(progress->output_characters),
        .is_estimated = true,
    };
}
