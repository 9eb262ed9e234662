/*
 * What the tests of rate limits share: an open table, and a clock that they move.
 */
#ifndef TESTS_RATELIMIT_HELP_H
#define TESTS_RATELIMIT_HELP_H

#include "segment_help.h"

#include "base/text.h"
#include "ratelimit/table.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)

/* --- a clock that stands still until it is moved ------------------------------------------- */

static uint64_t simulated_now;

static inline uint64_t read_simulated_clock(void)
{
    return simulated_now;
}

static inline int set_up_simulated(void **state)
{
    simulated_now = 1000 * SECOND;
    ratelimit_use_clock(read_simulated_clock);
    return help_make_directory(state);
}

static inline int tear_down_simulated(void **state)
{
    ratelimit_use_clock(NULL);
    return help_remove_directory(state);
}

struct fixture {
    struct segment *segment;
    struct ratelimit_table *table;
    struct ratelimit_policy policy;
    struct ratelimit_decision decision;
};

static inline struct fixture set_up(const char *policy, enum ratelimit_strategy strategy)
{
    struct fixture fixture = {0};
    fixture.segment = help_open("ratelimit", &ratelimit_segment_region, 1);
    assert_non_null(fixture.segment);
    assert_int_equal(ratelimit_open(&fixture.table, fixture.segment, strategy), STATUS_OK);
    assert_int_equal(ratelimit_parse_policy(slice_of(policy), &fixture.policy), STATUS_OK);
    return fixture;
}

static inline void tear_down(struct fixture *fixture)
{
    ratelimit_close(fixture->table);
    segment_close(fixture->segment);
}

static inline struct ratelimit_key alone(const char *key)
{
    return ratelimit_key_alone(slice_of(key));
}

static inline bool spend(struct fixture *fixture, const char *key, uint32_t cost)
{
    ratelimit_check(fixture->table, &fixture->policy, alone(key), cost, &fixture->decision);
    return fixture->decision.allowed;
}

static inline bool spend_in(struct fixture *fixture, const char *network, const char *key)
{
    struct ratelimit_key both = {slice_of(key), slice_of(network)};
    ratelimit_check(fixture->table, &fixture->policy, both, 1, &fixture->decision);
    return fixture->decision.allowed;
}

static inline unsigned count_admitted(struct fixture *fixture, const char *key, unsigned tries)
{
    unsigned admitted = 0;
    for (unsigned i = 0; i < tries; i++) {
        admitted += spend(fixture, key, 1);
    }
    return admitted;
}

static const enum ratelimit_strategy strategies[] = {RATELIMIT_MOVING_WINDOW,
                                                     RATELIMIT_FIXED_WINDOW, RATELIMIT_GCRA};

static inline bool spend_numbered(struct fixture *fixture, unsigned number, uint32_t cost)
{
    char key[32];
    snprintf(key, sizeof key, "client %u", number);
    return spend(fixture, key, cost);
}

#define REAL(name)      cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)
#define SIMULATED(name) cmocka_unit_test_setup_teardown(name, set_up_simulated, tear_down_simulated)

#endif
