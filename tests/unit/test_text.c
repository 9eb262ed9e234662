/*
 * Tests of base/text: slices, conversions and encodings, first of all what they must refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- slices ------------------------------------------------------------------------------------ */

static void the_slice_of_null_is_empty(void **state)
{
    (void)state;
    struct slice slice = slice_of(NULL);
    assert_int_equal(slice.length, 0);
    assert_true(slice_equals(slice, ""));
    assert_true(slice_equals_ignoring_case(slice, ""));
    assert_true(slice_starts_with(slice, ""));
    assert_false(slice_starts_with(slice, "a"));
    assert_int_equal(slice_trim(slice).length, 0);
}

static void slices_compare_by_length_and_bytes(void **state)
{
    (void)state;
    assert_true(slice_equals(slice_of("abc"), "abc"));
    assert_false(slice_equals(slice_of("abc"), "abcd"));
    assert_false(slice_equals(slice_of("abc"), "ab"));
    assert_false(slice_equals(slice_of("abc"), "Abc"));
    assert_false(slice_equals((struct slice){"a\0b", 3}, "a"));
    assert_true(slice_starts_with(slice_of("Bearer x"), "Bearer "));
    assert_false(slice_starts_with(slice_of("Bear"), "Bearer "));
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_equals_ignoring_case(slice_of("X-aPi-KEY"), "x-api-key"));
    assert_false(slice_equals_ignoring_case(slice_of("x-api-key"), "x-api-keys"));
    assert_false(slice_equals_ignoring_case(slice_of("x-api-keys"), "x-api-key"));
    /* Neighbours of the letters in ASCII, and a letter beyond it. */
    assert_false(slice_equals_ignoring_case(slice_of("@[`{"), "`{@["));
    assert_false(slice_equals_ignoring_case(slice_of("\xc3\x84"), "\xc3\xa4"));
    assert_false(slice_equals_ignoring_case((struct slice){"a\0", 2}, "a"));
}

static void trim_takes_white_space_from_both_ends(void **state)
{
    (void)state;
    assert_true(slice_equals(slice_trim(slice_of(" \t\r\na b\n ")), "a b"));
    assert_true(slice_equals(slice_trim(slice_of(" \t ")), ""));
    assert_true(slice_equals(slice_trim(slice_of("\v")), "\v"));
}

static void split_gives_every_part_also_empty_ones(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *parts[4];
    } cases[] = {
        {"", {"", NULL}},
        {"a", {"a", NULL}},
        {"a,", {"a", "", NULL}},
        {",a", {"", "a", NULL}},
        {"a,,b", {"a", "", "b", NULL}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice rest = slice_of(cases[i].text);
        struct slice part;
        size_t count = 0;
        while (slice_split(&rest, ',', &part)) {
            assert_non_null(cases[i].parts[count]);
            assert_true(slice_equals(part, cases[i].parts[count]));
            count++;
        }
        assert_null(cases[i].parts[count]);
        assert_false(slice_split(&rest, ',', &part));
    }
}

/* --- numbers ------------------------------------------------------------------------------------ */

static void integers_that_are_not_exactly_one_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "--1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "1a",
                                      "\xb2",
                                      "1-",
                                      "1,0",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "92233720368547758070",
                                      "99999999999999999999999999"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t number = 77;
        assert_int_equal(text_parse_integer(slice_of(bad[i]), &number), STATUS_INVALID);
        assert_int_equal(number, 77);
    }
    int64_t number;
    assert_int_equal(text_parse_integer((struct slice){"1\0", 2}, &number), STATUS_INVALID);
    assert_int_equal(text_parse_integer((struct slice){NULL, 0}, &number), STATUS_INVALID);
}

static void integers_reach_both_ends_of_their_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t number;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"007", 7},
        {"42", 42},
        {"9223372036854775807", INT64_MAX},
        {"-7", -7},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t number = 77;
        assert_int_equal(text_parse_integer(slice_of(cases[i].text), &number), STATUS_OK);
        assert_true(number == cases[i].number);
    }
    int64_t number;
    assert_int_equal(text_parse_integer((struct slice){"123456", 3}, &number), STATUS_OK);
    assert_int_equal(number, 123);
}

static void booleans_are_eight_words(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "1", "yes", "on", "TRUE", "Yes", "oN"};
    static const char *const no[] = {"false", "0", "no", "off", "FALSE", "No", "oFF"};
    static const char *const bad[] = {"", "t", "2", "01", "yes ", "enabled", "nope", "truefalse"};
    bool value;
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        assert_int_equal(text_parse_boolean(slice_of(yes[i]), &value), STATUS_OK);
        assert_true(value);
        assert_int_equal(text_parse_boolean(slice_of(no[i]), &value), STATUS_OK);
        assert_false(value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(text_parse_boolean(slice_of(bad[i]), &value), STATUS_INVALID);
    }
}

/* --- UTF-8 -------------------------------------------------------------------------------------- */

static void invalid_utf8_is_recognised_at_any_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xbf",             /* the last of them */
        "\xc0\xaf",         /* overlong '/' */
        "\xc1\xbf",         /* overlong */
        "\xc3",             /* cut */
        "\xc3(",            /* no continuation */
        "\xe0\x80\xaf",     /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe2\x82",         /* cut */
        "\xed\xa0\x80",     /* U+D800 */
        "\xed\xbf\xbf",     /* U+DFFF */
        "\xf0\x80\x80\xaf", /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf0\x9f\x98",     /* cut */
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xf5\x80\x80\x80", /* above */
        "\xfe",             /* never */
        "\xff",             /* never */
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        /* At each offset from the words that are checked at once, with and without a tail. */
        for (size_t before = 0; before < 17; before++) {
            char text[64];
            memset(text, 'a', sizeof(text));
            size_t length = strlen(bad[i]);
            memcpy(text + before, bad[i], length);
            assert_false(text_is_utf8(text, before + length));
            assert_false(text_is_utf8(text, before + length + 20));
        }
        assert_int_equal(text_measure_character(bad[i], strlen(bad[i])), 0);
    }
}

static void valid_utf8_is_accepted_up_to_its_borders(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } good[] = {
        {"\0", 1},
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xee\x80\x80", 3},
        {"\xef\xbf\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(text_is_utf8(good[i].text, good[i].length));
        assert_int_equal(text_measure_character(good[i].text, good[i].length), good[i].length);
        if (good[i].length > 1) {
            assert_int_equal(text_measure_character(good[i].text, good[i].length - 1), 0);
        }
    }
    assert_true(text_is_utf8("", 0));
    assert_true(text_is_utf8(NULL, 0));
    assert_int_equal(text_measure_character("", 0), 0);
}

static void characters_are_counted_not_bytes(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
    assert_int_equal(text_count_characters(text, strlen(text)), 5);
    assert_int_equal(text_count_characters("", 0), 0);
}

/* --- patterns ----------------------------------------------------------------------------------- */

/* Test vectors of the authors' "FNV Non-Cryptographic Hash" draft, 32-bit FNV-1a. */
static void hashes_are_fnv_1a(void **state)
{
    (void)state;
    assert_int_equal(text_hash(""), 0x811c9dc5);
    assert_int_equal(text_hash("a"), 0xe40c292c);
    assert_int_equal(text_hash("foobar"), 0xbf9cf968);
}

static void globs_match_the_whole_text(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"?", "", false},
        {"?", "a", true},
        {"?", "ab", false},
        {"a*", "a", true},
        {"a*", "ba", false},
        {"*a", "bab", false},
        {"*a", "baba", true},
        {"a*b*c", "aXbXbXc", true},
        {"a*b*c", "acb", false},
        {"sk-premium-*", "sk-premium-1", true},
        {"sk-premium-*", "sk-basic-1", false},
        {"A", "a", false},
        {"**", "", true},
        {"*?", "", false},
        {"*?", "a", true},
        {"a**b", "ab", true},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"\\*", "*", false},
        {"*.example.org", "example.org", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(text_matches_glob(cases[i].pattern, slice_of(cases[i].text)),
                         cases[i].matches);
    }
    assert_false(text_matches_glob("a", (struct slice){"a\0", 2}));
    assert_true(text_matches_glob("a?", (struct slice){"a\0", 2}));
}

static void a_hostile_glob_ends_soon(void **state)
{
    (void)state;
    /* With naive backtracking this would take longer than the sun has left. */
    static char text[20000];
    memset(text, 'a', sizeof(text));
    assert_false(
        text_matches_glob("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", (struct slice){text, sizeof(text)}));
}

static void equality_in_constant_time_is_equality(void **state)
{
    (void)state;
    assert_true(text_equals_in_constant_time("abc", "abc", 3));
    assert_false(text_equals_in_constant_time("abc", "abd", 3));
    assert_false(text_equals_in_constant_time("abc", "bbc", 3));
    assert_false(text_equals_in_constant_time("\x80", "\x00", 1));
    assert_true(text_equals_in_constant_time("abc", "xyz", 0));
}

/* --- encodings ---------------------------------------------------------------------------------- */

static void hex_is_exact(void **state)
{
    (void)state;
    char hex[9];
    text_encode_hex("\x00\x7f\xa0\xff", 4, hex);
    assert_string_equal(hex, "007fa0ff");
    unsigned char bytes[4];
    assert_int_equal(text_decode_hex(slice_of("007FA0ff"), bytes, 4), STATUS_OK);
    assert_memory_equal(bytes, "\x00\x7f\xa0\xff", 4);
    static const char *const bad[] = {"",           "0",        "007fa0f",  "007fa0ff0",
                                      "007fa0ff00", "007fa0fg", "0x7fa0ff", "007fa0 f"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(text_decode_hex(slice_of(bad[i]), bytes, 4), STATUS_INVALID);
    }
}

static void base64url_meets_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const struct {
        const char *plain;
        const char *encoded;
    } cases[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char encoded[16];
        size_t plain_length = strlen(cases[i].plain);
        assert_int_equal(text_encode_base64url(cases[i].plain, plain_length, encoded),
                         strlen(cases[i].encoded));
        assert_string_equal(encoded, cases[i].encoded);
        char plain[16];
        size_t length = sizeof(plain);
        assert_int_equal(text_decode_base64url(slice_of(encoded), plain, &length), STATUS_OK);
        assert_int_equal(length, plain_length);
        assert_memory_equal(plain, cases[i].plain, length);
    }
}

static void base64url_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",    "Zm9vY", /* a digit too many */
        "Zh",   "Zm9",   /* unused bits are set */
        "Zg==", "Zg=",   /* padding */
        "+/+/", "Zm 9v", "Zm9v\n", "Zm9v.", "Zm\xc3\xa4",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char plain[16];
        size_t length = sizeof(plain);
        assert_int_equal(text_decode_base64url(slice_of(bad[i]), plain, &length), STATUS_INVALID);
    }
    char plain[3];
    size_t length = 2;
    assert_int_equal(text_decode_base64url(slice_of("Zm9v"), plain, &length), STATUS_TOO_LARGE);
}

static void base64url_survives_the_way_back_for_all_bytes(void **state)
{
    (void)state;
    unsigned char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(255 - i);
    }
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        char encoded[(256 * 4 + 2) / 3 + 1];
        size_t size = text_encode_base64url(bytes, length, encoded);
        assert_true(size <= (length * 4 + 2) / 3);
        unsigned char decoded[256];
        size_t room = size * 3 / 4;
        assert_int_equal(text_decode_base64url((struct slice){encoded, size}, decoded, &room),
                         STATUS_OK);
        assert_int_equal(room, length);
        assert_memory_equal(decoded, bytes, length);
    }
}

static void percent_escapes_are_decoded(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    static const struct {
        const char *text;
        bool plus;
        const char *decoded;
    } cases[] = {
        {"", false, ""},
        {"plain", false, "plain"},
        {"a%20b", false, "a b"},
        {"a+b", true, "a b"},
        {"a+b", false, "a+b"},
        {"%2B+", true, "+ "},
        {"%c3%A4", false, "\xc3\xa4"},
        {"%25%32%35", false, "%25"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice out;
        assert_int_equal(text_decode_percent(&arena, slice_of(cases[i].text), cases[i].plus, &out),
                         STATUS_OK);
        assert_true(slice_equals(out, cases[i].decoded));
        assert_int_equal(out.data[out.length], '\0');
    }
    arena_destroy(&arena);
}

static void bad_percent_escapes_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    static const char *const bad[] = {"%",    "%2",  "a%",    "%zz", "%2g",
                                      "%%20", "%00", "a%00b", "% 20"};
    struct slice out;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(text_decode_percent(&arena, slice_of(bad[i]), true, &out), STATUS_INVALID);
    }
    assert_int_equal(text_decode_percent(&arena, (struct slice){"a\0b", 3}, true, &out),
                     STATUS_INVALID);
    /* The escape is complete in memory, but the slice ends before. */
    assert_int_equal(text_decode_percent(&arena, (struct slice){"%20", 2}, true, &out),
                     STATUS_INVALID);
    arena_destroy(&arena);
    memory_fail_after(1);
    assert_int_equal(text_decode_percent(&arena, slice_of("a"), true, &out), STATUS_NO_MEMORY);
    memory_fail_after(0);
}

/* --- status ------------------------------------------------------------------------------------- */

static void every_status_has_a_word_of_its_own(void **state)
{
    (void)state;
    static const char *const words[] = {
        "ok",      "no_memory", "too_large", "invalid", "not_found",   "conflict", "denied",
        "expired", "busy",      "timeout",   "closed",  "unavailable", "internal"};
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_string_equal(status_text((enum status)i), words[i]);
    }
    assert_int_equal(STATUS_INTERNAL + 1, COUNT(words));
    assert_string_equal(status_text((enum status)9999), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slice_of_null_is_empty),
        cmocka_unit_test(slices_compare_by_length_and_bytes),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(trim_takes_white_space_from_both_ends),
        cmocka_unit_test(split_gives_every_part_also_empty_ones),
        cmocka_unit_test(integers_that_are_not_exactly_one_are_refused),
        cmocka_unit_test(integers_reach_both_ends_of_their_range),
        cmocka_unit_test(booleans_are_eight_words),
        cmocka_unit_test(invalid_utf8_is_recognised_at_any_place),
        cmocka_unit_test(valid_utf8_is_accepted_up_to_its_borders),
        cmocka_unit_test(characters_are_counted_not_bytes),
        cmocka_unit_test(hashes_are_fnv_1a),
        cmocka_unit_test(globs_match_the_whole_text),
        cmocka_unit_test(a_hostile_glob_ends_soon),
        cmocka_unit_test(equality_in_constant_time_is_equality),
        cmocka_unit_test(hex_is_exact),
        cmocka_unit_test(base64url_meets_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64url_that_is_not_canonical_is_refused),
        cmocka_unit_test(base64url_survives_the_way_back_for_all_bytes),
        cmocka_unit_test(percent_escapes_are_decoded),
        cmocka_unit_test(bad_percent_escapes_are_refused),
        cmocka_unit_test(every_status_has_a_word_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
