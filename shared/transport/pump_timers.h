/*
 * transport/pump_timers: deadlines in order, for thousands of streams.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986) whose nodes lie inside what they
 * belong to: setting a timer cannot fail, because it needs no memory. Own code because libc has no
 * priority queue, and one timerfd for each stream would double the descriptors. Not thread-safe.
 */
#ifndef TRANSPORT_PUMP_TIMERS_H
#define TRANSPORT_PUMP_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct pump_timer {
    uint64_t deadline; /* monotonic nanoseconds; of a timer that is set */
    bool is_set;
    struct pump_timer *child;    /* leftmost */
    struct pump_timer *sibling;  /* to the right */
    struct pump_timer *previous; /* the left sibling, or the parent of a leftmost child */
};

struct pump_timers {
    struct pump_timer *root; /* the earliest, or NULL */
};

/* Sets it, or moves it if it is set. A timer starts as all zeros. */
void pump_timers_set(struct pump_timers *timers, struct pump_timer *timer, uint64_t deadline);

/* One that is not set is ignored. */
void pump_timers_cancel(struct pump_timers *timers, struct pump_timer *timer);

#endif
