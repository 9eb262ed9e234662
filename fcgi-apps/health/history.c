/*
 * health/history: answers from what was stored: latencies, errors, costs.
 */
#include <time.h>

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

#define NANODOLLARS 1e9

/* Beginning of today or of this month, in UTC, in wall milliseconds. */
static int64_t beginning_of(bool month)
{
    time_t now = (time_t)clock_wall_seconds();
    struct tm date;
    gmtime_r(&now, &date);
    return clock_seconds_of_date(date.tm_year + 1900, date.tm_mon + 1, month ? 1 : date.tm_mday) *
           1000;
}

void history_cost(struct request *request)
{
    struct storage *storage = request->app->storage;
    const char *owner = request->principal.owner;
    struct ledger_sum total;
    struct ledger_sum today;
    struct ledger_sum month;
    struct ledger_provider *providers = NULL;
    size_t count = 0;
    enum status status = ledger_total(storage, owner, 0, &total);
    if (status == STATUS_OK) {
        status = ledger_total(storage, owner, beginning_of(false), &today);
    }
    if (status == STATUS_OK) {
        status = ledger_total(storage, owner, beginning_of(true), &month);
    }
    if (status == STATUS_OK) {
        status = ledger_by_provider(storage, request->arena, owner, &providers, &count);
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_double(json, "total_cost", (double)total.cost_nanodollars / NANODOLLARS);
    json_write_member_double(json, "cost_today", (double)today.cost_nanodollars / NANODOLLARS);
    json_write_member_double(json, "cost_this_month", (double)month.cost_nanodollars / NANODOLLARS);
    json_write_name(json, "by_provider");
    json_write_object_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_member_double(json, providers[i].provider,
                                 (double)providers[i].cost_nanodollars / NANODOLLARS);
    }
    json_write_object_end(json);
    json_write_object_end(json);
}
