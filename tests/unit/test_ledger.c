/*
 * The usage ledger: sums are exact, and owners do not see each other's.
 */
#include "database_help.h"

#include <pthread.h>

#include "stores/ledger_queue.h"

static struct arena scratch;

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

#define DAY LEDGER_DAY_MILLISECONDS

static void insert(const struct database *database, const struct ledger_entry *entry)
{
    assert_int_equal(ledger_insert(database->storage, entry), STATUS_OK);
}

static struct ledger_report read_report(const struct database *database, const char *owner)
{
    struct ledger_report report;
    arena_reset(&scratch);
    assert_int_equal(ledger_read(database->storage, &scratch, owner, 100, 90, &report), STATUS_OK);
    return report;
}

static void sums_are_exact_and_of_one_owner(void **state)
{
    struct database *database = *state;
    struct ledger_report report = read_report(database, "company:x");
    assert_int_equal(report.total.calls, 0);
    assert_int_equal(report.total.cost_nanodollars, 0);
    for (int64_t i = 0; i < 1000; i++) {
        struct ledger_entry entry = entry_of("company:x", 1000 + i, 1);
        insert(database, &entry);
    }
    struct ledger_entry other = entry_of("company:y", 1000, 77);
    insert(database, &other);
    report = read_report(database, "company:x");
    assert_int_equal(report.total.calls, 1000);
    assert_int_equal(report.total.input_tokens, 3000);
    assert_int_equal(report.total.output_tokens, 4000);
    assert_int_equal(report.total.cost_nanodollars, 1000);
}

static void days_and_months_begin_at_midnight(void **state)
{
    struct database *database = *state;
    static const int64_t times[] = {90 * DAY - 1, 90 * DAY,      100 * DAY - 1,
                                    100 * DAY,    101 * DAY - 1, 101 * DAY};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct ledger_entry entry = entry_of("o", times[i], INT64_C(1) << i);
        insert(database, &entry);
    }
    struct ledger_report report = read_report(database, "o");
    assert_int_equal(report.total.cost_nanodollars, 63);
    assert_int_equal(report.month.cost_nanodollars, 62);
    assert_int_equal(report.today.cost_nanodollars, 56);
    assert_int_equal(report.today.calls, 3);
}

static void the_installation_is_the_sum_of_its_owners_by_provider(void **state)
{
    struct database *database = *state;
    struct ledger_entry entries[] = {entry_of("a", DAY, 1), entry_of("b", 2 * DAY, 10),
                                     entry_of("a", 100 * DAY, 100)};
    entries[1].provider = "openai";
    for (size_t i = 0; i < 3; i++) {
        insert(database, &entries[i]);
    }
    struct ledger_report report = read_report(database, NULL);
    assert_int_equal(report.total.cost_nanodollars, 111);
    assert_int_equal(report.today.cost_nanodollars, 100);
    assert_int_equal(report.provider_count, 2);
    assert_string_equal(report.providers[0].provider, "groq");
    assert_int_equal(report.providers[0].cost_nanodollars, 101);
    assert_string_equal(report.providers[1].provider, "openai");
    assert_int_equal(report.providers[1].cost_nanodollars, 10);
    report = read_report(database, "b");
    assert_int_equal(report.provider_count, 1);
    assert_int_equal(report.total.cost_nanodollars, 10);
}

/* On one day, and over several. */
static void sums_stop_at_the_largest_integer(void **state)
{
    struct database *database = *state;
    for (int64_t i = 0; i < 4; i++) {
        struct ledger_entry entry = entry_of("o", i / 2 * DAY, INT64_MAX - 5);
        entry.input_tokens = INT64_MAX;
        entry.output_tokens = INT64_MAX;
        insert(database, &entry);
        struct ledger_report report = read_report(database, "o");
        assert_int_equal(report.total.calls, i + 1);
        assert_int_equal(report.total.cost_nanodollars, i == 0 ? INT64_MAX - 5 : INT64_MAX);
        assert_int_equal(report.total.input_tokens, INT64_MAX);
        assert_int_equal(report.total.output_tokens, INT64_MAX);
    }
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
    struct ledger_report report = read_report(database, "company:x");
    assert_int_equal(report.total.calls, (WRITERS - 1) * ENTRIES);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, database_set_up, database_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_of_many_threads_are_all_there_but_those_refused),
        TEST(sums_are_exact_and_of_one_owner),
        TEST(days_and_months_begin_at_midnight),
        TEST(the_installation_is_the_sum_of_its_owners_by_provider),
        TEST(sums_stop_at_the_largest_integer),
    };
    arena_init(&scratch, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(&scratch);
    return failed;
}
