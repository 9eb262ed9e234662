/*
 * Where config/ looks for settings, and its messages about names: files and variables, the nearest
 * setting, and descriptions that do not fit.
 */
#include "config_fixture.h"

/* --- Names that are nearly right -------------------------------------------------------------- */

static void the_nearest_name_is_suggested_if_it_is_near(void **state)
{
    static const char *const near_names[][2] = {
        {"WORKERS", "WORKERS"},
        {"WORKER", "WORKERS"},
        {"WORKERSS", "WORKERS"},
        {"WORKRES", NULL},
        {"WORKEXS", "WORKERS"},
        {"XORKERS", "WORKERS"},
        {"QUEUE_SIZZ", "QUEUE_SIZE"},
        {"QUEUE_ZISE", "QUEUE_SIZE"},
        {"QEUUE_ZISE", NULL},
        {"RATE_LIMIT_HIST", "RATE_LIMIT_CHAT"},
        {"xxxx_BODY_SIZE", NULL},
        {"", NULL},
        {"MAX_BODY_SI", "MAX_BODY_SIZE"},
        {"XX_BODY_SIZ", NULL},
        {"XMAX_BODY_SIZEXX", "MAX_BODY_SIZE"},
        {"XXMAX_BODY_SIZEXX", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(near_names); i++) {
        const char *found = config_suggest_name(near_names[i][0]);

        if (found == NULL || near_names[i][1] == NULL ? found != near_names[i][1]
                                                      : strcmp(found, near_names[i][1]) != 0) {
            fail_msg("%s: %s", near_names[i][0], found != NULL ? found : "nothing");
        }
    }
    assert_null(config_suggest_name("WORKERSWORKERSWORKERSWORKERSWORKERSWORKERSWORKERSX"));
}

/* --- Sources ---------------------------------------------------------------------------------- */

static void a_variable_is_found_by_its_whole_name(void **state)
{
    const char *const environment[] = {"AB=1", "A=2", "A=3", "B=", NULL};

    (void)state;
    assert_string_equal(config_find_variable(environment, "A"), "2");
    assert_string_equal(config_find_variable(environment, "AB"), "1");
    assert_string_equal(config_find_variable(environment, "B"), "");
    assert_string_equal(config_find_variable(environment, "C"), "");
}

static void files_are_sought_where_the_suite_was_started(void **state)
{
    struct fixture *fixture = *state;
    struct config_files *files = malloc(sizeof *files);
    char path[128];

    assert_non_null(files);
    write_text(fixture, ".env", "");
    config_find_files(files, fixture->directory, "");
    assert_int_equal(files->count, 1);
    assert_string_equal(files->names[0], fixture->path);
    write_text(fixture, "quintet.conf", "");
    config_find_files(files, fixture->directory, "");
    assert_int_equal(files->count, 2);
    assert_string_equal(files->names[0], fixture->path);
    snprintf(path, sizeof path, "%s/.env", fixture->directory);
    assert_string_equal(files->names[1], path);
    /* One that is named stands in for both, whether it is there or not. */
    config_find_files(files, fixture->directory, "other");
    assert_int_equal(files->count, 1);
    snprintf(path, sizeof path, "%s/other", fixture->directory);
    assert_string_equal(files->names[0], path);
    config_find_files(files, fixture->directory, "/etc/other");
    assert_string_equal(files->names[0], "/etc/other");
    config_find_files(files, "", "other");
    assert_string_equal(files->names[0], "other");
    free(files);
}

static void a_path_that_is_too_long_names_no_file(void **state)
{
    struct config_files *files = malloc(sizeof *files);
    char name[PATH_MAX + 1];

    (void)state;
    assert_non_null(files);
    memset(name, 'x', sizeof name);
    name[PATH_MAX] = '\0';
    config_find_files(files, "", name);
    assert_int_equal(files->count, 0);
    config_find_files(files, name, "");
    assert_int_equal(files->count, 0);
    name[PATH_MAX - 1] = '\0';
    config_find_files(files, "", name);
    assert_int_equal(files->count, 1);
    assert_string_equal(files->names[0], name);
    free(files);
}

static void what_does_not_fit_is_not_described(void **state)
{
    static const char *const names[] = {"APP_NAME", "WORKERS", "CORS_ORIGINS", "GROQ_API_KEY"};
    struct fixture *fixture = *state;

    assert_loads(fixture, ENVIRONMENT("GROQ_API_KEY=gsk"), NULL);
    for (size_t i = 0; i < COUNT(names); i++) {
        enum config_source source;
        struct buffer text;

        buffer_init(&text, 0);
        assert_int_equal(config_describe(fixture->config, names[i], true, &text, &source),
                         STATUS_TOO_LARGE);
        buffer_release(&text);
    }
}

static void what_is_nowhere_is_not_described(void **state)
{
    struct fixture *fixture = *state;
    enum config_source source;
    struct buffer text;

    buffer_init(&text, 1024);
    assert_loads(fixture, ENVIRONMENT("NONSENSE=1", "NONSENSE_API_KEY=1"), NULL);
    assert_int_equal(config_describe(fixture->config, "NONSENSE", true, &text, &source),
                     STATUS_NOT_FOUND);
    assert_int_equal(config_describe(fixture->config, "NONSENSE_API_KEY", true, &text, &source),
                     STATUS_NOT_FOUND);
    assert_int_equal(config_describe(fixture->config, "GROQ_API_KEY", true, &text, &source),
                     STATUS_NOT_FOUND);
    assert_int_equal(text.length, 0);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(the_nearest_name_is_suggested_if_it_is_near),
        CONFIG_TEST(a_variable_is_found_by_its_whole_name),
        CONFIG_TEST(files_are_sought_where_the_suite_was_started),
        CONFIG_TEST(a_path_that_is_too_long_names_no_file),
        CONFIG_TEST(what_does_not_fit_is_not_described),
        CONFIG_TEST(what_is_nowhere_is_not_described),
    };
    return cmocka_run_group_tests_name("config sources", tests, NULL, NULL);
}
