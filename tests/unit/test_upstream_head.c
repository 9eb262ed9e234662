/*
 * The head of an answer: what it holds, and how long an upstream asks us to wait.
 */
#include <setjmp.h>
#include <signal.h>
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
        {{"retry-after-ms: 0\r\n", "Retry-After: 7\r\n"}, 0},
        {{"retry-after-ms: 86399999\r\n"}, 86399999},
        {{"Retry-After: 86400\r\n"}, 86400000},
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

static void on_broken_pipe(int number)
{
    (void)number;
}

/* A program with a handler for SIGPIPE keeps it. */
static void a_handler_of_broken_pipes_stays(void **state)
{
    (void)state;
    struct sigaction now;
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == on_broken_pipe);
}

static void a_status_line_is_read_in_every_version(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", 200}, {"HTTP/2 404\r\n", 404},    {"HTTP/1.0 599 X\r\n", 599},
        {"HTTP/1.1 2x0 OK\r\n", 0},   {"HTTP/1.1 :00 OK\r\n", 0}, {"HTTP/1.1\r\n", 0},
        {"HTTP/1.1 /00 OK\r\n", 0},   {"HTTP/1.1 2001\r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upstream_head head;
        upstream_head_init(&head);
        assert_false(upstream_head_take(&head, slice_of(cases[i].line)));
        assert_int_equal(head.status_code, cases[i].code);
        buffer_release(&head.lines);
    }
}

/* RFC 9110, section 15.2: interim answers come before the one that counts. */
static void a_head_is_complete_with_the_final_answer_and_takes_no_trailers(void **state)
{
    (void)state;
    struct upstream_head head;
    upstream_head_init(&head);
    upstream_head_take(&head, slice_of("HTTP/1.1 199 Wait\r\n"));
    upstream_head_take(&head, slice_of("X-A: interim\r\n"));
    assert_false(upstream_head_take(&head, slice_of("\r\n")));
    assert_false(head.is_complete);
    upstream_head_take(&head, slice_of("HTTP/1.1 200 OK\r\n"));
    assert_string_equal(upstream_head_find(&head, "x-a"), "");
    upstream_head_take(&head, slice_of("X-Ab: longer\r\n"));
    upstream_head_take(&head, (struct slice){"X-A: cut\0off\r\n", 15});
    upstream_head_take(&head, slice_of("X-A:\t final\r\n"));
    upstream_head_take(&head, slice_of("X-A: second\r\n"));
    assert_true(upstream_head_take(&head, slice_of("\r\n")));
    assert_true(head.is_complete);
    assert_false(upstream_head_take(&head, slice_of("X-B: trailer\r\n")));
    assert_false(upstream_head_take(&head, slice_of("HTTP/1.1 500 No\r\n")));
    assert_int_equal(head.status_code, 200);
    assert_string_equal(upstream_head_find(&head, "X-A"), "final");
    assert_string_equal(upstream_head_find(&head, "X-B"), "");
    buffer_release(&head.lines);
}

static void results_have_words(void **state)
{
    (void)state;
    static const struct {
        enum upstream_result result;
        const char *word;
    } words[] = {{UPSTREAM_COMPLETE, "complete"},     {UPSTREAM_UNREACHABLE, "unreachable"},
                 {UPSTREAM_TIMEOUT, "timeout"},       {UPSTREAM_BROKEN, "broken"},
                 {UPSTREAM_TOO_LARGE, "too_large"},   {UPSTREAM_CANCELLED, "cancelled"},
                 {UPSTREAM_OVERLOADED, "overloaded"}, {(enum upstream_result)99, "unknown"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_string_equal(upstream_result_text(words[i].result), words[i].word);
    }
}

static int load(void **state)
{
    (void)state;
    signal(SIGPIPE, on_broken_pipe);
    return libcurl_load() == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_and_milliseconds_to_wait_are_read),
        cmocka_unit_test(dates_to_wait_for_are_read_against_the_clock_of_their_writer),
        cmocka_unit_test(without_their_clock_dates_are_read_against_ours),
        cmocka_unit_test(a_handler_of_broken_pipes_stays),
        cmocka_unit_test(a_status_line_is_read_in_every_version),
        cmocka_unit_test(a_head_is_complete_with_the_final_answer_and_takes_no_trailers),
        cmocka_unit_test(results_have_words),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
