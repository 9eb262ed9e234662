/* Pages of history, one by one and several at once, through the whole pipeline. */
#include "charts_help.h"

static void assert_page(struct pipeline *pipeline, const struct call *call, int64_t start,
                        int64_t end, int64_t total)
{
    assert_answers(pipeline, call, 200);
    const struct json_node *root = answer_json(pipeline);
    const struct json_node *place = json_member(root, "chunkInfo");
    int64_t number = -1;
    bool more = false;
    assert_true(json_get_integer(json_member(place, "start_index"), &number));
    assert_int_equal(number, start);
    assert_true(json_get_integer(json_member(place, "end_index"), &number));
    assert_int_equal(number, end);
    assert_true(json_get_integer(json_member(place, "count"), &number));
    assert_int_equal(number, end - start);
    assert_true(json_get_integer(json_member(place, "start_time"), &number));
    assert_int_equal(number, start < end ? start : 0);
    assert_true(json_get_integer(json_member(root, "totalCount"), &number));
    assert_int_equal(number, total);
    assert_true(json_get_boolean(json_member(root, "hasMoreBefore"), &more));
    assert_int_equal(more, start > 0);
    assert_true(json_get_boolean(json_member(root, "hasMoreAfter"), &more));
    assert_int_equal(more, end < total);
    const struct json_node *point = json_first(json_member(root, "data"));
    for (int64_t i = start; i < end; i++, point = json_next(point)) {
        assert_true(json_get_integer(json_member(point, "time"), &number));
        assert_int_equal(number, i);
    }
    assert_null(point);
    assert_null(json_member(root, "seriesType"));
    assert_null(json_member(root, "options"));
}

static void history_pages(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 1200);
    static const struct {
        const char *query;
        const char *body; /* the same as POST; NULL: none */
        int start;
        int end;
    } rows[] = {
        {"", "{\"pane_id\":0,\"series_id\":\"s\"}", 700, 1200},
        {"count=7", "{\"paneId\":0,\"seriesId\":\"s\",\"count\":7}", 1193, 1200},
        {"count=50.0", "{\"pane_id\":0,\"series_id\":\"s\",\"count\":50.0}", 1150, 1200},
        {"before_time=600", "{\"pane_id\":0,\"series_id\":\"s\",\"before_time\":600}", 100, 600},
        {"before_time=600.0&count=10",
         "{\"pane_id\":0,\"series_id\":\"s\",\"beforeTime\":600,\"count\":10}", 590, 600},
        {"beforeTime=5", NULL, 0, 5},
        {"before_time=0", "{\"pane_id\":0,\"series_id\":\"s\",\"before_time\":0}", 0, 0},
        {"before_time=1&before_time=3", NULL, 0, 3},
        {"before_time=4102444800&count=1", NULL, 1199, 1200},
        {"count=10000", NULL, 0, 1200},
        {"after_time=100&count=10",
         "{\"pane_id\":0,\"series_id\":\"s\",\"after_time\":100,\"count\":10}", 101, 111},
        {"afterTime=1190", NULL, 1191, 1200},
        {"after_time=1199", NULL, 1200, 1200},
        {"from=100&count=10", NULL, 100, 110},
        {"from=100&to=200", "{\"pane_id\":0,\"series_id\":\"s\",\"from\":100,\"to\":200}", 100,
         201},
        {"from=100&to=200&count=10", NULL, 191, 201},
        {"from=100&before_time=200", NULL, 100, 200},
        {"to=9&count=3", NULL, 7, 10},
        {"before_time=600&shape=60&points=5&formats=f32", NULL, 100, 600},
        {"from=100&to=500&before_time=200", NULL, 100, 200},
        {"from=100&to=150&before_time=200",
         "{\"pane_id\":0,\"series_id\":\"s\",\"from\":100,\"to\":150,\"before_time\":200}", 100,
         151},
        {"to=150&before_time=200&count=10", NULL, 141, 151},
        {"before_time=-5", "{\"pane_id\":0,\"series_id\":\"s\",\"before_time\":-5}", 0, 0},
        {"from=-62135596800&count=3", NULL, 0, 3},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_page(pipeline, HISTORY(rows[i].query), rows[i].start, rows[i].end, 1200);
        if (rows[i].body != NULL) {
            assert_page(pipeline, POST("/api/charts/c/history", rows[i].body), rows[i].start,
                        rows[i].end, 1200);
        }
    }
    make_line(pipeline, 0);
    assert_page(pipeline, HISTORY(""), 0, 0, 0);
    assert_page(pipeline, HISTORY("from=3"), 0, 0, 0);
}

static void history_refuses_what_is_out_of_range(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 10);
    static const struct {
        const char *query;
        const char *name;     /* of the parameter or member, as it is spelled */
        const char *value;    /* of the member; NULL: none has such a value */
        const char *expected; /* of the fault; NULL: it is no number, which is 422 in a query too */
    } rows[] = {
        {"count=0", "count", "0", "count must be between 1 and 10000"},
        {"count=-1", "count", "-1", "count must be between 1 and 10000"},
        {"count=10001", "count", "10001", "count must be between 1 and 10000"},
        {"count=50.5", "count", "50.5", NULL},
        {"count=0.5", "count", "0.5", NULL},
        {"count=abc", "count", "\"50\"", NULL},
        {"count=", "count", "true", NULL},
        {"before_time=-62135596801", "before_time", "-62135596801",
         "before_time must not be before the year 1"},
        {"beforeTime=-62135596801", "beforeTime", "-62135596801",
         "beforeTime must not be before the year 1"},
        {"before_time=4102444801", "before_time", "4102444801",
         "before_time exceeds maximum allowed timestamp"},
        {"afterTime=4102444801", "afterTime", "4102444801",
         "afterTime exceeds maximum allowed timestamp"},
        {"before_time=1700000000000", "before_time", "1700000000000",
         "before_time exceeds maximum allowed timestamp"},
        {"before_time=50.5", "before_time", "50.5", NULL},
        {"beforeTime=50.5", "beforeTime", "50.5", NULL},
        {"before_time=invalid", "before_time", "\"invalid\"", NULL},
        {"before_time=", "before_time", "[]", NULL},
        {"before_time=NaN", "before_time", NULL, NULL},
        {"after_time=x", "after_time", "1e999", NULL},
        {"afterTime=x", "afterTime", "\"x\"", NULL},
        {"from=-1e11", "from", "-1e11", "from must not be before the year 1"},
        {"to=5e9", "to", "5e9", "to exceeds maximum allowed timestamp"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char place[32];
        char body[128];
        const char *expected = rows[i].expected != NULL ? rows[i].expected : "valid integer";
        snprintf(place, sizeof place, "query.%s", rows[i].name);
        if (rows[i].expected != NULL) {
            assert_message(pipeline, HISTORY(rows[i].query), 400, expected);
        } else {
            assert_fault(pipeline, HISTORY(rows[i].query), place, expected);
        }
        if (rows[i].value != NULL) {
            snprintf(place, sizeof place, "body.%s", rows[i].name);
            snprintf(body, sizeof body, "{\"pane_id\":0,\"series_id\":\"s\",\"%s\":%s}",
                     rows[i].name, rows[i].value);
            assert_fault(pipeline, POST("/api/charts/c/history", body), place, expected);
        }
    }
    assert_field(pipeline, POST("/api/charts/c/history", "{}"), "pane_id");
    assert_field(pipeline, POST("/api/charts/c/history", "{\"pane_id\":0}"), "series_id");
    assert_field(pipeline, POST("/api/charts/c/history", "{\"pane_id\":101,\"series_id\":\"s\"}"),
                 "pane_id");
    assert_fault(pipeline, POST("/api/charts/c/history", "{\"pane_id\":0,\"series_id\":\"a..b\"}"),
                 "body.series_id", "series_id must not contain '..'");
    assert_fault(pipeline, POST("/api/charts/c/history", "{\"paneId\":0,\"seriesId\":\"a b\"}"),
                 "body.seriesId", "seriesId contains invalid characters");
    assert_message(pipeline, POST("/api/charts/x/history", "{\"pane_id\":0,\"series_id\":\"s\"}"),
                   404, "Chart 'x' not found");
    assert_message(pipeline, ASK("/api/charts/c/history/1/s", ""), 404,
                   "Series 's' not found in pane 1 of chart 'c'");
}

/* The n-th of several answers. */
static const struct json_node *result_at(struct pipeline *pipeline, size_t n)
{
    const struct json_node *item = json_first(json_member(answer_json(pipeline), "results"));
    for (; n > 0; n--) {
        item = json_next(item);
    }
    assert_non_null(item);
    return item;
}

static void several_pages_are_answered_one_by_one(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 600);
    assert_answers(pipeline,
                   POST("/api/charts/c/history",
                        "{\"requests\":[{\"pane_id\":0,\"series_id\":\"s\",\"before_time\":5,"
                        "\"count\":2},{\"paneId\":1,\"seriesId\":\"s\"},"
                        "{\"pane_id\":0,\"series_id\":\"s\",\"count\":0},{\"pane_id\":0},7,"
                        "{\"pane_id\":0,\"series_id\":\"s\",\"from\":599}]}"),
                   200);
    assert_int_equal(json_count(json_member(answer_json(pipeline), "results")), 6);
    assert_null(answer_header(pipeline, "ETag"));
    static const char page[] =
        "{\"results\":[{\"seriesId\":\"s\",\"data\":[{\"time\":3,\"value\":3},"
        "{\"time\":4,\"value\":4}],\"chunkInfo\":{\"start_index\":3,\"end_index\":5,";
    assert_memory_equal(pipeline->body.data, page, sizeof page - 1);
    static const char *const errors[] = {NULL,
                                         "not_found",
                                         "field_validation_failed",
                                         "missing_required_field",
                                         "missing_required_field",
                                         NULL};
    for (size_t i = 0; i < COUNT(errors); i++) {
        const struct json_node *result = result_at(pipeline, i);
        const char *error = json_member_text(result, "error", NULL);
        assert_true(errors[i] == NULL ? error == NULL : strcmp(error, errors[i]) == 0);
        assert_int_equal(json_member(result, "data") != NULL, error == NULL);
    }
    assert_string_equal(json_member_text(result_at(pipeline, 1), "message", ""),
                        "Series 's' not found in pane 1 of chart 'c'");
}

static void several_pages_have_the_points_of_one(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 10);
    assert_field(pipeline, POST("/api/charts/c/history", "{\"requests\":{}}"), "requests");
    assert_field(pipeline, POST("/api/charts/c/history", "{\"requests\":null}"), "requests");
    assert_field(pipeline, POST("/api/charts/c/history", "{\"requests\":[]}"), "requests");
    struct buffer body;
    for (size_t count = 20; count <= 21; count++) {
        buffer_init(&body, 8192);
        for (size_t i = 0; i < count; i++) {
            buffer_append_format(&body, "%s{\"pane_id\":0,\"series_id\":\"s\"}",
                                 i > 0 ? "," : "{\"requests\":[");
        }
        buffer_append_text(&body, "]}");
        const struct call *call = POST("/api/charts/c/history", buffer_text(&body));
        if (count > 20) {
            assert_field(pipeline, call, "requests");
        } else {
            assert_answers(pipeline, call, 200);
            assert_int_equal(count_in(pipeline->body.data, "\"error\""), 0);
        }
        buffer_release(&body);
    }
    assert_answers(pipeline,
                   POST("/api/charts/c/history",
                        "{\"requests\":[{\"pane_id\":0,\"series_id\":\"s\",\"count\":9000},"
                        "{\"pane_id\":0,\"series_id\":\"s\",\"count\":1001},"
                        "{\"pane_id\":0,\"series_id\":\"s\",\"count\":1000}]}"),
                   200);
    assert_null(json_member(result_at(pipeline, 0), "error"));
    const struct json_node *errors = json_member(result_at(pipeline, 1), "detail");
    assert_string_equal(json_member_text(json_first(errors), "msg", ""),
                        "count of all requests together must be at most 10000");
    assert_null(json_member(result_at(pipeline, 2), "error"));
}

static void a_series_of_milliseconds_can_be_paged(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   POST("/api/charts/c/data/s",
                        "{\"series_type\":\"line\",\"data\":[{\"time\":1700000000000},"
                        "{\"time\":1700000000500},{\"time\":1700000000750}]}"),
                   200);
    assert_answers(pipeline, HISTORY("before_time=1700000000.75&count=1"), 200);
    assert_non_null(strstr(pipeline->body.data, "\"data\":[{\"time\":1700000000.5}]"));
    assert_answers(pipeline, HISTORY("before_time=1700000000.5"), 200);
    assert_non_null(strstr(pipeline->body.data, "\"data\":[{\"time\":1700000000}]"));
}

/* {"series_type":"line","data":[…]} whose points have 4000 bytes each. */
static const char *heavy_body(struct pipeline *pipeline, int count)
{
    struct buffer text;
    buffer_init(&text, (size_t)32 << 20);
    buffer_append_text(&text, "{\"series_type\":\"line\",\"data\":[");
    for (int i = 0; i < count; i++) {
        buffer_append_format(&text, "%s{\"time\":%07d,\"value\":1,\"x\":\"%03960d\"}",
                             i > 0 ? "," : "", 1000000 + i, i);
    }
    buffer_append_text(&text, "]}");
    assert_int_equal(buffer_status(&text), STATUS_OK);
    const char *copy = arena_copy(&pipeline->arena, buffer_text(&text), text.length);
    assert_non_null(copy);
    buffer_release(&text);
    return copy;
}

#define HEAVY_COUNT 2500

static int64_t integer_of(const struct json_node *node, const char *name)
{
    int64_t number = -1;
    assert_true(json_get_integer(json_member(node, name), &number));
    return number;
}

static bool flag_of(const struct json_node *node, const char *name)
{
    bool flag = false;
    assert_true(json_get_boolean(json_member(node, name), &flag));
    return flag;
}

/* What a client does: read on until there is no more. It gets every point once, in answers of a
 * bounded size. */
static void heavy_points_come_in_shorter_pages(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, POST("/api/charts/c/data/s", heavy_body(pipeline, HEAVY_COUNT)), 200);
    for (int forward = 0; forward < 2; forward++) {
        const char *query = forward ? "from=0&count=10000" : "count=10000";
        bool has_more = true;
        int64_t seen = 0;
        int pages = 0;
        while (has_more) {
            assert_answers(pipeline, HISTORY(query), 200);
            assert_true(pipeline->body.length <= CHARTS_ANSWER_MAXIMUM + 1024);
            const struct json_node *root = answer_json(pipeline);
            const struct json_node *chunk = json_member(root, "chunkInfo");
            int64_t count = integer_of(chunk, "count");
            int64_t start = integer_of(chunk, "start_index");
            int64_t end = integer_of(chunk, "end_index");
            assert_int_equal(count, json_count(json_member(root, "data")));
            assert_int_equal(end - start, count);
            assert_true(count > 0);
            assert_int_equal(forward ? start : HEAVY_COUNT - end, seen);
            assert_int_equal(integer_of(root, "totalCount"), HEAVY_COUNT);
            assert_int_equal(flag_of(root, "hasMoreBefore"), start > 0);
            assert_int_equal(flag_of(root, "hasMoreAfter"), end < HEAVY_COUNT);
            seen += count;
            has_more = flag_of(root, forward ? "hasMoreAfter" : "hasMoreBefore");
            query = arena_format(&pipeline->arena,
                                 forward ? "after_time=%lld&count=10000"
                                         : "before_time=%lld&count=10000",
                                 (long long)integer_of(chunk, forward ? "end_time" : "start_time"));
            pages++;
        }
        assert_int_equal(seen, HEAVY_COUNT);
        assert_int_equal(pages, 3);
    }
}

/* The same bound for all points of an answer, however many series they are of. */
static void heavy_series_share_one_answer(void **state)
{
    struct pipeline *pipeline = *state;
    const char *body = heavy_body(pipeline, 400);
    static const char *const ids[] = {"s", "t", "u", "v"};
    for (size_t i = 0; i < COUNT(ids); i++) {
        const char *path = arena_format(&pipeline->arena, "/api/charts/c/data/%s", ids[i]);
        assert_answers(pipeline, POST(path, body), 200);
    }
    assert_answers(pipeline, GET("/api/charts/c"), 200);
    assert_in_range(pipeline->body.length, CHARTS_ANSWER_MAXIMUM - 8192,
                    CHARTS_ANSWER_MAXIMUM + 16384);
    const struct json_node *series =
        json_first(json_member(json_first(json_member(answer_json(pipeline), "panes")), "series"));
    static const bool chunked[] = {false, false, true, true};
    for (size_t i = 0; i < COUNT(ids); i++, series = json_next(series)) {
        assert_string_equal(json_member_text(series, "seriesId", ""), ids[i]);
        assert_int_equal(flag_of(series, "chunked"), chunked[i]);
        size_t count = json_count(json_member(series, "data"));
        assert_true(count >= 1 && (count < 400) == chunked[i]);
        if (chunked[i]) {
            assert_true(flag_of(series, "hasMoreBefore"));
            assert_false(flag_of(series, "hasMoreAfter"));
        }
    }
    assert_answers(pipeline,
                   POST("/api/charts/c/history",
                        "{\"requests\":[{\"pane_id\":0,\"series_id\":\"s\",\"count\":2000},"
                        "{\"pane_id\":0,\"series_id\":\"t\",\"count\":2000},"
                        "{\"pane_id\":0,\"series_id\":\"u\",\"count\":2000},"
                        "{\"pane_id\":0,\"series_id\":\"v\",\"count\":2000}]}"),
                   200);
    assert_in_range(pipeline->body.length, CHARTS_ANSWER_MAXIMUM - 8192,
                    CHARTS_ANSWER_MAXIMUM + 16384);
    assert_int_equal(json_count(json_member(answer_json(pipeline), "results")), 4);
}

int main(void)
{
#define WITH_PROGRAM(test) cmocka_unit_test_setup_teardown(test, charts_set_up, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PROGRAM(history_pages),
        WITH_PROGRAM(history_refuses_what_is_out_of_range),
        WITH_PROGRAM(heavy_points_come_in_shorter_pages),
        WITH_PROGRAM(heavy_series_share_one_answer),
        WITH_PROGRAM(several_pages_are_answered_one_by_one),
        WITH_PROGRAM(several_pages_have_the_points_of_one),
        WITH_PROGRAM(a_series_of_milliseconds_can_be_paged),
    };
    return cmocka_run_group_tests_name("charts_history", tests, NULL, NULL);
}
