/*
 * What the store of API keys promises: a key is read with its owner's present state, is listed
 * and revoked by its owner alone, and never comes back.
 */
#include "database_help.h"

#include "stores/accounts.h"
#include "stores/api_keys.h"

#define NOW 1700000000

static struct arena arena;
static struct account owner;
static struct account other;

static struct storage *storage_of(void **state)
{
    return ((struct database *)*state)->storage;
}

static int set_up(void **state)
{
    arena_init(&arena, 1 << 20);
    database_set_up(state);
    struct account_new given = {.email = "owner@example.org", .password_hash = "h"};
    assert_int_equal(account_create(storage_of(state), &arena, &given, &owner), STATUS_OK);
    given.email = "other@example.org";
    assert_int_equal(account_create(storage_of(state), &arena, &given, &other), STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    arena_destroy(&arena);
    return database_tear_down(state);
}

static struct api_key make_key(const char *id, const char *user_id)
{
    struct api_key key = {.id = id,
                          .user_id = user_id,
                          .name = "deploy",
                          .scopes = "chart.read chart.update",
                          .tier = "premium",
                          .created_at = NOW,
                          .expires_at = NOW + 60};
    memset(key.hash, id[0], sizeof(key.hash));
    return key;
}

static void a_key_is_found_with_its_owners_state(void **state)
{
    struct storage *storage = storage_of(state);
    struct api_key key = make_key("0123456789abcdef", owner.id);
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
    struct api_key found;
    assert_int_equal(api_key_find(storage, &arena, key.id, &found), STATUS_OK);
    assert_string_equal(found.id, key.id);
    assert_string_equal(found.user_id, owner.id);
    assert_string_equal(found.name, "deploy");
    assert_string_equal(found.scopes, "chart.read chart.update");
    assert_string_equal(found.tier, "premium");
    assert_memory_equal(found.hash, key.hash, sizeof(key.hash));
    assert_int_equal(found.created_at, NOW);
    assert_int_equal(found.expires_at, NOW + 60);
    assert_int_equal(found.revoked_at, 0);
    assert_true(found.owner_is_active);
    assert_false(found.owner_is_superuser);
    assert_null(found.company_id);

    assert_int_equal(account_set_active(storage, owner.id, false), STATUS_OK);
    assert_int_equal(account_set_superuser(storage, owner.id, true), STATUS_OK);
    assert_int_equal(api_key_find(storage, &arena, key.id, &found), STATUS_OK);
    assert_false(found.owner_is_active);
    assert_true(found.owner_is_superuser);
    assert_int_equal(api_key_find(storage, &arena, "0123456789abcdee", &found), STATUS_NOT_FOUND);
    assert_int_equal(api_key_find(storage, &arena, "0123456789ABCDEF", &found), STATUS_NOT_FOUND);
}

static void a_key_needs_an_owner_and_an_id_of_its_own(void **state)
{
    struct storage *storage = storage_of(state);
    struct api_key key = make_key("a", "nobody");
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_CONFLICT);
    key = make_key("a", owner.id);
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
    key = make_key("a", other.id);
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_CONFLICT);
}

static void the_list_holds_ones_own(void **state)
{
    struct storage *storage = storage_of(state);
    static const char *const ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct api_key key = make_key(ids[i], i == 1 ? other.id : owner.id);
        key.created_at = NOW + i;
        assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
    }
    struct api_key *list;
    size_t count;
    int64_t total;
    assert_int_equal(api_key_list(storage, &arena, owner.id, NOW, 10, 0, &list, &count, &total),
                     STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].id, "c");
    assert_string_equal(list[1].id, "a");
    assert_int_equal(api_key_list(storage, &arena, "nobody", NOW, 10, 0, &list, &count, &total),
                     STATUS_OK);
    assert_int_equal(count, 0);
}

static void revoking_is_for_the_owner_and_for_ever(void **state)
{
    struct storage *storage = storage_of(state);
    struct api_key key = make_key("a", owner.id);
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
    assert_int_equal(api_key_revoke(storage, other.id, "a", NOW + 1), STATUS_NOT_FOUND);
    assert_int_equal(api_key_revoke(storage, owner.id, "b", NOW + 1), STATUS_NOT_FOUND);
    struct api_key found;
    assert_int_equal(api_key_find(storage, &arena, "a", &found), STATUS_OK);
    assert_int_equal(found.revoked_at, 0);
    assert_int_equal(api_key_revoke(storage, owner.id, "a", NOW + 2), STATUS_OK);
    assert_int_equal(api_key_revoke(storage, owner.id, "a", NOW + 3), STATUS_OK);
    assert_int_equal(api_key_find(storage, &arena, "a", &found), STATUS_OK);
    assert_int_equal(found.revoked_at, NOW + 2);
}

static void an_administrator_may_revoke_anybodys(void **state)
{
    struct storage *storage = storage_of(state);
    struct api_key key = make_key("a", owner.id);
    assert_int_equal(api_key_create(storage, &key, 20), STATUS_OK);
    assert_int_equal(api_key_revoke(storage, NULL, "a", NOW), STATUS_OK);
    struct api_key found;
    assert_int_equal(api_key_find(storage, &arena, "a", &found), STATUS_OK);
    assert_int_equal(found.revoked_at, NOW);
    assert_int_equal(api_key_revoke(storage, NULL, "b", NOW), STATUS_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_found_with_its_owners_state),
        TEST(a_key_needs_an_owner_and_an_id_of_its_own),
        TEST(the_list_holds_ones_own),
        TEST(revoking_is_for_the_owner_and_for_ever),
        TEST(an_administrator_may_revoke_anybodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
