/*
 * The usage ledger: sums are exact, and owners do not see each other's.
 */
#include "database_help.h"

#include <pthread.h>

#include "stores/ledger_queue.h"

static struct ledger_entry entry_of(const char *owner, int64_t created_at, int64_t cost)
{
    return (struct ledger_entry){.created_at = created_at,
                                 .request_id = "request-1",
                                 .owner = owner,
                                 .principal = "key:1",
                                 .provider = "groq",
                                 .model = "llama",
                                 .operation = "completion",
                                 .outcome = "ok",
                                 .is_streamed = true,
                                 .input_tokens = 3,
                                 .output_tokens = 4,
                                 .cost_nanodollars = cost};
}

static void sums_are_exact_and_of_one_owner(void **state)
{
    struct database *database = *state;
    struct ledger_sum sum;
    assert_int_equal(ledger_total(database->storage, "company:x", 0, &sum), STATUS_OK);
    assert_int_equal(sum.calls, 0);
    assert_int_equal(sum.cost_nanodollars, 0);
    for (int64_t i = 0; i < 1000; i++) {
        struct ledger_entry entry = entry_of("company:x", 1000 + i, 1);
        assert_int_equal(ledger_insert(database->storage, &entry), STATUS_OK);
    }
    struct ledger_entry other = entry_of("company:y", 1000, 77);
    assert_int_equal(ledger_insert(database->storage, &other), STATUS_OK);
    assert_int_equal(ledger_total(database->storage, "company:x", 0, &sum), STATUS_OK);
    assert_int_equal(sum.calls, 1000);
    assert_int_equal(sum.input_tokens, 3000);
    assert_int_equal(sum.output_tokens, 4000);
    assert_int_equal(sum.cost_nanodollars, 1000);
}

static void the_beginning_of_the_period_counts(void **state)
{
    struct database *database = *state;
    for (int64_t i = 0; i < 10; i++) {
        struct ledger_entry entry = entry_of("o", i, i);
        assert_int_equal(ledger_insert(database->storage, &entry), STATUS_OK);
    }
    struct ledger_sum sum;
    assert_int_equal(ledger_total(database->storage, "o", 8, &sum), STATUS_OK);
    assert_int_equal(sum.calls, 2);
    assert_int_equal(sum.cost_nanodollars, 17);
}

#define WRITERS 8
#define ENTRIES 100

struct writer {
    struct ledger_queue *queue;
    pthread_t thread;
    const char *owner; /* NULL: the database refuses it */
    size_t written;
};

static void *write_entries(void *context)
{
    struct writer *writer = context;
    for (int64_t i = 0; i < ENTRIES; i++) {
        struct ledger_entry entry = entry_of(writer->owner, i, 1);
        writer->written += ledger_queue_insert(writer->queue, &entry) == STATUS_OK;
    }
    return NULL;
}

static void entries_of_many_threads_are_all_there_but_those_refused(void **state)
{
    struct database *database = *state;
    struct ledger_queue queue;
    struct writer writers[WRITERS];
    ledger_queue_init(&queue, database->storage);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.queue = &queue, .owner = i == 0 ? NULL : "company:x"};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_entries, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].written, i == 0 ? 0 : ENTRIES);
    }
    ledger_queue_destroy(&queue);
    struct ledger_sum sum;
    assert_int_equal(ledger_total(database->storage, "company:x", 0, &sum), STATUS_OK);
    assert_int_equal(sum.calls, (WRITERS - 1) * ENTRIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_of_many_threads_are_all_there_but_those_refused,
                                        database_set_up, database_tear_down),
        cmocka_unit_test_setup_teardown(sums_are_exact_and_of_one_owner, database_set_up,
                                        database_tear_down),
        cmocka_unit_test_setup_teardown(the_beginning_of_the_period_counts, database_set_up,
                                        database_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
