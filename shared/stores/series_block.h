/*
 * stores/series_block: the layout of a block of points, for the files of stores/series only.
 *
 *   times    one float64 for each point: seconds since 1970, ascending
 *   starts   one uint32 for each point: where its text begins in payload
 *   payload  the JSON of the points, joined by ','
 *
 * Numbers are little-endian. Points from..to of a block are therefore one run of payload, found
 * without looking at any point.
 */
#ifndef STORES_SERIES_BLOCK_H
#define STORES_SERIES_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "storage/storage.h"
#include "stores/points.h"
#include "stores/series.h"

/* A stored block, of which it owns nothing. */
struct series_block {
    int64_t first_index;
    size_t count;
    struct slice times;
    struct slice starts;
    struct slice payload;
};

/* Takes a block from the present row: first_index and point_count in the columns from
 * `count_column` on, times, starts and payload in those from `blob_column` on. STATUS_INTERNAL if
 * they do not fit together. */
enum status series_block_load(struct series_block *block, struct storage_statement *statement,
                              int count_column, int blob_column) MUST_CHECK;

double series_block_time(const struct series_block *block, size_t index);

/* Number of points before `time`. */
size_t series_block_find(const struct series_block *block, double time);

/* Points from..to-1; from < to <= count. STATUS_INTERNAL if the stored starts make no sense. */
enum status series_block_slice(const struct series_block *block, size_t from, size_t to,
                               struct slice *out) MUST_CHECK;

/* The first of the points, or with `from_end` the last, that take `bytes` at most, commas included:
 * how many of points from..to-1 that are. */
enum status series_block_fit(const struct series_block *block, size_t from, size_t to, size_t bytes,
                             bool from_end, size_t *out) MUST_CHECK;

/* Makes blocks; used again for each. */
struct series_encoder {
    double times[SERIES_BLOCK_POINTS];
    uint32_t starts[SERIES_BLOCK_POINTS];
    struct buffer payload;
};

void series_encoder_init(struct series_encoder *encoder);
/* 1 <= count <= SERIES_BLOCK_POINTS. *out points into the encoder; its first_index is 0. */
enum status series_encoder_run(struct series_encoder *encoder, const struct point *points,
                               size_t count, struct series_block *out) MUST_CHECK;
void series_encoder_release(struct series_encoder *encoder);

/* The row of series_find, series_list and the reads: its first columns. */
enum status series_load(struct storage_statement *statement, struct arena *arena,
                        struct series *out) MUST_CHECK;
#define SERIES_COLUMNS 11

#endif
