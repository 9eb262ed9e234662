/*
 * What config/ refuses, with which words, and the format of its file.
 */
#include "config_fixture.h"

/* --- Refusals ------------------------------------------------------------------------------- */

static const char *const bad_values[][2] = {
    {"ENVIRONMENT=prod", "is not one of development|staging|production"},
    {"DEBUG=maybe", "is neither true nor false"},
    {"LOG_LEVEL=verbose", "\"verbose\" is not one of"},
    {"ALGORITHM=none", "is not one of HS256"},
    {"ALGORITHM=RS256", "is not one of HS256"},
    {"WORKERS=0", "\"0\" is not within 1..256"},
    {"WORKERS=257", "is not within 1..256"},
    {"WORKERS=-1", "is not within 1..256"},
    {"WORKERS=8.0", "is not a whole number"},
    {"WORKERS=eight", "is not a whole number"},
    {"WORKERS=8K", "is not a whole number"},
    {"WORKERS=99999999999999999999", "is not a whole number"},
    {"MAX_BODY_SIZE=1T", "is not a size"},
    {"MAX_BODY_SIZE=K", "is not a size"},
    {"MAX_BODY_SIZE=9223372036854775807G", "is not a size"},
    {"MAX_BODY_SIZE=2G", "is not within 1K..1G"},
    {"CHUNK_SIZE_THRESHOLD=99", "is not within 100..10000"},
    {"CHUNK_SIZE_THRESHOLD=10001", "is not within 100..10000"},
    {"APP_NAME=a\nb", "control character"},
    {"APP_NAME=\xff", "not valid UTF-8"},
    {"API_KEYS=[\"key1\"", "is not a valid JSON array"},
    {"API_KEYS={\"key1\":1}", "is JSON, but not an array"},
    {"API_KEYS=[1]", "is not a string in a JSON array"},
    {"API_KEYS=[\"\"]", "is an empty string in a JSON array"},
    {"API_KEYS=[\"a\"] x", "is not a valid JSON array"},
    {"API_KEYS=two words", "spaces"},
    {"API_KEY_TIERS=premium", "is not a JSON object"},
    {"API_KEY_TIERS={\"a\":1}", "has a value that is not a string"},
    {"API_KEY_TIERS={\"a\":\"x\",\"a\":\"y\"}", "distinct names"},
    {"RATE_LIMIT_TIERS=[]", "is not a JSON object"},
    {"RATE_LIMIT_TIERS={\"a\":\"1/minute\"", "is not a JSON object"},
    {"RATE_LIMIT_CHAT=[]", "holds no limit"},
    {"RATE_LIMIT_CHARTS=10/fortnight", "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_AUTH=0/minute", "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_HEALTH=10/minute;", "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_HISTORY=[\"1/second\",\"lots\"]", "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_DEFAULT=1/s;1/s;1/s;1/s;1/s;1/s;1/s;1/s;1/s", "is not a rate limit"},
    {"CONSOUL_DEFAULT_LIMITS=many per day", "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_TIERS={\"a\":\"1/minute\",\"b\":\"lots\"}",
     "is not a rate limit such as 10/minute"},
    {"RATE_LIMIT_CHAT=[\"1/second\\n\",\"5\\t/minute\"]", "holds a control character"},
    {"RATE_LIMIT_STRATEGY=leaky", "is not one of moving-window|fixed-window|gcra"},
    {"RATE_LIMIT_TRUSTED_CIDRS=10.0.0.0/33", "is not an IP address or network"},
    {"RATE_LIMIT_PER_MINUTE=many", "is not a whole number above 0"},
    {"RATE_LIMIT_PER_MINUTE=0", "is not a whole number above 0"},
    {"TRUSTED_PROXIES=10.0.0.256", "is not an IP address or network"},
    {"TRUSTED_PROXIES=proxy.example", "is not an IP address or network"},
    {"TRUSTED_PROXIES=::1/129", "is not an IP address or network"},
    {"CORS_ORIGINS=https://a.example/path", "is not an origin"},
    {"CORS_ORIGINS=a.example", "is not an origin"},
    {"CORS_ORIGINS=https://", "is not an origin"},
    {"CORS_ORIGINS=https://a.example:99999", "is not an origin"},
    {"CORS_ORIGINS=https://*.example.com", "is not an origin"},
    {"CORS_ORIGINS=[\"https://a.example\"", "is not a valid JSON array"},
    {"CORS_ALLOW_METHODS=GET POST", "is not a name as HTTP allows it"},
    {"API_KEY_HEADER=X API Key", "is not a name as HTTP allows it"},
    {"API_KEY_HEADER=X-Key:", "is not a name as HTTP allows it"},
    {"ALLOWED_HOSTS=example.com:8080", "is not a host name"},
    {"ALLOWED_HOSTS=a/b", "is not a host name"},
    {"API_PREFIXES=api/v1", "is not a path that begins"},
    {"API_PREFIXES=/api/", "is not a path that begins"},
    {"AUTH_BYPASS_PATHS=health", "is not a path that begins with '/'"},
    {"METRICS_PATH=metrics", "is not a path that begins with '/'"},
    {"METRICS_ALIASES=consul", "is not one of consoul"},
    {"METRICS_PORT=65536", "is not within 0..65535"},
    {"HTTPS_REDIRECT=sometimes", "is not one of auto|true|false"},
    {"HEALTH_SERVICES=chroma", "is not of the form NAME=URL"},
    {"HEALTH_SERVICES=chroma=ftp://h", "has no URL with http"},
    {"HEALTH_SERVICES=a/b=http://h", "is not the name of a service"},
    {"HEALTH_SERVICES==http://h", "is not the name of a service"},
    {"HEALTH_SERVICES=a=tcp://", "has no URL with http"},
    {"DEFAULT_PROVIDER=open ai", "is not the name of a provider"},
    {"DATABASE_URL=oracle://h/d", "is not a sqlite, postgresql or mysql URL"},
    {"DATABASE_URL=quintet.db", "is not a database URL"},
    {"DATABASE_URL=sqlite://", "needs three slashes"},
    {"DATABASE_URL=sqlite://host/x.db", "needs three slashes"},
    {"DATABASE_URL=sqlite:///", "names no file"},
    {"DATABASE_URL=sqlite+aiosqlite:///:memory:", "names no file"},
    {"OPENAI_BASE_URL=localhost:1234", "is not an http or https URL"},
    {"OPENAI_ENABLED=perhaps", "is neither true nor false"},
    {"OPENAI_API_KEY=sk-a\r\nX-Evil: 1", "holds a control character"},
};

static void a_bad_value_refuses_with_one_line_that_names_it(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(bad_values); i++) {
        const char *line;
        char name[64];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(bad_values[i][0], "="), bad_values[i][0]);
        if (load(fixture, ENVIRONMENT(bad_values[i][0]), NULL) != STATUS_INVALID) {
            fail_msg("%s was accepted", bad_values[i][0]);
        }
        assert_null(fixture->config);
        line = buffer_text(&fixture->problem);
        assert_one_line(line);
        assert_int_equal(strncmp(line, name, strlen(name)), 0);
        assert_holds(line, bad_values[i][1]);
        assert_holds(line, "(environment)");
    }
}

static void a_bad_value_in_a_file_is_named_with_file_and_line(void **state)
{
    struct fixture *fixture = *state;
    const char *file =
        write_text(fixture, "quintet.conf", "# one\n\nAPP_NAME=x\nWORKERS=none # four\n");
    char place[160];

    snprintf(place, sizeof place, "(%s:4)", file);
    assert_int_equal(load(fixture, NO_ENVIRONMENT, file), STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "WORKERS \"none\" is not a whole number");
    assert_holds(buffer_text(&fixture->problem), place);
}

static void a_refusal_names_the_alias_and_its_setting(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load(fixture, ENVIRONMENT("CONSOUL_STRATEGY=best"), NULL), STATUS_INVALID);
    assert_int_equal(strncmp(buffer_text(&fixture->problem),
                             "CONSOUL_STRATEGY (RATE_LIMIT_STRATEGY) \"best\"",
                             strlen("CONSOUL_STRATEGY (RATE_LIMIT_STRATEGY) \"best\"")),
                     0);
}

static void a_bad_value_that_does_not_count_is_no_reason_to_refuse(void **state)
{
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("WORKERS=2"),
                 write_text(fixture, "quintet.conf", "WORKERS=none\n"));
    assert_int_equal(fixture->config->workers, 2);
}

static void quintet_conf_refuses_unknown_names_and_suggests_the_nearest(void **state)
{
    struct fixture *fixture = *state;
    const char *line;

    assert_int_equal(load(fixture, NO_ENVIRONMENT,
                          write_text(fixture, "quintet.conf", "RATE_LIMIT_ATUH=1/minute\n")),
                     STATUS_INVALID);
    line = buffer_text(&fixture->problem);
    assert_holds(line, "RATE_LIMIT_ATUH is no setting; did you mean RATE_LIMIT_AUTH?");
    assert_holds(line, "quintet.conf:1)");

    assert_int_equal(
        load(fixture, NO_ENVIRONMENT, write_text(fixture, "site.conf", "XYZZY=hunter2hunter2\n")),
        STATUS_INVALID);
    line = buffer_text(&fixture->problem);
    assert_holds(line, "XYZZY is no setting");
    assert_lacks(line, "hunter2");
    assert_lacks(line, "did you mean");
}

static void dot_env_passes_over_the_names_of_other_programs(void **state)
{
    struct fixture *fixture = *state;
    static const char *const files[] = {".env", ".env.local", "site.env"};

    for (size_t i = 0; i < COUNT(files); i++) {
        assert_loads(fixture, NO_ENVIRONMENT,
                     write_text(fixture, files[i],
                                "SMTP_HOST=mail.example\nREDIS_URL=redis://x\nGOOGLE_CLIENT_ID=1\n"
                                "POSTGRES_USER=u\nDB_POOL_SIZE=5\nVITE_MOCK=1\nWORKERS=2\n"));
        assert_int_equal(fixture->config->workers, 2);
    }
}

static void a_name_given_twice_counts_last_in_dot_env_and_refuses_in_quintet_conf(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "WORKERS=2\nWORKERS=3\n";

    assert_loads(fixture, NO_ENVIRONMENT, write_text(fixture, ".env", text));
    assert_int_equal(fixture->config->workers, 3);
    assert_int_equal(load(fixture, NO_ENVIRONMENT, write_text(fixture, "quintet.conf", text)),
                     STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "WORKERS is set twice with different values");
    assert_holds(buffer_text(&fixture->problem), "quintet.conf:2)");
}

static void a_file_that_cannot_be_read_refuses(void **state)
{
    struct fixture *fixture = *state;
    char *large = malloc(1024 * 1024 + 2);
    char missing[sizeof fixture->directory + 32];
    char expected[sizeof missing + 64];

    assert_non_null(large);
    snprintf(missing, sizeof missing, "%s/unmade/quintet.conf", fixture->directory);
    snprintf(expected, sizeof expected, "%s: the configuration file does not exist", missing);
    assert_int_equal(load(fixture, NO_ENVIRONMENT, missing), STATUS_INVALID);
    assert_string_equal(buffer_text(&fixture->problem), expected);
    memset(large, '\n', 1024 * 1024 + 1);
    assert_int_equal(
        load(fixture, NO_ENVIRONMENT, write_bytes(fixture, "quintet.conf", large, 1024 * 1024 + 1)),
        STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), "larger than 1 MiB");
    assert_loads(fixture, NO_ENVIRONMENT, write_bytes(fixture, "quintet.conf", large, 1024 * 1024));
    free(large);
}

/* --- The file's format ---------------------------------------------------------------------- */

static void the_file_format_reads_what_other_programs_write(void **state)
{
    static const struct {
        const char *text;
        const char *name; /* NULL: no assignment */
        const char *value;
    } cases[] = {
        {"A=b", "A", "b"},
        {"A=b\r\n", "A", "b"},
        {"\xEF\xBB\xBF"
         "A=b\n",
         "A", "b"},
        {"  A = b c \t\n", "A", "b c"},
        {"export A=b\n", "A", "b"},
        {"export\tA=b\n", "A", "b"},
        {"export=b\n", "export", "b"},
        {"_a1=b", "_a1", "b"},
        {"A=\n", "A", ""},
        {"A=b # comment\n", "A", "b"},
        {"A=b#c\n", "A", "b#c"},
        {"A=b # c # d\n", "A", "b"},
        {"A=b\t#c #d\n", "A", "b"},
        {"zZ_09=b\n", "zZ_09", "b"},
        {"export \t A=b\n", "A", "b"},
        {"A='b' # c # d\n", "A", "b"},
        {"A=#c\n", "A", ""},
        {"A=b=c=\n", "A", "b=c="},
        {"A='b # \\n \"c'\n", "A", "b # \\n \"c"},
        {"A=\"b # \\\"c\\\" \\\\ \\$d\\n\\t\\r\"  # comment\n", "A", "b # \"c\" \\ $d\n\t\r"},
        {"A=\"\\x \\'\"\n", "A", "\\x \\'"},
        {"A=\"\"\n", "A", ""},
        {"A=${B}$(id)`id`\n", "A", "${B}$(id)`id`"},
        {"A=b'c\"d\n", "A", "b'c\"d"},
        {"A=\xC3\xA9\n", "A", "\xC3\xA9"},
        {"", NULL, NULL},
        {"\n\r\n  \n# A=b\n\t# x\n", NULL, NULL},
    };
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config_file_parser parser;
        struct config_assignment out;
        enum status status;

        config_file_start(&parser, slice_of(cases[i].text));
        status = config_file_next(&parser, &arena, &out);
        if (cases[i].name == NULL) {
            assert_int_equal(status, STATUS_NOT_FOUND);
            continue;
        }
        if (status != STATUS_OK) {
            fail_msg("%s: %s", cases[i].text, parser.problem);
        }
        assert_string_equal(out.name, cases[i].name);
        assert_string_equal(out.value, cases[i].value);
        assert_int_equal(config_file_next(&parser, &arena, &out), STATUS_NOT_FOUND);
    }
    arena_destroy(&arena);
}

static enum status parse_first(struct slice text, struct arena *arena,
                               struct config_assignment *out)
{
    struct config_file_parser parser;

    arena_reset(arena);
    config_file_start(&parser, text);
    return config_file_next(&parser, arena, out);
}

/* Of the same bytes, once at the end of their memory and once with more behind them. */
static void what_stands_behind_the_text_is_not_read(void **state)
{
    static const char *const texts[] = {"export  AB=b c #d", "A=\"b\\n${C}\" # d", "A='b c'  #d",
                                        "A=$(b) ${C} \\${D}"};
    struct arena arenas[2];

    (void)state;
    arena_init(&arenas[0], 65536);
    arena_init(&arenas[1], 65536);
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t length = 0; length <= strlen(texts[i]); length++) {
            char *alone = malloc(length + 1);
            struct config_assignment out[2] = {{0}, {0}};

            assert_non_null(alone);
            memcpy(alone, texts[i], length);
            alone[length] = '\xff';
            enum status status = parse_first((struct slice){alone, length}, &arenas[0], &out[0]);
            assert_int_equal(parse_first((struct slice){texts[i], length}, &arenas[1], &out[1]),
                             status);
            if (status == STATUS_OK) {
                assert_string_equal(out[0].name, out[1].name);
                assert_string_equal(out[0].value, out[1].value);
                assert_int_equal(out[0].is_unexpanded, out[1].is_unexpanded);
            }
            free(alone);
        }
    }
    arena_destroy(&arenas[0]);
    arena_destroy(&arenas[1]);
}

static void what_a_shell_would_expand_is_marked(void **state)
{
    static const struct {
        const char *text;
        bool is_marked;
    } lines[] = {
        {"A=${B}", true},        {"A=$(b)", true},        {"A=x${B", true},
        {"A=${_}", true},        {"A=$B", false},         {"A=${1}", false},
        {"A=${}", false},        {"A=${", false},         {"A=$", false},
        {"A=$(", true},          {"A=\\${B}", false},     {"A=\\$(b)", false},
        {"A='${B}'", false},     {"A=\"${B}\"", true},    {"A=\"x $(b)\"", true},
        {"A=\"\\${B}\"", false}, {"A=\"\\x${B}\"", true}, {"A=\"${1}\"", false},
        {"A=${B} c", true},      {"A=c # ${B}", false},   {"A=${B}\\", true},
    };
    struct config_assignment out;
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_int_equal(parse_first(slice_of(lines[i].text), &arena, &out), STATUS_OK);
        if (out.is_unexpanded != lines[i].is_marked) {
            fail_msg("%s", lines[i].text);
        }
    }
    arena_destroy(&arena);
}

static void a_line_without_room_for_it_is_neither_taken_nor_refused(void **state)
{
    static const char *const lines[] = {"A=b", "export AB='c d'", "A=\"b\\n\""};

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        enum status status = STATUS_NO_MEMORY;

        for (size_t room = 0; status == STATUS_NO_MEMORY; room++) {
            struct config_assignment out;
            struct arena arena;

            assert_true(room < 4096);
            arena_init(&arena, room);
            status = parse_first(slice_of(lines[i]), &arena, &out);
            arena_destroy(&arena);
        }
        assert_int_equal(status, STATUS_OK);
    }
}

static void a_malformed_line_refuses_with_file_and_line(void **state)
{
    static const struct {
        const char *text;
        size_t length; /* 0: as C string */
        const char *problem;
    } cases[] = {
        {"A=1\nhunter2\n", 0, ":2: there is no '=' behind the name"},
        {"A=1\n\n=hunter2\n", 0, ":3: the line does not begin with a name"},
        {"1A=hunter2\n", 0, ":1: the line does not begin with a name"},
        {"A B=hunter2\n", 0, ":1: there is no '=' behind the name"},
        {"A-B=hunter2\n", 0, ":1: there is no '=' behind the name"},
        {"export\n", 0, ":1: there is no '=' behind the name"},
        {"export \n", 0, ":1: the line does not begin with a name"},
        {"A=\"hunter2\n", 0, ":1: a quote is not closed"},
        {"A='hunter2\nB=1'\n", 0, ":1: a quote is not closed"},
        {"A=\"hunter2\\\"\n", 0, ":1: a quote is not closed"},
        {"A=\"a\" hunter2\n", 0, ":1: there is text behind the closing quote"},
        {"A=hunter2\xff\n", 0, ":1: the line is not valid UTF-8"},
        {"# \xc3\n", 0, ":1: the line is not valid UTF-8"},
        {"A=1\nB=\0\n", 8, ":2: the line holds a NUL byte"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);
        const char *line;

        assert_int_equal(
            load(fixture, NO_ENVIRONMENT, write_bytes(fixture, ".env", cases[i].text, length)),
            STATUS_INVALID);
        line = buffer_text(&fixture->problem);
        assert_one_line(line);
        assert_holds(line, fixture->path);
        assert_holds(line, cases[i].problem);
        assert_lacks(line, "hunter2");
    }
}

static void a_line_may_have_65536_bytes_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    char *line = malloc(65538);

    assert_non_null(line);
    memset(line, 'x', 65538);
    line[0] = 'A';
    line[1] = '=';
    line[65536] = '\n';
    assert_loads(fixture, NO_ENVIRONMENT, write_bytes(fixture, ".env", line, 65537));
    line[65536] = 'x';
    line[65537] = '\n';
    assert_int_equal(load(fixture, NO_ENVIRONMENT, write_bytes(fixture, ".env", line, 65538)),
                     STATUS_INVALID);
    assert_holds(buffer_text(&fixture->problem), ":1: the line is longer than 65536 bytes");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(a_bad_value_refuses_with_one_line_that_names_it),
        CONFIG_TEST(a_bad_value_in_a_file_is_named_with_file_and_line),
        CONFIG_TEST(a_refusal_names_the_alias_and_its_setting),
        CONFIG_TEST(a_bad_value_that_does_not_count_is_no_reason_to_refuse),
        CONFIG_TEST(quintet_conf_refuses_unknown_names_and_suggests_the_nearest),
        CONFIG_TEST(dot_env_passes_over_the_names_of_other_programs),
        CONFIG_TEST(a_name_given_twice_counts_last_in_dot_env_and_refuses_in_quintet_conf),
        CONFIG_TEST(a_file_that_cannot_be_read_refuses),
        CONFIG_TEST(the_file_format_reads_what_other_programs_write),
        CONFIG_TEST(what_stands_behind_the_text_is_not_read),
        CONFIG_TEST(what_a_shell_would_expand_is_marked),
        CONFIG_TEST(a_line_without_room_for_it_is_neither_taken_nor_refused),
        CONFIG_TEST(a_malformed_line_refuses_with_file_and_line),
        CONFIG_TEST(a_line_may_have_65536_bytes_and_no_more),
    };
    return cmocka_run_group_tests_name("config refusals", tests, NULL, NULL);
}
