/*
 * http/live: settings in the form the pipeline uses them, replaced as a whole on SIGHUP.
 *
 * Rate-limit policies parsed, networks as address ranges. A live set is immutable; requests that
 * began with the old one finish with it, so old sets are kept until the program ends (a reload is
 * rare and a set is small).
 */
#ifndef HTTP_LIVE_H
#define HTTP_LIVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/status.h"
#include "config/config.h"
#include "http/router.h"
#include "ratelimit/ratelimit.h"

struct network {
    struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d */
    unsigned prefix;         /* bits of the 128 */
};

struct network_list {
    struct network *items;
    size_t count;
};

struct tier {
    const char *name;
    struct ratelimit_policy policy;
};

struct app_live {
    struct config *config;
    struct ratelimit_policy policies[FAMILY_COUNT];
    struct tier *tiers;
    size_t tier_count;
    struct network_list trusted_proxies;
    struct network_list trusted_clients; /* RATE_LIMIT_TRUSTED_CIDRS */
    bool redirects_to_https;
    struct app_live *previous;
};

/* Takes `config` over on success. STATUS_INVALID with a line of `problem` for each fault. */
enum status live_create(struct app_live **out, struct config *config,
                        struct buffer *problem) MUST_CHECK;

/* The faults that live_create would find; `config` stays the caller's. */
enum status live_check(struct config *config, struct buffer *problem) MUST_CHECK;

/* Releases this set and all it replaced, with their configurations. */
void live_release(struct app_live *live);

/* The policy of a tier, or NULL. */
const struct ratelimit_policy *live_find_tier(const struct app_live *live, const char *name);

/* "10.0.0.0/8", "::1", "unix:" is not an address. */
enum status network_parse(struct slice text, struct network *out) MUST_CHECK;
bool network_list_contains(const struct network_list *list, const char *address);

#endif
