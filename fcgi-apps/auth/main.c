/*
 * auth: the program that logs people in and gives programs their keys.
 */
#include "base/clock.h"
#include "log/log.h"
#include "routes.h"

#define SWEEP_SECONDS         3600
#define SESSIONS_KEPT_SECONDS 86400 /* so that a late reuse is still recognised as one */

/* Ended sessions are of no use to anybody after a while. */
static void sweep_sessions(struct app *app)
{
    static struct app_schedule schedule = {.lease = "session-sweeper"};
    int64_t removed = 0;
    if (app_schedule_is_due(app, &schedule, SWEEP_SECONDS) &&
        session_sweep(app->storage, clock_wall_seconds() - SESSIONS_KEPT_SECONDS, &removed) ==
            STATUS_OK &&
        removed > 0) {
        log_write(LOG_INFO, "sessions_swept", LOG_INTEGER("count", removed));
    }
}

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "auth",
        .routes = auth_routes,
        .route_count = sizeof auth_routes / sizeof auth_routes[0],
        .uses_storage = true,
        .background = sweep_sessions,
    };
    return app_run(&options, argc, argv);
}
