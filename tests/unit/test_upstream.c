/*
 * Requests to others: how each way of ending is told, and that nothing of it depends on what a
 * client or an upstream can choose.
 */
#include "upstream_help.h"

/* --- Answers --------------------------------------------------------------------------------- */

static void answer_is_told_in_its_parts(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    run(&call);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_int_equal(call.status_code, 200);
    assert_int_equal(call.answers, 1);
    assert_string_equal(call.content_type, "text/plain");
    assert_string_equal(buffer_text(&call.body), "hello");
    close_call(&call);
}

static void connection_is_used_again(void **state)
{
    (void)state;
    expect_result("/", UPSTREAM_COMPLETE);
    int before = server.connections;
    for (int i = 0; i < 20; i++) {
        expect_result("/", UPSTREAM_COMPLETE);
    }
    assert_int_equal(server.connections, before);
}

static void request_is_sent_as_given_and_nothing_is_invented(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/echo");
    call.request.method = "PATCH";
    call.request.body = slice_of("{\"a\":1}");
    call.headers[0] = "X-Own: value";
    run(&call);
    const char *seen = buffer_text(&call.body);
    assert_ptr_equal(strstr(seen, "PATCH /echo HTTP/1.1\r\n"), seen);
    assert_non_null(strstr(seen, "\r\nX-Own: value\r\n"));
    assert_non_null(strstr(seen, "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(seen, "\r\n\r\n{\"a\":1}"));
    assert_null(strcasestr(seen, "expect:"));
    assert_null(strcasestr(seen, "content-type:"));
    assert_null(strcasestr(seen, "proxy"));
    close_call(&call);

    open_call(&call, "/echo");
    call.request.method = "POST";
    call.headers[0] = "Content-Type: application/json";
    run(&call);
    seen = buffer_text(&call.body);
    assert_non_null(strstr(seen, "\r\nContent-Type: application/json\r\n"));
    assert_null(strstr(seen, "urlencoded"));
    assert_non_null(strstr(seen, "\r\nContent-Length: 0\r\n"));
    close_call(&call);
}

static void large_body_is_sent_whole(void **state)
{
    (void)state;
    static char body[50000];
    memset(body, 'b', sizeof(body));
    struct call call;
    open_call(&call, "/echo");
    call.request.method = "POST";
    call.request.body = (struct slice){body, sizeof(body)};
    run(&call);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_true(call.body.length > sizeof(body));
    assert_memory_equal(call.body.data + call.body.length - sizeof(body), body, sizeof(body));
    close_call(&call);
}

static void streamed_data_arrives_as_it_comes(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/chunks");
    start(&call);
    wait_for(&call.happened);
    assert_int_equal(call.ends, 0);
    wait_for(&call.over);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_true(call.pieces >= 4);
    assert_int_equal(call.body.length, 5 * strlen("data: x\n\n"));
    close_call(&call);
}

static void head_has_no_body_and_redirects_are_not_followed(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    call.request.method = "HEAD";
    run(&call);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_int_equal(call.body.length, 0);
    close_call(&call);
    open_call(&call, "/redirect");
    run(&call);
    assert_int_equal(call.status_code, 302);
    close_call(&call);
}

static void look_at_headers(struct upstream_call *upstream_call, int status_code, void *context)
{
    on_answered(upstream_call, status_code, context);
    assert_string_equal(upstream_head_find(&upstream_call->head, "x-final"), "a b");
    assert_string_equal(upstream_head_find(&upstream_call->head, "X-Early"), "");
    assert_string_equal(upstream_head_find(&upstream_call->head, "X-Fina"), "");
    assert_string_equal(upstream_head_find(&upstream_call->head, ""), "");
}

static void only_the_final_answer_counts(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/interim");
    call.handlers.answered = look_at_headers;
    run(&call);
    assert_int_equal(call.answers, 1);
    assert_int_equal(call.status_code, 201);
    assert_string_equal(buffer_text(&call.body), "ok");
    close_call(&call);
}

static void look_at_first_and_last(struct upstream_call *upstream_call, int status_code,
                                   void *context)
{
    on_answered(upstream_call, status_code, context);
    assert_string_equal(upstream_head_find(&upstream_call->head, "X-First"), "one");
    assert_string_equal(upstream_head_find(&upstream_call->head, "X-Last"), "");
}

static void kept_headers_are_bounded(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/many-headers");
    call.handlers.answered = look_at_first_and_last;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_string_equal(buffer_text(&call.body), "ok");
    close_call(&call);
}

/* --- Failures ------------------------------------------------------------------------------------ */

static void broken_answers_are_never_complete(void **state)
{
    (void)state;
    expect_result("/truncated", UPSTREAM_BROKEN);
    expect_result("/truncated-chunk", UPSTREAM_BROKEN);
    expect_result("/nonsense", UPSTREAM_BROKEN);
    expect_result("/hangs-up", UPSTREAM_BROKEN);
}

static void nothing_sent_is_unreachable(void **state)
{
    (void)state;
    const char *const urls[] = {"http://127.0.0.1:1/", "https://127.0.0.1:1/", "file:///etc/passwd",
                                "ftp://127.0.0.1/",    "gopher://127.0.0.1/",  "http://"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct call call;
        open_call(&call, "/");
        call.request.url = urls[i];
        run(&call);
        assert_int_equal(call.result, UPSTREAM_UNREACHABLE);
        assert_int_equal(call.answers + call.pieces, 0);
        close_call(&call);
    }
}

static void plain_http_behind_https_is_unreachable(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    snprintf(call.url, sizeof(call.url), "https://127.0.0.1:%d/", server.port);
    call.request.connect_timeout_milliseconds = 500;
    run(&call);
    assert_true(call.result == UPSTREAM_UNREACHABLE || call.result == UPSTREAM_TIMEOUT);
    assert_int_equal(call.answers, 0);
    close_call(&call);
}

static void line_breaks_in_a_request_are_refused(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    call.headers[0] = "X-Own: a\r\nX-Injected: b";
    on_pump(pump, start_here, &call);
    assert_int_equal(call.status, STATUS_INVALID);
    call.headers[0] = NULL;
    call.request.url = "http://127.0.0.1/\r\nX-Injected: b";
    on_pump(pump, start_here, &call);
    assert_int_equal(call.status, STATUS_INVALID);
    call.request.url = call.url;
    call.request.method = "GET / HTTP/1.1\r\nX-Injected: b\r\n\r\nGET";
    on_pump(pump, start_here, &call);
    assert_int_equal(call.status, STATUS_INVALID);
    assert_int_equal(call.ends, 0);
    close_call(&call);
}

static void too_large_an_answer_is_cut_off(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/big");
    call.request.response_maximum = 100000;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TOO_LARGE);
    assert_true(call.body.length <= 100000);
    close_call(&call);
    open_call(&call, "/big");
    call.request.response_maximum = 2000000;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_int_equal(call.body.length, 2000000);
    close_call(&call);
}

static void each_deadline_ends_the_call_in_its_time(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/silent");
    call.request.first_byte_timeout_milliseconds = 200;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 200, 200 + LATE_MILLISECONDS);
    close_call(&call);

    open_call(&call, "/stalls");
    call.request.idle_timeout_milliseconds = 200;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 200, 200 + LATE_MILLISECONDS);
    assert_string_equal(buffer_text(&call.body), "beginning");
    close_call(&call);

    open_call(&call, "/endless");
    call.request.idle_timeout_milliseconds = 500;
    call.request.first_byte_timeout_milliseconds = 100;
    call.request.total_timeout_milliseconds = 600;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 600, 600 + LATE_MILLISECONDS);
    close_call(&call);

    struct deaf_port deaf;
    deaf_port_open(&deaf);
    open_call(&call, "/");
    snprintf(call.url, sizeof(call.url), "http://127.0.0.1:%d/", deaf.port);
    call.request.connect_timeout_milliseconds = 200;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 190, 200 + LATE_MILLISECONDS);
    close_call(&call);
    deaf_port_close(&deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_is_told_in_its_parts),
        cmocka_unit_test(connection_is_used_again),
        cmocka_unit_test(request_is_sent_as_given_and_nothing_is_invented),
        cmocka_unit_test(large_body_is_sent_whole),
        cmocka_unit_test(streamed_data_arrives_as_it_comes),
        cmocka_unit_test(head_has_no_body_and_redirects_are_not_followed),
        cmocka_unit_test(only_the_final_answer_counts),
        cmocka_unit_test(kept_headers_are_bounded),
        cmocka_unit_test(broken_answers_are_never_complete),
        cmocka_unit_test(nothing_sent_is_unreachable),
        cmocka_unit_test(plain_http_behind_https_is_unreachable),
        cmocka_unit_test(line_breaks_in_a_request_are_refused),
        cmocka_unit_test(too_large_an_answer_is_cut_off),
        cmocka_unit_test(each_deadline_ends_the_call_in_its_time),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
