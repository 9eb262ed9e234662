/*
 * Tests of base/clock: the calendar against libc's, and what the three clocks promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void timestamps_are_rfc_3339_in_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t milliseconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1767323045678, "2026-01-02T03:04:05.678Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[CLOCK_TIMESTAMP_SIZE];
        clock_format_timestamp(cases[i].milliseconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void times_outside_of_four_digit_years_become_the_nearest(void **state)
{
    (void)state;
    char text[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format_timestamp(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void the_second_that_is_remembered_is_the_right_one(void **state)
{
    (void)state;
    char text[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(1767323045001, text);
    clock_format_timestamp(1767323045999, text);
    assert_string_equal(text, "2026-01-02T03:04:05.999Z");
    clock_format_timestamp(1767323046000, text);
    assert_string_equal(text, "2026-01-02T03:04:06.000Z");
    clock_format_timestamp(1767323045002, text);
    assert_string_equal(text, "2026-01-02T03:04:05.002Z");
}

static void the_calendar_agrees_with_libc(void **state)
{
    (void)state;
    /* Steps of about 17 hours that meet all days from the year 0 to 9999. */
    for (int64_t second = -62167219200; second <= 253402300799; second += 61169) {
        time_t moment = (time_t)second;
        struct tm parts;
        assert_non_null(gmtime_r(&moment, &parts));
        char expected[40];
        size_t length = strftime(expected, sizeof(expected), "-%m-%dT%H:%M:%S.000Z", &parts);
        char text[CLOCK_TIMESTAMP_SIZE];
        clock_format_timestamp(second * 1000, text);
        if (memcmp(text + 4, expected, length + 1) != 0) {
            assert_string_equal(text + 4, expected);
        }
        int year =
            (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0';
        int64_t midnight = clock_seconds_of_date(year, parts.tm_mon + 1, parts.tm_mday);
        int64_t of_day = parts.tm_hour * 3600 + parts.tm_min * 60 + parts.tm_sec;
        if (year != parts.tm_year + 1900 || midnight + of_day != second) {
            fail_msg("second %lld", (long long)second);
        }
    }
}

static void days_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const int bad[][3] = {
        {2026, 0, 1},  {2026, 13, 1}, {2026, -1, 1}, {2026, 1, 0},  {2026, 1, 32}, {2026, 4, 31},
        {2026, 2, 29}, {2024, 2, 30}, {1900, 2, 29}, {2100, 2, 29}, {2026, 1, -5},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_true(clock_seconds_of_date(bad[i][0], bad[i][1], bad[i][2]) == INT64_MIN);
    }
}

static void leap_days_follow_the_gregorian_rule(void **state)
{
    (void)state;
    assert_true(clock_seconds_of_date(2000, 2, 29) == 951782400);
    assert_true(clock_seconds_of_date(2024, 2, 29) == 1709164800);
    assert_true(clock_seconds_of_date(1970, 1, 1) == 0);
    assert_true(clock_seconds_of_date(1969, 12, 31) == -86400);
    assert_true(clock_seconds_of_date(-400, 2, 29) != INT64_MIN);
}

static void months_begin_on_their_first_day(void **state)
{
    (void)state;
    static const struct {
        int year, month, days;
    } months[] = {{1969, 12, 31}, {1970, 1, 31}, {2023, 2, 28}, {2024, 2, 29}, {2024, 12, 31}};
    for (size_t i = 0; i < sizeof months / sizeof months[0]; i++) {
        int64_t first = clock_seconds_of_date(months[i].year, months[i].month, 1) / 86400;
        for (int day = 0; day < months[i].days; day++) {
            assert_true(clock_first_of_month(first + day) == first);
        }
        assert_true(clock_first_of_month(first + months[i].days) == first + months[i].days);
        assert_true(clock_first_of_month(first + 31) == first + months[i].days);
    }
}

static void clocks_run_forward_and_agree(void **state)
{
    (void)state;
    uint64_t monotonic = clock_monotonic_nanoseconds();
    uint64_t boot = clock_boot_nanoseconds();
    for (int i = 0; i < 1000; i++) {
        uint64_t next = clock_monotonic_nanoseconds();
        assert_true(next >= monotonic);
        monotonic = next;
        next = clock_boot_nanoseconds();
        assert_true(next >= boot);
        boot = next;
    }
    int64_t seconds = clock_wall_seconds();
    int64_t milliseconds = clock_wall_milliseconds();
    assert_in_range(milliseconds / 1000 - seconds, 0, 1);
    assert_in_range((int64_t)time(NULL) - seconds, 0, 2);
}

static void timestamps_are_read_in_every_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milliseconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:01Z", 1000},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:29:00-00:31", 0},
        {"1970-01-02T00:00:00+23:59", 60000},
        {"1970-01-01T00:00:00.1Z", 100},
        {"1970-01-01T00:00:00.12Z", 120},
        {"1970-01-01T00:00:00.123Z", 123},
        {"1970-01-01T00:00:00.1239999Z", 123},
        {"1970-01-01T00:00:00.007Z", 7},
        {"1970-01-01T23:59:60Z", 86400000},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"0000-01-01T00:00:00Z", -62167219200000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t milliseconds = -1;
        if (!clock_parse_timestamp(cases[i].text, &milliseconds) ||
            milliseconds != cases[i].milliseconds) {
            fail_msg("%s: %lld", cases[i].text, (long long)milliseconds);
        }
    }
}

static void what_is_no_timestamp_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00Z",
        "70-01-01T00:00:00Z",
        "1970/01-01T00:00:00Z",
        "1970-01/01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-02-29T00:00:00Z",
        "1970-01-01x00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00-00:00Z",
        "1970-01-01T00:00-00Z",
        "1970-01-01T0:00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+00:60",
        "1970-01-01T00:00:00+0000",
        "1970-01-01T00:00:00+00",
        "1970-01-01T00:00:00*00:00",
        "1970-01-01T00:00:00ZZ",
        "197/-01-01T00:00:00Z",
        "197:-01-01T00:00:00Z",
        " 1970-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t milliseconds;
        if (clock_parse_timestamp(bad[i], &milliseconds)) {
            fail_msg("%s", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamps_are_rfc_3339_in_utc_with_milliseconds),
        cmocka_unit_test(times_outside_of_four_digit_years_become_the_nearest),
        cmocka_unit_test(the_second_that_is_remembered_is_the_right_one),
        cmocka_unit_test(the_calendar_agrees_with_libc),
        cmocka_unit_test(days_that_do_not_exist_are_refused),
        cmocka_unit_test(leap_days_follow_the_gregorian_rule),
        cmocka_unit_test(months_begin_on_their_first_day),
        cmocka_unit_test(clocks_run_forward_and_agree),
        cmocka_unit_test(timestamps_are_read_in_every_offset),
        cmocka_unit_test(what_is_no_timestamp_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
