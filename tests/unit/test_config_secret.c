/*
 * What config/ promises of secrets: masked, settled safely, made once; and of failing memory.
 */
#include "config_fixture.h"

/* --- Secrets stay masked -------------------------------------------------------------------- */

static void secrets_are_masked_wherever_they_are_shown(void **state)
{
    struct fixture *fixture = *state;
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    struct buffer text;
    enum config_source source;

    assert_loads(
        fixture,
        ENVIRONMENT(
            "SECRET_KEY=hunter2-1", "JWT_SECRET_KEY=hunter2-2", "API_KEYS=hunter2-3,hunter2-4",
            "METRICS_TOKEN=hunter2-5", "API_KEY_TIERS={\"hunter2-6\":\"a\"}",
            "OPENAI_API_KEY=hunter2-7", "DATABASE_URL=postgresql://u:hunter2@8@h/d",
            "HEALTH_SERVICES=a=redis://:hunter2-9@h,b=redis://x:hunter2/0@h",
            "PROVIDER_LAB_BASE_URL=https://u:hunter2@lab.example", "SMTP_PASSWORD=hunter2-a",
            "CONSUL_HTTP_TOKEN=hunter2-b", "POSTGRES_PASSWORD=hunter2-c",
            "GOOGLE_CLIENT_SECRET=hunter2-d", "SETTINGS_ENCRYPTION_KEY=hunter2-e",
            "LANGCHAIN_API_KEY=hunter2-f", "OTEL_EXPORTER_OTLP_HEADERS=api-key=hunter2-g",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS=api-key=hunter2-h",
            "REDIS_URL=rediss://:hunter2-i@h", "CONSUL_HTTP_ADDR=http://u:hunter2@h"),
        NULL);
    buffer_init(&text, 65536);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(config_describe(fixture->config, settings[i].name, false, &text, &source),
                         STATUS_OK);
    }
    assert_int_equal(config_describe(fixture->config, "OPENAI_API_KEY", false, &text, &source),
                     STATUS_OK);
    assert_int_equal(
        config_describe(fixture->config, "PROVIDER_LAB_BASE_URL", false, &text, &source),
        STATUS_OK);
    assert_lacks(buffer_text(&text), "hunter2");
    buffer_release(&text);

    assert_describes(fixture->config, "SECRET_KEY", false, "********");
    assert_describes(fixture->config, "API_KEYS", false, "********");
    assert_describes(fixture->config, "DATABASE_URL", false, "postgresql://u:********@h/d");
    assert_describes(fixture->config, "HEALTH_SERVICES", false,
                     "a=redis://:********@h,b=redis://x:********@h");
    assert_describes(fixture->config, "API_KEYS", true, "hunter2-3,hunter2-4");
}

static void passwords_among_the_parameters_of_a_url_are_masked(void **state)
{
    static const char *const cases[][3] = {
        {"DATABASE_URL=postgresql://h/d?user=u&password=hunter2&sslmode=require", "DATABASE_URL",
         "postgresql://h/d?user=u&password=********&sslmode=require"},
        {"DATABASE_URL=postgresql://u:hunter2@h/d?sslpassword=hunter2", "DATABASE_URL",
         "postgresql://u:********@h/d?sslpassword=********"},
        {"DATABASE_URL=postgresql://h/d?password=hunter2&sslpassword=hunter3&application_name=a",
         "DATABASE_URL",
         "postgresql://h/d?password=********&sslpassword=********&application_name=a"},
        {"REDIS_URL=redis://h/0?Password=hunter2", "REDIS_URL", "redis://h/0?Password=********"},
        {"HEALTH_SERVICES=a=http://h/?token=hunter2,b=http://h/?x=1", "HEALTH_SERVICES",
         "a=http://h/?token=********,b=http://h/?x=1"},
        {"FRONTEND_URL=http://h/?monkey=see&keys=1", "FRONTEND_URL", "http://h/?monkey=see&keys=1"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_loads(fixture, ENVIRONMENT(cases[i][0]), NULL);
        assert_describes(fixture->config, cases[i][1], false, cases[i][2]);
    }
}

static void a_secret_that_is_not_set_does_not_look_set(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    assert_describes(fixture->config, "SECRET_KEY", false, "");
    assert_describes(fixture->config, "API_KEYS", false, "[]");
    assert_describes(fixture->config, "API_KEY_TIERS", false, "{}");
}

static void refusals_never_show_a_secret(void **state)
{
    static const char *const cases[] = {
        "SECRET_KEY=hunter2\x01",
        "API_KEYS=hunter2 hunter2",
        "API_KEYS=[\"hunter2\"",
        "API_KEY_TIERS={\"hunter2\":1}",
        "METRICS_TOKEN=hunter2\x7f",
        "OPENAI_API_KEY=hunter2 x",
        "DATABASE_URL=oracle://u:hunter2@h/d",
        "HEALTH_SERVICES=a=ftp://u:hunter2@h",
        "OPENAI_BASE_URL=ftp://u:hunter2@h",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(load(fixture, ENVIRONMENT(cases[i]), NULL), STATUS_INVALID);
        assert_one_line(buffer_text(&fixture->problem));
        assert_lacks(buffer_text(&fixture->problem), "hunter2");
    }
}

/* --- Settling ------------------------------------------------------------------------------- */

static enum status settle(struct fixture *fixture, const char *const *extra)
{
    const char *environment[16];
    char state_dir[96];
    size_t count = 0;

    snprintf(state_dir, sizeof state_dir, "STATE_DIR=%s/var", fixture->directory);
    environment[count++] = state_dir;
    while (*extra != NULL) {
        assert_true(count + 1 < COUNT(environment));
        environment[count++] = *extra++;
    }
    environment[count] = NULL;
    assert_loads(fixture, environment, NULL);
    return config_settle(fixture->config, &fixture->problem);
}

static void production_refuses_what_is_unsafe(void **state)
{
    static const struct {
        const char *extra[5];
        const char *problem;
    } cases[] = {
        {{NULL}, "SECRET_KEY must be set unless ENVIRONMENT is development"},
        {{"JWT_SECRET_KEY=" GOOD_SECRET}, "SECRET_KEY must be set"},
        {{"SECRET_KEY=" GOOD_SECRET, "DEBUG=true"}, "DEBUG must not be true"},
        {{"SECRET_KEY=" GOOD_SECRET, "ENABLE_AUTH=false"}, "ENABLE_AUTH may be false in develop"},
        {{"SECRET_KEY=" GOOD_SECRET, "JWT_SECRET_KEY=" GOOD_SECRET},
         "JWT_SECRET_KEY must not equal SECRET_KEY"},
        {{"SECRET_KEY=0f1e2d3c4b5a69788796a5b4c3d2e1f"}, "SECRET_KEY is shorter than 32 bytes"},
        {{"SECRET_KEY=" GOOD_SECRET, "JWT_SECRET_KEY=0f1e2d3c4b5a6978"},
         "JWT_SECRET_KEY is shorter than 32 bytes"},
        {{"SECRET_KEY=secret"}, "SECRET_KEY is shorter than 32 bytes"},
        {{"SECRET_KEY=change-me"}, "SECRET_KEY is a sample"},
        {{"SECRET_KEY=your-secret-key-here-make-it-long-and-random"}, "SECRET_KEY is a sample"},
        {{"SECRET_KEY=dev-secret-key-change-in-production"}, "SECRET_KEY is a sample"},
        {{"SECRET_KEY=replace_with_long_random_secret_of_64"}, "SECRET_KEY is a sample"},
        {{"SECRET_KEY=09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7"},
         "SECRET_KEY is a sample"},
        {{"SECRET_KEY=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
         "SECRET_KEY repeats a few characters"},
        {{"SECRET_KEY=" GOOD_SECRET, "JWT_SECRET_KEY=supersecretsupersecretsupersecret1"},
         "JWT_SECRET_KEY is a sample"},
        {{"SECRET_KEY=" GOOD_SECRET, "CORS_ORIGINS=*", "CORS_ALLOW_CREDENTIALS=true"},
         "CORS_ORIGINS must not be * while CORS_ALLOW_CREDENTIALS is true (environment)"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *extra[8] = {"ENVIRONMENT=production"};
        char made[96];

        for (size_t j = 0; cases[i].extra[j] != NULL; j++) {
            extra[j + 1] = cases[i].extra[j];
        }
        assert_int_equal(settle(fixture, extra), STATUS_INVALID);
        assert_one_line(buffer_text(&fixture->problem));
        assert_holds(buffer_text(&fixture->problem), cases[i].problem);
        snprintf(made, sizeof made, "%s/var", fixture->directory);
        assert_int_not_equal(access(made, F_OK), 0);
    }
}

static void production_starts_with_good_secrets(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        settle(fixture, ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=" GOOD_SECRET,
                                    "JWT_SECRET_KEY=" OTHER_SECRET)),
        STATUS_OK);
    assert_string_equal(fixture->config->jwt_secret_key, OTHER_SECRET);
    assert_int_equal(
        settle(fixture, ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=" GOOD_SECRET)),
        STATUS_OK);
    assert_string_equal(fixture->config->jwt_secret_key, ""); /* auth derives it */
}

static void staging_needs_its_secret_and_authentication(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(settle(fixture, ENVIRONMENT("ENVIRONMENT=staging")), STATUS_INVALID);
    assert_int_equal(
        settle(fixture, ENVIRONMENT("ENVIRONMENT=staging", "SECRET_KEY=short", "ENABLE_AUTH=0")),
        STATUS_INVALID);
    assert_int_equal(settle(fixture, ENVIRONMENT("ENVIRONMENT=staging", "SECRET_KEY=short")),
                     STATUS_OK);
}

static void any_origin_with_credentials_is_refused_in_development_too(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(settle(fixture, ENVIRONMENT("CORS_ORIGINS=https://a.example,*",
                                                 "CORS_ALLOW_CREDENTIALS=1")),
                     STATUS_INVALID);
    assert_int_equal(settle(fixture, ENVIRONMENT("CORS_ORIGINS=*")), STATUS_OK);
}

static mode_t mode_of(const struct fixture *fixture, const char *name)
{
    struct stat status;
    char path[128];

    snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void development_makes_its_secrets_once(void **state)
{
    struct fixture *fixture = *state;
    char secret[65];

    umask(0);
    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_OK);
    assert_int_equal(strlen(fixture->config->secret_key), 64);
    assert_string_equal(fixture->config->jwt_secret_key, "");
    snprintf(secret, sizeof secret, "%s", fixture->config->secret_key);
    assert_int_equal(mode_of(fixture, "var/secrets/secret_key"), 0600);
    assert_int_equal(mode_of(fixture, "var/secrets"), 0700);
    assert_int_equal(mode_of(fixture, "var") & 0007, 0);
    assert_int_equal(mode_of(fixture, "var/run") & 0007, 0);

    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_OK);
    assert_string_equal(fixture->config->secret_key, secret);
    assert_describes(fixture->config, "SECRET_KEY", false, "********");
}

static void a_given_secret_is_not_made(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    assert_int_equal(settle(fixture, ENVIRONMENT("SECRET_KEY=mine")), STATUS_OK);
    assert_string_equal(fixture->config->secret_key, "mine");
    snprintf(path, sizeof path, "%s/var/secrets", fixture->directory);
    assert_int_not_equal(access(path, F_OK), 0);

    assert_int_equal(settle(fixture, ENVIRONMENT("JWT_SECRET_KEY=theirs")), STATUS_OK);
    assert_string_equal(fixture->config->jwt_secret_key, "theirs");
    assert_int_equal(strlen(fixture->config->secret_key), 64);
}

static void a_damaged_secret_file_is_refused_not_replaced(void **state)
{
    struct fixture *fixture = *state;
    char problem[256];

    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_OK);
    write_text(fixture, "var/secrets/secret_key", "short\n");
    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_INVALID);
    assert_one_line(buffer_text(&fixture->problem));
    snprintf(problem, sizeof problem,
             "SECRET_KEY is kept in %s/var/secrets/secret_key, which does not hold 32 bytes of "
             "plain text; remove the file and a new one is made",
             fixture->directory);
    assert_string_equal(buffer_text(&fixture->problem), problem);
    write_text(fixture, "var/secrets/secret_key", " 0123456789012345678901234567890\n");
    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_INVALID);
    write_text(fixture, "var/secrets/secret_key", " 01234567890123456789012345678901\n");
    assert_int_equal(settle(fixture, NO_ENVIRONMENT), STATUS_OK);
    assert_string_equal(fixture->config->secret_key, "01234567890123456789012345678901");
}

static void a_state_directory_that_cannot_be_made_is_named(void **state)
{
    struct fixture *fixture = *state;

    write_text(fixture, "var", "a file stands where the directory should be");
    assert_int_not_equal(settle(fixture, NO_ENVIRONMENT), STATUS_OK);
    assert_one_line(buffer_text(&fixture->problem));
    assert_holds(buffer_text(&fixture->problem), "STATE_DIR names a directory that cannot be made");
}

#define RACERS 8

static void programs_that_race_for_a_secret_get_the_same_one(void **state)
{
    struct fixture *fixture = *state;
    char first[130] = "";
    int start[2];
    int results[2];

    assert_int_equal(pipe(start), 0);
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < RACERS; i++) {
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            char line[130];
            char go;

            close(start[1]);
            /* returns at the same moment in all: when the parent closes its end */
            if (read(start[0], &go, 1) != 0 || settle(fixture, NO_ENVIRONMENT) != STATUS_OK) {
                _exit(1);
            }
            snprintf(line, sizeof line, "%s", fixture->config->secret_key);
            _exit(write(results[1], line, 64) == 64 ? 0 : 1);
        }
    }
    close(start[0]);
    close(start[1]);
    close(results[1]);
    for (int i = 0; i < RACERS; i++) {
        int exit_status;

        assert_true(wait(&exit_status) > 0);
        assert_true(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        char line[130] = "";

        assert_int_equal(read(results[0], line, 64), 64);
        if (i == 0) {
            memcpy(first, line, sizeof first);
        }
        assert_string_equal(line, first);
    }
    close(results[0]);
}

/* --- Failing allocations -------------------------------------------------------------------- */

/* A block of memory has room for several pieces: a filler in front moves each piece in turn to the
 * beginning of a block, where it needs a new one. */
#define PADDING_MAXIMUM 4096
#define PADDING_STEP    64

/* Each allocation fails alone, so that none is saved by one that fails after it. */
static unsigned long count_failing_allocations(struct fixture *fixture, const char *file,
                                               size_t padding)
{
    char name[PADDING_MAXIMUM + 1] = "";
    unsigned long failures = 1;
    unsigned long n = 0;

    memset(name, 'x', padding);
    memcpy(name, "PAD=", 4);
    name[padding] = '\0';
    while (failures > 0) {
        assert_true(++n < 10000);
        config_release(fixture->config);
        fixture->config = NULL;
        buffer_release(&fixture->problem);
        memory_fail_only(n);
        enum status status =
            config_load_from(&fixture->config,
                             ENVIRONMENT(name, "CORS_ORIGINS=https://a.example",
                                         "CONSOUL_CORS_ORIGINS=[\"https://a.example/\"]",
                                         "CORS_ALLOW_HEADERS=*", "SMTP_HOST=mail.example"),
                             file, &fixture->problem);
        failures = memory_failures_seen();
        memory_fail_after(0);
        assert_int_equal(status, failures > 0 ? STATUS_NO_MEMORY : STATUS_OK);
        assert_true((fixture->config == NULL) == (failures > 0));
    }
    return n - 1;
}

static void every_failing_allocation_is_reported_and_leaks_nothing(void **state)
{
    struct fixture *fixture = *state;
    const char *file = write_text(fixture, "quintet.conf",
                                  "API_KEYS=[\"a\",\"b\"]\nRATE_LIMIT_PER_MINUTE=5\n"
                                  "RATE_LIMIT_CHARTS=\"5/minute\"\nGROQ_API_KEY=x\n"
                                  "PROVIDER_GROQ_API_KEY=x\nGROQ_ENABLED=yes\n"
                                  "RATE_LIMIT_TIERS={\"a\":\"1/minute\"}\n"
                                  "RATE_LIMIT_AUTH=[\"5/minute\",\"9/hour\"]\n"
                                  "DATABASE_URL=sqlite:q.db\nSTATE_DIR=./state\n");

    for (size_t padding = 4; padding <= PADDING_MAXIMUM; padding += PADDING_STEP) {
        assert_true(count_failing_allocations(fixture, file, padding) > 3);
        assert_int_equal(fixture->config->api_keys.count, 2);
        assert_string_equal(fixture->config->rate_limit_auth, "5/minute;9/hour");
        assert_int_equal(fixture->config->cors_allow_headers.count, 13);
        assert_string_equal(config_lookup(fixture->config, "GROQ_ENABLED"), "true");
    }
}

static void a_configuration_without_memory_for_it_says_so(void **state)
{
    struct fixture *fixture = *state;
    unsigned long failures = 1;

    assert_non_null(buffer_reserve(&fixture->problem, 256));
    for (unsigned long n = 1; failures > 0; n++) {
        config_release(fixture->config);
        buffer_reset(&fixture->problem);
        memory_fail_only(n);
        enum status status =
            config_load_from(&fixture->config, NO_ENVIRONMENT, NULL, &fixture->problem);
        failures = memory_failures_seen();
        memory_fail_after(0);
        assert_int_equal(status, failures > 0 ? STATUS_NO_MEMORY : STATUS_OK);
        assert_string_equal(buffer_text(&fixture->problem),
                            failures > 0 ? "the configuration needs more memory than there is"
                                         : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(secrets_are_masked_wherever_they_are_shown),
        CONFIG_TEST(passwords_among_the_parameters_of_a_url_are_masked),
        CONFIG_TEST(a_secret_that_is_not_set_does_not_look_set),
        CONFIG_TEST(refusals_never_show_a_secret),
        CONFIG_TEST(production_refuses_what_is_unsafe),
        CONFIG_TEST(production_starts_with_good_secrets),
        CONFIG_TEST(staging_needs_its_secret_and_authentication),
        CONFIG_TEST(any_origin_with_credentials_is_refused_in_development_too),
        CONFIG_TEST(development_makes_its_secrets_once),
        CONFIG_TEST(a_given_secret_is_not_made),
        CONFIG_TEST(a_damaged_secret_file_is_refused_not_replaced),
        CONFIG_TEST(a_state_directory_that_cannot_be_made_is_named),
        CONFIG_TEST(programs_that_race_for_a_secret_get_the_same_one),
        CONFIG_TEST(every_failing_allocation_is_reported_and_leaks_nothing),
        CONFIG_TEST(a_configuration_without_memory_for_it_says_so),
    };
    return cmocka_run_group_tests_name("config secrets", tests, NULL, NULL);
}
