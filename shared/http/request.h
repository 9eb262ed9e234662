/*
 * http/request: what a handler sees of a request, and how it answers.
 *
 * A request lives in its exchange's arena. A handler fills the response and returns; the pipeline
 * sends it, logs it and counts it. A handler that cannot answer at once calls request_stream and
 * returns; the request then lives until the stream has ended.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/principal.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "http/errors.h"
#include "http/router.h"
#include "ratelimit/ratelimit.h"
#include "transport/exchange.h"
#include "transport/pump.h"
#include "json/json.h"
#include "json/write.h"

struct app;
struct app_live;
struct field_error;

struct request_parameter {
    struct slice name;
    struct slice value;
};

struct response {
    int status;                /* 200 until changed */
    const char *content_type;  /* "application/json" until changed; NULL with an empty body */
    const char *cache_control; /* "no-store" until changed */
    struct buffer headers;     /* further header lines, each ended by CRLF */
    struct buffer body;
    struct json_writer json; /* of response_json */
    const char *error_word;  /* of the problem answered, for metrics; NULL when none */
    size_t bytes_sent;       /* of the body, for the log */
};

/* What a request was about, for its line in the log. Texts that live as long as the request; NULL is
 * left out. Never what people wrote. */
struct request_subject {
    const char *session_id;
    const char *provider;
    const char *model;
};

struct request {
    struct app *app;
    const struct app_live *live; /* settings this request began with */
    struct exchange *exchange;
    struct arena *arena;
    bool has_begun;          /* counted as in progress */
    enum http_method method; /* HEAD appears as HTTP_GET with is_head */
    bool is_head;
    struct slice path; /* decoded, without prefix and trailing slash */
    struct route_match match;
    struct slice body;
    const struct json_node *json; /* the root, if the route has a JSON body */
    struct principal principal;
    enum status credentials;  /* STATUS_OK: none came or they are valid; else why they are not */
    bool credentials_are_key; /* which of the two a refusal calls them */
    char timestamp[CLOCK_TIMESTAMP_SIZE]; /* of request_timestamp */
    const char *client_address;           /* after TRUSTED_PROXIES; never NULL */
    char client_text[INET6_ADDRSTRLEN];   /* of client.c */
    const char *cors_origin; /* value of Access-Control-Allow-Origin; NULL = no CORS headers */
    bool is_https;
    bool is_openai;                  /* errors in OpenAI's shape */
    enum problem refusal;            /* of target_check; PROBLEM_COUNT when none */
    const char *tracestate;          /* inbound, beside the trace in the context; or NULL */
    struct ratelimit_decision limit; /* of the last check; limit.limit NULL when none applied */
    int64_t retry_after;             /* for the next problem; 0 = default */
    const char *openai_type, *openai_param, *openai_code;
    int should_retry;                 /* for OpenAI's clients: 1 yes, 0 no, -1 by the catalogue */
    struct field_error *field_errors; /* collected by problem_add_field, oldest first */
    struct request_parameter *query;
    size_t query_count;
    enum status query_status; /* of request_parse_query */
    struct response response;
    struct request_subject subject; /* set by handlers */
    /* of request_stream */
    struct stream_handlers stream_handlers;
    void (*stream_ended)(struct stream *stream, void *context);
    bool *handed_over; /* on the worker's stack: set once the pump owns the request */
};

/* The configuration this request began with; another may be live by now. */
const struct config *request_config(const struct request *request);

/* A {name} of the template; never NULL for names that are in it. NUL-terminated in the arena. */
const char *request_path_value(const struct request *request, const char *name);

/* A request header by its HTTP name ("Idempotency-Key"); the empty slice when absent. */
struct slice request_header(const struct request *request, const char *name);

/* A query parameter, percent-decoded; for a repeated one the last wins. False when absent.
 * A malformed escape makes the whole query 400 before the handler runs. */
bool request_query(const struct request *request, const char *name, struct slice *value);

/* Answers 400 and returns true when the query has an unbuilt parameter (app.h), or request->json has it
 * as a member. Every query is checked before its handler runs; a handler whose body stands for a query
 * calls this for the body. */
bool request_refuse_unbuilt(struct request *request);

/* --- Answering ---------------------------------------------------------------------------------- */

/* Sets the status and returns a writer on the (emptied) body. */
struct json_writer *response_json(struct request *request, int status);

/* No body: 204 and the like. */
void response_empty(struct request *request, int status);

/* Adds a header line. Values with CR or LF are refused and lines that do not fit left out; NULL is
 * an allocation that failed, and the answer becomes 503. */
void response_add_header(struct request *request, const char *name, const char *value);

/* The current time as RFC 3339; valid until the next call. */
const char *request_timestamp(struct request *request);

/* --- Streams ------------------------------------------------------------------------------------- */

/* Hands the request to the pump; the handlers (copied) and the work of stream_offload are called with
 * `context`. `ended` need not log: the pipeline does. On failure a 503 has been answered and false is
 * returned. */
bool request_stream(struct request *request, const struct stream_handlers *handlers, void *context);

/* Pump thread: sends the head of the response with the content type given (no Content-Length),
 * with the headers that keep web servers from buffering. Call once, before the first byte. On HEAD
 * it ends the stream; without memory for the head the client is refused (stream_refuse). */
void response_stream_head(struct request *request, struct stream *stream, const char *content_type);

/* Pump thread: sends the whole response as it stands (head + body) and ends the stream; for
 * answers that are not streamed after all, and errors before the first byte. */
void response_stream_whole(struct request *request, struct stream *stream);

#endif
