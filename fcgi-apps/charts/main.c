/*
 * charts: the program that keeps charts and their points.
 */
#include "base/clock.h"
#include "log/log.h"
#include "routes.h"
#include "stores/charts.h"

#define HOUR_MILLISECONDS INT64_C(3600000)

/* Charts that nobody has changed for CHART_TTL_HOURS. */
static void sweep_charts(struct app *app)
{
    static struct app_schedule schedule = {.lease = "chart-sweeper"};
    const struct config *config = app->config;
    int64_t removed = 0;
    if (config->chart_ttl_hours > 0 &&
        app_schedule_is_due(app, &schedule, (uint64_t)config->cleanup_interval_minutes * 60) &&
        chart_sweep(app->chart_storage,
                    clock_wall_milliseconds() - config->chart_ttl_hours * HOUR_MILLISECONDS,
                    &removed) == STATUS_OK &&
        removed > 0) {
        log_write(LOG_INFO, "charts_swept", LOG_INTEGER("count", removed));
    }
}

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "charts",
        .routes = charts_routes,
        .route_count = sizeof charts_routes / sizeof charts_routes[0],
        .uses_storage = true,
        .uses_charts = true,
        .background = sweep_charts,
    };
    return app_run(&options, argc, argv);
}
