/*
 * Answers of providers: what is understood of them, and that their text is passed on unchanged but
 * for what OpenAI's clients would stumble over.
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

#define CHUNK(choices)                                                                             \
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[" choices "]}"
#define DELTA(index, delta, finish)                                                                \
    "{\"index\":" #index ",\"delta\":" delta ",\"finish_reason\":" finish "}"

static enum status read_chunk(struct completion_progress *progress, const char *text,
                              struct completion_chunk *chunk, struct buffer *mended)
{
    buffer_init(mended, 1 << 20);
    return completion_read_chunk(slice_of(text), false, progress, chunk, mended);
}

static void check_mended(struct completion_progress *progress, const char *text,
                         const char *expected)
{
    struct completion_chunk chunk;
    struct buffer mended;
    assert_int_equal(read_chunk(progress, text, &chunk, &mended), STATUS_OK);
    assert_string_equal(buffer_text(&mended), expected);
    buffer_release(&mended);
}

static void a_good_chunk_is_passed_on_as_it_is(void **state)
{
    (void)state;
    static const char *const chunks[] = {
        CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"\"}", "null")),
        CHUNK(DELTA(0, "{\"content\":\"a\\u00e9\xc3\xa9\"}", "null")),
        "{\"x\":1.50,\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,"
        "\"total_tokens\":7,\"more\":{\"cached\":0}}}",
        CHUNK(DELTA(0,
                    "{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\","
                    "\"arguments\":\"\"}}]}",
                    "null")),
        CHUNK(DELTA(0, "{}", "\"stop\"")),
        "{\"choices\":[{\"delta\":{}}],\"usage\":null,\"x_groq\":{\"id\":\"r\"}}",
    };
    struct completion_progress progress = {0};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        check_mended(&progress, chunks[i], chunks[i]);
    }
}

static void the_first_delta_of_a_choice_gets_a_role(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *mended;
    } cases[] = {
        {CHUNK(DELTA(0, "{\"content\":\"a\"}", "null")),
         CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"a\"}", "null"))},
        {CHUNK(DELTA(0, "{ }", "null")), CHUNK(DELTA(0, "{\"role\":\"assistant\" }", "null"))},
        {CHUNK(DELTA(0, "{\"content\":\"a\",\"role\":null}", "null")),
         CHUNK(DELTA(0, "{\"content\":\"a\",\"role\":\"assistant\"}", "null"))},
        {CHUNK(DELTA(0, "{\"role\":\"assistant\"}", "null")),
         CHUNK(DELTA(0, "{\"role\":\"assistant\"}", "null"))},
        {CHUNK(DELTA(0, "{\"content\":\"a\"}", "null") "," DELTA(1, "{\"content\":\"b\"}", "null")),
         CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"a\"}",
                     "null") "," DELTA(1, "{\"role\":\"assistant\",\"content\":\"b\"}", "null"))},
        /* The choice may be named behind its delta. */
        {"{\"choices\":[{\"delta\":{\"content\":\"a\"},\"index\":0}]}",
         "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"a\"},\"index\":0}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct completion_progress progress = {0};
        check_mended(&progress, cases[i].given, cases[i].mended);
        check_mended(&progress, CHUNK(DELTA(0, "{\"content\":\"b\"}", "null")),
                     CHUNK(DELTA(0, "{\"content\":\"b\"}", "null")));
    }
}

static void a_tool_call_without_an_index_gets_one(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    check_mended(&progress,
                 CHUNK(DELTA(0,
                             "{\"tool_calls\":[{\"id\":\"a\"},{\"id\":\"b\",\"index\":1},{}],"
                             "\"role\":null}",
                             "null")),
                 CHUNK(DELTA(0,
                             "{\"tool_calls\":[{\"index\":0,\"id\":\"a\"},{\"id\":\"b\","
                             "\"index\":1},{\"index\":2}],\"role\":\"assistant\"}",
                             "null")));
}

static void usage_that_only_we_asked_for_is_taken_out_and_nothing_else_changes(void **state)
{
    (void)state;
#define SAID "\"choices\":[{\"delta\":{\"role\":\"assistant\",\"usage\":1.50}}]"
    static const struct {
        const char *given;
        const char *mended;
    } cases[] = {
        {"{\"id\" : 1.0," SAID ",\"usage\":null}", "{\"id\" : 1.0," SAID "}"},
        {"{" SAID " ,\"usage\" : null , \"x\":[\"usage\"] }", "{" SAID " , \"x\":[\"usage\"] }"},
        {"{ \"usage\": null, " SAID "}", "{ " SAID "}"},
        {"{\"usage\":null,\"usage\":{},\"usage\":7," SAID "}", "{" SAID "}"},
        {"{" SAID ",\"usage\":null,\"usage\":{}}", "{" SAID "}"},
        {"{" SAID ",\"usage\":{\"prompt_tokens\":1},\"x\":1}", "{" SAID ",\"x\":1}"},
        {"{" SAID ",\"x_usage\":null}", "{" SAID ",\"x_usage\":null}"},
        {"{\"choices\":[{\"delta\":{}}],\"usage\":null}",
         "{\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        buffer_init(&mended, 1 << 20);
        assert_int_equal(
            completion_read_chunk(slice_of(cases[i].given), true, &progress, &chunk, &mended),
            STATUS_OK);
        assert_string_equal(buffer_text(&mended), cases[i].mended);
        assert_false(chunk.is_usage_only);
        buffer_release(&mended);
    }
#undef SAID
}

static void lines_become_one_line(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    check_mended(&progress,
                 "{\n\"choices\"\r\n:[{\"delta\":{\n\"role\":\"assistant\"},\"x\":\"a\\nb\"}]}",
                 "{ \"choices\"  :[{\"delta\":{ \"role\":\"assistant\"},\"x\":\"a\\nb\"}]}");
}

static void a_stream_is_complete_when_every_choice_has_finished(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    assert_false(completion_is_complete(&progress));
    static const struct {
        const char *text;
        bool is_complete;
    } steps[] = {
        {"{\"choices\":[]}", false},
        {CHUNK(DELTA(0, "{\"content\":\"a\"}", "null")), false},
        {CHUNK(DELTA(127, "{\"content\":\"a\"}", "null")), false},
        {CHUNK(DELTA(0, "{}", "\"stop\"")), false},
        {CHUNK(DELTA(127, "{}", "\"length\"")), true},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(
            completion_read_chunk(slice_of(steps[i].text), false, &progress, &chunk, NULL),
            STATUS_OK);
        assert_int_equal(completion_is_complete(&progress), steps[i].is_complete);
    }
}

static void what_a_chunk_says_is_read(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    assert_int_equal(
        completion_read_chunk(slice_of(CHUNK(DELTA(1, "{\"content\":\"other\"}", "null") "," DELTA(
                                  0, "{\"content\":\"a\\\"b\"}", "\"content_filter\""))),
                              false, &progress, &chunk, NULL),
        STATUS_OK);
    assert_true(slice_equals(chunk.content, "\"a\\\"b\""));
    assert_false(chunk.is_usage_only);
    assert_true(progress.was_filtered);
    assert_int_equal(progress.output_characters, 8);
    assert_int_equal(
        completion_read_chunk(slice_of("{\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                                       "\"completion_tokens\":4}}"),
                              false, &progress, &chunk, NULL),
        STATUS_OK);
    assert_true(chunk.is_usage_only);
    assert_true(progress.has_usage);
    assert_int_equal(progress.input_tokens, 3);
    assert_int_equal(progress.output_tokens, 4);
    assert_int_equal(completion_read_chunk(slice_of("{\"error\":{\"message\":\"m\"}}"), false,
                                           &progress, &chunk, NULL),
                     STATUS_OK);
    assert_true(chunk.has_error);
}

static void an_empty_finish_reason_is_none(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    const char *text = CHUNK(DELTA(0, "{\"content\":\"a\"}", "\"\""));
    assert_int_equal(completion_read_chunk(slice_of(text), false, &progress, &chunk, NULL),
                     STATUS_OK);
    assert_false(completion_is_complete(&progress));
}

static void everything_a_model_says_is_counted_once(void **state)
{
    (void)state;
    static const struct {
        const char *delta;
        int64_t characters;
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
        assert_int_equal(completion_read_chunk(slice_of(text), false, &progress, &chunk, NULL),
                         STATUS_OK);
        assert_int_equal(progress.output_characters, cases[i].characters);
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
        {"{\"prompt_tokens\":1000000000001,\"completion_tokens\":4}", true, 0, 4},
        {"{\"prompt_tokens\":-1,\"completion_tokens\":1.5}", false, 0, 0},
        {"{\"prompt_tokens\":9223372036854775807,\"completion_tokens\":\"4\"}", false, 0, 0},
        {"{}", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        snprintf(text, sizeof text, "{\"choices\":[],\"usage\":%s}", cases[i].usage);
        assert_int_equal(completion_read_chunk(slice_of(text), false, &progress, &chunk, NULL),
                         STATUS_OK);
        assert_int_equal(progress.has_usage, cases[i].is_told);
        assert_int_equal(progress.input_tokens, cases[i].input);
        assert_int_equal(progress.output_tokens, cases[i].output);
    }
}

static void nonsense_is_no_chunk(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "hello",
        "[]",
        "null",
        "{}",
        "{\"choices\":[]",
        "{\"choices\":[]} x",
        "{\"choices\":{}}",
        "{\"choices\":[7]}",
        "{\"choices\":[{\"index\":128}]}",
        "{\"choices\":[{\"index\":-1}]}",
        "{\"choices\":[{\"index\":0.5}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[7]}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a\nb\"}}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        assert_int_equal(read_chunk(&progress, texts[i], &chunk, &mended), STATUS_INVALID);
        buffer_release(&mended);
    }
}

/* --- Whole answers --------------------------------------------------------------------------- */

static const char whole[] =
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{"
    "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hello\",\"tool_calls\":[{\"id\":"
    "\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
    "\"finish_reason\":\"tool_calls\",\"logprobs\":null}],\"usage\":{\"prompt_tokens\":9,"
    "\"completion_tokens\":2,\"total_tokens\":11},\"x\":1.0}";

static enum status read_whole(const char *text, struct completion_progress *progress,
                              struct completion_chunk *chunk)
{
    struct arena arena;
    arena_init(&arena, 8 << 20);
    *progress = (struct completion_progress){0};
    enum status status = completion_read_whole(slice_of(text), &arena, progress, chunk);
    arena_destroy(&arena);
    return status;
}

static void a_whole_answer_is_read(void **state)
{
    (void)state;
    struct completion_progress progress;
    struct completion_chunk chunk;
    assert_int_equal(read_whole(whole, &progress, &chunk), STATUS_OK);
    assert_true(slice_equals(chunk.content, "\"hello\""));
    assert_true(progress.has_usage);
    assert_int_equal(progress.input_tokens, 9);
    assert_int_equal(progress.output_tokens, 2);
    assert_int_equal(progress.output_characters, 8);
    assert_true(completion_is_complete(&progress));
}

static void what_is_no_whole_answer_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
    } cases[] = {
        {"", STATUS_INVALID},
        {"<html>", STATUS_INVALID},
        {"{}", STATUS_INVALID},
        {"{\"choices\":[]}", STATUS_INVALID},
        {"{\"choices\":[{\"message\":{}}]", STATUS_INVALID},
        {"{\"choices\":[{\"message\":{}}],\"choices\":[]}", STATUS_INVALID},
        {"{\"error\":{\"message\":\"m\"}}", STATUS_UNAVAILABLE},
        {"{\"error\":null,\"choices\":[{\"message\":{\"content\":null}}]}", STATUS_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct completion_progress progress;
        struct completion_chunk chunk;
        assert_int_equal(read_whole(cases[i].text, &progress, &chunk), cases[i].status);
    }
}

static void a_whole_answer_becomes_a_chunk_and_one_of_its_usage(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    assert_int_equal(completion_write_as_chunk(slice_of(whole), false, &out), STATUS_OK);
    struct completion_progress progress = {0};
    check_mended(
        &progress, buffer_text(&out),
        "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hello\","
        "\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":"
        "\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\",\"logprobs\":null}],"
        "\"usage\":null,\"x\":1.0}");
    assert_true(completion_is_complete(&progress));
    assert_false(progress.has_usage);
    buffer_reset(&out);
    assert_int_equal(completion_write_as_chunk(slice_of(whole), true, &out), STATUS_OK);
    check_mended(&progress, buffer_text(&out),
                 "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
                 "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_"
                 "tokens\":11},"
                 "\"x\":1.0}");
    assert_true(progress.has_usage);
    buffer_release(&out);
}

static void errors_are_read_only_in_their_shape(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_error;
        const char *code;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"context_length_exceeded\"}}",
         true, "context_length_exceeded"},
        {"{\"error\":{\"message\":\"m\",\"code\":null}}", true, ""},
        {"{\"error\":{\"message\":\"m\",\"code\":400}}", true, ""},
        {"{\"error\":{\"message\":7}}", false, ""},
        {"{\"error\":\"m\"}", false, ""},
        {"{\"detail\":\"m\"}", false, ""},
        {"<html>", false, ""},
        {"", false, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct completion_error error;
        arena_init(&arena, 1 << 20);
        assert_int_equal(completion_read_error(slice_of(cases[i].text), &arena, &error),
                         cases[i].is_error);
        assert_string_equal(error.code, cases[i].code);
        arena_destroy(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_chunk_is_passed_on_as_it_is),
        cmocka_unit_test(the_first_delta_of_a_choice_gets_a_role),
        cmocka_unit_test(a_tool_call_without_an_index_gets_one),
        cmocka_unit_test(usage_that_only_we_asked_for_is_taken_out_and_nothing_else_changes),
        cmocka_unit_test(lines_become_one_line),
        cmocka_unit_test(a_stream_is_complete_when_every_choice_has_finished),
        cmocka_unit_test(what_a_chunk_says_is_read),
        cmocka_unit_test(an_empty_finish_reason_is_none),
        cmocka_unit_test(everything_a_model_says_is_counted_once),
        cmocka_unit_test(numbers_of_tokens_that_cannot_be_are_not_believed),
        cmocka_unit_test(nonsense_is_no_chunk),
        cmocka_unit_test(a_whole_answer_is_read),
        cmocka_unit_test(what_is_no_whole_answer_is_refused),
        cmocka_unit_test(a_whole_answer_becomes_a_chunk_and_one_of_its_usage),
        cmocka_unit_test(errors_are_read_only_in_their_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
