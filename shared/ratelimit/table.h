/*
 * ratelimit/table: the slots in the segment and the arithmetic of the three strategies. Private
 * to shared/ratelimit.
 *
 * Region: groups of 4096 bytes, each a lock, the tags of its 14 slots and the slots. A key's hash
 * names its group; it may be in any slot of it. A slot is given to another key only when nothing in
 * it counts any more, so nobody's limit is forgotten. A key that finds none shares: one slot with its
 * network (the groups behind the first), or, where those are full too, one of 64 with many networks
 * (the last groups). What a share has counted may have been any of its keys, so a key that gets a
 * slot of its own begins with a copy of it: its limit holds then too, and the share empties. A group
 * is a page, so a host with few clients touches few pages.
 *
 * All of a group changes under its lock. Stores are ordered so that a process killed between any
 * two of them leaves a slot that is empty or counts too much, never too little, once the next
 * holder of the lock has added up the buckets again.
 */
#ifndef RATELIMIT_TABLE_H
#define RATELIMIT_TABLE_H

#include "ratelimit/ratelimit.h"

#define RATELIMIT_WAYS            14
#define RATELIMIT_GROUPS          1171 /* 16,394 slots */
#define RATELIMIT_NETWORK_GROUPS  256  /* 3,584 shares of networks */
#define RATELIMIT_OVERFLOW_GROUPS 64   /* one share of many networks each, for each limit */
#define RATELIMIT_BUCKETS         60

/*
 * moving-window: position = number of the newest bucket since boot, total = sum of the buckets.
 * fixed-window: position = nanosecond of the first hit, total = hits since.
 * gcra: position and total = theoretical arrival time in nanoseconds and 1/limit nanoseconds.
 */
struct ratelimit_slot {
    uint64_t hash;   /* second half of the key's hash; the first is the tag */
    uint64_t window; /* nanoseconds */
    uint64_t position;
    uint32_t limit;
    uint32_t strategy;
    uint32_t total;
    uint32_t buckets[RATELIMIT_BUCKETS];
    uint32_t reserved;
};

struct ratelimit_group {
    struct segment_lock lock;
    uint64_t tags[RATELIMIT_WAYS]; /* first half of the key's hash; 0 = free */
    struct ratelimit_slot slots[RATELIMIT_WAYS];
    unsigned char
        reserved[4096 - 8 - 8 * RATELIMIT_WAYS - RATELIMIT_WAYS * sizeof(struct ratelimit_slot)];
};

_Static_assert(sizeof(struct ratelimit_slot) == 280, "the layout of the region is fixed");
_Static_assert(sizeof(struct ratelimit_group) == 4096, "a group is a page");

struct ratelimit_region {
    struct ratelimit_group
        groups[RATELIMIT_GROUPS + RATELIMIT_NETWORK_GROUPS + RATELIMIT_OVERFLOW_GROUPS];
    /* Boot nanoseconds after which nothing in a share counts: until then a key without a slot must
     * look for what its share has counted. Written before the share is charged. */
    _Atomic uint64_t shared_until;
    unsigned char reserved[4096 - 8];
};

/* What one limit of a policy means for one key. */
struct ratelimit_rule {
    uint64_t tag; /* never 0 */
    uint64_t hash;
    uint64_t window;
    uint32_t limit;
    enum ratelimit_strategy strategy;
};

/* --- one slot: ratelimit_slot.c ------------------------------------------------------------ */

struct ratelimit_view {
    bool allowed;
    uint64_t remaining;         /* as things are; after the charge when it is allowed */
    uint64_t reset_nanoseconds; /* from now */
    uint64_t retry_nanoseconds; /* 0 when allowed */
};

/* Empties the slot for `rule`. */
void ratelimit_slot_prepare(struct ratelimit_slot *slot, const struct ratelimit_rule *rule);

/* Forgets what has left the window. */
void ratelimit_slot_advance(struct ratelimit_slot *slot, uint64_t now);

/* After advance. `slot` NULL: nothing was ever charged. */
struct ratelimit_view ratelimit_slot_test(const struct ratelimit_slot *slot,
                                          const struct ratelimit_rule *rule, uint64_t now,
                                          uint32_t cost);
/* After advance and a test that allowed it. */
void ratelimit_slot_charge(struct ratelimit_slot *slot, uint32_t cost);
void ratelimit_slot_refund(struct ratelimit_slot *slot, uint64_t now, uint64_t charged_at,
                           uint32_t cost);
/* Whether anything in it counts at `now`; changes nothing. */
bool ratelimit_slot_is_idle(const struct ratelimit_slot *slot, uint64_t now);
/* Takes over what `from`, a slot of the same limit, has counted. */
void ratelimit_slot_copy(struct ratelimit_slot *slot, const struct ratelimit_slot *from);
void ratelimit_slot_repair(struct ratelimit_slot *slot);

/* --- one group: ratelimit_group.c ---------------------------------------------------------- */

/* The rule's slot, or -1. */
int ratelimit_group_find(const struct ratelimit_group *group, const struct ratelimit_rule *rule);

/* A slot that is free, or in which nothing counts any more; none whose bit is in `pinned`. -1: none.
 * Changes nothing. */
int ratelimit_group_choose(const struct ratelimit_group *group, uint64_t now, uint32_t pinned);

/* Gives the slot to `rule`; it begins with what `origin` has counted, or empty for NULL. */
void ratelimit_group_assign(struct ratelimit_group *group, int way,
                            const struct ratelimit_rule *rule, const struct ratelimit_slot *origin);

void ratelimit_group_lock(struct segment *segment, struct ratelimit_group *group);
void ratelimit_group_unlock(struct segment *segment, struct ratelimit_group *group);

#endif
