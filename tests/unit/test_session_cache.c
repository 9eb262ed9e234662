/*
 * The owners of sessions are remembered while they are the same, and not an instant longer.
 */
#include "database_help.h"

#include <pthread.h>
#include <stdatomic.h>

#include "auth/session_cache.h"
#include "base/clock.h"
#include "base/memory.h"
#include "stores/sessions.h"

#define NOW  1800000000
#define WEEK 604800

struct fixture {
    struct database database;
    struct segment *segment;
    struct storage *storage; /* tells of its changes */
    struct session_cache *cache;
    struct arena arena;
    struct account owner;
    const char *session_id;
};

static struct storage *open_storage(const struct fixture *fixture, struct segment *segment)
{
    struct storage_options options = {.url = fixture->database.url, .segment = segment};
    struct storage *storage = NULL;
    assert_int_equal(storage_open(&storage, &options), STATUS_OK);
    return storage;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    database_make_directory(&fixture->database);
    fixture->database.storage = database_open_with(&fixture->database, NULL, 0);
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(segment_open(&fixture->segment, fixture->database.directory, "test",
                                  &storage_segment_region, 1, &problem),
                     STATUS_OK);
    buffer_release(&problem);
    fixture->storage = open_storage(fixture, fixture->segment);
    assert_int_equal(session_cache_create(&fixture->cache, fixture->storage), STATUS_OK);
    arena_init(&fixture->arena, 64 << 20);
    struct account_new given = {.email = "owner@example.org", .password_hash = "secret hash"};
    assert_int_equal(account_create(fixture->storage, &fixture->arena, &given, &fixture->owner),
                     STATUS_OK);
    struct session_token first = {.expires_at = NOW + WEEK};
    struct session session;
    assert_int_equal(
        session_create(fixture->storage, &fixture->arena,
                       &(struct session_opening){.user_id = fixture->owner.id, .now = NOW}, &first,
                       &session),
        STATUS_OK);
    fixture->session_id = session.id;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture == NULL) {
        return 0; /* the setup failed */
    }
    session_cache_release(fixture->cache);
    storage_close(fixture->storage);
    storage_close(fixture->database.storage);
    segment_close(fixture->segment);
    arena_destroy(&fixture->arena);
    database_remove_directory(&fixture->database);
    free(fixture);
    return 0;
}

static struct account look(struct fixture *fixture)
{
    struct account account;
    struct account_session session;
    assert_int_equal(session_cache_find(fixture->cache, &fixture->arena, fixture->session_id,
                                        &account, &session),
                     STATUS_OK);
    return account;
}

static void what_is_remembered_is_whole_but_for_the_hash(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(
        account_update_profile(fixture->storage, fixture->owner.id, "A Name", "name", NULL),
        STATUS_OK);
    for (int i = 0; i < 2; i++) {
        struct account account = look(fixture);
        assert_string_equal(account.id, fixture->owner.id);
        assert_string_equal(account.email, "owner@example.org");
        assert_string_equal(account.username, "name");
        assert_string_equal(account.name, "A Name");
        assert_null(account.company_id);
        assert_null(account.password_hash);
        assert_int_equal(account.created_at, fixture->owner.created_at);
    }
}

/* An outsider's change, which nobody is told of, shows whether the database is asked. */
static void what_is_the_same_is_not_read_again_for_a_second(void **state)
{
    struct fixture *fixture = *state;
    uint64_t start = clock_monotonic_nanoseconds();
    assert_true(look(fixture).is_active);
    assert_int_equal(account_set_active(fixture->database.storage, fixture->owner.id, false),
                     STATUS_OK);
    bool is_active = look(fixture).is_active;
    if (clock_monotonic_nanoseconds() - start < 500000000) {
        assert_true(is_active);
    }
    while (is_active) {
        assert_true(clock_monotonic_nanoseconds() - start < UINT64_C(5000000000));
        is_active = look(fixture).is_active;
        storage_nap();
    }
}

static void a_revocation_is_seen_by_the_next_look(void **state)
{
    struct fixture *fixture = *state;
    (void)look(fixture);
    assert_int_equal(
        session_revoke(fixture->storage, fixture->owner.id, fixture->session_id, NOW + 5),
        STATUS_OK);
    struct account account;
    struct account_session session;
    assert_int_equal(session_cache_find(fixture->cache, &fixture->arena, fixture->session_id,
                                        &account, &session),
                     STATUS_OK);
    assert_int_equal(session.revoked_at, NOW + 5);
}

static int lock_out_elsewhere(void *context)
{
    struct fixture *fixture = context;
    struct segment *segment = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    if (segment_open(&segment, fixture->database.directory, "other", &storage_segment_region, 1,
                     &problem) != STATUS_OK) {
        return 1;
    }
    struct storage *storage = open_storage(fixture, segment);
    return account_set_active(storage, fixture->owner.id, false) == STATUS_OK ? 0 : 2;
}

static void a_change_of_another_process_is_seen_by_the_next_look(void **state)
{
    struct fixture *fixture = *state;
    /* Forked before this process has a connection again: connections do not survive it. */
    storage_close(fixture->database.storage);
    fixture->database.storage = NULL;
    session_cache_release(fixture->cache);
    storage_close(fixture->storage);
    fixture->storage = open_storage(fixture, fixture->segment);
    assert_int_equal(session_cache_create(&fixture->cache, fixture->storage), STATUS_OK);
    int begin[2];
    assert_int_equal(pipe(begin), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;
        _exit(read(begin[0], &byte, 1) == 1 ? lock_out_elsewhere(fixture) : 3);
    }
    assert_true(look(fixture).is_active);
    assert_int_equal(write(begin[1], "", 1), 1);
    assert_int_equal(child_wait(child), 0);
    assert_false(look(fixture).is_active);
    close(begin[0]);
    close(begin[1]);
}

static void without_shared_memory_each_look_reads(void **state)
{
    struct fixture *fixture = *state;
    struct session_cache *cache;
    struct account account;
    struct account_session session;
    assert_int_equal(storage_version(fixture->database.storage, "accounts"), 0);
    assert_int_equal(session_cache_create(&cache, fixture->database.storage), STATUS_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(account_set_active(fixture->storage, fixture->owner.id, i % 2 == 0),
                         STATUS_OK);
        assert_int_equal(
            session_cache_find(cache, &fixture->arena, fixture->session_id, &account, &session),
            STATUS_OK);
        assert_int_equal(account.is_active, i % 2 == 0);
    }
    session_cache_release(cache);
}

static void a_session_that_is_not_there_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    static const char *const ids[] = {"", "none", "00000000-0000-4000-8000-000000000000"};
    struct account account;
    struct account_session session;
    (void)look(fixture);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            session_cache_find(fixture->cache, &fixture->arena, ids[i], &account, &session),
            STATUS_NOT_FOUND);
    }
}

static void changes_of_other_subjects_do_not_count(void **state)
{
    struct fixture *fixture = *state;
    uint64_t accounts = storage_version(fixture->storage, "accounts");
    uint64_t sessions = storage_version(fixture->storage, "sessions");
    assert_int_not_equal(accounts, 0);
    assert_int_equal(session_revoke(fixture->storage, fixture->owner.id, "none", NOW), STATUS_OK);
    assert_int_equal(storage_version(fixture->storage, "accounts"), accounts);
    assert_int_not_equal(storage_version(fixture->storage, "sessions"), sessions);
}

/* Else a busy ledger would make every request read its session again. */
static void no_two_subjects_share_a_version(void **state)
{
    struct fixture *fixture = *state;
    struct storage_connection *connection;
    assert_int_equal(storage_connect(fixture->storage, &connection), STATUS_OK);
    for (size_t i = 0; i < sql_sqlite.statement_count; i++) {
        struct storage_statement changed = {.sql = &sql_sqlite.statements[i]};
        const char *subject = sql_sqlite.statements[i].subject;
        for (size_t j = 0; j < sql_sqlite.statement_count; j++) {
            const char *other = sql_sqlite.statements[j].subject;
            uint64_t before = storage_version(fixture->storage, other);
            connection->changed = 0;
            storage_note_change(connection, &changed);
            storage_announce_changes(connection);
            uint64_t raised = storage_version(fixture->storage, other) - before;
            assert_int_equal(raised, strcmp(subject, other) == 0);
        }
    }
}

struct crowd {
    struct fixture *fixture;
    atomic_bool is_over;
};

static void *keep_looking(void *context)
{
    struct crowd *crowd = context;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct account account;
    struct account_session session;
    uintptr_t failures = 0;
    while (!atomic_load(&crowd->is_over)) {
        failures += session_cache_find(crowd->fixture->cache, &arena, crowd->fixture->session_id,
                                       &account, &session) != STATUS_OK ||
                    strcmp(account.email, "owner@example.org") != 0;
        arena_reset(&arena);
    }
    arena_destroy(&arena);
    return (void *)failures; /* NOLINT(performance-no-int-to-ptr): only counted */
}

static void a_change_is_seen_at_once_however_many_are_looking(void **state)
{
    struct fixture *fixture = *state;
    struct crowd crowd = {.fixture = fixture};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_looking, &crowd), 0);
    }
    for (int i = 0; i < 200; i++) {
        bool is_active = i % 2 == 0;
        assert_int_equal(account_set_active(fixture->storage, fixture->owner.id, is_active),
                         STATUS_OK);
        assert_int_equal(look(fixture).is_active, is_active);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < 4; i++) {
        void *failures;
        assert_int_equal(pthread_join(threads[i], &failures), 0);
        assert_null(failures);
    }
}

static void lack_of_memory_costs_a_read_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct account account;
    struct account_session session;
    (void)look(fixture);
    enum status status = STATUS_NO_MEMORY;
    for (unsigned long n = 1; status != STATUS_OK && n < 100; n++) {
        struct arena arena;
        arena_init(&arena, 1 << 20);
        memory_fail_after(n);
        status =
            session_cache_find(fixture->cache, &arena, fixture->session_id, &account, &session);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        arena_destroy(&arena);
    }
    assert_int_equal(status, STATUS_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_remembered_is_whole_but_for_the_hash),
        TEST(what_is_the_same_is_not_read_again_for_a_second),
        TEST(a_revocation_is_seen_by_the_next_look),
        TEST(a_change_of_another_process_is_seen_by_the_next_look),
        TEST(without_shared_memory_each_look_reads),
        TEST(a_session_that_is_not_there_is_not_found),
        TEST(changes_of_other_subjects_do_not_count),
        TEST(no_two_subjects_share_a_version),
        TEST(a_change_is_seen_at_once_however_many_are_looking),
        TEST(lack_of_memory_costs_a_read_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
