/*
 * chat/completion_as_chunk: a whole answer in the form of a stream.
 */
#include <string.h>

#include "completion_reader.h"
#include "json/walk.h"

static enum status write_choices_as_chunk(struct slice text, struct buffer *out)
{
    struct json_walk choices;
    enum status status = json_walk_array(&choices, text);
    const char *separator = "";
    buffer_append_char(out, '[');
    while (status == STATUS_OK && json_walk_element(&choices, &status)) {
        struct json_walk walk;
        const char *comma = "";
        buffer_append_text(out, separator);
        buffer_append_char(out, '{');
        status = json_walk_object(&walk, choices.value.text);
        while (status == STATUS_OK && json_walk_member(&walk, &status)) {
            bool is_message = slice_equals(walk.name, "message");
            if (slice_equals(walk.name, "delta")) {
                continue; /* of two the last one would count; one that stood alone has been renamed */
            }
            buffer_append_text(out, comma);
            buffer_append_char(out, '"');
            buffer_append(out, is_message ? "delta" : walk.name.data,
                          is_message ? strlen("delta") : walk.name.length);
            buffer_append(out, "\":", 2);
            buffer_append(out, walk.value.text.data, walk.value.text.length);
            comma = ",";
        }
        buffer_append_char(out, '}');
        status = json_walk_end(status);
        separator = ",";
    }
    buffer_append_char(out, ']');
    return json_walk_end(status);
}

enum status completion_write_as_chunk(struct slice whole, bool of_usage, bool hides_usage,
                                      struct buffer *out)
{
    struct json_walk walk;
    enum status status = json_walk_object(&walk, whole);
    const char *comma = "";
    buffer_append_char(out, '{');
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (hides_usage && !of_usage && slice_equals(walk.name, "usage")) {
            continue;
        }
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
    status = json_walk_end(status);
    return status == STATUS_OK ? buffer_status(out) : status;
}
