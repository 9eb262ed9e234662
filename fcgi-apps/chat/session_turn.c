/*
 * chat/session_turn: the states of a turn, on the pump thread.
 */
#include "session_turn.h"

#include <string.h>

#include "accounting.h"
#include "base/clock.h"
#include "failures.h"
#include "log/log.h"
#include "session_input.h"

#define OPERATION               "chat"
#define RENEW_AFTER_NANOSECONDS (UINT64_C(1000000) * SESSION_LEASE_MILLISECONDS / 3)
#define TURN_ARENA_MAXIMUM      ((size_t)64 << 20)
#define BODY_MAXIMUM            ((size_t)8 << 20)

/* --- From one state to the next -------------------------------------------------------------- */

static void set_timer(struct turn *turn)
{
    if (turn->is_over) {
        return;
    }
    const uint64_t deadlines[] = {session_gate_deadline(&turn->gate), turn->head_at,
                                  turn->renew_at};
    uint64_t earliest = 0;
    for (size_t i = 0; i < sizeof deadlines / sizeof deadlines[0]; i++) {
        if (deadlines[i] != 0 && (earliest == 0 || deadlines[i] < earliest)) {
            earliest = deadlines[i];
        }
    }
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t left = earliest > now ? (earliest - now) / 1000000 + 1 : 1;
    stream_set_timer(turn->stream, earliest == 0 ? 0 : left);
}

/* The call is over, or was stopped: what remains is done on a worker. */
static void begin_end(struct turn *turn)
{
    turn->renew_at = 0;
    turn->state = TURN_SAVING;
    if (turn->is_renewing) {
        return; /* on_offloaded comes here again */
    }
    if (accounting_is_due(&turn->call)) {
        accounting_fill(turn->request, &turn->call, OPERATION, turn->outcome_word,
                        turn->is_streamed, &turn->entry);
        accounting_count(&turn->call, turn->outcome_word);
    }
    turn->is_working = true;
    stream_offload(turn->stream, turn_work_end);
}

static void fail(struct turn *turn, enum problem problem, int64_t retry_after)
{
    turn->problem = problem;
    turn->retry_after = retry_after;
    turn->outcome_word = OUTCOME_FAILED;
    begin_end(turn);
}

static void on_call_done(struct model_call *call, const struct model_outcome *outcome)
{
    struct turn *turn = call->context;
    if (outcome->failure != MODEL_OK) {
        fail(turn, failure_problem(outcome), outcome->retry_after);
    } else if (call->progress.was_filtered && turn->said.length == 0) {
        fail(turn, PROBLEM_LLM_CONTENT_FILTERED, 0);
    } else {
        turn->outcome_word = OUTCOME_OK;
        begin_end(turn);
    }
}

/* Takes the inside of a JSON string over without U+0000, which no text of ours can hold. */
static void append_said(struct buffer *said, struct slice inside)
{
    static const char nul[] = "\\u0000";
    const char *at = inside.data;
    const char *end = at + inside.length;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *plain_end = escape != NULL ? escape : end;
        buffer_append(said, at, (size_t)(plain_end - at));
        at = plain_end;
        if (escape != NULL) {
            size_t length = end - at >= 6 && at[1] == 'u' ? 6 : 2;
            if (length != 6 || memcmp(at, nul, 6) != 0) {
                buffer_append(said, at, length);
            }
            at += length;
        }
    }
}

static void on_chunk(struct model_call *call, struct slice mended,
                     const struct completion_chunk *chunk)
{
    struct turn *turn = call->context;
    (void)mended;
    budget_follow(&turn->reservation, call);
    if (chunk->content.length <= 2) {
        return;
    }
    size_t before = turn->said.length;
    append_said(&turn->said, (struct slice){chunk->content.data + 1, chunk->content.length - 2});
    if (buffer_status(&turn->said) != STATUS_OK) {
        model_call_cancel(call);
        fail(turn, PROBLEM_LLM_UNAVAILABLE, 0);
        return;
    }
    if (turn->is_streamed && turn->said.length > before) {
        if (turn_send_token(turn, before) == STATUS_OK) {
            model_call_follow(call, turn->stream);
        } else {
            model_call_cancel(call);
            fail(turn, PROBLEM_OVERLOADED, 1);
        }
    }
}

static enum status drop_usage(struct model_call *call)
{
    turn_drop_usage(call->context);
    return STATUS_OK;
}

static const struct model_call_handlers call_handlers = {
    .chunk = on_chunk, .done = on_call_done, .drop_usage = drop_usage};

static void ask(struct turn *turn)
{
    turn->state = TURN_ASKING;
    turn->renew_at = clock_monotonic_nanoseconds() + RENEW_AFTER_NANOSECONDS;
    model_call_start(&turn->call, stream_pump(turn->stream));
}

/* session_gate.opened */
static void on_opened(void *context, enum status status)
{
    static const struct {
        enum status status;
        enum problem problem;
    } refusals[] = {{STATUS_BUSY, PROBLEM_SESSION_LOCKED},
                    {STATUS_TOO_LARGE, PROBLEM_SESSION_QUOTA_REACHED},
                    {STATUS_DENIED, PROBLEM_BUDGET_EXHAUSTED},
                    {STATUS_UNAVAILABLE, PROBLEM_STORAGE_UNAVAILABLE},
                    {STATUS_TIMEOUT, PROBLEM_STORAGE_UNAVAILABLE},
                    {STATUS_NO_MEMORY, PROBLEM_OVERLOADED}};
    struct turn *turn = context;
    if (status == STATUS_OK) {
        if (!turn->is_stopping) {
            ask(turn);
        } else {
            fail(turn, PROBLEM_OVERLOADED, 1);
        }
        return;
    }
    turn->problem = PROBLEM_INTERNAL_ERROR;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].status == status) {
            turn->problem = refusals[i].problem;
        }
    }
    turn_answer(turn);
}

/* --- The pump -------------------------------------------------------------------------------- */

static void on_start(struct stream *stream, void *context)
{
    struct turn *turn = context;
    turn->stream = stream;
    turn->gate.stream = stream;
    if (turn->is_streamed) {
        uint64_t head_after = chat_head_after(turn->chat);
        turn->head_at =
            head_after > 0 ? clock_monotonic_nanoseconds() + head_after * UINT64_C(1000000) : 0;
        metrics_present(turn->chat->app->metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 1);
    }
    session_gate_enter(&turn->gate);
    set_timer(turn);
}

static void on_timer(struct stream *stream, void *context)
{
    struct turn *turn = context;
    uint64_t now = clock_monotonic_nanoseconds();
    (void)stream;
    if (turn->head_at != 0 && now >= turn->head_at) {
        turn_send_head(turn);
        stream_write(turn->stream, slice_of(": ping\n\n"));
    }
    if (turn->renew_at != 0 && now >= turn->renew_at) {
        turn->renew_at = 0;
        turn->is_renewing = true;
        stream_offload(turn->stream, turn_work_renew);
    }
    session_gate_wake(&turn->gate);
    set_timer(turn);
}

static void on_renewed(struct turn *turn)
{
    turn->is_renewing = false;
    if (turn->state == TURN_SAVING) {
        begin_end(turn);
    } else if (turn->work_status == STATUS_CONFLICT) {
        /* Somebody else has the session now; what the model still says could not be kept. */
        model_call_cancel(&turn->call);
        fail(turn, PROBLEM_SESSION_SAVE_FAILED, 0);
    } else {
        turn->renew_at = clock_monotonic_nanoseconds() + RENEW_AFTER_NANOSECONDS;
    }
}

static void give_up_waiting(struct turn *turn)
{
    if (!turn->is_over && turn->gate.state != GATE_TRYING) {
        turn->problem = PROBLEM_OVERLOADED;
        turn->retry_after = 1;
        turn_answer(turn);
    }
}

static void on_offloaded(struct stream *stream, void *context)
{
    struct turn *turn = context;
    (void)stream;
    if (turn->gate.state == GATE_TRYING) {
        session_gate_tried(&turn->gate);
    } else if (turn->is_renewing) {
        on_renewed(turn);
    } else if (turn->is_working) {
        turn->is_working = false;
        if (turn->work_status != STATUS_OK) {
            log_write(LOG_ERROR, "session_not_saved",
                      LOG_TEXT("error_type", status_text(turn->work_status)));
            turn->problem = PROBLEM_SESSION_SAVE_FAILED;
        }
        turn_answer(turn);
    }
    if (turn->is_stopping && turn->state == TURN_WAITING) {
        give_up_waiting(turn);
    }
    set_timer(turn);
}

static void on_lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct turn *turn = context;
    (void)stream;
    if (turn->state == TURN_ASKING) {
        model_call_pause(&turn->call, is_lagging);
    }
}

/* The client has gone: what has come so far is kept. The program stops: the turn has failed. */
static void stop(struct turn *turn, bool keeps)
{
    turn->is_stopping = true;
    if (turn->state == TURN_WAITING) {
        give_up_waiting(turn);
    } else if (turn->state == TURN_ASKING) {
        model_call_cancel(&turn->call);
        turn->problem = keeps ? PROBLEM_COUNT : PROBLEM_OVERLOADED;
        turn->retry_after = 1;
        turn->outcome_word = keeps ? OUTCOME_CUT_OFF : OUTCOME_FAILED;
        begin_end(turn);
    }
}

static void on_client_gone(struct stream *stream, void *context)
{
    (void)stream;
    stop(context, true);
}

static void on_shutdown(struct stream *stream, void *context)
{
    (void)stream;
    stop(context, false);
}

static void on_ended(struct stream *stream, void *context)
{
    struct turn *turn = context;
    (void)stream;
    if (turn->is_streamed) {
        metrics_present(turn->chat->app->metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, -1);
    }
    budget_release(&turn->reservation);
    model_call_release(&turn->call);
    buffer_release(&turn->said);
    buffer_release(&turn->body);
    arena_destroy(&turn->arena);
}

/* --- The beginning --------------------------------------------------------------------------- */

static bool choose_given_model(struct turn *turn)
{
    struct request *request = turn->request;
    if (turn->model == NULL) {
        return true;
    }
    enum status status = catalogue_choose(turn->chat->catalogue, request->arena,
                                          slice_of(turn->model), &turn->call.choice);
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_MODEL_NOT_AVAILABLE, NULL);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    }
    return status == STATUS_OK;
}

static void take_turn(struct request *request, bool is_streamed)
{
    static const struct stream_handlers handlers = {
        .start = on_start,
        .lagging = on_lagging,
        .client_gone = on_client_gone,
        .timer = on_timer,
        .offloaded = on_offloaded,
        .shutdown = on_shutdown,
        .ended = on_ended,
    };
    struct session_input input;
    if (!session_input_read(request, &input)) {
        return;
    }
    struct turn *turn = arena_allocate(request->arena, sizeof *turn);
    if (turn == NULL) {
        problem_answer_status(request, STATUS_NO_MEMORY);
        return;
    }
    turn->request = request;
    turn->chat = chat_of(request);
    turn->is_streamed = is_streamed;
    turn->message = input.message;
    turn->model = input.model;
    turn->problem = PROBLEM_COUNT;
    turn->outcome_word = OUTCOME_FAILED;
    turn->gate = (struct session_gate){
        .chat = turn->chat,
        .key = session_key_of(request, input.session_id),
        .work = turn_work_acquire,
        .attempt = turn_acquire,
        .opened = on_opened,
        .context = turn,
    };
    turn->call.chat = turn->chat;
    turn->call.context = turn;
    turn->call.handlers = &call_handlers;
    turn->call.is_streamed = true;
    turn->call.is_paced = is_streamed;
    turn->call.tracestate = request->tracestate;
    arena_init(&turn->arena, TURN_ARENA_MAXIMUM);
    buffer_init(&turn->body, BODY_MAXIMUM);
    buffer_init(&turn->said, MODEL_ANSWER_MAXIMUM);
    if (choose_given_model(turn)) {
        (void)request_stream(request, &handlers, turn);
    }
}

void session_chat(struct request *request)
{
    take_turn(request, false);
}

void session_chat_stream(struct request *request)
{
    take_turn(request, true);
}
