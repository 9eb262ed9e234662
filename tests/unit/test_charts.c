/*
 * stores/charts: which charts expire, and what their database does when it is full.
 */
#include "database_help.h"

#include <pthread.h>

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
        bool is_done;
        assert_int_equal(chart_delete(storage, OWNER, "c"), STATUS_OK);
        assert_int_equal(series_remove_loose(storage, NOW, 0, &is_done), STATUS_OK);
        assert_true(is_done);
    }
    storage_close(storage);
}

/* --- Creation ------------------------------------------------------------------------------ */

#define TURNS 1000

static void *delete_again_and_again(void *context)
{
    for (int i = 0; i < TURNS; i++) {
        enum status status = chart_delete(context, OWNER, "c");
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            return context;
        }
    }
    return NULL;
}

static void a_chart_that_was_made_is_told_even_if_it_is_gone_at_once(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, delete_again_and_again, storage), 0);
    int told = 0; /* judged when the thread, which uses the storage, has ended */
    for (int i = 0; i < TURNS; i++) {
        struct arena arena;
        struct chart chart;
        arena_init(&arena, (size_t)1 << 16);
        told += chart_create(storage, &arena, OWNER, "c", slice_of("{\"a\":1}"), 0, i, &chart) ==
                    STATUS_OK &&
                slice_equals(chart.options, "{\"a\":1}");
        arena_destroy(&arena);
    }
    void *failed = NULL;
    pthread_join(thread, &failed);
    assert_int_equal(told, TURNS);
    assert_null(failed);
}

/* --- Expiry ------------------------------------------------------------------------------- */

static bool has_chart(struct storage *storage, const char *id, struct chart *out)
{
    struct arena arena;
    arena_init(&arena, (size_t)1 << 16);
    enum status status = chart_find(storage, &arena, OWNER, id, out);
    arena_destroy(&arena);
    return status == STATUS_OK;
}

static uint64_t make_chart(struct storage *storage, const char *id, int64_t now)
{
    struct arena arena;
    struct chart chart;
    arena_init(&arena, (size_t)1 << 16);
    assert_int_equal(chart_create(storage, &arena, OWNER, id, slice_of("{}"), 0, now, &chart),
                     STATUS_OK);
    arena_destroy(&arena);
    return (uint64_t)chart.number;
}

static int64_t sweep(struct storage *storage, int64_t before)
{
    int64_t removed = -1;
    assert_int_equal(chart_sweep(storage, before, &removed), STATUS_OK);
    return removed;
}

static void charts_expire_by_their_last_change_or_read(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct chart chart;
    uint64_t read = make_chart(storage, "read", 1000);
    make_chart(storage, "unused", 1000);
    make_chart(storage, "changed", 1000);
    assert_int_equal(chart_set_options(storage, OWNER, "changed", slice_of("{}"), 5000), STATUS_OK);
    const uint64_t reads[] = {999, read};
    assert_int_equal(chart_note_reads(storage, reads, 2, 6000, 5999), STATUS_OK);
    assert_int_equal(sweep(storage, 1000), 0);
    assert_int_equal(sweep(storage, 5000), 1);
    assert_false(has_chart(storage, "unused", &chart));
    assert_int_equal(sweep(storage, 5001), 1);
    assert_false(has_chart(storage, "changed", &chart));
    assert_true(has_chart(storage, "read", &chart));
    assert_int_equal(chart.updated_at, 1000);
    assert_int_equal(sweep(storage, 6001), 1);
}

static void a_read_is_not_written_down_again_and_again(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    const uint64_t numbers[] = {make_chart(storage, "c", 1000), 999};
    assert_int_equal(chart_note_reads(storage, numbers, 2, 2000, 1000), STATUS_OK);
    assert_int_equal(sweep(storage, 1001), 1); /* created at 1000, as fresh as asked for */
    const uint64_t again = make_chart(storage, "c", 1000);
    assert_int_equal(chart_note_reads(storage, &again, 1, 2000, 1001), STATUS_OK);
    assert_int_equal(chart_note_reads(storage, &again, 1, 3000, 2000), STATUS_OK);
    assert_int_equal(sweep(storage, 2001), 1);
}

struct meanwhile {
    struct storage *storage;
    enum status status;
    int64_t removed;
};

static enum status sweep_meanwhile(struct storage_connection *connection, void *context)
{
    struct meanwhile *meanwhile = context;
    (void)connection;
    meanwhile->status = chart_sweep(meanwhile->storage, 1500, &meanwhile->removed);
    return STATUS_OK;
}

static void a_sweep_that_cannot_write_has_removed_nothing(void **state)
{
    struct database *database = *state;
    struct chart chart;
    make_chart(database->storage, "c", 1000);
    struct meanwhile meanwhile = {.storage = database_open_with(database, NULL, 1)};
    struct storage_connection *connection;
    assert_int_equal(storage_connect(database->storage, &connection), STATUS_OK);
    assert_int_equal(storage_transaction(connection, sweep_meanwhile, &meanwhile), STATUS_OK);
    assert_int_equal(meanwhile.status, STATUS_UNAVAILABLE);
    assert_int_equal(meanwhile.removed, 0);
    assert_true(has_chart(database->storage, "c", &chart));
    storage_close(meanwhile.storage);
}

static void more_charts_expire_than_one_transaction_removes(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    for (int i = 0; i < 75; i++) {
        char id[16];
        snprintf(id, sizeof(id), "c%d", i);
        make_chart(storage, id, i < 70 ? 1000 : 2000);
    }
    assert_int_equal(sweep(storage, 1500), 70);
    assert_int_equal(sweep(storage, 1500), 0);
}

int main(void)
{
#define WITH_DATABASE(test)                                                                        \
    cmocka_unit_test_setup_teardown(test, database_set_up, database_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(a_chart_that_was_made_is_told_even_if_it_is_gone_at_once),
        WITH_DATABASE(charts_expire_by_their_last_change_or_read),
        WITH_DATABASE(a_read_is_not_written_down_again_and_again),
        WITH_DATABASE(more_charts_expire_than_one_transaction_removes),
        WITH_DATABASE(a_sweep_that_cannot_write_has_removed_nothing),
        WITH_DATABASE(a_full_database_keeps_what_it_has_and_can_be_emptied),
    };
    return cmocka_run_group_tests_name("charts", tests, NULL, NULL);
}
