/*
 * The regions that the tests of the segment itself share.
 */
#ifndef TESTS_SEGMENT_REGIONS_H
#define TESTS_SEGMENT_REGIONS_H

#include "segment_help.h"

struct test_region {
    struct segment_lock lock;
    _Atomic uint64_t counter;
    uint64_t first; /* equal to second whenever nobody holds the lock */
    uint64_t second;
    _Atomic uint64_t repairs;
    uint64_t reserved[3];
};

static const struct segment_region regions[] = {
    {.name = "alpha", .size = sizeof(struct test_region), .schema = 7},
    {.name = "beta", .size = 8192, .schema = 1},
};
#define REGION_COUNT 2

static inline struct test_region *alpha(struct segment *segment)
{
    return segment_find(segment, "alpha");
}

#define SEGMENT_TEST(name)                                                                         \
    cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)

#endif
