/*
 * Requests to others: how each way of ending is told, and that nothing of it depends on what a
 * client or an upstream can choose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>

#include "base/clock.h"
#include "base/memory.h"
#include "transport/pump_private.h"
#include "transport/pump_upstream.h"
#include "upstream_server.h"

static struct upstream_server server;
static struct workers *workers;
static struct pump *pump;
static struct upstream *upstream;

/* --- A call, and what its handlers saw --------------------------------------------------------- */

struct call {
    struct upstream_request request;
    struct upstream_handlers handlers;
    char url[200];
    const char *headers[8];
    struct upstream_call *call;
    struct call *other;
    enum status status; /* of upstream_start */
    atomic_int answers;
    atomic_int pieces;
    atomic_int ends;
    int status_code;
    enum upstream_result result;
    struct buffer body;
    char content_type[100];
    uint64_t started;
    uint64_t took;
    bool is_starting;
    sem_t happened;
    sem_t over;
};

static void on_answered(struct upstream_call *upstream_call, int status_code, void *context)
{
    struct call *call = context;
    assert_false(call->is_starting);
    call->status_code = status_code;
    assert_int_equal(upstream_status_code(upstream_call), status_code);
    snprintf(call->content_type, sizeof(call->content_type), "%s",
             upstream_header(upstream_call, "CONTENT-type"));
    atomic_fetch_add(&call->answers, 1);
}

static void on_data(struct upstream_call *upstream_call, struct slice bytes, void *context)
{
    struct call *call = context;
    (void)upstream_call;
    assert_false(call->is_starting);
    assert_int_equal(call->answers, 1);
    buffer_append(&call->body, bytes.data, bytes.length);
    atomic_fetch_add(&call->pieces, 1);
    sem_post(&call->happened);
}

static void on_done(struct upstream_call *upstream_call, enum upstream_result result, void *context)
{
    struct call *call = context;
    assert_false(call->is_starting);
    assert_ptr_equal(upstream_call, call->call);
    call->result = result;
    call->took = (clock_monotonic_nanoseconds() - call->started) / 1000000;
    atomic_fetch_add(&call->ends, 1);
    sem_post(&call->over);
}

static void open_call(struct call *call, const char *path)
{
    *call = (struct call){.handlers = {on_answered, on_data, on_done}};
    snprintf(call->url, sizeof(call->url), "http://127.0.0.1:%d%s", server.port, path);
    call->request =
        (struct upstream_request){.method = "GET", .url = call->url, .headers = call->headers};
    buffer_init(&call->body, 16 << 20);
    sem_init(&call->happened, 0, 0);
    sem_init(&call->over, 0, 0);
}

static void close_call(struct call *call)
{
    buffer_release(&call->body);
    sem_destroy(&call->happened);
    sem_destroy(&call->over);
}

static void wait_for(sem_t *semaphore)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    assert_int_equal(sem_timedwait(semaphore, &deadline), 0);
}

struct errand {
    void (*work)(void *context);
    void *context;
    sem_t done;
};

static void run_errand(void *context)
{
    struct errand *errand = context;
    errand->work(errand->context);
    sem_post(&errand->done);
}

static void on_pump(void (*work)(void *context), void *context)
{
    struct errand errand = {.work = work, .context = context};
    sem_init(&errand.done, 0, 0);
    assert_int_equal(pump_post(pump, run_errand, &errand), STATUS_OK);
    wait_for(&errand.done);
    sem_destroy(&errand.done);
}

static void start_here(void *context)
{
    struct call *call = context;
    call->started = clock_monotonic_nanoseconds();
    call->is_starting = true;
    call->status = upstream_start(upstream, &call->request, &call->handlers, call, &call->call);
    call->is_starting = false;
}

static void start(struct call *call)
{
    on_pump(start_here, call);
    assert_int_equal(call->status, STATUS_OK);
}

static void run(struct call *call)
{
    start(call);
    wait_for(&call->over);
    assert_int_equal(call->ends, 1);
}

static void expect_result(const char *path, enum upstream_result result)
{
    struct call call;
    open_call(&call, path);
    run(&call);
    assert_string_equal(upstream_result_text(call.result), upstream_result_text(result));
    close_call(&call);
}

static void make_upstream(void *context)
{
    (void)context;
    upstream = upstream_of_pump(pump, "");
    assert_ptr_equal(upstream_of_pump(pump, ""), upstream);
}

static int open_all(void **state)
{
    (void)state;
    /* Where every request would go if the environment counted. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    server_start(&server, NULL);
    if (workers_start(&workers, "test", 1, 10) != STATUS_OK ||
        pump_create(&pump, workers, "test") != STATUS_OK) {
        return -1;
    }
    on_pump(make_upstream, NULL);
    return upstream == NULL ? -1 : 0;
}

static int close_all(void **state)
{
    (void)state;
    pump_shut_down(pump);
    workers_stop(workers);
    pump_release(pump);
    server_stop(&server);
    return 0;
}

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
    assert_string_equal(upstream_header(upstream_call, "x-final"), "a b");
    assert_string_equal(upstream_header(upstream_call, "X-Early"), "");
    assert_string_equal(upstream_header(upstream_call, "X-Fina"), "");
    assert_string_equal(upstream_header(upstream_call, ""), "");
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
    assert_string_equal(upstream_header(upstream_call, "X-First"), "one");
    assert_string_equal(upstream_header(upstream_call, "X-Last"), "");
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
    on_pump(start_here, &call);
    assert_int_equal(call.status, STATUS_INVALID);
    call.headers[0] = NULL;
    call.request.url = "http://127.0.0.1/\r\nX-Injected: b";
    on_pump(start_here, &call);
    assert_int_equal(call.status, STATUS_INVALID);
    call.request.url = call.url;
    call.request.method = "GET / HTTP/1.1\r\nX-Injected: b\r\n\r\nGET";
    on_pump(start_here, &call);
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
    assert_in_range(call.took, 200, 600);
    close_call(&call);

    open_call(&call, "/stalls");
    call.request.idle_timeout_milliseconds = 200;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 200, 600);
    assert_string_equal(buffer_text(&call.body), "beginning");
    close_call(&call);

    open_call(&call, "/endless");
    call.request.idle_timeout_milliseconds = 500;
    call.request.first_byte_timeout_milliseconds = 100;
    call.request.total_timeout_milliseconds = 600;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 600, 1000);
    close_call(&call);

    struct deaf_port deaf;
    deaf_port_open(&deaf);
    open_call(&call, "/");
    snprintf(call.url, sizeof(call.url), "http://127.0.0.1:%d/", deaf.port);
    call.request.connect_timeout_milliseconds = 200;
    run(&call);
    assert_int_equal(call.result, UPSTREAM_TIMEOUT);
    assert_in_range(call.took, 190, 600);
    close_call(&call);
    deaf_port_close(&deaf);
}

/* --- Pausing and cancelling -------------------------------------------------------------------- */

static void pause_here(struct upstream_call *upstream_call, struct slice bytes, void *context)
{
    struct call *call = context;
    upstream_pause(upstream_call, true);
    on_data(upstream_call, bytes, context);
    assert_int_equal(call->pieces, 1);
    call->handlers.data = on_data;
}

static void go_on(void *context)
{
    struct call *call = context;
    int before = call->pieces;
    upstream_pause(call->call, false);
    assert_int_equal(call->pieces, before);
}

static void paused_call_gets_no_data_and_all_of_it_later(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/big");
    call.handlers.data = pause_here;
    /* Idle time does not count while we are the one who waits. */
    call.request.idle_timeout_milliseconds = 100;
    start(&call);
    wait_for(&call.happened);
    server_pause(300);
    assert_int_equal(call.pieces, 1);
    assert_int_equal(call.ends, 0);
    on_pump(go_on, &call);
    wait_for(&call.over);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    assert_int_equal(call.body.length, 2000000);
    close_call(&call);
}

static void cancel_here(void *context)
{
    upstream_cancel(((struct call *)context)->call);
}

static void cancelled_call_is_silent(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/endless");
    start(&call);
    wait_for(&call.happened);
    on_pump(cancel_here, &call);
    int pieces = call.pieces;
    server_pause(100);
    assert_int_equal(call.pieces, pieces);
    assert_int_equal(call.ends, 0);
    close_call(&call);
}

static void start_and_cancel(void *context)
{
    start_here(context);
    cancel_here(context);
}

static void call_may_be_cancelled_before_it_begins(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    on_pump(start_and_cancel, &call);
    server_pause(50);
    assert_int_equal(call.answers + call.pieces + call.ends, 0);
    close_call(&call);
}

static void cancel_both(struct upstream_call *upstream_call, struct slice bytes, void *context)
{
    struct call *call = context;
    on_data(upstream_call, bytes, context);
    upstream_cancel(call->other->call);
    upstream_cancel(upstream_call);
    upstream_cancel(upstream_call);
}

static void call_may_be_cancelled_from_its_own_and_from_others_handlers(void **state)
{
    (void)state;
    struct call first;
    struct call second;
    struct call third;
    open_call(&first, "/endless");
    open_call(&second, "/silent");
    open_call(&third, "/chunks");
    first.handlers.data = cancel_both;
    first.other = &second;
    start(&third);
    start(&second);
    start(&first);
    wait_for(&third.over);
    assert_int_equal(third.result, UPSTREAM_COMPLETE);
    assert_int_equal(first.pieces, 1);
    assert_int_equal(first.ends, 0);
    assert_int_equal(second.ends, 0);
    close_call(&first);
    close_call(&second);
    close_call(&third);
}

static void cancel_at_the_head(struct upstream_call *upstream_call, int status_code, void *context)
{
    on_answered(upstream_call, status_code, context);
    upstream_cancel(upstream_call);
}

static void call_may_be_cancelled_when_it_is_answered(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    call.handlers.answered = cancel_at_the_head;
    start(&call);
    for (int i = 0; i < 5000 && atomic_load(&call.answers) == 0; i++) {
        server_pause(1);
    }
    assert_int_equal(call.answers, 1);
    server_pause(50);
    assert_int_equal(call.pieces + call.ends, 0);
    close_call(&call);
}

static void start_other(struct upstream_call *upstream_call, enum upstream_result result,
                        void *context)
{
    struct call *call = context;
    upstream_cancel(upstream_call); /* too late to mean anything */
    start_here(call->other);
    on_done(upstream_call, result, context);
}

static void next_call_may_be_started_when_one_is_done(void **state)
{
    (void)state;
    struct call first;
    struct call second;
    open_call(&first, "/hangs-up");
    open_call(&second, "/");
    first.handlers.done = start_other;
    first.other = &second;
    run(&first);
    wait_for(&second.over);
    assert_int_equal(first.result, UPSTREAM_BROKEN);
    assert_int_equal(second.result, UPSTREAM_COMPLETE);
    close_call(&first);
    close_call(&second);
}

static void start_other_at_the_head(struct upstream_call *upstream_call, int status_code,
                                    void *context)
{
    struct call *call = context;
    on_answered(upstream_call, status_code, context);
    start_here(call->other);
    assert_int_equal(call->other->status, STATUS_OK);
}

static void next_call_may_be_started_while_one_is_answered(void **state)
{
    (void)state;
    struct call first;
    struct call second;
    open_call(&first, "/stalls");
    open_call(&second, "/");
    first.handlers.answered = start_other_at_the_head;
    first.other = &second;
    start(&first);
    wait_for(&second.over);
    assert_int_equal(second.result, UPSTREAM_COMPLETE);
    on_pump(cancel_here, &first);
    close_call(&first);
    close_call(&second);
}

static void calls_that_wait_for_a_connection_keep_their_deadlines(void **state)
{
    (void)state;
    enum { COUNT = 12 }; /* more than may be connecting at a time */
    struct call calls[COUNT];
    struct deaf_port deaf;
    deaf_port_open(&deaf);
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], "/");
        snprintf(calls[i].url, sizeof(calls[i].url), "http://127.0.0.1:%d/", deaf.port);
        calls[i].request.connect_timeout_milliseconds = 3000;
        calls[i].request.first_byte_timeout_milliseconds = 300;
        start(&calls[i]);
    }
    on_pump(cancel_here, &calls[COUNT - 1]);
    on_pump(cancel_here, &calls[5]);
    on_pump(cancel_here, &calls[0]);
    struct call other;
    open_call(&other, "/");
    run(&other); /* another origin is not held up */
    assert_int_equal(other.result, UPSTREAM_COMPLETE);
    close_call(&other);
    for (int i = 0; i < COUNT; i++) {
        bool is_cancelled = i == 0 || i == 5 || i == COUNT - 1;
        if (!is_cancelled) {
            wait_for(&calls[i].over);
            assert_int_equal(calls[i].result, UPSTREAM_TIMEOUT);
            assert_in_range(calls[i].took, 300, 900);
        }
        assert_int_equal(calls[i].ends, is_cancelled ? 0 : 1);
        close_call(&calls[i]);
    }
    deaf_port_close(&deaf);
}

static void many_calls_at_once_get_their_own_answers(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    struct call *calls = memory_allocate(COUNT * sizeof(*calls));
    char name[COUNT][30];
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], "/echo");
        snprintf(name[i], sizeof(name[i]), "X-Number: %d", i);
        calls[i].headers[0] = name[i];
        start(&calls[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&calls[i].over);
        assert_int_equal(calls[i].result, UPSTREAM_COMPLETE);
        char line[40];
        snprintf(line, sizeof(line), "\r\nX-Number: %d\r\n", i);
        assert_non_null(strstr(buffer_text(&calls[i].body), line));
        close_call(&calls[i]);
    }
    memory_release(calls);
}

static void use_up_memory(void *context)
{
    struct call *call = context;
    call->ends = 0;
    for (unsigned long n = 1;; n++) {
        memory_fail_after(n);
        start_here(call);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        if (call->status == STATUS_OK) {
            assert_int_equal(failures, 0);
            return;
        }
        assert_int_equal(call->status, STATUS_NO_MEMORY);
        assert_null(call->call);
    }
}

static void call_that_cannot_have_memory_does_not_start(void **state)
{
    (void)state;
    struct call call;
    open_call(&call, "/");
    on_pump(use_up_memory, &call);
    wait_for(&call.over);
    assert_int_equal(call.result, UPSTREAM_COMPLETE);
    close_call(&call);
}

static void release_with_calls(void *context)
{
    static struct call calls[3];
    struct upstream *of_all = upstream;
    (void)context;
    for (int i = 0; i < 3; i++) {
        open_call(&calls[i], i == 0 ? "/silent" : "/endless");
        start_here(&calls[i]);
        assert_int_equal(calls[i].status, STATUS_OK);
    }
    pump_attach(pump, NULL, NULL);
    upstream_release(of_all);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(calls[i].ends, 0);
        close_call(&calls[i]);
    }
    upstream = upstream_of_pump(pump, "");
    assert_non_null(upstream);
}

static void release_cancels_all_calls(void **state)
{
    (void)state;
    on_pump(release_with_calls, NULL);
    expect_result("/", UPSTREAM_COMPLETE);
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
        cmocka_unit_test(paused_call_gets_no_data_and_all_of_it_later),
        cmocka_unit_test(cancelled_call_is_silent),
        cmocka_unit_test(call_may_be_cancelled_before_it_begins),
        cmocka_unit_test(call_may_be_cancelled_from_its_own_and_from_others_handlers),
        cmocka_unit_test(call_may_be_cancelled_when_it_is_answered),
        cmocka_unit_test(next_call_may_be_started_when_one_is_done),
        cmocka_unit_test(next_call_may_be_started_while_one_is_answered),
        cmocka_unit_test(calls_that_wait_for_a_connection_keep_their_deadlines),
        cmocka_unit_test(many_calls_at_once_get_their_own_answers),
        cmocka_unit_test(call_that_cannot_have_memory_does_not_start),
        cmocka_unit_test(release_cancels_all_calls),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
