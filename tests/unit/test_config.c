/*
 * What config/ promises of values: which one counts, how it may be spelled, and by which names.
 */
#include "config_fixture.h"

/* --- Which value counts --------------------------------------------------------------------- */

static void defaults_are_those_of_the_table(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    assert_string_equal(fixture->config->app_name, "quintet");
    assert_string_equal(fixture->config->environment, "development");
    assert_true(fixture->config->is_development);
    assert_false(fixture->config->is_production);
    assert_string_equal(fixture->config->state_dir, "./var");
    assert_string_equal(fixture->config->runtime_dir, "./var/run");
    assert_string_equal(fixture->config->database_url, "sqlite:./var/quintet.db");
    assert_int_equal(fixture->config->workers, 8);
    assert_int_equal(fixture->config->max_body_size, 1024 * 1024);
    assert_int_equal(fixture->config->max_ingest_size, 64 * 1024 * 1024);
    assert_true(fixture->config->enable_auth);
    assert_string_equal(fixture->config->secret_key, "");
    assert_int_equal(fixture->config->api_prefixes.count, 1);
    assert_string_equal(fixture->config->api_prefixes.items[0], "/api/v1");
    assert_int_equal(fixture->config->cors_origins.count, 2);
    assert_int_equal(fixture->config->trusted_proxies.count, 0);
    assert_string_equal(fixture->config->rate_limit_tiers, "{}");
    assert_int_equal(fixture->config->auth_bypass_paths.count, 6);
    assert_null(config_file(fixture->config, 0));
}

static void every_default_is_accepted_when_it_is_written_out(void **state)
{
    struct fixture *fixture = *state;
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    assert_loads(fixture, NO_ENVIRONMENT, NULL);
    for (size_t i = 0; i < count; i++) {
        struct buffer line;
        struct config *again = NULL;
        enum config_source source;

        buffer_init(&line, 65536);
        buffer_append_format(&line, "%s=", settings[i].name);
        assert_int_equal(config_describe(fixture->config, settings[i].name, true, &line, &source),
                         STATUS_OK);
        assert_int_equal(source, CONFIG_FROM_DEFAULT);
        if (config_load_from(&again, ENVIRONMENT(buffer_text(&line)), NULL, &fixture->problem) !=
            STATUS_OK) {
            fail_msg("%s: %s", buffer_text(&line), buffer_text(&fixture->problem));
        }
        assert_describes(again, settings[i].name, true,
                         buffer_text(&line) + strlen(settings[i].name) + 1);
        config_release(again);
        buffer_release(&line);
    }
}

static void environment_beats_file_beats_default(void **state)
{
    struct fixture *fixture = *state;
    const char *file = write_text(fixture, "quintet.conf", "WORKERS=3\nQUEUE_SIZE=33\n");
    struct buffer text;
    enum config_source source;

    assert_loads(fixture, ENVIRONMENT("WORKERS=4"), file);
    assert_int_equal(fixture->config->workers, 4);
    assert_int_equal(fixture->config->queue_size, 33);
    assert_string_equal(config_file(fixture->config, 0), file);

    buffer_init(&text, 1024);
    assert_int_equal(config_describe(fixture->config, "WORKERS", false, &text, &source), STATUS_OK);
    assert_int_equal(source, CONFIG_FROM_ENVIRONMENT);
    assert_int_equal(config_describe(fixture->config, "QUEUE_SIZE", false, &text, &source),
                     STATUS_OK);
    assert_int_equal(source, CONFIG_FROM_FILE);
    assert_int_equal(config_describe(fixture->config, "APP_NAME", false, &text, &source),
                     STATUS_OK);
    assert_int_equal(source, CONFIG_FROM_DEFAULT);
    assert_string_equal(buffer_text(&text), "433quintet");
    buffer_release(&text);
}

static void entries_of_the_environment_that_are_no_assignments_are_passed_over(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("NONSENSE", "=x", "=", "", "WORKERS=4"), NULL);
    assert_int_equal(fixture->config->workers, 4);
}

static void an_alias_in_the_environment_beats_the_name_in_the_file(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("CONSOUL_SESSION_TTL=60"),
                 write_text(fixture, "quintet.conf", "SESSION_TTL=70\n"));
    assert_int_equal(fixture->config->session_ttl, 60);
}

static void a_name_that_stands_twice_in_the_environment_counts_as_getenv_reads_it(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("WORKERS=2", "WORKERS=3", "GROQ_API_KEY=a", "GROQ_API_KEY=b"),
                 NULL);
    assert_int_equal(fixture->config->workers, 2);
    assert_string_equal(config_lookup(fixture->config, "GROQ_API_KEY"), "a");
}

static void an_empty_value_counts_as_unset(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("WORKERS=", "LOG_LEVEL=  ", "OPENAI_API_KEY="),
                 write_text(fixture, "quintet.conf", "WORKERS=5\nLOG_LEVEL=\n"));
    assert_int_equal(fixture->config->workers, 5);
    assert_string_equal(fixture->config->log_level, "info");
    assert_null(config_lookup(fixture->config, "OPENAI_API_KEY"));
}

static void types_accept_their_spellings(void **state)
{
    static const struct {
        const char *assignment;
        const char *name;
        const char *effective;
    } cases[] = {
        {"MAX_BODY_SIZE=2M", "MAX_BODY_SIZE", "2M"},
        {"MAX_BODY_SIZE=2048k", "MAX_BODY_SIZE", "2M"},
        {"MAX_BODY_SIZE=1500", "MAX_BODY_SIZE", "1500"},
        {"MAX_BODY_SIZE=1G", "MAX_BODY_SIZE", "1G"},
        {"WORKERS= 16 ", "WORKERS", "16"},
        {"DEBUG=Yes", "DEBUG", "true"},
        {"DEBUG=0", "DEBUG", "false"},
        {"LOG_LEVEL=WARNING", "LOG_LEVEL", "warning"},
        {"ENVIRONMENT=Staging", "ENVIRONMENT", "staging"},
        {"ALGORITHM=hs256", "ALGORITHM", "HS256"},
        {"HTTPS_REDIRECT=1", "HTTPS_REDIRECT", "true"},
        {"HTTPS_REDIRECT=off", "HTTPS_REDIRECT", "false"},
        {"ALLOWED_HOSTS= A.example.com , *.Example.org ,,", "ALLOWED_HOSTS",
         "a.example.com,*.example.org"},
        {"ALLOWED_HOSTS=[\"a.example\", \"b.example\"]", "ALLOWED_HOSTS", "a.example,b.example"},
        {"CORS_ORIGINS=[]", "CORS_ORIGINS", "[]"},
        {"CORS_ORIGINS=HTTPS://App.Example.com:443/", "CORS_ORIGINS", "https://app.example.com"},
        {"CORS_ORIGINS=http://a.example:80,http://a.example:8080", "CORS_ORIGINS",
         "http://a.example,http://a.example:8080"},
        {"CORS_ORIGINS=http://[::1]:3000", "CORS_ORIGINS", "http://[::1]:3000"},
        {"CORS_ORIGINS=null,*", "CORS_ORIGINS", "null,*"},
        {"TRUSTED_PROXIES=10.0.0.0/8,::1,FD00::/8", "TRUSTED_PROXIES", "10.0.0.0/8,::1,fd00::/8"},
        {"RATE_LIMIT_TIERS={\"a\":\"1/minute\"}", "RATE_LIMIT_TIERS", "{\"a\":\"1/minute\"}"},
        {"RATE_LIMIT_CHAT=[\"1/second\",\"5/minute\"]", "RATE_LIMIT_CHAT", "1/second;5/minute"},
        {"METRICS_ALIASES=Consoul", "METRICS_ALIASES", "consoul"},
        {"HEALTH_SERVICES=chroma=http://127.0.0.1:8000/x,box=tcp://127.0.0.1:9000",
         "HEALTH_SERVICES", "chroma=http://127.0.0.1:8000/x,box=tcp://127.0.0.1:9000"},
        {"DEFAULT_PROVIDER=OpenAI", "DEFAULT_PROVIDER", "openai"},
        {"CORS_ALLOW_HEADERS=X-A,X-B", "CORS_ALLOW_HEADERS", "X-A,X-B"},
        {"CORS_ALLOW_HEADERS=X-A,*", "CORS_ALLOW_HEADERS",
         "Authorization,Content-Type,X-API-Key,X-Correlation-ID,X-Request-ID,X-Company-ID,"
         "Idempotency-Key,Last-Event-ID,traceparent,tracestate,x-stainless-*,openai-*,anthropic-*"},
        {"CORS_ALLOW_HEADERS=*", "CORS_ALLOW_HEADERS",
         "Authorization,Content-Type,X-API-Key,X-Correlation-ID,X-Request-ID,X-Company-ID,"
         "Idempotency-Key,Last-Event-ID,traceparent,tracestate,x-stainless-*,openai-*,anthropic-*"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_loads(fixture, ENVIRONMENT(cases[i].assignment), NULL);
        assert_describes(fixture->config, cases[i].name, false, cases[i].effective);
    }
}

static void database_urls_are_settled_to_one_spelling(void **state)
{
    static const char *const cases[][2] = {
        {"sqlite:/srv/q.db", "sqlite:/srv/q.db"},
        {"sqlite:./q.db", "sqlite:./q.db"},
        {"sqlite:///./charts.db", "sqlite:./charts.db"},
        {"sqlite:///charts.db", "sqlite:charts.db"},
        {"sqlite:////srv/q.db", "sqlite:/srv/q.db"},
        {"sqlite+aiosqlite:///./x.db", "sqlite:./x.db"},
        {"sqlite+aiosqlite:////srv/x.db?timeout=3", "sqlite:/srv/x.db"},
        {"sqlite+aiosqlite:////srv/x.db ?timeout=3", "sqlite:/srv/x.db"},
        {"postgresql+asyncpg://u@h:5432/d", "postgresql://u@h:5432/d"},
        {"postgres://u@h/d", "postgresql://u@h/d"},
        {"mysql+aiomysql://u@h:3306/d", "mysql://u@h:3306/d"},
        {"mariadb://u@h/d", "mysql://u@h/d"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        char assignment[128];

        snprintf(assignment, sizeof assignment, "DATABASE_URL=%s", cases[i][0]);
        assert_loads(fixture, ENVIRONMENT(assignment), NULL);
        assert_string_equal(fixture->config->database_url, cases[i][1]);
    }
}

static void defaults_follow_the_settings_they_depend_on(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("STATE_DIR=/srv/q", "ENVIRONMENT=production"), NULL);
    assert_string_equal(fixture->config->runtime_dir, "/srv/q/run");
    assert_string_equal(fixture->config->database_url, "sqlite:/srv/q/quintet.db");
    assert_string_equal(fixture->config->https_redirect, "true");
    assert_true(fixture->config->is_production);
    assert_string_equal(fixture->config->registration, "closed");
    assert_int_equal(fixture->config->chart_ttl_hours, 0);

    assert_loads(fixture, ENVIRONMENT("ENABLE_PERSISTENCE=false", "DEBUG=true"), NULL);
    assert_string_equal(fixture->config->https_redirect, "false");
    assert_string_equal(fixture->config->registration, "open");
    assert_int_equal(fixture->config->chart_ttl_hours, 24);
    assert_string_equal(fixture->config->log_level, "debug");

    assert_loads(fixture,
                 ENVIRONMENT("ENABLE_PERSISTENCE=false", "CHART_TTL_HOURS=0", "DEBUG=true",
                             "LOG_LEVEL=error", "HTTPS_REDIRECT=auto"),
                 NULL);
    assert_int_equal(fixture->config->chart_ttl_hours, 0);
    assert_string_equal(fixture->config->log_level, "error");
    assert_string_equal(fixture->config->https_redirect, "false");
}

/* --- Other names ---------------------------------------------------------------------------- */

static void every_alias_means_its_setting(void **state)
{
    static const struct {
        const char *assignment;
        const char *name;
        const char *effective;
    } cases[] = {
        {"CONSOUL_API_KEYS=a-key", "API_KEYS", "a-key"},
        {"CONSOUL_API_KEY_HEADER=X-Key", "API_KEY_HEADER", "X-Key"},
        {"CONSOUL_HEADER_NAME=X-Key", "API_KEY_HEADER", "X-Key"},
        {"CONSOUL_API_KEY_QUERY=api_key", "API_KEY_QUERY", "api_key"},
        {"CONSOUL_QUERY_NAME=api_key", "API_KEY_QUERY", "api_key"},
        {"CONSOUL_BYPASS_PATHS=/health,/docs", "AUTH_BYPASS_PATHS", "/health,/docs"},
        {"CONSOUL_DEFAULT_LIMITS=10/minute;100/hour", "RATE_LIMIT_DEFAULT", "10/minute;100/hour"},
        {"CONSOUL_DEFAULT_LIMITS=[\"10/minute\",\"100/hour\"]", "RATE_LIMIT_DEFAULT",
         "10/minute;100/hour"},
        {"CONSOUL_STRATEGY=fixed-window", "RATE_LIMIT_STRATEGY", "fixed-window"},
        {"CONSOUL_ENABLED=false", "RATE_LIMIT_ENABLED", "false"},
        {"CONSOUL_RATE_LIMIT_ENABLED=false", "RATE_LIMIT_ENABLED", "false"},
        {"CONSOUL_TIER_LIMITS={\"a\":\"1/minute\"}", "RATE_LIMIT_TIERS", "{\"a\":\"1/minute\"}"},
        {"CONSOUL_API_KEY_TIERS={\"k-*\":\"a\"}", "API_KEY_TIERS", "{\"k-*\":\"a\"}"},
        {"CONSOUL_SESSION_TTL=7200", "SESSION_TTL", "7200"},
        {"CONSOUL_CORS_ORIGINS=https://a.example", "CORS_ORIGINS", "https://a.example"},
        {"CONSOUL_CORS_ALLOWED_ORIGINS=https://a.example", "CORS_ORIGINS", "https://a.example"},
        {"CONSOUL_CORS_ALLOW_CREDENTIALS=true", "CORS_ALLOW_CREDENTIALS", "true"},
        {"CONSOUL_CORS_MAX_AGE=60", "CORS_MAX_AGE", "60"},
        {"CONSOUL_APP_NAME=Consoul API", "APP_NAME", "Consoul API"},
        {"CONSOUL_LOG_LEVEL=DEBUG", "LOG_LEVEL", "debug"},
        {"CONSOUL_OBSERVABILITY_PROMETHEUS_ENABLED=false", "ENABLE_METRICS", "false"},
        {"CONSOUL_OBSERVABILITY_METRICS_PORT=9191", "METRICS_PORT", "9191"},
        {"CONSOUL_OBSERVABILITY_METRICS_PATH=/m", "METRICS_PATH", "/m"},
        {"BACKEND_CORS_ORIGINS=[\"http://localhost:8080/\"]", "CORS_ORIGINS",
         "http://localhost:8080"},
        {"RATELIMIT_ENABLED=False", "RATE_LIMIT_ENABLED", "false"},
        {"ENABLE_RATE_LIMITING=false", "RATE_LIMIT_ENABLED", "false"},
        {"RATE_LIMIT_PER_MINUTE=300", "RATE_LIMIT_CHARTS", "300/minute"},
        {"RATE_LIMIT_HISTORY_PER_MINUTE=100", "RATE_LIMIT_HISTORY", "100/minute"},
        {"JWT_ALGORITHM=HS256", "ALGORITHM", "HS256"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[160];

        assert_loads(fixture, ENVIRONMENT(cases[i].assignment), NULL);
        assert_describes(fixture->config, cases[i].name, true, cases[i].effective);
        snprintf(line, sizeof line, "%s\n", cases[i].assignment);
        assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", line));
        assert_describes(fixture->config, cases[i].name, true, cases[i].effective);
    }
}

static void consoul_is_a_prefix_for_every_setting(void **state)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char name[96];

        snprintf(name, sizeof name, "CONSOUL_%s", settings[i].name);
        assert_int_equal(config_find_setting(name), (int)i);
    }
    assert_int_equal(config_find_setting("CONSOUL_"), -1);
    assert_int_equal(config_find_setting("CONSOUL_CONSOUL_APP_NAME"), -1);
    assert_int_equal(config_find_setting(""), -1);
}

/* Consul's programs have one limit for all routes, so its name means all families here. */
static void consuls_default_limits_count_for_every_family_without_one_of_its_own(void **state)
{
    static const char *const families[] = {"RATE_LIMIT_AUTH", "RATE_LIMIT_CHAT",
                                           "RATE_LIMIT_HISTORY", "RATE_LIMIT_HEALTH",
                                           "RATE_LIMIT_DEFAULT"};
    struct fixture *fixture = *state;
    assert_loads(
        fixture,
        ENVIRONMENT("CONSOUL_DEFAULT_LIMITS=3/minute;500/hour", "RATE_LIMIT_CHARTS=7/second"),
        NULL);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        assert_describes(fixture->config, families[i], false, "3/minute;500/hour");
    }
    assert_describes(fixture->config, "RATE_LIMIT_CHARTS", false, "7/second");
    /* Our own name means what is left. */
    assert_loads(fixture, ENVIRONMENT("RATE_LIMIT_DEFAULT=3/minute"), NULL);
    assert_describes(fixture->config, "RATE_LIMIT_DEFAULT", false, "3/minute");
    assert_describes(fixture->config, "RATE_LIMIT_AUTH", false, "10/minute");
    assert_describes(fixture->config, "RATE_LIMIT_CHAT", false, "30/minute");
}

static void names_and_aliases_are_all_different(void **state)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct slice rest = slice_of(settings[i].aliases);
        struct slice alias;

        assert_int_equal(config_find_setting(settings[i].name), (int)i);
        while (slice_split(&rest, ' ', &alias)) {
            char name[96];

            snprintf(name, sizeof name, "%.*s", (int)alias.length, alias.data);
            if (alias.length > 0) {
                assert_int_equal(config_find_setting(name), (int)i);
            }
        }
    }
}

static void the_other_systems_files_load_unchanged(void **state)
{
    /* A charts server: comments behind values, SQLAlchemy's URL, limits as plain numbers. */
    static const char charts[] = "# Application\n"
                                 "APP_NAME=Charts Backend\n"
                                 "ENVIRONMENT=development  # or staging, production\n"
                                 "DEBUG=false\nLOG_LEVEL=INFO  # DEBUG to CRITICAL\n"
                                 "HOST=0.0.0.0\nPORT=8000\n"
                                 "CORS_ORIGINS=http://localhost:3000,http://localhost:8501\n"
                                 "SECRET_KEY=dev-secret-key-change-in-production\n"
                                 "ALGORITHM=HS256\nACCESS_TOKEN_EXPIRE_MINUTES=30\n"
                                 "ENABLE_AUTH=false\nAPI_KEY_HEADER=X-API-Key\n"
                                 "ENABLE_RATE_LIMITING=true\nRATE_LIMIT_PER_MINUTE=60\n"
                                 "RATE_LIMIT_HISTORY_PER_MINUTE=30\n"
                                 "DATABASE_URL=sqlite+aiosqlite:///./charts.db\n"
                                 "DATABASE_ECHO=false  # SQL in the log\n"
                                 "ENABLE_PERSISTENCE=false\nCHART_TTL_HOURS=24\n"
                                 "CLEANUP_INTERVAL_MINUTES=60\nWEBSOCKET_TIMEOUT_SECONDS=300\n"
                                 "ENABLE_METRICS=true\nMETRICS_PATH=/metrics\n";
    /* A chat server's deployment. */
    static const char chat[] =
        "OPENAI_API_KEY=sk-...\nGOOGLE_API_KEY=...\nOLLAMA_API_BASE=http://localhost:11434\n"
        "CONSOUL_API_KEYS=\"key-one,key-two\"\nCONSOUL_DEFAULT_LIMITS=\"30/minute;500/hour\"\n"
        "CONSOUL_RATE_LIMIT_REDIS_URL=redis://localhost:6379/1\nCONSOUL_STRATEGY=moving-window\n"
        "CONSOUL_ENABLED=true\nCONSOUL_SESSION_TTL=3600\nCONSOUL_HOST=0.0.0.0\n"
        "CONSOUL_OBSERVABILITY_OTEL_ENABLED=false\nCONSOUL_SESSION_KEY_PREFIX=consoul:session:\n"
        "REDIS_URL=redis://localhost:6379/0\n";
    /* An assistant: many providers, PostgreSQL, empty values. */
    static const char assistant[] =
        "DATABASE_URL=postgresql+asyncpg://postgres:pw@db.example:5432/postgres\n"
        "SECRET_KEY=replace_with_long_random_secret\nALGORITHM=HS256\nSENTRY_DSN=\n"
        "ENVIRONMENT=development\nANTHROPIC_API_KEY=sk-ant-REPLACE_ME\nGROQ_API_KEY=\n"
        "LM_STUDIO_BASE_URL=http://localhost:1234\nSMTP_HOST=\nSMTP_PORT=587\n"
        "GOBLIN_NODE_TIMEOUT=300\n";
    char database[128];
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", charts));
    assert_string_equal(fixture->config->app_name, "Charts Backend");
    assert_string_equal(fixture->config->log_level, "info");
    snprintf(database, sizeof database, "sqlite:%s/charts.db", fixture->directory);
    assert_string_equal(fixture->config->database_url, database);
    assert_string_equal(fixture->config->rate_limit_charts, "60/minute");
    assert_false(fixture->config->enable_auth);

    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", chat));
    assert_int_equal(fixture->config->api_keys.count, 2);
    assert_string_equal(fixture->config->rate_limit_default, "30/minute;500/hour");
    assert_string_equal(config_lookup(fixture->config, "OPENAI_API_KEY"), "sk-...");

    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", assistant));
    assert_string_equal(fixture->config->database_url,
                        "postgresql://postgres:pw@db.example:5432/postgres");
    assert_null(config_lookup(fixture->config, "GROQ_API_KEY"));
}

static void a_setting_and_its_alias_must_agree_within_a_source(void **state)
{
    struct fixture *fixture = *state;
    const char *line;

    assert_int_equal(load(fixture, ENVIRONMENT("SESSION_TTL=1", "CONSOUL_SESSION_TTL=2"), NULL),
                     STATUS_INVALID);
    assert_string_equal(buffer_text(&fixture->problem),
                        "SESSION_TTL and CONSOUL_SESSION_TTL are both set but differ "
                        "(environment)");

    assert_int_equal(
        load(fixture, NO_ENVIRONMENT,
             write_text(fixture, ".env", "ENABLE_RATE_LIMITING=false\n\nRATELIMIT_ENABLED=true\n")),
        STATUS_INVALID);
    line = buffer_text(&fixture->problem);
    assert_holds(line, "ENABLE_RATE_LIMITING and RATELIMIT_ENABLED are both set but differ");
    assert_holds(line, ".env:1)");
    assert_holds(line, ".env:3)");

    assert_int_equal(
        load(fixture, ENVIRONMENT("SECRET_KEY=" GOOD_SECRET, "CONSOUL_SECRET_KEY=" OTHER_SECRET),
             NULL),
        STATUS_INVALID);
    assert_lacks(buffer_text(&fixture->problem), "3f1c9a0b");
    assert_lacks(buffer_text(&fixture->problem), "a90b1c2d");

    /* different spellings of one value agree; so do different sources, by precedence */
    assert_loads(fixture,
                 ENVIRONMENT("RATE_LIMIT_ENABLED=no", "RATELIMIT_ENABLED=False",
                             "RATE_LIMIT_CHARTS=5/minute", "RATE_LIMIT_PER_MINUTE=5",
                             "MAX_BODY_SIZE=2M", "CONSOUL_MAX_BODY_SIZE=2048K", "SESSION_TTL=9",
                             "CONSOUL_SESSION_TTL="),
                 write_text(fixture, ".env", "CONSOUL_SESSION_TTL=10\n"));
    assert_false(fixture->config->rate_limit_enabled);
    assert_int_equal(fixture->config->session_ttl, 9);
}

/* --- Names with a provider in them ----------------------------------------------------------- */

static void provider_names_are_accepted_where_the_provider_is_known(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, NO_ENVIRONMENT,
                 write_text(fixture, "quintet.conf",
                            "GROQ_API_KEY=gsk_1\nOLLAMA_BASE_URL=http://127.0.0.1:11434\n"
                            "PROVIDER_MY_LAB_BASE_URL=https://lab.example/v1\n"
                            "PROVIDER_MY_LAB_FORMAT=anthropic\nMY_LAB_API_KEY=k\n"
                            "MY_LAB_ENABLED=false\n"));
    assert_string_equal(config_lookup(fixture->config, "MY_LAB_API_KEY"), "k");
    assert_loads(fixture, ENVIRONMENT("DEMO_ENABLED= Yes ", "OPENAI_FORMAT=OpenAI"), NULL);
    assert_string_equal(config_lookup(fixture->config, "DEMO_ENABLED"), "true");
    assert_string_equal(config_lookup(fixture->config, "OPENAI_FORMAT"), "openai");

    assert_int_equal(
        load(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", "YOUR_LAB_API_KEY=k\n")),
        STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "YOUR_LAB_API_KEY is no setting");
    assert_int_equal(load(fixture, NO_ENVIRONMENT,
                          write_text(fixture, "quintet.conf",
                                     "PROVIDER_MY_LAB_BASE_URL=http://x\n"
                                     "PROVIDER_MY_LAB_FORMAT=gopher\n")),
                     STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "is not one of openai|anthropic");
}

struct visits {
    size_t count;
    char names[256];
};

static void note_visit(const char *name, const char *value, void *context)
{
    struct visits *visits = context;

    visits->count++;
    strncat(visits->names, name, sizeof visits->names - strlen(visits->names) - 1);
    strncat(visits->names, "=", sizeof visits->names - strlen(visits->names) - 1);
    strncat(visits->names, value, sizeof visits->names - strlen(visits->names) - 1);
    strncat(visits->names, " ", sizeof visits->names - strlen(visits->names) - 1);
}

static void each_visits_matching_names_once_with_the_value_that_counts(void **state)
{
    struct fixture *fixture = *state;
    struct visits visits = {0};

    assert_loads(fixture,
                 ENVIRONMENT("PROVIDER_A_BASE_URL=http://env", "PROVIDER_=x", "PROVIDER_BASE_URL=y",
                             "PROVIDER_C_BASE_URL="),
                 write_text(fixture, ".env",
                            "PROVIDER_A_BASE_URL=http://file\nPROVIDER_B_BASE_URL=http://one\n"
                            "PROVIDER_B_BASE_URL=http://two\n"));
    config_each(fixture->config, "PROVIDER_", "_BASE_URL", note_visit, &visits);
    assert_string_equal(visits.names,
                        "PROVIDER_A_BASE_URL=http://env PROVIDER_B_BASE_URL=http://two ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(defaults_are_those_of_the_table),
        CONFIG_TEST(every_default_is_accepted_when_it_is_written_out),
        CONFIG_TEST(entries_of_the_environment_that_are_no_assignments_are_passed_over),
        CONFIG_TEST(environment_beats_file_beats_default),
        CONFIG_TEST(an_alias_in_the_environment_beats_the_name_in_the_file),
        CONFIG_TEST(a_name_that_stands_twice_in_the_environment_counts_as_getenv_reads_it),
        CONFIG_TEST(an_empty_value_counts_as_unset),
        CONFIG_TEST(types_accept_their_spellings),
        CONFIG_TEST(database_urls_are_settled_to_one_spelling),
        CONFIG_TEST(defaults_follow_the_settings_they_depend_on),
        CONFIG_TEST(every_alias_means_its_setting),
        CONFIG_TEST(consoul_is_a_prefix_for_every_setting),
        CONFIG_TEST(consuls_default_limits_count_for_every_family_without_one_of_its_own),
        CONFIG_TEST(names_and_aliases_are_all_different),
        CONFIG_TEST(the_other_systems_files_load_unchanged),
        CONFIG_TEST(a_setting_and_its_alias_must_agree_within_a_source),
        CONFIG_TEST(provider_names_are_accepted_where_the_provider_is_known),
        CONFIG_TEST(each_visits_matching_names_once_with_the_value_that_counts),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
