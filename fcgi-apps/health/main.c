/*
 * health: the program that says how the suite and what it leans on are doing.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "health",
        .routes = health_routes,
        .route_count = sizeof health_routes / sizeof health_routes[0],
        .uses_storage = true,
        .uses_charts = true,
        .start = health_start,
        .background = prober_tick,
        .stop = health_stop,
    };
    return app_run(&options, argc, argv);
}
