/*
 * tests/unit/auth_help: people who log in to the auth program, a wall clock that can be moved, and a
 * place to act while a password is being checked. Linked with -rdynamic, so that the library finds
 * our argon2_ctx first, whether it is linked in or a shared one.
 */
#ifndef TESTS_AUTH_HELP_H
#define TESTS_AUTH_HELP_H

#include "pipeline_help.h"

#include <argon2.h>
#include <dlfcn.h>

#include "base/clock.h"
#include "base/random.h"
#include "fcgi-apps/auth/routes.h"

#define PASSWORD "correct horse"
#define ADDRESS  "a@example.org"
#define HOUR     3600
#define DAY      86400

/* --- Passwords ------------------------------------------------------------------------------ */

static int auth_hashes;                         /* since the fixture began */
static void (*auth_meanwhile)(struct app *app); /* runs once, while the next password is hashed */
static struct app *auth_app;

/* As in earnest, but cheap: what is stored says the same parameters. */
int argon2_ctx(argon2_context *context, argon2_type type)
{
    /* Its library is loaded here, for nobody else may need it. */
    int (*earnest)(argon2_context *, argon2_type);
    void *library = dlopen("libargon2.so.1", RTLD_NOW);
    assert_non_null(library);
    *(void **)&earnest = dlsym(library, "argon2_ctx");
    assert_non_null(earnest);
    argon2_context small = *context;
    small.m_cost = 8;
    small.t_cost = 1;
    auth_hashes++;
    if (auth_meanwhile != NULL) {
        void (*act)(struct app * app) = auth_meanwhile;
        auth_meanwhile = NULL;
        act(auth_app);
    }
    return earnest(&small, type);
}

/* --- People --------------------------------------------------------------------------------- */

static struct arena auth_arena;

struct person {
    const char *id;
    const char *access;
    const char *refresh;
    const char *bearer; /* CGI variable */
};

/* `format` has one %s. */
static inline const char *auth_format(const char *format, const char *text)
{
    struct buffer out;
    const char *at = strstr(format, "%s");
    buffer_init(&out, 1 << 16);
    buffer_append(&out, format, (size_t)(at - format));
    buffer_append_text(&out, text);
    buffer_append_text(&out, at + 2);
    const char *copy = arena_copy(&auth_arena, buffer_text(&out), out.length);
    buffer_release(&out);
    assert_non_null(copy);
    return copy;
}

static inline const char *auth_copy(const char *text)
{
    assert_non_null(text);
    return auth_format("%s", text);
}

/* Whom the token body of the answer is for. */
static inline struct person auth_person(struct pipeline *pipeline)
{
    const struct json_node *body = answer_json(pipeline);
    struct person person = {
        .id = auth_copy(json_member_text(json_member(body, "user"), "id", "")),
        .access = auth_copy(json_member_text(body, "access_token", NULL)),
        .refresh = auth_copy(json_member_text(body, "refresh_token", NULL)),
    };
    person.bearer = auth_format("HTTP_AUTHORIZATION=Bearer %s", person.access);
    return person;
}

#define POST(at, body, ...)                                                                        \
    CALL(.method = "POST", .path = (at), .json = (body), .cgi = {__VA_ARGS__})
#define GET(at, ...) CALL(.path = (at), .cgi = {__VA_ARGS__})

static inline const char *login_body(const char *email, const char *password)
{
    char text[2048];
    snprintf(text, sizeof text, "{\"email\":\"%s\",\"password\":\"%s\"}", email, password);
    return auth_copy(text);
}

static inline struct person auth_register_as(struct pipeline *pipeline, const char *email)
{
    assert_answers(pipeline, POST("/auth/register", login_body(email, PASSWORD)), 201);
    return auth_person(pipeline);
}

/* --- Fixtures ------------------------------------------------------------------------------- */

static inline int auth_set_up_settings(void **state, const char *const *settings)
{
    auth_hashes = 0;
    auth_meanwhile = NULL;
    clock_set_wall_offset(0);
    arena_init(&auth_arena, 1 << 20);
    int failed = pipeline_set_up_settings(state, &auth_options, settings);
    auth_app = ((struct pipeline *)*state)->app;
    return failed;
}

static inline int auth_set_up(void **state)
{
    return auth_set_up_settings(state, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

static inline int auth_tear_down(void **state)
{
    clock_set_wall_offset(0);
    arena_destroy(&auth_arena);
    return pipeline_tear_down(state);
}

static inline void move_clock(int64_t seconds)
{
    clock_set_wall_offset(seconds * 1000);
}

#endif
