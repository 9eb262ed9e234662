/*
 * The head of an answer: how long an upstream asks us to wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "base/clock.h"
#include "upstream/upstream_easy.h"

static int64_t wait_of(const char *const lines[])
{
    struct upstream_head head;
    upstream_head_init(&head);
    upstream_head_take(&head, slice_of("HTTP/1.1 429 Too Many Requests\r\n"));
    for (size_t i = 0; lines[i] != NULL; i++) {
        upstream_head_take(&head, slice_of(lines[i]));
    }
    assert_true(upstream_head_take(&head, slice_of("\r\n")));
    int64_t wait = upstream_head_retry_after(&head);
    buffer_release(&head.lines);
    return wait;
}

static void seconds_and_milliseconds_to_wait_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *lines[3];
        int64_t milliseconds;
    } cases[] = {
        {{NULL}, 0},
        {{"Retry-After: 7\r\n"}, 7000},
        {{"retry-after:\t 7 \r\n"}, 7000},
        {{"RETRY-AFTER: 2.5\r\n"}, 2500},
        {{"Retry-After: 0\r\n"}, 0},
        {{"Retry-After: -7\r\n"}, 0},
        {{"Retry-After: soon\r\n"}, 0},
        {{"Retry-After:\r\n"}, 0},
        {{"Retry-After: 86401\r\n"}, UPSTREAM_RETRY_AFTER_MAXIMUM},
        {{"Retry-After: 99999999999999999999999\r\n"}, UPSTREAM_RETRY_AFTER_MAXIMUM},
        {{"Retry-After: 7\r\n", "retry-after-ms: 250\r\n"}, 250},
        {{"retry-after-ms: later\r\n", "Retry-After: 7\r\n"}, 7000},
        {{"X-Retry-After: 7\r\n"}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(wait_of(cases[i].lines), cases[i].milliseconds);
    }
}

/* RFC 9110, section 5.6.7: one form to write, three to read. */
static void dates_to_wait_for_are_read_against_the_clock_of_their_writer(void **state)
{
    (void)state;
    static const char *const dates[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        char line[80];
        snprintf(line, sizeof line, "Retry-After: %s\r\n", dates[i]);
        const char *const before[] = {line, "Date: Sun, 06 Nov 1994 08:49:07 GMT\r\n", NULL};
        assert_int_equal(wait_of(before), 30000);
        const char *const behind[] = {line, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n", NULL};
        assert_int_equal(wait_of(behind), 0);
        const char *const long_before[] = {line, "Date: Sat, 06 Nov 1993 08:49:07 GMT\r\n", NULL};
        assert_int_equal(wait_of(long_before), UPSTREAM_RETRY_AFTER_MAXIMUM);
        const char *const past[] = {line, NULL};
        assert_int_equal(wait_of(past), 0);
    }
}

static void without_their_clock_dates_are_read_against_ours(void **state)
{
    (void)state;
    time_t soon = (time_t)clock_wall_seconds() + 100;
    struct tm parts;
    char line[80];
    gmtime_r(&soon, &parts);
    strftime(line, sizeof line, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    const char *const lines[] = {line, NULL};
    int64_t wait = wait_of(lines);
    assert_true(wait > 90000 && wait <= 100000);
}

static int load(void **state)
{
    (void)state;
    return libcurl_load() == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_and_milliseconds_to_wait_are_read),
        cmocka_unit_test(dates_to_wait_for_are_read_against_the_clock_of_their_writer),
        cmocka_unit_test(without_their_clock_dates_are_read_against_ours),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
