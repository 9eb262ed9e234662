/*
 * The table of rate limits: full, shared by processes, and torn by those that are killed.
 */
#include "ratelimit_help.h"

/* --- a full table -------------------------------------------------------------------------- */

static void full_table_fails_shared_not_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        /* An attacker with many addresses keeps every slot more than half used. */
        unsigned admitted = 0;
        for (unsigned n = 0; n < 40000; n++) {
            admitted += spend_numbered(&fixture, n, 6);
        }
        assert_true(admitted >= RATELIMIT_GROUPS * RATELIMIT_WAYS);
        assert_true(admitted <= (RATELIMIT_GROUPS + RATELIMIT_NETWORK_GROUPS) * RATELIMIT_WAYS +
                                    RATELIMIT_OVERFLOW_GROUPS);
        /* Who came first keeps his own count … */
        assert_true(spend_numbered(&fixture, 0, 4));
        assert_false(spend_numbered(&fixture, 0, 1));
        /* … and all newcomers together get no more than the shares hold. */
        unsigned shared = 0;
        for (unsigned n = 50000; n < 60000; n++) {
            shared += spend_numbered(&fixture, n, 1);
        }
        assert_true(shared <=
                    (RATELIMIT_NETWORK_GROUPS * RATELIMIT_WAYS + RATELIMIT_OVERFLOW_GROUPS) * 10);
        /* When the window has passed there is room again. */
        simulated_now += 2 * MINUTE;
        for (unsigned n = 70000; n < 70100; n++) {
            assert_true(spend_numbered(&fixture, n, 10));
            assert_false(spend_numbered(&fixture, n, 1));
        }
        simulated_now += 2 * MINUTE;
        tear_down(&fixture);
    }
}

/* However many addresses come: what somebody has used is not forgotten, be it ever so little. */
static void no_active_limit_is_forgotten_for_20000_addresses(void **state)
{
    (void)state;
    enum { ADDRESSES = 20000 };
    static const struct {
        const char *policy;
        unsigned limit;
    } cases[] = {{"2/minute", 2}, {"100/hour", 100}};
    static unsigned char admitted[ADDRESSES];
    for (size_t i = 0; i < 3; i++) {
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            struct fixture fixture = set_up(cases[c].policy, strategies[i]);
            unsigned watched = count_admitted(&fixture, "watched", 1);
            memset(admitted, 0, sizeof admitted);
            for (unsigned round = 0; round < 3; round++) {
                for (unsigned n = 0; n < ADDRESSES; n++) {
                    char network[32];
                    char key[32];
                    snprintf(network, sizeof network, "10.%u.%u.0/24", n % 7, n / 256);
                    snprintf(key, sizeof key, "10.%u.%u.%u", n % 7, n / 256, n % 256);
                    admitted[n] += spend_in(&fixture, network, key);
                }
                watched += count_admitted(&fixture, "watched", cases[c].limit / 3);
            }
            for (unsigned n = 0; n < ADDRESSES; n++) {
                assert_in_range(admitted[n], 0, cases[c].limit);
            }
            watched += count_admitted(&fixture, "watched", 200);
            assert_int_equal(watched, cases[c].limit);
            simulated_now += 200 * MINUTE;
            tear_down(&fixture);
        }
    }
}

/* Somebody else is in every slot, and has used one of many. */
static void fill(struct fixture *fixture, enum ratelimit_strategy strategy, uint64_t now)
{
    struct ratelimit_region *region = segment_find(fixture->segment, ratelimit_segment_region.name);
    const uint64_t window = 60 * MINUTE;
    for (size_t i = 0; i < RATELIMIT_GROUPS; i++) {
        for (int way = 0; way < RATELIMIT_WAYS; way++) {
            struct ratelimit_rule rule = {.tag = 1,
                                          .hash = i * RATELIMIT_WAYS + (unsigned)way,
                                          .window = window,
                                          .limit = 1000,
                                          .strategy = strategy};
            ratelimit_group_assign(&region->groups[i], way, &rule, NULL);
            ratelimit_slot_advance(&region->groups[i].slots[way], now);
            ratelimit_slot_charge(&region->groups[i].slots[way], 100);
        }
    }
}

static void newcomers_share_with_their_network_and_with_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        fill(&fixture, strategies[i], simulated_now);
        /* A flood from one /48 gets the limit of one client … */
        unsigned flood = 0;
        for (unsigned n = 0; n < 20000; n++) {
            char key[32];
            snprintf(key, sizeof key, "2001:db8:0:%x::", n);
            flood += spend_in(&fixture, "2001:db8::/48", key);
        }
        assert_int_equal(flood, 10);
        /* … and every other network has the limit all the same, as neighbours together. */
        for (unsigned n = 0; n < 200; n++) {
            char network[32];
            char key[32];
            unsigned admitted = 0;
            snprintf(network, sizeof network, "192.0.%u.0/24", n);
            for (int turn = 0; turn < 24; turn++) {
                snprintf(key, sizeof key, "192.0.%u.%d", n, turn % 3);
                admitted += spend_in(&fixture, network, key);
                assert_true(fixture.decision.shares != 0 || !fixture.decision.allowed);
            }
            assert_int_equal(admitted, 10);
        }
        /* With room again, everybody has a slot of his own. */
        simulated_now += 130 * MINUTE;
        assert_true(spend_in(&fixture, "2001:db8::/48", "2001:db8:0:1::"));
        assert_int_equal(fixture.decision.shares, 0);
        assert_int_equal(fixture.decision.remaining, 9);
        tear_down(&fixture);
    }
}

/* A key moves into a share when the table is full and out of it when there is room; whichever way,
 * no window holds more than the limit. */
static void no_window_holds_more_than_the_limit_on_the_way_into_a_share_and_out(void **state)
{
    (void)state;
    enum { KEYS = 24000, NETWORKS = 500, LIMIT = 3, CHECKS = 600000 };
    static uint64_t times[KEYS][LIMIT];
    struct fixture fixture = set_up("3/minute", RATELIMIT_MOVING_WINDOW);
    uint32_t random = 12345;
    unsigned moved = 0;
    unsigned shared = 0;
    static bool was_shared[KEYS];
    memset(times, 0, sizeof times);
    for (unsigned i = 0; i < CHECKS; i++) {
        random = random * 1664525 + 1013904223;
        unsigned n = (random >> 8) % KEYS;
        /* Floods of a minute and a half, and pauses of as long in which a few keys come. */
        bool is_pause = i / 100000 % 2 == 1;
        n = is_pause ? n % 3000 : n;
        simulated_now += MINUTE * 3 / 200000;
        char network[32];
        char key[32];
        snprintf(network, sizeof network, "network %u", n % NETWORKS);
        snprintf(key, sizeof key, "key %u", n);
        if (!spend_in(&fixture, network, key)) {
            continue;
        }
        if (times[n][0] != 0 && simulated_now - times[n][0] < MINUTE) {
            fail_msg("check %u: key %u was admitted %d times within %llu ns", i, n, LIMIT + 1,
                     (unsigned long long)(simulated_now - times[n][0]));
        }
        memmove(times[n], times[n] + 1, sizeof times[n] - sizeof times[n][0]);
        times[n][LIMIT - 1] = simulated_now;
        bool is_shared = fixture.decision.shares != 0;
        shared += is_shared;
        moved += is_shared != was_shared[n];
        was_shared[n] = is_shared;
    }
    assert_true(shared > 1000 && moved > 1000);
    tear_down(&fixture);
}

static void refund_reaches_the_overflow_slot(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_MOVING_WINDOW);
    for (unsigned n = 0; n < 40000; n++) {
        spend_numbered(&fixture, n, 6);
    }
    simulated_now += SECOND / 100;
    for (unsigned n = 50000; n < 50100; n++) {
        char key[32];
        snprintf(key, sizeof key, "client %u", n);
        for (int turn = 0; turn < 30; turn++) {
            /* At least four are left in a share whose first six went to the attacker. */
            assert_true(spend(&fixture, key, 4));
            ratelimit_refund(fixture.table, &fixture.policy, alone(key), 4, &fixture.decision);
        }
    }
    tear_down(&fixture);
}

static void limits_of_one_policy_never_get_the_same_slot(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    struct fixture fixture = set_up("9/minute;90/hour;900/day;9000/month;9 per 2 minutes;"
                                    "9 per 3 minutes;9 per 4 minutes;9 per 5 minutes",
                                    RATELIMIT_MOVING_WINDOW);
    for (unsigned n = 0; n < KEYS; n++) {
        assert_true(spend_numbered(&fixture, n, 1));
    }
    struct ratelimit_region *region = segment_find(fixture.segment, ratelimit_segment_region.name);
    unsigned used = 0;
    for (size_t i = 0; i < RATELIMIT_GROUPS; i++) {
        for (int way = 0; way < RATELIMIT_WAYS; way++) {
            used += region->groups[i].tags[way] != 0;
        }
    }
    assert_int_equal(used, KEYS * 8);
    tear_down(&fixture);
}

static void policies_of_eight_limits_fit_into_a_crowded_table(void **state)
{
    (void)state;
    struct fixture fixture = set_up("9/minute;90/hour;900/day;9000/month;9 per 2 minutes;"
                                    "9 per 3 minutes;9 per 4 minutes;9 per 5 minutes",
                                    RATELIMIT_MOVING_WINDOW);
    for (unsigned n = 0; n < 8000; n++) {
        bool first = spend_numbered(&fixture, n, 5);
        bool second = spend_numbered(&fixture, n, 5);
        assert_true(!first || !second);
    }
    tear_down(&fixture);
}

/* --- several processes --------------------------------------------------------------------- */

struct scene {
    enum ratelimit_strategy strategy;
    const char *policy;
    char key[32];
    uint32_t checks; /* per child; 0 = for ever */
    _Atomic uint32_t ready;
    _Atomic uint32_t go;
    _Atomic uint64_t admitted;
    _Atomic uint64_t turns[16];
    _Atomic uint32_t next_child;
};

static int hammer(void *context)
{
    struct scene *scene = context;
    struct segment *segment = help_open("hammer", &ratelimit_segment_region, 1);
    struct ratelimit_table *table = NULL;
    struct ratelimit_policy policy;
    if (segment == NULL || ratelimit_open(&table, segment, scene->strategy) != STATUS_OK ||
        ratelimit_parse_policy(slice_of(scene->policy), &policy) != STATUS_OK) {
        return 1;
    }
    uint32_t self = atomic_fetch_add(&scene->next_child, 1) % 16;
    atomic_fetch_add(&scene->ready, 1);
    help_await(&scene->go, 1);
    for (uint32_t i = 0; scene->checks == 0 || i < scene->checks; i++) {
        struct ratelimit_decision decision;
        ratelimit_check(table, &policy, alone(scene->key), 1, &decision);
        if (decision.allowed) {
            atomic_fetch_add(&scene->admitted, 1);
        }
        atomic_fetch_add(&scene->turns[self], 1);
    }
    ratelimit_close(table);
    segment_close(segment);
    return 0;
}

static void ten_processes_admit_exactly_the_limit(void **state)
{
    (void)state;
    enum { CHILDREN = 10 };
    /* gcra would let one more pass after a second; an hour is long enough for any machine. */
    static const char *const policies[] = {"60/minute", "60/minute", "60/hour"};
    for (size_t i = 0; i < 3; i++) {
        struct scene *scene = help_share(sizeof *scene);
        scene->strategy = strategies[i];
        scene->policy = policies[i];
        snprintf(scene->key, sizeof scene->key, "shared key");
        scene->checks = 20000;
        pid_t children[CHILDREN];
        for (int n = 0; n < CHILDREN; n++) {
            children[n] = help_fork(hammer, scene);
        }
        help_await(&scene->ready, CHILDREN);
        atomic_store(&scene->go, 1);
        for (int n = 0; n < CHILDREN; n++) {
            assert_int_equal(help_wait(children[n]), 0);
        }
        assert_int_equal(atomic_load(&scene->admitted), 60);
        munmap(scene, sizeof *scene);
    }
}

static uint64_t count_turns(struct scene *scene)
{
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) {
        sum += atomic_load(&scene->turns[i]);
    }
    return sum;
}

static void killing_half_of_the_processes_exceeds_nothing_and_stops_nobody(void **state)
{
    (void)state;
    enum { CHILDREN = 10, ROUNDS = 8 };
    struct fixture judge = set_up("1000000/hour;60/minute", RATELIMIT_MOVING_WINDOW);
    struct scene *scene = help_share(sizeof *scene);
    scene->policy = "1000000/hour;60/minute";
    snprintf(scene->key, sizeof scene->key, "shared key");
    uint64_t start = clock_boot_nanoseconds();
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&scene->ready, 0);
        atomic_store(&scene->go, 0);
        pid_t children[CHILDREN];
        for (int n = 0; n < CHILDREN; n++) {
            children[n] = help_fork(hammer, scene);
        }
        help_await(&scene->ready, CHILDREN);
        atomic_store(&scene->go, 1);
        for (int n = 0; n < CHILDREN / 2; n++) {
            usleep((useconds_t)random_below(4000)); /* a random moment is the point */
            help_kill(children[n]);
        }
        uint64_t before = count_turns(scene);
        while (count_turns(scene) < before + 1000) {
            sched_yield(); /* the others go on */
        }
        for (int n = CHILDREN / 2; n < CHILDREN; n++) {
            help_kill(children[n]);
        }
    }
    assert_true(clock_boot_nanoseconds() - start < MINUTE);
    uint64_t admitted = atomic_load(&scene->admitted);
    assert_true(admitted <= 60);
    /* A charge is lost only to a process that was killed between charging and telling. */
    assert_true(admitted + ROUNDS * CHILDREN >= 60);
    assert_false(spend(&judge, "shared key", 1));
    munmap(scene, sizeof *scene);
    tear_down(&judge);
}

/* A key that has to share in a full table, and has spent one. */
static void find_sharing_key(struct fixture *fixture, char *key, size_t size)
{
    fill(fixture, RATELIMIT_MOVING_WINDOW, clock_boot_nanoseconds());
    for (unsigned n = 0; n < 1000; n++) {
        snprintf(key, size, "newcomer %u", n);
        if (spend(fixture, key, 1) && fixture->decision.shares != 0) {
            return;
        }
    }
    fail_msg("the table is not full");
}

static void ten_processes_admit_exactly_the_limit_to_a_share_also_when_killed(void **state)
{
    (void)state;
    enum { CHILDREN = 10 };
    for (int round = 0; round < 2; round++) {
        struct fixture judge = set_up(round == 0 ? "60/hour" : "61/hour", RATELIMIT_MOVING_WINDOW);
        struct scene *scene = help_share(sizeof *scene);
        uint64_t limit = judge.policy.limits[0].count;
        find_sharing_key(&judge, scene->key, sizeof scene->key);
        scene->policy = round == 0 ? "60/hour" : "61/hour";
        scene->checks = round == 0 ? 20000 : 0;
        pid_t children[CHILDREN];
        for (int n = 0; n < CHILDREN; n++) {
            children[n] = help_fork(hammer, scene);
        }
        help_await(&scene->ready, CHILDREN);
        atomic_store(&scene->go, 1);
        for (int n = 0; n < CHILDREN; n++) {
            if (round == 0) {
                assert_int_equal(help_wait(children[n]), 0);
            } else {
                usleep((useconds_t)random_below(2000)); /* a random moment is the point */
                help_kill(children[n]);
            }
        }
        uint64_t admitted = atomic_load(&scene->admitted) + 1;
        assert_true(admitted <= limit);
        assert_true(admitted + (round == 0 ? 0 : CHILDREN) >= limit);
        assert_false(spend(&judge, scene->key, 1));
        assert_true(judge.decision.shares != 0);
        munmap(scene, sizeof *scene);
        tear_down(&judge);
    }
}

/* Takes a group's lock and dies, as if killed in the middle of a change. */
static int die_with_all_locks(void *context)
{
    (void)context;
    struct segment *segment = help_open("victim", &ratelimit_segment_region, 1);
    if (segment == NULL) {
        return 1;
    }
    struct ratelimit_region *region = segment_find(segment, ratelimit_segment_region.name);
    for (size_t i = 0; i < RATELIMIT_GROUPS; i++) {
        segment_lock_acquire(segment, &region->groups[i].lock);
    }
    raise(SIGKILL);
    return 1;
}

static struct ratelimit_slot *find_only_slot(struct segment *segment)
{
    struct ratelimit_region *region = segment_find(segment, ratelimit_segment_region.name);
    for (size_t i = 0; i < RATELIMIT_GROUPS; i++) {
        for (int way = 0; way < RATELIMIT_WAYS; way++) {
            if (region->groups[i].tags[way] != 0) {
                return &region->groups[i].slots[way];
            }
        }
    }
    return NULL;
}

static void torn_slot_errs_to_the_strict_side(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_MOVING_WINDOW);
    assert_true(spend(&fixture, "a", 9));
    struct ratelimit_slot *slot = find_only_slot(fixture.segment);
    assert_non_null(slot);
    /* Killed after the bucket and before the total. */
    slot->buckets[slot->position % RATELIMIT_BUCKETS] += 1;
    assert_int_equal(help_wait(help_fork(die_with_all_locks, NULL)), -SIGKILL);
    assert_false(spend(&fixture, "a", 1));
    assert_int_equal(slot->total, 10);
    /* Killed in the middle of forgetting: the total is too high, the buckets are right. */
    slot->total = 4000000000;
    simulated_now += 2 * MINUTE;
    assert_int_equal(help_wait(help_fork(die_with_all_locks, NULL)), -SIGKILL);
    assert_int_equal(count_admitted(&fixture, "a", 20), 10);
    tear_down(&fixture);
}

static void slot_from_the_future_does_not_block_for_ever(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture = set_up("10/minute", strategies[i]);
        char key[8];
        snprintf(key, sizeof key, "%zu", i);
        simulated_now = 1000000 * SECOND;
        assert_int_equal(count_admitted(&fixture, key, 20), 10);
        simulated_now = 1000 * SECOND; /* the clock of another boot */
        assert_int_equal(count_admitted(&fixture, key, 20), 10);
        tear_down(&fixture);
    }
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        SIMULATED(full_table_fails_shared_not_open),
        SIMULATED(no_active_limit_is_forgotten_for_20000_addresses),
        SIMULATED(newcomers_share_with_their_network_and_with_no_other),
        SIMULATED(no_window_holds_more_than_the_limit_on_the_way_into_a_share_and_out),
        SIMULATED(refund_reaches_the_overflow_slot),
        SIMULATED(limits_of_one_policy_never_get_the_same_slot),
        SIMULATED(policies_of_eight_limits_fit_into_a_crowded_table),
        REAL(ten_processes_admit_exactly_the_limit),
        REAL(killing_half_of_the_processes_exceeds_nothing_and_stops_nobody),
        REAL(ten_processes_admit_exactly_the_limit_to_a_share_also_when_killed),
        SIMULATED(torn_slot_errs_to_the_strict_side),
        SIMULATED(slot_from_the_future_does_not_block_for_ever),
    };
    return cmocka_run_group_tests_name("ratelimit_table", tests, NULL, NULL);
}
