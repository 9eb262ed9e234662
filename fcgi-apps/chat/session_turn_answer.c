/*
 * chat/session_turn_answer: the end of a turn as JSON, or the events of a streamed one.
 */
#include "session_turn.h"

#include "json/write.h"

void turn_send_head(struct turn *turn)
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

static enum status send_event(struct turn *turn, struct buffer *event)
{
    buffer_append_text(event, "\n\n");
    enum status status = buffer_status(event);
    turn_send_head(turn);
    if (status == STATUS_OK) {
        stream_write(turn->stream, (struct slice){buffer_text(event), event->length});
    }
    chat_trim(event);
    return status;
}

enum status turn_send_token(struct turn *turn, size_t from)
{
    /* A chunk of the demo stood in the buffer of the event; it has been read by now. */
    struct buffer *event = begin_event(turn, "token");
    buffer_append_text(event, "{\"text\":\"");
    buffer_append(event, turn->said.data + from, turn->said.length - from);
    buffer_append_text(event, "\"}");
    return send_event(turn, event);
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
    /* Without it the stream ends, and that is not how an answer ends. */
    (void)send_event(turn, event);
    stream_end(turn->stream);
}

static void answer_problem(struct turn *turn)
{
    struct request *request = turn->request;
    const struct problem_entry *entry = problem_find(turn->problem);
    if (turn->retry_after > 0) {
        problem_set_retry_after(request, turn->retry_after);
    }
    if (!turn->is_head_sent) {
        problem_answer(request, turn->problem, NULL);
        if (turn->problem == PROBLEM_BUDGET_EXHAUSTED) {
            response_add_header(request, "x-should-retry", "false");
        }
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
    int64_t retry_after = problem_retry_after(request, entry);
    if (retry_after > 0) {
        json_write_member_integer(&json, "retry_after", retry_after);
    } else {
        json_write_member_null(&json, "retry_after");
    }
    json_write_object_end(&json);
    request->response.error_word = entry->word;
    /* Without it the stream ends, and that is not how an answer ends. */
    (void)send_event(turn, event);
    stream_end(turn->stream);
}

void turn_answer(struct turn *turn)
{
    session_gate_leave(&turn->gate);
    budget_release(&turn->reservation);
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
