/*
 * http/errors: the catalogue of wire errors and the one place that writes error bodies.
 *
 * Three dialects of one error: the suite's own body, RFC 9457 problem details when the client
 * asks for application/problem+json, and OpenAI's shape on routes marked ROUTE_OPENAI. Messages
 * are fixed texts of the code: never an exception, a path, SQL, an upstream URL or a part of a
 * credential; the offending value is never echoed.
 */
#ifndef HTTP_ERRORS_H
#define HTTP_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct request;

/* PROBLEM(id, code, word, http status, recoverable, default message) */
#define PROBLEM_CATALOGUE                                                                          \
    PROBLEM(INVALID_REQUEST_BODY, "E001", "invalid_request_body", 400, false,                      \
            "The request body is not valid")                                                       \
    PROBLEM(INVALID_REQUEST, "E001", "invalid_request", 400, false, "The request is not valid")    \
    PROBLEM(MISSING_REQUIRED_FIELD, "E002", "missing_required_field", 422, false,                  \
            "A required field is missing")                                                         \
    PROBLEM(FIELD_VALIDATION_FAILED, "E003", "field_validation_failed", 422, false,                \
            "A field has an invalid value")                                                        \
    PROBLEM(SESSION_ID_INVALID, "E004", "session_id_invalid", 422, false,                          \
            "The session id is not valid")                                                         \
    PROBLEM(MESSAGE_TOO_LONG, "E005", "message_too_long", 422, false, "The message is too long")   \
    PROBLEM(REQUEST_TOO_LARGE, "E006", "request_too_large", 413, false,                            \
            "The request body is too large")                                                       \
    PROBLEM(REQUEST_TIMEOUT, "E001", "request_timeout", 408, true,                                 \
            "The request did not arrive in time")                                                  \
    PROBLEM(REQUEST_HEADER_TOO_LARGE, "E006", "request_header_too_large", 431, false,              \
            "The request headers are too large")                                                   \
    PROBLEM(NOT_FOUND, "E007", "not_found", 404, false, "Not found")                               \
    PROBLEM(METHOD_NOT_ALLOWED, "E008", "method_not_allowed", 405, false, "Method not allowed")    \
    PROBLEM(UNSUPPORTED_MEDIA_TYPE, "E009", "unsupported_media_type", 415, false,                  \
            "The content type is not supported")                                                   \
    PROBLEM(AUTH_REQUIRED, "E010", "auth_required", 401, false, "Authentication required")         \
    PROBLEM(INVALID_CREDENTIALS, "E011", "invalid_credentials", 401, false,                        \
            "Could not validate credentials")                                                      \
    PROBLEM(INVALID_API_KEY, "E011", "invalid_api_key", 401, false, "The API key is not valid")    \
    PROBLEM(CREDENTIAL_EXPIRED, "E012", "credential_expired", 401, true,                           \
            "The credential has expired")                                                          \
    PROBLEM(PERMISSION_DENIED, "E013", "permission_denied", 403, false, "Permission denied")       \
    PROBLEM(ACCOUNT_LOCKED, "E014", "account_locked", 401, true,                                   \
            "The account is locked; try again later")                                              \
    PROBLEM(RATE_LIMIT_EXCEEDED, "E020", "rate_limit_exceeded", 429, true, "Rate limit exceeded")  \
    PROBLEM(BUDGET_EXHAUSTED, "E021", "budget_exhausted", 429, false, "The budget is exhausted")   \
    PROBLEM(SESSION_NOT_FOUND, "E100", "session_not_found", 404, false, "Session not found")       \
    PROBLEM(SESSION_EXPIRED, "E101", "session_expired", 410, false, "The session has expired")     \
    PROBLEM(SESSION_LOCKED, "E102", "session_locked", 409, true,                                   \
            "Another request is using this session")                                               \
    PROBLEM(STORAGE_UNAVAILABLE, "E110", "storage_unavailable", 503, true,                         \
            "Storage is temporarily unavailable")                                                  \
    PROBLEM(SESSION_SAVE_FAILED, "E111", "session_save_failed", 503, true,                         \
            "The session could not be saved")                                                      \
    PROBLEM(LLM_UNAVAILABLE, "E200", "llm_unavailable", 503, true,                                 \
            "The model provider is unavailable")                                                   \
    PROBLEM(LLM_TIMEOUT, "E201", "llm_timeout", 504, true,                                         \
            "The model provider did not answer in time")                                           \
    PROBLEM(LLM_BAD_ANSWER, "E200", "llm_bad_answer", 502, true,                                   \
            "The model provider gave an unusable answer")                                          \
    PROBLEM(LLM_REFUSED, "E200", "llm_refused", 502, false,                                        \
            "The model provider refused the request")                                              \
    PROBLEM(LLM_RATE_LIMITED, "E202", "llm_rate_limited", 503, true,                               \
            "The model provider is limiting requests")                                             \
    PROBLEM(LLM_CONTEXT_TOO_LONG, "E203", "llm_context_too_long", 400, false,                      \
            "The conversation is too long for the model")                                          \
    PROBLEM(LLM_CONTENT_FILTERED, "E204", "llm_content_filtered", 400, false,                      \
            "The model provider refused the content")                                              \
    PROBLEM(CIRCUIT_BREAKER_OPEN, "E206", "circuit_breaker_open", 503, true,                       \
            "The model provider is resting after failures")                                        \
    PROBLEM(MODEL_NOT_AVAILABLE, "E210", "model_not_available", 503, false,                        \
            "The model is not available")                                                          \
    PROBLEM(CONFLICT, "E400", "conflict", 409, false, "The resource already exists")               \
    PROBLEM(SESSION_QUOTA_REACHED, "E400", "session_quota_reached", 409, false,                    \
            "There are as many chat sessions as an owner may have; delete one first")              \
    PROBLEM(OVERLOADED, "E110", "service_overloaded", 503, true, "The service is busy; try again") \
    PROBLEM(INTERNAL_ERROR, "E900", "internal_error", 500, true, "Internal error")

enum problem {
#define PROBLEM(id, code, word, http_status, recoverable, message) PROBLEM_##id,
    PROBLEM_CATALOGUE
#undef PROBLEM
        PROBLEM_COUNT
};

struct problem_entry {
    const char *code;
    const char *word;
    int http_status;
    bool recoverable;
    const char *message;
};

const struct problem_entry *problem_find(enum problem problem);

/* Replaces the response by this error. `message` NULL = the catalogue's; otherwise a fixed text of
 * the code that may hold validated ids. 503 and 429 get Retry-After (1 s unless set before by
 * problem_set_retry_after). 401 gets WWW-Authenticate. */
void problem_answer(struct request *request, enum problem problem, const char *message);

/* Whole seconds, for the next problem_answer of this request. */
void problem_set_retry_after(struct request *request, int64_t seconds);

/* What problem_answer would say, for errors that are told another way; 0: nothing. */
int64_t problem_retry_after(const struct request *request, const struct problem_entry *entry);

/* What a failed store or library call means to a client: UNAVAILABLE, BUSY, TIMEOUT → 503;
 * NO_MEMORY → 503 overloaded; the rest → 500. */
void problem_answer_status(struct request *request, enum status status);

/* OpenAI's `param` and `code` members for the next problem_answer on a ROUTE_OPENAI route. */
void problem_set_openai(struct request *request, const char *type, const char *param,
                        const char *code);

/* x-should-retry of the next problem_answer on a ROUTE_OPENAI route; without it the catalogue's
 * `recoverable` decides. */
void problem_set_should_retry(struct request *request, bool should_retry);

struct field_error {
    const char *source;   /* "body", "query", "path" */
    const char *location; /* NULL: the whole of it */
    const char *message;
    const char *type;
    struct field_error *next;
};

/* Collects a field error for a 422: texts are fixed or live in the arena; `location` is a member
 * name ("session_id"), a path ("messages.0.content") or NULL for the whole body; `type` a stable
 * word ("missing", "string_too_long"). Then problem_answer_fields answers E002 if all are "missing",
 * else E003 (or the given problem when it is not PROBLEM_COUNT). */
void problem_add_field(struct request *request, const char *source, const char *location,
                       const char *message, const char *type);
bool problem_has_fields(const struct request *request);
void problem_answer_fields(struct request *request, enum problem problem);

#endif
