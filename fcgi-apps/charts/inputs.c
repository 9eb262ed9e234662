/*
 * charts/inputs: ids, panes, options and the failures that all chart routes share.
 */
#include <string.h>

#include "charts.h"
#include "http/fields.h"
#include "json/walk.h"

#define ID_LENGTH_MAXIMUM 128
#define SIZE_MINIMUM      100 /* width and height, in pixels */
#define SIZE_MAXIMUM      10000

static bool is_id_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '.' || byte == '-';
}

bool charts_check_id(struct request *request, const char *source, const char *name,
                     const char *value)
{
    size_t length = strlen(value);
    if (length > ID_LENGTH_MAXIMUM) {
        problem_add_field(request, source, name, "String should have at most 128 characters",
                          "string_too_long");
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    size_t good = 0;
    while (good < length && is_id_byte(value[good])) {
        good++;
    }
    const char *fault = length == 0 || good < length
                            ? "contains invalid characters. Only alphanumeric, underscore, hyphen, "
                              "and dot allowed."
                        : strstr(value, "..") != NULL ? "must not contain '..'"
                                                      : NULL;
    if (fault == NULL) {
        return true;
    }
    const char *message = arena_format(request->arena, "%s %s", name, fault);
    if (strcmp(source, "body") == 0) {
        problem_add_field(request, source, name, message, "string_pattern_mismatch");
        problem_answer_fields(request, PROBLEM_COUNT);
    } else {
        problem_answer(request, PROBLEM_INVALID_REQUEST, message);
    }
    return false;
}

const char *charts_chart_id(struct request *request)
{
    const char *id = request_path_value(request, "chart_id");
    if (!charts_check_id(request, "path", "chart_id", id)) {
        return NULL;
    }
    if (!principal_may_use_chart(&request->principal, id)) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED,
                       arena_format(request->arena, "Access denied to chart: %s", id));
        return NULL;
    }
    return id;
}

static bool has_parameter(const struct request *request, const char *placeholder)
{
    return strstr(request->match.route->template, placeholder) != NULL;
}

bool charts_series_key(struct request *request, struct series_key *key)
{
    *key = (struct series_key){.owner = request->principal.owner};
    key->chart = charts_chart_id(request);
    if (key->chart == NULL) {
        return false;
    }
    if (has_parameter(request, "{pane_id}")) {
        struct slice pane = slice_of(request_path_value(request, "pane_id"));
        bool is_integer = text_parse_integer(pane, &key->pane) == STATUS_OK;
        if (!is_integer || key->pane < 0 || key->pane > CHARTS_PANE_MAXIMUM) {
            problem_add_field(request, "path", "pane_id",
                              is_integer ? "Input should be between 0 and 100"
                                         : "Input should be a valid integer",
                              is_integer ? "out_of_range" : "int_parsing");
            problem_answer_fields(request, PROBLEM_COUNT);
            return false;
        }
    }
    if (!has_parameter(request, "{series_id}")) {
        return true;
    }
    key->id = request_path_value(request, "series_id");
    return charts_check_id(request, "path", "series_id", key->id);
}

const char *charts_member_name(const struct request *request, const char *snake, const char *camel)
{
    bool is_camel =
        json_member(request->json, snake) == NULL && json_member(request->json, camel) != NULL;
    return is_camel ? camel : snake;
}

/* --- Options ------------------------------------------------------------------------------ */

enum option_kind { OPTION_SIZE, OPTION_GROUP };

/* Members of a chart's options that readers rely on; all others are the client's own. */
static const struct {
    const char *name;
    const char *snake; /* NULL: the same */
    enum option_kind kind;
} options[] = {
    {"width", NULL, OPTION_SIZE},   {"height", NULL, OPTION_SIZE},
    {"layout", NULL, OPTION_GROUP}, {"crosshair", NULL, OPTION_GROUP},
    {"grid", NULL, OPTION_GROUP},   {"timeScale", "time_scale", OPTION_GROUP},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

static void check_option(struct request *request, const char *name, enum option_kind kind)
{
    if (json_member(request->json, name) == NULL) {
        return;
    }
    if (kind == OPTION_SIZE) {
        /* Required, so that null is no number either. */
        (void)field_integer(request, name, FIELD_REQUIRED, SIZE_MINIMUM, SIZE_MAXIMUM, 0);
    } else if (json_node_kind(json_member(request->json, name)) != JSON_OBJECT) {
        problem_add_field(request, "body", name, "Input should be an object", "dict_type");
    }
}

void charts_check_known_options(struct request *request)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        check_option(request, options[i].name, options[i].kind);
        if (options[i].snake != NULL) {
            check_option(request, options[i].snake, options[i].kind);
        }
    }
}

/* The value of a member of this valid object; false when it is absent. */
static bool find_member(struct slice object, const char *name, struct slice *value)
{
    struct json_walk walk;
    enum status status = json_walk_object(&walk, object);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (slice_equals(walk.name, name)) {
            *value = walk.value.text;
            return true;
        }
    }
    return false;
}

void charts_write_options(struct json_writer *json, struct slice text)
{
    json_write_name(json, "options");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct slice value;
        struct slice ignored;
        if (options[i].snake == NULL || !find_member(text, options[i].name, &value) ||
            find_member(text, options[i].snake, &ignored)) {
            continue;
        }
        /* Behind the last member, so that the rest stays as it was spelled. */
        text = slice_trim(text);
        json_write_raw(json, (struct slice){text.data, text.length - 1});
        buffer_append_format(json->out, ",\"%s\":", options[i].snake);
        buffer_append(json->out, value.data, value.length);
        buffer_append_char(json->out, '}');
        return;
    }
    json_write_raw(json, text);
}

void charts_check_options(struct request *request, const char *location, struct slice text)
{
    if (text.length > CHARTS_OPTIONS_MAXIMUM) {
        problem_add_field(request, "body", location, "Input should have at most 262144 bytes",
                          "too_long");
    } else if (!points_are_numbers_finite(text)) {
        problem_add_field(request, "body", location, "Numbers should be finite", "finite_number");
    }
}

void charts_answer_failure(struct request *request, const struct series_key *key,
                           enum status status)
{
    if (status != STATUS_NOT_FOUND) {
        charts_answer_write_failure(request, status);
        return;
    }
    struct chart chart;
    if (key->id != NULL) {
        status =
            chart_find(request->app->chart_storage, request->arena, key->owner, key->chart, &chart);
    }
    if (status == STATUS_OK) {
        problem_answer(request, PROBLEM_NOT_FOUND,
                       arena_format(request->arena,
                                    "Series '%s' not found in pane %lld of chart '%s'", key->id,
                                    (long long)key->pane, key->chart));
    } else if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_NOT_FOUND,
                       arena_format(request->arena, "Chart '%s' not found", key->chart));
    } else {
        problem_answer_status(request, status);
    }
}

void charts_answer_write_failure(struct request *request, enum status status)
{
    if (status == STATUS_DENIED) {
        problem_answer(
            request, PROBLEM_CONFLICT,
            "This would exceed the quota of charts, series or points; remove some first");
    } else {
        problem_answer_status(request, status);
    }
}

void charts_check_answer(struct request *request)
{
    if (buffer_status(&request->response.body) == STATUS_TOO_LARGE) {
        problem_answer(request, PROBLEM_INVALID_REQUEST,
                       "The answer would be too large; read the series one by one");
    }
}
