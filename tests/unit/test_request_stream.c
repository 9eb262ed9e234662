/* Answers that outlive their worker: handed over, sent, logged and counted once. */
#include "../torture/torture.h"

#include "base/context.h"
#include "metrics/metrics.h"
#include "transport/pump_private.h"

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

/* A client that takes nothing at first. */
static struct exchange_operations slow_operations;
static enum status (*flush_at_once)(struct exchange *exchange);
static unsigned flushes;

static enum status flush_late(struct exchange *exchange)
{
    return flushes++ == 0 ? STATUS_BUSY : flush_at_once(exchange);
}

static void slow_down(struct exchange *exchange)
{
    slow_operations = *exchange->operations;
    flush_at_once = slow_operations.flush;
    flushes = 0;
    slow_operations.flush = flush_late;
    exchange->operations = &slow_operations;
}

static void stop_pump(void *context)
{
    pump_shut_down(context);
}

/* A client that lags, a timer and an offload, and then the program's end. */
static void live_fully(struct request *request, struct stream *stream)
{
    static char text[STREAM_LAG_BYTES + 1];
    memset(text, 'x', sizeof text);
    slow_down(stream_exchange(stream));
    response_stream_head(request, stream, CONTENT_TYPE_EVENTS);
    stream_write(stream, (struct slice){text, sizeof text});
    stream_set_timer(stream, 1);
    stream_offload(stream, work);
    assert_int_equal(pump_set_timer(stream_pump(stream), 50, stop_pump, stream_pump(stream)),
                     STATUS_OK);
}

static void lose_client(struct request *request, struct stream *stream)
{
    response_stream_head(request, stream, CONTENT_TYPE_EVENTS);
    stream_refuse(stream, slice_of("data: the last\n\n"));
}

static void (*beginning)(struct request *request, struct stream *stream);

/* An owner that notes in the log what it is told, and leaves no id behind. */
static unsigned told;

static void tell(const char *event)
{
    log_write(LOG_INFO, event, LOG_TEXT("of", "stream"));
    context_replace(&(const struct context){.trace_id = ""});
    told++;
}

static void told_start(struct stream *stream, void *context)
{
    beginning(((struct events *)context)->request, stream);
    tell("told_start");
}

static void told_lagging(struct stream *stream, bool is_lagging, void *context)
{
    (void)stream;
    (void)context;
    tell(is_lagging ? "told_lagging" : "told_caught_up");
}

static void told_timer(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
    tell("told_timer");
}

static void told_offloaded(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
    tell("told_offloaded");
}

static void told_gone(struct stream *stream, void *context)
{
    (void)context;
    tell("told_gone");
    stream_end(stream);
}

static void told_shutdown(struct stream *stream, void *context)
{
    (void)context;
    tell("told_shutdown");
    stream_end(stream);
}

static void told_ended(struct stream *stream, void *context)
{
    (void)stream;
    (void)context;
    log_write(LOG_INFO, "told_ended", LOG_TEXT("of", "stream"));
    told++;
}

static const struct stream_handlers told_handlers = {
    .start = told_start,
    .lagging = told_lagging,
    .client_gone = told_gone,
    .timer = told_timer,
    .offloaded = told_offloaded,
    .shutdown = told_shutdown,
    .ended = told_ended,
};

/* Its owner wants to know nothing but when it begins and ends. */
static void bare_start(struct stream *stream, void *context)
{
    beginning(((struct events *)context)->request, stream);
}

static const struct stream_handlers bare_handlers = {.start = bare_start, .ended = events_ended};

/* Not even that it begins. */
static const struct stream_handlers silent_handlers = {.ended = events_ended};

static void stream_as_told(struct request *request)
{
    struct events *events = arena_allocate(request->arena, sizeof *events);
    const char *template = request->match.route->template;
    const struct stream_handlers *handlers = strcmp(template, "/told") == 0   ? &told_handlers
                                             : strcmp(template, "/bare") == 0 ? &bare_handlers
                                                                              : &silent_handlers;
    assert_non_null(events);
    events->request = request;
    assert_true(request_stream(request, handlers, events));
    if (handlers == &silent_handlers) {
        pump_shut_down(transport_pump(NULL));
    }
}

static const struct route routes[] = {
    {HTTP_GET, "/told", stream_as_told, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/bare", stream_as_told, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/silent", stream_as_told, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
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

/* Log lines of an owner stand beside those of other streams of the same turn. */
static void assert_told(struct pipeline *pipeline, const char *const *events)
{
    const char *log = pipeline_log(pipeline);
    const char *id = answer_header(pipeline, "X-Correlation-ID");
    unsigned count = 0;
    for (; *events != NULL; events++, count++) {
        const char *line = strstr(log, *events);
        if (line == NULL) {
            fail_msg("no %s in\n%s", *events, log);
            return;
        }
        const char *end = strchr(line, '\n');
        while (line > log && line[-1] != '\n') {
            line--;
        }
        const char *found = strstr(line, id);
        if (found == NULL || found > end) {
            fail_msg("no id beside %s", *events);
        }
    }
    assert_int_equal(told, count);
}

static void an_owner_is_told_everything_under_the_id_of_its_request(void **state)
{
    struct pipeline *pipeline = *state;
    told = 0;
    beginning = live_fully;
    assert_answers(pipeline, CALL(.path = "/told"), 200);
    static const char *const events[] = {
        "told_start",     "told_lagging",  "told_caught_up", "told_timer",
        "told_offloaded", "told_shutdown", "told_ended",     NULL};
    assert_told(pipeline, events);
}

static void an_owner_is_told_that_its_client_has_gone(void **state)
{
    struct pipeline *pipeline = *state;
    told = 0;
    beginning = lose_client;
    assert_answers(pipeline, CALL(.path = "/told"), 200);
    static const char *const events[] = {"told_start", "told_gone", "told_ended", NULL};
    assert_told(pipeline, events);
}

static void a_stream_of_an_owner_that_is_told_nothing_ends_with_its_client(void **state)
{
    struct pipeline *pipeline = *state;
    beginning = lose_client;
    assert_answers(pipeline, CALL(.path = "/bare"), 200);
    assert_int_equal(streams_ended, 1);
}

static void a_stream_of_an_owner_that_is_told_nothing_ends_with_the_program(void **state)
{
    struct pipeline *pipeline = *state;
    beginning = live_fully;
    assert_answers(pipeline, CALL(.path = "/bare"), 200);
    assert_int_equal(streams_ended, 1);
    assert_int_equal(pipeline_run(pipeline, CALL(.path = "/silent")), STATUS_OK);
    assert_int_equal(pipeline->answer.length, 0);
    assert_int_equal(streams_ended, 2);
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
    alarm(120); /* a stream that nobody ends */
    const struct CMUnitTest tests[] = {
        TEST(a_stream_is_answered_logged_and_counted_once),
        TEST(a_stream_may_turn_out_to_be_one_answer),
        TEST(a_stream_that_is_refused_is_answered_503),
        TEST(head_of_a_stream_ends_at_once),
        TEST(log_lines_after_a_stream_carry_no_id),
        TEST(an_owner_is_told_everything_under_the_id_of_its_request),
        TEST(an_owner_is_told_that_its_client_has_gone),
        TEST(a_stream_of_an_owner_that_is_told_nothing_ends_with_its_client),
        TEST(a_stream_of_an_owner_that_is_told_nothing_ends_with_the_program),
        TEST(a_stream_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
