/*
 * The requests of the health and metrics programs while memory runs out: a shortage of ours is
 * never told as an outage of a service.
 */
#include "libraries.h"
#include "state.h"

#include "fcgi-apps/health/routes.h"
#include "fcgi-apps/metrics/routes.h"

static int set_up_health(void **state)
{
    return pipeline_set_up_settings(state, &health_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

static int set_up_metrics(void **state)
{
    return pipeline_set_up_with(state, &metrics_options);
}

#define GET(at)          CALL(.path = (at))
#define ACCEPT(at, type) CALL(.path = (at), .cgi = {"HTTP_ACCEPT=" type})

static void being_alive_needs_little(void **state)
{
    torture_request(*state, GET("/health"), 200);
}

static void readiness_is_told_or_the_answer_is_503(void **state)
{
    torture_request(*state, GET("/health/ready"), 200);
}

static void reports_tell_of_services_or_the_answer_is_503(void **state)
{
    torture_request(*state, GET("/health/all"), 200);
    torture_request(*state, GET("/health/database"), 200);
    torture_request(*state, GET("/health/latency-history/database"), 200);
    torture_request(*state, GET("/health/service-errors/database"), 200);
    torture_request(*state, CALL(.path = "/health/cost-tracking", .key = PLAIN_KEY), 200);
}

/* A probe runs on a thread of its own; here on this one, where memory fails. */
static void a_probe_without_memory_takes_nothing_with_it(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const names[] = {"database", "disk"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct service *service = services_find(pipeline->app, names[i]);
        struct probe_result result;
        unsigned long failures = 1;
        for (unsigned long n = 1; failures > 0; n++) {
            memory_fail_only(n);
            probe_run(pipeline->app, service, &result);
            failures = memory_failures_seen();
            memory_fail_after(0);
            assert_true(result.is_healthy || failures > 0);
            probe_run(pipeline->app, service, &result);
            assert_true(result.is_healthy);
        }
    }
}

/* Each scrape tells other numbers; its length, which its head announces, is right. */
static void torture_scrape(struct pipeline *pipeline, const struct call *call, const char *type)
{
    torture_with(pipeline, &(struct torture_plan){.call = call, .ignores_body = true});
    assert_answers(pipeline, call, 200);
    assert_header(pipeline, "Content-Type", type);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS,
                                  METRIC_LABELS("GET", "/metrics")),
                     0);
}

static void a_scrape_is_whole_or_503(void **state)
{
    torture_scrape(*state, GET("/metrics"), "text/plain; version=0.0.4; charset=utf-8");
    torture_scrape(*state, ACCEPT("/metrics", "application/openmetrics-text;version=1.0.0"),
                   "application/openmetrics-text; version=1.0.0; charset=utf-8; "
                   "escaping=underscores");
}

int main(void)
{
#define HEALTH(test)  cmocka_unit_test_setup_teardown(test, set_up_health, pipeline_tear_down)
#define METRICS(test) cmocka_unit_test_setup_teardown(test, set_up_metrics, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        HEALTH(being_alive_needs_little),
        HEALTH(readiness_is_told_or_the_answer_is_503),
        HEALTH(reports_tell_of_services_or_the_answer_is_503),
        HEALTH(a_probe_without_memory_takes_nothing_with_it),
        METRICS(a_scrape_is_whole_or_503),
    };
    libraries_use_our_memory();
    return cmocka_run_group_tests_name("torture_operations", tests, NULL, NULL);
}
