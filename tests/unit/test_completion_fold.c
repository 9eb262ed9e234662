/*
 * Streams that were not asked for: the whole answer that their chunks add up to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "fcgi-apps/chat/answer_body.h"
#include "fcgi-apps/chat/completion_fold.h"

#define CHUNKS_MAXIMUM 8
#define TEXT_MAXIMUM   (1 << 20)

#define CHOICE(index, delta, finish)                                                               \
    "{\"choices\":[{\"index\":" #index ",\"delta\":" delta ",\"finish_reason\":" finish "}]}"
#define SAYS(delta) CHOICE(0, delta, "null")
#define WHOLE(message, finish)                                                                     \
    "{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":" finish "}]}"

static void check_folded(const char *const *chunks, const char *expected)
{
    struct completion_fold fold;
    struct buffer whole;
    completion_fold_init(&fold, TEXT_MAXIMUM);
    buffer_init(&whole, TEXT_MAXIMUM);
    for (size_t i = 0; i < CHUNKS_MAXIMUM && chunks[i] != NULL; i++) {
        assert_int_equal(completion_fold_add(&fold, slice_of(chunks[i])), STATUS_OK);
    }
    assert_int_equal(completion_fold_write(&fold, &whole), STATUS_OK);
    assert_string_equal(buffer_text(&whole), expected);
    buffer_release(&whole);
    completion_fold_release(&fold);
}

static void what_is_said_in_pieces_is_one_text(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        SAYS("{\"role\":\"assistant\",\"content\":\"\"}"),
        SAYS("{\"content\":\"h\\u00e9\",\"reasoning\":\"a\"}"),
        SAYS("{\"role\":\"assistant\",\"content\":\"llo \\\"\",\"reasoning\":\"b\"}"),
        SAYS("{\"content\":null}"),
        CHOICE(0, "{}", "\"stop\""),
    };
    check_folded(
        chunks,
        WHOLE("{\"role\":\"assistant\",\"content\":\"h\\u00e9llo \\\"\",\"reasoning\":\"ab\"}",
              "\"stop\""));
}

static void what_stands_outside_of_choices_counts_as_it_was_told_last(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1.0E+0,\"choices\":[],"
        "\"usage\":null,\"citations\":[\"a\"],\"x\":{\"y\":1}}",
        "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1.0E+0,\"choices\":[],"
        "\"usage\":{\"prompt_tokens\":1},\"citations\":[\"a\",\"b\"],\"x\":null}",
    };
    check_folded(chunks, "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1.0E+0,"
                         "\"choices\":[],\"usage\":{\"prompt_tokens\":1},"
                         "\"citations\":[\"a\",\"b\"],\"x\":{\"y\":1}}");
}

static void calls_of_tools_are_put_together_by_their_index(void **state)
{
    (void)state;
#define CALL(index, members) "{\"tool_calls\":[{\"index\":" #index "," members "}]}"
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        SAYS("{\"role\":\"assistant\"}"),
        SAYS(CALL(1, "\"id\":\"b\",\"type\":\"function\","
                     "\"function\":{\"name\":\"g\",\"arguments\":\"{\"}")),
        SAYS(CALL(0, "\"id\":\"a\",\"type\":\"function\","
                     "\"function\":{\"name\":\"f\",\"arguments\":\"\"}")),
        SAYS(CALL(1, "\"function\":{\"arguments\":\"\\\"x\\\":1}\"}")),
        /* Some providers repeat id, name and type with each piece. */
        SAYS(CALL(0, "\"id\":\"a\",\"type\":\"function\","
                     "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}")),
        CHOICE(0, "{}", "\"tool_calls\""),
    };
#undef CALL
    check_folded(chunks, WHOLE("{\"role\":\"assistant\",\"tool_calls\":["
                               "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                               "\"arguments\":\"{}\"}},"
                               "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\","
                               "\"arguments\":\"{\\\"x\\\":1}\"}}],\"content\":null}",
                               "\"tool_calls\""));
}

static void choices_stand_in_the_order_of_their_index(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        CHOICE(1, "{\"content\":\"b\"}", "null"),
        CHOICE(0, "{\"content\":\"a\"}", "\"stop\""),
        CHOICE(1, "{\"content\":\"B\"}", "\"length\""),
    };
    check_folded(chunks, "{\"choices\":["
                         "{\"index\":0,\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"},"
                         "{\"index\":1,\"message\":{\"content\":\"bB\"},"
                         "\"finish_reason\":\"length\"}]}");
}

static void an_index_may_be_spelled_in_other_ways(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        CHOICE(0.0, "{\"content\":\"a\"}", "null"),
        CHOICE(0e0, "{\"content\":\"b\"}", "null"),
        CHOICE(0, "{\"content\":\"c\"}", "\"stop\""),
    };
    check_folded(chunks, WHOLE("{\"content\":\"abc\"}", "\"stop\""));
}

static void lists_without_an_index_follow_each_other(void **state)
{
    (void)state;
#define LOGPROBS(list) "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}," list "}]}"
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        LOGPROBS("\"logprobs\":null"),
        LOGPROBS("\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.50}]}"),
        LOGPROBS("\"logprobs\":{\"content\":[{\"token\":\"b\",\"logprob\":-1E2}],\"refusal\":[]}"),
    };
#undef LOGPROBS
    check_folded(chunks, "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"xxx\"},"
                         "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.50},"
                         "{\"token\":\"b\",\"logprob\":-1E2}],\"refusal\":[]}}]}");
}

static void of_a_member_that_is_there_twice_the_last_counts(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        SAYS("{\"content\":\"a\"}"),
        SAYS("{\"content\":\"x\",\"content\":\"b\"}"),
        "{\"choices\":[],\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"delta\":"
        "{\"content\":\"c\"},\"finish_reason\":\"stop\"}]}",
    };
    check_folded(chunks, WHOLE("{\"content\":\"abc\"}", "\"stop\""));
}

/* Perplexity, for one, sends the whole answer so far with each piece. */
static void a_message_beside_the_delta_is_not_said_again(void **state)
{
    (void)state;
    static const char *const chunks[CHUNKS_MAXIMUM] = {
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"message\":{\"content\":\"a\"}}]"
        "}",
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"},\"delta\":{\"content\":\"b\"}}"
        "]}",
    };
    check_folded(chunks, "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"}}]}");
}

static void more_than_an_answer_may_hold_is_refused(void **state)
{
    (void)state;
    struct completion_fold fold;
    char chunk[2048];
    snprintf(chunk, sizeof chunk, SAYS("{\"content\":\"%01000d\"}"), 0);
    completion_fold_init(&fold, 4500);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(completion_fold_add(&fold, slice_of(chunk)), STATUS_OK);
    }
    assert_int_equal(completion_fold_add(&fold, slice_of(chunk)), STATUS_TOO_LARGE);
    completion_fold_release(&fold);
}

struct crowd {
    const char *first;           /* what stands before the crowd */
    const char *before, *behind; /* each number of it */
    const char *last;
    int count;
    enum status status;
};

static enum status add_crowd(struct completion_fold *fold, const struct crowd *crowd)
{
    struct buffer chunk;
    buffer_init(&chunk, 2 * TEXT_MAXIMUM);
    buffer_append_text(&chunk, "{\"choices\":[{\"index\":0,\"delta\":{\"x\":");
    buffer_append_text(&chunk, crowd->first);
    for (int i = 0; i < crowd->count; i++) {
        buffer_append_text(&chunk, i > 0 ? "," : "");
        buffer_append_text(&chunk, crowd->before);
        buffer_append_integer(&chunk, i);
        buffer_append_text(&chunk, crowd->behind);
    }
    buffer_append_text(&chunk, crowd->last);
    buffer_append_text(&chunk, "}}]}");
    assert_int_equal(buffer_status(&chunk), STATUS_OK);
    enum status status = completion_fold_add(fold, (struct slice){chunk.data, chunk.length});
    buffer_release(&chunk);
    return status;
}

static void more_than_can_be_told_apart_in_time_is_refused(void **state)
{
    (void)state;
    static const struct crowd crowds[] = {
        {"[", "{\"id\":\"call\",\"index\":", "}", "]", 500, STATUS_OK},
        {"[", "{\"index\":", "}", "]", 40000, STATUS_TOO_LARGE},
        {"[", "{\"type\":\"a\",\"number\":", "}", "]", 10000, STATUS_OK},
        {"[{\"index\":7},", "", "", "]", 40000, STATUS_TOO_LARGE},
        {"{", "\"", "\":0", "}", 200, STATUS_OK},
        {"{", "\"", "\":0", "}", 40000, STATUS_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++) {
        struct completion_fold fold;
        completion_fold_init(&fold, TEXT_MAXIMUM);
        assert_int_equal(add_crowd(&fold, &crowds[i]), crowds[i].status);
        completion_fold_release(&fold);
    }
}

/* One by one, as they come, they are no trouble. */
static void many_calls_may_come_one_by_one(void **state)
{
    (void)state;
    struct completion_fold fold;
    completion_fold_init(&fold, TEXT_MAXIMUM);
    for (int i = 0; i < 3000; i++) {
        char first[64];
        snprintf(first, sizeof first, "[{\"index\":%d,\"function\":{\"arguments\":\"a\"}}]", i);
        assert_int_equal(add_crowd(&fold, &(struct crowd){first, "", "", "", 0, STATUS_OK}),
                         STATUS_OK);
    }
    completion_fold_release(&fold);
}

static void a_fold_without_memory_says_so(void **state)
{
    (void)state;
    struct completion_fold fold;
    completion_fold_init(&fold, TEXT_MAXIMUM);
    memory_fail_after(1);
    enum status status = completion_fold_add(&fold, slice_of(SAYS("{\"content\":\"a\"}")));
    memory_fail_after(0);
    assert_int_equal(status, STATUS_NO_MEMORY);
    completion_fold_release(&fold);
}

/* --- The forms of a body ------------------------------------------------------------------------ */

static void note(const struct sse_event *event, void *context)
{
    struct buffer *seen = context;
    buffer_append_char(seen, '<');
    buffer_append(seen, event->data.data, event->data.length);
    buffer_append_char(seen, '>');
}

struct form_case {
    const char *body;
    enum answer_form form;
    const char *events;
    const char *left; /* in `text` */
};

static const struct form_case forms[] = {
    {"", ANSWER_UNKNOWN, "", ""},
    {" \r\n\n\t", ANSWER_UNKNOWN, "", ""},
    {"\n\xef\xbb", ANSWER_UNKNOWN, "", "\xef\xbb"},
    {"data: a\n\ndata: b\n\n", ANSWER_EVENTS, "<a><b>", ""},
    {"\xef\xbb\xbf\n: x\n\ndata: {\n\n", ANSWER_EVENTS, "<{>", ""},
    {"<html>\n\n", ANSWER_EVENTS, "", ""},
    {"{\"a\":\n[1]}\n\n ", ANSWER_TEXT, "", "{\"a\":\n[1]}"},
    {"\xef\xbb\xbf [{}]", ANSWER_TEXT, "", "[{}]"},
    {"{\"a\":\"}{\\\"}{\\\\\"}", ANSWER_TEXT, "", "{\"a\":\"}{\\\"}{\\\\\"}"},
    {"{\"a\":[{", ANSWER_TEXT, "", "{\"a\":[{"},
    {"{}\n{\"a\":1}\n[DONE]", ANSWER_VALUES, "<{}><{\"a\":1}><[DONE]>", ""},
    {"{}{\"}\":{}}\n\n {", ANSWER_VALUES, "<{}><{\"}\":{}}>", "{"},
};

static void a_body_tells_its_form_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (size_t step = 1; step < 12; step++) {
            struct slice rest = slice_of(forms[i].body);
            struct answer_body body;
            struct buffer seen;
            answer_body_init(&body, TEXT_MAXIMUM);
            buffer_init(&seen, TEXT_MAXIMUM);
            while (rest.length > 0) {
                size_t length = rest.length < step ? rest.length : step;
                assert_int_equal(
                    answer_body_feed(&body, (struct slice){rest.data, length}, note, &seen),
                    STATUS_OK);
                rest.data += length;
                rest.length -= length;
            }
            assert_int_equal(body.form, forms[i].form);
            assert_string_equal(buffer_text(&seen), forms[i].events);
            assert_string_equal(buffer_text(&body.text), forms[i].left);
            buffer_release(&seen);
            answer_body_release(&body);
        }
    }
}

static void what_is_no_value_behind_a_value_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{} x", "{}\n{}\nx", "{},{}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct answer_body body;
        struct buffer seen;
        answer_body_init(&body, TEXT_MAXIMUM);
        buffer_init(&seen, TEXT_MAXIMUM);
        assert_int_equal(answer_body_feed(&body, slice_of(bodies[i]), note, &seen), STATUS_INVALID);
        buffer_release(&seen);
        answer_body_release(&body);
    }
}

static void a_text_has_a_maximum(void **state)
{
    (void)state;
    struct answer_body body;
    answer_body_init(&body, 8);
    assert_int_equal(answer_body_feed(&body, slice_of("{\"a\":10"), note, NULL), STATUS_OK);
    assert_int_equal(answer_body_feed(&body, slice_of("00}"), note, NULL), STATUS_TOO_LARGE);
    answer_body_release(&body);
}

static void blanks_behind_a_value_take_no_room(void **state)
{
    (void)state;
    struct answer_body body;
    answer_body_init(&body, 16);
    assert_int_equal(answer_body_feed(&body, slice_of("{\"a\":1} "), note, NULL), STATUS_OK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(answer_body_feed(&body, slice_of("\n "), note, NULL), STATUS_OK);
    }
    assert_int_equal(body.form, ANSWER_TEXT);
    assert_string_equal(buffer_text(&body.text), "{\"a\":1}");
    answer_body_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_in_pieces_is_one_text),
        cmocka_unit_test(what_stands_outside_of_choices_counts_as_it_was_told_last),
        cmocka_unit_test(calls_of_tools_are_put_together_by_their_index),
        cmocka_unit_test(choices_stand_in_the_order_of_their_index),
        cmocka_unit_test(an_index_may_be_spelled_in_other_ways),
        cmocka_unit_test(lists_without_an_index_follow_each_other),
        cmocka_unit_test(of_a_member_that_is_there_twice_the_last_counts),
        cmocka_unit_test(a_message_beside_the_delta_is_not_said_again),
        cmocka_unit_test(more_than_an_answer_may_hold_is_refused),
        cmocka_unit_test(more_than_can_be_told_apart_in_time_is_refused),
        cmocka_unit_test(many_calls_may_come_one_by_one),
        cmocka_unit_test(a_fold_without_memory_says_so),
        cmocka_unit_test(a_body_tells_its_form_however_it_is_cut),
        cmocka_unit_test(what_is_no_value_behind_a_value_is_refused),
        cmocka_unit_test(a_text_has_a_maximum),
        cmocka_unit_test(blanks_behind_a_value_take_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
