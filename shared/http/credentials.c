/*
 * http/credentials: who is asking and whether they may: 401 and 403, and 503 when we cannot know.
 */
#include <string.h>

#include "http/pipeline.h"

/* A compact JWS has two dots; keys of ours and of providers' clients have none. */
static bool looks_like_token(struct slice text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.length; i++) {
        dots += text.data[i] == '.';
    }
    return dots == 2;
}

struct credentials {
    struct slice token;
    struct slice api_key;
    bool is_told_as_key; /* in a refusal */
};

static void find_credentials(const struct request *request, struct credentials *out)
{
    *out = (struct credentials){0};
    const struct config *config = request_config(request);
    out->api_key = slice_trim(request_header(request, config->api_key_header));
    if (out->api_key.length == 0 && config->api_key_query[0] != '\0') {
        (void)request_query(request, config->api_key_query, &out->api_key);
    }
    out->is_told_as_key = out->api_key.length > 0;
    struct slice header = slice_trim(request_header(request, "Authorization"));
    struct slice scheme = {header.data, header.length < 7 ? header.length : 7};
    if (!slice_equals_ignoring_case(scheme, "bearer ")) {
        return;
    }
    struct slice text = slice_trim((struct slice){header.data + 7, header.length - 7});
    if (text.length > 0 && !looks_like_token(text)) {
        out->api_key = text;
        out->is_told_as_key = (request->match.route->flags & ROUTE_OPENAI) != 0;
    } else {
        out->token = text;
    }
}

static bool is_bypassed(const struct request *request)
{
    if (request->match.route->access == ACCESS_ADMIN ||
        (request->match.route->flags & ROUTE_GUARDED) != 0) {
        return false;
    }
    const struct config_list *paths = &request_config(request)->auth_bypass_paths;
    for (size_t i = 0; i < paths->count; i++) {
        if (text_matches_glob(paths->items[i], request->path)) {
            return true;
        }
    }
    return false;
}

/* What the caller is told: 401. Everything else is an outage of ours. */
static bool is_refusal(enum status status)
{
    return status == STATUS_EXPIRED || status == STATUS_INVALID || status == STATUS_DENIED ||
           status == STATUS_NOT_FOUND;
}

static void answer_refusal(struct request *request)
{
    if (request->credentials == STATUS_EXPIRED) {
        problem_answer(request, PROBLEM_CREDENTIAL_EXPIRED, NULL);
    } else {
        problem_answer(request,
                       request->credentials_are_key ? PROBLEM_INVALID_API_KEY
                                                    : PROBLEM_INVALID_CREDENTIALS,
                       NULL);
    }
}

static void become_anonymous(struct request *request)
{
    request->principal = (struct principal){
        .kind = PRINCIPAL_ANONYMOUS, .id = "anonymous", .owner = "anonymous", .scope = ""};
}

static const char *category_of(enum route_family family)
{
    switch (family) {
    case FAMILY_CHAT:
        return "chat";
    case FAMILY_CHARTS:
    case FAMILY_HISTORY:
        return "chart";
    case FAMILY_AUTH:
        return "user";
    default:
        return "system";
    }
}

/* What history is asked for by POST is read all the same. */
static const char *action_of(const struct route *route)
{
    if (route->method == HTTP_GET || route->family == FAMILY_HISTORY) {
        return "read";
    }
    return route->method == HTTP_POST     ? "create"
           : route->method == HTTP_DELETE ? "delete"
                                          : "update";
}

/* A scope is a list of permissions, "chart.read chat.manage"; .manage is all of its category. */
static bool is_in_scope(const struct request *request)
{
    struct slice rest = slice_of(request->principal.scope);
    struct slice word;
    if (rest.length == 0) {
        return true;
    }
    while (slice_split(&rest, ' ', &word)) {
        struct slice category;
        if (slice_split(&word, '.', &category) &&
            slice_equals(category, category_of(request->match.route->family)) &&
            (slice_equals(word, action_of(request->match.route)) || slice_equals(word, "manage"))) {
            return true;
        }
    }
    return false;
}

bool credentials_verify(struct request *request)
{
    struct credentials given;
    request->principal = (struct principal){.kind = PRINCIPAL_NONE, .id = "", .owner = ""};
    request->credentials = STATUS_OK;
    if (request->match.route->access == ACCESS_PUBLIC) {
        return true;
    }
    find_credentials(request, &given);
    if (given.token.length == 0 && given.api_key.length == 0) {
        if (!request_config(request)->enable_auth || is_bypassed(request)) {
            become_anonymous(request);
        }
        return true;
    }
    struct authenticator *authenticator = request->app->authenticator;
    struct principal found;
    bool is_token = given.token.length > 0;
    request->credentials_are_key = !is_token && given.is_told_as_key;
    enum status status =
        !is_token
            ? authenticator_check_api_key(authenticator, request->arena, given.api_key, &found)
            : authenticator_check_token(authenticator, request->arena, given.token, &found);
    if (status == STATUS_OK) {
        request->principal = found;
    } else if (!is_refusal(status)) {
        problem_answer_status(request, status);
        return false;
    }
    request->credentials = status;
    return true;
}

bool credentials_check(struct request *request)
{
    enum route_access access = request->match.route->access;
    if (access == ACCESS_PUBLIC) {
        return true;
    }
    if (request->credentials != STATUS_OK) {
        answer_refusal(request);
        return false;
    }
    if (request->principal.kind == PRINCIPAL_NONE && access != ACCESS_OPTIONAL) {
        problem_answer(request, PROBLEM_AUTH_REQUIRED, NULL);
        return false;
    }
    if (request->principal.must_change_password &&
        (request->match.route->flags & ROUTE_ONE_TIME) == 0) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED,
                       "Change the one-time password first: POST /auth/change-password");
        return false;
    }
    bool is_administrator =
        request->principal.is_superuser || !request_config(request)->enable_auth;
    if ((access == ACCESS_ADMIN && !is_administrator) ||
        (access != ACCESS_OPTIONAL && !is_in_scope(request))) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED, NULL);
        return false;
    }
    return true;
}
