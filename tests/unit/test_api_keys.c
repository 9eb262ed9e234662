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

/* Made then, dead from `end` on (0: never). */
static enum status add(struct storage *storage, const char *user_id, const char *id, int64_t made,
                       int64_t end, int64_t maximum)
{
    struct api_key key = make_key(id, user_id);
    memset(key.hash, 0, sizeof(key.hash));
    memcpy(key.hash, id, strlen(id));
    key.created_at = made;
    key.expires_at = end;
    return api_key_create(storage, &key, maximum);
}

static void live_keys_are_listed_first_and_the_newest_before_the_older(void **state)
{
    struct storage *storage = storage_of(state);
    static const struct {
        const char *id;
        int64_t made;
        int64_t end;
    } keys[] = {
        {"live-1", NOW, 0},      {"ends-now", NOW + 1, NOW + 9},   {"live-2", NOW + 2, 0},
        {"revoked", NOW + 3, 0}, {"ends-soon", NOW + 4, NOW + 10}, {"over", NOW + 5, NOW + 6}};
    static const char *const expected[] = {"ends-soon", "live-2",  "live-1",
                                           "over",      "revoked", "ends-now"};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(add(storage, owner.id, keys[i].id, keys[i].made, keys[i].end, 20),
                         STATUS_OK);
    }
    assert_int_equal(api_key_revoke(storage, owner.id, "revoked", NOW + 6), STATUS_OK);
    for (int64_t offset = 0; offset < 6; offset += 4) {
        struct api_key *list;
        size_t count;
        int64_t total;
        assert_int_equal(
            api_key_list(storage, &arena, owner.id, NOW + 9, 4, offset, &list, &count, &total),
            STATUS_OK);
        assert_int_equal(count, offset == 0 ? 4 : 2);
        assert_int_equal(total, 6);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(list[i].id, expected[offset + (int64_t)i]);
        }
    }
}

static void only_live_keys_count_for_how_many_there_may_be(void **state)
{
    struct storage *storage = storage_of(state);
    assert_int_equal(add(storage, owner.id, "a", NOW, NOW + 5, 1), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "b", NOW + 4, 0, 1), STATUS_TOO_LARGE);
    assert_int_equal(add(storage, other.id, "c", NOW + 4, 0, 1), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "d", NOW + 5, 0, 1), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "e", NOW + 6, 0, 1), STATUS_TOO_LARGE);
    assert_int_equal(api_key_revoke(storage, owner.id, "d", NOW + 6), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "f", NOW + 6, 0, 1), STATUS_OK);
}

static bool exists(struct storage *storage, const char *id)
{
    struct api_key found;
    return api_key_find(storage, &arena, id, &found) == STATUS_OK;
}

static void the_oldest_dead_keys_of_a_user_make_room_and_no_others(void **state)
{
    struct storage *storage = storage_of(state);
    char id[16];
    assert_int_equal(add(storage, owner.id, "unending", NOW, 0, 1000), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "ending", NOW, NOW + 2001, 1000), STATUS_OK);
    assert_int_equal(add(storage, other.id, "others", NOW, NOW + 1, 1000), STATUS_OK);
    /* One of them is revoked; the last one ends when the next key is made. */
    for (int i = 0; i < API_KEY_DEAD_MAXIMUM + 2; i++) {
        snprintf(id, sizeof id, "dead-%d", i);
        int64_t end = i == 5 ? 0 : i == API_KEY_DEAD_MAXIMUM + 1 ? NOW + 2000 : NOW + 1000;
        assert_int_equal(add(storage, owner.id, id, NOW + i, end, 1000), STATUS_OK);
    }
    assert_int_equal(api_key_revoke(storage, owner.id, "dead-5", NOW + 200), STATUS_OK);
    assert_int_equal(add(storage, owner.id, "new", NOW + 2000, 0, 1000), STATUS_OK);
    for (int i = 0; i < API_KEY_DEAD_MAXIMUM + 2; i++) {
        snprintf(id, sizeof id, "dead-%d", i);
        assert_int_equal(exists(storage, id), i >= 2);
    }
    assert_true(exists(storage, "unending") && exists(storage, "ending"));
    assert_true(exists(storage, "others") && exists(storage, "new"));
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
        TEST(live_keys_are_listed_first_and_the_newest_before_the_older),
        TEST(only_live_keys_count_for_how_many_there_may_be),
        TEST(the_oldest_dead_keys_of_a_user_make_room_and_no_others),
        TEST(revoking_is_for_the_owner_and_for_ever),
        TEST(an_administrator_may_revoke_anybodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
