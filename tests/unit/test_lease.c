/*
 * Leases: one holder, or so many places, among processes that may die at any moment.
 */
#include "segment_help.h"

#include <pthread.h>

#include "segment/lease.h"

static struct segment *open_leases(void)
{
    struct segment *segment = help_open("lease", &lease_segment_region, 1);
    assert_non_null(segment);
    return segment;
}

struct scene {
    struct segment *segment; /* inherited by the children */
    _Atomic uint32_t ready;
    _Atomic uint32_t go;
    _Atomic uint32_t elected;
    _Atomic uint32_t inside;
    _Atomic uint32_t most_inside;
    _Atomic uint32_t turns;
    _Atomic uint32_t violations;
};

static struct scene *make_scene(void)
{
    struct scene *scene = help_share(sizeof *scene);
    scene->segment = open_leases();
    return scene;
}

static void end_scene(struct scene *scene)
{
    segment_close(scene->segment);
    munmap(scene, sizeof *scene);
}

/* --- elections ----------------------------------------------------------------------------- */

static int elect_and_stay(void *context)
{
    struct scene *scene = context;
    if (!lease_elect(scene->segment, "prober", 60000)) {
        return 1;
    }
    atomic_store(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void elected_lease_has_one_holder_and_renews_for_him(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    pid_t holder = help_fork(elect_and_stay, scene);
    help_await(&scene->ready, 1);
    assert_false(lease_elect(scene->segment, "prober", 60000));
    assert_true(lease_elect(scene->segment, "sweeper", 60000));
    assert_true(lease_elect(scene->segment, "sweeper", 60000));
    help_kill(holder);
    end_scene(scene);
}

static void lease_of_a_dead_holder_is_free_at_once(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    pid_t holder = help_fork(elect_and_stay, scene);
    help_await(&scene->ready, 1);
    help_kill(holder);
    assert_true(lease_elect(scene->segment, "prober", 60000));
    end_scene(scene);
}

static int elect_for_a_moment(void *context)
{
    struct scene *scene = context;
    if (!lease_elect(scene->segment, "prober", 50)) {
        return 1;
    }
    uint64_t start = clock_boot_nanoseconds(); /* not before it: the lease runs from its own look */
    atomic_store(&scene->ready, 1);
    /* Lives on: the lease ends by time. */
    while (clock_boot_nanoseconds() - start < UINT64_C(60000000)) {
        sched_yield();
    }
    atomic_store(&scene->go, 1);
    help_sleep_for_ever();
    return 0;
}

static void lease_that_was_not_renewed_ends(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    pid_t holder = help_fork(elect_for_a_moment, scene);
    help_await(&scene->ready, 1);
    help_await(&scene->go, 1);
    assert_true(lease_elect(scene->segment, "prober", 60000));
    help_kill(holder);
    end_scene(scene);
}

static int try_to_resign_what_is_not_mine(void *context)
{
    struct scene *scene = context;
    lease_resign(scene->segment, "prober");
    return lease_elect(scene->segment, "prober", 1000) ? 1 : 0;
}

static int elect_once(void *context)
{
    struct scene *scene = context;
    return lease_elect(scene->segment, "prober", 1000) ? 0 : 1;
}

static void only_the_holder_can_resign(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    assert_true(lease_elect(scene->segment, "prober", 60000));
    assert_int_equal(help_wait(help_fork(try_to_resign_what_is_not_mine, scene)), 0);
    lease_resign(scene->segment, "prober");
    assert_int_equal(help_wait(help_fork(elect_once, scene)), 0);
    end_scene(scene);
}

static int race_for_election(void *context)
{
    struct scene *scene = context;
    atomic_fetch_add(&scene->ready, 1);
    help_await(&scene->go, 1);
    if (lease_elect(scene->segment, "prober", 60000)) {
        atomic_fetch_add(&scene->elected, 1);
    }
    atomic_fetch_add(&scene->turns, 1);
    help_await(&scene->go, 2); /* a dead winner would make room for a second one */
    return 0;
}

static void racing_processes_elect_exactly_one(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    enum { RACERS = 16 };
    pid_t racers[RACERS];
    for (int i = 0; i < RACERS; i++) {
        racers[i] = help_fork(race_for_election, scene);
    }
    help_await(&scene->ready, RACERS);
    atomic_store(&scene->go, 1);
    help_await(&scene->turns, RACERS);
    assert_int_equal(atomic_load(&scene->elected), 1);
    atomic_store(&scene->go, 2);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(help_wait(racers[i]), 0);
    }
    end_scene(scene);
}

static void bad_names_and_a_full_table_elect_nobody(void **state)
{
    (void)state;
    struct segment *segment = open_leases();
    assert_false(lease_elect(segment, "", 1000));
    assert_false(lease_elect(segment, "a name of more than thirty-one characters", 1000));
    char name[16];
    for (int i = 0; i < 32; i++) {
        snprintf(name, sizeof name, "lease %d", i);
        assert_true(lease_elect(segment, name, 60000));
    }
    assert_false(lease_elect(segment, "one too many", 1000));
    assert_true(lease_elect(segment, "lease 31", 1000));
    segment_close(segment);
}

/* --- places -------------------------------------------------------------------------------- */

#define PLACES 3

static int take_places(void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < 200; i++) {
        unsigned place = 99;
        if (lease_take_place(scene->segment, "hashing", PLACES, 8000, &place) != STATUS_OK ||
            place >= PLACES) {
            return 1;
        }
        uint32_t inside = atomic_fetch_add(&scene->inside, 1) + 1;
        if (inside > PLACES) {
            atomic_fetch_add(&scene->violations, 1);
        }
        uint32_t most = atomic_load(&scene->most_inside);
        while (inside > most && !atomic_compare_exchange_weak(&scene->most_inside, &most, inside)) {
        }
        sched_yield();
        atomic_fetch_sub(&scene->inside, 1);
        atomic_fetch_add(&scene->turns, 1);
        lease_return_place(scene->segment, "hashing", place);
    }
    return 0;
}

static void *take_places_in_thread(void *context)
{
    return take_places(context) == 0 ? NULL : context;
}

static void never_more_inside_than_there_are_places(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    pid_t children[5];
    pthread_t threads[3];
    for (int i = 0; i < 5; i++) {
        children[i] = help_fork(take_places, scene);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_places_in_thread, scene), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(help_wait(children[i]), 0);
    }
    assert_int_equal(atomic_load(&scene->violations), 0);
    assert_int_equal(atomic_load(&scene->turns), 8 * 200);
    assert_true(atomic_load(&scene->most_inside) > 1);
    end_scene(scene);
}

static int take_one_and_stay(void *context)
{
    struct scene *scene = context;
    unsigned place;
    if (lease_take_place(scene->segment, "hashing", PLACES, 1000, &place) != STATUS_OK) {
        return 1;
    }
    atomic_fetch_add(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void full_house_times_out_and_the_places_of_the_dead_are_free(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    pid_t holders[PLACES];
    for (int i = 0; i < PLACES; i++) {
        holders[i] = help_fork(take_one_and_stay, scene);
    }
    help_await(&scene->ready, PLACES);
    unsigned place = 99;
    uint64_t start = clock_monotonic_nanoseconds();
    assert_int_equal(lease_take_place(scene->segment, "hashing", PLACES, 30, &place),
                     STATUS_TIMEOUT);
    uint64_t waited = clock_monotonic_nanoseconds() - start;
    assert_true(waited >= UINT64_C(30000000) && waited < UINT64_C(2000000000));
    assert_int_equal(lease_take_place(scene->segment, "hashing", PLACES, 0, &place),
                     STATUS_TIMEOUT);
    help_kill(holders[1]);
    assert_int_equal(lease_take_place(scene->segment, "hashing", PLACES, 1000, &place), STATUS_OK);
    assert_true(place < PLACES);
    help_kill(holders[0]);
    help_kill(holders[2]);
    end_scene(scene);
}

static void places_of_one_process_are_counted_singly(void **state)
{
    (void)state;
    struct segment *segment = open_leases();
    unsigned first = 99;
    unsigned second = 99;
    unsigned third = 99;
    assert_int_equal(lease_take_place(segment, "hashing", 2, 0, &first), STATUS_OK);
    assert_int_equal(lease_take_place(segment, "hashing", 2, 0, &second), STATUS_OK);
    assert_int_not_equal(first, second);
    assert_int_equal(lease_take_place(segment, "hashing", 2, 0, &third), STATUS_TIMEOUT);
    lease_return_place(segment, "hashing", first);
    lease_return_place(segment, "hashing", first); /* once more does nothing */
    lease_return_place(segment, "hashing", 64);
    assert_int_equal(lease_take_place(segment, "hashing", 2, 0, &third), STATUS_OK);
    assert_int_equal(third, first);
    segment_close(segment);
}

static void impossible_numbers_of_places_are_refused(void **state)
{
    (void)state;
    struct segment *segment = open_leases();
    unsigned place;
    assert_int_equal(lease_take_place(segment, "hashing", 0, 0, &place), STATUS_INVALID);
    assert_int_equal(lease_take_place(segment, "hashing", 65, 0, &place), STATUS_INVALID);
    assert_int_equal(lease_take_place(segment, "", 1, 0, &place), STATUS_TOO_LARGE);
    assert_int_equal(lease_take_place(segment, "hashing", 64, 0, &place), STATUS_OK);
    segment_close(segment);
}

static void counted_names_are_bounded(void **state)
{
    (void)state;
    struct segment *segment = open_leases();
    char name[40];
    unsigned place;
    memset(name, 'n', sizeof name);
    name[32] = '\0';
    assert_int_equal(lease_take_place(segment, name, 1, 0, &place), STATUS_TOO_LARGE);
    name[31] = '\0';
    assert_int_equal(lease_take_place(segment, name, 1, 0, &place), STATUS_OK);
    for (int i = 1; i < 16; i++) {
        snprintf(name, sizeof name, "name %d", i);
        assert_int_equal(lease_take_place(segment, name, 1, 0, &place), STATUS_OK);
        assert_int_equal(place, 0);
    }
    assert_int_equal(lease_take_place(segment, "one more", 1, 0, &place), STATUS_TOO_LARGE);
    /* Those that have a place in the table keep it, each with a holder of its own. */
    lease_return_place(segment, "name 15", 0);
    lease_return_place(segment, "one more", 0);
    assert_int_equal(lease_take_place(segment, "name 14", 1, 0, &place), STATUS_TIMEOUT);
    assert_int_equal(lease_take_place(segment, "name 15", 1, 0, &place), STATUS_OK);
    segment_close(segment);
}

static int ask_without_a_slot(void *context)
{
    struct scene *scene = context;
    unsigned place;
    return segment_self(scene->segment).slot == SEGMENT_PROCESS_MAXIMUM &&
                   !lease_elect(scene->segment, "prober", 1000) &&
                   lease_take_place(scene->segment, "hashing", 1, 0, &place) == STATUS_UNAVAILABLE
               ? 0
               : 1;
}

/* Nobody could tell that it has died. */
static void process_without_a_slot_holds_nothing(void **state)
{
    (void)state;
    struct scene *scene = make_scene();
    help_fill_process_table(scene->segment);
    assert_int_equal(help_wait(help_fork(ask_without_a_slot, scene)), 0);
    assert_true(lease_elect(scene->segment, "prober", 1000));
    end_scene(scene);
}

static int churn_for_ever(void *context)
{
    struct scene *scene = context;
    for (;;) {
        unsigned place;
        if (lease_take_place(scene->segment, "storm", PLACES, 8000, &place) != STATUS_OK) {
            return 1;
        }
        lease_elect(scene->segment, "storm", 5);
        atomic_fetch_add(&scene->turns, 1);
        lease_resign(scene->segment, "storm");
        lease_return_place(scene->segment, "storm", place);
    }
}

static void kill_storm_loses_no_place(void **state)
{
    (void)state;
    enum { CHILDREN = 8, KILLS = 100 };
    struct scene *scene = make_scene();
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = help_fork(churn_for_ever, scene);
    }
    for (int i = 0; i < KILLS; i++) {
        size_t victim = random_below(CHILDREN);
        usleep((useconds_t)random_below(4000)); /* a random moment is the point */
        kill(children[victim], SIGKILL);
        assert_int_equal(help_wait(children[victim]), -SIGKILL);
        children[victim] = help_fork(churn_for_ever, scene);
    }
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i], SIGKILL);
        assert_int_equal(help_wait(children[i]), -SIGKILL);
    }
    assert_true(atomic_load(&scene->turns) > 100);
    for (int i = 0; i < PLACES; i++) {
        unsigned place;
        assert_int_equal(lease_take_place(scene->segment, "storm", PLACES, 0, &place), STATUS_OK);
    }
    assert_true(lease_elect(scene->segment, "storm", 1000));
    end_scene(scene);
}

#define LEASE_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        LEASE_TEST(elected_lease_has_one_holder_and_renews_for_him),
        LEASE_TEST(lease_of_a_dead_holder_is_free_at_once),
        LEASE_TEST(lease_that_was_not_renewed_ends),
        LEASE_TEST(only_the_holder_can_resign),
        LEASE_TEST(racing_processes_elect_exactly_one),
        LEASE_TEST(bad_names_and_a_full_table_elect_nobody),
        LEASE_TEST(never_more_inside_than_there_are_places),
        LEASE_TEST(full_house_times_out_and_the_places_of_the_dead_are_free),
        LEASE_TEST(places_of_one_process_are_counted_singly),
        LEASE_TEST(impossible_numbers_of_places_are_refused),
        LEASE_TEST(counted_names_are_bounded),
        LEASE_TEST(process_without_a_slot_holds_nothing),
        LEASE_TEST(kill_storm_loses_no_place),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
