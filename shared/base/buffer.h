/*
 * buffer: a growing run of bytes that cannot exist without a maximum.
 *
 * The first failure (maximum reached, no memory) sticks: later appends do nothing and return the
 * same status, so a writer may append many times and look once, at buffer_status. The bytes are
 * always followed by a NUL that `length` does not count. Not thread-safe.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdarg.h>
#include <stddef.h>

#include "base/status.h"

struct buffer {
    char *data; /* NULL until the first append */
    size_t length;
    size_t capacity;
    size_t maximum; /* of length, in bytes */
    enum status status;
};

/* `maximum` in bytes, > 0. Takes no memory. */
void buffer_init(struct buffer *buffer, size_t maximum);

/* Each returns the sticky status. */
enum status buffer_append(struct buffer *buffer, const void *bytes, size_t length);
enum status buffer_append_text(struct buffer *buffer, const char *text);
enum status buffer_append_char(struct buffer *buffer, char byte);
enum status buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* Decimal, without the cost of printf. */
enum status buffer_append_integer(struct buffer *buffer, long long number);

/* Makes room for `extra` more bytes and returns where they go, or NULL (status set). The caller
 * writes them and then calls buffer_commit with the number really written (<= extra). */
char *buffer_reserve(struct buffer *buffer, size_t extra) MUST_CHECK;
void buffer_commit(struct buffer *buffer, size_t written);

/* Removes `count` bytes (at most length) from the front. */
void buffer_consume(struct buffer *buffer, size_t count);

/* Cuts back to `length` bytes; longer than now is ignored. */
void buffer_truncate(struct buffer *buffer, size_t length);

/* The content as text; "" while nothing was appended. Valid until the next append or release. */
const char *buffer_text(const struct buffer *buffer);

enum status buffer_status(const struct buffer *buffer) MUST_CHECK;

/* Length 0, status OK; keeps the memory. */
void buffer_reset(struct buffer *buffer);

/* Frees. Idempotent; the buffer may be used again afterwards with the same maximum. */
void buffer_release(struct buffer *buffer);

#endif
