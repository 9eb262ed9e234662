/*
 * stores/series_strip: the blocks of a strip as rows, for the files of stores/series only.
 *
 * A strip is a run of blocks that one series shows, or none: one that is being prepared by a large
 * write, or one that is to be removed (both are in chart_loose_strips). A series takes over a
 * prepared strip in one transaction, so its readers see all of a write or nothing of it.
 */
#ifndef STORES_SERIES_STRIP_H
#define STORES_SERIES_STRIP_H

#include "stores/series_block.h"

/* Where a stored block is. */
struct series_place {
    double first_time;
    int64_t payload; /* number of the row that holds its points */
};

/* Writes 1 to SERIES_BLOCK_POINTS points as a new block, or over the block at `old`. */
enum status series_put_block(struct storage_connection *connection, struct series_encoder *encoder,
                             int64_t strip, const struct series_place *old,
                             const struct point *points, size_t count,
                             int64_t first_index) MUST_CHECK;

/* A number for a new strip; it is loose until series_strip_adopt. */
enum status series_strip_make(struct storage_connection *connection, int64_t now,
                              int64_t *strip) MUST_CHECK;
/* STATUS_UNAVAILABLE: it was removed meanwhile, for its writer seemed to be dead. */
enum status series_strip_adopt(struct storage_connection *connection, int64_t strip) MUST_CHECK;

/* Writes points as full blocks of a new strip, with indices from 0, some `part_bytes` in each
 * transaction. *strip is set when there is something to abandon, whatever is returned. */
enum status series_strip_prepare(struct storage *storage, const struct point *points, size_t count,
                                 size_t part_bytes, int64_t now, int64_t *strip) MUST_CHECK;
/* Leaves it to series_remove_loose. */
void series_strip_abandon(struct storage *storage, int64_t strip);

/* Reads the one integer that a statement returns, and finishes it. */
enum status series_return_integer(struct storage_statement *statement, int64_t *number) MUST_CHECK;

#endif
