/*
 * ratelimit: all limits of a policy for a key, tested together and charged together.
 *
 * The groups that the limits fall into are locked in ascending order, those of shares after all
 * others, so processes never wait for each other in a circle. Under the locks each limit gets a
 * place (its slot, a slot it may take, or a share), all places are tested, and only if all agree is
 * any of them written.
 */
#include "ratelimit/ratelimit.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "ratelimit/table.h"

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

const struct segment_region ratelimit_segment_region = {
    .name = "ratelimit",
    .size = sizeof(struct ratelimit_region),
    .schema = 2,
};

struct ratelimit_table {
    struct segment *segment;
    struct ratelimit_region *region;
    struct siphash_key key;
    enum ratelimit_strategy strategy;
};

enum level { LEVEL_OWN, LEVEL_NETWORK, LEVEL_COMMON, LEVEL_COUNT };

/* Where one limit counts. */
struct place {
    struct ratelimit_rule rule;
    uint32_t group;
    int way; /* -1: nowhere, and then it is refused */
    enum level level;
    bool is_present;  /* the slot is the rule's already */
    bool is_repeated; /* the policy has the same limit earlier: it counts once */
    /* A share that counted for this key before it got this slot; NULL when none did. */
    struct ratelimit_slot *origin;
    struct ratelimit_view view;
};

struct request {
    struct ratelimit_table *table;
    const struct ratelimit_policy *policy;
    struct siphash_value key_hash;
    struct siphash_value network_hash;
    struct place places[RATELIMIT_POLICY_MAXIMUM];
    /* ascending, without repetition: own ones, and two of shares */
    uint32_t locked[RATELIMIT_POLICY_MAXIMUM + 2];
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
                                       const struct rate *limit, struct siphash_value who)
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
                          const struct ratelimit_policy *policy, struct ratelimit_key key)
{
    request->table = table;
    request->policy = policy;
    request->locked_count = 0;
    request->key_hash = siphash_compute(&table->key, key.who.data, key.who.length);
    request->network_hash = siphash_compute(&table->key, key.network.data, key.network.length);
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

/* Chooses slots of their own for those that have none; returns how many have to share. */
static size_t choose_free(struct request *request)
{
    size_t missing = 0;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->way < 0 && !place->is_repeated) {
            place->way = ratelimit_group_choose(group_at(request, place->group), request->now,
                                                pinned_ways(request, place->group));
            missing += place->way < 0;
        }
    }
    return missing;
}

/* --- Shares --------------------------------------------------------------------------------- */

/* The share of a limit on each level; `ways` -1 where it has no slot. */
struct shares {
    uint32_t groups[LEVEL_COUNT];
    struct ratelimit_rule rules[RATELIMIT_POLICY_MAXIMUM][LEVEL_COUNT];
    int ways[RATELIMIT_POLICY_MAXIMUM][LEVEL_COUNT];
};

static bool needs_share(const struct place *place)
{
    return !place->is_repeated && !place->is_present;
}

/* Locks the groups of the shares and finds those of all limits without a slot of their own. A
 * network has one common share, so what it counted there is found when the network gets its own; and
 * only networks of neighbouring groups have the same, so one full group bothers no others. */
static void find_shares(struct request *request, struct shares *shares)
{
    uint32_t network =
        (uint32_t)(((request->network_hash.words[0] >> 32) * RATELIMIT_NETWORK_GROUPS) >> 32);
    uint32_t common = network * RATELIMIT_OVERFLOW_GROUPS / RATELIMIT_NETWORK_GROUPS;
    struct siphash_value who[LEVEL_COUNT] = {
        [LEVEL_NETWORK] = request->network_hash, [LEVEL_COMMON] = {{common, 0}}};
    shares->groups[LEVEL_NETWORK] = RATELIMIT_GROUPS + network;
    shares->groups[LEVEL_COMMON] = RATELIMIT_GROUPS + RATELIMIT_NETWORK_GROUPS + common;
    lock_groups(request, &shares->groups[LEVEL_NETWORK], 2);
    /* Again: the shares may have been used while this request waited for them. */
    request->now = clock_now();
    for (size_t i = 0; i < request->policy->count; i++) {
        for (int level = LEVEL_NETWORK; level < LEVEL_COUNT && needs_share(&request->places[i]);
             level++) {
            struct ratelimit_rule *rule = &shares->rules[i][level];
            *rule = make_rule(request->table, &request->policy->limits[i], who[level]);
            shares->ways[i][level] =
                ratelimit_group_find(group_at(request, shares->groups[level]), rule);
        }
    }
}

/* The slot of a share if anything in it counts, else NULL. */
static struct ratelimit_slot *active_share(struct request *request, const struct shares *shares,
                                           size_t limit, enum level level)
{
    int way = shares->ways[limit][level];
    struct ratelimit_slot *slot =
        way < 0 ? NULL : &group_at(request, shares->groups[level])->slots[way];
    return slot == NULL || ratelimit_slot_is_idle(slot, request->now) ? NULL : slot;
}

/* A slot for a new share: none that a share of this request has. */
static int choose_share(struct request *request, const struct shares *shares, enum level level)
{
    uint32_t pinned = pinned_ways(request, shares->groups[level]);
    for (size_t i = 0; i < request->policy->count; i++) {
        if (needs_share(&request->places[i]) && shares->ways[i][level] >= 0) {
            pinned |= 1U << shares->ways[i][level];
        }
    }
    return ratelimit_group_choose(group_at(request, shares->groups[level]), request->now, pinned);
}

/* The first level that has a slot for the limit, or room for one. */
static void use_share(struct request *request, const struct shares *shares, size_t limit)
{
    struct place *place = &request->places[limit];
    for (int level = LEVEL_NETWORK; level < LEVEL_COUNT && place->way < 0; level++) {
        bool has_slot = shares->ways[limit][level] >= 0;
        int way = has_slot ? shares->ways[limit][level]
                           : choose_share(request, shares, (enum level)level);
        if (way >= 0) {
            place->rule = shares->rules[limit][level];
            place->group = shares->groups[level];
            place->way = way;
            place->level = (enum level)level;
            place->is_present = has_slot;
            place->origin = has_slot || level == LEVEL_COMMON
                                ? NULL
                                : active_share(request, shares, limit, LEVEL_COMMON);
        }
    }
}

/* What a key without a slot has to do with shares: it uses one, or it has used one and takes over
 * what that has counted. */
static void settle_shares(struct request *request)
{
    struct shares shares;
    find_shares(request, &shares);
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (!needs_share(place)) {
            continue;
        }
        if (place->way < 0) {
            use_share(request, &shares, i);
        } else {
            enum level nearest = shares.ways[i][LEVEL_NETWORK] >= 0 ? LEVEL_NETWORK : LEVEL_COMMON;
            place->origin = active_share(request, &shares, i, nearest);
        }
    }
}

/* Said before a share is charged, so that no death in between hides the charge. */
static void announce_share(struct request *request, const struct place *place)
{
    _Atomic uint64_t *shared_until = &request->table->region->shared_until;
    uint64_t until = request->now + 2 * place->rule.window;
    uint64_t seen = atomic_load(shared_until);
    while (seen < until && !atomic_compare_exchange_weak(shared_until, &seen, until)) {
    }
}

/* --- All limits together -------------------------------------------------------------------- */

static bool test_all(struct request *request, uint32_t cost)
{
    bool allowed = true;
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        if (place->is_repeated) {
            continue;
        }
        if (place->way < 0) {
            /* More limits than the common shares have slots for: rather strict than open. */
            place->view = (struct ratelimit_view){.reset_nanoseconds = NANOSECONDS_PER_SECOND,
                                                  .retry_nanoseconds = NANOSECONDS_PER_SECOND};
            allowed = false;
            continue;
        }
        struct ratelimit_slot *slot = place->is_present ? slot_of(request, place) : place->origin;
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
        if (place->level != LEVEL_OWN) {
            announce_share(request, place);
        }
        struct ratelimit_slot *slot = slot_of(request, place);
        if (!place->is_present) {
            ratelimit_group_assign(group_at(request, place->group), place->way, &place->rule,
                                   place->origin);
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
    for (size_t i = 0; i < request->policy->count; i++) {
        decision->shares |= (uint16_t)((unsigned)request->places[i].level << (2 * i));
    }
}

void ratelimit_check(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                     struct ratelimit_key key, uint32_t cost, struct ratelimit_decision *decision)
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
    if (find_present(&request) > 0 &&
        (choose_free(&request) > 0 || atomic_load(&table->region->shared_until) > request.now)) {
        settle_shares(&request);
    }
    bool allowed = test_all(&request, cost);
    if (allowed) {
        charge_all(&request, cost);
    }
    unlock_groups(&request);
    describe_decision(&request, allowed, decision);
}

/* What was charged to a share and has no slot of its own since: there it would be counted too. */
static void find_charged_shares(struct request *request, uint16_t levels)
{
    struct shares shares;
    find_shares(request, &shares);
    for (size_t i = 0; i < request->policy->count; i++) {
        struct place *place = &request->places[i];
        unsigned level = (unsigned)levels >> (2 * i) & 3U;
        if (needs_share(place) && level != LEVEL_OWN) {
            place->group = shares.groups[level];
            place->way = shares.ways[i][level];
            place->is_present = place->way >= 0;
        }
    }
}

void ratelimit_refund(struct ratelimit_table *table, const struct ratelimit_policy *policy,
                      struct ratelimit_key key, uint32_t cost,
                      const struct ratelimit_decision *decision)
{
    if (decision->charge == 0 || policy->count == 0) {
        return;
    }
    struct request request;
    begin_request(&request, table, policy, key);
    lock_own_groups(&request);
    request.now = clock_now();
    if (find_present(&request) > 0 && decision->shares != 0) {
        find_charged_shares(&request, decision->shares);
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
