/*
 * Waiting for the write lock of a database: nobody waits beyond the deadline of the request it works
 * for, and however long the lock is held, only so many threads of a process wait for it.
 */
#include "items_help.h"

#include <pthread.h>
#include <semaphore.h>

#include "base/clock.h"

#define MILLISECOND UINT64_C(1000000)
#define WRITERS     8

/* Somebody who holds the write lock until told to let it go. */
struct holder {
    struct storage *storage;
    pthread_t thread;
    sem_t holds;
    sem_t release;
};

static enum status work_hold(struct storage_connection *connection, void *context)
{
    struct holder *holder = context;
    (void)connection;
    sem_post(&holder->holds);
    sem_wait(&holder->release);
    return STATUS_OK;
}

static void *hold(void *context)
{
    struct holder *holder = context;
    struct storage_connection *connection;
    if (storage_connect(holder->storage, &connection) != STATUS_OK ||
        storage_transaction(connection, work_hold, holder) != STATUS_OK) {
        return context;
    }
    return NULL;
}

static void holder_start(struct holder *holder, const struct database *database)
{
    holder->storage = open_items(database, 0);
    sem_init(&holder->holds, 0, 0);
    sem_init(&holder->release, 0, 0);
    assert_int_equal(pthread_create(&holder->thread, NULL, hold, holder), 0);
    sem_wait(&holder->holds);
}

static void holder_end(struct holder *holder)
{
    void *failed;
    sem_post(&holder->release);
    pthread_join(holder->thread, &failed);
    assert_null(failed);
    storage_close(holder->storage);
    sem_destroy(&holder->holds);
    sem_destroy(&holder->release);
}

static struct storage *open_narrow(const struct database *database, unsigned writers)
{
    struct storage_options options = {
        .url = database->url, .writers_maximum = writers, .busy_timeout_milliseconds = 20000};
    struct storage *storage;
    assert_int_equal(storage_open_dialect(&storage, &options, &item_dialect), STATUS_OK);
    return storage;
}

/* --- Deadlines ---------------------------------------------------------------------------- */

static void no_wait_goes_on_beyond_the_deadline(void **state)
{
    struct database *database = *state;
    struct storage *storage = open_narrow(database, 0);
    struct holder holder;
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    holder_start(&holder, database);
    static const uint64_t waits[] = {0, 50 * MILLISECOND, 200 * MILLISECOND};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        uint64_t began = clock_monotonic_nanoseconds();
        storage_set_deadline(began + waits[i]);
        assert_int_equal(add_item(storage, 2), STATUS_UNAVAILABLE);
        uint64_t passed = clock_monotonic_nanoseconds() - began;
        storage_set_deadline(0);
        assert_true(passed >= waits[i]);
        assert_true(passed < waits[i] + 5000 * MILLISECOND);
    }
    /* Reading needs no lock, whatever the deadline. */
    storage_set_deadline(1);
    assert_int_equal(count_items(storage), 1);
    storage_set_deadline(0);
    holder_end(&holder);
    assert_int_equal(add_item(storage, 2), STATUS_OK);
    storage_close(storage);
}

static void a_write_waits_five_seconds_unless_it_is_told_otherwise(void **state)
{
    struct database *database = *state;
    uint64_t now = clock_monotonic_nanoseconds();
    assert_in_range(storage_wait_until(database->storage) - now, 5000 * MILLISECOND,
                    6000 * MILLISECOND);
    struct storage *storage = open_narrow(database, 0);
    now = clock_monotonic_nanoseconds();
    assert_in_range(storage_wait_until(storage) - now, 20000 * MILLISECOND, 21000 * MILLISECOND);
    storage_set_deadline(now + 30000 * MILLISECOND);
    assert_in_range(storage_wait_until(storage) - now, 20000 * MILLISECOND, 21000 * MILLISECOND);
    storage_set_deadline(now + 7);
    assert_int_equal(storage_wait_until(storage), now + 7);
    storage_set_deadline(0);
    storage_close(storage);
}

/* Loses its race as often as it is told to. */
struct race {
    struct item item;
    int losses;
    int runs;
};

static enum status work_lose(struct storage_connection *connection, void *context)
{
    struct race *race = context;
    enum status status = work_insert(connection, &race->item);
    connection->must_retry = race->runs++ < race->losses;
    return status;
}

static void a_race_is_run_again_until_it_is_won_or_the_time_is_up(void **state)
{
    struct database *database = *state;
    struct race race = {.item = {.id = 1, .label = "won"}, .losses = 3};
    struct storage_connection *connection = connect_to(database->storage);
    assert_int_equal(storage_transaction(connection, work_lose, &race), STATUS_OK);
    assert_int_equal(race.runs, 4);
    assert_int_equal(count_items(database->storage), 1);
    race = (struct race){.item = {.id = 2, .label = "lost"}, .losses = INT32_MAX};
    uint64_t until = clock_monotonic_nanoseconds() + 50 * MILLISECOND;
    storage_set_deadline(until);
    assert_int_equal(storage_transaction(connection, work_lose, &race), STATUS_UNAVAILABLE);
    assert_true(clock_monotonic_nanoseconds() >= until);
    storage_set_deadline(0);
    assert_true(race.runs > 1);
    assert_int_equal(count_items(database->storage), 1);
}

/* --- Places ------------------------------------------------------------------------------- */

struct writer {
    struct storage *storage;
    pthread_t thread;
    int64_t first;
    int64_t count;
    enum status status; /* of the first write that failed */
    sem_t *done;
};

static void *write_items(void *context)
{
    struct writer *writer = context;
    for (int64_t i = 0; i < writer->count && writer->status == STATUS_OK; i++) {
        writer->status = add_item(writer->storage, writer->first + i);
    }
    sem_post(writer->done);
    return NULL;
}

static void start_writers(struct writer *writers, struct storage *storage, int64_t count,
                          sem_t *done)
{
    sem_init(done, 0, 0);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .storage = storage, .first = 100 + i * count, .count = count, .done = done};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_items, &writers[i]), 0);
    }
}

static int end_writers(struct writer *writers, sem_t *done)
{
    int written = 0;
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        written += writers[i].status == STATUS_OK;
    }
    sem_destroy(done);
    return written;
}

static void a_lock_that_is_held_keeps_only_so_many_threads(void **state)
{
    struct database *database = *state;
    struct storage *storage = open_narrow(database, 3);
    struct writer writers[WRITERS];
    struct holder holder;
    sem_t done;
    holder_start(&holder, database);
    uint64_t began = clock_monotonic_nanoseconds();
    start_writers(writers, storage, 1, &done);
    /* All but three come back, although the lock stays as it is. */
    for (int i = 0; i < WRITERS - 3; i++) {
        assert_int_equal(sem_wait(&done), 0);
    }
    assert_true(clock_monotonic_nanoseconds() - began < 10000 * MILLISECOND);
    /* Whoever comes now is refused without any wait to speak of. */
    assert_int_equal(add_item(storage, 1), STATUS_UNAVAILABLE);
    assert_int_equal(count_items(storage), 0);
    holder_end(&holder);
    assert_int_equal(end_writers(writers, &done), 3);
    assert_int_equal(count_items(storage), 3);
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    storage_close(storage);
}

static void writers_that_take_turns_are_all_let_in(void **state)
{
    struct database *database = *state;
    struct storage *storage = open_narrow(database, 1);
    struct writer writers[WRITERS];
    sem_t done;
    start_writers(writers, storage, 40, &done);
    assert_int_equal(end_writers(writers, &done), WRITERS);
    assert_int_equal(count_items(storage), WRITERS * 40);
    storage_close(storage);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, items_set_up, database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(no_wait_goes_on_beyond_the_deadline),
        TEST(a_write_waits_five_seconds_unless_it_is_told_otherwise),
        TEST(a_race_is_run_again_until_it_is_won_or_the_time_is_up),
        TEST(a_lock_that_is_held_keeps_only_so_many_threads),
        TEST(writers_that_take_turns_are_all_let_in),
    };
    return cmocka_run_group_tests_name("storage_waits", tests, NULL, NULL);
}
