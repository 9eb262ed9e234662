/*
 * json/write: JSON text straight into a buffer, in document order.
 *
 * Commas are put by the writer; nesting is the caller's. Failures stick in the buffer
 * (buffer_status). Strings are escaped as RFC 8259 asks; bytes that are not UTF-8 become U+FFFD,
 * so the output is always valid. Used by logs too, hence no allocation but the buffer's own.
 */
#ifndef JSON_WRITE_H
#define JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

struct json_writer {
    struct buffer *out;
    bool needs_comma;
};

void json_write_start(struct json_writer *writer, struct buffer *out);

void json_write_object_begin(struct json_writer *writer);
void json_write_object_end(struct json_writer *writer);
void json_write_array_begin(struct json_writer *writer);
void json_write_array_end(struct json_writer *writer);

/* The name of the next member; then exactly one value. */
void json_write_name(struct json_writer *writer, const char *name);

/* NULL is written as null. */
void json_write_text(struct json_writer *writer, const char *text);
void json_write_slice(struct json_writer *writer, struct slice text);
void json_write_integer(struct json_writer *writer, int64_t number);
/* Shortest spelling that reads back equal; NaN and infinities become null. */
void json_write_double(struct json_writer *writer, double number);
void json_write_boolean(struct json_writer *writer, bool value);
void json_write_null(struct json_writer *writer);
/* Text that is already valid JSON, copied as it is. */
void json_write_raw(struct json_writer *writer, struct slice json);

/* name + value in one call */
void json_write_member_text(struct json_writer *writer, const char *name, const char *text);
void json_write_member_slice(struct json_writer *writer, const char *name, struct slice text);
void json_write_member_integer(struct json_writer *writer, const char *name, int64_t number);
void json_write_member_double(struct json_writer *writer, const char *name, double number);
void json_write_member_boolean(struct json_writer *writer, const char *name, bool value);
void json_write_member_null(struct json_writer *writer, const char *name);
void json_write_member_raw(struct json_writer *writer, const char *name, struct slice json);

/* Only the escaped string with quotes, no comma logic: for hand-made frames. */
void json_write_escaped(struct buffer *out, struct slice text);

#endif
