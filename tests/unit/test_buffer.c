/*
 * Tests of base/buffer: what a buffer promises when there is room, and when there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "heap_help.h"

static void a_fresh_buffer_reads_as_empty_text_and_has_no_memory(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    assert_null(buffer.data);
    assert_string_equal(buffer_text(&buffer), "");
    assert_int_equal(buffer_status(&buffer), STATUS_OK);
    buffer_release(&buffer);
}

static void appending_nothing_is_allowed_in_every_state(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 1);
    assert_int_equal(buffer_append(&buffer, NULL, 0), STATUS_OK);
    assert_int_equal(buffer_append_text(&buffer, ""), STATUS_OK);
    assert_null(buffer.data);
    assert_int_equal(buffer_append_char(&buffer, 'a'), STATUS_OK);
    assert_int_equal(buffer_append(&buffer, NULL, 0), STATUS_OK);
    assert_string_equal(buffer_text(&buffer), "a");
    buffer_release(&buffer);
}

static void content_is_always_followed_by_a_nul(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 5000);
    for (size_t i = 1; i <= 5000; i++) {
        assert_int_equal(buffer_append_char(&buffer, 'x'), STATUS_OK);
        assert_int_equal(buffer.length, i);
        assert_int_equal(buffer_text(&buffer)[i], '\0');
    }
    buffer_truncate(&buffer, 3);
    assert_string_equal(buffer_text(&buffer), "xxx");
    buffer_consume(&buffer, 1);
    assert_string_equal(buffer_text(&buffer), "xx");
    buffer_reset(&buffer);
    assert_string_equal(buffer_text(&buffer), "");
    buffer_release(&buffer);
}

static void bytes_with_nul_are_kept(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append(&buffer, "a\0b", 3), STATUS_OK);
    assert_int_equal(buffer.length, 3);
    assert_memory_equal(buffer.data, "a\0b", 4);
    buffer_release(&buffer);
}

static void exactly_the_maximum_is_accepted(void **state)
{
    (void)state;
    static const size_t maxima[] = {1, 255, 256, 257, 4096};
    static const char bytes[4096];
    for (size_t i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
        struct buffer buffer;
        buffer_init(&buffer, maxima[i]);
        assert_int_equal(buffer_append(&buffer, bytes, maxima[i]), STATUS_OK);
        assert_true(buffer.capacity <= maxima[i] + 1);
        assert_int_equal(buffer_append_char(&buffer, 'x'), STATUS_TOO_LARGE);
        assert_int_equal(buffer.length, maxima[i]);
        buffer_release(&buffer);
    }
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 4);
    assert_int_equal(buffer_append_text(&buffer, "abc"), STATUS_OK);
    assert_int_equal(buffer_append_text(&buffer, "de"), STATUS_TOO_LARGE);
    assert_int_equal(buffer_append_char(&buffer, 'd'), STATUS_TOO_LARGE);
    assert_int_equal(buffer_append_integer(&buffer, 1), STATUS_TOO_LARGE);
    assert_int_equal(buffer_append_format(&buffer, "%d", 1), STATUS_TOO_LARGE);
    assert_int_equal(buffer_append(&buffer, "", 0), STATUS_TOO_LARGE);
    assert_null(buffer_reserve(&buffer, 1));
    assert_int_equal(buffer_status(&buffer), STATUS_TOO_LARGE);
    assert_string_equal(buffer_text(&buffer), "abc");
    buffer_reset(&buffer);
    assert_int_equal(buffer_append_text(&buffer, "wxyz"), STATUS_OK);
    assert_string_equal(buffer_text(&buffer), "wxyz");
    buffer_release(&buffer);
}

static void sizes_near_the_end_of_the_number_range_are_refused(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    assert_int_equal(buffer_append_text(&buffer, "abc"), STATUS_OK);
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_int_equal(buffer_status(&buffer), STATUS_TOO_LARGE);
    buffer_release(&buffer);
}

static void reserved_room_counts_only_as_far_as_it_is_committed(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    char *room = buffer_reserve(&buffer, 700);
    assert_non_null(room);
    assert_string_equal(buffer_text(&buffer), "");
    memset(room, 'r', 700);
    buffer_commit(&buffer, 2);
    assert_string_equal(buffer_text(&buffer), "rr");
    assert_non_null(buffer_reserve(&buffer, 998));
    assert_null(buffer_reserve(&buffer, 999));
    buffer_release(&buffer);
}

static void consume_takes_from_the_front_and_never_more_than_there_is(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100);
    buffer_consume(&buffer, 5);
    assert_int_equal(buffer_append_text(&buffer, "abcdef"), STATUS_OK);
    buffer_consume(&buffer, 0);
    buffer_consume(&buffer, 2);
    assert_string_equal(buffer_text(&buffer), "cdef");
    buffer_consume(&buffer, 5);
    assert_int_equal(buffer.length, 0);
    assert_string_equal(buffer_text(&buffer), "");
    buffer_release(&buffer);
}

static void truncate_never_makes_longer(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100);
    buffer_truncate(&buffer, 0);
    assert_int_equal(buffer_append_text(&buffer, "ab"), STATUS_OK);
    buffer_truncate(&buffer, 3);
    assert_string_equal(buffer_text(&buffer), "ab");
    buffer_truncate(&buffer, 0);
    assert_string_equal(buffer_text(&buffer), "");
    buffer_release(&buffer);
}

static void formatted_text_may_be_of_any_length(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 5000);
    assert_int_equal(buffer_append_format(&buffer, "%s-%d", "a", 7), STATUS_OK);
    assert_string_equal(buffer_text(&buffer), "a-7");
    assert_int_equal(buffer_append_format(&buffer, "%s", ""), STATUS_OK);
    assert_int_equal(buffer_append_format(&buffer, "%4000d|", 8), STATUS_OK);
    assert_int_equal(buffer.length, 3 + 4001);
    assert_string_equal(buffer_text(&buffer) + 3 + 3998, " 8|");
    /* What does not fit leaves no trace. */
    assert_int_equal(buffer_append_format(&buffer, "%1000d", 9), STATUS_TOO_LARGE);
    assert_int_equal(strlen(buffer_text(&buffer)), 3 + 4001);
    buffer_release(&buffer);
}

static void integers_are_spelled_in_decimal(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100);
    static const struct {
        long long number;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-1, "-1"},
        {10, "10"},
        {1234567890, "1234567890"},
        {LLONG_MAX, "9223372036854775807"},
        {LLONG_MIN, "-9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buffer_reset(&buffer);
        assert_int_equal(buffer_append_integer(&buffer, cases[i].number), STATUS_OK);
        assert_string_equal(buffer_text(&buffer), cases[i].text);
    }
    buffer_release(&buffer);
}

static void release_is_idempotent_and_leaves_a_usable_buffer(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 3);
    buffer_release(&buffer);
    assert_int_equal(buffer_append_text(&buffer, "abcd"), STATUS_TOO_LARGE);
    buffer_release(&buffer);
    buffer_release(&buffer);
    assert_int_equal(buffer_append_text(&buffer, "abc"), STATUS_OK);
    assert_int_equal(buffer_append_char(&buffer, 'd'), STATUS_TOO_LARGE);
    buffer_release(&buffer);
}

/* Appends in every way, with growth in each. */
static enum status fill(struct buffer *buffer)
{
    buffer_append_text(buffer, "text");
    buffer_append_format(buffer, "%600d", 1);
    buffer_append_integer(buffer, -42);
    char *room = buffer_reserve(buffer, 2000);
    if (room != NULL) {
        memset(room, 'r', 2000);
        buffer_commit(buffer, 2000);
    }
    for (int i = 0; i < 3000; i++) {
        buffer_append_char(buffer, 'c');
    }
    return buffer_status(buffer);
}

static void every_failed_allocation_is_reported_and_keeps_the_content(void **state)
{
    (void)state;
    unsigned long n = 0;
    enum status status;
    do {
        struct buffer buffer;
        buffer_init(&buffer, 100000);
        memory_fail_after(++n);
        status = fill(&buffer);
        if (memory_failures_seen() > 0) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            /* Sticky: one failure, then no further attempt. */
            assert_int_equal(memory_failures_seen(), 1);
            assert_int_equal(strlen(buffer_text(&buffer)), buffer.length);
        }
        memory_fail_after(0);
        buffer_release(&buffer);
    } while (status != STATUS_OK);
    assert_true(n > 3);
}

static void fill_and_release(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 4096);
    for (int i = 0; i < 40; i++) {
        buffer_append_text(&buffer, "0123456789");
    }
    buffer_release(&buffer);
}

static void what_a_buffer_took_is_given_back(void **state)
{
    (void)state;
    assert_gives_all_back(fill_and_release);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_buffer_reads_as_empty_text_and_has_no_memory),
        cmocka_unit_test(appending_nothing_is_allowed_in_every_state),
        cmocka_unit_test(content_is_always_followed_by_a_nul),
        cmocka_unit_test(bytes_with_nul_are_kept),
        cmocka_unit_test(exactly_the_maximum_is_accepted),
        cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(sizes_near_the_end_of_the_number_range_are_refused),
        cmocka_unit_test(reserved_room_counts_only_as_far_as_it_is_committed),
        cmocka_unit_test(consume_takes_from_the_front_and_never_more_than_there_is),
        cmocka_unit_test(truncate_never_makes_longer),
        cmocka_unit_test(formatted_text_may_be_of_any_length),
        cmocka_unit_test(integers_are_spelled_in_decimal),
        cmocka_unit_test(release_is_idempotent_and_leaves_a_usable_buffer),
        cmocka_unit_test(every_failed_allocation_is_reported_and_keeps_the_content),
        cmocka_unit_test(what_a_buffer_took_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
