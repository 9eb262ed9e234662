/*
 * chat/failures: the table of contract and wire format in one place.
 *
 * Clients of /v1 are told not to try again (x-should-retry: false): trying again has been our
 * affair, and tries would multiply. Only when this program stops they shall: the next one answers.
 */
#include "failures.h"

#include "json/write.h"

struct openai_failure {
    enum problem problem; /* gives the HTTP status */
    const char *message;  /* NULL = the problem's */
    const char *type;
    const char *param;
    const char *code;
};

static const struct openai_failure openai_failures[] = {
    [MODEL_RATE_LIMITED] = {PROBLEM_RATE_LIMIT_EXCEEDED, "The model provider is limiting requests",
                            "rate_limit_error", NULL, "rate_limit_exceeded"},
    [MODEL_UNKNOWN] = {PROBLEM_NOT_FOUND, "The model does not exist", "invalid_request_error",
                       "model", "model_not_found"},
    [MODEL_REFUSED] = {PROBLEM_INVALID_REQUEST, "The model provider refused the request",
                       "invalid_request_error", NULL, NULL},
    [MODEL_TOO_LARGE] = {PROBLEM_REQUEST_TOO_LARGE,
                         "The model provider refused the request as too "
                         "large",
                         "invalid_request_error", NULL, NULL},
    [MODEL_UNAVAILABLE] = {PROBLEM_LLM_UNAVAILABLE, NULL, "server_error", NULL, NULL},
    [MODEL_TIMEOUT] = {PROBLEM_LLM_TIMEOUT, NULL, "server_error", NULL, NULL},
    [MODEL_BAD_ANSWER] = {PROBLEM_LLM_BAD_ANSWER, NULL, "server_error", NULL, NULL},
    [MODEL_STOPPED] = {PROBLEM_OVERLOADED, "The service is restarting; try again", "server_error",
                       NULL, NULL},
};

/* The row of the failure, in the provider's own words where it has any. */
static struct openai_failure words_of(const struct model_outcome *outcome)
{
    struct openai_failure told =
        openai_failures[outcome->failure == MODEL_OK ? MODEL_UNAVAILABLE : outcome->failure];
    if (outcome->is_too_long) {
        told.problem = PROBLEM_LLM_CONTEXT_TOO_LONG;
        told.message = problem_find(told.problem)->message;
        told.code = "context_length_exceeded";
    }
    told.message = outcome->message != NULL ? outcome->message : told.message;
    told.type = outcome->type != NULL ? outcome->type : told.type;
    told.param = outcome->param != NULL ? outcome->param : told.param;
    told.code = outcome->code != NULL ? outcome->code : told.code;
    return told;
}

void failure_answer_openai(struct request *request, const struct model_outcome *outcome)
{
    if (outcome->retry_after > 0) {
        problem_set_retry_after(request, outcome->retry_after);
    }
    struct openai_failure told = words_of(outcome);
    problem_set_openai(request, told.type, told.param, told.code);
    if (outcome->failure != MODEL_STOPPED) {
        problem_set_should_retry(request, false);
    }
    problem_answer(request, told.problem, told.message);
}

void failure_write_openai_frame(struct request *request, const struct model_outcome *outcome,
                                struct buffer *out)
{
    struct openai_failure told = words_of(outcome);
    const struct problem_entry *entry = problem_find(told.problem);
    struct json_writer json;
    buffer_append_text(out, "data: ");
    json_write_start(&json, out);
    json_write_object_begin(&json);
    json_write_name(&json, "error");
    json_write_object_begin(&json);
    json_write_member_text(&json, "message", told.message != NULL ? told.message : entry->message);
    json_write_member_text(&json, "type", told.type);
    json_write_member_text(&json, "param", told.param);
    json_write_member_text(&json, "code", told.code != NULL ? told.code : entry->word);
    json_write_object_end(&json);
    json_write_object_end(&json);
    buffer_append_text(out, "\n\n");
    request->response.error_word = entry->word;
}

enum problem failure_problem(const struct model_outcome *outcome)
{
    if (outcome->is_too_long || outcome->failure == MODEL_TOO_LARGE) {
        return PROBLEM_LLM_CONTEXT_TOO_LONG;
    }
    if (outcome->is_filtered) {
        return PROBLEM_LLM_CONTENT_FILTERED;
    }
    switch (outcome->failure) {
    case MODEL_RATE_LIMITED:
        return PROBLEM_LLM_RATE_LIMITED;
    case MODEL_UNKNOWN:
        return PROBLEM_MODEL_NOT_AVAILABLE;
    case MODEL_REFUSED:
        return PROBLEM_LLM_REFUSED;
    case MODEL_TIMEOUT:
        return PROBLEM_LLM_TIMEOUT;
    default:
        return PROBLEM_LLM_UNAVAILABLE;
    }
}
