/*
 * chat/demo: one look at the request, then words.
 */
#include "demo.h"

#include <string.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "usage.h"
#include "json/json.h"
#include "json/write.h"

#define INTRODUCTION "This is the built-in demo, not a language model. "
#define NOTHING_SAID "(no text)"
#define WORD_MAXIMUM 1024 /* bytes of one chunk */
#define CALL_WORD    "call "

/* --- Reading the request --------------------------------------------------------------------- */

/* The text parts of an array joined by a blank; NULL when memory is out. */
static const char *join_parts(struct arena *arena, const struct json_node *content)
{
    size_t length = 1;
    for (const struct json_node *part = json_first(content); part; part = json_next(part)) {
        length += strlen(json_member_text(part, "text", "")) + 1;
    }
    char *text = arena_allocate(arena, length);
    char *at = text;
    if (text == NULL) {
        return NULL;
    }
    for (const struct json_node *part = json_first(content); part; part = json_next(part)) {
        const char *piece = json_member_text(part, "text", NULL);
        if (piece != NULL) {
            size_t size = strlen(piece);
            if (at > text) {
                *at++ = ' ';
            }
            memcpy(at, piece, size);
            at += size;
        }
    }
    *at = '\0';
    return text;
}

/* The text of a message: a string, or the text parts of an array. */
static const char *text_of(struct arena *arena, const struct json_node *message)
{
    const struct json_node *content = json_member(message, "content");
    const char *text = NULL;
    if (json_get_text(content, &text)) {
        return text;
    }
    return content != NULL ? join_parts(arena, content) : "";
}

struct conversation_view {
    const char *role; /* of the last message */
    const char *last; /* its text */
    const char *previous_question;
    const char *question;
    size_t earlier_questions;
    int64_t weight;
};

static enum status view_conversation(struct arena *arena, const struct json_node *root,
                                     struct conversation_view *view)
{
    const struct json_node *message = json_first(json_member(root, "messages"));
    *view = (struct conversation_view){.role = "", .last = ""};
    for (; message != NULL; message = json_next(message)) {
        const struct json_node *content = json_member(message, "content");
        const char *text;
        if (json_node_kind(content) == JSON_STRING && !json_get_text(content, &text)) {
            return STATUS_INVALID; /* it holds U+0000 */
        }
        text = text_of(arena, message);
        if (text == NULL) {
            return STATUS_NO_MEMORY;
        }
        view->role = json_member_text(message, "role", "");
        view->last = text;
        view->weight += usage_weigh_text(text);
        if (strcmp(view->role, "user") == 0) {
            view->earlier_questions += view->question != NULL;
            view->previous_question = view->question;
            view->question = text;
        }
    }
    return STATUS_OK;
}

/* --- Tools ----------------------------------------------------------------------------------- */

static bool is_name_character(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

static bool has_tool(const struct json_node *root, struct slice name)
{
    const struct json_node *tool = json_first(json_member(root, "tools"));
    for (; tool != NULL; tool = json_next(tool)) {
        if (slice_equals(name, json_member_text(json_member(tool, "function"), "name", ""))) {
            return true;
        }
    }
    return false;
}

/* The JSON object that `text` starts with (after blanks), or "{}". */
static const char *arguments_in(struct arena *arena, struct slice text)
{
    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, text);
    if (json_scan_value(&scanner, &value) != STATUS_OK || value.kind != JSON_OBJECT) {
        return "{}";
    }
    return arena_copy(arena, value.text.data, value.text.length);
}

/* Each is looked for among all tools. */
#define CALLS_LOOKED_AT 16

/* Finds "call NAME" with a tool of that name, among the first few that say so. */
static enum status choose_tool(struct arena *arena, const struct json_node *root,
                               const char *question, struct demo_answer *out)
{
    const char *end = question + strlen(question);
    const char *at = question;
    for (int i = 0; i < CALLS_LOOKED_AT && (at = strstr(at, CALL_WORD)) != NULL; i++) {
        at += strlen(CALL_WORD);
        struct slice name = {at, 0};
        while (is_name_character(at[name.length])) {
            name.length++;
        }
        if (name.length > 0 && has_tool(root, name)) {
            const char *rest = at + name.length;
            out->tool_name = arena_copy(arena, name.data, name.length);
            out->tool_arguments = arguments_in(arena, (struct slice){rest, (size_t)(end - rest)});
            return out->tool_name == NULL || out->tool_arguments == NULL ? STATUS_NO_MEMORY
                                                                         : STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

/* --- The words ------------------------------------------------------------------------------- */

static const char *compose(struct arena *arena, const struct conversation_view *view)
{
    if (strcmp(view->role, "tool") == 0) {
        return arena_format(arena, INTRODUCTION "The tool answered: %s", view->last);
    }
    const char *question =
        view->question != NULL && view->question[0] != '\0' ? view->question : NOTHING_SAID;
    if (view->earlier_questions == 0) {
        return arena_format(arena, INTRODUCTION "You said: %s\nThis is your first message.",
                            question);
    }
    return arena_format(arena,
                        INTRODUCTION "You said: %s\nBefore that you sent %zu message%s; the "
                                     "previous one was: %s",
                        question, view->earlier_questions, view->earlier_questions == 1 ? "" : "s",
                        view->previous_question);
}

enum status demo_prepare(struct arena *arena, struct slice body, const char *model,
                         struct demo_answer *out)
{
    static const struct siphash_key key = {{0x64656d6f, 0x64656d6f}};
    const struct json_node *root;
    struct conversation_view view;
    bool tells_usage = false;
    *out = (struct demo_answer){0};
    enum status status = json_parse(arena, body, &root);
    if (status != STATUS_OK) {
        return status;
    }
    status = view_conversation(arena, root, &view);
    if (status != STATUS_OK) {
        return status;
    }
    status = strcmp(view.role, "user") == 0 ? choose_tool(arena, root, view.last, out)
                                            : STATUS_NOT_FOUND;
    if (status == STATUS_NOT_FOUND) {
        out->text = compose(arena, &view);
        status = out->text == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    (void)json_get_boolean(json_member(json_member(root, "stream_options"), "include_usage"),
                           &tells_usage);
    uint64_t hash = siphash_compute(&key, body.data, body.length).words[0];
    const char *said = out->text != NULL ? out->text : out->tool_arguments;
    out->id = arena_format(arena, "chatcmpl-demo-%016llx", (unsigned long long)hash);
    out->call_id = arena_format(arena, "call_demo_%016llx", (unsigned long long)hash);
    out->model = arena_format(arena, "demo/%s", model);
    out->created = clock_wall_seconds();
    out->tells_usage = tells_usage;
    out->input_tokens = usage_estimate_tokens(view.weight);
    out->output_tokens = usage_estimate_tokens(usage_weigh_text(said));
    out->word_milliseconds =
        strcmp(model, "slow") == 0 ? DEMO_SLOW_MILLISECONDS : DEMO_ECHO_MILLISECONDS;
    return out->id == NULL || out->call_id == NULL || out->model == NULL ? STATUS_NO_MEMORY
                                                                         : STATUS_OK;
}

/* --- Writing --------------------------------------------------------------------------------- */

static void write_head(const struct demo_answer *answer, const char *object,
                       struct json_writer *json)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", answer->id);
    json_write_member_text(json, "object", object);
    json_write_member_integer(json, "created", answer->created);
    json_write_member_text(json, "model", answer->model);
}

static void write_usage(const struct demo_answer *answer, struct json_writer *json)
{
    json_write_name(json, "usage");
    json_write_object_begin(json);
    json_write_member_integer(json, "prompt_tokens", answer->input_tokens);
    json_write_member_integer(json, "completion_tokens", answer->output_tokens);
    json_write_member_integer(json, "total_tokens", answer->input_tokens + answer->output_tokens);
    json_write_object_end(json);
}

/* `arguments` NULL: the first delta of a call, which names it. */
static void write_tool_call(const struct demo_answer *answer, bool is_delta, bool is_named,
                            const char *arguments, struct json_writer *json)
{
    json_write_name(json, "tool_calls");
    json_write_array_begin(json);
    json_write_object_begin(json);
    if (is_delta) {
        json_write_member_integer(json, "index", 0);
    }
    if (is_named) {
        json_write_member_text(json, "id", answer->call_id);
        json_write_member_text(json, "type", "function");
    }
    json_write_name(json, "function");
    json_write_object_begin(json);
    if (is_named) {
        json_write_member_text(json, "name", answer->tool_name);
    }
    json_write_member_text(json, "arguments", arguments);
    json_write_object_end(json);
    json_write_object_end(json);
    json_write_array_end(json);
}

static const char *finish_reason_of(const struct demo_answer *answer)
{
    return answer->tool_name != NULL ? "tool_calls" : "stop";
}

void demo_write_whole(const struct demo_answer *answer, struct buffer *out)
{
    struct json_writer json;
    json_write_start(&json, out);
    write_head(answer, "chat.completion", &json);
    json_write_name(&json, "choices");
    json_write_array_begin(&json);
    json_write_object_begin(&json);
    json_write_member_integer(&json, "index", 0);
    json_write_name(&json, "message");
    json_write_object_begin(&json);
    json_write_member_text(&json, "role", "assistant");
    json_write_member_text(&json, "content", answer->text);
    json_write_member_null(&json, "refusal");
    if (answer->tool_name != NULL) {
        write_tool_call(answer, false, true, answer->tool_arguments, &json);
    }
    json_write_object_end(&json);
    json_write_member_null(&json, "logprobs");
    json_write_member_text(&json, "finish_reason", finish_reason_of(answer));
    json_write_object_end(&json);
    json_write_array_end(&json);
    write_usage(answer, &json);
    json_write_object_end(&json);
}

/* Streams go through these, one chunk each but for the words. */
enum step { STEP_ROLE, STEP_WORDS, STEP_FINISH, STEP_USAGE, STEP_OVER };

static void begin_chunk(const struct demo_answer *answer, struct json_writer *json)
{
    write_head(answer, "chat.completion.chunk", json);
    json_write_name(json, "choices");
    json_write_array_begin(json);
}

static void begin_delta(const struct demo_answer *answer, struct json_writer *json)
{
    begin_chunk(answer, json);
    json_write_object_begin(json);
    json_write_member_integer(json, "index", 0);
    json_write_name(json, "delta");
    json_write_object_begin(json);
}

static void end_delta(const struct demo_answer *answer, const char *finish_reason,
                      struct json_writer *json)
{
    json_write_object_end(json);
    json_write_member_text(json, "finish_reason", finish_reason);
    json_write_object_end(json);
    json_write_array_end(json);
    if (answer->tells_usage) {
        json_write_member_null(json, "usage");
    }
    json_write_object_end(json);
}

/* The next word with the blank behind it; of a long one a piece, cut between characters. */
static struct slice next_word(struct demo_answer *answer, const char *text)
{
    const char *start = text + answer->at;
    size_t left = strnlen(start, WORD_MAXIMUM + 4);
    size_t length = 0;
    bool is_blank = false;
    while (length < left) {
        size_t size = text_measure_character(start + length, left - length);
        size = size > 0 ? size : 1;
        bool blank = start[length] == ' ' || start[length] == '\n';
        if ((is_blank && !blank) || length + size > WORD_MAXIMUM) {
            break;
        }
        is_blank = blank;
        length += size;
    }
    answer->at += length;
    return (struct slice){start, length};
}

static void write_word(struct demo_answer *answer, struct json_writer *json)
{
    begin_delta(answer, json);
    if (answer->text != NULL) {
        json_write_member_slice(json, "content", next_word(answer, answer->text));
    } else {
        struct slice word = next_word(answer, answer->tool_arguments);
        char piece[WORD_MAXIMUM + 1];
        memcpy(piece, word.data, word.length);
        piece[word.length] = '\0';
        write_tool_call(answer, true, false, piece, json);
    }
    end_delta(answer, NULL, json);
}

static void write_first(const struct demo_answer *answer, struct json_writer *json)
{
    begin_delta(answer, json);
    json_write_member_text(json, "role", "assistant");
    if (answer->text != NULL) {
        json_write_member_text(json, "content", "");
    } else {
        json_write_member_null(json, "content");
        write_tool_call(answer, true, true, "", json);
    }
    end_delta(answer, NULL, json);
}

bool demo_write_chunk(struct demo_answer *answer, struct buffer *out)
{
    const char *words = answer->text != NULL ? answer->text : answer->tool_arguments;
    struct json_writer json;
    json_write_start(&json, out);
    switch ((enum step)answer->step) {
    case STEP_ROLE:
        write_first(answer, &json);
        answer->step = STEP_WORDS;
        return true;
    case STEP_WORDS:
        write_word(answer, &json);
        answer->step = words[answer->at] == '\0' ? STEP_FINISH : STEP_WORDS;
        return true;
    case STEP_FINISH:
        begin_delta(answer, &json);
        end_delta(answer, finish_reason_of(answer), &json);
        answer->step = answer->tells_usage ? STEP_USAGE : STEP_OVER;
        return true;
    case STEP_USAGE:
        begin_chunk(answer, &json);
        json_write_array_end(&json);
        write_usage(answer, &json);
        json_write_object_end(&json);
        answer->step = STEP_OVER;
        return true;
    case STEP_OVER:
        break;
    }
    return false;
}
