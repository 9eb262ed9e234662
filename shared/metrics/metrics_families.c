/*
 * metrics/families: families.def as a table, its buckets, and the schema of the region.
 */
#include <string.h>

#include "metrics/table.h"

#define MILLISECONDS UINT64_C(1000000)
#define SECONDS      UINT64_C(1000000000)

static const struct metrics_buckets buckets_NONE = {0, {0}, {"+Inf"}};

static const struct metrics_buckets buckets_REQUEST = {
    10,
    {5 * MILLISECONDS, 10 * MILLISECONDS, 50 * MILLISECONDS, 100 * MILLISECONDS, 250 * MILLISECONDS,
     500 * MILLISECONDS, 1 * SECONDS, 2500 * MILLISECONDS, 5 * SECONDS, 10 * SECONDS},
    {"0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"},
};

static const struct metrics_buckets buckets_PROVIDER = {
    11,
    {50 * MILLISECONDS, 100 * MILLISECONDS, 250 * MILLISECONDS, 500 * MILLISECONDS, 1 * SECONDS,
     2500 * MILLISECONDS, 5 * SECONDS, 10 * SECONDS, 30 * SECONDS, 60 * SECONDS, 120 * SECONDS},
    {"0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "120.0", "+Inf"},
};

static const struct metrics_buckets buckets_QUERY = {
    10,
    {100000, 500000, 1 * MILLISECONDS, 5 * MILLISECONDS, 10 * MILLISECONDS, 50 * MILLISECONDS,
     100 * MILLISECONDS, 500 * MILLISECONDS, 1 * SECONDS, 5 * SECONDS},
    {"0.0001", "0.0005", "0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "+Inf"},
};

static const struct metrics_buckets buckets_LOOP = {
    9,
    {1 * MILLISECONDS, 5 * MILLISECONDS, 10 * MILLISECONDS, 25 * MILLISECONDS, 50 * MILLISECONDS,
     100 * MILLISECONDS, 200 * MILLISECONDS, 1 * SECONDS, 5 * SECONDS},
    {"0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.2", "1.0", "5.0", "+Inf"},
};

const struct metrics_family metrics_families[METRIC_COUNT] = {
#define FAMILY(id, name, kind, maximum_series, labels, unit, buckets, help)                        \
    {name, METRICS_##kind, maximum_series, labels, unit, &buckets_##buckets, help},
#include "metrics/families.def"
#undef FAMILY
};

/*
 * The schema has to be a constant, so the texts are hashed by the preprocessor: each character
 * times an odd number that depends on its place. Bucket sets count by their names; whoever
 * changes the bounds of one changes SCHEMA_OF_BOUNDS.
 */
#define SCHEMA_OF_BOUNDS 1
#define SCHEMA_PRIME     UINT64_C(0x9E3779B97F4A7C15)
#define AT(text, i)                                                                                \
    ((i) < sizeof(text) ? (uint64_t)(unsigned char)(text)[(i) < sizeof(text) ? (i) : 0] *          \
                              (SCHEMA_PRIME * (2 * (i) + 1))                                       \
                        : 0)
#define AT_8(text, i)                                                                              \
    (AT(text, i) + AT(text, (i) + 1) + AT(text, (i) + 2) + AT(text, (i) + 3) + AT(text, (i) + 4) + \
     AT(text, (i) + 5) + AT(text, (i) + 6) + AT(text, (i) + 7))
#define TEXT_SCHEMA(text)                                                                          \
    (AT_8(text, 0) + AT_8(text, 8) + AT_8(text, 16) + AT_8(text, 24) + AT_8(text, 32) +            \
     sizeof(text))

/* NOLINTBEGIN(bugprone-macro-parentheses): terms of a sum */
enum {
    TOTAL_SERIES_MAXIMUM = 0
#define FAMILY(id, name, kind, maximum_series, labels, unit, buckets, help) +(maximum_series) + 1
#include "metrics/families.def"
#undef FAMILY
};

/* So the index never fills: a probe always ends, and overflow series always find a place. */
_Static_assert(TOTAL_SERIES_MAXIMUM <= METRICS_INDEX_SIZE * 3 / 4, "too many series for the index");
_Static_assert(METRIC_COUNT <= 64, "too many families for struct metrics_region");
_Static_assert(METRIC_COUNT * 11 <= METRICS_RESERVED_UNITS, "too few units kept for overflow");
_Static_assert(sizeof(struct metrics_region) <= 4UL * 1024 * 1024, "the region has outgrown 4 MiB");

const struct segment_region metrics_segment_region = {
    .name = "metrics",
    .size = sizeof(struct metrics_region),
    .schema = SCHEMA_OF_BOUNDS
#define FAMILY(id, name, kind, maximum_series, labels, unit, buckets, help)                        \
    +(2 * METRIC_##id + 1) *                                                                       \
        (TEXT_SCHEMA(name) + 3 * TEXT_SCHEMA(labels) + 5 * TEXT_SCHEMA(#buckets) +                 \
         UINT64_C(1000003) * METRICS_##kind + UINT64_C(65599) * (maximum_series))
#include "metrics/families.def"
#undef FAMILY
    ,
};
/* NOLINTEND(bugprone-macro-parentheses) */

size_t metrics_count_labels(const struct metrics_family *family)
{
    size_t count = family->labels[0] != '\0';
    for (const char *text = family->labels; *text != '\0'; text++) {
        count += *text == ',';
    }
    return count;
}

size_t metrics_count_cells(const struct metrics_family *family)
{
    switch (family->kind) {
    case METRICS_PRESENCE:
        return SEGMENT_PROCESS_MAXIMUM;
    case METRICS_HISTOGRAM:
        return family->buckets->count + 2;
    default:
        return 1;
    }
}
