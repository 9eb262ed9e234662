/*
 * charts: chart -> pane (0 to 100) -> series -> points, within one owner.
 *
 * routes in routes.h; charts.c (the chart itself), series_write.c (points in), series_read.c (a
 * series as a whole), history.c (pages of its points), inputs.c (what their requests share),
 * expiry.c (charts that nobody uses any more).
 */
#ifndef CHARTS_PROGRAM_H
#define CHARTS_PROGRAM_H

#include "http/app.h"
#include "http/request.h"
#include "stores/charts.h"
#include "stores/series.h"

#define CHARTS_PANE_MAXIMUM    100
#define CHARTS_OPTIONS_MAXIMUM ((size_t)256 << 10) /* bytes */
/* Points of one answer, in bytes: what is in memory for a request, whatever it asks for. */
#define CHARTS_ANSWER_MAXIMUM ((size_t)4 << 20)

/* charts.c */
void charts_list(struct request *request);
void charts_create(struct request *request);
void charts_show(struct request *request);
void charts_set_options(struct request *request);
void charts_delete(struct request *request);

/* series_write.c */
void charts_replace_series(struct request *request);
void charts_extend_series(struct request *request);
void charts_delete_series(struct request *request);

/* --- series_read.c ---------------------------------------------------------------------------- */

void charts_show_series(struct request *request);

/* The whole series, or its newest part if it has CHUNK_SIZE_THRESHOLD points or more, or more than
 * CHARTS_ANSWER_MAXIMUM bytes. */
struct series_window charts_series_window(const struct request *request);
/* The object of such a read, as the next value. */
void charts_write_series(struct request *request, struct json_writer *json,
                         const struct series_range *range);
/* Member "data", in one allocation. */
void charts_write_points(struct json_writer *json, const struct series_range *range);
/* Members "chunkInfo", "hasMoreBefore", "hasMoreAfter". */
void charts_write_place(struct json_writer *json, const struct series_range *range);

/* A read of a window is the same until the series changes: answers 304 if the client has it already.
 * True when the request has been answered. */
bool charts_answer_unchanged(struct request *request, const struct series_key *key,
                             const struct series_window *window);
/* Headers of such a read. */
void charts_add_version(struct request *request, const struct series *series,
                        const struct series_window *window);

/* --- history.c -------------------------------------------------------------------------------- */

void charts_show_history(struct request *request);
void charts_query_history(struct request *request);

/* --- expiry.c --------------------------------------------------------------------------------- */

/* A chart, by its number, has been read: its life begins anew. Costs nothing to speak of. */
void charts_note_use(struct request *request, int64_t number);

/* app_options.background */
void charts_expire(struct app *app);
/* Its two halves, at a given time (milliseconds of the wall clock, and since the machine's start):
 * writing down which charts were read, and removing those whose time is up. */
enum status charts_write_uses(struct app *app, int64_t now) MUST_CHECK;
enum status charts_sweep(struct app *app, int64_t now, int64_t boot) MUST_CHECK;
/* Removes what was deleted or replaced, all of it. */
enum status charts_remove_all_loose(struct app *app, int64_t now) MUST_CHECK;
/* The beginning of that, as much as a request may take time for. */
void charts_remove_loose(struct request *request);

/* --- inputs.c --------------------------------------------------------------------------------- */

/* {chart_id}, if it is an id and the principal may use that chart; otherwise the request has been
 * answered and NULL is returned. */
const char *charts_chart_id(struct request *request);

/* False when the request has been answered: 422 for an id that is too long, 400 for characters that an
 * id cannot have, or 422 for those too where `source` is "body". */
bool charts_check_id(struct request *request, const char *source, const char *name,
                     const char *value);

/* {chart_id} and {series_id}, and {pane_id} where the route has one. False when answered. */
bool charts_series_key(struct request *request, struct series_key *key);

/* The spelling of a member that the body uses: `snake` unless only `camel` is there. */
const char *charts_member_name(const struct request *request, const char *snake, const char *camel);

/* Checks width, height and the groups of a chart's options in request->json. */
void charts_check_known_options(struct request *request);

/* Member "options": as the client spelled them, and what it sent in camelCase also in snake_case. */
void charts_write_options(struct json_writer *json, struct slice options);

/* Checks the text of an options object: size and numbers. Adds a field error if it does not fit. */
void charts_check_options(struct request *request, const char *location, struct slice text);

/* A request for a chart or series that is not there: 404, or what the failure means. `key->id`
 * NULL: only the chart was asked for. */
void charts_answer_failure(struct request *request, const struct series_key *key,
                           enum status status);

/* A write that failed: 409 if it exceeds a quota, or what the failure means. */
void charts_answer_write_failure(struct request *request, enum status status);

/* An answer above the limit of a body is the client's to divide. */
void charts_check_answer(struct request *request);

#endif
