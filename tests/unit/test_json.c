/*
 * Tests of json/json: what json_parse refuses, what the tree says, and that hostile documents cost
 * neither stack nor memory beyond the arena.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "json/json.h"

#include "json_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 8 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

static const struct json_node *parse(const char *text)
{
    const struct json_node *root = NULL;
    assert_int_equal(json_parse(&arena, slice_of(text), &root), STATUS_OK);
    assert_non_null(root);
    return root;
}

static enum status refuse(const char *text)
{
    const struct json_node *root = NULL;
    enum status status = json_parse(&arena, slice_of(text), &root);
    assert_null(root);
    return status;
}

static void what_is_not_valid_is_not_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(json_rejected); i++) {
        const struct json_node *root = NULL;
        struct slice text = {json_rejected[i].data, json_rejected[i].length};
        assert_int_equal(json_parse(&arena, text, &root), STATUS_INVALID);
        assert_null(root);
    }
}

static void what_is_valid_is_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(json_accepted); i++) {
        /* In memory of exactly the size, without a NUL behind it. */
        char *copy = memory_copy_text(json_accepted[i].data, json_accepted[i].length);
        assert_non_null(copy);
        copy = memory_resize(copy, json_accepted[i].length);
        assert_non_null(copy);
        const struct json_node *root = NULL;
        enum status status =
            json_parse(&arena, (struct slice){copy, json_accepted[i].length}, &root);
        memory_release(copy);
        if (status != STATUS_OK) {
            fail_msg("case %zu, %s: %s", i, json_accepted[i].data, status_text(status));
        }
    }
}

/* U+0000 is a character of JSON, and no text of ours: a string that holds it is a string that cannot
 * be read, never one that ends early. */
static void a_string_with_an_escaped_nul_is_no_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"\"\\u0000\"", "\"admin\\u0000\"", "\"\\u0000x\"",
                                        "\"a\\n\\u0000\\u0000\\\\b\"", "\"\\ud83d\\ude00\\u0000\""};
    for (size_t i = 0; i < COUNT(texts); i++) {
        const struct json_node *node = parse(texts[i]);
        const char *text = "untouched";
        assert_int_equal(json_node_kind(node), JSON_STRING);
        assert_true(json_has_nul(node));
        assert_false(json_get_text(node, &text));
        assert_string_equal(text, "untouched");
    }
    const struct json_node *root =
        parse("{\"user\\u0000x\":1,\"user\":\"a\",\"b\":[\"\\u0000\","
              "12345678901234567890123456789012345678901234567890123456789012345]}");
    assert_string_equal(json_member_text(root, "user", NULL), "a");
    assert_string_equal(json_member_text(json_first(json_member(root, "b")), "x", "none"), "none");
    assert_int_equal(json_count(root), 3);
    /* An escaped backslash in front makes it ordinary text. */
    const char *text;
    const struct json_node *plain = parse("[\"\\\\u0000\",\"\\u0000\"]");
    assert_true(json_get_text(json_first(plain), &text));
    assert_string_equal(text, "\\u0000");
    assert_false(json_has_nul(json_first(plain)));
    assert_true(json_has_nul(json_next(json_first(plain))));
    assert_false(json_has_nul(NULL));
}

static void a_document_that_is_too_deep_is_too_large(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    assert_int_equal(refuse(text), STATUS_TOO_LARGE);
    memmove(text, text + 1, 130);
    text[128] = '\0';
    parse(text);
}

static void text_is_unescaped_and_outlives_the_source(void **state)
{
    (void)state;
    char source[] = "{\"a\\u0062\":\"x\\n\\\"\\u00e4\\ud83d\\ude00\xc3\xa4\"}";
    const struct json_node *root = parse(source);
    memset(source, 'z', sizeof(source) - 1);
    const char *text = NULL;
    assert_true(json_get_text(json_member(root, "ab"), &text));
    assert_string_equal(text, "x\n\"\xc3\xa4\xf0\x9f\x98\x80\xc3\xa4");
    assert_string_equal(json_name(json_first(root)), "ab");
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_kind kind;
    } cases[] = {
        {"null", JSON_NULL},   {"true", JSON_BOOLEAN}, {"false", JSON_BOOLEAN}, {"0", JSON_NUMBER},
        {"\"\"", JSON_STRING}, {"[]", JSON_ARRAY},     {"{}", JSON_OBJECT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(json_node_kind(parse(cases[i].text)), cases[i].kind);
    }
    assert_int_equal(json_node_kind(NULL), JSON_NULL);
}

static void reads_of_another_kind_fail_and_change_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "true", "1", "\"1\"", "[1]", "{\"a\":1}"};
    for (size_t i = 0; i <= COUNT(texts); i++) {
        const struct json_node *node = i < COUNT(texts) ? parse(texts[i]) : NULL;
        enum json_kind kind = json_node_kind(node);
        const char *text = "before";
        int64_t integer = 77;
        double number = 77;
        bool boolean = false;
        assert_int_equal(json_get_text(node, &text), kind == JSON_STRING);
        assert_int_equal(json_get_integer(node, &integer), kind == JSON_NUMBER);
        assert_int_equal(json_get_double(node, &number), kind == JSON_NUMBER);
        assert_int_equal(json_get_boolean(node, &boolean), kind == JSON_BOOLEAN);
        assert_string_equal(text, kind == JSON_STRING ? "1" : "before");
        assert_int_equal(integer, kind == JSON_NUMBER ? 1 : 77);
        assert_true(number == (kind == JSON_NUMBER ? 1 : 77));
        assert_int_equal(boolean, kind == JSON_BOOLEAN);
        assert_int_equal(json_count(node), kind == JSON_ARRAY || kind == JSON_OBJECT);
        assert_int_equal(json_first(node) != NULL, kind == JSON_ARRAY || kind == JSON_OBJECT);
        assert_int_equal(json_member(node, "a") != NULL, kind == JSON_OBJECT);
        assert_null(json_next(node));
        assert_null(json_name(node));
    }
}

static void members_are_found_by_their_exact_name(void **state)
{
    (void)state;
    const struct json_node *root =
        parse("{\"name\":\"a\",\"Name\":\"b\",\"\":\"c\",\"n\":null,\"i\":1}");
    assert_string_equal(json_member_text(root, "name", "-"), "a");
    assert_string_equal(json_member_text(root, "Name", "-"), "b");
    assert_string_equal(json_member_text(root, "", "-"), "c");
    assert_string_equal(json_member_text(root, "NAME", "-"), "-");
    assert_string_equal(json_member_text(root, "n", "-"), "-");
    assert_string_equal(json_member_text(root, "i", "-"), "-");
    assert_null(json_member_text(root, "none", NULL));
    assert_string_equal(json_member_text(NULL, "name", "-"), "-");
    assert_non_null(json_member(root, "n"));
    assert_null(json_member(root, "none"));
}

static void children_are_walked_in_document_order(void **state)
{
    (void)state;
    const struct json_node *root = parse("[3,1,2]");
    static const int64_t expected[] = {3, 1, 2};
    size_t count = 0;
    for (const struct json_node *node = json_first(root); node != NULL; node = json_next(node)) {
        int64_t number = 0;
        assert_true(json_get_integer(node, &number));
        assert_int_equal(number, expected[count++]);
        assert_null(json_name(node));
    }
    assert_int_equal(count, 3);
    assert_int_equal(json_count(root), 3);
    root = parse("{\"b\":1,\"a\":2}");
    assert_string_equal(json_name(json_first(root)), "b");
    assert_string_equal(json_name(json_next(json_first(root))), "a");
    assert_int_equal(json_count(root), 2);
    assert_null(json_first(parse("[]")));
    assert_null(json_first(parse("{}")));
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"-1", -1},
        {"1.0", 1},
        {"1e3", 1000},
        {"2147483648", 2147483648},
        {"9007199254740991", 9007199254740991},
        {"-9007199254740991", -9007199254740991},
    };
    static const char *const bad[] = {"0.5",
                                      "-1.5",
                                      "1e-1",
                                      "9007199254740992",
                                      "9007199254740993",
                                      "-9007199254740993",
                                      "1e16",
                                      "-1e300",
                                      "1e999",
                                      "-1e999",
                                      "9223372036854775807",
                                      "18446744073709551616"};
    int64_t number;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(json_get_integer(parse(good[i].text), &number));
        assert_true(number == good[i].number);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(json_get_integer(parse(bad[i]), &number));
    }
}

static void doubles_that_overflow_are_refused_when_they_are_read(void **state)
{
    (void)state;
    double number = 77;
    assert_false(json_get_double(parse("1e999"), &number));
    assert_false(json_get_double(parse("-1e999"), &number));
    assert_true(json_get_double(parse("1e-999"), &number));
    assert_true(number == 0);
    assert_true(json_get_double(parse("-2.5e-3"), &number));
    assert_true(number == -0.0025);
}

static void numbers_of_any_length_are_read(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int zeros = 50; zeros < 80; zeros++) {
        buffer_reset(&text);
        buffer_append_format(&text, "{\"a, -1\":[0.25%0*d,\"0.5%0*d\",-1%0*d.5,7],\"b\":0.1%0*d}",
                             zeros, 0, zeros, 0, zeros, 0, zeros, 0);
        assert_int_equal(buffer_status(&text), STATUS_OK);
        const struct json_node *root = parse(buffer_text(&text));
        const struct json_node *array = json_member(root, "a, -1");
        double number = 0;
        assert_int_equal(json_count(array), 4);
        assert_true(json_get_double(json_first(array), &number));
        assert_true(number == 0.25);
        const char *string = NULL;
        assert_true(json_get_text(json_next(json_first(array)), &string));
        assert_int_equal(strlen(string), 3 + (size_t)zeros);
        assert_true(json_get_double(json_next(json_next(json_first(array))), &number));
        assert_true(number < -9e49 && number > -1.1e79);
        assert_true(json_get_double(json_member(root, "b"), &number));
        assert_true(number == 0.1);
    }
    /* Also when their value overflows. */
    buffer_reset(&text);
    buffer_append_format(&text, "[-1%0400d, 2]", 0);
    const struct json_node *root = parse(buffer_text(&text));
    double number = 77;
    assert_false(json_get_double(json_first(root), &number));
    assert_true(json_get_double(json_next(json_first(root)), &number));
    assert_true(number == 2);
    buffer_release(&text);
}

static void the_arena_limits_the_tree(void **state)
{
    (void)state;
    struct arena small;
    arena_init(&small, 1000);
    const struct json_node *root = NULL;
    assert_int_equal(
        json_parse(&small, slice_of("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"), &root),
        STATUS_NO_MEMORY);
    assert_null(root);
    arena_reset(&small);
    assert_int_equal(json_parse(&small, slice_of("[1,2,3]"), &root), STATUS_OK);
    assert_int_equal(json_count(root), 3);
    arena_destroy(&small);
}

/* A document that takes every way: escapes, long numbers, a large object, strings, depth. */
static void make_document(struct buffer *text)
{
    buffer_init(text, 1 << 20);
    buffer_append_format(text, "{\"long\":[1%0200d],\"\\u0061\":\"\\u00e4\",\"deep\":[[[[[{}]]]]]",
                         0);
    for (int i = 0; i < 300; i++) {
        buffer_append_format(text, ",\"member%d\":\"value %d\"", i, i);
    }
    buffer_append_char(text, '}');
    assert_int_equal(buffer_status(text), STATUS_OK);
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    struct buffer text;
    make_document(&text);
    unsigned long n = 0;
    enum status status;
    do {
        struct arena fresh;
        const struct json_node *root = NULL;
        arena_init(&fresh, 1 << 20);
        memory_fail_after(++n);
        status = json_parse(&fresh, (struct slice){text.data, text.length}, &root);
        bool failed = memory_failures_seen() > 0;
        memory_fail_after(0);
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        assert_int_equal(root != NULL, !failed);
        arena_destroy(&fresh);
    } while (status != STATUS_OK);
    assert_true(n > 10);
    buffer_release(&text);
}

static void *parse_the_deepest_document(void *result)
{
    struct arena own;
    struct buffer text;
    arena_init(&own, 1 << 20);
    buffer_init(&text, 10000);
    for (int i = 0; i < 32; i++) {
        buffer_append_text(&text, "[{\"a\":");
    }
    buffer_append_text(&text, "1");
    for (int i = 0; i < 32; i++) {
        buffer_append_text(&text, "}]");
    }
    const struct json_node *root;
    *(enum status *)result = json_parse(&own, (struct slice){text.data, text.length}, &root);
    buffer_release(&text);
    arena_destroy(&own);
    return NULL;
}

static void the_deepest_document_fits_into_a_small_stack(void **state)
{
    (void)state;
    pthread_attr_t attributes;
    pthread_t thread;
    enum status status = STATUS_INTERNAL;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    /* Workers have 256 KB; half of it must do. */
    assert_int_equal(pthread_attr_setstacksize(&attributes, 128 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attributes, parse_the_deepest_document, &status), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    assert_int_equal(status, STATUS_OK);
}

static void *parse_many(void *result)
{
    struct buffer text;
    make_document(&text);
    bool good = true;
    for (int i = 0; i < 50; i++) {
        struct arena own;
        const struct json_node *root = NULL;
        arena_init(&own, 1 << 20);
        good = good &&
               json_parse(&own, (struct slice){text.data, text.length}, &root) == STATUS_OK &&
               json_count(root) == 303;
        arena_destroy(&own);
    }
    buffer_release(&text);
    *(bool *)result = good;
    return NULL;
}

static void threads_parse_side_by_side_each_into_its_own_arena(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool good[4] = {false};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, parse_many, &good[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(good[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_valid_is_not_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_valid_is_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_string_with_an_escaped_nul_is_no_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_that_is_too_deep_is_too_large, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(text_is_unescaped_and_outlives_the_source, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(kinds_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_of_another_kind_fail_and_change_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(members_are_found_by_their_exact_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(children_are_walked_in_document_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(integers_are_exact_or_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubles_that_overflow_are_refused_when_they_are_read,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_of_any_length_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_arena_limits_the_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_reported_and_leaks_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deepest_document_fits_into_a_small_stack, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(threads_parse_side_by_side_each_into_its_own_arena, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
