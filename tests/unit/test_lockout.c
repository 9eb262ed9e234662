/*
 * stores/lockout: wrong passwords lock a name for a network, many lock it everywhere.
 */
#include "database_help.h"

#include "stores/lockout.h"
#include "stores/rows.h"

#define NOW ((int64_t)1800000000)

static struct storage *storage_of(void **state)
{
    return ((struct database *)*state)->storage;
}

/* A try by that letter's name, from a network, at a time. */
static struct lockout_attempt attempt_of(char name, const char *network, int64_t now)
{
    struct lockout_attempt attempt = {
        .network = network, .now = now, .threshold = 5, .lock_seconds = 1800};
    memset(attempt.name, name, sizeof attempt.name);
    return attempt;
}

static bool fail_once(struct storage *storage, char name, const char *network, int64_t now)
{
    struct lockout_attempt attempt = attempt_of(name, network, now);
    bool is_locked = false;
    assert_int_equal(lockout_count(storage, &attempt, &is_locked), STATUS_OK);
    return is_locked;
}

static void lock(struct storage *storage, char name, const char *network, int64_t now)
{
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(fail_once(storage, name, network, now), i == 5);
    }
}

static int64_t until(struct storage *storage, char name, const char *network)
{
    struct lockout_attempt attempt = attempt_of(name, network, NOW);
    int64_t end = -1;
    assert_int_equal(lockout_read(storage, &attempt, &end), STATUS_OK);
    return end;
}

static enum status work_clear(struct storage_connection *connection, void *context)
{
    return lockout_clear(connection, context);
}

static enum status clear(struct storage *storage, char name, const char *network, int64_t now)
{
    struct lockout_attempt attempt = attempt_of(name, network, now);
    return rows_transaction(storage, work_clear, &attempt);
}

static void five_wrong_ones_lock_that_name_for_that_network_only(void **state)
{
    struct storage *storage = storage_of(state);
    lock(storage, 'a', "192.0.2.1", NOW);
    assert_int_equal(until(storage, 'a', "192.0.2.1"), NOW + 1800);
    assert_int_equal(until(storage, 'a', "192.0.2.2"), 0);
    assert_int_equal(until(storage, 'b', "192.0.2.1"), 0);
}

static void fifty_wrong_ones_from_anywhere_lock_the_name_everywhere(void **state)
{
    struct storage *storage = storage_of(state);
    char network[16];
    for (int i = 0; i < 50; i++) {
        snprintf(network, sizeof network, "192.0.2.%d", i / 4);
        assert_int_equal(until(storage, 'a', "198.51.100.9"), 0);
        assert_int_equal(fail_once(storage, 'a', network, NOW), i == 49);
    }
    assert_int_equal(until(storage, 'a', "198.51.100.9"), NOW + 1800);
    assert_int_equal(until(storage, 'b', "198.51.100.9"), 0);
}

static void a_lock_is_not_prolonged_by_trying_on(void **state)
{
    struct storage *storage = storage_of(state);
    lock(storage, 'a', "n", NOW);
    struct lockout_attempt attempt = attempt_of('a', "n", NOW + 1799);
    bool is_locked = true;
    assert_int_equal(lockout_count(storage, &attempt, &is_locked), STATUS_BUSY);
    assert_false(is_locked);
    assert_int_equal(until(storage, 'a', "n"), NOW + 1800);
}

static void after_the_lock_counting_starts_anew(void **state)
{
    struct storage *storage = storage_of(state);
    lock(storage, 'a', "n", NOW);
    lock(storage, 'a', "n", NOW + 1800);
    assert_int_equal(until(storage, 'a', "n"), NOW + 3600);
}

static void a_count_that_nobody_adds_to_is_forgotten_after_a_day(void **state)
{
    struct storage *storage = storage_of(state);
    for (int i = 0; i < 4; i++) {
        fail_once(storage, 'a', "n", NOW);
        fail_once(storage, 'b', "n", NOW);
    }
    assert_true(fail_once(storage, 'b', "n", NOW + LOCKOUT_MEMORY_SECONDS));
    lock(storage, 'a', "n", NOW + LOCKOUT_MEMORY_SECONDS + 1);
}

static void a_right_password_clears_the_count(void **state)
{
    struct storage *storage = storage_of(state);
    for (int i = 0; i < 4; i++) {
        fail_once(storage, 'a', "n", NOW);
        fail_once(storage, 'b', "n", NOW);
    }
    assert_int_equal(clear(storage, 'a', "n", NOW), STATUS_OK);
    lock(storage, 'a', "n", NOW);
    assert_true(fail_once(storage, 'b', "n", NOW));
}

static void a_right_password_is_refused_while_locked(void **state)
{
    struct storage *storage = storage_of(state);
    lock(storage, 'a', "n", NOW);
    assert_int_equal(clear(storage, 'a', "n", NOW + 1799), STATUS_BUSY);
    assert_int_equal(until(storage, 'a', "n"), NOW + 1800);
    assert_int_equal(clear(storage, 'a', "other", NOW), STATUS_OK);
    assert_int_equal(clear(storage, 'a', "n", NOW + 1800), STATUS_OK);
    assert_int_equal(until(storage, 'a', "n"), 0);
}

static enum status work_forget(struct storage_connection *connection, void *context)
{
    return lockout_forget(connection, context);
}

static void forgetting_ends_the_locks_of_one_name_in_every_network(void **state)
{
    struct storage *storage = storage_of(state);
    lock(storage, 'a', "n", NOW);
    lock(storage, 'a', "m", NOW);
    lock(storage, 'b', "n", NOW);
    struct lockout_attempt attempt = attempt_of('a', "n", NOW);
    assert_int_equal(rows_transaction(storage, work_forget, attempt.name), STATUS_OK);
    assert_int_equal(until(storage, 'a', "n"), 0);
    assert_int_equal(until(storage, 'a', "m"), 0);
    assert_int_equal(until(storage, 'b', "n"), NOW + 1800);
}

static void a_threshold_of_zero_never_locks(void **state)
{
    struct lockout_attempt attempt = attempt_of('a', "n", NOW);
    attempt.threshold = 0;
    bool is_locked = true;
    for (int i = 0; i < 60; i++) {
        assert_int_equal(lockout_count(storage_of(state), &attempt, &is_locked), STATUS_OK);
        assert_false(is_locked);
    }
}

static void the_sweep_takes_what_is_over_and_nothing_else(void **state)
{
    struct storage *storage = storage_of(state);
    int64_t removed = -1;
    fail_once(storage, 'a', "n", NOW - LOCKOUT_MEMORY_SECONDS - 1);
    fail_once(storage, 'b', "n", NOW - LOCKOUT_MEMORY_SECONDS);
    struct lockout_attempt attempt = attempt_of('c', "n", NOW - LOCKOUT_MEMORY_SECONDS - 1);
    attempt.threshold = 1;
    attempt.lock_seconds = LOCKOUT_MEMORY_SECONDS + 100;
    bool is_locked;
    assert_int_equal(lockout_count(storage, &attempt, &is_locked), STATUS_OK);
    assert_int_equal(lockout_sweep(storage, NOW, 1000, &removed), STATUS_OK);
    assert_int_equal(removed, 3); /* both rows of a, and c's count for all networks */
    assert_int_equal(until(storage, 'c', "n"), NOW + 99);
    assert_int_equal(lockout_sweep(storage, NOW + 99, 1000, &removed), STATUS_OK);
    assert_int_equal(removed, 3);
}

static void the_table_is_bounded_and_the_oldest_go_first(void **state)
{
    struct storage *storage = storage_of(state);
    int64_t removed = -1;
    for (int i = 0; i < 20; i++) {
        fail_once(storage, (char)('a' + i), "n", NOW + i);
    }
    lock(storage, 'z', "n", NOW + 20);
    assert_int_equal(lockout_sweep(storage, NOW + 20, 10, &removed), STATUS_OK);
    assert_int_equal(removed, 32);
    assert_int_equal(until(storage, 'z', "n"), NOW + 20 + 1800);
    assert_int_equal(lockout_sweep(storage, NOW + 20, 10, &removed), STATUS_OK);
    assert_int_equal(removed, 0);
}

struct race {
    struct database *database;
    struct gate gate;
};

/* Each child reports how many of its ten attempts came before the lock. */
static int guess(void *context)
{
    struct race *race = context;
    struct storage *storage = database_open_with(race->database, NULL, 30000);
    gate_wait(&race->gate);
    int before_lock = 0;
    struct lockout_attempt attempt = attempt_of('a', "n", NOW);
    attempt.threshold = 25;
    for (int i = 0; i < 10; i++) {
        bool is_locked = true;
        enum status status = lockout_count(storage, &attempt, &is_locked);
        if (status != STATUS_OK && status != STATUS_BUSY) {
            return 100;
        }
        before_lock += status == STATUS_OK && !is_locked;
    }
    storage_close(storage);
    return before_lock;
}

static void racing_guessers_get_exactly_the_threshold(void **state)
{
    struct database *database = *state;
    struct race race = {.database = database, .gate = gate_make()};
    storage_close(database->storage);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_start(guess, &race);
    }
    gate_open(&race.gate);
    int before_lock = 0;
    for (int i = 0; i < CHILDREN; i++) {
        before_lock += child_wait(children[i]);
    }
    assert_int_equal(before_lock, 24);
    database->storage = database_open_with(database, NULL, 0);
    assert_int_equal(until(database->storage, 'a', "n"), NOW + 1800);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, database_set_up, database_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(five_wrong_ones_lock_that_name_for_that_network_only),
        TEST(fifty_wrong_ones_from_anywhere_lock_the_name_everywhere),
        TEST(a_lock_is_not_prolonged_by_trying_on),
        TEST(after_the_lock_counting_starts_anew),
        TEST(a_count_that_nobody_adds_to_is_forgotten_after_a_day),
        TEST(a_right_password_clears_the_count),
        TEST(a_right_password_is_refused_while_locked),
        TEST(forgetting_ends_the_locks_of_one_name_in_every_network),
        TEST(a_threshold_of_zero_never_locks),
        TEST(the_sweep_takes_what_is_over_and_nothing_else),
        TEST(the_table_is_bounded_and_the_oldest_go_first),
        TEST(racing_guessers_get_exactly_the_threshold),
    };
    return cmocka_run_group_tests_name("lockout", tests, NULL, NULL);
}
