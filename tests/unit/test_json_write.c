/*
 * Tests of json/write: whatever is written is valid JSON, spelled as promised.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "json/scan.h"
#include "json/write.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct buffer out;
static struct json_writer writer;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&out, 1 << 20);
    json_write_start(&writer, &out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&out);
    return 0;
}

static void assert_valid(void)
{
    struct arena scratch;
    arena_init(&scratch, 1 << 20);
    assert_int_equal(json_validate((struct slice){buffer_text(&out), out.length}, &scratch),
                     STATUS_OK);
    arena_destroy(&scratch);
}

static void commas_stand_between_values_and_nowhere_else(void **state)
{
    (void)state;
    json_write_object_begin(&writer);
    json_write_member_text(&writer, "text", "a");
    json_write_member_slice(&writer, "slice", (struct slice){"bcd", 2});
    json_write_member_integer(&writer, "integer", -7);
    json_write_member_double(&writer, "double", 1.5);
    json_write_member_boolean(&writer, "true", true);
    json_write_member_boolean(&writer, "false", false);
    json_write_member_null(&writer, "null");
    json_write_member_raw(&writer, "raw", slice_of("{\"x\": 1.0}"));
    json_write_name(&writer, "empty array");
    json_write_array_begin(&writer);
    json_write_array_end(&writer);
    json_write_name(&writer, "empty object");
    json_write_object_begin(&writer);
    json_write_object_end(&writer);
    json_write_name(&writer, "array");
    json_write_array_begin(&writer);
    json_write_text(&writer, "t");
    json_write_slice(&writer, slice_of("s"));
    json_write_integer(&writer, 1);
    json_write_double(&writer, 2);
    json_write_boolean(&writer, true);
    json_write_boolean(&writer, false);
    json_write_null(&writer);
    json_write_raw(&writer, slice_of("3"));
    json_write_array_begin(&writer);
    json_write_array_begin(&writer);
    json_write_array_end(&writer);
    json_write_array_end(&writer);
    json_write_object_begin(&writer);
    json_write_object_end(&writer);
    json_write_array_end(&writer);
    json_write_member_text(&writer, "last", NULL);
    json_write_object_end(&writer);
    assert_int_equal(buffer_status(&out), STATUS_OK);
    assert_string_equal(buffer_text(&out),
                        "{\"text\":\"a\",\"slice\":\"bc\",\"integer\":-7,\"double\":1.5,\"true\":"
                        "true,\"false\":false,"
                        "\"null\":null,\"raw\":{\"x\": 1.0},\"empty array\":[],\"empty object\":{},"
                        "\"array\":[\"t\",\"s\",1,2,true,false,null,3,[[]],{}],\"last\":null}");
    assert_valid();
}

static void strings_are_escaped_where_rfc_8259_asks_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {NULL, 0, "\"\""},
        {"plain text / no escape", 22, "\"plain text / no escape\""},
        {"\"", 1, "\"\\\"\""},
        {"\\", 1, "\"\\\\\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\""},
        {"12345678\n12345678", 17, "\"12345678\\n12345678\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        buffer_reset(&out);
        json_write_escaped(&out, (struct slice){cases[i].text, cases[i].length});
        assert_string_equal(buffer_text(&out), cases[i].json);
        assert_valid();
    }
}

static void bytes_that_are_not_utf_8_become_the_replacement_character(void **state)
{
    (void)state;
#define BAD "\xef\xbf\xbd"
    static const char *const cases[][2] = {
        {"\xff", "\"" BAD "\""},
        {"a\x80z", "\"a" BAD "z\""},
        {"\xc3(", "\"" BAD "(\""},
        {"\xe2\x82", "\"" BAD BAD "\""},
        {"\xed\xa0\x80", "\"" BAD BAD BAD "\""},
        {"\xc0\xaf\xc3\xa4", "\"" BAD BAD "\xc3\xa4\""},
        {"\xf0\x9f\x98\"", "\"" BAD BAD BAD "\\\"\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        buffer_reset(&out);
        json_write_escaped(&out, slice_of(cases[i][0]));
        assert_string_equal(buffer_text(&out), cases[i][1]);
        assert_valid();
    }
}

static void names_are_escaped_too(void **state)
{
    (void)state;
    json_write_object_begin(&writer);
    json_write_member_null(&writer, "a\"b");
    json_write_member_null(&writer, "\xff");
    json_write_object_end(&writer);
    assert_string_equal(buffer_text(&out), "{\"a\\\"b\":null,\"\xef\xbf\xbd\":null}");
    assert_valid();
}

static void every_text_reads_back_as_it_was(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    /* Each byte of ASCII but NUL at each place of the words that are looked at together. */
    for (int byte = 1; byte < 0x80; byte++) {
        for (size_t before = 0; before < 17; before++) {
            char text[24];
            memset(text, 'x', sizeof(text));
            text[before] = (char)byte;
            buffer_reset(&out);
            json_write_escaped(&out, (struct slice){text, sizeof(text)});
            struct slice back;
            assert_int_equal(
                json_unescape(&arena, (struct slice){buffer_text(&out), out.length}, &back),
                STATUS_OK);
            assert_int_equal(back.length, sizeof(text));
            assert_memory_equal(back.data, text, sizeof(text));
            arena_reset(&arena);
        }
    }
    arena_destroy(&arena);
}

static void integers_of_every_size_are_written(void **state)
{
    (void)state;
    json_write_array_begin(&writer);
    json_write_integer(&writer, 0);
    json_write_integer(&writer, INT64_MAX);
    json_write_integer(&writer, INT64_MIN);
    json_write_array_end(&writer);
    assert_string_equal(buffer_text(&out), "[0,9223372036854775807,-9223372036854775808]");
}

static void doubles_that_are_integers_look_like_integers(void **state)
{
    (void)state;
    json_write_array_begin(&writer);
    json_write_double(&writer, 1);
    json_write_double(&writer, -100);
    json_write_double(&writer, 1700000000);
    json_write_double(&writer, 999999999999999);
    json_write_double(&writer, 0);
    json_write_double(&writer, 0.1);
    json_write_double(&writer, 1e300);
    json_write_double(&writer, DBL_MIN / 4);
    json_write_array_end(&writer);
    assert_string_equal(buffer_text(&out),
                        "[1,-100,1700000000,999999999999999,0,0.1,1e+300,5.562684646268003e-309]");
    assert_valid();
}

static void numbers_that_json_does_not_have_become_null(void **state)
{
    (void)state;
    json_write_array_begin(&writer);
    json_write_double(&writer, (double)NAN);
    json_write_double(&writer, (double)INFINITY);
    json_write_double(&writer, -(double)INFINITY);
    json_write_array_end(&writer);
    assert_string_equal(buffer_text(&out), "[null,null,null]");
}

static void write_one_of_each(struct json_writer *to)
{
    json_write_object_begin(to);
    json_write_member_text(to, "text", "a text that is long enough to make the buffer grow a bit");
    json_write_member_text(to, "escaped", "line\nline\xff");
    json_write_member_integer(to, "integer", 123456789);
    json_write_member_double(to, "double", 0.1234);
    json_write_member_boolean(to, "boolean", false);
    json_write_member_null(to, "null");
    json_write_name(to, "array");
    json_write_array_begin(to);
    json_write_raw(to, slice_of("1"));
    json_write_array_end(to);
    json_write_object_end(to);
}

static void a_full_buffer_is_told_by_its_status_and_never_overrun(void **state)
{
    (void)state;
    write_one_of_each(&writer);
    assert_int_equal(buffer_status(&out), STATUS_OK);
    size_t length = out.length;
    for (size_t maximum = 1; maximum <= length; maximum++) {
        struct buffer small;
        struct json_writer other;
        buffer_init(&small, maximum);
        json_write_start(&other, &small);
        write_one_of_each(&other);
        assert_int_equal(buffer_status(&small), maximum < length ? STATUS_TOO_LARGE : STATUS_OK);
        assert_true(small.length <= maximum);
        assert_memory_equal(buffer_text(&small), buffer_text(&out), small.length);
        buffer_release(&small);
    }
}

static void writing_without_memory_is_told_by_the_status(void **state)
{
    (void)state;
    unsigned long n = 0;
    enum status status;
    do {
        struct buffer buffer;
        struct json_writer other;
        buffer_init(&buffer, 1 << 20);
        json_write_start(&other, &buffer);
        memory_fail_after(++n);
        for (int i = 0; i < 20; i++) {
            write_one_of_each(&other);
        }
        status = buffer_status(&buffer);
        assert_int_equal(status, memory_failures_seen() > 0 ? STATUS_NO_MEMORY : STATUS_OK);
        memory_fail_after(0);
        buffer_release(&buffer);
    } while (status != STATUS_OK);
    assert_true(n > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commas_stand_between_values_and_nowhere_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(strings_are_escaped_where_rfc_8259_asks_for_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_utf_8_become_the_replacement_character,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_escaped_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_text_reads_back_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(integers_of_every_size_are_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubles_that_are_integers_look_like_integers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_json_does_not_have_become_null, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_buffer_is_told_by_its_status_and_never_overrun,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(writing_without_memory_is_told_by_the_status, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
