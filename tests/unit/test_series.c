/*
 * stores/series and stores/charts on a database of their own: every read is what a plain array in
 * memory gives after the same writes, and what was acknowledged survives the writer.
 */
#include "database_help.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "stores/charts.h"
#include "stores/series.h"
#include "stores/series_block.h"

#define NOW 1700000000000

static const struct series_key key = {.owner = "user:a", .chart = "c", .pane = 0, .id = "s"};

/* --- Writing ------------------------------------------------------------------------------ */

static enum status write_text(struct storage *storage, enum series_mode mode,
                              const struct series_key *where, const char *type, const char *text,
                              int64_t *count)
{
    struct points points;
    struct points_problem problem;
    assert_int_equal(points_scan(&points, slice_of(text), point_kind_of(type), &problem),
                     STATUS_OK);
    struct series_change change = {.mode = mode,
                                   .key = *where,
                                   .type = type,
                                   .options = slice_of("{}"),
                                   .points = &points,
                                   .now = NOW};
    enum status status = series_write(storage, &change);
    points_release(&points);
    if (count != NULL) {
        *count = change.point_count;
    }
    return status;
}

/* Points from..to-1 with time = index and value = mark. */
static char *make_line(struct buffer *text, int from, int to, int mark)
{
    buffer_reset(text);
    buffer_append_char(text, '[');
    for (int i = from; i < to; i++) {
        buffer_append_format(text, "%s{\"time\":%d,\"value\":%d}", i > from ? "," : "", i, mark);
    }
    buffer_append_char(text, ']');
    assert_int_equal(buffer_status(text), STATUS_OK);
    return text->data;
}

static void write_line(struct storage *storage, enum series_mode mode, int from, int to, int mark)
{
    struct buffer text;
    buffer_init(&text, (size_t)16 << 20);
    assert_int_equal(
        write_text(storage, mode, &key, "line", make_line(&text, from, to, mark), NULL), STATUS_OK);
    buffer_release(&text);
}

static const struct series_window everything = {
    .from = SERIES_FROM_START, .before = SERIES_TO_END, .limit = INT32_MAX};

/* --- A model in memory -------------------------------------------------------------------- */

#define MODEL_MAXIMUM 20000

struct model {
    struct {
        double time;
        char text[64];
    } points[MODEL_MAXIMUM];
    size_t count;
};

static size_t model_find(const struct model *model, double time)
{
    size_t i = 0;
    while (i < model->count && model->points[i].time < time) {
        i++;
    }
    return i;
}

static void model_put(struct model *model, double time, const char *text)
{
    size_t i = model_find(model, time);
    if (i == model->count || model->points[i].time != time) {
        assert_true(model->count < MODEL_MAXIMUM);
        memmove(&model->points[i + 1], &model->points[i],
                (model->count - i) * sizeof(model->points[0]));
        model->count++;
    }
    model->points[i].time = time;
    snprintf(model->points[i].text, sizeof(model->points[i].text), "%s", text);
}

/* Reads a window and compares it with what the model says. */
static void check_window(struct storage *storage, const struct model *model,
                         const struct series_window *window)
{
    size_t start = model_find(model, window->from);
    size_t end = model_find(model, window->before);
    if (start > end) {
        *(window->oldest_first ? &end : &start) = window->oldest_first ? start : end;
    }
    if (end - start > (size_t)window->limit) {
        if (window->oldest_first) {
            end = start + (size_t)window->limit;
        } else {
            start = end - (size_t)window->limit;
        }
    }
    struct arena arena;
    struct series_range range;
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(series_read(storage, &arena, &key, window, &range), STATUS_OK);
    assert_int_equal(range.series.point_count, model->count);
    assert_int_equal(range.start_index, start);
    assert_int_equal(range.end_index, end);
    assert_true(range.start_time == (start < end ? model->points[start].time : 0));
    assert_true(range.end_time == (start < end ? model->points[end - 1].time : 0));
    struct buffer expected;
    struct buffer found;
    buffer_init(&expected, (size_t)8 << 20);
    buffer_init(&found, (size_t)8 << 20);
    for (size_t i = start; i < end; i++) {
        buffer_append_text(&expected, i > start ? "," : "");
        buffer_append_text(&expected, model->points[i].text);
    }
    size_t length = 0;
    for (size_t i = 0; i < range.piece_count; i++) {
        buffer_append_text(&found, i > 0 ? "," : "");
        buffer_append(&found, range.pieces[i].data, range.pieces[i].length);
        length += range.pieces[i].length;
    }
    assert_int_equal(length, range.length);
    assert_string_equal(buffer_text(&found), buffer_text(&expected));
    buffer_release(&expected);
    buffer_release(&found);
    arena_destroy(&arena);
}

static int below(int bound)
{
    return rand() % bound;
}

/* A time that is often one that a point has, or right beside it. */
static double some_time(const struct model *model)
{
    if (model->count == 0 || below(4) == 0) {
        return below(100000);
    }
    return model->points[below((int)model->count)].time + (below(3) - 1);
}

static void check_many_windows(struct storage *storage, const struct model *model)
{
    static const int64_t limits[] = {1, 2, 7, 500, 511, 512, 513, 1024, 10000};
    check_window(storage, model, &everything);
    for (int i = 0; i < 12; i++) {
        struct series_window window = everything;
        window.limit = limits[below(9)];
        if (below(3) > 0) {
            window.before = fmax(0, some_time(model));
        }
        if (below(2) > 0) {
            window.from = fmax(0, some_time(model));
        }
        window.oldest_first = below(2) > 0;
        check_window(storage, model, &window);
    }
}

/* --- Random writes ------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;
    return (*left > *right) - (*left < *right);
}

/* A batch of distinct ascending times. Returns their number. */
static int some_times(const struct model *model, bool behind, double *times, int maximum)
{
    double last = model->count > 0 ? model->points[model->count - 1].time : 0;
    int count = below(maximum) + 1;
    for (int i = 0; i < count; i++) {
        times[i] = behind ? last + 1 + below(3 * count) : fmax(0, some_time(model));
        if (!behind && below(3) == 0) {
            times[i] = below((int)last + 2000);
        }
    }
    qsort(times, (size_t)count, sizeof(times[0]), compare_doubles);
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (kept == 0 || times[i] > times[kept - 1]) {
            times[kept++] = times[i];
        }
    }
    return kept;
}

static void apply_random_write(struct storage *storage, struct model *model, struct buffer *text)
{
    static double times[3000];
    static int mark;
    int kind = below(20);
    enum series_mode mode = kind == 0 ? SERIES_REPLACE : kind < 9 ? SERIES_APPEND : SERIES_UPSERT;
    if (mode == SERIES_REPLACE) {
        model->count = 0;
    }
    int maximum = below(4) == 0 ? 3000 : below(2) == 0 ? 600 : 3;
    int count = some_times(model, mode != SERIES_UPSERT, times, maximum);
    buffer_reset(text);
    buffer_append_char(text, '[');
    for (int i = 0; i < count; i++) {
        char point[64];
        /* Texts of different lengths, so that a wrong start shows. */
        snprintf(point, sizeof(point), "{\"time\":%.0f,\"value\":%d}", times[i],
                 below(2) ? mark : 1000000 + mark);
        mark++;
        buffer_append_format(text, "%s%s", i > 0 ? "," : "", point);
        model_put(model, times[i], point);
    }
    buffer_append_char(text, ']');
    int64_t total;
    assert_int_equal(write_text(storage, mode, &key, "line", buffer_text(text), &total), STATUS_OK);
    assert_int_equal(total, model->count);
}

static void reads_are_what_a_plain_array_gives(void **state)
{
    struct database *database = *state;
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    struct buffer text;
    buffer_init(&text, (size_t)16 << 20);
    const char *seed = getenv("QUINTET_TEST_SEED");
    srand(seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 20240229u);
    write_line(database->storage, SERIES_REPLACE, 0, 0, 0);
    for (int round = 0; round < 120; round++) {
        if (model->count > MODEL_MAXIMUM - 4000) {
            model->count = 0;
            assert_int_equal(series_delete(database->storage, &key, NOW), STATUS_OK);
            write_line(database->storage, SERIES_REPLACE, 0, 0, 0);
        }
        apply_random_write(database->storage, model, &text);
        check_many_windows(database->storage, model);
    }
    buffer_release(&text);
    free(model);
}

/* --- Promises one by one ------------------------------------------------------------------ */

static int64_t count_blocks(struct storage *storage)
{
    struct storage_connection *connection;
    struct storage_statement *statement;
    struct arena arena;
    struct series series;
    int64_t blocks = 0;
    arena_init(&arena, 65536);
    assert_int_equal(series_find(storage, &arena, &key, &series), STATUS_OK);
    assert_int_equal(storage_connect(storage, &connection), STATUS_OK);
    double time = SERIES_TO_END;
    for (;;) {
        assert_int_equal(storage_prepare(connection, "block_at", &statement), STATUS_OK);
        storage_bind_integer(statement, 1, series.strip);
        storage_bind_double(statement, 2, time);
        if (storage_step(statement) != STATUS_OK) {
            storage_finish(statement);
            break;
        }
        struct series_block block;
        assert_int_equal(series_block_load(&block, statement, 1, 4), STATUS_OK);
        time = nextafter(series_block_time(&block, 0), -INFINITY);
        blocks++;
        storage_finish(statement);
    }
    arena_destroy(&arena);
    return blocks;
}

static void a_growing_series_has_full_blocks(void **state)
{
    struct database *database = *state;
    write_line(database->storage, SERIES_REPLACE, 0, 1, 1);
    for (int i = 1; i < 1400; i++) {
        write_line(database->storage, SERIES_APPEND, i, i + 1, 1);
    }
    write_line(database->storage, SERIES_UPSERT, 1399, 1500, 2);
    assert_int_equal(count_blocks(database->storage), 3);
    write_line(database->storage, SERIES_APPEND, 1500, 1536, 2);
    assert_int_equal(count_blocks(database->storage), 3);
    write_line(database->storage, SERIES_APPEND, 1536, 1537, 2);
    assert_int_equal(count_blocks(database->storage), 4);
}

static void append_must_be_later_than_the_last_point(void **state)
{
    struct database *database = *state;
    struct storage *storage = database->storage;
    int64_t count;
    write_line(storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(write_text(storage, SERIES_APPEND, &key, "line", "[{\"time\":9}]", &count),
                     STATUS_INVALID);
    assert_int_equal(
        write_text(storage, SERIES_APPEND, &key, "line", "[{\"time\":3},{\"time\":12}]", &count),
        STATUS_INVALID);
    assert_int_equal(write_text(storage, SERIES_APPEND, &key, "line", "[{\"time\":9.5}]", &count),
                     STATUS_OK);
    assert_int_equal(count, 11);
    assert_int_equal(write_text(storage, SERIES_APPEND, &key, "line", "[]", &count), STATUS_OK);
    assert_int_equal(count, 11);
}

static void a_refused_append_changes_nothing(void **state)
{
    struct database *database = *state;
    struct arena arena;
    struct series before;
    struct series after;
    arena_init(&arena, 65536);
    write_line(database->storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(series_find(database->storage, &arena, &key, &before), STATUS_OK);
    assert_int_equal(
        write_text(database->storage, SERIES_APPEND, &key, "line", "[{\"time\":9}]", NULL),
        STATUS_INVALID);
    assert_int_equal(series_find(database->storage, &arena, &key, &after), STATUS_OK);
    assert_int_equal(after.point_count, before.point_count);
    assert_int_equal(after.version, before.version);
    arena_destroy(&arena);
}

static void writes_to_what_is_not_there_say_so(void **state)
{
    struct database *database = *state;
    struct storage *storage = database->storage;
    static const struct series_key elsewhere[] = {
        {.owner = "user:b", .chart = "c", .pane = 0, .id = "s"},
        {.owner = "user:a", .chart = "d", .pane = 0, .id = "s"},
        {.owner = "user:a", .chart = "c", .pane = 1, .id = "s"},
        {.owner = "user:a", .chart = "c", .pane = 0, .id = "t"},
    };
    write_line(storage, SERIES_REPLACE, 0, 10, 1);
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        struct arena arena;
        struct series_range range;
        arena_init(&arena, 65536);
        assert_int_equal(write_text(storage, SERIES_APPEND, &elsewhere[i], "line", "[]", NULL),
                         STATUS_NOT_FOUND);
        assert_int_equal(
            write_text(storage, SERIES_UPSERT, &elsewhere[i], "line", "[{\"time\":1}]", NULL),
            STATUS_NOT_FOUND);
        assert_int_equal(series_read(storage, &arena, &elsewhere[i], &everything, &range),
                         STATUS_NOT_FOUND);
        assert_int_equal(series_delete(storage, &elsewhere[i], NOW), STATUS_NOT_FOUND);
        arena_destroy(&arena);
    }
}

static void points_checked_by_an_old_type_are_not_written(void **state)
{
    struct database *database = *state;
    write_line(database->storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(write_text(database->storage, SERIES_UPSERT, &key, "bar",
                                "[{\"time\":1,\"open\":1,\"high\":1,\"low\":1,\"close\":1}]", NULL),
                     STATUS_CONFLICT);
}

static void every_write_raises_the_version(void **state)
{
    struct database *database = *state;
    struct storage *storage = database->storage;
    struct arena arena;
    struct series series;
    arena_init(&arena, 65536);
    write_line(storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(series_find(storage, &arena, &key, &series), STATUS_OK);
    int64_t number = series.number;
    int64_t version = series.version;
    static const enum series_mode modes[] = {SERIES_APPEND, SERIES_UPSERT, SERIES_REPLACE};
    for (size_t i = 0; i < 3; i++) {
        write_line(storage, modes[i], 20, 30, 1);
        assert_int_equal(series_find(storage, &arena, &key, &series), STATUS_OK);
        assert_int_equal(series.number, number);
        assert_int_equal(series.version, ++version);
    }
    /* A series of the same name is another one: number and version are never seen again. */
    assert_int_equal(series_delete(storage, &key, NOW), STATUS_OK);
    write_line(storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(series_find(storage, &arena, &key, &series), STATUS_OK);
    assert_true(series.number > number);
    arena_destroy(&arena);
}

static void replace_makes_the_chart_and_changes_type_and_options(void **state)
{
    struct database *database = *state;
    struct storage *storage = database->storage;
    struct arena arena;
    struct chart chart;
    struct series *list;
    size_t count;
    arena_init(&arena, 65536);
    assert_int_equal(chart_find(storage, &arena, key.owner, key.chart, &chart), STATUS_NOT_FOUND);
    write_line(storage, SERIES_REPLACE, 0, 10, 1);
    assert_int_equal(chart_find(storage, &arena, key.owner, key.chart, &chart), STATUS_OK);
    assert_int_equal(chart.series_count, 1);
    assert_true(slice_equals(chart.options, "{}"));

    struct points none = {0};
    struct series_change change = {.mode = SERIES_REPLACE,
                                   .key = key,
                                   .type = "Bar",
                                   .options = slice_of("{\"a\":1.0}"),
                                   .points = &none,
                                   .now = NOW};
    assert_int_equal(series_write(storage, &change), STATUS_OK);
    assert_int_equal(change.point_count, 0);
    assert_int_equal(series_list(storage, &arena, key.owner, key.chart, &list, &count), STATUS_OK);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].type, "Bar");
    assert_true(slice_equals(list[0].options, "{\"a\":1.0}"));
    assert_int_equal(list[0].point_count, 0);
    assert_int_equal(count_blocks(storage), 0);
    arena_destroy(&arena);
}

static void charts_are_apart_by_owner(void **state)
{
    struct database *database = *state;
    struct storage *storage = database->storage;
    struct arena arena;
    struct chart chart;
    struct chart *list;
    size_t count;
    int64_t total;
    arena_init(&arena, (size_t)1 << 20);
    assert_int_equal(
        chart_create(storage, &arena, "user:a", "c", slice_of("{\"w\":1}"), 0, NOW, &chart),
        STATUS_OK);
    assert_int_equal(
        chart_create(storage, &arena, "user:a", "c", slice_of("{\"w\":2}"), 0, NOW, &chart),
        STATUS_OK);
    assert_true(slice_equals(chart.options, "{\"w\":1}"));
    assert_int_equal(
        chart_create(storage, &arena, "user:b", "c", slice_of("{\"w\":3}"), 0, NOW, &chart),
        STATUS_OK);
    assert_true(slice_equals(chart.options, "{\"w\":3}"));
    assert_int_equal(chart_set_options(storage, "user:b", "c", slice_of("{}"), NOW), STATUS_OK);
    assert_int_equal(chart_find(storage, &arena, "user:a", "c", &chart), STATUS_OK);
    assert_true(slice_equals(chart.options, "{\"w\":1}"));
    assert_int_equal(chart_delete(storage, "user:b", "c"), STATUS_OK);
    assert_int_equal(chart_delete(storage, "user:b", "c"), STATUS_NOT_FOUND);
    assert_int_equal(chart_set_options(storage, "user:b", "c", slice_of("{}"), NOW),
                     STATUS_NOT_FOUND);
    assert_int_equal(chart_create(storage, &arena, "user:b", "d", slice_of("{}"), 0, NOW, &chart),
                     STATUS_OK);
    static const char *const lists[][2] = {{"user:a", "c"}, {"user:b", "d"}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(chart_list(storage, &arena, lists[i][0], 10, 0, &list, &count, &total),
                         STATUS_OK);
        assert_int_equal(count, 1);
        assert_int_equal(total, 1);
        assert_string_equal(list[0].id, lists[i][1]);
    }
    assert_int_equal(chart_list(storage, &arena, "user:c", 10, 0, &list, &count, &total),
                     STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(total, 0);
    arena_destroy(&arena);
}

static void deleting_a_chart_removes_its_points(void **state)
{
    struct database *database = *state;
    struct arena arena;
    struct series_range range;
    arena_init(&arena, (size_t)1 << 20);
    write_line(database->storage, SERIES_REPLACE, 0, 1000, 1);
    assert_int_equal(chart_delete(database->storage, key.owner, key.chart), STATUS_OK);
    write_line(database->storage, SERIES_REPLACE, 0, 3, 2);
    assert_int_equal(series_read(database->storage, &arena, &key, &everything, &range), STATUS_OK);
    assert_int_equal(range.end_index, 3);
    arena_destroy(&arena);
}

/* --- Faults ------------------------------------------------------------------------------- */

static void failing_allocations_change_nothing_and_leak_nothing(void **state)
{
    struct database *database = *state;
    struct arena arena;
    write_line(database->storage, SERIES_REPLACE, 0, 1000, 1);
    struct points points;
    struct points_problem problem;
    struct buffer text;
    buffer_init(&text, (size_t)1 << 20);
    assert_int_equal(
        points_scan(&points, slice_of(make_line(&text, 990, 1700, 2)), POINT_VALUE, &problem),
        STATUS_OK);
    for (unsigned long n = 1;; n++) {
        struct series_change change = {
            .mode = SERIES_UPSERT, .key = key, .type = "line", .points = &points, .now = NOW};
        memory_fail_after(n);
        enum status status = series_write(database->storage, &change);
        bool has_failed = memory_failures_seen() > 0;
        memory_fail_after(0);
        struct series series;
        arena_init(&arena, (size_t)1 << 20);
        assert_int_equal(series_find(database->storage, &arena, &key, &series), STATUS_OK);
        arena_destroy(&arena);
        assert_int_equal(series.point_count, has_failed ? 1000 : 1700);
        if (!has_failed) {
            assert_int_equal(status, STATUS_OK);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    for (unsigned long n = 1;; n++) {
        struct series_range range;
        arena_init(&arena, (size_t)1 << 20);
        memory_fail_after(n);
        enum status status = series_read(database->storage, &arena, &key, &everything, &range);
        bool has_failed = memory_failures_seen() > 0;
        memory_fail_after(0);
        arena_destroy(&arena);
        assert_int_equal(status, has_failed ? STATUS_NO_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
    points_release(&points);
    buffer_release(&text);
}

struct child_work {
    const char *url;
    int pipe_end;
    int child;
};

/* Appends one point after the other and tells each acknowledged one. */
static int append_until_killed(void *context)
{
    const struct child_work *work = context;
    struct storage *storage;
    struct storage_options options = {.url = work->url};
    if (storage_open(&storage, &options) != STATUS_OK) {
        return 1;
    }
    for (int time = 1;; time++) {
        char text[64];
        snprintf(text, sizeof(text), "[{\"time\":%d,\"value\":%d}]", time, time);
        if (write_text(storage, SERIES_APPEND, &key, "line", text, NULL) != STATUS_OK ||
            write(work->pipe_end, &time, sizeof(time)) != (ssize_t)sizeof(time)) {
            return 1;
        }
    }
}

static void acknowledged_appends_survive_kill_9(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    struct storage *storage = database_open_with(&database, NULL, 0);
    write_line(storage, SERIES_REPLACE, 0, 1, 0);
    storage_close(storage);
    int last = 0;
    for (int round = 0; round < 5; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        struct child_work work = {.url = database.url, .pipe_end = ends[1]};
        pid_t child = child_start(append_until_killed, &work);
        close(ends[1]);
        /* Dies in the middle of something, after a number of appends that differs. */
        int told = 0;
        for (int i = 0; i < 40 + 37 * round; i++) {
            assert_int_equal(read(ends[0], &told, sizeof(told)), sizeof(told));
        }
        kill(child, SIGKILL);
        assert_int_equal(child_wait(child), -SIGKILL);
        while (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told)) {
        }
        close(ends[0]);
        last = told;

        storage = database_open_with(&database, NULL, 0);
        struct arena arena;
        struct series_range range;
        arena_init(&arena, (size_t)16 << 20);
        assert_int_equal(series_read(storage, &arena, &key, &everything, &range), STATUS_OK);
        /* The one that was being written may be there as well. */
        assert_in_range(range.end_time, last, last + 1);
        assert_int_equal(range.end_index, (int64_t)range.end_time + 1);
        assert_int_equal(range.series.point_count, range.end_index);
        write_line(storage, SERIES_REPLACE, 0, 1, 0);
        storage_close(storage);
        arena_destroy(&arena);
    }
    database_remove_directory(&database);
}

/* Each child appends times of its own; a conflict of order is an answer too. */
static int append_in_turns(void *context)
{
    const struct child_work *work = context;
    struct storage *storage;
    struct storage_options options = {.url = work->url};
    if (storage_open(&storage, &options) != STATUS_OK) {
        return 255;
    }
    int appended = 0;
    for (int i = 0; i < 30; i++) {
        char text[64];
        snprintf(text, sizeof(text), "[{\"time\":%d,\"value\":%d}]", 1 + i * CHILDREN + work->child,
                 work->child);
        enum status status = write_text(storage, SERIES_APPEND, &key, "line", text, NULL);
        if (status != STATUS_OK && status != STATUS_INVALID) {
            return 255;
        }
        appended += status == STATUS_OK;
    }
    storage_close(storage);
    return appended;
}

static void writers_of_one_series_come_one_after_the_other(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    struct storage *storage = database_open_with(&database, NULL, 0);
    write_line(storage, SERIES_REPLACE, 0, 1, 0);
    storage_close(storage);
    struct child_work work[CHILDREN];
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        work[i] = (struct child_work){.url = database.url, .child = i};
        children[i] = child_start(append_in_turns, &work[i]);
    }
    int appended = 0;
    for (int i = 0; i < CHILDREN; i++) {
        int result = child_wait(children[i]);
        assert_in_range(result, 0, 30);
        appended += result;
    }
    storage = database_open_with(&database, NULL, 0);
    struct arena arena;
    struct series_range range;
    arena_init(&arena, (size_t)1 << 20);
    assert_int_equal(series_read(storage, &arena, &key, &everything, &range), STATUS_OK);
    assert_int_equal(range.end_index, 1 + appended);
    assert_int_equal(range.series.point_count, 1 + appended);
    assert_int_equal(range.series.version, 1 + appended);
    arena_destroy(&arena);
    storage_close(storage);
    database_remove_directory(&database);
}

int main(void)
{
#define WITH_DATABASE(test)                                                                        \
    cmocka_unit_test_setup_teardown(test, database_set_up, database_tear_down)
    const struct CMUnitTest tests[] = {
        /* Those that fork come first: a process with a connection may not. */
        cmocka_unit_test(acknowledged_appends_survive_kill_9),
        cmocka_unit_test(writers_of_one_series_come_one_after_the_other),
        WITH_DATABASE(reads_are_what_a_plain_array_gives),
        WITH_DATABASE(a_growing_series_has_full_blocks),
        WITH_DATABASE(append_must_be_later_than_the_last_point),
        WITH_DATABASE(a_refused_append_changes_nothing),
        WITH_DATABASE(writes_to_what_is_not_there_say_so),
        WITH_DATABASE(points_checked_by_an_old_type_are_not_written),
        WITH_DATABASE(every_write_raises_the_version),
        WITH_DATABASE(replace_makes_the_chart_and_changes_type_and_options),
        WITH_DATABASE(charts_are_apart_by_owner),
        WITH_DATABASE(deleting_a_chart_removes_its_points),
        WITH_DATABASE(failing_allocations_change_nothing_and_leak_nothing),
    };
    return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}
