/*
 * The routes of the chat program, through the whole pipeline, with the built-in provider: what
 * needs no network.
 */
#include "keyed_calls.h"

#include "fcgi-apps/chat/routes.h"

static int set_up(void **state)
{
    return pipeline_set_up_settings(state, &chat_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

#define COMPLETIONS "/v1/chat/completions"
#define HI          "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define SAY(message)                                                                               \
    POST("/chat", "{\"session_id\":\"s\",\"message\":\"" message "\",\"model\":\"demo/echo\"}")

static void assert_body_holds(struct pipeline *pipeline, const char *part)
{
    if (strstr(pipeline->body.data, part) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", pipeline->body.data, part);
    }
}

/* --- /v1 --------------------------------------------------------------------------------------- */

static void a_completion_is_answered_whole(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, POST(COMPLETIONS, "{\"model\":\"demo/echo\"," HI "}"), 200);
    assert_header(pipeline, "Content-Type", "application/json");
    const struct json_node *choice = json_first(json_member(answer_json(pipeline), "choices"));
    const char *content = json_member_text(json_member(choice, "message"), "content", "");
    assert_non_null(strstr(content, "You said: hi"));
}

static void a_completion_is_streamed(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, POST(COMPLETIONS, "{\"model\":\"demo/echo\",\"stream\":true," HI "}"),
                   200);
    assert_header(pipeline, "Content-Type", "text/event-stream");
    assert_header(pipeline, "X-Accel-Buffering", "no");
    assert_header(pipeline, "Content-Length", NULL);
    assert_int_equal(strncmp(pipeline->body.data, "data: {", 7), 0);
    assert_int_equal(count_in(pipeline->body.data, "data: [DONE]\n\n"), 1);
    assert_int_equal(count_in(pipeline->body.data, "\"finish_reason\":\"stop\""), 1);
    /* We asked for the usage; this client did not. */
    assert_int_equal(count_in(pipeline->body.data, "prompt_tokens"), 0);
    assert_answers(pipeline,
                   POST(COMPLETIONS, "{\"model\":\"demo/echo\",\"stream\":true,\"stream_options\":"
                                     "{\"include_usage\":true}," HI "}"),
                   200);
    assert_int_equal(count_in(pipeline->body.data, "prompt_tokens"), 1);
}

static void assert_openai_error(struct pipeline *pipeline, const struct call *call, int status,
                                const char *param, const char *code)
{
    assert_answers(pipeline, call, status);
    const struct json_node *error = json_member(answer_json(pipeline), "error");
    assert_non_null(json_member_text(error, "message", NULL));
    assert_non_null(json_member_text(error, "type", NULL));
    assert_string_equal(json_member_text(error, "param", ""), param);
    if (code != NULL) {
        assert_string_equal(json_member_text(error, "code", ""), code);
    }
    assert_non_null(answer_header(pipeline, "X-Request-ID"));
    assert_non_null(answer_header(pipeline, "x-should-retry"));
}

static void errors_are_in_openais_shape(void **state)
{
    struct pipeline *pipeline = *state;
    assert_openai_error(pipeline, POST(COMPLETIONS, "{" HI "}"), 400, "model",
                        "missing_required_parameter");
    assert_openai_error(pipeline, POST(COMPLETIONS, "{\"model\":\"m\"}"), 400, "messages",
                        "missing_required_parameter");
    assert_openai_error(pipeline, POST(COMPLETIONS, "{\"model\":\"m\",\"messages\":[7]}"), 400,
                        "messages[0]", NULL);
    assert_openai_error(pipeline, POST(COMPLETIONS, "{"), 400, "", NULL);
    assert_openai_error(pipeline, POST(COMPLETIONS, "[]"), 400, "", NULL);
    assert_openai_error(pipeline, POST(COMPLETIONS, "{\"model\":\"gpt-4o\"," HI "}"), 404, "model",
                        "model_not_found");
    assert_openai_error(pipeline, GET("/v1/models/gpt-4o"), 404, "model", "model_not_found");
    assert_openai_error(pipeline, GET("/v1/nothing"), 404, "", NULL);
    assert_openai_error(pipeline, GET(COMPLETIONS), 405, "", NULL);
    assert_openai_error(pipeline, CALL(.path = "/v1/models"), 401, "", NULL);
    /* The built-in provider cannot hold U+0000. */
    assert_openai_error(pipeline,
                        POST(COMPLETIONS, "{\"model\":\"demo/echo\",\"messages\":[{\"role\":"
                                          "\"user\",\"content\":\"\\u0000\"}]}"),
                        400, "", NULL);
}

static void a_key_counts_as_bearer(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const paths[] = {"/v1/models", "/chat/sessions"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_answers(
            pipeline, CALL(.path = paths[i], .cgi = {"HTTP_AUTHORIZATION=Bearer " PLAIN_KEY}), 200);
        assert_answers(pipeline, CALL(.path = paths[i], .cgi = {"HTTP_AUTHORIZATION=Bearer x"}),
                       401);
    }
}

static void models_are_found_by_each_of_their_names(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const paths[] = {"/v1/models/demo/echo", "/v1/models/echo",
                                        "/api/v1/v1/models/demo/echo", "/v1/models/demo/echo/"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_answers(pipeline, GET(paths[i]), 200);
        assert_member(pipeline, "id", "demo/echo");
        assert_member(pipeline, "owned_by", "demo");
    }
    assert_answers(pipeline, GET("/v1/models"), 200);
    assert_int_equal(json_count(json_member(answer_json(pipeline), "data")), 2);
}

static void a_provider_that_is_not_there_is_503(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(
        pipeline, &chat_options,
        SETTINGS("RATE_LIMIT_ENABLED=false", "PROVIDER_GONE_BASE_URL=http://127.0.0.1:9/v1"));
    assert_openai_error(pipeline, POST(COMPLETIONS, "{\"model\":\"m\"," HI "}"), 503, "",
                        "llm_unavailable");
    assert_header(pipeline, "x-should-retry", "false");
    assert_openai_error(pipeline, POST(COMPLETIONS, "{\"model\":\"m\",\"stream\":true," HI "}"),
                        503, "", "llm_unavailable");
    assert_refused(pipeline, POST("/chat", "{\"session_id\":\"s\",\"message\":\"m\"}"), 503,
                   "llm_unavailable");
    assert_refused(pipeline, GET("/chat/sessions/s"), 404, "session_not_found");
}

/* --- Sessions ---------------------------------------------------------------------------------- */

static void the_log_names_session_provider_and_model(void **state)
{
    static const char turn[] = "\"session_id\":\"s\",\"provider\":\"demo\",\"model\":\"echo\"";
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SAY("one"), 200);
    assert_answers(pipeline, POST("/chat/stream", "{\"session_id\":\"s\",\"message\":\"two\"}"),
                   200);
    assert_int_equal(count_in(pipeline_log(pipeline), turn), 2);
    assert_answers(pipeline, POST(COMPLETIONS, "{\"model\":\"demo/echo\"," HI "}"), 200);
    assert_int_equal(count_in(pipeline_log(pipeline), "\"provider\":\"demo\",\"model\":\"echo\""),
                     3);
    assert_answers(pipeline, GET("/chat/sessions/s"), 200);
    assert_int_equal(count_in(pipeline_log(pipeline), "\"session_id\":\"s\""), 3);
}

static void a_session_remembers(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SAY("one"), 200);
    assert_member(pipeline, "session_id", "s");
    assert_member(pipeline, "provider", "demo");
    assert_body_holds(pipeline, "This is your first message.");
    assert_answers(pipeline, POST("/chat/stream", "{\"session_id\":\"s\",\"message\":\"two\"}"),
                   200);
    assert_header(pipeline, "Content-Type", "text/event-stream");
    assert_int_equal(count_in(pipeline->body.data, "event: done\n"), 1);
    assert_int_equal(count_in(pipeline->body.data, "event: error\n"), 0);
    assert_true(count_in(pipeline->body.data, "event: token\n") > 10);
    assert_answers(pipeline, SAY("three"), 200);
    assert_body_holds(pipeline, "sent 2 messages; the previous one was: two");
}

static void sessions_are_shown_cleared_and_deleted(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SAY("hello"), 200);
    assert_answers(pipeline, GET("/chat/sessions/s"), 200);
    assert_member(pipeline, "title", "hello");
    assert_member(pipeline, "model", "demo/echo");
    assert_answers(pipeline, GET("/chat/sessions"), 200);
    assert_body_holds(pipeline, "\"total\":1,\"page\":1,\"page_size\":20");
    assert_answers(pipeline, ASK("/chat/sessions/s/messages", "limit=1"), 200);
    assert_body_holds(pipeline, "\"next_before\":2");
    assert_answers(pipeline, ASK("/chat/sessions/s/messages", "before=2"), 200);
    assert_body_holds(pipeline, "\"content\":\"hello\"");
    assert_answers(pipeline, CALL(.method = "POST", .path = "/chat/sessions/s/clear", KEY), 200);
    assert_answers(pipeline, GET("/chat/sessions/s/messages"), 200);
    assert_body_holds(pipeline, "\"messages\":[]");
    assert_answers(pipeline, DELETE("/chat/sessions/s"), 204);
    assert_refused(pipeline, GET("/chat/sessions/s"), 404, "session_not_found");
    assert_refused(pipeline, DELETE("/chat/sessions/s"), 404, "session_not_found");
}

static void a_session_of_another_key_is_not_found(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SAY("mine"), 200);
    static const struct {
        const char *method;
        const char *path;
    } cases[] = {{"GET", "/chat/sessions/s"},
                 {"DELETE", "/chat/sessions/s"},
                 {"POST", "/chat/sessions/s/clear"},
                 {"GET", "/chat/sessions/s/messages"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_refused(pipeline,
                       CALL(.method = cases[i].method, .path = cases[i].path, .key = PREMIUM_KEY),
                       404, "session_not_found");
    }
    assert_answers(pipeline, GET("/chat/sessions/s"), 200);
}

static void bad_input_is_refused_with_its_code(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        const char *json;
        const char *word;
    } cases[] = {
        {"{}", "missing_required_field"},
        {"{\"session_id\":\"s\"}", "missing_required_field"},
        {"{\"session_id\":\"a b\",\"message\":\"m\"}", "session_id_invalid"},
        {"{\"session_id\":\"\",\"message\":\"m\"}", "session_id_invalid"},
        {"{\"session_id\":\"s\",\"message\":\"\"}", "field_validation_failed"},
        {"{\"session_id\":\"s\",\"message\":[]}", "field_validation_failed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_refused(pipeline, POST("/chat", cases[i].json), 422, cases[i].word);
        assert_refused(pipeline, POST("/chat/stream", cases[i].json), 422, cases[i].word);
    }
    assert_refused(pipeline, GET("/chat/sessions/a b"), 422, "session_id_invalid");
    assert_refused(pipeline, ASK("/chat/sessions", "page=0"), 422, "field_validation_failed");
    assert_refused(pipeline,
                   POST("/chat", "{\"session_id\":\"s\",\"message\":\"m\",\"model\":\"nope\"}"),
                   503, "model_not_available");
}

int main(void)
{
#define ROUTE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        ROUTE_TEST(a_completion_is_answered_whole),
        ROUTE_TEST(a_completion_is_streamed),
        ROUTE_TEST(errors_are_in_openais_shape),
        ROUTE_TEST(a_key_counts_as_bearer),
        ROUTE_TEST(models_are_found_by_each_of_their_names),
        ROUTE_TEST(a_provider_that_is_not_there_is_503),
        ROUTE_TEST(the_log_names_session_provider_and_model),
        ROUTE_TEST(a_session_remembers),
        ROUTE_TEST(sessions_are_shown_cleared_and_deleted),
        ROUTE_TEST(a_session_of_another_key_is_not_found),
        ROUTE_TEST(bad_input_is_refused_with_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
