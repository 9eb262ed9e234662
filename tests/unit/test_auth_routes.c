/*
 * The auth program by its promises: how long tokens live, what a lock and a right password do, whose
 * sessions are whose, and what happens to an account while its password is being checked.
 */
#include "auth_help.h"

#include "auth/names.h"
#include "stores/lockout.h"

#define LOGIN(email, password) POST("/auth/login", login_body((email), (password)))
#define CHANGE(old, new, who)                                                                      \
    POST("/auth/change-password",                                                                  \
         "{\"current_password\":\"" old "\",\"new_password\":\"" new "\"}", (who).bearer)

/* --- Lives ---------------------------------------------------------------------------------- */

static int set_up_lives(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false",
                                                "ACCESS_TOKEN_EXPIRE_MINUTES=5",
                                                "REFRESH_TOKEN_EXPIRE_DAYS=3"));
}

/* A minute of leeway, for clocks that differ. */
static void an_access_token_lives_exactly_expires_in(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    int64_t seconds = 0;
    assert_true(json_get_integer(json_member(answer_json(pipeline), "expires_in"), &seconds));
    assert_int_equal(seconds, 300);
    int64_t made = clock_wall_seconds();
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    move_clock(300 + 58);
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    move_clock(300 + 60 + (clock_wall_seconds() - made) % 2);
    assert_refused(pipeline, GET("/auth/me", person.bearer), 401, "credential_expired");
}

static const char *refresh_body(const char *token)
{
    return auth_format("{\"refresh_token\":\"%s\"}", token);
}

static void a_login_lives_its_days_from_the_last_refresh(void **state)
{
    struct pipeline *pipeline = *state;
    struct person first = auth_register_as(pipeline, ADDRESS);
    move_clock(3 * DAY - 60);
    assert_answers(pipeline, POST("/auth/refresh", refresh_body(first.refresh)), 200);
    struct person second = auth_person(pipeline);
    assert_string_equal(second.id, first.id);
    assert_answers(pipeline, GET("/auth/me", second.bearer), 200);
    move_clock(6 * DAY - 120);
    assert_answers(pipeline, POST("/auth/refresh", refresh_body(second.refresh)), 200);
    struct person third = auth_person(pipeline);
    move_clock(9 * DAY);
    assert_refused(pipeline, POST("/auth/refresh", refresh_body(third.refresh)), 401,
                   "credential_expired");
}

static void the_parent_is_excused_for_ten_seconds_and_then_tells_of_a_theft(void **state)
{
    struct pipeline *pipeline = *state;
    struct person first = auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline, POST("/auth/refresh", refresh_body(first.refresh)), 200);
    struct person second = auth_person(pipeline);
    move_clock(9);
    assert_answers(pipeline, POST("/auth/refresh", refresh_body(first.refresh)), 200);
    assert_member(pipeline, "refresh_token", second.refresh);
    assert_int_equal(count_in(pipeline_log(pipeline), "refresh_token_reused"), 0);
    move_clock(12);
    assert_refused(pipeline, POST("/auth/refresh", refresh_body(first.refresh)), 401,
                   "invalid_credentials");
    assert_int_equal(count_in(pipeline_log(pipeline), "\"message\":\"refresh_token_reused\""), 1);
    assert_refused(pipeline, POST("/auth/refresh", refresh_body(second.refresh)), 401,
                   "invalid_credentials");
    assert_refused(pipeline, GET("/auth/me", second.bearer), 401, "invalid_credentials");
}

/* --- Wrong passwords ------------------------------------------------------------------------ */

/* "invalid_credentials invalid_credentials … account_locked" of seven wrong tries. */
static const char *words_of_guesses(struct pipeline *pipeline, const char *name)
{
    struct buffer words;
    buffer_init(&words, 4096);
    for (int i = 0; i < 7; i++) {
        assert_answers(pipeline, LOGIN(name, "wrong"), 401);
        buffer_append_text(&words, answer_text(pipeline, "error"));
        buffer_append_text(&words, answer_header(pipeline, "Retry-After") ? "+ " : " ");
    }
    const char *copy = auth_copy(buffer_text(&words));
    buffer_release(&words);
    return copy;
}

static void guesses_at_nobody_look_like_guesses_at_somebody(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const nobody[] = {"nobody@example.org", "nobody", "no name at all",
                                         "\xc2\xad@example.org"};
    auth_register_as(pipeline, ADDRESS);
    int before = auth_hashes;
    const char *known = words_of_guesses(pipeline, ADDRESS);
    int work = auth_hashes - before;
    assert_string_equal(known, "invalid_credentials invalid_credentials invalid_credentials "
                               "invalid_credentials invalid_credentials account_locked+ "
                               "account_locked+ ");
    for (size_t i = 0; i < COUNT(nobody); i++) {
        before = auth_hashes;
        assert_string_equal(words_of_guesses(pipeline, nobody[i]), known);
        assert_int_equal(auth_hashes - before, work);
    }
    assert_int_equal(work, 5);
    assert_int_equal(count_in(pipeline_log(pipeline), "\"message\":\"account_locked\""),
                     1 + COUNT(nobody));
}

static void twins_of_a_name_are_counted_as_one(void **state)
{
    struct pipeline *pipeline = *state;
    auth_register_as(pipeline, "jos\xc3\xa9@example.org");
    for (int i = 0; i < 5; i++) {
        assert_refused(
            pipeline,
            LOGIN(i % 2 == 0 ? "JOSE\xcc\x81@example.org" : "jos\xc3\xa9@EXAMPLE.org", "wrong"),
            401, "invalid_credentials");
    }
    assert_refused(pipeline, LOGIN("jos\xc3\xa9@example.org", PASSWORD), 401, "account_locked");
}

static void a_lock_holds_its_time_for_one_network(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    words_of_guesses(pipeline, ADDRESS);
    assert_refused(pipeline, LOGIN(ADDRESS, PASSWORD), 401, "account_locked");
    assert_answers(pipeline,
                   POST("/auth/login", login_body(ADDRESS, PASSWORD), "REMOTE_ADDR=198.51.100.1"),
                   200);
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200); /* ends no live session */
    move_clock(30 * 60 - 5);
    assert_refused(pipeline, LOGIN(ADDRESS, PASSWORD), 401, "account_locked");
    move_clock(30 * 60 + 1);
    assert_answers(pipeline, LOGIN(ADDRESS, PASSWORD), 200);
}

static void a_network_of_ipv6_is_one_guesser(void **state)
{
    struct pipeline *pipeline = *state;
    char address[64];
    auth_register_as(pipeline, ADDRESS);
    for (int i = 0; i < 5; i++) {
        snprintf(address, sizeof address, "REMOTE_ADDR=2001:db8:0:1::%d", i);
        assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "wrong"), address), 401);
    }
    assert_refused(
        pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), "REMOTE_ADDR=2001:db8:0:1::9"),
        401, "account_locked");
    assert_answers(
        pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), "REMOTE_ADDR=2001:db8:0:2::9"),
        200);
}

static void a_right_password_clears_the_count(void **state)
{
    struct pipeline *pipeline = *state;
    auth_register_as(pipeline, ADDRESS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            assert_refused(pipeline, LOGIN(ADDRESS, "wrong"), 401, "invalid_credentials");
        }
        assert_answers(pipeline, LOGIN(ADDRESS, PASSWORD), 200);
    }
}

static void change_password_counts_wrong_guesses_and_obeys_the_lock(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    for (int i = 0; i < 5; i++) {
        assert_refused(pipeline, CHANGE("wrong", "battery staple", person), 401,
                       "invalid_credentials");
    }
    assert_refused(pipeline, CHANGE(PASSWORD, "battery staple", person), 401, "account_locked");
    assert_refused(pipeline, LOGIN(ADDRESS, PASSWORD), 401, "account_locked");
    move_clock(30 * 60 + 1);
    assert_answers(pipeline, LOGIN(ADDRESS, PASSWORD), 200);
}

static void a_changed_password_forgets_wrong_guesses_by_every_name(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   POST("/auth/register", "{\"email\":\"" ADDRESS "\",\"password\":\"" PASSWORD
                                          "\",\"username\":\"Ada\"}"),
                   201);
    struct person person = auth_person(pipeline);
    static const char by_name[] = "{\"username\":\"ADA\",\"password\":\"wrong\"}";
    for (int i = 0; i < 4; i++) {
        assert_answers(pipeline, LOGIN(ADDRESS, "wrong"), 401);
        assert_answers(pipeline, POST("/auth/login", by_name, "REMOTE_ADDR=198.51.100.1"), 401);
    }
    assert_answers(pipeline, CHANGE(PASSWORD, "battery staple", person), 200);
    for (int i = 0; i < 4; i++) {
        assert_refused(pipeline, LOGIN(ADDRESS, "wrong"), 401, "invalid_credentials");
        assert_refused(pipeline, POST("/auth/login", by_name, "REMOTE_ADDR=198.51.100.1"), 401,
                       "invalid_credentials");
    }
    assert_answers(pipeline, LOGIN(ADDRESS, "battery staple"), 200);
    assert_refused(pipeline, LOGIN(ADDRESS, PASSWORD), 401, "invalid_credentials");
}

/* --- While a password is being checked ------------------------------------------------------ */

static struct person victim;

static void lock_meanwhile(struct app *app)
{
    int64_t now = clock_wall_seconds();
    assert_int_equal(account_set_locked(app->storage, victim.id, now + HOUR, now, NULL, 0),
                     STATUS_OK);
}

static void deactivate_meanwhile(struct app *app)
{
    assert_int_equal(account_set_active(app->storage, victim.id, false), STATUS_OK);
}

static void delete_meanwhile(struct app *app)
{
    assert_int_equal(account_delete(app->storage, victim.id), STATUS_OK);
}

static void change_meanwhile(struct app *app)
{
    struct account_password_change change = {
        .id = victim.id, .new_hash = "another", .now = clock_wall_seconds()};
    assert_int_equal(account_change_password(app->storage, &change), STATUS_OK);
}

static void guess_meanwhile(struct app *app)
{
    struct lockout_attempt attempt = {
        .network = "192.0.2.7", .now = clock_wall_seconds(), .threshold = 1, .lock_seconds = HOUR};
    bool is_locked = false;
    assert_int_equal(names_digest(ADDRESS, attempt.name), STATUS_OK);
    assert_int_equal(lockout_count(app->storage, &attempt, &is_locked), STATUS_OK);
    assert_true(is_locked);
}

static int64_t live_sessions(struct pipeline *pipeline)
{
    struct session *list;
    size_t count;
    int64_t total = -1;
    assert_int_equal(session_list(pipeline->app->storage, &pipeline->arena, victim.id,
                                  clock_wall_seconds(), 10, 0, &list, &count, &total),
                     STATUS_OK);
    return total;
}

static void a_login_cannot_overtake_what_ends_its_account(void **state)
{
    struct pipeline *pipeline = *state;
    static const struct {
        void (*act)(struct app *app);
        int status;
        const char *word;
    } rows[] = {
        {lock_meanwhile, 503, "service_overloaded"},
        {deactivate_meanwhile, 503, "service_overloaded"},
        {delete_meanwhile, 503, "service_overloaded"},
        {change_meanwhile, 503, "service_overloaded"},
        {guess_meanwhile, 401, "account_locked"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        victim = auth_register_as(pipeline, ADDRESS);
        int64_t before = rows[i].act == guess_meanwhile ? 1 : 0;
        auth_meanwhile = rows[i].act;
        assert_refused(pipeline, LOGIN(ADDRESS, PASSWORD), rows[i].status, rows[i].word);
        assert_null(auth_meanwhile);
        int64_t after = live_sessions(pipeline);
        assert_true(after == before || (after == 1 && rows[i].act == deactivate_meanwhile));
        enum status status = account_delete(pipeline->app->storage, victim.id);
        assert_true(status == STATUS_OK || rows[i].act == delete_meanwhile);
    }
}

static void a_change_of_password_cannot_overtake_another(void **state)
{
    struct pipeline *pipeline = *state;
    victim = auth_register_as(pipeline, ADDRESS);
    auth_meanwhile = change_meanwhile;
    assert_refused(pipeline, CHANGE(PASSWORD, "battery staple", victim), 409, "conflict");
    struct account account;
    assert_int_equal(account_find_by_id(pipeline->app->storage, &auth_arena, victim.id, &account),
                     STATUS_OK);
    assert_string_equal(account.password_hash, "another");
}

/* --- Sessions ------------------------------------------------------------------------------- */

static const struct json_node *list_sessions(struct pipeline *pipeline, struct person person,
                                             const char *query)
{
    assert_answers(pipeline, CALL(.path = "/auth/sessions", .query = query, .cgi = {person.bearer}),
                   200);
    return answer_json(pipeline);
}

static int64_t number_of(const struct json_node *node, const char *name)
{
    int64_t number = -1;
    assert_true(json_get_integer(json_member(node, name), &number));
    return number;
}

static void sessions_are_ones_own_and_come_in_pages(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    struct person other = auth_register_as(pipeline, "b@example.org");
    for (int i = 1; i <= 4; i++) {
        move_clock(i);
        assert_answers(pipeline,
                       POST("/auth/login", login_body(ADDRESS, PASSWORD),
                            "REMOTE_ADDR=198.51.100.1", "HTTP_USER_AGENT=tests/1"),
                       200);
    }
    const struct json_node *page = list_sessions(pipeline, person, "page=2&page_size=2");
    assert_int_equal(number_of(page, "total"), 5);
    assert_int_equal(number_of(page, "page"), 2);
    assert_int_equal(number_of(page, "page_size"), 2);
    const struct json_node *item = json_first(json_member(page, "items"));
    assert_int_equal(json_count(json_member(page, "items")), 2);
    assert_string_equal(json_member_text(item, "device", ""), "tests/1");
    assert_string_equal(json_member_text(item, "address", ""), "198.51.100.1");
    bool is_current = true;
    assert_true(json_get_boolean(json_member(item, "is_current"), &is_current));
    assert_false(is_current);
    item = json_first(json_member(list_sessions(pipeline, person, "page=3&page_size=2"), "items"));
    assert_true(json_get_boolean(json_member(item, "is_current"), &is_current));
    assert_true(is_current);
    const char *path = auth_format("/auth/sessions/%s", json_member_text(item, "id", ""));
    assert_refused(pipeline, CALL(.method = "DELETE", .path = path, .cgi = {other.bearer}), 404,
                   "session_not_found");
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    assert_int_equal(number_of(list_sessions(pipeline, other, NULL), "total"), 1);
    assert_answers(pipeline, CALL(.method = "DELETE", .path = path, .cgi = {person.bearer}), 204);
    assert_refused(pipeline, GET("/auth/me", person.bearer), 401, "invalid_credentials");
    assert_refused(pipeline,
                   CALL(.path = "/auth/sessions", .query = "page=0", .cgi = {other.bearer}), 422,
                   "field_validation_failed");
}

static int set_up_few_sessions(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false", "SESSIONS_PER_USER=3"));
}

static void one_login_too_many_ends_the_oldest(void **state)
{
    struct pipeline *pipeline = *state;
    struct person people[5];
    people[0] = auth_register_as(pipeline, ADDRESS);
    struct person other = auth_register_as(pipeline, "b@example.org");
    for (int i = 1; i < 5; i++) {
        move_clock(i);
        assert_answers(pipeline, LOGIN(ADDRESS, PASSWORD), 200);
        people[i] = auth_person(pipeline);
    }
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline, GET("/auth/me", people[i].bearer), i < 2 ? 401 : 200);
    }
    assert_answers(pipeline, GET("/auth/me", other.bearer), 200);
}

static void logout_ends_one_session_or_all_of_ones_own(void **state)
{
    struct pipeline *pipeline = *state;
    struct person first = auth_register_as(pipeline, ADDRESS);
    struct person other = auth_register_as(pipeline, "b@example.org");
    struct person more[2];
    for (int i = 0; i < 2; i++) {
        assert_answers(pipeline, LOGIN(ADDRESS, PASSWORD), 200);
        more[i] = auth_person(pipeline);
    }
    assert_answers(pipeline, POST("/auth/logout", NULL, more[0].bearer), 200);
    assert_member(pipeline, "message", "Logged out");
    assert_answers(pipeline, GET("/auth/me", more[0].bearer), 401);
    assert_answers(pipeline, GET("/auth/me", first.bearer), 200);
    assert_refused(pipeline,
                   CALL(.method = "POST", .path = "/auth/logout", .query = "all=perhaps",
                        .cgi = {first.bearer}),
                   422, "field_validation_failed");
    assert_answers(
        pipeline,
        CALL(.method = "POST", .path = "/auth/logout", .query = "all=true", .cgi = {first.bearer}),
        200);
    assert_answers(pipeline, GET("/auth/me", first.bearer), 401);
    assert_answers(pipeline, GET("/auth/me", more[1].bearer), 401);
    assert_answers(pipeline, POST("/auth/refresh", refresh_body(more[1].refresh)), 401);
    assert_answers(pipeline, GET("/auth/me", other.bearer), 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, auth_set_up, auth_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_access_token_lives_exactly_expires_in, set_up_lives,
                                        auth_tear_down),
        cmocka_unit_test_setup_teardown(a_login_lives_its_days_from_the_last_refresh, set_up_lives,
                                        auth_tear_down),
        TEST(the_parent_is_excused_for_ten_seconds_and_then_tells_of_a_theft),
        TEST(guesses_at_nobody_look_like_guesses_at_somebody),
        TEST(twins_of_a_name_are_counted_as_one),
        TEST(a_lock_holds_its_time_for_one_network),
        TEST(a_network_of_ipv6_is_one_guesser),
        TEST(a_right_password_clears_the_count),
        TEST(change_password_counts_wrong_guesses_and_obeys_the_lock),
        TEST(a_changed_password_forgets_wrong_guesses_by_every_name),
        TEST(a_login_cannot_overtake_what_ends_its_account),
        TEST(a_change_of_password_cannot_overtake_another),
        TEST(sessions_are_ones_own_and_come_in_pages),
        cmocka_unit_test_setup_teardown(one_login_too_many_ends_the_oldest, set_up_few_sessions,
                                        auth_tear_down),
        TEST(logout_ends_one_session_or_all_of_ones_own),
    };
    return cmocka_run_group_tests_name("auth_routes", tests, NULL, NULL);
}
