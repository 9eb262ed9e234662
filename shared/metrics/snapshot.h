/*
 * metrics/snapshot: one reading of all values, sorted, ready to be written out. Private to
 * shared/metrics.
 */
#ifndef METRICS_SNAPSHOT_H
#define METRICS_SNAPSHOT_H

#include "base/arena.h"
#include "metrics/table.h"

/* One series. Cells as in the table, but a presence gauge has its sum in one cell. */
struct metrics_row {
    uint16_t family;
    const char *labels; /* values, each followed by NUL; in the segment or in the arena */
    size_t label_bytes;
    size_t first_cell;
    size_t cell_count;
};

struct metrics_snapshot {
    struct metrics_row *rows;
    size_t count;
    size_t capacity;
    uint64_t *cells;
    size_t cell_count;
    size_t cell_capacity;
    struct arena arena; /* label values that are not in the segment */
    enum status status; /* the first failure sticks */
};

/* Reads the table and /proc. Release also after a failure. */
enum status metrics_snapshot_take(struct metrics_snapshot *snapshot,
                                  struct metrics *metrics) MUST_CHECK;
void metrics_snapshot_release(struct metrics_snapshot *snapshot);

/* Rows of family `family` are [*first, returned value). */
size_t metrics_snapshot_find(const struct metrics_snapshot *snapshot, size_t family, size_t *first);

/* For those who make rows: an empty snapshot; a row with zeroed cells, returned (NULL: failed,
 * see status); sorting by family and labels, which adds up rows that have the same. */
void metrics_snapshot_init(struct metrics_snapshot *snapshot);
uint64_t *metrics_snapshot_add(struct metrics_snapshot *snapshot, size_t family, const char *labels,
                               size_t label_bytes, size_t cell_count);
void metrics_snapshot_sort(struct metrics_snapshot *snapshot);

/* Adds what is computed at the scrape (metrics_process.c), and counts processor time. */
void metrics_add_processes(struct metrics_snapshot *snapshot, struct metrics *metrics,
                           const struct segment_process_info *processes, size_t count);

/* Makes the consoul_* families out of `from` (metrics_alias.c). */
extern const struct metrics_family metrics_alias_families[];
extern const size_t metrics_alias_count;
enum status metrics_alias_make(struct metrics_snapshot *aliases,
                               const struct metrics_snapshot *from) MUST_CHECK;

#endif
