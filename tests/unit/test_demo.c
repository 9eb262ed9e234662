/*
 * The built-in provider: honest, deterministic, remembers, calls tools; its stream says the same
 * as its whole answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/memory.h"
#include "fcgi-apps/chat/completion_reader.h"
#include "fcgi-apps/chat/demo.h"
#include "json/json.h"

#define USER(text)      "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASSISTANT(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define BODY(messages)  "{\"model\":\"echo\",\"messages\":[" messages "]}"

static const char tool_body[] =
    "{\"model\":\"echo\",\"stream_options\":{\"include_usage\":true},\"messages\":["
    "{\"role\":\"user\",\"content\":\"please call get_weather {\\\"city\\\": \\\"Z\\u00fcrich and "
    "a "
    "very long text that does not fit into a single piece of arguments at all\\\"}\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"other\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}}]}";

static void prepare(struct arena *arena, const char *body, struct demo_answer *out)
{
    arena_init(arena, 8 << 20);
    assert_int_equal(demo_prepare(arena, slice_of(body), "echo", out), STATUS_OK);
}

static void check_text(const char *body, const char *expected)
{
    struct arena arena;
    struct demo_answer answer;
    prepare(&arena, body, &answer);
    assert_non_null(answer.text);
    assert_string_equal(answer.text, expected);
    arena_destroy(&arena);
}

static void it_says_what_it_is_and_repeats(void **state)
{
    (void)state;
    check_text(BODY(USER("hello")), "This is the built-in demo, not a language model. You said: "
                                    "hello\nThis is your first message.");
    check_text(BODY(USER("")), "This is the built-in demo, not a language model. You said: (no "
                               "text)\nThis is your first message.");
    check_text("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
               "{\"type\":\"image_url\"},{\"type\":\"text\",\"text\":\"b\"}]}]}",
               "This is the built-in demo, not a language model. You said: a b\nThis is your first "
               "message.");
}

static void it_remembers_what_came_before(void **state)
{
    (void)state;
    check_text(BODY(USER("one") "," ASSISTANT("x") "," USER("two")),
               "This is the built-in demo, not a language model. You said: two\nBefore that you "
               "sent 1 message; the previous one was: one");
    check_text(
        BODY(USER("one") "," ASSISTANT("x") "," USER("two") "," ASSISTANT("y") "," USER("three")),
        "This is the built-in demo, not a language model. You said: three\nBefore that you "
        "sent 2 messages; the previous one was: two");
}

static void a_tool_is_called_by_its_name(void **state)
{
    (void)state;
    struct arena arena;
    struct demo_answer answer;
    prepare(&arena, tool_body, &answer);
    assert_null(answer.text);
    assert_string_equal(answer.tool_name, "get_weather");
    assert_true(strncmp(answer.tool_arguments, "{\"city\": ", 9) == 0);
    arena_destroy(&arena);
    check_text(BODY(USER("call unknown")),
               "This is the built-in demo, not a language model. You said: call unknown\nThis is "
               "your first message.");
    check_text("{\"messages\":[" USER("call f") ",{\"role\":\"assistant\",\"content\":null},"
                                                "{\"role\":\"tool\",\"tool_call_id\":\"c\","
                                                "\"content\":\"sunny\"}]}",
               "This is the built-in demo, not a language model. The tool answered: sunny");
}

static void the_same_request_gets_the_same_answer(void **state)
{
    (void)state;
    struct arena arenas[3];
    struct demo_answer answers[3];
    prepare(&arenas[0], BODY(USER("a")), &answers[0]);
    prepare(&arenas[1], BODY(USER("a")), &answers[1]);
    prepare(&arenas[2], BODY(USER("b")), &answers[2]);
    assert_string_equal(answers[0].id, answers[1].id);
    assert_string_not_equal(answers[0].id, answers[2].id);
    for (int i = 0; i < 3; i++) {
        arena_destroy(&arenas[i]);
    }
}

struct heard {
    struct buffer text;
    struct buffer arguments;
    int chunks;
    int roles;
    int usages;
    const char *finish_reason;
    const char *id;
    const char *call_id;
    const char *call_name;
};

static void hear_delta(const struct json_node *choice, struct heard *heard)
{
    const struct json_node *delta = json_member(choice, "delta");
    const struct json_node *call = json_first(json_member(delta, "tool_calls"));
    const struct json_node *function = json_member(call, "function");
    heard->roles += json_member(delta, "role") != NULL;
    buffer_append_text(&heard->text, json_member_text(delta, "content", ""));
    buffer_append_text(&heard->arguments, json_member_text(function, "arguments", ""));
    heard->call_id = json_member_text(call, "id", heard->call_id);
    heard->call_name = json_member_text(function, "name", heard->call_name);
    heard->finish_reason = json_member_text(choice, "finish_reason", heard->finish_reason);
}

static void hear_stream(struct arena *arena, struct demo_answer *answer, struct heard *heard)
{
    struct completion_progress progress = {0};
    struct buffer chunk;
    *heard = (struct heard){0};
    buffer_init(&heard->text, 1 << 20);
    buffer_init(&heard->arguments, 1 << 20);
    buffer_init(&chunk, 1 << 20);
    while (demo_write_chunk(answer, &chunk)) {
        const struct json_node *root;
        const char *copy = arena_copy(arena, chunk.data, chunk.length);
        assert_non_null(copy);
        assert_int_equal(json_parse(arena, slice_of(copy), &root), STATUS_OK);
        assert_string_equal(json_member_text(root, "object", ""), "chat.completion.chunk");
        const char *id = json_member_text(root, "id", "");
        assert_string_equal(heard->id != NULL ? heard->id : id, id);
        heard->id = id;
        struct completion_chunk read;
        assert_int_equal(
            completion_read_chunk(slice_of(copy), false, arena, &progress, &read, NULL), STATUS_OK);
        heard->chunks++;
        if (read.is_usage_only) {
            heard->usages++;
        } else {
            assert_int_equal(heard->usages, 0);
            hear_delta(json_first(json_member(root, "choices")), heard);
        }
        buffer_reset(&chunk);
    }
    assert_true(completion_is_complete(&progress));
    assert_int_equal(progress.has_usage, heard->usages > 0);
    buffer_release(&chunk);
}

static void release_heard(struct heard *heard)
{
    buffer_release(&heard->text);
    buffer_release(&heard->arguments);
}

static void a_stream_says_word_by_word_what_the_whole_answer_says(void **state)
{
    (void)state;
    struct arena arena;
    struct demo_answer answer;
    struct heard heard;
    prepare(&arena, BODY(USER("two  blanks\\nand a line")), &answer);
    const char *expected = answer.text;
    hear_stream(&arena, &answer, &heard);
    assert_string_equal(buffer_text(&heard.text), expected);
    assert_int_equal(heard.roles, 1);
    assert_int_equal(heard.usages, 0);
    assert_string_equal(heard.finish_reason, "stop");
    assert_in_range(heard.chunks, 15, 30);
    release_heard(&heard);
    arena_destroy(&arena);
}

static void a_streamed_tool_call_is_the_whole_one(void **state)
{
    (void)state;
    struct arena arena;
    struct demo_answer answer;
    struct heard heard;
    prepare(&arena, tool_body, &answer);
    struct buffer whole;
    buffer_init(&whole, 1 << 20);
    demo_write_whole(&answer, &whole);
    const struct json_node *root;
    assert_int_equal(json_parse(&arena, slice_of(buffer_text(&whole)), &root), STATUS_OK);
    const struct json_node *choice = json_first(json_member(root, "choices"));
    const struct json_node *call =
        json_first(json_member(json_member(choice, "message"), "tool_calls"));
    hear_stream(&arena, &answer, &heard);
    assert_string_equal(heard.call_name, "get_weather");
    assert_string_equal(heard.call_id, json_member_text(call, "id", ""));
    assert_string_equal(buffer_text(&heard.arguments),
                        json_member_text(json_member(call, "function"), "arguments", ""));
    assert_string_equal(heard.finish_reason, "tool_calls");
    assert_string_equal(json_member_text(choice, "finish_reason", ""), "tool_calls");
    assert_int_equal(heard.usages, 1);
    assert_true(heard.chunks > 3);
    buffer_release(&whole);
    release_heard(&heard);
    arena_destroy(&arena);
}

static void the_whole_answer_is_a_completion_with_usage(void **state)
{
    (void)state;
    struct arena arena;
    struct demo_answer answer;
    prepare(&arena, BODY(USER("12345678")), &answer);
    struct buffer whole;
    buffer_init(&whole, 1 << 20);
    demo_write_whole(&answer, &whole);
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    assert_int_equal(
        completion_read_whole(slice_of(buffer_text(&whole)), &arena, &progress, &chunk, NULL),
        STATUS_OK);
    assert_true(completion_is_complete(&progress));
    assert_true(progress.has_usage);
    assert_int_equal(progress.input_tokens, 2);
    assert_int_equal(progress.output_tokens, ((int64_t)strlen(answer.text) + 3) / 4);
    buffer_release(&whole);
    arena_destroy(&arena);
}

static void odd_messages_do_not_confuse_it(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":null}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":{}}]}",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"call \"}],\"tools\":7}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"call f {\"}],\"tools\":[{\"function\":"
        "{\"name\":\"f\"}}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"call f [1]\"}],\"tools\":[7,{\"function\":"
        "{\"name\":\"f\"}}]}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct arena arena;
        struct demo_answer answer;
        struct heard heard;
        prepare(&arena, bodies[i], &answer);
        if (answer.tool_name != NULL) {
            assert_string_equal(answer.tool_arguments, "{}");
        }
        hear_stream(&arena, &answer, &heard);
        release_heard(&heard);
        arena_destroy(&arena);
    }
}

#define GROWN 40000

static void append_many(struct buffer *out, const char *text)
{
    for (int i = 0; i < GROWN; i++) {
        buffer_append_text(out, text);
    }
}

/* Bytes of the arena, and seconds, that a request of some 400 KB takes with its stream. */
static void measure(const struct buffer *body, const char *piece)
{
    struct arena arena;
    struct demo_answer answer;
    struct buffer chunk;
    arena_init(&arena, 64u << 20);
    buffer_init(&chunk, 1 << 20);
    uint64_t start = clock_monotonic_nanoseconds();
    struct slice text = {body->data, body->length};
    assert_int_equal(demo_prepare(&arena, text, "echo", &answer), STATUS_OK);
    size_t said = 0;
    while (demo_write_chunk(&answer, &chunk)) {
        assert_int_equal(buffer_status(&chunk), STATUS_OK);
        said += chunk.length;
        buffer_reset(&chunk);
    }
    assert_true(said > GROWN * strlen(piece));
    assert_true(clock_monotonic_nanoseconds() - start < UINT64_C(10000000000));
    buffer_release(&chunk);
    arena_destroy(&arena);
}

static void what_a_request_takes_grows_with_its_length_and_no_faster(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *piece;
        const char *after;
    } cases[] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{}", ",{\"text\":\"word\"}", "]}]}"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"", "call none ", "\"}],\"tools\":[]}"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"", "unbrokenword", "\"}]}"},
        {"{\"tools\":[{\"function\":{\"name\":\"f\"}}],\"messages\":[{\"role\":\"user\","
         "\"content\":"
         "\"call f {\\\"a\\\":\\\"",
         "unbrokenword", "\\\"}\"}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer body;
        buffer_init(&body, 4 << 20);
        buffer_append_text(&body, cases[i].before);
        append_many(&body, cases[i].piece);
        buffer_append_text(&body, cases[i].after);
        measure(&body, i == 0 ? "word" : cases[i].piece);
        buffer_release(&body);
    }
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    bool succeeded = false;
    for (unsigned long n = 1; !succeeded; n++) {
        struct arena arena;
        struct demo_answer answer;
        arena_init(&arena, 8 << 20);
        memory_fail_after(n);
        enum status status = demo_prepare(&arena, slice_of(tool_body), "echo", &answer);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        succeeded = status == STATUS_OK;
        arena_destroy(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_is_and_repeats),
        cmocka_unit_test(it_remembers_what_came_before),
        cmocka_unit_test(a_tool_is_called_by_its_name),
        cmocka_unit_test(the_same_request_gets_the_same_answer),
        cmocka_unit_test(a_stream_says_word_by_word_what_the_whole_answer_says),
        cmocka_unit_test(a_streamed_tool_call_is_the_whole_one),
        cmocka_unit_test(the_whole_answer_is_a_completion_with_usage),
        cmocka_unit_test(odd_messages_do_not_confuse_it),
        cmocka_unit_test(what_a_request_takes_grows_with_its_length_and_no_faster),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
