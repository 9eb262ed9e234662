/* A path that could be read in two ways is refused before a route is looked for, and what a web
 * server refuses by itself keeps the method, the path and the dialect of who asked. */
#include "../torture/torture.h"

static unsigned handled;

static void echo(struct request *request)
{
    handled++;
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_slice(json, "path", request->path);
    json_write_object_end(json);
}

static const struct route routes[] = {
    {HTTP_GET, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_DELETE, "/things/{id}", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_DELETE, "/things/{id}/parts/{part}", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/v1/models", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, ROUTE_OPENAI},
    {HTTP_GET, "/v1/models/{id}", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, ROUTE_OPENAI},
    {HTTP_GET, "/v1/models/{maker}/{id}", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_OPENAI},
};

static const struct app_options options = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
};

static int set_up(void **state)
{
    handled = 0;
    return pipeline_set_up_with(state, &options);
}

static const char *uri(const char *target)
{
    static char text[2][512];
    static size_t turn;
    turn = (turn + 1) % 2;
    snprintf(text[turn], sizeof text[turn], "REQUEST_URI=%s", target);
    return text[turn];
}

/* Behind the mark: what a web server makes of it. */
static const char *const ambiguous[][2] = {
    {"/things/a/parts/..%2F..", "/things/a"},
    {"/things/a/parts/..%2f..", "/things/a"},
    {"/things/a/parts/%2e%2e", "/things/a"},
    {"/things/a/parts/..", "/things/a"},
    {"/things/a/parts/.%2E/", "/things/a"},
    {"/things/b/../a", "/things/a"},
    {"/things/./a", "/things/a"},
    {"/things/%2e/a", "/things/a"},
    {"/things/a/.", "/things/a"},
    {"/../things/a", "/things/a"},
    {"/things//a", "/things/a"},
    {"//things/a", "/things/a"},
    {"/things/a//", "/things/a"},
    {"/things%2Fa", "/things/a"},
    {"/things/a%2f", "/things/a"},
    {"/things/a/parts%5C..", "/things/a"},
    {"/things/a\\..\\a", "/things/a"},
    {"/things\\a", "/things/a"},
    {"/things/a%00", "/things/a"},
    {"/things/a%00.txt", "/things/a"},
    {"/things/%ff", "/things/a"},
    {"/things/\xff", "/things/a"},
    {"/things/%c0%ae%c0%ae", "/things/a"},
    {"/things/%ed%a0%80", "/things/a"},
    {"/things/a%", "/things/a"},
    {"/things/a%2", "/things/a"},
    {"/things/a%zz", "/things/a"},
    {"/things/a#/../b", "/things/a"},
    {"/things/a b", "/things/a"},
    {"/things/a\t", "/things/a"},
    {"things/a", "/things/a"},
    {"http://host/things/b/..%2Fa", "/things/a"},
    {"HTTPS://host/things/b/../a?x=/", "/things/a"},
    {"ftp://host/things/a", "/things/a"},
    {"/api/v1/things/a/parts/..%2F..", "/api/v1/things/a"},
    {"/api/v1/../things/a", "/things/a"},
    {"/v1/models/..%2fthings%2fa", "/things/a"},
    {"/v1/models/a%2F", "/v1/models/a/"},
    {"/v1/models%2Fa", "/v1/models/a"},
    {"*", "/things/a"},
};

static void an_ambiguous_path_is_400_whatever_the_web_server_made_of_it(void **state)
{
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(ambiguous); i++) {
        assert_answers(
            pipeline,
            CALL(.method = "DELETE", .path = ambiguous[i][1], .cgi = {uri(ambiguous[i][0])}), 400);
        if (handled != 0) {
            fail_msg("%s was handled", ambiguous[i][0]);
        }
    }
}

/* Where a server hands no request line on, what it has decoded is judged by the same rule. */
static void without_a_request_line_the_decoded_path_is_judged(void **state)
{
    static const char *const paths[] = {"/things/../a",     "/things/a/.", "/things//a",
                                        "/things/a\\b",     "//things/a",  "things/a",
                                        "/things/a\xc0\xae"};
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_refused(pipeline, CALL(.method = "DELETE", .path = paths[i]), 400,
                       "invalid_request");
        assert_refused(pipeline,
                       CALL(.method = "DELETE", .path = paths[i], .cgi = {uri("/things/a")}), 400,
                       "invalid_request");
    }
    assert_int_equal(handled, 0);
    assert_answers(pipeline, CALL(.method = "DELETE", .path = "/things/a"), 200);
}

static void a_plain_path_is_served_however_it_is_spelled(void **state)
{
    static const char *const plain[][2] = {
        {"/things/a", "/things/a"},
        {"/things/a/", "/things/a/"},
        {"/things/a?x=..%2F..//", "/things/a"},
        {"/%74hings/%61", "/things/a"},
        {"http://host/things/a", "/things/a"},
        {"HTTP://host:80/things/a?b", "/things/a"},
        {"/api/v1/things/a", "/api/v1/things/a"},
        {"/things/...", "/things/..."},
        {"/things/..a", "/things/..a"},
        {"/things/a..", "/things/a.."},
        {"/things/%C3%A9", "/things/\xc3\xa9"},
        {"/things/\xc3\xa9", "/things/\xc3\xa9"},
        {"/things/a%20b", "/things/a b"},
        {"/things/a%3Fb", "/things/a?b"},
        {"/things/%252e%252e", "/things/%2e%2e"},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(plain); i++) {
        assert_answers(pipeline,
                       CALL(.method = "DELETE", .path = plain[i][1], .cgi = {uri(plain[i][0])}),
                       200);
    }
    /* OpenAI's own libraries encode the slash in a model's name. */
    assert_answers(pipeline, CALL(.path = "/v1/models/a/b", .cgi = {uri("/v1/models/a%2Fb")}), 200);
    assert_answers(pipeline,
                   CALL(.path = "/api/v1/v1/models/a/b", .cgi = {uri("/api/v1/v1/models/a%2Fb")}),
                   200);
    assert_answers(pipeline, CALL(.path = "", .cgi = {uri("http://host")}), 404);
    assert_answers(pipeline, CALL(.path = "", .cgi = {uri("http://host?a=b")}), 404);
}

static void options_of_everything_tells_the_methods(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("ALLOWED_HOSTS=api.example"));
    const struct call *call =
        CALL(.method = "OPTIONS", .path = "*", .cgi = {uri("*"), "HTTP_HOST=api.example"});
    assert_answers(pipeline, call, 204);
    assert_header(pipeline, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    assert_answers(
        pipeline,
        CALL(.method = "OPTIONS", .path = "*", .cgi = {uri("*"), "HTTP_HOST=evil.example"}), 400);
    assert_answers(pipeline,
                   CALL(.method = "GET", .path = "*", .cgi = {uri("*"), "HTTP_HOST=api.example"}),
                   400);
}

/* --- Dialects ------------------------------------------------------------------------------- */

static const char *openai_code(struct pipeline *pipeline)
{
    return json_member_text(json_member(answer_json(pipeline), "error"), "code", "none");
}

static void errors_under_v1_have_openais_shape_whoever_refuses(void **state)
{
    static const struct {
        const char *path;
        const char *cgi[3];
        int status;
        const char *code;
    } cases[] = {
        {"/v1", {0}, 404, "not_found"},
        {"/v1/", {0}, 404, "not_found"},
        {"/v1/nothing", {0}, 404, "not_found"},
        {"/api/v1/v1", {0}, 404, "not_found"},
        {"/api/v1/v1/nothing", {0}, 404, "not_found"},
        {"/v1/models/demo/\xff", {"REQUEST_URI=/v1/models/demo/%FF"}, 400, "invalid_request"},
        {"/api/v1/v1/models/\xff", {"REQUEST_URI=/api/v1/v1/models/%FF"}, 400, "invalid_request"},
        {"/things/a", {"REQUEST_URI=/v1/..%2Fthings/a"}, 400, "invalid_request"},
        {"/", {"REQUEST_URI=/v1/models", "REDIRECT_STATUS=431"}, 431, "request_header_too_large"},
        {"/",
         {"REQUEST_URI=/v1/chat/completions", "REDIRECT_STATUS=413"},
         413,
         "request_too_large"},
        {"/",
         {"REQUEST_URI=/api/v1/v1/models?a=b", "REDIRECT_STATUS=503"},
         503,
         "service_overloaded"},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline,
                       CALL(.path = cases[i].path, .cgi = {cases[i].cgi[0], cases[i].cgi[1]}),
                       cases[i].status);
        assert_string_equal(openai_code(pipeline), cases[i].code);
    }
    static const char *const own[] = {"/v10", "/v1x/models", "/api/v1", "/api/v1/nothing",
                                      "/x/v1/"};
    for (size_t i = 0; i < COUNT(own); i++) {
        assert_refused(pipeline, CALL(.path = own[i]), 404, "not_found");
    }
}

/* --- What the web server refuses ------------------------------------------------------------ */

static void what_the_web_server_refuses_is_told_as_what_was_asked(void **state)
{
    static const struct {
        const char *status;
        const char *target;
        const char *method;
        const char *line; /* of the log */
    } cases[] = {
        {"REDIRECT_STATUS=413", "/things/a?secret=1", "REDIRECT_REQUEST_METHOD=POST",
         "\"method\":\"POST\",\"path\":\"/things/a\",\"status_code\":413"},
        {"REDIRECT_STATUS=503", "/things/a%20b", "REDIRECT_REQUEST_METHOD=DELETE",
         "\"method\":\"DELETE\",\"path\":\"/things/a b\",\"status_code\":503"},
        {"REDIRECT_STATUS=400", "/things/a", "REDIRECT_REQUEST_METHOD=BREW",
         "\"method\":\"_OTHER\",\"path\":\"/things/a\",\"status_code\":400"},
        {"REDIRECT_STATUS=404", "/things/a%2Fb", "REDIRECT_REQUEST_METHOD=DELETE",
         "\"method\":\"DELETE\",\"path\":\"/things/a%2Fb\",\"status_code\":400"},
        {"REDIRECT_STATUS=403", "/open",
         "REDIRECT_REQUEST_METHOD=", "\"method\":\"GET\",\"path\":\"/open\",\"status_code\":403"},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        send_call(pipeline, CALL(.path = "/open",
                                 .cgi = {cases[i].status, uri(cases[i].target), cases[i].method,
                                         "HTTP_X_CORRELATION_ID=the-clients-own"}));
        assert_header(pipeline, "X-Correlation-ID", "the-clients-own");
        const char *log = pipeline_log(pipeline);
        if (count_in(log, cases[i].line) != 1) {
            fail_msg("no %s in %s", cases[i].line, log);
        }
        assert_int_equal(count_in(log, "secret"), 0);
    }
    assert_int_equal(count_in(pipeline_log(pipeline), "the-clients-own"), COUNT(cases));
    assert_int_equal(handled, 0);
}

static void a_redirect_that_is_no_refusal_is_an_ordinary_request(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const statuses[] = {
        "REDIRECT_STATUS=200", "REDIRECT_STATUS=",    "REDIRECT_STATUS=399",
        "REDIRECT_STATUS=600", "REDIRECT_STATUS=4x0", "HTTP_REDIRECT_STATUS=403"};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        assert_answers(pipeline,
                       CALL(.path = "/open", .cgi = {statuses[i], "REDIRECT_REQUEST_METHOD=POST"}),
                       200);
    }
}

/* Only a POST, and only at its own path: 405 says that it was matched as what it was. */
static void a_post_begun_anew_without_a_length_is_an_ordinary_request(void **state)
{
    struct pipeline *pipeline = *state;
    const char *post = "REDIRECT_REQUEST_METHOD=POST";
    assert_refused(pipeline, CALL(.path = "/open", .cgi = {"REDIRECT_STATUS=411", post}), 405,
                   "method_not_allowed");
    assert_refused(
        pipeline,
        CALL(.path = "/refused/GET", .cgi = {"REDIRECT_STATUS=411", post, "REQUEST_URI=/open"}),
        400, "invalid_request");
    assert_refused(
        pipeline,
        CALL(.path = "/open", .cgi = {"REDIRECT_STATUS=411", "REDIRECT_REQUEST_METHOD=PUT"}), 400,
        "invalid_request");
    assert_refused(pipeline,
                   CALL(.path = "/open", .cgi = {"REDIRECT_STATUS=411", post, uri("/open/..")}),
                   400, "invalid_request");
}

static void every_failing_allocation_is_503_or_the_answer(void **state)
{
    struct pipeline *pipeline = *state;
    for (size_t room = 64; room < 4096; room += 64) {
        pipeline->arena_room = room;
        assert_int_equal(
            pipeline_run(pipeline, CALL(.path = "/things/a/parts/b", .method = "DELETE",
                                        .cgi = {uri("/things/a/parts/..%2F..")})),
            STATUS_OK);
        assert_null(pipeline_read_answer(pipeline));
        assert_true(pipeline->status == 503 || pipeline->status == 400);
    }
    pipeline->arena_room = 0;
    assert_int_equal(handled, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_ambiguous_path_is_400_whatever_the_web_server_made_of_it),
        TEST(without_a_request_line_the_decoded_path_is_judged),
        TEST(a_plain_path_is_served_however_it_is_spelled),
        TEST(options_of_everything_tells_the_methods),
        TEST(errors_under_v1_have_openais_shape_whoever_refuses),
        TEST(what_the_web_server_refuses_is_told_as_what_was_asked),
        TEST(a_redirect_that_is_no_refusal_is_an_ordinary_request),
        TEST(a_post_begun_anew_without_a_length_is_an_ordinary_request),
        TEST(every_failing_allocation_is_503_or_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
