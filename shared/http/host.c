/*
 * http/host: under which host a request comes, and whether over HTTPS: ALLOWED_HOSTS and
 * HTTPS_REDIRECT.
 */
#include <string.h>

#include "http/pipeline.h"

static struct slice host_without_port(struct slice host)
{
    if (host.length > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.length);
        return end ? (struct slice){host.data, (size_t)(end - host.data) + 1} : host;
    }
    const char *colon = host.length ? memchr(host.data, ':', host.length) : NULL;
    return colon ? (struct slice){host.data, (size_t)(colon - host.data)} : host;
}

/* RFC 9110 section 7.2: after the host only ":" and digits; the redirect to HTTPS repeats it all. */
static bool is_port_or_nothing(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (i == 0 ? text.data[i] != ':' : text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool host_matches(struct slice host, const char *pattern)
{
    if (pattern[0] == '*' && pattern[1] == '.') {
        size_t length = strlen(pattern + 1);
        return host.length > length &&
               slice_equals_ignoring_case((struct slice){host.data + host.length - length, length},
                                          pattern + 1);
    }
    return slice_equals_ignoring_case(host, pattern);
}

/* Whether the setting names this host, or with `by_star` allows it by "*". */
static bool is_allowed(const struct request *request, struct slice host, bool by_star)
{
    const struct config_list *allowed = &request_config(request)->allowed_hosts;
    for (size_t i = 0; i < allowed->count; i++) {
        bool is_star = strcmp(allowed->items[i], "*") == 0;
        if (is_star ? by_star : host_matches(host, allowed->items[i])) {
            return true;
        }
    }
    return by_star && allowed->count == 0;
}

/* Probes and scrapers ask by address and without TLS, past whatever is in front. */
static bool is_probe(const struct request *request)
{
    static const char *const probes[] = {"/health", "/health/*", "/ready", "/metrics"};
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        if (text_matches_glob(probes[i], request->path)) {
            return true;
        }
    }
    return request->app->options->answers_probes ||
           slice_equals(request->path, request_config(request)->metrics_path);
}

bool host_check_allowed(struct request *request)
{
    struct slice given = request_header(request, "Host");
    struct slice host = host_without_port(given);
    struct slice port = {given.data + host.length, given.length - host.length};
    if (is_probe(request) || (is_allowed(request, host, true) && is_port_or_nothing(port))) {
        return true;
    }
    problem_answer(request, PROBLEM_INVALID_REQUEST, "Host not allowed");
    return false;
}

static bool refuse_plain(struct request *request)
{
    problem_answer(request, PROBLEM_INVALID_REQUEST, "HTTPS is required");
    return false;
}

/* Whoever sends the request chooses its Host, and caches keep redirects: only a host that the
 * setting names is worth being sent to. */
bool host_check_https(struct request *request)
{
    if (request->is_https || !request->live->redirects_to_https || is_probe(request)) {
        return true;
    }
    struct slice host = request_header(request, "Host");
    struct slice name = host_without_port(host);
    struct slice target = target_of(request);
    if (host.length == 0 || !is_allowed(request, name, false) ||
        (target.length > 0 && target.data[0] != '/')) {
        return refuse_plain(request);
    }
    /* No port of its own, or one that is HTTP's: the one of HTTPS. */
    bool is_plain =
        slice_equals((struct slice){host.data + name.length, host.length - name.length}, ":80");
    response_empty(request, 308);
    response_add_header(request, "Location",
                        arena_format(request->arena, "https://%.*s%s",
                                     (int)(is_plain ? name.length : host.length), host.data,
                                     target.length > 0 ? target.data : "/"));
    if (request->response.headers.length == 0 &&
        buffer_status(&request->response.headers) == STATUS_OK) {
        return refuse_plain(request); /* too long for a head, or no text for a header */
    }
    return false;
}
