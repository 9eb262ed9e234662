/*
 * chat/completion_reader: walks over a provider's JSON with the strict scanner.
 *
 * An object is walked once to find the members that matter, the last of each name; what must change
 * is noted (completion_mend) and changed at the end. Text that the scanner refuses is repaired and
 * read a second time.
 */
#include "completion_reader.h"

#include <string.h>

#include "completion_mend.h"
#include "usage.h"
#include "json/walk.h"
#include "json/write.h"

/* No model says or reads as much at once; sums of such numbers stay far from overflowing. */
#define COUNT_MAXIMUM INT64_C(1000000000000)

struct reading {
    bool is_whole;
    bool hides_usage;
    struct completion_progress *progress;
    struct completion_chunk *chunk;
    struct completion_mender mender;
};

/* --- Members ------------------------------------------------------------------------------------ */

/* A member that matters, wherever it stands in its object. */
struct field {
    const char *name;
    bool is_there;
    struct slice spelled; /* the name as it stands there */
    struct json_value value;
};

static void change(struct reading *reading, struct slice place, const char *text)
{
    completion_mend(&reading->mender, place.data, place.length, slice_of(text));
}

/* Fills in `fields`; names in other case are mended. */
static enum status find_fields(struct reading *reading, struct slice text, struct field *fields,
                               size_t count)
{
    struct json_walk walk;
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        for (size_t i = 0; i < count; i++) {
            if (slice_equals_ignoring_case(walk.name, fields[i].name)) {
                fields[i].is_there = true;
                fields[i].spelled = walk.name;
                fields[i].value = walk.value;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].is_there && !slice_equals(fields[i].spelled, fields[i].name)) {
            change(reading, fields[i].spelled, fields[i].name);
        }
    }
    return json_walk_end(status);
}

static bool is_kind(const struct field *field, enum json_kind kind)
{
    return field->is_there && field->value.kind == kind;
}

/* Gives the object a member, or another value to one that it has. `member` is its whole text with a
 * comma behind it, `value` that of the value alone. */
static void set_member(struct reading *reading, struct slice object, const struct field *field,
                       const char *member, const char *value)
{
    if (field->is_there) {
        change(reading, field->value.text, value);
        return;
    }
    completion_mend(&reading->mender, object.data + 1, 0, slice_of(member));
}

bool completion_get_count(const struct json_value *value, int64_t *out)
{
    int64_t number = -1;
    double real;
    struct slice text = value->text;
    if (value->kind == JSON_STRING) {
        text = (struct slice){text.data + 1, text.length - 2};
    } else if (value->kind != JSON_NUMBER) {
        return false;
    }
    if (text_parse_integer(text, &number) != STATUS_OK) {
        bool is_real = text_parse_double(text, &real) == STATUS_OK && real >= 0 &&
                       real <= (double)COUNT_MAXIMUM;
        number = is_real && real == (double)(int64_t)real ? (int64_t)real : -1;
    }
    if (number < 0 || number > COUNT_MAXIMUM) {
        return false;
    }
    *out = number;
    return true;
}

static void set_bit(uint64_t *bits, int64_t index)
{
    bits[index / 64] |= UINT64_C(1) << (index % 64);
}

static bool get_bit(const uint64_t *bits, int64_t index)
{
    return (bits[index / 64] >> (index % 64) & 1) != 0;
}

bool completion_is_complete(const struct completion_progress *progress)
{
    uint64_t any = 0;
    for (size_t i = 0; i < COMPLETION_CHOICES_MAXIMUM / 64; i++) {
        any |= progress->seen[i];
        if ((progress->seen[i] & ~progress->finished[i]) != 0) {
            return false;
        }
    }
    return any != 0;
}

/* --- Usage ----------------------------------------------------------------------------------- */

/* A count of 0 is believed only for an answer that says nothing. */
static int64_t believe_output(const struct completion_progress *progress, int64_t told)
{
    return told > 0 || (told == 0 && progress->output_weight == 0) ? told : COMPLETION_UNTOLD;
}

/* Some providers send zeros before they have counted, or never count the output; no answer is free
 * for that. So a usage of nothing but zeros is ignored, an output of 0 is not believed beside a text,
 * and an input of 0 is believed once the output is counted. A number that is missing is derived from
 * the total, if there is one. */
static void take_usage(struct completion_progress *progress, int64_t input, int64_t output,
                       int64_t total)
{
    output = believe_output(progress, output);
    if (input <= 0 && output <= 0) {
        return;
    }
    if (input == COMPLETION_UNTOLD && total >= output) {
        input = total - output;
    } else if (output == COMPLETION_UNTOLD) {
        output = believe_output(progress, total - input);
    }
    /* Some tell each number once: the input first, the output at the end. */
    if (input != COMPLETION_UNTOLD || !progress->has_usage) {
        progress->input_tokens = input;
    }
    if (output != COMPLETION_UNTOLD || !progress->has_usage) {
        progress->output_tokens = output;
        progress->told_weight = progress->output_weight;
    }
    progress->has_usage = true;
}

static enum status read_usage(struct reading *reading, struct slice text)
{
    struct json_walk walk;
    int64_t input = COMPLETION_UNTOLD;
    int64_t output = COMPLETION_UNTOLD;
    int64_t total = COMPLETION_UNTOLD;
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (slice_equals_ignoring_case(walk.name, "prompt_tokens")) {
            (void)completion_get_count(&walk.value, &input);
        } else if (slice_equals_ignoring_case(walk.name, "completion_tokens")) {
            (void)completion_get_count(&walk.value, &output);
        } else if (slice_equals_ignoring_case(walk.name, "total_tokens")) {
            (void)completion_get_count(&walk.value, &total);
        }
    }
    take_usage(reading->progress, input, output, total);
    return json_walk_end(status);
}

/* --- Tool calls ------------------------------------------------------------------------------ */

/* A JSON value as the text of a JSON string; NULL when memory is out. */
static const char *quote(struct reading *reading, struct slice text)
{
    struct buffer quoted;
    buffer_init(&quoted, 6 * text.length + 3);
    json_write_escaped(&quoted, text);
    const char *copy = buffer_status(&quoted) == STATUS_OK
                           ? arena_copy(reading->mender.arena, quoted.data, quoted.length)
                           : NULL;
    buffer_release(&quoted);
    return copy;
}

/* The texts in it count for the estimate of tokens; arguments that are an object become text. */
static enum status read_function(struct reading *reading, struct slice text)
{
    struct json_walk walk;
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (walk.value.kind == JSON_STRING) {
            reading->progress->output_weight += usage_weigh_string(walk.value.text);
        } else if (walk.value.kind == JSON_OBJECT && slice_equals(walk.name, "arguments")) {
            const char *quoted = quote(reading, walk.value.text);
            if (quoted == NULL) {
                return STATUS_NO_MEMORY;
            }
            reading->progress->output_weight += (int64_t)walk.value.text.length;
            change(reading, walk.value.text, quoted);
        }
    }
    return json_walk_end(status);
}

static bool has_id(const struct field *id)
{
    return is_kind(id, JSON_STRING) && id->value.text.length > 2;
}

/* Which call of its choice it belongs to when it does not say: one with an id is the next, what
 * comes without goes on with the last. */
static int64_t number_tool_call(const struct completion_progress *progress, int64_t choice,
                                size_t place, const struct field *id)
{
    int64_t count = progress->tool_calls[choice];
    if (has_id(id) || count == 0) {
        return count;
    }
    return place > 0 ? (int64_t)place : count - 1;
}

/* The number of a call that the provider counts as `index`. Some count every call as 0: another id
 * under the index of the call before begins a call of its own, and from then on we count. */
static int64_t renumber_tool_call(struct completion_progress *progress, int64_t choice,
                                  int64_t index, const struct field *id)
{
    struct completion_tool_call *last = &progress->last_call;
    struct slice name = has_id(id) ? id->value.text : (struct slice){"", 0};
    size_t length = name.length < sizeof last->id ? name.length : sizeof last->id;
    bool is_known = last->id_length > 0 && last->choice == choice;
    bool goes_on = is_known && last->index == index;
    bool is_next = length > 0 &&
                   (goes_on ? length != last->id_length || memcmp(name.data, last->id, length) != 0
                            : is_known && last->number != last->index);
    int64_t number = goes_on ? last->number : index;
    if (is_next) {
        number = progress->tool_calls[choice];
    }
    if (length > 0 || !goes_on) {
        *last = (struct completion_tool_call){
            .choice = choice, .index = index, .number = number, .id_length = length};
        memcpy(last->id, name.data, length);
    }
    return number;
}

static enum status set_index(struct reading *reading, struct slice object,
                             const struct field *index, int64_t number)
{
    const char *member = arena_format(reading->mender.arena, "\"index\":%lld,", (long long)number);
    const char *value = arena_format(reading->mender.arena, "%lld", (long long)number);
    if (member == NULL || value == NULL) {
        return STATUS_NO_MEMORY;
    }
    set_member(reading, object, index, member, value);
    return STATUS_OK;
}

static enum status read_tool_call(struct reading *reading, struct slice text, int64_t choice,
                                  size_t place)
{
    struct completion_progress *progress = reading->progress;
    struct field fields[] = {{.name = "index"}, {.name = "id"}, {.name = "function"}};
    enum status status = find_fields(reading, text, fields, 3);
    int64_t index = (int64_t)place;
    if (status == STATUS_OK && !reading->is_whole) {
        bool is_told =
            is_kind(&fields[0], JSON_NUMBER) && completion_get_count(&fields[0].value, &index);
        int64_t number = is_told ? renumber_tool_call(progress, choice, index, &fields[1])
                                 : number_tool_call(progress, choice, place, &fields[1]);
        if (!is_told || number != index) {
            status = set_index(reading, text, &fields[0], number);
        }
        index = number;
    }
    if (status == STATUS_OK && index >= progress->tool_calls[choice] && index < UINT16_MAX) {
        progress->tool_calls[choice] = (uint16_t)(index + 1);
    }
    if (status == STATUS_OK && is_kind(&fields[2], JSON_OBJECT)) {
        status = read_function(reading, fields[2].value.text);
    }
    return status;
}

static enum status read_tool_calls(struct reading *reading, struct slice text, int64_t choice)
{
    struct json_walk walk;
    size_t place = 0;
    enum status status = json_walk_array(&walk, text);
    while (status == STATUS_OK && json_walk_element(&walk, &status)) {
        if (walk.value.kind != JSON_OBJECT) {
            return STATUS_INVALID;
        }
        status = read_tool_call(reading, walk.value.text, choice, place++);
    }
    return json_walk_end(status);
}

/* --- What is said ---------------------------------------------------------------------------- */

static void append_inside(struct buffer *joined, const struct json_value *string)
{
    buffer_append(joined, string->text.data + 1, string->text.length - 2);
}

/* The text of a part of the content; what a model thinks is none. */
static enum status join_part(struct buffer *joined, const struct json_value *part)
{
    struct json_walk walk;
    struct json_value text = {.kind = JSON_NULL};
    bool is_text = true;
    if (part->kind == JSON_STRING) {
        append_inside(joined, part);
        return STATUS_OK;
    }
    if (part->kind != JSON_OBJECT) {
        return STATUS_OK;
    }
    enum status status = json_walk_object(&walk, part->text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (slice_equals_ignoring_case(walk.name, "text")) {
            text = walk.value;
        } else if (slice_equals_ignoring_case(walk.name, "type") &&
                   walk.value.kind == JSON_STRING) {
            is_text = slice_equals(walk.value.text, "\"text\"") ||
                      slice_equals(walk.value.text, "\"output_text\"");
        }
    }
    if (is_text && text.kind == JSON_STRING) {
        append_inside(joined, &text);
    }
    return json_walk_end(status);
}

static enum status join_parts(const struct json_value *content, struct buffer *joined)
{
    struct json_walk walk;
    if (content->kind == JSON_OBJECT) {
        return join_part(joined, content);
    }
    enum status status = json_walk_array(&walk, content->text);
    while (status == STATUS_OK && json_walk_element(&walk, &status)) {
        status = join_part(joined, &walk.value);
    }
    return json_walk_end(status);
}

/* Content as a list of parts, or as one part, becomes a string. */
static enum status flatten_content(struct reading *reading, struct json_value *content)
{
    struct buffer joined;
    buffer_init(&joined, content->text.length + 2);
    buffer_append_char(&joined, '"');
    enum status status = join_parts(content, &joined);
    buffer_append_char(&joined, '"');
    if (status == STATUS_OK) {
        status = buffer_status(&joined);
    }
    char *copy =
        status == STATUS_OK ? arena_copy(reading->mender.arena, joined.data, joined.length) : NULL;
    size_t length = joined.length;
    buffer_release(&joined);
    if (status == STATUS_OK && copy == NULL) {
        status = STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK) {
        change(reading, content->text, copy);
        *content = (struct json_value){.kind = JSON_STRING, .text = {copy, length}};
    }
    return status;
}

static int64_t count_field(const struct field *field)
{
    return is_kind(field, JSON_STRING) ? usage_weigh_string(field->value.text) : 0;
}

/* The first of a choice says who speaks. */
static void mend_role(struct reading *reading, struct slice object, const struct field *role)
{
    if (!is_kind(role, JSON_STRING)) {
        set_member(reading, object, role, "\"role\":\"assistant\",", "\"assistant\"");
    } else if (!slice_equals(role->value.text, "\"assistant\"") &&
               slice_equals_ignoring_case(role->value.text, "\"assistant\"")) {
        change(reading, role->value.text, "\"assistant\"");
    }
}

/* A delta or a message. A refusal is content as well. */
static enum status read_saying(struct reading *reading, struct slice text, int64_t choice,
                               bool is_first)
{
    enum { CONTENT, REFUSAL, REASONING_CONTENT, REASONING, ROLE, TOOL_CALLS, FIELDS };
    struct completion_progress *progress = reading->progress;
    struct field fields[FIELDS] = {
        {.name = "content"},   {.name = "refusal"}, {.name = "reasoning_content"},
        {.name = "reasoning"}, {.name = "role"},    {.name = "tool_calls"}};
    enum status status = find_fields(reading, text, fields, FIELDS);
    if (status == STATUS_OK &&
        (is_kind(&fields[CONTENT], JSON_ARRAY) || is_kind(&fields[CONTENT], JSON_OBJECT))) {
        status = flatten_content(reading, &fields[CONTENT].value);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (is_first) {
        mend_role(reading, text, &fields[ROLE]);
    }
    int64_t said = count_field(&fields[CONTENT]);
    int64_t refused = count_field(&fields[REFUSAL]);
    /* Some say the same under both names. */
    int64_t thought = count_field(&fields[REASONING_CONTENT]);
    int64_t also = count_field(&fields[REASONING]);
    progress->output_weight += said + refused + (thought > also ? thought : also);
    if (choice == 0 && said > 0) {
        reading->chunk->content = fields[CONTENT].value.text;
    } else if (choice == 0 && refused > 0) {
        reading->chunk->content = fields[REFUSAL].value.text;
    }
    return is_kind(&fields[TOOL_CALLS], JSON_ARRAY)
               ? read_tool_calls(reading, fields[TOOL_CALLS].value.text, choice)
               : STATUS_OK;
}

/* --- Choices --------------------------------------------------------------------------------- */

static enum status read_index(struct reading *reading, struct slice object,
                              const struct field *field, size_t place, int64_t *index)
{
    if (is_kind(field, JSON_NUMBER)) {
        return completion_get_count(&field->value, index) && *index < COMPLETION_CHOICES_MAXIMUM
                   ? STATUS_OK
                   : STATUS_INVALID;
    }
    *index = (int64_t)place;
    return place < COMPLETION_CHOICES_MAXIMUM ? set_index(reading, object, field, *index)
                                              : STATUS_INVALID;
}

/* Some write "" for null, some write in capitals. A whole answer has come to its end, whether it
 * says so or not. */
static void read_finish(struct reading *reading, struct slice object, const struct field *field,
                        int64_t index)
{
    static const char *const words[] = {"\"stop\"", "\"length\"", "\"tool_calls\"",
                                        "\"content_filter\"", "\"function_call\""};
    struct completion_progress *progress = reading->progress;
    struct slice text = is_kind(field, JSON_STRING) ? field->value.text : (struct slice){"", 0};
    set_bit(progress->seen, index);
    if (text.length <= 2) {
        if (reading->is_whole) {
            bool has_tools = progress->tool_calls[index] > 0;
            set_bit(progress->finished, index);
            set_member(reading, object, field,
                       has_tools ? "\"finish_reason\":\"tool_calls\","
                                 : "\"finish_reason\":\"stop\",",
                       has_tools ? "\"tool_calls\"" : "\"stop\"");
        } else if (text.length > 0) {
            change(reading, text, "null");
        }
        return;
    }
    set_bit(progress->finished, index);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_equals_ignoring_case(text, words[i]) && !slice_equals(text, words[i])) {
            change(reading, text, words[i]);
        }
    }
    progress->was_filtered =
        progress->was_filtered || slice_equals_ignoring_case(text, "\"content_filter\"");
}

#define BEGINNING    "{\"role\":\"assistant\"}"
#define NOTHING_SAID "{\"role\":\"assistant\",\"content\":null}"

static enum status read_choice(struct reading *reading, struct slice text, size_t place)
{
    enum { INDEX, SAYING, OTHER, FINISH, FIELDS };
    const char *own = reading->is_whole ? "message" : "delta";
    struct field fields[FIELDS] = {{.name = "index"},
                                   {.name = own},
                                   {.name = reading->is_whole ? "delta" : "message"},
                                   {.name = "finish_reason"}};
    int64_t index;
    enum status status = find_fields(reading, text, fields, FIELDS);
    if (status == STATUS_OK) {
        status = read_index(reading, text, &fields[INDEX], place, &index);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct field *saying = &fields[SAYING];
    if (!saying->is_there && is_kind(&fields[OTHER], JSON_OBJECT) &&
        slice_equals(fields[OTHER].spelled, fields[OTHER].name)) {
        /* It says the same under the other form's name. */
        change(reading, fields[OTHER].spelled, own);
        saying = &fields[OTHER];
    }
    bool is_first = !get_bit(reading->progress->has_role, index);
    set_bit(reading->progress->has_role, index);
    if (is_kind(saying, JSON_OBJECT)) {
        status = read_saying(reading, saying->value.text, index, is_first);
    } else if (!saying->is_there || is_kind(saying, JSON_NULL)) {
        /* Clients look into it unasked. Azure, for one, sends verdicts of its filter without. */
        const char *member = reading->is_whole ? "\"message\":" NOTHING_SAID ","
                             : is_first        ? "\"delta\":" BEGINNING ","
                                               : "\"delta\":{},";
        const char *value = reading->is_whole ? NOTHING_SAID : is_first ? BEGINNING : "{}";
        set_member(reading, text, saying, member, value);
    }
    read_finish(reading, text, &fields[FINISH], index);
    return status;
}

static enum status read_choices(struct reading *reading, struct slice text, size_t *count)
{
    struct json_walk walk;
    enum status status = json_walk_array(&walk, text);
    while (status == STATUS_OK && json_walk_element(&walk, &status)) {
        if (walk.value.kind != JSON_OBJECT) {
            return STATUS_INVALID;
        }
        status = read_choice(reading, walk.value.text, (*count)++);
    }
    return json_walk_end(status);
}

/* --- The object ------------------------------------------------------------------------------ */

/* Takes each `usage` out together with its comma. */
static enum status leave_usage_out(struct reading *reading, struct slice text)
{
    struct json_walk walk;
    const char *kept_until = NULL; /* the end of the last member that stays */
    const char *left_out = NULL;   /* the first member, which goes */
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        const char *start = walk.name.data - 1;
        const char *end = walk.value.text.data + walk.value.text.length;
        if (!slice_equals_ignoring_case(walk.name, "usage")) {
            if (left_out != NULL) {
                change(reading, (struct slice){left_out, (size_t)(start - left_out)}, "");
                left_out = NULL;
            }
            kept_until = end;
        } else if (kept_until != NULL) {
            change(reading, (struct slice){kept_until, (size_t)(end - kept_until)}, "");
            kept_until = end;
        } else if (left_out == NULL) {
            left_out = start;
        }
    }
    return json_walk_end(status);
}

/* `"error":""` and the like say that there is none. */
static bool is_error(const struct field *field)
{
    static const char *const nothing[] = {"null", "\"\"", "false", "{}", "[]", "0"};
    bool is_something = field->is_there;
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        is_something = is_something && !slice_equals(field->value.text, nothing[i]);
    }
    return is_something;
}

static enum status read_object(struct reading *reading, struct slice text)
{
    enum { CHOICES, USAGE, ERROR, FIELDS };
    struct field fields[FIELDS] = {{.name = "choices"}, {.name = "usage"}, {.name = "error"}};
    struct completion_chunk *chunk = reading->chunk;
    size_t count = 0;
    enum status status = find_fields(reading, text, fields, FIELDS);
    bool has_usage = status == STATUS_OK && is_kind(&fields[USAGE], JSON_OBJECT);
    bool has_choices = status == STATUS_OK && is_kind(&fields[CHOICES], JSON_ARRAY);
    if (status == STATUS_OK && fields[CHOICES].is_there && !has_choices &&
        !is_kind(&fields[CHOICES], JSON_NULL)) {
        return STATUS_INVALID;
    }
    if (has_choices) {
        status = read_choices(reading, fields[CHOICES].value.text, &count);
    }
    if (status == STATUS_OK && has_usage) {
        status = read_usage(reading, fields[USAGE].value.text);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (is_error(&fields[ERROR])) {
        chunk->error = fields[ERROR].value.text;
    }
    chunk->is_usage_only = has_usage && count == 0;
    chunk->is_nothing = !has_choices && !has_usage && chunk->error.length == 0;
    if (!has_choices) {
        set_member(reading, text, &fields[CHOICES], "\"choices\":[],", "[]");
    }
    return fields[USAGE].is_there && reading->hides_usage ? leave_usage_out(reading, text)
                                                          : STATUS_OK;
}

static enum status read_text(struct reading *reading, struct slice text)
{
    struct json_scanner scanner;
    struct json_value value;
    *reading->chunk = (struct completion_chunk){0};
    json_scan_start(&scanner, text);
    enum status status = json_scan_value(&scanner, &value);
    if (status != STATUS_OK || !json_scan_at_end(&scanner)) {
        return status == STATUS_NO_MEMORY ? status : STATUS_INVALID;
    }
    if (value.kind == JSON_NULL) {
        reading->chunk->is_nothing = true;
        return STATUS_OK;
    }
    return value.kind == JSON_OBJECT ? read_object(reading, value.text) : STATUS_INVALID;
}

static bool is_one_line(struct slice text)
{
    return memchr(text.data, '\n', text.length) == NULL &&
           memchr(text.data, '\r', text.length) == NULL;
}

/* `mended` gets the text if something had to be changed, be it the lines of a chunk. */
static enum status read_mending(struct reading *reading, struct slice text, struct buffer *mended)
{
    struct completion_progress before = *reading->progress;
    struct slice as_read = text;
    enum status status = read_text(reading, text);
    bool is_repaired = status == STATUS_INVALID || status == STATUS_TOO_LARGE;
    if (is_repaired) {
        *reading->progress = before;
        reading->mender.count = 0;
        status =
            completion_repair(text, reading->mender.arena, &reading->progress->pending, &as_read);
        if (status == STATUS_OK) {
            status = read_text(reading, as_read);
        }
    }
    if (reading->mender.is_out_of_memory) {
        return STATUS_NO_MEMORY;
    }
    reading->chunk->is_changed =
        is_repaired || reading->mender.count > 0 || (!reading->is_whole && !is_one_line(as_read));
    if (status == STATUS_OK && mended != NULL && reading->chunk->is_changed) {
        completion_mend_apply(&reading->mender, as_read, mended);
        status = buffer_status(mended);
    }
    return status;
}

enum status completion_read_chunk(struct slice text, bool hides_usage, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended)
{
    struct reading reading = {.hides_usage = hides_usage,
                              .progress = progress,
                              .chunk = chunk,
                              .mender = {.arena = scratch}};
    return read_mending(&reading, text, mended);
}

/* --- Whole answers --------------------------------------------------------------------------- */

enum status completion_read_whole(struct slice text, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended)
{
    struct reading reading = {
        .is_whole = true, .progress = progress, .chunk = chunk, .mender = {.arena = scratch}};
    enum status status = read_mending(&reading, text, mended);
    if (status != STATUS_OK) {
        return status == STATUS_NO_MEMORY ? status : STATUS_INVALID;
    }
    if (!completion_is_complete(progress)) {
        return chunk->error.length > 0 ? STATUS_UNAVAILABLE : STATUS_INVALID;
    }
    return STATUS_OK;
}
