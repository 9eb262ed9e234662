/*
 * transport/loop_lag: how long a loop lets its events wait. Private to transport/.
 *
 * While a turn is busy everything else on the loop waits: what a turn takes is the lag that a
 * blocking call or too much work would cause. Each long turn is told, and otherwise the longest of
 * each second, so that a loop that turns often costs nothing.
 */
#ifndef TRANSPORT_LOOP_LAG_H
#define TRANSPORT_LOOP_LAG_H

#include <stdint.h>

#include "transport/transport.h"

struct loop_lag {
    enum transport_loop loop;
    transport_turned *turned; /* NULL: nobody wants to know */
    void *context;
    uint64_t told_at;
    uint64_t longest;
};

/* A turn that began to be busy at `began` (monotonic nanoseconds) has ended. */
void loop_lag_note(struct loop_lag *lag, uint64_t began);

#endif
