/*
 * ratelimit: how often may this key do that, exactly, over all processes of the host.
 *
 * A fixed table in the segment; a slot holds one key's counters for one limit. Keys are 128-bit
 * keyed hashes, so no address is stored and nobody can aim at a slot. Strategies:
 * moving-window (a ring of 60 sub-buckets; a sub-bucket counts until it has wholly left the
 * window, so no window of that length ever admits more than the limit), fixed-window (starts at
 * the first hit), gcra (burst = limit). Time is boot time. A process killed while it changes a
 * slot leaves a slot that errs to the strict side.
 *
 * When nothing can be forgotten to make room, keys without a slot share one with their network, and
 * beyond 3,584 such networks one of 64 with many: limits fail shared, not open, and no key is ever
 * admitted more often than its limit, on the way into a share and out of it included.
 */
#ifndef RATELIMIT_RATELIMIT_H
#define RATELIMIT_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rate.h"
#include "base/status.h"
#include "base/text.h"
#include "segment/segment.h"

extern const struct segment_region ratelimit_segment_region;

#define RATELIMIT_POLICY_MAXIMUM RATE_LIST_MAXIMUM

/* All must pass, and all are charged or none. */
struct ratelimit_policy {
    struct rate limits[RATELIMIT_POLICY_MAXIMUM];
    size_t count;
};

enum ratelimit_strategy { RATELIMIT_MOVING_WINDOW, RATELIMIT_FIXED_WINDOW, RATELIMIT_GCRA };

/* See rate_parse_list. */
enum status ratelimit_parse_policy(struct slice text, struct ratelimit_policy *policy) MUST_CHECK;
enum status ratelimit_parse_strategy(const char *text,
                                     enum ratelimit_strategy *strategy) MUST_CHECK;

/* Who is limited, any bytes ("chat|address|192.0.2.7"), and who shares a slot with it when the table
 * is full ("192.0.2.0/24"). */
struct ratelimit_key {
    struct slice who;
    struct slice network;
};

/* A key that shares with no other network. */
static inline struct ratelimit_key ratelimit_key_alone(struct slice who)
{
    return (struct ratelimit_key){who, who};
}

struct ratelimit_decision {
    bool allowed;
    const struct rate *limit;     /* the tightest one (the refusing one when refused) */
    uint64_t remaining;           /* of that limit, after this request */
    uint64_t reset_seconds;       /* until that limit is whole again, rounded up, >= 1 */
    uint64_t retry_after_seconds; /* refused: until one more would pass; else 0 */
    uint64_t charge;              /* opaque, for ratelimit_refund: when */
    uint16_t shares;              /* opaque too: where, two bits for each limit */
};

struct ratelimit_table;

enum status ratelimit_open(struct ratelimit_table **out, struct segment *segment,
                           enum ratelimit_strategy strategy) MUST_CHECK;
void ratelimit_close(struct ratelimit_table *table);

/* Tests all limits of `policy` for `key` and charges `cost` (>= 1) to
 * all of them or to none. Never fails. An empty policy allows everything, with limit NULL. */
void ratelimit_check(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                     struct ratelimit_key key, uint32_t cost, struct ratelimit_decision *decision);

/* Gives back what that decision charged, at once; nothing to give back is fine. */
void ratelimit_refund(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                      struct ratelimit_key key, uint32_t cost,
                      const struct ratelimit_decision *decision);

/* Tests only: replaces boot time; NULL restores it. */
void ratelimit_use_clock(uint64_t (*now_nanoseconds)(void));

#endif
