/*
 * The blocking way in: probes and small control calls, bounded in time and size.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "heap_help.h"
#include "upstream/upstream.h"
#include "upstream_server.h"

static struct upstream_server server;

static int open_server(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    server_start(&server, NULL);
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static enum status fetch(struct arena *arena, const char *path, struct upstream_request request,
                         struct upstream_answer *answer)
{
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server.port, path);
    request.method = request.method == NULL ? "GET" : request.method;
    request.url = request.url == NULL ? url : request.url;
    return upstream_fetch(&request, "", arena, answer);
}

static void fetch_returns_the_answer(void **state)
{
    (void)state;
    struct arena arena;
    struct upstream_answer answer;
    arena_init(&arena, 16 << 20);
    assert_int_equal(fetch(&arena, "/", (struct upstream_request){0}, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_COMPLETE);
    assert_int_equal(answer.status_code, 200);
    assert_true(slice_equals(answer.body, "hello"));
    assert_true(answer.nanoseconds > 0);
    assert_int_equal(fetch(&arena, "/interim", (struct upstream_request){0}, &answer), STATUS_OK);
    assert_int_equal(answer.status_code, 201);
    const char *const headers[] = {"X-Own: 1", NULL};
    assert_int_equal(fetch(&arena, "/echo",
                           (struct upstream_request){
                               .method = "PUT", .headers = headers, .body = slice_of("data")},
                           &answer),
                     STATUS_OK);
    assert_non_null(strstr(answer.body.data, "\r\nX-Own: 1\r\n"));
    assert_true(slice_starts_with(answer.body, "PUT /echo "));
    arena_destroy(&arena);
}

static void fetch_goes_over_a_unix_socket(void **state)
{
    (void)state;
    char folder[] = "/tmp/upstream-XXXXXX";
    char path[100];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    struct upstream_server local;
    server_start(&local, path);
    struct arena arena;
    struct upstream_answer answer;
    arena_init(&arena, 1 << 20);
    struct upstream_request request = {.url = "http://localhost/", .unix_socket = path};
    assert_int_equal(fetch(&arena, "", request, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_COMPLETE);
    assert_true(slice_equals(answer.body, "hello"));
    assert_int_equal(local.connections, 1);
    server_stop(&local);
    unlink(path);
    assert_int_equal(fetch(&arena, "", request, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_UNREACHABLE);
    rmdir(folder);
    arena_destroy(&arena);
}

static void fetch_fails_as_calls_do(void **state)
{
    (void)state;
    struct arena arena;
    struct upstream_answer answer;
    arena_init(&arena, 4 << 20);
    assert_int_equal(fetch(&arena, "/truncated", (struct upstream_request){0}, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_BROKEN);
    assert_int_equal(answer.status_code, 200);
    assert_int_equal(fetch(&arena, "/truncated-head", (struct upstream_request){0}, &answer),
                     STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_BROKEN);
    assert_int_equal(fetch(&arena, "/big", (struct upstream_request){0}, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_TOO_LARGE);
    assert_int_equal(answer.body.length, 1 << 20);
    struct upstream_request curt = {.response_maximum = 3};
    assert_int_equal(fetch(&arena, "/", curt, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_TOO_LARGE);
    assert_int_equal(answer.status_code, 200);
    assert_true(slice_equals(answer.body, "hel"));
    struct upstream_request exact = {.response_maximum = 5};
    assert_int_equal(fetch(&arena, "/", exact, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_COMPLETE);
    assert_true(slice_equals(answer.body, "hello"));
    struct upstream_request nowhere = {.url = "http://127.0.0.1:1/"};
    assert_int_equal(fetch(&arena, "", nowhere, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_UNREACHABLE);
    assert_int_equal(answer.status_code, 0);
    const char *const headers[] = {"X: a\nb", NULL};
    assert_int_equal(fetch(&arena, "/", (struct upstream_request){.headers = headers}, &answer),
                     STATUS_INVALID);
    arena_destroy(&arena);
}

static void fetch_blocks_no_longer_than_its_deadlines(void **state)
{
    (void)state;
    struct arena arena;
    struct upstream_answer answer;
    arena_init(&arena, 1 << 20);
    struct upstream_request request = {.total_timeout_milliseconds = 300};
    assert_int_equal(fetch(&arena, "/silent", request, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_TIMEOUT);
    assert_in_range(answer.nanoseconds / 1000000, 290, 300 + LATE_MILLISECONDS);
    assert_int_equal(fetch(&arena, "/endless", request, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_TIMEOUT);
    struct upstream_request impatient = {.first_byte_timeout_milliseconds = 100};
    assert_int_equal(fetch(&arena, "/silent", impatient, &answer), STATUS_OK);
    assert_int_equal(answer.result, UPSTREAM_TIMEOUT);
    assert_in_range(answer.nanoseconds / 1000000, 100, 1100 + LATE_MILLISECONDS);
    arena_destroy(&arena);
}

static void fetch_without_memory_says_so(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n++) {
        struct arena arena;
        struct upstream_answer answer;
        arena_init(&arena, 1 << 20);
        memory_fail_after(n);
        enum status status = fetch(&arena, "/", (struct upstream_request){0}, &answer);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        arena_destroy(&arena);
        if (failures == 0) {
            assert_int_equal(status, STATUS_OK);
            break;
        }
        /* Response headers that did not fit into memory are missing, and that is all. */
        assert_true(status == STATUS_NO_MEMORY || answer.result == UPSTREAM_COMPLETE);
    }
}

static void authorities_are_a_directory_or_a_file_with_something_in_it(void **state)
{
    (void)state;
    char path[] = "/tmp/upstream-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(upstream_authorities("/tmp"), UPSTREAM_AUTHORITIES_DIRECTORY);
    assert_int_equal(upstream_authorities(path), UPSTREAM_AUTHORITIES_UNUSABLE);
    assert_int_equal(write(descriptor, "x", 1), 1);
    assert_int_equal(upstream_authorities(path), UPSTREAM_AUTHORITIES_FILE);
    close(descriptor);
    unlink(path);
    assert_int_equal(upstream_authorities(path), UPSTREAM_AUTHORITIES_UNUSABLE);
    assert_int_equal(upstream_authorities("/dev/null"), UPSTREAM_AUTHORITIES_UNUSABLE);
}

static void ask_nobody(void)
{
    struct arena arena;
    struct upstream_answer answer;
    arena_init(&arena, 1 << 20);
    const struct upstream_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(upstream_fetch(&request, "", &arena, &answer), STATUS_OK);
    arena_destroy(&arena);
}

static void fetch_gives_back_what_it_took(void **state)
{
    (void)state;
    assert_gives_all_back(ask_nobody);
}

/* A connection that its server has closed must end no program that has not thought of it. */
static void a_broken_pipe_ends_nobody_once_libcurl_is_there(void **state)
{
    (void)state;
    struct sigaction now;
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_IGN);
}

int main(void)
{
    signal(SIGPIPE, SIG_DFL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_returns_the_answer),
        cmocka_unit_test(fetch_goes_over_a_unix_socket),
        cmocka_unit_test(fetch_fails_as_calls_do),
        cmocka_unit_test(fetch_blocks_no_longer_than_its_deadlines),
        cmocka_unit_test(fetch_without_memory_says_so),
        cmocka_unit_test(fetch_gives_back_what_it_took),
        cmocka_unit_test(authorities_are_a_directory_or_a_file_with_something_in_it),
        cmocka_unit_test(a_broken_pipe_ends_nobody_once_libcurl_is_there),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
