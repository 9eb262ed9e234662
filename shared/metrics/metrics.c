/*
 * metrics: the operations on series; finding them is in metrics_table.c, the exposition in
 * metrics_render.c.
 */
#include "metrics/metrics.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "metrics/table.h"
#include "segment/procfs.h"

/* What exists without labels is exported from the start, with 0; a state that nobody has set yet
 * is not, because 0 would be a statement. */
static void make_unlabelled_series(struct metrics *metrics)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metrics_family *family = &metrics_families[i];
        if (family->labels[0] == '\0' && family->maximum_series > 0 &&
            family->kind != METRICS_GAUGE) {
            metrics_find_series(metrics, (enum metric)i, METRIC_NO_LABELS, true);
        }
    }
}

enum status metrics_open(struct metrics **out, struct segment *segment, const char *program)
{
    *out = NULL;
    struct metrics *metrics = memory_allocate(sizeof *metrics);
    if (metrics == NULL) {
        return STATUS_NO_MEMORY;
    }
    metrics->segment = segment;
    metrics->region = segment_find(segment, metrics_segment_region.name);
    metrics->key = *segment_secret(segment);
    if (metrics->region == NULL) {
        memory_release(metrics);
        return STATUS_INTERNAL;
    }
    make_unlabelled_series(metrics);
    memcpy(metrics->program, program, strnlen(program, sizeof metrics->program - 1));
    metrics_find_series(metrics, METRIC_PROCESS_CPU, METRIC_LABELS(metrics->program), true);
    *out = metrics;
    return STATUS_OK;
}

void metrics_close(struct metrics *metrics)
{
    struct procfs_process process;
    if (metrics != NULL && procfs_read_process(getpid(), &process) == STATUS_OK) {
        metrics_count_processor_time(metrics, segment_self(metrics->segment), metrics->program,
                                     process.cpu_ticks);
    }
    memory_release(metrics);
}

/* The series to update, or NULL when there is nothing to do. */
static struct metrics_series *find(struct metrics *metrics, enum metric metric,
                                   const char *const *labels, enum metrics_kind kind)
{
    if (metrics == NULL || metric >= METRIC_COUNT || metrics_families[metric].kind != kind) {
        return NULL;
    }
    return metrics_find_series(metrics, metric, labels, true);
}

void metrics_add(struct metrics *metrics, enum metric metric, const char *const *labels,
                 uint64_t amount)
{
    struct metrics_series *series = find(metrics, metric, labels, METRICS_COUNTER);
    if (series != NULL) {
        atomic_fetch_add_explicit(&series->cells[0], amount, memory_order_relaxed);
    }
}

void metrics_observe(struct metrics *metrics, enum metric metric, const char *const *labels,
                     uint64_t nanoseconds)
{
    struct metrics_series *series = find(metrics, metric, labels, METRICS_HISTOGRAM);
    if (series == NULL) {
        return;
    }
    const struct metrics_buckets *buckets = metrics_families[metric].buckets;
    size_t i = 0;
    while (i < buckets->count && nanoseconds > buckets->bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&series->cells[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->cells[buckets->count + 1], nanoseconds,
                              memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric metric, const char *const *labels,
                 int64_t value)
{
    struct metrics_series *series = find(metrics, metric, labels, METRICS_GAUGE);
    if (series != NULL) {
        atomic_store_explicit(&series->cells[0], (uint64_t)value, memory_order_relaxed);
    }
}

void metrics_withdraw(struct metrics *metrics, enum metric metric, const char *const *labels)
{
    if (metrics == NULL || metric >= METRIC_COUNT ||
        metrics_families[metric].kind != METRICS_GAUGE) {
        return;
    }
    struct metrics_series *series = metrics_find_series(metrics, metric, labels, false);
    if (series != NULL) {
        atomic_store_explicit(&series->cells[0], METRICS_WITHDRAWN, memory_order_relaxed);
    }
}

struct segment_process metrics_cell_process(size_t slot, uint64_t cell)
{
    return (struct segment_process){.slot = (uint32_t)slot, .generation = (uint32_t)(cell >> 32)};
}

int32_t metrics_cell_value(uint64_t cell)
{
    return (int32_t)(uint32_t)cell;
}

void metrics_present(struct metrics *metrics, enum metric metric, const char *const *labels,
                     int64_t change)
{
    struct metrics_series *series = find(metrics, metric, labels, METRICS_PRESENCE);
    if (series == NULL) {
        return;
    }
    struct segment_process self = segment_self(metrics->segment);
    if (self.slot >= SEGMENT_PROCESS_MAXIMUM) {
        return; /* without a slot nobody could tell that we died */
    }
    _Atomic uint64_t *cell = &series->cells[self.slot];
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);
    uint64_t new;
    do {
        /* What an earlier owner of the slot left is not ours. */
        int64_t value = (uint32_t)(old >> 32) == self.generation ? metrics_cell_value(old) : 0;
        new = (uint64_t)self.generation << 32 | (uint32_t)(value + change);
    } while (!atomic_compare_exchange_weak_explicit(cell, &old, new, memory_order_relaxed,
                                                    memory_order_relaxed));
}

int64_t metrics_read(struct metrics *metrics, enum metric metric, const char *const *labels)
{
    if (metrics == NULL || metric >= METRIC_COUNT || metrics_families[metric].maximum_series == 0) {
        return 0;
    }
    struct metrics_series *series = metrics_find_series(metrics, metric, labels, false);
    if (series == NULL) {
        return 0;
    }
    const struct metrics_family *family = &metrics_families[metric];
    size_t cells = 1;
    if (family->kind == METRICS_PRESENCE) {
        cells = SEGMENT_PROCESS_MAXIMUM;
    } else if (family->kind == METRICS_HISTOGRAM) {
        cells = family->buckets->count + 1;
    }
    int64_t sum = 0;
    for (size_t i = 0; i < cells; i++) {
        uint64_t cell = atomic_load_explicit(&series->cells[i], memory_order_relaxed);
        if (family->kind == METRICS_GAUGE && cell == METRICS_WITHDRAWN) {
            return 0;
        }
        if (family->kind != METRICS_PRESENCE) {
            sum += (int64_t)cell;
        } else if (cell != 0 &&
                   segment_process_alive(metrics->segment, metrics_cell_process(i, cell))) {
            sum += metrics_cell_value(cell);
        }
    }
    return sum;
}
