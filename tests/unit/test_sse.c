/*
 * What a parser of text/event-stream owes (WHATWG HTML, section 9.2.6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "upstream/sse.h"

/* Events as text: "type|data|id;" */
static void write_down(const struct sse_event *event, void *context)
{
    struct buffer *out = context;
    buffer_append(out, event->type.data, event->type.length);
    buffer_append_char(out, '|');
    buffer_append(out, event->data.data, event->data.length);
    buffer_append_char(out, '|');
    buffer_append(out, event->id.data, event->id.length);
    buffer_append_char(out, ';');
}

/* Feeds `input` in pieces of `size` bytes. */
static enum status parse(struct slice input, size_t size, struct buffer *out)
{
    struct sse_parser parser;
    enum status status = STATUS_OK;
    sse_init(&parser);
    for (size_t at = 0; at < input.length && status == STATUS_OK; at += size) {
        size_t length = input.length - at < size ? input.length - at : size;
        struct slice piece = {.data = input.data + at, .length = length};
        status = sse_feed(&parser, piece, write_down, out);
    }
    sse_release(&parser);
    return status;
}

static void an_end_that_is_said_completes_the_last_event(void **state)
{
    (void)state;
    static const struct {
        const char *input, *events;
    } cases[] = {
        {"data: one\n\ndata: two\n", "message|one|;message|two|;"},
        {"data: one\n\nevent: x\ndata: two", "message|one|;x|two|;"},
        {"data: one\r", "message|one|;"},
        {"data: one\n\n", "message|one|;"},
        {"event: x\nid: 7", ""},
        {": comment", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sse_parser parser;
        struct buffer out;
        sse_init(&parser);
        buffer_init(&out, 1 << 20);
        assert_int_equal(sse_feed(&parser, slice_of(cases[i].input), write_down, &out), STATUS_OK);
        assert_int_equal(sse_end(&parser, write_down, &out), STATUS_OK);
        assert_string_equal(buffer_text(&out), cases[i].events);
        buffer_release(&out);
        sse_release(&parser);
    }
}

/* The same events, however the bytes are split. */
static void expect(const char *input, size_t length, const char *events)
{
    for (size_t size = 1; size <= length; size++) {
        struct buffer out;
        buffer_init(&out, 1 << 20);
        struct slice bytes = {.data = input, .length = length};
        assert_int_equal(parse(bytes, size, &out), STATUS_OK);
        assert_string_equal(buffer_text(&out), events);
        buffer_release(&out);
    }
}

#define EXPECT(input, events) expect(input, sizeof(input) - 1, events)

static void event_is_dispatched_at_its_blank_line(void **state)
{
    (void)state;
    EXPECT("data: hello\n\n", "message|hello|;");
    EXPECT("event: token\ndata: {\"a\":1}\n\n", "token|{\"a\":1}|;");
    EXPECT("data: one\n\ndata: two\n\n", "message|one|;message|two|;");
}

static void unfinished_event_is_dropped(void **state)
{
    (void)state;
    EXPECT("data: one\n\ndata: two\n", "message|one|;");
    EXPECT("data: one", "");
}

static void lines_end_with_lf_cr_or_crlf(void **state)
{
    (void)state;
    EXPECT("data: a\rdata: b\r\r", "message|a\nb|;");
    EXPECT("data: a\r\ndata: b\r\n\r\n", "message|a\nb|;");
    EXPECT("data: a\n\rdata: b\r\n\n", "message|a|;message|b|;");
}

static void byte_order_mark_is_skipped_only_at_the_start(void **state)
{
    (void)state;
    EXPECT("\xef\xbb\xbf"
           "data: a\n\n",
           "message|a|;");
    EXPECT("data: a\n\n\xef\xbb\xbf"
           "data: b\n\n",
           "message|a|;");
}

static void several_data_lines_are_joined_by_lf(void **state)
{
    (void)state;
    EXPECT("data: a\ndata:\ndata: b\n\n", "message|a\n\nb|;");
    EXPECT("data\ndata\n\n", "message|\n|;");
}

static void event_without_data_is_not_dispatched(void **state)
{
    (void)state;
    EXPECT("event: ping\n\n", "");
    EXPECT("event: ping\n\ndata: x\n\n", "message|x|;");
    EXPECT("data\n\n", "message||;");
    EXPECT("\n\n\n", "");
}

static void one_space_after_the_colon_is_taken_away(void **state)
{
    (void)state;
    EXPECT("data:a\n\n", "message|a|;");
    EXPECT("data:  a\n\n", "message| a|;");
    EXPECT("data: a: b\n\n", "message|a: b|;");
}

static void comments_and_unknown_fields_are_ignored(void **state)
{
    (void)state;
    EXPECT(": ping\n\ndata: a\n: between\nfoo: bar\nretry: 10\nDATA: no\n\n", "message|a|;");
    EXPECT(" data: a\n\n", "");
}

static void last_id_stays_until_it_changes(void **state)
{
    (void)state;
    EXPECT("id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "message|a|7;message|b|7;message|c|;");
    EXPECT("id: 1\n\ndata: a\n\n", "message|a|1;");
}

static void id_with_nul_is_ignored(void **state)
{
    (void)state;
    EXPECT("id: 1\nid: 2\0\ndata: a\n\n", "message|a|1;");
}

static void large_event_comes_through_whole(void **state)
{
    (void)state;
    const size_t length = SSE_EVENT_MAXIMUM - 6;
    char *input = memory_allocate(length + 8);
    memcpy(input, "data: ", 6);
    memset(input + 6, 'x', length);
    memcpy(input + 6 + length, "\n\n", 2);
    struct buffer out;
    buffer_init(&out, 2 * SSE_EVENT_MAXIMUM);
    struct slice bytes = {.data = input, .length = length + 8};
    assert_int_equal(parse(bytes, 10000, &out), STATUS_OK);
    assert_int_equal(out.length, length + strlen("message||;"));
    buffer_release(&out);
    memory_release(input);
}

static void line_of_the_maximum_is_read_whole_or_in_pieces(void **state)
{
    (void)state;
    const size_t length = SSE_EVENT_MAXIMUM;
    char *input = memory_allocate(length + 1);
    memset(input, ':', length);
    input[length] = '\n';
    const size_t sizes[] = {1000, length + 1};
    for (size_t i = 0; i < 2; i++) {
        struct buffer out;
        buffer_init(&out, 1000);
        assert_int_equal(parse((struct slice){input, length + 1}, sizes[i], &out), STATUS_OK);
        assert_int_equal(out.length, 0);
        buffer_release(&out);
    }
    memory_release(input);
}

static void too_long_line_is_refused_and_stays_refused(void **state)
{
    (void)state;
    const size_t length = SSE_EVENT_MAXIMUM + 1;
    char *input = memory_allocate(length + 1);
    memset(input, 'x', length);
    input[length] = '\n';
    const size_t sizes[] = {1000, length + 1};
    for (size_t i = 0; i < 2; i++) {
        struct sse_parser parser;
        sse_init(&parser);
        enum status status = STATUS_OK;
        for (size_t at = 0; at <= length && status == STATUS_OK; at += sizes[i]) {
            size_t piece = length + 1 - at < sizes[i] ? length + 1 - at : sizes[i];
            status = sse_feed(&parser, (struct slice){input + at, piece}, write_down, NULL);
        }
        assert_int_equal(status, STATUS_TOO_LARGE);
        assert_int_equal(sse_feed(&parser, slice_of("data: a\n\n"), write_down, NULL),
                         STATUS_TOO_LARGE);
        sse_release(&parser);
    }
    memory_release(input);
}

static void data_of_many_lines_is_bounded(void **state)
{
    (void)state;
    struct sse_parser parser;
    sse_init(&parser);
    char line[1025] = "data: ";
    memset(line + 6, 'x', 1017);
    line[1023] = '\n';
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < 2 * SSE_EVENT_MAXIMUM / 1024 && status == STATUS_OK; i++) {
        status = sse_feed(&parser, (struct slice){line, 1024}, write_down, NULL);
    }
    assert_int_equal(status, STATUS_TOO_LARGE);
    sse_release(&parser);
}

static void failing_memory_is_told(void **state)
{
    (void)state;
    const char *input = "event: a\nid: 1\ndata: some text\n\nevent: b\ndata: x\n\n";
    for (unsigned long n = 1;; n++) {
        struct buffer out;
        buffer_init(&out, 1000);
        char *room = buffer_reserve(&out, 500);
        assert_non_null(room);
        memory_fail_after(n);
        enum status status = parse(slice_of(input), 5, &out);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        if (failures == 0) {
            assert_int_equal(status, STATUS_OK);
            assert_string_equal(buffer_text(&out), "a|some text|1;b|x|1;");
            buffer_release(&out);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        buffer_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is_dispatched_at_its_blank_line),
        cmocka_unit_test(unfinished_event_is_dropped),
        cmocka_unit_test(an_end_that_is_said_completes_the_last_event),
        cmocka_unit_test(lines_end_with_lf_cr_or_crlf),
        cmocka_unit_test(byte_order_mark_is_skipped_only_at_the_start),
        cmocka_unit_test(several_data_lines_are_joined_by_lf),
        cmocka_unit_test(event_without_data_is_not_dispatched),
        cmocka_unit_test(one_space_after_the_colon_is_taken_away),
        cmocka_unit_test(comments_and_unknown_fields_are_ignored),
        cmocka_unit_test(last_id_stays_until_it_changes),
        cmocka_unit_test(id_with_nul_is_ignored),
        cmocka_unit_test(large_event_comes_through_whole),
        cmocka_unit_test(line_of_the_maximum_is_read_whole_or_in_pieces),
        cmocka_unit_test(too_long_line_is_refused_and_stays_refused),
        cmocka_unit_test(data_of_many_lines_is_bounded),
        cmocka_unit_test(failing_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
