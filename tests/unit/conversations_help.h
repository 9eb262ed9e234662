/*
 * Chat sessions for tests: one database, one arena for each test, and turns that are taken in one call.
 */
#ifndef TESTS_CONVERSATIONS_HELP_H
#define TESTS_CONVERSATIONS_HELP_H

#include "database_help.h"

#include "base/memory.h"
#include "stores/conversations.h"

#define NOW   INT64_C(1760000000000)
#define HOUR  INT64_C(3600000)
#define LEASE INT64_C(30000)

static struct arena scratch; /* of the running test */

static const struct conversation_key key = {"user:a", "s1"};

static inline struct conversation_claim claim_at(int64_t now, const char *token)
{
    return (struct conversation_claim){
        .now = now, .expires_at = now + HOUR, .token = token, .lease_expires_at = now + LEASE};
}

struct held {
    struct conversation_lock lock;
    struct conversation conversation;
};

static inline enum status acquire(struct storage *storage, struct arena *arena,
                                  const struct conversation_key *whose, int64_t now,
                                  const char *token, struct held *out)
{
    struct conversation_claim claim = claim_at(now, token);
    return conversation_acquire(storage, arena, whose, &claim, &out->lock, &out->conversation);
}

static inline enum status save_text(struct storage *storage, const struct held *held, int64_t now,
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

static inline void take_turn(struct storage *storage, const struct conversation_key *whose,
                             int64_t now, const char *question, const char *answer)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct held held;
    assert_int_equal(acquire(storage, &arena, whose, now, "t", &held), STATUS_OK);
    assert_int_equal(save_text(storage, &held, now, question, answer), STATUS_OK);
    arena_destroy(&arena);
}

static inline void find(struct storage *storage, struct arena *arena,
                        const struct conversation_key *whose, struct conversation *out)
{
    assert_int_equal(conversation_find(storage, arena, whose, NOW, out), STATUS_OK);
}

static inline int set_up(void **state)
{
    arena_init(&scratch, 1 << 20);
    return database_set_up(state);
}

static inline int tear_down(void **state)
{
    arena_destroy(&scratch);
    return database_tear_down(state);
}

#define DATABASE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
