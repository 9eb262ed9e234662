/*
 * chat/model_outcome: see the header.
 */
#include "model_outcome.h"

const char *model_failure_text(enum model_failure failure)
{
    static const char *const words[] = {
        [MODEL_OK] = "ok",
        [MODEL_RATE_LIMITED] = "rate_limited",
        [MODEL_UNKNOWN] = "model_not_found",
        [MODEL_REFUSED] = "refused",
        [MODEL_TOO_LARGE] = "too_large",
        [MODEL_UNAVAILABLE] = "unavailable",
        [MODEL_TIMEOUT] = "timeout",
        [MODEL_BAD_ANSWER] = "bad_answer",
        [MODEL_STOPPED] = "stopped",
    };
    return words[failure];
}

static enum model_failure failure_of(int status_code)
{
    switch (status_code) {
    case 400:
    case 409:
    case 422:
        return MODEL_REFUSED;
    case 401:
    case 402:
    case 403:
        return MODEL_UNAVAILABLE;
    case 404:
        return MODEL_UNKNOWN;
    case 408:
    case 504:
        return MODEL_TIMEOUT;
    case 413:
        return MODEL_TOO_LARGE;
    case 429:
        return MODEL_RATE_LIMITED;
    default:
        return status_code >= 500 ? MODEL_UNAVAILABLE : MODEL_BAD_ANSWER;
    }
}

void model_outcome_understand(const struct provider_error *error, int status_code,
                              struct model_outcome *outcome)
{
    bool is_of_key = status_code == 401 || status_code == 402 || status_code == 403;
    outcome->failure = failure_of(status_code);
    if (!is_of_key && status_code != 429 && (error->is_too_long || error->is_filtered)) {
        outcome->failure = MODEL_REFUSED;
        outcome->is_too_long = error->is_too_long;
        outcome->is_filtered = error->is_filtered && !error->is_too_long;
    }
    if (outcome->failure == MODEL_REFUSED || outcome->failure == MODEL_TOO_LARGE ||
        outcome->failure == MODEL_UNKNOWN) {
        outcome->message = error->message;
    }
    if (outcome->failure == MODEL_REFUSED || outcome->failure == MODEL_TOO_LARGE) {
        outcome->type = error->type;
        outcome->param = error->param;
        outcome->code = error->code;
    }
}
