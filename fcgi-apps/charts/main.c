/*
 * charts: the program that keeps charts and their points.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "charts",
        .routes = charts_routes,
        .route_count = sizeof charts_routes / sizeof charts_routes[0],
        .uses_storage = true,
        .uses_charts = true,
        .background = charts_expire,
    };
    return app_run(&options, argc, argv);
}
