/*
 * metrics/exposition: answers a scrape.
 */
#include "exposition.h"

#include <string.h>

#include "http/compress.h"

static bool token_is_right(const struct request *request, const char *wanted)
{
    struct slice header = slice_trim(request_header(request, "Authorization"));
    struct slice scheme = {header.data, header.length < 7 ? header.length : 7};
    if (!slice_equals_ignoring_case(scheme, "bearer ")) {
        return false;
    }
    struct slice given = slice_trim((struct slice){header.data + 7, header.length - 7});
    return given.length == strlen(wanted) &&
           text_equals_in_constant_time(given.data, wanted, given.length);
}

static bool wants_consoul_names(const struct config *config)
{
    for (size_t i = 0; i < config->metrics_aliases.count; i++) {
        if (strcmp(config->metrics_aliases.items[i], "consoul") == 0) {
            return true;
        }
    }
    return false;
}

void exposition_answer(struct request *request)
{
    const struct config *config = request_config(request);
    if (request->app->metrics == NULL) {
        problem_answer(request, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (config->metrics_token[0] != '\0' && !token_is_right(request, config->metrics_token)) {
        problem_answer(request, PROBLEM_AUTH_REQUIRED, NULL);
        return;
    }
    struct slice accept = request_header(request, "Accept");
    enum metrics_format format = metrics_choose_format(accept.length ? accept.data : NULL);
    enum status status = metrics_render(request->app->metrics, format, wants_consoul_names(config),
                                        &request->response.body);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    request->response.content_type = metrics_content_type(format);
    if (compress_is_accepted(request)) {
        compress_response(request);
    }
}
