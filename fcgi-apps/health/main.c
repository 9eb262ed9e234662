/*
 * health: route table and start-up.
 */
#include "base/memory.h"
#include "health.h"

static const struct route routes[] = {
    {HTTP_GET, "/health", report_live, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/live", report_live, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/ready", report_ready, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/ready", report_ready, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/all", report_all, FAMILY_HEALTH, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_GET, "/health/cost-tracking", history_cost, FAMILY_HEALTH, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_GUARDED},
    {HTTP_GET, "/health/{service}", report_service, FAMILY_HEALTH, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_GET, "/health/{service}/status", report_service, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_GET, "/health/latency-history/{service}", history_latency, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_GET, "/health/service-errors/{service}", history_errors, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_POST, "/health/retest/{service}", report_retest, FAMILY_HEALTH, ACCESS_ADMIN, BODY_NONE,
     0},
};

static enum status start(struct app *app, struct buffer *problem)
{
    struct service_list *services = memory_allocate(sizeof *services);
    if (services == NULL) {
        return STATUS_NO_MEMORY;
    }
    app->state = services;
    return services_load(app, services, problem);
}

static void stop(struct app *app)
{
    memory_release(app->state);
}

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "health",
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .uses_storage = true,
        .start = start,
        .background = prober_tick,
        .stop = stop,
    };
    return app_run(&options, argc, argv);
}
