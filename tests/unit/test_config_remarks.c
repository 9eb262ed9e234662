/*
 * What config/ promises of settings that do nothing in this version, of names it does not know,
 * of several files, and of the several names of a provider's setting: nothing that somebody has
 * set is passed over in silence.
 */
#include "config_fixture.h"

/* --- Remarks -------------------------------------------------------------------------------- */

struct remarks {
    char text[4096];
};

static void note_remark(const struct config_remark *remark, void *context)
{
    struct remarks *remarks = context;
    size_t length = strlen(remarks->text);

    snprintf(remarks->text + length, sizeof remarks->text - length, "%s %s %s\n", remark->event,
             remark->name, remark->text);
}

static void assert_remarks(const struct config *config, const char *expected)
{
    struct remarks remarks = {""};

    config_each_remark(config, note_remark, &remarks);
    assert_string_equal(remarks.text, expected);
}

#define STALE(name)                                                                                \
    "setting_needs_restart " name " has changed, which counts after a restart only\n"
#define NO_EFFECT(name) "setting_without_effect " name " has no effect in this version\n"

static void nothing_is_remarked_of_defaults(void **state)
{
    struct fixture *fixture = *state;
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    struct buffer file;

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    assert_remarks(fixture->config, "");

    /* written out they still ask for nothing */
    buffer_init(&file, 65536);
    for (size_t i = 0; i < count; i++) {
        if (strchr(settings[i].default_text, '{') == NULL ||
            strcmp(settings[i].default_text, "{}") == 0) {
            buffer_append_format(&file, "%s='%s'\n", settings[i].name, settings[i].default_text);
        }
    }
    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", buffer_text(&file)));
    assert_remarks(fixture->config, "");
    buffer_release(&file);
}

static void a_setting_without_effect_is_remarked_under_the_name_it_was_given(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture,
                 ENVIRONMENT("REDIS_URL=redis://:hunter2@h", "CONSOUL_STORAGE_URL=redis://h/1",
                             "LANGCHAIN_TRACING_V2=true", "OTEL_EXPORTER_OTLP_HEADERS=k=hunter2",
                             "SMTP_PORT=587", "SMTP_TLS=yes", "SERVICE_PORT=0",
                             "CACHE_ENABLED=", "TOOL_APPROVAL=safe_only", "WORKERS=4"),
                 NULL);
    assert_remarks(fixture->config,
                   NO_EFFECT("CONSOUL_STORAGE_URL") NO_EFFECT("REDIS_URL")
                       NO_EFFECT("OTEL_EXPORTER_OTLP_HEADERS") NO_EFFECT("LANGCHAIN_TRACING_V2")
                           NO_EFFECT("SERVICE_PORT"));
    assert_describes(fixture->config, "REDIS_URL", false, "redis://:********@h");
    assert_describes(fixture->config, "OTEL_EXPORTER_OTLP_HEADERS", false, "********");
    assert_describes(fixture->config, "SERVICE_PORT", false, "0");
    assert_describes(fixture->config, "LANGSMITH_TRACING", false, "true");
    assert_false(config_has_effect(fixture->config, "LANGCHAIN_TRACING_V2"));
    assert_true(config_has_effect(fixture->config, "WORKERS"));
}

static void a_setting_that_another_source_puts_back_is_not_remarked(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("CACHE_ENABLED=false"),
                 write_text(fixture, "quintet.conf", "CACHE_ENABLED=true\n"));
    assert_remarks(fixture->config, "");
}

static void providers_that_cannot_be_spoken_with_are_remarked(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture,
                 ENVIRONMENT("ANTHROPIC_API_KEY=k", "ANTHROPIC_ENABLED=false", "OPENAI_API_KEY=k",
                             "OIDC_GITLAB_ISSUER=https://gitlab.example",
                             "OIDC_GITLAB_CLIENT_SECRET=hunter2"),
                 NULL);
    assert_remarks(fixture->config, NO_EFFECT("ANTHROPIC_API_KEY") NO_EFFECT("OIDC_GITLAB_ISSUER")
                                        NO_EFFECT("OIDC_GITLAB_CLIENT_SECRET"));
    assert_describes(fixture->config, "OIDC_GITLAB_CLIENT_SECRET", false, "********");

    /* declared with an address it is a provider like any other */
    assert_loads(
        fixture,
        ENVIRONMENT("ANTHROPIC_API_KEY=k", "PROVIDER_ANTHROPIC_BASE_URL=https://a.example"), NULL);
    assert_remarks(fixture->config, "");
}

static void unknown_names_in_our_name_spaces_are_remarked(void **state)
{
    struct fixture *fixture = *state;
    const char *file = write_text(fixture, ".env",
                                  "CONSOUL_SESION_TTL=1\nCONSOUL_PROFILE=default\n"
                                  "PROVIDER_LAB_API_KEY=hunter2\nPROVIDER_=x\nCONSOUL_NOTHING=\n"
                                  "FOO_API_KEY=k\nVITE_MOCK=1\nLM_STUDIO_BASE_URL=http://h\n");

    assert_loads(fixture, NO_ENVIRONMENT, file);
    assert_remarks(fixture->config,
                   "setting_unknown CONSOUL_SESION_TTL is no setting; did you mean SESSION_TTL?\n"
                   "setting_unknown CONSOUL_PROFILE is no setting\n"
                   "setting_unknown PROVIDER_LAB_API_KEY belongs to a provider that no "
                   "PROVIDER_..._BASE_URL declares\n"
                   "setting_unknown PROVIDER_ is no setting\n");
}

#define PRODUCTION                                                                                 \
    "ENVIRONMENT=production", "TRUSTED_PROXIES=10.0.0.1",                                          \
        "SECRET_KEY=6b1f0c2d9e8a47f35c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f"

/* Each holds what is not a risk as well. */
static void what_is_allowed_and_seldom_meant_is_remarked(void **state)
{
    const struct {
        const char *const *environment;
        const char *names; /* of the remarks, each followed by a space */
    } cases[] = {
        {ENVIRONMENT("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=a.example"), "TRUSTED_PROXIES "},
        {ENVIRONMENT("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=a.example", "TRUSTED_PROXIES=10.0.0.1"),
         ""},
        {ENVIRONMENT("HTTPS_REDIRECT=true", "TRUSTED_PROXIES=10.0.0.1"), "ALLOWED_HOSTS "},
        {ENVIRONMENT(PRODUCTION), "ALLOWED_HOSTS "},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=*,*"), "ALLOWED_HOSTS "},
        {ENVIRONMENT(PRODUCTION, "HTTPS_REDIRECT=false"), ""},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=a.example,*.b.example"), ""},
        {ENVIRONMENT("API_KEY_QUERY=key"), "API_KEY_QUERY "},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=a.example", "REGISTRATION=open"), "MODEL_PRICES "},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=a.example", "REGISTRATION=open",
                     "MODEL_PRICES={ }"),
         "MODEL_PRICES "},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=a.example", "REGISTRATION=invite"),
         "MODEL_PRICES "},
        {ENVIRONMENT("REGISTRATION=open"), ""},
        {ENVIRONMENT(PRODUCTION, "ALLOWED_HOSTS=a.example", "REGISTRATION=open",
                     "MODEL_PRICES={\"gpt-4o\":\"2.5/10\"}"),
         ""},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct remarks remarks = {""};
        struct buffer names;
        struct slice line;
        buffer_init(&names, 200);
        assert_loads(fixture, cases[i].environment, NULL);
        config_each_remark(fixture->config, note_remark, &remarks);
        struct slice rest = slice_of(remarks.text);
        while (rest.length > 0 && slice_split(&rest, '\n', &line)) {
            char event[40];
            char name[40];
            assert_int_equal(sscanf(line.data, "%39s %39s", event, name), 2);
            assert_string_equal(event, "setting_risky");
            buffer_append_format(&names, "%s ", name);
        }
        assert_string_equal(buffer_text(&names), cases[i].names);
        buffer_release(&names);
    }
}

static void quintet_conf_refuses_unknown_names_in_our_name_spaces(void **state)
{
    static const char *const cases[][2] = {
        {"CONSOUL_SESION_TTL=1", "CONSOUL_SESION_TTL is no setting; did you mean SESSION_TTL?"},
        {"CONSOUL_PROFILE=default", "CONSOUL_PROFILE is no setting"},
        {"PROVIDER_LAB_API_KEY=hunter2",
         "PROVIDER_LAB_API_KEY belongs to a provider that no PROVIDER_..._BASE_URL declares"},
        {"PROVIDER_LAB_BASE_URL=\nPROVIDER_LAB_API_KEY=hunter2", "PROVIDER_LAB_API_KEY belongs"},
        {"PROVIDER_LAB_BASE=http://h", "PROVIDER_LAB_BASE is no setting"},
        {"PROVIDER_BASE_URL=http://h", "PROVIDER_BASE_URL is no setting"},
        {"SECRET_KEY_FILE=/run/secrets/key", "SECRET_KEY_FILE is no setting"},
        {"QUINTET_CONFIG=other", "QUINTET_CONFIG is no setting"},
        {"workers=4", "workers is no setting"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *file = write_text(fixture, "quintet.conf", cases[i][0]);

        assert_int_equal(load(fixture, NO_ENVIRONMENT, file), STATUS_INVALID);
        assert_one_line(buffer_text(&fixture->problem));
        assert_holds(buffer_text(&fixture->problem), cases[i][1]);
        assert_lacks(buffer_text(&fixture->problem), "hunter2");
    }
}

/* --- Names ---------------------------------------------------------------------------------- */

static void every_documented_name_and_those_of_the_replaced_systems_are_known(void **state)
{
    static const char *const names[] = {
        "ACCESS_TOKEN_EXPIRE_MINUTES",
        "ALGORITHM",
        "ALLOWED_HOSTS",
        "API_KEYS",
        "API_KEY_HEADER",
        "API_KEY_QUERY",
        "API_KEY_TIERS",
        "API_PREFIXES",
        "APP_NAME",
        "AUTH_BYPASS_PATHS",
        "BACKEND_CORS_ORIGINS",
        "CACHE_DEFAULT_TTL",
        "CACHE_ENABLED",
        "CHART_TTL_HOURS",
        "CHUNK_SIZE_THRESHOLD",
        "CLEANUP_INTERVAL_MINUTES",
        "CONSUL_CACERT",
        "CONSUL_CAPATH",
        "CONSUL_CLIENT_CERT",
        "CONSUL_CLIENT_KEY",
        "CONSUL_DATACENTER",
        "CONSUL_HOST",
        "CONSUL_HTTP_ADDR",
        "CONSUL_HTTP_SSL",
        "CONSUL_HTTP_SSL_VERIFY",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_TOKEN_FILE",
        "CONSUL_NAMESPACE",
        "CONSUL_PORT",
        "CONSUL_TLS_SERVER_NAME",
        "CONSUL_TOKEN",
        "CORS_ALLOW_CREDENTIALS",
        "CORS_ALLOW_HEADERS",
        "CORS_ALLOW_METHODS",
        "CORS_MAX_AGE",
        "CORS_ORIGINS",
        "DATABASE_ECHO",
        "DATABASE_URL",
        "DB_MAX_OVERFLOW",
        "DB_POOL_MAX_OVERFLOW",
        "DB_POOL_RECYCLE",
        "DB_POOL_SIZE",
        "DB_POOL_TIMEOUT",
        "DEBUG",
        "DEFAULT_PROVIDER",
        "ENABLE_AUTH",
        "ENABLE_METRICS",
        "ENABLE_PERSISTENCE",
        "ENABLE_RATE_LIMITING",
        "ENVIRONMENT",
        "FRONTEND_URL",
        "GOOGLE_CLIENT_ID",
        "GOOGLE_CLIENT_SECRET",
        "GOOGLE_REDIRECT_URI",
        "HEALTH_CHECK_DEREGISTER_AFTER",
        "HEALTH_CHECK_INTERVAL",
        "HEALTH_CHECK_TIMEOUT",
        "HEALTH_PROBE_INTERVAL",
        "HEALTH_SERVICES",
        "HOST",
        "HTTPS_REDIRECT",
        "JWT_SECRET_KEY",
        "LANGCHAIN_API_KEY",
        "LANGCHAIN_ENDPOINT",
        "LANGCHAIN_PROJECT",
        "LANGCHAIN_TRACING_V2",
        "LANGSMITH_API_KEY",
        "LANGSMITH_ENDPOINT",
        "LANGSMITH_HIDE_INPUTS",
        "LANGSMITH_HIDE_OUTPUTS",
        "LANGSMITH_PROJECT",
        "LANGSMITH_TRACING",
        "LANGSMITH_WORKSPACE_ID",
        "LOCKOUT_MINUTES",
        "LOCKOUT_THRESHOLD",
        "LOG_FILE",
        "LOG_LEVEL",
        "MAX_BODY_SIZE",
        "METRICS_ALIASES",
        "METRICS_PATH",
        "METRICS_PORT",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_PROPAGATORS",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SDK_DISABLED",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "PORT",
        "POSTGRES_DB",
        "POSTGRES_HOST",
        "POSTGRES_PASSWORD",
        "POSTGRES_PORT",
        "POSTGRES_SERVER",
        "POSTGRES_USER",
        "RATELIMIT_ENABLED",
        "RATE_LIMIT_AUTH",
        "RATE_LIMIT_CHARTS",
        "RATE_LIMIT_CHAT",
        "RATE_LIMIT_DEFAULT",
        "RATE_LIMIT_ENABLED",
        "RATE_LIMIT_HEALTH",
        "RATE_LIMIT_HISTORY",
        "RATE_LIMIT_HISTORY_PER_MINUTE",
        "RATE_LIMIT_ON_STORE_ERROR",
        "RATE_LIMIT_PER_MINUTE",
        "RATE_LIMIT_REDIS_URL",
        "RATE_LIMIT_TIERS",
        "RATE_LIMIT_TRUSTED_CIDRS",
        "REDIS_URL",
        "REFRESH_TOKEN_EXPIRE_DAYS",
        "RUNTIME_DIR",
        "SECRET_KEY",
        "SERVICE_HOST",
        "SERVICE_NAME",
        "SERVICE_PORT",
        "SERVICE_TAGS",
        "SESSION_KEY_PREFIX",
        "SESSION_LOCK_WAIT",
        "SESSION_TTL",
        "SETTINGS_ENCRYPTION_KEY",
        "SMTP_FROM",
        "SMTP_HOST",
        "SMTP_PASSWORD",
        "SMTP_PORT",
        "SMTP_TLS",
        "SMTP_USER",
        "SMTP_USERNAME",
        "STATE_DIR",
        "TOOLS_DIR",
        "TOOL_APPROVAL",
        "TRUSTED_PROXIES",
        "WEBSOCKET_PING_INTERVAL_SECONDS",
        "WEBSOCKET_TIMEOUT_SECONDS",
        "WORKERS",
        /* as the chat server of old spells them */
        "CONSOUL_API_KEYS",
        "CONSOUL_API_KEY_HEADER",
        "CONSOUL_API_KEY_QUERY",
        "CONSOUL_API_KEY_TIERS",
        "CONSOUL_APP_NAME",
        "CONSOUL_BYPASS_PATHS",
        "CONSOUL_CIRCUIT_BREAKER_ENABLED",
        "CONSOUL_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        "CONSOUL_CIRCUIT_BREAKER_HALF_OPEN_MAX_CALLS",
        "CONSOUL_CIRCUIT_BREAKER_SUCCESS_THRESHOLD",
        "CONSOUL_CIRCUIT_BREAKER_TIMEOUT",
        "CONSOUL_CORS_ALLOWED_ORIGINS",
        "CONSOUL_CORS_ALLOW_CREDENTIALS",
        "CONSOUL_CORS_ALLOW_HEADERS",
        "CONSOUL_CORS_ALLOW_METHODS",
        "CONSOUL_CORS_MAX_AGE",
        "CONSOUL_CORS_ORIGINS",
        "CONSOUL_DEFAULT_LIMITS",
        "CONSOUL_ENABLED",
        "CONSOUL_HOST",
        "CONSOUL_KEY_PREFIX",
        "CONSOUL_LOG_LEVEL",
        "CONSOUL_MAX_BODY_SIZE",
        "CONSOUL_OBSERVABILITY_LANGSMITH_ENABLED",
        "CONSOUL_OBSERVABILITY_METRICS_PATH",
        "CONSOUL_OBSERVABILITY_METRICS_PORT",
        "CONSOUL_OBSERVABILITY_OTEL_ENABLED",
        "CONSOUL_OBSERVABILITY_OTEL_ENDPOINT",
        "CONSOUL_OBSERVABILITY_OTEL_SERVICE_NAME",
        "CONSOUL_OBSERVABILITY_PROMETHEUS_ENABLED",
        "CONSOUL_PORT",
        "CONSOUL_RATE_LIMIT_ENABLED",
        "CONSOUL_RATE_LIMIT_REDIS_URL",
        "CONSOUL_RATE_LIMIT_TIERS",
        "CONSOUL_REDIS_FALLBACK_ENABLED",
        "CONSOUL_REDIS_RECONNECT_INTERVAL",
        "CONSOUL_REDIS_URL",
        "CONSOUL_RELOAD",
        "CONSOUL_SESSION_GC_BATCH_SIZE",
        "CONSOUL_SESSION_GC_INTERVAL",
        "CONSOUL_SESSION_KEY_PREFIX",
        "CONSOUL_SESSION_REDIS_URL",
        "CONSOUL_SESSION_TTL",
        "CONSOUL_STRATEGY",
        "CONSOUL_VALIDATION_ENABLED",
    };
    static const char *const of_providers[] = {
        "ANTHROPIC_API_KEY",  "DEEPSEEK_API_KEY",   "GEMINI_API_KEY",         "GOOGLE_API_KEY",
        "GROQ_API_KEY",       "MISTRAL_API_KEY",    "OLLAMA_BASE_URL",        "OPENAI_API_KEY",
        "OPENAI_ENABLED",     "OPENROUTER_API_KEY", "PROVIDER_LAB_BASE_URL",  "OIDC_LAB_ISSUER",
        "OIDC_LAB_CLIENT_ID", "ANTHROPIC_BASE_URL", "OIDC_LAB_CLIENT_SECRET",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(names); i++) {
        if (config_find_setting(names[i]) < 0) {
            fail_msg("%s is not known", names[i]);
        }
    }
    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    for (size_t i = 0; i < COUNT(of_providers); i++) {
        if (config_find_pattern(fixture->config, of_providers[i]) == NULL) {
            fail_msg("%s is not known", of_providers[i]);
        }
    }
}

/* --- Values of settings without effect ------------------------------------------------------- */

static void settings_without_effect_are_checked_like_any_other(void **state)
{
    static const char *const cases[][2] = {
        {"REDIS_URL=http://h", "is not a redis, rediss or unix URL"},
        {"REDIS_URL=localhost:6379", "is not a redis, rediss or unix URL"},
        {"RATE_LIMIT_REDIS_URL=redis://", "is not a redis, rediss or unix URL"},
        {"RATE_LIMIT_ON_STORE_ERROR=maybe", "is not one of local|open|closed"},
        {"SMTP_PORT=0", "is not within 1..65535"},
        {"SMTP_TLS=perhaps", "is neither true nor false"},
        {"FRONTEND_URL=app.example.com", "is not an http or https URL"},
        {"GOOGLE_REDIRECT_URI=ftp://h", "is not an http or https URL"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL=thrift", "is not one of http/json|http/protobuf|grpc"},
        {"OTEL_PROPAGATORS=tracecontext,smoke", "\"smoke\" is not one of"},
        {"OTEL_EXPORTER_OTLP_HEADERS=k=hunter2\n", "control character"},
        {"LANGSMITH_TRACING=2", "is neither true nor false"},
        {"HEALTH_CHECK_INTERVAL=soon", "is not a time such as 30s"},
        {"HEALTH_CHECK_INTERVAL=30s5", "is not a time such as 30s"},
        {"HEALTH_CHECK_INTERVAL=s", "is not a time such as 30s"},
        {"DB_POOL_SIZE=many", "is not a whole number"},
        {"WEBSOCKET_TIMEOUT_SECONDS=-1", "is not within 1..86400"},
        {"CONSUL_PORT=70000", "is not within 1..65535"},
        {"SERVICE_TAGS=[\"a\"", "is not a valid JSON array"},
        {"ANTHROPIC_API_KEY=hunter2 hunter2", "holds a key"},
        {"OIDC_LAB_ISSUER=lab", "is not an http or https URL"},
        {"SETTINGS_ENCRYPTION_KEY=hunter2\x01", "control character"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        if (load(fixture, ENVIRONMENT(cases[i][0]), NULL) != STATUS_INVALID) {
            fail_msg("%s was accepted", cases[i][0]);
        }
        assert_one_line(buffer_text(&fixture->problem));
        assert_holds(buffer_text(&fixture->problem), cases[i][1]);
        assert_holds(buffer_text(&fixture->problem), "(environment)");
        assert_lacks(buffer_text(&fixture->problem), "hunter2");
    }
    assert_loads(fixture,
                 ENVIRONMENT("HEALTH_CHECK_INTERVAL=1m30s", "HEALTH_CHECK_TIMEOUT=500ms",
                             "HEALTH_CHECK_DEREGISTER_AFTER=60", "REDIS_URL=unix:///run/redis.sock",
                             "RATE_LIMIT_REDIS_URL=REDISS://u:p@h:6380/2"),
                 NULL);
}

static void aliases_without_effect_must_agree_too(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load(fixture, ENVIRONMENT("SMTP_USER=a", "SMTP_USERNAME=b"), NULL),
                     STATUS_INVALID);
    assert_string_equal(buffer_text(&fixture->problem),
                        "SMTP_USER and SMTP_USERNAME are both set but differ (environment)");
    assert_loads(fixture, ENVIRONMENT("SMTP_USER=a", "SMTP_USERNAME=a"), NULL);
}

static void no_setting_can_be_set_by_a_request_header(void **state)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct slice rest = slice_of(settings[i].aliases);
        struct slice alias;

        assert_int_not_equal(strncmp(settings[i].name, "HTTP_", 5), 0);
        while (slice_split(&rest, ' ', &alias)) {
            assert_false(slice_starts_with(alias, "HTTP_"));
        }
    }
}

/* --- Reloads -------------------------------------------------------------------------------- */

static void what_a_reload_cannot_change_is_remarked(void **state)
{
    struct fixture *fixture = *state;
    struct remarks remarks = {""};
    struct config *running = NULL;

    assert_int_equal(
        config_load_from(&running, ENVIRONMENT("ENVIRONMENT=development"),
                         write_text(fixture, ".env",
                                    "WORKERS=2\nSESSION_TTL=9\nGROQ_API_KEY=a\nOPENAI_API_KEY=a\n"
                                    "LOG_LEVEL=info\nAPI_KEYS=hunter2\nMISTRAL_API_KEY=a\n"),
                         &fixture->problem),
        STATUS_OK);
    assert_loads(fixture, NO_ENVIRONMENT,
                 write_text(fixture, ".env",
                            "WORKERS=3\nCONSOUL_SESSION_TTL=9\nPROVIDER_GROQ_API_KEY=a\n"
                            "OPENAI_API_KEY=b\nLOG_LEVEL=debug\nAPI_KEYS=[\"hunter3\"]\n"
                            "SMTP_HOST=h\nDEEPSEEK_API_KEY=a\nVITE_MOCK=2\n"));
    config_each_stale(running, fixture->config, note_remark, &remarks);
    assert_string_equal(remarks.text, STALE("API_KEYS") STALE("WORKERS") STALE("OPENAI_API_KEY")
                                          STALE("DEEPSEEK_API_KEY") STALE("MISTRAL_API_KEY"));
    remarks.text[0] = '\0';
    config_each_stale(running, running, note_remark, &remarks);
    assert_string_equal(remarks.text, "");
    /* A setting that cannot be compared for want of memory is not reported as changed. */
    memory_fail_after(1);
    config_each_stale(running, fixture->config, note_remark, &remarks);
    memory_fail_after(0);
    assert_string_equal(remarks.text,
                        STALE("OPENAI_API_KEY") STALE("DEEPSEEK_API_KEY") STALE("MISTRAL_API_KEY"));
    config_release(running);
}

/* --- Several files -------------------------------------------------------------------------- */

static void environment_beats_quintet_conf_beats_dot_env_beats_default(void **state)
{
    struct fixture *fixture = *state;
    char conf[128];
    char shared[128];
    const char *paths[] = {conf, shared};
    struct buffer place;

    snprintf(conf, sizeof conf, "%s",
             write_text(fixture, "quintet.conf",
                        "WORKERS=3\nQUEUE_SIZE=33\nGROQ_API_KEY=conf\nSESSION_TTL=\n"));
    snprintf(shared, sizeof shared, "%s",
             write_text(fixture, ".env",
                        "WORKERS=2\nQUEUE_SIZE=22\nLOCKOUT_MINUTES=2\nCONSOUL_SESSION_TTL=22\n"
                        "PROVIDER_GROQ_API_KEY=env\nMISTRAL_API_KEY=env\nVITE_MOCK=1\n"));
    assert_int_equal(
        config_load_layers(&fixture->config, ENVIRONMENT("WORKERS=4"), paths, 2, &fixture->problem),
        STATUS_OK);
    assert_int_equal(fixture->config->workers, 4);
    assert_int_equal(fixture->config->queue_size, 33);
    assert_int_equal(fixture->config->lockout_minutes, 2);
    assert_int_equal(fixture->config->session_ttl, 22);
    assert_int_equal(fixture->config->lockout_threshold, 5);
    assert_string_equal(config_lookup(fixture->config, "PROVIDER_GROQ_API_KEY"), "conf");
    assert_string_equal(config_lookup(fixture->config, "MISTRAL_API_KEY"), "env");
    assert_string_equal(config_file(fixture->config, 0), conf);

    buffer_init(&place, 1024);
    config_append_place(fixture->config, "LOCKOUT_MINUTES", &place);
    buffer_append_char(&place, ' ');
    config_append_place(fixture->config, "WORKERS", &place);
    buffer_append_char(&place, ' ');
    config_append_place(fixture->config, "LOCKOUT_THRESHOLD", &place);
    assert_holds(buffer_text(&place), "/.env:3 environment default");
    buffer_release(&place);
}

static void each_file_keeps_its_own_rules(void **state)
{
    struct fixture *fixture = *state;
    char conf[128];
    char shared[128];
    const char *paths[] = {conf, shared};

    snprintf(shared, sizeof shared, "%s", write_text(fixture, ".env", "A=1\nWORKERS=2\n"));
    snprintf(conf, sizeof conf, "%s", write_text(fixture, "quintet.conf", "A=1\n"));
    assert_int_equal(
        config_load_layers(&fixture->config, NO_ENVIRONMENT, paths, 2, &fixture->problem),
        STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "A is no setting");
    assert_holds(buffer_text(&fixture->problem), "quintet.conf:1)");

    /* a value in .env that does not count may be bad, a line may not */
    buffer_reset(&fixture->problem);
    write_text(fixture, "quintet.conf", "WORKERS=3\n");
    write_text(fixture, ".env", "WORKERS=none\n");
    assert_int_equal(
        config_load_layers(&fixture->config, NO_ENVIRONMENT, paths, 2, &fixture->problem),
        STATUS_OK);
    config_release(fixture->config);
    write_text(fixture, ".env", "\n'\n");
    assert_int_equal(
        config_load_layers(&fixture->config, NO_ENVIRONMENT, paths, 2, &fixture->problem),
        STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "/.env:2: the line does not begin with a name");
}

/* --- Several names of a provider's setting ---------------------------------------------------- */

static void every_name_of_a_providers_setting_gives_its_value(void **state)
{
    static const char *const cases[][3] = {
        {"GROQ_API_KEY=k", "PROVIDER_GROQ_API_KEY", "k"},
        {"PROVIDER_GROQ_API_KEY=k", "GROQ_API_KEY", "k"},
        {"CONSOUL_GROQ_API_KEY=k", "GROQ_API_KEY", "k"},
        {"CONSOUL_PROVIDER_GROQ_API_KEY=k", "GROQ_API_KEY", "k"},
        {"GOOGLE_API_KEY=k", "GEMINI_API_KEY", "k"},
        {"GOOGLE_AI_API_KEY=k", "PROVIDER_GEMINI_API_KEY", "k"},
        {"CONSOUL_GOOGLE_API_KEY=k", "GEMINI_API_KEY", "k"},
        {"PROVIDER_OLLAMA_ENABLED=on", "OLLAMA_ENABLED", "true"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *value;

        assert_loads(fixture, ENVIRONMENT(cases[i][0]), NULL);
        value = config_lookup(fixture->config, cases[i][1]);
        assert_non_null(value);
        assert_string_equal(value, cases[i][2]);
        assert_remarks(fixture->config, "");
        assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", cases[i][0]));
    }
}

static void the_names_of_a_providers_setting_must_agree_within_a_source(void **state)
{
    static const char *const cases[][3] = {
        {"GROQ_API_KEY=hunter2", "PROVIDER_GROQ_API_KEY=hunter3",
         "GROQ_API_KEY and PROVIDER_GROQ_API_KEY are both set but differ (environment)"},
        {"CONSOUL_OPENAI_API_KEY=hunter2", "OPENAI_API_KEY=hunter3",
         "CONSOUL_OPENAI_API_KEY and OPENAI_API_KEY are both set but differ (environment)"},
        {"GOOGLE_API_KEY=hunter2", "GEMINI_API_KEY=hunter3",
         "GOOGLE_API_KEY and GEMINI_API_KEY are both set but differ (environment)"},
        {"OPENAI_ENABLED=no", "PROVIDER_OPENAI_ENABLED=1",
         "OPENAI_ENABLED and PROVIDER_OPENAI_ENABLED are both set but differ (environment)"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(load(fixture, ENVIRONMENT(cases[i][0], cases[i][1]), NULL),
                         STATUS_INVALID);
        assert_string_equal(buffer_text(&fixture->problem), cases[i][2]);
    }
    assert_loads(fixture, ENVIRONMENT("OPENAI_ENABLED=no", "PROVIDER_OPENAI_ENABLED=off"), NULL);
    /* an address that declares is another setting than one that only replaces */
    assert_loads(fixture,
                 ENVIRONMENT("OPENAI_BASE_URL=http://a", "PROVIDER_OPENAI_BASE_URL=http://b"),
                 NULL);
    assert_string_equal(config_lookup(fixture->config, "OPENAI_BASE_URL"), "http://a");
    /* of different sources the one that counts first wins, whatever its spelling */
    assert_loads(fixture, ENVIRONMENT("GROQ_API_KEY=first"),
                 write_text(fixture, "quintet.conf", "PROVIDER_GROQ_API_KEY=second\n"));
    assert_string_equal(config_lookup(fixture->config, "PROVIDER_GROQ_API_KEY"), "first");
}

static void
a_provider_name_given_twice_counts_last_in_dot_env_and_refuses_in_quintet_conf(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "GROQ_API_KEY=a\nGROQ_API_KEY=b\n";

    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", text));
    assert_string_equal(config_lookup(fixture->config, "GROQ_API_KEY"), "b");
    assert_int_equal(load(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", text)),
                     STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "GROQ_API_KEY is set twice with different values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(nothing_is_remarked_of_defaults),
        CONFIG_TEST(a_setting_without_effect_is_remarked_under_the_name_it_was_given),
        CONFIG_TEST(a_setting_that_another_source_puts_back_is_not_remarked),
        CONFIG_TEST(providers_that_cannot_be_spoken_with_are_remarked),
        CONFIG_TEST(unknown_names_in_our_name_spaces_are_remarked),
        CONFIG_TEST(what_is_allowed_and_seldom_meant_is_remarked),
        CONFIG_TEST(quintet_conf_refuses_unknown_names_in_our_name_spaces),
        CONFIG_TEST(every_documented_name_and_those_of_the_replaced_systems_are_known),
        CONFIG_TEST(settings_without_effect_are_checked_like_any_other),
        CONFIG_TEST(aliases_without_effect_must_agree_too),
        CONFIG_TEST(no_setting_can_be_set_by_a_request_header),
        CONFIG_TEST(what_a_reload_cannot_change_is_remarked),
        CONFIG_TEST(environment_beats_quintet_conf_beats_dot_env_beats_default),
        CONFIG_TEST(each_file_keeps_its_own_rules),
        CONFIG_TEST(every_name_of_a_providers_setting_gives_its_value),
        CONFIG_TEST(the_names_of_a_providers_setting_must_agree_within_a_source),
        CONFIG_TEST(a_provider_name_given_twice_counts_last_in_dot_env_and_refuses_in_quintet_conf),
    };
    return cmocka_run_group_tests_name("config remarks", tests, NULL, NULL);
}
