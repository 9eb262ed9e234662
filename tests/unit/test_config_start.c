/*
 * What config/ promises of a start: which files count, from where relative paths count, that all
 * faults are told together, and what production refuses.
 */
#include "config_fixture.h"

/* --- Files and paths ------------------------------------------------------------------------ */

static enum status examine(struct fixture *fixture)
{
    config_release(fixture->config);
    fixture->config = NULL;
    buffer_reset(&fixture->problem);
    return config_examine(&fixture->config, &fixture->problem);
}

static void assert_path(const struct fixture *fixture, const char *value, const char *rest)
{
    char expected[256];

    snprintf(expected, sizeof expected, "%s/%s", fixture->directory, rest);
    assert_string_equal(value, expected);
}

static int forget_files(void **state)
{
    unsetenv("QUINTET_CONFIG");
    unsetenv("QUINTET_DIRECTORY");
    unsetenv("STATE_DIR");
    return tear_down(state);
}

static void files_are_those_of_the_directory_that_the_suite_was_started_from(void **state)
{
    struct fixture *fixture = *state;

    unsetenv("QUINTET_CONFIG");
    setenv("QUINTET_DIRECTORY", fixture->directory, 1);
    write_text(fixture, ".env",
               "WORKERS=2\nQUEUE_SIZE=7\nDATABASE_URL=sqlite+aiosqlite:///./c.db\n");
    assert_int_equal(examine(fixture), STATUS_OK);
    assert_int_equal(fixture->config->workers, 2);
    assert_string_equal(fixture->config->database_url + strlen("sqlite:"),
                        strstr(fixture->config->database_url, "/tmp/"));
    assert_path(fixture, fixture->config->database_url + strlen("sqlite:"), "c.db");
    assert_path(fixture, fixture->config->state_dir, "var");

    write_text(fixture, "quintet.conf", "WORKERS=3\n");
    assert_int_equal(examine(fixture), STATUS_OK);
    assert_int_equal(fixture->config->workers, 3);
    assert_int_equal(fixture->config->queue_size, 7);

    write_text(fixture, "other.conf", "WORKERS=4\nLOG_FILE=log/all.log\n");
    setenv("QUINTET_CONFIG", "other.conf", 1);
    assert_int_equal(examine(fixture), STATUS_OK);
    assert_int_equal(fixture->config->workers, 4);
    assert_int_equal(fixture->config->queue_size, 1024);
    assert_path(fixture, fixture->config->log_file, "log/all.log");

    setenv("QUINTET_CONFIG", "absent.conf", 1);
    assert_int_equal(examine(fixture), STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "/absent.conf: the configuration file does not");
}

static void relative_paths_of_the_environment_count_from_the_start(void **state)
{
    struct fixture *fixture = *state;

    setenv("QUINTET_DIRECTORY", fixture->directory, 1);
    setenv("QUINTET_CONFIG", "/dev/null", 1);
    setenv("STATE_DIR", "./here", 1);
    assert_int_equal(examine(fixture), STATUS_OK);
    assert_path(fixture, fixture->config->state_dir, "here");
    assert_path(fixture, fixture->config->runtime_dir, "here/run");
    setenv("STATE_DIR", "/absolute", 1);
    assert_int_equal(examine(fixture), STATUS_OK);
    assert_string_equal(fixture->config->state_dir, "/absolute");
}

static void relative_paths_of_a_file_count_from_the_file(void **state)
{
    struct fixture *fixture = *state;
    const char *file = write_text(fixture, "site.conf",
                                  "STATE_DIR=state\nRUNTIME_DIR=.//run\nLOG_FILE=./a.log\n"
                                  "DATABASE_URL=sqlite:data/q.db\nUPSTREAM_CA_PATH=ca.pem\n");

    assert_loads(fixture, NO_ENVIRONMENT, file);
    assert_path(fixture, fixture->config->state_dir, "state");
    assert_path(fixture, fixture->config->runtime_dir, "run");
    assert_path(fixture, fixture->config->log_file, "a.log");
    assert_path(fixture, fixture->config->upstream_ca_path, "ca.pem");
    assert_path(fixture, fixture->config->database_url + strlen("sqlite:"), "data/q.db");
    assert_loads(fixture, ENVIRONMENT("STATE_DIR=elsewhere"), file);
    assert_string_equal(fixture->config->state_dir, "elsewhere");
    assert_loads(fixture, NO_ENVIRONMENT,
                 write_text(fixture, "site.conf", "STATE_DIR=/x\nDATABASE_URL=mysql://h/d\n"));
    assert_string_equal(fixture->config->state_dir, "/x");
    assert_string_equal(fixture->config->runtime_dir, "/x/run");
    assert_string_equal(fixture->config->database_url, "mysql://h/d");
}

/* --- Texts ---------------------------------------------------------------------------------- */

static void none_and_null_mean_not_set(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture,
                 ENVIRONMENT("WORKERS=None", "SECRET_KEY= null ", "API_KEYS=NULL", "APP_NAME=\"\"",
                             "OPENAI_API_KEY=None", "LOG_LEVEL=", "RATE_LIMIT_CHAT=null"),
                 write_text(fixture, ".env", "QUEUE_SIZE=\"None\"\nWORKERS=3\n"));
    assert_int_equal(fixture->config->workers, 3);
    assert_int_equal(fixture->config->queue_size, 1024);
    assert_string_equal(fixture->config->secret_key, "");
    assert_int_equal(fixture->config->api_keys.count, 0);
    assert_string_equal(fixture->config->rate_limit_chat, "30/minute");
    assert_null(config_lookup(fixture->config, "OPENAI_API_KEY"));
    assert_loads(fixture, ENVIRONMENT("APP_NAME=Nonet"), NULL);
    assert_string_equal(fixture->config->app_name, "Nonet");
}

static void what_only_a_shell_expands_is_refused_with_its_line(void **state)
{
    static const char *const refused[] = {"SECRET_KEY=${SECRET_KEY}",
                                          "SECRET_KEY=\"$(openssl rand -hex 32)\"",
                                          "WORKERS=${N:-8}",
                                          "export API_KEYS=\"k-${SUFFIX}\"",
                                          "DATABASE_URL=sqlite:${DIR}",
                                          "OPENAI_API_KEY=$(cat key)",
                                          "SMTP_PASSWORD=${P}",
                                          "CONSOUL_API_KEYS=${API_KEYS}"};
    static const char *const taken[] = {"SECRET_KEY='${SECRET_KEY}'",
                                        "SECRET_KEY=a$b",
                                        "SECRET_KEY=\"a\\${b}\"",
                                        "SECRET_KEY=$5",
                                        "SECRET_KEY=${}",
                                        "OTHER=${OTHER}",
                                        "SECRET_KEY=a # ${b}"};
    struct fixture *fixture = *state;
    char text[128];

    for (size_t i = 0; i < COUNT(refused); i++) {
        snprintf(text, sizeof text, "# one\n%s # why\n", refused[i]);
        if (load(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", text)) != STATUS_INVALID) {
            fail_msg("%s was accepted", refused[i]);
        }
        assert_holds(buffer_text(&fixture->problem), "which only a shell replaces");
        assert_holds(buffer_text(&fixture->problem), ".env:2)");
        assert_one_line(buffer_text(&fixture->problem));
    }
    for (size_t i = 0; i < COUNT(taken); i++) {
        snprintf(text, sizeof text, "%s\n", taken[i]);
        assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", text));
    }
    /* The environment has no quotes that could say what is meant. */
    assert_loads(fixture, ENVIRONMENT("SECRET_KEY=x$(y", "APP_NAME=a ${b} c"), NULL);
    assert_int_equal(load(fixture, ENVIRONMENT("API_KEYS=${API_KEYS}"), NULL), STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "API_KEYS holds ${...}");
    assert_int_equal(load(fixture, ENVIRONMENT("API_KEYS= $(pwgen) "), NULL), STATUS_INVALID);
}

static void note_name(const struct config_remark *remark, void *context)
{
    buffer_append_format(context, "%s %s;", remark->name, remark->text);
}

static void a_misspelt_name_in_dot_env_is_a_remark(void **state)
{
    struct fixture *fixture = *state;
    struct buffer remarks;

    buffer_init(&remarks, 4096);
    assert_loads(fixture, ENVIRONMENT("LOG_LEVLE=debug"),
                 write_text(fixture, ".env", "ENVIROMENT=production\nVITE_MOCK=1\nCORS_ORIGIN=\n"));
    config_each_remark(fixture->config, note_name, &remarks);
    assert_string_equal(buffer_text(&remarks),
                        "ENVIROMENT is no setting; did you mean ENVIRONMENT?;");
    buffer_release(&remarks);
}

/* --- Other systems' names ------------------------------------------------------------------- */

static void the_common_limit_of_another_system_counts_for_every_family(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("CONSOUL_DEFAULT_LIMITS=3/minute", "RATE_LIMIT_AUTH=9/hour"),
                 NULL);
    assert_string_equal(fixture->config->rate_limit_default, "3/minute");
    assert_string_equal(fixture->config->rate_limit_chat, "3/minute");
    assert_string_equal(fixture->config->rate_limit_charts, "3/minute");
    assert_string_equal(fixture->config->rate_limit_history, "3/minute");
    assert_string_equal(fixture->config->rate_limit_health, "3/minute");
    assert_string_equal(fixture->config->rate_limit_auth, "9/hour");
    assert_loads(fixture, ENVIRONMENT("RATE_LIMIT_DEFAULT=3/minute"), NULL);
    assert_string_equal(fixture->config->rate_limit_default, "3/minute");
    assert_string_equal(fixture->config->rate_limit_chat, "30/minute");
}

static void the_machines_certificate_authorities_count_unless_ours_are_named(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    assert_string_equal(fixture->config->upstream_ca_path, "/etc/ssl/certs");
    assert_loads(fixture, ENVIRONMENT("SSL_CERT_DIR=/d"), NULL);
    assert_string_equal(fixture->config->upstream_ca_path, "/d");
    assert_loads(fixture, ENVIRONMENT("SSL_CERT_DIR=/d", "SSL_CERT_FILE=/f"), NULL);
    assert_string_equal(fixture->config->upstream_ca_path, "/f");
    assert_loads(fixture, ENVIRONMENT("SSL_CERT_FILE=/f", "UPSTREAM_CA_PATH=/u"), NULL);
    assert_string_equal(fixture->config->upstream_ca_path, "/u");
}

static void host_and_port_are_what_can_be_listened_on(void **state)
{
    static const char *const good[] = {"HOST=0.0.0.0",   "HOST=::", "HOST=[::1]",
                                       "HOST=localhost", "PORT=1",  "PORT=65535"};
    static const char *const bad[] = {
        "HOST=a b", "HOST=http://x", "HOST=:::", "PORT=0", "PORT=65536", "PORT=http"};
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    assert_string_equal(fixture->config->host, "127.0.0.1");
    assert_int_equal(fixture->config->port, 8080);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_loads(fixture, ENVIRONMENT(good[i]), NULL);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (load(fixture, ENVIRONMENT(bad[i]), NULL) != STATUS_INVALID) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

/* --- Faults --------------------------------------------------------------------------------- */

static void all_faults_are_told_each_in_a_line(void **state)
{
    static const char *const told[] = {
        "quintet.conf:1: there is no '=' behind the name",
        "WORKER is no setting; did you mean WORKERS?",
        "QUEUE_SIZE is set twice with different values",
        "LOG_LEVEL \"loud\" is not one of",
        "OPENAI_ENABLED \"perhaps\" is neither true nor false",
        "SESSION_TTL and CONSOUL_SESSION_TTL are both set but differ",
        "SMTP_PORT \"mail\" is not a whole number"};
    struct fixture *fixture = *state;
    const char *text;
    size_t lines = 1;

    write_text(fixture, "quintet.conf",
               "what is this\nWORKER=1\nQUEUE_SIZE=1\nQUEUE_SIZE=2\nLOG_LEVEL=loud\n");
    assert_int_equal(load(fixture,
                          ENVIRONMENT("OPENAI_ENABLED=perhaps", "SESSION_TTL=1",
                                      "CONSOUL_SESSION_TTL=2", "SMTP_PORT=mail"),
                          fixture->path),
                     STATUS_INVALID);
    text = buffer_text(&fixture->problem);
    for (size_t i = 0; i < COUNT(told); i++) {
        assert_holds(text, told[i]);
    }
    for (const char *at = strchr(text, '\n'); at != NULL; at = strchr(at + 1, '\n')) {
        lines++;
    }
    assert_int_equal(lines, COUNT(told));
    assert_true(text[strlen(text) - 1] != '\n');
}

static void a_refused_setting_is_not_judged_a_second_time(void **state)
{
    struct fixture *fixture = *state;

    setenv("QUINTET_CONFIG",
           write_text(fixture, "x.conf",
                      "ENVIRONMENT=production\nSECRET_KEY=${X}\nDEBUG=maybe\n"
                      "JWT_SECRET_KEY=short\n"),
           1);
    assert_int_equal(examine(fixture), STATUS_INVALID);
    assert_non_null(fixture->config);
    assert_int_equal(config_check(fixture->config, &fixture->problem), STATUS_INVALID);
    assert_lacks(buffer_text(&fixture->problem), "SECRET_KEY must be set");
    assert_holds(buffer_text(&fixture->problem), "JWT_SECRET_KEY is shorter than 32 bytes");
    assert_holds(buffer_text(&fixture->problem), "DEBUG \"maybe\"");
}

/* --- Production ----------------------------------------------------------------------------- */

static enum status check_production(struct fixture *fixture, const char *extra)
{
    assert_loads(fixture, ENVIRONMENT("ENVIRONMENT=production", extra, "SECRET_KEY=" GOOD_SECRET),
                 NULL);
    return config_check(fixture->config, &fixture->problem);
}

static void production_refuses_secrets_and_keys_by_their_shape(void **state)
{
    static const char *const refused[] = {
        "SECRET_KEY=generate-with-pwgen-or-anything-you-like-01",
        "SECRET_KEY=<put-64-hex-digits-in-this-place-please>",
        "SECRET_KEY=a6f${SOME_SECRET}b2c9d8e7f6a5b4c3d2e1f0",
        "SECRET_KEY=123456789012345678901234567890123456",
        "SECRET_KEY=abcdefghabcdefghabcdefghabcdefghabcdefgh",
        "SECRET_KEY=zyxwvutsrqponmlkjihgfedcba9876543210",
        "JWT_SECRET_KEY=generate-different-key-than-the-other-one",
        "JWT_SECRET_KEY=" GOOD_SECRET,
        "METRICS_TOKEN=changeme",
        "METRICS_TOKEN=<token>",
        "API_KEYS=x",
        "API_KEYS=changeme",
        "API_KEYS=your-api-key-1,your-api-key-2",
        "API_KEYS=4f9c1b7a2e8d5063aa17,short",
        "API_KEYS=aaaaaaaaaaaaaaaaaaaaaaaa",
        "API_KEYS=abababababababababababab",
        "API_KEYS=<api-key-of-32-random-bytes>",
        "API_KEYS=key-$(hostname)-4f9c1b7a2e8d",
        "OPENAI_API_KEY=sk-...",
        "GROQ_API_KEY=your_groq_api_key",
    };
    static const char *const taken[] = {
        "JWT_SECRET_KEY=" OTHER_SECRET,
        "API_KEYS=4f9c1b7a2e8d5063",
        "API_KEYS=sk-prod-Zq7fK2mX9vTb4LwR",
        "METRICS_TOKEN=scrape",
        "OPENAI_API_KEY=sk-proj-4f9c1b7a2e8d5063",
        "GOOGLE_CLIENT_SECRET=your-production-secret",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(refused); i++) {
        char name[64];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(refused[i], "="), refused[i]);
        if (strcmp(name, "SECRET_KEY") == 0) {
            assert_loads(fixture, ENVIRONMENT("ENVIRONMENT=production", refused[i]), NULL);
            if (config_check(fixture->config, &fixture->problem) != STATUS_INVALID) {
                fail_msg("%s was accepted", refused[i]);
            }
        } else if (check_production(fixture, refused[i]) != STATUS_INVALID) {
            fail_msg("%s was accepted", refused[i]);
        }
        assert_one_line(buffer_text(&fixture->problem));
        assert_int_equal(strncmp(buffer_text(&fixture->problem), name, strlen(name)), 0);
        assert_lacks(buffer_text(&fixture->problem), strchr(refused[i], '=') + 1);
    }
    for (size_t i = 0; i < COUNT(taken); i++) {
        if (check_production(fixture, taken[i]) != STATUS_OK) {
            fail_msg("%s: %s", taken[i], buffer_text(&fixture->problem));
        }
    }
}

static void production_refuses_bypass_paths_that_open_what_is_protected(void **state)
{
    static const char *const refused[] = {
        "/*",     "/v1/*",         "/v1/models",   "/chat*",  "/c*",
        "/api/*", "/api/charts/x", "/auth/me",     "/auth/*", "/*/sessions",
        "/??at",  "/*1*",          "/admin/audit", "/users",  "/health/*,/v1/chat/completions"};
    static const char *const taken[] = {
        "/health,/health/*,/ready,/docs,/openapi.json,/.well-known/*",
        "/auth/login",
        "/metrics",
        "/docs/*",
        "/auth/oauth/*",
        "/authors",
        "/v1x",
        "/chatter"};
    struct fixture *fixture = *state;
    char text[160];

    for (size_t i = 0; i < COUNT(refused); i++) {
        snprintf(text, sizeof text, "AUTH_BYPASS_PATHS=%s", refused[i]);
        if (check_production(fixture, text) != STATUS_INVALID) {
            fail_msg("%s was accepted", refused[i]);
        }
        assert_holds(buffer_text(&fixture->problem), "AUTH_BYPASS_PATHS opens protected routes");
    }
    for (size_t i = 0; i < COUNT(taken); i++) {
        snprintf(text, sizeof text, "AUTH_BYPASS_PATHS=%s", taken[i]);
        if (check_production(fixture, text) != STATUS_OK) {
            fail_msg("%s: %s", taken[i], buffer_text(&fixture->problem));
        }
    }
}

static void production_tells_all_that_is_unsafe_together(void **state)
{
    static const char *const told[] = {"SECRET_KEY is a sample",     "JWT_SECRET_KEY is shorter",
                                       "DEBUG must not be true",     "ENABLE_AUTH may be false",
                                       "CORS_ORIGINS must not be *", "API_KEYS holds a key",
                                       "AUTH_BYPASS_PATHS opens"};
    struct fixture *fixture = *state;

    assert_loads(fixture,
                 ENVIRONMENT("ENVIRONMENT=production", "SECRET_KEY=changeme", "JWT_SECRET_KEY=x",
                             "DEBUG=true", "ENABLE_AUTH=false", "CORS_ORIGINS=*",
                             "CORS_ALLOW_CREDENTIALS=true", "API_KEYS=x", "AUTH_BYPASS_PATHS=/*"),
                 NULL);
    assert_int_equal(config_check(fixture->config, &fixture->problem), STATUS_INVALID);
    for (size_t i = 0; i < COUNT(told); i++) {
        assert_holds(buffer_text(&fixture->problem), told[i]);
    }
}

static void development_takes_samples(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture,
                 ENVIRONMENT("SECRET_KEY=changeme", "API_KEYS=x", "AUTH_BYPASS_PATHS=/*",
                             "DEBUG=true", "ENABLE_AUTH=false", "OPENAI_API_KEY=sk-..."),
                 NULL);
    assert_int_equal(config_check(fixture->config, &fixture->problem), STATUS_OK);
}

/* --- Directories ---------------------------------------------------------------------------- */

static void state_directories_carry_a_file_that_denies_them(void **state)
{
    struct fixture *fixture = *state;
    char text[128];
    struct buffer found;

    snprintf(text, sizeof text, "STATE_DIR=%s/var", fixture->directory);
    assert_loads(fixture, ENVIRONMENT(text), NULL);
    assert_int_equal(config_settle(fixture->config, &fixture->problem), STATUS_OK);
    buffer_init(&found, 4096);
    snprintf(text, sizeof text, "%s/var/.htaccess", fixture->directory);
    assert_int_equal(file_read(text, &found), STATUS_OK);
    assert_holds(buffer_text(&found), "Require all denied");
    snprintf(text, sizeof text, "%s/var/run/.htaccess", fixture->directory);
    assert_int_equal(access(text, R_OK), 0);
    /* One that somebody has changed stays. */
    assert_int_equal(file_write(text, "x", 1, 0600), STATUS_OK);
    assert_int_equal(config_settle(fixture->config, &fixture->problem), STATUS_OK);
    buffer_reset(&found);
    assert_int_equal(file_read(text, &found), STATUS_OK);
    assert_string_equal(buffer_text(&found), "x");
    buffer_release(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            files_are_those_of_the_directory_that_the_suite_was_started_from, set_up, forget_files),
        cmocka_unit_test_setup_teardown(relative_paths_of_the_environment_count_from_the_start,
                                        set_up, forget_files),
        CONFIG_TEST(relative_paths_of_a_file_count_from_the_file),
        CONFIG_TEST(none_and_null_mean_not_set),
        CONFIG_TEST(what_only_a_shell_expands_is_refused_with_its_line),
        CONFIG_TEST(a_misspelt_name_in_dot_env_is_a_remark),
        CONFIG_TEST(the_common_limit_of_another_system_counts_for_every_family),
        CONFIG_TEST(the_machines_certificate_authorities_count_unless_ours_are_named),
        CONFIG_TEST(host_and_port_are_what_can_be_listened_on),
        CONFIG_TEST(all_faults_are_told_each_in_a_line),
        cmocka_unit_test_setup_teardown(a_refused_setting_is_not_judged_a_second_time, set_up,
                                        forget_files),
        CONFIG_TEST(production_refuses_secrets_and_keys_by_their_shape),
        CONFIG_TEST(production_refuses_bypass_paths_that_open_what_is_protected),
        CONFIG_TEST(production_tells_all_that_is_unsafe_together),
        CONFIG_TEST(development_takes_samples),
        CONFIG_TEST(state_directories_carry_a_file_that_denies_them),
    };
    return cmocka_run_group_tests_name("config start", tests, NULL, NULL);
}
