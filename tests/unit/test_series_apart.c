/*
 * Owners, charts, panes and series are apart: sixteen series whose names differ in one part each, and
 * whatever is done to one of them is seen in that one only.
 */
#include "database_help.h"

#include <stdbool.h>

#include "stores/charts.h"
#include "stores/series.h"

#define NOW   1700000000000
#define LATER 1700000900000
#define COUNT 16

struct fixture {
    struct database *database;
    struct storage *storage;
    struct arena arena;
};

/* Bits of the number: owner, chart, pane, series. Numbers and names are such that one in the place
 * of another is no mistake that cancels out. */
static struct series_key key_of(int i)
{
    return (struct series_key){.owner = (i & 8) != 0 ? "user:b" : "user:a",
                               .chart = (i & 4) != 0 ? "d" : "c",
                               .pane = (i & 2) != 0 ? 7 : 0,
                               .id = (i & 1) != 0 ? "t" : "s"};
}

static enum status write_points(struct storage *storage, int i, enum series_mode mode, int from,
                                int count, int64_t now)
{
    char text[512] = "[";
    for (int point = from; point < from + count; point++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s{\"time\":%d,\"value\":%d}",
                 point > from ? "," : "", point, i);
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "]");
    struct points points;
    struct points_problem problem;
    assert_int_equal(points_scan(&points, slice_of(text), POINT_VALUE, &problem), STATUS_OK);
    struct series_change change = {.mode = mode,
                                   .key = key_of(i),
                                   .type = "line",
                                   .options = slice_of("{}"),
                                   .points = &points,
                                   .now = now};
    enum status status = series_write(storage, &change);
    points_release(&points);
    return status;
}

/* That series `i` has these points, read from either end; 0: that it is not there. */
static void assert_points(struct fixture *fixture, int i, int from, int count)
{
    struct series_key key = key_of(i);
    char first[64];
    snprintf(first, sizeof first, "{\"time\":%d,\"value\":%d}", from, i);
    for (int direction = 0; direction < 2; direction++) {
        struct series_window window = {.from = SERIES_FROM_START,
                                       .before = SERIES_TO_END,
                                       .limit = 100,
                                       .oldest_first = direction == 1};
        struct series_range range;
        enum status status = series_read(fixture->storage, &fixture->arena, &key, &window, &range);
        assert_int_equal(status, count == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        if (count > 0) {
            assert_int_equal(range.series.point_count, count);
            assert_int_equal(range.end_index - range.start_index, count);
            assert_memory_equal(range.pieces[0].data, first, strlen(first));
        }
    }
}

static void assert_updated(struct fixture *fixture, int i, int64_t when)
{
    struct series_key key = key_of(i);
    struct chart chart;
    assert_int_equal(chart_find(fixture->storage, &fixture->arena, key.owner, key.chart, &chart),
                     STATUS_OK);
    assert_int_equal(chart.updated_at, when);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    void *database;
    assert_int_equal(database_set_up(&database), 0);
    fixture->database = database;
    fixture->storage = fixture->database->storage;
    arena_init(&fixture->arena, (size_t)16 << 20);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(write_points(fixture->storage, i, SERIES_REPLACE, 10 * i, 3, NOW),
                         STATUS_OK);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture == NULL) {
        return 0; /* the setup failed */
    }
    void *database = fixture->database;
    arena_destroy(&fixture->arena);
    free(fixture);
    return database_tear_down(&database);
}

static void each_is_read_by_its_whole_name(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < COUNT; i++) {
        struct series series;
        struct series_key key = key_of(i);
        assert_points(fixture, i, 10 * i, 3);
        assert_int_equal(series_find(fixture->storage, &fixture->arena, &key, &series), STATUS_OK);
        assert_int_equal(series.pane, key.pane);
        assert_string_equal(series.id, key.id);
        assert_int_equal(series.point_count, 3);
    }
}

static void a_list_has_the_series_of_one_chart(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < COUNT; i += 4) {
        struct series_key key = key_of(i);
        struct series *list;
        size_t count;
        assert_int_equal(
            series_list(fixture->storage, &fixture->arena, key.owner, key.chart, &list, &count),
            STATUS_OK);
        assert_int_equal(count, 4);
        for (int j = 0; j < 4; j++) {
            struct series_key expected = key_of(i + j);
            struct series found;
            assert_int_equal(list[j].pane, expected.pane);
            assert_string_equal(list[j].id, expected.id);
            assert_int_equal(series_find(fixture->storage, &fixture->arena, &expected, &found),
                             STATUS_OK);
            assert_int_equal(list[j].number, found.number);
        }
    }
    struct series *list;
    size_t count;
    assert_int_equal(series_list(fixture->storage, &fixture->arena, "user:z", "c", &list, &count),
                     STATUS_OK);
    assert_int_equal(count, 0);
}

static void a_write_changes_one_series_and_the_last_use_of_its_chart(void **state)
{
    static const enum series_mode modes[] = {SERIES_APPEND, SERIES_UPSERT, SERIES_REPLACE};
    struct fixture *fixture = *state;
    int sizes[COUNT];
    int starts[COUNT];
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = 3;
        starts[i] = 10 * i;
    }
    for (int i = 0; i < COUNT; i++) {
        enum series_mode mode = modes[i % 3];
        int64_t now = LATER + i;
        assert_int_equal(write_points(fixture->storage, i, mode, 1000, 2, now), STATUS_OK);
        sizes[i] = mode == SERIES_REPLACE ? 2 : 5;
        starts[i] = mode == SERIES_REPLACE ? 1000 : starts[i];
        for (int j = 0; j < COUNT; j++) {
            assert_points(fixture, j, starts[j], sizes[j]);
            if (j / 4 >= i / 4) {
                assert_updated(fixture, j, j / 4 == i / 4 ? now : NOW);
            }
        }
    }
}

static void a_deletion_removes_one_series(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < COUNT; i++) {
        struct series_key key = key_of(i);
        assert_int_equal(series_delete(fixture->storage, &key, LATER), STATUS_OK);
        assert_int_equal(series_delete(fixture->storage, &key, LATER), STATUS_NOT_FOUND);
        for (int j = 0; j < COUNT; j++) {
            assert_points(fixture, j, 10 * j, j <= i ? 0 : 3);
        }
        assert_updated(fixture, i, LATER);
    }
}

static void a_chart_is_changed_and_deleted_for_its_owner(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < COUNT; i += 4) {
        struct series_key key = key_of(i);
        struct chart chart;
        bool is_done;
        char options[32];
        snprintf(options, sizeof options, "{\"x\":%d}", i);
        assert_int_equal(
            chart_set_options(fixture->storage, key.owner, key.chart, slice_of(options), LATER),
            STATUS_OK);
        for (int j = i; j < COUNT; j += 4) {
            struct series_key other = key_of(j);
            assert_int_equal(
                chart_find(fixture->storage, &fixture->arena, other.owner, other.chart, &chart),
                STATUS_OK);
            assert_int_equal(chart.series_count, 4);
            assert_int_equal(chart.created_at, NOW);
            assert_int_equal(chart.updated_at, j == i ? LATER : NOW);
            assert_true(slice_equals(chart.options, j == i ? options : "{}"));
        }
        assert_int_equal(chart_delete(fixture->storage, key.owner, key.chart), STATUS_OK);
        assert_int_equal(series_remove_loose(fixture->storage, NOW, 0, &is_done), STATUS_OK);
        for (int j = 0; j < COUNT; j++) {
            assert_points(fixture, j, 10 * j, j < i + 4 ? 0 : 3);
        }
    }
}

/* --- Quotas ------------------------------------------------------------------------------- */

static enum status write_within(struct storage *storage, int i, struct chart_quota quota, int count)
{
    char text[4096] = "[";
    for (int point = 0; point < count; point++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s{\"time\":%d}",
                 point > 0 ? "," : "", point);
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "]");
    struct points points;
    struct points_problem problem;
    assert_int_equal(points_scan(&points, slice_of(text), POINT_VALUE, &problem), STATUS_OK);
    struct series_key key = key_of(i);
    key.owner = "user:q";
    struct series_change change = {.mode = SERIES_REPLACE,
                                   .key = key,
                                   .type = "line",
                                   .options = slice_of("{}"),
                                   .points = &points,
                                   .now = NOW,
                                   .quota = quota};
    enum status status = series_write(storage, &change);
    points_release(&points);
    return status;
}

static void a_quota_bounds_what_one_owner_has(void **state)
{
    struct fixture *fixture = *state;
    struct storage *storage = fixture->storage;
    struct chart chart;
    const struct chart_quota none = {0};
    const struct chart_quota charts = {.charts = 1};
    const struct chart_quota series = {.series = 2};
    const struct chart_quota points = {.points = 10};
    /* What others have does not count. */
    assert_int_equal(write_within(storage, 0, charts, 2), STATUS_OK);
    assert_int_equal(write_within(storage, 4, charts, 2), STATUS_DENIED);
    assert_int_equal(
        chart_create(storage, &fixture->arena, "user:q", "e", slice_of("{}"), 1, NOW, &chart),
        STATUS_DENIED);
    assert_int_equal(chart_find(storage, &fixture->arena, "user:q", "e", &chart), STATUS_NOT_FOUND);
    assert_int_equal(
        chart_create(storage, &fixture->arena, "user:q", "c", slice_of("{}"), 1, NOW, &chart),
        STATUS_OK);
    assert_int_equal(write_within(storage, 1, series, 2), STATUS_OK);
    assert_int_equal(write_within(storage, 2, series, 2), STATUS_DENIED);
    assert_int_equal(write_within(storage, 0, points, 9), STATUS_DENIED);
    assert_int_equal(write_within(storage, 0, points, 8), STATUS_OK);
    /* Who has too much already may still shrink and correct, but not grow. */
    assert_int_equal(write_within(storage, 0, none, 50), STATUS_OK);
    assert_int_equal(write_within(storage, 0, points, 51), STATUS_DENIED);
    assert_int_equal(write_within(storage, 0, points, 50), STATUS_OK);
    assert_int_equal(write_within(storage, 0, points, 40), STATUS_OK);
    /* What is deleted is given back. */
    assert_int_equal(chart_delete(storage, "user:q", "c"), STATUS_OK);
    assert_int_equal(write_within(storage, 4, charts, 2), STATUS_OK);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_is_read_by_its_whole_name),
        TEST(a_list_has_the_series_of_one_chart),
        TEST(a_write_changes_one_series_and_the_last_use_of_its_chart),
        TEST(a_deletion_removes_one_series),
        TEST(a_chart_is_changed_and_deleted_for_its_owner),
        TEST(a_quota_bounds_what_one_owner_has),
    };
    return cmocka_run_group_tests_name("series_apart", tests, NULL, NULL);
}
