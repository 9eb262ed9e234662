/*
 * Tool calls in the answers of providers: which pieces belong together, and what is passed on as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "fcgi-apps/chat/completion_reader.h"

static struct arena scratch;

struct indexed_call {
    const char *given;
    const char *index;
};

static void check_indices(const struct indexed_call *calls, size_t count)
{
    struct completion_progress progress = {0};
    for (size_t i = 0; i < count; i++) {
        char text[256];
        char expected[32];
        struct completion_chunk chunk;
        struct buffer mended;
        snprintf(text, sizeof text, "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[%s]}}]}",
                 calls[i].given);
        snprintf(expected, sizeof expected, "\"index\":%s", calls[i].index);
        buffer_init(&mended, 1 << 20);
        assert_int_equal(
            completion_read_chunk(slice_of(text), false, &scratch, &progress, &chunk, &mended),
            STATUS_OK);
        const char *passed_on = chunk.is_changed ? buffer_text(&mended) : text;
        assert_non_null(strstr(strstr(passed_on, "tool_calls"), expected));
        buffer_release(&mended);
    }
}

static void tool_calls_without_an_index_are_told_apart_by_their_ids(void **state)
{
    (void)state;
    static const struct indexed_call calls[] = {
        {"{\"id\":\"a\",\"function\":{}}", "0"},
        {"{\"function\":{\"arguments\":\"x\"}}", "0"},
        {"{\"index\":null,\"id\":\"b\"}", "1"},
        {"{\"id\":null,\"function\":{\"arguments\":\"y\"}}", "1"},
        {"{\"id\":\"\",\"function\":{\"arguments\":\"z\"}}", "1"},
        {"{\"id\":\"c\"}", "2"}};
    check_indices(calls, sizeof calls / sizeof calls[0]);
}

static void tool_calls_under_one_index_are_told_apart_by_their_ids(void **state)
{
    (void)state;
#define LONG "call_0123456789012345678901234567890123456789012345678901234567890123456789"
    static const struct indexed_call always_zero[] = {
        {"{\"index\":0,\"id\":\"a\"}", "0"},
        {"{\"index\":0,\"x\":1}", "0"},
        {"{\"index\":0,\"id\":\"b\"}", "1"},
        {"{\"index\":0,\"id\":\"\"}", "1"},
        {"{\"index\":0,\"id\":\"b\"}", "1"},
        {"{\"index\":0,\"id\":null}", "1"},
        {"{\"index\":0,\"id\":\"ab\"}", "2"},
        {"{\"index\":1,\"id\":\"c\"}", "3"},
        {"{\"index\":1,\"x\":1}", "3"},
        {"{\"index\":0,\"id\":\"" LONG "\"}", "4"},
        {"{\"index\":0,\"id\":\"" LONG "\"}", "4"},
    };
    static const struct indexed_call in_turns[] = {
        {"{\"index\":0,\"id\":\"a\"}", "0"}, {"{\"index\":1,\"id\":\"b\"}", "1"},
        {"{\"index\":0,\"x\":1}", "0"},      {"{\"index\":1,\"x\":1}", "1"},
        {"{\"index\":0,\"id\":\"a\"}", "0"}, {"{\"index\":1,\"id\":\"b\"}", "1"},
    };
    static const struct indexed_call id_behind[] = {
        {"{\"index\":0,\"x\":1}", "0"}, {"{\"index\":0,\"id\":\"a\"}", "0"},
        {"{\"index\":1,\"x\":1}", "1"}, {"{\"index\":1,\"id\":\"b\"}", "1"},
        {"{\"index\":\"7\"}", "1"},
    };
    check_indices(always_zero, sizeof always_zero / sizeof always_zero[0]);
    check_indices(in_turns, sizeof in_turns / sizeof in_turns[0]);
    check_indices(id_behind, sizeof id_behind / sizeof id_behind[0]);
}

static void arguments_that_are_an_object_become_text(void **state)
{
    (void)state;
#define CALLING(arguments)                                                                         \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"             \
    "\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":" arguments          \
    "}}]},\"finish_reason\":\"tool_calls\"}]}"
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    struct buffer mended;
    buffer_init(&mended, 1 << 20);
    assert_int_equal(completion_read_whole(slice_of(CALLING("{\"q\":\"x\"}")), &scratch, &progress,
                                           &chunk, &mended),
                     STATUS_OK);
    assert_string_equal(buffer_text(&mended), CALLING("\"{\\\"q\\\":\\\"x\\\"}\""));
    buffer_release(&mended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tool_calls_without_an_index_are_told_apart_by_their_ids),
        cmocka_unit_test(tool_calls_under_one_index_are_told_apart_by_their_ids),
        cmocka_unit_test(arguments_that_are_an_object_become_text),
    };
    arena_init(&scratch, 8 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(&scratch);
    return failed;
}
