/*
 * text: slices, words and numbers without a fraction, patterns.
 */
#include "base/text.h"

#include <string.h>

struct slice slice_of(const char *text)
{
    return (struct slice){.data = text, .length = text == NULL ? 0 : strlen(text)};
}

bool slice_equals(struct slice slice, const char *text)
{
    size_t length = strlen(text);
    return slice.length == length && (length == 0 || memcmp(slice.data, text, length) == 0);
}

static unsigned char to_lower(char letter)
{
    return (unsigned char)(letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter);
}

bool slice_equals_ignoring_case(struct slice slice, const char *text)
{
    for (size_t i = 0; i < slice.length; i++) {
        /* A NUL in `text` differs from any byte of the slice but a NUL, which is not in `text`. */
        if (text[i] == '\0' || to_lower(slice.data[i]) != to_lower(text[i])) {
            return false;
        }
    }
    return text[slice.length] == '\0';
}

bool slice_starts_with(struct slice slice, const char *prefix)
{
    size_t length = strlen(prefix);
    return slice.length >= length && (length == 0 || memcmp(slice.data, prefix, length) == 0);
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct slice slice_trim(struct slice slice)
{
    while (slice.length > 0 && is_space(slice.data[0])) {
        slice.data++;
        slice.length--;
    }
    while (slice.length > 0 && is_space(slice.data[slice.length - 1])) {
        slice.length--;
    }
    return slice;
}

bool slice_split(struct slice *rest, char separator, struct slice *part)
{
    if (rest->data == NULL) {
        return false;
    }
    part->data = rest->data;
    const char *found = rest->length == 0 ? NULL : memchr(rest->data, separator, rest->length);
    if (found == NULL) {
        part->length = rest->length;
        *rest = (struct slice){NULL, 0};
    } else {
        part->length = (size_t)(found - rest->data);
        rest->data = found + 1;
        rest->length -= part->length + 1;
    }
    return true;
}

enum status text_parse_integer(struct slice text, int64_t *number)
{
    size_t at = 0;
    bool negative = text.length > 0 && text.data[0] == '-';
    if (negative) {
        at = 1;
    }
    if (at == text.length) {
        return STATUS_INVALID;
    }
    /* Counting downwards, because the smallest number has no positive counterpart. */
    int64_t value = 0;
    for (; at < text.length; at++) {
        if (text.data[at] < '0' || text.data[at] > '9') {
            return STATUS_INVALID;
        }
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text.data[at] - '0', &value)) {
            return STATUS_INVALID;
        }
    }
    if (!negative && __builtin_sub_overflow(0, value, &value)) {
        return STATUS_INVALID;
    }
    *number = value;
    return STATUS_OK;
}

enum status text_parse_boolean(struct slice text, bool *value)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t truth = 0; truth < 2; truth++) {
            if (slice_equals_ignoring_case(text, words[i][truth])) {
                *value = truth == 1;
                return STATUS_OK;
            }
        }
    }
    return STATUS_INVALID;
}

bool text_matches_glob(const char *pattern, struct slice text)
{
    /* After a mismatch only the last '*' can help, by taking one byte more. Earlier ones need not
     * be tried again, so the cost is at most pattern times text, whatever the pattern. */
    const char *after_star = NULL;
    size_t star_end = 0;
    size_t at = 0;
    while (at < text.length) {
        if (*pattern == '*') {
            after_star = ++pattern;
            star_end = at;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == text.data[at])) {
            pattern++;
            at++;
        } else if (after_star != NULL) {
            pattern = after_star;
            at = ++star_end;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

uint32_t text_hash(const char *text)
{
    uint32_t hash = 2166136261;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619;
    }
    return hash;
}

bool text_equals_in_constant_time(const void *a, const void *b, size_t length)
{
    const volatile unsigned char *left = a;
    const volatile unsigned char *right = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < length; i++) {
        difference = (unsigned char)(difference | (left[i] ^ right[i]));
    }
    return difference == 0;
}
