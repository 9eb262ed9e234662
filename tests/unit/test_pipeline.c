/* The order in which a request is checked, and what each check lets through. */
#include "../torture/torture.h"

#include "auth/principal.h"
#include "base/clock.h"
#include "http/pipeline.h"
#include "metrics/metrics.h"
#include "stores/accounts.h"
#include "stores/api_keys.h"

static unsigned handled;

static void echo(struct request *request)
{
    handled++;
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "principal", request->principal.id);
    json_write_member_slice(json, "path", request->path);
    json_write_member_integer(json, "body_length", (int64_t)request->body.length);
    json_write_member_boolean(json, "has_json", request->json != NULL);
    json_write_object_end(json);
}

static void echo_part(struct request *request)
{
    handled++;
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "id", request_path_value(request, "id"));
    json_write_member_text(json, "part", request_path_value(request, "part"));
    json_write_object_end(json);
}

static const struct route routes[] = {
    {HTTP_GET, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_POST, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_PUT, "/maybe", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_JSON_OPTIONAL, 0},
    {HTTP_POST, "/text", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_JSON_TEXT, 0},
    {HTTP_POST, "/raw", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_RAW, 0},
    {HTTP_POST, "/ingest", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_RAW, ROUTE_INGEST},
    {HTTP_GET, "/private", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_POST, "/private", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_GET, "/optional", echo, FAMILY_DEFAULT, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_GET, "/admin", echo, FAMILY_DEFAULT, ACCESS_ADMIN, BODY_NONE, 0},
    {HTTP_GET, "/guarded", echo, FAMILY_DEFAULT, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_GUARDED},
    {HTTP_GET, "/v1/models", echo, FAMILY_DEFAULT, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_OPENAI},
    {HTTP_GET, "/things/{id}/parts/{part}", echo_part, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
};

static const struct app_options options = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
};

static const struct app_options options_with_storage = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
    .uses_storage = true,
};

static int set_up(void **state)
{
    handled = 0;
    return pipeline_set_up_with(state, &options);
}

#define PREFLIGHT "HTTP_ORIGIN=http://localhost:3000", "HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST"
#define TOO_LARGE "CONTENT_LENGTH=99999999"

/* --- Order ---------------------------------------------------------------------------------- */

static void bad_host_answers_before_preflight_and_route(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("ALLOWED_HOSTS=api.example"));
    assert_refused(pipeline, CALL(.path = "/nothing", .cgi = {"HTTP_HOST=evil.example"}), 400,
                   "invalid_request");
    assert_refused(
        pipeline,
        CALL(.method = "OPTIONS", .path = "/open", .cgi = {"HTTP_HOST=evil.example", PREFLIGHT}),
        400, "invalid_request");
}

static void https_redirect_answers_before_preflight_and_route(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example"));
    assert_answers(
        pipeline,
        CALL(.path = "/nothing", .cgi = {"HTTP_HOST=api.example", "REQUEST_URI=/nothing?a=1"}),
        308);
    assert_header(pipeline, "Location", "https://api.example/nothing?a=1");
    assert_answers(pipeline,
                   CALL(.method = "OPTIONS", .path = "/open",
                        .cgi = {"HTTP_HOST=api.example", "REQUEST_URI=/open", PREFLIGHT}),
                   308);
}

static void bad_host_answers_before_https_redirect(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example"));
    assert_refused(pipeline,
                   CALL(.path = "/open", .cgi = {"HTTP_HOST=evil.example", "REQUEST_URI=/open"}),
                   400, "invalid_request");
}

static void preflight_answers_before_route_size_limit_and_authentication(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_CHAT=1/hour"));
    const struct call *preflight =
        CALL(.method = "OPTIONS", .path = "/private", .cgi = {PREFLIGHT, TOO_LARGE});
    for (int i = 0; i < 3; i++) {
        assert_answers(pipeline, preflight, 204);
        assert_header(pipeline, "X-RateLimit-Limit", NULL);
    }
    assert_answers(pipeline, CALL(.method = "OPTIONS", .path = "/nothing", .cgi = {PREFLIGHT}),
                   204);
    /* None of them was counted: the one that is allowed still is. */
    assert_refused(pipeline, CALL(.path = "/private"), 401, "auth_required");
    assert_refused(pipeline, CALL(.path = "/private"), 429, "rate_limit_exceeded");
    assert_answers(pipeline, preflight, 204);
}

static void not_found_and_wrong_method_answer_before_body_size(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.method = "POST", .path = "/nothing", .cgi = {TOO_LARGE}), 404,
                   "not_found");
    assert_refused(pipeline, CALL(.method = "POST", .path = "/private/x", .cgi = {TOO_LARGE}), 404,
                   "not_found");
    assert_refused(pipeline, CALL(.method = "PUT", .path = "/open", .cgi = {TOO_LARGE}), 405,
                   "method_not_allowed");
}

static void a_path_without_a_route_is_charged_to_the_default_of_the_address(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_DEFAULT=2/hour"));
    assert_refused(pipeline, CALL(.path = "/nothing"), 404, "not_found");
    assert_header(pipeline, "X-RateLimit-Remaining", "1");
    assert_refused(pipeline, CALL(.path = "/v2/nothing", .key = PLAIN_KEY), 404, "not_found");
    assert_refused(pipeline, CALL(.method = "POST", .path = "/nothing/else", .cgi = {TOO_LARGE}),
                   429, "rate_limit_exceeded");
    assert_refused(pipeline, CALL(.path = "/open"), 429, "rate_limit_exceeded");
    /* A wrong method on a path that is there is not charged, nor is anybody else. */
    assert_refused(pipeline, CALL(.method = "DELETE", .path = "/open"), 405, "method_not_allowed");
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=192.0.2.8"}), 200);
}

static void rate_limit_and_authentication_answer_before_body_size(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_CHAT=1/hour"));
    struct call large = {.method = "POST", .path = "/private", .cgi = {TOO_LARGE}};
    assert_refused(pipeline, &large, 401, "auth_required");
    assert_refused(pipeline, &large, 429, "rate_limit_exceeded");
    large.key = PLAIN_KEY;
    assert_refused(pipeline, &large, 413, "request_too_large");
    assert_refused(pipeline, &large, 429, "rate_limit_exceeded");
}

static void rate_limit_and_authentication_answer_before_the_query(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_CHAT=2/hour"));
    assert_refused(pipeline, CALL(.path = "/private", .query = "a=%zz"), 401, "auth_required");
    assert_refused(pipeline, CALL(.path = "/private", .key = "guess"), 401, "invalid_api_key");
    assert_refused(pipeline, CALL(.path = "/private", .query = "a=%zz"), 429,
                   "rate_limit_exceeded");
    assert_refused(pipeline, CALL(.path = "/private", .query = "a=%zz", .key = PLAIN_KEY), 400,
                   "invalid_request");
}

static void guessers_learn_nothing_and_take_nothing_from_honest_neighbours(void **state)
{
    static const struct call guesses[] = {
        {.path = "/private", .key = "guess-one"},
        {.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Bearer a.b.c"}},
        {.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Bearer qk_0011223344556677_x"}},
        {.path = "/private"},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage, SETTINGS("RATE_LIMIT_CHAT=4/hour"));
    for (size_t i = 0; i < COUNT(guesses); i++) {
        assert_answers(pipeline, &guesses[i], 401);
    }
    for (size_t i = 0; i < COUNT(guesses); i++) {
        assert_refused(pipeline, &guesses[i], 429, "rate_limit_exceeded");
    }
    /* The same address, and each owner has its whole budget. */
    for (int i = 0; i < 4; i++) {
        assert_answers(pipeline, CALL(.path = "/private", .key = PLAIN_KEY), 200);
        assert_answers(pipeline, CALL(.path = "/private", .key = PREMIUM_KEY), 200);
    }
    assert_refused(pipeline, CALL(.path = "/private", .key = PLAIN_KEY), 429,
                   "rate_limit_exceeded");
    assert_refused(pipeline, &guesses[0], 429, "rate_limit_exceeded");
}

static void authentication_answers_before_the_body_is_read(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.method = "POST", .path = "/private", .json = "{"), 401,
                   "auth_required");
    assert_refused(pipeline,
                   CALL(.method = "POST", .path = "/private", .json = "{", .key = PLAIN_KEY), 400,
                   "invalid_request_body");
    assert_int_equal(handled, 0);
}

static void limit_of_the_principal_answers_before_the_body_is_read(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_CHAT=1/hour"));
    struct call broken = {.method = "POST", .path = "/private", .json = "{", .key = PLAIN_KEY};
    assert_refused(pipeline, &broken, 400, "invalid_request_body");
    assert_refused(pipeline, &broken, 429, "rate_limit_exceeded");
}

static void every_refusal_is_logged_counted_and_carries_its_id(void **state)
{
    static const struct {
        int status;
        const char *count;
        struct call call;
    } cases[] = {
        {400, "400", {.path = "/open", .cgi = {"HTTP_HOST=evil.example"}}},
        {413,
         "413",
         {.method = "POST", .path = "/open", .cgi = {"HTTP_HOST=a.example", TOO_LARGE}}},
        {400,
         "400",
         {.method = "POST", .path = "/open", .json = "[", .cgi = {"HTTP_HOST=a.example"}}},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("ALLOWED_HOSTS=a.example"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = cases[i].call;
        const char *method = call.method ? call.method : "GET";
        const char *const *labels = METRIC_LABELS(method, "/open", cases[i].count);
        int64_t before = metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS, labels);
        assert_answers(pipeline, &call, cases[i].status);
        const char *id = answer_header(pipeline, "X-Correlation-ID");
        assert_int_equal(count_in(pipeline_log(pipeline), id), 1);
        assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS, labels),
                         before + 1);
        assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS,
                                      METRIC_LABELS(method, "/open")),
                         0);
    }
    assert_answers(pipeline, CALL(.path = "/random/17", .cgi = {"HTTP_HOST=a.example"}), 404);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS,
                                  METRIC_LABELS("GET", "unmatched", "404")),
                     1);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_ERRORS,
                                  METRIC_LABELS("GET", "unmatched", "not_found")),
                     1);
}

static bool refuse_503(struct exchange *exchange, void *context)
{
    pipeline_refuse(exchange, 503, context);
    return false;
}

static void an_overloaded_program_answers_503_at_once(void **state)
{
    struct pipeline *pipeline = *state;
    struct exchange_handlers handlers = app_handlers(pipeline->app);
    handlers.admit = refuse_503;
    buffer_reset(&pipeline->answer);
    assert_int_equal(loopback_run(&handlers, SETTINGS("REQUEST_METHOD=GET", "PATH_INFO=/open"),
                                  (struct slice){"", 0}, &pipeline->answer),
                     STATUS_OK);
    assert_null(pipeline_read_answer(pipeline));
    assert_int_equal(pipeline->status, 503);
    assert_header(pipeline, "Retry-After", "1");
    assert_member(pipeline, "error", "service_overloaded");
    assert_int_equal(handled, 0);
}

/* --- Routes --------------------------------------------------------------------------------- */

static void every_route_answers_under_the_prefixes_too(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/api/v1/open"), 200);
    assert_member(pipeline, "path", "/open");
    assert_refused(pipeline, CALL(.path = "/api/v1/nothing"), 404, "not_found");
    assert_refused(pipeline, CALL(.path = "/api/v1open"), 404, "not_found");
    assert_refused(pipeline, CALL(.path = "/api/v1"), 404, "not_found");
    assert_refused(pipeline, CALL(.method = "DELETE", .path = "/api/v1/open"), 405,
                   "method_not_allowed");
    pipeline_open(pipeline, &options, SETTINGS("API_PREFIXES=/a,/b/c"));
    assert_answers(pipeline, CALL(.path = "/a/open"), 200);
    assert_answers(pipeline, CALL(.path = "/b/c/open"), 200);
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_refused(pipeline, CALL(.path = "/api/v1/open"), 404, "not_found");
    assert_refused(pipeline, CALL(.path = "/a/a/open"), 404, "not_found");
}

static void one_trailing_slash_is_accepted_without_redirect(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/open/"), 200);
    assert_answers(pipeline, CALL(.path = "/api/v1/open/"), 200);
    assert_answers(pipeline, CALL(.path = "/things/a/parts/b/"), 200);
    assert_member(pipeline, "part", "b");
    assert_refused(pipeline, CALL(.path = "/open//"), 400, "invalid_request");
    assert_refused(pipeline, CALL(.path = "//open"), 400, "invalid_request");
    assert_refused(pipeline, CALL(.path = "/"), 404, "not_found");
    assert_refused(pipeline, CALL(.path = ""), 404, "not_found");
}

static void the_path_may_be_split_into_two_variables_anywhere(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"SCRIPT_NAME=/api/v1"}), 200);
    assert_answers(pipeline, CALL(.path = "", .cgi = {"SCRIPT_NAME=/open"}), 200);
    assert_answers(pipeline, CALL(.path = "/a/parts/b", .cgi = {"SCRIPT_NAME=/things"}), 200);
    assert_member(pipeline, "id", "a");
    /* A file of that name, somewhere in a document root. */
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"SCRIPT_NAME=/shop/auth.fcgi"}), 200);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"SCRIPT_NAME=/shop/authxfcgi"}), 404);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"SCRIPT_NAME=.fcgi"}), 400);
    assert_answers(pipeline, CALL(.path = "", .cgi = {"SCRIPT_NAME=/things/auth.fcgi"}), 404);
}

static void a_path_that_is_not_utf8_is_refused(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/things/\xc3\xa9/parts/b"), 200);
    assert_member(pipeline, "id", "\xc3\xa9");
    assert_refused(pipeline, CALL(.path = "/things/\xff/parts/b"), 400, "invalid_request");
    assert_refused(pipeline, CALL(.path = "/things/\xed\xa0\x80/parts/b"), 400, "invalid_request");
    assert_int_equal(handled, 1);
}

static void head_answers_like_get_without_a_body(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    char length[32];
    snprintf(length, sizeof length, "%zu", pipeline->body.length);
    assert_answers(pipeline, CALL(.method = "HEAD", .path = "/open"), 200);
    assert_int_equal(pipeline->body.length, 0);
    assert_header(pipeline, "Content-Length", length);
    assert_answers(pipeline, CALL(.method = "HEAD", .path = "/nothing"), 404);
    assert_int_equal(pipeline->body.length, 0);
    assert_answers(pipeline, CALL(.method = "HEAD", .path = "/text"), 405);
    assert_int_equal(pipeline->body.length, 0);
}

static void wrong_methods_are_told_the_right_ones(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        const char *method;
        const char *path;
        const char *allowed;
    } cases[] = {
        {"DELETE", "/open", "GET, HEAD, POST"},
        {"OPTIONS", "/open", "GET, HEAD, POST"},
        {"BREW", "/open", "GET, HEAD, POST"},
        {"get", "/open", "GET, HEAD, POST"},
        {"GET", "/maybe", "PUT"},
        {"HEAD", "/text", "POST"},
        {"POST", "/things/a/parts/b", "GET, HEAD"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline, CALL(.method = cases[i].method, .path = cases[i].path), 405);
        assert_header(pipeline, "Allow", cases[i].allowed);
    }
    assert_int_equal(handled, 0);
}

/* --- Bodies --------------------------------------------------------------------------------- */

static void exactly_the_limit_is_accepted(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("MAX_BODY_SIZE=1K", "MAX_INGEST_SIZE=2K"));
    char body[2050];
    memset(body, ' ', sizeof body);
    memcpy(body, "{}", 2);
    static const struct {
        const char *path;
        size_t length;
        int status;
    } cases[] = {
        {"/open", 1024, 200}, {"/open", 1025, 413},   {"/raw", 1024, 200},
        {"/raw", 1025, 413},  {"/ingest", 2048, 200}, {"/ingest", 2049, 413},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        body[cases[i].length] = '\0';
        assert_answers(pipeline, CALL(.method = "POST", .path = cases[i].path, .json = body),
                       cases[i].status);
        body[cases[i].length] = ' ';
    }
}

static void a_body_shorter_than_announced_is_400(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.method = "POST", .path = "/raw", .cgi = {"CONTENT_LENGTH=5"}),
                   400, "invalid_request_body");
}

static void a_coded_body_is_415(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const coded[] = {"gzip", "x-gzip",         "deflate",
                                        "br",   "identity, gzip", "gzip,,",
                                        "zstd", "identityx",      "aes128gcm"};
    static const char *const plain[] = {"identity", "Identity", " identity , identity", "", ","};
    static const char *const paths[] = {"/open", "/text", "/raw"};
    char header[64];
    for (size_t p = 0; p < COUNT(paths); p++) {
        for (size_t i = 0; i < COUNT(coded); i++) {
            snprintf(header, sizeof header, "HTTP_CONTENT_ENCODING=%s", coded[i]);
            assert_refused(pipeline,
                           CALL(.method = "POST", .path = paths[p], .json = "{}", .cgi = {header}),
                           415, "unsupported_media_type");
            assert_member(pipeline, "message", "The content coding is not supported");
        }
        assert_int_equal(handled, p * COUNT(plain));
        for (size_t i = 0; i < COUNT(plain); i++) {
            snprintf(header, sizeof header, "HTTP_CONTENT_ENCODING=%s", plain[i]);
            assert_answers(pipeline,
                           CALL(.method = "POST", .path = paths[p], .json = "{}", .cgi = {header}),
                           200);
        }
    }
}

static void what_is_not_built_is_refused_and_what_is_unknown_ignored(void **state)
{
    static const struct unbuilt_parameter rows[] = {{"/open", "format"},
                                                    {"/things/{id}/parts/{part}", "max_points"}};
    static struct app_options unbuilt;
    struct pipeline *pipeline = *state;
    unbuilt = options;
    unbuilt.unbuilt = rows;
    unbuilt.unbuilt_count = COUNT(rows);
    pipeline_open(pipeline, &unbuilt, NO_SETTINGS);
    static const char *const refused[][2] = {
        {"/open", "format=f64"},       {"/open", "a=b&format="},
        {"/open", "format"},           {"/open", "%66ormat=1"},
        {"/api/v1/open/", "format=1"}, {"/things/a/parts/b", "max_points=5"}};
    static const char *const ignored[][2] = {{"/open", "formats=1"},
                                             {"/open", "max_points=5"},
                                             {"/open", "a=format"},
                                             {"/open", "Format=1"},
                                             {"/things/a/parts/b", "format=1"}};
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_refused(pipeline, CALL(.path = refused[i][0], .query = refused[i][1]), 400,
                       "invalid_request");
        assert_member(pipeline, "message",
                      "The query asks for something that this version does not have");
    }
    assert_int_equal(handled, 0);
    for (size_t i = 0; i < COUNT(ignored); i++) {
        assert_answers(pipeline, CALL(.path = ignored[i][0], .query = ignored[i][1]), 200);
    }
}

static void json_must_be_announced_as_json(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        const char *type;
        int status;
    } cases[] = {
        {"application/json", 200},
        {"application/json; charset=utf-8", 200},
        {"Application/JSON;charset=UTF-8", 200},
        {"text/plain", 415},
        {"application/jsonp", 415},
        {" application/json ; charset=\"utf-8\" ", 200},
        {"application/json;charset=utf8;", 200},
        {"application/json; profile=\"a;b\\\"c\"; charset=US-ASCII", 200},
        {"application/json;version=1", 200},
        {"application/json, text/plain", 415},
        {"application/json; charset=iso-8859-1", 415},
        {"application/json; profile=\"charset=utf-8\"; charset=utf-16", 415},
        {"application/json; charset", 415},
        {"application/json; charset=", 415},
        {"application/json; =utf-8", 415},
        {"application/json; charset=\"utf-8", 415},
        {"application/json; charset=utf-8 x", 415},
        {"application/json; charset=\"utf-8\"x", 415},
        {"application/problem+json", 415},
        {"application/json5", 415},
        {";", 415},
        {"", 415},
    };
    struct exchange_handlers handlers = app_handlers(pipeline->app);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char type[96];
        snprintf(type, sizeof type, "CONTENT_TYPE=%s", cases[i].type);
        buffer_reset(&pipeline->answer);
        assert_int_equal(loopback_run(&handlers,
                                      SETTINGS("REQUEST_METHOD=POST", "PATH_INFO=/open", type),
                                      slice_of("{}"), &pipeline->answer),
                         STATUS_OK);
        assert_null(pipeline_read_answer(pipeline));
        assert_int_equal(pipeline->status, cases[i].status);
    }
}

static void broken_json_is_400_and_other_values_are_422(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const broken[] = {
        "",         "{",          "{}x",           "{\"a\":1,\"a\":2}",
        "{a:1}",    "[1,]",       "{\"a\":NaN}",   "{\"a\":\"\xff\"}",
        "// x\n{}", "{\"a\":01}", "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < COUNT(broken); i++) {
        assert_refused(pipeline, CALL(.method = "POST", .path = "/open", .json = broken[i]), 400,
                       "invalid_request_body");
    }
    static const char *const others[] = {"[]", "1", "\"a\"", "null", "true"};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_refused(pipeline, CALL(.method = "POST", .path = "/open", .json = others[i]), 422,
                       "field_validation_failed");
    }
    assert_int_equal(handled, 0);
}

static void each_kind_of_body_reaches_its_handler(void **state)
{
    struct pipeline *pipeline = *state;
    bool has_json = true;
    assert_answers(pipeline, CALL(.method = "PUT", .path = "/maybe"), 200);
    assert_true(json_get_boolean(json_member(answer_json(pipeline), "has_json"), &has_json));
    assert_false(has_json);
    assert_answers(pipeline, CALL(.method = "PUT", .path = "/maybe", .json = "{}"), 200);
    assert_true(json_get_boolean(json_member(answer_json(pipeline), "has_json"), &has_json));
    assert_true(has_json);
    assert_answers(pipeline, CALL(.method = "POST", .path = "/text", .json = "not looked at"), 200);
    assert_refused(pipeline, CALL(.method = "POST", .path = "/text"), 400, "invalid_request_body");
    assert_answers(pipeline, CALL(.method = "POST", .path = "/raw"), 200);
}

/* --- Who may ------------------------------------------------------------------------------- */

static void each_access_lets_in_whom_it_should(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        const char *path;
        const char *key;
        int status;
        const char *error;
    } cases[] = {
        {"/open", NULL, 200, NULL},
        {"/open", "wrong", 200, NULL},
        {"/optional", NULL, 200, NULL},
        {"/optional", "wrong", 401, "invalid_api_key"},
        {"/optional", PLAIN_KEY, 200, NULL},
        {"/private", NULL, 401, "auth_required"},
        {"/private", "wrong", 401, "invalid_api_key"},
        {"/private", PLAIN_KEY "x", 401, "invalid_api_key"},
        {"/private", PLAIN_KEY, 200, NULL},
        {"/admin", NULL, 401, "auth_required"},
        {"/admin", PLAIN_KEY, 403, "permission_denied"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct call *call = CALL(.path = cases[i].path, .key = cases[i].key);
        if (cases[i].error == NULL) {
            assert_answers(pipeline, call, cases[i].status);
            continue;
        }
        assert_refused(pipeline, call, cases[i].status, cases[i].error);
        assert_header(pipeline, "WWW-Authenticate", cases[i].status == 401 ? "Bearer" : NULL);
    }
}

static void bypassed_paths_need_no_credentials_but_check_those_given(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("AUTH_BYPASS_PATHS=/private,/guarded,/admin,/v1/*"));
    assert_answers(pipeline, CALL(.path = "/private"), 200);
    assert_member(pipeline, "principal", "anonymous");
    assert_answers(pipeline, CALL(.path = "/private/"), 200);
    assert_answers(pipeline, CALL(.path = "/api/v1/private"), 200);
    assert_answers(pipeline, CALL(.path = "/v1/models"), 200);
    assert_refused(pipeline, CALL(.path = "/private", .key = "wrong"), 401, "invalid_api_key");
    assert_refused(pipeline, CALL(.path = "/guarded"), 401, "auth_required");
    assert_refused(pipeline, CALL(.path = "/admin"), 401, "auth_required");
}

static void switched_off_authentication_opens_protected_routes(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("ENABLE_AUTH=false"));
    static const char *const paths[] = {"/private", "/guarded", "/admin", "/optional"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_answers(pipeline, CALL(.path = paths[i]), 200);
        assert_member(pipeline, "principal", "anonymous");
    }
    assert_refused(pipeline, CALL(.path = "/private", .key = "wrong"), 401, "invalid_api_key");
}

/* --- Storage -------------------------------------------------------------------------------- */

static const char *make_owner(struct pipeline *pipeline, const char *email)
{
    struct account account;
    struct account_new given = {.email = email, .password_hash = "none"};
    assert_int_equal(account_create(pipeline->app->storage, &pipeline->arena, &given, &account),
                     STATUS_OK);
    return account.id;
}

static const char *make_key_of(struct pipeline *pipeline, const char *owner, const char *tier)
{
    const char *text = NULL;
    struct api_key key = {.user_id = owner,
                          .name = "test",
                          .scopes = "",
                          .tier = tier,
                          .created_at = clock_wall_seconds()};
    assert_int_equal(authenticator_make_api_key(&pipeline->arena, &text, &key.id, key.hash),
                     STATUS_OK);
    assert_int_equal(api_key_create(pipeline->app->storage, &key, 20), STATUS_OK);
    return text;
}

/* A key of the database, whose owner is an administrator. */
static const char *make_stored_key(struct pipeline *pipeline)
{
    const char *owner = make_owner(pipeline, "a@example.com");
    assert_int_equal(account_set_superuser(pipeline->app->storage, owner, true), STATUS_OK);
    return make_key_of(pipeline, owner, "");
}

static void all_keys_of_an_owner_share_its_budget(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage,
                  SETTINGS("RATE_LIMIT_CHAT=3/hour", "RATE_LIMIT_TIERS={\"wide\":\"5/hour\"}"));
    const char *owner = make_owner(pipeline, "a@example.com");
    const char *other = make_key_of(pipeline, make_owner(pipeline, "b@example.com"), "");
    for (int i = 0; i < 6; i++) {
        const char *key = make_key_of(pipeline, owner, "");
        assert_answers(pipeline, CALL(.path = "/private", .key = key), i < 3 ? 200 : 429);
    }
    for (int i = 0; i < 7; i++) {
        const char *key = make_key_of(pipeline, owner, "wide");
        assert_answers(pipeline, CALL(.path = "/private", .key = key), i < 5 ? 200 : 429);
    }
    assert_answers(pipeline, CALL(.path = "/private", .key = other), 200);
    assert_header(pipeline, "X-RateLimit-Remaining", "2");
}

static void a_tighter_tier_is_the_budget_of_its_key_alone(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage,
                  SETTINGS("RATE_LIMIT_CHAT=3/hour", "RATE_LIMIT_TIERS={\"slow\":\"1/hour\"}"));
    const char *owner = make_owner(pipeline, "a@example.com");
    const char *key = make_key_of(pipeline, owner, "");
    const char *slow = make_key_of(pipeline, owner, "slow");
    const char *slow_too = make_key_of(pipeline, owner, "slow");
    assert_answers(pipeline, CALL(.path = "/private", .key = slow), 200);
    assert_header(pipeline, "X-RateLimit-Limit", "1");
    assert_header(pipeline, "X-RateLimit-Remaining", "0");
    assert_answers(pipeline, CALL(.path = "/private", .key = slow), 429);
    assert_answers(pipeline, CALL(.path = "/private", .key = key), 200);
    assert_header(pipeline, "X-RateLimit-Remaining", "1");
    assert_answers(pipeline, CALL(.path = "/private", .key = key), 200);
    /* What the owner has spent is spent for all its keys, and a refusal costs the key nothing. */
    assert_answers(pipeline, CALL(.path = "/private", .key = slow_too), 429);
    assert_header(pipeline, "X-RateLimit-Limit", "3");
}

static void every_route_takes_a_key_as_bearer(void **state)
{
    static const char *const paths[] = {"/private", "/optional", "/guarded", "/v1/models"};
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage, NO_SETTINGS);
    const char *keys[] = {PLAIN_KEY, make_stored_key(pipeline)};
    for (size_t i = 0; i < COUNT(paths) * COUNT(keys); i++) {
        const char *header =
            arena_format(&pipeline->arena, "HTTP_AUTHORIZATION=Bearer %s", keys[i % COUNT(keys)]);
        assert_answers(pipeline, CALL(.path = paths[i / COUNT(keys)], .cgi = {header}), 200);
    }
    assert_answers(pipeline,
                   CALL(.path = "/private", .cgi = {"HTTP_AUTHORIZATION=bearer  " PLAIN_KEY}), 200);
    assert_refused(pipeline, CALL(.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Bearer x"}), 401,
                   "invalid_credentials");
    assert_answers(pipeline, CALL(.path = "/v1/models", .cgi = {"HTTP_AUTHORIZATION=Bearer x"}),
                   401);
    assert_non_null(strstr(buffer_text(&pipeline->answer), "invalid_api_key"));
    assert_refused(pipeline, CALL(.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Basic abc"}), 401,
                   "auth_required");
    assert_refused(pipeline, CALL(.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Bearer"}), 401,
                   "auth_required");
}

static void an_administrator_may_do_everything(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage, NO_SETTINGS);
    assert_answers(pipeline, CALL(.path = "/admin", .key = make_stored_key(pipeline)), 200);
}

static void unavailable_storage_is_503_and_never_401(void **state)
{
    struct pipeline *pipeline = *state;
    assert_int_equal(mkdir(pipeline_path(pipeline, "broken.db"), 0700), 0);
    char setting[192];
    snprintf(setting, sizeof setting, "DATABASE_URL=sqlite:%s",
             pipeline_path(pipeline, "broken.db"));
    pipeline_open(pipeline, &options_with_storage, SETTINGS(setting, "RATE_LIMIT_ENABLED=false"));
    static const char key[] = "qk_0123456789abcdef_0123456789abcdef0123456789abcdef";
    static const char *const paths[] = {"/private", "/optional", "/admin", "/guarded"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_refused(pipeline, CALL(.path = paths[i], .key = key), 503, "storage_unavailable");
        assert_header(pipeline, "Retry-After", "1");
    }
    assert_int_equal(handled, 0);
    /* What needs no storage goes on. */
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_answers(pipeline, CALL(.path = "/private", .key = PLAIN_KEY), 200);
    assert_refused(pipeline, CALL(.path = "/private"), 401, "auth_required");
}

/* --- No memory ------------------------------------------------------------------------------ */

static void every_check_survives_any_failed_allocation(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options_with_storage,
                  SETTINGS("RATE_LIMIT_DEFAULT=100000000/day", "RATE_LIMIT_CHAT=1/day"));
    const char *key = make_stored_key(pipeline);
    assert_refused(pipeline, CALL(.path = "/private"), 401, "auth_required");
    const struct call calls[] = {
        {.path = "/open", .query = "a=1&b=%20"},
        {.path = "/open", .query = "a=%"},
        {.path = "/a/parts/b", .cgi = {"SCRIPT_NAME=/api/v1/things"}},
        {.path = "/nothing", .cgi = {"HTTP_ACCEPT=application/problem+json"}},
        {.method = "DELETE", .path = "/open"},
        {.method = "POST", .path = "/open", .json = "{\"a\":[1,2,{\"b\":\"c\"}]}"},
        {.method = "POST", .path = "/open", .json = "[]"},
        {.method = "OPTIONS",
         .path = "/open",
         .cgi = {PREFLIGHT, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=authorization, content-type"}},
        {.path = "/admin", .key = key},
        {.path = "/admin", .key = PLAIN_KEY},
        {.path = "/optional", .key = "qk_0123456789abcdef_nothing"},
        {.path = "/v1/models", .cgi = {"HTTP_AUTHORIZATION=Bearer a.b.c"}},
        {.path = "/private"}, /* refused by the limit */
    };
    for (size_t i = 0; i < COUNT(calls); i++) {
        torture(pipeline, &calls[i], false);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_host_answers_before_preflight_and_route),
        TEST(https_redirect_answers_before_preflight_and_route),
        TEST(bad_host_answers_before_https_redirect),
        TEST(preflight_answers_before_route_size_limit_and_authentication),
        TEST(not_found_and_wrong_method_answer_before_body_size),
        TEST(a_path_without_a_route_is_charged_to_the_default_of_the_address),
        TEST(rate_limit_and_authentication_answer_before_body_size),
        TEST(rate_limit_and_authentication_answer_before_the_query),
        TEST(guessers_learn_nothing_and_take_nothing_from_honest_neighbours),
        TEST(all_keys_of_an_owner_share_its_budget),
        TEST(a_tighter_tier_is_the_budget_of_its_key_alone),
        TEST(every_route_takes_a_key_as_bearer),
        TEST(authentication_answers_before_the_body_is_read),
        TEST(limit_of_the_principal_answers_before_the_body_is_read),
        TEST(every_refusal_is_logged_counted_and_carries_its_id),
        TEST(an_overloaded_program_answers_503_at_once),
        TEST(every_route_answers_under_the_prefixes_too),
        TEST(one_trailing_slash_is_accepted_without_redirect),
        TEST(the_path_may_be_split_into_two_variables_anywhere),
        TEST(a_path_that_is_not_utf8_is_refused),
        TEST(head_answers_like_get_without_a_body),
        TEST(wrong_methods_are_told_the_right_ones),
        TEST(exactly_the_limit_is_accepted),
        TEST(a_body_shorter_than_announced_is_400),
        TEST(a_coded_body_is_415),
        TEST(what_is_not_built_is_refused_and_what_is_unknown_ignored),
        TEST(json_must_be_announced_as_json),
        TEST(broken_json_is_400_and_other_values_are_422),
        TEST(each_kind_of_body_reaches_its_handler),
        TEST(each_access_lets_in_whom_it_should),
        TEST(bypassed_paths_need_no_credentials_but_check_those_given),
        TEST(switched_off_authentication_opens_protected_routes),
        TEST(an_administrator_may_do_everything),
        TEST(unavailable_storage_is_503_and_never_401),
        TEST(every_check_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
