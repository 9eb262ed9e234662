/*
 * http/response: heads and bodies as CGI text.
 */
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "http/pipeline.h"
#include "http/request.h"
#include "http/response.h"

#define RESPONSE_BODY_MAXIMUM    (128u << 20)
#define RESPONSE_HEAD_MAXIMUM    4000 /* nginx refuses heads above 4 KB, FastCGI's record included */
#define RESPONSE_HEADERS_MAXIMUM 2048 /* of that, what is added to our own lines */

/* Never changes, so it is written as one piece. */
static const char security_headers[] =
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "X-Frame-Options: DENY\r\n";

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {302, "Found"},
    {304, "Not Modified"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Unknown";
}

void response_init(struct response *response)
{
    *response = (struct response){.status = 200, .cache_control = "no-store"};
    buffer_init(&response->headers, RESPONSE_HEADERS_MAXIMUM);
    buffer_init(&response->body, RESPONSE_BODY_MAXIMUM);
}

void response_release(struct response *response)
{
    buffer_release(&response->headers);
    buffer_release(&response->body);
}

struct json_writer *response_json(struct request *request, int status)
{
    struct response *response = &request->response;
    response->status = status;
    response->content_type = "application/json";
    buffer_reset(&response->body);
    json_write_start(&response->json, &response->body);
    return &response->json;
}

void response_empty(struct request *request, int status)
{
    request->response.status = status;
    request->response.content_type = NULL;
    buffer_reset(&request->response.body);
}

void response_add_header(struct request *request, const char *name, const char *value)
{
    struct buffer *headers = &request->response.headers;
    if (value == NULL) {
        headers->status = STATUS_NO_MEMORY;
        return;
    }
    if (strpbrk(value, "\r\n") != NULL) {
        return;
    }
    size_t before = headers->length;
    buffer_append_text(headers, name);
    buffer_append(headers, ": ", 2);
    buffer_append_text(headers, value);
    buffer_append(headers, "\r\n", 2);
    if (buffer_status(headers) == STATUS_TOO_LARGE) {
        /* A head that does not fit loses its last line, not its end. */
        buffer_truncate(headers, before);
        headers->status = STATUS_OK;
    }
}

static void append_header(struct buffer *head, const char *name, const char *value)
{
    buffer_append_text(head, name);
    buffer_append(head, ": ", 2);
    buffer_append_text(head, value);
    buffer_append(head, "\r\n", 2);
}

static void append_number_header(struct buffer *head, const char *name, uint64_t number)
{
    buffer_append_text(head, name);
    buffer_append(head, ": ", 2);
    buffer_append_integer(head, (long long)number);
    buffer_append(head, "\r\n", 2);
}

/* draft-ietf-httpapi-ratelimit-headers beside the older X- names. */
static void append_limit_headers(struct buffer *head, const struct request *request)
{
    const struct ratelimit_decision *decision = &request->limit;
    if (decision->limit == NULL) {
        return;
    }
    append_number_header(head, "X-RateLimit-Limit", decision->limit->count);
    append_number_header(head, "X-RateLimit-Remaining", decision->remaining);
    append_number_header(head, "X-RateLimit-Reset", decision->reset_seconds);
    buffer_append_text(head, "RateLimit-Policy: \"default\";q=");
    buffer_append_integer(head, decision->limit->count);
    buffer_append_text(head, ";w=");
    buffer_append_integer(head, (long long)decision->limit->window_seconds);
    buffer_append_text(head, "\r\nRateLimit: \"default\";r=");
    buffer_append_integer(head, (long long)decision->remaining);
    buffer_append_text(head, ";t=");
    buffer_append_integer(head, (long long)decision->reset_seconds);
    buffer_append(head, "\r\n", 2);
}

static void append_cors_headers(struct buffer *head, const struct request *request)
{
    buffer_append_text(head, "Vary: Origin\r\n");
    if (request->cors_origin == NULL) {
        return;
    }
    append_header(head, "Access-Control-Allow-Origin", request->cors_origin);
    if (request_config(request)->cors_allow_credentials) {
        buffer_append_text(head, "Access-Control-Allow-Credentials: true\r\n");
    }
    buffer_append_text(head, "Access-Control-Expose-Headers: X-Correlation-ID, X-Request-ID, "
                             "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
                             "X-RateLimit-Reset, RateLimit, RateLimit-Policy, ETag, "
                             "retry-after-ms, x-should-retry\r\n");
}

/* The header lines and the empty line. */
static void append_head(struct request *request, struct buffer *head, bool has_length)
{
    const struct response *response = &request->response;
    const char *correlation_id = context_current()->correlation_id;
    buffer_append_text(head, "Status: ");
    buffer_append_integer(head, response->status);
    buffer_append_char(head, ' ');
    buffer_append_text(head, phrase_of(response->status));
    buffer_append(head, "\r\n", 2);
    if (response->content_type != NULL) {
        append_header(head, "Content-Type", response->content_type);
    }
    if (has_length && response->status != 204 && response->status != 304) {
        append_number_header(head, "Content-Length", response->body.length);
    }
    append_header(head, "Cache-Control", response->cache_control);
    buffer_append(head, security_headers, sizeof security_headers - 1);
    append_header(head, "Cross-Origin-Resource-Policy",
                  request->cors_origin ? "cross-origin" : "same-site");
    if (request->is_https) {
        append_header(head, "Strict-Transport-Security", "max-age=31536000; includeSubDomains");
    }
    append_header(head, "X-Correlation-ID", correlation_id);
    append_header(head, "X-Request-ID", correlation_id);
    append_limit_headers(head, request);
    append_cors_headers(head, request);
    buffer_append(head, response->headers.data, response->headers.length);
    buffer_append(head, "\r\n", 2);
}

/* What could not be built (no memory, too large) must not go out half-written. */
static bool is_broken(const struct response *response)
{
    return buffer_status(&response->body) != STATUS_OK ||
           buffer_status(&response->headers) != STATUS_OK;
}

/* The answer when nothing can be built any more. */
static struct slice write_without_memory(char out[RESPONSE_WITHOUT_MEMORY_SIZE])
{
    const char *correlation_id = context_current()->correlation_id;
    const bool has_id = correlation_id[0] != '\0';
    int length = snprintf(out, RESPONSE_WITHOUT_MEMORY_SIZE,
                          "Status: 503 Service Unavailable\r\n"
                          "Retry-After: 1\r\n"
                          "Content-Type: application/json\r\n"
                          "Cache-Control: no-store\r\n"
                          "%s%s%s%s%s%s\r\n"
                          "{\"error\":\"service_overloaded\"}",
                          security_headers, has_id ? "X-Correlation-ID: " : "", correlation_id,
                          has_id ? "\r\nX-Request-ID: " : "", correlation_id, has_id ? "\r\n" : "");
    return (struct slice){out, (size_t)length};
}

_Static_assert(sizeof security_headers + 2 * CONTEXT_CORRELATION_MAXIMUM + 256 <=
                   RESPONSE_WITHOUT_MEMORY_SIZE,
               "room is reserved");

void response_send_without_memory(struct exchange *exchange)
{
    char text[RESPONSE_WITHOUT_MEMORY_SIZE];
    buffer_reset(&exchange->output);
    (void)exchange_write(exchange, write_without_memory(text));
}

/* For log and metrics, when the answer without memory goes out. */
static void become_overloaded(struct request *request)
{
    const struct problem_entry *entry = problem_find(PROBLEM_OVERLOADED);
    request->response.status = entry->http_status;
    request->response.error_word = entry->word;
}

static struct slice body_of(const struct request *request)
{
    const struct response *response = &request->response;
    if (request->is_head || response->status == 204 || response->status == 304) {
        return (struct slice){"", 0};
    }
    return (struct slice){buffer_text(&response->body), response->body.length};
}

void response_send(struct request *request)
{
    struct response *response = &request->response;
    struct buffer head;
    if (is_broken(response)) {
        response_release(response);
        problem_answer(request, PROBLEM_OVERLOADED, NULL);
    }
    buffer_init(&head, RESPONSE_HEAD_MAXIMUM);
    append_head(request, &head, true);
    struct slice body = body_of(request);
    if (is_broken(response) || buffer_status(&head) != STATUS_OK ||
        exchange_write(request->exchange, (struct slice){head.data, head.length}) != STATUS_OK ||
        exchange_write(request->exchange, body) != STATUS_OK) {
        response_send_without_memory(request->exchange);
        become_overloaded(request);
        body.length = 0;
    }
    response->bytes_sent = body.length;
    buffer_release(&head);
}

void response_stream_head(struct request *request, struct stream *stream, const char *content_type)
{
    request->response.content_type = content_type;
    request->response.cache_control = "no-cache, no-transform";
    response_add_header(request, "X-Accel-Buffering", "no");
    struct buffer head;
    buffer_init(&head, RESPONSE_HEAD_MAXIMUM);
    append_head(request, &head, false);
    if (is_broken(&request->response) || buffer_status(&head) != STATUS_OK) {
        char text[RESPONSE_WITHOUT_MEMORY_SIZE];
        stream_refuse(stream, write_without_memory(text));
        become_overloaded(request);
    } else {
        stream_write(stream, (struct slice){head.data, head.length});
    }
    if (request->is_head) {
        stream_end(stream);
    }
    buffer_release(&head);
}

void response_stream_whole(struct request *request, struct stream *stream)
{
    /* Straight into the output: the backlog rule is for streams, not for one large answer. */
    response_send(request);
    stream_end(stream);
}
