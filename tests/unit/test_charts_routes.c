/* The routes of the charts program, through the whole pipeline. */
#include "charts_help.h"

/* --- Charts ------------------------------------------------------------------------------- */

static void creating_a_chart_is_idempotent(void **state)
{
    assert_body(*state, POST("/api/charts/c", "{\"w\": 1.0}"),
                "{\"chartId\":\"c\",\"options\":{\"w\": 1.0}}");
    assert_body(*state, POST("/api/charts/c", "{\"w\":2}"),
                "{\"chartId\":\"c\",\"options\":{\"w\": 1.0}}");
    assert_body(*state, POST("/api/charts/d", NULL), "{\"chartId\":\"d\",\"options\":{}}");
}

static void put_replaces_the_options(void **state)
{
    assert_message(*state, PUT("/api/charts/c", "{}"), 404, "Chart 'c' not found");
    assert_answers(*state, POST("/api/charts/c", "{\"w\":1}"), 200);
    assert_body(*state, PUT("/api/charts/c", " {\"h\":2} "),
                "{\"chartId\":\"c\",\"options\":{\"h\":2}}");
    assert_body(*state, GET("/api/charts/c"),
                "{\"chartId\":\"c\",\"panes\":[],\"options\":{\"h\":2}}");
}

static void options_are_an_object_of_finite_numbers(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const methods[] = {"POST", "PUT"};
    assert_answers(pipeline, POST("/api/charts/c", "{}"), 200);
    for (size_t i = 0; i < COUNT(methods); i++) {
        assert_answers(pipeline,
                       CALL(.method = methods[i], .path = "/api/charts/c", .json = "[]", KEY), 422);
        assert_answers(
            pipeline,
            CALL(.method = methods[i], .path = "/api/charts/c", .json = "{\"a\":1e999}", KEY), 422);
        assert_answers(pipeline,
                       CALL(.method = methods[i], .path = "/api/charts/c", .json = "{", KEY), 400);
        assert_answers(
            pipeline,
            CALL(.method = methods[i], .path = "/api/charts/c", .json = "{\"a\":1,\"a\":1}", KEY),
            400);
    }
}

static void charts_are_listed_in_pages(void **state)
{
    struct pipeline *pipeline = *state;
    assert_body(pipeline, GET("/api/charts"),
                "{\"items\":[],\"total\":0,\"page\":1,\"page_size\":20}");
    for (int i = 0; i < 4; i++) {
        char path[32];
        snprintf(path, sizeof path, "/api/charts/c%d", i);
        assert_answers(pipeline, POST(path, NULL), 200);
    }
    make_line(pipeline, 3);
    /* "c" has the series. */
    static const char *const pages[][2] = {{"c", "c0"}, {"c1", "c2"}, {"c3", NULL}, {NULL, NULL}};
    for (size_t i = 0; i < 4; i++) {
        const char *query = arena_format(&pipeline->arena, "page=%zu&page_size=2", i + 1);
        assert_answers(pipeline, ASK("/api/charts", query), 200);
        const struct json_node *root = answer_json(pipeline);
        const struct json_node *item = json_first(json_member(root, "items"));
        for (size_t k = 0; k < 2 && pages[i][k] != NULL; k++, item = json_next(item)) {
            assert_string_equal(json_member_text(item, "chartId", ""), pages[i][k]);
        }
        assert_null(item);
        int64_t total = 0;
        assert_true(json_get_integer(json_member(root, "total"), &total));
        assert_int_equal(total, 5);
    }
}

static void a_chart_shows_its_panes(void **state)
{
    struct pipeline *pipeline = *state;
    assert_message(pipeline, GET("/api/charts/c"), 404, "Chart not found");
    assert_answers(
        pipeline,
        POST("/api/charts/c/data/b",
             "{\"paneId\":2,\"seriesType\":\"Line\",\"data\":[],\"options\":{\"x\":1.0}}"),
        200);
    assert_answers(pipeline,
                   POST("/api/charts/c/data/a",
                        "{\"series_type\":\"area\",\"data\":[{\"time\":1,\"value\":2}]}"),
                   200);
    static const char a[] = "{\"seriesId\":\"a\",\"seriesType\":\"area\",\"data\":[{\"time\":1,"
                            "\"value\":2}],\"options\":{},\"chunked\":false,\"totalCount\":1}";
    static const char b[] = "{\"seriesId\":\"b\",\"seriesType\":\"Line\",\"data\":[],\"options\":"
                            "{\"x\":1.0},\"chunked\":false,\"totalCount\":0}";
    char expected[1024];
    snprintf(expected, sizeof expected,
             "{\"chartId\":\"c\",\"panes\":[{\"paneId\":0,\"series\":[%s]},{\"paneId\":2,"
             "\"series\":[%s]}],\"options\":{}}",
             a, b);
    assert_body(pipeline, GET("/api/charts/c"), expected);
    snprintf(expected, sizeof expected,
             "{\"chartId\":\"c\",\"panes\":{\"0\":{\"a\":%s},\"2\":{\"b\":%s}},\"options\":{}}", a,
             b);
    assert_body(pipeline, ASK("/api/charts/c", "panes=map"), expected);
}

static void deleting_takes_effect_once(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 3);
    assert_answers(pipeline, DELETE("/api/charts/c/data/0/s"), 204);
    assert_message(pipeline, DELETE("/api/charts/c/data/0/s"), 404,
                   "Series 's' not found in pane 0 of chart 'c'");
    assert_answers(pipeline, DELETE("/api/charts/c"), 204);
    assert_message(pipeline, DELETE("/api/charts/c"), 404, "Chart 'c' not found");
    assert_message(pipeline, DELETE("/api/charts/c/data/0/s"), 404, "Chart 'c' not found");
}

/* --- Ids ---------------------------------------------------------------------------------- */

static void ids_have_a_form(void **state)
{
    struct pipeline *pipeline = *state;
    char path[256];
    char id[160];
    memset(id, 'x', sizeof id);
    id[128] = '\0';
    snprintf(path, sizeof path, "/api/charts/%s", id);
    assert_answers(pipeline, POST(path, NULL), 200);
    memset(id, 'x', sizeof id);
    id[129] = '\0';
    snprintf(path, sizeof path, "/api/charts/%s", id);
    assert_field(pipeline, POST(path, NULL), "chart_id");
    snprintf(path, sizeof path, "/api/charts/c/data/0/%s", id);
    assert_field(pipeline, GET(path), "series_id");
    assert_message(pipeline, POST("/api/charts/a b", NULL), 400, "invalid characters");
    assert_message(pipeline, POST("/api/charts/abc\n", NULL), 400, "invalid characters");
    assert_message(pipeline, POST("/api/charts/\xc3\xa9", NULL), 400, "invalid characters");
    assert_message(pipeline, GET("/api/charts/a..b"), 400, "'..'");
    assert_message(pipeline, GET("/api/charts/c/data/0/a..b"), 400, "'..'");
    assert_message(pipeline, GET("/api/charts/c/history/0/a$"), 400, "invalid characters");
    assert_answers(pipeline, POST("/api/charts/A_z-0.9", NULL), 200);
    static const char *const panes[] = {"101", "-1", "x", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < COUNT(panes); i++) {
        snprintf(path, sizeof path, "/api/charts/c/data/%s/s", panes[i]);
        assert_field(pipeline, GET(path), "pane_id");
        assert_field(pipeline, DELETE(path), "pane_id");
        snprintf(path, sizeof path, "/api/charts/c/history/%s/s", panes[i]);
        assert_field(pipeline, GET(path), "pane_id");
    }
}

static void without_credentials_nothing_is_told(void **state)
{
    for (size_t i = 0; i < COUNT(charts_routes); i++) {
        char path[128];
        const char *from = charts_routes[i].template;
        size_t at = 0;
        for (; *from != '\0'; from++) {
            if (*from == '{') {
                path[at++] = '0';
                from = strchr(from, '}');
            } else {
                path[at++] = *from;
            }
        }
        path[at] = '\0';
        assert_refused(
            *state,
            CALL(.method = http_method_text(charts_routes[i].method), .path = path, .json = "{}"),
            401, "auth_required");
    }
}

static void what_is_not_built_does_not_exist(void **state)
{
    assert_answers(*state, GET("/api/charts/c/events"), 404);
    assert_answers(*state, GET("/ws/charts/c"), 404);
    assert_answers(*state, GET("/udf/config"), 404);
    assert_answers(*state, PUT("/api/charts/c/data/0/s", "{}"), 405);
}

/* --- Series ------------------------------------------------------------------------------- */

static void points_come_back_as_sent(void **state)
{
    struct pipeline *pipeline = *state;
    assert_body(pipeline,
                POST("/api/charts/c/data/s",
                     "{\"series_type\":\"line\",\"options\":{\"color\":\"red\"},\"data\":"
                     "[{\"time\":1.0,\"value\":1.0,\"x\":[1, 2]},{\"time\":\"2024-02-29\","
                     "\"value\":1e3}]}"),
                "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"count\":2}");
    assert_body(
        pipeline, GET("/api/charts/c/data/0/s"),
        "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"data\":[{\"time\":1,\"value\":1.0,"
        "\"x\":[1, 2]},{\"time\":1709164800,\"value\":1e3}],\"options\":{\"color\":\"red\"},"
        "\"chunked\":false,\"totalCount\":2}");
}

static void wrong_bodies_are_refused(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *location; /* of a 422 */
    } rows[] = {
        {"", 400, NULL},
        {"{", 400, NULL},
        {"[]", 422, "body"},
        {"1", 422, "body"},
        {"{}", 422, "series_type"},
        {"{\"series_type\":\"line\"}", 422, "data"},
        {"{\"data\":[]}", 422, "series_type"},
        {"{\"series_type\":\"\",\"data\":[]}", 422, "series_type"},
        {"{\"series_type\":1,\"data\":[]}", 422, "series_type"},
        {"{\"series_type\":\"line\",\"data\":\"x\"}", 422, "data"},
        {"{\"series_type\":\"line\",\"data\":{}}", 422, "data"},
        {"{\"series_type\":\"line\",\"data\":null}", 422, "data"},
        {"{\"series_type\":\"line\",\"data\":[1]}", 422, "data"},
        {"{\"series_type\":\"line\",\"data\":[],\"options\":[]}", 422, "options"},
        {"{\"series_type\":\"line\",\"data\":[],\"options\":{\"a\":1e400}}", 422, "options"},
        {"{\"series_type\":\"line\",\"data\":[],\"pane_id\":101}", 422, "pane_id"},
        {"{\"series_type\":\"line\",\"data\":[],\"pane_id\":-1}", 422, "pane_id"},
        {"{\"series_type\":\"line\",\"data\":[],\"pane_id\":\"0\"}", 422, "pane_id"},
        {"{\"series_type\":\"line\",\"data\":[],\"paneId\":0.5}", 422, "paneId"},
        {"{\"series_type\":\"line\",\"data\":[],\"data\":[]}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[],\"d\\u0061ta\":[]}", 400, NULL},
        {"{\"series_type\":\"line\",\"series_type\":\"line\",\"data\":[]}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[],\"options\":{\"a\":1,\"a\":1}}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[],\"options\":{},\"options\":{}}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[]} x", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[{\"time\":NaN}]}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[{\"time\":1,\"time\":1}]}", 400, NULL},
        {"{\"series_type\":\"line\",\"data\":[{\"time\":2,\"value\":1},{\"time\":1,\"value\":1}]}",
         422, "time"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct call *call = POST("/api/charts/c/data/s", rows[i].body);
        if (rows[i].location != NULL) {
            assert_field(*state, call, rows[i].location);
        } else {
            assert_refused(*state, call, rows[i].status, "invalid_request_body");
        }
        /* A refused write makes no chart. */
        assert_answers(*state, GET("/api/charts/c"), 404);
    }
}

static void the_first_bad_point_is_named(void **state)
{
    assert_fault(*state,
                 POST("/api/charts/c/data/s",
                      "{\"series_type\":\"line\",\"data\":[{\"time\":1,\"value\":1},"
                      "{\"time\":1,\"value\":424242}]}"),
                 "body.data.1.time", "Duplicate timestamp at index 1");
    assert_string_equal(answer_text(*state, "error"), "field_validation_failed");
    assert_fault(*state,
                 POST("/api/charts/c/data/s", "{\"series_type\":\"bar\",\"data\":[{\"time\":1,"
                                              "\"open\":1,\"high\":1,\"low\":2,\"close\":1}]}"),
                 "body.data.0.low", "low > high at index 0");
    assert_fault(*state,
                 POST("/api/charts/c/data/s", "{\"series_type\":\"line\",\"data\":"
                                              "[{\"time\":3},{\"time\":1}]}"),
                 "body.data.1.time", "not monotonic at index 1");
    assert_fault(*state,
                 POST("/api/charts/c/data/s", "{\"series_type\":\"line\",\"data\":"
                                              "[{\"time\":3,\"x\":1e999}]}"),
                 "body.data.0", "not finite at index 0");
    assert_fault(*state,
                 POST("/api/charts/c/data/s",
                      "{\"series_type\":\"trend_fill\",\"data\":[{\"time\":1,"
                      "\"base_line\":1,\"trend_direction\":1}]}"),
                 "body.data.0.trend_line", "'trend_line' is missing (required field) at index 0");
    assert_string_equal(answer_text(*state, "error"), "missing_required_field");
    /* Also where the whole body is no JSON because of it. */
    static const struct {
        const char *data;
        const char *message;
    } rows[] = {
        {"[{\"time\":1,\"value\":1},{\"time\":2,\"value\":NaN}]", "valid JSON at index 1"},
        {"[{\"time\":1,\"value\":-Infinity}]", "valid JSON at index 0"},
        {"[{\"time\":1,\"value\":1},{\"time\":2,\"value\":2,}]", "valid JSON at index 1"},
        {"[{\"time\":1,\"value\":1} {\"time\":2,\"value\":2}]", "valid JSON at index 1"},
        {"[{\"time\":1,\"value\":1},", "valid JSON at index 1"},
        {"NaN", "body is not valid"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"series_type\":\"line\",\"data\":%s}", rows[i].data);
        assert_message(*state, POST("/api/charts/c/data/s", body), 400, rows[i].message);
        snprintf(body, sizeof body, "{\"d\\u0061ta\":%s}", rows[i].data);
        assert_message(*state, PATCH("/api/charts/c/data/s", body), 400, rows[i].message);
    }
}

static void names_may_be_spelled_with_escapes(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   POST("/api/charts/c/data/s", "{\"series\\u005ftype\":\"line\",\"d\\u0061ta\":"
                                                "[{\"time\":1,\"value\":1}],\"opti\\u006fns\":"
                                                "{\"a\":1}}"),
                   200);
    assert_body(pipeline, GET("/api/charts/c/data/0/s"),
                "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"data\":[{\"time\":1,\"value\":1}],"
                "\"options\":{\"a\":1},\"chunked\":false,\"totalCount\":1}");
    char body[512];
    memset(body, 0, sizeof body);
    snprintf(body, sizeof body, "{\"%0*d\\u0061\":1,\"series_type\":\"line\",\"data\":[]}", 200, 0);
    assert_answers(pipeline, POST("/api/charts/c/data/s", body), 200);
}

static void append_and_upsert(void **state)
{
    struct pipeline *pipeline = *state;
    static const char one[] = "{\"data\":[{\"time\":5,\"value\":9}]}";
    assert_message(pipeline, PATCH("/api/charts/c/data/s", one), 404, "Chart 'c' not found");
    assert_answers(pipeline, POST("/api/charts/c", NULL), 200);
    assert_message(pipeline, PATCH("/api/charts/c/data/s", one), 404,
                   "Series 's' not found in pane 0 of chart 'c'");
    make_line(pipeline, 5);
    assert_body(pipeline, PATCH("/api/charts/c/data/s", one),
                "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"count\":6}");
    assert_message(pipeline, PATCH("/api/charts/c/data/s", one), 400, "must be >");
    assert_body(pipeline, PATCH("/api/charts/c/data/s", "{\"data\":[]}"),
                "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"count\":6}");
    assert_body(pipeline,
                PATCH("/api/charts/c/data/s",
                      "{\"mode\":\"upsert\",\"data\":[{\"time\":2,\"value\":-1},{\"time\":2.5},"
                      "{\"time\":7,\"value\":7}]}"),
                "{\"seriesId\":\"s\",\"seriesType\":\"line\",\"count\":8}");
    assert_answers(pipeline, GET("/api/charts/c/data/0/s"), 200);
    assert_non_null(strstr(pipeline->body.data,
                           "[{\"time\":0,\"value\":0},{\"time\":1,\"value\":1},{\"time\":2,"
                           "\"value\":-1},{\"time\":2.5},{\"time\":3,\"value\":3},{\"time\":4,"
                           "\"value\":4},{\"time\":5,\"value\":9},{\"time\":7,\"value\":7}]"));
    assert_field(pipeline, PATCH("/api/charts/c/data/s", "{\"mode\":\"x\",\"data\":[]}"), "mode");
    assert_field(pipeline, PATCH("/api/charts/c/data/s", "{}"), "data");
    assert_fault(pipeline,
                 PATCH("/api/charts/c/data/s", "{\"data\":[{\"time\":9,\"value\":\"9\"}]}"),
                 "body.data.0.value", "must be numeric at index 0");
}

static void a_long_series_is_sent_in_parts(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        int count;
        bool chunked;
        int start;
    } rows[] = {{499, false, 0}, {500, true, 0}, {501, true, 1}, {1300, true, 800}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        make_line(pipeline, rows[i].count);
        assert_answers(pipeline, GET("/api/charts/c/data/0/s"), 200);
        const struct json_node *root = answer_json(pipeline);
        bool chunked;
        assert_true(json_get_boolean(json_member(root, "chunked"), &chunked));
        assert_int_equal(chunked, rows[i].chunked);
        assert_int_equal(json_count(json_member(root, "data")), rows[i].count - rows[i].start);
        const struct json_node *place = json_member(root, "chunkInfo");
        assert_int_equal(place != NULL, chunked);
        if (chunked) {
            char expected[256];
            snprintf(
                expected, sizeof expected,
                "\"chunkInfo\":{\"start_index\":%d,\"end_index\":%d,\"start_time\":%d,"
                "\"end_time\":%d,\"count\":500,\"startIndex\":%d,\"endIndex\":%d,"
                "\"startTime\":%d,\"endTime\":%d},\"hasMoreBefore\":%s,\"hasMoreAfter\":false,",
                rows[i].start, rows[i].count, rows[i].start, rows[i].count - 1, rows[i].start,
                rows[i].count, rows[i].start, rows[i].count - 1,
                rows[i].start > 0 ? "true" : "false");
            assert_non_null(strstr(pipeline->body.data, expected));
        }
    }
}

/* --- Validation by ETag ------------------------------------------------------------------- */

static void an_unchanged_series_is_not_sent_again(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 600);
    static const char *const paths[] = {"/api/charts/c/data/0/s", "/api/charts/c/history/0/s"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        char condition[256];
        assert_answers(pipeline, GET(paths[i]), 200);
        const char *tag = answer_header(pipeline, "ETag");
        assert_non_null(tag);
        assert_header(pipeline, "Cache-Control", "private, no-cache");
        snprintf(condition, sizeof condition, "HTTP_IF_NONE_MATCH=\"other\", W/%s", tag);
        const struct call *again = CALL(.path = paths[i], KEY, .cgi = {condition});
        assert_answers(pipeline, again, 304);
        assert_int_equal(pipeline->body.length, 0);
        assert_header(pipeline, "ETag", tag);
        assert_answers(pipeline,
                       PATCH("/api/charts/c/data/s",
                             "{\"mode\":\"upsert\",\"data\":[{\"time\":5,\"value\":1}]}"),
                       200);
        assert_answers(pipeline, again, 200);
    }
}

/* A tag is of one part of one state of one series of one life of the database. */
static void a_tag_answers_for_nothing_else(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const queries[] = {"",
                                          "count=100",
                                          "before_time=300",
                                          "before_time=301",
                                          "after_time=300",
                                          "from=300",
                                          "from=300&to=400",
                                          "to=400",
                                          "from=300&before_time=400"};
    char condition[COUNT(queries) + 1][300];
    make_line(pipeline, 600);
    for (size_t i = 0; i < COUNT(queries); i++) {
        assert_answers(pipeline, HISTORY(queries[i]), 200);
        snprintf(condition[i], sizeof condition[i], "HTTP_IF_NONE_MATCH=%s",
                 answer_header(pipeline, "ETag"));
    }
    assert_answers(pipeline, GET("/api/charts/c/data/0/s"), 200);
    snprintf(condition[COUNT(queries)], sizeof condition[0], "HTTP_IF_NONE_MATCH=%s",
             answer_header(pipeline, "ETag"));
    for (size_t i = 0; i < COUNT(queries); i++) {
        for (size_t j = 0; j <= COUNT(queries); j++) {
            /* The newest 500 are what the series itself answers, but in another form. */
            bool is_same = j == i;
            if (j == COUNT(queries) && i == 0) {
                continue;
            }
            assert_answers(pipeline,
                           CALL(.path = "/api/charts/c/history/0/s", .query = queries[i], KEY,
                                .cgi = {condition[j]}),
                           is_same ? 304 : 200);
        }
    }
    /* The same writes in another life of the database give the same numbers, and other tags. */
    assert_answers(pipeline, DELETE("/api/charts/c"), 204);
    make_line(pipeline, 600);
    for (size_t i = 0; i < COUNT(queries); i++) {
        assert_answers(pipeline,
                       CALL(.path = "/api/charts/c/history/0/s", .query = queries[i], KEY,
                            .cgi = {condition[i]}),
                       200);
    }
}

/* Their form is the same whatever the database's life: a random part in them differs. */
static void tags_of_equal_numbers_differ(void **state)
{
    struct pipeline *pipeline = *state;
    char first[200] = "";
    for (int life = 0; life < 2; life++) {
        void *other;
        assert_int_equal(charts_set_up(&other), 0);
        make_line(other, 3);
        assert_answers(other, GET("/api/charts/c/data/0/s"), 200);
        const char *tag = answer_header(other, "ETag");
        if (life == 0) {
            snprintf(first, sizeof first, "%s", tag);
        } else {
            assert_string_not_equal(tag, first);
            assert_memory_equal(tag, first, strlen("\"1.1."));
        }
        assert_int_equal(pipeline_tear_down(&other), 0);
    }
    (void)pipeline;
}

static void known_options_have_their_types(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const wrong[][2] = {
        {"{\"width\":99}", "width"},        {"{\"width\":10001}", "width"},
        {"{\"height\":99.5}", "height"},    {"{\"height\":\"100\"}", "height"},
        {"{\"width\":null}", "width"},      {"{\"width\":true}", "width"},
        {"{\"layout\":[]}", "layout"},      {"{\"layout\":null}", "layout"},
        {"{\"crosshair\":1}", "crosshair"}, {"{\"grid\":\"x\"}", "grid"},
        {"{\"timeScale\":1}", "timeScale"}, {"{\"time_scale\":1}", "time_scale"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_field(pipeline, POST("/api/charts/c", wrong[i][0]), wrong[i][1]);
        assert_answers(pipeline, GET("/api/charts/c"), 404);
    }
    static const char good[] = "{\"width\":100,\"height\":10000,\"layout\":{},\"crosshair\":{},"
                               "\"grid\":{\"a\":[1.0]},\"theme\":\"dark\"}";
    assert_answers(pipeline, POST("/api/charts/c", good), 200);
    assert_non_null(strstr(pipeline->body.data, good));
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_field(pipeline, PUT("/api/charts/c", wrong[i][0]), wrong[i][1]);
    }
    assert_answers(pipeline, GET("/api/charts/c"), 200);
    assert_non_null(strstr(pipeline->body.data, good));
}

static void camel_options_are_answered_in_both_spellings(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const rows[][2] = {
        {"{\"timeScale\":{\"x\":1.0},\"a\":2}",
         "{\"timeScale\":{\"x\":1.0},\"a\":2,\"time_scale\":{\"x\":1.0}}"},
        {"{\"time_scale\":{}}", "{\"time_scale\":{}}"},
        {" {\"timeScale\":{} } ", "{\"timeScale\":{} ,\"time_scale\":{}}"},
        {"{\"timeScale\":{\"a\":1},\"time_scale\":{\"b\":1}}",
         "{\"timeScale\":{\"a\":1},\"time_scale\":{\"b\":1}}"},
        {"{\"x\":{\"timeScale\":{}}}", "{\"x\":{\"timeScale\":{}}}"},
        {"{}", "{}"},
    };
    assert_answers(pipeline, POST("/api/charts/c", "{}"), 200);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"chartId\":\"c\",\"options\":%s}", rows[i][1]);
        assert_body(pipeline, PUT("/api/charts/c", rows[i][0]), body);
        assert_body(pipeline, POST("/api/charts/c", "{}"), body);
        snprintf(body, sizeof body, "{\"chartId\":\"c\",\"panes\":[],\"options\":%s}", rows[i][1]);
        assert_body(pipeline, GET("/api/charts/c"), body);
    }
}

static void quotas_are_a_conflict(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &charts_options,
                  SETTINGS("RATE_LIMIT_ENABLED=false", "CHARTS_PER_OWNER=2", "SERIES_PER_OWNER=2",
                           "POINTS_PER_OWNER=10"));
    make_line(pipeline, 5);
    assert_answers(pipeline, POST("/api/charts/d", "{}"), 200);
    assert_refused(pipeline, POST("/api/charts/e", "{}"), 409, "conflict");
    assert_refused(pipeline, POST("/api/charts/e/data/s", line_body(pipeline, 0, 1)), 409,
                   "conflict");
    assert_answers(pipeline, GET("/api/charts/e"), 404);
    assert_answers(pipeline, POST("/api/charts/c/data/t", line_body(pipeline, 0, 1)), 200);
    assert_refused(pipeline, POST("/api/charts/c/data/u", line_body(pipeline, 0, 1)), 409,
                   "conflict");
    assert_refused(pipeline, PATCH("/api/charts/c/data/t", line_body(pipeline, 1, 6)), 409,
                   "conflict");
    assert_answers(pipeline, PATCH("/api/charts/c/data/t", line_body(pipeline, 1, 5)), 200);
    assert_refused(pipeline, POST("/api/charts/c/data/s", line_body(pipeline, 0, 6)), 409,
                   "conflict");
    assert_answers(pipeline, DELETE("/api/charts/c/data/0/t"), 204);
    assert_answers(pipeline, POST("/api/charts/c/data/s", line_body(pipeline, 0, 10)), 200);
}

static void the_log_names_the_chart(void **state)
{
    struct pipeline *pipeline = *state;
    make_line(pipeline, 3);
    assert_answers(pipeline, GET("/api/charts/c/history/0/s"), 200);
    assert_answers(pipeline, GET("/api/charts"), 200);
    assert_int_equal(count_in(pipeline_log(pipeline), "\"chart_id\":\"c\""), 2);
    assert_int_equal(count_in(pipeline_log(pipeline), "\"chart_id\""), 2);
}

int main(void)
{
#define WITH_PROGRAM(test) cmocka_unit_test_setup_teardown(test, charts_set_up, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PROGRAM(creating_a_chart_is_idempotent),
        WITH_PROGRAM(put_replaces_the_options),
        WITH_PROGRAM(options_are_an_object_of_finite_numbers),
        WITH_PROGRAM(charts_are_listed_in_pages),
        WITH_PROGRAM(a_chart_shows_its_panes),
        WITH_PROGRAM(deleting_takes_effect_once),
        WITH_PROGRAM(ids_have_a_form),
        WITH_PROGRAM(without_credentials_nothing_is_told),
        WITH_PROGRAM(what_is_not_built_does_not_exist),
        WITH_PROGRAM(points_come_back_as_sent),
        WITH_PROGRAM(wrong_bodies_are_refused),
        WITH_PROGRAM(the_first_bad_point_is_named),
        WITH_PROGRAM(names_may_be_spelled_with_escapes),
        WITH_PROGRAM(append_and_upsert),
        WITH_PROGRAM(a_long_series_is_sent_in_parts),
        WITH_PROGRAM(an_unchanged_series_is_not_sent_again),
        WITH_PROGRAM(a_tag_answers_for_nothing_else),
        WITH_PROGRAM(tags_of_equal_numbers_differ),
        WITH_PROGRAM(known_options_have_their_types),
        WITH_PROGRAM(camel_options_are_answered_in_both_spellings),
        WITH_PROGRAM(quotas_are_a_conflict),
        WITH_PROGRAM(the_log_names_the_chart),
    };
    return cmocka_run_group_tests_name("charts_routes", tests, NULL, NULL);
}
