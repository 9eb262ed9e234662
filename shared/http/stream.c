/*
 * http/stream: requests that outlive their worker. The pump calls the functions of the handler; after
 * the last of them, `ended`, the request is counted and logged here.
 */
#include "http/pipeline.h"
#include "http/request.h"

static void on_ended(struct stream *stream, void *context)
{
    struct request *request = stream_exchange(stream)->state;
    request->stream_ended(stream, context);
    pipeline_finish(request);
}

bool request_stream(struct request *request, const struct stream_handlers *given, void *context)
{
    request->stream_handlers = *given;
    request->stream_handlers.ended = on_ended;
    request->stream_ended = given->ended;
    /* Once adopted, the request may be over before pump_adopt returns: only the flag on this
     * thread's stack may be touched. */
    bool *handed_over = request->handed_over;
    struct pump *pump = transport_pump(request->app->transport);
    if (pump != NULL &&
        pump_adopt(pump, request->exchange, &request->stream_handlers, context) == STATUS_OK) {
        *handed_over = true;
        return true;
    }
    problem_answer(request, PROBLEM_OVERLOADED, NULL);
    return false;
}
