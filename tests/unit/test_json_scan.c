/*
 * Tests of json/scan: which texts are JSON for us, and where the scanner says that values are.
 *
 * Each text is put into memory of exactly its size, so that a sanitizer sees a byte too many read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "json/scan.h"

#include "json_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Validates a private copy. Also checks that json_scan_value is of the same opinion, but for
 * duplicates, which it does not look for. */
static enum status validate(const char *data, size_t length)
{
    char *copy = memory_allocate(length == 0 ? 1 : length);
    assert_non_null(copy);
    memcpy(copy, data, length);
    struct slice text = {.data = copy, .length = length};
    struct arena scratch;
    arena_init(&scratch, 64 << 20);
    enum status status = json_validate(text, &scratch);

    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, text);
    enum status scanned = json_scan_value(&scanner, &value);
    if (scanned == STATUS_OK && !json_scan_at_end(&scanner)) {
        scanned = STATUS_INVALID;
    }
    assert_true(scanned == status || (scanned == STATUS_OK && status == STATUS_INVALID));
    arena_destroy(&scratch);
    memory_release(copy);
    return status;
}

static void what_rfc_8259_does_not_allow_is_rejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(json_rejected); i++) {
        if (validate(json_rejected[i].data, json_rejected[i].length) != STATUS_INVALID) {
            fail_msg("accepted: case %zu, %s", i, json_rejected[i].data);
        }
    }
}

static void what_rfc_8259_allows_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(json_accepted); i++) {
        if (validate(json_accepted[i].data, json_accepted[i].length) != STATUS_OK) {
            fail_msg("rejected: case %zu, %s", i, json_accepted[i].data);
        }
    }
}

static void no_beginning_of_a_document_is_a_document(void **state)
{
    (void)state;
    static const char document[] = "{\"a\":[1,-2.5e+3,true,false,null,"
                                   "\"t\\u00e4\\n\\ud83d\\ude00\xc3\xa4\"],\"b\":{\"c\":{}}}";
    assert_int_equal(validate(document, sizeof(document) - 1), STATUS_OK);
    for (size_t length = 0; length < sizeof(document) - 1; length++) {
        assert_int_equal(validate(document, length), STATUS_INVALID);
    }
}

static void every_control_character_must_be_escaped(void **state)
{
    (void)state;
    for (size_t before = 0; before < 17; before++) {
        for (int byte = 0; byte < 0x20; byte++) {
            char text[40];
            memset(text, 'a', sizeof(text));
            text[0] = '"';
            text[1 + before] = (char)byte;
            text[2 + before] = '"';
            assert_int_equal(validate(text, 3 + before), STATUS_INVALID);
            text[1 + before] = (char)(byte + 0x5d); /* from ']' to '|' */
            assert_int_equal(validate(text, 3 + before), STATUS_OK);
        }
    }
}

/* `depth` brackets, the value 1 and the other brackets. */
static enum status validate_nested(int depth, const char *open, const char *close)
{
    static char text[8192];
    size_t length = 0;
    for (int i = 0; i < depth; i++) {
        memcpy(text + length, open, strlen(open));
        length += strlen(open);
    }
    text[length++] = '1';
    for (int i = 0; i < depth; i++) {
        memcpy(text + length, close, strlen(close));
        length += strlen(close);
    }
    return validate(text, length);
}

static void depth_64_is_accepted_and_65_is_too_large(void **state)
{
    (void)state;
    assert_int_equal(validate_nested(64, "[", "]"), STATUS_OK);
    assert_int_equal(validate_nested(65, "[", "]"), STATUS_TOO_LARGE);
    assert_int_equal(validate_nested(64, "{\"a\":", "}"), STATUS_OK);
    assert_int_equal(validate_nested(65, "{\"a\":", "}"), STATUS_TOO_LARGE);
    assert_int_equal(validate_nested(32, "[{\"a\":", "}]"), STATUS_OK);
    assert_int_equal(validate_nested(33, "[{\"a\":", "}]"), STATUS_TOO_LARGE);
    /* Each level knows its own kind. */
    assert_int_equal(validate_nested(64, "[", "}"), STATUS_INVALID);
    assert_int_equal(validate_nested(32, "[{\"a\":", "]}"), STATUS_INVALID);
}

static void depth_is_not_a_matter_of_how_many_values_there_are(void **state)
{
    (void)state;
    static char text[1000];
    size_t length = 0;
    text[length++] = '[';
    for (int i = 0; i < 200; i++) {
        memcpy(text + length, "[],", 3);
        length += 3;
    }
    memcpy(text + length, "{}]", 3);
    assert_int_equal(validate(text, length + 3), STATUS_OK);
}

static void a_million_brackets_cost_nothing(void **state)
{
    (void)state;
    size_t length = 1000000;
    char *text = memory_allocate(length);
    assert_non_null(text);
    memset(text, '[', length);
    assert_int_equal(validate(text, length), STATUS_TOO_LARGE);
    memory_release(text);
}

/* An object of `count` members; the last has the name of member number `repeat`, if that is >= 0. */
static char *make_object(int count, int repeat, size_t *length)
{
    struct buffer buffer;
    buffer_init(&buffer, 16 << 20);
    for (int i = 0; i < count; i++) {
        int number = i == count - 1 && repeat >= 0 ? repeat : i;
        buffer_append_format(&buffer, "%c\"member %d\":%d", i == 0 ? '{' : ',', number, i);
    }
    buffer_append_char(&buffer, '}');
    assert_int_equal(buffer_status(&buffer), STATUS_OK);
    *length = buffer.length;
    return buffer.data;
}

static void duplicates_are_found_in_objects_of_every_size(void **state)
{
    (void)state;
    static const int counts[] = {2, 3, 15, 16, 17, 18, 31, 32, 33, 63, 64, 65, 66, 100, 129, 1000};
    for (size_t i = 0; i < COUNT(counts); i++) {
        for (int repeat = -1; repeat<counts[i] - 1; repeat += counts[i]> 100 ? 97 : 1) {
            size_t length;
            char *text = make_object(counts[i], repeat, &length);
            assert_int_equal(validate(text, length), repeat < 0 ? STATUS_OK : STATUS_INVALID);
            memory_release(text);
        }
    }
}

static void names_of_one_large_object_do_not_count_in_the_next(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    for (int i = 0; i < 5; i++) {
        size_t length;
        char *object = make_object(i == 2 ? 300 : 40, -1, &length);
        buffer_append_char(&buffer, i == 0 ? '[' : ',');
        buffer_append(&buffer, object, length);
        memory_release(object);
    }
    buffer_append_char(&buffer, ']');
    assert_int_equal(validate(buffer.data, buffer.length), STATUS_OK);
    buffer_release(&buffer);
}

static void a_hundred_thousand_members_are_checked_in_linear_time(void **state)
{
    (void)state;
    size_t small_length;
    size_t large_length;
    char *small = make_object(10000, -1, &small_length);
    char *large = make_object(100000, 50000, &large_length);
    uint64_t start = clock_monotonic_nanoseconds();
    assert_int_equal(validate(small, small_length), STATUS_OK);
    uint64_t middle = clock_monotonic_nanoseconds();
    assert_int_equal(validate(large, large_length), STATUS_INVALID);
    uint64_t end = clock_monotonic_nanoseconds();
    /* Ten times as many: quadratic would be a hundred times, and 5 s at the least. */
    assert_true(end - middle < 60 * (middle - start) || end - middle < UINT64_C(500000000));
    memory_release(small);
    memory_release(large);
}

static void validation_without_memory_is_reported(void **state)
{
    (void)state;
    size_t length;
    char *text = make_object(1000, -1, &length);
    unsigned long n = 0;
    enum status status;
    do {
        struct arena scratch;
        arena_init(&scratch, 1 << 20);
        memory_fail_after(++n);
        status = json_validate((struct slice){text, length}, &scratch);
        assert_int_equal(status, memory_failures_seen() > 0 ? STATUS_NO_MEMORY : STATUS_OK);
        memory_fail_after(0);
        arena_destroy(&scratch);
    } while (status != STATUS_OK);
    assert_true(n > 2);

    struct arena small;
    arena_init(&small, 100);
    assert_int_equal(json_validate((struct slice){text, length}, &small), STATUS_NO_MEMORY);
    arena_destroy(&small);
    memory_release(text);
}

static void ordinary_documents_are_validated_without_memory(void **state)
{
    (void)state;
    static const char text[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":true}";
    struct arena scratch;
    arena_init(&scratch, 1);
    assert_int_equal(json_validate((struct slice){text, sizeof(text) - 1}, &scratch), STATUS_OK);
    arena_destroy(&scratch);
}

/* --- walking ------------------------------------------------------------------------------------ */

static void a_value_is_its_exact_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_kind kind;
        const char *exact;
    } cases[] = {
        {" null ", JSON_NULL, "null"},
        {"true", JSON_BOOLEAN, "true"},
        {"false", JSON_BOOLEAN, "false"},
        {" -1.50e+01 ", JSON_NUMBER, "-1.50e+01"},
        {"\"a\\n\" ", JSON_STRING, "\"a\\n\""},
        {"\n[ 1 , 2 ]\n", JSON_ARRAY, "[ 1 , 2 ]"},
        {" { \"a\" : [ ] } ", JSON_OBJECT, "{ \"a\" : [ ] }"},
        {"[{}]", JSON_ARRAY, "[{}]"},
        {"{\"a\":[]}", JSON_OBJECT, "{\"a\":[]}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_scanner scanner;
        struct json_value value;
        json_scan_start(&scanner, slice_of(cases[i].text));
        assert_int_equal(json_scan_value(&scanner, &value), STATUS_OK);
        assert_int_equal(value.kind, cases[i].kind);
        assert_true(slice_equals(value.text, cases[i].exact));
        assert_true(json_scan_at_end(&scanner));
    }
}

static void values_that_follow_each_other_are_scanned_one_by_one(void **state)
{
    (void)state;
    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, slice_of("{\"a\":1}\n{\"a\":2}\n oops"));
    assert_int_equal(json_scan_value(&scanner, &value), STATUS_OK);
    assert_true(slice_equals(value.text, "{\"a\":1}"));
    assert_false(json_scan_at_end(&scanner));
    assert_int_equal(json_scan_value(&scanner, &value), STATUS_OK);
    assert_true(slice_equals(value.text, "{\"a\":2}"));
    const char *before = scanner.at;
    assert_int_equal(json_scan_value(&scanner, &value), STATUS_INVALID);
    assert_ptr_equal(scanner.at, before);
}

static void arrays_are_walked_element_by_element(void **state)
{
    (void)state;
    static const char *const expected[] = {"1", "\"a,]\"", "[2, 3]", "{\"b\":4}", "null"};
    struct json_scanner scanner;
    struct json_value value;
    bool first = true;
    json_scan_start(&scanner, slice_of(" [ 1 ,\"a,]\",[2, 3] , {\"b\":4},null ] "));
    assert_int_equal(json_scan_enter_array(&scanner), STATUS_OK);
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_OK);
        assert_true(slice_equals(value.text, expected[i]));
    }
    assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_NOT_FOUND);
    assert_true(json_scan_at_end(&scanner));
}

static void objects_are_walked_member_by_member(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"time", "1"}, {"", "\"x\""}, {"\\u0061", "[ ]"}, {"c", "-0.10"}};
    struct json_scanner scanner;
    struct json_value value;
    struct slice name;
    bool first = true;
    json_scan_start(&scanner,
                    slice_of(" { \"time\" : 1 ,\"\":\"x\", \"\\u0061\":[ ] ,\"c\":-0.10 } ,"));
    assert_int_equal(json_scan_enter_object(&scanner), STATUS_OK);
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(json_scan_next_member(&scanner, &first, &name, &value), STATUS_OK);
        assert_true(slice_equals(name, expected[i][0]));
        assert_true(slice_equals(value.text, expected[i][1]));
    }
    assert_int_equal(json_scan_next_member(&scanner, &first, &name, &value), STATUS_NOT_FOUND);
    assert_false(json_scan_at_end(&scanner));
}

static void empty_containers_have_nothing_to_walk(void **state)
{
    (void)state;
    struct json_scanner scanner;
    struct json_value value;
    struct slice name;
    bool first = true;
    json_scan_start(&scanner, slice_of("[ ]"));
    assert_int_equal(json_scan_enter_array(&scanner), STATUS_OK);
    assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_NOT_FOUND);
    json_scan_start(&scanner, slice_of("{}"));
    first = true;
    assert_int_equal(json_scan_enter_object(&scanner), STATUS_OK);
    assert_int_equal(json_scan_next_member(&scanner, &first, &name, &value), STATUS_NOT_FOUND);
}

/* The status with which a walk over the text ends. */
static enum status walk(struct json_case text)
{
    char *copy = memory_allocate(text.length == 0 ? 1 : text.length);
    assert_non_null(copy);
    memcpy(copy, text.data, text.length);
    struct json_scanner scanner;
    struct json_value value;
    struct slice name;
    bool first = true;
    json_scan_start(&scanner, (struct slice){copy, text.length});
    enum status status = json_scan_enter_array(&scanner);
    if (status == STATUS_OK) {
        do {
            status = json_scan_next_element(&scanner, &first, &value);
        } while (status == STATUS_OK);
    } else if ((status = json_scan_enter_object(&scanner)) == STATUS_OK) {
        do {
            status = json_scan_next_member(&scanner, &first, &name, &value);
        } while (status == STATUS_OK);
    }
    if (status == STATUS_NOT_FOUND && !json_scan_at_end(&scanner)) {
        status = STATUS_INVALID;
    }
    memory_release(copy);
    return status;
}

static void a_walk_is_as_strict_as_a_scan(void **state)
{
    (void)state;
    struct arena scratch;
    arena_init(&scratch, 1 << 20);
    for (size_t i = 0; i < COUNT(json_rejected); i++) {
        struct json_scanner scanner;
        struct json_value value;
        json_scan_start(&scanner, (struct slice){json_rejected[i].data, json_rejected[i].length});
        bool valid = json_scan_value(&scanner, &value) == STATUS_OK && json_scan_at_end(&scanner);
        /* Only duplicates are no concern of a walk. */
        if (walk(json_rejected[i]) != (valid ? STATUS_NOT_FOUND : STATUS_INVALID)) {
            fail_msg("case %zu, %s", i, json_rejected[i].data);
        }
    }
    for (size_t i = 0; i < COUNT(json_accepted); i++) {
        struct json_scanner scanner;
        struct json_value value;
        json_scan_start(&scanner, (struct slice){json_accepted[i].data, json_accepted[i].length});
        assert_int_equal(json_scan_value(&scanner, &value), STATUS_OK);
        bool container = value.kind == JSON_ARRAY || value.kind == JSON_OBJECT;
        assert_int_equal(walk(json_accepted[i]), container ? STATUS_NOT_FOUND : STATUS_INVALID);
    }
    arena_destroy(&scratch);
}

static void entering_counts_as_depth(void **state)
{
    (void)state;
    struct json_scanner scanner;
    struct json_value value;
    bool first = true;
    json_scan_start(&scanner, slice_of("[[[1]]]"));
    scanner.depth_maximum = 2;
    assert_int_equal(json_scan_value(&scanner, &value), STATUS_TOO_LARGE);
    assert_int_equal(json_scan_enter_array(&scanner), STATUS_OK);
    assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_TOO_LARGE);
    json_scan_start(&scanner, slice_of("[[1],[2],{}]"));
    scanner.depth_maximum = 2;
    first = true;
    assert_int_equal(json_scan_enter_array(&scanner), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_OK);
    }
    assert_int_equal(json_scan_next_element(&scanner, &first, &value), STATUS_NOT_FOUND);
    assert_int_equal(scanner.depth, 0);
    json_scan_start(&scanner, slice_of("[]"));
    scanner.depth_maximum = 0;
    assert_int_equal(json_scan_enter_array(&scanner), STATUS_TOO_LARGE);
}

static void a_larger_maximum_than_ours_is_ours(void **state)
{
    (void)state;
    char text[140];
    memset(text, '[', 70);
    memset(text + 70, ']', 70);
    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, (struct slice){text, sizeof(text)});
    scanner.depth_maximum = 1000;
    assert_int_equal(json_scan_value(&scanner, &value), STATUS_TOO_LARGE);
}

/* --- unescaping --------------------------------------------------------------------------------- */

static void strings_are_unescaped_to_utf8(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"x\\ud83d\\ude00y\"", "x\xf0\x9f\x98\x80y"},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"\xc3\xa4\\u00E4\"", "\xc3\xa4\xc3\xa4"},
        {"\"\\\\u0041\"", "\\u0041"},
    };
    struct arena arena;
    arena_init(&arena, 10000);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice out;
        assert_int_equal(json_unescape(&arena, slice_of(cases[i][0]), &out), STATUS_OK);
        assert_true(slice_equals(out, cases[i][1]));
        assert_int_equal(out.data[out.length], '\0');
    }
    arena_destroy(&arena);
}

static void what_is_no_string_or_holds_nul_is_not_unescaped(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "\"",          "a",        "\"a",         "a\"",           "\"a\"b\"", "\"\\\"",
        "\"\\x\"", "\"\\ud800\"", "\"\xff\"", "\"\\u0000\"", "\"a\\u0000b\"", "12",       "\"a\" "};
    struct arena arena;
    arena_init(&arena, 10000);
    struct slice out;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(json_unescape(&arena, slice_of(bad[i]), &out), STATUS_INVALID);
    }
    memory_fail_after(1);
    assert_int_equal(json_unescape(&arena, slice_of("\"a\""), &out), STATUS_NO_MEMORY);
    memory_fail_after(0);
    arena_destroy(&arena);
}

static void a_text_is_plain_without_its_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *plain;
        size_t length;
    } cases[] = {{"", "", 0},
                 {"time", "time", 4},
                 {"t\\u0069me", "time", 4},
                 {"\\\"\\\\", "\"\\", 2},
                 {"a\\u0000b", "a\0b", 3}};
    struct arena arena;
    arena_init(&arena, 10000);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice out;
        assert_int_equal(json_plain_text(&arena, slice_of(cases[i].name), &out), STATUS_OK);
        assert_int_equal(out.length, cases[i].length);
        assert_memory_equal(out.data, cases[i].plain, out.length);
    }
    arena_destroy(&arena);
    struct slice out;
    memory_fail_after(1);
    assert_int_equal(json_plain_text(&arena, slice_of("\\n"), &out), STATUS_NO_MEMORY);
    memory_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_rfc_8259_does_not_allow_is_rejected),
        cmocka_unit_test(what_rfc_8259_allows_is_accepted),
        cmocka_unit_test(no_beginning_of_a_document_is_a_document),
        cmocka_unit_test(every_control_character_must_be_escaped),
        cmocka_unit_test(depth_64_is_accepted_and_65_is_too_large),
        cmocka_unit_test(depth_is_not_a_matter_of_how_many_values_there_are),
        cmocka_unit_test(a_million_brackets_cost_nothing),
        cmocka_unit_test(duplicates_are_found_in_objects_of_every_size),
        cmocka_unit_test(names_of_one_large_object_do_not_count_in_the_next),
        cmocka_unit_test(a_hundred_thousand_members_are_checked_in_linear_time),
        cmocka_unit_test(validation_without_memory_is_reported),
        cmocka_unit_test(ordinary_documents_are_validated_without_memory),
        cmocka_unit_test(a_value_is_its_exact_text),
        cmocka_unit_test(values_that_follow_each_other_are_scanned_one_by_one),
        cmocka_unit_test(arrays_are_walked_element_by_element),
        cmocka_unit_test(objects_are_walked_member_by_member),
        cmocka_unit_test(empty_containers_have_nothing_to_walk),
        cmocka_unit_test(a_walk_is_as_strict_as_a_scan),
        cmocka_unit_test(entering_counts_as_depth),
        cmocka_unit_test(a_larger_maximum_than_ours_is_ours),
        cmocka_unit_test(strings_are_unescaped_to_utf8),
        cmocka_unit_test(what_is_no_string_or_holds_nul_is_not_unescaped),
        cmocka_unit_test(a_text_is_plain_without_its_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
