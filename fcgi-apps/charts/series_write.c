/*
 * charts/series_write: points in, and series out.
 *
 * The body may be 64 MiB of points, so it is not made a tree: its members are located first
 * (json/scan.h), "data" is cut out and goes to stores/points as text, and what remains is parsed
 * like any other body. Everything is checked before the database is touched.
 */
#include <string.h>

#include "base/clock.h"
#include "charts.h"
#include "http/fields.h"
#include "json/walk.h"

#define TYPE_LENGTH_MAXIMUM 64
#define WRITE_ATTEMPTS      3
#define NAME_LENGTH_MAXIMUM 64 /* "options" in escapes has 42 */
#define SCRATCH_MAXIMUM     ((size_t)64 << 10)

struct series_body {
    struct slice data;    /* a JSON array */
    struct slice options; /* a JSON object */
};

static void refuse_body(struct request *request)
{
    problem_answer(request, PROBLEM_INVALID_REQUEST_BODY, NULL);
}

/* --- The body ----------------------------------------------------------------------------- */

struct located {
    struct json_value data;
    struct json_value options;
    bool has_data;
    bool has_options;
    /* The beginning of "data", when the body is no JSON from somewhere behind that. */
    struct slice broken_data;
};

enum part { PART_OTHER, PART_DATA, PART_OPTIONS };

/* A name may be spelled with escapes; one that is too long for that is none of ours. */
static enum status find_part(struct arena *scratch, struct slice name, enum part *part)
{
    enum status status = STATUS_OK;
    if (name.length <= NAME_LENGTH_MAXIMUM) {
        arena_reset(scratch);
        status = json_plain_text(scratch, name, &name);
    }
    *part = slice_equals(name, "data")      ? PART_DATA
            : slice_equals(name, "options") ? PART_OPTIONS
                                            : PART_OTHER;
    return status;
}

/* Goes through the members of an object. */
static enum status locate_members(struct json_scanner *scanner, struct arena *scratch,
                                  struct located *out)
{
    for (bool first = true;;) {
        struct slice name = {"", 0};
        struct json_value value;
        enum part part;
        enum status end = json_scan_next_member(scanner, &first, &name, &value);
        if (end == STATUS_NOT_FOUND) {
            return json_scan_at_end(scanner) ? STATUS_OK : STATUS_INVALID;
        }
        enum status status = find_part(scratch, name, &part);
        if (status != STATUS_OK) {
            return status;
        }
        if (end != STATUS_OK) {
            if (part == PART_DATA) {
                out->broken_data =
                    (struct slice){scanner->at, (size_t)(scanner->end - scanner->at)};
            }
            return STATUS_INVALID;
        }
        if (part == PART_DATA) {
            if (out->has_data) {
                return STATUS_INVALID;
            }
            out->has_data = true;
            out->data = value;
        } else if (part == PART_OPTIONS) {
            out->has_options = true;
            out->options = value;
        }
    }
}

/* Finds "data" and "options" in a valid JSON object. STATUS_CONFLICT: it is not an object. */
static enum status locate(struct slice body, struct located *out)
{
    *out = (struct located){0};
    struct json_scanner scanner;
    json_scan_start(&scanner, body);
    if (json_scan_enter_object(&scanner) != STATUS_OK) {
        struct json_value value;
        enum status status = json_scan_value(&scanner, &value);
        return status == STATUS_OK && json_scan_at_end(&scanner) ? STATUS_CONFLICT : STATUS_INVALID;
    }
    struct arena scratch;
    arena_init(&scratch, SCRATCH_MAXIMUM);
    enum status status = locate_members(&scanner, &scratch, out);
    arena_destroy(&scratch);
    return status;
}

/* Names the first point that is not JSON: Python's json writes NaN, for one. */
static void refuse_broken_points(struct request *request, struct slice data)
{
    struct json_walk walk;
    size_t index = 0;
    enum status status = json_walk_array(&walk, data);
    if (status != STATUS_OK) {
        refuse_body(request);
        return;
    }
    while (json_walk_element(&walk, &status)) {
        index++;
    }
    problem_answer(
        request, PROBLEM_INVALID_REQUEST_BODY,
        arena_format(request->arena, "The points are not valid JSON at index %zu", index));
}

/* The body with `null` in the place of the points. */
static enum status cut_out(struct request *request, const struct located *located,
                           struct slice *rest)
{
    *rest = request->body;
    if (!located->has_data) {
        return STATUS_OK;
    }
    static const char stand_in[] = "null";
    struct slice data = located->data.text;
    size_t before = (size_t)(data.data - request->body.data);
    size_t after = request->body.length - before - data.length;
    size_t length = before + sizeof stand_in - 1 + after;
    if (length > (size_t)request_config(request)->max_body_size) {
        return STATUS_TOO_LARGE;
    }
    char *text = arena_allocate(request->arena, length);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(text, request->body.data, before);
    memcpy(text + before, stand_in, sizeof stand_in - 1);
    memcpy(text + before + sizeof stand_in - 1, data.data + data.length, after);
    *rest = (struct slice){text, length};
    return STATUS_OK;
}

static void read_parts(struct request *request, const struct located *located,
                       struct series_body *body)
{
    if (!located->has_data) {
        problem_add_field(request, "body", "data", "Field required", "missing");
    } else if (located->data.kind != JSON_ARRAY) {
        problem_add_field(request, "body", "data", "Input should be a valid list", "list_type");
    }
    body->data = located->data.text;
    body->options = slice_of("{}");
    if (located->has_options && located->options.kind == JSON_OBJECT) {
        body->options = located->options.text;
        charts_check_options(request, "options", body->options);
    } else if (located->has_options && located->options.kind != JSON_NULL) {
        problem_add_field(request, "body", "options", "Input should be an object", "dict_type");
    }
}

/* Sets request->json to the body without its points. Field errors are collected, not answered.
 * False when answered. */
static bool read_body(struct request *request, struct series_body *body)
{
    struct located located;
    struct slice rest;
    enum status status = locate(request->body, &located);
    if (status == STATUS_CONFLICT) {
        problem_add_field(request, "body", NULL, "Input should be an object", "object_type");
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    if (status == STATUS_OK) {
        status = cut_out(request, &located, &rest);
    }
    if (status == STATUS_TOO_LARGE) {
        problem_answer(request, PROBLEM_REQUEST_TOO_LARGE, NULL);
        return false;
    }
    if (status == STATUS_OK) {
        status = json_parse(request->arena, rest, &request->json);
    }
    if (status == STATUS_NO_MEMORY) {
        problem_answer_status(request, status);
        return false;
    }
    if (status != STATUS_OK && located.broken_data.length > 0) {
        refuse_broken_points(request, located.broken_data);
        return false;
    }
    if (status != STATUS_OK) {
        refuse_body(request);
        return false;
    }
    read_parts(request, &located, body);
    return true;
}

static int64_t read_pane(struct request *request)
{
    const char *name = charts_member_name(request, "pane_id", "paneId");
    return field_integer(request, name, FIELD_OPTIONAL, 0, CHARTS_PANE_MAXIMUM, 0);
}

/* --- The points --------------------------------------------------------------------------- */

/* As in any body: 400 for points that are not JSON, 422 for values that do not fit. */
static void refuse_points(struct request *request, const struct points_problem *problem)
{
    static const char *const types[] = {
        [POINTS_SHAPE] = "dict_type", [POINTS_MISSING] = "missing", [POINTS_RULE] = "value_error"};
    const char *message =
        arena_format(request->arena, "%s at index %zu", problem->message, problem->index);
    if (problem->kind == POINTS_MALFORMED) {
        problem_answer(request, PROBLEM_INVALID_REQUEST_BODY, message);
        return;
    }
    problem_add_field(request, "body",
                      arena_format(request->arena, "data.%zu%s%s", problem->index,
                                   problem->member != NULL ? "." : "",
                                   problem->member != NULL ? problem->member : ""),
                      message, types[problem->kind]);
    problem_answer_fields(request, PROBLEM_COUNT);
}

/* False when answered. */
static bool read_points(struct request *request, const struct series_body *body, const char *type,
                        struct points *points)
{
    struct points_problem problem;
    enum status status = points_scan(points, body->data, point_kind_of(type), &problem);
    if (status == STATUS_INVALID) {
        refuse_points(request, &problem);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    }
    return status == STATUS_OK;
}

static void answer_count(struct request *request, const struct series_change *change)
{
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "seriesId", change->key.id);
    json_write_member_text(json, "seriesType", change->type);
    json_write_member_integer(json, "count", change->point_count);
    json_write_object_end(json);
}

static struct chart_quota quota_of(const struct request *request)
{
    const struct config *config = request_config(request);
    return (struct chart_quota){.charts = config->charts_per_owner,
                                .series = config->series_per_owner,
                                .points = config->points_per_owner};
}

/* --- Routes ------------------------------------------------------------------------------- */

void charts_replace_series(struct request *request)
{
    struct series_change change = {
        .mode = SERIES_REPLACE, .now = clock_wall_milliseconds(), .quota = quota_of(request)};
    struct series_body body;
    if (!charts_series_key(request, &change.key) || !read_body(request, &body)) {
        return;
    }
    change.key.pane = read_pane(request);
    change.type = field_text(request, charts_member_name(request, "series_type", "seriesType"),
                             FIELD_REQUIRED, 1, TYPE_LENGTH_MAXIMUM);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct points points;
    if (!read_points(request, &body, change.type, &points)) {
        return;
    }
    change.options = body.options;
    change.points = &points;
    enum status status = series_write(request->app->chart_storage, &change);
    points_release(&points);
    if (status == STATUS_OK) {
        charts_remove_loose(request);
        answer_count(request, &change);
    } else {
        charts_answer_write_failure(request, status);
    }
}

static enum series_mode read_mode(struct request *request)
{
    const char *mode = field_text(request, "mode", FIELD_NULLABLE, 1, 16);
    if (mode == NULL || strcmp(mode, "append") == 0) {
        return SERIES_APPEND;
    }
    if (strcmp(mode, "upsert") != 0) {
        problem_add_field(request, "body", "mode", "Input should be 'append' or 'upsert'",
                          "literal_error");
    }
    return SERIES_UPSERT;
}

/* One attempt: checks the points by the type that the series has now. STATUS_CONFLICT: it has
 * another one by the time of writing. *is_answered when there is nothing left to say. */
static enum status extend(struct request *request, const struct series_body *body,
                          struct series_change *change, bool *is_answered)
{
    struct storage *storage = request->app->chart_storage;
    struct series series;
    enum status status = series_find(storage, request->arena, &change->key, &series);
    if (status != STATUS_OK) {
        return status;
    }
    charts_note_use(request, series.chart); /* no points at all are no change */
    struct points points;
    if (!read_points(request, body, series.type, &points)) {
        *is_answered = true;
        return STATUS_OK;
    }
    change->type = series.type;
    change->points = &points;
    status = series_write(storage, change);
    change->points = NULL;
    points_release(&points);
    return status;
}

void charts_extend_series(struct request *request)
{
    struct series_change change = {.now = clock_wall_milliseconds(), .quota = quota_of(request)};
    struct series_body body;
    if (!charts_series_key(request, &change.key) || !read_body(request, &body)) {
        return;
    }
    change.key.pane = read_pane(request);
    change.mode = read_mode(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    bool is_answered = false;
    enum status status = STATUS_CONFLICT;
    for (int i = 0; i < WRITE_ATTEMPTS && status == STATUS_CONFLICT; i++) {
        status = extend(request, &body, &change, &is_answered);
    }
    if (is_answered) {
        return;
    }
    switch (status) {
    case STATUS_OK:
        answer_count(request, &change);
        break;
    case STATUS_INVALID:
        problem_answer(request, PROBLEM_INVALID_REQUEST_BODY,
                       "Cannot append data: Timestamps are not monotonic: first new timestamp "
                       "must be > last existing timestamp at index 0");
        break;
    case STATUS_CONFLICT:
        problem_answer_status(request, STATUS_BUSY);
        break;
    default:
        charts_answer_failure(request, &change.key, status);
    }
}

void charts_delete_series(struct request *request)
{
    struct series_key key;
    if (!charts_series_key(request, &key)) {
        return;
    }
    enum status status =
        series_delete(request->app->chart_storage, &key, clock_wall_milliseconds());
    if (status != STATUS_OK) {
        charts_answer_failure(request, &key, status);
        return;
    }
    charts_remove_loose(request);
    response_empty(request, 204);
}
