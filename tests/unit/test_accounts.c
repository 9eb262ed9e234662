/*
 * What the store of accounts promises: identity without regard to case, a lock after so many
 * wrong passwords that no race gets around, changes that touch one account and nothing else.
 */
#include "database_help.h"

#include "base/clock.h"
#include "base/memory.h"
#include "stores/accounts.h"
#include "stores/api_keys.h"
#include "stores/rows.h"

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
    struct account_new given = {.email = "ada@example.org",
                                .username = "countess",
                                .name = "Ada L.",
                                .password_hash = "$argon2id$x",
                                .is_superuser = true};
    struct account created;
    assert_int_equal(account_create(storage, &arena, &given, &created), STATUS_OK);
    static const char *const logins[] = {"ada@example.org", "countess"};
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        struct account found;
        assert_int_equal(account_find_by_login(storage, &arena, logins[i], &found), STATUS_OK);
        assert_string_equal(found.id, created.id);
    }
    struct account found = find(storage, created.id);
    assert_int_equal(strlen(found.id), 36);
    assert_string_equal(found.email, "ada@example.org");
    assert_string_equal(found.username, "countess");
    assert_string_equal(found.name, "Ada L.");
    assert_string_equal(found.password_hash, "$argon2id$x");
    assert_true(found.is_active);
    assert_false(found.is_verified);
    assert_true(found.is_superuser);
    assert_false(found.two_factor_enabled);
    assert_int_equal(found.password_state, ACCOUNT_PASSWORD_OWN);
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

static void email_and_username_are_unique(void **state)
{
    struct storage *storage = storage_of(state);
    create(storage, "a@b.org", "Ab");
    struct account account;
    struct account_new given = {.email = "a@b.org", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_CONFLICT);
    given = (struct account_new){.email = "other@b.org", .username = "Ab", .password_hash = "h"};
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_CONFLICT);
    struct account *accounts;
    size_t count;
    assert_int_equal(account_list(storage, &arena, 10, NULL, &accounts, &count), STATUS_OK);
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
    assert_int_equal(account_update_profile(storage, account.id, NULL, "b@c", NULL),
                     STATUS_INVALID);
}

/* --- Locks -------------------------------------------------------------------------------- */

struct admission {
    const char *id;
    const char *hash;
};

static enum status work_admit(struct storage_connection *connection, void *context)
{
    const struct admission *admission = context;
    return account_admit(connection, admission->id, admission->hash, NOW);
}

static enum status admit(struct storage *storage, const char *id, const char *hash)
{
    struct admission admission = {id, hash};
    return rows_transaction(storage, work_admit, &admission);
}

static void a_locked_inactive_or_removed_account_is_not_admitted(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    struct account other = create(storage, "c@d", "cd");
    assert_int_equal(admit(storage, account.id, "hash 0"), STATUS_OK);
    assert_int_equal(admit(storage, account.id, NULL), STATUS_OK);
    assert_int_equal(admit(storage, account.id, "hash 1"), STATUS_BUSY);
    assert_int_equal(account_set_locked(storage, account.id, NOW + 1, NOW, NULL, 0), STATUS_OK);
    assert_int_equal(admit(storage, account.id, "hash 0"), STATUS_BUSY);
    assert_false(
        account_may_act(&(struct account){.is_active = true, .locked_until = NOW + 1}, NOW));
    assert_int_equal(admit(storage, other.id, "hash 0"), STATUS_OK);
    assert_int_equal(account_set_locked(storage, account.id, NOW, NOW, NULL, 0), STATUS_OK);
    assert_int_equal(admit(storage, account.id, "hash 0"), STATUS_OK);
    assert_true(account_may_act(&(struct account){.is_active = true, .locked_until = NOW}, NOW));
    assert_int_equal(account_set_active(storage, account.id, false), STATUS_OK);
    assert_int_equal(admit(storage, account.id, "hash 0"), STATUS_BUSY);
    assert_false(account_may_act(&(struct account){.is_active = false}, NOW));
    assert_int_equal(account_delete(storage, other.id), STATUS_OK);
    assert_int_equal(account_delete(storage, other.id), STATUS_NOT_FOUND);
    assert_int_equal(admit(storage, other.id, NULL), STATUS_BUSY);
    assert_int_equal(account_set_locked(storage, "nobody", 0, NOW, NULL, 0), STATUS_NOT_FOUND);
    find(storage, account.id);
}

static void a_one_time_password_admits_once(void **state)
{
    struct storage *storage = storage_of(state);
    struct account_new given = {.email = "a@b", .password_hash = "once", .is_one_time = true};
    struct account account;
    assert_int_equal(account_create(storage, &arena, &given, &account), STATUS_OK);
    assert_int_equal(find(storage, account.id).password_state, ACCOUNT_PASSWORD_ONE_TIME);
    assert_int_equal(admit(storage, account.id, "once"), STATUS_OK);
    assert_int_equal(find(storage, account.id).password_state, ACCOUNT_PASSWORD_USED);
    assert_int_equal(admit(storage, account.id, "once"), STATUS_BUSY);
    struct account_password_change change = {
        .id = account.id, .old_hash = "once", .new_hash = "own", .now = NOW};
    assert_int_equal(account_change_password(storage, &change), STATUS_OK);
    assert_int_equal(find(storage, account.id).password_state, ACCOUNT_PASSWORD_OWN);
    assert_int_equal(find(storage, account.id).token_epoch, NOW + 1);
    assert_int_equal(admit(storage, account.id, "own"), STATUS_OK);
    assert_int_equal(admit(storage, account.id, "own"), STATUS_OK);
    change = (struct account_password_change){
        .id = account.id, .new_hash = "again", .is_one_time = true, .now = NOW};
    assert_int_equal(account_change_password(storage, &change), STATUS_OK);
    assert_int_equal(find(storage, account.id).password_state, ACCOUNT_PASSWORD_ONE_TIME);
    change.id = "nobody";
    assert_int_equal(account_change_password(storage, &change), STATUS_NOT_FOUND);
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
    assert_string_equal(find(storage, account.id).password_hash, "hash 1");
    assert_int_equal(account_replace_password(storage, "nobody", "y", "x"), STATUS_NOT_FOUND);
    assert_string_equal(find(storage, other.id).password_hash, "hash 0");
}

static struct api_key key_of(struct storage *storage, const char *id)
{
    struct api_key found;
    assert_int_equal(api_key_find(storage, &arena, id, &found), STATUS_OK);
    return found;
}

static void add_key(struct storage *storage, const char *user_id, const char *id)
{
    struct api_key key = {
        .id = id, .user_id = user_id, .name = "k", .scopes = "", .tier = "", .created_at = NOW};
    memcpy(key.hash, id, strlen(id));
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
}

/* Also where another has the same one, and where the old one is not asked for. */
static void another_password_is_that_of_one_account_and_ends_its_keys(void **state)
{
    struct storage *storage = storage_of(state);
    struct account account = create(storage, "a@b", "ab");
    struct account other = create(storage, "c@d", "cd");
    add_key(storage, account.id, "revoked");
    add_key(storage, account.id, "live");
    add_key(storage, other.id, "others");
    assert_int_equal(api_key_revoke(storage, account.id, "revoked", NOW + 1), STATUS_OK);
    static const char *const old[] = {"hash 0", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct account_password_change change = {.id = account.id,
                                                 .old_hash = old[i],
                                                 .new_hash = i == 0 ? "hash 1" : "hash 2",
                                                 .now = NOW + 5};
        assert_int_equal(account_change_password(storage, &change), STATUS_OK);
        assert_string_equal(find(storage, account.id).password_hash, change.new_hash);
        assert_string_equal(find(storage, other.id).password_hash, "hash 0");
        assert_int_equal(find(storage, other.id).token_epoch, 0);
    }
    assert_int_equal(key_of(storage, "revoked").revoked_at, NOW + 1);
    assert_int_equal(key_of(storage, "live").revoked_at, NOW + 5);
    assert_int_equal(key_of(storage, "others").revoked_at, 0);
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
    assert_int_equal(account_update_profile(storage, account.id, "New", NULL, NULL), STATUS_OK);
    assert_string_equal(find(storage, account.id).name, "New");
    assert_string_equal(find(storage, account.id).username, "ab");
    assert_int_equal(account_update_profile(storage, account.id, NULL, "xy", NULL), STATUS_OK);
    assert_string_equal(find(storage, account.id).name, "New");
    assert_string_equal(find(storage, account.id).username, "xy");
    assert_int_equal(account_update_profile(storage, account.id, "Lost", "cd", NULL),
                     STATUS_CONFLICT);
    assert_string_equal(find(storage, account.id).name, "New");
    /* One's own name is not taken. */
    assert_int_equal(account_update_profile(storage, account.id, NULL, "xy", NULL), STATUS_OK);
    assert_int_equal(account_update_profile(storage, "nobody", "x", NULL, NULL), STATUS_NOT_FOUND);
}

static void lists_begin_with_the_oldest_account(void **state)
{
    static const struct sql_statement statements[] = {
        {"age", "users", "UPDATE users SET created_at = ?2 WHERE id = ?1"}};
    static const struct sql_dialect aging = {
        .name = "test", .statements = statements, .statement_count = 1};
    struct storage *storage = storage_of(state);
    struct storage *look = database_open_with(*state, &aging, 0);
    static const char *const emails[] = {"third@a", "first@a", "second@a"};
    static const int64_t times[] = {300, 100, 200};
    for (size_t i = 0; i < 3; i++) {
        struct account account = create(storage, emails[i], NULL);
        assert_int_equal(
            rows_change(look, "age", NULL, ROW_TEXT(account.id), ROW_INTEGER(times[i])), STATUS_OK);
    }
    storage_close(look);
    struct account *accounts;
    size_t count;
    assert_int_equal(account_list(storage, &arena, 2, NULL, &accounts, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(accounts[0].email, "first@a");
    assert_string_equal(accounts[1].email, "second@a");
    struct account second = accounts[1];
    assert_int_equal(account_list(storage, &arena, 2, &second, &accounts, &count), STATUS_OK);
    assert_int_equal(count, 1);
    assert_string_equal(accounts[0].email, "third@a");
}

static void lists_go_by_pages(void **state)
{
    struct storage *storage = storage_of(state);
    for (int i = 0; i < 45; i++) {
        char email[32];
        snprintf(email, sizeof(email), "user%d@example.org", i);
        create(storage, email, NULL);
    }
    size_t seen = 0;
    struct account last = {.id = NULL};
    struct account *accounts;
    size_t count;
    for (int page = 0; page < 3; page++) {
        assert_int_equal(
            account_list(storage, &arena, 20, last.id == NULL ? NULL : &last, &accounts, &count),
            STATUS_OK);
        assert_int_equal(count, page < 2 ? 20 : 5);
        for (size_t i = 0; i < count; i++) {
            assert_true(last.id == NULL || accounts[i].created_at > last.created_at ||
                        strcmp(accounts[i].id, last.id) > 0);
            last = accounts[i];
        }
        seen += count;
    }
    assert_int_equal(seen, 45);
    assert_int_equal(account_list(storage, &arena, 20, &last, &accounts, &count), STATUS_OK);
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
    assert_int_equal(account_list(storage, &tiny, 5, NULL, &accounts, &count), STATUS_NO_MEMORY);
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
        TEST(email_and_username_are_unique),
        TEST(names_that_a_login_could_confuse_are_refused),
        TEST(a_locked_inactive_or_removed_account_is_not_admitted),
        TEST(a_one_time_password_admits_once),
        TEST(a_password_is_replaced_only_if_it_is_the_expected_one),
        TEST(another_password_is_that_of_one_account_and_ends_its_keys),
        TEST(flags_are_set_and_taken_back),
        TEST(a_profile_changes_only_what_is_given),
        TEST(lists_begin_with_the_oldest_account),
        TEST(lists_go_by_pages),
        TEST(a_spent_arena_is_no_memory_and_creates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
