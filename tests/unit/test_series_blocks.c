/*
 * The rows behind a series: after any sequence of writes its blocks, read without stores/series,
 * are in order, hold what a plain array holds, and say the right indices, counts and times.
 *
 * Writes are chosen to meet the borders of blocks: a point before everything, in a full block,
 * right behind it, and behind the last one, in one batch. QUINTET_TEST_SEED gives other ones.
 */
#include "database_help.h"

#include <endian.h>
#include <math.h>

#include "base/buffer.h"
#include "stores/series.h"
#include "stores/series_strip.h"

#define NOW           1700000000000
#define MODEL_MAXIMUM 6000
#define BATCH_MAXIMUM 1400

static const struct series_key key = {.owner = "user:a", .chart = "c", .pane = 0, .id = "s"};

static const struct sql_statement looks[] = {
    {"blocks", "test",
     "SELECT b.first_time, b.last_time, b.first_index, b.point_count, p.times, p.starts, "
     "p.payload, b.byte_count FROM chart_series s JOIN chart_blocks b ON b.strip = s.strip "
     "JOIN chart_payloads p ON p.number = b.payload ORDER BY b.first_time"},
    {"series", "test", "SELECT point_count FROM chart_series"},
    /* What triggers count, and what is loose, against what is there. */
    {"counts", "test",
     "SELECT (SELECT chart_count FROM chart_owners) = (SELECT count(*) FROM charts), "
     "(SELECT series_count FROM chart_owners) = (SELECT count(*) FROM chart_series), "
     "(SELECT point_count FROM chart_owners) = (SELECT sum(point_count) FROM chart_series), "
     "(SELECT sum(series_count) FROM charts) = (SELECT count(*) FROM chart_series), "
     "(SELECT sum(point_count) FROM charts) = (SELECT sum(point_count) FROM chart_series), "
     "(SELECT count(*) FROM chart_payloads) = (SELECT count(*) FROM chart_blocks), "
     "NOT EXISTS (SELECT 1 FROM chart_blocks b WHERE NOT EXISTS (SELECT 1 FROM chart_payloads "
     "WHERE number = b.payload)), "
     "NOT EXISTS (SELECT 1 FROM chart_blocks b WHERE NOT EXISTS (SELECT 1 FROM chart_series "
     "WHERE strip = b.strip) AND NOT EXISTS (SELECT 1 FROM chart_loose_strips "
     "WHERE number = b.strip AND prepared_at = 0))"},
    {"loose", "test", "SELECT count(*) FROM chart_loose_strips"},
};
static const struct sql_dialect look_dialect = {
    .name = "test", .statements = looks, .statement_count = sizeof looks / sizeof looks[0]};

/* --- The model ---------------------------------------------------------------------------- */

struct model {
    double times[MODEL_MAXIMUM + BATCH_MAXIMUM];
    int marks[MODEL_MAXIMUM + BATCH_MAXIMUM];
    size_t count;
};

static size_t model_find(const struct model *model, double time)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (model->times[middle] < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void model_put(struct model *model, double time, int mark)
{
    size_t at = model_find(model, time);
    if (at == model->count || model->times[at] != time) {
        size_t rest = model->count - at;
        memmove(&model->times[at + 1], &model->times[at], rest * sizeof(model->times[0]));
        memmove(&model->marks[at + 1], &model->marks[at], rest * sizeof(model->marks[0]));
        model->count++;
    }
    model->times[at] = time;
    model->marks[at] = mark;
}

/* A text of a length that depends on the mark, so that a wrong start shows. */
static int print_point(char *out, size_t size, double time, int mark)
{
    return snprintf(out, size, "{\"time\":%.0f,\"value\":%d}", time, mark % 3 == 0 ? -mark : mark);
}

/* --- Looking at the rows ------------------------------------------------------------------ */

static double time_at(struct slice times, int64_t index)
{
    uint64_t bits;
    double time;
    memcpy(&bits, times.data + index * 8, sizeof bits);
    bits = le64toh(bits);
    memcpy(&time, &bits, sizeof time);
    return time;
}

static void check_block(struct storage_statement *row, const struct model *model, size_t index)
{
    int64_t count = storage_integer(row, 3);
    struct slice times = storage_blob(row, 4);
    struct slice starts = storage_blob(row, 5);
    struct slice payload = storage_blob(row, 6);
    assert_int_equal(storage_integer(row, 2), index);
    assert_in_range(count, 1, SERIES_BLOCK_POINTS);
    assert_true(index + (size_t)count <= model->count);
    assert_true(storage_double(row, 0) == model->times[index]);
    assert_true(storage_double(row, 1) == model->times[index + (size_t)count - 1]);
    assert_int_equal(storage_integer(row, 7), payload.length);
    assert_int_equal(times.length, count * 8);
    assert_int_equal(starts.length, count * 4);
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        char text[80];
        uint32_t start;
        double time = model->times[index + (size_t)i];
        size_t length =
            (size_t)print_point(text, sizeof text, time, model->marks[index + (size_t)i]);
        memcpy(&start, starts.data + i * 4, sizeof start);
        assert_true(time_at(times, i) == time);
        assert_int_equal(le32toh(start), at);
        assert_true(at + length <= payload.length);
        assert_memory_equal(payload.data + at, text, length);
        at += length;
        assert_true(i == count - 1 ? at == payload.length : payload.data[at] == ',');
        at++;
    }
}

static void check_rows(struct storage *look, const struct model *model)
{
    struct storage_connection *connection;
    struct storage_statement *row;
    assert_int_equal(storage_connect(look, &connection), STATUS_OK);
    assert_int_equal(storage_prepare(connection, "series", &row), STATUS_OK);
    assert_int_equal(storage_step(row), STATUS_OK);
    assert_int_equal(storage_integer(row, 0), model->count);
    storage_finish(row);
    assert_int_equal(storage_prepare(connection, "blocks", &row), STATUS_OK);
    size_t index = 0;
    while (storage_step(row) == STATUS_OK) {
        check_block(row, model, index);
        index += (size_t)storage_integer(row, 3);
    }
    storage_finish(row);
    assert_int_equal(index, model->count);
    assert_int_equal(storage_prepare(connection, "counts", &row), STATUS_OK);
    assert_int_equal(storage_step(row), STATUS_OK);
    for (int column = 0; column < 8; column++) {
        if (storage_integer(row, column) != 1) {
            fail_msg("count %d is wrong", column);
        }
    }
    storage_finish(row);
}

static int64_t count_loose(struct storage *look)
{
    struct storage_connection *connection;
    struct storage_statement *row;
    assert_int_equal(storage_connect(look, &connection), STATUS_OK);
    assert_int_equal(storage_prepare(connection, "loose", &row), STATUS_OK);
    assert_int_equal(storage_step(row), STATUS_OK);
    int64_t count = storage_integer(row, 0);
    storage_finish(row);
    return count;
}

/* --- Writing ------------------------------------------------------------------------------ */

struct bench {
    struct storage *storage;
    struct storage *look;
    struct model *model;
    struct buffer text;
    int mark;
    uint64_t random;
    size_t part_bytes; /* of struct series_change */
};

static int below(struct bench *bench, int bound)
{
    bench->random = bench->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((bench->random >> 33) % (uint64_t)bound);
}

static void write_times(struct bench *bench, enum series_mode mode, const double *times, int count)
{
    struct points points;
    struct points_problem problem;
    if (mode == SERIES_REPLACE) {
        bench->model->count = 0;
    }
    buffer_reset(&bench->text);
    buffer_append_char(&bench->text, '[');
    for (int i = 0; i < count; i++) {
        char text[80];
        print_point(text, sizeof text, times[i], ++bench->mark);
        buffer_append_format(&bench->text, "%s%s", i > 0 ? "," : "", text);
        model_put(bench->model, times[i], bench->mark);
    }
    buffer_append_char(&bench->text, ']');
    struct slice text = slice_of(buffer_text(&bench->text));
    assert_int_equal(points_scan(&points, text, POINT_VALUE, &problem), STATUS_OK);
    struct series_change change = {.mode = mode,
                                   .key = key,
                                   .type = "line",
                                   .options = slice_of("{}"),
                                   .points = &points,
                                   .now = NOW,
                                   .part_bytes = bench->part_bytes};
    assert_int_equal(series_write(bench->storage, &change), STATUS_OK);
    assert_int_equal(change.point_count, bench->model->count);
    points_release(&points);
}

static void write_run(struct bench *bench, enum series_mode mode, int from, int to)
{
    static double times[MODEL_MAXIMUM];
    for (int i = from; i < to; i++) {
        times[i - from] = 10 * i;
    }
    write_times(bench, mode, times, to - from);
}

static int compare_times(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;
    return (*left > *right) - (*left < *right);
}

static int sort_times(double *times, int count)
{
    qsort(times, (size_t)count, sizeof(times[0]), compare_times);
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (kept == 0 || times[i] > times[kept - 1]) {
            times[kept++] = times[i];
        }
    }
    return kept;
}

/* Near a border of blocks of any size, near a stored point, before all of them or behind. */
static double some_time(struct bench *bench)
{
    const struct model *model = bench->model;
    size_t count = model->count;
    if (count == 0) {
        return 1000 + below(bench, 1000);
    }
    double first = model->times[0];
    double last = model->times[count - 1];
    switch (below(bench, 6)) {
    case 0:
        return first - below(bench, 3);
    case 1:
        return last + below(bench, 3);
    case 2: {
        int blocks = (int)(count / SERIES_BLOCK_POINTS) + 1;
        size_t border = (size_t)below(bench, blocks) * SERIES_BLOCK_POINTS;
        border += (size_t)below(bench, 3);
        return model->times[border < count ? border : count - 1] + below(bench, 3) - 1;
    }
    case 3:
        return first + below(bench, (int)(last - first) + 1);
    default:
        return model->times[below(bench, (int)count)];
    }
}

static void write_something(struct bench *bench)
{
    static const int sizes[] = {1, 1, 2, 2, 3, 8, 40, 511, 512, 513, 1024, BATCH_MAXIMUM};
    double times[BATCH_MAXIMUM];
    struct model *model = bench->model;
    int kind = below(bench, 100);
    int count = sizes[below(bench, kind < 30 ? 12 : 8)];
    if (model->count > MODEL_MAXIMUM - BATCH_MAXIMUM || kind < 2) {
        int size = 512 * (1 + below(bench, 5)) + below(bench, 3) - 1;
        write_run(bench, SERIES_REPLACE, 100, 100 + size);
        return;
    }
    if (kind == 2) {
        assert_int_equal(series_delete(bench->storage, &key, NOW), STATUS_OK);
        write_run(bench, SERIES_REPLACE, 100, 100);
        return;
    }
    if (kind < 30) {
        double last = model->count > 0 ? model->times[model->count - 1] : 0;
        for (int i = 0; i < count; i++) {
            times[i] = last + 1 + i;
        }
        write_times(bench, SERIES_APPEND, times, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        times[i] = fmax(0, some_time(bench));
    }
    write_times(bench, SERIES_UPSERT, times, sort_times(times, count));
}

/* --- Tests -------------------------------------------------------------------------------- */

struct fixture {
    struct database *database;
    struct bench bench;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    void *database;
    assert_int_equal(database_set_up(&database), 0);
    fixture->database = database;
    fixture->bench.storage = fixture->database->storage;
    fixture->bench.look = database_open_with(fixture->database, &look_dialect, 0);
    fixture->bench.model = calloc(1, sizeof *fixture->bench.model);
    assert_non_null(fixture->bench.model);
    const char *seed = getenv("QUINTET_TEST_SEED");
    fixture->bench.random = seed != NULL ? strtoull(seed, NULL, 10) : 20240229;
    buffer_init(&fixture->bench.text, (size_t)1 << 20);
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
    storage_close(fixture->bench.look);
    buffer_release(&fixture->bench.text);
    free(fixture->bench.model);
    free(fixture);
    return database_tear_down(&database);
}

static void indices_are_right_after_an_old_point_and_the_next_bar(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = &fixture->bench;
    for (int blocks = 1; blocks <= 3; blocks++) {
        /* Older than all, inside of the first block, and two at once; then behind the last. */
        static const double olds[][2] = {{5, 5}, {1001, 1001}, {5, 1001}};
        for (size_t i = 0; i < 3; i++) {
            write_run(bench, SERIES_REPLACE, 100, 100 + blocks * SERIES_BLOCK_POINTS);
            double next = 10 * (100 + blocks * SERIES_BLOCK_POINTS);
            double times[] = {olds[i][0], olds[i][1], next, next + 10};
            write_times(bench, SERIES_UPSERT, times, sort_times(times, 4));
            check_rows(bench->look, bench->model);
        }
    }
}

static void rows_are_what_a_plain_array_holds(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = &fixture->bench;
    write_run(bench, SERIES_REPLACE, 100, 100);
    for (int round = 0; round < 2500; round++) {
        static const size_t parts[] = {0, 10000, 100};
        bench->part_bytes = parts[below(bench, 3)];
        write_something(bench);
        check_rows(bench->look, bench->model);
        if (below(bench, 20) == 0) {
            bool is_done;
            assert_int_equal(series_remove_loose(bench->storage, NOW, 0, &is_done), STATUS_OK);
            assert_true(is_done);
            assert_int_equal(count_loose(bench->look), 0);
            check_rows(bench->look, bench->model);
        }
    }
}

static void a_large_write_that_was_given_up_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = &fixture->bench;
    bool is_done;
    bench->part_bytes = 100;
    write_run(bench, SERIES_REPLACE, 100, 2000);
    int64_t strip = 0;
    struct points points;
    struct points_problem problem;
    assert_int_equal(
        points_scan(&points, slice_of("[{\"time\":1,\"value\":1}]"), POINT_VALUE, &problem),
        STATUS_OK);
    /* A writer died behind its preparation: nothing is removed while it may still be alive, which
     * is an hour, also by a clock that was put back. */
    for (int direction = -1; direction <= 1; direction += 2) {
        assert_int_equal(
            series_strip_prepare(bench->storage, points.items, points.count, 100, NOW, &strip),
            STATUS_OK);
        for (int64_t beyond = 0; beyond <= 1; beyond++) {
            int64_t now = NOW + direction * (3600000 + beyond);
            assert_int_equal(series_remove_loose(bench->storage, now, 0, &is_done), STATUS_OK);
            assert_true(is_done);
            assert_int_equal(count_loose(bench->look), 1 - beyond);
        }
    }
    points_release(&points);
    check_rows(bench->look, bench->model);
}

static void a_large_series_is_removed_in_parts(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = &fixture->bench;
    bool is_done;
    write_run(bench, SERIES_REPLACE, 0, MODEL_MAXIMUM);
    struct series_window window = {.from = SERIES_FROM_START, .before = SERIES_TO_END, .limit = 10};
    struct series_range range;
    struct arena arena;
    arena_init(&arena, (size_t)1 << 20);
    for (int i = 0; i < 10; i++) {
        write_run(bench, SERIES_REPLACE, 0, MODEL_MAXIMUM);
    }
    assert_int_equal(series_remove_loose(bench->storage, NOW, 1, &is_done), STATUS_OK);
    assert_false(is_done);
    assert_int_equal(series_read(bench->storage, &arena, &key, &window, &range), STATUS_OK);
    assert_int_equal(range.end_index, MODEL_MAXIMUM);
    assert_int_equal(series_remove_loose(bench->storage, NOW, 0, &is_done), STATUS_OK);
    assert_true(is_done);
    check_rows(bench->look, bench->model);
    arena_destroy(&arena);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(indices_are_right_after_an_old_point_and_the_next_bar),
        TEST(rows_are_what_a_plain_array_holds),
        TEST(a_large_write_that_was_given_up_leaves_nothing),
        TEST(a_large_series_is_removed_in_parts),
    };
    return cmocka_run_group_tests_name("series_blocks", tests, NULL, NULL);
}
