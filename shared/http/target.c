/*
 * http/target: which resource the client asked for, from the request line as it was sent, not from
 * what a web server has made of it.
 *
 * RFC 3986 section 6.2.2 lets servers decode and then take dot segments out, and they differ in
 * when they do which: of "/charts/a/data/0/..%2F.." one makes "/charts/a", another hands on what
 * it got. A path that could be read in two ways is therefore refused before a route is looked
 * for, by one rule for all servers: REQUEST_URI holds the path as sent (RFC 9112 section 3.2).
 *
 * Own code because the rule is ours; uriparser and libcurl's URL interface normalise instead.
 */
#include <string.h>

#include "http/pipeline.h"

/* Model names hold slashes, and OpenAI's own libraries send them encoded. Nothing is changed under
 * this path, and dot segments are refused here too. */
static const char path_with_encoded_slashes[] = "/v1/models";

/* --- The request line -------------------------------------------------------------------------- */

/* "http://host" of the absolute form, which every server must take. */
static size_t length_of_authority(struct slice target)
{
    struct slice rest = target;
    struct slice scheme;
    if (target.length == 0 || target.data[0] == '/' || !slice_split(&rest, ':', &scheme) ||
        !slice_starts_with(rest, "//") ||
        !(slice_equals_ignoring_case(scheme, "http") ||
          slice_equals_ignoring_case(scheme, "https"))) {
        return 0;
    }
    size_t length = scheme.length + strlen("://");
    while (length < target.length && strchr("/?", target.data[length]) == NULL) {
        length++;
    }
    return length;
}

struct slice target_of(const struct request *request)
{
    struct slice target = exchange_parameter(request->exchange, "REQUEST_URI");
    size_t authority = length_of_authority(target);
    return (struct slice){target.data + authority, target.length - authority};
}

static struct slice path_of(struct slice target)
{
    const char *query = target.length > 0 ? memchr(target.data, '?', target.length) : NULL;
    size_t length = query ? (size_t)(query - target.data) : target.length;
    return length > 0 ? (struct slice){target.data, length} : (struct slice){"/", 1};
}

/* --- Prefixes and dialects --------------------------------------------------------------------- */

bool target_strip_prefix(const struct request *request, size_t *index, struct slice path,
                         struct slice *rest)
{
    const struct config_list *prefixes = &request_config(request)->api_prefixes;
    while (*index < prefixes->count) {
        const char *prefix = prefixes->items[(*index)++];
        size_t length = strlen(prefix);
        if (length > 0 && path.length > length && path.data[length] == '/' &&
            slice_starts_with(path, prefix)) {
            *rest = (struct slice){path.data + length, path.length - length};
            return true;
        }
    }
    return false;
}

/* Whether the path is `folder` or lies in it, with or without a prefix. */
static bool is_within(const struct request *request, struct slice path, const char *folder)
{
    size_t index = 0;
    struct slice rest = path;
    do {
        if (slice_equals(rest, folder) ||
            (slice_starts_with(rest, folder) && rest.length > strlen(folder) &&
             rest.data[strlen(folder)] == '/')) {
            return true;
        }
    } while (target_strip_prefix(request, &index, path, &rest));
    return false;
}

/* --- The rule ---------------------------------------------------------------------------------- */

/* Every segment names something: none is empty but the last, and none is "." or "..". */
static bool has_plain_segments(struct slice path)
{
    struct slice rest = path;
    struct slice segment;
    if (path.length == 0 || path.data[0] != '/') {
        return false;
    }
    rest.data++;
    rest.length--;
    while (slice_split(&rest, '/', &segment)) {
        bool is_last = segment.data + segment.length == path.data + path.length;
        if ((segment.length == 0 && !is_last) || slice_equals(segment, ".") ||
            slice_equals(segment, "..")) {
            return false;
        }
    }
    return true;
}

static bool is_plain_decoded(struct slice path)
{
    return (path.length == 0 || has_plain_segments(path)) && text_is_utf8(path.data, path.length) &&
           memchr(path.data, '\0', path.length) == NULL &&
           memchr(path.data, '\\', path.length) == NULL;
}

static size_t count_slashes(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.length; i++) {
        count += text.data[i] == '/';
    }
    return count;
}

/* What a URI may not hold unescaped (RFC 3986 section 2), but for bytes beyond ASCII, which some
 * clients send and all servers hand on. */
static bool has_stray_byte(struct slice raw)
{
    for (size_t i = 0; i < raw.length; i++) {
        unsigned char byte = (unsigned char)raw.data[i];
        if (byte <= ' ' || byte == 0x7f || byte == '#') {
            return true;
        }
    }
    return false;
}

/* Encoded slashes change what a path names, but within the name of a model. */
static bool has_own_slashes(const struct request *request, struct slice raw, struct slice decoded)
{
    return count_slashes(decoded) == count_slashes(raw) ||
           (is_within(request, raw, path_with_encoded_slashes) &&
            (decoded.data[decoded.length - 1] == '/') == (raw.data[raw.length - 1] == '/'));
}

/* STATUS_INVALID: could be read in two ways. *decoded is set with STATUS_OK only. */
static enum status judge(const struct request *request, struct slice raw, struct slice *decoded)
{
    struct slice text = {0};
    enum status status = has_stray_byte(raw)
                             ? STATUS_INVALID
                             : text_decode_percent(request->arena, raw, false, &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (!has_plain_segments(raw) || !is_plain_decoded(text) ||
        !has_own_slashes(request, raw, text)) {
        return STATUS_INVALID;
    }
    *decoded = text;
    return STATUS_OK;
}

/* --- What the web server refuses --------------------------------------------------------------- */

static enum problem problem_of_status(int64_t status)
{
    switch (status) {
    case 403:
        return PROBLEM_PERMISSION_DENIED;
    case 404:
        return PROBLEM_NOT_FOUND;
    case 413:
        return PROBLEM_REQUEST_TOO_LARGE;
    case 414:
    case 431:
        return PROBLEM_REQUEST_HEADER_TOO_LARGE;
    case 429:
        return PROBLEM_RATE_LIMIT_EXCEEDED;
    case 500:
    case 502:
    case 503:
    case 504:
        return PROBLEM_OVERLOADED;
    default:
        return PROBLEM_INVALID_REQUEST;
    }
}

/* What the web server refuses by itself it may hand to us as a redirect of its own (lighttpd's
 * error-handler, Apache's ErrorDocument, nginx's error_page), so that it is answered like
 * everything else. Clients cannot set these variables: their headers begin with HTTP_. The path
 * then is the error page's, and the method always GET; what was asked for stands in REQUEST_URI
 * and, where the server keeps it, in REDIRECT_REQUEST_METHOD. */
static bool is_handed_over(const struct request *request, int64_t *status)
{
    struct slice text = exchange_parameter(request->exchange, "REDIRECT_STATUS");
    return text_parse_integer(text, status) == STATUS_OK && *status >= 400 && *status <= 599;
}

static void take_original_method(struct request *request)
{
    struct slice method = exchange_parameter(request->exchange, "REDIRECT_REQUEST_METHOD");
    if (method.length > 0) {
        request->method = http_method_of(method);
    }
}

/* lighttpd says 411 to a POST that names no length, though it has no body then (RFC 9112 section
 * 6.3). lighttpd/refused.lua begins such a request anew at its own path, where it counts as if nothing
 * had been refused. At an error page's path a 411 is a refusal like any other. */
static bool is_begun_anew(const struct request *request, int64_t status, struct slice decoded)
{
    return status == 411 && request->method == HTTP_POST &&
           request->path.length == decoded.length &&
           memcmp(request->path.data, decoded.data, decoded.length) == 0;
}

/* --- In the pipeline --------------------------------------------------------------------------- */

/* RFC 9112 section 3.2.4: "OPTIONS *" is about the server as a whole. */
static bool is_about_everything(const struct request *request)
{
    return request->method == HTTP_OPTIONS && slice_equals(target_of(request), "*");
}

bool target_identify(struct request *request)
{
    struct slice target = target_of(request);
    struct slice decoded = request->path;
    enum status status = STATUS_OK;
    int64_t refused = 0;
    request->refusal = PROBLEM_COUNT;
    if (!is_about_everything(request)) {
        /* A server that does not hand the request line on leaves the decoded path alone to judge. */
        status = !is_plain_decoded(request->path) ? STATUS_INVALID
                 : target.length > 0              ? judge(request, path_of(target), &decoded)
                                                  : STATUS_OK;
    }
    if (is_handed_over(request, &refused)) {
        take_original_method(request);
        if (!is_begun_anew(request, refused, decoded)) {
            request->refusal = problem_of_status(refused);
        }
        request->path = decoded;
    }
    if (status == STATUS_NO_MEMORY) {
        request->refusal = PROBLEM_OVERLOADED;
    } else if (status != STATUS_OK && request->refusal != PROBLEM_OVERLOADED) {
        request->refusal = PROBLEM_INVALID_REQUEST;
        request->path = target.length > 0 ? path_of(target) : request->path;
    }
    /* OpenAI's libraries ask there, and read the error, whoever refuses. */
    request->is_openai = is_within(request, request->path, "/v1");
    return request->refusal == PROBLEM_COUNT;
}

bool target_check(struct request *request)
{
    if (request->refusal == PROBLEM_COUNT) {
        return true;
    }
    problem_answer(request, request->refusal, NULL);
    return false;
}

bool target_check_everything(struct request *request)
{
    if (!is_about_everything(request)) {
        return true;
    }
    response_empty(request, 204);
    response_add_header(request, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    return false;
}
