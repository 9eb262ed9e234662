/*
 * The auth program's bodies, member by member: what it refuses, what it answers, what is only for
 * people who have logged in; and what it clears away by itself.
 */
#include "auth_help.h"

#include "auth/digest.h"
#include "auth/names.h"
#include "stores/invitations.h"
#include "stores/lockout.h"

static const struct json_node *member(const struct json_node *node, const char *name)
{
    const struct json_node *found = json_member(node, name);
    if (found == NULL) {
        fail_msg("no member %s", name);
    }
    return found;
}

static const char *text(const struct json_node *node, const char *name)
{
    const char *value = NULL;
    assert_true(json_get_text(member(node, name), &value));
    return value;
}

static bool truth(const struct json_node *node, const char *name)
{
    bool value = false;
    assert_true(json_get_boolean(member(node, name), &value));
    return value;
}

static bool is_null(const struct json_node *node, const char *name)
{
    return json_node_kind(member(node, name)) == JSON_NULL;
}

/* --- What is answered ----------------------------------------------------------------------- */

static void assert_user(const struct json_node *user, int64_t made)
{
    int64_t created = 0;
    assert_int_equal(json_count(user), 10);
    assert_int_equal(strlen(text(user, "id")), RANDOM_UUID_SIZE - 1);
    assert_string_equal(text(user, "email"), ADDRESS);
    assert_string_equal(text(user, "username"), "ada");
    assert_string_equal(text(user, "name"), "Ada L.");
    assert_true(truth(user, "is_active"));
    assert_false(truth(user, "is_verified"));
    assert_false(truth(user, "is_superuser"));
    assert_false(truth(user, "two_factor_enabled"));
    assert_true(is_null(user, "current_company_id"));
    assert_true(clock_parse_timestamp(text(user, "created_at"), &created));
    assert_in_range(created / 1000, made - 5, made);
}

static void the_token_body_says_all_of_the_account(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   POST("/auth/register",
                        "{\"email\":\"" ADDRESS "\",\"password\":\"" PASSWORD
                        "\",\"username\":\"Ada\",\"name\":\"Ada L.\"}",
                        NULL),
                   201);
    int64_t now = clock_wall_seconds();
    for (int i = 0; i < 2; i++) {
        const struct json_node *body = answer_json(pipeline);
        int64_t seconds = 0;
        assert_int_equal(json_count(body), 8);
        assert_string_equal(text(body, "token_type"), "bearer");
        assert_true(json_get_integer(member(body, "expires_in"), &seconds));
        assert_int_equal(seconds, 1800);
        assert_false(truth(body, "requires_2fa"));
        assert_int_equal(json_count(member(body, "companies")), 0);
        assert_int_equal(json_count(member(body, "permissions")), 0);
        assert_user(member(body, "user"), now);
        struct person person = auth_person(pipeline);
        assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
        assert_user(answer_json(pipeline), now);
        assert_answers(
            pipeline,
            POST("/auth/validate", auth_format("{\"token\":\"%s\"}", person.access), NULL), 200);
        assert_true(truth(answer_json(pipeline), "valid"));
        assert_user(member(answer_json(pipeline), "user"), now);
        assert_answers(
            pipeline,
            POST("/auth/login", "{\"username\":\"ADA\",\"password\":\"" PASSWORD "\"}", NULL), 200);
    }
    assert_answers(pipeline, POST("/auth/validate", "{\"token\":\"a.b.c\"}", NULL), 200);
    assert_int_equal(json_count(answer_json(pipeline)), 1);
    assert_false(truth(answer_json(pipeline), "valid"));
}

static void a_key_is_shown_whole_and_its_text_once(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    int64_t now = clock_wall_seconds();
    int64_t created = 0;
    assert_answers(
        pipeline,
        POST("/auth/api-keys", "{\"name\":\"importer\",\"scopes\":\"chart.read\"}", person.bearer),
        201);
    const struct json_node *key = answer_json(pipeline);
    assert_int_equal(json_count(key), 9);
    const char *prefix = auth_format("qk_%s_", text(key, "id"));
    assert_int_equal(strncmp(text(key, "key"), prefix, strlen(prefix)), 0);
    const char *path = auth_format("/auth/api-keys/%s", text(key, "id"));
    for (int i = 0; i < 3; i++) {
        assert_string_equal(text(key, "name"), "importer");
        assert_string_equal(text(key, "scopes"), "chart.read");
        assert_true(is_null(key, "chart_ids") && is_null(key, "tier") &&
                    is_null(key, "expires_at"));
        assert_int_equal(is_null(key, "revoked_at"), i < 2);
        assert_true(clock_parse_timestamp(text(key, "created_at"), &created));
        assert_in_range(created / 1000, now - 5, now);
        if (i == 1) {
            assert_answers(pipeline, CALL(.method = "DELETE", .path = path, .cgi = {person.bearer}),
                           204);
        }
        assert_answers(pipeline, GET("/auth/api-keys", person.bearer), 200);
        key = json_first(member(answer_json(pipeline), "items"));
        assert_int_equal(json_count(key), 8);
    }
}

static void a_session_is_shown_whole(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    int64_t now = clock_wall_seconds();
    int64_t created = 0;
    int64_t used = 0;
    int64_t expires = 0;
    move_clock(60);
    assert_answers(
        pipeline,
        POST("/auth/refresh", auth_format("{\"refresh_token\":\"%s\"}", person.refresh), NULL),
        200);
    assert_answers(pipeline, GET("/auth/sessions", auth_person(pipeline).bearer), 200);
    const struct json_node *session = json_first(member(answer_json(pipeline), "items"));
    assert_int_equal(json_count(session), 7);
    assert_string_equal(text(session, "device"), "");
    assert_string_equal(text(session, "address"), "192.0.2.7");
    assert_true(truth(session, "is_current"));
    assert_true(clock_parse_timestamp(text(session, "created_at"), &created));
    assert_true(clock_parse_timestamp(text(session, "last_used_at"), &used));
    assert_true(clock_parse_timestamp(text(session, "expires_at"), &expires));
    assert_in_range(created / 1000, now - 3, now);
    assert_in_range(used / 1000, now + 57, now + 63);
    assert_int_equal(expires - used, INT64_C(7) * DAY * 1000);
}

/* --- What is refused ------------------------------------------------------------------------ */

static void what_does_not_fit_is_422_and_names_the_member(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    char thousand[1026];
    memset(thousand, 'x', sizeof thousand - 1);
    thousand[1025] = '\0';
    const struct {
        const char *method;
        const char *path;
        const char *body;
        const char *member;
    } rows[] = {
        {"POST", "/auth/register", "{\"password\":\"" PASSWORD "\"}", "email"},
        {"POST", "/auth/register", "{\"email\":\"ada\",\"password\":\"" PASSWORD "\"}", "email"},
        {"POST", "/auth/register", "{\"email\":\"b@example.org\"}", "password"},
        {"POST", "/auth/register", "{\"email\":\"b@example.org\",\"password\":\"1234567\"}",
         "password"},
        {"POST", "/auth/register",
         auth_format("{\"email\":\"b@example.org\",\"password\":\"%s\"}", thousand), "password"},
        {"POST", "/auth/register",
         "{\"email\":\"b@example.org\",\"password\":\"" PASSWORD "\",\"username\":\"a b c\"}",
         "username"},
        {"POST", "/auth/register",
         "{\"email\":\"b@example.org\",\"password\":\"" PASSWORD "\",\"name\":\"\"}", "name"},
        {"POST", "/auth/login", "{\"password\":\"" PASSWORD "\"}", "email"},
        {"POST", "/auth/login", "{\"email\":\"\",\"password\":\"" PASSWORD "\"}", "email"},
        {"POST", "/auth/login", "{\"username\":7,\"password\":\"" PASSWORD "\"}", "username"},
        {"POST", "/auth/login", "{\"email\":\"" ADDRESS "\"}", "password"},
        {"POST", "/auth/login", "{\"email\":\"" ADDRESS "\",\"password\":\"\"}", "password"},
        {"POST", "/auth/refresh", "{}", "refresh_token"},
        {"POST", "/auth/validate", "{\"token\":\"\"}", "token"},
        {"PATCH", "/auth/me", "{\"name\":\"\"}", "name"},
        {"PATCH", "/auth/me", "{\"username\":\"a@b\"}", "username"},
        {"PATCH", "/auth/me", "{\"email\":\"a\"}", "email"},
        {"POST", "/auth/change-password", "{\"new_password\":\"battery staple\"}",
         "current_password"},
        {"POST", "/auth/change-password",
         "{\"current_password\":\"" PASSWORD "\",\"new_password\":\"short\"}", "new_password"},
        {"POST", "/auth/api-keys", "{\"name\":\"\"}", "name"},
    };
    int before = auth_hashes;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_refused(pipeline,
                       CALL(.method = rows[i].method, .path = rows[i].path, .json = rows[i].body,
                            .cgi = {person.bearer}),
                       422,
                       strcmp(rows[i].body, "{}") == 0 || i == 0 || i == 2 || i == 7 || i == 10 ||
                               i == 17
                           ? "missing_required_field"
                           : "field_validation_failed");
        if (strstr(buffer_text(&pipeline->answer),
                   auth_format("[\"body\",\"%s\"]", rows[i].member)) == NULL) {
            fail_msg("row %zu: %s", i, buffer_text(&pipeline->answer));
        }
    }
    assert_int_equal(auth_hashes, before);
    static const struct {
        const char *path;
        const char *query;
    } queries[] = {{"/auth/sessions", "page_size=101"},
                   {"/auth/api-keys", "page=x"},
                   {"/auth/api-keys", "page_size=0"}};
    for (size_t i = 0; i < COUNT(queries); i++) {
        assert_refused(
            pipeline,
            CALL(.path = queries[i].path, .query = queries[i].query, .cgi = {person.bearer}), 422,
            "field_validation_failed");
    }
}

static void keys_may_not_do_what_needs_a_login(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 201);
    const char *own = auth_copy(answer_text(pipeline, "key"));
    const char *path = auth_format("/auth/api-keys/%s", answer_text(pipeline, "id"));
    static const char change[] =
        "{\"current_password\":\"" PASSWORD "\",\"new_password\":\"battery staple\"}";
    const char *keys[] = {own, PLAIN_KEY};
    for (size_t i = 0; i < COUNT(keys); i++) {
        const struct call *calls[] = {
            CALL(.path = "/auth/sessions", .key = keys[i]),
            CALL(.method = "DELETE", .path = "/auth/sessions/x", .key = keys[i]),
            CALL(.path = "/auth/api-keys", .key = keys[i]),
            CALL(.method = "POST", .path = "/auth/api-keys", .json = "{\"name\":\"k\"}",
                 .key = keys[i]),
            CALL(.method = "DELETE", .path = path, .key = keys[i]),
            CALL(.method = "POST", .path = "/auth/change-password", .json = change, .key = keys[i]),
            CALL(.method = "POST", .path = "/auth/logout", .query = "all=true", .key = keys[i]),
            CALL(.method = "PATCH", .path = "/auth/me", .json = "{\"email\":\"c@example.org\"}",
                 .key = keys[i]),
        };
        for (size_t j = 0; j < COUNT(calls); j++) {
            assert_refused(pipeline, calls[j], 403, "permission_denied");
            assert_member(pipeline, "message", "Log in with a password to do this");
        }
    }
    /* A key of the configuration is nobody. */
    assert_refused(pipeline, CALL(.path = "/auth/me", .key = PLAIN_KEY), 403, "permission_denied");
    assert_member(pipeline, "message", "This credential belongs to no user");
    assert_answers(pipeline, CALL(.path = "/auth/me", .key = own), 200);
    assert_member(pipeline, "email", ADDRESS);
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
}

static void what_is_not_there_is_404(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    assert_refused(pipeline,
                   CALL(.method = "DELETE", .path = "/auth/sessions/x", .cgi = {person.bearer}),
                   404, "session_not_found");
    assert_refused(pipeline,
                   CALL(.method = "DELETE", .path = "/auth/api-keys/x", .cgi = {person.bearer}),
                   404, "not_found");
}

/* --- Hashes --------------------------------------------------------------------------------- */

static void a_login_renews_a_hash_of_weaker_parameters(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    struct storage *storage = pipeline->app->storage;
    struct account account;
    assert_int_equal(account_find_by_id(storage, &auth_arena, person.id, &account), STATUS_OK);
    /* The tests' hash does not depend on the parameters that the string tells. */
    const char *strong = account.password_hash;
    char weak[256];
    snprintf(weak, sizeof weak, "%s", strong);
    memcpy(strstr(weak, "t=2"), "t=1", 3);
    assert_int_equal(account_replace_password(storage, person.id, strong, weak), STATUS_OK);
    int before = auth_hashes;
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 200);
    assert_int_equal(auth_hashes, before + 2);
    assert_int_equal(account_find_by_id(storage, &auth_arena, person.id, &account), STATUS_OK);
    assert_non_null(strstr(account.password_hash, "m=19456,t=2,p=1"));
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 200);
    assert_int_equal(auth_hashes, before + 3);
}

static void no_room_for_a_hash_is_503_at_once(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    struct password_room *room = &((struct auth *)pipeline->app->state)->room;
    assert_int_equal(room->maximum, 4); /* of 8 workers */
    assert_int_equal(room->inside, 0);
    room->inside = room->maximum;
    static const char change[] =
        "{\"current_password\":\"" PASSWORD "\",\"new_password\":\"battery staple\"}";
    const struct call *calls[] = {
        POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL),
        POST("/auth/login", login_body("nobody@example.org", PASSWORD), NULL),
        POST("/auth/register", login_body("b@example.org", PASSWORD), NULL),
        POST("/auth/change-password", change, person.bearer),
    };
    for (size_t i = 0; i < COUNT(calls); i++) {
        assert_refused(pipeline, calls[i], 503, "service_overloaded");
        assert_header(pipeline, "Retry-After", "1");
        assert_int_equal(room->inside, room->maximum);
    }
    room->inside = 0;
    assert_answers(pipeline, calls[0], 200);
    assert_int_equal(room->inside, 0);
}

static int set_up_one_worker(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false", "WORKERS=1"));
}

static void one_worker_can_still_hash(void **state)
{
    struct pipeline *pipeline = *state;
    assert_int_equal(((struct auth *)pipeline->app->state)->room.maximum, 1);
    auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 200);
}

static void passwords_have_8_to_1024_bytes_and_are_the_same_however_they_were_typed(void **state)
{
    struct pipeline *pipeline = *state;
    char longest[1025];
    memset(longest, 'x', sizeof longest - 1);
    longest[1024] = '\0';
    assert_answers(pipeline, POST("/auth/register", login_body("b@example.org", longest), NULL),
                   201);
    assert_answers(pipeline, POST("/auth/login", login_body("b@example.org", longest), NULL), 200);
    assert_answers(pipeline, POST("/auth/register", login_body("c@example.org", "12345678"), NULL),
                   201);
    assert_answers(pipeline,
                   POST("/auth/register", login_body(ADDRESS, "\xc3\xa9t\xc3\xa9 chaud"), NULL),
                   201);
    assert_answers(
        pipeline, POST("/auth/login", login_body(ADDRESS, "e\xcc\x81te\xcc\x81 chaud"), NULL), 200);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "ete chaud"), NULL), 401);
    assert_answers(pipeline,
                   POST("/auth/login", login_body(ADDRESS, "\xc3\x89t\xc3\xa9 chaud"), NULL), 401);
}

/* --- Clearing away -------------------------------------------------------------------------- */

static void what_is_over_is_swept(void **state)
{
    struct pipeline *pipeline = *state;
    struct app *app = pipeline->app;
    unsigned char hash[INVITATION_HASH_SIZE];
    int64_t now = clock_wall_seconds();
    auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "wrong"), NULL), 401);
    static const char *const codes[] = {"one", "two", "three"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_int_equal(digest_sha256(slice_of(codes[i]), hash), STATUS_OK);
        assert_int_equal(invitation_create(app->storage, hash, now, now + HOUR), STATUS_OK);
    }
    move_clock(10 * DAY);
    auth_sweep(app);
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "\"message\":\"sessions_swept\""), 1);
    assert_int_equal(count_in(log, "\"message\":\"login_failures_swept\""), 1);
    assert_int_equal(count_in(log, "\"message\":\"invitations_swept\""), 1);
    /* Each tells its own: one session, the guess for address and account, three invitations. */
    assert_int_equal(count_in(log, "\"count\":1"), 1);
    assert_int_equal(count_in(log, "\"count\":2"), 1);
    assert_int_equal(count_in(log, "\"count\":3"), 1);
    auth_sweep(app); /* not due again */
    assert_int_equal(count_in(pipeline_log(pipeline), "_swept"), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, auth_set_up, auth_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_token_body_says_all_of_the_account),
        TEST(a_key_is_shown_whole_and_its_text_once),
        TEST(a_session_is_shown_whole),
        TEST(what_does_not_fit_is_422_and_names_the_member),
        TEST(keys_may_not_do_what_needs_a_login),
        TEST(what_is_not_there_is_404),
        TEST(a_login_renews_a_hash_of_weaker_parameters),
        TEST(no_room_for_a_hash_is_503_at_once),
        cmocka_unit_test_setup_teardown(one_worker_can_still_hash, set_up_one_worker,
                                        auth_tear_down),
        TEST(passwords_have_8_to_1024_bytes_and_are_the_same_however_they_were_typed),
        TEST(what_is_over_is_swept),
    };
    return cmocka_run_group_tests_name("auth_bodies", tests, NULL, NULL);
}
