/*
 * chat/model_outcome: how a question to a provider has ended, in terms of what the client has to be
 * told. This is where failures of providers get their meaning.
 */
#ifndef CHAT_MODEL_OUTCOME_H
#define CHAT_MODEL_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "provider_error.h"

enum model_failure {
    MODEL_OK,
    MODEL_RATE_LIMITED,
    MODEL_UNKNOWN,     /* the provider has no such model */
    MODEL_REFUSED,     /* the request is not what the provider takes: the client's affair */
    MODEL_TOO_LARGE,   /* likewise, by its size */
    MODEL_UNAVAILABLE, /* it cannot be reached, is out of order, or does not take our key */
    MODEL_TIMEOUT,
    MODEL_BAD_ANSWER, /* unreadable, cut off, too large */
    MODEL_STOPPED     /* this program is stopping */
};

/* A word for metrics and logs. */
const char *model_failure_text(enum model_failure failure);

struct model_outcome {
    enum model_failure failure;
    int status_code;     /* of the provider; 0 when none */
    int64_t retry_after; /* seconds; 0 = it did not say */
    bool is_too_long;    /* MODEL_REFUSED: longer than the model's context */
    bool is_filtered;    /* MODEL_REFUSED: for its content */
    /* MODEL_REFUSED, _TOO_LARGE, _UNKNOWN: the provider's words, fit to be shown; NULL when it
     * has none. They live as long as the call. */
    const char *message;
    const char *type;
    const char *param;
    const char *code;
};

/* What a provider's error means, with the HTTP status that it came with or stands for. What it says of
 * our key or our account is not for clients, and what it says of a limit or an outage is theirs to
 * hear from us. */
void model_outcome_understand(const struct provider_error *error, int status_code,
                              struct model_outcome *outcome);

#endif
