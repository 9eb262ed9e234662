/*
 * http/errors: the catalogue and its three dialects.
 */
#include "http/errors.h"

#include <string.h>

#include "base/accept.h"
#include "base/clock.h"
#include "base/context.h"
#include "http/request.h"

static const struct problem_entry entries[PROBLEM_COUNT] = {
#define PROBLEM(id, code, word, http_status, recoverable, message)                                 \
    [PROBLEM_##id] = {code, word, http_status, recoverable, message},
    PROBLEM_CATALOGUE
#undef PROBLEM
};

const struct problem_entry *problem_find(enum problem problem)
{
    return &entries[problem < PROBLEM_COUNT ? problem : PROBLEM_INTERNAL_ERROR];
}

void problem_set_retry_after(struct request *request, int64_t seconds)
{
    request->retry_after = seconds < 1 ? 1 : seconds;
}

void problem_set_should_retry(struct request *request, bool should_retry)
{
    request->should_retry = should_retry ? 1 : 0;
}

void problem_set_openai(struct request *request, const char *type, const char *param,
                        const char *code)
{
    request->openai_type = type;
    request->openai_param = param;
    request->openai_code = code;
}

/* OpenAI's own words for a status (their error reference); `code` of a problem is its word. */
static const char *openai_type_of(int http_status)
{
    switch (http_status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    default:
        return http_status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static void write_openai(struct request *request, const struct problem_entry *entry,
                         const char *message)
{
    struct json_writer *json = &request->response.json;
    json_write_object_begin(json);
    json_write_name(json, "error");
    json_write_object_begin(json);
    json_write_member_text(json, "message", message);
    json_write_member_text(json, "type",
                           request->openai_type ? request->openai_type
                                                : openai_type_of(entry->http_status));
    const char *param = request->openai_param;
    if (param == NULL && request->field_errors != NULL) {
        param = request->field_errors->location;
    }
    json_write_member_text(json, "param", param);
    json_write_member_text(json, "code", request->openai_code ? request->openai_code : entry->word);
    json_write_object_end(json);
    json_write_object_end(json);
    bool retry = request->should_retry < 0 ? entry->recoverable : request->should_retry > 0;
    response_add_header(request, "x-should-retry", retry ? "true" : "false");
}

static void write_location(struct json_writer *json, const struct field_error *error)
{
    json_write_name(json, "loc");
    json_write_array_begin(json);
    json_write_text(json, error->source);
    struct slice rest = slice_of(error->location);
    struct slice part;
    while (error->location != NULL && slice_split(&rest, '.', &part)) {
        int64_t index;
        if (text_parse_integer(part, &index) == STATUS_OK) {
            json_write_integer(json, index);
        } else {
            json_write_slice(json, part);
        }
    }
    json_write_array_end(json);
}

static void write_field_list(struct request *request)
{
    struct json_writer *json = &request->response.json;
    json_write_array_begin(json);
    for (const struct field_error *error = request->field_errors; error; error = error->next) {
        json_write_object_begin(json);
        write_location(json, error);
        json_write_member_text(json, "msg", error->message);
        json_write_member_text(json, "type", error->type);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

/* A text that there was no memory to make breaks the body, so that 503 is answered instead. */
static void write_made_text(struct request *request, const char *name, const char *text)
{
    if (text == NULL) {
        request->response.body.status = STATUS_NO_MEMORY;
        return;
    }
    json_write_member_text(&request->response.json, name, text);
}

/* The path as a URI reference (RFC 3986 section 4.2): what a path may not hold is percent-encoded.
 * One that begins with two slashes would name a host. NULL: no memory. */
static const char *reference_to(const struct request *request)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~!$&'()*+,;=:@/";
    static const char digits[] = "0123456789ABCDEF";
    struct slice path = request->path;
    while (path.length > 1 && path.data[0] == '/' && path.data[1] == '/') {
        path.data++;
        path.length--;
    }
    char *text = arena_allocate(request->arena, 3 * path.length + 1);
    char *out = text;
    for (size_t i = 0; text != NULL && i < path.length; i++) {
        unsigned char byte = (unsigned char)path.data[i];
        if (byte != '\0' && strchr(plain, byte) != NULL) {
            *out++ = (char)byte;
        } else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 0x0f];
        }
    }
    if (out != NULL) {
        *out = '\0';
    }
    return text;
}

/* RFC 9457 section 3 has its own member for a list of errors: errors[].pointer (RFC 6901). */
static void write_problem_members(struct request *request, const struct problem_entry *entry)
{
    struct json_writer *json = &request->response.json;
    const char *type = arena_format(request->arena, "urn:quintet:error:%s", entry->word);
    write_made_text(request, "type", type);
    json_write_member_text(json, "title", entry->message);
    json_write_member_integer(json, "status", entry->http_status);
    write_made_text(request, "instance", reference_to(request));
    if (request->field_errors == NULL) {
        return;
    }
    json_write_name(json, "errors");
    json_write_array_begin(json);
    for (const struct field_error *error = request->field_errors; error; error = error->next) {
        json_write_object_begin(json);
        json_write_member_text(json, "detail", error->message);
        char *pointer = arena_format(request->arena, "#%s%s", error->location ? "/" : "",
                                     error->location ? error->location : "");
        for (size_t i = 0; pointer != NULL && pointer[i] != '\0'; i++) {
            pointer[i] = pointer[i] == '.' ? '/' : pointer[i];
        }
        write_made_text(request, "pointer", pointer);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void write_own(struct request *request, const struct problem_entry *entry,
                      const char *message, bool as_problem)
{
    struct json_writer *json = &request->response.json;
    json_write_object_begin(json);
    if (as_problem) {
        write_problem_members(request, entry);
    }
    json_write_member_text(json, "error", entry->word);
    json_write_member_text(json, "message", message);
    json_write_member_text(json, "code", entry->code);
    json_write_name(json, "detail");
    if (request->field_errors != NULL && !as_problem) {
        write_field_list(request);
    } else {
        json_write_text(json, message);
    }
    json_write_member_boolean(json, "recoverable", entry->recoverable);
    if (request->retry_after > 0) {
        json_write_member_integer(json, "retry_after", request->retry_after);
    } else {
        json_write_member_null(json, "retry_after");
    }
    json_write_member_text(json, "correlation_id", context_current()->correlation_id);
    char timestamp[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(clock_wall_milliseconds(), timestamp);
    json_write_member_text(json, "timestamp", timestamp);
    json_write_object_end(json);
}

int64_t problem_retry_after(const struct request *request, const struct problem_entry *entry)
{
    bool is_waited_for = entry->http_status == 503 || entry->http_status == 429;
    return request->retry_after == 0 && is_waited_for ? 1 : request->retry_after;
}

/* Only who names the type gets it, unless it likes plain JSON better. */
static bool prefers_problem(const struct request *request)
{
    struct slice accept = request_header(request, "Accept");
    int quality = accept_quality(accept, "application/problem+json");
    return quality > 0 && quality >= accept_quality(accept, "application/json");
}

static void add_retry_headers(struct request *request, const struct problem_entry *entry)
{
    request->retry_after = problem_retry_after(request, entry);
    if (request->retry_after == 0) {
        return;
    }
    char *seconds = arena_format(request->arena, "%lld", (long long)request->retry_after);
    response_add_header(request, "Retry-After", seconds);
    if (request->is_openai) {
        char *milliseconds =
            arena_format(request->arena, "%lld", (long long)request->retry_after * 1000);
        response_add_header(request, "retry-after-ms", milliseconds);
    }
}

void problem_answer(struct request *request, enum problem problem, const char *message)
{
    const struct problem_entry *entry = problem_find(problem);
    if (message == NULL) {
        message = entry->message;
    }
    response_json(request, entry->http_status);
    buffer_reset(&request->response.headers); /* what described the answer that is replaced */
    request->response.error_word = entry->word;
    request->response.cache_control = "no-store";
    add_retry_headers(request, entry);
    if (entry->http_status == 401) {
        response_add_header(request, "WWW-Authenticate", "Bearer");
    }
    if (request->is_openai) {
        write_openai(request, entry, message);
    } else if (prefers_problem(request)) {
        request->response.content_type = "application/problem+json";
        write_own(request, entry, message, true);
    } else {
        write_own(request, entry, message, false);
    }
}

void problem_answer_status(struct request *request, enum status status)
{
    switch (status) {
    case STATUS_UNAVAILABLE:
    case STATUS_TIMEOUT:
        problem_answer(request, PROBLEM_STORAGE_UNAVAILABLE, NULL);
        break;
    case STATUS_BUSY:
    case STATUS_NO_MEMORY:
        problem_answer(request, PROBLEM_OVERLOADED, NULL);
        break;
    default:
        problem_answer(request, PROBLEM_INTERNAL_ERROR, NULL);
    }
}

/* Stands for errors that there was no memory to note: without it a handler would take a missing
 * field for one that is there. */
static const struct field_error lost_errors;

static bool has_lost_errors(const struct request *request)
{
    return request->field_errors == &lost_errors;
}

void problem_add_field(struct request *request, const char *source, const char *location,
                       const char *message, const char *type)
{
    if (has_lost_errors(request)) {
        return;
    }
    struct field_error *error = arena_allocate(request->arena, sizeof *error);
    if (error == NULL || message == NULL) {
        request->field_errors = (struct field_error *)&lost_errors;
        return;
    }
    *error = (struct field_error){source, location, message, type, NULL};
    struct field_error **last = &request->field_errors;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = error;
}

bool problem_has_fields(const struct request *request)
{
    return request->field_errors != NULL;
}

void problem_answer_fields(struct request *request, enum problem problem)
{
    if (has_lost_errors(request)) {
        request->field_errors = NULL;
        problem_answer_status(request, STATUS_NO_MEMORY);
        return;
    }
    if (problem == PROBLEM_COUNT) {
        problem = PROBLEM_MISSING_REQUIRED_FIELD;
        for (const struct field_error *error = request->field_errors; error; error = error->next) {
            if (strcmp(error->type, "missing") != 0) {
                problem = PROBLEM_FIELD_VALIDATION_FAILED;
            }
        }
    }
    problem_answer(request, problem, NULL);
}
