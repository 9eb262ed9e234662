/*
 * Bodies of completions: what is refused, and that everything else reaches the provider as the
 * client wrote it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "fcgi-apps/chat/completion_request.h"

#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static enum status read_text(struct arena *arena, const char *text, struct completion_request *out,
                             struct completion_fault *fault)
{
    arena_init(arena, 8 << 20);
    *fault = (struct completion_fault){0};
    return completion_request_read(arena, slice_of(text), out, fault);
}

/* --- Refusals -------------------------------------------------------------------------------- */

static void bad_bodies_are_refused_with_the_member_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *param;
    } cases[] = {
        {"", NULL},
        {"{", NULL},
        {"[]", NULL},
        {"null", NULL},
        {"{\"model\":\"m\"," HELLO "} x", NULL},
        {"{\"model\":\"m\",\"model\":\"n\"," HELLO "}", NULL},
        {"{\"model\":\"m\",\"mod\\u0065l\":\"n\"," HELLO "}", NULL},
        {"{\"model\":\"\xff\"," HELLO "}", NULL},
        {"{" HELLO "}", "model"},
        {"{\"model\":null," HELLO "}", "model"},
        {"{\"model\":7," HELLO "}", "model"},
        {"{\"model\":\"\"," HELLO "}", "model"},
        {"{\"model\":\"a b\"," HELLO "}", "model"},
        {"{\"model\":\"a\\r\\nb\"," HELLO "}", "model"},
        {"{\"model\":\"a\\u0000b\"," HELLO "}", "model"},
        {"{\"model\":\"m\"}", "messages"},
        {"{\"model\":\"m\",\"messages\":[]}", "messages"},
        {"{\"model\":\"m\",\"messages\":\"hi\"}", "messages"},
        {"{\"model\":\"m\",\"messages\":null}", "messages"},
        {"{\"model\":\"m\",\"messages\":{}}", "messages"},
        {"{\"model\":\"m\",\"messages\":[\"hi\"]}", "messages[0]"},
        {"{\"model\":\"m\",\"messages\":[{\"content\":\"hi\"}]}", "messages[0].role"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},{\"role\":1}]}", "messages[1].role"},
        {"{\"model\":\"m\",\"stream\":\"true\"," HELLO "}", "stream"},
        {"{\"model\":\"m\",\"stream\":1," HELLO "}", "stream"},
        {"{\"model\":\"m\",\"stream\":true,\"stream_options\":[]," HELLO "}", "stream_options"},
        {"{\"model\":\"m\",\"stream_options\":{\"include_usage\":1}," HELLO "}",
         "stream_options.include_usage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        assert_int_equal(read_text(&arena, cases[i].text, &request, &fault), STATUS_INVALID);
        assert_non_null(fault.message);
        if (cases[i].param == NULL) {
            assert_null(fault.param);
        } else {
            assert_non_null(fault.param);
            assert_string_equal(fault.param, cases[i].param);
        }
        arena_destroy(&arena);
    }
}

static void a_model_name_has_a_maximum(void **state)
{
    (void)state;
    for (size_t length = COMPLETION_MODEL_MAXIMUM; length <= COMPLETION_MODEL_MAXIMUM + 1;
         length++) {
        char text[2048];
        char name[COMPLETION_MODEL_MAXIMUM + 2];
        memset(name, 'm', length);
        name[length] = '\0';
        snprintf(text, sizeof text, "{\"model\":\"%s\"," HELLO "}", name);
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        assert_int_equal(read_text(&arena, text, &request, &fault),
                         length <= COMPLETION_MODEL_MAXIMUM ? STATUS_OK : STATUS_INVALID);
        arena_destroy(&arena);
    }
}

/* --- Passing on ------------------------------------------------------------------------------ */

static void check_written(const char *text, bool asks_usage, const char *expected)
{
    struct arena arena;
    struct completion_request request;
    struct completion_fault fault;
    assert_int_equal(read_text(&arena, text, &request, &fault), STATUS_OK);
    struct slice out;
    assert_int_equal(completion_request_write(&request, &arena, "real/model", asks_usage, &out),
                     STATUS_OK);
    assert_int_equal(out.length, strlen(expected));
    assert_memory_equal(out.data, expected, out.length);
    arena_destroy(&arena);
}

static void only_the_model_changes(void **state)
{
    (void)state;
    check_written("{\"model\":\"p/m\"," HELLO "}", true, "{\"model\":\"real/model\"," HELLO "}");
    check_written(" {\r\n\t\"temperature\" : 1.0E+0 ,\"x_unknown\":{\"a\":[1,2.50,-0.0]},\"model\" "
                  ": \"m\" , " HELLO ",\"seed\":12345678901234567890, \"big\":1e400 }\n",
                  true,
                  " {\r\n\t\"temperature\" : 1.0E+0 ,\"x_unknown\":{\"a\":[1,2.50,-0.0]},\"model\" "
                  ": \"real/model\" , " HELLO ",\"seed\":12345678901234567890, \"big\":1e400 }\n");
    check_written("{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                  "{\"model\":\"not this\"}}}],\"mo\\u0064el\":\"m\"," HELLO "}",
                  false,
                  "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                  "{\"model\":\"not this\"}}}],\"mo\\u0064el\":\"real/model\"," HELLO "}");
}

static void the_usage_of_a_stream_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *members; /* behind the model */
        const char *expected;
    } cases[] = {
        {"\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}"},
        {"\"stream\":true,\"stream_options\":null",
         "\"stream\":true,\"stream_options\":{\"include_usage\":true}"},
        {"\"stream\":true,\"stream_options\":{}",
         "\"stream\":true,\"stream_options\":{\"include_usage\":true}"},
        {"\"stream_options\": { \"include_obfuscation\":false} ,\"stream\":true",
         "\"stream_options\": {\"include_usage\":true, \"include_obfuscation\":false} "
         ",\"stream\":true"},
        {"\"stream\":true,\"stream_options\":{\"include_usage\":false,\"x\":1}",
         "\"stream\":true,\"stream_options\":{\"include_usage\":true,\"x\":1}"},
        {"\"stream\":true,\"stream_options\":{\"include_usage\":null}",
         "\"stream\":true,\"stream_options\":{\"include_usage\":true}"},
        {"\"stream\":true,\"stream_options\":{\"include_usage\":true}",
         "\"stream\":true,\"stream_options\":{\"include_usage\":true}"},
        {"\"stream\":false", "\"stream\":false"},
        {"\"stream\":null", "\"stream\":null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        char expected[512];
        snprintf(text, sizeof text, "{" HELLO ",\"model\":\"m\",%s}", cases[i].members);
        snprintf(expected, sizeof expected, "{" HELLO ",\"model\":\"real/model\",%s}",
                 cases[i].expected);
        check_written(text, true, expected);
        /* The model may stand behind what else changes. */
        snprintf(text, sizeof text, "{%s," HELLO ",\"model\":\"m\"}", cases[i].members);
        bool is_appended = i == 0;
        snprintf(expected, sizeof expected, "{%s," HELLO ",\"model\":\"real/model\"%s}",
                 is_appended ? cases[i].members : cases[i].expected,
                 is_appended ? ",\"stream_options\":{\"include_usage\":true}" : "");
        check_written(text, true, expected);
    }
    check_written("{\"model\":\"m\",\"stream\":true," HELLO "}", false,
                  "{\"model\":\"real/model\",\"stream\":true," HELLO "}");
}

static void what_the_client_asked_for_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool is_streamed;
        bool wants_usage;
    } cases[] = {
        {"", false, false},
        {",\"stream\":true", true, false},
        {",\"str\\u0065am\":true", true, false},
        {",\"stream\":true,\"stream_options\":{\"include_usage\":true}", true, true},
        {",\"stream\":true,\"stream_options\":{\"include_usage\":false}", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"model\":\"openai/gpt\"," HELLO "%s}", cases[i].members);
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        assert_int_equal(read_text(&arena, text, &request, &fault), STATUS_OK);
        assert_true(slice_equals(request.model, "openai/gpt"));
        assert_int_equal(request.is_streamed, cases[i].is_streamed);
        assert_int_equal(request.wants_usage, cases[i].wants_usage);
        arena_destroy(&arena);
    }
}

static void what_a_model_reads_is_counted_in_characters(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        int64_t weight;
    } cases[] = {
        {"\"abc\"", 3},
        {"\"\"", 0},
        {"null", 0},
        {"\"a\\n\\\"\\u00e9\"", 4},
        {"\"\xc3\xa9\xf0\x9f\x98\x80\"", 2},
        {"[{\"type\":\"text\",\"text\":\"four\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
         "\"data:image/png;base64,AAAAAAAAAAAA\"}},{\"type\":\"text\",\"text\":\"five5\"},7]",
         4009},
        {"null,\"tool_calls\":[{\"id\":\"a\"}]", 12},
        {"null,\"tool_calls\":null", 0},
        {"\"abc\"}],\"tools\":[{\"a\":1}],\"functions\":[{}],\"x\":[{\"y\":\"long\"", 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":%s}]}",
                 cases[i].content);
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        assert_int_equal(read_text(&arena, text, &request, &fault), STATUS_OK);
        assert_int_equal(request.input_weight, cases[i].weight);
        arena_destroy(&arena);
    }
}

/* What may be spent at most: never less than some provider may understand. */
static void the_output_that_a_request_asks_for_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        int64_t maximum, choices;
    } cases[] = {
        {"", 0, 1},
        {"\"max_tokens\":7,", 7, 1},
        {"\"max_tokens\":7,\"max_completion_tokens\":3,", 7, 1},
        {"\"max_tokens\":3,\"max_completion_tokens\":7,", 7, 1},
        {"\"max_tokens\":-7,\"max_completion_tokens\":1e400,", 0, 1},
        {"\"max_tokens\":\"7\",\"n\":null,", 7, 1},
        {"\"max_tokens\":1e4,", 10000, 1},
        {"\"max_tokens\":\" 1e4 \",", 10000, 1},
        {"\"max_tokens\":10000.0,", 10000, 1},
        {"\"max_tokens\":6.5,", 7, 1},
        {"\"max_tokens\":10000001,", 10000000, 1},
        {"\"max_tokens\":1e300,", 10000000, 1},
        {"\"max_tokens\":\"many\",\"max_completion_tokens\":[9],", 0, 1},
        {"\"n\":5,\"max_tokens\":2,", 2, 5},
        {"\"\\u006e\":5,", 0, 5},
        {"\"n\":0,", 0, 1},
        {"\"n\":-9223372036854775808,", 0, 1},
        {"\"n\":129,", 0, 128},
        {"\"n\":9223372036854775808,", 0, 128},
        {"\"n\":\"5\",", 0, 128},
        {"\"n\":5.0,", 0, 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        snprintf(text, sizeof text, "{%s\"model\":\"m\"," HELLO "}", cases[i].members);
        assert_int_equal(read_text(&arena, text, &request, &fault), STATUS_OK);
        assert_int_equal(request.output_maximum, cases[i].maximum);
        assert_int_equal(request.choices, cases[i].choices);
        arena_destroy(&arena);
    }
}

static void running_out_of_memory_is_told(void **state)
{
    (void)state;
    static const char text[] = "{\"mod\\u0065l\":\"m\",\"stream\":true," HELLO "}";
    bool succeeded = false;
    for (unsigned long n = 1; !succeeded; n++) {
        struct arena arena;
        struct completion_request request;
        struct completion_fault fault;
        struct slice out;
        memory_fail_after(n);
        enum status status = read_text(&arena, text, &request, &fault);
        if (status == STATUS_OK) {
            status = completion_request_write(&request, &arena, "m", true, &out);
        }
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        succeeded = status == STATUS_OK;
        arena_destroy(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_bodies_are_refused_with_the_member_that_is_wrong),
        cmocka_unit_test(a_model_name_has_a_maximum),
        cmocka_unit_test(only_the_model_changes),
        cmocka_unit_test(the_usage_of_a_stream_is_asked_for),
        cmocka_unit_test(what_the_client_asked_for_is_known),
        cmocka_unit_test(what_a_model_reads_is_counted_in_characters),
        cmocka_unit_test(the_output_that_a_request_asks_for_is_known),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
