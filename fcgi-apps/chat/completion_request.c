/*
 * chat/completion_request: one walk over the members to find places, one copy around them.
 */
#include "completion_request.h"

#include <math.h>
#include <string.h>

#include "base/buffer.h"
#include "completion_reader.h"
#include "usage.h"
#include "json/scan.h"
#include "json/write.h"

#define SCRATCH_MAXIMUM ((size_t)64 << 20)
#define MESSAGES_NAME   "messages"
#define OUTPUT_MAXIMUM  INT64_C(10000000)
/* A part that is no text, such as a picture, costs about a thousand tokens. */
#define WEIGHT_OF_A_PART 4000

/* One reading of a body. */
struct reader {
    struct arena *arena;
    struct completion_request *out;
    struct completion_fault *fault;
    bool has_messages;
    bool is_out_of_memory;
};

static enum status refuse(struct reader *reader, const char *message, const char *param,
                          const char *code)
{
    *reader->fault = (struct completion_fault){.message = message, .param = param, .code = code};
    return STATUS_INVALID;
}

/* A member's name may be spelled with escapes; it means the same to the provider. */
static bool is_named(struct reader *reader, struct slice name, const char *wanted)
{
    if (name.length == 0 || memchr(name.data, '\\', name.length) == NULL) {
        return slice_equals(name, wanted);
    }
    struct slice quoted = {name.data - 1, name.length + 2};
    struct slice plain;
    enum status status = json_unescape(reader->arena, quoted, &plain);
    reader->is_out_of_memory = reader->is_out_of_memory || status == STATUS_NO_MEMORY;
    return status == STATUS_OK && slice_equals(plain, wanted);
}

/* --- Messages -------------------------------------------------------------------------------- */

static void count_part(struct reader *reader, struct slice part)
{
    bool is_text = false;
    struct json_scanner scanner;
    json_scan_start(&scanner, part);
    if (json_scan_enter_object(&scanner) != STATUS_OK) {
        return;
    }
    struct slice name;
    struct json_value value;
    bool first = true;
    while (json_scan_next_member(&scanner, &first, &name, &value) == STATUS_OK) {
        if (value.kind == JSON_STRING && is_named(reader, name, "text")) {
            reader->out->input_weight += usage_weigh_string(value.text);
            is_text = true;
        }
    }
    reader->out->input_weight += is_text ? 0 : WEIGHT_OF_A_PART;
}

static void count_content(struct reader *reader, const struct json_value *content)
{
    if (content->kind == JSON_STRING) {
        reader->out->input_weight += usage_weigh_string(content->text);
    }
    if (content->kind != JSON_ARRAY) {
        return;
    }
    struct json_scanner scanner;
    struct json_value part;
    bool first = true;
    json_scan_start(&scanner, content->text);
    if (json_scan_enter_array(&scanner) == STATUS_OK) {
        while (json_scan_next_element(&scanner, &first, &part) == STATUS_OK) {
            count_part(reader, part.text);
        }
    }
}

/* Calls and descriptions of tools go to the model nearly as they are spelled. */
static enum status count_spelled(struct reader *reader, const struct json_value *value)
{
    if (value->kind == JSON_ARRAY) {
        reader->out->input_weight += (int64_t)value->text.length;
    }
    return STATUS_OK;
}

static enum status refuse_message(struct reader *reader, size_t index, const char *member,
                                  const char *message)
{
    const char *param = arena_format(reader->arena, MESSAGES_NAME "[%zu]%s", index, member);
    return param == NULL ? STATUS_NO_MEMORY : refuse(reader, message, param, "invalid_type");
}

static enum status read_message(struct reader *reader, const struct json_value *message,
                                size_t index)
{
    if (message->kind != JSON_OBJECT) {
        return refuse_message(reader, index, "", "A message must be an object");
    }
    struct json_scanner scanner;
    struct slice name;
    struct json_value value;
    bool first = true;
    bool has_role = false;
    json_scan_start(&scanner, message->text);
    enum status status = json_scan_enter_object(&scanner);
    while (status == STATUS_OK &&
           (status = json_scan_next_member(&scanner, &first, &name, &value)) == STATUS_OK) {
        if (is_named(reader, name, "role")) {
            has_role = value.kind == JSON_STRING;
        } else if (is_named(reader, name, "content")) {
            count_content(reader, &value);
        } else if (is_named(reader, name, "tool_calls")) {
            status = count_spelled(reader, &value);
        }
    }
    if (!has_role) {
        return refuse_message(reader, index, ".role", "A message must have a role");
    }
    return STATUS_OK;
}

static enum status read_messages(struct reader *reader, const struct json_value *messages)
{
    reader->has_messages = true;
    if (messages->kind != JSON_ARRAY) {
        return refuse(reader, "'messages' must be an array", MESSAGES_NAME, "invalid_type");
    }
    struct json_scanner scanner;
    struct json_value message;
    bool first = true;
    size_t count = 0;
    json_scan_start(&scanner, messages->text);
    enum status status = json_scan_enter_array(&scanner);
    while (status == STATUS_OK &&
           (status = json_scan_next_element(&scanner, &first, &message)) == STATUS_OK) {
        status = read_message(reader, &message, count++);
    }
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    return count > 0 ? STATUS_OK
                     : refuse(reader, "'messages' must not be empty", MESSAGES_NAME, "empty_array");
}

/* --- The rest -------------------------------------------------------------------------------- */

static enum status read_model(struct reader *reader, const struct json_value *value)
{
    struct slice *model = &reader->out->model;
    enum status status = value->kind == JSON_STRING
                             ? json_unescape(reader->arena, value->text, model)
                             : STATUS_INVALID;
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    if (status != STATUS_OK || model->length == 0 || model->length > COMPLETION_MODEL_MAXIMUM) {
        return refuse(reader, "'model' must be the name of a model", "model", "invalid_type");
    }
    for (size_t i = 0; i < model->length; i++) {
        unsigned char byte = (unsigned char)model->data[i];
        if (byte <= ' ' || byte == 0x7f) {
            return refuse(reader, "'model' must be the name of a model", "model", "invalid_value");
        }
    }
    reader->out->model_text = value->text;
    return STATUS_OK;
}

static enum status read_stream_options(struct reader *reader, const struct json_value *value)
{
    struct completion_request *out = reader->out;
    if (value->kind != JSON_OBJECT && value->kind != JSON_NULL) {
        return refuse(reader, "'stream_options' must be an object", "stream_options",
                      "invalid_type");
    }
    out->stream_options = value->text;
    out->stream_options_is_object = value->kind == JSON_OBJECT;
    if (value->kind == JSON_NULL) {
        return STATUS_OK;
    }
    struct json_scanner scanner;
    struct slice name;
    struct json_value member;
    bool first = true;
    json_scan_start(&scanner, value->text);
    enum status status = json_scan_enter_object(&scanner);
    while (status == STATUS_OK &&
           (status = json_scan_next_member(&scanner, &first, &name, &member)) == STATUS_OK) {
        out->stream_options_has_members = true;
        if (is_named(reader, name, "include_usage")) {
            if (member.kind != JSON_BOOLEAN && member.kind != JSON_NULL) {
                return refuse(reader, "'stream_options.include_usage' must be true or false",
                              "stream_options.include_usage", "invalid_type");
            }
            out->include_usage = member.text;
            out->wants_usage = slice_equals(member.text, "true");
        }
    }
    return STATUS_OK;
}

static enum status read_stream(struct reader *reader, const struct json_value *value)
{
    if (value->kind != JSON_BOOLEAN && value->kind != JSON_NULL) {
        return refuse(reader, "'stream' must be true or false", "stream", "invalid_type");
    }
    reader->out->is_streamed = slice_equals(value->text, "true");
    return STATUS_OK;
}

/* What is no number of tokens is for the provider to judge. A number counts however it is spelled
 * (1e4, "10000"), since some provider may take it. Of two maxima some providers read one and some
 * the other. */
static enum status read_maximum(struct reader *reader, const struct json_value *value)
{
    struct slice text = value->text;
    double number;
    if (value->kind == JSON_STRING) {
        text = (struct slice){text.data + 1, text.length - 2};
    }
    if ((value->kind != JSON_NUMBER && value->kind != JSON_STRING) ||
        text_parse_double(slice_trim(text), &number) != STATUS_OK || !(number > 0)) {
        return STATUS_OK;
    }
    int64_t maximum = number < (double)OUTPUT_MAXIMUM ? (int64_t)ceil(number) : OUTPUT_MAXIMUM;
    if (maximum > reader->out->output_maximum) {
        reader->out->output_maximum = maximum;
    }
    return STATUS_OK;
}

/* So is what is no number of choices; a provider that takes it all the same gives no more than it
 * may. */
static enum status read_choices(struct reader *reader, const struct json_value *value)
{
    int64_t number;
    if (value->kind != JSON_NUMBER || text_parse_integer(value->text, &number) != STATUS_OK) {
        number = COMPLETION_CHOICES_MAXIMUM;
    }
    bool is_possible = value->kind != JSON_NULL && number > 0;
    number = number < COMPLETION_CHOICES_MAXIMUM ? number : COMPLETION_CHOICES_MAXIMUM;
    reader->out->choices = is_possible ? number : 1;
    return STATUS_OK;
}

static enum status read_member(struct reader *reader, struct slice name,
                               const struct json_value *value)
{
    static const struct {
        const char *name;
        enum status (*read)(struct reader *reader, const struct json_value *value);
    } members[] = {{"model", read_model},
                   {"stream", read_stream},
                   {"stream_options", read_stream_options},
                   {"max_tokens", read_maximum},
                   {"max_completion_tokens", read_maximum},
                   {"n", read_choices},
                   {"tools", count_spelled},
                   {"functions", count_spelled},
                   {MESSAGES_NAME, read_messages}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (is_named(reader, name, members[i].name)) {
            return members[i].read(reader, value);
        }
    }
    return STATUS_OK;
}

static enum status read_members(struct reader *reader)
{
    struct json_scanner scanner;
    struct slice name;
    struct json_value value;
    bool first = true;
    json_scan_start(&scanner, reader->out->text);
    if (json_scan_enter_object(&scanner) != STATUS_OK) {
        return refuse(reader, "The request body must be a JSON object", NULL, "invalid_type");
    }
    while (json_scan_next_member(&scanner, &first, &name, &value) == STATUS_OK) {
        enum status status = read_member(reader, name, &value);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (reader->out->model.length == 0) {
        return refuse(reader, "You must provide a model parameter", "model",
                      "missing_required_parameter");
    }
    if (!reader->has_messages) {
        return refuse(reader, "Missing required parameter: 'messages'", MESSAGES_NAME,
                      "missing_required_parameter");
    }
    return STATUS_OK;
}

static enum status validate(struct reader *reader)
{
    struct arena scratch;
    arena_init(&scratch, SCRATCH_MAXIMUM);
    enum status status = json_validate(reader->out->text, &scratch);
    arena_destroy(&scratch);
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
        return status;
    }
    return refuse(reader, "The request body is not valid JSON", NULL, "invalid_json");
}

enum status completion_request_read(struct arena *arena, struct slice text,
                                    struct completion_request *out, struct completion_fault *fault)
{
    struct reader reader = {.arena = arena, .out = out, .fault = fault};
    *out = (struct completion_request){.text = text, .choices = 1};
    enum status status = validate(&reader);
    if (status == STATUS_OK) {
        status = read_members(&reader);
    }
    return reader.is_out_of_memory ? STATUS_NO_MEMORY : status;
}

/* --- Writing --------------------------------------------------------------------------------- */

/* At most these two places change; they are copied around in the order they stand. */
struct splice {
    struct slice place; /* of the text; empty = insert before it */
    const char *before;
    const char *replacement;
};

static struct splice usage_splice(const struct completion_request *request)
{
    static const char asked[] = "true";
    static const char whole[] = "{\"include_usage\":true}";
    if (request->include_usage.length > 0) {
        return (struct splice){.place = request->include_usage, .replacement = asked};
    }
    if (request->stream_options_is_object) {
        /* Behind the opening brace. */
        return (struct splice){.place = {request->stream_options.data + 1, 0},
                               .replacement = request->stream_options_has_members
                                                  ? "\"include_usage\":true,"
                                                  : "\"include_usage\":true"};
    }
    if (request->stream_options.length > 0) {
        return (struct splice){.place = request->stream_options, .replacement = whole};
    }
    /* Before the closing brace; `model` is there, so a comma is right. */
    const char *brace = request->text.data + request->text.length;
    while (*--brace != '}') {
    }
    return (struct splice){
        .place = {brace, 0}, .before = ",\"stream_options\":", .replacement = whole};
}

static void copy_until(struct buffer *out, const char **from, const char *until)
{
    buffer_append(out, *from, (size_t)(until - *from));
    *from = until;
}

static void apply(struct buffer *out, const char **from, const struct splice *splice)
{
    copy_until(out, from, splice->place.data);
    if (splice->before != NULL) {
        buffer_append_text(out, splice->before);
    }
    buffer_append_text(out, splice->replacement);
    *from = splice->place.data + splice->place.length;
}

enum status completion_request_write(const struct completion_request *request, struct arena *arena,
                                     const char *model, bool asks_usage, struct slice *out)
{
    struct buffer name;
    struct buffer body;
    buffer_init(&name, 6 * COMPLETION_MODEL_MAXIMUM + 2);
    buffer_init(&body, request->text.length + 8 * COMPLETION_MODEL_MAXIMUM);
    json_write_escaped(&name, slice_of(model));
    struct splice first = {.place = request->model_text, .replacement = buffer_text(&name)};
    bool has_second = asks_usage && request->is_streamed;
    struct splice second = has_second ? usage_splice(request) : first;
    if (has_second && second.place.data < first.place.data) {
        struct splice saved = first;
        first = second;
        second = saved;
    }
    const char *from = request->text.data;
    apply(&body, &from, &first);
    if (has_second) {
        apply(&body, &from, &second);
    }
    copy_until(&body, &from, request->text.data + request->text.length);
    enum status status = buffer_status(&name);
    if (status == STATUS_OK) {
        status = buffer_status(&body);
    }
    if (status == STATUS_OK) {
        *out = (struct slice){arena_copy(arena, body.data, body.length), body.length};
        status = out->data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
    buffer_release(&name);
    buffer_release(&body);
    return status;
}
