/*
 * Marks: what many add and one takes, without loss while there is room, and without inventions.
 */
#include "segment_help.h"

#include <pthread.h>

#include "segment/marks.h"

#define MANY    2000
#define PLACES  8192
#define THREADS 4
#define AT_ONCE 64

static struct segment *open_marks(void)
{
    struct segment *segment = help_open("marks", &marks_segment_region, 1);
    assert_non_null(segment);
    return segment;
}

/* Takes everything; seen[n] counts how often n came. */
static size_t take_all(struct segment *segment, unsigned *seen, size_t size)
{
    uint64_t numbers[AT_ONCE];
    size_t total = 0;
    size_t count;
    while ((count = marks_take(segment, numbers, AT_ONCE)) > 0) {
        assert_true(count <= AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            assert_true(numbers[i] > 0 && numbers[i] < size);
            seen[numbers[i]]++;
        }
        total += count;
    }
    return total;
}

static void a_number_is_taken_once_however_often_it_was_added(void **state)
{
    (void)state;
    static unsigned seen[MANY + 1];
    struct segment *segment = open_marks();
    memset(seen, 0, sizeof seen);
    assert_int_equal(take_all(segment, seen, MANY + 1), 0);
    for (int round = 0; round < 3; round++) {
        for (uint64_t n = 1; n <= MANY; n++) {
            marks_add(segment, n);
        }
    }
    marks_add(segment, 0);
    assert_int_equal(take_all(segment, seen, MANY + 1), MANY);
    for (size_t n = 1; n <= MANY; n++) {
        assert_int_equal(seen[n], 1);
    }
    marks_add(segment, 7);
    assert_int_equal(take_all(segment, seen, MANY + 1), 1);
    assert_int_equal(seen[7], 2);
    segment_close(segment);
}

static void programs_share_the_marks(void **state)
{
    (void)state;
    static unsigned seen[10];
    struct segment *one = open_marks();
    struct segment *other = open_marks();
    memset(seen, 0, sizeof seen);
    marks_add(one, 3);
    marks_add(other, 3);
    marks_add(other, 4);
    assert_int_equal(take_all(one, seen, 10), 2);
    assert_int_equal(take_all(other, seen, 10), 0);
    segment_close(other);
    segment_close(one);
}

static void a_full_table_loses_marks_and_nothing_else(void **state)
{
    (void)state;
    static unsigned seen[3 * PLACES + 1];
    struct segment *segment = open_marks();
    memset(seen, 0, sizeof seen);
    for (uint64_t n = 1; n <= 3 * PLACES; n++) {
        marks_add(segment, n);
    }
    size_t taken = take_all(segment, seen, 3 * PLACES + 1);
    assert_true(taken > PLACES / 2 && taken <= PLACES);
    for (size_t n = 1; n <= 3 * PLACES; n++) {
        assert_true(seen[n] <= 1);
    }
    marks_add(segment, 1);
    assert_int_equal(take_all(segment, seen, 3 * PLACES + 1), 1);
    segment_close(segment);
}

static void half_a_table_of_any_numbers_is_kept(void **state)
{
    (void)state;
    static uint64_t numbers[PLACES / 2];
    struct segment *segment = open_marks();
    random_bytes(numbers, sizeof numbers);
    for (size_t i = 0; i < PLACES / 2; i++) {
        marks_add(segment, numbers[i]);
    }
    size_t taken = marks_take(segment, numbers, PLACES / 2);
    /* Of those whose places are taken by others one in a thousand would be a bad table. */
    assert_in_range(taken, PLACES / 2 - 4, PLACES / 2);
    segment_close(segment);
}

static void no_place_is_forgotten(void **state)
{
    (void)state;
    uint64_t number;
    struct segment *segment = open_marks();
    uint64_t *places = segment_find(segment, marks_segment_region.name);
    for (size_t i = 0; i < PLACES; i++) {
        places[i] = i + 1;
    }
    for (size_t i = 0; i < PLACES; i++) {
        assert_int_equal(marks_take(segment, &number, 1), 1);
        assert_int_equal(number, i + 1);
    }
    assert_int_equal(marks_take(segment, &number, 1), 0);
    segment_close(segment);
}

static void *add_all(void *context)
{
    struct segment *segment = context;
    for (uint64_t n = 1; n <= MANY; n++) {
        marks_add(segment, n);
    }
    return NULL;
}

static void nothing_is_lost_between_adders_and_the_taker(void **state)
{
    (void)state;
    static unsigned seen[MANY + 1];
    struct segment *segment = open_marks();
    pthread_t threads[THREADS];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_all, segment), 0);
    }
    take_all(segment, seen, MANY + 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    take_all(segment, seen, MANY + 1);
    for (size_t n = 1; n <= MANY; n++) {
        assert_in_range(seen[n], 1, THREADS);
    }
    segment_close(segment);
}

int main(void)
{
#define MARKS_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)
    const struct CMUnitTest tests[] = {
        MARKS_TEST(a_number_is_taken_once_however_often_it_was_added),
        MARKS_TEST(programs_share_the_marks),
        MARKS_TEST(a_full_table_loses_marks_and_nothing_else),
        MARKS_TEST(half_a_table_of_any_numbers_is_kept),
        MARKS_TEST(no_place_is_forgotten),
        MARKS_TEST(nothing_is_lost_between_adders_and_the_taker),
    };
    alarm(HELP_SECONDS_PER_BINARY);
    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
