/* Answers that outlive their worker: handed over, sent, logged and counted once. */
#include "../torture/torture.h"

#include "metrics/metrics.h"

#define CONTENT_TYPE_EVENTS "text/event-stream"

/* --- The program ---------------------------------------------------------------------------- */

/* Two events, the second after an offload and a timer. */
struct events {
    struct request *request;
    bool is_whole;
    bool was_offloaded;
};

static unsigned streams_ended;
static unsigned streams_refused;

static void events_start(struct stream *stream, void *context)
{
    struct events *events = context;
    if (events->is_whole) {
        problem_answer(events->request, PROBLEM_LLM_TIMEOUT, NULL);
        response_stream_whole(events->request, stream);
        return;
    }
    response_stream_head(events->request, stream, CONTENT_TYPE_EVENTS);
    stream_write(stream, slice_of("data: 1\n\n"));
    stream_set_timer(stream, 1);
}

static void work(void *context)
{
    ((struct events *)context)->was_offloaded = true;
}

static void events_timer(struct stream *stream, void *context)
{
    (void)context;
    stream_offload(stream, work);
}

static void events_offloaded(struct stream *stream, void *context)
{
    stream_write(stream, slice_of(((struct events *)context)->was_offloaded ? "data: 2\n\n" : "?"));
    stream_end(stream);
}

static void events_ended(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
    streams_ended++;
}

static const struct stream_handlers event_handlers = {
    .start = events_start,
    .timer = events_timer,
    .offloaded = events_offloaded,
    .ended = events_ended,
};

static void stream_events(struct request *request)
{
    struct events *events = arena_allocate(request->arena, sizeof *events);
    if (events == NULL) {
        problem_answer_status(request, STATUS_NO_MEMORY);
        return;
    }
    events->request = request;
    events->is_whole = request->match.route->template[1] == 'w';
    if (!request_stream(request, &event_handlers, events)) {
        streams_refused++;
    }
}

/* Where there is no memory to hand anything over. */
static void stream_nothing(struct request *request)
{
    request->arena->maximum = request->arena->used;
    streams_refused += !request_stream(request, &event_handlers, NULL);
}

static const struct route routes[] = {
    {HTTP_GET, "/refused", stream_nothing, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/events", stream_events, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/whole", stream_events, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
};

static const struct app_options options = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
};

static int set_up(void **state)
{
    streams_ended = 0;
    streams_refused = 0;
    return pipeline_set_up_settings(state, &options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

/* --- Promises ------------------------------------------------------------------------------- */

static void a_stream_is_answered_logged_and_counted_once(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/events"), 200);
    assert_header(pipeline, "Cache-Control", "no-cache, no-transform");
    assert_header(pipeline, "X-Frame-Options", "DENY");
    assert_header(pipeline, "Content-Type", CONTENT_TYPE_EVENTS);
    assert_header(pipeline, "Content-Length", NULL);
    assert_header(pipeline, "X-Accel-Buffering", "no");
    assert_string_equal(pipeline->body.data, "data: 1\n\ndata: 2\n\n");
    assert_int_equal(streams_ended, 1);
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "request_completed"), 1);
    assert_int_equal(count_in(log, answer_header(pipeline, "X-Correlation-ID")), 1);
    struct metrics *metrics = pipeline->app->metrics;
    assert_int_equal(
        metrics_read(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/events", "200")), 1);
    assert_int_equal(
        metrics_read(metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS, METRIC_LABELS("GET", "/events")),
        0);
}

static void a_stream_may_turn_out_to_be_one_answer(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, CALL(.path = "/whole"), 504, "llm_timeout");
    assert_header(pipeline, "X-Accel-Buffering", NULL);
    assert_int_equal(streams_ended, 1);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS,
                                  METRIC_LABELS("GET", "/whole", "504")),
                     1);
    assert_int_equal(count_in(pipeline_log(pipeline), "request_failed"), 1);
}

static void a_stream_that_is_refused_is_answered_503(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/refused"), 503);
    assert_header(pipeline, "Retry-After", "1");
    assert_int_equal(streams_refused, 1);
    assert_int_equal(streams_ended, 0);
    assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS,
                                  METRIC_LABELS("GET", "/refused", "503")),
                     1);
}

static void head_of_a_stream_ends_at_once(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.method = "HEAD", .path = "/events"), 200);
    assert_header(pipeline, "Content-Type", CONTENT_TYPE_EVENTS);
    assert_int_equal(pipeline->body.length, 0);
    assert_int_equal(streams_ended, 1);
}

static void log_lines_after_a_stream_carry_no_id(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/events"), 200);
    log_write(LOG_INFO, "outside", LOG_TEXT("after", "stream"));
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "outside"), 1);
    assert_int_equal(count_in(log, answer_header(pipeline, "X-Correlation-ID")), 1);
}

static void a_stream_survives_any_failed_allocation(void **state)
{
    struct pipeline *pipeline = *state;
    torture(pipeline, CALL(.path = "/events"), true);
    torture(pipeline, CALL(.path = "/whole"), true);
    torture(pipeline, CALL(.method = "HEAD", .path = "/events"), true);
    assert_true(streams_ended > 3);
    assert_true(streams_refused > 0);
    static const char *const paths[] = {"/events", "/whole"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_int_equal(metrics_read(pipeline->app->metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS,
                                      METRIC_LABELS("GET", paths[i])),
                         0);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_is_answered_logged_and_counted_once),
        TEST(a_stream_may_turn_out_to_be_one_answer),
        TEST(a_stream_that_is_refused_is_answered_503),
        TEST(head_of_a_stream_ends_at_once),
        TEST(log_lines_after_a_stream_carry_no_id),
        TEST(a_stream_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
