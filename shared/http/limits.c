/*
 * Rate limits in the pipeline. Valid credentials spend their owner's budget and nothing of the
 * address, so that guessers and honest people behind one address do not starve each other; no or
 * wrong credentials spend the address's, and an exhausted one is told that instead of 401.
 *
 * All keys of an owner share its budget. A tier replaces the limit of the family: one that is wider
 * is a budget that the owner's keys of that tier share; one that is tighter is the key's own, and
 * what it spends counts for the owner as well.
 */
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "http/pipeline.h"

static const char *const family_names[FAMILY_COUNT] = {
    [FAMILY_DEFAULT] = "default", [FAMILY_AUTH] = "auth",       [FAMILY_CHAT] = "chat",
    [FAMILY_CHARTS] = "charts",   [FAMILY_HISTORY] = "history", [FAMILY_HEALTH] = "health",
};

static bool is_exempt(const struct request *request)
{
    const struct route *route = request->match.route;
    return !request_config(request)->rate_limit_enabled ||
           (route != NULL && (route->flags & ROUTE_RATE_EXEMPT) != 0) ||
           network_list_contains(&request->live->trusted_clients, request->client_address);
}

static enum route_family family_of(const struct request *request)
{
    return request->match.route != NULL ? request->match.route->family : FAMILY_DEFAULT;
}

/* One person has a whole /64 of IPv6, so that is what counts. */
static struct slice address_key(const struct request *request, char *out, size_t size)
{
    struct in6_addr v6;
    const char *family = family_names[family_of(request)];
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
                METRIC_LABELS(family_names[family_of(request)],
                              request->limit.allowed ? "allowed" : "refused"),
                1);
    if (!request->limit.allowed) {
        refuse(request);
    }
    return request->limit.allowed;
}

/* What does not fit is cut: then two share a budget. */
static struct slice owner_key(const struct request *request, const char *kind, const char *who,
                              char *out, size_t size)
{
    int length = snprintf(out, size, "%s|%s|%s", family_names[family_of(request)], kind, who);
    return (struct slice){out, (size_t)length < size ? (size_t)length : size - 1};
}

/* Of the limit that lets the fewest through in the long run. */
static double rate_of(const struct ratelimit_policy *policy)
{
    double least = HUGE_VAL;
    for (size_t i = 0; i < policy->count; i++) {
        double rate = policy->limits[i].count / (double)policy->limits[i].window_seconds;
        least = rate < least ? rate : least;
    }
    return least;
}

static bool check_owner(struct request *request, const struct ratelimit_policy *base)
{
    char text[256];
    struct slice owner = owner_key(request, "owner", request->principal.owner, text, sizeof text);
    const struct ratelimit_policy *tier = live_find_tier(request->live, request->principal.tier);
    if (tier == NULL || rate_of(tier) >= rate_of(base)) {
        return check(request, tier ? tier : base, owner);
    }
    char own_text[256];
    struct ratelimit_decision own;
    struct slice own_key =
        owner_key(request, "key", request->principal.id, own_text, sizeof own_text);
    ratelimit_check(request->app->limits, tier, own_key, 1, &own);
    if (!own.allowed) {
        return check(request, tier, own_key);
    }
    bool allowed = check(request, base, owner);
    if (!allowed) {
        ratelimit_refund(request->app->limits, tier, own_key, 1, &own);
    } else if (own.remaining < request->limit.remaining) {
        request->limit = own;
    }
    return allowed;
}

bool limits_check(struct request *request)
{
    if (is_exempt(request)) {
        return true;
    }
    const struct ratelimit_policy *base = &request->live->policies[family_of(request)];
    if (request->principal.kind != PRINCIPAL_NONE &&
        request->principal.kind != PRINCIPAL_ANONYMOUS) {
        return check_owner(request, base);
    }
    char text[128];
    return check(request, base, address_key(request, text, sizeof text));
}
