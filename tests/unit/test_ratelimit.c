/*
 * Rate limits of one key: the grammar, what each strategy promises, refunds, cost.
 */
#include "ratelimit_help.h"

#include "base/memory.h"

/* --- grammar ------------------------------------------------------------------------------- */

static void grammar_accepts_what_limits_accepts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        uint32_t first;
        uint64_t window;
        const char *described;
    } cases[] = {
        {"10/minute", 1, 10, 60, "10 per 1 minute"},
        {"1 per second", 1, 1, 1, "1 per 1 second"},
        {"5 per 2 seconds", 1, 5, 2, "5 per 2 second"},
        {"100 PER HOUR", 1, 100, 3600, "100 per 1 hour"},
        {" 7 / 3 Days ", 1, 7, 259200, "7 per 3 day"},
        {"10/month", 1, 10, 2592000, "10 per 1 month"},
        {"1000000000/year", 1, 1000000000, 31104000, "1000000000 per 1 year"},
        {"10/minute;100/hour", 2, 10, 60, "10 per 1 minute"},
        {"10/minute, 100/hour | 1000 per day", 3, 10, 60, "10 per 1 minute"},
        {"1/second;2/second;3/second;4/second;5/second;6/second;7/second;8/second", 8, 1, 1,
         "1 per 1 second"},
        {"10per minute", 1, 10, 60, "10 per 1 minute"},
        {"1 per 100 years", 1, 1, UINT64_C(3110400000), "1 per 100 year"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ratelimit_policy policy;
        if (ratelimit_parse_policy(slice_of(cases[i].text), &policy) != STATUS_OK) {
            fail_msg("refused: %s", cases[i].text);
        }
        assert_int_equal(policy.count, cases[i].count);
        assert_int_equal(policy.limits[0].count, cases[i].first);
        assert_int_equal(policy.limits[0].window_seconds, cases[i].window);
        struct buffer out;
        buffer_init(&out, 100);
        rate_describe(&policy.limits[0], &out);
        assert_string_equal(buffer_text(&out), cases[i].described);
        buffer_release(&out);
    }
}

static void grammar_refuses_everything_else(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        ";",
        "10",
        "10/",
        "/minute",
        "minute",
        "0/minute",
        "-1/minute",
        "+1/minute",
        "1.5/minute",
        "10/fortnight",
        "10/minutess",
        "10/minute;",
        ";10/minute",
        "10/minute;;5/hour",
        "10/minute 5/hour",
        "10 minute",
        "10//minute",
        "10/0 minutes",
        "10 per 101 years",
        "1000000001/minute",
        "18446744073709551617/minute",
        "1/4294967297 seconds",
        "ten per minute",
        "10/minute\n",
        "1/s",
        "1/second;2/second;3/second;4/second;5/second;6/second;7/second;8/second;9/second",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ratelimit_policy policy;
        bool is_trimmed = strcmp(cases[i], "10/minute\n") == 0; /* white space at the end */
        enum status status = ratelimit_parse_policy(slice_of(cases[i]), &policy);
        if (status != (is_trimmed ? STATUS_OK : STATUS_INVALID)) {
            fail_msg("%s: %s", cases[i], status_text(status));
        }
    }
    struct ratelimit_policy policy;
    assert_int_equal(ratelimit_parse_policy((struct slice){"10/minute\0x", 11}, &policy),
                     STATUS_INVALID);
    assert_int_equal(ratelimit_parse_policy((struct slice){NULL, 0}, &policy), STATUS_INVALID);
}

static void strategies_have_names(void **state)
{
    (void)state;
    enum ratelimit_strategy strategy;
    assert_int_equal(ratelimit_parse_strategy("moving-window", &strategy), STATUS_OK);
    assert_int_equal(strategy, RATELIMIT_MOVING_WINDOW);
    assert_int_equal(ratelimit_parse_strategy("Fixed-Window", &strategy), STATUS_OK);
    assert_int_equal(strategy, RATELIMIT_FIXED_WINDOW);
    assert_int_equal(ratelimit_parse_strategy("gcra", &strategy), STATUS_OK);
    assert_int_equal(strategy, RATELIMIT_GCRA);
    assert_int_equal(ratelimit_parse_strategy("", &strategy), STATUS_INVALID);
    assert_int_equal(ratelimit_parse_strategy("leaky-bucket", &strategy), STATUS_INVALID);
}

/* --- one process --------------------------------------------------------------------------- */

static void limit_admits_exactly_its_count_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        for (unsigned n = 1; n <= 10; n++) {
            assert_true(spend(&fixture, "a", 1));
            assert_int_equal(fixture.decision.remaining, 10 - n);
            assert_ptr_equal(fixture.decision.limit, &fixture.policy.limits[0]);
            assert_true(fixture.decision.reset_seconds >= 1);
            assert_true(fixture.decision.reset_seconds <= 62);
            assert_int_equal(fixture.decision.retry_after_seconds, 0);
            assert_true(fixture.decision.charge != 0);
        }
        assert_false(spend(&fixture, "a", 1));
        assert_int_equal(fixture.decision.remaining, 0);
        assert_true(fixture.decision.retry_after_seconds >= 1);
        assert_true(fixture.decision.retry_after_seconds <= fixture.decision.reset_seconds);
        assert_int_equal(fixture.decision.charge, 0);
        tear_down(&fixture);
    }
}

static void waiting_as_told_helps_and_waiting_less_does_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("7/minute", strategies[i]);
        for (int round = 0; round < 200; round++) {
            simulated_now += random_below(20 * SECOND);
            uint32_t cost = 1 + (uint32_t)random_below(4);
            if (spend(&fixture, "a", cost)) {
                continue;
            }
            uint64_t wait = fixture.decision.retry_after_seconds;
            if (wait > 1) {
                simulated_now += (wait - 1) * SECOND;
                assert_false(spend(&fixture, "a", cost));
                simulated_now += SECOND;
            } else {
                simulated_now += SECOND;
            }
            assert_true(spend(&fixture, "a", cost));
        }
        tear_down(&fixture);
    }
}

static void after_reset_the_limit_is_whole_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        for (int round = 0; round < 50; round++) {
            for (uint64_t n = 1 + random_below(12); n > 0; n--) {
                spend(&fixture, "a", 1);
                simulated_now += random_below(SECOND);
            }
            spend(&fixture, "a", 1);
            simulated_now += fixture.decision.reset_seconds * SECOND;
            assert_int_equal(count_admitted(&fixture, "a", 20), 10);
            simulated_now += 2 * MINUTE;
        }
        tear_down(&fixture);
    }
}

static void keys_limits_and_strategies_do_not_share(void **state)
{
    (void)state;
    struct fixture fixture = set_up("3/minute", RATELIMIT_MOVING_WINDOW);
    struct fixture other_limit = set_up("3/hour", RATELIMIT_MOVING_WINDOW);
    struct fixture other_strategy = set_up("3/minute", RATELIMIT_GCRA);
    assert_int_equal(count_admitted(&fixture, "a", 9), 3);
    assert_int_equal(count_admitted(&fixture, "b", 9), 3);
    assert_int_equal(count_admitted(&fixture, "", 9), 3);
    assert_int_equal(count_admitted(&other_limit, "a", 9), 3);
    assert_int_equal(count_admitted(&other_strategy, "a", 9), 3);
    struct fixture same = set_up("3/minute", RATELIMIT_MOVING_WINDOW);
    assert_int_equal(count_admitted(&same, "a", 9), 0);
    tear_down(&same);
    tear_down(&other_strategy);
    tear_down(&other_limit);
    tear_down(&fixture);
}

static void all_limits_are_charged_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("2/second;100/minute;5/hour", strategies[i]);
        assert_int_equal(count_admitted(&fixture, "a", 50), 2);
        assert_ptr_equal(fixture.decision.limit, &fixture.policy.limits[0]);
        simulated_now += 3 * SECOND;
        assert_int_equal(count_admitted(&fixture, "a", 50), 2);
        simulated_now += 3 * SECOND;
        /* 96 refusals have charged nothing to the hour: one is left of five. */
        assert_int_equal(count_admitted(&fixture, "a", 50), 1);
        assert_ptr_equal(fixture.decision.limit, &fixture.policy.limits[2]);
        assert_true(fixture.decision.retry_after_seconds > 600);
        tear_down(&fixture);
    }
}

static void tightest_limit_is_told(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute;4/hour;4/day", RATELIMIT_MOVING_WINDOW);
    assert_true(spend(&fixture, "a", 1));
    assert_ptr_equal(fixture.decision.limit, &fixture.policy.limits[2]);
    assert_int_equal(fixture.decision.remaining, 3);
    assert_true(fixture.decision.reset_seconds > 80000);
    tear_down(&fixture);
}

static void limit_that_is_written_twice_counts_once(void **state)
{
    (void)state;
    struct fixture fixture = set_up("4/minute;4/minute;4 per 60 seconds", RATELIMIT_MOVING_WINDOW);
    assert_int_equal(count_admitted(&fixture, "a", 9), 4);
    tear_down(&fixture);
}

static void empty_policy_admits_everything(void **state)
{
    (void)state;
    struct fixture fixture = set_up("1/minute", RATELIMIT_MOVING_WINDOW);
    fixture.policy.count = 0;
    assert_int_equal(count_admitted(&fixture, "a", 9), 9);
    assert_null(fixture.decision.limit);
    tear_down(&fixture);
}

static void cost_counts_as_so_many_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        assert_false(spend(&fixture, "a", 11));
        assert_int_equal(fixture.decision.remaining, 10);
        assert_int_equal(fixture.decision.retry_after_seconds, 60);
        assert_false(spend(&fixture, "a", UINT32_MAX));
        assert_true(spend(&fixture, "a", 8));
        assert_int_equal(fixture.decision.remaining, 2);
        assert_false(spend(&fixture, "a", 3));
        assert_int_equal(fixture.decision.remaining, 2);
        assert_true(spend(&fixture, "a", 2));
        assert_false(spend(&fixture, "a", 1));
        tear_down(&fixture);
    }
}

static void refund_gives_back_exactly_what_was_charged(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute;20/hour", strategies[i]);
        for (int round = 0; round < 500; round++) {
            assert_true(spend(&fixture, "a", 7));
            ratelimit_refund(fixture.table, &fixture.policy, alone("a"), 7, &fixture.decision);
            simulated_now += random_below(SECOND);
        }
        assert_int_equal(count_admitted(&fixture, "a", 20), 10);
        assert_false(fixture.decision.allowed);
        ratelimit_refund(fixture.table, &fixture.policy, alone("a"), 5, &fixture.decision);
        assert_false(spend(&fixture, "a", 1)); /* a refusal has nothing to give back */
        tear_down(&fixture);
    }
}

static void refund_reaches_no_other_window(void **state)
{
    (void)state;
    static const enum ratelimit_strategy windows[] = {RATELIMIT_MOVING_WINDOW,
                                                      RATELIMIT_FIXED_WINDOW};
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture = set_up("10/minute", windows[i]);
        assert_true(spend(&fixture, "a", 10));
        struct ratelimit_decision old = fixture.decision;
        simulated_now += 2 * MINUTE;
        assert_true(spend(&fixture, "a", 10));
        ratelimit_refund(fixture.table, &fixture.policy, alone("a"), 10, &old);
        assert_false(spend(&fixture, "a", 1));
        ratelimit_refund(fixture.table, &fixture.policy, alone("stranger"), 10, &old);
        assert_int_equal(count_admitted(&fixture, "stranger", 20), 10);
        tear_down(&fixture);
    }
}

static void largest_limits_and_windows_are_exact(void **state)
{
    (void)state;
    static const char *const policies[] = {"1000000000/second", "1000000000 per 100 years",
                                           "999999937/minute"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t n = 0; n < 3; n++) {
            struct fixture fixture = set_up(policies[n], strategies[i]);
            uint32_t count = fixture.policy.limits[0].count;
            assert_true(spend(&fixture, "a", count - 1));
            assert_int_equal(fixture.decision.remaining, 1);
            assert_true(spend(&fixture, "a", 1));
            assert_false(spend(&fixture, "a", 1));
            ratelimit_refund(fixture.table, &fixture.policy, alone("a"), 1,
                             &(struct ratelimit_decision){.charge = simulated_now + 1});
            assert_true(spend(&fixture, "a", 1));
            assert_false(spend(&fixture, "a", 1));
            tear_down(&fixture);
        }
    }
}

static void limits_hold_right_after_boot(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        simulated_now = 0;
        struct fixture fixture = set_up("5/hour", strategies[i]);
        assert_int_equal(count_admitted(&fixture, i == 0 ? "x" : "y", 20), 5);
        assert_true(fixture.decision.retry_after_seconds <= 3700);
        tear_down(&fixture);
    }
}

/* --- properties ---------------------------------------------------------------------------- */

#define ARRIVALS 4000

/* Largest number of admitted requests in any window (t - length, t]. */
static unsigned largest_window(const uint64_t *admitted, unsigned count, uint64_t length)
{
    unsigned largest = 0;
    unsigned first = 0;
    for (unsigned last = 0; last < count; last++) {
        while (admitted[last] - admitted[first] >= length) {
            first++;
        }
        if (last - first + 1 > largest) {
            largest = last - first + 1;
        }
    }
    return largest;
}

/* One gap of a pattern: steady, in bursts, or aimed at the edges of windows and buckets. */
static uint64_t next_gap(unsigned pattern, uint64_t window, uint32_t limit)
{
    switch (pattern) {
    case 0:
        return random_below(2 * window / limit);
    case 1:
        return random_below(20) == 0 ? random_below(window) : 0;
    case 2:
        return random_below(limit) == 0 ? window - random_below(3) + 1 : 0;
    case 3:
        return random_below(10) == 0 ? window / 59 + random_below(3) - 1 : random_below(3);
    case 4:
        return random_below(2 * limit) == 0 ? window - window / 60 - random_below(window / 30) : 0;
    default:
        return random_below(4) == 0 ? random_below(window / 8) : random_below(window / 1000 + 1);
    }
}

static void check_property(enum ratelimit_strategy strategy, unsigned factor)
{
    static const struct {
        const char *policy;
        uint32_t limit;
        uint64_t window;
    } cases[] = {{"60/minute", 60, MINUTE},
                 {"1/second", 1, SECOND},
                 {"7 per 13 seconds", 7, 13 * SECOND},
                 {"100/hour", 100, 3600 * SECOND}};
    static uint64_t admitted[ARRIVALS];
    unsigned worst = 0;
    for (unsigned i = 0; i < 4 * 6 * 4; i++) {
        unsigned pattern = i % 6;
        unsigned number = i / 6 % 4;
        struct fixture fixture = set_up(cases[number].policy, strategy);
        char key[32];
        snprintf(key, sizeof key, "pattern %u", i);
        simulated_now += random_below(3600 * SECOND);
        unsigned count = 0;
        for (unsigned arrival = 0; arrival < ARRIVALS; arrival++) {
            simulated_now += next_gap(pattern, cases[number].window, cases[number].limit);
            if (!spend(&fixture, key, 1)) {
                continue;
            }
            if (random_below(10) == 0) {
                ratelimit_refund(fixture.table, &fixture.policy, alone(key), 1, &fixture.decision);
            } else {
                admitted[count++] = simulated_now;
            }
        }
        assert_true(count >= cases[number].limit);
        unsigned largest = largest_window(admitted, count, cases[number].window);
        assert_true(largest <= factor * cases[number].limit);
        if (number == 0 && largest > worst) {
            worst = largest;
        }
        tear_down(&fixture);
    }
    printf("60/minute: at most %u in any minute\n", worst);
}

static void moving_window_never_admits_more_than_the_limit_in_any_window(void **state)
{
    (void)state;
    check_property(RATELIMIT_MOVING_WINDOW, 1);
}

static void fixed_window_never_admits_more_than_twice_the_limit(void **state)
{
    (void)state;
    check_property(RATELIMIT_FIXED_WINDOW, 2);
}

static void gcra_never_admits_more_than_twice_the_limit(void **state)
{
    (void)state;
    check_property(RATELIMIT_GCRA, 2);
}

static void steady_client_just_below_the_limit_is_never_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("60/minute", strategies[i]);
        for (int n = 0; n < 1000; n++) {
            assert_true(spend(&fixture, "steady", 1));
            simulated_now += SECOND + SECOND / 40;
        }
        tear_down(&fixture);
    }
}

/* --- cost ---------------------------------------------------------------------------------- */

static void failing_allocation_is_told(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_MOVING_WINDOW);
    struct ratelimit_table *table = NULL;
    memory_fail_after(1);
    assert_int_equal(ratelimit_open(&table, fixture.segment, RATELIMIT_GCRA), STATUS_NO_MEMORY);
    memory_fail_after(0);
    assert_null(table);
    ratelimit_close(NULL);
    tear_down(&fixture);
}

static void a_check_is_quick(void **state)
{
    (void)state;
    enum { CHECKS = 200000 };
    static const char *const policies[] = {"1000000000/minute", "60/minute",
                                           "1000000000/minute;1000000000/hour;1000000000/day"};
    static const char *const names[] = {"allowed", "refused", "three limits"};
    for (int i = 0; i < 3; i++) {
        struct fixture fixture = set_up(policies[i], RATELIMIT_MOVING_WINDOW);
        uint64_t start = clock_monotonic_nanoseconds();
        for (int n = 0; n < CHECKS; n++) {
            spend(&fixture, "chat|address|192.0.2.1", 1);
        }
        uint64_t each = (clock_monotonic_nanoseconds() - start) / CHECKS;
        printf("ratelimit_check, %s: %llu ns\n", names[i], (unsigned long long)each);
        /* Far above what is measured, valgrind included: catches a walk through the table. */
        assert_true(each < 100000);
        tear_down(&fixture);
    }
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar_accepts_what_limits_accepts),
        cmocka_unit_test(grammar_refuses_everything_else),
        cmocka_unit_test(strategies_have_names),
        SIMULATED(limit_admits_exactly_its_count_at_once),
        SIMULATED(waiting_as_told_helps_and_waiting_less_does_not),
        SIMULATED(after_reset_the_limit_is_whole_again),
        SIMULATED(keys_limits_and_strategies_do_not_share),
        SIMULATED(all_limits_are_charged_or_none),
        SIMULATED(tightest_limit_is_told),
        SIMULATED(limit_that_is_written_twice_counts_once),
        SIMULATED(empty_policy_admits_everything),
        SIMULATED(cost_counts_as_so_many_requests),
        SIMULATED(refund_gives_back_exactly_what_was_charged),
        SIMULATED(refund_reaches_no_other_window),
        SIMULATED(largest_limits_and_windows_are_exact),
        SIMULATED(limits_hold_right_after_boot),
        SIMULATED(moving_window_never_admits_more_than_the_limit_in_any_window),
        SIMULATED(fixed_window_never_admits_more_than_twice_the_limit),
        SIMULATED(gcra_never_admits_more_than_twice_the_limit),
        SIMULATED(steady_client_just_below_the_limit_is_never_refused),
        SIMULATED(failing_allocation_is_told),
        REAL(a_check_is_quick),
    };
    return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
