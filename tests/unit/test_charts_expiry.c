/* Which requests keep a chart alive, through the whole pipeline and at any time one likes. */
#include "charts_help.h"

#include "base/clock.h"

#define HOUR   INT64_C(3600000)
#define MINUTE INT64_C(60000)

static void open_with(void **state, const char *life)
{
    pipeline_open(*state, &charts_options, SETTINGS("RATE_LIMIT_ENABLED=false", life));
}

static int set_up(void **state)
{
    int failed = pipeline_set_up_with(state, &charts_options);
    if (failed == 0) {
        open_with(state, "CHART_TTL_HOURS=2");
    }
    return failed;
}

static void make_chart(struct pipeline *pipeline)
{
    assert_answers(pipeline,
                   CALL(.method = "POST", .path = "/api/charts/c/data/s", KEY,
                        .json = "{\"series_type\":\"line\",\"data\":[{\"time\":1,\"value\":1}]}"),
                   200);
}

/* By the list, for that is no use of a chart. */
static bool has_chart(struct pipeline *pipeline)
{
    assert_answers(pipeline, CALL(.path = "/api/charts", KEY), 200);
    return strstr(pipeline->body.data, "\"chartId\":\"c\"") != NULL;
}

/* By the wall clock, and since the start of the machine. */
static void sweep_at(struct pipeline *pipeline, int64_t now, int64_t boot)
{
    assert_int_equal(charts_sweep(pipeline->app, now, boot), STATUS_OK);
}

/* Both clocks go on alike. */
static void sweep(struct pipeline *pipeline, int64_t now)
{
    sweep_at(pipeline, now, now);
}

static void a_chart_that_nobody_uses_expires(void **state)
{
    struct pipeline *pipeline = *state;
    make_chart(pipeline);
    int64_t now = clock_wall_milliseconds();
    sweep(pipeline, now + 2 * HOUR - MINUTE);
    assert_true(has_chart(pipeline));
    sweep(pipeline, now + 2 * HOUR + MINUTE);
    assert_false(has_chart(pipeline));
    assert_int_equal(count_in(pipeline_log(pipeline), "charts_swept"), 1);
}

/* Each of these, an hour after the chart was made, lets it live two hours more. */
static void a_chart_that_is_used_does_not_expire(void **state)
{
    struct pipeline *pipeline = *state;
    const struct call *const uses[] = {
        CALL(.path = "/api/charts/c", KEY),
        CALL(.path = "/api/charts/c/data/0/s", KEY),
        CALL(.path = "/api/charts/c/data/0/s", KEY, .cgi = {"HTTP_IF_NONE_MATCH=*"}),
        CALL(.path = "/api/charts/c/history/0/s", KEY),
        CALL(.method = "POST", .path = "/api/charts/c/history", KEY,
             .json = "{\"pane_id\":0,\"series_id\":\"s\"}"),
        CALL(.method = "POST", .path = "/api/charts/c", KEY, .json = "{}"),
        CALL(.method = "PATCH", .path = "/api/charts/c/data/s", KEY, .json = "{\"data\":[]}"),
    };
    for (size_t i = 0; i < COUNT(uses); i++) {
        make_chart(pipeline);
        int64_t now = clock_wall_milliseconds();
        assert_in_range(send_call(pipeline, uses[i]), 200, 304);
        assert_int_equal(charts_write_uses(pipeline->app, now + HOUR), STATUS_OK);
        sweep(pipeline, now + 3 * HOUR - MINUTE);
        if (!has_chart(pipeline)) {
            fail_msg("use %zu does not count", i);
        }
        sweep(pipeline, now + 3 * HOUR + MINUTE);
        assert_false(has_chart(pipeline));
    }
}

/* A use that nobody has written down yet counts when the sweeper comes. */
static void no_chart_that_was_just_read_is_swept(void **state)
{
    struct pipeline *pipeline = *state;
    make_chart(pipeline);
    assert_answers(pipeline, CALL(.path = "/api/charts/c", KEY), 200);
    int64_t now = clock_wall_milliseconds();
    sweep(pipeline, now + 50 * HOUR);
    assert_true(has_chart(pipeline));
    sweep(pipeline, now + 51 * HOUR);
    sweep(pipeline, now + 52 * HOUR + MINUTE);
    assert_false(has_chart(pipeline));
}

/* The wall clock leaps by a year between two sweeps: nothing dies of that, whatever it does then. */
static void a_leap_of_the_clock_deletes_no_chart(void **state)
{
    struct pipeline *pipeline = *state;
    int64_t now = clock_wall_milliseconds();
    int64_t year = 8760 * HOUR;
    make_chart(pipeline);
    sweep_at(pipeline, now, HOUR);
    sweep_at(pipeline, now + year, HOUR + MINUTE);
    sweep_at(pipeline, now, HOUR + MINUTE);
    sweep_at(pipeline, now + year, HOUR + 2 * MINUTE);
    /* The machine starts anew, into the wrong year. */
    sweep_at(pipeline, now + year, MINUTE);
    sweep_at(pipeline, now + year, 80 * MINUTE);
    assert_true(has_chart(pipeline));
    /* It stays in that year until the chart's time is over by every clock. */
    sweep_at(pipeline, now + year, 2 * HOUR);
    assert_false(has_chart(pipeline));
}

/* The clock was in 1970 for a while, as that of a machine without a battery: the sweeps go on as
 * before when it is right again. */
static void a_clock_that_was_behind_holds_nothing_up(void **state)
{
    struct pipeline *pipeline = *state;
    int64_t now = clock_wall_milliseconds();
    make_chart(pipeline);
    sweep_at(pipeline, now, HOUR);
    sweep_at(pipeline, 5 * HOUR, 2 * HOUR);
    assert_true(has_chart(pipeline));
    sweep_at(pipeline, now + 2 * HOUR + MINUTE, 4 * HOUR);
    assert_false(has_chart(pipeline));
}

static void reading_changes_neither_the_chart_nor_its_version(void **state)
{
    struct pipeline *pipeline = *state;
    make_chart(pipeline);
    assert_true(has_chart(pipeline));
    const char *before = arena_copy(&pipeline->arena, pipeline->body.data, pipeline->body.length);
    const struct call *read = CALL(.path = "/api/charts/c/data/0/s", KEY);
    assert_answers(pipeline, read, 200);
    const char *tag = answer_header(pipeline, "ETag");
    assert_int_equal(charts_write_uses(pipeline->app, clock_wall_milliseconds() + HOUR), STATUS_OK);
    assert_answers(pipeline, read, 200);
    assert_header(pipeline, "ETag", tag);
    assert_true(has_chart(pipeline));
    assert_string_equal(pipeline->body.data, before);
}

static void what_cannot_be_written_now_is_written_later(void **state)
{
    struct pipeline *pipeline = *state;
    make_chart(pipeline);
    assert_answers(pipeline, CALL(.path = "/api/charts/c", KEY), 200);
    int64_t now = clock_wall_milliseconds();
    unsigned long failures = 1;
    for (unsigned long n = 1; failures > 0; n++) {
        memory_fail_after(n);
        enum status status = charts_sweep(pipeline->app, now + 50 * HOUR, HOUR);
        failures = memory_failures_seen();
        memory_fail_after(0);
        assert_true(status == STATUS_OK || failures > 0);
        assert_true(has_chart(pipeline));
    }
}

static void without_a_life_reads_leave_no_mark(void **state)
{
    struct pipeline *pipeline = *state;
    open_with(state, "CHART_TTL_HOURS=0");
    make_chart(pipeline);
    assert_answers(pipeline, CALL(.path = "/api/charts/c", KEY), 200);
    open_with(state, "CHART_TTL_HOURS=2");
    sweep(pipeline, clock_wall_milliseconds() + 2 * HOUR + MINUTE);
    assert_false(has_chart(pipeline));
}

int main(void)
{
#define WITH_PROGRAM(test) cmocka_unit_test_setup_teardown(test, set_up, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PROGRAM(a_chart_that_nobody_uses_expires),
        WITH_PROGRAM(a_chart_that_is_used_does_not_expire),
        WITH_PROGRAM(no_chart_that_was_just_read_is_swept),
        WITH_PROGRAM(a_leap_of_the_clock_deletes_no_chart),
        WITH_PROGRAM(a_clock_that_was_behind_holds_nothing_up),
        WITH_PROGRAM(reading_changes_neither_the_chart_nor_its_version),
        WITH_PROGRAM(what_cannot_be_written_now_is_written_later),
        WITH_PROGRAM(without_a_life_reads_leave_no_mark),
    };
    return cmocka_run_group_tests_name("charts_expiry", tests, NULL, NULL);
}
