/*
 * text: slices of bytes and the small conversions everything else needs.
 *
 * A slice does not own its bytes and is not NUL-terminated. All functions here are pure; those
 * that parse accept exactly the whole input or fail.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct slice {
    const char *data; /* may be NULL only if length is 0 */
    size_t length;
};

/* The slice of a NUL-terminated text; NULL gives the empty slice. */
struct slice slice_of(const char *text);
bool slice_equals(struct slice slice, const char *text);
/* ASCII letters only, as RFC 9110 header names and scheme names want it. */
bool slice_equals_ignoring_case(struct slice slice, const char *text);
bool slice_starts_with(struct slice slice, const char *prefix);
/* Without spaces, tabs, CR and LF at both ends. */
struct slice slice_trim(struct slice slice);
/* Takes the part before the first `separator` off the front of *rest into *part (not trimmed).
 * Returns false when *rest is exhausted; the empty text gives one empty part, then false. Start
 * with rest->data non-NULL. */
bool slice_split(struct slice *rest, char separator, struct slice *part);

/* Decimal with optional '-', nothing else, no overflow. */
enum status text_parse_integer(struct slice text, int64_t *number) MUST_CHECK;
/* JSON's number grammar plus a leading '-'; finite only; independent of the locale. */
enum status text_parse_double(struct slice text, double *number) MUST_CHECK;
/* Writes the shortest decimal spelling that reads back as the same double, with a NUL, and returns
 * its length: "1", "-0.25", "1e+21". `number` is finite; independent of the locale. */
#define TEXT_DOUBLE_SIZE 32
size_t text_format_double(double number, char out[TEXT_DOUBLE_SIZE]);
/* true|false|1|0|yes|no|on|off in any case. */
enum status text_parse_boolean(struct slice text, bool *value) MUST_CHECK;

/* RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF. NUL is valid UTF-8. */
bool text_is_utf8(const char *text, size_t length);
/* Bytes of the character that `text` starts with: 1 to 4, or 0 if that is not valid UTF-8 or
 * `length` cuts it. */
size_t text_measure_character(const char *text, size_t length);
/* Number of code points of valid UTF-8. */
size_t text_count_characters(const char *text, size_t length);

/* `*` matches any run (also empty), `?` one byte; case-sensitive. */
bool text_matches_glob(const char *pattern, struct slice text);

/* FNV-1a, 32 bits (Fowler, Noll, Vo). For names of our own only: whoever chooses the texts can make
 * them collide (siphash.h is for those). */
uint32_t text_hash(const char *text);

/* Compares without telling through time where the difference is. Length may leak. */
bool text_equals_in_constant_time(const void *a, const void *b, size_t length);

/* Lower-case hex of `length` bytes; `out` has room for 2 * length + 1. */
void text_encode_hex(const void *bytes, size_t length, char *out);
/* Exactly 2 * length lower- or upper-case digits. */
enum status text_decode_hex(struct slice text, void *bytes, size_t length) MUST_CHECK;

/* RFC 4648 section 5 without padding. `out` has room for (length * 4 + 2) / 3 + 1; returns the
 * number of characters. */
size_t text_encode_base64url(const void *bytes, size_t length, char *out);
/* Strict: no padding, no white space, unused bits zero. `*length` is the room at `out` on entry
 * (>= text.length * 3 / 4) and the bytes written on return. */
enum status text_decode_base64url(struct slice text, void *out, size_t *length) MUST_CHECK;

/* RFC 3986 percent-decoding into the arena; '+' is a space only if `plus_is_space`. A bad escape
 * or an escaped NUL is STATUS_INVALID. The result is NUL-terminated. */
enum status text_decode_percent(struct arena *arena, struct slice text, bool plus_is_space,
                                struct slice *out) MUST_CHECK;

#endif
