/*
 * metrics/routes: the metrics program, but for its main(): its routes and how it starts. In a
 * header so that tests of the handlers run the same.
 */
#ifndef METRICS_ROUTES_H
#define METRICS_ROUTES_H

#include "exposition.h"

/* Not constant: METRICS_PATH decides the template. */
static struct route metrics_routes[] = {
    {HTTP_GET, "/metrics", exposition_answer, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
};

/* app_options.start */
static enum status metrics_start(struct app *app, struct buffer *problem)
{
    (void)problem;
    metrics_routes[0].template = app->config->metrics_path;
    return STATUS_OK;
}

static const struct app_options metrics_options = {
    .program = "metrics",
    .routes = metrics_routes,
    .route_count = sizeof metrics_routes / sizeof metrics_routes[0],
    .answers_probes = true,
    .start = metrics_start,
};

#endif
