/*
 * http/router: compares templates segment by segment. Tables have some thirty rows, so a scan beats
 * anything that must be built first.
 */
#include "http/router.h"

#include <string.h>

static const char *const method_names[] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",    [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH",  [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "_OTHER",
};

enum http_method http_method_of(struct slice text)
{
    for (int method = HTTP_GET; method < HTTP_OTHER; method++) {
        if (slice_equals(text, method_names[method])) {
            return (enum http_method)method;
        }
    }
    return HTTP_OTHER;
}

const char *http_method_text(enum http_method method)
{
    return method_names[method];
}

/* Compares segment by segment. Returns false when the template does not match; *literals counts
 * literal segments, so that /models/demo beats /models/{id}. */
static bool template_matches(const char *template, struct slice path, struct slice *values,
                             size_t *value_count, unsigned *literals)
{
    const char *at = path.data;
    const char *end = path.data + path.length;
    *value_count = 0;
    *literals = 0;
    while (*template == '/') {
        if (at == end || *at != '/') {
            return false;
        }
        template ++;
        at++;
        const char *segment_end = memchr(at, '/', (size_t)(end - at));
        if (segment_end == NULL) {
            segment_end = end;
        }
        size_t length = (size_t)(segment_end - at);
        size_t template_length = strcspn(template, "/");
        if (*template == '{') {
            if (length == 0 || *value_count == ROUTE_PARAMETER_MAXIMUM) {
                return false;
            }
            values[(*value_count)++] = (struct slice){at, length};
        } else {
            if (length != template_length || memcmp(at, template, length) != 0) {
                return false;
            }
            (*literals)++;
        }
        template += template_length;
        at = segment_end;
    }
    return at == end;
}

void router_match(const struct route *routes, size_t count, enum http_method method,
                  struct slice path, struct route_match *match)
{
    *match = (struct route_match){0};
    if (method == HTTP_HEAD) {
        method = HTTP_GET;
    }
    unsigned best = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice values[ROUTE_PARAMETER_MAXIMUM];
        size_t value_count = 0;
        unsigned literals = 0;
        if (!template_matches(routes[i].template, path, values, &value_count, &literals)) {
            continue;
        }
        match->path_exists = true;
        match->allowed_methods |= 1u << routes[i].method;
        if (routes[i].method == method && (match->route == NULL || literals > best)) {
            best = literals;
            match->route = &routes[i];
            match->value_count = value_count;
            memcpy(match->values, values, value_count * sizeof values[0]);
        }
    }
    if (match->allowed_methods & (1u << HTTP_GET)) {
        match->allowed_methods |= 1u << HTTP_HEAD;
    }
}

void router_describe_methods(unsigned allowed_methods, struct buffer *out)
{
    const char *separator = "";
    for (int method = HTTP_GET; method < HTTP_OTHER; method++) {
        if (allowed_methods & (1u << method)) {
            buffer_append_text(out, separator);
            buffer_append_text(out, method_names[method]);
            separator = ", ";
        }
    }
}
