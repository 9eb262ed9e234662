/*
 * stores/series: the series of a chart and their points.
 *
 * A series is named by owner, chart, pane and id. Its points are kept in blocks of up to
 * SERIES_BLOCK_POINTS, encoded as the JSON that is sent (series_block.h), so that a read is an
 * index search and a few copies, whatever the length of the series.
 *
 * A write happens as a whole or not at all, writers of a series come one after the other over all
 * processes, and what was acknowledged survives kill -9. A read sees one moment of the series and
 * waits for nobody. Every write raises the version by one.
 *
 * Nobody else's write waits long: a large write prepares its blocks in many small transactions where
 * no reader sees them, and one more shows them all; what is replaced or deleted is out of sight at
 * once and removed in as many (series_strip.c).
 */
#ifndef STORES_SERIES_H
#define STORES_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "storage/storage.h"
#include "stores/points.h"

#define SERIES_BLOCK_POINTS 512
/* Bytes of points above which a write is prepared in parts. */
#define SERIES_PART_BYTES ((size_t)1 << 20)

struct series_key {
    const char *owner;
    const char *chart;
    int64_t pane;
    const char *id;
};

struct series {
    int64_t number; /* never given to another series */
    int64_t chart;
    int64_t pane;
    const char *id;
    const char *type;
    struct slice options; /* a JSON object as the client spelled it */
    int64_t point_count;
    int64_t version;
    int64_t stamp;      /* a random number of the last write */
    int64_t strip;      /* where its blocks are */
    bool has_fractions; /* some time is, or was, no whole second */
};

/* What one owner may have; 0 = any number. */
struct chart_quota {
    int64_t charts;
    int64_t series;
    int64_t points;
};

/* STATUS_NOT_FOUND: no such chart or series. */
enum status series_find(struct storage *storage, struct arena *arena, const struct series_key *key,
                        struct series *out) MUST_CHECK;

/* The series of a chart by pane and id. */
enum status series_list(struct storage *storage, struct arena *arena, const char *owner,
                        const char *chart, struct series **out, size_t *count) MUST_CHECK;

/* STATUS_NOT_FOUND. Its points are left to series_remove_loose. */
enum status series_delete(struct storage *storage, const struct series_key *key,
                          int64_t now) MUST_CHECK;

/* --- Writing (series_write.c) ----------------------------------------------------------------- */

enum series_mode {
    SERIES_REPLACE, /* these points instead of all there are; makes chart and series if absent */
    SERIES_APPEND,  /* behind the last one */
    SERIES_UPSERT   /* each where its time belongs, instead of one of the same time */
};

struct series_change {
    enum series_mode mode;
    struct series_key key;
    /* SERIES_REPLACE: the new type. Otherwise the type by which the points were checked. */
    const char *type;
    struct slice options; /* SERIES_REPLACE: JSON object */
    const struct points *points;
    int64_t now;              /* wall milliseconds */
    struct chart_quota quota; /* of the owner */
    size_t part_bytes;        /* 0: SERIES_PART_BYTES; for tests */
    int64_t point_count;      /* out: of the series, after the write */
};

/* STATUS_NOT_FOUND: no such chart or series. STATUS_INVALID: the first appended point is not later
 * than the last stored one. STATUS_CONFLICT: the series has another type by now; check the points
 * again by that one. STATUS_DENIED: the owner would have more than the quota allows. */
enum status series_write(struct storage *storage, struct series_change *change) MUST_CHECK;

/* --- What nobody sees (series_strip.c) ------------------------------------------------------ */

/* Removes points of deleted and replaced series, in at most `parts` short transactions (0: as many
 * as it takes), and what writers that died have left. *is_done: nothing is left. */
enum status series_remove_loose(struct storage *storage, int64_t now, unsigned parts,
                                bool *is_done) MUST_CHECK;

/* --- Reading (series_read.c) ------------------------------------------------------------------ */

/* Points with from <= time < before. */
struct series_window {
    double from;
    double before;
    int64_t limit;     /* at most so many, >= 1 */
    size_t bytes;      /* at most so many of JSON, but one point at least; 0 = no limit */
    bool oldest_first; /* if there are more: those next to `from`, else those next to `before` */
};

#define SERIES_FROM_START POINT_TIME_MINIMUM
#define SERIES_TO_END     (POINT_TIME_MAXIMUM + 1)

struct series_range {
    struct series series;
    /* start_index is the number of points before the range, end_index that of points up to its
     * end. Times are of its first and last point, 0 when it is empty. */
    int64_t start_index;
    int64_t end_index;
    double start_time;
    double end_time;
    /* The JSON of the points, in order; within a piece they are joined by commas. */
    struct slice *pieces;
    size_t piece_count;
    size_t length; /* of all pieces together */
};

/* Result in the arena. STATUS_NOT_FOUND: no such chart or series. */
enum status series_read(struct storage *storage, struct arena *arena, const struct series_key *key,
                        const struct series_window *window, struct series_range *out) MUST_CHECK;

#endif
