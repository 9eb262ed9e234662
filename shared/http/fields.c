/*
 * http/fields: each reader adds its own field error, so that one 422 names all of them.
 */
#include "http/fields.h"

#include <string.h>

#include "base/clock.h"

/* The member, or NULL after adding "missing" where it must be there. */
static const struct json_node *find(struct request *request, const char *name,
                                    enum field_presence presence)
{
    const struct json_node *node = json_member(request->json, name);
    if (node != NULL && json_node_kind(node) == JSON_NULL && presence == FIELD_NULLABLE) {
        return NULL;
    }
    if (node == NULL && presence == FIELD_REQUIRED) {
        problem_add_field(request, "body", name, "Field required", "missing");
    }
    return node;
}

const char *field_text(struct request *request, const char *name, enum field_presence presence,
                       size_t minimum, size_t maximum)
{
    const struct json_node *node = find(request, name, presence);
    const char *text = NULL;
    if (node == NULL) {
        return NULL;
    }
    if (json_has_nul(node)) {
        problem_add_field(request, "body", name, "String should not hold U+0000", "string_nul");
        return NULL;
    }
    if (!json_get_text(node, &text)) {
        problem_add_field(request, "body", name, "Input should be a valid string", "string_type");
        return NULL;
    }
    size_t length = text_count_characters(text, strlen(text));
    if (length < minimum) {
        problem_add_field(
            request, "body", name,
            arena_format(request->arena, "String should have at least %zu characters", minimum),
            "string_too_short");
        return NULL;
    }
    if (length > maximum) {
        problem_add_field(
            request, "body", name,
            arena_format(request->arena, "String should have at most %zu characters", maximum),
            "string_too_long");
        return NULL;
    }
    return text;
}

int64_t field_integer(struct request *request, const char *name, enum field_presence presence,
                      int64_t minimum, int64_t maximum, int64_t fallback)
{
    const struct json_node *node = find(request, name, presence);
    int64_t number = 0;
    if (node == NULL) {
        return fallback;
    }
    if (!json_get_integer(node, &number)) {
        problem_add_field(request, "body", name, "Input should be a valid integer", "int_type");
        return fallback;
    }
    if (number < minimum || number > maximum) {
        problem_add_field(request, "body", name,
                          arena_format(request->arena, "Input should be between %lld and %lld",
                                       (long long)minimum, (long long)maximum),
                          "out_of_range");
        return fallback;
    }
    return number;
}

bool field_boolean(struct request *request, const char *name, enum field_presence presence,
                   bool fallback)
{
    const struct json_node *node = find(request, name, presence);
    bool value = fallback;
    if (node != NULL && !json_get_boolean(node, &value)) {
        problem_add_field(request, "body", name, "Input should be a valid boolean", "bool_type");
        return fallback;
    }
    return value;
}

/* Characters that nobody sees (U+0080 to U+00A0, U+2000 to U+200F, U+2028 to U+202F, U+205F to
 * U+206F, U+3000, U+FEFF): with them one address can be made to look like another. */
static bool has_invisible(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if ((at[0] == 0xc2 && at[1] <= 0xa0) ||
            (at[0] == 0xe2 && at[1] == 0x80 && (at[2] <= 0x8f || at[2] >= 0xa8) && at[2] <= 0xaf) ||
            (at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0x9f && at[2] <= 0xaf) ||
            (at[0] == 0xe3 && at[1] == 0x80 && at[2] == 0x80) ||
            (at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf)) {
            return true;
        }
    }
    return false;
}

/* Parts between dots, none of them empty; those of a host name do not begin or end with a hyphen
 * (RFC 5321 section 4.1.2). Returns how many, 0 when one is wrong. */
static size_t count_parts(struct slice text, bool is_host)
{
    size_t count = 0;
    struct slice part;
    while (slice_split(&text, '.', &part)) {
        if (part.length == 0 ||
            (is_host && (part.data[0] == '-' || part.data[part.length - 1] == '-'))) {
            return 0;
        }
        count++;
    }
    return count;
}

static bool is_email(const char *text)
{
    const char *at = strchr(text, '@');
    if (at == NULL || strchr(at + 1, '@') != NULL || strlen(text) > 254 || has_invisible(text)) {
        return false;
    }
    for (const char *byte = text; *byte != '\0'; byte++) {
        if ((unsigned char)*byte <= ' ' || *byte == 0x7f || strchr("<>(),;:\\\"[]", *byte)) {
            return false;
        }
    }
    return count_parts((struct slice){text, (size_t)(at - text)}, false) > 0 &&
           count_parts(slice_of(at + 1), true) > 1;
}

const char *field_email(struct request *request, const char *name, enum field_presence presence)
{
    const char *text = field_text(request, name, presence, 1, 254);
    if (text != NULL && !is_email(text)) {
        problem_add_field(request, "body", name, "Input is not a valid email address",
                          "value_error");
        return NULL;
    }
    return text;
}

int64_t field_query_integer(struct request *request, const char *name, int64_t minimum,
                            int64_t maximum, int64_t fallback)
{
    struct slice text;
    int64_t number;
    if (!request_query(request, name, &text)) {
        return fallback;
    }
    if (text_parse_integer(text, &number) != STATUS_OK) {
        problem_add_field(request, "query", name, "Input should be a valid integer", "int_parsing");
        return fallback;
    }
    if (number < minimum || number > maximum) {
        problem_add_field(request, "query", name, "Input is out of range", "out_of_range");
        return fallback;
    }
    return number;
}

void field_write_time(struct json_writer *json, const char *name, int64_t wall_milliseconds)
{
    if (wall_milliseconds == 0) {
        json_write_member_null(json, name);
        return;
    }
    char text[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(wall_milliseconds, text);
    json_write_member_text(json, name, text);
}
