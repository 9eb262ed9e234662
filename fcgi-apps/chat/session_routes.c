/*
 * chat/session_routes: looking at sessions, clearing and deleting them.
 *
 * Reading answers at once. What changes a session waits for its lock like a turn does, on the
 * pump, so that no turn ever loses the ground under its feet.
 */
#include <string.h>

#include "base/clock.h"
#include "chat.h"
#include "http/fields.h"
#include "session_gate.h"
#include "session_input.h"

#define MESSAGES_DEFAULT 50
#define MESSAGES_MAXIMUM 200

/* --- Reading --------------------------------------------------------------------------------- */

static void answer_status(struct request *request, enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND:
        problem_answer(request, PROBLEM_SESSION_NOT_FOUND, NULL);
        break;
    case STATUS_EXPIRED:
        problem_answer(request, PROBLEM_SESSION_EXPIRED, NULL);
        break;
    case STATUS_BUSY:
        problem_answer(request, PROBLEM_SESSION_LOCKED, NULL);
        break;
    default:
        problem_answer_status(request, status);
    }
}

static void write_members(struct json_writer *json, const struct conversation *conversation)
{
    json_write_member_text(json, "session_id", conversation->id);
    json_write_member_text(json, "title",
                           conversation->title[0] != '\0' ? conversation->title : NULL);
    json_write_member_text(json, "model",
                           conversation->model[0] != '\0' ? conversation->model : NULL);
    json_write_member_integer(json, "message_count", conversation->message_count);
    json_write_member_integer(json, "version", conversation->version);
    field_write_time(json, "created_at", conversation->created_at);
    field_write_time(json, "updated_at", conversation->updated_at);
    field_write_time(json, "expires_at", conversation->expires_at);
}

void sessions_list(struct request *request)
{
    struct field_page page = field_query_page(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct conversation *list = NULL;
    size_t count = 0;
    int64_t total = 0;
    enum status status =
        conversation_list(request->app->storage, request->arena, request->principal.owner,
                          clock_wall_milliseconds(), page.size, page.offset, &list, &count, &total);
    if (status != STATUS_OK) {
        answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "items");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_object_begin(json);
        write_members(json, &list[i]);
        json_write_object_end(json);
    }
    json_write_array_end(json);
    field_write_page(json, &page, total);
    json_write_object_end(json);
}

/* False: answered. */
static bool find(struct request *request, struct conversation *out)
{
    struct conversation_key key;
    if (!session_input_path(request, &key)) {
        return false;
    }
    enum status status = conversation_find(request->app->storage, request->arena, &key,
                                           clock_wall_milliseconds(), out);
    if (status != STATUS_OK) {
        answer_status(request, status);
    }
    return status == STATUS_OK;
}

static void write_message(struct json_writer *json, const struct conversation_message *message)
{
    json_write_object_begin(json);
    json_write_member_integer(json, "position", message->position);
    json_write_member_text(json, "role", message->role);
    json_write_member_text(json, "content", message->content);
    if (message->tool_calls != NULL) {
        json_write_member_raw(json, "tool_calls", slice_of(message->tool_calls));
    }
    if (message->tool_call_id != NULL) {
        json_write_member_text(json, "tool_call_id", message->tool_call_id);
    }
    json_write_member_integer(json, "tokens", message->tokens);
    json_write_member_boolean(json, "cut_off", message->is_cut_off);
    field_write_time(json, "created_at", message->created_at);
    json_write_object_end(json);
}

static void write_messages(struct json_writer *json, const struct conversation_message *messages,
                           size_t count)
{
    json_write_name(json, "messages");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        write_message(json, &messages[i]);
    }
    json_write_array_end(json);
}

/* The session with its newest messages; older ones are asked for in pages. */
void sessions_show(struct request *request)
{
    struct conversation conversation;
    struct conversation_message *messages;
    size_t count;
    bool has_more;
    if (!find(request, &conversation)) {
        return;
    }
    struct conversation_key key = session_key_of(request, conversation.id);
    enum status status =
        conversation_messages(request->app->storage, request->arena, &key, INT64_MAX,
                              MESSAGES_MAXIMUM, &messages, &count, &has_more);
    if (status != STATUS_OK) {
        answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    write_members(json, &conversation);
    json_write_member_text(json, "owner", key.owner);
    /* Requests of a session cannot set it; the provider's own counts. */
    json_write_member_null(json, "temperature");
    write_messages(json, messages, count);
    json_write_object_end(json);
}

void sessions_messages(struct request *request)
{
    struct conversation conversation;
    int64_t before = field_query_integer(request, "before", 1, INT64_MAX, INT64_MAX);
    int64_t limit = field_query_integer(request, "limit", 1, MESSAGES_MAXIMUM, MESSAGES_DEFAULT);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    if (!find(request, &conversation)) {
        return;
    }
    struct conversation_message *messages;
    size_t count;
    bool has_more;
    struct conversation_key key = session_key_of(request, conversation.id);
    enum status status = conversation_messages(request->app->storage, request->arena, &key, before,
                                               limit, &messages, &count, &has_more);
    if (status != STATUS_OK) {
        answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "session_id", conversation.id);
    write_messages(json, messages, count);
    json_write_member_boolean(json, "has_more", has_more);
    if (has_more) {
        json_write_member_integer(json, "next_before", messages[0].position);
    } else {
        json_write_member_null(json, "next_before");
    }
    json_write_object_end(json);
}

/* --- Changing -------------------------------------------------------------------------------- */

typedef enum status change_function(struct storage *storage, const struct conversation_key *key,
                                    const struct conversation_claim *claim);

struct change {
    struct request *request;
    struct stream *stream;
    struct session_gate gate;
    change_function *apply;
    bool is_stopping; /* the client has gone, or the program stops */
    bool is_over;
};

static enum status attempt(void *context)
{
    struct change *change = context;
    char token[CONVERSATION_TOKEN_MAXIMUM + 1];
    struct conversation_claim claim;
    session_claim_make(change->gate.chat, token, &claim);
    return change->apply(change->request->app->storage, &change->gate.key, &claim);
}

static void work(void *context)
{
    struct change *change = context;
    session_gate_try(&change->gate);
}

static void answer_change(struct change *change, enum status status)
{
    struct request *request = change->request;
    session_gate_leave(&change->gate);
    change->is_over = true;
    if (status != STATUS_OK) {
        answer_status(request, status);
    } else if (change->apply == conversation_delete) {
        response_empty(request, 204);
    } else {
        struct json_writer *json = response_json(request, 200);
        json_write_object_begin(json);
        json_write_member_text(json, "session_id", change->gate.key.id);
        json_write_member_integer(json, "message_count", 0);
        json_write_member_text(json, "timestamp", request_timestamp(request));
        json_write_object_end(json);
    }
    response_stream_whole(request, change->stream);
}

static void on_opened(void *context, enum status status)
{
    answer_change(context, status);
}

static void set_timer(struct change *change)
{
    if (change->is_over) {
        return;
    }
    uint64_t deadline = session_gate_deadline(&change->gate);
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t left = deadline > now ? (deadline - now) / 1000000 + 1 : 1;
    stream_set_timer(change->stream, deadline == 0 ? 0 : left);
}

static void on_start(struct stream *stream, void *context)
{
    struct change *change = context;
    change->stream = stream;
    change->gate.stream = stream;
    session_gate_enter(&change->gate);
    set_timer(change);
}

static void on_timer(struct stream *stream, void *context)
{
    struct change *change = context;
    (void)stream;
    session_gate_wake(&change->gate);
    set_timer(change);
}

static void on_offloaded(struct stream *stream, void *context)
{
    struct change *change = context;
    (void)stream;
    session_gate_tried(&change->gate);
    if (change->is_stopping && !change->is_over) {
        answer_change(change, STATUS_BUSY);
    }
    set_timer(change);
}

/* The client has gone, or the program stops. */
static void on_stop(struct stream *stream, void *context)
{
    struct change *change = context;
    (void)stream;
    change->is_stopping = true;
    if (change->gate.state == GATE_QUEUED || change->gate.state == GATE_RESTING) {
        answer_change(change, STATUS_BUSY);
    }
}

static void on_ended(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
}

static void begin_change(struct request *request, change_function *apply)
{
    static const struct stream_handlers handlers = {
        .start = on_start,
        .client_gone = on_stop,
        .timer = on_timer,
        .offloaded = on_offloaded,
        .shutdown = on_stop,
        .ended = on_ended,
    };
    struct conversation_key key;
    if (!session_input_path(request, &key)) {
        return;
    }
    struct change *change = arena_allocate(request->arena, sizeof *change);
    if (change == NULL) {
        problem_answer_status(request, STATUS_NO_MEMORY);
        return;
    }
    change->request = request;
    change->apply = apply;
    change->gate = (struct session_gate){.chat = chat_of(request),
                                         .key = key,
                                         .work = work,
                                         .attempt = attempt,
                                         .opened = on_opened,
                                         .context = change};
    (void)request_stream(request, &handlers, change);
}

void sessions_clear(struct request *request)
{
    begin_change(request, conversation_clear);
}

void sessions_delete(struct request *request)
{
    begin_change(request, conversation_delete);
}
