/*
 * metrics/table: the series in the segment, and what families.def says about them. Private to
 * shared/metrics.
 *
 * Region: struct metrics_region (counters of use, one cell per process for its processor time),
 * the index, the heap. The index is a hash table of words: free, being claimed by a process, or
 * ready. A ready word points into the heap, which is handed out from the front in units of 64
 * bytes, so a host with few series touches few pages. A heap record is a struct metrics_series,
 * its cells, then its label values, each followed by NUL. Cells by kind: counter and gauge 1;
 * presence one per process slot, (generation << 32 | value); histogram one count per bucket
 * including +Inf, then the sum in nanoseconds. Nothing is ever removed; a gauge that has been
 * withdrawn holds METRICS_WITHDRAWN and is not rendered.
 */
#ifndef METRICS_TABLE_H
#define METRICS_TABLE_H

#include "metrics/metrics.h"

#define METRICS_LABEL_MAXIMUM  3
#define METRICS_VALUE_SIZE     128 /* bytes of one label value */
#define METRICS_BUCKET_MAXIMUM 16
#define METRICS_UNIT           64
#define METRICS_WITHDRAWN      ((uint64_t)INT64_MIN)
#define METRICS_INDEX_SIZE     8192
#define METRICS_HEAP_UNITS     32768 /* 2 MiB */
/* Kept back so that each family can always have its overflow series. */
#define METRICS_RESERVED_UNITS 512

enum metrics_kind {
    METRICS_COUNTER,
    METRICS_SECONDS_COUNTER,
    METRICS_GAUGE,
    METRICS_PRESENCE,
    METRICS_HISTOGRAM,
    METRICS_COMPUTED,
    METRICS_INFO
};

struct metrics_buckets {
    size_t count;                                  /* without +Inf */
    uint64_t bounds[METRICS_BUCKET_MAXIMUM];       /* nanoseconds, inclusive */
    const char *texts[METRICS_BUCKET_MAXIMUM + 1]; /* canonical floats in seconds; "+Inf" last */
};

struct metrics_family {
    const char *name; /* without _total and _info */
    enum metrics_kind kind;
    uint32_t maximum_series;
    const char *labels; /* "method,endpoint" */
    const char *unit;
    const struct metrics_buckets *buckets;
    const char *help;
};

extern const struct metrics_family metrics_families[METRIC_COUNT];

size_t metrics_count_labels(const struct metrics_family *family);
size_t metrics_count_cells(const struct metrics_family *family);

struct metrics_series {
    uint64_t hash[2];
    uint16_t family;
    uint16_t cell_count;
    uint16_t label_bytes; /* with the NULs */
    uint16_t is_overflow;
    _Atomic uint64_t cells[];
};

static inline const char *metrics_series_labels(const struct metrics_series *series)
{
    return (const char *)&series->cells[series->cell_count];
}

struct metrics_region {
    _Atomic uint32_t used_units;
    uint32_t reserved[15];
    _Atomic uint32_t family_series[64];
    _Atomic uint32_t family_full_told[64];
    /* generation << 40 | ticks already counted in process_cpu_seconds */
    _Atomic uint64_t process_cpu[SEGMENT_PROCESS_MAXIMUM];
    _Atomic uint64_t index[METRICS_INDEX_SIZE];
    _Alignas(METRICS_UNIT) unsigned char heap[METRICS_HEAP_UNITS * METRICS_UNIT];
};

struct metrics {
    struct segment *segment;
    struct metrics_region *region;
    struct siphash_key key;
    char program[32];
};

/* Adds the processor time of a live process that no scrape has counted yet (metrics_process.c). */
void metrics_count_processor_time(struct metrics *metrics, struct segment_process process,
                                  const char *program, uint64_t ticks);

/* The series, made if `create` and absent; the family's overflow series when it cannot be made.
 * NULL when there is none (or, with `create`, when another process has been stopped in the middle
 * of making it). */
struct metrics_series *metrics_find_series(struct metrics *metrics, enum metric metric,
                                           const char *const *labels, bool create);

/* The ready series behind an index word, or NULL. */
struct metrics_series *metrics_series_of_word(struct metrics_region *region, uint64_t word);

/* Value of a presence cell's owner, if alive. */
struct segment_process metrics_cell_process(size_t slot, uint64_t cell);
int32_t metrics_cell_value(uint64_t cell);

#endif
