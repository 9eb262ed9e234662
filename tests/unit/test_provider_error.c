/*
 * What providers say when they refuse: found in every shape, understood, and fit for a client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "fcgi-apps/chat/provider_error.h"

static struct arena scratch;

static struct provider_error read_error(const char *body)
{
    struct provider_error error;
    arena_reset(&scratch);
    assert_int_equal(provider_error_read(slice_of(body), &scratch, &error), STATUS_OK);
    return error;
}

static void assert_text(const char *text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, expected);
    }
}

static void the_words_of_an_error_are_found_in_every_shape(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *message;
        const char *type;
        const char *code;
        const char *param;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":\"messages[0].role\",\"code\":"
         "\"bad_value\"}}",
         "m", "t", "bad_value", "messages[0].role"},
        {"{\"error\":{\"message\":\"m\",\"code\":400}}", "m", NULL, NULL, NULL},
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"m\"}}",
         "m", "invalid_request_error", NULL, NULL},
        {"[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"}}]", "m",
         NULL, NULL, NULL},
        {"{\"error\":\"m\"}", "m", NULL, NULL, NULL},
        {"{\"error\":\"m\",\"error_type\":\"validation\"}", "m", NULL, NULL, NULL},
        {"{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}", "m",
         "BadRequestError", NULL, NULL},
        {"{\"detail\":\"m\"}", "m", NULL, NULL, NULL},
        {"{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"m\",\"type\":\"missing\"},{\"msg\":\"n\"}]}",
         "m; n", "missing", NULL, NULL},
        {"{\"errors\":[\"m\",{\"message\":\"n\"}]}", "m; n", NULL, NULL, NULL},
        {"{\"message\":\"m\"}", "m", NULL, NULL, NULL},
        {"\"m\"", "m", NULL, NULL, NULL},
        {"  m\n", "m", NULL, NULL, NULL},
        {"a\nb\x01", "a b ", NULL, NULL, NULL},
        {"<html>m</html>", NULL, NULL, NULL, NULL},
        {" <!DOCTYPE html>", NULL, NULL, NULL, NULL},
        {"{\"error\":{\"message\":7}}", NULL, NULL, NULL, NULL},
        {"{\"error\":", NULL, NULL, NULL, NULL},
        {"{}", NULL, NULL, NULL, NULL},
        {"null", NULL, NULL, NULL, NULL},
        {"", NULL, NULL, NULL, NULL},
        {"{\"error\":{\"message\":\"m\",\"type\":\"a b\",\"code\":\"<x>\"}}", "m", NULL, NULL,
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_error error = read_error(cases[i].body);
        assert_text(error.message, cases[i].message);
        assert_text(error.type, cases[i].type);
        assert_text(error.code, cases[i].code);
        assert_text(error.param, cases[i].param);
        assert_false(error.is_too_long || error.is_filtered || error.refuses_stream_options);
    }
    assert_int_equal(read_error("{\"error\":{\"message\":\"m\",\"code\":429}}").status_code, 429);
    assert_int_equal(read_error("{\"error\":{\"message\":\"m\",\"code\":\"503\"}}").status_code,
                     503);
    assert_int_equal(read_error("{\"error\":{\"message\":\"m\",\"code\":7}}").status_code, 0);
}

static void addresses_and_keys_are_blanked(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *shown;
    } cases[] = {
        {"see https://internal.example:8443/a?b=c, then", "see […] then"},
        {"(HTTP://10.0.0.1/x) and ws://y", "([…]) and […]"},
        {"key sk-upstream-secret is bad", "key […] is bad"},
        {"AIzaSyD-123456 and gsk_abcdefg and eyJhbGciOi", "[…] and […] and […]"},
        {"token 0123456789abcdef0123456789abcdef", "token […]"},
        {"Incorrect API key provided: abc123def456ghi789jkl012", "Incorrect API key provided: […]"},
        {"maximum context length is 8192 tokens (messages[0].content), gpt-4o-mini-2024-07-18",
         "maximum context length is 8192 tokens (messages[0].content), gpt-4o-mini-2024-07-18"},
        {"meta-llama/Llama-3.1-8B-Instruct is not a supercalifragilisticexpialidocious model",
         "meta-llama/Llama-3.1-8B-Instruct is not a supercalifragilisticexpialidocious model"},
        {"sk-", "sk-"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_text(read_error(cases[i].given).message, cases[i].shown);
    }
}

static void words_are_of_bounded_length_and_cut_between_characters(void **state)
{
    (void)state;
    char body[8000] = "";
    for (size_t i = 0; i + 3 < sizeof body; i += 3) {
        memcpy(body + i, "\xe2\x82\xac", 3);
    }
    struct provider_error error = read_error(body);
    assert_int_equal(strlen(error.message), PROVIDER_WORDS_MAXIMUM / 3 * 3);
    assert_true(text_is_utf8(error.message, strlen(error.message)));
}

static void a_context_that_is_too_long_is_known_in_every_providers_words(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool is_too_long;
    } cases[] = {
        /* OpenAI, Groq */
        {"{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"code\":"
         "\"context_length_exceeded\"}}",
         true},
        {"{\"error\":{\"message\":\"Your input exceeds the context window of this model.\"}}",
         true},
        /* vLLM, in its two shapes and two wordings */
        {"{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 tokens. "
         "However, you requested 5000 tokens\",\"type\":\"BadRequestError\",\"code\":400}",
         true},
        {"{\"error\":{\"message\":\"The decoder prompt (length 9000) is longer than the maximum "
         "model length of 4096.\",\"code\":400}}",
         true},
        /* llama.cpp */
        {"{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size. "
         "try increasing the context size\",\"type\":\"exceed_context_size_error\",\"n_ctx\":512}}",
         true},
        {"{\"error\":{\"message\":\"Requested tokens (5005) exceed context window of 4096\"}}",
         true},
        /* DeepSeek */
        {"{\"error\":{\"message\":\"This model's maximum context length is 65536 tokens. However, "
         "you requested 70000 tokens\",\"type\":\"invalid_request_error\",\"code\":"
         "\"invalid_request_error\"}}",
         true},
        /* OpenRouter, of its own and of another behind it */
        {"{\"error\":{\"message\":\"This endpoint's maximum context length is 8192 tokens.\","
         "\"code\":400}}",
         true},
        {"{\"error\":{\"message\":\"Provider returned error\",\"code\":400,\"metadata\":{\"raw\":"
         "\"prompt is too long: 210000 tokens\"}}}",
         true},
        /* Anthropic */
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt "
         "is "
         "too long: 210000 tokens > 200000 maximum\"}}",
         true},
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"input "
         "length and `max_tokens` exceed context limit: 190000 + 20000 > 200000\"}}",
         true},
        /* Gemini */
        {"[{\"error\":{\"code\":400,\"message\":\"The input token count (1200000) exceeds the "
         "maximum number of tokens allowed (1048576).\",\"status\":\"INVALID_ARGUMENT\"}}]",
         true},
        /* Ollama */
        {"{\"error\":\"the input length exceeds the context length\"}", true},
        {"prompt too long; exceeded max context length by 12 tokens", true},
        /* Mistral, text-generation-inference */
        {"{\"object\":\"error\",\"message\":\"Prompt contains 40000 tokens, too large for model "
         "with 32768 maximum context length\"}",
         true},
        {"{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
         "4096\"}",
         true},
        /* Not so */
        {"{\"error\":{\"message\":\"Request too large for gpt-4o on tokens per minute (TPM): Limit "
         "30000; reduce the length of the messages\",\"code\":\"rate_limit_exceeded\"}}",
         false},
        {"{\"error\":\"temperature is too large\"}", false},
        {"too long", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_error(cases[i].body).is_too_long, cases[i].is_too_long);
    }
    assert_true(
        read_error("{\"error\":{\"code\":\"content_filter\",\"message\":\"m\"}}").is_filtered);
    assert_true(
        read_error("{\"detail\":[{\"loc\":[\"body\",\"stream_options\"],\"msg\":\"Extra inputs are "
                   "not permitted\"}]}")
            .refuses_stream_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_an_error_are_found_in_every_shape),
        cmocka_unit_test(addresses_and_keys_are_blanked),
        cmocka_unit_test(words_are_of_bounded_length_and_cut_between_characters),
        cmocka_unit_test(a_context_that_is_too_long_is_known_in_every_providers_words),
    };
    arena_init(&scratch, 8 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(&scratch);
    return failed;
}
