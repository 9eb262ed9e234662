/* Which route answers a method and a path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/router.h"

static const struct route routes[] = {
    {HTTP_GET, "/things", NULL, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_POST, "/things", NULL, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/things/{id}", NULL, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/things/all", NULL, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_DELETE, "/things/{id}/parts/{part}", NULL, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
};

static const struct route *match(enum http_method method, const char *path, struct route_match *out)
{
    router_match(routes, sizeof routes / sizeof routes[0], method, slice_of(path), out);
    return out->route;
}

static void literal_segments_win_over_names(void **state)
{
    struct route_match found;
    (void)state;
    assert_ptr_equal(match(HTTP_GET, "/things/all", &found), &routes[3]);
    assert_ptr_equal(match(HTTP_GET, "/things/al", &found), &routes[2]);
}

static void names_match_one_segment_that_is_not_empty(void **state)
{
    struct route_match found;
    (void)state;
    assert_ptr_equal(match(HTTP_DELETE, "/things/a.b-c/parts/7", &found), &routes[4]);
    assert_int_equal(found.value_count, 2);
    assert_true(slice_equals(found.values[0], "a.b-c"));
    assert_true(slice_equals(found.values[1], "7"));
    static const char *const misses[] = {"/things//parts/7",
                                         "/things/a/b/parts/7",
                                         "/things/a/parts",
                                         "/things/a/parts/",
                                         "/thing",
                                         "/thingsx",
                                         "things",
                                         "",
                                         "/"};
    for (size_t i = 0; i < sizeof misses / sizeof misses[0]; i++) {
        assert_null(match(HTTP_DELETE, misses[i], &found));
        assert_false(found.path_exists);
    }
}

static void head_finds_the_route_of_get(void **state)
{
    struct route_match found;
    (void)state;
    assert_ptr_equal(match(HTTP_HEAD, "/things", &found), &routes[0]);
}

static void a_known_path_tells_its_methods(void **state)
{
    struct route_match found;
    (void)state;
    assert_null(match(HTTP_PUT, "/things", &found));
    assert_true(found.path_exists);
    struct buffer text;
    buffer_init(&text, 64);
    router_describe_methods(found.allowed_methods, &text);
    assert_string_equal(buffer_text(&text), "GET, HEAD, POST");
    buffer_release(&text);
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    assert_int_equal(http_method_of(slice_of("GET")), HTTP_GET);
    assert_int_equal(http_method_of(slice_of("get")), HTTP_OTHER);
    assert_int_equal(http_method_of(slice_of("BREW")), HTTP_OTHER);
    assert_string_equal(http_method_text(HTTP_OTHER), "_OTHER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_segments_win_over_names),
        cmocka_unit_test(names_match_one_segment_that_is_not_empty),
        cmocka_unit_test(head_finds_the_route_of_get),
        cmocka_unit_test(a_known_path_tells_its_methods),
        cmocka_unit_test(methods_are_case_sensitive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
