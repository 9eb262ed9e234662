/*
 * chat/session_turn_work: the parts of a turn that need the database.
 */
#include "session_turn.h"

#include <stdio.h>
#include <string.h>

#include "accounting.h"
#include "base/clock.h"
#include "json/write.h"

#define TITLE_CHARACTERS 80

/* Of the messages sent to the model, newest first; some 100,000 tokens. What is older stays in the
 * session but is not sent any more. */
#define HISTORY_BYTES_MAXIMUM ((size_t)400000)

/* --- The beginning --------------------------------------------------------------------------- */

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

/* Messages `from` … `until` of one role as one text. */
static const char *join(struct arena *arena, const struct conversation_message *messages,
                        size_t from, size_t until)
{
    static const char between[] = "\n\n";
    size_t length = 1;
    for (size_t i = from; i < until; i++) {
        length += strlen(messages[i].content) + strlen(between);
    }
    char *text = arena_allocate(arena, length);
    char *at = text;
    for (size_t i = from; text != NULL && i < until; i++) {
        const char *parts[] = {at > text ? between : "", messages[i].content};
        for (size_t j = 0; j < 2; j++) {
            size_t size = strlen(parts[j]);
            memcpy(at, parts[j], size);
            at += size;
        }
        *at = '\0';
    }
    return text;
}

static bool is_plain(const struct conversation_message *message)
{
    return message->tool_calls == NULL && message->tool_call_id == NULL;
}

/* An answer that was cut off before its first word is nothing to a model, and many models' templates
 * refuse two messages of one role in a row: what stands next to each other then becomes one. */
static enum status arrange(struct turn *turn, const struct conversation_message *history,
                           size_t count, struct conversation_message **out, size_t *out_count)
{
    struct conversation_message question = {.role = "user", .content = turn->message};
    struct conversation_message *list = arena_allocate(&turn->arena, (count + 1) * sizeof *list);
    size_t kept = 0;
    if (list == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i <= count; i++) {
        const struct conversation_message *message = i < count ? &history[i] : &question;
        if (message->content[0] != '\0' || !is_plain(message)) {
            list[kept++] = *message;
        }
    }
    size_t made = 0;
    for (size_t from = 0, until; from < kept; from = until) {
        struct conversation_message message = list[from];
        until = from + 1;
        while (is_plain(&message) && until < kept && is_plain(&list[until]) &&
               strcmp(list[until].role, message.role) == 0) {
            until++;
        }
        if (until > from + 1) {
            message.content = join(&turn->arena, list, from, until);
            if (message.content == NULL) {
                return STATUS_NO_MEMORY;
            }
        }
        list[made++] = message;
    }
    *out = list;
    *out_count = made;
    return STATUS_OK;
}

static const char usage_member[] = ",\"stream_options\":{\"include_usage\":true}}";

static enum status write_body(struct turn *turn, const struct conversation_message *history,
                              size_t count)
{
    struct json_writer json;
    struct model_call *call = &turn->call;
    struct conversation_message *messages;
    enum status status = arrange(turn, history, count, &messages, &count);
    if (status != STATUS_OK) {
        return status;
    }
    json_write_start(&json, &turn->body);
    json_write_object_begin(&json);
    json_write_member_text(&json, "model", call->choice.model);
    json_write_name(&json, "messages");
    json_write_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        write_message(&json, &messages[i]);
        call->input_weight += usage_weigh_text(messages[i].content);
    }
    json_write_array_end(&json);
    json_write_member_boolean(&json, "stream", true);
    json_write_object_end(&json);
    call->asks_usage = chat_takes_stream_options(turn->chat, call->choice.provider);
    if (call->asks_usage && turn->body.length > 0) {
        turn->body.length--; /* the brace, which is in the member's text */
        buffer_append_text(&turn->body, usage_member);
    }
    call->body = (struct slice){buffer_text(&turn->body), turn->body.length};
    return buffer_status(&turn->body);
}

void turn_drop_usage(struct turn *turn)
{
    turn->body.length -= strlen(usage_member);
    buffer_append_char(&turn->body, '}');
    turn->call.body = (struct slice){buffer_text(&turn->body), turn->body.length};
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

static void tell_model(struct turn *turn)
{
    struct request_subject *subject = &turn->request->subject;
    const struct model_choice *choice = &turn->call.choice;
    (void)snprintf(turn->logged_model, sizeof turn->logged_model, "%s", choice->model);
    subject->model = turn->logged_model;
    subject->provider = choice->provider->name;
}

static enum status prepare_call(struct turn *turn)
{
    struct conversation_message *history;
    size_t count;
    enum status status = choose_model(turn);
    if (status == STATUS_OK) {
        tell_model(turn);
        status = conversation_history(turn->request->app->storage, &turn->arena, &turn->gate.key,
                                      HISTORY_BYTES_MAXIMUM, &history, &count);
    }
    if (status == STATUS_OK) {
        status = write_body(turn, history, count);
    }
    if (status == STATUS_OK) {
        status = model_call_prepare(&turn->call, &turn->arena);
    }
    if (status == STATUS_OK) {
        const struct request *request = turn->request;
        status = budget_reserve(&turn->chat->budget, request->app->storage, &turn->arena,
                                &request->principal, &turn->call, BUDGET_OUTPUT_TOKENS,
                                &turn->reservation, &turn->retry_after);
    }
    return status;
}

enum status turn_acquire(void *context)
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
        session_release(&turn->chat->releases, storage, &turn->lock, NULL) == STATUS_UNAVAILABLE) {
        status = STATUS_UNAVAILABLE;
    }
    return status == STATUS_BUSY ? STATUS_INTERNAL : status;
}

void turn_work_acquire(void *context)
{
    struct turn *turn = context;
    session_gate_try(&turn->gate);
}

void turn_work_renew(void *context)
{
    struct turn *turn = context;
    turn->work_status = conversation_renew(turn->request->app->storage, &turn->lock,
                                           clock_wall_milliseconds() + SESSION_LEASE_MILLISECONDS);
}

/* --- The end --------------------------------------------------------------------------------- */

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
         .tokens = usage_estimate_tokens(usage_weigh_text(turn->message)),
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

void turn_work_end(void *context)
{
    struct turn *turn = context;
    struct storage *storage = turn->request->app->storage;
    bool has_failed = strcmp(turn->outcome_word, OUTCOME_FAILED) == 0;
    turn->work_status = has_failed ? STATUS_OK : save(turn);
    if (!has_failed && turn->work_status == STATUS_OK) {
        return;
    }
    /* Not saved: the tokens have been used nevertheless, and the lock is to be given back. */
    const struct ledger_entry *entry = entry_of(turn);
    enum status status = session_release(&turn->chat->releases, storage, &turn->lock, entry);
    if (status != STATUS_OK && entry != NULL) {
        status = ledger_queue_insert(&turn->chat->ledger, entry);
    }
}
