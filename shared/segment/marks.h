/*
 * segment/marks: a set of numbers that all programs of a host add to and one takes out again.
 *
 * The numbers are those of charts that somebody has used since they were last taken, so that a use
 * costs its request no write: whoever takes them writes them all at once. Adding never waits and
 * writes nothing if the number is there already. A mark may be lost, when some thousand different
 * numbers came in between, or when the taker dies with it; none appears from nowhere.
 */
#ifndef SEGMENT_MARKS_H
#define SEGMENT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#include "segment/segment.h"

extern const struct segment_region marks_segment_region;

/* 0 is not added. */
void marks_add(struct segment *segment, uint64_t number);

/* Takes up to `maximum` numbers out; returns how many, 0 when there are no more. What is added
 * meanwhile may be among them, and one number may come twice. */
size_t marks_take(struct segment *segment, uint64_t *out, size_t maximum);

#endif
