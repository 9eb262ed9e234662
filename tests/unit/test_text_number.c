/*
 * Tests of the doubles of base/text: the grammar of JSON, exactness both ways, short spellings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void doubles_beyond_the_grammar_of_json_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      ".5",
                                      "5.",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1e",
                                      "1e+",
                                      "1e-",
                                      "1.e3",
                                      "0x10",
                                      "NaN",
                                      "nan",
                                      "inf",
                                      "-inf",
                                      "Infinity",
                                      "1,5",
                                      "1 ",
                                      " 1",
                                      "1.5.5",
                                      "1e5.0",
                                      "--1",
                                      "1e1e1",
                                      "1_000",
                                      "1f",
                                      "1e999",
                                      "-1e999",
                                      "1e99999999999999999999999",
                                      "2e308"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        double number = 77;
        assert_int_equal(text_parse_double(slice_of(bad[i]), &number), STATUS_INVALID);
        assert_true(number == 77);
    }
    double number;
    assert_int_equal(text_parse_double((struct slice){"1\0", 2}, &number), STATUS_INVALID);
}

static void doubles_are_read_as_strtod_reads_them(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "-1",
        "1.5",
        "0.1",
        "123.45",
        "1e0",
        "1E+2",
        "1e-2",
        "-12.5e3",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.0",
        "90071992547409930e-1",
        "1e22",
        "1e23",
        "123456789012345678901234567890",
        "0.1000",
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "4.9e-324",
        "1e-400",
        "0e999999999999",
        "2.2250738585072011e-308",
        "8.41e21",
        "9.5e-21",
        "1e-22",
        "1e-23",
        "3.0e-44",
        "0.30000000000000004",
        "1700000000.123456789",
        "0.000000000000000000000000000000000000000000000000000000000000001",
        "100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000.5"};
    for (size_t i = 0; i < COUNT(good); i++) {
        double number = 77;
        double expected = strtod(good[i], NULL);
        assert_int_equal(text_parse_double(slice_of(good[i]), &number), STATUS_OK);
        assert_memory_equal(&number, &expected, sizeof(number));
    }
}

static void doubles_end_where_the_slice_ends(void **state)
{
    (void)state;
    double number;
    assert_int_equal(text_parse_double((struct slice){"1.259", 4}, &number), STATUS_OK);
    assert_true(number == 1.25);
    /* Also on the way through libc. */
    assert_int_equal(text_parse_double((struct slice){"1e2345", 3}, &number), STATUS_OK);
    assert_true(number == 100);
    assert_int_equal(text_parse_double((struct slice){"1e-3001", 5}, &number), STATUS_OK);
    assert_true(number == 1e-30);
}

static void a_double_may_have_any_number_of_digits(void **state)
{
    (void)state;
    size_t length = 100000;
    char *text = memory_allocate(length);
    assert_non_null(text);
    memset(text, '3', length);
    memcpy(text, "0.", 2);
    double number;
    assert_int_equal(text_parse_double((struct slice){text, length}, &number), STATUS_OK);
    assert_true(number == 1.0 / 3.0);
    memory_fail_after(1);
    assert_int_equal(text_parse_double((struct slice){text, length}, &number), STATUS_NO_MEMORY);
    memory_fail_after(0);
    memory_release(text);
}

static void doubles_are_spelled_shortly(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {100, "100"},
        {1.5, "1.5"},
        {-0.25, "-0.25"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3.0, "0.3333333333333333"},
        {123.45, "123.45"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {1.05, "1.05"},
        {1000.001, "1000.001"},
        {0.123456789, "0.123456789"},
        {1700000000.123, "1700000000.123"},
        {999999999999999, "999999999999999"},
        {1e15, "1e+15"},
        {1e21, "1e+21"},
        {9007199254740993.0, "9007199254740992"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {-1.5e-320, "-1.5e-320"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[TEXT_DOUBLE_SIZE];
        size_t length = text_format_double(cases[i].number, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(length, strlen(text));
    }
}

/* A fixed sequence, so that a failure can be repeated (xorshift64). */
static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void check_way_and_back(double number)
{
    char text[TEXT_DOUBLE_SIZE];
    size_t length = text_format_double(number, text);
    double back = 77;
    assert_int_equal(text_parse_double((struct slice){text, length}, &back), STATUS_OK);
    assert_memory_equal(&back, &number, sizeof(number));
    back = strtod(text, NULL);
    assert_memory_equal(&back, &number, sizeof(number));
    /* Where 15 digits suffice, no more are written. */
    char shortest[64];
    snprintf(shortest, sizeof(shortest), "%.15g", number);
    if (strtod(shortest, NULL) == number && fabs(number) >= DBL_MIN) {
        assert_true(length <= strlen(shortest));
    }
}

static double next_after(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    bits++;
    memcpy(&number, &bits, sizeof(bits));
    return number;
}

static void every_double_survives_the_way_to_text_and_back(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next_number(&seed);
        double number;
        memcpy(&number, &bits, sizeof(number));
        if (isfinite(number)) {
            check_way_and_back(number);
        }
        /* Prices: few digits, which take the short way. */
        double price = (double)(int64_t)(bits % 20000000000) - 1e10;
        for (double unit = 1; unit <= 1e10; unit *= 10) {
            check_way_and_back(price / unit);
            check_way_and_back(next_after(price / unit));
        }
    }
}

static void decimals_are_read_as_strtod_reads_them_whatever_their_length(void **state)
{
    (void)state;
    uint64_t seed = 1234567;
    for (int i = 0; i < 200000; i++) {
        char text[80];
        uint64_t digits = next_number(&seed) >> (next_number(&seed) % 60);
        int exponent = (int)(next_number(&seed) % 60) - 30;
        snprintf(text, sizeof(text), "%s%llu.%llue%d", i % 2 ? "-" : "",
                 (unsigned long long)digits % 1000000, (unsigned long long)digits, exponent);
        double expected = strtod(text, NULL);
        double number = 77;
        assert_int_equal(text_parse_double(slice_of(text), &number), STATUS_OK);
        assert_memory_equal(&number, &expected, sizeof(number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_beyond_the_grammar_of_json_are_refused),
        cmocka_unit_test(doubles_are_read_as_strtod_reads_them),
        cmocka_unit_test(doubles_end_where_the_slice_ends),
        cmocka_unit_test(a_double_may_have_any_number_of_digits),
        cmocka_unit_test(doubles_are_spelled_shortly),
        cmocka_unit_test(every_double_survives_the_way_to_text_and_back),
        cmocka_unit_test(decimals_are_read_as_strtod_reads_them_whatever_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
