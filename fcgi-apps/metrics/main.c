/*
 * metrics: the program that Prometheus scrapes.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "metrics",
        .routes = metrics_routes,
        .route_count = sizeof metrics_routes / sizeof metrics_routes[0],
        .start = metrics_start,
    };
    return app_run(&options, argc, argv);
}
