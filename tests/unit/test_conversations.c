/*
 * Chat sessions in the database: who sees them, in which order, and for how long.
 */
#include "conversations_help.h"

/* --- Making and reading ---------------------------------------------------------------------- */

static void a_session_is_made_on_first_use(void **state)
{
    struct database *database = *state;
    struct conversation found;
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW, &found),
                     STATUS_NOT_FOUND);
    take_turn(database->storage, &key, NOW, "hello", "hi");
    find(database->storage, &scratch, &key, &found);
    assert_string_equal(found.model, "demo/echo");
    assert_string_equal(found.title, "hello");
    assert_int_equal(found.message_count, 2);
    assert_int_equal(found.version, 1);
    assert_int_equal(found.expires_at, NOW + HOUR);
}

/* Every statement that reads or changes one, asked by another owner, and for another id. */
static void a_session_of_another_owner_is_another_session(void **state)
{
    struct database *database = *state;
    static const struct conversation_key others[] = {
        {"user:b", "s1"}, {"user:a", "s2"}, {"", "s1"}, {"user:", "s1"}};
    take_turn(database->storage, &key, NOW, "mine", "yes");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct conversation found;
        struct conversation_message *messages;
        size_t count;
        bool has_more;
        struct conversation_claim claim = claim_at(NOW, "x");
        assert_int_equal(conversation_find(database->storage, &scratch, &others[i], NOW, &found),
                         STATUS_NOT_FOUND);
        assert_int_equal(conversation_clear(database->storage, &others[i], &claim),
                         STATUS_NOT_FOUND);
        assert_int_equal(conversation_delete(database->storage, &others[i], &claim),
                         STATUS_NOT_FOUND);
        assert_int_equal(conversation_messages(database->storage, &scratch, &others[i], INT64_MAX,
                                               10, &messages, &count, &has_more),
                         STATUS_OK);
        assert_int_equal(count, 0);
        assert_int_equal(
            conversation_history(database->storage, &scratch, &others[i], 1000, &messages, &count),
            STATUS_OK);
        assert_int_equal(count, 0);
    }
    struct conversation *list;
    size_t count;
    int64_t total;
    assert_int_equal(
        conversation_list(database->storage, &scratch, "user:b", NOW, 10, 0, &list, &count, &total),
        STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(total, 0);
    find(database->storage, &scratch, &key, &(struct conversation){0});
}

static void the_number_of_a_deleted_session_is_not_given_again(void **state)
{
    struct database *database = *state;
    struct conversation_key other = {"user:b", "s1"};
    struct conversation_claim claim = claim_at(NOW, "x");
    struct conversation first;
    struct conversation second;
    take_turn(database->storage, &key, NOW, "mine", "yes");
    find(database->storage, &scratch, &key, &first);
    assert_int_equal(conversation_delete(database->storage, &key, &claim), STATUS_OK);
    take_turn(database->storage, &other, NOW, "theirs", "yes");
    find(database->storage, &scratch, &other, &second);
    assert_true(second.number > first.number);
}

static void an_owner_has_no_more_sessions_than_allowed(void **state)
{
    struct database *database = *state;
    static const struct {
        struct conversation_key key;
        enum status status;
    } cases[] = {{{"user:a", "s1"}, STATUS_OK},
                 {{"user:a", "s2"}, STATUS_OK},
                 {{"user:a", "s3"}, STATUS_TOO_LARGE},
                 {{"user:a", "s2"}, STATUS_BUSY}, /* is there */
                 {{"user:b", "s3"}, STATUS_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct held held;
        struct conversation_claim claim = claim_at(NOW, "t");
        claim.count_maximum = 2;
        assert_int_equal(conversation_acquire(database->storage, &scratch, &cases[i].key, &claim,
                                              &held.lock, &held.conversation),
                         cases[i].status);
    }
}

/* Also those that were used at the same time. */
static void sessions_are_listed_in_pages_the_most_recent_first(void **state)
{
    struct database *database = *state;
    char id[8];
    struct conversation_key whose = {"o", id};
    static const int64_t ages[] = {0, 1, 1, 1, 2, HOUR};
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "s%d", i);
        take_turn(database->storage, &whose, NOW - ages[i], "q", "a");
    }
    static const char *const expected[] = {"s0", "s3", "s2", "s1", "s4"};
    for (int64_t offset = 0; offset < 6; offset += 2) {
        struct conversation *list;
        size_t count;
        int64_t total;
        assert_int_equal(conversation_list(database->storage, &scratch, "o", NOW, 2, offset, &list,
                                           &count, &total),
                         STATUS_OK);
        assert_int_equal(count, offset < 4 ? 2 : 1);
        assert_int_equal(total, 5);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(list[i].id, expected[offset + (int64_t)i]);
        }
    }
}

static void messages_come_in_pages_backwards(void **state)
{
    struct database *database = *state;
    for (int i = 0; i < 5; i++) {
        char question[8];
        snprintf(question, sizeof question, "q%d", i);
        take_turn(database->storage, &key, NOW + i, question, "a");
    }
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    int64_t before = INT64_MAX;
    int64_t expected = 10;
    bool has_more = true;
    while (has_more) {
        struct conversation_message *messages;
        size_t count;
        assert_int_equal(conversation_messages(database->storage, &scratch, &key, before, 4,
                                               &messages, &count, &has_more),
                         STATUS_OK);
        assert_int_equal(count, expected >= 4 ? 4 : expected);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(messages[i].position, expected - (int64_t)count + 1 + (int64_t)i);
        }
        assert_string_equal(messages[0].role, "user");
        expected -= (int64_t)count;
        before = messages[0].position;
    }
    assert_int_equal(expected, 0);
}

static void history_keeps_the_newest_whole_turns_that_fit(void **state)
{
    struct database *database = *state;
    for (int i = 0; i < 6; i++) {
        char question[8];
        snprintf(question, sizeof question, "%d...", i);
        take_turn(database->storage, &key, NOW + i, question, "answer");
    }
    struct conversation found;
    find(database->storage, &scratch, &key, &found);
    static const struct {
        size_t maximum;
        size_t count;
        const char *first;
    } cases[] = {{1000, 12, "0..."}, {20, 4, "4..."}, {19, 2, "5..."}, {10, 2, "5..."}, {9, 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conversation_message *messages;
        size_t count;
        assert_int_equal(conversation_history(database->storage, &scratch, &key, cases[i].maximum,
                                              &messages, &count),
                         STATUS_OK);
        assert_int_equal(count, cases[i].count);
        if (count > 0) {
            assert_string_equal(messages[0].content, cases[i].first);
            assert_string_equal(messages[count - 1].content, "answer");
        }
    }
}

/* --- Time to live ---------------------------------------------------------------------------- */

static void an_expired_session_is_gone_and_begins_anew(void **state)
{
    struct database *database = *state;
    take_turn(database->storage, &key, NOW, "old", "old");
    struct conversation found;
    struct conversation_claim claim = claim_at(NOW + HOUR, "x");
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW + HOUR - 1, &found),
                     STATUS_OK);
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW + HOUR, &found),
                     STATUS_EXPIRED);
    assert_int_equal(conversation_clear(database->storage, &key, &claim), STATUS_EXPIRED);
    struct held held;
    assert_int_equal(acquire(database->storage, &scratch, &key, NOW + HOUR, "t", &held), STATUS_OK);
    assert_int_equal(held.conversation.message_count, 0);
    struct conversation_message *messages;
    size_t count;
    assert_int_equal(
        conversation_history(database->storage, &scratch, &key, 1000, &messages, &count),
        STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(save_text(database->storage, &held, NOW + HOUR, "new", "new"), STATUS_OK);
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW + HOUR, &found),
                     STATUS_OK);
    assert_string_equal(found.title, "new");
    assert_int_equal(found.created_at, NOW + HOUR);
}

static void every_turn_moves_the_expiry(void **state)
{
    struct database *database = *state;
    take_turn(database->storage, &key, NOW, "q", "a");
    take_turn(database->storage, &key, NOW + HOUR / 2, "q", "a");
    struct conversation found;
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW + HOUR, &found),
                     STATUS_OK);
    assert_int_equal(found.message_count, 4);
}

static size_t count_messages(struct storage *storage, const struct conversation_key *whose)
{
    struct conversation_message *messages;
    size_t count;
    bool has_more;
    assert_int_equal(conversation_messages(storage, &scratch, whose, INT64_MAX, 10, &messages,
                                           &count, &has_more),
                     STATUS_OK);
    return count;
}

static void the_sweep_takes_expired_sessions_that_nobody_holds(void **state)
{
    struct database *database = *state;
    struct conversation_key held_key = {"user:a", "held"};
    struct conversation_key young_key = {"user:a", "young"};
    take_turn(database->storage, &key, NOW, "q", "a");
    take_turn(database->storage, &young_key, NOW + HOUR, "q", "a");
    take_turn(database->storage, &held_key, NOW, "q", "a");
    struct held held[2]; /* one has messages, the other waits for its first turn */
    const struct conversation_key held_keys[] = {held_key, {"user:a", "new"}};
    for (size_t i = 0; i < 2; i++) {
        struct conversation_claim claim = claim_at(NOW, "t");
        claim.lease_expires_at = NOW + 3 * HOUR;
        assert_int_equal(conversation_acquire(database->storage, &scratch, &held_keys[i], &claim,
                                              &held[i].lock, &held[i].conversation),
                         STATUS_OK);
    }
    int64_t removed;
    bool has_more;
    assert_int_equal(conversation_sweep(database->storage, NOW + HOUR, 100, &removed, &has_more),
                     STATUS_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(count_messages(database->storage, &key), 2);
    assert_int_equal(
        conversation_sweep(database->storage, NOW + HOUR + 1, 100, &removed, &has_more), STATUS_OK);
    assert_int_equal(removed, 1);
    assert_false(has_more);
    struct conversation found;
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW, &found),
                     STATUS_NOT_FOUND);
    assert_int_equal(conversation_find(database->storage, &scratch, &young_key, NOW, &found),
                     STATUS_OK);
    assert_int_equal(
        conversation_sweep(database->storage, NOW + 3 * HOUR, 100, &removed, &has_more), STATUS_OK);
    assert_int_equal(removed, 1); /* the leases of the others end then, and are not over yet */
    assert_int_equal(count_messages(database->storage, &held_key), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(save_text(database->storage, &held[i], NOW, "q", "a"), STATUS_OK);
    }
}

static void the_sweep_removes_no_more_rows_at_a_time_than_asked(void **state)
{
    struct database *database = *state;
    for (int i = 0; i < 5; i++) {
        take_turn(database->storage, &key, NOW, "q", "a");
    }
    int64_t removed = 0;
    bool has_more = true;
    int batches = 0;
    for (; has_more; batches++) {
        assert_int_equal(removed, 0);
        assert_int_equal(
            conversation_sweep(database->storage, NOW + HOUR + 1, 4, &removed, &has_more),
            STATUS_OK);
        assert_int_equal(count_messages(database->storage, &key),
                         batches < 2 ? 6 - 4 * batches : 0);
    }
    assert_int_equal(batches, 3); /* 4 + 4 messages, 2 messages and their conversation */
    assert_int_equal(removed, 1);
    struct conversation found;
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW, &found),
                     STATUS_NOT_FOUND);
}

static void clearing_keeps_the_session_and_its_positions_grow_on(void **state)
{
    struct database *database = *state;
    struct conversation found;
    struct conversation_claim claim = claim_at(NOW, "x");
    take_turn(database->storage, &key, NOW, "before", "a");
    assert_int_equal(conversation_clear(database->storage, &key, &claim), STATUS_OK);
    find(database->storage, &scratch, &key, &found);
    assert_int_equal(found.message_count, 0);
    assert_string_equal(found.title, "");
    take_turn(database->storage, &key, NOW, "after", "a");
    find(database->storage, &scratch, &key, &found);
    assert_string_equal(found.title, "after");
    struct conversation_message *messages;
    size_t count;
    bool has_more;
    assert_int_equal(conversation_messages(database->storage, &scratch, &key, INT64_MAX, 10,
                                           &messages, &count, &has_more),
                     STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(messages[0].position, 3);
    assert_int_equal(conversation_delete(database->storage, &key, &claim), STATUS_OK);
    assert_int_equal(conversation_find(database->storage, &scratch, &key, NOW, &found),
                     STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(a_session_is_made_on_first_use),
        DATABASE_TEST(a_session_of_another_owner_is_another_session),
        DATABASE_TEST(the_number_of_a_deleted_session_is_not_given_again),
        DATABASE_TEST(an_owner_has_no_more_sessions_than_allowed),
        DATABASE_TEST(sessions_are_listed_in_pages_the_most_recent_first),
        DATABASE_TEST(messages_come_in_pages_backwards),
        DATABASE_TEST(history_keeps_the_newest_whole_turns_that_fit),
        DATABASE_TEST(an_expired_session_is_gone_and_begins_anew),
        DATABASE_TEST(every_turn_moves_the_expiry),
        DATABASE_TEST(the_sweep_takes_expired_sessions_that_nobody_holds),
        DATABASE_TEST(the_sweep_removes_no_more_rows_at_a_time_than_asked),
        DATABASE_TEST(clearing_keeps_the_session_and_its_positions_grow_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
