/*
 * charts: the routes of a chart as a whole: list, create, show, options, delete.
 */
#include "charts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/fields.h"

/* --- List --------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

/* The page of the charts of the principal's chart_ids that exist, in the order of their ids. A token
 * holds few of them, so each is looked up. */
static enum status list_claimed(struct request *request, const struct field_page *page,
                                struct chart **out, size_t *count, int64_t *total)
{
    const struct principal *principal = &request->principal;
    size_t claimed = principal->chart_id_count;
    const char **ids = arena_allocate(request->arena, claimed * sizeof(*ids));
    *out = arena_allocate(request->arena, (size_t)page->size * sizeof(**out));
    *count = 0;
    *total = 0;
    if (ids == NULL || *out == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < claimed; i++) {
        ids[i] = principal->chart_ids[i];
    }
    if (claimed > 0) {
        qsort(ids, claimed, sizeof(*ids), compare_ids);
    }
    for (size_t i = 0; i < claimed; i++) {
        if (i > 0 && strcmp(ids[i], ids[i - 1]) == 0) {
            continue;
        }
        struct chart chart;
        enum status status = chart_find(request->app->chart_storage, request->arena,
                                        principal->owner, ids[i], &chart);
        if (status == STATUS_NOT_FOUND) {
            continue;
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (*total >= page->offset && *count < (size_t)page->size) {
            (*out)[(*count)++] = chart;
        }
        ++*total;
    }
    return STATUS_OK;
}

void charts_list(struct request *request)
{
    struct field_page page = field_query_page(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct chart *charts = NULL;
    size_t count = 0;
    int64_t total = 0;
    enum status status =
        request->principal.has_chart_ids
            ? list_claimed(request, &page, &charts, &count, &total)
            : chart_list(request->app->chart_storage, request->arena, request->principal.owner,
                         page.size, page.offset, &charts, &count, &total);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "items");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_object_begin(json);
        json_write_member_text(json, "chartId", charts[i].id);
        json_write_member_integer(json, "seriesCount", charts[i].series_count);
        field_write_time(json, "createdAt", charts[i].created_at);
        field_write_time(json, "updatedAt", charts[i].updated_at);
        json_write_object_end(json);
    }
    json_write_array_end(json);
    field_write_page(json, &page, total);
    json_write_object_end(json);
}

/* --- Options ------------------------------------------------------------------------------ */

static void answer_options(struct request *request, const char *id, struct slice options)
{
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "chartId", id);
    charts_write_options(json, options);
    json_write_object_end(json);
}

/* The body is the options object; as the client spelled it. False when answered. */
static bool read_options(struct request *request, struct slice *options)
{
    *options = request->json == NULL ? slice_of("{}") : slice_trim(request->body);
    charts_check_options(request, NULL, *options);
    if (request->json != NULL) {
        charts_check_known_options(request);
    }
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    return true;
}

void charts_create(struct request *request)
{
    struct slice options;
    const char *id = charts_chart_id(request);
    if (id == NULL || !read_options(request, &options)) {
        return;
    }
    struct chart chart;
    enum status status = chart_create(
        request->app->chart_storage, request->arena, request->principal.owner, id, options,
        request_config(request)->charts_per_owner, clock_wall_milliseconds(), &chart);
    if (status != STATUS_OK) {
        charts_answer_write_failure(request, status);
        return;
    }
    charts_note_use(request, chart.number);
    answer_options(request, id, chart.options);
}

void charts_set_options(struct request *request)
{
    struct slice options;
    const char *id = charts_chart_id(request);
    if (id == NULL || !read_options(request, &options)) {
        return;
    }
    struct series_key key = {.owner = request->principal.owner, .chart = id};
    enum status status = chart_set_options(request->app->chart_storage, key.owner, id, options,
                                           clock_wall_milliseconds());
    if (status != STATUS_OK) {
        charts_answer_failure(request, &key, status);
        return;
    }
    answer_options(request, id, options);
}

void charts_delete(struct request *request)
{
    const char *id = charts_chart_id(request);
    if (id == NULL) {
        return;
    }
    struct series_key key = {.owner = request->principal.owner, .chart = id};
    enum status status = chart_delete(request->app->chart_storage, key.owner, id);
    if (status != STATUS_OK) {
        charts_answer_failure(request, &key, status);
        return;
    }
    charts_remove_loose(request);
    response_empty(request, 204);
}

/* --- The whole chart ---------------------------------------------------------------------- */

/* Panes as a list of objects, or as a map from pane to a map from series id to series. */
struct panes {
    struct json_writer *json;
    bool is_map;
    int64_t open; /* the pane that is being written; -1 before the first */
};

static void end_pane(struct panes *panes)
{
    if (panes->open < 0) {
        return;
    }
    if (panes->is_map) {
        json_write_object_end(panes->json);
    } else {
        json_write_array_end(panes->json);
        json_write_object_end(panes->json);
    }
}

static void begin_pane(struct request *request, struct panes *panes, int64_t pane)
{
    struct json_writer *json = panes->json;
    end_pane(panes);
    panes->open = pane;
    if (panes->is_map) {
        const char *name = arena_format(request->arena, "%lld", (long long)pane);
        json_write_name(json, name != NULL ? name : "");
        json_write_object_begin(json);
    } else {
        json_write_object_begin(json);
        json_write_member_integer(json, "paneId", pane);
        json_write_name(json, "series");
        json_write_array_begin(json);
    }
}

static enum status write_panes(struct request *request, struct panes *panes,
                               const struct series *list, size_t count, const char *chart)
{
    struct series_window window = charts_series_window(request);
    for (size_t i = 0; i < count; i++) {
        struct series_key key = {.owner = request->principal.owner,
                                 .chart = chart,
                                 .pane = list[i].pane,
                                 .id = list[i].id};
        struct series_range range;
        enum status status =
            series_read(request->app->chart_storage, request->arena, &key, &window, &range);
        if (status == STATUS_NOT_FOUND) {
            continue; /* removed since the list was made */
        }
        if (status != STATUS_OK) {
            return status;
        }
        /* What one series takes, the others lack; the last ones are one point each. */
        window.bytes -= range.length < window.bytes ? range.length : window.bytes - 1;
        if (key.pane != panes->open) {
            begin_pane(request, panes, key.pane);
        }
        if (panes->is_map) {
            json_write_name(panes->json, key.id);
        }
        charts_write_series(request, panes->json, &range);
    }
    end_pane(panes);
    return STATUS_OK;
}

/* False when answered. */
static bool read_form(struct request *request, bool *is_map)
{
    struct slice form = slice_of("list");
    request_query(request, "panes", &form);
    *is_map = slice_equals(form, "map");
    if (*is_map || slice_equals(form, "list")) {
        return true;
    }
    problem_add_field(request, "query", "panes", "Input should be 'list' or 'map'",
                      "literal_error");
    problem_answer_fields(request, PROBLEM_COUNT);
    return false;
}

void charts_show(struct request *request)
{
    bool is_map;
    const char *id = charts_chart_id(request);
    if (id == NULL || !read_form(request, &is_map)) {
        return;
    }
    struct storage *storage = request->app->chart_storage;
    const char *owner = request->principal.owner;
    struct chart chart;
    struct series *list = NULL;
    size_t count = 0;
    enum status status = chart_find(storage, request->arena, owner, id, &chart);
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_NOT_FOUND, "Chart not found");
        return;
    }
    if (status == STATUS_OK) {
        charts_note_use(request, chart.number);
        status = series_list(storage, request->arena, owner, id, &list, &count);
    }
    if (status == STATUS_OK) {
        struct json_writer *json = response_json(request, 200);
        struct panes panes = {.json = json, .is_map = is_map, .open = -1};
        json_write_object_begin(json);
        json_write_member_text(json, "chartId", id);
        json_write_name(json, "panes");
        if (panes.is_map) {
            json_write_object_begin(json);
        } else {
            json_write_array_begin(json);
        }
        status = write_panes(request, &panes, list, count, id);
        if (panes.is_map) {
            json_write_object_end(json);
        } else {
            json_write_array_end(json);
        }
        charts_write_options(json, chart.options);
        json_write_object_end(json);
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    charts_check_answer(request);
}
