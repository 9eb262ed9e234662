/*
 * Connections to others: whose request they carry, when they are given up, and that nobody waits
 * for a peer that is not there.
 */
#include "upstream_help.h"

#include <netdb.h>

/* --- A name server that says nothing --------------------------------------------------------- */

#define UNANSWERED_SECONDS 3

static atomic_int lookups;

/* Takes the place of the C library's for libcurl too. The tests use no other names. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    *out = NULL;
    atomic_fetch_add(&lookups, 1);
    server_pause(UNANSWERED_SECONDS * 1000);
    return EAI_AGAIN;
}

static uint64_t last_tick;
static uint64_t longest_pause;

static void tick(void *context)
{
    uint64_t now = clock_monotonic_nanoseconds();
    (void)context;
    longest_pause = now - last_tick > longest_pause ? now - last_tick : longest_pause;
    last_tick = now;
    assert_int_equal(pump_set_timer(pump, 5, tick, &last_tick), STATUS_OK);
}

static void start_ticking(void *context)
{
    (void)context;
    last_tick = clock_monotonic_nanoseconds();
    longest_pause = 0;
    tick(NULL);
}

static void stop_ticking(void *context)
{
    (void)context;
    assert_int_equal(pump_set_timer(pump, -1, tick, &last_tick), STATUS_OK);
}

static void cancel_here(void *context)
{
    upstream_cancel(((struct call *)context)->call);
}

static void name_server_that_does_not_answer_holds_up_its_own_call_only(void **state)
{
    (void)state;
    struct call late;
    struct call left;
    on_pump(pump, start_ticking, NULL);
    open_call(&late, "/");
    open_call(&left, "/");
    snprintf(late.url, sizeof(late.url), "http://black-hole.test/");
    snprintf(left.url, sizeof(left.url), "http://black-hole.test/");
    late.request.connect_timeout_milliseconds = 300;
    start(&late);
    start(&left);
    await(&lookups, 2);
    on_pump(pump, cancel_here, &left);
    expect_result("/", UPSTREAM_COMPLETE);
    wait_for(&late.over);
    assert_int_equal(late.result, UPSTREAM_TIMEOUT);
    assert_false(late.has_sent);
    assert_in_range(late.took, 300, UNANSWERED_SECONDS * 1000 - 500);
    on_pump(pump, stop_ticking, NULL);
    assert_in_range(longest_pause / 1000000, 0, 200);
    close_call(&late);
    close_call(&left);
}

/* --- How often a request is sent --------------------------------------------------------------- */

static void request_is_sent_once_when_its_kept_connection_ends(void **state)
{
    (void)state;
    enum { KEPT = 4 };
    struct call calls[KEPT];
    for (int i = 0; i < KEPT; i++) {
        open_call(&calls[i], "/chunks");
        start(&calls[i]);
    }
    for (int i = 0; i < KEPT; i++) {
        wait_for(&calls[i].over);
        assert_int_equal(calls[i].result, UPSTREAM_COMPLETE);
        assert_true(calls[i].has_sent);
        close_call(&calls[i]);
    }
    static const char *const methods[] = {"POST", "GET"};
    for (int i = 0; i < 2; i++) {
        int connections = server.connections;
        int hang_ups = server.hang_ups;
        struct call call;
        open_call(&call, "/hangs-up");
        call.request.method = methods[i];
        call.request.body = slice_of(i == 0 ? "{\"costs\":\"money\"}" : "");
        run(&call);
        assert_int_equal(call.result, UPSTREAM_BROKEN);
        assert_true(call.has_sent);
        assert_int_equal(server.connections, connections); /* a kept one was used */
        assert_int_equal(server.hang_ups, hang_ups + 1);
        close_call(&call);
    }
    expect_result("/", UPSTREAM_COMPLETE);
}

/* --- Waiting for a connection ------------------------------------------------------------------ */

static void nobody_waits_longer_to_connect_than_he_asked_for(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct call calls[COUNT];
    struct deaf_port deaf;
    deaf_port_open(&deaf);
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], "/");
        snprintf(calls[i].url, sizeof(calls[i].url), "http://127.0.0.1:%d/", deaf.port);
        calls[i].request.connect_timeout_milliseconds = 400;
        start(&calls[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&calls[i].over);
        assert_int_equal(calls[i].result, UPSTREAM_TIMEOUT);
        assert_false(calls[i].has_sent);
        assert_in_range(calls[i].took, 390, 400 + LATE_MILLISECONDS);
        close_call(&calls[i]);
    }
    deaf_port_close(&deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_server_that_does_not_answer_holds_up_its_own_call_only),
        cmocka_unit_test(request_is_sent_once_when_its_kept_connection_ends),
        cmocka_unit_test(nobody_waits_longer_to_connect_than_he_asked_for),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
