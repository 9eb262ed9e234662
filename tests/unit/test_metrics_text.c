/*
 * The exposition of the metrics: text that scrapers accept, and the choice of its format.
 */
#include "metrics_help.h"

#include "base/memory.h"

/* --- histograms ---------------------------------------------------------------------------- */

static void buckets_are_cumulative_and_their_bounds_inclusive(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    static const uint64_t observed[] = {
        0,          5000000,    5000001,     10000000,    999999999,
        1000000000, 2500000001, 10000000000, 10000000001, UINT64_C(60000000000)};
    for (size_t i = 0; i < sizeof observed / sizeof observed[0]; i++) {
        metrics_observe(fixture.metrics, METRIC_HTTP_REQUEST_DURATION, METRIC_LABELS("GET", "/"),
                        observed[i]);
    }
    const char *text = render(&fixture);
#define DURATION(rest) "http_request_duration_seconds" rest
#define LABELS         "method=\"GET\",endpoint=\"/\""
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"0.005\"} 2"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"0.01\"} 4"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"0.5\"} 4"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"1.0\"} 6"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"2.5\"} 6"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"5.0\"} 7"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"10.0\"} 8"));
    assert_line(text, DURATION("_bucket{" LABELS ",le=\"+Inf\"} 10"));
    assert_line(text, DURATION("_sum{" LABELS "} 84.520000002"));
    assert_line(text, DURATION("_count{" LABELS "} 10"));
    tear_down(&fixture);
}

static void provider_histograms_reach_two_minutes(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    metrics_observe(fixture.metrics, METRIC_PROVIDER_LATENCY, METRIC_LABELS("x", "chat"),
                    UINT64_C(119000000000));
    const char *text = render(&fixture);
    assert_line(text,
                "provider_latency_seconds_bucket{provider=\"x\",operation=\"chat\",le=\"60.0\"} 0");
    assert_line(
        text, "provider_latency_seconds_bucket{provider=\"x\",operation=\"chat\",le=\"120.0\"} 1");
    tear_down(&fixture);
}

/* --- label values -------------------------------------------------------------------------- */

static void label_values_are_escaped(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS,
                METRIC_LABELS("a\\b\"c\nd", "\xc3\xa4{x}=,"), 1);
    assert_line(render(&fixture),
                "chat_completions_total{provider=\"a\\\\b\\\"c\\nd\",model=\"\xc3\xa4{x}=,\"} 1");
    tear_down(&fixture);
}

static void bytes_that_are_not_utf8_become_question_marks(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    static const struct {
        const char *value;
        const char *kept;
    } cases[] = {
        {"a\xffz", "a?z"},
        {"\x80", "?"},
        {"\xc3", "?"},
        {"\xe2\x82", "??"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xed\xa0\x80", "???"},
        {"\xf0\x9f\x98\x80!", "\xf0\x9f\x98\x80!"},
        {"\xc0\xaf", "??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char model[8];
        snprintf(model, sizeof model, "%zu", i);
        metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(cases[i].value, model),
                    1);
        char line[128];
        snprintf(line, sizeof line, "chat_completions_total{provider=\"%s\",model=\"%zu\"} 1",
                 cases[i].kept, i);
        assert_line(render(&fixture), line);
    }
    tear_down(&fixture);
}

static void long_label_values_are_cut_between_characters(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    char value[300];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(value, "ascii"), 1);
    value[200] = '\0'; /* cut alike: the same series */
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(value, "ascii"), 1);
    memcpy(value + 126, "\xe2\x82\xac\xe2\x82\xac", 7);
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(value, "euro"), 1);
    memcpy(value + 126, "\x80\x80\x80\x80\x80\x80", 7);
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(value, "bad"), 1);
    const char *text = render(&fixture);
    assert_int_equal(count_texts(text, "model=\"ascii\""), 1);
    memset(value, 'v', 128);
    char line[512];
    value[128] = '\0';
    snprintf(line, sizeof line, "chat_completions_total{provider=\"%s\",model=\"ascii\"} 2", value);
    assert_line(text, line);
    value[126] = '\0';
    snprintf(line, sizeof line, "chat_completions_total{provider=\"%s\",model=\"euro\"} 1", value);
    assert_line(text, line);
    snprintf(line, sizeof line, "chat_completions_total{provider=\"%s??\",model=\"bad\"} 1", value);
    assert_line(text, line);
    tear_down(&fixture);
}

static void missing_label_values_are_empty(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET"), 1);
    assert_line(render(&fixture),
                "http_requests_total{method=\"GET\",endpoint=\"\",status_code=\"\"} 1");
    tear_down(&fixture);
}

/* --- the exposition ------------------------------------------------------------------------ */

static void series_are_sorted_and_the_order_is_fixed(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    fill_with_everything(fixture.metrics);
    const char *text = render(&fixture);
    static const char *const order[] = {
        "# HELP http_requests_total ",
        "# TYPE http_requests_total counter\n",
        "http_requests_total{method=\"GET\",endpoint=\"/auth\"",
        "http_requests_total{method=\"GET\",endpoint=\"/chat\"",
        "http_requests_total{method=\"POST\"",
        "# HELP http_request_duration_seconds ",
        "http_request_duration_seconds_bucket{",
        "http_request_duration_seconds_sum{",
        "http_request_duration_seconds_count{",
        "# TYPE db_query_duration_seconds histogram\n",
        "# TYPE build_info gauge\n",
        "# TYPE process_cpu_seconds_total counter\n",
    };
    const char *cursor = text;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        cursor = strstr(cursor, order[i]);
        if (cursor == NULL) {
            fail_msg("out of order: %s", order[i]);
        }
    }
    assert_int_equal(count_texts(text, "# TYPE "), METRIC_COUNT);
    assert_int_equal(count_texts(text, "# HELP "), METRIC_COUNT);
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_line(text, "db_query_duration_seconds_sum{operation=\"select\"} 0.0");
    tear_down(&fixture);
}

static void openmetrics_has_its_own_names_units_and_end(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    fill_with_everything(fixture.metrics);
    const char *text = render_as(&fixture, METRICS_OPENMETRICS_1_0_0, false);
    assert_line(text, "# TYPE http_requests counter");
    assert_line(text,
                "http_requests_total{method=\"POST\",endpoint=\"/chat\",status_code=\"200\"} 2");
    assert_line(text, "# UNIT http_request_duration_seconds seconds");
    assert_line(text, "# UNIT process_resident_memory_bytes bytes");
    assert_line(text, "# TYPE build info");
    assert_non_null(strstr(text, "\nbuild_info{version=\""));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    assert_int_equal(count_texts(text, "# EOF"), 1);
    tear_down(&fixture);
}

static void consoul_names_are_added_up_from_ours(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    fill_with_everything(fixture.metrics);
    assert_null(strstr(render(&fixture), "consoul_"));
    const char *text = render_as(&fixture, METRICS_TEXT_0_0_4, true);
    assert_line(text, "consoul_request_total{endpoint=\"/chat\",method=\"POST\",status=\"200\","
                      "model=\"unknown\"} 2");
    assert_line(text, "consoul_request_latency_seconds_bucket{endpoint=\"/chat\",method=\"GET\","
                      "le=\"0.01\"} 1");
    assert_line(text, "consoul_request_latency_seconds_sum{endpoint=\"/chat\",method=\"GET\"} "
                      "0.007");
    assert_line(text, "consoul_token_usage_total{direction=\"input\",model=\"m\"} 30");
    assert_line(text, "consoul_token_usage_total{direction=\"output\",model=\"m\"} 5");
    assert_line(text, "consoul_errors_total{endpoint=\"/chat\",error_type=\"not_found\"} 7");
    assert_line(text, "consoul_redis_degraded 1");
    text = render_as(&fixture, METRICS_OPENMETRICS_1_0_0, true);
    assert_line(text, "# TYPE consoul_request counter");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    tear_down(&fixture);
}

static void failing_allocations_and_small_buffers_are_told(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    fill_with_everything(fixture.metrics);
    for (unsigned long n = 1;; n++) {
        buffer_release(&fixture.text);
        memory_fail_after(n);
        enum status status =
            metrics_render(fixture.metrics, METRICS_TEXT_0_0_4, true, &fixture.text);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        if (failures == 0) {
            assert_int_equal(status, STATUS_OK);
            assert_true(n > 5);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    struct buffer small;
    buffer_init(&small, 100);
    assert_int_equal(metrics_render(fixture.metrics, METRICS_TEXT_0_0_4, true, &small),
                     STATUS_TOO_LARGE);
    buffer_release(&small);
    struct metrics *metrics = NULL;
    memory_fail_after(1);
    assert_int_equal(metrics_open(&metrics, fixture.segment, "x"), STATUS_NO_MEMORY);
    memory_fail_after(0);
    assert_null(metrics);
    tear_down(&fixture);
}

static void format_is_chosen_as_prometheus_asks(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_TEXT_0_0_4},
        {"", METRICS_TEXT_0_0_4},
        {"*/*", METRICS_TEXT_0_0_4},
        {"text/html,application/xhtml+xml,*/*;q=0.8", METRICS_TEXT_0_0_4},
        {"text/plain", METRICS_TEXT_0_0_4},
        {"text/plain; version=0.0.4", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text", METRICS_OPENMETRICS_1_0_0},
        {"application/openmetrics-text; version=1.0.0", METRICS_OPENMETRICS_1_0_0},
        {"application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
         METRICS_OPENMETRICS_1_0_0},
        {"Application/OpenMetrics-Text;VERSION=1.0.0;Q=0.5", METRICS_OPENMETRICS_1_0_0},
        {"application/openmetrics-text;version=0.0.1", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;version=2.0.0", METRICS_TEXT_0_0_4},
        /* Prometheus 2.42 and 3 */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPENMETRICS_1_0_0},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
         "application/openmetrics-text;version=0.0.1;q=0.5,"
         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
         "*/*;q=0.2",
         METRICS_OPENMETRICS_1_0_0},
        {"application/openmetrics-text;q=0.5, text/plain;q=0.9", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;q=0.5, */*;q=0.9", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;q=0", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;q=2", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;q=", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;q=0.1234", METRICS_TEXT_0_0_4},
        {"application/openmetrics-text;;;", METRICS_OPENMETRICS_1_0_0},
        {",,;,=;q", METRICS_TEXT_0_0_4},
        {"application/json", METRICS_TEXT_0_0_4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (metrics_choose_format(cases[i].accept) != cases[i].format) {
            fail_msg("wrong format for: %s", cases[i].accept);
        }
    }
    assert_string_equal(metrics_content_type(METRICS_TEXT_0_0_4),
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(metrics_content_type(METRICS_OPENMETRICS_1_0_0), "version=1.0.0"));
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        METRICS_TEST(buckets_are_cumulative_and_their_bounds_inclusive),
        METRICS_TEST(provider_histograms_reach_two_minutes),
        METRICS_TEST(label_values_are_escaped),
        METRICS_TEST(bytes_that_are_not_utf8_become_question_marks),
        METRICS_TEST(long_label_values_are_cut_between_characters),
        METRICS_TEST(missing_label_values_are_empty),
        METRICS_TEST(series_are_sorted_and_the_order_is_fixed),
        METRICS_TEST(openmetrics_has_its_own_names_units_and_end),
        METRICS_TEST(consoul_names_are_added_up_from_ours),
        METRICS_TEST(failing_allocations_and_small_buffers_are_told),
        cmocka_unit_test(format_is_chosen_as_prometheus_asks),
    };
    return cmocka_run_group_tests_name("metrics_text", tests, NULL, NULL);
}
