/*
 * base/rate: how often something may be done: a count and a window, as settings spell it. Here and
 * not in ratelimit/, because settings are checked before anything is limited.
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

struct rate {
    uint32_t count;          /* 1 … 1,000,000,000 */
    uint32_t multiple;       /* K of "N per K unit" */
    const char *unit;        /* "second" … "year" */
    uint64_t window_seconds; /* multiple * unit; month = 30 days, year = 360 days, as in the
                                grammar this follows (the Python library "limits") */
};

/* Joined by one of ; , | in a setting, at most. */
#define RATE_LIST_MAXIMUM 8

/* "10/minute;100/hour", "5 per 2 seconds", … in any case, optional plural. STATUS_INVALID for
 * anything else, a count of 0, or more than `maximum`. */
enum status rate_parse_list(struct slice text, struct rate *rates, size_t maximum,
                            size_t *count) MUST_CHECK;

/* "10 per 1 minute" */
void rate_describe(const struct rate *rate, struct buffer *out);

#endif
