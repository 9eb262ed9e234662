/*
 * What the tests of metrics share: an open segment with metrics in it, and lines of expositions.
 */
#ifndef TESTS_METRICS_HELP_H
#define TESTS_METRICS_HELP_H

#include "segment_help.h"

#include "metrics/metrics.h"

struct fixture {
    struct segment *segment;
    struct metrics *metrics;
    struct buffer text;
};

static inline struct fixture set_up(const char *program)
{
    struct fixture fixture = {0};
    fixture.segment = help_open(program, &metrics_segment_region, 1);
    assert_non_null(fixture.segment);
    assert_int_equal(metrics_open(&fixture.metrics, fixture.segment, program), STATUS_OK);
    buffer_init(&fixture.text, 16 * 1024 * 1024);
    return fixture;
}

static inline void tear_down(struct fixture *fixture)
{
    metrics_close(fixture->metrics);
    segment_close(fixture->segment);
    buffer_release(&fixture->text);
}

static inline const char *render_as(struct fixture *fixture, enum metrics_format format,
                                    bool consoul)
{
    buffer_reset(&fixture->text);
    assert_int_equal(metrics_render(fixture->metrics, format, consoul, &fixture->text), STATUS_OK);
    return buffer_text(&fixture->text);
}

static inline const char *render(struct fixture *fixture)
{
    return render_as(fixture, METRICS_TEXT_0_0_4, false);
}

/* The text has `line` as a whole line. */
static inline bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (const char *found = text; (found = strstr(found, line)) != NULL; found++) {
        if ((found == text || found[-1] == '\n') && found[length] == '\n') {
            return true;
        }
    }
    return false;
}

#define assert_line(text, line)                                                                    \
    do {                                                                                           \
        if (!has_line((text), (line))) {                                                           \
            fail_msg("no line: %s\n%s", (line), (text));                                           \
        }                                                                                          \
    } while (0)

static inline unsigned count_texts(const char *text, const char *wanted)
{
    unsigned count = 0;
    for (const char *found = text; (found = strstr(found, wanted)) != NULL; found++) {
        count++;
    }
    return count;
}

/* A few series of most families. */
static inline void fill_with_everything(struct metrics *metrics)
{
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("POST", "/chat", "200"), 2);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/chat", "200"), 1);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/auth", "200"), 1);
    metrics_observe(metrics, METRIC_HTTP_REQUEST_DURATION, METRIC_LABELS("GET", "/chat"), 7000000);
    metrics_add(metrics, METRIC_HTTP_ERRORS, METRIC_LABELS("GET", "/chat", "not_found"), 3);
    metrics_add(metrics, METRIC_HTTP_ERRORS, METRIC_LABELS("POST", "/chat", "not_found"), 4);
    metrics_add(metrics, METRIC_CHAT_COMPLETION_TOKENS, METRIC_LABELS("a", "m", "prompt"), 10);
    metrics_add(metrics, METRIC_CHAT_COMPLETION_TOKENS, METRIC_LABELS("b", "m", "prompt"), 20);
    metrics_add(metrics, METRIC_CHAT_COMPLETION_TOKENS, METRIC_LABELS("a", "m", "completion"), 5);
    metrics_set(metrics, METRIC_RATE_LIMIT_STORE_UP, METRIC_NO_LABELS, 0);
    metrics_set(metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("redis"), 1);
    metrics_observe(metrics, METRIC_DB_QUERY_DURATION, METRIC_LABELS("select"), 0);
}

#define METRICS_TEST(name)                                                                         \
    cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)

#endif
