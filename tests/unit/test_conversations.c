/*
 * Chat sessions in the database: who sees them, the lock that makes a turn one unit, and what
 * survives when a process does not.
 */
#include "database_help.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/memory.h"
#include "stores/conversations.h"

#define NOW   INT64_C(1760000000000)
#define HOUR  INT64_C(3600000)
#define LEASE INT64_C(30000)

static struct arena scratch; /* of the running test */

static const struct conversation_key key = {"user:a", "s1"};

static struct conversation_claim claim_at(int64_t now, const char *token)
{
    return (struct conversation_claim){
        .now = now, .expires_at = now + HOUR, .token = token, .lease_expires_at = now + LEASE};
}

struct held {
    struct conversation_lock lock;
    struct conversation conversation;
};

static enum status acquire(struct storage *storage, struct arena *arena,
                           const struct conversation_key *whose, int64_t now, const char *token,
                           struct held *out)
{
    struct conversation_claim claim = claim_at(now, token);
    return conversation_acquire(storage, arena, whose, &claim, &out->lock, &out->conversation);
}

static enum status save_text(struct storage *storage, const struct held *held, int64_t now,
                             const char *question, const char *answer)
{
    struct conversation_message messages[] = {
        {.role = "user", .content = question, .created_at = now},
        {.role = "assistant", .content = answer, .tokens = 3, .created_at = now},
    };
    struct conversation_turn turn = {.messages = messages,
                                     .message_count = 2,
                                     .model = "demo/echo",
                                     .title = question,
                                     .now = now,
                                     .expires_at = now + HOUR};
    return conversation_save(storage, &held->lock, &turn);
}

static void take_turn(struct storage *storage, const struct conversation_key *whose, int64_t now,
                      const char *question, const char *answer)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct held held;
    assert_int_equal(acquire(storage, &arena, whose, now, "t", &held), STATUS_OK);
    assert_int_equal(save_text(storage, &held, now, question, answer), STATUS_OK);
    arena_destroy(&arena);
}

static void find(struct storage *storage, struct arena *arena, const struct conversation_key *whose,
                 struct conversation *out)
{
    assert_int_equal(conversation_find(storage, arena, whose, NOW, out), STATUS_OK);
}

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

static int set_up(void **state)
{
    arena_init(&scratch, 1 << 20);
    return database_set_up(state);
}

static int tear_down(void **state)
{
    arena_destroy(&scratch);
    return database_tear_down(state);
}

int main(void)
{
#define DATABASE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(a_session_is_made_on_first_use),
        DATABASE_TEST(a_session_of_another_owner_is_another_session),
        DATABASE_TEST(the_number_of_a_deleted_session_is_not_given_again),
        DATABASE_TEST(an_owner_has_no_more_sessions_than_allowed),
        DATABASE_TEST(sessions_are_listed_in_pages_the_most_recent_first),
        DATABASE_TEST(messages_come_in_pages_backwards),
        DATABASE_TEST(history_keeps_the_newest_whole_turns_that_fit),
        DATABASE_TEST(a_held_session_is_busy_until_it_is_saved),
        DATABASE_TEST(a_holder_paused_past_its_lease_cannot_overwrite),
        DATABASE_TEST(the_same_token_of_an_earlier_turn_does_not_open_a_later_one),
        DATABASE_TEST(a_lock_opens_one_turn),
        DATABASE_TEST(renewing_keeps_others_out),
        DATABASE_TEST(a_lock_is_that_of_one_session),
        DATABASE_TEST(a_dead_holder_need_not_be_waited_for),
        DATABASE_TEST(a_failed_first_turn_leaves_nothing_behind),
        DATABASE_TEST(a_turn_and_its_ledger_entry_are_one),
        DATABASE_TEST(an_expired_session_is_gone_and_begins_anew),
        DATABASE_TEST(every_turn_moves_the_expiry),
        DATABASE_TEST(the_sweep_takes_expired_sessions_that_nobody_holds),
        DATABASE_TEST(the_sweep_removes_no_more_rows_at_a_time_than_asked),
        DATABASE_TEST(clearing_keeps_the_session_and_its_positions_grow_on),
        DATABASE_TEST(fifty_parallel_turns_are_fifty_turns_in_a_row),
        cmocka_unit_test(an_acknowledged_turn_survives_kill),
        DATABASE_TEST(running_out_of_memory_loses_no_turn_and_holds_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
