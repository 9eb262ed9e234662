/*
 * stores/point_time: the `time` of a point, in whatever form it comes, as UTC seconds.
 *
 * Forms: a number of seconds; a number of milliseconds, known by exceeding POINT_TIME_MAXIMUM; the
 * day "YYYY-MM-DD"; the day {"year":2024,"month":1,"day":31}. Of stores/points only.
 */
#ifndef STORES_POINT_TIME_H
#define STORES_POINT_TIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "json/scan.h"

struct point_time {
    double seconds; /* since 1970, within POINT_TIME_MINIMUM and _MAXIMUM */
    bool has_fraction;
    /* What to store instead of the value's text; length 0 when that may stay as it is. */
    char spelling[TEXT_DOUBLE_SIZE];
    size_t spelling_length;
};

/* STATUS_INVALID: *message is a fixed text that says why; STATUS_NO_MEMORY. `scratch` is used for
 * texts with escapes. The caller has checked that no member of an object stands twice. */
enum status point_time_read(const struct json_value *value, struct arena *scratch,
                            struct point_time *out, const char **message) MUST_CHECK;

#endif
