/*
 * The kinds of settings, each at its edges: which texts are accepted and in which normal form, which
 * are refused and in which words; and what happens when memory runs out.
 */
#include "config_fixture.h"

struct kind_case {
    const char *bounds;
    const char *text;
    const char *normal; /* NULL: refused, with the phrase of its rule */
};

#define A63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A255 A63 A63 A63 A63 "aaa"
#define A512 A255 A255 "aa"

static const struct kind_case cases[] = {
    {"", "a b", "a b"},
    {"", "", ""},
    {"", "~", "~"},
    {"", "\xC3\xA9", "\xC3\xA9"},
    {"", "a\x1f", NULL},
    {"", "a\x7f", NULL},
    {"", "\xff", NULL},
    {"one|Two", "ONE", "one"},
    {"one|Two", "two", "Two"},
    {"one|Two", "tw", NULL},
    {"one|Two", "twoo", NULL},
    {"one|Two", "one|two", NULL},
    {"one|Two", "", NULL},
    {"<token>", "azAZ09!#$%&'*+-.^_`|~", "azAZ09!#$%&'*+-.^_`|~"},
    {"<token>", "a b", NULL},
    {"<token>", "a(", NULL},
    {"<token>", "a/b", NULL},
    {"<token>", "a:b", NULL},
    {"<token>", "a@b", NULL},
    {"<token>", "a[b", NULL},
    {"<token>", "a{b", NULL},
    {"<key>", "!~", "!~"},
    {"<key>", A512, A512},
    {"<key>", A512 "a", NULL},
    {"<key>", "a b", NULL},
    {"<key>", "\xC3\xA9", NULL},
    {"<key>", "", NULL},
    {"<provider>", "aZ09_-", "az09_-"},
    {"<provider>", "AZ", "az"},
    {"<provider>", "a.b", NULL},
    {"<provider>", "a@b", NULL},
    {"<provider>", "a[b", NULL},
    {"<provider>", "a`b", NULL},
    {"<provider>", "a{b", NULL},
    {"<provider>", "a/b", NULL},
    {"<provider>", "a:b", NULL},
    {"<boolean>", "On", "true"},
    {"<boolean>", "no", "false"},
    {"<boolean>", "2", NULL},
    {"<route>", "/", "/"},
    {"<route>", "/a/", "/a/"},
    {"<route>", "a", NULL},
    {"<route>", "/a b", NULL},
    {"<route>", "", NULL},
    {"<path>", "x", "x"},
    {"<path>", "two words", "two words"},
    {"<path>", "", NULL},
    {"<prefix>", "/a", "/a"},
    {"<prefix>", "/", NULL},
    {"<prefix>", "a", NULL},
    {"<prefix>", "/a/", NULL},
    {"<prefix>", "", NULL},
    {"<host>", "*", "*"},
    {"<host>", "*.Example.com", "*.example.com"},
    {"<host>", "a-b_c.d9", "a-b_c.d9"},
    {"<host>", "[::1]", "[::1]"},
    {"<host>", "[AB::1.2.3.4]", "[ab::1.2.3.4]"},
    {"<host>", A255, A255},
    {"<host>", A255 "a", NULL},
    {"<host>", "*.", NULL},
    {"<host>", "**", NULL},
    {"<host>", "*.*", NULL},
    {"<host>", "[]", NULL},
    {"<host>", "[::1", NULL},
    {"<host>", "[::1]x", NULL},
    {"<host>", "[a_b]", NULL},
    {"<host>", "::1", NULL},
    {"<host>", "a:80", NULL},
    {"<host>", "a b", NULL},
    {"<host>", "", NULL},
    {"<bind>", "127.0.0.1", "127.0.0.1"},
    {"<bind>", "Localhost", "Localhost"},
    {"<bind>", "::1", "::1"},
    {"<bind>", "[::1]", "[::1]"},
    {"<bind>", ":::1", NULL},
    {"<bind>", "a b", NULL},
    {"<cidr>", "10.0.0.1", "10.0.0.1"},
    {"<cidr>", "10.0.0.0/0", "10.0.0.0/0"},
    {"<cidr>", "10.0.0.0/32", "10.0.0.0/32"},
    {"<cidr>", "FD00::/128", "fd00::/128"},
    {"<cidr>", "10.0.0.0/33", NULL},
    {"<cidr>", "10.0.0.0/-1", NULL},
    {"<cidr>", "10.0.0.0/", NULL},
    {"<cidr>", "10.0.0.0/8/8", NULL},
    {"<cidr>", "fd00::/129", NULL},
    {"<cidr>", "/8", NULL},
    {"<cidr>", "", NULL},
    {"<origin>", "*", "*"},
    {"<origin>", "null", "null"},
    {"<origin>", "HTTP://A.Example", "http://a.example"},
    {"<origin>", "http://a.example:80/", "http://a.example"},
    {"<origin>", "http://a.example:443", "http://a.example:443"},
    {"<origin>", "https://a.example:80", "https://a.example:80"},
    {"<origin>", "https://a.example:443", "https://a.example"},
    {"<origin>", "https://a.example:1", "https://a.example:1"},
    {"<origin>", "https://a.example:65535", "https://a.example:65535"},
    {"<origin>", "https://[::1]:8080/", "https://[::1]:8080"},
    {"<origin>", "app+x-1.y://a1", "app+x-1.y://a1"},
    {"<origin>", "https://a.example:0", NULL},
    {"<origin>", "https://a.example:65536", NULL},
    {"<origin>", "https://a.example:", NULL},
    {"<origin>", "https://:80", NULL},
    {"<origin>", "https://a.example//", NULL},
    {"<origin>", "1https://a.example", NULL},
    {"<origin>", "+a://a.example", NULL},
    {"<origin>", "://a.example", NULL},
    {"<origin>", "https:/a.example", NULL},
    {"<origin>", "https://", NULL},
    {"<origin>", "https:///", NULL},
    {"<url>", "HTTP://h", "HTTP://h"},
    {"<url>", "https://h/p?q", "https://h/p?q"},
    {"<url>", "http:///h", NULL},
    {"<url>", "http://", NULL},
    {"<url>", "ftp://h", NULL},
    {"<url>", "http://a b", NULL},
    {"<url>", "", NULL},
    {"<redis>", "redis://h:6379/0", "redis://h:6379/0"},
    {"<redis>", "REDISS://h", "REDISS://h"},
    {"<redis>", "unix://r", "unix://r"},
    {"<redis>", "redis://", NULL},
    {"<redis>", "http://h", NULL},
    {"<redis>", "redis://a b", NULL},
    {"<service>", "a-b_c.D9=http://h", "a-b_c.D9=http://h"},
    {"<service>", "a=https://h", "a=https://h"},
    {"<service>", "a=tcp://h:1", "a=tcp://h:1"},
    {"<service>", "a=unix:/s", "a=unix:/s"},
    {"<service>", "a=redis://h", "a=redis://h"},
    {"<service>", "a=postgresql://h", "a=postgresql://h"},
    {"<service>", "a=postgres://h", "a=postgres://h"},
    {"<service>", "a=unix:", NULL},
    {"<service>", "a=", NULL},
    {"<service>", "a", NULL},
    {"<service>", "=http://h", NULL},
    {"<service>", "a b=http://h", NULL},
    {"<service>", "a@=http://h", NULL},
    {"<service>", "@a=http://h", NULL},
    {"<service>", "a=http://h h", NULL},
    {"<database>", "sqlite:q", "sqlite:q"},
    {"<database>", "sqlite:/q", "sqlite:/q"},
    {"<database>", "sqlite:///q?x=1", "sqlite:q"},
    {"<database>", "sqlite://///q", "sqlite:/q"},
    {"<database>", "sqlite:q?x", "sqlite:q?x"},
    {"<database>", "sqlite:", NULL},
    {"<database>", "sqlite::memory:", NULL},
    {"<database>", "sqlite:///?x", NULL},
    {"<database>", "sqlite://q", NULL},
    {"<database>", ":q", NULL},
    {"<database>", "", NULL},
    {"<database>", "postgres+x://h/d", "postgresql://h/d"},
    {"<database>", "postgres:h", NULL},
    {"<database>", "mariadb://h", "mysql://h"},
    {"<duration>", "30", "30"},
    {"<duration>", "1h2m3s4ms", "1h2m3s4ms"},
    {"<duration>", "500ms", "500ms"},
    {"<duration>", "11111111111111111111111111111111", "11111111111111111111111111111111"},
    {"<duration>", "111111111111111111111111111111111", NULL},
    {"<duration>", "s", NULL},
    {"<duration>", "1m30", NULL},
    {"<duration>", "1m s", NULL},
    {"<duration>", "1d", NULL},
    {"<duration>", "", NULL},
    {"<limit>", "1/minute", "1/minute"},
    {"<limit>", "[\"1/second\"]", "1/second"},
    {"<limit>", "[\"1/second\", \"2/minute\",\"3/hour\"]", "1/second;2/minute;3/hour"},
    {"<limit>", "[]", NULL},
    {"<limit>", "[\"[\\\"1/second\\\"]\"]", NULL},
    {"<limit>", "often", NULL},
    {"<limit>", "[\"often\"]", NULL},
    {"<budget>", "1.50/day;10/month", "1.50/day;10/month"},
    {"<budget>", "lots", NULL},
};

/* The phrase that refuses a text of each kind, where it is the same for all texts. */
static const char *const phrases[][2] = {
    {"one|Two", "is not one of one|Two"},
    {"<token>", "is not a name as HTTP allows it"},
    {"<key>", "holds a key that is empty, longer than 512 bytes, or has spaces or bytes beyond "
              "ASCII in it"},
    {"<provider>", "is not the name of a provider"},
    {"<boolean>", "is neither true nor false"},
    {"<route>", "is not a path that begins with '/'"},
    {"<path>", "is not a path"},
    {"<prefix>", "is not a path that begins but does not end with '/'"},
    {"<host>", "is not a host name without port, *.name or *"},
    {"<bind>", "is not an address or a name to listen on"},
    {"<cidr>", "is not an IP address or network (10.0.0.0/8)"},
    {"<origin>", "is not an origin (https://app.example.com) or *"},
    {"<url>", "is not an http or https URL"},
    {"<redis>", "is not a redis, rediss or unix URL"},
    {"<duration>", "is not a time such as 30s or 1m30s"},
    {"<budget>", "is not a budget such as 1.50/day;10/month"},
    {"", "holds a control character or is not valid UTF-8"},
};

static enum status check(const struct kind_case *each, size_t room, const char **out,
                         struct config_problem *problem, struct arena *arena)
{
    arena_init(arena, room);
    *out = NULL;
    return config_check_text(each->bounds, arena, slice_of(each->text), out, problem);
}

static void each_kind_takes_its_texts_in_one_normal_form_and_refuses_all_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct kind_case *each = &cases[i];
        struct config_problem problem = {{NULL, 0}, NULL};
        struct arena arena;
        const char *out;
        enum status status = check(each, 65536, &out, &problem, &arena);

        if (status != (each->normal != NULL ? STATUS_OK : STATUS_INVALID)) {
            fail_msg("%s of \"%s\": %s", each->bounds, each->text, status_text(status));
        }
        if (each->normal != NULL) {
            assert_string_equal(out, each->normal);
        }
        for (size_t k = 0; k < COUNT(phrases) && each->normal == NULL; k++) {
            if (strcmp(phrases[k][0], each->bounds) == 0) {
                assert_string_equal(problem.phrase, phrases[k][1]);
                assert_int_equal(problem.culprit.length, strlen(each->text));
            }
        }
        arena_destroy(&arena);
    }
}

static void a_text_without_room_for_it_is_neither_taken_nor_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct kind_case *each = &cases[i];
        enum status end = each->normal != NULL ? STATUS_OK : STATUS_INVALID;
        enum status status = STATUS_NO_MEMORY;

        for (size_t room = 0; status == STATUS_NO_MEMORY; room++) {
            struct config_problem problem;
            struct arena arena;
            const char *out;

            assert_true(room < 65536);
            status = check(each, room, &out, &problem, &arena);
            if (status != STATUS_NO_MEMORY && status != end) {
                fail_msg("%s of \"%s\" in %zu bytes: %s", each->bounds, each->text, room,
                         status_text(status));
            }
            if (status == STATUS_OK) {
                assert_string_equal(out, each->normal);
            }
            arena_destroy(&arena);
        }
    }
}

static void every_kind_has_words_for_it(void **state)
{
    static const char *const words[][2] = {
        {"<bind>", "address or name"},
        {"<boolean>", "true or false"},
        {"<budget>", "budget in US dollars"},
        {"<cidr>", "address or network"},
        {"<database>", "database URL"},
        {"<duration>", "time"},
        {"<host>", "host name"},
        {"<key>", "key"},
        {"<limit>", "rate limit"},
        {"<origin>", "origin"},
        {"<path>", "path"},
        {"<prefix>", "path without a slash at the end"},
        {"<provider>", "provider"},
        {"<redis>", "Redis URL"},
        {"<route>", "path of a URL"},
        {"<service>", "NAME=URL"},
        {"<token>", "HTTP name"},
        {"<url>", "http or https URL"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_string_equal(config_kind_text(words[i][0]), words[i][1]);
    }
    assert_null(config_kind_text("<unknown>"));
}

/* --- Typed values --------------------------------------------------------------------------- */

struct value_case {
    enum config_type type;
    const char *bounds;
    const char *text;
    const char *printed; /* NULL: refused */
};

static const struct value_case values[] = {
    {CONFIG_TEXT, "", " a ", "a"},
    {CONFIG_INTEGER, "1..256", "1", "1"},
    {CONFIG_INTEGER, "1..256", " 256\t", "256"},
    {CONFIG_INTEGER, "1..256", "0", NULL},
    {CONFIG_INTEGER, "1..256", "257", NULL},
    {CONFIG_INTEGER, "1..256", "1K", NULL},
    {CONFIG_INTEGER, "0..1000000", "2048", "2048"},
    {CONFIG_INTEGER, "0..1G", "0", "0"},
    {CONFIG_INTEGER, "0..1G", "1k", "1K"},
    {CONFIG_INTEGER, "0..1G", "1025", "1025"},
    {CONFIG_INTEGER, "0..1G", "1048576", "1M"},
    {CONFIG_INTEGER, "0..1G", "1024m", "1G"},
    {CONFIG_INTEGER, "0..1G", "1g", "1G"},
    {CONFIG_INTEGER, "0..1G", "1073741825", NULL},
    {CONFIG_INTEGER, "1K..2000G", "2000G", "2000G"},
    {CONFIG_INTEGER, "1K..2000G", "1024G", "1024G"},
    {CONFIG_INTEGER, "1K..2000G", "1023", NULL},
    {CONFIG_INTEGER, "0..1G", "K", NULL},
    {CONFIG_INTEGER, "0..1G", "1KK", NULL},
    {CONFIG_BOOLEAN, "", "yes", "true"},
    {CONFIG_BOOLEAN, "", "off", "false"},
    {CONFIG_BOOLEAN, "", "", NULL},
    {CONFIG_LIST, "", "a, b,,", "a,b"},
    {CONFIG_LIST, "", "", "[]"},
    {CONFIG_LIST, "", ",", "[]"},
    {CONFIG_LIST, "", "[\" a \",\"b\"]", "a,b"},
    {CONFIG_LIST, "", "[\"a,b\",\"c\"]", "[\"a,b\",\"c\"]"},
    {CONFIG_LIST, "", "[\"[a\",\"c\"]", "[\"[a\",\"c\"]"},
    {CONFIG_LIST, "", "[\"{a\"]", "[\"{a\"]"},
    {CONFIG_LIST, "", "[\"a\",\"[c\"]", "a,[c"},
    {CONFIG_LIST, "", "[\"\\ud800\"]", NULL},
    {CONFIG_LIST, "", "[\" \"]", NULL},
    {CONFIG_LIST, "", "[\"a\\u0001\"]", NULL},
    {CONFIG_LIST, "", "{}", NULL},
    {CONFIG_LIST, "", "[1]", NULL},
    {CONFIG_LIST, "<host>", "A,b", "a,b"},
    {CONFIG_LIST, "<host>", "a,b c", NULL},
    {CONFIG_MAP, "", "{\"a\":\"b\",\"c\":\"\"}", "{\"a\":\"b\",\"c\":\"\"}"},
    {CONFIG_MAP, "", "{}", "{}"},
    {CONFIG_MAP, "", "{\"a\":\"\\ud800\"}", NULL},
    {CONFIG_MAP, "", "{\"a\":1}", NULL},
    {CONFIG_MAP, "", "[]", NULL},
    {CONFIG_MAP, "", "x", NULL},
    {CONFIG_MAP, "<limit>", "{\"a\":\"1/minute\"}", "{\"a\":\"1/minute\"}"},
    {CONFIG_MAP, "<limit>", "{\"a\":\"1/minute\",\"b\":\"often\"}", NULL},
    {CONFIG_CHOICE, "auto|true|false", "1", "true"},
    {CONFIG_CHOICE, "auto|true|false", "No", "false"},
    {CONFIG_CHOICE, "auto|true|false", "AUTO", "auto"},
    {CONFIG_CHOICE, "auto|true|false", "never", NULL},
    {CONFIG_CHOICE, "one|two", "1", NULL},
};

static enum status parse(const struct value_case *each, unsigned flags, size_t room,
                         struct buffer *printed, struct config_problem *problem)
{
    const struct config_setting setting = {"NAME", each->type, "", each->bounds, "", flags, ""};
    union config_value value;
    struct arena arena;
    enum status status;

    arena_init(&arena, room);
    buffer_reset(printed);
    status = config_parse_value(&setting, &arena, slice_of(each->text), &value, problem);
    if (status == STATUS_OK) {
        assert_int_equal(config_print_value(&setting, &value, printed), STATUS_OK);
    }
    arena_destroy(&arena);
    return status;
}

static void values_are_printed_so_that_they_read_back_the_same(void **state)
{
    struct buffer printed;

    (void)state;
    buffer_init(&printed, 4096);
    for (size_t i = 0; i < COUNT(values); i++) {
        struct config_problem problem;
        enum status status = parse(&values[i], 0, 65536, &printed, &problem);

        if (status != (values[i].printed != NULL ? STATUS_OK : STATUS_INVALID)) {
            fail_msg("\"%s\": %s", values[i].text, status_text(status));
        }
        if (status == STATUS_OK) {
            struct value_case again = values[i];

            assert_string_equal(buffer_text(&printed), values[i].printed);
            again.text = values[i].printed;
            assert_int_equal(parse(&again, 0, 65536, &printed, &problem), STATUS_OK);
            assert_string_equal(buffer_text(&printed), values[i].printed);
        }
    }
    buffer_release(&printed);
}

static void a_value_without_room_for_it_is_neither_taken_nor_refused(void **state)
{
    struct buffer printed;

    (void)state;
    buffer_init(&printed, 4096);
    for (size_t i = 0; i < COUNT(values); i++) {
        enum status end = values[i].printed != NULL ? STATUS_OK : STATUS_INVALID;
        enum status status = STATUS_NO_MEMORY;

        for (size_t room = 0; status == STATUS_NO_MEMORY; room++) {
            struct config_problem problem;

            assert_true(room < 65536);
            status = parse(&values[i], 0, room, &printed, &problem);
            if (status != STATUS_NO_MEMORY && status != end) {
                fail_msg("\"%s\" in %zu bytes: %s", values[i].text, room, status_text(status));
            }
        }
    }
    buffer_release(&printed);
}

static void only_a_secret_may_begin_or_end_with_a_space(void **state)
{
    static const struct value_case text = {CONFIG_TEXT, "", " a ", NULL};
    static const struct value_case list = {CONFIG_LIST, "<key>", " a , b ", NULL};
    static const struct value_case json = {CONFIG_LIST, "<key>", " [\"a\"] ", NULL};
    struct config_problem problem;
    struct buffer printed;

    (void)state;
    buffer_init(&printed, 4096);
    assert_int_equal(parse(&text, CONFIG_SECRET, 4096, &printed, &problem), STATUS_OK);
    assert_string_equal(buffer_text(&printed), " a ");
    assert_int_equal(parse(&text, 0, 4096, &printed, &problem), STATUS_OK);
    assert_string_equal(buffer_text(&printed), "a");
    assert_int_equal(parse(&list, CONFIG_SECRET, 4096, &printed, &problem), STATUS_OK);
    assert_string_equal(buffer_text(&printed), "a,b");
    assert_int_equal(parse(&json, CONFIG_SECRET, 4096, &printed, &problem), STATUS_OK);
    assert_string_equal(buffer_text(&printed), "a");
    buffer_release(&printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_takes_its_texts_in_one_normal_form_and_refuses_all_others),
        cmocka_unit_test(a_text_without_room_for_it_is_neither_taken_nor_refused),
        cmocka_unit_test(every_kind_has_words_for_it),
        cmocka_unit_test(values_are_printed_so_that_they_read_back_the_same),
        cmocka_unit_test(a_value_without_room_for_it_is_neither_taken_nor_refused),
        cmocka_unit_test(only_a_secret_may_begin_or_end_with_a_space),
    };
    return cmocka_run_group_tests_name("config kinds", tests, NULL, NULL);
}
