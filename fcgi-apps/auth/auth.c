/*
 * auth: what the program holds from its start to its end, and what it clears away meanwhile.
 */
#include "auth.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "stores/invitations.h"

#define SWEEP_SECONDS         3600
#define SESSIONS_KEPT_SECONDS 86400 /* so that late reuse of a token is still recognised */
#define LOCKOUT_SWEEP_SECONDS 60    /* often, because strangers fill that table */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum status auth_start(struct app *app, struct buffer *problem)
{
    struct auth *auth = memory_allocate(sizeof *auth);
    (void)problem;
    if (auth == NULL) {
        return STATUS_NO_MEMORY;
    }
    /* One processor is left to whoever wants no hash; so are half of the threads, and of those that
     * do not hash only a few wait. */
    int64_t processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t places = smaller(app->config->password_hash_concurrency, processors - 1);
    auth->places = places < 1 ? 1 : (unsigned)places;
    int64_t maximum = smaller(app->config->workers / 2, (int64_t)auth->places * 4);
    auth->room.maximum = maximum < 1 ? 1 : (unsigned)maximum;
    app->state = auth;
    return STATUS_OK;
}

void auth_stop(struct app *app)
{
    memory_release(app->state);
    app->state = NULL;
}

static void report_sweep(const char *event, enum status status, int64_t removed)
{
    if (status == STATUS_OK && removed > 0) {
        log_write(LOG_INFO, event, LOG_INTEGER("count", removed));
    }
}

void auth_sweep(struct app *app)
{
    static struct app_schedule sessions = {.lease = "session-sweeper"};
    static struct app_schedule failures = {.lease = "lockout-sweeper"};
    int64_t now = clock_wall_seconds();
    int64_t removed;
    if (app_schedule_is_due(app, &failures, LOCKOUT_SWEEP_SECONDS)) {
        enum status status = lockout_sweep(app->storage, now, LOCKOUT_ROWS_MAXIMUM, &removed);
        report_sweep("login_failures_swept", status, removed);
    }
    /* Ended sessions are of no use to anybody after a while. */
    if (app_schedule_is_due(app, &sessions, SWEEP_SECONDS)) {
        enum status status = session_sweep(app->storage, now - SESSIONS_KEPT_SECONDS, &removed);
        report_sweep("sessions_swept", status, removed);
        status = invitation_sweep(app->storage, now, &removed);
        report_sweep("invitations_swept", status, removed);
    }
}
