/*
 * chat/completions: the beginning of every completion, and the whole of those not streamed.
 */
#include "completions.h"

#include <string.h>

#include "accounting.h"
#include "chat.h"
#include "failures.h"

#define OPERATION "completion"

/* How long a whole answer is waited for when the program stops; half of what the transport waits. */
#define STOP_AFTER_MILLISECONDS 15000

/* --- For both kinds -------------------------------------------------------------------------- */

/* On a worker. */
static void write_ledger(void *context)
{
    struct completion *completion = context;
    /* The answer has been paid for: the client gets it all the same. */
    enum status ignored =
        ledger_queue_insert(&chat_of(completion->request)->ledger, &completion->entry);
    (void)ignored;
}

bool completion_settle(struct completion *completion, const char *outcome_word)
{
    completion->is_settling = true;
    completion->outcome_word = outcome_word;
    if (!accounting_is_due(&completion->call)) {
        return false;
    }
    accounting_fill(completion->request, &completion->call, OPERATION, outcome_word,
                    completion->asked.is_streamed, &completion->entry);
    accounting_count(&completion->call, outcome_word);
    stream_offload(completion->stream, write_ledger);
    return true;
}

void completion_release(struct completion *completion)
{
    budget_release(&completion->reservation);
    model_call_release(&completion->call);
}

/* --- Answers that are not streamed ----------------------------------------------------------- */

static void answer(struct completion *completion)
{
    struct request *request = completion->request;
    budget_release(&completion->reservation);
    if (stream_client_has_gone(completion->stream)) {
        stream_end(completion->stream);
        return;
    }
    if (completion->outcome.failure == MODEL_OK) {
        /* The text of the answer goes out without another copy. */
        (void)response_json(request, 200);
        buffer_release(&request->response.body);
        request->response.body = completion->call.answer;
        buffer_init(&completion->call.answer, 2 * MODEL_ANSWER_MAXIMUM);
    } else {
        failure_answer_openai(request, &completion->outcome);
    }
    response_stream_whole(request, completion->stream);
}

static void on_call_done(struct model_call *call, const struct model_outcome *outcome)
{
    struct completion *completion = call->context;
    completion->outcome = *outcome;
    if (!completion_settle(completion,
                           outcome->failure == MODEL_OK ? OUTCOME_OK : OUTCOME_FAILED)) {
        answer(completion);
    }
}

enum status completion_drop_usage(struct model_call *call)
{
    struct completion *completion = call->context;
    return completion_request_write(&completion->asked, completion->request->arena,
                                    call->choice.model, false, &call->body);
}

static const struct model_call_handlers call_handlers = {.done = on_call_done};

static void on_start(struct stream *stream, void *context)
{
    struct completion *completion = context;
    completion->stream = stream;
    model_call_start(&completion->call, stream_pump(stream));
}

static void on_client_gone(struct stream *stream, void *context)
{
    struct completion *completion = context;
    if (completion->is_settling) {
        return;
    }
    model_call_cancel(&completion->call);
    if (!completion_settle(completion, OUTCOME_CUT_OFF)) {
        stream_end(stream);
    }
}

static void on_settled(struct stream *stream, void *context)
{
    (void)stream;
    answer(context);
}

/* The answer may still come in time. */
static void on_shutdown(struct stream *stream, void *context)
{
    struct completion *completion = context;
    if (!completion->is_settling) {
        stream_set_timer(stream, STOP_AFTER_MILLISECONDS);
    }
}

/* It has not: the ledger is told before the transport ends the program. */
static void on_timer(struct stream *stream, void *context)
{
    struct completion *completion = context;
    (void)stream;
    if (completion->is_settling) {
        return;
    }
    model_call_cancel(&completion->call);
    completion->outcome = (struct model_outcome){.failure = MODEL_STOPPED};
    if (!completion_settle(completion, OUTCOME_CUT_OFF)) {
        answer(completion);
    }
}

static void on_ended(struct stream *stream, void *context)
{
    (void)stream;
    completion_release(context);
}

static const struct stream_handlers whole_handlers = {
    .start = on_start,
    .client_gone = on_client_gone,
    .timer = on_timer,
    .offloaded = on_settled,
    .shutdown = on_shutdown,
    .ended = on_ended,
};

/* --- The beginning --------------------------------------------------------------------------- */

static void refuse(struct request *request, const struct completion_fault *fault)
{
    problem_set_openai(request, "invalid_request_error", fault->param, fault->code);
    problem_answer(request, PROBLEM_INVALID_REQUEST, fault->message);
}

static void refuse_model(struct request *request)
{
    problem_set_openai(request, "invalid_request_error", "model", "model_not_found");
    problem_answer(request, PROBLEM_NOT_FOUND, "The model does not exist");
}

static void refuse_budget(struct request *request, int64_t retry_after)
{
    problem_set_retry_after(request, retry_after);
    problem_set_openai(request, "insufficient_quota", NULL, "budget_exhausted");
    problem_set_should_retry(request, false);
    problem_answer(request, PROBLEM_BUDGET_EXHAUSTED, NULL);
}

static enum status reserve(struct completion *completion, int64_t *retry_after)
{
    const struct request *request = completion->request;
    const struct completion_request *asked = &completion->asked;
    int64_t maximum = asked->output_maximum > 0 ? asked->output_maximum : BUDGET_OUTPUT_TOKENS;
    return budget_reserve(&completion->chat->budget, request->app->storage, request->arena,
                          &request->principal, &completion->call, maximum * asked->choices,
                          &completion->reservation, retry_after);
}

static enum status prepare_call(struct completion *completion)
{
    struct request *request = completion->request;
    struct model_call *call = &completion->call;
    struct completion_request *asked = &completion->asked;
    call->chat = completion->chat;
    call->context = completion;
    call->is_streamed = asked->is_streamed;
    call->is_paced = asked->is_streamed;
    call->tracestate = request->tracestate;
    call->input_weight = asked->input_weight;
    call->handlers = asked->is_streamed ? &completion_stream_call_handlers : &call_handlers;
    bool asks_usage =
        asked->is_streamed && chat_takes_stream_options(completion->chat, call->choice.provider);
    call->hides_usage = asks_usage && !asked->wants_usage;
    call->asks_usage = call->hides_usage;
    enum status status = completion_request_write(asked, request->arena, call->choice.model,
                                                  asks_usage, &call->body);
    return status == STATUS_OK ? model_call_prepare(call, request->arena) : status;
}

void completions_create(struct request *request)
{
    struct completion *completion = arena_allocate(request->arena, sizeof *completion);
    if (completion == NULL) {
        problem_answer_status(request, STATUS_NO_MEMORY);
        return;
    }
    completion->request = request;
    completion->chat = chat_of(request);
    struct completion_fault fault = {0};
    enum status status =
        completion_request_read(request->arena, request->body, &completion->asked, &fault);
    if (status == STATUS_INVALID) {
        refuse(request, &fault);
        return;
    }
    if (status == STATUS_OK) {
        status = catalogue_choose(completion->chat->catalogue, request->arena,
                                  completion->asked.model, &completion->call.choice);
        if (status == STATUS_NOT_FOUND) {
            refuse_model(request);
            return;
        }
    }
    if (status == STATUS_OK) {
        request->subject.provider = completion->call.choice.provider->name;
        request->subject.model = completion->call.choice.model;
    }
    int64_t retry_after = 0;
    if (status == STATUS_OK) {
        status = prepare_call(completion);
    }
    if (status == STATUS_OK) {
        status = reserve(completion, &retry_after);
    }
    if (status != STATUS_OK) {
        completion_release(completion);
        if (status == STATUS_DENIED) {
            refuse_budget(request, retry_after);
        } else if (status == STATUS_INVALID) {
            fault.message = "The messages cannot be read";
            refuse(request, &fault);
        } else {
            problem_answer_status(request, status);
        }
        return;
    }
    /* Once handed over, the request may be over before this returns. */
    if (!request_stream(
            request, completion->call.is_streamed ? &completion_stream_handlers : &whole_handlers,
            completion)) {
        completion_release(completion);
    }
}
