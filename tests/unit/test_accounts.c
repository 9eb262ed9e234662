/*
 * What the store of accounts promises: identity without regard to case, a lock after so many
 * wrong passwords that no race gets around, changes that touch one account and nothing else.
 */
#include "database_help.h"

#include "base/clock.h"
#include "base/memory.h"
#include "stores/accounts.h"

#define NOW 1700000000

static struct arena arena;

static struct storage *storage_of(void **state)
{
    return ((struct database *)*state)->storage;
}

static int set_up(void **state)
{
    arena_init(&arena, 1 << 20);
    return database_set_up(state);
}

static int tear_down(void **state)
{
    arena_destroy(&arena);
    return database_tear_down(state);
}

static struct account create(struct storage *storage, const char *email, const char *username)
{
    struct account_new given = {
        .email = email, .username = username, .name = "Somebody", .password_hash = "hash 0"};
    struct account account;
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_OK);
    return account;
}

static struct account find(struct storage *storage, const char *id)
{
    struct account account;
    assert_int_equal(account_find_by_id(storage, &arena, id, &account), STATUS_OK);
    return account;
}

static void a_new_account_is_found_by_each_of_its_names(void **state)
{
    struct storage *storage = storage_of(state);
    int64_t before = clock_wall_seconds();
    struct account_new given = {.email = "Ada@Example.org",
                                .username = "Countess",
                                .name = "Ada L.",
                                .password_hash = "$argon2id$x",
                                .is_superuser = true};
    struct account created;
    assert_int_equal(account_create(storage, &arena, &given, &created), STATUS_OK);
    static const char *const logins[] = {"ada@example.org", "ADA@EXAMPLE.ORG", "countess",
                                         "COUNTESS", "Countess"};
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        struct account found;
        assert_int_equal(account_find_by_login(storage, &arena, logins[i], &found), STATUS_OK);
        assert_string_equal(found.id, created.id);
    }
    struct account found = find(storage, created.id);
    assert_int_equal(strlen(found.id), 36);
    assert_string_equal(found.email, "Ada@Example.org");
    assert_string_equal(found.username, "Countess");
    assert_string_equal(found.name, "Ada L.");
    assert_string_equal(found.password_hash, "$argon2id$x");
    assert_true(found.is_active);
    assert_false(found.is_verified);
    assert_true(found.is_superuser);
    assert_false(found.two_factor_enabled);
    assert_int_equal(found.failed_logins, 0);
    assert_int_equal(found.locked_until, 0);
    assert_int_equal(found.token_epoch, 0);
    assert_null(found.company_id);
    assert_in_range(found.created_at, before, clock_wall_seconds());
    assert_string_equal(created.email, found.email);
    assert_int_equal(created.created_at, found.created_at);
}

static void names_that_are_absent_stay_absent(void **state)
{
    struct storage *storage = storage_of(state);
    struct account_new given = {.email = "a@b", .password_hash = "h"};
    struct account account;
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_OK);
    assert_null(account.username);
    account = find(storage, account.id);
    assert_null(account.username);
    assert_null(account.name);
    /* Many may have none. */
    given.email = "c@d";
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_OK);
}

static void nobody_is_found_by_what_is_not_there(void **state)
{
    struct storage *storage = storage_of(state);
    create(storage, "a@b", "ab");
    static const char *const logins[] = {"", "@", "x@y", "a@b ", "a", "%", "a@b' OR '1'='1", "_b"};
    struct account account;
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        assert_int_equal(account_find_by_login(storage, &arena, logins[i], &account),
                         STATUS_NOT_FOUND);
    }
    assert_int_equal(account_find_by_id(storage, &arena, "nobody", &account), STATUS_NOT_FOUND);
}

static void email_and_username_are_unique_in_any_case(void **state)
{
    struct storage *storage = storage_of(state);
    create(storage, "a@b.org", "Ab");
    struct account account;
    struct account_new given = {.email = "A@B.ORG", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_CONFLICT);
    given = (struct account_new){.email = "other@b.org", .username = "aB", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_CONFLICT);
    int64_t count;
    assert_int_equal(account_count(storage, &count), STATUS_OK);
    assert_int_equal(count, 1);
}

static void names_that_a_login_could_confuse_are_refused(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account;
    struct account_new given = {.email = "no-at-sign", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_INVALID);
    given = (struct account_new){.email = "a@b", .username = "b@c", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_INVALID);
    account = create(storage, "a@b", "ab");
    assert_int_equal(account_update_profile(storage, account.id, NULL, "b@c"), STATUS_INVALID);
}

/* --- Lockout ------------------------------------------------------------------------------ */

static bool fail_at(struct storage *storage, const char *id, int64_t now)
{
    bool locked = false;
    assert_int_equal(account_record_failure(storage, id, now, 5, 1800, &locked), STATUS_OK);
    return locked;
}

static void the_fifth_wrong_password_locks(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    struct account other = create(storage, "c@d", "cd");
    for (int i = 1; i <= 4; i++) {
        assert_false(fail_at(storage, account.id, NOW));
        assert_int_equal(find(storage, account.id).failed_logins, i);
    }
    assert_true(fail_at(storage, account.id, NOW));
    assert_int_equal(find(storage, account.id).locked_until, NOW + 1800);
    assert_int_equal(find(storage, other.id).failed_logins, 0);
}

static void a_lock_is_not_prolonged_by_trying_on(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    for (int i = 0; i < 5; i++) {
        fail_at(storage, account.id, NOW);
    }
    bool locked;
    assert_int_equal(account_record_failure(storage, account.id, NOW + 1799, 5, 1800, &locked),
                     STATUS_BUSY);
    assert_int_equal(find(storage, account.id).locked_until, NOW + 1800);
}

static void after_the_lock_counting_starts_anew(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    for (int i = 0; i < 5; i++) {
        fail_at(storage, account.id, NOW);
    }
    for (int i = 1; i <= 4; i++) {
        assert_false(fail_at(storage, account.id, NOW + 1800));
        assert_int_equal(find(storage, account.id).failed_logins, i);
    }
    assert_true(fail_at(storage, account.id, NOW + 1800));
    assert_int_equal(find(storage, account.id).locked_until, NOW + 3600);
}

static void a_right_password_clears_the_count(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    for (int i = 0; i < 4; i++) {
        fail_at(storage, account.id, NOW);
    }
    assert_int_equal(account_record_success(storage, account.id, NOW), STATUS_OK);
    assert_int_equal(find(storage, account.id).failed_logins, 0);
    assert_int_equal(account_record_success(storage, account.id, NOW), STATUS_OK);
    assert_int_equal(account_record_success(storage, "nobody", NOW), STATUS_NOT_FOUND);
}

static void a_right_password_is_refused_while_locked(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    for (int i = 0; i < 5; i++) {
        fail_at(storage, account.id, NOW);
    }
    assert_int_equal(account_record_success(storage, account.id, NOW + 1799), STATUS_BUSY);
    assert_int_equal(find(storage, account.id).locked_until, NOW + 1800);
    assert_int_equal(account_record_success(storage, account.id, NOW + 1800), STATUS_OK);
    assert_int_equal(find(storage, account.id).locked_until, 0);
}

static void an_administrator_locks_and_unlocks(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    assert_int_equal(account_set_locked(storage, account.id, NOW + 10), STATUS_OK);
    assert_int_equal(account_record_success(storage, account.id, NOW), STATUS_BUSY);
    assert_int_equal(account_set_locked(storage, account.id, 0), STATUS_OK);
    assert_int_equal(account_record_success(storage, account.id, NOW), STATUS_OK);
    assert_int_equal(account_set_locked(storage, "nobody", 0), STATUS_NOT_FOUND);
    bool locked = true;
    assert_int_equal(account_record_failure(storage, "nobody", NOW, 5, 1800, &locked),
                     STATUS_NOT_FOUND);
    assert_false(locked);
}

static void a_threshold_of_zero_never_locks(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    bool locked;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(account_record_failure(storage, account.id, NOW, 0, 1800, &locked),
                         STATUS_OK);
        assert_false(locked);
    }
}

struct race {
    struct database *database;
    char id[64];
    struct gate gate;
};

/* Each child reports how many of its ten attempts came before the lock. */
static int guess(void *context)
{
    struct race *race = context;
    struct storage *storage = database_open_with(race->database, NULL, 30000);
    gate_wait(&race->gate);
    int before_lock = 0;
    for (int i = 0; i < 10; i++) {
        bool locked = true;
        enum status status = account_record_failure(storage, race->id, NOW, 25, 1800, &locked);
        if (status != STATUS_OK && status != STATUS_BUSY) {
            return 100;
        }
        before_lock += status == STATUS_OK && !locked;
    }
    storage_close(storage);
    return before_lock;
}

static void racing_guessers_get_exactly_the_threshold(void **state)
{
    struct database *database = *state;
    struct race race = {.database = database, .gate = gate_make()};
    struct account account = create(database->storage, "a@b", "ab");
    snprintf(race.id, sizeof(race.id), "%s", account.id);
    storage_close(database->storage);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_start(guess, &race);
    }
    gate_open(&race.gate);
    int before_lock = 0;
    for (int i = 0; i < CHILDREN; i++) {
        before_lock += child_wait(children[i]);
    }
    assert_int_equal(before_lock, 24);
    database->storage = database_open_with(database, NULL, 0);
    assert_int_equal(find(database->storage, race.id).failed_logins, 25);
}

/* --- Changes ------------------------------------------------------------------------------ */

static void a_password_is_replaced_only_if_it_is_the_expected_one(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    struct account other = create(storage, "c@d", "cd");
    assert_int_equal(account_replace_password(storage, account.id, "hash 0", "hash 1"), STATUS_OK);
    assert_int_equal(account_replace_password(storage, account.id, "hash 0", "hash 2"),
                     STATUS_CONFLICT);
    assert_string_equal(find(storage, account.id).password_hash, "hash 1");
    assert_int_equal(account_replace_password(storage, account.id, NULL, "hash 3"), STATUS_OK);
    assert_string_equal(find(storage, account.id).password_hash, "hash 3");
    assert_int_equal(account_replace_password(storage, "nobody", NULL, "x"), STATUS_NOT_FOUND);
    assert_int_equal(account_replace_password(storage, "nobody", "y", "x"), STATUS_NOT_FOUND);
    assert_string_equal(find(storage, other.id).password_hash, "hash 0");
}

static void flags_are_set_and_taken_back(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    assert_int_equal(account_set_superuser(storage, account.id, true), STATUS_OK);
    assert_true(find(storage, account.id).is_superuser);
    assert_int_equal(account_set_superuser(storage, account.id, false), STATUS_OK);
    assert_false(find(storage, account.id).is_superuser);
    assert_int_equal(account_set_active(storage, account.id, false), STATUS_OK);
    assert_false(find(storage, account.id).is_active);
    assert_int_equal(account_set_superuser(storage, "nobody", true), STATUS_NOT_FOUND);
    assert_int_equal(account_set_active(storage, "nobody", true), STATUS_NOT_FOUND);
}

static void a_profile_changes_only_what_is_given(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    create(storage, "c@d", "cd");
    assert_int_equal(account_update_profile(storage, account.id, "New", NULL), STATUS_OK);
    assert_string_equal(find(storage, account.id).name, "New");
    assert_string_equal(find(storage, account.id).username, "ab");
    assert_int_equal(account_update_profile(storage, account.id, NULL, "xy"), STATUS_OK);
    assert_string_equal(find(storage, account.id).name, "New");
    assert_string_equal(find(storage, account.id).username, "xy");
    assert_int_equal(account_update_profile(storage, account.id, "Lost", "CD"), STATUS_CONFLICT);
    assert_string_equal(find(storage, account.id).name, "New");
    /* One's own name in another case is not taken. */
    assert_int_equal(account_update_profile(storage, account.id, NULL, "XY"), STATUS_OK);
    assert_int_equal(account_update_profile(storage, "nobody", "x", NULL), STATUS_NOT_FOUND);
}

static void lists_go_by_pages(void **state)
{
    struct storage *storage = storage_of(state);
    for (int i = 0; i < 45; i++) {
        char email[32];
        snprintf(email, sizeof(email), "user%d@example.org", i);
        create(storage, email, NULL);
    }
    int64_t total;
    assert_int_equal(account_count(storage, &total), STATUS_OK);
    assert_int_equal(total, 45);
    size_t seen = 0;
    const char *last = NULL;
    for (int64_t offset = 0; offset < 60; offset += 20) {
        struct account *accounts;
        size_t count;
        assert_int_equal(account_list(storage, &arena, 20, offset, &accounts, &count), STATUS_OK);
        assert_int_equal(count, offset < 40 ? 20 : 5);
        assert_true(last == NULL || strcmp(last, accounts[0].id) != 0);
        last = accounts[count - 1].id;
        seen += count;
    }
    assert_int_equal(seen, 45);
    struct account *accounts;
    size_t count;
    assert_int_equal(account_list(storage, &arena, 20, 60, &accounts, &count), STATUS_OK);
    assert_int_equal(count, 0);
}

static void a_spent_arena_is_no_memory_and_creates_nothing(void **state)
{
    struct storage *storage = storage_of(state);
    struct arena tiny;
    struct account account;
    struct account_new given = {.email = "a@b", .password_hash = "h"};
    arena_init(&tiny, 40);
    assert_int_equal(account_create(storage, &tiny, &given, &account), STATUS_NO_MEMORY);
    arena_destroy(&tiny);
    assert_int_equal(account_find_by_login(storage, &arena, "a@b", &account), STATUS_NOT_FOUND);
    create(storage, "a@b", "ab");
    arena_init(&tiny, 40);
    assert_int_equal(account_find_by_login(storage, &tiny, "a@b", &account), STATUS_NO_MEMORY);
    struct account *accounts;
    size_t count = 1;
    assert_int_equal(account_list(storage, &tiny, 5, 0, &accounts, &count), STATUS_NO_MEMORY);
    assert_int_equal(count, 0);
    arena_destroy(&tiny);
    /* Nothing was left open by that. */
    assert_int_equal(account_find_by_login(storage, &arena, "a@b", &account), STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_account_is_found_by_each_of_its_names),
        TEST(names_that_are_absent_stay_absent),
        TEST(nobody_is_found_by_what_is_not_there),
        TEST(email_and_username_are_unique_in_any_case),
        TEST(names_that_a_login_could_confuse_are_refused),
        TEST(the_fifth_wrong_password_locks),
        TEST(a_lock_is_not_prolonged_by_trying_on),
        TEST(after_the_lock_counting_starts_anew),
        TEST(a_right_password_clears_the_count),
        TEST(a_right_password_is_refused_while_locked),
        TEST(an_administrator_locks_and_unlocks),
        TEST(a_threshold_of_zero_never_locks),
        TEST(racing_guessers_get_exactly_the_threshold),
        TEST(a_password_is_replaced_only_if_it_is_the_expected_one),
        TEST(flags_are_set_and_taken_back),
        TEST(a_profile_changes_only_what_is_given),
        TEST(lists_go_by_pages),
        TEST(a_spent_arena_is_no_memory_and_creates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
