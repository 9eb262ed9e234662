/*
 * chat/session_turn: POST /chat and POST /chat/stream: one turn of a session.
 *
 * waiting (for the session's lock, session_gate) → asking (the model, with the whole history) →
 * saving (on a worker: both messages, the ledger and the release of the lock, one transaction) →
 * over. The client is told that the turn is done only when it has been saved. A provider is always
 * asked for a stream, also for POST /chat: when the client leaves, what came so far is kept as a
 * turn that was cut off.
 *
 * Whose memory: while work runs on a worker (is_working) the pump thread touches neither
 * `turn->arena` nor what the work reads; the exchange's arena belongs to the pump thread.
 */
#include <string.h>

#include "accounting.h"
#include "base/clock.h"
#include "chat.h"
#include "failures.h"
#include "log/log.h"
#include "session_gate.h"
#include "session_input.h"
#include "stores/conversations.h"
#include "json/write.h"

#define OPERATION               "chat"
#define HEAD_AFTER_NANOSECONDS  UINT64_C(1000000000)
#define RENEW_AFTER_NANOSECONDS (UINT64_C(1000000) * SESSION_LEASE_MILLISECONDS / 3)
#define TURN_ARENA_MAXIMUM      ((size_t)64 << 20)
#define BODY_MAXIMUM            ((size_t)8 << 20)
#define TITLE_CHARACTERS        80

/* Of the messages sent to the model, newest first; some 100,000 tokens. What is older stays in the
 * session but is not sent any more. */
#define HISTORY_BYTES_MAXIMUM ((size_t)400000)

enum turn_state { TURN_WAITING, TURN_ASKING, TURN_SAVING };

struct turn {
    struct request *request;
    struct chat *chat;
    struct stream *stream;
    bool is_streamed; /* to the client */
    const char *message;
    const char *model; /* as the client wrote it; NULL: it did not say */
    struct session_gate gate;
    enum turn_state state;

    /* Of the work on workers: */
    struct arena arena;
    bool is_working; /* other work than the gate's */
    bool is_renewing;
    enum status work_status;
    char token[CONVERSATION_TOKEN_MAXIMUM + 1];
    struct conversation_lock lock;
    struct conversation conversation;
    struct buffer body; /* for the provider */
    struct ledger_entry entry;

    struct model_call call;
    struct buffer said;       /* the answer as the inside of a JSON string */
    const char *outcome_word; /* of the ledger, once the call is over */
    enum problem problem;     /* PROBLEM_COUNT: none */
    int64_t retry_after;
    bool is_stopping; /* the client has gone, or the program stops */
    bool is_over;     /* stream_end has been called */

    bool is_head_sent;
    uint64_t head_at; /* monotonic nanoseconds; 0 = not any more; likewise below */
    uint64_t renew_at;
    int64_t last_event_id;
};

static struct turn *turn_of(void *work_context)
{
    struct request *request = work_context;
    return request->stream_context;
}

/* --- On workers: the beginning --------------------------------------------------------------- */

static void write_message(struct json_writer *json, const struct conversation_message *message)
{
    json_write_object_begin(json);
    json_write_member_text(json, "role", message->role);
    json_write_member_text(json, "content", message->content);
    if (message->tool_calls != NULL) {
        json_write_member_raw(json, "tool_calls", slice_of(message->tool_calls));
    }
    if (message->tool_call_id != NULL) {
        json_write_member_text(json, "tool_call_id", message->tool_call_id);
    }
    json_write_object_end(json);
}

static enum status write_body(struct turn *turn, const struct conversation_message *history,
                              size_t count)
{
    struct json_writer json;
    struct conversation_message question = {.role = "user", .content = turn->message};
    struct model_call *call = &turn->call;
    json_write_start(&json, &turn->body);
    json_write_object_begin(&json);
    json_write_member_text(&json, "model", call->choice.model);
    json_write_name(&json, "messages");
    json_write_array_begin(&json);
    for (size_t i = 0; i <= count; i++) {
        const struct conversation_message *message = i < count ? &history[i] : &question;
        /* An answer that was cut off before its first word is nothing to a model. */
        if (message->content[0] != '\0' || message->tool_calls != NULL) {
            write_message(&json, message);
            call->input_characters +=
                (int64_t)text_count_characters(message->content, strlen(message->content));
        }
    }
    json_write_array_end(&json);
    json_write_member_boolean(&json, "stream", true);
    if (call->choice.provider->takes_stream_options) {
        json_write_member_raw(&json, "stream_options", slice_of("{\"include_usage\":true}"));
    }
    json_write_object_end(&json);
    call->body = (struct slice){buffer_text(&turn->body), turn->body.length};
    return buffer_status(&turn->body);
}

/* The model that was asked for, else that of the last turn, else the default. */
static enum status choose_model(struct turn *turn)
{
    const struct catalogue *catalogue = turn->chat->catalogue;
    struct model_choice *choice = &turn->call.choice;
    if (choice->provider != NULL) {
        return STATUS_OK;
    }
    const char *last = turn->conversation.model;
    enum status status = last[0] != '\0'
                             ? catalogue_choose(catalogue, &turn->arena, slice_of(last), choice)
                             : STATUS_NOT_FOUND;
    return status == STATUS_NOT_FOUND ? catalogue_choose_default(catalogue, &turn->arena, choice)
                                      : status;
}

static enum status prepare_call(struct turn *turn)
{
    struct conversation_message *history;
    size_t count;
    enum status status = choose_model(turn);
    if (status == STATUS_OK) {
        status = conversation_history(turn->request->app->storage, &turn->arena, turn->lock.number,
                                      HISTORY_BYTES_MAXIMUM, &history, &count);
    }
    if (status == STATUS_OK) {
        status = write_body(turn, history, count);
    }
    if (status == STATUS_OK) {
        status = model_call_prepare(&turn->call, &turn->arena);
    }
    return status;
}

/* session_gate.attempt */
static enum status acquire(void *context)
{
    struct turn *turn = context;
    struct storage *storage = turn->request->app->storage;
    struct conversation_claim claim;
    session_claim_make(turn->chat, turn->token, &claim);
    enum status status = conversation_acquire(storage, &turn->arena, &turn->gate.key, &claim,
                                              &turn->lock, &turn->conversation);
    if (status != STATUS_OK) {
        arena_reset(&turn->arena);
        return status;
    }
    status = prepare_call(turn);
    /* Given back at once: it would be waited for otherwise, until its lease is over. */
    if (status != STATUS_OK &&
        conversation_release(storage, &turn->lock, NULL) == STATUS_UNAVAILABLE) {
        status = STATUS_UNAVAILABLE;
    }
    return status == STATUS_BUSY ? STATUS_INTERNAL : status;
}

static void work_acquire(void *context)
{
    session_gate_try(&turn_of(context)->gate);
}

static void work_renew(void *context)
{
    struct turn *turn = turn_of(context);
    turn->work_status = conversation_renew(turn->request->app->storage, &turn->lock,
                                           clock_wall_milliseconds() + SESSION_LEASE_MILLISECONDS);
}

/* --- On workers: the end --------------------------------------------------------------------- */

static const char *make_title(struct arena *arena, const char *message)
{
    size_t length = strcspn(message, "\r\n");
    size_t end = 0;
    for (size_t i = 0; i < TITLE_CHARACTERS && end < length; i++) {
        size_t size = text_measure_character(message + end, length - end);
        end += size > 0 ? size : length - end;
    }
    return arena_copy(arena, message, end);
}

static enum status read_said(struct turn *turn, const char **out)
{
    struct slice quoted;
    struct slice plain;
    char *text = arena_allocate(&turn->arena, turn->said.length + 3);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    text[0] = '"';
    memcpy(text + 1, buffer_text(&turn->said), turn->said.length);
    text[turn->said.length + 1] = '"';
    quoted = (struct slice){text, turn->said.length + 2};
    enum status status = json_unescape(&turn->arena, quoted, &plain);
    *out = plain.data;
    return status;
}

/* NULL when no tokens were used. */
static const struct ledger_entry *entry_of(const struct turn *turn)
{
    return turn->entry.owner != NULL ? &turn->entry : NULL;
}

static enum status save(struct turn *turn)
{
    const char *answer = NULL;
    const char *title = make_title(&turn->arena, turn->message);
    enum status status = title == NULL ? STATUS_NO_MEMORY : read_said(turn, &answer);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_cut_off = strcmp(turn->outcome_word, OUTCOME_CUT_OFF) == 0;
    int64_t now = clock_wall_milliseconds();
    struct conversation_message messages[] = {
        {.role = "user",
         .content = turn->message,
         .tokens = usage_estimate_tokens(
             (int64_t)text_count_characters(turn->message, strlen(turn->message))),
         .created_at = now,
         .is_cut_off = is_cut_off},
        {.role = "assistant",
         .content = answer,
         .tokens = turn->entry.output_tokens,
         .created_at = now,
         .is_cut_off = is_cut_off},
    };
    struct conversation_turn saved = {
        .messages = messages,
        .message_count = 2,
        .model = turn->call.choice.full_id,
        .title = title,
        .now = now,
        .expires_at = now + turn->chat->app->config->session_ttl * 1000,
        .entry = entry_of(turn),
    };
    return conversation_save(turn->request->app->storage, &turn->lock, &saved);
}

static void work_end(void *context)
{
    struct turn *turn = turn_of(context);
    struct storage *storage = turn->request->app->storage;
    bool has_failed = strcmp(turn->outcome_word, OUTCOME_FAILED) == 0;
    turn->work_status = has_failed ? STATUS_OK : save(turn);
    if (!has_failed && turn->work_status == STATUS_OK) {
        return;
    }
    /* Not saved: the tokens have been used nevertheless, and the lock is to be given back. */
    const struct ledger_entry *entry = entry_of(turn);
    enum status status = conversation_release(storage, &turn->lock, entry);
    if (status != STATUS_OK && entry != NULL) {
        accounting_log_lost(entry, status);
    }
}

/* --- Answering ------------------------------------------------------------------------------- */

static void send_head(struct turn *turn)
{
    if (!turn->is_head_sent) {
        turn->is_head_sent = true;
        turn->head_at = 0;
        response_stream_head(turn->request, turn->stream, "text/event-stream");
        stream_set_heartbeat(turn->stream,
                             (unsigned)turn->chat->app->config->stream_heartbeat_seconds);
    }
}

static struct buffer *begin_event(struct turn *turn, const char *type)
{
    struct buffer *event = &turn->chat->chunk;
    buffer_reset(event);
    buffer_append_text(event, "event: ");
    buffer_append_text(event, type);
    buffer_append_text(event, "\nid: ");
    buffer_append_integer(event, ++turn->last_event_id);
    buffer_append_text(event, "\ndata: ");
    return event;
}

static void send_event(struct turn *turn, struct buffer *event)
{
    buffer_append_text(event, "\n\n");
    send_head(turn);
    if (buffer_status(event) == STATUS_OK) {
        stream_write(turn->stream, (struct slice){buffer_text(event), event->length});
    }
    chat_trim(event);
}

static void write_usage(struct turn *turn, struct json_writer *json)
{
    const struct ledger_entry *entry = &turn->entry;
    json_write_name(json, "usage");
    json_write_object_begin(json);
    json_write_member_integer(json, "input_tokens", entry->input_tokens);
    json_write_member_integer(json, "output_tokens", entry->output_tokens);
    json_write_member_integer(json, "total_tokens", entry->input_tokens + entry->output_tokens);
    json_write_member_double(json, "estimated_cost", (double)entry->cost_nanodollars / 1e9);
    json_write_object_end(json);
}

static void answer_whole(struct turn *turn)
{
    struct request *request = turn->request;
    struct json_writer *json = response_json(request, 200);
    struct buffer *body = &request->response.body;
    json_write_object_begin(json);
    json_write_member_text(json, "session_id", turn->gate.key.id);
    json_write_name(json, "response");
    /* `said` is the inside of a JSON string already. */
    buffer_append_char(body, '"');
    buffer_append(body, turn->said.data, turn->said.length);
    buffer_append_char(body, '"');
    json->needs_comma = true;
    json_write_member_text(json, "model",
                           turn->model != NULL ? turn->model : turn->call.choice.full_id);
    json_write_member_text(json, "provider", turn->call.choice.provider->name);
    write_usage(turn, json);
    json_write_member_text(json, "timestamp", request_timestamp(request));
    json_write_object_end(json);
    response_stream_whole(request, turn->stream);
}

static void answer_done(struct turn *turn)
{
    struct buffer *event = begin_event(turn, "done");
    struct json_writer json;
    json_write_start(&json, event);
    json_write_object_begin(&json);
    json_write_member_text(&json, "session_id", turn->gate.key.id);
    write_usage(turn, &json);
    json_write_member_text(&json, "timestamp", request_timestamp(turn->request));
    json_write_object_end(&json);
    send_event(turn, event);
    stream_end(turn->stream);
}

static void answer_problem(struct turn *turn)
{
    struct request *request = turn->request;
    const struct problem_entry *entry = problem_find(turn->problem);
    if (!turn->is_head_sent) {
        if (turn->retry_after > 0) {
            problem_set_retry_after(request, turn->retry_after);
        }
        problem_answer(request, turn->problem, NULL);
        response_stream_whole(request, turn->stream);
        return;
    }
    struct buffer *event = begin_event(turn, "error");
    struct json_writer json;
    json_write_start(&json, event);
    json_write_object_begin(&json);
    json_write_member_text(&json, "code", entry->code);
    json_write_member_text(&json, "error", entry->word);
    json_write_member_text(&json, "message", entry->message);
    json_write_member_boolean(&json, "recoverable", entry->recoverable);
    if (turn->retry_after > 0) {
        json_write_member_integer(&json, "retry_after", turn->retry_after);
    } else {
        json_write_member_null(&json, "retry_after");
    }
    json_write_object_end(&json);
    request->response.error_word = entry->word;
    send_event(turn, event);
    stream_end(turn->stream);
}

static void answer(struct turn *turn)
{
    session_gate_leave(&turn->gate);
    turn->is_over = true;
    if (stream_client_has_gone(turn->stream)) {
        stream_end(turn->stream);
    } else if (turn->problem != PROBLEM_COUNT) {
        answer_problem(turn);
    } else if (turn->is_streamed) {
        answer_done(turn);
    } else {
        answer_whole(turn);
    }
}

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
    bool is_cut_off = strcmp(turn->outcome_word, OUTCOME_CUT_OFF) == 0;
    if (accounting_is_due(&turn->call, is_cut_off)) {
        accounting_fill(turn->request, &turn->call, OPERATION, turn->outcome_word,
                        turn->is_streamed, &turn->entry);
        accounting_count(&turn->call, turn->outcome_word);
    }
    turn->is_working = true;
    stream_offload(turn->stream, work_end);
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
        /* A chunk of the demo stood in the buffer of the event; it has been read by now. */
        struct buffer *event = begin_event(turn, "token");
        buffer_append_text(event, "{\"text\":\"");
        buffer_append(event, turn->said.data + before, turn->said.length - before);
        buffer_append_text(event, "\"}");
        send_event(turn, event);
        model_call_follow(call, turn->stream);
    }
}

static const struct model_call_handlers call_handlers = {.chunk = on_chunk, .done = on_call_done};

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
    answer(turn);
}

/* --- The pump -------------------------------------------------------------------------------- */

static void on_start(struct stream *stream, void *context)
{
    struct turn *turn = context;
    turn->stream = stream;
    turn->gate.stream = stream;
    if (turn->is_streamed) {
        turn->head_at = clock_monotonic_nanoseconds() + HEAD_AFTER_NANOSECONDS;
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
        send_head(turn);
        stream_write(turn->stream, slice_of(": ping\n\n"));
    }
    if (turn->renew_at != 0 && now >= turn->renew_at) {
        turn->renew_at = 0;
        turn->is_renewing = true;
        stream_offload(turn->stream, work_renew);
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
        answer(turn);
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
        answer(turn);
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
        .work = work_acquire,
        .attempt = acquire,
        .opened = on_opened,
        .context = turn,
    };
    turn->call.chat = turn->chat;
    turn->call.context = turn;
    turn->call.handlers = &call_handlers;
    turn->call.is_streamed = true;
    turn->call.is_paced = is_streamed;
    turn->call.traceparent = request->traceparent;
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
