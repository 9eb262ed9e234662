/*
 * auth: route table and start-up.
 */
#include "auth.h"
#include "base/clock.h"
#include "log/log.h"

static const struct route routes[] = {
    {HTTP_POST, "/auth/register", auth_register, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/login", auth_login, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/refresh", auth_refresh, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/validate", auth_validate, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/logout", auth_logout, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON_OPTIONAL, 0},
    {HTTP_GET, "/auth/me", auth_show_me, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_PATCH, "/auth/me", auth_update_me, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_POST, "/auth/change-password", auth_change_password, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_JSON, 0},
    {HTTP_GET, "/auth/sessions", auth_list_sessions, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_DELETE, "/auth/sessions/{id}", auth_revoke_session, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
    {HTTP_GET, "/auth/api-keys", auth_list_api_keys, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_POST, "/auth/api-keys", auth_create_api_key, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_DELETE, "/auth/api-keys/{id}", auth_revoke_api_key, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
};

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
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .uses_storage = true,
        .background = sweep_sessions,
    };
    return app_run(&options, argc, argv);
}
