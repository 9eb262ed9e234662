/*
 * json/scan: a strict RFC 8259 scanner over text in memory.
 *
 * It owns nothing, allocates nothing and copies nothing: it tells where values are. It exists
 * beside cJSON because cJSON accepts what RFC 8259 forbids (bytes after NUL, invalid UTF-8,
 * duplicate members, control characters) and re-spells numbers, while points of a series and
 * requests that are passed on must keep their spelling. json/json.h runs it before cJSON, so
 * there is one definition of "valid JSON" in the code base.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

#define JSON_DEPTH_MAXIMUM 64

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Where scanning stands. Start with json_scan_start. */
struct json_scanner {
    const char *at;
    const char *end;
    int depth;
    int depth_maximum;
};

/* One value: its kind and its exact text (strings with their quotes). */
struct json_value {
    enum json_kind kind;
    struct slice text;
};

void json_scan_start(struct json_scanner *scanner, struct slice text);

/* Scans one whole value (with everything inside it) and any white space around it.
 * STATUS_INVALID: not JSON or not UTF-8, also when an escaped surrogate has no partner, for such a
 * string has no UTF-8; STATUS_TOO_LARGE: deeper than the maximum. Duplicate members are not looked
 * for here. After a failure the scanner stands where it stood. */
enum status json_scan_value(struct json_scanner *scanner, struct json_value *value) MUST_CHECK;

/* True when nothing but white space is left. */
bool json_scan_at_end(struct json_scanner *scanner);

/* Walks an array: call json_scan_enter_array at '[', then json_scan_next_element until it says
 * STATUS_NOT_FOUND (the ']' is consumed). Elements are whole, validated values. */
enum status json_scan_enter_array(struct json_scanner *scanner) MUST_CHECK;
enum status json_scan_next_element(struct json_scanner *scanner, bool *first,
                                   struct json_value *value) MUST_CHECK;

/* Walks an object the same way. `name` has its quotes removed but escapes kept; names that
 * contain escapes compare unequal to plain ones. */
enum status json_scan_enter_object(struct json_scanner *scanner) MUST_CHECK;
enum status json_scan_next_member(struct json_scanner *scanner, bool *first, struct slice *name,
                                  struct json_value *value) MUST_CHECK;

/* The whole text is exactly one JSON value, UTF-8, within the depth, without duplicate members
 * at any level (names compared after unescaping). `scratch` holds what that comparison needs. */
enum status json_validate(struct slice text, struct arena *scratch) MUST_CHECK;

/* Unescapes the text of a JSON string (with its quotes) into the arena, NUL-terminated. A string
 * that holds U+0000 is STATUS_INVALID, for our C strings end there. */
enum status json_unescape(struct arena *arena, struct slice string_text,
                          struct slice *out) MUST_CHECK;

/* The same for the text between the quotes, which is how json_scan_next_member gives a name: *out is
 * `inside` itself when it has no escapes, else a copy in the arena. No NUL follows it, and it may
 * hold U+0000. STATUS_NO_MEMORY. */
enum status json_plain_text(struct arena *arena, struct slice inside, struct slice *out) MUST_CHECK;

#endif
