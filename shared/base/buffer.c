/*
 * buffer: growth by doubling up to the maximum.
 *
 * `capacity` counts the byte of the final NUL: while data is not NULL, length < capacity, and capacity
 * is at most maximum + 1, so what fits into the capacity never exceeds the maximum.
 */
#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

#define FIRST_CAPACITY 256

void buffer_init(struct buffer *buffer, size_t maximum)
{
    buffer->data = NULL;
    buffer->length = 0;
    buffer->capacity = 0;
    /* One below the end of the number range, so that maximum + 1 is always a number. */
    buffer->maximum = maximum < SIZE_MAX ? maximum : SIZE_MAX - 1;
    buffer->status = STATUS_OK;
}

static enum status fail(struct buffer *buffer, enum status status)
{
    buffer->status = status;
    return status;
}

/* Makes room for `extra` bytes and the NUL; the slow half of every append. */
static enum status __attribute__((noinline)) grow(struct buffer *buffer, size_t extra)
{
    if (buffer->status != STATUS_OK) {
        return buffer->status;
    }
    if (buffer->length > buffer->maximum || extra > buffer->maximum - buffer->length) {
        return fail(buffer, STATUS_TOO_LARGE);
    }
    size_t needed = buffer->length + extra + 1;
    if (needed <= buffer->capacity) {
        return STATUS_OK;
    }
    size_t capacity = buffer->capacity > FIRST_CAPACITY / 2 ? buffer->capacity : FIRST_CAPACITY / 2;
    capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    if (capacity < needed) {
        capacity = needed;
    }
    if (capacity > buffer->maximum + 1) {
        capacity = buffer->maximum + 1;
    }
    char *data = memory_resize(buffer->data, capacity);
    if (data == NULL) {
        return fail(buffer, STATUS_NO_MEMORY);
    }
    /* Room that is reserved and never committed must end with the NUL too. */
    data[buffer->length] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return STATUS_OK;
}

/* True when `extra` bytes and the NUL fit as things are. */
static inline bool has_room(const struct buffer *buffer, size_t extra)
{
    return buffer->status == STATUS_OK && extra < buffer->capacity - buffer->length;
}

enum status buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (!has_room(buffer, length)) {
        if (length == 0 || grow(buffer, length) != STATUS_OK) {
            return buffer->status;
        }
    }
    if (length > 0) {
        memcpy(buffer->data + buffer->length, bytes, length);
        buffer->length += length;
        buffer->data[buffer->length] = '\0';
    }
    return STATUS_OK;
}

enum status buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

enum status buffer_append_char(struct buffer *buffer, char byte)
{
    if (!has_room(buffer, 1) && grow(buffer, 1) != STATUS_OK) {
        return buffer->status;
    }
    buffer->data[buffer->length++] = byte;
    buffer->data[buffer->length] = '\0';
    return STATUS_OK;
}

enum status buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    if (buffer->status != STATUS_OK) {
        return buffer->status;
    }
    va_list arguments;
    size_t room = buffer->capacity - buffer->length;
    va_start(arguments, format);
    int length =
        vsnprintf(room > 0 ? buffer->data + buffer->length : NULL, room, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < room) {
        buffer->length += (size_t)length;
        return STATUS_OK;
    }
    /* What vsnprintf managed to write lies behind the end and must not be seen there. */
    if (room > 0) {
        buffer->data[buffer->length] = '\0';
    }
    if (length < 0) {
        return fail(buffer, STATUS_INTERNAL);
    }
    if (grow(buffer, (size_t)length) != STATUS_OK) {
        return buffer->status;
    }
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
    return STATUS_OK;
}

enum status buffer_append_integer(struct buffer *buffer, long long number)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    unsigned long long rest =
        number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        *--at = '-';
    }
    return buffer_append(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

char *buffer_reserve(struct buffer *buffer, size_t extra)
{
    if (!has_room(buffer, extra) && grow(buffer, extra) != STATUS_OK) {
        return NULL;
    }
    return buffer->data + buffer->length;
}

void buffer_commit(struct buffer *buffer, size_t written)
{
    buffer->length += written;
    buffer->data[buffer->length] = '\0';
}

void buffer_consume(struct buffer *buffer, size_t count)
{
    if (count == 0) {
        return;
    }
    if (count > buffer->length) {
        count = buffer->length;
    }
    buffer->length -= count;
    if (buffer->data != NULL) {
        memmove(buffer->data, buffer->data + count, buffer->length + 1);
    }
}

void buffer_truncate(struct buffer *buffer, size_t length)
{
    if (length < buffer->length) {
        buffer->length = length;
        buffer->data[length] = '\0';
    }
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->data == NULL ? "" : buffer->data;
}

enum status buffer_status(const struct buffer *buffer)
{
    return buffer->status;
}

void buffer_reset(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->status = STATUS_OK;
    if (buffer->data != NULL) {
        buffer->data[0] = '\0';
    }
}

void buffer_release(struct buffer *buffer)
{
    memory_release(buffer->data);
    buffer_init(buffer, buffer->maximum);
}
