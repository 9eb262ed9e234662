/* What every answer looks like: ids, errors in three dialects, heads, bodies. */
#include "../torture/torture.h"

#include "http/compress.h"
#include "metrics/metrics.h"

/* --- The program ---------------------------------------------------------------------------- */

static void show_trace(struct request *request)
{
    char traceparent[CONTEXT_TRACEPARENT_SIZE];
    bool has_trace = context_traceparent(context_current(), traceparent);
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "traceparent", has_trace ? traceparent : NULL);
    json_write_object_end(json);
}

static void show_query(struct request *request)
{
    struct slice value;
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    if (request_query(request, "a", &value)) {
        json_write_member_slice(json, "a", value);
    }
    json_write_object_end(json);
}

static void read_fields(struct request *request)
{
    const char *name = field_text(request, "name", FIELD_REQUIRED, 2, 5);
    int64_t age = field_integer(request, "age", FIELD_OPTIONAL, 1, 10, 7);
    bool wise = field_boolean(request, "wise", FIELD_OPTIONAL, false);
    const char *email = field_email(request, "email", FIELD_OPTIONAL);
    (void)field_text(request, "nullable", FIELD_NULLABLE, 2, 5);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_integer(json, "name_length", (int64_t)strlen(name));
    json_write_member_integer(json, "age", age);
    json_write_member_boolean(json, "wise", wise);
    json_write_member_text(json, "email", email);
    json_write_object_end(json);
}

static void nest_field(struct request *request)
{
    problem_add_field(request, "body", "messages.0.content", "Field required", "missing");
    problem_answer_fields(request, PROBLEM_COUNT);
}

static void answer_status(struct request *request)
{
    static const struct {
        const char *name;
        enum status status;
    } rows[] = {
        {"unavailable", STATUS_UNAVAILABLE},
        {"timeout", STATUS_TIMEOUT},
        {"busy", STATUS_BUSY},
        {"no_memory", STATUS_NO_MEMORY},
        {"internal", STATUS_INTERNAL},
        {"conflict", STATUS_CONFLICT},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strcmp(request_path_value(request, "name"), rows[i].name) == 0) {
            problem_answer_status(request, rows[i].status);
        }
    }
}

static void answer_late(struct request *request)
{
    response_add_header(request, "ETag", "\"of-the-answer-that-was-given-up\"");
    problem_set_retry_after(request, 45);
    problem_answer(request, PROBLEM_LLM_RATE_LIMITED, "Busy with \"others\"");
}

static void build_too_much(struct request *request)
{
    struct json_writer *json = response_json(request, 200);
    response_add_header(request, "ETag", "\"half\"");
    json_write_object_begin(json);
    json_write_member_text(json, "half", "written");
    assert_null(buffer_reserve(&request->response.body, (size_t)1 << 30));
}

static void add_headers(struct request *request)
{
    response_add_header(request, "X-Good", "yes");
    response_add_header(request, "X-Evil", "a\r\nSet-Cookie: b");
    response_add_header(request, "X-Evil", "a\nb");
    response_add_header(request, "X-Evil", "a\rb");
    response_empty(request, 204);
}

static void add_many_headers(struct request *request)
{
    for (int i = 0; i < 1000; i++) {
        response_add_header(request, "X-Many", "value");
    }
    response_empty(request, 200);
}

static void pack(struct request *request)
{
    struct json_writer *json = response_json(request, 200);
    json_write_array_begin(json);
    for (int i = 0; i < 1000; i++) {
        json_write_text(json, "again");
    }
    json_write_array_end(json);
    if (compress_is_accepted(request)) {
        compress_response(request);
    }
}

#define PUBLIC(method, path, handler, body)                                                        \
    {                                                                                              \
        method, path, handler, FAMILY_DEFAULT, ACCESS_PUBLIC, body, 0                              \
    }

static const struct route routes[] = {
    PUBLIC(HTTP_GET, "/trace", show_trace, BODY_NONE),
    PUBLIC(HTTP_GET, "/query", show_query, BODY_NONE),
    PUBLIC(HTTP_POST, "/fields", read_fields, BODY_JSON),
    PUBLIC(HTTP_GET, "/nested", nest_field, BODY_NONE),
    PUBLIC(HTTP_GET, "/status/{name}", answer_status, BODY_NONE),
    PUBLIC(HTTP_GET, "/late", answer_late, BODY_NONE),
    PUBLIC(HTTP_GET, "/too-much", build_too_much, BODY_NONE),
    PUBLIC(HTTP_GET, "/headers", add_headers, BODY_NONE),
    PUBLIC(HTTP_GET, "/many-headers", add_many_headers, BODY_NONE),
    PUBLIC(HTTP_GET, "/packed", pack, BODY_NONE),
    PUBLIC(HTTP_POST, "/v1/fields", read_fields, BODY_JSON),
    PUBLIC(HTTP_GET, "/v1/late", answer_late, BODY_NONE),
    {HTTP_GET, "/private", show_query, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
};

static const struct app_options options = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
};

static int set_up(void **state)
{
    return pipeline_set_up_settings(state, &options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

/* --- Ids ------------------------------------------------------------------------------------ */

static void assert_is_new_uuid(const char *id)
{
    static const char form[] = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
    assert_int_equal(strlen(id), sizeof form - 1);
    for (size_t i = 0; i < sizeof form - 1; i++) {
        const char *allowed = form[i] == 'x'   ? "0123456789abcdef"
                              : form[i] == 'y' ? "89ab"
                              : form[i] == '4' ? "4"
                                               : "-";
        assert_non_null(strchr(allowed, id[i]));
    }
}

static void well_formed_ids_are_kept_and_others_replaced(void **state)
{
    struct pipeline *pipeline = *state;
    char longest[32 + 128 + 2] = "HTTP_X_CORRELATION_ID=";
    size_t prefix = strlen(longest);
    memset(longest + prefix, 'a', 128);
    const struct {
        const char *correlation;
        const char *request;
        const char *kept;
    } cases[] = {
        {"HTTP_X_CORRELATION_ID=Az09._-", NULL, "Az09._-"},
        {NULL, "HTTP_X_REQUEST_ID=r-1", "r-1"},
        {"HTTP_X_CORRELATION_ID=first", "HTTP_X_REQUEST_ID=second", "first"},
        {"HTTP_X_CORRELATION_ID=not good", "HTTP_X_REQUEST_ID=second", "second"},
        {longest, NULL, longest + prefix},
        {NULL, NULL, NULL},
        {"HTTP_X_CORRELATION_ID=", NULL, NULL},
        {"HTTP_X_CORRELATION_ID=a b", NULL, NULL},
        {"HTTP_X_CORRELATION_ID=a\r\nSet-Cookie: x", NULL, NULL},
        {"HTTP_X_CORRELATION_ID=a;b", NULL, NULL},
        {"HTTP_X_CORRELATION_ID=\xc3\xa9", NULL, NULL},
        {"HTTP_X_CORRELATION_ID=<script>", "HTTP_X_REQUEST_ID=a/b", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = {.path = "/query"};
        size_t count = 0;
        if (cases[i].correlation != NULL) {
            call.cgi[count++] = cases[i].correlation;
        }
        if (cases[i].request != NULL) {
            call.cgi[count++] = cases[i].request;
        }
        assert_answers(pipeline, &call, 200);
        const char *id = answer_header(pipeline, "X-Correlation-ID");
        assert_header(pipeline, "X-Request-ID", id);
        if (cases[i].kept != NULL) {
            assert_string_equal(id, cases[i].kept);
        } else {
            assert_is_new_uuid(id);
        }
    }
    longest[prefix + 128] = 'a';
    assert_answers(pipeline, CALL(.path = "/query", .cgi = {longest}), 200);
    assert_is_new_uuid(answer_header(pipeline, "X-Correlation-ID"));
}

static void trace_context_is_kept_only_when_valid(void **state)
{
#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
    static const struct {
        const char *given;
        const char *kept;
    } cases[] = {
        {"00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-01"},
        {"00-" TRACE "-" PARENT "-00", "00-" TRACE "-" PARENT "-00"},
        /* later versions are handed on as the one that is known, without what is not */
        {"01-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-01"},
        {"cc-" TRACE "-" PARENT "-01-what\r\nX-Evil: 1", "00-" TRACE "-" PARENT "-01"},
        {"cc-" TRACE "-" PARENT "-01.what", NULL},
        {"00-" TRACE "-" PARENT "-01-more", NULL},
        {"00-" TRACE "-" PARENT "-01-", NULL},
        {"ff-" TRACE "-" PARENT "-01", NULL},
        {"00-" TRACE "-" PARENT "-1", NULL},
        {"00-" TRACE "-" PARENT, NULL},
        {"00-" TRACE "-" PARENT "-0g", NULL},
        {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", NULL},
        {"00-00000000000000000000000000000000-" PARENT "-01", NULL},
        {"00-" TRACE "-0000000000000000-01", NULL},
        {"00_" TRACE "-" PARENT "-01", NULL},
        {"00-" TRACE "_" PARENT "-01", NULL},
        {"00-" TRACE "-" PARENT "_01", NULL},
        {" 00-" TRACE "-" PARENT "-01", NULL},
        {"", NULL},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char parameter[160];
        snprintf(parameter, sizeof parameter, "HTTP_TRACEPARENT=%s", cases[i].given);
        assert_answers(pipeline, CALL(.path = "/trace", .cgi = {parameter}), 200);
        const char *kept = answer_text(pipeline, "traceparent");
        if (cases[i].kept != NULL) {
            assert_non_null(kept);
            assert_string_equal(kept, cases[i].kept);
        } else {
            assert_null(kept);
        }
    }
}

/* --- Queries -------------------------------------------------------------------------------- */

static void queries_are_decoded_and_the_last_of_a_name_counts(void **state)
{
    static const struct {
        const char *query;
        const char *value;
    } cases[] = {
        {"a=1", "1"}, {"a=1&a=2", "2"},    {"a=x+y%2b%26", "x y+&"}, {"%61=1", "1"}, {"a", ""},
        {"a=", ""},   {"b=1&&a==&c", "="}, {"a=%C3%A9", "é"},        {"A=1", NULL},  {"b=1", NULL},
        {"=a", NULL}, {"&&&", NULL},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline, CALL(.path = "/query", .query = cases[i].query), 200);
        const char *value = answer_text(pipeline, "a");
        if (cases[i].value != NULL) {
            assert_non_null(value);
            assert_string_equal(value, cases[i].value);
        } else {
            assert_null(value);
        }
    }
}

static void malformed_queries_are_400(void **state)
{
    static const char *const queries[] = {"a=%",       "a=%4",  "a=%zz",       "a=%00",
                                          "%00=a",     "a=%ff", "%ff=a",       "b=\xff",
                                          "a=1&b=%c3", "%=1",   "a=%ed%a0%80", "a=%c0%80"};
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        assert_refused(pipeline, CALL(.path = "/query", .query = queries[i]), 400,
                       "invalid_request");
    }
}

static void the_number_of_query_parameters_is_bounded(void **state)
{
    struct pipeline *pipeline = *state;
    char query[300] = "a=1";
    memset(query + 3, '&', 255);
    assert_answers(pipeline, CALL(.path = "/query", .query = query), 200);
    query[3 + 255] = '&';
    assert_refused(pipeline, CALL(.path = "/query", .query = query), 400, "invalid_request");
}

/* --- Errors --------------------------------------------------------------------------------- */

/* The names of an object's members in order, joined by spaces. */
static void assert_members(const struct json_node *object, const char *expected)
{
    char names[512] = "";
    size_t length = 0;
    for (const struct json_node *node = json_first(object); node; node = json_next(node)) {
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s",
                                   length > 0 ? " " : "", json_name(node));
    }
    assert_string_equal(names, expected);
}

static void own_errors_have_exactly_these_members(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/late", .cgi = {"HTTP_X_CORRELATION_ID=id-1"}), 503);
    const struct json_node *root = answer_json(pipeline);
    assert_members(root, "error message code detail recoverable retry_after correlation_id "
                         "timestamp");
    assert_header(pipeline, "Content-Type", "application/json");
    assert_member(pipeline, "error", "llm_rate_limited");
    assert_member(pipeline, "code", "E202");
    assert_member(pipeline, "message", "Busy with \"others\"");
    assert_member(pipeline, "detail", "Busy with \"others\"");
    assert_member(pipeline, "correlation_id", "id-1");
    bool recoverable = false;
    assert_true(json_get_boolean(json_member(root, "recoverable"), &recoverable));
    assert_true(recoverable);
    int64_t seconds = 0;
    assert_true(json_get_integer(json_member(root, "retry_after"), &seconds));
    assert_int_equal(seconds, 45);
    assert_header(pipeline, "Retry-After", "45");
    const char *timestamp = answer_text(pipeline, "timestamp");
    assert_int_equal(strlen(timestamp), strlen("2026-01-02T03:04:05.678Z"));
    assert_answers(pipeline, CALL(.path = "/nothing"), 404);
    assert_int_equal(json_node_kind(json_member(answer_json(pipeline), "retry_after")), JSON_NULL);
    assert_header(pipeline, "Retry-After", NULL);
}

static void problem_details_are_answered_when_asked_for(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   CALL(.path = "/nothing/\"here\"",
                        .cgi = {"HTTP_ACCEPT=application/json;q=0.5, application/problem+json"}),
                   404);
    const struct json_node *root = answer_json(pipeline);
    assert_header(pipeline, "Content-Type", "application/problem+json");
    assert_members(root, "type title status instance error message code detail recoverable "
                         "retry_after correlation_id timestamp");
    assert_member(pipeline, "type", "urn:quintet:error:not_found");
    assert_member(pipeline, "title", "Not found");
    assert_member(pipeline, "detail", "Not found");
    assert_member(pipeline, "instance", "/nothing/%22here%22");
    int64_t status = 0;
    assert_true(json_get_integer(json_member(root, "status"), &status));
    assert_int_equal(status, 404);
}

static void openai_routes_answer_in_openais_shape(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   CALL(.path = "/v1/late", .cgi = {"HTTP_ACCEPT=application/problem+json"}), 503);
    const struct json_node *root = answer_json(pipeline);
    const struct json_node *error = json_member(root, "error");
    assert_members(root, "error");
    assert_members(error, "message type param code");
    assert_string_equal(json_member_text(error, "type", ""), "server_error");
    assert_string_equal(json_member_text(error, "code", ""), "llm_rate_limited");
    assert_int_equal(json_node_kind(json_member(error, "param")), JSON_NULL);
    assert_header(pipeline, "x-should-retry", "true");
    assert_header(pipeline, "Retry-After", "45");
    assert_header(pipeline, "retry-after-ms", "45000");
    /* Unknown paths below /v1/ too, with the prefixes. */
    static const char *const paths[] = {"/v1/nothing", "/api/v1/v1/nothing"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_answers(pipeline, CALL(.path = paths[i]), 404);
        error = json_member(answer_json(pipeline), "error");
        assert_string_equal(json_member_text(error, "type", ""), "invalid_request_error");
        assert_header(pipeline, "x-should-retry", "false");
    }
    assert_refused(pipeline, CALL(.path = "/api/v1/nothing"), 404, "not_found");
}

static void wrong_fields_are_listed_without_their_values(void **state)
{
    struct pipeline *pipeline = *state;
    static const char body[] = "{\"name\":\"secret-4711\",\"age\":4711,\"wise\":\"4711\","
                               "\"email\":\"4711\"}";
    struct call call = {.method = "POST", .path = "/fields", .json = body};
    assert_refused(pipeline, &call, 422, "field_validation_failed");
    const struct json_node *detail = json_member(answer_json(pipeline), "detail");
    static const char *const names[] = {"name", "age", "wise", "email"};
    assert_int_equal(json_count(detail), COUNT(names));
    size_t at = 0;
    for (const struct json_node *node = json_first(detail); node; node = json_next(node)) {
        const struct json_node *location = json_first(json_member(node, "loc"));
        const char *text = "";
        assert_members(node, "loc msg type");
        assert_true(json_get_text(location, &text));
        assert_string_equal(text, "body");
        assert_true(json_get_text(json_next(location), &text));
        assert_string_equal(text, names[at++]);
    }
    assert_null(strstr(buffer_text(&pipeline->answer), "4711"));
    call.cgi[0] = "HTTP_ACCEPT=application/problem+json";
    assert_refused(pipeline, &call, 422, "field_validation_failed");
    assert_member(pipeline, "detail", "A field has an invalid value");
    const struct json_node *errors = json_member(answer_json(pipeline), "errors");
    assert_int_equal(json_count(errors), COUNT(names));
    assert_string_equal(json_member_text(json_first(errors), "pointer", ""), "#/name");
    call.path = "/v1/fields";
    assert_answers(pipeline, &call, 422);
    assert_string_equal(json_member_text(json_member(answer_json(pipeline), "error"), "param", ""),
                        "name");
}

static void fields_that_are_missing_have_an_error_of_their_own(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.method = "POST", .path = "/fields", .json = "{}"), 422,
                   "missing_required_field");
    assert_refused(pipeline, CALL(.method = "POST", .path = "/fields", .json = "{\"age\":0}"), 422,
                   "field_validation_failed");
    assert_answers(
        pipeline,
        CALL(.method = "POST", .path = "/fields", .json = "{\"name\":\"\xc3\xa9\xc3\xa9\"}"), 200);
}

static void null_is_a_value_of_the_wrong_type(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const bodies[][2] = {
        {"{\"name\":\"ab\",\"age\":null}",
         "{\"loc\":[\"body\",\"age\"],\"msg\":\"Input should be a "
         "valid integer\",\"type\":\"int_type\"}"},
        {"{\"name\":\"ab\",\"email\":null}",
         "{\"loc\":[\"body\",\"email\"],\"msg\":\"Input should be "
         "a valid string\",\"type\":\"string_type\"}"},
        {"{\"name\":null}", "{\"loc\":[\"body\",\"name\"],\"msg\":\"Input should be a valid "
                            "string\",\"type\":\"string_type\"}"},
        {"{\"name\":\"a\\u0000b\"}",
         "{\"loc\":[\"body\",\"name\"],\"msg\":\"String should not hold "
         "U+0000\",\"type\":\"string_nul\"}"},
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        assert_refused(pipeline, CALL(.method = "POST", .path = "/fields", .json = bodies[i][0]),
                       422, "field_validation_failed");
        if (strstr(pipeline->body.data, bodies[i][1]) == NULL) {
            fail_msg("no %s in %s", bodies[i][1], pipeline->body.data);
        }
    }
    assert_answers(pipeline,
                   CALL(.method = "POST", .path = "/fields",
                        .json = "{\"name\":\"ab\",\"nullable\":null,\"unknown\":\"\\u0000\"}"),
                   200);
}

/* RFC 3986 section 4.2. */
static void the_instance_of_a_problem_is_a_uri_reference(void **state)
{
    static const char *const paths[][2] = {
        {"/nope/a b", "/nope/a%20b"},
        {"/nope/100%", "/nope/100%25"},
        {"/nope/<\"{|}^`>", "/nope/%3C%22%7B%7C%7D%5E%60%3E"},
        {"/nope/\xc3\xa9?#[]", "/nope/%C3%A9%3F%23%5B%5D"},
        {"/nope/-._~!$&'()*+,;=:@/a", "/nope/-._~!$&'()*+,;=:@/a"},
        {"//evil.example/a", "/evil.example/a"},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        send_call(pipeline,
                  CALL(.path = paths[i][0], .cgi = {"HTTP_ACCEPT=application/problem+json"}));
        assert_member(pipeline, "instance", paths[i][1]);
    }
}

static void locations_within_lists_are_numbers(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.path = "/nested"), 422, "missing_required_field");
    assert_non_null(strstr(pipeline->body.data, "\"loc\":[\"body\",\"messages\",0,\"content\"]"));
    assert_answers(pipeline,
                   CALL(.path = "/nested", .cgi = {"HTTP_ACCEPT=application/problem+json"}), 422);
    assert_non_null(strstr(pipeline->body.data, "\"pointer\":\"#/messages/0/content\""));
}

static void failures_of_ours_are_503_with_retry_after_and_bugs_500(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *word;
    } cases[] = {
        {"/status/unavailable", 503, "storage_unavailable"},
        {"/status/timeout", 503, "storage_unavailable"},
        {"/status/busy", 503, "service_overloaded"},
        {"/status/no_memory", 503, "service_overloaded"},
        {"/status/internal", 500, "internal_error"},
        {"/status/conflict", 500, "internal_error"},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_refused(pipeline, CALL(.path = cases[i].path), cases[i].status, cases[i].word);
        assert_header(pipeline, "Retry-After", cases[i].status == 503 ? "1" : NULL);
    }
}

/* --- Heads and bodies ----------------------------------------------------------------------- */

static void every_answer_has_the_security_headers(void **state)
{
    static const char *const paths[] = {"/query", "/nothing", "/headers", "/too-much"};
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        send_call(pipeline, CALL(.path = paths[i]));
        assert_header(pipeline, "X-Content-Type-Options", "nosniff");
        assert_header(pipeline, "Referrer-Policy", "no-referrer");
        assert_header(pipeline, "X-Frame-Options", "DENY");
        assert_header(pipeline, "Content-Security-Policy",
                      "default-src 'none'; frame-ancestors 'none'");
        assert_header(pipeline, "Cache-Control", "no-store");
        assert_header(pipeline, "Strict-Transport-Security", NULL);
        assert_header(pipeline, "X-XSS-Protection", NULL);
        assert_header(pipeline, "Vary", "Origin");
    }
    assert_answers(pipeline, CALL(.path = "/query", .cgi = {"HTTPS=on"}), 200);
    assert_non_null(answer_header(pipeline, "Strict-Transport-Security"));
}

static void header_values_cannot_add_lines(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/headers"), 204);
    assert_header(pipeline, "X-Good", "yes");
    assert_header(pipeline, "X-Evil", NULL);
    assert_header(pipeline, "Set-Cookie", NULL);
    assert_header(pipeline, "Content-Length", NULL);
    assert_header(pipeline, "Content-Type", NULL);
    assert_int_equal(pipeline->body.length, 0);
}

static void a_head_stays_below_4_kilobytes(void **state)
{
    struct pipeline *pipeline = *state;
    char id[32 + 128] = "HTTP_X_CORRELATION_ID=";
    memset(id + strlen(id), 'i', 128);
    pipeline_open(pipeline, &options, SETTINGS("CORS_ALLOW_CREDENTIALS=true"));
    const struct call *call =
        CALL(.path = "/many-headers", .cgi = {id, "HTTPS=on", "HTTP_ORIGIN=http://localhost:3000"});
    assert_answers(pipeline, call, 200); /* which looks at the length */
    assert_non_null(answer_header_at(pipeline, "X-Many", 99));
    assert_null(answer_header_at(pipeline, "X-Many", 200));
    assert_header(pipeline, "X-RateLimit-Limit", "100");
    assert_header(pipeline, "Access-Control-Allow-Credentials", "true");
}

static void a_body_that_could_not_be_built_becomes_503(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.path = "/too-much"), 503, "service_overloaded");
    assert_header(pipeline, "Retry-After", "1");
    assert_header(pipeline, "ETag", NULL);
    assert_null(strstr(buffer_text(&pipeline->answer), "half"));
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS,
                                  METRIC_LABELS("GET", "/too-much", "503")),
                     1);
}

static void an_error_drops_the_headers_of_the_answer_it_replaces(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/late"), 503);
    assert_header(pipeline, "ETag", NULL);
}

static void answers_are_packed_for_those_who_accept_it(void **state)
{
    static const struct {
        const char *accept;
        bool packed;
    } cases[] = {
        {"HTTP_ACCEPT_ENCODING=gzip", true},         {"HTTP_ACCEPT_ENCODING=br, GZIP;q=0.5", true},
        {"HTTP_ACCEPT_ENCODING=gzip;q=0", false},    {"HTTP_ACCEPT_ENCODING=gzip; q=0.000", false},
        {"HTTP_ACCEPT_ENCODING=br, deflate", false}, {"HTTP_ACCEPT_ENCODING=", false},
        {"HTTP_ACCEPT_ENCODING=gzip;Q=0", false},    {"HTTP_ACCEPT_ENCODING=gzip;x=1;q=0", false},
        {"HTTP_ACCEPT_ENCODING=gzip;q=2", false},    {"HTTP_ACCEPT_ENCODING=x-gzip", false},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline, CALL(.path = "/packed", .cgi = {cases[i].accept}), 200);
        assert_header(pipeline, "Content-Encoding", cases[i].packed ? "gzip" : NULL);
        assert_true((pipeline->body.length < 500) == cases[i].packed);
    }
}

/* --- Logs ----------------------------------------------------------------------------------- */

static void log_lines_outside_a_request_carry_no_id(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/query"), 200);
    log_write(LOG_INFO, "outside", LOG_TEXT("after", "request"));
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "outside"), 1);
    assert_int_equal(count_in(log, answer_header(pipeline, "X-Correlation-ID")), 1);
}

static void queries_and_credentials_are_not_logged(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("LOG_LEVEL=debug", "API_KEY_QUERY=api_key"));
    assert_answers(pipeline, CALL(.path = "/private", .query = "api_key=" PLAIN_KEY), 200);
    assert_answers(pipeline, CALL(.path = "/private", .query = "api_key=wrong-4711"), 401);
    assert_answers(pipeline, CALL(.path = "/private", .key = "wrong-4711"), 401);
    assert_answers(pipeline,
                   CALL(.path = "/private", .cgi = {"HTTP_AUTHORIZATION=Bearer wrong-4711.a.b"}),
                   401);
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "request_completed"), 4);
    assert_int_equal(count_in(log, PLAIN_KEY), 0);
    assert_int_equal(count_in(log, "4711"), 0);
    assert_int_equal(count_in(log, "api_key="), 0);
}

/* --- No memory ------------------------------------------------------------------------------ */

static void every_answer_survives_any_failed_allocation(void **state)
{
    static const struct call calls[] = {
        {.path = "/query", .query = "a=%20b"},
        {.method = "HEAD", .path = "/query"},
        {.method = "POST", .path = "/fields", .json = "{\"age\":77,\"wise\":1}"},
        {.method = "POST", .path = "/fields", .json = "{\"name\":\"ab\",\"age\":3}"},
        {.method = "POST", .path = "/v1/fields", .json = "{}"},
        {.path = "/nested", .cgi = {"HTTP_ACCEPT=application/problem+json"}},
        {.path = "/late"},
        {.path = "/v1/late"},
        {.path = "/headers"},
        {.path = "/many-headers"},
        {.path = "/packed", .cgi = {"HTTP_ACCEPT_ENCODING=gzip"}},
        {.path = "/query", .cgi = {"HTTP_TRACEPARENT=00-" TRACE "-" PARENT "-01"}},
    };
    struct pipeline *pipeline = *state;
    for (size_t i = 0; i < COUNT(calls); i++) {
        torture(pipeline, &calls[i], false);
    }
}

static void what_could_not_be_sent_is_not_counted_as_sent(void **state)
{
    struct pipeline *pipeline = *state;
    size_t answered = torture(pipeline, CALL(.path = "/query", .query = "a=b"), false);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS,
                                  METRIC_LABELS("GET", "/query", "200")),
                     answered);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(well_formed_ids_are_kept_and_others_replaced),
        TEST(trace_context_is_kept_only_when_valid),
        TEST(queries_are_decoded_and_the_last_of_a_name_counts),
        TEST(malformed_queries_are_400),
        TEST(the_number_of_query_parameters_is_bounded),
        TEST(own_errors_have_exactly_these_members),
        TEST(problem_details_are_answered_when_asked_for),
        TEST(openai_routes_answer_in_openais_shape),
        TEST(wrong_fields_are_listed_without_their_values),
        TEST(fields_that_are_missing_have_an_error_of_their_own),
        TEST(null_is_a_value_of_the_wrong_type),
        TEST(the_instance_of_a_problem_is_a_uri_reference),
        TEST(locations_within_lists_are_numbers),
        TEST(failures_of_ours_are_503_with_retry_after_and_bugs_500),
        TEST(every_answer_has_the_security_headers),
        TEST(header_values_cannot_add_lines),
        TEST(a_head_stays_below_4_kilobytes),
        TEST(a_body_that_could_not_be_built_becomes_503),
        TEST(an_error_drops_the_headers_of_the_answer_it_replaces),
        TEST(answers_are_packed_for_those_who_accept_it),
        TEST(log_lines_outside_a_request_carry_no_id),
        TEST(queries_and_credentials_are_not_logged),
        TEST(every_answer_survives_any_failed_allocation),
        TEST(what_could_not_be_sent_is_not_counted_as_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
