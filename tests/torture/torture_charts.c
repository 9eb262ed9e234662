/*
 * The requests of the charts program while memory runs out: a chart and its series are made,
 * written, read and removed.
 */
#include "../unit/keyed_calls.h"
#include "libraries.h"
#include "state.h"

#include "fcgi-apps/charts/routes.h"

#define SERIES       "/api/charts/c/data/s"
#define SHOWN_SERIES "/api/charts/c/data/0/s"

static int set_up(void **state)
{
    return pipeline_set_up_settings(state, &charts_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

/* More than one block of points. */
static int set_up_series(void **state)
{
    static char body[32768];
    int failed = set_up(state);
    if (failed != 0) {
        return failed;
    }
    size_t length = (size_t)snprintf(body, sizeof body, "{\"series_type\":\"line\",\"data\":[");
    for (int i = 0; i < 700; i++) {
        length += (size_t)snprintf(body + length, sizeof body - length,
                                   "%s{\"time\":%d,\"value\":%d}", i > 0 ? "," : "", i, i);
    }
    snprintf(body + length, sizeof body - length, "]}");
    assert_answers(*state, POST(SERIES, body), 200);
    return 0;
}

static void a_chart_is_made_and_changed_as_a_whole(void **state)
{
    torture_request(*state, POST("/api/charts/c", "{\"w\":1}"), 200);
    torture_request(*state, POST("/api/charts/c", "{\"w\":2}"), 200);
    torture_request(*state, PUT("/api/charts/c", "{\"h\":2}"), 200);
    torture_request(*state, GET("/api/charts"), 200);
}

/* The first write of points makes the chart as well. */
static void points_are_written_all_or_none(void **state)
{
    torture_request(*state,
                    POST(SERIES, "{\"series_type\":\"line\",\"options\":{\"a\":1},\"data\":"
                                 "[{\"time\":1,\"value\":1},{\"time\":5,\"value\":2}]}"),
                    200);
    torture_request(*state,
                    POST(SERIES, "{\"series_type\":\"area\",\"data\":[{\"time\":3,\"value\":3}]}"),
                    200);
    torture_request(*state, PATCH(SERIES, "{\"data\":[{\"time\":7,\"value\":1}]}"), 200);
    torture_request(*state, PATCH(SERIES, "{\"data\":[{\"time\":7,\"value\":1}]}"), 400);
    torture_request(*state, POST(SERIES, "{\"series_type\":\"line\",\"data\":[{\"time\":NaN}]}"),
                    400);
}

static void points_are_replaced_in_the_middle_all_or_none(void **state)
{
    torture_request(*state,
                    PATCH(SERIES, "{\"mode\":\"upsert\",\"data\":[{\"time\":5,\"value\":1},"
                                  "{\"time\":5.5,\"value\":1},{\"time\":690,\"value\":2}]}"),
                    200);
}

static void the_first_request_opens_what_it_needs_or_is_503(void **state)
{
    torture_first_request(*state, &charts_options, SETTINGS("RATE_LIMIT_ENABLED=false"),
                          PATCH(SERIES, "{\"data\":[{\"time\":900,\"value\":1}]}"));
}

static void what_is_read_is_whole(void **state)
{
    torture_request(*state, GET(SHOWN_SERIES), 200);
    torture_request(*state, GET("/api/charts/c"), 200);
    torture_request(*state, ASK("/api/charts/c/history/0/s", "before_time=600&count=3"), 200);
    torture_request(*state,
                    POST("/api/charts/c/history",
                         "{\"pane_id\":0,\"series_id\":\"s\",\"from\":100,\"to\":200}"),
                    200);
    torture_request(*state,
                    POST("/api/charts/c/history",
                         "{\"requests\":[{\"pane_id\":0,\"series_id\":\"s\"},"
                         "{\"pane_id\":0,\"series_id\":\"s\",\"count\":3}]}"),
                    200);
}

static void what_is_deleted_is_gone_as_a_whole(void **state)
{
    torture_request(*state, DELETE(SHOWN_SERIES), 204);
    torture_request(*state, DELETE("/api/charts/c"), 204);
    torture_request(*state, DELETE("/api/charts/c"), 404);
}

int main(void)
{
#define EMPTY(test)  cmocka_unit_test_setup_teardown(test, set_up, pipeline_tear_down)
#define FILLED(test) cmocka_unit_test_setup_teardown(test, set_up_series, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        EMPTY(a_chart_is_made_and_changed_as_a_whole),
        EMPTY(points_are_written_all_or_none),
        FILLED(points_are_replaced_in_the_middle_all_or_none),
        FILLED(the_first_request_opens_what_it_needs_or_is_503),
        FILLED(what_is_read_is_whole),
        FILLED(what_is_deleted_is_gone_as_a_whole),
    };
    libraries_use_our_memory();
    return cmocka_run_group_tests_name("torture_charts", tests, NULL, NULL);
}
