/*
 * json/write: values with the commas between them.
 *
 * Own code because cJSON prints from trees, with its own idea of numbers and with an allocation
 * for each node; most of what we send never was a tree.
 */
#include "json/write.h"

#include <math.h>
#include <string.h>

#include "json/internal.h"

#define REPLACEMENT_CHARACTER "\xef\xbf\xbd" /* U+FFFD */

void json_write_start(struct json_writer *writer, struct buffer *out)
{
    writer->out = out;
    writer->needs_comma = false;
}

/* Appends `text` as the next value, in one piece with the comma that may stand before it: text[0]
 * is that comma. */
static void put_value(struct json_writer *writer, const char *text, size_t length)
{
    size_t skip = writer->needs_comma ? 0 : 1;
    buffer_append(writer->out, text + skip, length - skip);
    writer->needs_comma = true;
}

static void put_begin(struct json_writer *writer, const char *comma_and_bracket)
{
    put_value(writer, comma_and_bracket, 2);
    writer->needs_comma = false;
}

static void put_end(struct json_writer *writer, char bracket)
{
    buffer_append_char(writer->out, bracket);
    writer->needs_comma = true;
}

void json_write_object_begin(struct json_writer *writer)
{
    put_begin(writer, ",{");
}

void json_write_object_end(struct json_writer *writer)
{
    put_end(writer, '}');
}

void json_write_array_begin(struct json_writer *writer)
{
    put_begin(writer, ",[");
}

void json_write_array_end(struct json_writer *writer)
{
    put_end(writer, ']');
}

/* One byte that cannot stand in a string as it is. */
static void put_escape(struct buffer *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0x0f]};
    size_t length = 2;
    switch (byte) {
    case '"':
    case '\\':
        escape[1] = (char)byte;
        break;
    case '\b':
        escape[1] = 'b';
        break;
    case '\f':
        escape[1] = 'f';
        break;
    case '\n':
        escape[1] = 'n';
        break;
    case '\r':
        escape[1] = 'r';
        break;
    case '\t':
        escape[1] = 't';
        break;
    default:
        length = sizeof(escape);
    }
    buffer_append(out, escape, length);
}

/* The inside of a string from the first byte that needs attention. */
static void put_inside(struct buffer *out, const char *at, const char *end)
{
    const char *run = at; /* begin of what can be copied as it is */
    while (at < end) {
        at = json_skip_plain(at, end);
        if (at == end) {
            break;
        }
        size_t size = 0;
        bool beyond_ascii = (unsigned char)*at >= 0x80;
        if (beyond_ascii) {
            size = text_measure_character(at, (size_t)(end - at));
        }
        if (size > 0) {
            at += size;
            continue;
        }
        buffer_append(out, run, (size_t)(at - run));
        if (beyond_ascii) {
            buffer_append_text(out, REPLACEMENT_CHARACTER);
        } else {
            put_escape(out, (unsigned char)*at);
        }
        run = ++at;
    }
    buffer_append(out, run, (size_t)(end - run));
}

static void put_string(struct buffer *out, bool comma, struct slice text, bool colon)
{
    if (text.data == NULL) {
        text.data = "";
    }
    const char *end = text.data + text.length;
    const char *special = json_skip_plain(text.data, end);
    if (special == end && text.length <= SIZE_MAX - 4) {
        size_t size = text.length + 2 + comma + colon;
        char *at = buffer_reserve(out, size);
        if (at == NULL) {
            return;
        }
        if (comma) {
            *at++ = ',';
        }
        *at++ = '"';
        if (text.length > 0) {
            memcpy(at, text.data, text.length);
        }
        at += text.length;
        *at++ = '"';
        if (colon) {
            *at = ':';
        }
        buffer_commit(out, size);
        return;
    }
    buffer_append(out, comma ? ",\"" : "\"", comma ? 2 : 1);
    buffer_append(out, text.data, (size_t)(special - text.data));
    put_inside(out, special, end);
    buffer_append(out, colon ? "\":" : "\"", colon ? 2 : 1);
}

void json_write_escaped(struct buffer *out, struct slice text)
{
    put_string(out, false, text, false);
}

void json_write_name(struct json_writer *writer, const char *name)
{
    put_string(writer->out, writer->needs_comma, slice_of(name), true);
    writer->needs_comma = false;
}

void json_write_slice(struct json_writer *writer, struct slice text)
{
    put_string(writer->out, writer->needs_comma, text, false);
    writer->needs_comma = true;
}

void json_write_text(struct json_writer *writer, const char *text)
{
    if (text == NULL) {
        json_write_null(writer);
    } else {
        json_write_slice(writer, slice_of(text));
    }
}

void json_write_integer(struct json_writer *writer, int64_t number)
{
    if (writer->needs_comma) {
        buffer_append_char(writer->out, ',');
    }
    buffer_append_integer(writer->out, number);
    writer->needs_comma = true;
}

void json_write_double(struct json_writer *writer, double number)
{
    if (!isfinite(number)) {
        json_write_null(writer);
        return;
    }
    char text[1 + TEXT_DOUBLE_SIZE];
    text[0] = ',';
    put_value(writer, text, 1 + text_format_double(number, text + 1));
}

void json_write_boolean(struct json_writer *writer, bool value)
{
    put_value(writer, value ? ",true" : ",false", value ? 5 : 6);
}

void json_write_null(struct json_writer *writer)
{
    put_value(writer, ",null", 5);
}

void json_write_raw(struct json_writer *writer, struct slice json)
{
    if (writer->needs_comma) {
        buffer_append_char(writer->out, ',');
    }
    buffer_append(writer->out, json.data, json.length);
    writer->needs_comma = true;
}

void json_write_member_text(struct json_writer *writer, const char *name, const char *text)
{
    json_write_name(writer, name);
    json_write_text(writer, text);
}

void json_write_member_slice(struct json_writer *writer, const char *name, struct slice text)
{
    json_write_name(writer, name);
    json_write_slice(writer, text);
}

void json_write_member_integer(struct json_writer *writer, const char *name, int64_t number)
{
    json_write_name(writer, name);
    json_write_integer(writer, number);
}

void json_write_member_double(struct json_writer *writer, const char *name, double number)
{
    json_write_name(writer, name);
    json_write_double(writer, number);
}

void json_write_member_boolean(struct json_writer *writer, const char *name, bool value)
{
    json_write_name(writer, name);
    json_write_boolean(writer, value);
}

void json_write_member_null(struct json_writer *writer, const char *name)
{
    json_write_name(writer, name);
    json_write_null(writer);
}

void json_write_member_raw(struct json_writer *writer, const char *name, struct slice json)
{
    json_write_name(writer, name);
    json_write_raw(writer, json);
}
