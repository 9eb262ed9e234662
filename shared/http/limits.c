/*
 * Rate limits in the pipeline: the address pays first, so that guessing keys costs budget; a
 * request that turns out to be a known principal's is charged to the principal and the address
 * gets its charge back, so that people behind one address do not starve each other.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "http/pipeline.h"

static const char *const family_names[FAMILY_COUNT] = {
    [FAMILY_DEFAULT] = "default", [FAMILY_AUTH] = "auth",       [FAMILY_CHAT] = "chat",
    [FAMILY_CHARTS] = "charts",   [FAMILY_HISTORY] = "history", [FAMILY_HEALTH] = "health",
};

static bool is_exempt(const struct request *request)
{
    return !request_config(request)->rate_limit_enabled ||
           (request->match.route->flags & ROUTE_RATE_EXEMPT) != 0 ||
           network_list_contains(&request->live->trusted_clients, request->client_address);
}

/* One person has a whole /64 of IPv6, so that is what counts. */
static struct slice address_key(const struct request *request, char *out, size_t size)
{
    struct in6_addr v6;
    const char *family = family_names[request->match.route->family];
    char network[INET6_ADDRSTRLEN];
    const char *address = request->client_address;
    if (inet_pton(AF_INET6, address, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
        memset(&v6.s6_addr[8], 0, 8);
        if (inet_ntop(AF_INET6, &v6, network, sizeof network) != NULL) {
            address = network;
        }
    }
    int length = snprintf(out, size, "%s|address|%s", family, address);
    return (struct slice){out, (size_t)length < size ? (size_t)length : size - 1};
}

static void refuse(struct request *request)
{
    const struct ratelimit_decision *decision = &request->limit;
    struct buffer text;
    buffer_init(&text, 128);
    buffer_append_text(&text, "Rate limit exceeded: ");
    ratelimit_describe(decision->limit, &text);
    problem_set_retry_after(request, (int64_t)decision->retry_after_seconds);
    problem_answer(request, PROBLEM_RATE_LIMIT_EXCEEDED, buffer_text(&text));
    buffer_release(&text);
}

static bool check(struct request *request, const struct ratelimit_policy *policy, struct slice key)
{
    ratelimit_check(request->app->limits, policy, key, 1, &request->limit);
    metrics_add(request->app->metrics, METRIC_RATE_LIMIT_DECISIONS,
                METRIC_LABELS(family_names[request->match.route->family],
                              request->limit.allowed ? "allowed" : "refused"),
                1);
    if (!request->limit.allowed) {
        refuse(request);
    }
    return request->limit.allowed;
}

bool limits_check_address(struct request *request)
{
    if (is_exempt(request)) {
        return true;
    }
    char text[128];
    struct slice key = address_key(request, text, sizeof text);
    bool allowed = check(request, &request->live->policies[request->match.route->family], key);
    request->address_limit = request->limit;
    return allowed;
}

bool limits_check_principal(struct request *request)
{
    if (is_exempt(request) || request->principal.kind == PRINCIPAL_NONE ||
        request->principal.kind == PRINCIPAL_ANONYMOUS) {
        return true;
    }
    const struct ratelimit_policy *base = &request->live->policies[request->match.route->family];
    char text[256];
    struct slice address = address_key(request, text, sizeof text);
    ratelimit_refund(request->app->limits, base, address, 1, &request->address_limit);
    const struct ratelimit_policy *policy = live_find_tier(request->live, request->principal.tier);
    int length = snprintf(text, sizeof text, "%s|principal|%s",
                          family_names[request->match.route->family], request->principal.id);
    struct slice key = {text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1};
    return check(request, policy ? policy : base, key);
}
