/*
 * metrics/process: the process_* families, from /proc, per program.
 *
 * Several processes of a program make one value: the largest memory and descriptor count (what
 * runs into a limit is one process), the newest start. Processor time is a counter and must not
 * fall when a process ends, so each scrape adds what each live process has used since the last
 * one to a series in the segment, and a process that closes its metrics adds its own rest. What a
 * killed process used since the last scrape is lost.
 */
#include <string.h>

#include "metrics/snapshot.h"
#include "segment/procfs.h"

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)
#define TICK_BITS              40
#define TICK_MASK              ((UINT64_C(1) << TICK_BITS) - 1)

/* Ticks that nobody has counted yet; the exchange gives each tick to one scrape. */
static uint64_t take_new_ticks(struct metrics *metrics, struct segment_process process,
                               uint64_t ticks)
{
    _Atomic uint64_t *cell = &metrics->region->process_cpu[process.slot];
    uint64_t generation = (uint64_t)process.generation << TICK_BITS;
    uint64_t old = atomic_load(cell);
    for (;;) {
        uint64_t counted = (old & ~TICK_MASK) == generation ? old & TICK_MASK : 0;
        if (ticks <= counted) {
            return 0;
        }
        if (atomic_compare_exchange_weak(cell, &old, generation | (ticks & TICK_MASK))) {
            return ticks - counted;
        }
    }
}

void metrics_count_processor_time(struct metrics *metrics, struct segment_process process,
                                  const char *program, uint64_t ticks)
{
    struct metrics_series *series =
        metrics_find_series(metrics, METRIC_PROCESS_CPU, METRIC_LABELS(program), true);
    if (series != NULL && process.slot < SEGMENT_PROCESS_MAXIMUM) {
        uint64_t tick = NANOSECONDS_PER_SECOND / procfs_ticks_per_second();
        uint64_t new_ticks = take_new_ticks(metrics, process, ticks);
        atomic_fetch_add_explicit(&series->cells[0], new_ticks * tick, memory_order_relaxed);
    }
}

/* The row of `program`, made if absent. */
static uint64_t *find_value(struct metrics_snapshot *snapshot, enum metric metric,
                            const char *program)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        struct metrics_row *row = &snapshot->rows[i];
        if (row->family == metric && strcmp(row->labels, program) == 0) {
            return &snapshot->cells[row->first_cell];
        }
    }
    return metrics_snapshot_add(snapshot, metric, program, strlen(program) + 1, 1);
}

static void keep_largest(struct metrics_snapshot *snapshot, enum metric metric, const char *program,
                         uint64_t value)
{
    uint64_t *cell = find_value(snapshot, metric, program);
    if (cell != NULL && value > *cell) {
        *cell = value;
    }
}

static void add_program_version(struct metrics_snapshot *snapshot)
{
#ifdef PACKAGE_VERSION
    static const char version[] = PACKAGE_VERSION;
#else
    static const char version[] = "unknown";
#endif
    uint64_t *cell = metrics_snapshot_add(snapshot, METRIC_BUILD, version, sizeof version, 1);
    if (cell != NULL) {
        *cell = 1;
    }
}

void metrics_add_processes(struct metrics_snapshot *snapshot, struct metrics *metrics,
                           const struct segment_process_info *processes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct segment_process_info *info = &processes[i];
        struct procfs_process process;
        if (procfs_read_process(info->pid, &process) != STATUS_OK) {
            continue;
        }
        metrics_count_processor_time(metrics, info->process, info->program, process.cpu_ticks);
        keep_largest(snapshot, METRIC_PROCESS_RESIDENT_MEMORY, info->program, process.memory_bytes);
        keep_largest(snapshot, METRIC_PROCESS_START_TIME, info->program,
                     (uint64_t)info->started_wall_milliseconds);
        int descriptors = procfs_count_descriptors(info->pid);
        if (descriptors >= 0) {
            keep_largest(snapshot, METRIC_PROCESS_OPEN_FDS, info->program, (uint64_t)descriptors);
        }
    }
    add_program_version(snapshot);
    uint64_t *created = metrics_snapshot_add(snapshot, METRIC_SEGMENT_CREATED, "", 0, 1);
    if (created != NULL) {
        *created = (uint64_t)segment_created_wall_milliseconds(metrics->segment);
    }
}
