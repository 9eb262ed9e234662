/*
 * http/fields: each reader adds its own field error, so that one 422 names all of them.
 */
#include "http/fields.h"

#include <string.h>

#include "base/clock.h"

#define PAGE_MAXIMUM      1000000
#define PAGE_SIZE_MAXIMUM 100
#define PAGE_SIZE_DEFAULT 20

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

struct field_page field_query_page(struct request *request)
{
    struct field_page page = {
        .page = field_query_integer(request, "page", 1, PAGE_MAXIMUM, 1),
        .size = field_query_integer(request, "page_size", 1, PAGE_SIZE_MAXIMUM, PAGE_SIZE_DEFAULT),
    };
    page.offset = (page.page - 1) * page.size;
    return page;
}

void field_write_page(struct json_writer *json, const struct field_page *page, int64_t total)
{
    json_write_member_integer(json, "total", total);
    json_write_member_integer(json, "page", page->page);
    json_write_member_integer(json, "page_size", page->size);
}

int64_t field_time(struct request *request, const char *name, enum field_presence presence)
{
    int64_t milliseconds = 0;
    const char *text = field_text(request, name, presence, 1, 64);
    if (text != NULL && !clock_parse_timestamp(text, &milliseconds)) {
        problem_add_field(request, "body", name, "Input should be a time as RFC 3339 writes it",
                          "datetime_parsing");
        return 0;
    }
    /* 0 would say that nothing was given. */
    return text != NULL && milliseconds / 1000 == 0 ? 1 : milliseconds / 1000;
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
