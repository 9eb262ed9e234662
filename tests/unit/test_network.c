/* Addresses and networks of TRUSTED_PROXIES and RATE_LIMIT_TRUSTED_CIDRS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/live.h"

static bool contains(const char *network, const char *address)
{
    struct network item;
    assert_int_equal(network_parse(slice_of(network), &item), STATUS_OK);
    const struct network_list list = {&item, 1};
    return network_list_contains(&list, address);
}

static void networks_contain_what_their_prefix_says(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.1.2"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("192.168.4.0/22", "192.168.7.255"));
    assert_false(contains("192.168.4.0/22", "192.168.8.0"));
    assert_true(contains("127.0.0.1", "127.0.0.1"));
    assert_false(contains("127.0.0.1", "127.0.0.2"));
    assert_true(contains("0.0.0.0/0", "8.8.8.8"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
}

static void ipv4_networks_do_not_contain_ipv6(void **state)
{
    (void)state;
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_false(contains("10.0.0.0/8", "unix"));
    assert_false(contains("10.0.0.0/8", ""));
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     "/8",          "10.0.0.0/",    "10.0.0.0/33", "10.0.0/8",  "::1/129",
        "host", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/8x", "1.2.3.4.5", "1.2.3.256"};
    struct network item;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(network_parse(slice_of(bad[i]), &item), STATUS_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_contain_what_their_prefix_says),
        cmocka_unit_test(ipv4_networks_do_not_contain_ipv6),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
