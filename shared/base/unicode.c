/*
 * base/unicode: utf8proc with buffers of our own.
 */
#include "base/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"

#define POINTS_MAXIMUM (4 * UNICODE_TEXT_MAXIMUM)
#define PASSES_MAXIMUM 4
#define BRAILLE_BLANK  0x2800

/* Looks like nothing although it is a symbol. */
static bool is_blank_symbol(utf8proc_int32_t point)
{
    return point == BRAILLE_BLANK;
}

static bool is_visible(utf8proc_int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    default:
        return !utf8proc_get_property(point)->ignorable && !is_blank_symbol(point);
    }
}

static enum status check_visible(struct slice text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text.data;
    utf8proc_ssize_t left = (utf8proc_ssize_t)text.length;
    while (left > 0) {
        utf8proc_int32_t point;
        utf8proc_ssize_t size = utf8proc_iterate(at, left, &point);
        if (size <= 0 || !is_visible(point)) {
            return STATUS_INVALID;
        }
        at += size;
        left -= size;
    }
    return STATUS_OK;
}

/* `out` may be where the text is. */
static enum status normalise(struct slice text, utf8proc_option_t options,
                             char out[UNICODE_TEXT_MAXIMUM + 1], size_t *length)
{
    utf8proc_int32_t points[POINTS_MAXIMUM];
    size_t used = 0;
    enum status status = STATUS_TOO_LARGE;
    if (text.length > UNICODE_TEXT_MAXIMUM) {
        return status;
    }
    utf8proc_ssize_t count =
        utf8proc_decompose((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.length,
                           points, POINTS_MAXIMUM, options);
    if (count < 0 || count > POINTS_MAXIMUM) {
        return count < 0 ? STATUS_INVALID : STATUS_TOO_LARGE;
    }
    count = utf8proc_normalize_utf32(points, count, options);
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        utf8proc_uint8_t bytes[4];
        size_t size = (size_t)utf8proc_encode_char(points[i], bytes);
        if (used + size > UNICODE_TEXT_MAXIMUM) {
            goto out;
        }
        memcpy(out + used, bytes, size);
        used += size;
    }
    out[used] = '\0';
    *length = used;
    status = STATUS_OK;
out:
    memory_wipe(points, sizeof points); /* it may have been a password */
    return status;
}

enum status unicode_compose(struct slice text, char out[UNICODE_TEXT_MAXIMUM + 1], size_t *length)
{
    return normalise(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE, out, length);
}

enum status unicode_fold_name(struct slice text, char out[UNICODE_TEXT_MAXIMUM + 1], size_t *length)
{
    char before[UNICODE_TEXT_MAXIMUM + 1];
    struct slice given = text;
    enum status status = text.length > UNICODE_TEXT_MAXIMUM ? STATUS_TOO_LARGE : STATUS_OK;
    for (int pass = 0; status == STATUS_OK && pass < PASSES_MAXIMUM; pass++) {
        status = check_visible(given);
        if (status == STATUS_OK) {
            status = normalise(
                given, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD,
                out, length);
        }
        if (status == STATUS_OK && *length == given.length &&
            memcmp(out, given.data, given.length) == 0) {
            return STATUS_OK;
        }
        if (status == STATUS_OK) {
            memcpy(before, out, *length + 1);
            given = (struct slice){before, *length};
        }
    }
    return status == STATUS_OK ? STATUS_INVALID : status;
}
