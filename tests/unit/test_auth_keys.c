/*
 * What the auth program hands out and to whom: API keys within the rights of what made them,
 * registration by invitation, one-time passwords, and the end of it all with the account.
 */
#include "auth_help.h"

#include "auth/digest.h"
#include "stores/api_keys.h"
#include "stores/invitations.h"

static int64_t number_of(const struct json_node *node, const char *name)
{
    int64_t number = -1;
    assert_true(json_get_integer(json_member(node, name), &number));
    return number;
}

/* A token of this person that is limited; `session_id` NULL: one that was made by hand. */
static const char *lend(struct pipeline *pipeline, struct person person, const char *session_id,
                        const char *scope, const char *const *charts, size_t chart_count,
                        int64_t seconds)
{
    const char *token = NULL;
    int64_t now = clock_wall_seconds();
    struct token_claims claims = {
        .subject = person.id,
        .session_id = session_id,
        .token_id = "made by hand",
        .scope = scope,
        .has_chart_ids = charts != NULL,
        .chart_ids = charts,
        .chart_id_count = chart_count,
        .issued_at = now,
        .expires_at = now + seconds,
    };
    assert_int_equal(token_issue(authenticator_token_keys(pipeline->app->authenticator),
                                 &auth_arena, &claims, &token),
                     STATUS_OK);
    return auth_format("HTTP_AUTHORIZATION=Bearer %s", token);
}

static const char *session_of(struct pipeline *pipeline, struct person person)
{
    assert_answers(pipeline, GET("/auth/sessions", person.bearer), 200);
    const struct json_node *items = json_member(answer_json(pipeline), "items");
    return auth_copy(json_member_text(json_first(items), "id", NULL));
}

static struct api_key stored_key(struct pipeline *pipeline)
{
    struct api_key key;
    assert_int_equal(api_key_find(pipeline->app->storage, &auth_arena,
                                  auth_copy(answer_text(pipeline, "id")), &key),
                     STATUS_OK);
    return key;
}

/* --- What a key may do ---------------------------------------------------------------------- */

static void a_key_inherits_what_its_token_is_limited_to(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    const char *session = session_of(pipeline, person);
    static const char *const charts[] = {"one", "two"};
    const char *limited =
        lend(pipeline, person, session, "user.create chart.manage", charts, 2, 600);
    int64_t end = clock_wall_seconds() + 600;
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", limited), 201);
    struct api_key key = stored_key(pipeline);
    assert_string_equal(key.scopes, "user.create chart.manage");
    assert_string_equal(key.chart_ids, "[\"one\",\"two\"]");
    assert_in_range(key.expires_at, end - 2, end);
    assert_answers(pipeline,
                   POST("/auth/api-keys",
                        "{\"name\":\"k\",\"scopes\":\" chart.read \",\"chart_ids\":[\"two\"]}",
                        limited),
                   201);
    key = stored_key(pipeline);
    assert_string_equal(key.scopes, " chart.read ");
    assert_string_equal(key.chart_ids, "[\"two\"]");
    struct principal principal;
    assert_int_equal(authenticator_check_api_key(pipeline->app->authenticator, &auth_arena,
                                                 slice_of(auth_copy(answer_text(pipeline, "key"))),
                                                 &principal),
                     STATUS_OK);
    assert_true(principal.has_chart_ids);
    assert_true(principal_may_use_chart(&principal, "two"));
    assert_false(principal_may_use_chart(&principal, "one"));
    assert_string_equal(principal.owner, auth_format("user:%s", person.id));
}

static void a_key_never_exceeds_its_token(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    const char *session = session_of(pipeline, person);
    static const char *const charts[] = {"one"};
    const char *by_scope = lend(pipeline, person, session, "user.create chart.read", NULL, 0, 600);
    const char *by_chart = lend(pipeline, person, session, "", charts, 1, 600);
    const char *no_chart = lend(pipeline, person, session, "", charts, 0, 600);
    const char *by_hand = lend(pipeline, person, NULL, "", NULL, 0, 600);
    static const char *const too_wide[] = {
        "{\"name\":\"k\",\"scopes\":\"chart.manage\"}",
        "{\"name\":\"k\",\"scopes\":\"chart.read chat.read\"}",
        "{\"name\":\"k\",\"scopes\":\"user.manage\"}",
        "{\"name\":\"k\",\"scopes\":\"chart.update\"}",
        "{\"name\":\"k\",\"expires_in_days\":1}",
    };
    for (size_t i = 0; i < COUNT(too_wide); i++) {
        assert_refused(pipeline, POST("/auth/api-keys", too_wide[i], by_scope), 403,
                       "permission_denied");
    }
    static const char *const other_chart[] = {
        "{\"name\":\"k\",\"chart_ids\":[\"two\"]}",
        "{\"name\":\"k\",\"chart_ids\":[\"one\",\"two\"]}",
    };
    for (size_t i = 0; i < COUNT(other_chart); i++) {
        assert_refused(pipeline, POST("/auth/api-keys", other_chart[i], by_chart), 403,
                       "permission_denied");
        assert_refused(pipeline, POST("/auth/api-keys", other_chart[i], no_chart), 403,
                       "permission_denied");
    }
    assert_refused(pipeline, POST("/auth/api-keys", too_wide[4], by_hand), 403,
                   "permission_denied");
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", by_hand), 201);
    int64_t end = stored_key(pipeline).expires_at;
    char time[CLOCK_TIMESTAMP_SIZE];
    assert_true(end > 0);
    clock_format_timestamp(end * 1000, time);
    assert_answers(pipeline,
                   POST("/auth/api-keys",
                        auth_format("{\"name\":\"k\",\"expires_at\":\"%s\"}", time), by_hand),
                   201);
    assert_int_equal(stored_key(pipeline).expires_at, end);
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", no_chart), 201);
    assert_string_equal(stored_key(pipeline).chart_ids, "[]");
    /* The token of a login is the person. */
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 201);
    assert_int_equal(stored_key(pipeline).expires_at, 0);
    assert_null(stored_key(pipeline).chart_ids);
    /* A tier is for administrators to give. */
    assert_refused(pipeline,
                   POST("/auth/api-keys", "{\"name\":\"k\",\"tier\":\"gold\"}", person.bearer), 403,
                   "permission_denied");
    assert_int_equal(account_set_superuser(pipeline->app->storage, person.id, true), STATUS_OK);
    assert_answers(
        pipeline, POST("/auth/api-keys", "{\"name\":\"k\",\"tier\":\"gold\"}", person.bearer), 201);
    assert_member(pipeline, "tier", "gold");
    assert_string_equal(stored_key(pipeline).tier, "gold");
}

static void what_a_key_is_asked_to_be_is_never_ignored(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    static const struct {
        const char *body;
        const char *member;
    } rows[] = {
        {"{\"name\":\"k\",\"scopes\":\"nonsense\"}", "scopes"},
        {"{\"name\":\"k\",\"scopes\":\"chart.reads\"}", "scopes"},
        {"{\"name\":\"k\",\"expires_at\":\"2020-01-01T00:00:00Z\"}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":\"1970-01-01T00:00:00Z\"}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":\"1970-01-01T00:00:00.9Z\"}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":\"2999-01-01T00:00:00Z\"}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":\"tomorrow\"}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":7}", "expires_at"},
        {"{\"name\":\"k\",\"expires_at\":\"2027-06-01T00:00:00Z\",\"expires_in_days\":3}",
         "expires_at"},
        {"{\"name\":\"k\",\"expires_in_days\":0}", "expires_in_days"},
        {"{\"name\":\"k\",\"expires_in_days\":3651}", "expires_in_days"},
        {"{\"name\":\"k\",\"chart_ids\":\"one\"}", "chart_ids"},
        {"{\"name\":\"k\",\"chart_ids\":[1]}", "chart_ids"},
        {"{\"name\":\"k\",\"chart_ids\":[\"\"]}", "chart_ids"},
        {"{\"name\":\"k\",\"tier\":\"unheard-of\"}", "tier"},
        {"{\"scopes\":\"\"}", "name"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_answers(pipeline, POST("/auth/api-keys", rows[i].body, person.bearer), 422);
        if (strstr(buffer_text(&pipeline->answer),
                   auth_format("[\"body\",\"%s\"]", rows[i].member)) == NULL) {
            fail_msg("%s: %s", rows[i].body, buffer_text(&pipeline->answer));
        }
    }
    char body[128];
    char time[CLOCK_TIMESTAMP_SIZE];
    int64_t end = clock_wall_seconds() + HOUR;
    clock_format_timestamp(end * 1000, time);
    snprintf(body, sizeof body, "{\"name\":\"k\",\"expires_at\":\"%s\"}", time);
    assert_answers(pipeline, POST("/auth/api-keys", body, person.bearer), 201);
    assert_member(pipeline, "expires_at", time);
    const char *key = auth_copy(answer_text(pipeline, "key"));
    move_clock(HOUR - 5);
    assert_answers(pipeline, CALL(.path = "/auth/me", .key = key), 200);
    move_clock(HOUR + 1);
    assert_refused(pipeline, CALL(.path = "/auth/me", .key = key), 401, "credential_expired");
    move_clock(0);
    clock_format_timestamp((clock_wall_seconds() + INT64_C(3000) * DAY) * 1000, time);
    snprintf(body, sizeof body, "{\"name\":\"k\",\"expires_at\":\"%s\"}", time);
    assert_answers(pipeline, POST("/auth/api-keys", body, person.bearer), 201);
    assert_answers(pipeline,
                   POST("/auth/api-keys", "{\"name\":\"k\",\"expires_in_days\":2}", person.bearer),
                   201);
    assert_in_range(stored_key(pipeline).expires_at, clock_wall_seconds() + 2 * DAY - 2,
                    clock_wall_seconds() + 2 * DAY);
}

static int set_up_few_keys(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false", "API_KEYS_PER_USER=3"));
}

static void live_keys_are_few_and_stand_first(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    struct person other = auth_register_as(pipeline, "b@example.org");
    const char *ids[4];
    for (int i = 0; i < 3; i++) {
        move_clock(i);
        assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 201);
        ids[i] = auth_copy(answer_text(pipeline, "id"));
    }
    assert_refused(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 409,
                   "conflict");
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", other.bearer), 201);
    const char *path = auth_format("/auth/api-keys/%s", ids[2]);
    assert_refused(pipeline, CALL(.method = "DELETE", .path = path, .cgi = {other.bearer}), 404,
                   "not_found");
    assert_answers(pipeline, CALL(.method = "DELETE", .path = path, .cgi = {person.bearer}), 204);
    move_clock(3);
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 201);
    ids[3] = auth_copy(answer_text(pipeline, "id"));
    static const int order[] = {3, 1, 0, 2};
    for (int page = 1; page <= 2; page++) {
        assert_answers(pipeline,
                       CALL(.path = "/auth/api-keys",
                            .query = page == 1 ? "page=1&page_size=3" : "page=2&page_size=3",
                            .cgi = {person.bearer}),
                       200);
        const struct json_node *body = answer_json(pipeline);
        assert_int_equal(number_of(body, "total"), 4);
        assert_int_equal(number_of(body, "page"), page);
        int at = (page - 1) * 3;
        for (const struct json_node *item = json_first(json_member(body, "items")); item != NULL;
             item = json_next(item), at++) {
            assert_string_equal(json_member_text(item, "id", ""), ids[order[at]]);
            assert_null(json_member(item, "key"));
        }
        assert_int_equal(at, page == 1 ? 3 : 4);
    }
}

/* --- The end of an account's credentials ---------------------------------------------------- */

struct holder {
    struct person person;
    const char *key;
    const char *by_hand;
};

static struct holder hold(struct pipeline *pipeline)
{
    struct holder holder = {.person = auth_register_as(pipeline, ADDRESS)};
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", holder.person.bearer), 201);
    holder.key = auth_copy(answer_text(pipeline, "key"));
    holder.by_hand = lend(pipeline, holder.person, NULL, "", NULL, 0, HOUR);
    return holder;
}

static void assert_credentials(struct pipeline *pipeline, struct holder holder, int session,
                               int key, int by_hand)
{
    assert_answers(pipeline, GET("/auth/me", holder.person.bearer), session);
    assert_answers(pipeline, CALL(.path = "/auth/me", .key = holder.key), key);
    assert_answers(pipeline, GET("/auth/me", holder.by_hand), by_hand);
    const char *body = auth_format("{\"token\":\"%s\"}", holder.person.access);
    assert_answers(pipeline, POST("/auth/validate", body, NULL), 200);
    assert_string_equal(strstr(buffer_text(&pipeline->answer), "\"valid\":") != NULL &&
                                strstr(buffer_text(&pipeline->answer), "\"valid\":true") != NULL
                            ? "true"
                            : "false",
                        session == 200 ? "true" : "false");
    if (session != 200) {
        body = auth_format("{\"refresh_token\":\"%s\"}", holder.person.refresh);
        assert_refused(pipeline, POST("/auth/refresh", body, NULL), 401, "invalid_credentials");
    }
}

static void a_lock_rests_every_credential_and_ends_sessions(void **state)
{
    struct pipeline *pipeline = *state;
    struct holder holder = hold(pipeline);
    struct storage *storage = pipeline->app->storage;
    int64_t now = clock_wall_seconds();
    assert_credentials(pipeline, holder, 200, 200, 200);
    assert_int_equal(account_set_locked(storage, holder.person.id, now + HOUR, now, NULL, 0),
                     STATUS_OK);
    assert_credentials(pipeline, holder, 401, 401, 401);
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, "wrong"), NULL), 401,
                   "invalid_credentials"); /* a guesser sees nothing of the lock */
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 401,
                   "account_locked");
    move_clock(HOUR - 5);
    assert_credentials(pipeline, holder, 401, 401, 401);
    assert_int_equal(account_set_locked(storage, holder.person.id, 0, now, NULL, 0), STATUS_OK);
    assert_credentials(pipeline, holder, 401, 200, 200);
}

static void an_inactive_or_removed_account_ends_every_credential(void **state)
{
    struct pipeline *pipeline = *state;
    struct holder holder = hold(pipeline);
    struct storage *storage = pipeline->app->storage;
    assert_int_equal(account_set_active(storage, holder.person.id, false), STATUS_OK);
    assert_credentials(pipeline, holder, 401, 401, 401);
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 401,
                   "invalid_credentials");
    assert_int_equal(account_set_active(storage, holder.person.id, true), STATUS_OK);
    assert_credentials(pipeline, holder, 200, 200, 200);
    assert_int_equal(account_delete(storage, holder.person.id), STATUS_OK);
    assert_credentials(pipeline, holder, 401, 401, 401);
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 401,
                   "invalid_credentials");
}

static void another_password_ends_all_but_the_session_it_was_given_in(void **state)
{
    struct pipeline *pipeline = *state;
    struct holder holder = hold(pipeline);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 200);
    struct person second = auth_person(pipeline);
    struct person other = auth_register_as(pipeline, "b@example.org");
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", other.bearer), 201);
    const char *others_key = auth_copy(answer_text(pipeline, "key"));
    assert_answers(pipeline,
                   POST("/auth/change-password",
                        "{\"current_password\":\"" PASSWORD "\",\"new_password\":\"other horse\"}",
                        second.bearer),
                   200);
    assert_member(pipeline, "message", "Password changed");
    assert_credentials(pipeline, holder, 401, 401, 401);
    assert_answers(pipeline, GET("/auth/me", second.bearer), 200);
    assert_answers(pipeline, GET("/auth/me", other.bearer), 200);
    assert_answers(pipeline, CALL(.path = "/auth/me", .key = others_key), 200);
}

/* --- One-time passwords --------------------------------------------------------------------- */

static void a_one_time_password_lets_its_holder_change_it_and_nothing_else(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline, POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer), 201);
    struct password_hasher hasher = {.segment = NULL, .concurrency = 1};
    struct account_password_change change = {
        .id = person.id, .is_one_time = true, .now = clock_wall_seconds()};
    assert_int_equal(password_hash(&hasher, &auth_arena, slice_of("once only"), &change.new_hash),
                     STATUS_OK);
    assert_int_equal(account_change_password(pipeline->app->storage, &change), STATUS_OK);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "once only"), NULL), 200);
    person = auth_person(pipeline);
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, "once only"), NULL), 401,
                   "invalid_credentials");
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, "guess"), NULL), 401,
                   "invalid_credentials");
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    const struct call *closed[] = {
        GET("/auth/sessions", person.bearer),
        GET("/auth/api-keys", person.bearer),
        POST("/auth/api-keys", "{\"name\":\"k\"}", person.bearer),
        CALL(.method = "PATCH", .path = "/auth/me", .json = "{\"name\":\"x\"}",
             .cgi = {person.bearer}),
    };
    for (size_t i = 0; i < COUNT(closed); i++) {
        assert_refused(pipeline, closed[i], 403, "permission_denied");
    }
    static const char keep[] =
        "{\"current_password\":\"once only\",\"new_password\":\"once only\"}";
    static const char fresh[] =
        "{\"current_password\":\"once only\",\"new_password\":\"for long\"}";
    assert_refused(pipeline, POST("/auth/change-password", keep, person.bearer), 422,
                   "field_validation_failed");
    assert_answers(pipeline, POST("/auth/change-password", fresh, person.bearer), 200);
    assert_answers(pipeline, GET("/auth/sessions", person.bearer), 200);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "for long"), NULL), 200);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "for long"), NULL), 200);
}

/* --- Registering ---------------------------------------------------------------------------- */

static int set_up_closed(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false", "REGISTRATION=closed"));
}

static void closed_registration_makes_nobody(void **state)
{
    struct pipeline *pipeline = *state;
    assert_refused(pipeline, POST("/auth/register", login_body(ADDRESS, PASSWORD), NULL), 403,
                   "permission_denied");
    assert_member(pipeline, "message", "Registration is closed");
    assert_int_equal(auth_hashes, 0);
    assert_int_equal(account_exists_any(pipeline->app->storage), STATUS_NOT_FOUND);
}

static int set_up_invite(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false", "REGISTRATION=invite"));
}

static void invite(struct pipeline *pipeline, const char *code, int64_t seconds)
{
    unsigned char hash[INVITATION_HASH_SIZE];
    int64_t now = clock_wall_seconds();
    assert_int_equal(digest_sha256(slice_of(code), hash), STATUS_OK);
    assert_int_equal(invitation_create(pipeline->app->storage, hash, now, now + seconds),
                     STATUS_OK);
}

static const char *with_code(const char *email, const char *code)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"email\":\"%s\",\"password\":\"" PASSWORD "\",\"invite_code\":\"%s\"}", email,
             code);
    return auth_copy(text);
}

static void an_invitation_lets_one_person_in_and_ends(void **state)
{
    struct pipeline *pipeline = *state;
    invite(pipeline, "code-1", HOUR);
    invite(pipeline, "code-2", HOUR);
    assert_refused(pipeline, POST("/auth/register", login_body(ADDRESS, PASSWORD), NULL), 403,
                   "permission_denied");
    assert_refused(pipeline, POST("/auth/register", with_code(ADDRESS, "code-3"), NULL), 403,
                   "permission_denied");
    assert_int_equal(auth_hashes, 0); /* a wrong code costs no hash */
    assert_answers(pipeline, POST("/auth/register", with_code("no address", "code-1"), NULL), 422);
    assert_answers(pipeline, POST("/auth/register", with_code(ADDRESS, "code-1"), NULL), 201);
    assert_refused(pipeline, POST("/auth/register", with_code("b@example.org", "code-1"), NULL),
                   403, "permission_denied");
    /* What fails uses nothing up. */
    assert_refused(pipeline, POST("/auth/register", with_code(ADDRESS, "code-2"), NULL), 409,
                   "conflict");
    move_clock(HOUR - 5);
    assert_answers(pipeline, POST("/auth/register", with_code("b@example.org", "code-2"), NULL),
                   201);
    move_clock(0);
    invite(pipeline, "code-4", HOUR);
    move_clock(HOUR + 1);
    assert_refused(pipeline, POST("/auth/register", with_code("c@example.org", "code-4"), NULL),
                   403, "permission_denied");
}

static void two_cannot_use_one_invitation(void **state)
{
    struct pipeline *pipeline = *state;
    unsigned char hash[INVITATION_HASH_SIZE];
    struct session_opening opening = {.now = clock_wall_seconds(), .invitation = hash};
    struct account_new given = {.email = ADDRESS, .password_hash = "h"};
    struct account account;
    struct session session;
    struct session_token token = {.expires_at = opening.now + HOUR};
    invite(pipeline, "code-1", HOUR);
    assert_int_equal(digest_sha256(slice_of("code-1"), hash), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        random_bytes(token.hash, sizeof token.hash);
        given.email = i == 0 ? ADDRESS : "b@example.org";
        assert_int_equal(account_prepare(&auth_arena, &given, &account), STATUS_OK);
        opening.new_account = &account;
        assert_int_equal(
            session_create(pipeline->app->storage, &auth_arena, &opening, &token, &session),
            i == 0 ? STATUS_OK : STATUS_DENIED);
    }
}

static void an_account_is_shown_whole_and_changes_only_what_is_given(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, "ADA@Example.org");
    auth_register_as(pipeline, "b@example.org");
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    assert_member(pipeline, "email", "ada@example.org");
    assert_answers(pipeline,
                   CALL(.method = "PATCH", .path = "/auth/me",
                        .json = "{\"email\":\"Countess@Example.org\",\"name\":\"Ada\"}",
                        .cgi = {person.bearer}),
                   200);
    assert_member(pipeline, "email", "countess@example.org");
    assert_member(pipeline, "name", "Ada");
    assert_refused(pipeline,
                   CALL(.method = "PATCH", .path = "/auth/me",
                        .json = "{\"email\":\"B@example.org\"}", .cgi = {person.bearer}),
                   409, "conflict");
    assert_refused(pipeline,
                   CALL(.method = "PATCH", .path = "/auth/me",
                        .json = "{\"email\":\"a\xc2\xad@example.org\"}", .cgi = {person.bearer}),
                   422, "field_validation_failed");
    assert_answers(pipeline,
                   POST("/auth/login", login_body("countess@example.org", PASSWORD), NULL), 200);
    assert_answers(pipeline, POST("/auth/login", login_body("ada@example.org", PASSWORD), NULL),
                   401);
}

static int set_up_tiers(void **state)
{
    return auth_set_up_settings(
        state, SETTINGS("RATE_LIMIT_ENABLED=false", "RATE_LIMIT_TIERS={\"gold\":\"9/minute\"}"));
}

#define TEST(name)              cmocka_unit_test_setup_teardown(name, auth_set_up, auth_tear_down)
#define WITH(name, set_up_name) cmocka_unit_test_setup_teardown(name, set_up_name, auth_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_inherits_what_its_token_is_limited_to),
        WITH(a_key_never_exceeds_its_token, set_up_tiers),
        TEST(what_a_key_is_asked_to_be_is_never_ignored),
        WITH(live_keys_are_few_and_stand_first, set_up_few_keys),
        TEST(a_lock_rests_every_credential_and_ends_sessions),
        TEST(an_inactive_or_removed_account_ends_every_credential),
        TEST(another_password_ends_all_but_the_session_it_was_given_in),
        TEST(a_one_time_password_lets_its_holder_change_it_and_nothing_else),
        WITH(closed_registration_makes_nobody, set_up_closed),
        WITH(an_invitation_lets_one_person_in_and_ends, set_up_invite),
        WITH(two_cannot_use_one_invitation, set_up_invite),
        TEST(an_account_is_shown_whole_and_changes_only_what_is_given),
    };
    return cmocka_run_group_tests_name("auth_keys", tests, NULL, NULL);
}
