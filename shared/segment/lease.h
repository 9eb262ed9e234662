/*
 * segment/lease: elections and counted places among the processes of a host.
 *
 * An elected lease ("prober", "sweeper") has one holder at a time; a counted lease ("password
 * hashing") has up to `places`. Both are freed when the holder dies. Names are fixed words of the
 * code, not data.
 */
#ifndef SEGMENT_LEASE_H
#define SEGMENT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "segment/segment.h"

extern const struct segment_region lease_segment_region;

/* True when this process holds `name` for the next `milliseconds` (boot time); renews when it
 * holds it already. Never waits. */
bool lease_elect(struct segment *segment, const char *name, uint64_t milliseconds);

/* Gives an elected lease back early. */
void lease_resign(struct segment *segment, const char *name);

/* Takes one of `places` (<= 64) of `name`; waits at most `timeout_milliseconds`.
 * STATUS_TIMEOUT when all are taken by live processes; STATUS_INVALID for another number of
 * places; STATUS_TOO_LARGE when the table has no room for the name or it is longer than 31
 * characters; STATUS_UNAVAILABLE for a process without a slot. *place must be given back. */
enum status lease_take_place(struct segment *segment, const char *name, unsigned places,
                             uint64_t timeout_milliseconds, unsigned *place) MUST_CHECK;
void lease_return_place(struct segment *segment, const char *name, unsigned place);

#endif
