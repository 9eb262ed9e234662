/*
 * charts/series_read: a series as a whole, and what all answers with points have in common.
 */
#include <string.h>

#include "charts.h"

struct series_window charts_series_window(const struct request *request)
{
    return (struct series_window){.from = SERIES_FROM_START,
                                  .before = SERIES_TO_END,
                                  .limit = request_config(request)->chunk_size_threshold,
                                  .bytes = CHARTS_ANSWER_MAXIMUM};
}

void charts_write_points(struct json_writer *json, const struct series_range *range)
{
    json_write_name(json, "data");
    json_write_array_begin(json);
    /* Room for the commas between pieces and the members that follow. */
    if (buffer_reserve(json->out, range->length + range->piece_count + 512) != NULL) {
        for (size_t i = 0; i < range->piece_count; i++) {
            json_write_raw(json, range->pieces[i]);
        }
    }
    json_write_array_end(json);
}

void charts_write_place(struct json_writer *json, const struct series_range *range)
{
    json_write_name(json, "chunkInfo");
    json_write_object_begin(json);
    json_write_member_integer(json, "start_index", range->start_index);
    json_write_member_integer(json, "end_index", range->end_index);
    json_write_member_double(json, "start_time", range->start_time);
    json_write_member_double(json, "end_time", range->end_time);
    json_write_member_integer(json, "count", range->end_index - range->start_index);
    json_write_member_integer(json, "startIndex", range->start_index);
    json_write_member_integer(json, "endIndex", range->end_index);
    json_write_member_double(json, "startTime", range->start_time);
    json_write_member_double(json, "endTime", range->end_time);
    json_write_object_end(json);
    json_write_member_boolean(json, "hasMoreBefore", range->start_index > 0);
    json_write_member_boolean(json, "hasMoreAfter", range->end_index < range->series.point_count);
}

void charts_write_series(struct request *request, struct json_writer *json,
                         const struct series_range *range)
{
    bool is_chunked = range->series.point_count >= request_config(request)->chunk_size_threshold ||
                      range->end_index - range->start_index < range->series.point_count;
    json_write_object_begin(json);
    json_write_member_text(json, "seriesId", range->series.id);
    json_write_member_text(json, "seriesType", range->series.type);
    charts_write_points(json, range);
    json_write_member_raw(json, "options", range->series.options);
    json_write_member_boolean(json, "chunked", is_chunked);
    if (is_chunked) {
        charts_write_place(json, range);
    }
    json_write_member_integer(json, "totalCount", range->series.point_count);
    json_write_object_end(json);
}

/* number and version say which state of the series, stamp that it is not that of an earlier life of
 * the database, or of one before a copy was put back; the rest is which part of it, and in what
 * form. */
static const char *version_tag(struct request *request, const struct series *series,
                               const struct series_window *window)
{
    return arena_format(request->arena, "\"%lld.%lld.%016llx-%.17g.%.17g.%lld%s-json\"",
                        (long long)series->number, (long long)series->version,
                        (unsigned long long)series->stamp, window->from, window->before,
                        (long long)window->limit, window->oldest_first ? "u" : "d");
}

/* RFC 9110 section 13.1.2: a list of tags, or "*"; compared weakly. */
static bool is_listed(struct slice list, const char *tag)
{
    struct slice part;
    while (slice_split(&list, ',', &part)) {
        part = slice_trim(part);
        if (slice_starts_with(part, "W/")) {
            part.data += 2;
            part.length -= 2;
        }
        if (slice_equals(part, "*") || slice_equals(part, tag)) {
            return true;
        }
    }
    return false;
}

void charts_add_version(struct request *request, const struct series *series,
                        const struct series_window *window)
{
    request->response.cache_control = "private, no-cache";
    response_add_header(request, "ETag", version_tag(request, series, window));
}

bool charts_answer_unchanged(struct request *request, const struct series_key *key,
                             const struct series_window *window)
{
    struct slice given = request_header(request, "If-None-Match");
    struct series series;
    if (given.length == 0 ||
        series_find(request->app->chart_storage, request->arena, key, &series) != STATUS_OK) {
        return false; /* the read itself will say what is wrong */
    }
    const char *tag = version_tag(request, &series, window);
    if (tag == NULL || !is_listed(given, tag)) {
        return false;
    }
    charts_note_use(request, series.chart);
    response_empty(request, 304);
    charts_add_version(request, &series, window);
    return true;
}

void charts_show_series(struct request *request)
{
    struct series_key key;
    struct series_window window = charts_series_window(request);
    if (!charts_series_key(request, &key) || charts_answer_unchanged(request, &key, &window)) {
        return;
    }
    struct series_range range;
    enum status status =
        series_read(request->app->chart_storage, request->arena, &key, &window, &range);
    if (status != STATUS_OK) {
        charts_answer_failure(request, &key, status);
        return;
    }
    charts_note_use(request, range.series.chart);
    charts_write_series(request, response_json(request, 200), &range);
    charts_add_version(request, &range.series, &window);
}
