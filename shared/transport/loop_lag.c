/*
 * loop_lag: which turns are told.
 */
#include "transport/loop_lag.h"

#include "base/clock.h"

#define LONG_TURN UINT64_C(10000000) /* nanoseconds */
#define INTERVAL  UINT64_C(1000000000)

void loop_lag_note(struct loop_lag *lag, uint64_t began)
{
    if (lag->turned == NULL) {
        return;
    }
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t took = now - began;
    lag->longest = took > lag->longest ? took : lag->longest;
    if (took >= LONG_TURN || now - lag->told_at >= INTERVAL) {
        lag->turned(lag->loop, lag->longest, lag->context);
        lag->longest = 0;
        lag->told_at = now;
    }
}
