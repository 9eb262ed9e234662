/*
 * json/walk: one level of an object or an array, member by member, over json/scan.
 *
 *     struct json_walk walk;
 *     enum status status = json_walk_object(&walk, text);
 *     while (status == STATUS_OK && json_walk_member(&walk, &status)) {
 *         … walk.name, walk.value …
 *     }
 *     return json_walk_end(status);
 *
 * Owns and allocates nothing; what it finds points into the text.
 */
#ifndef JSON_WALK_H
#define JSON_WALK_H

#include "json/scan.h"

struct json_walk {
    struct json_scanner scanner;
    bool first;
    struct slice name; /* of the member, without its quotes, escapes kept */
    struct json_value value;
};

/* STATUS_INVALID: the text is something else. */
enum status json_walk_object(struct json_walk *walk, struct slice text) MUST_CHECK;
enum status json_walk_array(struct json_walk *walk, struct slice text) MUST_CHECK;

/* True when there is a next one. Else *status says why not: STATUS_NOT_FOUND at the end, or what
 * json_scan_next_member or json_scan_next_element say. */
bool json_walk_member(struct json_walk *walk, enum status *status) MUST_CHECK;
bool json_walk_element(struct json_walk *walk, enum status *status) MUST_CHECK;

/* A walk ends well at the end of what it walks over. */
enum status json_walk_end(enum status status) MUST_CHECK;

#endif
