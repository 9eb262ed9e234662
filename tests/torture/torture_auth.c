/*
 * The requests of the auth program while memory runs out: a person registers, logs in, stays logged
 * in, makes a key, changes the password, goes.
 */
#include "libraries.h"
#include "state.h"

#include "fcgi-apps/auth/routes.h"

#include <argon2.h>
#include <dlfcn.h>

/* Found in place of the library's (-rdynamic): hundreds of passwords are hashed in each test, so it
 * takes a few kilobytes and no time; and its work area may be missing too. */
int argon2_ctx(argon2_context *context, argon2_type type)
{
    void *area = memory_allocate(1);
    if (area == NULL) {
        return ARGON2_MEMORY_ALLOCATION_ERROR;
    }
    memory_release(area);
    int (*earnest)(argon2_context *, argon2_type);
    void *library = dlopen("libargon2.so.1", RTLD_NOW);
    assert_non_null(library);
    *(void **)&earnest = dlsym(library, "argon2_ctx");
    assert_non_null(earnest);
    argon2_context small = *context;
    small.m_cost = 8;
    small.t_cost = 1;
    return earnest(&small, type);
}

struct person {
    const char *access;  /* "HTTP_AUTHORIZATION=Bearer …" */
    const char *refresh; /* the body of a refresh */
    struct arena arena;
};

static struct person person;

#define REGISTER                                                                                   \
    "{\"email\":\"a@example.org\",\"password\":\"correct horse\",\"username\":\"alice\","          \
    "\"name\":\"Alice\"}"
#define LOGIN          "{\"email\":\"a@example.org\",\"password\":\"correct horse\"}"
#define WRONG          "{\"email\":\"a@example.org\",\"password\":\"incorrect horse\"}"
#define POST(at, body) CALL(.method = "POST", .path = (at), .json = (body), AS_PERSON)
#define AS_PERSON      .cgi = {person.access}

/* Who the tokens of the answer are for. */
static void become(struct pipeline *pipeline)
{
    arena_reset(&person.arena);
    person.access = arena_format(&person.arena, "HTTP_AUTHORIZATION=Bearer %s",
                                 answer_text(pipeline, "access_token"));
    person.refresh = arena_format(&person.arena, "{\"refresh_token\":\"%s\"}",
                                  answer_text(pipeline, "refresh_token"));
    assert_true(person.access != NULL && person.refresh != NULL);
}

static int set_up(void **state)
{
    person = (struct person){.access = NULL};
    arena_init(&person.arena, 65536);
    return pipeline_set_up_settings(state, &auth_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

static int set_up_person(void **state)
{
    int failed = set_up(state);
    if (failed == 0) {
        assert_answers(*state, POST("/auth/register", REGISTER), 201);
        become(*state);
    }
    return failed;
}

static int tear_down(void **state)
{
    arena_destroy(&person.arena);
    return pipeline_tear_down(state);
}

/* --- Getting in ----------------------------------------------------------------------------- */

static void registering_is_all_or_nothing(void **state)
{
    torture_request(*state, POST("/auth/register", REGISTER), 201);
    torture_request(*state, POST("/auth/register", REGISTER), 409);
}

static void login_is_all_or_nothing(void **state)
{
    torture_request(*state, POST("/auth/login", LOGIN), 200);
}

static void a_wrong_password_counts_once_or_not_at_all(void **state)
{
    torture_request(*state, POST("/auth/login", WRONG), 401);
}

/* Nobody gets in while it cannot be looked up whether an account is locked. */
static void a_lock_holds_also_when_memory_runs_out(void **state)
{
    struct pipeline *pipeline = *state;
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline, POST("/auth/login", WRONG), 401);
    }
    torture_request(pipeline, POST("/auth/login", LOGIN), 401);
}

/* Whoever gets no answer still holds a token that works. */
static void refreshing_never_loses_the_session(void **state)
{
    struct pipeline *pipeline = *state;
    torture_request(pipeline, POST("/auth/refresh", person.refresh), 200);
    /* The same token again, in the few seconds in which that is no theft. */
    torture_request(pipeline, POST("/auth/refresh", person.refresh), 200);
    become(pipeline);
    assert_answers(pipeline, POST("/auth/refresh", person.refresh), 200);
}

static void a_token_is_judged_or_the_answer_is_503(void **state)
{
    struct pipeline *pipeline = *state;
    const char *body =
        arena_format(&person.arena, "{\"token\":\"%s\"}", strchr(person.access, ' ') + 1);
    torture_request(pipeline, POST("/auth/validate", body), 200);
    torture_request(pipeline, POST("/auth/validate", "{\"token\":\"a.b.c\"}"), 200);
}

/* --- Inside --------------------------------------------------------------------------------- */

static void me_is_shown_and_changed_as_a_whole(void **state)
{
    torture_request(*state, CALL(.path = "/auth/me", AS_PERSON), 200);
    torture_request(*state,
                    CALL(.method = "PATCH", .path = "/auth/me",
                         .json = "{\"name\":\"Alice B\",\"username\":\"aliceb\"}", AS_PERSON),
                    200);
}

static void an_api_key_is_made_listed_and_revoked_as_a_whole(void **state)
{
    struct pipeline *pipeline = *state;
    char path[128];
    torture_request(pipeline,
                    POST("/auth/api-keys", "{\"name\":\"script\",\"scopes\":\"user.read\"}"), 201);
    const char *key = arena_format(&person.arena, "%s", answer_text(pipeline, "key"));
    snprintf(path, sizeof path, "/auth/api-keys/%s", answer_text(pipeline, "id"));
    torture_request(pipeline, CALL(.path = "/auth/api-keys", AS_PERSON), 200);
    torture_request(pipeline, CALL(.path = "/auth/me", .key = key), 200);
    torture_request(pipeline, CALL(.method = "DELETE", .path = path, AS_PERSON), 204);
    torture_request(pipeline, CALL(.path = "/auth/me", .key = key), 401);
}

/* The other sessions end with the old password, or nothing has happened. */
static void changing_the_password_is_all_or_nothing(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, POST("/auth/login", LOGIN), 200);
    torture_request(pipeline,
                    POST("/auth/change-password", "{\"current_password\":\"correct horse\","
                                                  "\"new_password\":\"battery staple\"}"),
                    200);
    assert_answers(pipeline, POST("/auth/login", LOGIN), 401);
}

static void sessions_are_listed_and_ended_as_a_whole(void **state)
{
    struct pipeline *pipeline = *state;
    torture_request(pipeline, CALL(.path = "/auth/sessions", AS_PERSON), 200);
    torture_request(pipeline, CALL(.method = "POST", .path = "/auth/logout", AS_PERSON), 200);
    torture_request(pipeline, CALL(.path = "/auth/me", AS_PERSON), 401);
}

int main(void)
{
#define NOBODY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define PERSON(test) cmocka_unit_test_setup_teardown(test, set_up_person, tear_down)
    const struct CMUnitTest tests[] = {
        NOBODY(registering_is_all_or_nothing),
        PERSON(login_is_all_or_nothing),
        PERSON(a_wrong_password_counts_once_or_not_at_all),
        PERSON(a_lock_holds_also_when_memory_runs_out),
        PERSON(refreshing_never_loses_the_session),
        PERSON(a_token_is_judged_or_the_answer_is_503),
        PERSON(me_is_shown_and_changed_as_a_whole),
        PERSON(an_api_key_is_made_listed_and_revoked_as_a_whole),
        PERSON(changing_the_password_is_all_or_nothing),
        PERSON(sessions_are_listed_and_ended_as_a_whole),
    };
    libraries_use_our_memory();
    return cmocka_run_group_tests_name("torture_auth", tests, NULL, NULL);
}
