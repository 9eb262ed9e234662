/*
 * The lock of a chat session: it makes a turn one unit, also when many take turns at once, when memory
 * runs out, or when a process dies.
 */
#include "conversations_help.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* --- The lock -------------------------------------------------------------------------------- */

static void a_held_session_is_busy_until_it_is_saved(void **state)
{
    struct database *database = *state;
    struct held first;
    struct held second;
    struct conversation_claim claim = claim_at(NOW, "other");
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &first), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + 1, "two", &second),
                     STATUS_BUSY);
    assert_int_equal(conversation_clear(database->storage, &key, &claim), STATUS_BUSY);
    assert_int_equal(conversation_delete(database->storage, &key, &claim), STATUS_BUSY);
    assert_int_equal(save_text(database->storage, &first, NOW + 2, "q", "a"), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + 3, "two", &second),
                     STATUS_OK);
    assert_int_equal(second.conversation.message_count, 2);
}

static void a_holder_paused_past_its_lease_cannot_overwrite(void **state)
{
    struct database *database = *state;
    struct held paused;
    struct held next;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &paused), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + LEASE, "two", &next),
                     STATUS_OK);
    assert_int_equal(conversation_renew(database->storage, &paused.lock, NOW + HOUR),
                     STATUS_CONFLICT);
    assert_int_equal(save_text(database->storage, &paused, NOW + LEASE, "late", "late"),
                     STATUS_CONFLICT);
    assert_int_equal(conversation_release(database->storage, &paused.lock, NULL), STATUS_OK);
    assert_int_equal(save_text(database->storage, &next, NOW + LEASE, "q", "a"), STATUS_OK);
    assert_int_equal(save_text(database->storage, &paused, NOW + LEASE, "late", "late"),
                     STATUS_CONFLICT);
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 2);
    assert_string_equal(found.title, "q");
}

static void the_same_token_of_an_earlier_turn_does_not_open_a_later_one(void **state)
{
    struct database *database = *state;
    struct held first;
    struct held second;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "same", &first), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + LEASE, "same", &second),
                     STATUS_OK);
    assert_int_equal(save_text(database->storage, &first, NOW, "q", "a"), STATUS_CONFLICT);
    assert_int_equal(conversation_renew(database->storage, &first.lock, NOW + 9 * LEASE),
                     STATUS_CONFLICT);
    /* Nor does it let go of the later one's lock, or of a session that has no turn yet. */
    assert_int_equal(conversation_release(database->storage, &first.lock, NULL), STATUS_OK);
    struct held third;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + LEASE + 1, "new", &third),
                     STATUS_BUSY);
    assert_int_equal(save_text(database->storage, &second, NOW, "q", "a"), STATUS_OK);
}

static void a_lock_opens_one_turn(void **state)
{
    struct database *database = *state;
    struct held held;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "t", &held), STATUS_OK);
    assert_int_equal(save_text(database->storage, &held, NOW, "q", "a"), STATUS_OK);
    assert_int_equal(save_text(database->storage, &held, NOW, "q", "a"), STATUS_CONFLICT);
    assert_int_equal(conversation_renew(database->storage, &held.lock, NOW + LEASE),
                     STATUS_CONFLICT);
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 2);
}

static void renewing_keeps_others_out(void **state)
{
    struct database *database = *state;
    struct held first;
    struct held second;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &first), STATUS_OK);
    assert_int_equal(conversation_renew(database->storage, &first.lock, NOW + 2 * LEASE),
                     STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + LEASE + 1, "two", &second),
                     STATUS_BUSY);
    assert_int_equal(save_text(database->storage, &first, NOW, "q", "a"), STATUS_OK);
}

/* Also where another has the same token and has been locked as often. */
static void a_lock_is_that_of_one_session(void **state)
{
    struct database *database = *state;
    struct conversation_key other_key = {"user:b", "s1"};
    struct held mine;
    struct held other;
    struct held next;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "t", &mine), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &other_key, NOW, "t", &other), STATUS_OK);
    assert_int_equal(mine.lock.fence, other.lock.fence);
    assert_int_equal(conversation_release(database->storage, &mine.lock, NULL), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &other_key, NOW, "u", &next),
                     STATUS_BUSY);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "t", &mine), STATUS_OK);
    assert_int_equal(conversation_renew(database->storage, &mine.lock, NOW + 9 * LEASE), STATUS_OK);
    assert_int_equal(save_text(database->storage, &mine, NOW, "q", "a"), STATUS_OK);
    struct conversation found;
    find(database->storage, &scratch, &other_key, &found);
    assert_int_equal(found.version, 0);
    assert_int_equal(acquire(database->storage, &scratch, &other_key, NOW + LEASE + 1, "u", &next),
                     STATUS_OK);
}

static bool is_dead(const char *token, void *context)
{
    return strcmp(token, context) == 0;
}

static void a_dead_holder_need_not_be_waited_for(void **state)
{
    struct database *database = *state;
    struct held first;
    struct held second;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &first), STATUS_OK);
    struct conversation_claim claim = claim_at(NOW + 1, "two");
    claim.holder_is_dead = is_dead;
    claim.context = "somebody else";
    assert_int_equal(conversation_acquire(database->storage, &scratch, &key, &claim, &second.lock,
                                          &second.conversation),
                     STATUS_BUSY);
    claim.context = "one";
    assert_int_equal(conversation_acquire(database->storage, &scratch, &key, &claim, &second.lock,
                                          &second.conversation),
                     STATUS_OK);
    assert_int_equal(save_text(database->storage, &first, NOW, "q", "a"), STATUS_CONFLICT);
}

static void a_failed_first_turn_leaves_nothing_behind(void **state)
{
    struct database *database = *state;
    struct held held;
    struct conversation found;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &held), STATUS_OK);
    assert_int_equal(conversation_release(database->storage, &held.lock, NULL), STATUS_OK);
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW, &found),
                     STATUS_NOT_FOUND);
    take_turn(database->storage, &key, NOW, "q", "a");
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &held), STATUS_OK);
    assert_int_equal(conversation_release(database->storage, &held.lock, NULL), STATUS_OK);
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 2);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "two", &held), STATUS_OK);
}

static void a_turn_and_its_ledger_entry_are_one(void **state)
{
    struct database *database = *state;
    struct ledger_entry entry = {.created_at = NOW,
                                 .request_id = "r",
                                 .owner = "user:a",
                                 .principal = "user:a",
                                 .provider = "demo",
                                 .model = "echo",
                                 .operation = "chat",
                                 .outcome = "ok",
                                 .input_tokens = 7,
                                 .output_tokens = 5};
    struct conversation_turn turn = {
        .model = "m", .title = "t", .now = NOW, .expires_at = NOW + HOUR, .entry = &entry};
    struct held lost;
    struct held held;
    struct ledger_report report;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW, "one", &lost), STATUS_OK);
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + LEASE, "two", &held),
                     STATUS_OK);
    assert_int_equal(conversation_save(database->storage, &lost.lock, &turn), STATUS_CONFLICT);
    assert_int_equal(ledger_read(database->storage, &scratch, "user:a", 0, 0, &report), STATUS_OK);
    assert_int_equal(report.total.calls, 0);
    assert_int_equal(conversation_save(database->storage, &held.lock, &turn), STATUS_OK);
    assert_int_equal(ledger_read(database->storage, &scratch, "user:a", 0, 0, &report), STATUS_OK);
    assert_int_equal(report.total.calls, 1);
    assert_int_equal(report.total.input_tokens, 7);
}

/* --- Many at once, and death ------------------------------------------------------------------ */

#define THREADS          5
#define TURNS_PER_THREAD 10

static void *take_turns(void *context)
{
    struct storage *storage = context;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    char token[32];
    snprintf(token, sizeof token, "%lx", (unsigned long)pthread_self());
    for (int i = 0; i < TURNS_PER_THREAD; i++) {
        struct held held;
        enum status status;
        while ((status = acquire(storage, &arena, &key, NOW, token, &held)) == STATUS_BUSY) {
            usleep(500);
        }
        char question[32];
        snprintf(question, sizeof question, "%lld", (long long)held.conversation.message_count / 2);
        if (status != STATUS_OK || save_text(storage, &held, NOW, question, "a") != STATUS_OK) {
            return "failed";
        }
        arena_reset(&arena);
    }
    arena_destroy(&arena);
    return NULL;
}

static void fifty_parallel_turns_are_fifty_turns_in_a_row(void **state)
{
    struct database *database = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, database->storage), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 2 * THREADS * TURNS_PER_THREAD);
    struct conversation_message *messages;
    size_t count;
    bool has_more;
    assert_int_equal(conversation_messages(database->storage, &scratch, &key, INT64_MAX, 1000,
                                           &messages, &count, &has_more),
                     STATUS_OK);
    assert_int_equal(count, 2 * THREADS * TURNS_PER_THREAD);
    /* Each saw all turns before its own: the n-th question is the number n. */
    for (size_t i = 0; i < count; i += 2) {
        char expected[32];
        snprintf(expected, sizeof expected, "%zu", i / 2);
        assert_string_equal(messages[i].content, expected);
        assert_string_equal(messages[i + 1].role, "assistant");
    }
}

struct writer {
    const struct database *database;
    int report;
};

static int write_for_ever(void *context)
{
    const struct writer *writer = context;
    struct storage *storage = database_open_with(writer->database, NULL, 0);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (unsigned char turn = 0;; turn++) {
        struct held held;
        if (acquire(storage, &arena, &key, NOW, "child", &held) != STATUS_OK ||
            save_text(storage, &held, NOW, "q", "a") != STATUS_OK ||
            write(writer->report, &turn, 1) != 1) {
            return 1;
        }
        arena_reset(&arena);
    }
}

static void an_acknowledged_turn_survives_kill(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct writer writer = {.database = &database, .report = ends[1]};
    pid_t child = child_start(write_for_ever, &writer);
    close(ends[1]);
    int64_t acknowledged = 0;
    unsigned char turn;
    while (acknowledged < 100 && read(ends[0], &turn, 1) == 1) {
        acknowledged++;
    }
    kill(child, SIGKILL);
    assert_int_equal(child_wait(child), -SIGKILL);
    while (read(ends[0], &turn, 1) == 1) {
        acknowledged++;
    }
    close(ends[0]);
    struct storage *storage = database_open_with(&database, NULL, 0);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct conversation found;
    find(storage, &arena, &key, &found);
    /* The last turn may have been saved without having been reported. */
    assert_true(found.message_count / 2 == acknowledged ||
                found.message_count / 2 == acknowledged + 1);
    assert_int_equal(found.message_count % 2, 0);
    arena_destroy(&arena);
    storage_close(storage);
    database_remove_directory(&database);
}

static void running_out_of_memory_loses_no_turn_and_holds_no_lock(void **state)
{
    struct database *database = *state;
    take_turn(database->storage, &key, NOW, "q", "a");
    bool succeeded = false;
    int64_t turns = 1;
    for (unsigned long n = 1; !succeeded; n++) {
        struct held held = {0};
        memory_fail_after(n);
        enum status status = acquire(database->storage, &scratch, &key, NOW, "one", &held);
        struct conversation_message *messages;
        size_t count;
        if (status == STATUS_OK) {
            status =
                conversation_history(database->storage, &scratch, &key, 1000, &messages, &count);
        }
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY ||
                    status == STATUS_UNAVAILABLE);
        succeeded = status == STATUS_OK;
        if (held.lock.fence != 0) {
            assert_int_equal(save_text(database->storage, &held, NOW, "q", "a"), STATUS_OK);
            turns++;
        }
        arena_destroy(&scratch);
        arena_init(&scratch, 1 << 20);
    }
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 2 * turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(a_held_session_is_busy_until_it_is_saved),
        DATABASE_TEST(a_holder_paused_past_its_lease_cannot_overwrite),
        DATABASE_TEST(the_same_token_of_an_earlier_turn_does_not_open_a_later_one),
        DATABASE_TEST(a_lock_opens_one_turn),
        DATABASE_TEST(renewing_keeps_others_out),
        DATABASE_TEST(a_lock_is_that_of_one_session),
        DATABASE_TEST(a_dead_holder_need_not_be_waited_for),
        DATABASE_TEST(a_failed_first_turn_leaves_nothing_behind),
        DATABASE_TEST(a_turn_and_its_ledger_entry_are_one),
        DATABASE_TEST(fifty_parallel_turns_are_fifty_turns_in_a_row),
        cmocka_unit_test(an_acknowledged_turn_survives_kill),
        DATABASE_TEST(running_out_of_memory_loses_no_turn_and_holds_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
