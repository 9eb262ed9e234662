/*
 * metrics/snapshot: reads all series once, without stopping anybody who writes.
 *
 * Each cell is read once; a histogram's count is the sum of the buckets that were read, so the
 * exposition is consistent in itself whatever happens meanwhile.
 */
#include "metrics/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define ARENA_MAXIMUM  (4UL * 1024 * 1024)
#define FIRST_CAPACITY 256

/* Grows `*array` of elements of `size` so that it holds `needed`; false when memory is spent. */
static bool grow(void **array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity) {
        return true;
    }
    size_t larger = *capacity == 0 ? FIRST_CAPACITY : *capacity;
    while (larger < needed) {
        larger *= 2;
    }
    void *grown = memory_resize(*array, larger * size);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

void metrics_snapshot_init(struct metrics_snapshot *snapshot)
{
    *snapshot = (struct metrics_snapshot){0};
    arena_init(&snapshot->arena, ARENA_MAXIMUM);
}

void metrics_snapshot_release(struct metrics_snapshot *snapshot)
{
    memory_release(snapshot->rows);
    memory_release(snapshot->cells);
    arena_destroy(&snapshot->arena);
    *snapshot = (struct metrics_snapshot){0};
}

uint64_t *metrics_snapshot_add(struct metrics_snapshot *snapshot, size_t family, const char *labels,
                               size_t label_bytes, size_t cell_count)
{
    void *rows = snapshot->rows;
    void *cells = snapshot->cells;
    bool grown = snapshot->status == STATUS_OK &&
                 grow(&rows, &snapshot->capacity, snapshot->count + 1, sizeof *snapshot->rows);
    snapshot->rows = rows;
    grown = grown && grow(&cells, &snapshot->cell_capacity, snapshot->cell_count + cell_count,
                          sizeof *snapshot->cells);
    snapshot->cells = cells;
    if (!grown) {
        snapshot->status = STATUS_NO_MEMORY;
        return NULL;
    }
    snapshot->rows[snapshot->count++] = (struct metrics_row){
        .family = (uint16_t)family,
        .labels = labels,
        .label_bytes = label_bytes,
        .first_cell = snapshot->cell_count,
        .cell_count = cell_count,
    };
    uint64_t *added = &snapshot->cells[snapshot->cell_count];
    memset(added, 0, cell_count * sizeof *added);
    snapshot->cell_count += cell_count;
    return added;
}

static int compare_rows(const void *left, const void *right)
{
    const struct metrics_row *a = left;
    const struct metrics_row *b = right;
    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    size_t shorter = a->label_bytes < b->label_bytes ? a->label_bytes : b->label_bytes;
    int order = shorter > 0 ? memcmp(a->labels, b->labels, shorter) : 0;
    if (order != 0) {
        return order;
    }
    return a->label_bytes < b->label_bytes ? -1 : a->label_bytes > b->label_bytes;
}

void metrics_snapshot_sort(struct metrics_snapshot *snapshot)
{
    if (snapshot->count == 0) {
        return;
    }
    qsort(snapshot->rows, snapshot->count, sizeof *snapshot->rows, compare_rows);
    size_t last = 0;
    for (size_t i = 1; i < snapshot->count; i++) {
        struct metrics_row *row = &snapshot->rows[i];
        struct metrics_row *kept = &snapshot->rows[last];
        if (compare_rows(row, kept) != 0) {
            snapshot->rows[++last] = *row;
            continue;
        }
        for (size_t cell = 0; cell < kept->cell_count; cell++) {
            snapshot->cells[kept->first_cell + cell] += snapshot->cells[row->first_cell + cell];
        }
    }
    snapshot->count = last + 1;
}

/* Generation of the live process in each slot; 0 = nobody. */
static void list_generations(const struct segment_process_info *processes, size_t count,
                             uint32_t generations[SEGMENT_PROCESS_MAXIMUM])
{
    memset(generations, 0, SEGMENT_PROCESS_MAXIMUM * sizeof *generations);
    for (size_t i = 0; i < count; i++) {
        generations[processes[i].process.slot] = processes[i].process.generation;
    }
}

static uint64_t sum_presence(struct metrics_series *series,
                             const uint32_t generations[SEGMENT_PROCESS_MAXIMUM])
{
    int64_t sum = 0;
    for (size_t slot = 0; slot < SEGMENT_PROCESS_MAXIMUM; slot++) {
        uint64_t cell = atomic_load_explicit(&series->cells[slot], memory_order_relaxed);
        uint32_t generation = metrics_cell_process(slot, cell).generation;
        if (generation != 0 && generation == generations[slot]) {
            sum += metrics_cell_value(cell);
        }
    }
    return (uint64_t)sum;
}

static void add_series(struct metrics_snapshot *snapshot, struct metrics_series *series,
                       const uint32_t generations[SEGMENT_PROCESS_MAXIMUM])
{
    enum metrics_kind kind = metrics_families[series->family].kind;
    uint64_t first = atomic_load_explicit(&series->cells[0], memory_order_relaxed);
    bool is_presence = kind == METRICS_PRESENCE;
    size_t count = is_presence ? 1 : series->cell_count;
    if (kind == METRICS_GAUGE && first == METRICS_WITHDRAWN) {
        return;
    }
    uint64_t *cells = metrics_snapshot_add(snapshot, series->family, metrics_series_labels(series),
                                           series->label_bytes, count);
    if (cells == NULL) {
        return;
    }
    if (is_presence) {
        cells[0] = sum_presence(series, generations);
        return;
    }
    cells[0] = first;
    for (size_t i = 1; i < count; i++) {
        cells[i] = atomic_load_explicit(&series->cells[i], memory_order_relaxed);
    }
}

enum status metrics_snapshot_take(struct metrics_snapshot *snapshot, struct metrics *metrics)
{
    metrics_snapshot_init(snapshot);
    struct segment_process_info *processes = arena_allocate(
        &snapshot->arena, SEGMENT_PROCESS_MAXIMUM * sizeof(struct segment_process_info));
    if (processes == NULL) {
        snapshot->status = STATUS_NO_MEMORY;
        return snapshot->status;
    }
    size_t count = segment_list_processes(metrics->segment, processes, SEGMENT_PROCESS_MAXIMUM);
    uint32_t generations[SEGMENT_PROCESS_MAXIMUM];
    list_generations(processes, count, generations);
    metrics_add_processes(snapshot, metrics, processes, count);
    for (size_t i = 0; i < METRICS_INDEX_SIZE; i++) {
        uint64_t word = atomic_load_explicit(&metrics->region->index[i], memory_order_acquire);
        struct metrics_series *series = metrics_series_of_word(metrics->region, word);
        if (series != NULL) {
            add_series(snapshot, series, generations);
        }
    }
    metrics_snapshot_sort(snapshot);
    return snapshot->status;
}

size_t metrics_snapshot_find(const struct metrics_snapshot *snapshot, size_t family, size_t *first)
{
    size_t i = 0;
    while (i < snapshot->count && snapshot->rows[i].family < family) {
        i++;
    }
    *first = i;
    while (i < snapshot->count && snapshot->rows[i].family == family) {
        i++;
    }
    return i;
}
