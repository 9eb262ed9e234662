/*
 * segment/board: last known values that any program writes and any other reads, by name.
 *
 * A fixed table of BOARD_ENTRY_MAXIMUM entries: name, state, latency, times, a short text. One
 * writer at a time per entry; readers never block and never see a half-written entry (sequence
 * lock; an entry whose writer died while writing reads as absent until it is written again). Used
 * for probe results of services and the like; not for anything that must not be lost.
 */
#ifndef SEGMENT_BOARD_H
#define SEGMENT_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "segment/segment.h"

#define BOARD_NAME_SIZE 64
#define BOARD_TEXT_SIZE 160

#define BOARD_ENTRY_MAXIMUM 256

extern const struct segment_region board_segment_region;

struct board_entry {
    char name[BOARD_NAME_SIZE];
    int64_t value;             /* meaning is the writer's (0 unhealthy, 1 healthy, …) */
    double number;             /* e.g. latency in milliseconds */
    int64_t wall_milliseconds; /* when it was written */
    uint64_t boot_nanoseconds;
    char text[BOARD_TEXT_SIZE]; /* cut to fit */
};

/* Stamps the times itself; `text` may be NULL. STATUS_TOO_LARGE when the table is full or the name
 * is too long, STATUS_INVALID when it is empty. */
enum status board_write(struct segment *segment, const char *name, int64_t value, double number,
                        const char *text) MUST_CHECK;

/* False when absent. */
bool board_read(struct segment *segment, const char *name, struct board_entry *out);

/* Entries whose name starts with `prefix`, in table order; returns how many were filled. */
size_t board_list(struct segment *segment, const char *prefix, struct board_entry *out,
                  size_t maximum);

#endif
