/*
 * Where libcurl is missing, calls outside are unavailable; nothing else is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "log/log.h"
#include "upstream/libcurl.h"
#include "upstream/upstream.h"

static int looks;

/* Linked with -rdynamic: libc's is not called. */
void *dlopen(const char *name, int flags)
{
    (void)flags;
    assert_string_equal(name, "libcurl.so.4");
    looks++;
    return NULL;
}

static void a_missing_library_is_an_outage_of_calls_each_time(void **state)
{
    (void)state;
    char path[] = "/tmp/libcurl-XXXXXX";
    char line[4096] = "";
    int log = mkstemp(path);
    assert_int_equal(log_open("test", LOG_INFO, path), STATUS_OK);
    const struct upstream_loop loop = {0};
    const struct upstream_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    for (int i = 0; i < 3; i++) {
        struct upstream *upstream = NULL;
        struct upstream_answer answer;
        struct arena arena;
        arena_init(&arena, 1 << 16);
        assert_int_equal(libcurl_load(), STATUS_UNAVAILABLE);
        assert_int_equal(upstream_create(&upstream, &loop, ""), STATUS_UNAVAILABLE);
        assert_null(upstream);
        assert_int_equal(upstream_fetch(&request, "", &arena, &answer), STATUS_UNAVAILABLE);
        arena_destroy(&arena);
    }
    assert_int_equal(looks, 1);
    /* It is logged once, with the system's message. */
    assert_int_equal(log_open("test", LOG_INFO, NULL), STATUS_OK);
    assert_true(read(log, line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "\"level\":\"ERROR\""));
    assert_non_null(strstr(line, "\"message\":\"library_missing\""));
    assert_non_null(strstr(line, "\"problem\":\"libcurl.so.4\""));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    close(log);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_an_outage_of_calls_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
