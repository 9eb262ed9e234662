/*
 * Budgets of owners: what is reserved counts, and giving it back waits for no database.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_timedjoin_np */
#endif
#include "database_help.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "fcgi-apps/chat/budget.h"
#include "fcgi-apps/chat/chat.h"

/* A storage that stands still behind each read of the ledger, when it is told to. */
struct slow {
    struct database database;
    struct storage *storage;
    atomic_bool stands_still;
    sem_t has_read;
    sem_t goes_on;
    struct chat chat;
};

static void observe(void *context, const char *statement, uint64_t nanoseconds)
{
    struct slow *slow = context;
    (void)nanoseconds;
    if (atomic_load(&slow->stands_still) && strcmp(statement, "ledger_day_list") == 0) {
        sem_post(&slow->has_read);
        sem_wait(&slow->goes_on);
    }
}

static int set_up(void **state)
{
    struct slow *slow = calloc(1, sizeof *slow);
    void *database;
    assert_non_null(slow);
    assert_int_equal(database_set_up(&database), 0);
    slow->database = *(struct database *)database;
    free(database);
    struct storage_options options = {
        .url = slow->database.url, .observer = observe, .observer_context = slow};
    assert_int_equal(storage_open(&slow->storage, &options), STATUS_OK);
    sem_init(&slow->has_read, 0, 0);
    sem_init(&slow->goes_on, 0, 0);
    ledger_queue_init(&slow->chat.ledger, slow->storage, NULL);
    assert_int_equal(budget_init(&slow->chat.budget, "10/day"), STATUS_OK);
    *state = slow;
    return 0;
}

static int tear_down(void **state)
{
    struct slow *slow = *state;
    ledger_queue_close(&slow->chat.ledger, NULL);
    budget_destroy(&slow->chat.budget);
    storage_close(slow->storage);
    storage_close(slow->database.storage);
    database_remove_directory(&slow->database);
    sem_destroy(&slow->has_read);
    sem_destroy(&slow->goes_on);
    free(slow);
    return 0;
}

/* A call of one million tokens of output, at a dollar for so many. */
static enum status reserve(struct slow *slow, const char *owner, int64_t dollars,
                           struct budget_reservation *out)
{
    static const struct model_price price = {.input = 0, .output = 1};
    struct model_call call = {.chat = &slow->chat, .choice = {.price = &price}};
    struct principal principal = {.kind = PRINCIPAL_USER, .owner = owner};
    struct arena arena;
    int64_t retry_after = 0;
    arena_init(&arena, 1u << 20);
    enum status status = budget_reserve(&slow->chat.budget, slow->storage, &arena, &principal,
                                        &call, dollars * 1000000, out, &retry_after);
    arena_destroy(&arena);
    assert_int_equal(retry_after > 0, status == STATUS_DENIED);
    return status;
}

static void what_is_reserved_counts_until_it_is_given_back(void **state)
{
    struct slow *slow = *state;
    struct budget_reservation first;
    struct budget_reservation second;
    struct budget_reservation others;
    assert_int_equal(reserve(slow, "user:1", 6, &first), STATUS_OK);
    assert_int_equal(reserve(slow, "user:1", 5, &second), STATUS_DENIED);
    assert_null(second.budget);
    assert_int_equal(reserve(slow, "user:2", 10, &others), STATUS_OK);
    assert_int_equal(reserve(slow, "user:1", 4, &second), STATUS_OK);
    budget_release(&first);
    budget_release(&first);
    assert_int_equal(reserve(slow, "user:1", 6, &first), STATUS_OK);
    budget_release(&others);
    budget_release(&first);
    budget_release(&second);
    assert_null(slow->chat.budget.first);
}

static void what_a_call_has_used_beyond_its_reservation_counts(void **state)
{
    struct slow *slow = *state;
    static const struct model_price price = {.input = 0, .output = 1};
    struct model_call call = {
        .choice = {.price = &price},
        .has_answered = true,
        .progress = {.has_usage = true, .input_tokens = 1, .output_tokens = 5000000}};
    struct budget_reservation first;
    struct budget_reservation second;
    assert_int_equal(reserve(slow, "user:1", 6, &first), STATUS_OK);
    budget_follow(&first, &call); /* less than was reserved */
    assert_int_equal(reserve(slow, "user:1", 5, &second), STATUS_DENIED);
    call.progress.output_tokens = 8000000;
    budget_follow(&first, &call);
    assert_int_equal(reserve(slow, "user:1", 3, &second), STATUS_DENIED);
    assert_int_equal(reserve(slow, "user:1", 2, &second), STATUS_OK);
    budget_release(&first);
    budget_follow(&first, &call); /* it holds nothing any more */
    assert_int_equal(first.nanodollars, 0);
    budget_release(&second);
}

static void *reserve_slowly(void *context)
{
    struct slow *slow = context;
    struct budget_reservation reservation;
    assert_int_equal(reserve(slow, "user:1", 1, &reservation), STATUS_OK);
    budget_release(&reservation);
    return NULL;
}

static void *give_back(void *context)
{
    budget_release(context);
    return NULL;
}

static void giving_back_waits_for_no_database(void **state)
{
    struct slow *slow = *state;
    struct budget_reservation reservation;
    pthread_t reader;
    pthread_t pump;
    struct timespec until;
    assert_int_equal(reserve(slow, "user:1", 1, &reservation), STATUS_OK);
    atomic_store(&slow->stands_still, true);
    assert_int_equal(pthread_create(&reader, NULL, reserve_slowly, slow), 0);
    while (sem_wait(&slow->has_read) != 0) {
    }
    assert_int_equal(pthread_create(&pump, NULL, give_back, &reservation), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    int error = pthread_timedjoin_np(pump, NULL, &until);
    sem_post(&slow->goes_on);
    assert_int_equal(pthread_join(reader, NULL), 0);
    if (error != 0) {
        assert_int_equal(pthread_join(pump, NULL), 0);
    }
    assert_int_equal(error, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void a_budget_is_read_by_its_grammar(void **state)
{
    (void)state;
    enum { DOLLAR = 1000000000 };
    static const struct {
        const char *text;
        enum status status;
        int64_t day;
        int64_t month;
    } cases[] = {
        {"", STATUS_OK, BUDGET_UNLIMITED, BUDGET_UNLIMITED},
        {" Unlimited ", STATUS_OK, BUDGET_UNLIMITED, BUDGET_UNLIMITED},
        {"1/day;10/month", STATUS_OK, DOLLAR, INT64_C(10) * DOLLAR},
        {"$0.5 per month", STATUS_OK, BUDGET_UNLIMITED, DOLLAR / 2},
        {"0/day", STATUS_OK, 0, BUDGET_UNLIMITED},
        {"2/DAY , 3/month", STATUS_OK, INT64_C(2) * DOLLAR, INT64_C(3) * DOLLAR},
        {"0", STATUS_INVALID, 0, 0},
        {"none", STATUS_INVALID, 0, 0},
        {"-1/day", STATUS_INVALID, 0, 0},
        {"1/week", STATUS_INVALID, 0, 0},
        {"1/day;2/day", STATUS_INVALID, 0, 0},
        {"1000001/day", STATUS_INVALID, 0, 0},
        {"1/day;", STATUS_INVALID, 0, 0},
        {"unlimited/day", STATUS_INVALID, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct budget_limits limits;
        assert_int_equal(budget_parse(slice_of(cases[i].text), &limits), cases[i].status);
        if (cases[i].status == STATUS_OK) {
            assert_int_equal(limits.day, cases[i].day);
            assert_int_equal(limits.month, cases[i].month);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_reserved_counts_until_it_is_given_back),
        TEST(what_a_call_has_used_beyond_its_reservation_counts),
        TEST(giving_back_waits_for_no_database),
        cmocka_unit_test(a_budget_is_read_by_its_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
