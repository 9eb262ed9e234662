/*
 * clock: time, in the three kinds the code needs. Units are in the names.
 *
 * Wall time is for timestamps and expiry that other hosts see; boot time (counts suspend, never
 * jumps, the same for all processes of a host) is for limits, leases and everything in the
 * segment; monotonic time is for durations inside one process.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_milliseconds(void); /* since 1970-01-01T00:00:00Z */
int64_t clock_wall_seconds(void);

/* For tests, which cannot wait a week: from now on the wall clock of this process is ahead by so
 * much. The one global of this module. */
void clock_set_wall_offset(int64_t milliseconds);

uint64_t clock_boot_nanoseconds(void);
uint64_t clock_monotonic_nanoseconds(void);

/* "2026-01-02T03:04:05.678Z" and a NUL. */
#define CLOCK_TIMESTAMP_SIZE 25

/* RFC 3339 in UTC with milliseconds. */
void clock_format_timestamp(int64_t wall_milliseconds, char out[CLOCK_TIMESTAMP_SIZE]);

/* The wall milliseconds of an RFC 3339 time with any offset; fractions of a second beyond the third
 * digit are cut. False: it is none, or there is no such day or time of day. */
bool clock_parse_timestamp(const char *text, int64_t *wall_milliseconds);

/* Seconds since 1970 of a proleptic Gregorian date at 00:00:00Z. month 1-12, day 1-31; returns
 * INT64_MIN when there is no such day. */
int64_t clock_seconds_of_date(int year, int month, int day);

/* The first day of the month that `day` is in; both are days since 1970 in UTC. */
int64_t clock_first_of_month(int64_t day);

#endif
