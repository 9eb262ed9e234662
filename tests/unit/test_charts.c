/*
 * stores/charts: what a database of charts does when it is full.
 */
#include "database_help.h"

#include "stores/charts.h"
#include "stores/series.h"

#define NOW   1700000000000
#define OWNER "user:a"

/* Points 0..count-1 into series `id` of chart `chart`. */
static enum status write_line(struct storage *storage, const char *chart, const char *id, int count)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 20);
    buffer_append_char(&text, '[');
    for (int i = 0; i < count; i++) {
        buffer_append_format(&text, "%s{\"time\":%d,\"value\":1}", i > 0 ? "," : "", i);
    }
    buffer_append_char(&text, ']');
    struct points points;
    struct points_problem problem;
    assert_int_equal(points_scan(&points, slice_of(buffer_text(&text)), POINT_VALUE, &problem),
                     STATUS_OK);
    struct series_change change = {.mode = SERIES_REPLACE,
                                   .key = {.owner = OWNER, .chart = chart, .id = id},
                                   .type = "line",
                                   .options = slice_of("{}"),
                                   .points = &points,
                                   .now = NOW};
    enum status status = series_write(storage, &change);
    points_release(&points);
    buffer_release(&text);
    return status;
}

static int64_t count_points(struct storage *storage, const char *chart, const char *id)
{
    struct arena arena;
    struct series_range range;
    const struct series_key key = {.owner = OWNER, .chart = chart, .id = id};
    const struct series_window everything = {
        .from = SERIES_FROM_START, .before = SERIES_TO_END, .limit = INT32_MAX};
    arena_init(&arena, (size_t)1 << 20);
    enum status status = series_read(storage, &arena, &key, &everything, &range);
    int64_t count = status == STATUS_OK ? range.end_index : -1;
    arena_destroy(&arena);
    return count;
}

static void a_full_database_keeps_what_it_has_and_can_be_emptied(void **state)
{
    const struct storage_options options = {.url = ((struct database *)*state)->url,
                                            .size_maximum = (uint64_t)1 << 20};
    struct storage *storage = NULL;
    assert_int_equal(storage_open(&storage, &options), STATUS_OK);
    for (int round = 0; round < 3; round++) {
        char id[16] = "s0";
        int written = 0;
        enum status status;
        while ((status = write_line(storage, "c", id, 1000)) == STATUS_OK) {
            snprintf(id, sizeof(id), "s%d", ++written);
            assert_true(written < 100);
        }
        assert_int_equal(status, STATUS_UNAVAILABLE);
        assert_true(written > 10);
        assert_int_equal(count_points(storage, "c", id), -1);
        assert_int_equal(write_line(storage, "c", "s0", 2000), STATUS_UNAVAILABLE);
        assert_int_equal(count_points(storage, "c", "s0"), 1000);
        assert_int_equal(chart_delete(storage, OWNER, "c"), STATUS_OK);
    }
    storage_close(storage);
}

int main(void)
{
#define WITH_DATABASE(test)                                                                        \
    cmocka_unit_test_setup_teardown(test, database_set_up, database_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(a_full_database_keeps_what_it_has_and_can_be_emptied),
    };
    return cmocka_run_group_tests_name("charts", tests, NULL, NULL);
}
