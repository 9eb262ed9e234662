/*
 * chat/model_call: the provider's side of a request.
 *
 * Two sources feed the same reading of chunks: an upstream call, through answer_body, and the demo,
 * through a timer.
 */
#include "model_call.h"

#include <string.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/random.h"
#include "chat.h"
#include "log/log.h"
#include "transport/pump_upstream.h"

#define ERROR_BODY_MAXIMUM   ((size_t)64 << 10) /* read of an error */
#define SCRATCH_MAXIMUM      ((size_t)64 << 20)
#define HEADER_LINES_MAXIMUM 7
/* An answer as large is read in one turn of the pump and passed on in another. */
#define STEP_BYTES ((size_t)1 << 20)
/* Milliseconds: of the first rest, and the longest a provider may ask for. */
#define REST_FIRST   250
#define REST_MAXIMUM 5000
#define USER_AGENT   "User-Agent: quintet/" PACKAGE_VERSION

/* --- The end --------------------------------------------------------------------------------- */

static void demo_tick(void *context);
static void look_at_client(void *context);
static void start_upstream(void *context);
static void take_whole_as_chunks(void *context);

static void stop_timer(struct model_call *call, pump_expired *expired)
{
    enum status ignored = pump_set_timer(call->pump, -1, expired, call);
    (void)ignored; /* taking a timer back cannot fail */
}

static void stop_sources(struct model_call *call)
{
    if (call->upstream != NULL) {
        call->was_sent = call->was_sent || upstream_has_sent(call->upstream);
        upstream_cancel(call->upstream);
        call->upstream = NULL;
    }
    if (call->is_resting) {
        call->is_resting = false;
        stop_timer(call, start_upstream);
    }
    if (call->demo != NULL && call->pump != NULL) {
        stop_timer(call, demo_tick);
    }
    if (call->answer.length >= STEP_BYTES) {
        stop_timer(call, take_whole_as_chunks);
    }
    if (call->client != NULL) {
        stop_timer(call, look_at_client);
        call->client = NULL;
    }
}

/* Of each try; an error is counted only when the call has come to its end. */
static void report(struct model_call *call, const struct model_outcome *outcome)
{
    struct metrics *metrics = call->chat->app->metrics;
    const char *provider = call->choice.provider->name;
    const char *operation = call->is_streamed ? "chat_completion_stream" : "chat_completion";
    metrics_observe(metrics, METRIC_PROVIDER_LATENCY, METRIC_LABELS(provider, operation),
                    clock_monotonic_nanoseconds() - call->started);
    if (outcome->failure == MODEL_OK) {
        return;
    }
    const char *word = model_failure_text(outcome->failure);
    if (call->is_over) {
        metrics_add(metrics, METRIC_CHAT_COMPLETION_ERRORS, METRIC_LABELS(provider, word), 1);
    }
    log_write(LOG_WARNING, call->is_over ? "provider_failed" : "provider_tried_again",
              LOG_TEXT("provider", provider), LOG_TEXT("model", call->choice.full_id),
              LOG_TEXT("error_type", word), LOG_INTEGER("provider_status", call->status_code),
              LOG_INTEGER("retries", call->retries));
}

/* Seconds, of which a part is a whole one. */
static int64_t whole_seconds(int64_t milliseconds)
{
    return (milliseconds + 999) / 1000;
}

static void finish(struct model_call *call, struct model_outcome *outcome)
{
    if (call->is_over) {
        return;
    }
    call->is_over = true;
    outcome->status_code = call->status_code;
    outcome->retry_after = whole_seconds(call->retry_after);
    report(call, outcome);
    call->handlers->done(call, outcome);
}

static bool is_success(const struct model_call *call)
{
    return call->status_code == 200;
}

/* A whole answer that is cut off has been paid for as far as it came, just like the chunks of a
 * stream: its text counts, and so does the usage that it told once a choice had begun. */
static void count_cut_off(struct model_call *call)
{
    const struct buffer *text = &call->received.text;
    if (call->received.form == ANSWER_TEXT && is_success(call) && !call->has_answered) {
        arena_reset(&call->scratch);
        completion_read_cut_off((struct slice){buffer_text(text), text->length}, &call->scratch,
                                &call->progress);
        call->has_answered = call->progress.output_weight > 0 ||
                             (call->progress.has_usage && completion_is_complete(&call->progress));
    }
}

static void fail(struct model_call *call, enum model_failure failure)
{
    struct model_outcome outcome = {.failure = failure};
    stop_sources(call);
    count_cut_off(call);
    finish(call, &outcome);
}

static void fail_to_read(struct model_call *call, enum status status)
{
    fail(call, status == STATUS_NO_MEMORY ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER);
}

static void succeed(struct model_call *call)
{
    struct model_outcome outcome = {.failure = MODEL_OK};
    finish(call, &outcome);
}

/* --- Trying again ---------------------------------------------------------------------------- */

/* Before the next try. Nothing has been folded: there is no next try once a chunk has come. */
static void forget_answer(struct model_call *call)
{
    answer_body_release(&call->received);
    answer_body_init(&call->received, MODEL_ANSWER_MAXIMUM);
    arena_reset(&call->scratch);
    call->progress = (struct completion_progress){0};
    call->status_code = 0;
    call->retry_after = 0;
    call->was_sent = false;
    call->was_refused = false;
}

static int64_t rest_of(const struct model_call *call)
{
    if (call->retry_after > 0) {
        return call->retry_after;
    }
    int64_t rest = (int64_t)REST_FIRST << call->retries;
    return rest - rest / 4 + (int64_t)random_below((uint64_t)rest / 2);
}

/* Milliseconds that are left until the first byte must have come. */
static int64_t time_left(const struct model_call *call)
{
    int64_t whole = call->chat->app->config->upstream_first_byte_timeout * 1000;
    int64_t passed = (int64_t)((clock_monotonic_nanoseconds() - call->started) / 1000000);
    return whole - passed;
}

static bool is_passing(int status_code)
{
    static const int codes[] = {429, 500, 502, 503, 529};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i] == status_code) {
            return true;
        }
    }
    return false;
}

/* True when there will be another try; the outcome of this one is reported. */
static bool try_again(struct model_call *call, struct model_outcome *outcome)
{
    int64_t rest = rest_of(call);
    if (call->retries >= (unsigned)call->chat->app->config->upstream_retries ||
        call->has_answered || rest > REST_MAXIMUM || rest >= time_left(call) ||
        pump_set_timer(call->pump, rest, start_upstream, call) != STATUS_OK) {
        return false;
    }
    report(call, outcome);
    call->retries++;
    call->is_resting = true;
    forget_answer(call);
    return true;
}

/* The provider does not take what we added to the request: asked without it at once. */
static bool try_without_usage(struct model_call *call)
{
    if (!call->asks_usage || call->handlers->drop_usage == NULL ||
        call->handlers->drop_usage(call) != STATUS_OK) {
        return false;
    }
    call->asks_usage = false;
    call->hides_usage = false;
    chat_note_stream_options_refused(call->chat, call->choice.provider);
    forget_answer(call);
    start_upstream(call);
    return true;
}

/* --- Refusals -------------------------------------------------------------------------------- */

/* An error where an answer, or its next chunk, should have been. */
static void fail_with(struct model_call *call, struct slice text)
{
    struct provider_error error;
    struct model_outcome outcome = {.failure = MODEL_UNAVAILABLE};
    /* The text may stand in the arena, so it is not emptied here. */
    if (provider_error_read(text, &call->scratch, &error) == STATUS_OK) {
        model_outcome_understand(&error, error.status_code != 0 ? error.status_code : 503,
                                 &outcome);
    }
    stop_sources(call);
    finish(call, &outcome);
}

static void refuse(struct model_call *call)
{
    struct provider_error error = {0};
    struct model_outcome outcome = {.failure = MODEL_UNAVAILABLE};
    struct slice body = {buffer_text(&call->received.text), call->received.text.length};
    int code = call->status_code;
    call->was_refused = true;
    if (provider_error_read(body, &call->scratch, &error) != STATUS_OK) {
        error = (struct provider_error){0};
    }
    model_outcome_understand(&error, code, &outcome);
    if ((code == 400 || code == 422) && error.refuses_stream_options && try_without_usage(call)) {
        return;
    }
    if (outcome.failure != MODEL_REFUSED && is_passing(code) && try_again(call, &outcome)) {
        return;
    }
    if (code == 401 || code == 402 || code == 403) {
        log_write(LOG_ERROR, "provider_refused_our_key",
                  LOG_TEXT("provider", call->choice.provider->name),
                  LOG_INTEGER("provider_status", code));
    }
    finish(call, &outcome);
}

/* The end of a stream, announced or not: without a finish reason it was cut off. */
static void end_stream(struct model_call *call)
{
    bool is_folded = call->fold.root != NULL;
    if (!completion_is_complete(&call->progress)) {
        fail(call, MODEL_BAD_ANSWER);
    } else if (is_folded && completion_fold_write(&call->fold, &call->answer) != STATUS_OK) {
        fail(call, MODEL_UNAVAILABLE);
    } else {
        succeed(call);
    }
}

/* --- Chunks ---------------------------------------------------------------------------------- */

static void take_chunk(struct model_call *call, struct completion_progress *progress,
                       struct slice text)
{
    struct buffer *frame = &call->chat->frame;
    struct completion_chunk chunk;
    buffer_reset(frame);
    arena_reset(&call->scratch);
    enum status status =
        completion_read_chunk(text, call->hides_usage, &call->scratch, progress, &chunk, frame);
    if (status != STATUS_OK) {
        fail_to_read(call, status);
        return;
    }
    if (chunk.error.length > 0) {
        fail_with(call, chunk.error);
        return;
    }
    if (chunk.is_nothing) {
        return;
    }
    call->has_answered = true;
    struct slice fit = chunk.is_changed ? (struct slice){buffer_text(frame), frame->length} : text;
    if (!call->is_streamed) {
        status = completion_fold_add(&call->fold, fit);
        if (status != STATUS_OK) {
            fail_to_read(call, status);
        }
        chat_trim(frame);
        return;
    }
    if (call->first_chunk_at == 0) {
        call->first_chunk_at = clock_monotonic_nanoseconds();
        metrics_observe(call->chat->app->metrics, METRIC_CHAT_TIME_TO_FIRST_TOKEN,
                        METRIC_LABELS(call->choice.provider->name),
                        call->first_chunk_at - call->started);
    }
    call->handlers->chunk(call, fit, &chunk);
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
        fail_with(call, data);
    } else if (data.length == 0 || slice_equals(event->type, "ping")) {
        return; /* keeps the connection open, as comments do */
    } else if (slice_equals_ignoring_case(data, "[DONE]")) {
        end_stream(call);
    } else {
        take_chunk(call, &call->progress, data);
    }
}

/* --- Whole answers --------------------------------------------------------------------------- */

static void take_as_chunk(struct model_call *call, struct completion_progress *progress,
                          struct slice whole, bool of_usage)
{
    struct buffer *made = &call->chat->chunk;
    buffer_reset(made);
    if (completion_write_as_chunk(whole, of_usage, call->hides_usage, made) != STATUS_OK) {
        fail(call, MODEL_UNAVAILABLE);
        return;
    }
    take_chunk(call, progress, (struct slice){buffer_text(made), made->length});
    chat_trim(made);
}

/* For a provider that does not stream: its text becomes one chunk, its usage another. call->progress
 * stays as it was read from the whole, so that the usage counts even if passing it on fails. */
static void take_whole_as_chunks(void *context)
{
    struct model_call *call = context;
    struct slice text = {buffer_text(&call->answer), call->answer.length};
    struct completion_progress of_chunks = {0};
    take_as_chunk(call, &of_chunks, text, false);
    if (!call->is_over && call->progress.has_usage) {
        take_as_chunk(call, &of_chunks, text, true);
    }
    if (!call->is_over) {
        end_stream(call);
    }
}

static void take_whole(struct model_call *call)
{
    struct buffer *received = &call->received.text;
    struct slice text = {buffer_text(received), received->length};
    struct completion_chunk chunk;
    enum status status =
        completion_read_whole(text, &call->scratch, &call->progress, &chunk, &call->answer);
    if (status == STATUS_UNAVAILABLE) {
        fail_with(call, chunk.error);
        return;
    }
    if (status != STATUS_OK) {
        fail_to_read(call, status);
        return;
    }
    if (!chunk.is_changed) {
        buffer_release(&call->answer);
        call->answer = *received;
        buffer_init(received, MODEL_ANSWER_MAXIMUM);
    }
    buffer_release(received);
    arena_reset(&call->scratch);
    call->has_answered = true;
    if (!call->is_streamed) {
        succeed(call);
    } else if (call->answer.length < STEP_BYTES ||
               pump_set_timer(call->pump, 0, take_whole_as_chunks, call) != STATUS_OK) {
        take_whole_as_chunks(call);
    }
}

/* --- Upstream -------------------------------------------------------------------------------- */

static void on_answered(struct upstream_call *upstream, int status_code, void *context)
{
    struct model_call *call = context;
    call->status_code = status_code;
    call->retry_after = upstream_retry_after(upstream);
    if (!is_success(call)) {
        call->received.text.maximum = ERROR_BODY_MAXIMUM;
    }
}

static void on_data(struct upstream_call *upstream, struct slice bytes, void *context)
{
    struct model_call *call = context;
    (void)upstream;
    if (call->is_over) {
        return;
    }
    if (is_success(call)) {
        enum status status = answer_body_feed(&call->received, bytes, on_event, call);
        if (status != STATUS_OK && !call->is_over) {
            fail_to_read(call, status);
        }
    } else if (buffer_append(&call->received.text, bytes.data, bytes.length) != STATUS_OK) {
        /* The status, and the beginning, have said what matters. */
        stop_sources(call);
        refuse(call);
    }
}

static void on_done(struct upstream_call *upstream, enum upstream_result result, void *context)
{
    struct model_call *call = context;
    struct model_outcome unreachable = {.failure = MODEL_UNAVAILABLE};
    call->was_sent = call->was_sent || upstream_has_sent(upstream);
    call->upstream = NULL;
    if (call->is_over) {
        return;
    }
    if (result == UPSTREAM_COMPLETE && is_success(call)) {
        enum status status = answer_body_end(&call->received, on_event, call);
        if (status != STATUS_OK && !call->is_over) {
            fail_to_read(call, status);
        }
        if (call->is_over) {
            return;
        }
    }
    enum answer_form form = call->received.form;
    bool is_stream = form == ANSWER_EVENTS || form == ANSWER_VALUES;
    if (call->status_code != 0 && !is_success(call)) {
        refuse(call);
    } else if (is_stream && completion_is_complete(&call->progress)) {
        end_stream(call);
    } else if (result == UPSTREAM_TIMEOUT) {
        call->was_abandoned = true;
        fail(call, MODEL_TIMEOUT);
    } else if (result == UPSTREAM_UNREACHABLE && try_again(call, &unreachable)) {
        return;
    } else if (result == UPSTREAM_UNREACHABLE || result == UPSTREAM_OVERLOADED) {
        fail(call, MODEL_UNAVAILABLE);
    } else if (result != UPSTREAM_COMPLETE || is_stream) {
        fail(call, MODEL_BAD_ANSWER);
    } else {
        take_whole(call);
    }
}

/* Also what a timer calls for another try. */
static void start_upstream(void *context)
{
    struct model_call *call = context;
    int64_t first_byte = time_left(call);
    static const struct upstream_handlers handlers = {
        .answered = on_answered, .data = on_data, .done = on_done};
    const struct config *config = call->chat->app->config;
    call->is_resting = false;
    struct upstream *upstream = upstream_of_pump(call->pump, config->upstream_ca_path);
    struct upstream_request request = {
        .method = "POST",
        .url = call->choice.provider->url,
        .headers = call->headers,
        .body = call->body,
        .connect_timeout_milliseconds = (unsigned)config->upstream_connect_timeout * 1000,
        .first_byte_timeout_milliseconds = first_byte > 0 ? (unsigned)first_byte : 1,
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
        take_chunk(call, &call->progress, (struct slice){buffer_text(made), made->length});
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
    call->was_sent = true;
    if (call->is_streamed) {
        demo_tick(call);
        return;
    }
    demo_write_whole(call->demo, &call->received.text);
    if (buffer_status(&call->received.text) != STATUS_OK) {
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
    char traceparent[CONTEXT_TRACEPARENT_SIZE];
    if (context_traceparent(context_current(), traceparent)) {
        lines[count] = arena_format(arena, "traceparent: %s", traceparent);
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
    /* A mended answer may be longer than the one that came. */
    buffer_init(&call->answer, 2 * MODEL_ANSWER_MAXIMUM);
    answer_body_init(&call->received, MODEL_ANSWER_MAXIMUM);
    completion_fold_init(&call->fold, MODEL_ANSWER_MAXIMUM);
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
    if (!call->is_over) {
        call->was_abandoned = true;
        count_cut_off(call);
    }
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
    answer_body_release(&call->received);
    completion_fold_release(&call->fold);
    arena_destroy(&call->scratch);
}

struct token_usage model_call_usage(const struct model_call *call)
{
    const struct completion_progress *progress = &call->progress;
    if (!call->has_answered && !(call->was_sent && call->was_abandoned)) {
        return (struct token_usage){0};
    }
    int64_t input = progress->has_usage ? progress->input_tokens : COMPLETION_UNTOLD;
    int64_t output = progress->has_usage ? progress->output_tokens : COMPLETION_UNTOLD;
    /* The text that came after the provider last told the output. */
    int64_t told = output != COMPLETION_UNTOLD ? progress->told_weight : 0;
    int64_t more = usage_estimate_tokens(progress->output_weight - told);
    return (struct token_usage){
        .input_tokens =
            input != COMPLETION_UNTOLD ? input : usage_estimate_tokens(call->input_weight),
        .output_tokens = (output != COMPLETION_UNTOLD ? output : 0) + more,
        .is_estimated = input == COMPLETION_UNTOLD || output == COMPLETION_UNTOLD || more > 0,
    };
}
