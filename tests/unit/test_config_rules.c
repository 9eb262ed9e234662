/*
 * The rules for all settings together, each at its edges: which secrets are too weak, which paths may
 * not be opened, and that every fault is told.
 */
#include "config_fixture.h"

/* 32 bytes, no pattern. */
#define RANDOM_32 "k3J9xQ2mV7pL0sRwZ5tB8nY4cH6gD1fE"

static enum status check(struct fixture *fixture, const char *const *environment)
{
    assert_loads(fixture, environment, NULL);
    return config_check(fixture->config, &fixture->problem);
}

static void assert_refuses(struct fixture *fixture, const char *const *environment,
                           const char *problem)
{
    if (check(fixture, environment) != STATUS_INVALID ||
        strcmp(buffer_text(&fixture->problem), problem) != 0) {
        fail_msg("%s: \"%s\"", environment[1], buffer_text(&fixture->problem));
    }
}

static void assert_passes(struct fixture *fixture, const char *const *environment)
{
    if (check(fixture, environment) != STATUS_OK) {
        fail_msg("%s: \"%s\"", environment[1], buffer_text(&fixture->problem));
    }
}

/* --- Secrets ---------------------------------------------------------------------------------- */

struct judged {
    const char *text;
    bool is_good;
};

static void a_secret_has_32_bytes_that_form_no_pattern(void **state)
{
    static const struct judged short_secrets[] = {{"k3J9xQ2mV7pL0sRwZ5tB8nY4cH6gD1f", false},
                                                  {RANDOM_32, true}};
    static const struct judged secrets[] = {
        {"k3J9xQ2k3J9xQ2m3k2J9xQ3J9k2x3QJ9", true},  /* 8 different bytes */
        {"k3J9xQ2k3J9xQ2k3k2J9xQ3J9k2x3QJ9", false}, /* 7 */
        {"k3J9xQ2mV7pL0sRwk3J9xQ2mV7pL0sRw", false}, /* twice the same */
        {"k3J9xQ2mV7pL0sRw8k3J9xQ2mV7pL0sRw", true},
        {"k3J9xQ2mV7k3J9xQ2mV7k3J9xQ2mV7k3", false}, /* three times and a bit */
        {"abcdefgHGFEDCBAabcdefgHGFEDCBAab", false},
        {"123456789012345678kJ9xQ2mV7pL0sR", true},  /* half of it in steps */
        {"1234567ABCDEFGopqrstuvw1234567kJ", false}, /* most of it in steps */
    };
    struct fixture *fixture = *state;
    char setting[128];

    for (size_t i = 0; i < COUNT(short_secrets); i++) {
        snprintf(setting, sizeof setting, "SECRET_KEY=%s", short_secrets[i].text);
        const char *environment[] = {"ENVIRONMENT=production", setting, NULL};
        if (short_secrets[i].is_good) {
            assert_passes(fixture, environment);
        } else {
            assert_refuses(fixture, environment,
                           "SECRET_KEY is shorter than 32 bytes, too short for production "
                           "(environment)");
        }
    }
    for (size_t i = 0; i < COUNT(secrets); i++) {
        snprintf(setting, sizeof setting, "SECRET_KEY=%s", secrets[i].text);
        const char *environment[] = {"ENVIRONMENT=production", setting, NULL};
        if (secrets[i].is_good) {
            assert_passes(fixture, environment);
        } else {
            assert_refuses(fixture, environment,
                           "SECRET_KEY repeats a few characters, too easy to guess for production "
                           "(environment)");
        }
    }
}

static void a_key_has_16_bytes_that_form_no_pattern(void **state)
{
    static const struct {
        const char *key;
        const char *problem;
    } cases[] = {
        {"k3J9xQ2mV7pL0sRw", NULL},
        {"k3J9xQ2mV7pL0sR",
         "API_KEYS holds a key that is shorter than 16 bytes, too short for production "
         "(environment)"},
        {"k3J9xk3J3k9x3J9k", NULL}, /* 5 different bytes */
        {"k3J9kk3J3k9k3J9k",        /* 4 */
         "API_KEYS holds a key that repeats a few characters, too easy to guess for production "
         "(environment)"},
        {"k3J9xQ2mk3J9xQ2m",
         "API_KEYS holds a key that repeats a few characters, too easy to guess for production "
         "(environment)"},
        {"k3J9xQ2mchangeme",
         "API_KEYS holds a key that is a sample; production needs random ones (openssl rand -hex "
         "32) (environment)"},
    };
    struct fixture *fixture = *state;
    char setting[128];

    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(setting, sizeof setting, "API_KEYS=V7pL0sRwk3J9xQ2m,%s", cases[i].key);
        const char *environment[] = {"ENVIRONMENT=production", setting, "SECRET_KEY=" RANDOM_32,
                                     NULL};
        if (cases[i].problem == NULL) {
            assert_passes(fixture, environment);
        } else {
            assert_refuses(fixture, environment, cases[i].problem);
        }
    }
}

static void samples_of_files_and_tutorials_are_no_secrets(void **state)
{
    static const char *const marks[] = {
        "change-me",
        "change_me",
        "changeme",
        "change-this",
        "change_this",
        "changethis",
        "change-in-",
        "change_in_",
        "replace-me",
        "replace_me",
        "replace-with",
        "replace_with",
        "your-",
        "your_",
        "yoursecret",
        "my-secret",
        "my_secret",
        "super-secret",
        "super_secret",
        "supersecret",
        "dev-secret",
        "dev_secret",
        "secret-key",
        "secret_key",
        "secretkey",
        "jwt-secret",
        "jwt_secret",
        "test-secret",
        "test_secret",
        "not-secret",
        "not-so-secret",
        "insecure",
        "placeholder",
        "example",
        "password",
        "generate-",
        "generate_",
        "generated-",
        "generated_",
        "-key-here",
        "_key_here",
        "-here>",
        "insert-",
        "insert_",
        "enter-your",
        "...",
        "dummy",
        "XXXXXX",
        "abcdefghijklm",
        "0123456789abcdef0123456789abcdef",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"};
    struct fixture *fixture = *state;
    char setting[160];

    for (size_t i = 0; i < COUNT(marks); i++) {
        snprintf(setting, sizeof setting, "SECRET_KEY=" RANDOM_32 "%sq", marks[i]);
        const char *environment[] = {"ENVIRONMENT=production", setting, NULL};
        assert_refuses(fixture, environment,
                       "SECRET_KEY is a sample; production needs a random one (openssl rand -hex "
                       "32) (environment)");
    }
    assert_refuses(fixture, ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=<" RANDOM_32 ">"),
                   "SECRET_KEY is a sample; production needs a random one (openssl rand -hex 32) "
                   "(environment)");
    assert_passes(fixture, ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=<" RANDOM_32));
    assert_passes(fixture, ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=" RANDOM_32 ">"));
}

static void every_unsafe_secret_is_told(void **state)
{
    assert_refuses(*state,
                   ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=" RANDOM_32,
                               "JWT_SECRET_KEY=" RANDOM_32, "METRICS_TOKEN=changeme",
                               "API_KEYS=short", "GROQ_API_KEY=your-key", "DEBUG=true",
                               "AUTH_BYPASS_PATHS=/v1/*", "ENABLE_AUTH=false"),
                   "ENABLE_AUTH may be false in development only (environment)\n"
                   "JWT_SECRET_KEY must not equal SECRET_KEY in production (environment)\n"
                   "METRICS_TOKEN is a sample; production needs a random one (environment)\n"
                   "API_KEYS holds a key that is shorter than 16 bytes, too short for production "
                   "(environment)\n"
                   "GROQ_API_KEY is a sample, not the key of a provider (environment)\n"
                   "DEBUG must not be true in production (environment)\n"
                   "AUTH_BYPASS_PATHS opens protected routes to everybody in production: \"/v1/*\" "
                   "(environment)");
}

/* --- Paths ------------------------------------------------------------------------------------ */

static void no_path_opens_what_is_protected(void **state)
{
    static const struct judged paths[] = {
        {"/auth", false},
        {"/auth/*", false},
        {"/auth/me", false},
        {"/auth/log?n", false},
        {"/auth/login", true},
        {"/auth/register", true},
        {"/auth/refresh", true},
        {"/auth/validate", true},
        {"/auth/logout", true},
        {"/auth/forgot-password", true},
        {"/auth/reset-password", true},
        {"/auth/verify-email", true},
        {"/auth/resend-verification", true},
        {"/auth/oauth/*", true},
        {"/auth/oauth/x", false},
        {"/authx", true},
        {"/v1", false},
        {"/v1/*", false},
        {"/v1/models", false},
        {"/v1x", true},
        {"/chat", false},
        {"/chat/stream", false},
        {"/chats", true},
        {"/api/charts", false},
        {"/api/chartsx", false},
        {"/api/chart", true},
        {"/users/7", false},
        {"/companies", false},
        {"/roles", false},
        {"/permissions", false},
        {"/admin", false},
        {"/admin/x", false},
        {"/administrator", true},
        {"/settings", false},
        {"/*", false},
        {"/a*", false},
        {"/?1", false},
        {"/health*", true},
        {"/", true},
        {"/docs", true},
        {"/h*v1", true},
        {"/*/charts", false},
        {"/api/*", false},
        {"/????", false},
        {"/?", true},
        {"/*x", false},
    };
    struct fixture *fixture = *state;
    char setting[96];
    char problem[160];

    for (size_t i = 0; i < COUNT(paths); i++) {
        snprintf(setting, sizeof setting, "AUTH_BYPASS_PATHS=/health,%s", paths[i].text);
        snprintf(problem, sizeof problem,
                 "AUTH_BYPASS_PATHS opens protected routes to everybody in production: \"%s\" "
                 "(environment)",
                 paths[i].text);
        const char *environment[] = {"ENVIRONMENT=production", setting, "SECRET_KEY=" RANDOM_32,
                                     NULL};
        if (paths[i].is_good) {
            assert_passes(fixture, environment);
        } else {
            assert_refuses(fixture, environment, problem);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(a_secret_has_32_bytes_that_form_no_pattern),
        CONFIG_TEST(a_key_has_16_bytes_that_form_no_pattern),
        CONFIG_TEST(samples_of_files_and_tutorials_are_no_secrets),
        CONFIG_TEST(every_unsafe_secret_is_told),
        CONFIG_TEST(no_path_opens_what_is_protected),
    };
    return cmocka_run_group_tests_name("config rules", tests, NULL, NULL);
}
