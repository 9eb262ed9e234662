/*
 * The weight of a text, from which tokens are estimated where the provider does not tell them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fcgi-apps/chat/usage.h"

static int64_t estimate(const char *text)
{
    return usage_estimate_tokens(usage_weigh_text(text));
}

static void four_letters_are_a_token(void **state)
{
    (void)state;
    assert_int_equal(estimate(""), 0);
    assert_int_equal(estimate("a"), 1);
    assert_int_equal(estimate("four"), 1);
    assert_int_equal(estimate("five5"), 2);
    assert_int_equal(estimate("h\xc3\xa9h\xc3\xa9"), 1);
    assert_int_equal(estimate("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2"), 1);
    assert_int_equal(estimate("\xe2\x82\xac\xe2\x82\xac\xf0\x9f\x98\x80\xf0\x9f\x98\x80"), 1);
}

static void a_character_of_chinese_japanese_or_korean_is_a_token(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t tokens;
    } cases[] = {
        {"\xe4\xbd\xa0\xe5\xa5\xbd", 2},             /* 你好 */
        {"\xe3\x81\x93\xe3\x83\xb3\xe3\x80\x82", 3}, /* こン。 */
        {"\xec\x95\x88\xeb\x85\x95", 2},             /* 안녕 */
        {"\xef\xbc\x81\xef\xa4\x80", 2},             /* ！ and a compatibility ideograph */
        {"\xf0\xa0\x80\x80\xf0\xbf\xbf\xbf", 2},     /* of the second and third plane */
        {"ab\xe4\xbd\xa0yz", 2},
        /* The neighbours of these ranges weigh 1. */
        {"\xe2\xb9\xbf\xea\x80\x80\xea\xaf\xbf\xed\x9e\xa4", 1},
        {"\xef\xa3\xbf\xef\xac\x80\xef\xbf\xb0\xf0\x9f\xbf\xbf", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(estimate(cases[i].text), cases[i].tokens);
    }
}

static void a_text_weighs_the_same_however_json_spells_it(void **state)
{
    (void)state;
    static const struct {
        const char *plain;
        const char *spelled;
        int64_t weight;
    } cases[] = {
        {"", "", 0},
        {"a\"\\\n\x01", "a\\\"\\\\\\n\\u0001", 5},
        {"\xc3\xa9", "\\u00e9", 1},
        {"\xe4\xbd\xa0", "\\u4F60", 4},
        {"\xec\x95\x88", "\\uc548", 4},
        {"\xf0\x9f\x98\x80", "\\ud83d\\ude00", 1},
        {"\xf0\xa0\x80\x80", "\\ud840\\udc00", 4},
        {"\xf0\xbf\xbf\xbf", "\\uD8BF\\uDFFF", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char quoted[64];
        assert_int_equal(usage_weigh_text(cases[i].plain), cases[i].weight);
        snprintf(quoted, sizeof quoted, "\"%s\"", cases[i].spelled);
        assert_int_equal(usage_weigh_string(slice_of(quoted)), cases[i].weight);
    }
}

static void half_an_escape_is_not_read_beyond_its_string(void **state)
{
    (void)state;
    static const char text[] = "\"a\\u4f\"60";
    assert_int_equal(usage_weigh_string((struct slice){text, 7}), 4);
    assert_int_equal(usage_weigh_string((struct slice){text, 1}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_letters_are_a_token),
        cmocka_unit_test(a_character_of_chinese_japanese_or_korean_is_a_token),
        cmocka_unit_test(a_text_weighs_the_same_however_json_spells_it),
        cmocka_unit_test(half_an_escape_is_not_read_beyond_its_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
