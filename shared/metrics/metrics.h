/*
 * metrics: counters, gauges and histograms in the segment, and their text.
 *
 * Families, label names and buckets are fixed in metrics/families.def. Values belong to the
 * segment, not to a process: a counter never falls when a process dies, and a scrape needs no
 * other process alive. The series table has a fixed size; when it is full, or a family reaches
 * its own maximum, values go to that family's series whose labels are all "overflow", a counter
 * says so and one log line is written.
 *
 * Presence gauges (requests in progress, open streams) count only live processes: what a killed
 * process had open is gone from the next scrape. All functions may be called from any thread and
 * never block; a series is found by one hash and updated by relaxed atomics.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"
#include "segment/segment.h"

extern const struct segment_region metrics_segment_region;

/* METRIC_HTTP_REQUESTS, … one for each row of families.def:
 * FAMILY(enum_suffix, "name_without_total", kind, maximum_series, "label,label", "unit or empty",
 *        buckets, "help") */
enum metric {
#define FAMILY(id, name, kind, maximum_series, labels, unit, buckets, help) METRIC_##id,
#include "metrics/families.def"
#undef FAMILY
    METRIC_COUNT
};

struct metrics;

/* `program` becomes the label of process_* and of presence gauges' owners. */
enum status metrics_open(struct metrics **out, struct segment *segment,
                         const char *program) MUST_CHECK;
void metrics_close(struct metrics *metrics);

/* `labels` are the values, in the order of the family's label names, NULL-terminated array of
 * exactly as many as it has. Values are cut at 128 bytes; bytes that are not UTF-8 become '?'.
 * A NULL `metrics` is allowed everywhere and does nothing (ENABLE_METRICS=false). */
void metrics_add(struct metrics *metrics, enum metric metric, const char *const *labels,
                 uint64_t amount);

/* Histograms: `nanoseconds` for families in seconds. */
void metrics_observe(struct metrics *metrics, enum metric metric, const char *const *labels,
                     uint64_t nanoseconds);

/* State gauges: the last writer wins. */
void metrics_set(struct metrics *metrics, enum metric metric, const char *const *labels,
                 int64_t value);

/* Takes a state gauge out of the exposition until it is set again: what it tells of is no more. */
void metrics_withdraw(struct metrics *metrics, enum metric metric, const char *const *labels);

/* Presence gauges: `change` is +1 or -1 of this process. */
void metrics_present(struct metrics *metrics, enum metric metric, const char *const *labels,
                     int64_t change);

/* Shorthand for the label array. */
#define METRIC_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define METRIC_NO_LABELS   ((const char *const[]){NULL})

enum metrics_format { METRICS_TEXT_0_0_4, METRICS_OPENMETRICS_1_0_0 };

/* Chooses by RFC 9110 Accept (NULL = none); last resort is text 0.0.4. */
enum metrics_format metrics_choose_format(const char *accept);
const char *metrics_content_type(enum metrics_format format);

/* Appends the whole exposition. `with_consoul_names` renders the consoul_* aliases as well. */
enum status metrics_render(struct metrics *metrics, enum metrics_format format,
                           bool with_consoul_names, struct buffer *out) MUST_CHECK;

/* The current value of one series (sum over live processes for presence gauges, count for
 * histograms); 0 when absent. For tests and `quintet top`. */
int64_t metrics_read(struct metrics *metrics, enum metric metric, const char *const *labels);

#endif
