/*
 * http/limits: rate limits in the pipeline. Valid credentials spend their owner's budget and
 * nothing of the address, so that guessers and honest people behind one address do not starve each
 * other; no or wrong credentials spend the address's, and an exhausted one is told that instead of
 * 401.
 *
 * All keys of an owner share its budget. A tier replaces the limit of the family: one that is wider
 * is a budget that the owner's keys of that tier share; one that is tighter is the key's own, and
 * what it spends counts for the owner as well.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/network.h"
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

static struct slice key_text(const struct request *request, const char *kind, const char *who,
                             char *out, size_t size)
{
    int length = snprintf(out, size, "%s|%s|%s", family_names[family_of(request)], kind, who);
    return (struct slice){out, (size_t)length < size ? (size_t)length : size - 1};
}

/* Of an address and of its network. */
struct address_texts {
    char who[128];
    char network[128];
};

/* One person has a whole /64 of IPv6, so that is what counts. A /48 is what one site has, and a /24
 * the least that is routed: those share when the table is full. */
static struct ratelimit_key address_key(const struct request *request, struct address_texts *texts)
{
    char who[NETWORK_NAME_SIZE];
    char network[NETWORK_NAME_SIZE];
    network_name(request->client_address, 32, 64, who);
    network_name(request->client_address, 24, 48, network);
    return (struct ratelimit_key){
        key_text(request, "address", who, texts->who, sizeof texts->who),
        key_text(request, "network", network, texts->network, sizeof texts->network)};
}

static void refuse(struct request *request)
{
    const struct ratelimit_decision *decision = &request->limit;
    struct buffer text;
    buffer_init(&text, 128);
    buffer_append_text(&text, "Rate limit exceeded: ");
    rate_describe(decision->limit, &text);
    problem_set_retry_after(request, (int64_t)decision->retry_after_seconds);
    problem_answer(request, PROBLEM_RATE_LIMIT_EXCEEDED, buffer_text(&text));
    buffer_release(&text);
}

static bool check(struct request *request, const struct ratelimit_policy *policy,
                  struct ratelimit_key key)
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
static struct ratelimit_key owner_key(const struct request *request, const char *kind,
                                      const char *who, char *out, size_t size)
{
    return ratelimit_key_alone(key_text(request, kind, who, out, size));
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
    struct ratelimit_key owner =
        owner_key(request, "owner", request->principal.owner, text, sizeof text);
    const struct ratelimit_policy *tier = live_find_tier(request->live, request->principal.tier);
    if (tier == NULL || rate_of(tier) >= rate_of(base)) {
        return check(request, tier ? tier : base, owner);
    }
    char own_text[256];
    struct ratelimit_decision own;
    struct ratelimit_key own_key =
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
    struct address_texts texts;
    return check(request, base, address_key(request, &texts));
}
