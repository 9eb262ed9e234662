/*
 * The usage ledger: sums are exact, and owners do not see each other's.
 */
#include "database_help.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "stores/ledger_queue.h"
#include "stores/ledger_spill.h"
#include "stores/rows.h"

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
    ledger_queue_init(&queue, database->storage, NULL);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.queue = &queue, .owner = i == 0 ? NULL : "company:x"};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_entries, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].written, i == 0 ? 0 : ENTRIES);
    }
    ledger_queue_close(&queue, NULL);
    struct ledger_report report = read_report(database, "company:x");
    assert_int_equal(report.total.calls, (WRITERS - 1) * ENTRIES);
}

/* Holds the database's write lock until told to let go. */
struct holder {
    const struct database *database;
    pthread_t thread;
    atomic_bool holds;
    atomic_bool lets_go;
};

static enum status hold(struct storage_connection *connection, void *context)
{
    struct holder *holder = context;
    (void)connection;
    atomic_store(&holder->holds, true);
    while (!atomic_load(&holder->lets_go)) {
        usleep(1000);
    }
    return STATUS_OK;
}

static void *hold_lock(void *context)
{
    struct holder *holder = context;
    struct storage *storage = database_open_with(holder->database, NULL, 0);
    assert_int_equal(rows_transaction(storage, hold, holder), STATUS_OK);
    storage_close(storage);
    return NULL;
}

static void start_holding(struct holder *holder, const struct database *database)
{
    *holder = (struct holder){.database = database};
    assert_int_equal(pthread_create(&holder->thread, NULL, hold_lock, holder), 0);
    while (!atomic_load(&holder->holds)) {
        usleep(1000);
    }
}

static void stop_holding(struct holder *holder)
{
    atomic_store(&holder->lets_go, true);
    assert_int_equal(pthread_join(holder->thread, NULL), 0);
}

#define KEPT 50

static void a_locked_database_costs_no_entry_and_holds_up_one_writer_once(void **state)
{
    struct database *database = *state;
    struct holder holder;
    struct ledger_queue queue;
    struct storage *hasty = database_open_with(database, NULL, 100);
    ledger_queue_init(&queue, hasty, NULL);
    start_holding(&holder, database);
    uint64_t start = clock_monotonic_nanoseconds();
    for (int64_t i = 0; i < KEPT; i++) {
        struct ledger_entry entry = entry_of("o", i, 1);
        assert_int_equal(ledger_queue_insert(&queue, &entry), STATUS_BUSY);
    }
    assert_true(clock_monotonic_nanoseconds() - start < UINT64_C(900000000));
    assert_int_equal(queue.count, KEPT);
    assert_int_equal(ledger_queue_owed(&queue, "o"), KEPT);
    assert_int_equal(ledger_queue_owed(&queue, "x"), 0);
    stop_holding(&holder);
    struct ledger_entry entry = entry_of("o", KEPT, 1);
    queue.rest_until = 0;
    assert_int_equal(ledger_queue_insert(&queue, &entry), STATUS_OK);
    ledger_queue_flush(&queue);
    assert_int_equal(queue.count, 0);
    assert_int_equal(ledger_queue_owed(&queue, "o"), 0);
    assert_int_equal(read_report(database, "o").total.calls, KEPT + 1);
    ledger_queue_close(&queue, NULL);
    storage_close(hasty);
}

static void what_no_database_took_goes_to_a_file_and_from_there_to_the_next_program(void **state)
{
    struct database *database = *state;
    char path[256];
    struct holder holder;
    struct ledger_queue queue;
    snprintf(path, sizeof path, "%s/unwritten.jsonl", database->directory);
    struct storage *hasty = database_open_with(database, NULL, 100);
    for (int round = 0; round < 2; round++) {
        ledger_queue_init(&queue, hasty, NULL);
        start_holding(&holder, database);
        for (int64_t i = 0; i < 3; i++) {
            struct ledger_entry entry = entry_of("odd \"owner\"\n", i, 7);
            assert_int_equal(ledger_queue_insert(&queue, &entry), STATUS_BUSY);
        }
        ledger_queue_close(&queue, path);
        stop_holding(&holder);
    }
    assert_int_equal(read_report(database, "odd \"owner\"\n").total.calls, 0);
    ledger_queue_init(&queue, database->storage, NULL);
    /* The second time there is nothing left. */
    for (int round = 0; round < 2; round++) {
        assert_true(ledger_queue_restore(&queue, path));
        struct ledger_report report = read_report(database, "odd \"owner\"\n");
        assert_int_equal(report.total.calls, 6);
        assert_int_equal(report.total.cost_nanodollars, 42);
        assert_int_equal(report.total.input_tokens, 18);
        assert_string_equal(report.providers[0].provider, "groq");
    }
    assert_true(ledger_queue_restore(&queue, "/dev/null"));
    ledger_queue_close(&queue, NULL);
    storage_close(hasty);
}

static void lines_that_cannot_be_read_hold_up_no_other(void **state)
{
    static const char *const broken[] = {"\n", "nonsense\n", "{\"created_at\":1}\n",
                                         "{\"half\":\n"};
    struct database *database = *state;
    char path[256];
    struct ledger_queue queue;
    snprintf(path, sizeof path, "%s/broken.jsonl", database->directory);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct ledger_entry entry = entry_of("o", 1000, 7);
        assert_int_equal(ledger_spill_append(path, &entry), STATUS_OK);
        FILE *file = fopen(path, "a");
        assert_non_null(file);
        fputs(broken[i], file);
        fclose(file);
    }
    ledger_queue_init(&queue, database->storage, NULL);
    assert_true(ledger_queue_restore(&queue, path));
    assert_int_equal(read_report(database, "o").total.calls, 4);
    ledger_queue_close(&queue, NULL);
}

/* A disk that takes half a line: it is taken back, so that the next line can be read. */
static void half_a_line_is_taken_back(void **state)
{
    struct database *database = *state;
    char path[256];
    struct stat before;
    struct stat after;
    struct rlimit all;
    struct ledger_queue queue;
    struct ledger_entry entry = entry_of("o", 1000, 7);
    snprintf(path, sizeof path, "%s/half.jsonl", database->directory);
    assert_int_equal(ledger_spill_append(path, &entry), STATUS_OK);
    assert_int_equal(stat(path, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    struct rlimit little = {(rlim_t)before.st_size + 20, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_int_equal(ledger_spill_append(path, &entry), STATUS_UNAVAILABLE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(ledger_spill_append(path, &entry), STATUS_OK);
    ledger_queue_init(&queue, database->storage, NULL);
    assert_true(ledger_queue_restore(&queue, path));
    assert_int_equal(read_report(database, "o").total.calls, 2);
    ledger_queue_close(&queue, NULL);
}

/* What is read whole must not grow without end; what it does not take is said by its status. */
static void the_file_is_bounded(void **state)
{
    struct database *database = *state;
    char path[256];
    struct stat attributes;
    struct ledger_entry entry = entry_of("o", 1000, 7);
    snprintf(path, sizeof path, "%s/full.jsonl", database->directory);
    assert_int_equal(ledger_spill_append(path, &entry), STATUS_OK);
    assert_int_equal(truncate(path, (64 << 20) - 10), 0);
    assert_int_equal(ledger_spill_append(path, &entry), STATUS_UNAVAILABLE);
    assert_int_equal(stat(path, &attributes), 0);
    assert_int_equal(attributes.st_size, (64 << 20) - 10);
}

static void a_full_disk_costs_no_entry(void **state)
{
    struct database *database = *state;
    struct ledger_queue queue;
    struct storage *full;
    struct storage_options options = {.url = database->url, .size_maximum = 256 << 10};
    assert_int_equal(storage_open(&full, &options), STATUS_OK);
    ledger_queue_init(&queue, full, NULL);
    enum status status = STATUS_OK;
    int64_t count = 0;
    for (; status == STATUS_OK && count < 10000; count++) {
        struct ledger_entry entry = entry_of("o", count, 1);
        status = ledger_queue_insert(&queue, &entry);
    }
    assert_int_equal(status, STATUS_BUSY);
    queue.storage = database->storage; /* there is room again */
    queue.rest_until = 0;
    ledger_queue_flush(&queue);
    assert_int_equal(queue.count, 0);
    assert_int_equal(read_report(database, "o").total.calls, count);
    ledger_queue_close(&queue, NULL);
    storage_close(full);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, database_set_up, database_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_of_many_threads_are_all_there_but_those_refused),
        TEST(a_locked_database_costs_no_entry_and_holds_up_one_writer_once),
        TEST(what_no_database_took_goes_to_a_file_and_from_there_to_the_next_program),
        TEST(lines_that_cannot_be_read_hold_up_no_other),
        TEST(half_a_line_is_taken_back),
        TEST(the_file_is_bounded),
        TEST(a_full_disk_costs_no_entry),
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
