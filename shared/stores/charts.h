/*
 * stores/charts: charts, each an id chosen by the client and its options, within an owner.
 *
 * An owner (principal.h) sees and reaches nothing of another owner; every function takes it. Times
 * are wall milliseconds; results live in the arena given. The points are in stores/series.
 */
#ifndef STORES_CHARTS_H
#define STORES_CHARTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "storage/storage.h"
#include "stores/series.h"

struct chart {
    int64_t number;
    const char *id;
    struct slice options; /* a JSON object as the client spelled it */
    int64_t created_at;
    int64_t updated_at; /* of the chart's last write, also to a series */
    int64_t series_count;
};

/* Makes the chart unless it is there already; *out is what is stored then. STATUS_DENIED: the owner
 * has `maximum` charts already; 0 = any number. */
enum status chart_create(struct storage *storage, struct arena *arena, const char *owner,
                         const char *id, struct slice options, int64_t maximum, int64_t now,
                         struct chart *out) MUST_CHECK;

/* STATUS_NOT_FOUND. */
enum status chart_find(struct storage *storage, struct arena *arena, const char *owner,
                       const char *id, struct chart *out) MUST_CHECK;
enum status chart_set_options(struct storage *storage, const char *owner, const char *id,
                              struct slice options, int64_t now) MUST_CHECK;
/* With all its series; their points are left to series_remove_loose. */
enum status chart_delete(struct storage *storage, const char *owner, const char *id) MUST_CHECK;

/* At most `limit` charts in the order of their ids, after the first `offset`; *total counts all charts
 * of the owner. */
enum status chart_list(struct storage *storage, struct arena *arena, const char *owner,
                       int64_t limit, int64_t offset, struct chart **out, size_t *count,
                       int64_t *total) MUST_CHECK;

/* These charts (by number) were read just now. Writes nothing for one that was changed or read
 * since `before`. A number that is gone is left out. */
enum status chart_note_reads(struct storage *storage, const uint64_t *numbers, size_t count,
                             int64_t now, int64_t before) MUST_CHECK;

/* Removes charts that were last changed or read before then (wall milliseconds), a few in each
 * transaction so that writers are not held up. */
enum status chart_sweep(struct storage *storage, int64_t before, int64_t *removed) MUST_CHECK;

/* A time to let charts expire by: the wall clock's (`now`), but from one call to the next it goes on
 * by no more than a quarter more than `boot`, the time since the machine started, says has passed.
 * So charts outlive a clock that leaps into the future, or a machine that was off; the quarter lets
 * it catch up. All in milliseconds; what was said is kept in the database. */
enum status chart_trusted_time(struct storage *storage, int64_t now, int64_t boot,
                               int64_t *trusted) MUST_CHECK;

/* Reads a row of each table of charts, if there is one: STATUS_OK when they can be read. For
 * probes; as quick with many charts as with few. */
enum status chart_ping(struct storage *storage) MUST_CHECK;

#endif
