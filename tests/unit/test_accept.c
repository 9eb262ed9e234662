/*
 * The lists in which a client says which forms it accepts (Accept, Accept-Encoding), and networks of
 * clients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/accept.h"
#include "base/network.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- Lists ------------------------------------------------------------------------------------ */

static void items_come_in_order_with_version_and_quality(void **state)
{
    static const struct {
        const char *name;
        const char *version;
        int quality;
    } expected[] = {{"text/plain", "0.0.4", 500},
                    {"application/openmetrics-text", "1.0.0", 1000},
                    {"", "", 1000},
                    {"a", "", 1000},
                    {"*/*", "x y", 0},
                    {"b", "\"", 1000},
                    {"c", "", 1000}};
    struct slice rest = slice_of(" text/plain ; version=0.0.4;q=0.5,application/openmetrics-text; "
                                 "VERSION = \"1.0.0\" ; charset=utf-8,,a;flag;other=version,"
                                 "*/*;version=\"x y\";Q=0,b;version=\",c;version=\"\"");
    struct accept_item item;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(accept_next(&rest, &item));
        assert_true(slice_equals(item.name, expected[i].name));
        assert_true(slice_equals(item.version, expected[i].version));
        assert_int_equal(item.quality, expected[i].quality);
    }
    assert_false(accept_next(&rest, &item));
}

static void a_quality_has_three_digits_up_to_one(void **state)
{
    static const struct {
        const char *text;
        int quality;
    } cases[] = {
        {"0", 0},
        {"1", 1000},
        {"0.", 0},
        {"1.", 1000},
        {"0.7", 700},
        {"0.07", 70},
        {"0.007", 7},
        {"0.123", 123},
        {"0.999", 999},
        {"1.0", 1000},
        {"1.000", 1000},
        {"\"0.5\"", 500},
        /* Nothing of which is one: not acceptable. */
        {"", 0},
        {"2", 0},
        {"1.001", 0},
        {"1.1", 0},
        {"0.1234", 0},
        {"05", 0},
        {"0.5x", 0},
        {"0./", 0},
        {"0.:", 0},
        {"-1", 0},
        {".5", 0},
        {"x", 0},
    };
    char list[32];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(list, sizeof list, "gzip;q=%s", cases[i].text);
        if (accept_quality(slice_of(list), "gzip") != cases[i].quality) {
            fail_msg("%s", list);
        }
    }
}

static void the_best_of_a_name_counts_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(accept_quality(slice_of("br, GZip;q=0.3 ,gzip;q=0.6,gzip;q=0.1"), "gzip"),
                     600);
    assert_int_equal(accept_quality(slice_of("gzip"), "gzip"), 1000);
    assert_int_equal(accept_quality(slice_of("xgzip, gzipx, *"), "gzip"), 0);
    assert_int_equal(accept_quality(slice_of(""), "gzip"), 0);
}

/* --- Networks --------------------------------------------------------------------------------- */

static void a_network_is_an_address_without_the_bits_behind_its_prefix(void **state)
{
    static const struct {
        const char *address;
        unsigned v4;
        unsigned v6;
        const char *name;
    } cases[] = {
        {"203.0.113.77", 32, 64, "203.0.113.77"},
        {"203.0.113.77", 24, 64, "203.0.113.0"},
        {"203.0.113.77", 8, 64, "203.0.0.0"},
        {"203.0.113.77", 0, 64, "0.0.0.0"},
        {"2001:db8:1:2:3:4:5:6", 24, 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:3:4:5:6", 24, 48, "2001:db8:1::"},
        {"2001:db8:1:2:3:4:5:6", 24, 128, "2001:db8:1:2:3:4:5:6"},
        {"2001:DB8::1", 24, 128, "2001:db8::1"},
        {"::ffff:203.0.113.77", 24, 64, "203.0.113.0"},
        {"::ffff:203.0.113.77", 32, 64, "203.0.113.77"},
        {"unix", 24, 64, "unix"},
        {"", 24, 64, ""},
    };
    char name[NETWORK_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        network_name(cases[i].address, cases[i].v4, cases[i].v6, name);
        assert_string_equal(name, cases[i].name);
    }
}

static void a_text_that_is_no_address_names_itself_cut_to_the_size(void **state)
{
    char text[NETWORK_NAME_SIZE + 8];
    char name[NETWORK_NAME_SIZE];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    network_name(text, 32, 64, name);
    assert_int_equal(strlen(name), NETWORK_NAME_SIZE - 1);
    text[NETWORK_NAME_SIZE - 1] = '\0';
    network_name(text, 32, 64, name);
    assert_string_equal(name, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_with_version_and_quality),
        cmocka_unit_test(a_quality_has_three_digits_up_to_one),
        cmocka_unit_test(the_best_of_a_name_counts_in_any_case),
        cmocka_unit_test(a_network_is_an_address_without_the_bits_behind_its_prefix),
        cmocka_unit_test(a_text_that_is_no_address_names_itself_cut_to_the_size),
    };
    return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
