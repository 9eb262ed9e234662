/*
 * http/cors: cross-origin requests, by the algorithms of the Fetch standard ("CORS check",
 * "CORS-preflight fetch"): one exact origin is echoed, and headers are answered by name, because `*`
 * never covers Authorization.
 */
#include <ctype.h>
#include <string.h>

#include "http/pipeline.h"

#define HEADER_NAME_MAXIMUM 128

static bool list_contains(const struct config_list *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_equals(text, list->items[i])) {
            return true;
        }
    }
    return false;
}

static bool list_contains_ignoring_case(const struct config_list *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_equals_ignoring_case(text, list->items[i])) {
            return true;
        }
    }
    return false;
}

/* Of a name whose letters the pattern spells in lower case. */
static bool matches_in_lower_case(const char *pattern, struct slice name)
{
    char lower[HEADER_NAME_MAXIMUM];
    char lower_pattern[HEADER_NAME_MAXIMUM];
    size_t length = strlen(pattern);
    if (name.length > sizeof lower || length >= sizeof lower_pattern) {
        return false;
    }
    for (size_t i = 0; i < name.length; i++) {
        lower[i] = (char)tolower((unsigned char)name.data[i]);
    }
    for (size_t i = 0; i <= length; i++) {
        lower_pattern[i] = (char)tolower((unsigned char)pattern[i]);
    }
    return text_matches_glob(lower_pattern, (struct slice){lower, name.length});
}

static bool is_allowed_header(const struct config *config, struct slice name)
{
    const struct config_list *patterns = &config->cors_allow_headers;
    for (size_t i = 0; i < patterns->count; i++) {
        if (matches_in_lower_case(patterns->items[i], name)) {
            return true;
        }
    }
    return false;
}

void cors_identify(struct request *request)
{
    const struct config *config = request_config(request);
    struct slice origin = request_header(request, "Origin");
    if (origin.length == 0) {
        return;
    }
    if (list_contains(&config->cors_origins, slice_of("*"))) {
        request->cors_origin = "*";
    } else if (list_contains_ignoring_case(&config->cors_origins, origin)) {
        request->cors_origin = origin.data;
    }
}

static void answer_allowed_headers(struct request *request, const struct config *config)
{
    struct slice rest = request_header(request, "Access-Control-Request-Headers");
    struct buffer allowed;
    buffer_init(&allowed, 1024);
    struct slice name;
    while (rest.length > 0 && slice_split(&rest, ',', &name)) {
        name = slice_trim(name);
        if (name.length > 0 && is_allowed_header(config, name)) {
            if (allowed.length > 0) {
                buffer_append(&allowed, ", ", 2);
            }
            buffer_append(&allowed, name.data, name.length);
        }
    }
    if (buffer_status(&allowed) == STATUS_NO_MEMORY) {
        response_add_header(request, "Access-Control-Allow-Headers", NULL);
    } else if (allowed.length > 0 && buffer_status(&allowed) == STATUS_OK) {
        response_add_header(request, "Access-Control-Allow-Headers", buffer_text(&allowed));
    }
    buffer_release(&allowed);
}

bool cors_check_preflight(struct request *request)
{
    struct slice method = request_header(request, "Access-Control-Request-Method");
    if (request->method != HTTP_OPTIONS || method.length == 0 ||
        request_header(request, "Origin").length == 0) {
        return true;
    }
    const struct config *config = request_config(request);
    if (request->cors_origin == NULL) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED, "Origin not allowed");
        return false;
    }
    response_empty(request, 204);
    bool any_method = list_contains(&config->cors_allow_methods, slice_of("*"));
    if (any_method ? http_method_of(method) != HTTP_OTHER
                   : list_contains(&config->cors_allow_methods, method)) {
        response_add_header(request, "Access-Control-Allow-Methods", method.data);
    }
    answer_allowed_headers(request, config);
    response_add_header(request, "Access-Control-Max-Age",
                        arena_format(request->arena, "%lld", (long long)config->cors_max_age));
    response_add_header(request, "Vary",
                        "Access-Control-Request-Method, Access-Control-Request-Headers");
    return false;
}
