/*
 * auth/names and base/unicode: what looks the same is the same, what nobody sees is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "auth/names.h"
#include "base/unicode.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

/* "" when it is refused */
static const char *fold_email(const char *text)
{
    const char *out = NULL;
    enum status status = names_fold_email(&arena, text, &out);
    if (status == STATUS_INVALID) {
        assert_null(out);
        return "";
    }
    assert_int_equal(status, STATUS_OK);
    return out;
}

static void twins_are_one_address(void **state)
{
    (void)state;
    static const char *const twins[][2] = {
        {"ADA@Example.ORG", "ada@example.org"},
        {"stra\xc3\x9f"
         "e@example.org",
         "strasse@example.org"},
        {"jose\xcc\x81@example.org", "jos\xc3\xa9@example.org"},
        {"JOS\xc3\x89@example.org", "jos\xc3\xa9@example.org"},
        {"\xef\xbd\x81"
         "da@example.org",
         "ada@example.org"},                                /* full-width a */
        {"\xef\xac\x81sh@example.org", "fish@example.org"}, /* ligature */
        {"\xe2\x84\xaa@example.org", "k@example.org"},      /* kelvin sign */
        {"\xe1\x84\x80\xe1\x85\xa1@example.org", "\xea\xb0\x80@example.org"},
        {"a@b\xc3\xbc"
         "cher.example",
         "a@b\xc3\xbc"
         "cher.example"},
    };
    for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
        assert_string_equal(fold_email(twins[i][0]), twins[i][1]);
        assert_string_equal(fold_email(twins[i][1]), twins[i][1]);
    }
}

static void what_nobody_sees_is_refused(void **state)
{
    (void)state;
    static const char *const hidden[] = {
        "\xc2\xad",         /* U+00AD soft hyphen */
        "\xe1\xa0\x8e",     /* U+180E Mongolian vowel separator */
        "\xe3\x85\xa4",     /* U+3164 Hangul filler */
        "\xe1\x85\x9f",     /* U+115F */
        "\xe1\x85\xa0",     /* U+1160 */
        "\xef\xbe\xa0",     /* U+FFA0 half-width Hangul filler */
        "\xcd\x8f",         /* U+034F combining grapheme joiner */
        "\xe2\x80\x8b",     /* U+200B */
        "\xe2\x80\x8d",     /* U+200D */
        "\xe2\x80\xae",     /* U+202E */
        "\xe2\x81\xa0",     /* U+2060 */
        "\xe2\x81\xa6",     /* U+2066 */
        "\xe2\xa0\x80",     /* U+2800 Braille blank */
        "\xef\xb8\x8f",     /* U+FE0F variation selector */
        "\xef\xbb\xbf",     /* U+FEFF */
        "\xf3\xa0\x81\xa1", /* U+E0061 tag */
        "\xc2\xa0",         /* U+00A0 */
        "\xe2\x80\xa8",     /* U+2028 */
        "\xe3\x80\x80",     /* U+3000 */
        "\xc2\x85",         /* U+0085 */
        "\x01",
        " ",
        "\t",
        "\xee\x80\x80", /* U+E000 private */
        "\xcd\xb8",     /* U+0378 unassigned */
        "\xed\xa0\x80", /* a surrogate */
        "\xff",
    };
    char text[64];
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        snprintf(text, sizeof text, "a%sb@example.org", hidden[i]);
        if (fold_email(text)[0] != '\0') {
            fail_msg("row %zu is taken", i);
        }
        snprintf(text, sizeof text, "ab@exa%smple.org", hidden[i]);
        assert_string_equal(fold_email(text), "");
    }
}

static void an_address_is_one_that_mail_can_reach(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "a",
        "@b.c",
        "a@",
        "a@b",
        "a@b@c.d",
        "a@.b.c",
        "a@b..c",
        "a@b.c.",
        "a@-b.c",
        "a@b-.c",
        ".a@b.c",
        "a.@b.c",
        "a..b@c.d",
        "a<b@c.d",
        "a,b@c.d",
        "a:b@c.d",
        "a;b@c.d",
        "a\"b@c.d",
        "a(b@c.d",
        "a)b@c.d",
        "a[b@c.d",
        "a]b@c.d",
        "a\\b@c.d",
        "a>b@c.d",
        "a\xef\xbc\xa0"
        "b@c.d", /* a full-width @ becomes one */
        "a\xef\xbc\x9c"
        "b@c.d", /* and a full-width < */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_string_equal(fold_email(wrong[i]), "");
    }
    char text[NAMES_EMAIL_MAXIMUM + 2];
    memset(text, 'a', sizeof text);
    memcpy(text + 64, "@b.c", 4);
    text[NAMES_EMAIL_MAXIMUM] = '\0';
    assert_string_equal(fold_email(text), text);
    text[NAMES_EMAIL_MAXIMUM] = 'a';
    text[NAMES_EMAIL_MAXIMUM + 1] = '\0';
    assert_string_equal(fold_email(text), "");
}

static void usernames_are_plain_and_without_case(void **state)
{
    (void)state;
    static const char *const wrong[] = {"ab",
                                        "a b",
                                        "a@b",
                                        "\xef\xbd\x81"
                                        "da",
                                        "ad\xc3\xa9",
                                        ""};
    const char *out = NULL;
    assert_int_equal(names_fold_username(&arena, "Ada.L_1-x", &out), STATUS_OK);
    assert_string_equal(out, "ada.l_1-x");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(names_fold_username(&arena, wrong[i], &out), STATUS_INVALID);
        assert_null(out);
    }
    char text[66];
    memset(text, 'a', sizeof text);
    text[64] = '\0';
    assert_int_equal(names_fold_username(&arena, text, &out), STATUS_OK);
    text[64] = 'a';
    text[65] = '\0';
    assert_int_equal(names_fold_username(&arena, text, &out), STATUS_INVALID);
}

static void whatever_is_tried_at_a_login_has_a_name(void **state)
{
    (void)state;
    const char *out;
    assert_int_equal(names_fold_login(&arena, "ADA", &out), STATUS_OK);
    assert_string_equal(out, "ada");
    assert_int_equal(names_fold_login(&arena, "ADA@example.org", &out), STATUS_OK);
    assert_string_equal(out, "ada@example.org");
    assert_int_equal(names_fold_login(&arena, "no name", &out), STATUS_OK);
    assert_string_equal(out, "no name");
    assert_int_equal(names_fold_login(&arena, "A@b", &out), STATUS_OK);
    assert_string_equal(out, "A@b");
    unsigned char one[LOCKOUT_NAME_SIZE];
    unsigned char two[LOCKOUT_NAME_SIZE];
    assert_int_equal(names_digest("ada", one), STATUS_OK);
    assert_int_equal(names_digest("adb", two), STATUS_OK);
    assert_memory_not_equal(one, two, sizeof one);
}

static void composing_keeps_what_is_seen_and_bounds_what_comes(void **state)
{
    (void)state;
    char out[UNICODE_TEXT_MAXIMUM + 1];
    char text[UNICODE_TEXT_MAXIMUM + 2];
    size_t length;
    assert_int_equal(unicode_compose(slice_of("e\xcc\x81 A\xef\xac\x81"), out, &length), STATUS_OK);
    assert_string_equal(out, "\xc3\xa9 A\xef\xac\x81"); /* NFC: no folding, no ligatures undone */
    assert_int_equal(length, strlen(out));
    assert_int_equal(unicode_compose(slice_of(""), out, &length), STATUS_OK);
    assert_int_equal(length, 0);
    assert_int_equal(unicode_compose(slice_of("\xc3"), out, &length), STATUS_INVALID);
    memset(text, 'x', sizeof text);
    assert_int_equal(unicode_compose((struct slice){text, UNICODE_TEXT_MAXIMUM}, out, &length),
                     STATUS_OK);
    assert_int_equal(length, UNICODE_TEXT_MAXIMUM);
    assert_int_equal(unicode_compose((struct slice){text, UNICODE_TEXT_MAXIMUM + 1}, out, &length),
                     STATUS_TOO_LARGE);
    /* U+FDFA becomes 18 characters: more than there is room for. */
    for (size_t i = 0; i + 3 <= UNICODE_TEXT_MAXIMUM; i += 3) {
        memcpy(text + i, "\xef\xb7\xba", 3);
    }
    assert_int_equal(unicode_fold_name((struct slice){text, 1023}, out, &length), STATUS_TOO_LARGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(twins_are_one_address),
        TEST(what_nobody_sees_is_refused),
        TEST(an_address_is_one_that_mail_can_reach),
        TEST(usernames_are_plain_and_without_case),
        TEST(whatever_is_tried_at_a_login_has_a_name),
        TEST(composing_keeps_what_is_seen_and_bounds_what_comes),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
