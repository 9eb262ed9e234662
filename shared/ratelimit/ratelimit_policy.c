/*
 * ratelimit/policy: policies and strategies as settings name them.
 */
#include <strings.h>

#include "ratelimit/ratelimit.h"

enum status ratelimit_parse_policy(struct slice text, struct ratelimit_policy *policy)
{
    return rate_parse_list(text, policy->limits, RATELIMIT_POLICY_MAXIMUM, &policy->count);
}

enum status ratelimit_parse_strategy(const char *text, enum ratelimit_strategy *strategy)
{
    static const char *const names[] = {
        [RATELIMIT_MOVING_WINDOW] = "moving-window",
        [RATELIMIT_FIXED_WINDOW] = "fixed-window",
        [RATELIMIT_GCRA] = "gcra",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *strategy = (enum ratelimit_strategy)i;
            return STATUS_OK;
        }
    }
    return STATUS_INVALID;
}
