/*
 * http/stream: requests that outlive their worker. The pump calls these, they call the handler's
 * functions with the right correlation id for log lines, and the last of them counts and logs the
 * request.
 */
#include "http/pipeline.h"
#include "http/request.h"
#include "log/log.h"

static void on_start(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    if (request->stream_handlers->start != NULL) {
        request->stream_handlers->start(stream, request->stream_context);
    }
}

static void on_lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct request *request = context;
    if (request->stream_handlers->lagging != NULL) {
        request->stream_handlers->lagging(stream, is_lagging, request->stream_context);
    }
}

static void on_client_gone(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    if (request->stream_handlers->client_gone != NULL) {
        request->stream_handlers->client_gone(stream, request->stream_context);
    } else {
        stream_end(stream);
    }
}

static void on_timer(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    if (request->stream_handlers->timer != NULL) {
        request->stream_handlers->timer(stream, request->stream_context);
    }
}

static void on_offloaded(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    if (request->stream_handlers->offloaded != NULL) {
        request->stream_handlers->offloaded(stream, request->stream_context);
    }
}

static void on_shutdown(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    if (request->stream_handlers->shutdown != NULL) {
        request->stream_handlers->shutdown(stream, request->stream_context);
    } else {
        stream_end(stream);
    }
}

static void on_ended(struct stream *stream, void *context)
{
    struct request *request = context;
    log_set_correlation(request->correlation_id);
    request->stream_handlers->ended(stream, request->stream_context);
    pipeline_finish(request);
    log_set_correlation(NULL);
}

static const struct stream_handlers handlers = {
    .start = on_start,
    .lagging = on_lagging,
    .client_gone = on_client_gone,
    .timer = on_timer,
    .offloaded = on_offloaded,
    .shutdown = on_shutdown,
    .ended = on_ended,
};

bool request_stream(struct request *request, const struct stream_handlers *given, void *context)
{
    request->stream_handlers = given;
    request->stream_context = context;
    /* Once adopted, the request may be over before pump_adopt returns: only the flag on this
     * thread's stack may be touched. */
    bool *handed_over = request->handed_over;
    struct pump *pump = transport_pump(request->app->transport);
    if (pump != NULL && pump_adopt(pump, request->exchange, &handlers, request) == STATUS_OK) {
        *handed_over = true;
        return true;
    }
    problem_answer(request, PROBLEM_OVERLOADED, NULL);
    return false;
}
