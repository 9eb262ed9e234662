/*
 * charts/inputs: ids, panes, options and the failures that all chart routes share.
 */
#include <string.h>

#include "charts.h"

#define ID_LENGTH_MAXIMUM 128

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
    if (length == 0 || good < length) {
        problem_answer(request, PROBLEM_INVALID_REQUEST,
                       arena_format(request->arena,
                                    "%s contains invalid characters. Only alphanumeric, "
                                    "underscore, hyphen, and dot allowed.",
                                    name));
        return false;
    }
    if (strstr(value, "..") != NULL) {
        problem_answer(request, PROBLEM_INVALID_REQUEST,
                       arena_format(request->arena, "%s must not contain '..'", name));
        return false;
    }
    return true;
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
        problem_answer_status(request, status);
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

void charts_check_answer(struct request *request)
{
    if (buffer_status(&request->response.body) == STATUS_TOO_LARGE) {
        problem_answer(request, PROBLEM_INVALID_REQUEST,
                       "The answer would be too large; read the series one by one");
    }
}
