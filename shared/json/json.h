/*
 * json: control-plane documents (requests, tokens, upstream answers) as trees.
 *
 * The one place that includes cJSON.h. A document is validated by json/scan.h first, so what
 * reaches cJSON is RFC 8259, UTF-8, without duplicate members, not too deep and not too large.
 * A tree belongs to the arena it was parsed into and needs no freeing: cJSON's allocations are
 * redirected to the arena. Nodes are opaque to callers.
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "json/scan.h"

struct json_node;

/* STATUS_INVALID, STATUS_TOO_LARGE (depth) or STATUS_NO_MEMORY. */
enum status json_parse(struct arena *arena, struct slice text,
                       const struct json_node **root) MUST_CHECK;

/* JSON_NULL also for NULL. */
enum json_kind json_node_kind(const struct json_node *node);

/* NULL when `object` is NULL, not an object, or has no such member. */
const struct json_node *json_member(const struct json_node *object, const char *name);

/* First child / next sibling of an array or object; NULL at the end. */
const struct json_node *json_first(const struct json_node *container);
const struct json_node *json_next(const struct json_node *node);
/* Member name of a child of an object; NULL for elements of arrays. */
const char *json_name(const struct json_node *node);
size_t json_count(const struct json_node *container);

/* Typed reads; false when the node is NULL or of another kind. Text lives as long as the arena.
 * json_get_integer refuses fractions and anything beyond ±(2^53 - 1), where doubles stop telling
 * neighbours apart (RFC 8259 section 6); json_get_double refuses what overflows a double (1e999). */
/* False also for a string that holds U+0000, which no text of ours can. */
bool json_get_text(const struct json_node *node, const char **text);
bool json_get_integer(const struct json_node *node, int64_t *number);
bool json_get_double(const struct json_node *node, double *number);
bool json_get_boolean(const struct json_node *node, bool *value);

/* Whether it is a string that holds U+0000. */
bool json_has_nul(const struct json_node *node);

/* json_get_text of a member, or `fallback` when it is absent or not a string. */
const char *json_member_text(const struct json_node *object, const char *name,
                             const char *fallback);

#endif
