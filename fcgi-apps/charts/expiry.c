/*
 * charts/expiry: charts that nobody has used for CHART_TTL_HOURS are removed.
 *
 * A use is a write or a read. A write says so in its own transaction. A read only leaves a mark in
 * the segment; one elected process writes the marks of all processes down now and then, and before
 * it removes anything.
 *
 * A clock that leaps into the future must not make everything old at once. So charts are compared
 * with a time that the time since the machine's start has confirmed (chart_trusted_time): what was
 * used before a leap is kept for four fifths of its life at least.
 */
#include "base/clock.h"
#include "charts.h"
#include "log/log.h"
#include "segment/marks.h"

#define HOUR_MILLISECONDS  INT64_C(3600000)
#define SECONDS_OF_MARKS   60
#define SECONDS_OF_REMOVAL 5
#define PARTS_OF_A_REQUEST 2
#define CLOCK_LEAP_SECONDS 3600
/* A chart that is used all the time is written down this often at most. Far below an hour, the
 * shortest life. */
#define USE_MILLISECONDS INT64_C(300000)
#define MARKS_AT_ONCE    256

void charts_note_use(struct request *request, int64_t number)
{
    if (request_config(request)->chart_ttl_hours > 0) {
        marks_add(request->app->segment, (uint64_t)number);
    }
}

enum status charts_write_uses(struct app *app, int64_t now)
{
    uint64_t marks[MARKS_AT_ONCE];
    enum status status = STATUS_OK;
    size_t count = MARKS_AT_ONCE;
    while (status == STATUS_OK && count == MARKS_AT_ONCE) {
        count = marks_take(app->segment, marks, MARKS_AT_ONCE);
        if (count > 0) {
            status =
                chart_note_reads(app->chart_storage, marks, count, now, now - USE_MILLISECONDS);
        }
    }
    for (size_t i = 0; status != STATUS_OK && i < count; i++) {
        marks_add(app->segment, marks[i]);
    }
    return status;
}

/* Says once that the clock is ahead of what can be believed, and once that it no longer is. */
static void report_clock(int64_t seconds)
{
    static bool is_ahead;
    bool was_ahead = is_ahead;
    is_ahead = seconds >= CLOCK_LEAP_SECONDS;
    if (is_ahead && !was_ahead) {
        log_write(LOG_WARNING, "clock_leapt", LOG_INTEGER("seconds", seconds),
                  LOG_TEXT("effect", "charts expire later until the time is confirmed"));
    } else if (was_ahead && !is_ahead) {
        log_write(LOG_INFO, "clock_confirmed", LOG_INTEGER("seconds", seconds));
    }
}

enum status charts_sweep(struct app *app, int64_t now, int64_t boot)
{
    int64_t removed = 0;
    int64_t trusted = now;
    enum status status = charts_write_uses(app, now);
    if (status == STATUS_OK) {
        status = chart_trusted_time(app->chart_storage, now, boot, &trusted);
    }
    if (status == STATUS_OK) {
        report_clock((now - trusted) / 1000);
        status = chart_sweep(app->chart_storage,
                             trusted - app->config->chart_ttl_hours * HOUR_MILLISECONDS, &removed);
    }
    if (removed > 0) {
        log_write(LOG_INFO, "charts_swept", LOG_INTEGER("count", removed));
    }
    return status;
}

enum status charts_remove_all_loose(struct app *app, int64_t now)
{
    bool is_done;
    return series_remove_loose(app->chart_storage, now, 0, &is_done);
}

void charts_remove_loose(struct request *request)
{
    bool is_done;
    /* What fails here is done by the background. */
    (void)!series_remove_loose(request->app->chart_storage, clock_wall_milliseconds(),
                               PARTS_OF_A_REQUEST, &is_done);
}

/* What fails is tried again at the next time. */
static void report(const char *task, enum status status)
{
    if (status != STATUS_OK) {
        log_write(LOG_WARNING, "chart_expiry_failed", LOG_TEXT("task", task),
                  LOG_TEXT("error", status_text(status)));
    }
}

void charts_expire(struct app *app)
{
    static struct app_schedule uses = {.lease = "chart-uses"};
    static struct app_schedule sweeper = {.lease = "chart-sweeper"};
    static struct app_schedule remover = {.lease = "chart-remover"};
    const struct config *config = app->config;
    if (config->chart_ttl_hours > 0 && app_schedule_is_due(app, &uses, SECONDS_OF_MARKS)) {
        report(uses.lease, charts_write_uses(app, clock_wall_milliseconds()));
    }
    if (config->chart_ttl_hours > 0 &&
        app_schedule_is_due(app, &sweeper, (uint64_t)config->cleanup_interval_minutes * 60)) {
        report(sweeper.lease, charts_sweep(app, clock_wall_milliseconds(),
                                           (int64_t)(clock_boot_nanoseconds() / 1000000)));
    }
    if (app_schedule_is_due(app, &remover, SECONDS_OF_REMOVAL)) {
        report(remover.lease, charts_remove_all_loose(app, clock_wall_milliseconds()));
    }
}
