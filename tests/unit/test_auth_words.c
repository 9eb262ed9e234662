/*
 * The answers of the auth program, word for word, and the bounds of its input.
 */
#include "auth_help.h"

#include "auth/digest.h"

/* `format` has one %s, which becomes `count` letters. */
static const char *fill(const char *format, size_t count)
{
    char *letters = malloc(count + 1);
    assert_non_null(letters);
    memset(letters, 'x', count);
    letters[count] = '\0';
    const char *text = auth_format(format, letters);
    free(letters);
    return text;
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static void texts_have_their_length_and_no_more(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        const char *body;
        size_t least;
        size_t most;
        int status; /* of a value that fits */
    } rows[] = {
        {"POST", "/auth/login", "{\"email\":\"%s\",\"password\":\"wrong one\"}", 1, 254, 401},
        {"POST", "/auth/login", "{\"username\":\"%s\",\"password\":\"wrong one\"}", 1, 254, 401},
        {"POST", "/auth/login", "{\"email\":\"b@example.org\",\"password\":\"%s\"}", 1, 1024, 401},
        {"POST", "/auth/refresh", "{\"refresh_token\":\"%s\"}", 1, 512, 401},
        {"POST", "/auth/api-keys", "{\"name\":\"%s\"}", 1, 128, 201},
        {"PATCH", "/auth/me", "{\"name\":\"%s\"}", 1, 128, 200},
        {"PATCH", "/auth/me", "{\"username\":\"%s\"}", 3, 64, 200},
        {"POST", "/auth/change-password",
         "{\"current_password\":\"%s\",\"new_password\":\"battery staple\"}", 1, 1024, 401},
    };
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t lengths[] = {rows[i].least, rows[i].most, rows[i].least - 1, rows[i].most + 1};
        for (size_t k = 0; k < COUNT(lengths); k++) {
            assert_answers(pipeline,
                           CALL(.method = rows[i].method, .path = rows[i].path,
                                .json = fill(rows[i].body, lengths[k]), .cgi = {person.bearer}),
                           k < 2 ? rows[i].status : 422);
        }
    }
}

static void somebody_new_gives_texts_of_the_same_lengths(void **state)
{
    static const struct {
        const char *member;
        size_t least;
        size_t most;
    } rows[] = {
        {"name", 1, 128}, {"username", 3, 64}, {"invite_code", 1, 128}, {"password", 8, 1024}};
    struct pipeline *pipeline = *state;
    int number = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t lengths[] = {rows[i].least, rows[i].most, rows[i].least - 1, rows[i].most + 1};
        for (size_t k = 0; k < COUNT(lengths); k++) {
            char format[256];
            bool is_password = strcmp(rows[i].member, "password") == 0;
            snprintf(format, sizeof format, "{\"email\":\"n%d@example.org\",%s\"%s\":\"%%s\"}",
                     number++, is_password ? "" : "\"password\":\"" PASSWORD "\",", rows[i].member);
            assert_answers(pipeline, POST("/auth/register", fill(format, lengths[k]), NULL),
                           k < 2 ? 201 : 422);
        }
    }
}

static const char *list_of_charts(size_t count)
{
    struct buffer text;
    buffer_init(&text, 65536);
    buffer_append_text(&text, "{\"name\":\"k\",\"chart_ids\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(&text, "%s\"c%zu\"", i == 0 ? "" : ",", i);
    }
    buffer_append_text(&text, "]}");
    const char *copy = auth_copy(buffer_text(&text));
    buffer_release(&text);
    return copy;
}

static const char *ending_at(int64_t seconds)
{
    char time[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(seconds * 1000, time);
    return auth_format("{\"name\":\"k\",\"expires_at\":\"%s\"}", time);
}

static void a_key_has_bounds(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
#define KEY(body) POST("/auth/api-keys", (body), person.bearer)
    assert_answers(pipeline, KEY(list_of_charts(100)), 201);
    assert_answers(pipeline, KEY(list_of_charts(0)), 201);
    assert_answers(pipeline, KEY(list_of_charts(101)), 422);
    assert_non_null(strstr(buffer_text(&pipeline->answer),
                           "Input should be a list of at most 100 ids of charts"));
    assert_answers(pipeline, KEY("{\"name\":\"k\",\"expires_in_days\":1}"), 201);
    assert_answers(pipeline, KEY("{\"name\":\"k\",\"expires_in_days\":3650}"), 201);
    assert_answers(pipeline, KEY("{\"name\":\"k\",\"expires_in_days\":3651}"), 422);
    int64_t now = clock_wall_seconds();
    assert_answers(pipeline, KEY(ending_at(now)), 422); /* over already, however long this took */
    assert_answers(pipeline, KEY(ending_at(now + 5)), 201);
    assert_answers(pipeline, KEY(ending_at(now + INT64_C(3650) * DAY)), 201);
    assert_answers(pipeline, KEY(ending_at(now + INT64_C(3650) * DAY + 60)), 422);
    assert_non_null(
        strstr(buffer_text(&pipeline->answer), "Input should be a time within the next ten years"));
    assert_answers(pipeline, KEY("{\"name\":\"k\",\"scopes\":\"  \"}"), 201);
    assert_member(pipeline, "scopes", "");
    assert_answers(pipeline, KEY(fill("{\"name\":\"k\",\"scopes\":\"%s\"}", 513)), 422);
#undef KEY
}

/* --- Messages --------------------------------------------------------------------------------- */

static void each_refusal_says_what_is_wrong(void **state)
{
    static const struct {
        const char *path;
        const char *body;
        int status;
        const char *message;
    } rows[] = {
        {"/auth/register", "{\"email\":\"b@example.org\",\"password\":\"1234567\"}", 422,
         "\"msg\":\"Password should have 8 to 1024 bytes\",\"type\":\"string_too_short\""},
        {"/auth/register",
         "{\"email\":\"b@example.org\",\"password\":\"" PASSWORD "\",\"username\":\"a b c\"}", 422,
         "\"msg\":\"Username may hold letters, digits, dot, underscore and hyphen\","
         "\"type\":\"value_error\""},
        {"/auth/register", "{\"email\":\"" ADDRESS "\",\"password\":\"" PASSWORD "\"}", 409,
         "\"message\":\"This e-mail address or username is taken\""},
        {"/auth/login", "{\"email\":\"" ADDRESS "\",\"password\":\"wrong\"}", 401,
         "\"message\":\"Invalid credentials\""},
        {"/auth/refresh", "{\"refresh_token\":\"x\"}", 401,
         "\"message\":\"Invalid refresh token\""},
        {"/auth/api-keys", "{\"name\":\"k\",\"scopes\":\"nonsense\"}", 422,
         "\"msg\":\"Scopes are words like chart.read, with spaces between\","
         "\"type\":\"value_error\""},
        {"/auth/api-keys", "{\"name\":\"k\",\"tier\":\"unheard-of\"}", 422,
         "\"msg\":\"There is no such tier\",\"type\":\"value_error\""},
        {"/auth/api-keys",
         "{\"name\":\"k\",\"expires_at\":\"2999-01-01T00:00:00Z\",\"expires_in_days\":3}", 422,
         "\"msg\":\"Give expires_at or expires_in_days, not both\",\"type\":\"value_error\""},
        {"/auth/api-keys", "{\"name\":\"k\",\"chart_ids\":[1]}", 422, "\"type\":\"list_type\""},
        {"/auth/logout?all=x", "{}", 422,
         "\"msg\":\"Input should be a valid boolean\",\"type\":\"bool_parsing\""},
    };
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *query = strchr(rows[i].path, '?');
        size_t length = query != NULL ? (size_t)(query - rows[i].path) : strlen(rows[i].path);
        const char *path = arena_copy(&auth_arena, rows[i].path, length);
        assert_answers(pipeline,
                       CALL(.method = "POST", .path = path, .json = rows[i].body,
                            .query = query != NULL ? query + 1 : NULL, .cgi = {person.bearer}),
                       rows[i].status);
        if (strstr(buffer_text(&pipeline->answer), rows[i].message) == NULL) {
            fail_msg("row %zu: %s", i, buffer_text(&pipeline->answer));
        }
    }
    assert_answers(pipeline, POST("/auth/logout", "{}", person.bearer), 200);
    assert_member(pipeline, "message", "Logged out");
}

static void a_refresh_token_that_is_over_says_so(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    move_clock(7 * DAY + 60);
    assert_refused(
        pipeline,
        POST("/auth/refresh", auth_format("{\"refresh_token\":\"%s\"}", person.refresh), NULL), 401,
        "credential_expired");
    assert_member(pipeline, "message", "The refresh token has expired");
}

/* One that was made by hand belongs to no login: it cannot end its own, but all others. */
static void a_token_without_a_session_ends_all_or_none(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    const char *token = NULL;
    int64_t now = clock_wall_seconds();
    struct token_claims claims = {.subject = person.id,
                                  .token_id = "made by hand",
                                  .scope = "",
                                  .issued_at = now,
                                  .expires_at = now + HOUR};
    assert_int_equal(token_issue(authenticator_token_keys(pipeline->app->authenticator),
                                 &auth_arena, &claims, &token),
                     STATUS_OK);
    const char *bearer = auth_format("HTTP_AUTHORIZATION=Bearer %s", token);
    assert_refused(pipeline, POST("/auth/logout", "{}", bearer), 400, "invalid_request");
    assert_member(pipeline, "message", "This token belongs to no session");
    assert_answers(pipeline, GET("/auth/me", person.bearer), 200);
    assert_answers(pipeline,
                   CALL(.method = "POST", .path = "/auth/logout", .query = "all=true", .json = "{}",
                        .cgi = {bearer}),
                   200);
    assert_answers(pipeline, GET("/auth/me", person.bearer), 401);
}

/* For a day, so that late use of its token is still told from that of a forged one. */
static void a_session_that_is_over_is_kept_for_a_while(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    move_clock(7 * DAY + 12 * HOUR);
    auth_sweep(pipeline->app);
    assert_refused(
        pipeline,
        POST("/auth/refresh", auth_format("{\"refresh_token\":\"%s\"}", person.refresh), NULL), 401,
        "credential_expired");
}

static void a_device_may_have_the_shortest_of_names(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   POST("/auth/register", login_body(ADDRESS, PASSWORD), "HTTP_USER_AGENT=x"), 201);
    struct person person = auth_person(pipeline);
    assert_answers(pipeline, GET("/auth/sessions", person.bearer), 200);
    assert_non_null(strstr(buffer_text(&pipeline->answer), "\"device\":\"x\""));
}

static void a_changed_password_is_told(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    assert_answers(pipeline,
                   POST("/auth/change-password",
                        "{\"current_password\":\"" PASSWORD
                        "\",\"new_password\":\"battery staple\"}",
                        person.bearer),
                   200);
    assert_member(pipeline, "message", "Password changed");
}

/* --- Locks ------------------------------------------------------------------------------------ */

static void a_lock_tells_how_long_and_is_logged_with_whom_and_from_where(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, "wrong"), NULL), 401);
    }
    assert_refused(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 401,
                   "account_locked");
    int64_t seconds = 0;
    assert_int_equal(text_parse_integer(slice_of(answer_header(pipeline, "Retry-After")), &seconds),
                     STATUS_OK);
    assert_in_range(seconds, 30 * 60 - 10, 30 * 60);
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "\"message\":\"account_locked\""), 1);
    assert_int_equal(count_in(log, auth_format("\"user\":\"%s\"", person.id)), 1);
    assert_non_null(strstr(strstr(log, "account_locked"), "\"client\":\"192.0.2.7\""));
}

static void a_locked_account_keeps_its_password(void **state)
{
    struct pipeline *pipeline = *state;
    struct person person = auth_register_as(pipeline, ADDRESS);
    static const char right[] =
        "{\"current_password\":\"" PASSWORD "\",\"new_password\":\"battery staple\"}";
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline,
                       POST("/auth/change-password",
                            "{\"current_password\":\"wrong\",\"new_password\":\"battery staple\"}",
                            person.bearer),
                       401);
    }
    int before = auth_hashes;
    assert_refused(pipeline, POST("/auth/change-password", right, person.bearer), 401,
                   "account_locked");
    assert_int_equal(auth_hashes, before); /* nor does it cost a hash */
    move_clock(30 * 60);
    assert_answers(pipeline, POST("/auth/login", login_body(ADDRESS, PASSWORD), NULL), 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, auth_set_up, auth_tear_down)

static int set_up_patient(void **state)
{
    return auth_set_up_settings(state,
                                SETTINGS("RATE_LIMIT_ENABLED=false", "LOCKOUT_THRESHOLD=1000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_have_their_length_and_no_more, set_up_patient,
                                        auth_tear_down),
        TEST(somebody_new_gives_texts_of_the_same_lengths),
        TEST(a_key_has_bounds),
        TEST(each_refusal_says_what_is_wrong),
        TEST(a_refresh_token_that_is_over_says_so),
        TEST(a_token_without_a_session_ends_all_or_none),
        TEST(a_session_that_is_over_is_kept_for_a_while),
        TEST(a_device_may_have_the_shortest_of_names),
        TEST(a_changed_password_is_told),
        TEST(a_lock_tells_how_long_and_is_logged_with_whom_and_from_where),
        TEST(a_locked_account_keeps_its_password),
    };
    return cmocka_run_group_tests_name("auth_words", tests, NULL, NULL);
}
