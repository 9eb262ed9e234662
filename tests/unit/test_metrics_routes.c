/*
 * The route of the metrics program, through the whole pipeline: who may scrape, and the answer.
 */
#include "pipeline_help.h"

#include "fcgi-apps/metrics/routes.h"
#include "metrics/metrics.h"

#define TOKEN                  "scrape-token-0000"
#define OWN_NAME               "# TYPE http_requests_total counter\n"
#define CONSOUL                "# TYPE consoul_request_total counter\n"
#define SCRAPE                 CALL(.path = "/metrics")
#define SCRAPE_WITH(parameter) CALL(.path = "/metrics", .cgi = {(parameter)})

static int set_up(void **state)
{
    return pipeline_set_up_with(state, &metrics_options);
}

static bool body_has(const struct pipeline *pipeline, const char *text)
{
    return strstr(pipeline->body.data, text) != NULL;
}

static void everybody_may_scrape_when_there_is_no_token(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SCRAPE, 200);
    assert_header(pipeline, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    assert_header(pipeline, "Content-Encoding", NULL);
    assert_true(body_has(pipeline, OWN_NAME));
    assert_false(body_has(pipeline, CONSOUL));
    assert_answers(pipeline, SCRAPE_WITH("HTTP_AUTHORIZATION=Bearer anything"), 200);
}

static void format_is_what_accept_asks_for(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SCRAPE_WITH("HTTP_ACCEPT=application/openmetrics-text"), 200);
    assert_header(pipeline, "Content-Type",
                  "application/openmetrics-text; version=1.0.0; charset=utf-8; "
                  "escaping=underscores");
    assert_true(body_has(pipeline, "# TYPE http_requests counter\n"));
    assert_true(body_has(pipeline, "\n# EOF\n"));
    assert_answers(pipeline, SCRAPE_WITH("HTTP_ACCEPT=text/plain"), 200);
    assert_true(body_has(pipeline, OWN_NAME));
}

static void gzip_is_given_to_those_who_ask(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SCRAPE_WITH("HTTP_ACCEPT_ENCODING=gzip"), 200);
    assert_header(pipeline, "Content-Encoding", "gzip");
    assert_memory_equal(pipeline->body.data, "\x1f\x8b", 2);
    assert_answers(pipeline, SCRAPE_WITH("HTTP_ACCEPT_ENCODING=gzip;q=0"), 200);
    assert_header(pipeline, "Content-Encoding", NULL);
    assert_true(body_has(pipeline, OWN_NAME));
}

static void token_must_be_the_very_one_as_bearer(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &metrics_options, SETTINGS("METRICS_TOKEN=" TOKEN));
    static const char *const wrong[] = {
        "HTTP_AUTHORIZATION=",
        "HTTP_AUTHORIZATION=B",
        "HTTP_AUTHORIZATION=Bearer",
        "HTTP_AUTHORIZATION=Bearer ",
        "HTTP_AUTHORIZATION=Bearer " TOKEN "0",
        "HTTP_AUTHORIZATION=Bearer " TOKEN " " TOKEN,
        "HTTP_AUTHORIZATION=Bearer scrape-token-000",
        "HTTP_AUTHORIZATION=Bearer scrape-token-0001",
        "HTTP_AUTHORIZATION=Bearer Scrape-Token-0000",
        "HTTP_AUTHORIZATION=Basic  " TOKEN,
        "HTTP_AUTHORIZATION=Bearer:" TOKEN,
        "HTTP_AUTHORIZATION=" TOKEN,
        "HTTP_X_API_KEY=" TOKEN,
    };
    assert_refused(pipeline, SCRAPE, 401, "auth_required");
    assert_int_equal(count_in(pipeline->body.data, "http_requests"), 0);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (send_call(pipeline, SCRAPE_WITH(wrong[i])) != 401) {
            fail_msg("%s is answered %d", wrong[i], pipeline->status);
        }
    }
    static const char *const right[] = {
        "HTTP_AUTHORIZATION=Bearer " TOKEN,
        "HTTP_AUTHORIZATION=bearer " TOKEN,
        "HTTP_AUTHORIZATION=BEARER   " TOKEN " ",
    };
    for (size_t i = 0; i < COUNT(right); i++) {
        assert_answers(pipeline, SCRAPE_WITH(right[i]), 200);
        assert_true(body_has(pipeline, OWN_NAME));
    }
}

static void names_of_consoul_are_there_when_they_are_wanted(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &metrics_options, SETTINGS("METRICS_ALIASES=consoul"));
    assert_answers(pipeline, SCRAPE, 200);
    assert_true(body_has(pipeline, OWN_NAME));
    assert_true(body_has(pipeline, CONSOUL));
}

static void metrics_that_are_switched_off_are_not_there(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &metrics_options,
                  SETTINGS("ENABLE_METRICS=false", "METRICS_TOKEN=" TOKEN));
    assert_refused(pipeline, SCRAPE, 404, "not_found");
}

static void path_is_the_one_of_the_settings(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &metrics_options, SETTINGS("METRICS_PATH=/internal/scrape"));
    assert_answers(pipeline, CALL(.path = "/internal/scrape"), 200);
    assert_true(body_has(pipeline, OWN_NAME));
    assert_answers(pipeline, SCRAPE, 404);
}

static void scrapes_are_never_too_many(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &metrics_options,
                  SETTINGS("RATE_LIMIT_ENABLED=true", "RATE_LIMIT_REQUESTS=1"));
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline, SCRAPE, 200);
    }
}

/* An exposition that was cut off would be taken for a whole one. */
static void exposition_is_whole_or_503(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const whole_end = "process_start_time_seconds{program=\"metrics\"} ";
    unsigned refusals = 0;
    unsigned long failures = 1;
    for (unsigned long n = 1; failures > 0; n++) {
        memory_fail_only(n);
        enum status status = pipeline_run(pipeline, SCRAPE);
        failures = memory_failures_seen();
        memory_fail_after(0);
        if (status != STATUS_OK) {
            continue; /* the transport could not begin */
        }
        assert_null(pipeline_read_answer(pipeline));
        if (pipeline->status == 200) {
            assert_true(body_has(pipeline, whole_end));
        } else {
            assert_int_equal(pipeline->status, 503);
            refusals++;
        }
    }
    assert_true(refusals > 0);
    assert_int_equal(pipeline->status, 200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everybody_may_scrape_when_there_is_no_token),
        TEST(format_is_what_accept_asks_for),
        TEST(gzip_is_given_to_those_who_ask),
        TEST(token_must_be_the_very_one_as_bearer),
        TEST(names_of_consoul_are_there_when_they_are_wanted),
        TEST(metrics_that_are_switched_off_are_not_there),
        TEST(path_is_the_one_of_the_settings),
        TEST(scrapes_are_never_too_many),
        TEST(exposition_is_whole_or_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
