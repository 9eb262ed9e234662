/*
 * metrics: route table and start-up.
 */
#include "exposition.h"

/* Not constant: METRICS_PATH decides the template. */
static struct route routes[] = {
    {HTTP_GET, "/metrics", exposition_answer, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
};

static enum status start(struct app *app, struct buffer *problem)
{
    (void)problem;
    routes[0].template = app->config->metrics_path;
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "metrics",
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .start = start,
    };
    return app_run(&options, argc, argv);
}
