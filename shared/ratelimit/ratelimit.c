/*
 * ratelimit: all limits of a policy for a key, tested together and charged together.
 *
 * The groups that the limits fall into are locked in ascending order, overflow groups after all
 * others, so processes never wait for each other in a circle. Under the locks each limit gets a
 * place (its slot, a slot it may take, or an overflow slot), all places are tested, and only if
 * all agree is any of them written.
 */
#include "ratelimit/ratelimit.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "ratelimit/table.h"

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)
#define NO_GROUP               UINT32_MAX

const struct segment_region ratelimit_segment_region = {
    .name = "ratelimit",
    .size = sizeof(struct ratelimit_region),
    .schema = 1,
};

struct ratelimit_table {
    struct segment *segment;
    struct ratelimit_region *region;
    struct siphash_key key;
    enum ratelimit_strategy strategy;
};

/* Where one limit counts. */
struct place {
    struct ratelimit_rule rule;
    uint32_t group;
    int way;
    bool is_present;  /* the slot is the rule's already */
    bool is_repeated; /* the policy has the same limit earlier: it counts once */
    struct ratelimit_view view;
};

struct request {
    struct ratelimit_table *table;
    const struct ratelimit_policy *policy;
    struct siphash_value key_hash;
    struct place places[RATELIMIT_POLICY_MAXIMUM];
    /* ascending, without repetition */
    uint32_t locked[2 * RATELIMIT_POLICY_MAXIMUM];
    size_t locked_count;
    uint64_t now;
};

static uint64_t (*clock_now)(void) = clock_boot_nanoseconds;

void ratelimit_use_clock(uint64_t (*now_nanoseconds)(void))
{
    clock_now = now_nanoseconds != NULL ? now_nanoseconds : clock_boot_nanoseconds;
}

enum status ratelimit_open(struct ratelimit_table **out, struct segment *segment,
                           enum ratelimit_strategy strategy)
{
    *out = NULL;
    struct ratelimit_table *table = memory_allocate(sizeof *table);
    if (table == NULL) {
        return STATUS_NO_MEMORY;
    }
    table->segment = segment;
    table->region = segment_find(segment, ratelimit_segment_region.name);
    table->key = *segment_secret(segment);
    table->strategy = strategy;
    if (table->region == NULL) {
        memory_release(table);
        return STATUS_INTERNAL;
    }
    *out = table;
    return STATUS_OK;
}

void ratelimit_close(struct ratelimit_table *table)
{
    memory_release(table);
}

static struct ratelimit_group *group_at(struct request *request, uint32_t number)
{
    return &request->table->region->groups[number];
}

static struct ratelimit_slot *slot_of(struct request *request, const struct place *place)
{
    return &group_at(request, place->group)->slots[place->way];
}

/* The hash of one limit for whoever `who` stands for: a key, or a share of the overflow. */
static struct ratelimit_rule make_rule(const struct ratelimit_table *table,
                                       const struct ratelimit_limit *limit,
                                       struct siphash_value who)
{
    struct ratelimit_rule rule = {
        .window = limit->window_seconds * NANOSECONDS_PER_SECOND,
        .limit = limit->count,
        .strategy = table->strategy,
    };
    uint64_t words[] = {who.words[0], who.words[1], rule.window,
                        (uint64_t)rule.limit << 8 | rule.strategy};
    struct siphash_value hash = siphash_compute(&table->key, words, sizeof words);
    rule.tag = hash.words[0] != 0 ? hash.words[0] : 1;
    rule.hash = hash.words[1];
    return rule;
}

/* Fills only the places that the policy has: the rest of the structure is large and unused. */
static void begin_request(struct request *request, struct ratelimit_table *table,
                          const struct ratelimit_policy *policy, struct slice key)
{
    request->table = table;
    request->policy = policy;
    request->locked_count = 0;
    request->key_hash = siphash_compute(&table->key, key.data, key.length);
    for (size_t i = 0; i < policy->count; i++) {
        struct place *place = &request->places[i];
        *place = (struct place){
            .rule = make_rule(table, &policy->limits[i], request->key_hash),
            .way = -1,
        };
        /* The high half of the hash, scaled: no division. */
        place->group = (uint32_t)(((place->rule.tag >> 32) * RATELIMIT_GROUPS) >> 32);
        for (size_t earlier = 0; earlier < i; earlier++) {
            const struct ratelimit_rule *other = &request->places[earlier].rule;
            place->is_repeated |= other->tag == place->rule.tag && other->hash == place->rule.hash;
        }
    }
}

/* Locks in ascending order what `groups` holds; all of it lies above what is locked already. */
static void lock_groups(struct request *request, uint32_t *groups, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && groups[j] < groups[j - 1]; j--) {
            uint32_t larger = groups[j - 1];
            groups[j - 1] = groups[j];
            groups[j] = larger;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || groups[i] != groups[i - 1]) {
            ratelimit_group_lock(request->table->segment, group_at(request, groups[i]));
            request->locked[request->locked_count++] = groups[i];
        }
    }
}

static void unlock_groups(struct request *request)
{
    while (request->locked_count > 0) {
        uint32_t group = request->locked[--request->locked_count];
        ratelimit_group_unlock(request->table->segment, group_at(request, group));
    }
}

/* Ways of `group` that other limits of this request use. */
static uint32_t pinned_ways(const struct request *request, uint32_t group)
{
    uint32_t pinned = 0;
    for (size_t i = 0; i < request->policy->count; i++) {
        const struct place *place = &request->places[i];
        if (place->group == group && place->way >= 0) {
            pinned |= 1U << place->way;
        }
    }
    return pinned;
}

static void lock_own_groups(struct request *request)
{
    uint32_t groups[RATELIMIT_POLICY_MAXIMUM];
    size_t count = 0;
    for (size_t i = 0; i < request->policy->count; i++) {
        groups[count++] = request->places[i].group;
    }
    lock_groups(request, groups, count);
}

/* Returns how many have no slot yet. */
static size_t find_present(struct request *request)
{
    size_t missing = 0;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (!place->is_repeated) {
            place->way = ratelimit_group_find(group_at(request, place->group), &place->rule);
            place->is_present = place->way >= 0;
            missing += !place->is_present;
        }
    }
    return missing;
}

/* Chooses slots for those that have none; returns how many have to share. */
static size_t choose_free(struct request *request)
{
    size_t missing = 0;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->way < 0 && !place->is_repeated) {
            place->way = ratelimit_group_choose(group_at(request, place->group), request->now,
                                                pinned_ways(request, place->group), false);
            missing += place->way < 0;
        }
    }
    return missing;
}

/* The places without a way become shares: the key's hash picks one of the overflow groups, and
 * keys that pick the same one share its slot for this limit. */
static void use_overflow(struct request *request)
{
    uint32_t share = (uint32_t)(request->key_hash.words[1] % RATELIMIT_OVERFLOW_GROUPS);
    uint32_t group = RATELIMIT_GROUPS + share;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->way < 0 && !place->is_repeated) {
            struct siphash_value who = {{share, 0}};
            place->rule = make_rule(request->table, &request->policy->limits[i], who);
            place->group = group;
        }
    }
    lock_groups(request, &group, 1);
    /* Again: the overflow group may have been used while this request waited for it. */
    request->now = clock_now();
}

static void find_in_overflow(struct request *request, bool may_assign)
{
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->way >= 0 || place->is_repeated) {
            continue;
        }
        struct ratelimit_group *group = group_at(request, place->group);
        place->way = ratelimit_group_find(group, &place->rule);
        place->is_present = place->way >= 0;
        if (!place->is_present && may_assign) {
            place->way = ratelimit_group_choose(group, request->now,
                                                pinned_ways(request, place->group), true);
        }
    }
}

static bool test_all(struct request *request, uint32_t cost)
{
    bool allowed = true;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->is_repeated) {
            continue;
        }
        struct ratelimit_slot *slot = place->is_present ? slot_of(request, place) : NULL;
        if (slot != NULL) {
            ratelimit_slot_advance(slot, request->now);
        }
        place->view = ratelimit_slot_test(slot, &place->rule, request->now, cost);
        allowed &= place->view.allowed;
    }
    return allowed;
}

static void charge_all(struct request *request, uint32_t cost)
{
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->is_repeated) {
            continue;
        }
        struct ratelimit_slot *slot = slot_of(request, place);
        if (!place->is_present) {
            ratelimit_group_assign(group_at(request, place->group), place->way, &place->rule);
            ratelimit_slot_advance(slot, request->now);
        }
        ratelimit_slot_charge(slot, cost);
    }
}

static uint64_t whole_seconds(uint64_t nanoseconds)
{
    uint64_t seconds = nanoseconds / NANOSECONDS_PER_SECOND;
    seconds += nanoseconds % NANOSECONDS_PER_SECOND != 0;
    return seconds > 0 ? seconds : 1;
}

/* Whether `a` is what the client should be told about rather than `b`: of refusals the longest,
 * else what is closest to its end, and of equals what takes longer to be whole again. */
static bool is_tighter(const struct ratelimit_view *a, const struct ratelimit_view *b)
{
    if (a->allowed != b->allowed) {
        return !a->allowed;
    }
    if (!a->allowed) {
        return a->retry_nanoseconds > b->retry_nanoseconds;
    }
    if (a->remaining != b->remaining) {
        return a->remaining < b->remaining;
    }
    return a->reset_nanoseconds > b->reset_nanoseconds;
}

static void describe_decision(const struct request *request, bool allowed,
                              struct ratelimit_decision *decision)
{
    const struct ratelimit_view *tightest = &request->places[0].view;
    size_t number = 0;
    for (size_t i = 1; i < request->policy->count; i++) {
        const struct place *place = &request->places[i];
        if (!place->is_repeated && is_tighter(&place->view, tightest)) {
            tightest = &place->view;
            number = i;
        }
    }
    *decision = (struct ratelimit_decision){
        .allowed = allowed,
        .limit = &request->policy->limits[number],
        .remaining = tightest->remaining,
        .reset_seconds = whole_seconds(tightest->reset_nanoseconds),
        .retry_after_seconds = allowed ? 0 : whole_seconds(tightest->retry_nanoseconds),
        /* Not 0, whatever the clock says. */
        .charge = allowed ? request->now + 1 : 0,
    };
}

void ratelimit_check(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                     struct slice key, uint32_t cost, struct ratelimit_decision *decision)
{
    if (policy->count == 0) {
        *decision = (struct ratelimit_decision){.allowed = true, .reset_seconds = 1};
        return;
    }
    struct request request;
    begin_request(&request, table, policy, key);
    lock_own_groups(&request);
    /* Under the locks: time then never goes back within a slot. */
    request.now = clock_now();
    if (find_present(&request) > 0 && choose_free(&request) > 0) {
        use_overflow(&request);
        find_in_overflow(&request, true);
    }
    bool allowed = test_all(&request, cost);
    if (allowed) {
        charge_all(&request, cost);
    }
    unlock_groups(&request);
    describe_decision(&request, allowed, decision);
}

void ratelimit_refund(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                      struct slice key, uint32_t cost, const struct ratelimit_decision *decision)
{
    if (decision->charge == 0 || policy->count == 0) {
        return;
    }
    struct request request;
    begin_request(&request, table, policy, key);
    lock_own_groups(&request);
    request.now = clock_now();
    if (find_present(&request) > 0) {
        /* What has no slot of its own was charged to its share, or has been forgotten since. */
        use_overflow(&request);
        find_in_overflow(&request, false);
    }
    for (size_t i = 0; i < policy->count; i++) {
        struct place *place = &request.places[i];
        if (place->is_present) {
            ratelimit_slot_refund(slot_of(&request, place), request.now, decision->charge - 1,
                                  cost);
        }
    }
    unlock_groups(&request);
}
