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
        assert_true(admitted <= RATELIMIT_GROUPS * RATELIMIT_WAYS + RATELIMIT_OVERFLOW_GROUPS);
        /* Who came first keeps his own count … */
        assert_true(spend_numbered(&fixture, 0, 4));
        assert_false(spend_numbered(&fixture, 0, 1));
        /* … and all newcomers together get no more than the overflow slots hold. */
        unsigned shared = 0;
        for (unsigned n = 50000; n < 60000; n++) {
            shared += spend_numbered(&fixture, n, 1);
        }
        assert_true(shared <= RATELIMIT_OVERFLOW_GROUPS * 10);
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

static void little_used_slots_make_room_for_new_keys(void **state)
{
    (void)state;
    struct fixture fixture = set_up("10/minute", RATELIMIT_MOVING_WINDOW);
    for (unsigned n = 0; n < 40000; n++) {
        assert_true(spend_numbered(&fixture, n, 5));
    }
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
            ratelimit_refund(fixture.table, &fixture.policy, slice_of(key), 4, &fixture.decision);
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
        ratelimit_check(table, &policy, slice_of("shared key"), 1, &decision);
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
        SIMULATED(little_used_slots_make_room_for_new_keys),
        SIMULATED(refund_reaches_the_overflow_slot),
        SIMULATED(limits_of_one_policy_never_get_the_same_slot),
        SIMULATED(policies_of_eight_limits_fit_into_a_crowded_table),
        REAL(ten_processes_admit_exactly_the_limit),
        REAL(killing_half_of_the_processes_exceeds_nothing_and_stops_nobody),
        SIMULATED(torn_slot_errs_to_the_strict_side),
        SIMULATED(slot_from_the_future_does_not_block_for_ever),
    };
    return cmocka_run_group_tests_name("ratelimit_table", tests, NULL, NULL);
}
