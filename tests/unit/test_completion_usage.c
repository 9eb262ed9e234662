/*
 * Answers of providers: the weight of their text, and which numbers of tokens are believed.
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

#define SAYS(text)                                                                                 \
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}"

static void everything_a_model_says_is_counted_once(void **state)
{
    (void)state;
    static const struct {
        const char *delta;
        int64_t weight;
        const char *content;
    } cases[] = {
        {"{\"content\":\"ab\",\"refusal\":null}", 2, "\"ab\""},
        {"{\"content\":null,\"refusal\":\"no\"}", 2, "\"no\""},
        {"{\"refusal\":\"no\",\"content\":\"\"}", 2, "\"no\""},
        {"{\"reasoning_content\":\"hmm\"}", 3, ""},
        {"{\"reasoning\":\"hmm\",\"reasoning_content\":\"hmm\",\"content\":\"a\"}", 4, "\"a\""},
        {"{\"reasoning\":null,\"role\":\"assistant\",\"x\":\"unread\"}", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        snprintf(text, sizeof text, "{\"choices\":[{\"delta\":%s}]}", cases[i].delta);
        assert_int_equal(
            completion_read_chunk(slice_of(text), false, &scratch, &progress, &chunk, NULL),
            STATUS_OK);
        assert_int_equal(progress.output_weight, cases[i].weight);
        assert_true(slice_equals(chunk.content, cases[i].content));
    }
}

static void numbers_of_tokens_that_cannot_be_are_not_believed(void **state)
{
    (void)state;
    static const struct {
        const char *usage;
        bool is_told;
        int64_t input;
        int64_t output;
    } cases[] = {
        {"{\"prompt_tokens\":3,\"completion_tokens\":4}", true, 3, 4},
        {"{\"prompt_tokens\":1000000000000,\"completion_tokens\":0}", true, 1000000000000, 0},
        {"{\"prompt_tokens\":1000000000001,\"completion_tokens\":4}", true, -1, 4},
        {"{\"prompt_tokens\":-1,\"completion_tokens\":1.5}", false, 0, 0},
        {"{\"prompt_tokens\":9223372036854775807,\"completion_tokens\":\"4x\"}", false, 0, 0},
        {"{\"prompt_tokens\":3.0,\"completion_tokens\":\"4\"}", true, 3, 4},
        {"{\"prompt_tokens\":null,\"completion_tokens\":4}", true, -1, 4},
        {"{\"prompt_tokens\":1e300,\"completion_tokens\":4,\"total_tokens\":7}", true, 3, 4},
        {"{\"prompt_tokens\":3,\"total_tokens\":7}", true, 3, 4},
        {"{\"prompt_tokens\":3}", true, 3, -1},
        {"{\"completion_tokens\":4,\"total_tokens\":3}", true, -1, 4},
        {"{\"prompt_tokens\":0,\"completion_tokens\":4,\"total_tokens\":9}", true, 0, 4},
        {"{\"completion_tokens\":4,\"total_tokens\":9}", true, 5, 4},
        {"{\"total_tokens\":9}", false, 0, 0},
        {"{}", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        snprintf(text, sizeof text, "{\"choices\":[],\"usage\":%s}", cases[i].usage);
        assert_int_equal(
            completion_read_chunk(slice_of(text), false, &scratch, &progress, &chunk, NULL),
            STATUS_OK);
        assert_int_equal(progress.has_usage, cases[i].is_told);
        assert_int_equal(progress.input_tokens, cases[i].input);
        assert_int_equal(progress.output_tokens, cases[i].output);
    }
}

static void no_output_is_a_count_only_of_an_answer_that_says_nothing(void **state)
{
    (void)state;
#define USAGE(input, output) "{\"prompt_tokens\":" input ",\"completion_tokens\":" output "}"
#define TOTAL(input, output, total)                                                                \
    "{\"prompt_tokens\":" input ",\"completion_tokens\":" output ",\"total_tokens\":" total "}"
    static const struct {
        const char *said;
        const char *usage;
        bool is_told;
        int64_t input;
        int64_t output;
    } cases[] = {
        {"a", USAGE("0", "0"), false, 0, 0},
        {"a", TOTAL("0", "0", "0"), false, 0, 0},
        {"a", USAGE("7", "0"), true, 7, COMPLETION_UNTOLD},
        {"a", TOTAL("7", "0", "7"), true, 7, COMPLETION_UNTOLD},
        {"a", TOTAL("7", "0", "9"), true, 7, 2},
        {"a", USAGE("0", "4"), true, 0, 4},
        {"a", TOTAL("0", "4", "9"), true, 0, 4},
        {"", USAGE("0", "0"), false, 0, 0},
        {"", USAGE("7", "0"), true, 7, 0},
        {"", TOTAL("7", "null", "7"), true, 7, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        snprintf(text, sizeof text,
                 "{\"usage\":%s,\"choices\":[{\"index\":0,\"message\":{\"content\":\"%s\"}}]}",
                 cases[i].usage, cases[i].said);
        assert_int_equal(completion_read_whole(slice_of(text), &scratch, &progress, &chunk, NULL),
                         STATUS_OK);
        assert_int_equal(progress.has_usage, cases[i].is_told);
        assert_int_equal(progress.input_tokens, cases[i].input);
        assert_int_equal(progress.output_tokens, cases[i].output);
    }
#undef USAGE
#undef TOTAL
}

static void an_input_told_once_is_kept(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"choices\":[],\"usage\":{\"prompt_tokens\":25}}",
                                        "{\"choices\":[],\"usage\":{\"completion_tokens\":15}}"};
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(
            completion_read_chunk(slice_of(texts[i]), false, &scratch, &progress, &chunk, NULL),
            STATUS_OK);
    }
    assert_int_equal(progress.input_tokens, 25);
    assert_int_equal(progress.output_tokens, 15);
}

static void what_came_after_the_last_usage_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_usage;
        int64_t told;
    } steps[] = {
        {"{\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0},\"choices\":[]}", false, 0},
        {SAYS("abc"), false, 0},
        {"{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2},\"choices\":["
         "{\"index\":0,\"delta\":{\"content\":\"de\"}}]}",
         true, 5},
        {SAYS("f"), true, 5},
        {"{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0},\"choices\":[]}", true, 5},
        {"{\"usage\":{\"prompt_tokens\":7},\"choices\":[]}", true, 5},
    };
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(completion_read_chunk(slice_of(steps[i].text), false, &scratch, &progress,
                                               &chunk, NULL),
                         STATUS_OK);
        assert_int_equal(progress.has_usage, steps[i].has_usage);
        assert_int_equal(progress.told_weight,
                         steps[i].has_usage ? steps[i].told : progress.told_weight);
    }
    assert_int_equal(progress.output_weight - progress.told_weight, 1);
}

static void what_has_come_of_a_whole_answer_that_was_cut_off_is_counted(void **state)
{
    (void)state;
    static const char text[] =
        "{\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"h\\u00e9\\\"\xc3\xa9o\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
        "\"{\\\"\"}}]},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":123,\"completion_tokens\":45,\"total_tokens\":168}}";
    int64_t before = 0;
    for (size_t length = 0; length < sizeof text; length++) {
        struct completion_progress progress;
        char *cut = memory_copy_text(
            text, length); /* no byte more, so that reading beyond the end is found */
        assert_non_null(cut);
        completion_read_cut_off((struct slice){cut, length}, &scratch, &progress);
        memory_release(cut);
        arena_reset(&scratch);
        assert_in_range(progress.output_weight, before, before + 1);
        before = progress.output_weight;
        /* Half a number is not believed. */
        bool has_input = length > (size_t)(strstr(text, "123,") + strlen("123") - text);
        assert_int_equal(progress.input_tokens, has_input ? 123 : 0);
        bool has_output = length > (size_t)(strstr(text, "45,") + strlen("45") - text);
        assert_int_equal(progress.output_tokens, has_output ? 45 : has_input ? -1 : 0);
    }
    assert_int_equal(before, strlen("h??\"o") + strlen("f") + strlen("{\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_a_model_says_is_counted_once),
        cmocka_unit_test(numbers_of_tokens_that_cannot_be_are_not_believed),
        cmocka_unit_test(no_output_is_a_count_only_of_an_answer_that_says_nothing),
        cmocka_unit_test(an_input_told_once_is_kept),
        cmocka_unit_test(what_came_after_the_last_usage_is_known),
        cmocka_unit_test(what_has_come_of_a_whole_answer_that_was_cut_off_is_counted),
    };
    arena_init(&scratch, 8 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(&scratch);
    return failed;
}
