/*
 * One slot and one group of the table of rate limits: the numbers that a slot tells are exact to the
 * nanosecond; and which key gets which slot.
 */
#include "ratelimit_help.h"

/* --- the numbers of a slot -------------------------------------------------------------------- */

static struct ratelimit_rule rule_of(enum ratelimit_strategy strategy, uint64_t window,
                                     uint32_t limit)
{
    return (struct ratelimit_rule){
        .tag = 7, .hash = 9, .window = window, .limit = limit, .strategy = strategy};
}

static struct ratelimit_view look(const struct ratelimit_slot *slot,
                                  const struct ratelimit_rule *rule, uint64_t now, uint32_t cost)
{
    struct ratelimit_slot copy = *slot;
    ratelimit_slot_advance(&copy, now);
    return ratelimit_slot_test(&copy, rule, now, cost);
}

/* How many more of one request each go through at once. */
static uint64_t count_more(const struct ratelimit_slot *slot, const struct ratelimit_rule *rule,
                           uint64_t now)
{
    struct ratelimit_slot copy = *slot;
    uint64_t count = 0;
    ratelimit_slot_advance(&copy, now);
    while (ratelimit_slot_test(&copy, rule, now, 1).allowed) {
        ratelimit_slot_charge(&copy, 1);
        count++;
    }
    return count;
}

static void check_view(struct ratelimit_slot *slot, const struct ratelimit_rule *rule, uint64_t now,
                       uint32_t cost)
{
    struct ratelimit_view view = look(slot, rule, now, cost);
    /* gcra forgets the fraction of a nanosecond that is left at last. */
    uint64_t early = rule->strategy == RATELIMIT_GCRA ? 2 : 1;
    ratelimit_slot_advance(slot, now);
    if (!view.allowed && cost > rule->limit) {
        assert_true(view.retry_nanoseconds > 0);
    } else if (!view.allowed) {
        assert_true(view.retry_nanoseconds > 0);
        assert_true(look(slot, rule, now + view.retry_nanoseconds, cost).allowed);
        assert_true(view.retry_nanoseconds < early ||
                    !look(slot, rule, now + view.retry_nanoseconds - early, cost).allowed);
    } else {
        assert_int_equal(view.retry_nanoseconds, 0);
        ratelimit_slot_charge(slot, cost);
    }
    assert_int_equal(view.remaining, count_more(slot, rule, now));
    if (ratelimit_slot_is_idle(slot, now)) {
        assert_true(view.reset_nanoseconds <= rule->window);
    } else {
        assert_true(ratelimit_slot_is_idle(slot, now + view.reset_nanoseconds));
        assert_true(view.reset_nanoseconds < early ||
                    !ratelimit_slot_is_idle(slot, now + view.reset_nanoseconds - early));
    }
}

static void what_is_told_is_true_to_the_nanosecond(void **state)
{
    (void)state;
    static const uint64_t windows[] = {59, 60, 590, 1000};
    uint32_t random = 4711;
    for (size_t s = 0; s < 3; s++) {
        for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
            for (uint32_t limit = 1; limit < 9; limit++) {
                struct ratelimit_rule rule = rule_of(strategies[s], windows[w], limit);
                struct ratelimit_slot slot;
                uint64_t now = w % 2 == 0 ? 1 : 1000000007;
                ratelimit_slot_prepare(&slot, &rule);
                for (int i = 0; i < 300; i++) {
                    random = random * 1664525 + 1013904223;
                    now += (random >> 8) % (windows[w] / 4);
                    check_view(&slot, &rule, now, 1 + (random >> 24) % (limit + 1));
                }
            }
        }
    }
}

static void an_empty_slot_and_none_are_the_same(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        struct ratelimit_rule rule = rule_of(strategies[s], 1000, 5);
        struct ratelimit_slot slot;
        ratelimit_slot_prepare(&slot, &rule);
        assert_int_equal(slot.window, 1000);
        assert_int_equal(slot.limit, 5);
        assert_int_equal(slot.strategy, strategies[s]);
        assert_int_equal(slot.hash, 9);
        ratelimit_slot_advance(&slot, 12345);
        for (uint32_t cost = 1; cost < 8; cost++) {
            struct ratelimit_view of_slot = ratelimit_slot_test(&slot, &rule, 12345, cost);
            struct ratelimit_view of_none = ratelimit_slot_test(NULL, &rule, 12345, cost);
            assert_int_equal(of_slot.allowed, cost <= 5);
            assert_int_equal(of_none.allowed, of_slot.allowed);
            assert_int_equal(of_none.remaining, of_slot.remaining);
            assert_int_equal(of_none.reset_nanoseconds, of_slot.reset_nanoseconds);
            assert_int_equal(of_none.retry_nanoseconds, of_slot.retry_nanoseconds);
            assert_int_equal(of_slot.remaining, cost <= 5 ? 5 - cost : 5);
        }
        assert_true(ratelimit_slot_is_idle(&slot, 12345));
        ratelimit_slot_charge(&slot, 1);
        assert_false(ratelimit_slot_is_idle(&slot, 12345));
    }
}

static void what_is_given_back_was_never_taken(void **state)
{
    (void)state;
    uint32_t random = 99;
    for (size_t s = 0; s < 3; s++) {
        for (uint32_t limit = 3; limit < 12; limit++) {
            struct ratelimit_rule rule = rule_of(strategies[s], 1000, limit);
            struct ratelimit_slot slot;
            uint64_t now = 5000;
            ratelimit_slot_prepare(&slot, &rule);
            ratelimit_slot_advance(&slot, now);
            ratelimit_slot_charge(&slot, 1);
            for (int i = 0; i < 100; i++) {
                random = random * 1664525 + 1013904223;
                uint32_t cost = 1 + (random >> 20) % (limit - 1);
                struct ratelimit_slot before = slot;
                if (ratelimit_slot_test(&slot, &rule, now, cost).allowed) {
                    ratelimit_slot_charge(&slot, cost);
                    ratelimit_slot_refund(&slot, now, now, cost);
                }
                assert_memory_equal(&slot, &before, sizeof slot);
            }
        }
    }
}

static void no_more_is_given_back_than_counts(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        struct ratelimit_rule rule = rule_of(strategies[s], 590, 5);
        struct ratelimit_slot slot;
        ratelimit_slot_prepare(&slot, &rule);
        ratelimit_slot_advance(&slot, 5900);
        ratelimit_slot_charge(&slot, 2);
        ratelimit_slot_refund(&slot, 5900, 5900, 4);
        assert_true(ratelimit_slot_is_idle(&slot, 5900));
        assert_int_equal(count_more(&slot, &rule, 5900), 5);
    }
}

static void what_was_taken_in_another_window_is_not_given_back(void **state)
{
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        struct ratelimit_rule rule = rule_of(strategies[s], 590, 5);
        struct ratelimit_slot slot;
        ratelimit_slot_prepare(&slot, &rule);
        ratelimit_slot_advance(&slot, 5900);
        ratelimit_slot_charge(&slot, 2);
        ratelimit_slot_refund(&slot, 5900, 5899, 2); /* the one before */
        ratelimit_slot_refund(&slot, 5900, 5900 - 600, 2);
        assert_int_equal(count_more(&slot, &rule, 5900), 3);
    }
    struct ratelimit_rule rule = rule_of(RATELIMIT_MOVING_WINDOW, 590, 5);
    struct ratelimit_slot slot;
    ratelimit_slot_prepare(&slot, &rule);
    ratelimit_slot_advance(&slot, 5900);
    ratelimit_slot_charge(&slot, 2);
    ratelimit_slot_refund(&slot, 5900, 6500, 2); /* one that is still to come */
    assert_int_equal(count_more(&slot, &rule, 5900), 3);
    ratelimit_slot_advance(&slot, 5900 + 589);
    ratelimit_slot_refund(&slot, 5900 + 589, 5900, 2); /* the oldest that counts */
    assert_int_equal(count_more(&slot, &rule, 5900 + 589), 5);
}

static void a_repaired_slot_counts_what_its_buckets_hold(void **state)
{
    (void)state;
    struct ratelimit_rule rule = rule_of(RATELIMIT_MOVING_WINDOW, 590, 5);
    struct ratelimit_slot slot;
    ratelimit_slot_prepare(&slot, &rule);
    slot.buckets[0] = 2;
    slot.buckets[RATELIMIT_BUCKETS - 1] = 3;
    slot.total = 77;
    ratelimit_slot_repair(&slot);
    assert_int_equal(slot.total, 5);
    slot.buckets[1] = UINT32_MAX;
    ratelimit_slot_repair(&slot);
    assert_int_equal(slot.total, UINT32_MAX);
    slot.strategy = RATELIMIT_FIXED_WINDOW;
    slot.total = 4;
    ratelimit_slot_repair(&slot);
    assert_int_equal(slot.total, 4);
}

/* --- which key has a slot -------------------------------------------------------------------- */

static struct ratelimit_group group;

static void occupy(int way, uint64_t tag, uint64_t now)
{
    struct ratelimit_rule rule = rule_of(RATELIMIT_FIXED_WINDOW, 1000, 5);
    rule.tag = tag;
    ratelimit_group_assign(&group, way, &rule, NULL);
    ratelimit_slot_advance(&group.slots[way], now);
    ratelimit_slot_charge(&group.slots[way], 1);
}

static void a_slot_is_found_by_both_halves_of_its_hash(void **state)
{
    (void)state;
    struct ratelimit_rule rule = rule_of(RATELIMIT_FIXED_WINDOW, 1000, 5);
    memset(&group, 0, sizeof group);
    assert_int_equal(ratelimit_group_find(&group, &rule), -1);
    /* The bytes behind the tags are not taken for tags. */
    group.slots[0].hash = rule.tag;
    rule.hash = 0;
    assert_int_equal(ratelimit_group_find(&group, &rule), -1);
    for (int way = 0; way < RATELIMIT_WAYS; way++) {
        memset(&group, 0, sizeof group);
        rule = rule_of(RATELIMIT_FIXED_WINDOW, 1000, 5);
        occupy(way, rule.tag, 10);
        assert_int_equal(ratelimit_group_find(&group, &rule), way);
        rule.hash++;
        assert_int_equal(ratelimit_group_find(&group, &rule), -1);
        rule.hash--;
        rule.tag++;
        assert_int_equal(ratelimit_group_find(&group, &rule), -1);
    }
}

static void a_slot_is_given_away_only_when_nothing_in_it_counts(void **state)
{
    (void)state;
    memset(&group, 0, sizeof group);
    for (int way = 0; way < RATELIMIT_WAYS; way++) {
        assert_int_equal(ratelimit_group_choose(&group, 10 + (uint64_t)way, 0), way);
        occupy(way, 100 + (uint64_t)way, 10 + (uint64_t)way);
    }
    assert_int_equal(ratelimit_group_choose(&group, 1009, 0), -1);
    assert_int_equal(ratelimit_group_choose(&group, 1010, 0), 0);
    assert_int_equal(ratelimit_group_choose(&group, 1010, 1), -1);
    assert_int_equal(ratelimit_group_choose(&group, 1011, 1), 1);
    assert_int_equal(ratelimit_group_choose(&group, 5000, 0x1fff), RATELIMIT_WAYS - 1);
    assert_int_equal(ratelimit_group_choose(&group, 5000, 0x3fff), -1);
}

static void a_slot_begins_with_what_its_share_has_counted(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        struct ratelimit_rule rule = rule_of(strategies[s], 590, 5);
        struct ratelimit_slot share;
        memset(&group, 0, sizeof group);
        ratelimit_slot_prepare(&share, &rule);
        ratelimit_slot_advance(&share, 5900);
        ratelimit_slot_charge(&share, 2);
        rule.hash = 10;
        ratelimit_group_assign(&group, 3, &rule, &share);
        assert_int_equal(group.tags[3], 7);
        assert_int_equal(group.slots[3].hash, 10);
        assert_int_equal(count_more(&group.slots[3], &rule, 5900), 3);
        ratelimit_group_assign(&group, 3, &rule, NULL);
        assert_int_equal(count_more(&group.slots[3], &rule, 5900), 5);
    }
    /* Also when it is forgotten again. */
    struct ratelimit_rule rule = rule_of(RATELIMIT_MOVING_WINDOW, 590, 5);
    struct ratelimit_slot share;
    ratelimit_slot_prepare(&share, &rule);
    ratelimit_slot_advance(&share, 5900);
    ratelimit_slot_charge(&share, 2);
    ratelimit_slot_advance(&share, 6000);
    ratelimit_slot_charge(&share, 1);
    ratelimit_group_assign(&group, 3, &rule, &share);
    assert_int_equal(count_more(&group.slots[3], &rule, 6499), 2);
    assert_int_equal(count_more(&group.slots[3], &rule, 6500), 4);
}

/* --- the whole table ------------------------------------------------------------------------- */

static void the_region_has_its_documented_name(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_MOVING_WINDOW);
    assert_non_null(segment_find(fixture.segment, "ratelimit"));
    tear_down(&fixture);
}

static void where_not_even_a_share_is_free_nobody_passes(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_FIXED_WINDOW);
    struct ratelimit_region *region = segment_find(fixture.segment, ratelimit_segment_region.name);
    for (size_t i = 0; i < sizeof region->groups / sizeof region->groups[0]; i++) {
        for (int way = 0; way < RATELIMIT_WAYS; way++) {
            struct ratelimit_rule rule = rule_of(RATELIMIT_FIXED_WINDOW, 60 * MINUTE, 1000);
            ratelimit_group_assign(&region->groups[i], way, &rule, NULL);
            ratelimit_slot_advance(&region->groups[i].slots[way], simulated_now);
            ratelimit_slot_charge(&region->groups[i].slots[way], 1);
        }
    }
    assert_false(spend(&fixture, "somebody", 1));
    assert_int_equal(fixture.decision.remaining, 0);
    assert_int_equal(fixture.decision.reset_seconds, 1);
    assert_int_equal(fixture.decision.retry_after_seconds, 1);
    simulated_now += 60 * MINUTE;
    assert_true(spend(&fixture, "somebody", 1));
    tear_down(&fixture);
}

static _Atomic uint32_t *turns_begun;

static int take_and_give_back(void *context)
{
    (void)context;
    struct segment *segment = help_open("hammer", &ratelimit_segment_region, 1);
    struct ratelimit_table *table = NULL;
    struct ratelimit_policy policy;
    if (segment == NULL || ratelimit_open(&table, segment, RATELIMIT_FIXED_WINDOW) != STATUS_OK ||
        ratelimit_parse_policy(slice_of("1000000/hour"), &policy) != STATUS_OK) {
        return 1;
    }
    atomic_fetch_add(turns_begun, 1);
    help_await(turns_begun, 4);
    for (int i = 0; i < 40000; i++) {
        struct ratelimit_decision decision;
        ratelimit_check(table, &policy, alone("shared"), 1, &decision);
        ratelimit_refund(table, &policy, alone("shared"), 1, &decision);
    }
    ratelimit_close(table);
    segment_close(segment);
    return 0;
}

static void processes_that_give_back_what_they_took_leave_a_limit_whole(void **state)
{
    (void)state;
    pid_t children[4];
    turns_begun = help_share(sizeof *turns_begun);
    for (int i = 0; i < 4; i++) {
        children[i] = help_fork(take_and_give_back, NULL);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(help_wait(children[i]), 0);
    }
    struct fixture fixture = set_up("1000000/hour", RATELIMIT_FIXED_WINDOW);
    assert_true(spend(&fixture, "shared", 1));
    assert_int_equal(fixture.decision.remaining, 999999);
    tear_down(&fixture);
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_is_true_to_the_nanosecond),
        cmocka_unit_test(an_empty_slot_and_none_are_the_same),
        cmocka_unit_test(what_is_given_back_was_never_taken),
        cmocka_unit_test(no_more_is_given_back_than_counts),
        cmocka_unit_test(what_was_taken_in_another_window_is_not_given_back),
        cmocka_unit_test(a_repaired_slot_counts_what_its_buckets_hold),
        cmocka_unit_test(a_slot_is_found_by_both_halves_of_its_hash),
        cmocka_unit_test(a_slot_is_given_away_only_when_nothing_in_it_counts),
        cmocka_unit_test(a_slot_begins_with_what_its_share_has_counted),
        SIMULATED(the_region_has_its_documented_name),
        SIMULATED(where_not_even_a_share_is_free_nobody_passes),
        REAL(processes_that_give_back_what_they_took_leave_a_limit_whole),
    };
    return cmocka_run_group_tests_name("ratelimit_slot", tests, NULL, NULL);
}
