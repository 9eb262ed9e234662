/*
 * http/pipeline: the order of checks, and what begins and ends every request.
 */
#include "http/pipeline.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/random.h"
#include "base/siphash.h"
#include "http/response.h"
#include "log/log.h"
#include "storage/storage.h"

/* What metrics and logs call a path that no route answers, so that random paths add nothing. */
static const char unmatched_endpoint[] = "unmatched";

/* Of bytes, which take up to six each in a line of 8 KB: what stands behind it must find room. */
#define LOGGED_PATH_MAXIMUM 1024
#define LOGGED_ID_MAXIMUM   128

#define STORAGE_WAIT_NANOSECONDS       UINT64_C(5000000000)
#define STORAGE_LEAST_WAIT_NANOSECONDS UINT64_C(250000000)

/* W3C Trace Context level 1, section 3.3.1.5: at least so much is to be handed on. */
#define TRACE_STATE_MAXIMUM 512

/* What a request is logged and counted with whose client left before it was there; nobody is
 * answered with it. The number is the one that nginx made common for this. */
#define STATUS_OF_LEAVERS 499

static const char *endpoint_of(const struct request *request)
{
    return request->match.route ? request->match.route->template : unmatched_endpoint;
}

/* Where the web server goes by files, the program's own name is no part of the path: of
 * "/shop/auth.fcgi" + "/auth/me" the second is what was asked for (apache/htaccess). */
static bool is_name_of_program(struct slice script)
{
    static const char ending[] = ".fcgi";
    size_t length = sizeof(ending) - 1;
    return script.length > length &&
           memcmp(script.data + script.length - length, ending, length) == 0;
}

/* RFC 3875 leaves it to the server where SCRIPT_NAME ends, and they all differ; the two together
 * always are the decoded path. False when memory is out. */
static bool full_path(struct exchange *exchange, struct slice *path)
{
    struct slice script = exchange_parameter(exchange, "SCRIPT_NAME");
    struct slice info = exchange_parameter(exchange, "PATH_INFO");
    if (info.length > 0 && is_name_of_program(script)) {
        script.length = 0;
    }
    *path = script.length == 0 ? info : script;
    if (script.length == 0 || info.length == 0) {
        return true;
    }
    char *joined = arena_allocate(&exchange->arena, script.length + info.length + 1);
    if (joined == NULL) {
        return false;
    }
    memcpy(joined, script.data, script.length);
    memcpy(joined + script.length, info.data, info.length);
    *path = (struct slice){joined, script.length + info.length};
    return true;
}

/* False when memory is out. */
static bool match_route(struct request *request, struct slice path)
{
    const struct app_options *options = request->app->options;
    request->path = path;
    if (!target_identify(request)) {
        return true;
    }
    if (path.length > 1 && path.data[path.length - 1] == '/') {
        path.length--;
    }
    request->path = path;
    router_match(options->routes, options->route_count, request->method, path, &request->match);
    struct slice shorter;
    for (size_t i = 0;
         !request->match.path_exists && target_strip_prefix(request, &i, path, &shorter);) {
        router_match(options->routes, options->route_count, request->method, shorter,
                     &request->match);
        request->path = request->match.path_exists ? shorter : path;
    }
    for (size_t i = 0; i < request->match.value_count; i++) {
        struct slice *value = &request->match.values[i];
        value->data = arena_copy(request->arena, value->data, value->length);
        if (value->data == NULL) {
            return false;
        }
    }
    return true;
}

/* The request of an exchange, made on first use: for the body limit if there is a body, else for
 * the handler. NULL when memory is out. */
static struct request *request_of(struct app *app, struct exchange *exchange)
{
    if (exchange->state != NULL) {
        return exchange->state;
    }
    /* Room for the answer that says there is no memory, while there is some. */
    if (buffer_reserve(&exchange->output, RESPONSE_WITHOUT_MEMORY_SIZE) == NULL) {
        return NULL;
    }
    struct request *request = arena_allocate(&exchange->arena, sizeof *request);
    struct slice path;
    if (request == NULL || !full_path(exchange, &path)) {
        return NULL;
    }
    request->app = app;
    request->live = atomic_load(&app->live);
    request->exchange = exchange;
    request->arena = &exchange->arena;
    request->should_retry = -1;
    request->client_address = "unknown";
    request->principal = (struct principal){.kind = PRINCIPAL_NONE, .id = "", .owner = ""};
    response_init(&request->response);
    request->method = http_method_of(exchange_parameter(exchange, "REQUEST_METHOD"));
    if (!match_route(request, path)) {
        return NULL;
    }
    if (request->method == HTTP_HEAD) {
        request->method = HTTP_GET;
        request->is_head = true;
    }
    exchange->state = request;
    return request;
}

/* Reads never wait for those who write; the rest may. */
static enum exchange_work work_of(const struct request *request)
{
    const struct route *route = request->match.route;
    return route == NULL || request->method == HTTP_GET || (route->flags & ROUTE_READS) != 0
               ? EXCHANGE_QUICK
               : EXCHANGE_WAITING;
}

void pipeline_plan(struct exchange *exchange, void *context)
{
    struct app *app = context;
    const struct config *config = atomic_load(&app->live)->config;
    struct request *request = request_of(app, exchange);
    bool is_ingest =
        request && request->match.route && (request->match.route->flags & ROUTE_INGEST) != 0;
    exchange->body_maximum = (size_t)(is_ingest ? config->max_ingest_size : config->max_body_size);
    exchange->work = request != NULL ? work_of(request) : EXCHANGE_QUICK;
}

static bool is_correlation_id(struct slice text)
{
    if (text.length == 0 || text.length > CONTEXT_CORRELATION_MAXIMUM) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        bool is_alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                               (byte >= '0' && byte <= '9');
        if (!is_alphanumeric && byte != '.' && byte != '_' && byte != '-') {
            return false;
        }
    }
    return true;
}

static void identify_correlation(struct request *request, struct context *context)
{
    static const char *const names[] = {"X-Correlation-ID", "X-Request-ID"};
    for (size_t i = 0; i < 2; i++) {
        struct slice given = request_header(request, names[i]);
        if (is_correlation_id(given)) {
            memcpy(context->correlation_id, given.data, given.length);
            return;
        }
    }
    random_uuid(context->correlation_id);
}

/* What is handed on of `tracestate`; the rest of it is not ours to read (section 3.3). NULL: absent,
 * longer than anybody must take, or with a byte that no header may have. */
static const char *copy_trace_state(struct request *request)
{
    struct slice text = slice_trim(request_header(request, "tracestate"));
    for (size_t i = 0; i < text.length; i++) {
        if ((text.data[i] < ' ' && text.data[i] != '\t') || text.data[i] > '~') {
            return NULL;
        }
    }
    return text.length == 0 || text.length > TRACE_STATE_MAXIMUM
               ? NULL
               : arena_copy(request->arena, text.data, text.length);
}

/* W3C Trace Context level 1, section 3.2: version-traceid-parentid-flags, lower-case hex, ids not
 * all zero, version not ff. A later version may go on after the fourth field; it is handed on as
 * version 00 without what we do not know (section 3.2.4). */
static void identify_trace(struct request *request, struct context *context)
{
    struct slice text = request_header(request, "traceparent");
    if (text.length < 55 ||
        (text.length > 55 && (text.data[55] != '-' || slice_starts_with(text, "00")))) {
        return;
    }
    for (size_t i = 0; i < 55; i++) {
        char byte = text.data[i];
        bool is_dash = i == 2 || i == 35 || i == 52;
        bool is_hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
        if (is_dash ? byte != '-' : !is_hex) {
            return;
        }
    }
    if (slice_starts_with(text, "ff") ||
        memcmp(text.data + 3, "00000000000000000000000000000000", 32) == 0 ||
        memcmp(text.data + 36, "0000000000000000", 16) == 0) {
        return;
    }
    memcpy(context->trace_id, text.data + 3, 32);
    memcpy(context->span_id, text.data + 36, 16);
    memcpy(context->trace_flags, text.data + 53, 2);
    request->tracestate = copy_trace_state(request);
}

static bool check_route(struct request *request)
{
    if (request->match.route != NULL) {
        return true;
    }
    if (!request->match.path_exists) {
        if (limits_check(request)) {
            problem_answer(request, PROBLEM_NOT_FOUND, NULL);
        }
        return false;
    }
    struct buffer methods;
    buffer_init(&methods, 128);
    router_describe_methods(request->match.allowed_methods, &methods);
    if (buffer_status(&methods) == STATUS_OK) {
        problem_answer(request, PROBLEM_METHOD_NOT_ALLOWED, NULL);
        response_add_header(request, "Allow", buffer_text(&methods));
    } else {
        problem_answer_status(request, buffer_status(&methods));
    }
    buffer_release(&methods);
    return false;
}

static bool check_declared_size(struct request *request)
{
    const struct exchange *exchange = request->exchange;
    if (exchange->body_declared == EXCHANGE_LENGTH_INVALID) {
        problem_answer(request, PROBLEM_INVALID_REQUEST, "The Content-Length is not valid");
        return false;
    }
    if (exchange->body_declared > 0 && (uint64_t)exchange->body_declared > exchange->body_maximum) {
        problem_answer(request, PROBLEM_REQUEST_TOO_LARGE, NULL);
        return false;
    }
    return true;
}

static bool check_size(struct request *request)
{
    if (request->exchange->body_too_large) {
        problem_answer(request, PROBLEM_REQUEST_TOO_LARGE, NULL);
        return false;
    }
    if (request->exchange->body_differs) {
        problem_answer(request, PROBLEM_INVALID_REQUEST_BODY,
                       "The request body is not as long as Content-Length says");
        return false;
    }
    request->body = request->exchange->body;
    return true;
}

static bool check_body(struct request *request)
{
    enum route_body kind = request->match.route->body;
    if (kind == BODY_NONE) {
        return true;
    }
    if (request->body.length == 0) {
        if (kind == BODY_JSON_OPTIONAL || kind == BODY_RAW) {
            return true;
        }
        problem_answer(request, PROBLEM_INVALID_REQUEST_BODY, NULL);
        return false;
    }
    if (!media_check(request, kind != BODY_RAW)) {
        return false;
    }
    if (kind == BODY_JSON_TEXT || kind == BODY_RAW) {
        return true;
    }
    enum status status = json_parse(request->arena, request->body, &request->json);
    if (status == STATUS_NO_MEMORY) {
        problem_answer_status(request, status);
        return false;
    }
    if (status != STATUS_OK) {
        problem_answer(request, PROBLEM_INVALID_REQUEST_BODY, NULL);
        return false;
    }
    if (json_node_kind(request->json) != JSON_OBJECT) {
        problem_add_field(request, "body", NULL, "Input should be an object", "object_type");
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    return true;
}

/* NULL when memory is out. */
static const char *path_for_log(const struct request *request)
{
    size_t length = request->path.length;
    return arena_copy(request->arena, request->path.data,
                      length < LOGGED_PATH_MAXIMUM ? length : LOGGED_PATH_MAXIMUM);
}

static void identify(struct request *request)
{
    struct context context = {.correlation_id = ""};
    request->has_begun = true;
    identify_correlation(request, &context);
    identify_trace(request, &context);
    context_replace(&context);
    metrics_present(request->app->metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS,
                    METRIC_LABELS(http_method_text(request->method), endpoint_of(request)), 1);
    client_identify(request);
    cors_identify(request);
}

/* A locked database is waited for as long as a client may wait at all, counted from when its request
 * began; a long body is no reason not to wait for a moment. */
static void limit_waiting(const struct exchange *exchange)
{
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t deadline = exchange->started_nanoseconds + STORAGE_WAIT_NANOSECONDS;
    uint64_t least = now + STORAGE_LEAST_WAIT_NANOSECONDS;
    storage_set_deadline(deadline > least ? deadline : least);
}

static void answer(struct request *request)
{
    struct exchange *exchange = request->exchange;
    response_send(request);
    pipeline_finish(request);
    exchange_complete(exchange);
}

/* Who pays for the room of a body. */
static uint64_t number_of_owner(const struct principal *principal)
{
    static const struct siphash_key key = {{0, 0}};
    if (principal->kind == PRINCIPAL_NONE || principal->kind == PRINCIPAL_ANONYMOUS) {
        return 0;
    }
    return siphash_compute(&key, principal->owner, strlen(principal->owner)).words[0] | 1;
}

bool pipeline_admit(struct exchange *exchange, void *context)
{
    struct request *request = request_of(context, exchange);
    if (request == NULL) {
        response_send_without_memory(exchange);
        exchange_complete(exchange);
        return false;
    }
    identify(request);
    if (log_enabled(LOG_DEBUG)) {
        log_write(
            LOG_DEBUG, "incoming_request", LOG_TEXT("method", http_method_text(request->method)),
            LOG_TEXT("path", path_for_log(request)), LOG_TEXT("client", request->client_address));
    }
    limit_waiting(exchange);
    if (target_check(request) && host_check_allowed(request) && host_check_https(request) &&
        cors_check_preflight(request) && target_check_everything(request) && check_route(request) &&
        query_read(request) && credentials_verify(request) && limits_check(request) &&
        credentials_check(request) && query_check(request) && check_declared_size(request)) {
        storage_set_deadline(0);
        exchange->owner = number_of_owner(&request->principal);
        return true;
    }
    storage_set_deadline(0);
    answer(request);
    return false;
}

void pipeline_handle(struct exchange *exchange, void *context)
{
    struct request *request = request_of(context, exchange);
    bool handed_over = false;
    request->handed_over = &handed_over;
    limit_waiting(exchange);
    if (check_size(request) && check_body(request)) {
        request->match.route->handle(request);
    }
    storage_set_deadline(0);
    if (!handed_over) {
        answer(request);
    }
}

static enum problem problem_of_transport(int status)
{
    switch (status) {
    case 400:
        return PROBLEM_INVALID_REQUEST;
    case 408:
        return PROBLEM_REQUEST_TIMEOUT;
    case 431:
        return PROBLEM_REQUEST_HEADER_TOO_LARGE;
    default:
        return PROBLEM_OVERLOADED;
    }
}

void pipeline_refuse(struct exchange *exchange, int status, void *context)
{
    struct request *request = request_of(context, exchange);
    if (request == NULL) {
        response_send_without_memory(exchange);
        exchange_complete(exchange);
        return;
    }
    if (!request->has_begun) {
        identify(request);
    }
    problem_answer(request, problem_of_transport(status), NULL);
    answer(request);
}

void pipeline_dropped(struct exchange *exchange, void *context)
{
    struct request *request = request_of(context, exchange);
    if (request == NULL) {
        return;
    }
    if (!request->has_begun) {
        identify(request);
    }
    request->response.status = STATUS_OF_LEAVERS;
    request->response.error_word = "client_left";
    pipeline_finish(request);
}

static void count(struct request *request, uint64_t nanoseconds)
{
    struct metrics *metrics = request->app->metrics;
    const char *method = http_method_text(request->method);
    const char *endpoint = endpoint_of(request);
    int status = request->response.status;
    char status_text[4] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                           (char)('0' + status % 10), '\0'};
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS(method, endpoint, status_text), 1);
    metrics_observe(metrics, METRIC_HTTP_REQUEST_DURATION, METRIC_LABELS(method, endpoint),
                    nanoseconds);
    if (request->response.error_word != NULL) {
        metrics_add(metrics, METRIC_HTTP_ERRORS,
                    METRIC_LABELS(method, endpoint, request->response.error_word), 1);
    }
    metrics_present(metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS, METRIC_LABELS(method, endpoint), -1);
}

/* The chart that the path names; NULL if it names none. */
static const char *chart_for_log(const struct request *request)
{
    const struct route *route = request->match.route;
    if (route == NULL || strstr(route->template, "{chart_id}") == NULL) {
        return NULL;
    }
    const char *id = request_path_value(request, "chart_id");
    return strlen(id) <= LOGGED_ID_MAXIMUM ? id : NULL;
}

void pipeline_finish(struct request *request)
{
    uint64_t nanoseconds = clock_monotonic_nanoseconds() - request->exchange->started_nanoseconds;
    count(request, nanoseconds);
    uint64_t microseconds = nanoseconds / 1000; /* whole: three decimals are enough in a log */
    int status = request->response.status;
    const char *user = request->principal.id[0] != '\0' ? request->principal.id : NULL;
    log_write(status >= 500 ? LOG_ERROR : LOG_INFO,
              status >= 500 ? "request_failed" : "request_completed",
              LOG_TEXT("method", request->is_head ? "HEAD" : http_method_text(request->method)),
              LOG_TEXT("path", path_for_log(request)), LOG_INTEGER("status_code", status),
              LOG_DOUBLE("duration_ms", (double)microseconds / 1000.0),
              LOG_TEXT("client", request->client_address), LOG_TEXT("user", user),
              LOG_TEXT("chart_id", chart_for_log(request)),
              LOG_TEXT("session_id", request->subject.session_id),
              LOG_TEXT("provider", request->subject.provider),
              LOG_TEXT("model", request->subject.model),
              LOG_TEXT("error_type", request->response.error_word));
    response_release(&request->response);
}
