/*
 * http/query: queries (application/x-www-form-urlencoded, as the URL standard has it), decoded once
 * before any handler sees them. Own code because the suite has no HTTP library above the web server.
 */
#include <string.h>

#include "http/pipeline.h"

#define QUERY_PARAMETER_MAXIMUM 256

static enum status parse(struct request *request)
{
    struct slice rest = exchange_parameter(request->exchange, "QUERY_STRING");
    if (rest.length == 0) {
        return STATUS_OK;
    }
    size_t maximum = 1;
    for (size_t i = 0; i < rest.length; i++) {
        maximum += rest.data[i] == '&';
    }
    if (maximum > QUERY_PARAMETER_MAXIMUM) {
        return STATUS_TOO_LARGE;
    }
    request->query = arena_allocate(request->arena, maximum * sizeof *request->query);
    if (request->query == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct slice pair;
    while (slice_split(&rest, '&', &pair)) {
        if (pair.length == 0) {
            continue;
        }
        struct slice value = pair;
        struct slice name = {0};
        if (!slice_split(&value, '=', &name)) {
            continue;
        }
        if (name.length == pair.length) {
            value = (struct slice){"", 0};
        }
        struct request_parameter *out = &request->query[request->query_count];
        enum status status = text_decode_percent(request->arena, name, true, &out->name);
        if (status == STATUS_OK) {
            status = text_decode_percent(request->arena, value, true, &out->value);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (!text_is_utf8(out->name.data, out->name.length) ||
            !text_is_utf8(out->value.data, out->value.length)) {
            return STATUS_INVALID;
        }
        request->query_count++;
    }
    return STATUS_OK;
}

bool request_query(const struct request *request, const char *name, struct slice *value)
{
    for (size_t i = request->query_count; i > 0; i--) {
        if (slice_equals(request->query[i - 1].name, name)) {
            *value = request->query[i - 1].value;
            return true;
        }
    }
    return false;
}

/* Used for parameters that are not built: an answer that ignored one would be taken for one that heeds
 * it. */
static bool is_asked_for(const struct request *request, const char *name)
{
    struct slice value;
    return request_query(request, name, &value) || json_member(request->json, name) != NULL;
}

bool request_refuse_unbuilt(struct request *request)
{
    const struct app_options *options = request->app->options;
    for (size_t i = 0; i < options->unbuilt_count; i++) {
        const struct unbuilt_parameter *row = &options->unbuilt[i];
        if (strcmp(row->template, request->match.route->template) == 0 &&
            is_asked_for(request, row->name)) {
            problem_answer(request, PROBLEM_INVALID_REQUEST,
                           "The query asks for something that this version does not have");
            return true;
        }
    }
    return false;
}

/* True when a list is asked for with a parameter that other APIs page by. If it were ignored, every
 * request would get the first page. */
static bool walks_otherwise(const struct request *request)
{
    static const char *const others[] = {"limit", "offset", "after", "before", "cursor"};
    struct slice value;
    bool is_found = false;
    for (size_t i = 0; i < sizeof others / sizeof others[0] && !is_found; i++) {
        is_found = request_query(request, others[i], &value);
    }
    return is_found && (request->match.route->flags & ROUTE_LIST) != 0;
}

bool query_read(struct request *request)
{
    request->query_status = parse(request);
    if (request->query_status == STATUS_NO_MEMORY) {
        problem_answer_status(request, STATUS_NO_MEMORY);
        return false;
    }
    return true;
}

bool query_check(struct request *request)
{
    if (request->query_status != STATUS_OK) {
        problem_answer(request, PROBLEM_INVALID_REQUEST, "The query string is not valid");
        return false;
    }
    if (request_refuse_unbuilt(request)) {
        return false;
    }
    if (walks_otherwise(request)) {
        problem_answer(request, PROBLEM_INVALID_REQUEST,
                       "Lists are walked by page and page_size alone");
        return false;
    }
    return true;
}
