/*
 * Requests to others, and what their owners do with them: pause, cancel and start, from wherever they
 * are, many at once and without memory.
 */
#include "upstream_help.h"

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
    on_pump(pump, go_on, &call);
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
    on_pump(pump, cancel_here, &call);
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
    on_pump(pump, start_and_cancel, &call);
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
    await(&call.answers, 1);
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
    on_pump(pump, cancel_here, &first);
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
    on_pump(pump, cancel_here, &calls[COUNT - 1]);
    on_pump(pump, cancel_here, &calls[5]);
    on_pump(pump, cancel_here, &calls[0]);
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
            assert_in_range(calls[i].took, 300, 300 + LATE_MILLISECONDS);
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
    on_pump(pump, use_up_memory, &call);
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
    on_pump(pump, release_with_calls, NULL);
    expect_result("/", UPSTREAM_COMPLETE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
