/*
 * ratelimit/slot: the three strategies on one slot.
 *
 * moving-window: 60 buckets of 1/59 of the window, numbered from boot. A bucket counts until all
 * of it is older than the window, so whatever window of that length one looks at, it lies within
 * the buckets that were counted when its last request was admitted: it holds at most `limit`.
 * fixed-window: starts at the first hit; at most 2 * limit in any window.
 * gcra: the theoretical arrival time moves by window/limit per request and may be one window
 * ahead; at most 2 * limit in any window, smoothed. Kept exactly, as nanoseconds and a fraction.
 */
#include <string.h>

#include "ratelimit/table.h"

__extension__ typedef unsigned __int128 uint128;

static uint64_t bucket_width(uint64_t window)
{
    return (window + RATELIMIT_BUCKETS - 2) / (RATELIMIT_BUCKETS - 1);
}

void ratelimit_slot_prepare(struct ratelimit_slot *slot, const struct ratelimit_rule *rule)
{
    memset(slot, 0, sizeof *slot);
    slot->window = rule->window;
    slot->limit = rule->limit;
    slot->strategy = (uint32_t)rule->strategy;
    slot->hash = rule->hash;
}

static void advance_buckets(struct ratelimit_slot *slot, uint64_t now)
{
    uint64_t newest = now / bucket_width(slot->window);
    if (newest <= slot->position && slot->position - newest < RATELIMIT_BUCKETS) {
        return;
    }
    /* Also when the position lies further ahead than clocks of one boot can be apart. */
    if (newest < slot->position || newest - slot->position >= RATELIMIT_BUCKETS) {
        memset(slot->buckets, 0, sizeof slot->buckets);
        slot->total = 0;
    } else {
        for (uint64_t i = slot->position + 1; i <= newest; i++) {
            uint32_t *bucket = &slot->buckets[i % RATELIMIT_BUCKETS];
            slot->total -= *bucket;
            *bucket = 0;
        }
    }
    /* Last: killed before, the next one clears the same buckets again, which is harmless. */
    atomic_signal_fence(memory_order_seq_cst);
    slot->position = newest;
}

void ratelimit_slot_advance(struct ratelimit_slot *slot, uint64_t now)
{
    switch ((enum ratelimit_strategy)slot->strategy) {
    case RATELIMIT_MOVING_WINDOW:
        advance_buckets(slot, now);
        break;
    case RATELIMIT_FIXED_WINDOW:
        /* Without hits the window has not begun. */
        if (slot->total == 0 || now >= slot->position + slot->window || now < slot->position) {
            slot->total = 0;
            atomic_signal_fence(memory_order_seq_cst);
            slot->position = now;
        }
        break;
    case RATELIMIT_GCRA:
        if (slot->position <= now || slot->position > now + 2 * slot->window) {
            slot->position = now;
            slot->total = 0;
        }
        break;
    }
}

/* Nanoseconds until bucket `number` has left the window. */
static uint64_t until_bucket_leaves(const struct ratelimit_slot *slot, uint64_t number,
                                    uint64_t now)
{
    uint64_t leaves = (number + RATELIMIT_BUCKETS) * bucket_width(slot->window);
    return leaves > now ? leaves - now : 0;
}

static struct ratelimit_view test_buckets(const struct ratelimit_slot *slot, uint64_t now,
                                          uint32_t cost)
{
    struct ratelimit_view view = {.allowed = (uint64_t)slot->total + cost <= slot->limit};
    uint64_t used = slot->total + (view.allowed ? cost : 0);
    view.remaining = slot->limit > used ? slot->limit - used : 0;
    if (view.allowed) {
        view.reset_nanoseconds = until_bucket_leaves(slot, slot->position, now);
        return view;
    }
    uint64_t freed = 0;
    for (uint64_t age = RATELIMIT_BUCKETS; age-- > 0;) {
        if (age > slot->position) {
            continue; /* before boot */
        }
        uint64_t number = slot->position - age;
        uint32_t count = slot->buckets[number % RATELIMIT_BUCKETS];
        if (count == 0) {
            continue;
        }
        freed += count;
        uint64_t leaves = until_bucket_leaves(slot, number, now);
        if (view.retry_nanoseconds == 0 && slot->total - freed + cost <= slot->limit) {
            view.retry_nanoseconds = leaves;
        }
        view.reset_nanoseconds = leaves;
    }
    return view;
}

static struct ratelimit_view test_fixed(const struct ratelimit_slot *slot, uint64_t now,
                                        uint32_t cost)
{
    struct ratelimit_view view = {.allowed = (uint64_t)slot->total + cost <= slot->limit};
    uint64_t used = slot->total + (view.allowed ? cost : 0);
    view.remaining = slot->limit > used ? slot->limit - used : 0;
    view.reset_nanoseconds = slot->position + slot->window - now;
    view.retry_nanoseconds = view.allowed ? 0 : view.reset_nanoseconds;
    return view;
}

/* Adds cost * window / limit to a time kept as nanoseconds and 1/limit nanoseconds. */
static void add_requests(uint64_t *nanoseconds, uint64_t *fraction, uint64_t window, uint32_t limit,
                         uint32_t cost)
{
    uint128 sum = (uint128)window * cost + *fraction;
    *nanoseconds += (uint64_t)(sum / limit);
    *fraction = (uint64_t)(sum % limit);
}

static struct ratelimit_view test_gcra(const struct ratelimit_slot *slot, uint64_t now,
                                       uint32_t cost)
{
    uint64_t arrival = slot->position;
    uint64_t fraction = slot->total;
    const uint64_t latest = now + slot->window;
    uint64_t next = arrival;
    uint64_t next_fraction = fraction;
    struct ratelimit_view view = {0};
    if (cost <= slot->limit) {
        add_requests(&next, &next_fraction, slot->window, slot->limit, cost);
        view.allowed = next < latest || (next == latest && next_fraction == 0);
    }
    if (view.allowed) {
        arrival = next;
        fraction = next_fraction;
    } else if (cost <= slot->limit) {
        view.retry_nanoseconds = next - latest + (next_fraction > 0);
    }
    view.reset_nanoseconds = arrival - now + (fraction > 0);
    if (arrival < latest) {
        /* (latest - arrival - fraction/limit) / (window/limit) */
        uint128 room = (uint128)(latest - arrival) * slot->limit - fraction;
        view.remaining = (uint64_t)(room / slot->window);
    }
    return view;
}

struct ratelimit_view ratelimit_slot_test(const struct ratelimit_slot *slot,
                                          const struct ratelimit_rule *rule, uint64_t now,
                                          uint32_t cost)
{
    struct ratelimit_slot empty;
    if (slot == NULL) {
        ratelimit_slot_prepare(&empty, rule);
        ratelimit_slot_advance(&empty, now);
        slot = &empty;
    }
    struct ratelimit_view view = {0};
    switch (rule->strategy) {
    case RATELIMIT_MOVING_WINDOW:
        view = test_buckets(slot, now, cost);
        break;
    case RATELIMIT_FIXED_WINDOW:
        view = test_fixed(slot, now, cost);
        break;
    case RATELIMIT_GCRA:
        view = test_gcra(slot, now, cost);
        break;
    }
    if (!view.allowed && view.retry_nanoseconds == 0) {
        view.retry_nanoseconds = rule->window; /* costs more than the whole limit */
    }
    return view;
}

void ratelimit_slot_charge(struct ratelimit_slot *slot, uint32_t cost)
{
    if (slot->strategy == RATELIMIT_GCRA) {
        uint64_t arrival = slot->position;
        uint64_t fraction = slot->total;
        add_requests(&arrival, &fraction, slot->window, slot->limit, cost);
        slot->position = arrival;
        slot->total = (uint32_t)fraction;
        return;
    }
    if (slot->strategy == RATELIMIT_MOVING_WINDOW) {
        slot->buckets[slot->position % RATELIMIT_BUCKETS] += cost;
        /* The bucket first: repair adds up buckets. */
        atomic_signal_fence(memory_order_seq_cst);
    }
    slot->total += cost;
}

void ratelimit_slot_refund(struct ratelimit_slot *slot, uint64_t now, uint64_t charged_at,
                           uint32_t cost)
{
    if (slot->strategy == RATELIMIT_MOVING_WINDOW) {
        uint64_t number = charged_at / bucket_width(slot->window);
        if (number > slot->position || slot->position - number >= RATELIMIT_BUCKETS) {
            return;
        }
        uint32_t *bucket = &slot->buckets[number % RATELIMIT_BUCKETS];
        uint32_t back = cost < *bucket ? cost : *bucket;
        /* The total first: killed in between, repair finds the bucket still charged. */
        slot->total -= back;
        atomic_signal_fence(memory_order_seq_cst);
        *bucket -= back;
    } else if (slot->strategy == RATELIMIT_FIXED_WINDOW) {
        if (charged_at >= slot->position) {
            slot->total -= cost < slot->total ? cost : slot->total;
        }
    } else {
        uint64_t amount = 0;
        uint64_t fraction = 0;
        add_requests(&amount, &fraction, slot->window, slot->limit, cost);
        amount += fraction > 0 && slot->total < fraction; /* borrow */
        uint64_t back =
            slot->total < fraction ? slot->total + slot->limit - fraction : slot->total - fraction;
        if (slot->position < now + amount) {
            slot->position = now;
            slot->total = 0;
        } else {
            slot->position -= amount;
            slot->total = (uint32_t)back;
        }
    }
}

bool ratelimit_slot_is_idle(const struct ratelimit_slot *slot, uint64_t now)
{
    struct ratelimit_slot copy = *slot;
    ratelimit_slot_advance(&copy, now);
    return copy.strategy == RATELIMIT_GCRA ? copy.position <= now && copy.total == 0
                                           : copy.total == 0;
}

void ratelimit_slot_copy(struct ratelimit_slot *slot, const struct ratelimit_slot *from)
{
    slot->position = from->position;
    slot->total = from->total;
    memcpy(slot->buckets, from->buckets, sizeof slot->buckets);
}

void ratelimit_slot_repair(struct ratelimit_slot *slot)
{
    if (slot->strategy != RATELIMIT_MOVING_WINDOW) {
        return;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < RATELIMIT_BUCKETS; i++) {
        sum += slot->buckets[i];
    }
    slot->total = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}
