/*
 * How often something may be done, as settings spell it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buffer.h"
#include "base/rate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void a_limit_is_a_count_and_a_window(void **state)
{
    static const struct {
        const char *text;
        uint64_t seconds;
        const char *described;
    } cases[] = {
        {"1/second", 1, "1 per 1 second"},
        {"10/minute", 60, "10 per 1 minute"},
        {"10 / HOURS", 3600, "10 per 1 hour"},
        {"2 per day", 86400, "2 per 1 day"},
        {"2PER\t3 DayS", 3 * 86400, "2 per 3 day"},
        {"5/month", UINT64_C(30) * 86400, "5 per 1 month"},
        {"5/year", UINT64_C(360) * 86400, "5 per 1 year"},
        {"1/2seconds", 2, "1 per 2 second"},
        {" 1/minute ", 60, "1 per 1 minute"},
        {"1000000000/second", 1, "1000000000 per 1 second"},
        {"1/36000 days", UINT64_C(36000) * 86400, "1 per 36000 day"},
        {"1/100 years", UINT64_C(36000) * 86400, "1 per 100 year"},
        {"1/1000000000 seconds", 1000000000, "1 per 1000000000 second"},
    };
    struct rate rates[1];
    struct buffer text;
    size_t count;

    (void)state;
    buffer_init(&text, 256);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(rate_parse_list(slice_of(cases[i].text), rates, 1, &count), STATUS_OK);
        assert_int_equal(count, 1);
        assert_int_equal(rates[0].window_seconds, cases[i].seconds);
        buffer_reset(&text);
        rate_describe(&rates[0], &text);
        assert_string_equal(buffer_text(&text), cases[i].described);
    }
    buffer_release(&text);
}

static void anything_else_is_no_limit(void **state)
{
    static const char *const bad[] = {
        "",
        "0/minute",
        "/minute",
        "1",
        "1/",
        "1minute",
        "1 minute",
        "1//minute",
        "1/0 minutes",
        "1/minutess",
        "1/minutex",
        "1/min",
        "1/3",
        "-1/minute",
        "1.5/minute",
        "a/minute",
        "1000000001/second",
        "1/36001 days",
        "1/101 years",
        "1/1000000001 seconds",
        "1/minute;",
        ";1/minute",
        "1/minute;;1/hour",
        "1 pe minute",
        "1/minute 1",
        "99999999999999999999/second",
    };
    struct rate rates[4];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t count = 9;

        if (rate_parse_list(slice_of(bad[i]), rates, 4, &count) != STATUS_INVALID || count != 0) {
            fail_msg("\"%s\"", bad[i]);
        }
    }
}

static void a_list_is_joined_by_three_signs_and_has_a_maximum(void **state)
{
    struct rate rates[4];
    size_t count;

    (void)state;
    assert_int_equal(
        rate_parse_list(slice_of("1/second; 2/minute ,3/hour|4/day"), rates, 4, &count), STATUS_OK);
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(rates[i].count, i + 1);
    }
    assert_int_equal(rate_parse_list(slice_of("1/second;2/minute,3/hour"), rates, 2, &count),
                     STATUS_INVALID);
    assert_int_equal(count, 0);
}

/* A text is as long as its slice says. */
static void what_stands_behind_the_text_is_not_read(void **state)
{
    struct rate rates[1];
    size_t count;

    (void)state;
    assert_int_equal(rate_parse_list((struct slice){"12/second", 8}, rates, 1, &count),
                     STATUS_INVALID);
    assert_int_equal(rate_parse_list((struct slice){"1/second5", 8}, rates, 1, &count), STATUS_OK);
    assert_int_equal(rate_parse_list((struct slice){"12/second", 1}, rates, 1, &count),
                     STATUS_INVALID);
    assert_int_equal(rate_parse_list((struct slice){"1per second", 3}, rates, 1, &count),
                     STATUS_INVALID);
    assert_int_equal(rate_parse_list((struct slice){"1 /second", 2}, rates, 1, &count),
                     STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_is_a_count_and_a_window),
        cmocka_unit_test(anything_else_is_no_limit),
        cmocka_unit_test(a_list_is_joined_by_three_signs_and_has_a_maximum),
        cmocka_unit_test(what_stands_behind_the_text_is_not_read),
    };
    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
