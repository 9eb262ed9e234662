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

static struct arena scratch;

#define CHUNK(choices)                                                                             \
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[" choices "]}"
#define DELTA(index, delta, finish)                                                                \
    "{\"index\":" #index ",\"delta\":" delta ",\"finish_reason\":" finish "}"

/* `passed_on` gets the text for the client. */
static enum status read_for_client(const char *text, bool hides_usage,
                                   struct completion_progress *progress,
                                   struct completion_chunk *chunk, struct buffer *passed_on)
{
    buffer_init(passed_on, 1 << 20);
    enum status status =
        completion_read_chunk(slice_of(text), hides_usage, &scratch, progress, chunk, passed_on);
    if (status == STATUS_OK && !chunk->is_changed) {
        assert_int_equal(passed_on->length, 0);
        buffer_append_text(passed_on, text);
    }
    return status;
}

static enum status read_chunk(struct completion_progress *progress, const char *text,
                              struct completion_chunk *chunk, struct buffer *mended)
{
    return read_for_client(text, false, progress, chunk, mended);
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
        "{\"choices\":[{\"index\":0,\"delta\":{}}],\"usage\":null,\"x_groq\":{\"id\":\"r\"}}",
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
#define SAID "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"usage\":1.50}}]"
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
        {"{\"choices\":[{\"index\":0,\"delta\":{}}],\"usage\":null}",
         "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        assert_int_equal(read_for_client(cases[i].given, true, &progress, &chunk, &mended),
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
    check_mended(
        &progress,
        "{\n\"choices\"\r\n:[{\"index\":0,\"delta\":{\n\"role\":\"assistant\"},\"x\":\"a\\nb\"}]}",
        "{ \"choices\"  :[{\"index\":0,\"delta\":{ \"role\":\"assistant\"},\"x\":\"a\\nb\"}]}");
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
        assert_int_equal(completion_read_chunk(slice_of(steps[i].text), false, &scratch, &progress,
                                               &chunk, NULL),
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
                              false, &scratch, &progress, &chunk, NULL),
        STATUS_OK);
    assert_true(slice_equals(chunk.content, "\"a\\\"b\""));
    assert_false(chunk.is_usage_only);
    assert_true(progress.was_filtered);
    assert_int_equal(progress.output_weight, 8);
    assert_int_equal(
        completion_read_chunk(slice_of("{\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                                       "\"completion_tokens\":4}}"),
                              false, &scratch, &progress, &chunk, NULL),
        STATUS_OK);
    assert_true(chunk.is_usage_only);
    assert_true(progress.has_usage);
    assert_int_equal(progress.input_tokens, 3);
    assert_int_equal(progress.output_tokens, 4);
    assert_int_equal(completion_read_chunk(slice_of("{\"error\":{\"message\":\"m\"}}"), false,
                                           &scratch, &progress, &chunk, NULL),
                     STATUS_OK);
    assert_true(slice_equals(chunk.error, "{\"message\":\"m\"}"));
}

static void an_empty_finish_reason_is_none(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    const char *text = CHUNK(DELTA(0, "{\"content\":\"a\"}", "\"\""));
    assert_int_equal(
        completion_read_chunk(slice_of(text), false, &scratch, &progress, &chunk, NULL), STATUS_OK);
    assert_false(completion_is_complete(&progress));
}

/* Azure's filter sends its verdicts in choices that say nothing. */
static void a_choice_that_says_nothing_says_so(void **state)
{
    (void)state;
    static const struct {
        bool is_whole;
        const char *given, *mended;
    } cases[] = {
        {false, "{\"index\":0,\"finish_reason\":null,\"content_filter_offsets\":{}}",
         "{\"delta\":{\"role\":\"assistant\"},\"index\":0,\"finish_reason\":null,\"content_filter_"
         "offsets\":{}}"},
        {false, "{\"index\":0,\"delta\":null,\"finish_reason\":\"stop\"}",
         "{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\"}"},
        {false, "{}", "{\"index\":0,\"delta\":{\"role\":\"assistant\"}}"},
        {true, "{}",
         "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null},"
         "\"finish_reason\":\"stop\"}"},
        {true, "{\"index\":0,\"finish_reason\":\"stop\"}",
         "{\"message\":{\"role\":\"assistant\",\"content\":null},\"index\":0,"
         "\"finish_reason\":\"stop\"}"},
        {true, "{\"index\":0,\"message\":null,\"finish_reason\":\"stop\"}",
         "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null},"
         "\"finish_reason\":\"stop\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        char expected[256];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        buffer_init(&mended, 1 << 20);
        snprintf(text, sizeof text, "{\"choices\":[%s]}", cases[i].given);
        snprintf(expected, sizeof expected, "{\"choices\":[%s]}", cases[i].mended);
        assert_int_equal(cases[i].is_whole ? completion_read_whole(slice_of(text), &scratch,
                                                                   &progress, &chunk, &mended)
                                           : completion_read_chunk(slice_of(text), false, &scratch,
                                                                   &progress, &chunk, &mended),
                         STATUS_OK);
        assert_string_equal(buffer_text(&mended), expected);
        buffer_release(&mended);
    }
}

static void nonsense_is_no_chunk(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "hello",
        "[]",
        "7",
        "\"text\"",
        "{\"choices\":[]",
        "{\"choices\":[],\"x\":\"\\",
        "{\"choices\":\"\"}",
        "{\"choices\":[]} x",
        "{\"choices\":{}}",
        "{\"choices\":[7]}",
        "{\"choices\":[{\"index\":128}]}",
        "{\"choices\":[{\"index\":-1}]}",
        "{\"choices\":[{\"index\":0.5}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[7]}}]}",
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
    *progress = (struct completion_progress){0};
    return completion_read_whole(slice_of(text), &scratch, progress, chunk, NULL);
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
    assert_int_equal(progress.output_weight, 8);
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
    assert_int_equal(completion_write_as_chunk(slice_of(whole), false, false, &out), STATUS_OK);
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
    assert_int_equal(completion_write_as_chunk(slice_of(whole), true, false, &out), STATUS_OK);
    check_mended(&progress, buffer_text(&out),
                 "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
                 "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_"
                 "tokens\":11},"
                 "\"x\":1.0}");
    assert_true(progress.has_usage);
    buffer_reset(&out);
    assert_int_equal(completion_write_as_chunk(slice_of(whole), false, true, &out), STATUS_OK);
    assert_null(strstr(buffer_text(&out), "usage"));
    buffer_release(&out);
}

static void what_is_beside_the_message_does_not_take_its_place(void **state)
{
    (void)state;
    static const char *const beside[] = {"null", "{}", "{\"content\":\"\"}"};
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        char text[256];
        struct buffer out;
        buffer_init(&out, 1 << 20);
        snprintf(
            text, sizeof text,
            "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hello\"},"
            "\"delta\":%s,\"finish_reason\":\"stop\"}]}",
            beside[i]);
        assert_int_equal(completion_write_as_chunk(slice_of(text), false, false, &out), STATUS_OK);
        assert_string_equal(
            buffer_text(&out),
            "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
            "\"hello\"},\"finish_reason\":\"stop\"}]}");
        buffer_release(&out);
    }
}

/* --- What is odd ------------------------------------------------------------------------------ */

/* '@' stands for "delta" in a stream, for "message" in a whole answer. */
struct odd {
    const char *text;
    const char *content; /* with quotes */
    const char *mended;  /* NULL: as it came */
};

#define ODD(members) "{\"choices\":[{\"index\":0," members ",\"finish_reason\":\"stop\"}]}"
#define SAYS(value)  "\"@\":{\"role\":\"assistant\",\"content\":" value "}"

static const struct odd odds[] = {
    {ODD(SAYS("\"a\"")), "\"a\"", NULL},
    /* An index that is none, or is not there. */
    {"{\"choices\":[{\"index\":null," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}", "\"a\"",
     ODD(SAYS("\"a\""))},
    {"{\"choices\":[{\"index\":\"0\"," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}", "\"a\"",
     ODD(SAYS("\"a\""))},
    {"{\"choices\":[{" SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}", "\"a\"", ODD(SAYS("\"a\""))},
    /* Roles. */
    {ODD("\"@\":{\"content\":\"a\"}"), "\"a\"", ODD(SAYS("\"a\""))},
    {ODD("\"@\":{\"role\":null,\"content\":\"a\"}"), "\"a\"", ODD(SAYS("\"a\""))},
    {ODD("\"@\":{\"role\":\"Assistant\",\"content\":\"a\"}"), "\"a\"", ODD(SAYS("\"a\""))},
    /* Content in parts. */
    {ODD(SAYS("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\\n\"}]")),
     "\"ab\\n\"", ODD(SAYS("\"ab\\n\""))},
    {ODD(SAYS("[\"a\",{\"text\":\"b\"},null,7]")), "\"ab\"", ODD(SAYS("\"ab\""))},
    {ODD(SAYS("[{\"type\":\"thinking\",\"text\":\"hm\"},{\"type\":\"output_text\",\"text\":"
              "\"a\"}]")),
     "\"a\"", ODD(SAYS("\"a\""))},
    {ODD(SAYS("{\"type\":\"text\",\"text\":\"a\"}")), "\"a\"", ODD(SAYS("\"a\""))},
    {ODD(SAYS("[]")), "", ODD(SAYS("\"\""))},
    /* Members twice: the last counts. */
    {ODD("\"@\":{\"role\":\"assistant\",\"content\":\"x\",\"content\":\"a\"}"), "\"a\"", NULL},
    {"{\"choices\":[],\"choices\":[{\"index\":0," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}",
     "\"a\"", NULL},
    {ODD("\"index\":null,\"index\":0," SAYS("\"a\"")), "\"a\"", NULL},
    {ODD("\"@\":null," SAYS("\"a\"")), "\"a\"", NULL},
    /* Other case. */
    {"{\"Choices\":[{\"Index\":0,\"finish_reason\":\"STOP\"," SAYS("\"a\"") "}]}", "\"a\"",
     "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"," SAYS("\"a\"") "}]}"},
    {ODD("\"@\":{\"Role\":\"assistant\",\"CONTENT\":\"a\"}"), "\"a\"", ODD(SAYS("\"a\""))},
    /* Errors that are none. */
    {"{\"error\":null,\"choices\":[{\"index\":0," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}",
     "\"a\"", NULL},
    {"{\"error\":\"\",\"choices\":[{\"index\":0," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}",
     "\"a\"", NULL},
    {"{\"error\":{},\"choices\":[{\"index\":0," SAYS("\"a\"") ",\"finish_reason\":\"stop\"}]}",
     "\"a\"", NULL},
    /* What the scanner refuses. */
    {"\xef\xbb\xbf" ODD(SAYS("\"a\"")), "\"a\"", ODD(SAYS("\"a\""))},
    {ODD(SAYS("\"\xff\"")), "\"\xef\xbf\xbd\"", ODD(SAYS("\"\xef\xbf\xbd\""))},
    {ODD(SAYS("\"a\nb\"")), "\"a\\u000ab\"", ODD(SAYS("\"a\\u000ab\""))},
    {ODD(SAYS("\"\\ud83d \\udE00\"")), "\"\xef\xbf\xbd \xef\xbf\xbd\"",
     ODD(SAYS("\"\xef\xbf\xbd \xef\xbf\xbd\""))},
    {ODD(SAYS("\"\\ud83d\\ude00\"")), "\"\\ud83d\\ude00\"", NULL},
    /* Nothing that matters, and what matters under another name. */
    {ODD(SAYS("null")), "", NULL},
    {ODD(SAYS("\"a\"") ",\"x\":{\"choices\":null},\"Y\":[1.50]"), "\"a\"", NULL},
};

static void fill_in(const char *text, bool is_whole, char out[512])
{
    size_t length = 0;
    for (; *text != '\0'; text++) {
        const char *name = is_whole ? "message" : "delta";
        length += *text == '@' ? (size_t)snprintf(out + length, 512 - length, "%s", name)
                               : (size_t)snprintf(out + length, 512 - length, "%c", *text);
    }
}

static void what_is_odd_and_harmless_passes_whole_and_in_a_stream(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof odds / sizeof odds[0]; i++) {
        const struct odd *odd = &odds[i / 2];
        bool is_whole = i % 2 == 0;
        char text[512];
        char expected[512];
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        fill_in(odd->text, is_whole, text);
        fill_in(odd->mended != NULL ? odd->mended : odd->text, is_whole, expected);
        buffer_init(&mended, 1 << 20);
        arena_reset(&scratch);
        enum status status =
            is_whole ? completion_read_whole(slice_of(text), &scratch, &progress, &chunk, &mended)
                     : read_chunk(&progress, text, &chunk, &mended);
        assert_int_equal(status, STATUS_OK);
        assert_true(slice_equals(chunk.content, odd->content));
        assert_true(completion_is_complete(&progress));
        assert_int_equal(chunk.error.length, 0);
        if (is_whole && odd->mended == NULL) {
            assert_false(chunk.is_changed);
            assert_int_equal(mended.length, 0);
        } else {
            assert_string_equal(buffer_text(&mended), expected);
        }
        buffer_release(&mended);
    }
}

/* Between chunks; a whole answer of nothing is no answer. */
static void chunks_of_nothing_are_passed_over(void **state)
{
    (void)state;
    static const char *const texts[] = {"null",
                                        "{}",
                                        "{\"error\":\"\"}",
                                        "{\"error\":null}",
                                        "{\"choices\":null}",
                                        "{\"id\":\"c\",\"choices\":null,\"usage\":null}",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        assert_int_equal(
            completion_read_chunk(slice_of(texts[i]), false, &scratch, &progress, &chunk, NULL),
            STATUS_OK);
        assert_true(chunk.is_nothing);
        assert_int_equal(read_whole(texts[i], &progress, &chunk), STATUS_INVALID);
    }
}

static void a_usage_without_choices_gets_an_empty_list(void **state)
{
    (void)state;
    struct completion_progress progress = {0};
#define TOLD "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}"
    check_mended(&progress, "{" TOLD "}", "{\"choices\":[]," TOLD "}");
    check_mended(&progress, "{\"choices\":null," TOLD "}", "{\"choices\":[]," TOLD "}");
}

static void a_pair_that_was_split_over_two_chunks_is_one_character(void **state)
{
    (void)state;
    static const char *const words[] = {"\\ud83d", "\\ude00", "a\\uD83D", "\\uDE00b",
                                        "\\ud83d", "",        "\\ude00"};
    struct completion_progress progress = {0};
    char said[128] = "";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[256];
        struct completion_chunk chunk;
        snprintf(text, sizeof text, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}",
                 words[i]);
        assert_int_equal(
            completion_read_chunk(slice_of(text), false, &scratch, &progress, &chunk, NULL),
            STATUS_OK);
        if (chunk.content.length > 2) {
            strncat(said, chunk.content.data + 1, chunk.content.length - 2);
        }
    }
    assert_string_equal(said, "\\ud83d\\ude00a\\ud83d\\uDE00b\\ud83d\\ude00");
}

static void a_whole_answer_has_an_end_though_it_does_not_say_so(void **state)
{
    (void)state;
#define ENDING(message, end) "{\"choices\":[{" end "\"index\":0,\"message\":" message "}]}"
#define ASSISTANT            "{\"role\":\"assistant\",\"content\":\"a\"}"
#define CALLS                "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\"}]}"
    static const struct {
        const char *given;
        const char *mended;
    } cases[] = {
        {ENDING(ASSISTANT, ""), ENDING(ASSISTANT, "\"finish_reason\":\"stop\",")},
        {ENDING(ASSISTANT, "\"finish_reason\":null,"),
         ENDING(ASSISTANT, "\"finish_reason\":\"stop\",")},
        {ENDING(CALLS, "\"finish_reason\":\"\","),
         ENDING(CALLS, "\"finish_reason\":\"tool_calls\",")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct completion_progress progress = {0};
        struct completion_chunk chunk;
        struct buffer mended;
        buffer_init(&mended, 1 << 20);
        assert_int_equal(
            completion_read_whole(slice_of(cases[i].given), &scratch, &progress, &chunk, &mended),
            STATUS_OK);
        assert_string_equal(buffer_text(&mended), cases[i].mended);
        buffer_release(&mended);
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
        cmocka_unit_test(nonsense_is_no_chunk),
        cmocka_unit_test(a_whole_answer_is_read),
        cmocka_unit_test(what_is_no_whole_answer_is_refused),
        cmocka_unit_test(a_whole_answer_becomes_a_chunk_and_one_of_its_usage),
        cmocka_unit_test(what_is_beside_the_message_does_not_take_its_place),
        cmocka_unit_test(what_is_odd_and_harmless_passes_whole_and_in_a_stream),
        cmocka_unit_test(chunks_of_nothing_are_passed_over),
        cmocka_unit_test(a_usage_without_choices_gets_an_empty_list),
        cmocka_unit_test(a_pair_that_was_split_over_two_chunks_is_one_character),
        cmocka_unit_test(a_choice_that_says_nothing_says_so),
        cmocka_unit_test(a_whole_answer_has_an_end_though_it_does_not_say_so),
    };
    arena_init(&scratch, 8 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(&scratch);
    return failed;
}
