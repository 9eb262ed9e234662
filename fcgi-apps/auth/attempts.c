/*
 * auth/attempts: attempts to prove a password, at login and at change-password. All answers are the
 * same for names that exist and names that do not.
 */
#include <string.h>

#include "auth.h"
#include "auth/names.h"
#include "base/clock.h"
#include "base/network.h"
#include "log/log.h"

static int64_t seconds_of_lock(const struct request *request)
{
    return request->app->config->lockout_minutes * 60;
}

void attempt_answer_locked(struct request *request, int64_t locked_until)
{
    problem_set_retry_after(request, locked_until - clock_wall_seconds());
    problem_answer(request, PROBLEM_ACCOUNT_LOCKED, NULL);
}

/* False when answered. */
static bool check_lock(struct request *request, const struct lockout_attempt *attempt)
{
    int64_t until;
    enum status status = lockout_read(request->app->storage, attempt, &until);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else if (until > clock_wall_seconds()) {
        attempt_answer_locked(request, until);
        status = STATUS_DENIED;
    }
    return status == STATUS_OK;
}

bool attempt_begin(struct request *request, const char *name, struct lockout_attempt *out)
{
    char network[NETWORK_NAME_SIZE];
    network_name(request->client_address, NETWORK_OF_PERSON, network);
    *out = (struct lockout_attempt){
        .network = arena_copy(request->arena, network, strlen(network)),
        .now = clock_wall_seconds(),
        .threshold = request->app->config->lockout_threshold,
        .lock_seconds = seconds_of_lock(request),
    };
    enum status status = out->network == NULL ? STATUS_NO_MEMORY : names_digest(name, out->name);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return false;
    }
    return check_lock(request, out);
}

void attempt_refuse(struct request *request, const struct lockout_attempt *attempt,
                    const struct account *account)
{
    bool is_locked = false;
    enum status status = lockout_count(request->app->storage, attempt, &is_locked);
    if (status == STATUS_BUSY) {
        attempt_answer_overtaken(request, attempt);
        return;
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (is_locked) {
        log_write(LOG_WARNING, "account_locked", LOG_TEXT("user", account ? account->id : ""),
                  LOG_TEXT("client", request->client_address));
    }
    problem_answer(request, PROBLEM_INVALID_CREDENTIALS, "Invalid credentials");
}

void attempt_answer_overtaken(struct request *request, const struct lockout_attempt *attempt)
{
    if (check_lock(request, attempt)) {
        problem_answer_status(request, STATUS_BUSY);
    }
}
