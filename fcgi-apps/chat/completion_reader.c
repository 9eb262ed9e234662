/*
 * chat/completion_reader: walks over a provider's JSON with the strict scanner.
 *
 * Mending happens while walking: `copied` is how far the text has been taken over into the output;
 * at a place that must change, what stands before it is taken over, then the new text.
 */
#include "completion_reader.h"

#include <string.h>

#include "usage.h"
#include "json/json.h"
#include "json/scan.h"

/* No model says or reads as much at once; sums of such numbers stay far from overflowing. */
#define COUNT_MAXIMUM INT64_C(1000000000000)

struct mender {
    struct buffer *out; /* NULL: nothing is written */
    const char *copied;
};

/* --- Output ---------------------------------------------------------------------------------- */

/* JSON may be spread over lines; a frame of an event stream may not. Inside of strings there are
 * no line ends, so a blank means the same. */
static void append_as_line(struct buffer *out, const char *from, const char *until)
{
    while (from < until) {
        const char *end = from;
        while (end < until && *end != '\n' && *end != '\r') {
            end++;
        }
        buffer_append(out, from, (size_t)(end - from));
        if (end < until) {
            buffer_append_char(out, ' ');
            end++;
        }
        from = end;
    }
}

/* Puts `text` in the place of `length` bytes at `at`. */
static void mend(struct mender *mender, const char *at, size_t length, const char *text)
{
    if (mender->out != NULL) {
        append_as_line(mender->out, mender->copied, at);
        buffer_append_text(mender->out, text);
        mender->copied = at + length;
    }
}

/* --- Walking --------------------------------------------------------------------------------- */

struct walk {
    struct json_scanner scanner;
    bool first;
    struct slice name;
    struct json_value value;
};

static enum status walk_object(struct walk *walk, struct slice text)
{
    json_scan_start(&walk->scanner, text);
    walk->first = true;
    return json_scan_enter_object(&walk->scanner);
}

static bool walk_member(struct walk *walk, enum status *status)
{
    *status = json_scan_next_member(&walk->scanner, &walk->first, &walk->name, &walk->value);
    return *status == STATUS_OK;
}

static enum status walk_array(struct walk *walk, struct slice text)
{
    json_scan_start(&walk->scanner, text);
    walk->first = true;
    return json_scan_enter_array(&walk->scanner);
}

static bool walk_element(struct walk *walk, enum status *status)
{
    *status = json_scan_next_element(&walk->scanner, &walk->first, &walk->value);
    return *status == STATUS_OK;
}

/* A walk ends well at the end of what it walks over. */
static enum status walk_end(enum status status)
{
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static bool get_count(const struct json_value *value, int64_t *out)
{
    int64_t number;
    if (value->kind != JSON_NUMBER || text_parse_integer(value->text, &number) != STATUS_OK ||
        number < 0 || number > COUNT_MAXIMUM) {
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

/* --- Parts of both forms --------------------------------------------------------------------- */

static enum status read_usage(struct slice text, struct completion_progress *progress)
{
    struct walk walk;
    int64_t input = -1;
    int64_t output = -1;
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        if (slice_equals(walk.name, "prompt_tokens")) {
            (void)get_count(&walk.value, &input);
        } else if (slice_equals(walk.name, "completion_tokens")) {
            (void)get_count(&walk.value, &output);
        }
    }
    /* An embedding or a cached answer may leave one of them out. */
    if (input >= 0 || output >= 0) {
        progress->has_usage = true;
        progress->input_tokens = input < 0 ? 0 : input;
        progress->output_tokens = output < 0 ? 0 : output;
    }
    return walk_end(status);
}

/* The texts in a tool call, for the estimate of tokens. */
static enum status read_function(struct slice text, struct completion_progress *progress)
{
    struct walk walk;
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        if (walk.value.kind == JSON_STRING) {
            progress->output_characters += usage_count_characters(walk.value.text);
        }
    }
    return walk_end(status);
}

static enum status read_tool_call(struct slice text, size_t place,
                                  struct completion_progress *progress, struct mender *mender)
{
    struct walk walk;
    bool has_index = false;
    bool is_empty = true;
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        is_empty = false;
        if (slice_equals(walk.name, "index")) {
            has_index = true;
        } else if (slice_equals(walk.name, "function") && walk.value.kind == JSON_OBJECT) {
            status = read_function(walk.value.text, progress);
        }
    }
    if (!has_index && walk_end(status) == STATUS_OK) {
        char member[32] = "\"index\":";
        size_t length = strlen(member);
        if (place >= 10) {
            member[length++] = (char)('0' + place / 10 % 10);
        }
        member[length++] = (char)('0' + place % 10);
        member[length] = is_empty ? '\0' : ',';
        mend(mender, text.data + 1, 0, member);
    }
    return walk_end(status);
}

static enum status read_tool_calls(struct slice text, struct completion_progress *progress,
                                   struct mender *mender)
{
    struct walk walk;
    size_t place = 0;
    enum status status = walk_array(&walk, text);
    while (status == STATUS_OK && walk_element(&walk, &status)) {
        if (walk.value.kind != JSON_OBJECT) {
            return STATUS_INVALID;
        }
        status = read_tool_call(walk.value.text, place++, progress, mender);
    }
    return walk_end(status);
}

/* A delta or a message: what the assistant says. */
struct saying {
    struct slice content; /* with quotes; a refusal is content as well */
    struct slice role;    /* whatever it is */
    bool has_role;        /* a string */
    bool is_empty;
};

/* `mends_role`: one that is no string becomes "assistant". */
static enum status read_saying(struct slice text, struct completion_progress *progress,
                               struct mender *mender, bool mends_role, struct saying *out)
{
    struct walk walk;
    int64_t reasoning = 0;
    *out = (struct saying){.is_empty = true};
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        int64_t characters =
            walk.value.kind == JSON_STRING ? usage_count_characters(walk.value.text) : 0;
        bool is_content = slice_equals(walk.name, "content") || slice_equals(walk.name, "refusal");
        out->is_empty = false;
        if (is_content && characters > 0) {
            out->content = walk.value.text;
            progress->output_characters += characters;
        } else if (slice_equals(walk.name, "reasoning_content") ||
                   slice_equals(walk.name, "reasoning")) {
            /* Some say the same under both names. */
            reasoning = characters > reasoning ? characters : reasoning;
        } else if (slice_equals(walk.name, "role")) {
            out->role = walk.value.text;
            out->has_role = walk.value.kind == JSON_STRING;
            if (mends_role && !out->has_role) {
                mend(mender, walk.value.text.data, walk.value.text.length, "\"assistant\"");
            }
        } else if (slice_equals(walk.name, "tool_calls") && walk.value.kind == JSON_ARRAY) {
            status = read_tool_calls(walk.value.text, progress, mender);
        }
    }
    progress->output_characters += reasoning;
    return walk_end(status);
}

/* The texts of one choice, in two walks: its index must be known before its delta is mended. */
struct choice {
    int64_t index;
    struct slice saying;        /* delta or message */
    struct slice finish_reason; /* with quotes; empty when none */
};

static enum status find_choice(struct slice text, const char *saying_name, struct choice *out)
{
    struct walk walk;
    *out = (struct choice){0};
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        if (slice_equals(walk.name, "index")) {
            if (!get_count(&walk.value, &out->index) || out->index >= COMPLETION_CHOICES_MAXIMUM) {
                return STATUS_INVALID;
            }
        } else if (slice_equals(walk.name, saying_name) && walk.value.kind == JSON_OBJECT) {
            out->saying = walk.value.text;
        } else if (slice_equals(walk.name, "finish_reason") && walk.value.kind == JSON_STRING &&
                   walk.value.text.length > 2) {
            /* Some write "" for null. */
            out->finish_reason = walk.value.text;
        }
    }
    return walk_end(status);
}

static void note_finish(struct completion_progress *progress, const struct choice *choice)
{
    set_bit(progress->seen, choice->index);
    if (choice->finish_reason.length > 0) {
        set_bit(progress->finished, choice->index);
        progress->was_filtered =
            progress->was_filtered || slice_equals(choice->finish_reason, "\"content_filter\"");
    }
}

/* --- Chunks ---------------------------------------------------------------------------------- */

/* The first delta of a choice without a role gets one in front. That needs a look at the whole
 * delta before it is walked, for mending goes from the front. */
static enum status add_role(const struct choice *choice, struct mender *mender)
{
    struct completion_progress ignored = {0};
    struct mender nobody = {0};
    struct saying saying;
    enum status status = read_saying(choice->saying, &ignored, &nobody, false, &saying);
    if (status == STATUS_OK && saying.role.length == 0) {
        mend(mender, choice->saying.data + 1, 0,
             saying.is_empty ? "\"role\":\"assistant\"" : "\"role\":\"assistant\",");
    }
    return status;
}

static enum status read_chunk_choice(struct slice text, struct completion_progress *progress,
                                     struct completion_chunk *chunk, struct mender *mender)
{
    struct choice choice;
    enum status status = find_choice(text, "delta", &choice);
    if (status != STATUS_OK) {
        return status;
    }
    note_finish(progress, &choice);
    if (choice.saying.length == 0) {
        return STATUS_OK;
    }
    bool is_first = !get_bit(progress->has_role, choice.index);
    set_bit(progress->has_role, choice.index);
    if (is_first) {
        status = add_role(&choice, mender);
    }
    struct saying saying = {0};
    if (status == STATUS_OK) {
        status = read_saying(choice.saying, progress, mender, is_first, &saying);
    }
    if (choice.index == 0 && saying.content.length > 2) {
        chunk->content = saying.content;
    }
    return status;
}

static enum status read_chunk_choices(struct slice text, struct completion_progress *progress,
                                      struct completion_chunk *chunk, struct mender *mender,
                                      bool *is_empty)
{
    struct walk walk;
    enum status status = walk_array(&walk, text);
    while (status == STATUS_OK && walk_element(&walk, &status)) {
        *is_empty = false;
        if (walk.value.kind != JSON_OBJECT) {
            return STATUS_INVALID;
        }
        status = read_chunk_choice(walk.value.text, progress, chunk, mender);
    }
    return walk_end(status);
}

/* Takes members out of an object together with their commas. */
struct omission {
    const char *kept_until; /* the end of the last member that stays; NULL: none yet */
    const char *left_out;   /* the first member, which goes; NULL when it stays */
};

static void keep_member(struct omission *omission, const struct walk *walk, struct mender *mender)
{
    const char *start = walk->name.data - 1;
    if (omission->left_out != NULL) {
        mend(mender, omission->left_out, (size_t)(start - omission->left_out), "");
        omission->left_out = NULL;
    }
    omission->kept_until = walk->value.text.data + walk->value.text.length;
}

static void leave_member_out(struct omission *omission, const struct walk *walk,
                             struct mender *mender)
{
    const char *end = walk->value.text.data + walk->value.text.length;
    if (omission->kept_until != NULL) {
        mend(mender, omission->kept_until, (size_t)(end - omission->kept_until), "");
        omission->kept_until = end;
    } else if (omission->left_out == NULL) {
        /* Up to the next one, with the comma behind it. */
        omission->left_out = walk->name.data - 1;
    }
}

enum status completion_read_chunk(struct slice text, bool hides_usage,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended)
{
    struct mender mender = {.out = mended, .copied = text.data};
    struct omission omission = {0};
    struct walk walk;
    bool has_usage = false;
    bool has_choices = false;
    bool is_empty = true;
    *chunk = (struct completion_chunk){0};
    enum status status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        bool is_usage = slice_equals(walk.name, "usage");
        if (is_usage && hides_usage) {
            leave_member_out(&omission, &walk, &mender);
        } else {
            keep_member(&omission, &walk, &mender);
        }
        if (slice_equals(walk.name, "choices") && walk.value.kind == JSON_ARRAY) {
            has_choices = true;
            status = read_chunk_choices(walk.value.text, progress, chunk, &mender, &is_empty);
        } else if (is_usage && walk.value.kind == JSON_OBJECT) {
            has_usage = true;
            status = read_usage(walk.value.text, progress);
        } else if (slice_equals(walk.name, "error") && walk.value.kind != JSON_NULL) {
            chunk->has_error = true;
        }
    }
    status = walk_end(status);
    if (status == STATUS_OK &&
        (!json_scan_at_end(&walk.scanner) || (!has_choices && !has_usage && !chunk->has_error))) {
        status = STATUS_INVALID;
    }
    chunk->is_usage_only = has_usage && is_empty;
    if (status == STATUS_OK && mended != NULL) {
        append_as_line(mended, mender.copied, text.data + text.length);
        status = buffer_status(mended);
    }
    return status;
}

/* --- Whole answers --------------------------------------------------------------------------- */

static enum status read_whole_choices(struct slice text, struct completion_progress *progress,
                                      struct completion_chunk *chunk)
{
    struct mender nobody = {0};
    struct walk walk;
    enum status status = walk_array(&walk, text);
    while (status == STATUS_OK && walk_element(&walk, &status)) {
        struct choice choice;
        status = walk.value.kind == JSON_OBJECT ? find_choice(walk.value.text, "message", &choice)
                                                : STATUS_INVALID;
        if (status != STATUS_OK) {
            return status;
        }
        note_finish(progress, &choice);
        struct saying saying = {0};
        if (choice.saying.length > 0) {
            status = read_saying(choice.saying, progress, &nobody, false, &saying);
        }
        if (choice.index == 0 && saying.content.length > 2) {
            chunk->content = saying.content;
        }
    }
    return walk_end(status);
}

enum status completion_read_whole(struct slice text, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk)
{
    struct walk walk;
    *chunk = (struct completion_chunk){0};
    enum status status = json_validate(text, scratch);
    if (status != STATUS_OK) {
        return status == STATUS_NO_MEMORY ? status : STATUS_INVALID;
    }
    status = walk_object(&walk, text);
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        if (slice_equals(walk.name, "choices") && walk.value.kind == JSON_ARRAY) {
            status = read_whole_choices(walk.value.text, progress, chunk);
        } else if (slice_equals(walk.name, "usage") && walk.value.kind == JSON_OBJECT) {
            status = read_usage(walk.value.text, progress);
        } else if (slice_equals(walk.name, "error") && walk.value.kind != JSON_NULL) {
            chunk->has_error = true;
        }
    }
    status = walk_end(status);
    if (status != STATUS_OK) {
        return STATUS_INVALID;
    }
    uint64_t any = progress->seen[0] | progress->seen[1];
    if (any == 0) {
        return chunk->has_error ? STATUS_UNAVAILABLE : STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status write_choices_as_chunk(struct slice text, struct buffer *out)
{
    struct walk choices;
    enum status status = walk_array(&choices, text);
    const char *separator = "";
    buffer_append_char(out, '[');
    while (status == STATUS_OK && walk_element(&choices, &status)) {
        struct walk walk;
        const char *comma = "";
        buffer_append_text(out, separator);
        buffer_append_char(out, '{');
        status = walk_object(&walk, choices.value.text);
        while (status == STATUS_OK && walk_member(&walk, &status)) {
            bool is_message = slice_equals(walk.name, "message");
            buffer_append_text(out, comma);
            buffer_append_char(out, '"');
            buffer_append(out, is_message ? "delta" : walk.name.data,
                          is_message ? strlen("delta") : walk.name.length);
            buffer_append(out, "\":", 2);
            buffer_append(out, walk.value.text.data, walk.value.text.length);
            comma = ",";
        }
        buffer_append_char(out, '}');
        status = walk_end(status);
        separator = ",";
    }
    buffer_append_char(out, ']');
    return walk_end(status);
}

enum status completion_write_as_chunk(struct slice whole, bool of_usage, struct buffer *out)
{
    struct walk walk;
    enum status status = walk_object(&walk, whole);
    const char *comma = "";
    buffer_append_char(out, '{');
    while (status == STATUS_OK && walk_member(&walk, &status)) {
        buffer_append_text(out, comma);
        buffer_append_char(out, '"');
        buffer_append(out, walk.name.data, walk.name.length);
        buffer_append(out, "\":", 2);
        if (slice_equals(walk.name, "object")) {
            buffer_append_text(out, "\"chat.completion.chunk\"");
        } else if (slice_equals(walk.name, "choices") && of_usage) {
            buffer_append_text(out, "[]");
        } else if (slice_equals(walk.name, "choices")) {
            status = write_choices_as_chunk(walk.value.text, out);
        } else if (slice_equals(walk.name, "usage") && !of_usage) {
            buffer_append_text(out, "null");
        } else {
            buffer_append(out, walk.value.text.data, walk.value.text.length);
        }
        comma = ",";
    }
    buffer_append_char(out, '}');
    status = walk_end(status);
    return status == STATUS_OK ? buffer_status(out) : status;
}

/* --- Errors ---------------------------------------------------------------------------------- */

bool completion_read_error(struct slice text, struct arena *arena, struct completion_error *out)
{
    const struct json_node *root;
    *out = (struct completion_error){.code = "", .type = ""};
    if (json_parse(arena, text, &root) != STATUS_OK) {
        return false;
    }
    const struct json_node *error = json_member(root, "error");
    if (error == NULL || json_node_kind(error) != JSON_OBJECT ||
        json_member_text(error, "message", NULL) == NULL) {
        return false;
    }
    out->code = json_member_text(error, "code", "");
    out->type = json_member_text(error, "type", "");
    return true;
}
