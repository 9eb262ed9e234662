/* Who connects: address, scheme and host, as far as a proxy may be believed. */
#include <arpa/inet.h>
#include <string.h>

#include "http/pipeline.h"

/* Looks from the right for a hop that is not one of ours. False when all of these are: what stands
 * to the left of them counts then. */
static bool find_untrusted_hop(const struct request *request, struct slice hops,
                               struct slice *found)
{
    while (hops.length > 0) {
        size_t start = hops.length;
        while (start > 0 && hops.data[start - 1] != ',') {
            start--;
        }
        struct slice hop = slice_trim((struct slice){hops.data + start, hops.length - start});
        struct network network;
        if (network_parse(hop, &network) != STATUS_OK ||
            memchr(hop.data, '/', hop.length) != NULL) {
            return true;
        }
        *found = hop;
        const char *text = arena_copy(request->arena, hop.data, hop.length);
        if (text == NULL || !network_list_contains(&request->live->trusted_proxies, text)) {
            return true;
        }
        hops.length = start > 0 ? start - 1 : 0;
    }
    return false;
}

/* The right-most hop that is not one of ours; what stands to the left of it is hearsay. A header
 * that came more than once is one list in the order of its lines (RFC 9110 section 5.3); some
 * servers hand each line on as a variable of its own. */
static struct slice last_untrusted_hop(const struct request *request)
{
    const struct exchange *exchange = request->exchange;
    struct slice found = {0};
    for (size_t i = exchange->parameter_count; i > 0; i--) {
        const struct exchange_parameter *line = &exchange->parameters[i - 1];
        if (slice_equals(line->name, "HTTP_X_FORWARDED_FOR") &&
            find_untrusted_hop(request, line->value, &found)) {
            break;
        }
    }
    return found;
}

void client_identify(struct request *request)
{
    struct slice remote = exchange_parameter(request->exchange, "REMOTE_ADDR");
    request->client_address = remote.length > 0 ? remote.data : "unknown";
    struct slice https = exchange_parameter(request->exchange, "HTTPS");
    request->is_https = https.length > 0 && !slice_equals_ignoring_case(https, "off");
    if (!network_list_contains(&request->live->trusted_proxies, request->client_address)) {
        return;
    }
    struct slice scheme = request_header(request, "X-Forwarded-Proto");
    if (scheme.length > 0) {
        request->is_https = slice_equals_ignoring_case(slice_trim(scheme), "https");
    }
    struct slice hop = last_untrusted_hop(request);
    if (hop.length > 0) {
        const char *address = arena_copy(request->arena, hop.data, hop.length);
        /* Never the proxy instead, which may be exempt from limits. */
        request->client_address = address ? address : "unknown";
    }
}

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
    if (strcmp(pattern, "*") == 0) {
        return true;
    }
    if (pattern[0] == '*' && pattern[1] == '.') {
        size_t length = strlen(pattern + 1);
        return host.length > length &&
               slice_equals_ignoring_case((struct slice){host.data + host.length - length, length},
                                          pattern + 1);
    }
    return slice_equals_ignoring_case(host, pattern);
}

bool client_check_host(struct request *request)
{
    const struct config_list *allowed = &request_config(request)->allowed_hosts;
    struct slice given = request_header(request, "Host");
    struct slice host = host_without_port(given);
    struct slice port = {given.data + host.length, given.length - host.length};
    bool is_allowed = allowed->count == 0;
    for (size_t i = 0; i < allowed->count && !is_allowed; i++) {
        is_allowed = host_matches(host, allowed->items[i]);
    }
    if (is_allowed && is_port_or_nothing(port)) {
        return true;
    }
    problem_answer(request, PROBLEM_INVALID_REQUEST, "Host not allowed");
    return false;
}

bool client_check_https(struct request *request)
{
    if (request->is_https || !request->live->redirects_to_https) {
        return true;
    }
    struct slice host = request_header(request, "Host");
    struct slice target = exchange_parameter(request->exchange, "REQUEST_URI");
    if (host.length == 0 || target.length == 0 || target.data[0] != '/') {
        problem_answer(request, PROBLEM_INVALID_REQUEST, "HTTPS is required");
        return false;
    }
    /* No port of its own, or one that is HTTP's: the one of HTTPS. */
    struct slice name = host_without_port(host);
    bool is_plain =
        slice_equals((struct slice){host.data + name.length, host.length - name.length}, ":80");
    response_empty(request, 308);
    response_add_header(request, "Location",
                        arena_format(request->arena, "https://%.*s%s",
                                     (int)(is_plain ? name.length : host.length), host.data,
                                     target.data));
    if (request->response.headers.length == 0 &&
        buffer_status(&request->response.headers) == STATUS_OK) {
        /* Too long for a head, or no text for a header. */
        problem_answer(request, PROBLEM_INVALID_REQUEST, "HTTPS is required");
    }
    return false;
}
