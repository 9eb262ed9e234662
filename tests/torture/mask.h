/*
 * tests/torture/mask: texts without what differs from one run of a request to the next: ids and
 * tokens, times, and numbers that count seconds.
 */
#ifndef TESTS_TORTURE_MASK_H
#define TESTS_TORTURE_MASK_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"
#include "base/text.h"

#define MASK_WORD_LENGTH   16 /* of the shortest id; see mask_is_random */
#define MASK_LONG_LENGTH   36
#define MASK_NUMBER_LENGTH 10 /* seconds since 1970; an id may be of digits only */

static inline size_t mask_span(struct slice text, const char *more)
{
    size_t length = 0;
    while (length < text.length &&
           (isalnum((unsigned char)text.data[length]) || strchr(more, text.data[length]) != NULL)) {
        length++;
    }
    return length;
}

static inline bool mask_is_date(struct slice text)
{
    return text.length >= 10 && memchr("12", text.data[0], 2) != NULL && text.data[4] == '-' &&
           text.data[7] == '-' && isdigit((unsigned char)text.data[9]);
}

static inline size_t mask_digits(struct slice text)
{
    size_t length = 0;
    while (length < text.length && isdigit((unsigned char)text.data[length])) {
        length++;
    }
    return length;
}

/* Ids and tokens: of names, none in these tests is as long with a digit or in mixed case. */
static inline bool mask_is_random(struct slice word)
{
    bool has_digit = false;
    bool has_upper = false;
    bool has_lower = false;
    for (size_t i = 0; i < word.length; i++) {
        unsigned char byte = (unsigned char)word.data[i];
        has_digit = has_digit || isdigit(byte);
        has_upper = has_upper || isupper(byte);
        has_lower = has_lower || islower(byte);
    }
    return word.length >= MASK_LONG_LENGTH ||
           (word.length >= MASK_WORD_LENGTH && (has_digit || (has_upper && has_lower)));
}

/* Appends `text`, masked. */
static inline void mask_text(struct buffer *out, struct slice text)
{
    while (text.length > 0) {
        size_t length = mask_span(text, "+/-_");
        size_t digits = mask_digits(text);
        if (length == 0) {
            length = 1;
            buffer_append(out, text.data, 1);
        } else if (mask_is_date(text)) {
            length = mask_span(text, "-:.+");
            buffer_append_text(out, "<time>");
        } else if (mask_is_random((struct slice){text.data, length})) {
            buffer_append_text(out, "<word>");
        } else if (digits >= MASK_NUMBER_LENGTH && digits == length) {
            buffer_append_text(out, "<number>");
        } else {
            buffer_append(out, text.data, length);
        }
        text.data += length;
        text.length -= length;
    }
}

#endif
