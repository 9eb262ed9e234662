/*
 * segment/marks: see the header.
 *
 * Region: a table of places, 0 = free. A number goes to the first free one of a run of places that
 * begins where its hash says. Numbers that were taken leave holes, so one may stand twice.
 */
#include "segment/marks.h"

#define PLACE_COUNT 8192 /* a power of two */
#define RUN_LENGTH  32

struct marks_region {
    _Atomic uint64_t places[PLACE_COUNT];
};

const struct segment_region marks_segment_region = {
    .name = "marks",
    .size = sizeof(struct marks_region),
    .schema = 1,
};

static struct marks_region *find_region(struct segment *segment)
{
    return segment_find(segment, marks_segment_region.name);
}

/* Numbers count up from 1, so a multiplication spreads them (Fibonacci hashing). */
static size_t first_place(uint64_t number)
{
    return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

void marks_add(struct segment *segment, uint64_t number)
{
    struct marks_region *region = find_region(segment);
    size_t first = first_place(number);
    for (size_t i = 0; number != 0 && i < RUN_LENGTH; i++) {
        _Atomic uint64_t *place = &region->places[(first + i) % PLACE_COUNT];
        uint64_t found = atomic_load_explicit(place, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong_explicit(
                              place, &found, number, memory_order_relaxed, memory_order_relaxed)) {
            return;
        }
        if (found == number) { /* from before, or somebody was faster just now */
            return;
        }
    }
}

size_t marks_take(struct segment *segment, uint64_t *out, size_t maximum)
{
    struct marks_region *region = find_region(segment);
    size_t count = 0;
    for (size_t i = 0; i < PLACE_COUNT && count < maximum; i++) {
        if (atomic_load_explicit(&region->places[i], memory_order_relaxed) == 0) {
            continue;
        }
        uint64_t number = atomic_exchange_explicit(&region->places[i], 0, memory_order_relaxed);
        if (number != 0) {
            out[count++] = number;
        }
    }
    return count;
}
