/*
 * health/history: answers from what was stored: latencies, errors, costs.
 */

#include "base/clock.h"
#include "health.h"
#include "http/fields.h"
#include "stores/ledger.h"
#include "stores/probes.h"

#define HISTORY_POINTS_MAXIMUM 100

static const char *format_time(struct request *request, int64_t wall_milliseconds)
{
    char text[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(wall_milliseconds, text);
    return arena_copy(request->arena, text, CLOCK_TIMESTAMP_SIZE - 1);
}

void history_latency(struct request *request)
{
    const struct service *service = report_find(request);
    if (service == NULL) {
        return;
    }
    int64_t hours = field_query_integer(request, "hours", 1, 168, 24);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct probe_record *records = NULL;
    size_t count = 0;
    enum status status = probe_history(request->app->storage, request->arena, service->name,
                                       clock_wall_milliseconds() - hours * 3600 * 1000,
                                       HISTORY_POINTS_MAXIMUM, &records, &count);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "timestamps");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_text(json, format_time(request, records[i].probed_at));
    }
    json_write_array_end(json);
    json_write_name(json, "latencies");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_double(json, (double)records[i].latency_microseconds / 1000.0);
    }
    json_write_array_end(json);
    json_write_object_end(json);
}

/* As in report.c, what exactly was wrong is for an administrator. */
void history_errors(struct request *request)
{
    const struct service *service = report_find(request);
    if (service == NULL) {
        return;
    }
    int64_t limit = field_query_integer(request, "limit", 1, 100, 10);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct probe_record *records = NULL;
    size_t count = 0;
    enum status status = probe_errors(request->app->storage, request->arena, service->name,
                                      (size_t)limit, &records, &count);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_object_begin(json);
        field_write_time(json, "timestamp", records[i].probed_at);
        json_write_member_text(json, "message",
                               request->principal.is_superuser ? records[i].message
                                                               : "The probe failed");
        json_write_member_text(json, "service", service->name);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

#define NANODOLLARS   1e9
#define SECONDS_A_DAY INT64_C(86400)

static void write_cost(struct json_writer *json, const char *name, int64_t nanodollars)
{
    json_write_member_double(json, name, (double)nanodollars / NANODOLLARS);
}

/* One's own costs; an administrator is told those of the whole installation. */
void history_cost(struct request *request)
{
    const struct principal *principal = &request->principal;
    int64_t today = clock_wall_seconds() / SECONDS_A_DAY;
    struct ledger_report report;
    enum status status = ledger_read(request->app->storage, request->arena,
                                     principal->is_superuser ? NULL : principal->owner, today,
                                     clock_first_of_month(today), &report);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    write_cost(json, "total_cost", report.total.cost_nanodollars);
    write_cost(json, "cost_today", report.today.cost_nanodollars);
    write_cost(json, "cost_this_month", report.month.cost_nanodollars);
    json_write_name(json, "by_provider");
    json_write_object_begin(json);
    for (size_t i = 0; i < report.provider_count; i++) {
        write_cost(json, report.providers[i].provider, report.providers[i].cost_nanodollars);
    }
    json_write_object_end(json);
    json_write_object_end(json);
}
