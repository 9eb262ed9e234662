/*
 * What the store of sessions promises, above all in the rotation of refresh tokens: one child per
 * token whoever races, ten seconds of excuse for the parent, and the end of the session for
 * anything older.
 */
#include "database_help.h"

#include <pthread.h>

#include "base/random.h"
#include "stores/accounts.h"
#include "stores/sessions.h"

#define NOW  1700000000
#define WEEK (7 * 86400)

static struct arena arena;
static struct account owner;

static struct storage *storage_of(void **state)
{
    return ((struct database *)*state)->storage;
}

static struct account create_account(struct storage *storage, const char *email)
{
    struct account_new given = {.email = email, .password_hash = "h"};
    struct account account;
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_OK);
    return account;
}

static int set_up(void **state)
{
    arena_init(&arena, 1 << 20);
    database_set_up(state);
    owner = create_account(storage_of(state), "owner@example.org");
    return 0;
}

static int tear_down(void **state)
{
    arena_destroy(&arena);
    return database_tear_down(state);
}

static struct session_token make_token(int64_t expires_at)
{
    struct session_token token = {.sealed_length = 60, .expires_at = expires_at};
    random_bytes(token.hash, sizeof(token.hash));
    random_bytes(token.sealed, token.sealed_length);
    return token;
}

static struct session create(struct storage *storage, const char *user_id,
                             const struct session_token *first)
{
    struct session session;
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){.user_id = user_id,
                                                              .user_agent = "agent/1.0",
                                                              .address = "192.0.2.1",
                                                              .now = NOW},
                                    first, &session),
                     STATUS_OK);
    return session;
}

static struct session find(struct storage *storage, const char *id)
{
    struct session session;
    assert_int_equal(session_find(storage, &arena, id, &session), STATUS_OK);
    return session;
}

/* Uses `token`; what it became replaces *child. */
static enum session_rotation use(struct storage *storage, const struct session_token *token,
                                 int64_t now, struct session_token *child)
{
    enum session_rotation rotation = SESSION_UNKNOWN;
    struct session session;
    *child = make_token(now + WEEK);
    assert_int_equal(session_rotate(storage, &arena, token->hash, now, child, &rotation, &session),
                     STATUS_OK);
    return rotation;
}

static void assert_same_token(const struct session_token *a, const struct session_token *b)
{
    assert_memory_equal(a->hash, b->hash, sizeof(a->hash));
    assert_int_equal(a->sealed_length, b->sealed_length);
    assert_memory_equal(a->sealed, b->sealed, a->sealed_length);
    assert_int_equal(a->expires_at, b->expires_at);
}

/* --- Sessions ----------------------------------------------------------------------------- */

static void a_session_is_found_as_it_was_created(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session created = create(storage, owner.id, &first);
    struct session found = find(storage, created.id);
    assert_int_equal(strlen(found.id), 36);
    assert_string_equal(found.user_id, owner.id);
    assert_string_equal(found.user_agent, "agent/1.0");
    assert_string_equal(found.address, "192.0.2.1");
    assert_int_equal(found.created_at, NOW);
    assert_int_equal(found.last_used_at, NOW);
    assert_int_equal(found.expires_at, NOW + WEEK);
    assert_int_equal(found.revoked_at, 0);
    struct session other;
    assert_int_equal(session_find(storage, &arena, "nothing", &other), STATUS_NOT_FOUND);
    assert_string_equal(created.user_agent, found.user_agent);
}

static void a_session_needs_a_user(void **state)
{
    struct session_token first = make_token(NOW + WEEK);
    struct session session;
    assert_int_equal(session_create(storage_of(state), &arena,
                                    &(struct session_opening){.user_id = "nobody", .now = NOW},
                                    &first, &session),
                     STATUS_BUSY);
}

static void a_password_that_was_changed_meanwhile_opens_no_session(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session;
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){
                                        .user_id = owner.id, .password_hash = "h", .now = NOW},
                                    &first, &session),
                     STATUS_OK);
    assert_int_equal(
        account_change_password(storage,
                                &(struct account_password_change){
                                    .id = owner.id, .old_hash = "h", .new_hash = "i", .now = NOW}),
        STATUS_OK);
    first = make_token(NOW + WEEK);
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){
                                        .user_id = owner.id, .password_hash = "h", .now = NOW},
                                    &first, &session),
                     STATUS_BUSY);
    struct session *list;
    size_t count;
    int64_t total;
    assert_int_equal(session_list(storage, &arena, owner.id, NOW, 10, 0, &list, &count, &total),
                     STATUS_OK);
    assert_int_equal(count, 0);
}

static void a_user_agent_is_cut_to_whole_characters(void **state)
{
    struct storage *storage = storage_of(state);
    char agent[600];
    memset(agent, 'a', sizeof(agent));
    agent[599] = '\0';
    memcpy(agent + 255, "\xc3\xa9", 2); /* would be cut in two */
    struct session_token first = make_token(NOW + WEEK);
    struct session session;
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){
                                        .user_id = owner.id, .user_agent = agent, .now = NOW},
                                    &first, &session),
                     STATUS_OK);
    assert_int_equal(strlen(find(storage, session.id).user_agent), 255);
    assert_string_equal(find(storage, session.id).address, "");

    first = make_token(NOW + WEEK);
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){.user_id = owner.id,
                                                              .user_agent = "bad \xff\xc3 text",
                                                              .now = NOW},
                                    &first, &session),
                     STATUS_OK);
    assert_string_equal(find(storage, session.id).user_agent, "bad \?\? text");

    first = make_token(NOW + WEEK);
    agent[256] = '\0';
    agent[255] = 'a';
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){
                                        .user_id = owner.id, .user_agent = agent, .now = NOW},
                                    &first, &session),
                     STATUS_OK);
    assert_int_equal(strlen(find(storage, session.id).user_agent), 256);
}

static void a_session_finds_its_owner_without_the_hash(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session created = create(storage, owner.id, &first);
    struct account_session found;
    struct account of;
    assert_int_equal(account_find_by_session(storage, &arena, created.id, &of, &found), STATUS_OK);
    assert_string_equal(of.id, owner.id);
    assert_string_equal(of.email, owner.email);
    assert_null(of.password_hash);
    assert_true(of.is_active);
    assert_false(of.is_superuser);
    assert_int_equal(found.revoked_at, 0);
    assert_int_equal(found.expires_at, NOW + WEEK);
    assert_int_equal(account_set_active(storage, owner.id, false), STATUS_OK);
    assert_int_equal(session_revoke(storage, owner.id, created.id, NOW + 1), STATUS_OK);
    assert_int_equal(account_find_by_session(storage, &arena, created.id, &of, &found), STATUS_OK);
    assert_false(of.is_active);
    assert_int_equal(found.revoked_at, NOW + 1);
    assert_int_equal(account_find_by_session(storage, &arena, "none", &of, &found),
                     STATUS_NOT_FOUND);
}

static void revoking_is_idempotent_and_only_for_ones_own(void **state)
{
    struct storage *storage = storage_of(state);
    struct account other = create_account(storage, "other@example.org");
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    assert_int_equal(session_revoke(storage, other.id, session.id, NOW + 1), STATUS_OK);
    assert_int_equal(find(storage, session.id).revoked_at, 0);
    assert_int_equal(session_revoke(storage, owner.id, session.id, NOW + 2), STATUS_OK);
    assert_int_equal(session_revoke(storage, owner.id, session.id, NOW + 3), STATUS_OK);
    assert_int_equal(find(storage, session.id).revoked_at, NOW + 2);
    assert_int_equal(session_revoke(storage, owner.id, "nothing", NOW), STATUS_OK);
    struct session_token child;
    assert_int_equal(use(storage, &first, NOW + 4, &child), SESSION_REVOKED);
}

static void revoking_all_spares_the_one_named_and_other_users(void **state)
{
    struct storage *storage = storage_of(state);
    struct account other = create_account(storage, "other@example.org");
    struct session_token tokens[4];
    struct session sessions[4];
    for (int i = 0; i < 4; i++) {
        tokens[i] = make_token(NOW + WEEK);
        sessions[i] = create(storage, i < 3 ? owner.id : other.id, &tokens[i]);
    }
    assert_int_equal(session_revoke_all(storage, owner.id, sessions[1].id, NOW + 1), STATUS_OK);
    assert_int_equal(find(storage, sessions[0].id).revoked_at, NOW + 1);
    assert_int_equal(find(storage, sessions[1].id).revoked_at, 0);
    assert_int_equal(find(storage, sessions[2].id).revoked_at, NOW + 1);
    assert_int_equal(find(storage, sessions[3].id).revoked_at, 0);
    assert_int_equal(session_revoke_all(storage, owner.id, NULL, NOW + 2), STATUS_OK);
    assert_int_equal(find(storage, sessions[0].id).revoked_at, NOW + 1);
    assert_int_equal(find(storage, sessions[1].id).revoked_at, NOW + 2);
    assert_int_equal(find(storage, sessions[3].id).revoked_at, 0);
}

static void an_account_and_its_first_session_are_made_together_or_not_at_all(void **state)
{
    struct storage *storage = storage_of(state);
    struct account_new given = {.email = "new@example.org", .password_hash = "h"};
    struct account account;
    struct account found;
    struct session session;
    struct session_token first = make_token(NOW + WEEK);
    assert_int_equal(account_prepare(&arena, &given, &account), STATUS_OK);
    create(storage, owner.id, &first); /* the token is taken now, so the session cannot be */
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){.new_account = &account, .now = NOW},
                                    &first, &session),
                     STATUS_CONFLICT);
    assert_int_equal(account_find_by_id(storage, &arena, account.id, &found), STATUS_NOT_FOUND);
    first = make_token(NOW + WEEK);
    assert_int_equal(session_create(storage, &arena,
                                    &(struct session_opening){.new_account = &account, .now = NOW},
                                    &first, &session),
                     STATUS_OK);
    assert_string_equal(find(storage, session.id).user_id, account.id);
    assert_int_equal(account_find_by_id(storage, &arena, account.id, &found), STATUS_OK);
}

static void another_password_ends_all_sessions_but_the_one_it_was_given_in(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token tokens[2] = {make_token(NOW + WEEK), make_token(NOW + WEEK)};
    struct session first = create(storage, owner.id, &tokens[0]);
    struct session second = create(storage, owner.id, &tokens[1]);
    assert_int_equal(account_change_password(
                         storage, &(struct account_password_change){.id = owner.id,
                                                                    .old_hash = "x",
                                                                    .new_hash = "i",
                                                                    .kept_session = second.id,
                                                                    .now = NOW}),
                     STATUS_CONFLICT);
    assert_int_equal(find(storage, first.id).revoked_at, 0);
    assert_int_equal(account_change_password(
                         storage, &(struct account_password_change){.id = owner.id,
                                                                    .old_hash = "h",
                                                                    .new_hash = "i",
                                                                    .kept_session = second.id,
                                                                    .now = NOW}),
                     STATUS_OK);
    assert_int_equal(find(storage, first.id).revoked_at, NOW);
    assert_int_equal(find(storage, second.id).revoked_at, 0);
    assert_int_equal(account_change_password(storage,
                                             &(struct account_password_change){
                                                 .id = owner.id, .new_hash = "j", .now = NOW + 1}),
                     STATUS_OK);
    assert_int_equal(find(storage, second.id).revoked_at, NOW + 1);
}

static void the_list_holds_ones_own_live_sessions_newest_first(void **state)
{
    struct storage *storage = storage_of(state);
    struct account other = create_account(storage, "other@example.org");
    struct session_token tokens[5];
    struct session sessions[5];
    for (int i = 0; i < 5; i++) {
        tokens[i] = make_token(i == 3 ? NOW + 5 : NOW + WEEK);
        sessions[i] = create(storage, i == 4 ? other.id : owner.id, &tokens[i]);
    }
    assert_int_equal(session_revoke(storage, owner.id, sessions[2].id, NOW), STATUS_OK);
    struct session_token child;
    assert_int_equal(use(storage, &tokens[1], NOW + 1, &child), SESSION_ROTATED);
    struct session *list;
    size_t count;
    int64_t total;
    assert_int_equal(session_list(storage, &arena, owner.id, NOW + 5, 10, 0, &list, &count, &total),
                     STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].id, sessions[1].id);
    assert_string_equal(list[1].id, sessions[0].id);
}

static void the_sweep_takes_what_ended_long_ago_with_its_tokens(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token expired = make_token(NOW + 10);
    struct session_token revoked = make_token(NOW + WEEK);
    struct session_token live = make_token(NOW + WEEK);
    create(storage, owner.id, &expired);
    struct session revoked_session = create(storage, owner.id, &revoked);
    struct session live_session = create(storage, owner.id, &live);
    assert_int_equal(session_revoke(storage, owner.id, revoked_session.id, NOW + 10), STATUS_OK);
    int64_t removed;
    assert_int_equal(session_sweep(storage, NOW + 10, &removed), STATUS_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(session_sweep(storage, NOW + 11, &removed), STATUS_OK);
    assert_int_equal(removed, 2);
    find(storage, live_session.id);
    struct session_token child;
    assert_int_equal(use(storage, &expired, NOW, &child), SESSION_UNKNOWN);
    assert_int_equal(use(storage, &revoked, NOW, &child), SESSION_UNKNOWN);
    assert_int_equal(use(storage, &live, NOW, &child), SESSION_ROTATED);
}

static void the_sweep_takes_more_than_one_batch(void **state)
{
    struct storage *storage = storage_of(state);
    for (int i = 0; i < 1203; i++) {
        struct session_token token = make_token(NOW + 1);
        create(storage, owner.id, &token);
        arena_reset(&arena);
        owner.id = NULL;
        struct account again;
        assert_int_equal(account_find_by_login(storage, &arena, "owner@example.org", &again),
                         STATUS_OK);
        owner = again;
    }
    int64_t removed;
    assert_int_equal(session_sweep(storage, NOW + WEEK, &removed), STATUS_OK);
    assert_int_equal(removed, 1203);
}

static void the_sweep_spares_the_line_of_a_living_session(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token tokens[4];
    tokens[0] = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &tokens[0]);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(use(storage, &tokens[i - 1], NOW + i * 86400, &tokens[i]),
                         SESSION_ROTATED);
    }
    int64_t removed;
    assert_int_equal(session_sweep(storage, NOW + WEEK + 1, &removed), STATUS_OK);
    assert_int_equal(removed, 0);
    /* The first token is forgotten, for it had expired anyway; the second still gives alarm. */
    struct session_token child;
    assert_int_equal(use(storage, &tokens[0], NOW + WEEK + 1, &child), SESSION_UNKNOWN);
    assert_int_equal(use(storage, &tokens[1], NOW + WEEK + 1, &child), SESSION_REUSED);
    assert_int_equal(find(storage, session.id).revoked_at, NOW + WEEK + 1);
}

/* --- Rotation ----------------------------------------------------------------------------- */

static void rotation_moves_the_session_on(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    struct session_token candidate = make_token(NOW + 100 + WEEK);
    struct session_token child = candidate;
    enum session_rotation rotation;
    struct session after;
    assert_int_equal(
        session_rotate(storage, &arena, first.hash, NOW + 100, &child, &rotation, &after),
        STATUS_OK);
    assert_int_equal(rotation, SESSION_ROTATED);
    assert_same_token(&child, &candidate);
    assert_string_equal(after.id, session.id);
    assert_string_equal(after.user_id, owner.id);
    assert_int_equal(after.last_used_at, NOW + 100);
    assert_int_equal(after.expires_at, NOW + 100 + WEEK);
    assert_int_equal(find(storage, session.id).expires_at, NOW + 100 + WEEK);
}

static void an_unknown_token_changes_nothing(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    struct session_token stranger = make_token(NOW + WEEK);
    struct session_token child;
    assert_int_equal(use(storage, &stranger, NOW, &child), SESSION_UNKNOWN);
    assert_int_equal(find(storage, session.id).revoked_at, 0);
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
}

static void an_expired_token_is_refused_without_alarm(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + 10);
    struct session session = create(storage, owner.id, &first);
    struct session_token child;
    assert_int_equal(use(storage, &first, NOW + 10, &child), SESSION_EXPIRED);
    assert_int_equal(find(storage, session.id).revoked_at, 0);
    assert_int_equal(use(storage, &first, NOW + 9, &child), SESSION_ROTATED);
}

static void the_parent_is_excused_for_ten_seconds_with_the_same_child(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    struct session_token child;
    struct session_token again;
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
    assert_int_equal(use(storage, &first, NOW, &again), SESSION_REPEATED);
    assert_same_token(&again, &child);
    assert_int_equal(use(storage, &first, NOW + SESSION_REUSE_SECONDS, &again), SESSION_REPEATED);
    assert_same_token(&again, &child);
    /* A clock that was put back does not make a thief. */
    assert_int_equal(use(storage, &first, NOW - 3600, &again), SESSION_REPEATED);
    assert_int_equal(find(storage, session.id).revoked_at, 0);
    assert_int_equal(use(storage, &child, NOW + 60, &again), SESSION_ROTATED);
}

static void parent_reuse_after_ten_seconds_revokes_the_session(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    struct session_token child;
    struct session_token again;
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
    int64_t late = NOW + SESSION_REUSE_SECONDS + 1;
    assert_int_equal(use(storage, &first, late, &again), SESSION_REUSED);
    assert_int_equal(find(storage, session.id).revoked_at, late);
    assert_int_equal(use(storage, &child, late, &again), SESSION_REVOKED);
    assert_int_equal(use(storage, &first, late, &again), SESSION_REVOKED);
}

static void grandparent_reuse_revokes_the_session_at_once(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session session = create(storage, owner.id, &first);
    struct session_token child;
    struct session_token grandchild;
    struct session_token again;
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
    assert_int_equal(use(storage, &child, NOW, &grandchild), SESSION_ROTATED);
    assert_int_equal(use(storage, &first, NOW, &again), SESSION_REUSED);
    assert_int_equal(find(storage, session.id).revoked_at, NOW);
    assert_int_equal(use(storage, &grandchild, NOW, &again), SESSION_REVOKED);
}

static void reuse_revokes_that_session_alone(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    struct session_token other = make_token(NOW + WEEK);
    create(storage, owner.id, &first);
    create(storage, owner.id, &other);
    struct session_token child;
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
    assert_int_equal(use(storage, &first, NOW + 60, &child), SESSION_REUSED);
    assert_int_equal(use(storage, &other, NOW + 60, &child), SESSION_ROTATED);
}

static void an_inactive_owner_cannot_go_on(void **state)
{
    struct storage *storage = storage_of(state);
    struct session_token first = make_token(NOW + WEEK);
    create(storage, owner.id, &first);
    assert_int_equal(account_set_active(storage, owner.id, false), STATUS_OK);
    struct session_token child;
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_REVOKED);
    assert_int_equal(account_set_active(storage, owner.id, true), STATUS_OK);
    assert_int_equal(use(storage, &first, NOW, &child), SESSION_ROTATED);
}

/* --- Races -------------------------------------------------------------------------------- */

struct outcome {
    enum session_rotation rotation;
    unsigned char child[SESSION_TOKEN_HASH_SIZE];
};

static void assert_one_child(const struct outcome *outcomes, int count)
{
    int rotated = 0;
    int repeated = 0;
    for (int i = 0; i < count; i++) {
        rotated += outcomes[i].rotation == SESSION_ROTATED;
        repeated += outcomes[i].rotation == SESSION_REPEATED;
        assert_memory_equal(outcomes[i].child, outcomes[0].child, sizeof(outcomes[0].child));
    }
    assert_int_equal(rotated, 1);
    assert_int_equal(repeated, count - 1);
}

static bool rotate_once(struct storage *storage, const struct session_token *token,
                        struct outcome *outcome)
{
    struct arena own;
    arena_init(&own, 1 << 16);
    struct session session;
    struct session_token child = make_token(NOW + WEEK);
    enum status status =
        session_rotate(storage, &own, token->hash, NOW, &child, &outcome->rotation, &session);
    memcpy(outcome->child, child.hash, sizeof(child.hash));
    arena_destroy(&own);
    return status == STATUS_OK;
}

struct race {
    struct database *database;
    struct session_token token;
    struct gate gate;
    int report;
};

static int rotate_in_process(void *context)
{
    struct race *race = context;
    struct storage *storage = database_open_with(race->database, NULL, 30000);
    struct outcome outcome = {0};
    gate_wait(&race->gate);
    bool ok = rotate_once(storage, &race->token, &outcome) &&
              write(race->report, &outcome, sizeof(outcome)) == (ssize_t)sizeof(outcome);
    storage_close(storage);
    return ok ? 0 : 1;
}

static void racing_processes_get_one_child(void **state)
{
    struct database *database = *state;
    for (int round = 0; round < 10; round++) {
        struct race race = {.database = database, .token = make_token(NOW + WEEK)};
        if (database->storage == NULL) {
            database->storage = database_open_with(database, NULL, 0);
        }
        create(database->storage, owner.id, &race.token);
        storage_close(database->storage);
        database->storage = NULL;

        race.gate = gate_make();
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        race.report = ends[1];
        pid_t children[CHILDREN];
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = child_start(rotate_in_process, &race);
        }
        gate_open(&race.gate);
        struct outcome outcomes[CHILDREN];
        for (int i = 0; i < CHILDREN; i++) {
            assert_int_equal(child_wait(children[i]), 0);
        }
        assert_int_equal(read(ends[0], outcomes, sizeof(outcomes)), sizeof(outcomes));
        assert_one_child(outcomes, CHILDREN);
        close(ends[0]);
        close(ends[1]);
    }
}

struct contestant {
    struct storage *storage;
    const struct session_token *token;
    pthread_barrier_t *barrier;
    struct outcome outcome;
    bool ok;
};

static void *rotate_in_thread(void *context)
{
    struct contestant *contestant = context;
    struct storage_connection *connection;
    contestant->ok = storage_connect(contestant->storage, &connection) == STATUS_OK;
    pthread_barrier_wait(contestant->barrier);
    contestant->ok =
        contestant->ok && rotate_once(contestant->storage, contestant->token, &contestant->outcome);
    return NULL;
}

static void racing_threads_get_one_child(void **state)
{
    struct storage *storage = storage_of(state);
    for (int round = 0; round < 10; round++) {
        struct session_token token = make_token(NOW + WEEK);
        create(storage, owner.id, &token);
        pthread_barrier_t barrier;
        pthread_t threads[CHILDREN];
        struct contestant contestants[CHILDREN];
        struct outcome outcomes[CHILDREN];
        pthread_barrier_init(&barrier, NULL, CHILDREN);
        for (int i = 0; i < CHILDREN; i++) {
            contestants[i] =
                (struct contestant){.storage = storage, .token = &token, .barrier = &barrier};
            assert_int_equal(pthread_create(&threads[i], NULL, rotate_in_thread, &contestants[i]),
                             0);
        }
        for (int i = 0; i < CHILDREN; i++) {
            pthread_join(threads[i], NULL);
            assert_true(contestants[i].ok);
            outcomes[i] = contestants[i].outcome;
        }
        pthread_barrier_destroy(&barrier);
        assert_one_child(outcomes, CHILDREN);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_is_found_as_it_was_created),
        TEST(a_session_needs_a_user),
        TEST(a_password_that_was_changed_meanwhile_opens_no_session),
        TEST(a_user_agent_is_cut_to_whole_characters),
        TEST(a_session_finds_its_owner_without_the_hash),
        TEST(revoking_is_idempotent_and_only_for_ones_own),
        TEST(revoking_all_spares_the_one_named_and_other_users),
        TEST(another_password_ends_all_sessions_but_the_one_it_was_given_in),
        TEST(an_account_and_its_first_session_are_made_together_or_not_at_all),
        TEST(the_list_holds_ones_own_live_sessions_newest_first),
        TEST(the_sweep_takes_what_ended_long_ago_with_its_tokens),
        TEST(the_sweep_takes_more_than_one_batch),
        TEST(the_sweep_spares_the_line_of_a_living_session),
        TEST(rotation_moves_the_session_on),
        TEST(an_unknown_token_changes_nothing),
        TEST(an_expired_token_is_refused_without_alarm),
        TEST(the_parent_is_excused_for_ten_seconds_with_the_same_child),
        TEST(parent_reuse_after_ten_seconds_revokes_the_session),
        TEST(grandparent_reuse_revokes_the_session_at_once),
        TEST(reuse_revokes_that_session_alone),
        TEST(an_inactive_owner_cannot_go_on),
        TEST(racing_processes_get_one_child),
        TEST(racing_threads_get_one_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
